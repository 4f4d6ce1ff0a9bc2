/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * table_cache FOLDER FILE...: how long an unwind table takes from being asked for
 * to lying in the kernel's memory, by the daemon's own modules, as a line of JSON
 * a file; medians. "built": by the code that the worker runs; "cached": from the
 * tables on disk, in the page cache; "disk": read from the disk itself; "loop": what of "cached"
 * the event loop does, the rest being the cache's thread's. Needs a FOLDER of its own, and the
 * right to make BPF maps.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/table_cache.h"
#include "daemon/unwind_maps.h"
#include "symbolizer/cfi.h"

#define ROUNDS 7
#define IMAGE 0
#define CACHE_BYTES (256ULL << 20)
#define KERNEL_BYTES (128ULL << 20)

struct bench {
	const char *folder;
	struct unwind_maps maps;
	struct loaded_table loaded;
	bool answered;
	int result;
	double loop_ms; /* of the last answer */
};

static double ms_since(uint64_t start)
{
	return (double)(clock_boot_ns() - start) / NSEC_PER_MSEC;
}

static int array(uint32_t value_size, uint32_t count, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);

	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "perfd_bench", sizeof(uint32_t), value_size,
			      count, &options);
}

/* Maps as bpf/maps.h has them, of those that hold tables. */
static int make_maps(struct unwind_maps *maps)
{
	int chunk = array(UNWIND_CHUNK_WORDS * sizeof(uint32_t), 1, BPF_F_MMAPABLE);
	LIBBPF_OPTS(bpf_map_create_opts, outer, .inner_map_fd = (uint32_t)chunk);
	struct unwind_map_fds fds = {
		.rules = array(sizeof(struct unwind_rule), UNWIND_RULES_MAX, BPF_F_MMAPABLE),
		.files = array(sizeof(struct unwind_file), 1, 0),
	};

	fds.chunks = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "perfd_bench", sizeof(uint32_t),
				    sizeof(uint32_t), UNWIND_CHUNKS_MAX, &outer);
	if (chunk < 0 || fds.rules < 0 || fds.files < 0 || fds.chunks < 0)
		return -EPERM;
	close(chunk);
	return unwind_maps_init(maps, &fds, KERNEL_BYTES);
}

static int build(const char *path, struct error *error, struct unwind_table *ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf_image image;
	int r;

	if (fd < 0)
		return error_set(error, -errno, "%s", strerror(errno));
	r = elf_image_init(&image, fd, error);
	if (r < 0)
		return r;
	r = cfi_build(&image, error, NULL, ret);
	elf_image_deinit(&image);
	return r;
}

static void load(struct bench *bench, const struct unwind_table *table)
{
	bench->result = unwind_maps_load(&bench->maps, IMAGE, table, &bench->loaded);
}

static void on_cached(void *context, uint32_t tag, const struct table_record *record)
{
	struct bench *bench = context;

	(void)tag;
	bench->answered = true;
	if (record)
		load(bench, &record->table);
	else
		bench->result = -ENOENT;
}

static int round_built(struct bench *bench, const char *path, struct error *error, double *ret)
{
	uint64_t start = clock_boot_ns();
	struct unwind_table table;
	int r = build(path, error, &table);

	if (r < 0)
		return r;
	load(bench, &table);
	*ret = ms_since(start);
	unwind_table_deinit(&table);
	unwind_maps_unload(&bench->maps, IMAGE, &bench->loaded);
	return bench->result;
}

/* What is written is let go of by the page cache. */
static void forget_pages(const char *folder)
{
	char pattern[512];
	glob_t found = {0};

	snprintf(pattern, sizeof(pattern), "%s/*.table", folder);
	glob(pattern, 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		_cleanup_close_ int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);

		if (fd >= 0 && !fdatasync(fd))
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	globfree(&found);
}

static int open_cache(const struct bench *bench, struct error *error, struct table_cache **ret)
{
	return table_cache_create(bench->folder, CACHE_BYTES, "/proc/self/exe", error, ret);
}

static int round_cached(struct bench *bench, const struct file_identity *file, bool from_disk,
			struct error *error, double *ret)
{
	struct table_cache *cache;
	struct pollfd ready = {.events = POLLIN};
	uint64_t start;
	int r;

	if (from_disk)
		forget_pages(bench->folder);
	r = open_cache(bench, error, &cache);
	if (r < 0)
		return r;
	ready.fd = table_cache_fd(cache);
	usleep(20000); /* it has looked through its folder */
	bench->answered = false;
	start = clock_boot_ns();
	r = table_cache_ask(cache, file, 0, on_cached, bench);
	while (!r && !bench->answered) {
		uint64_t dispatched;

		poll(&ready, 1, -1);
		dispatched = clock_boot_ns();
		table_cache_dispatch(cache);
		bench->loop_ms = ms_since(dispatched);
	}
	*ret = ms_since(start);
	table_cache_destroy(cache);
	unwind_maps_unload(&bench->maps, IMAGE, &bench->loaded);
	return r ? r : bench->result;
}

static int keep(const struct bench *bench, const char *path, const struct file_identity *file,
		struct error *error)
{
	const struct table_record record = {0};
	struct table_cache *cache;
	struct strbuf bytes = {0};
	struct unwind_table table;
	int r = build(path, error, &table);

	if (r < 0)
		return r;
	r = open_cache(bench, error, &cache);
	if (!r) {
		unwind_table_encode(&table, &bytes);
		table_cache_keep(cache, file, &record, bytes.data, bytes.length);
		table_cache_destroy(cache);
	}
	strbuf_deinit(&bytes);
	unwind_table_deinit(&table);
	return r;
}

static int by_value(const void *a, const void *b)
{
	double one = *(const double *)a, other = *(const double *)b;

	return one < other ? -1 : one > other;
}

static double median(double values[ROUNDS])
{
	qsort(values, ROUNDS, sizeof(double), by_value);
	return values[ROUNDS / 2];
}

static int measure(struct bench *bench, const char *path, struct error *error)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	double built[ROUNDS], cached[ROUNDS], loop[ROUNDS], disk[ROUNDS];
	struct file_identity file;
	int r;

	if (fd < 0 || !file_identity_take(fd, &file))
		return error_set(error, -EINVAL, "no file whose table would be kept");
	r = keep(bench, path, &file, error);
	for (int i = 0; i < ROUNDS && !r; i++) {
		r = round_built(bench, path, error, &built[i]);
		if (!r)
			r = round_cached(bench, &file, false, error, &cached[i]);
		loop[i] = bench->loop_ms;
		if (!r)
			r = round_cached(bench, &file, true, error, &disk[i]);
	}
	if (r < 0)
		return error->code ? r : error_set(error, r, "%s", strerror(-r));
	printf("{\"file\": \"%s\", \"built_ms\": %.2f, \"cached_ms\": %.2f, \"loop_ms\": %.2f, "
	       "\"disk_ms\": %.2f}\n",
	       path, median(built), median(cached), median(loop), median(disk));
	return 0;
}

int main(int argc, char **argv)
{
	struct bench bench = {.folder = argc > 1 ? argv[1] : ""};
	int failed = 0, r = make_maps(&bench.maps);

	if (r < 0) {
		fprintf(stderr, "table_cache: no BPF maps (root?): %s\n", strerror(-r));
		return 77;
	}
	for (int i = 2; i < argc; i++) {
		struct error error = {0};

		if (measure(&bench, argv[i], &error) < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], error.text);
			failed = 1;
		}
	}
	return failed;
}
