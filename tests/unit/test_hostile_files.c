/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files that want to do harm, given to a real worker with perfd's own limits: each has
 * a verdict within 5 s and 512 MB, and another file's names are delayed by at most 1 s.
 * ../shared/crashers, if it is there, has files that abort or hang libdwarf 20210528.
 * HOSTILE_REPORT=1 in the environment has the figures of each written to stderr.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <gelf.h>
#include <lzma.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <zlib.h>
#include <zstd.h>

#include "daemon/base/log.h"
#include "daemon/config.h"
#include "tests/unit/suite.h"
#include "tests/unit/symbolizer_fixture.h"
#include "tests/unit/workshop.h"

#define CRASHERS "../shared/crashers"
#define VERDICT_NS (5 * NSEC_PER_SEC)
#define DELAY_NS NSEC_PER_SEC
#define MEMORY_KIB (512UL << 10)
#define BOMB_BYTES (768UL << 20)
#define HUGE_BYTES (10LL << 30)
/* A busy machine schedules late, and a killed worker's end is waited for. */
#define SLACK_NS (NSEC_PER_SEC / 2)
/* The sanitizers' builds are slower and larger: there it is only that all goes on. */
#if defined(__SANITIZE_ADDRESS__)
#define MEASURED false
#else
#define MEASURED true
#endif

static struct workshop shop;
static char good_path[256], victim_path[256];

static const char source[] =
	"#include <stdio.h>\n"
	"__attribute__((noinline)) int work(int a) { return a * a + getchar(); }\n"
	"int main(int argc, char **argv) { (void)argv; return work(argc); }\n";

/* ---- what is measured ---- */

struct trial {
	struct symbolizer *symbolizer;
	uint64_t begun, verdict_ns, delay_ns; /* the longest delay */
	unsigned long peak_kib; /* of a worker */
	unsigned verdicts;
	int names_error, unwind_error;
	struct answers good;
};

static void on_trial_names(void *context, int error, const char *text,
			   const struct symbolizer_name *names, size_t count)
{
	struct trial *trial = context;

	(void)text;
	(void)names;
	(void)count;
	trial->names_error = error;
	trial->verdicts++;
}

static void on_trial_unwind(void *context, int error, const char *text, const void *table,
			    size_t size)
{
	struct trial *trial = context;

	(void)text;
	(void)table;
	(void)size;
	trial->unwind_error = error;
	trial->verdicts++;
}

static void look_at(struct trial *trial, int pid)
{
	char path[64], line[128];
	unsigned long kib;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = pid ? fopen(path, "re") : NULL;
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "VmHWM: %lu", &kib) == 1 && kib > trial->peak_kib)
			trial->peak_kib = kib;
	}
	if (file)
		fclose(file);
}

static void turn(struct trial *trial)
{
	struct pollfd ready = {.fd = symbolizer_fd(trial->symbolizer), .events = POLLIN};
	struct symbolizer_stats stats;

	poll(&ready, 1, 5);
	symbolizer_get_stats(trial->symbolizer, &stats);
	look_at(trial, stats.pid);
	look_at(trial, stats.slow_pid);
	symbolizer_dispatch(trial->symbolizer);
	if (trial->verdicts == 2 && !trial->verdict_ns)
		trial->verdict_ns = clock_boot_ns() - trial->begun;
}

/* The names of another file, again and again until there is a verdict. */
static void ask_others(struct trial *trial)
{
	uint64_t offset = 0x1150, asked;

	do {
		trial->good = (struct answers){0};
		asked = clock_boot_ns();
		ck_assert_int_eq(
			symbolizer_names(trial->symbolizer, 2, &offset, 1, on_names, &trial->good),
			0);
		while (!trial->good.total) {
			turn(trial);
			ck_assert_uint_lt(clock_boot_ns() - asked, PATIENCE_NS);
		}
		ck_assert_msg(!trial->good.error, "the good file: %s", trial->good.text);
		if (clock_boot_ns() - asked > trial->delay_ns)
			trial->delay_ns = clock_boot_ns() - asked;
	} while (trial->verdicts < 2);
}

static struct trial try(const char *path)
{
	struct symbolizer_config limits = plain;
	uint64_t offsets[64];
	struct config config;
	struct trial trial = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	config_init(&config);
	limits.memory_bytes = config.worker_memory_bytes;
	limits.deadline_ns = config.worker_deadline_ns;
	limits.images_max = config.worker_images_max;
	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < 64; i++)
		offsets[i] = 0x40 + i * 0x111;
	trial.symbolizer = create(&limits);
	ck_assert_int_eq(add(trial.symbolizer, 2, open(good_path, O_RDONLY | O_CLOEXEC), NULL), 0);
	trial.begun = clock_boot_ns();
	ck_assert_int_eq(symbolizer_add_image(trial.symbolizer, 1, fd, NULL, NULL), 0);
	ck_assert_int_eq(symbolizer_names(trial.symbolizer, 1, offsets, 64, on_trial_names, &trial),
			 0);
	ck_assert_int_eq(symbolizer_unwind(trial.symbolizer, 1, 0, on_trial_unwind, &trial), 0);
	ask_others(&trial);
	symbolizer_destroy(trial.symbolizer);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	if (getenv("HOSTILE_REPORT"))
		fprintf(stderr, "%-28s verdict %6.3f s, peak %4lu MiB, delay %5.3f s, %d, %d\n",
			strrchr(path, '/') + 1, (double)trial.verdict_ns / 1e9,
			trial.peak_kib >> 10, (double)trial.delay_ns / 1e9, trial.names_error,
			trial.unwind_error);
	return trial;
}

static void harmless(const char *path)
{
	struct trial trial = try(path);

	if (!MEASURED)
		return;
	ck_assert_msg(trial.verdict_ns < VERDICT_NS + SLACK_NS, "%s: a verdict after %.3f s", path,
		      (double)trial.verdict_ns / 1e9);
	ck_assert_msg(trial.peak_kib < MEMORY_KIB, "%s: %lu KiB of memory", path, trial.peak_kib);
	ck_assert_msg(trial.delay_ns < DELAY_NS + SLACK_NS, "%s: others were delayed by %.3f s",
		      path, (double)trial.delay_ns / 1e9);
}

/* ---- files ---- */

START_TEST(crashers)
{
	DIR *folder = opendir(CRASHERS);
	const struct dirent *entry;
	unsigned count = 0;
	char path[512];

	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), CRASHERS "/%s", entry->d_name);
		harmless(path);
		count++;
	}
	closedir(folder);
	ck_assert_uint_gt(count, 0);
}
END_TEST

static void patch(const char *path, off_t at, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, size, at), (ssize_t)size);
	close(fd);
}

static void victim(const char *name, char path[256])
{
	uint8_t *bytes;
	size_t size;

	workshop_path(&shop, name, path);
	bytes = workshop_read(victim_path, &size);
	workshop_write(path, bytes, size);
	free(bytes);
}

/* Puts other bytes and flags in place of a section's. */
static void replace_section(const char *path, const char *name, const void *bytes, size_t size,
			    uint64_t flags)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	Elf *elf = elf_begin(fd, ELF_C_RDWR, NULL);
	Elf_Scn *scn = NULL;
	size_t strings;
	bool found = false;

	ck_assert_ptr_nonnull(elf);
	ck_assert_int_eq(elf_getshdrstrndx(elf, &strings), 0);
	while (!found && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr header;
		Elf_Data *data;

		gelf_getshdr(scn, &header);
		if (strcmp(elf_strptr(elf, strings, header.sh_name), name))
			continue;
		data = elf_getdata(scn, NULL);
		data->d_buf = (void *)(uintptr_t)bytes;
		data->d_size = header.sh_size = size;
		data->d_type = ELF_T_BYTE;
		header.sh_flags |= flags;
		gelf_update_shdr(scn, &header);
		elf_flagdata(data, ELF_C_SET, ELF_F_DIRTY);
		found = true;
	}
	ck_assert(found);
	ck_assert_int_gt(elf_update(elf, ELF_C_WRITE), 0);
	elf_end(elf);
	close(fd);
}

/* Many zeros, packed by zlib, behind a header that tells `says` of them. */
static uint8_t *zlib_bomb(uint64_t says, size_t *ret_size)
{
	static uint8_t zeros[1 << 20];
	size_t room = (BOMB_BYTES >> 8) + (1 << 20);
	uint8_t *bomb = malloc(room);
	z_stream stream = {0};

	*(Elf64_Chdr *)bomb = (Elf64_Chdr){ELFCOMPRESS_ZLIB, 0, says, 1};
	ck_assert_int_eq(deflateInit(&stream, 1), Z_OK);
	stream.next_out = bomb + sizeof(Elf64_Chdr);
	stream.avail_out = (uInt)(room - sizeof(Elf64_Chdr));
	for (size_t done = 0; done < BOMB_BYTES; done += sizeof(zeros)) {
		stream.next_in = zeros;
		stream.avail_in = sizeof(zeros);
		ck_assert_int_eq(deflate(&stream, Z_NO_FLUSH), Z_OK);
	}
	ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
	*ret_size = sizeof(Elf64_Chdr) + stream.total_out;
	deflateEnd(&stream);
	return bomb;
}

START_TEST(a_zip_bomb)
{
	static const uint64_t says[] = {BOMB_BYTES, 1ULL << 40, 16};
	static const char *const names[] = {".debug_info", ".debug_line", ".debug_abbrev"};
	char path[256];
	size_t size;
	uint8_t *bomb = zlib_bomb(says[_i], &size);

	for (size_t i = 0; i < 3; i++) {
		victim("zip-bomb", path);
		replace_section(path, names[i], bomb, size, SHF_COMPRESSED);
		harmless(path);
	}
	free(bomb);
}
END_TEST

START_TEST(a_zstd_bomb)
{
	uint8_t *zeros = calloc(1, BOMB_BYTES);
	size_t room = ZSTD_compressBound(BOMB_BYTES), size;
	uint8_t *bomb = malloc(room);
	char path[256];

	size = ZSTD_compress(bomb + sizeof(Elf64_Chdr), room - sizeof(Elf64_Chdr), zeros,
			     BOMB_BYTES, 1);
	ck_assert(!ZSTD_isError(size));
	*(Elf64_Chdr *)bomb = (Elf64_Chdr){2 /* zstd */, 0, BOMB_BYTES, 1};
	victim("zstd-bomb", path);
	replace_section(path, ".debug_info", bomb, sizeof(Elf64_Chdr) + size, SHF_COMPRESSED);
	free(zeros);
	free(bomb);
	harmless(path);
}
END_TEST

START_TEST(an_xz_bomb)
{
	static uint8_t zeros[1 << 20];
	char path[256], bomb_path[256], command[2048];
	size_t room = BOMB_BYTES >> 8;
	uint8_t *bomb = malloc(room);
	lzma_stream stream = LZMA_STREAM_INIT;

	ck_assert_int_eq(lzma_easy_encoder(&stream, 0, LZMA_CHECK_CRC32), LZMA_OK);
	stream.next_out = bomb;
	stream.avail_out = room;
	for (size_t done = 0; done < BOMB_BYTES; done += sizeof(zeros)) {
		stream.next_in = zeros;
		stream.avail_in = sizeof(zeros);
		ck_assert_int_eq(lzma_code(&stream, LZMA_RUN), LZMA_OK);
	}
	ck_assert_int_eq(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
	workshop_path(&shop, "bomb.xz", bomb_path);
	workshop_write(bomb_path, bomb, stream.total_out);
	lzma_end(&stream);
	free(bomb);
	workshop_path(&shop, "xz-bomb", path);
	snprintf(command, sizeof(command),
		 "strip -o '%s.s' '%s' && objcopy --add-section .gnu_debugdata='%s' '%s.s' '%s'",
		 path, victim_path, bomb_path, path, path);
	ck_assert_int_eq(system(command), 0);
	harmless(path);
}
END_TEST

/* For each section: what is to be written into its header. */
typedef void rewrite(Elf64_Shdr *header, size_t at);

static void rewrite_sections(const char *path, rewrite *how)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	Elf64_Ehdr file;

	ck_assert_int_eq(pread(fd, &file, sizeof(file), 0), sizeof(file));
	for (size_t i = 1; i < file.e_shnum; i++) {
		off_t at = (off_t)(file.e_shoff + i * sizeof(Elf64_Shdr));
		Elf64_Shdr header;

		ck_assert_int_eq(pread(fd, &header, sizeof(header), at), sizeof(header));
		how(&header, i);
		ck_assert_int_eq(pwrite(fd, &header, sizeof(header), at), sizeof(header));
	}
	close(fd);
}

static void huge_tables(Elf64_Shdr *header, size_t at)
{
	(void)at;
	if (header->sh_type == SHT_SYMTAB || header->sh_type == SHT_STRTAB)
		header->sh_size = 9ULL << 30;
}

static void huge_debug(Elf64_Shdr *header, size_t at)
{
	(void)at;
	if (header->sh_type == SHT_PROGBITS && !header->sh_flags)
		header->sh_size = 9ULL << 30;
}

static void huge_code(Elf64_Shdr *header, size_t at)
{
	(void)at;
	if (header->sh_type == SHT_PROGBITS && header->sh_flags & SHF_ALLOC)
		header->sh_size = 9ULL << 30;
}

static void one_over_another(Elf64_Shdr *header, size_t at)
{
	(void)at;
	header->sh_offset = 64;
	header->sh_size = 4096;
}

static void in_circles(Elf64_Shdr *header, size_t at)
{
	header->sh_link = header->sh_info = (Elf64_Word)at;
}

START_TEST(damaged_section_headers)
{
	static const struct {
		const char *name;
		rewrite *how;
		off_t size; /* 0: as it is */
	} cases[] = {
		{"huge-tables", huge_tables, HUGE_BYTES},
		{"huge-debug", huge_debug, HUGE_BYTES},
		{"huge-code", huge_code, HUGE_BYTES},
		{"overlapping", one_over_another, 0},
		{"cyclic", in_circles, 0},
	};
	char path[256];

	victim(cases[_i].name, path);
	rewrite_sections(path, cases[_i].how);
	if (cases[_i].size)
		ck_assert_int_eq(truncate(path, cases[_i].size), 0);
	harmless(path);
}
END_TEST

START_TEST(other_kinds_of_machines)
{
	static const struct {
		const char *name;
		off_t at;
		uint8_t value;
	} cases[] = {{"wrong-endian", EI_DATA, ELFDATA2MSB},
		     {"32-bit", EI_CLASS, ELFCLASS32},
		     {"no-class", EI_CLASS, 77},
		     {"other-machine", 18, 183}};
	char path[256];

	victim(cases[_i].name, path);
	patch(path, cases[_i].at, &cases[_i].value, 1);
	harmless(path);
}
END_TEST

START_TEST(random_bytes)
{
	uint8_t bytes[65536];
	uint64_t state = 88172645463325252ULL + (uint64_t)_i;
	char path[256];

	for (size_t i = 0; i < sizeof(bytes); i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		bytes[i] = (uint8_t)state;
	}
	if (_i)
		memcpy(bytes, ELFMAG "\2\1\1", 7);
	workshop_path(&shop, "random", path);
	workshop_write(path, bytes, sizeof(bytes));
	harmless(path);
}
END_TEST

START_TEST(a_sparse_file)
{
	char path[256];

	workshop_path(&shop, "sparse", path);
	workshop_write(path, "", 0);
	ck_assert_int_eq(truncate(path, HUGE_BYTES), 0);
	harmless(path);
	patch(path, 0, ELFMAG "\2\1\1", 7);
	harmless(path);
}
END_TEST

static atomic_bool cutting;

/* The file becomes short and whole again. */
static void *cut(void *context)
{
	const char *path = context;
	uint8_t *bytes;
	size_t size;

	bytes = workshop_read(victim_path, &size);
	while (cutting) {
		for (size_t part = 1; part < 16 && cutting; part++) {
			(void)!truncate(path, (off_t)(size * part / 16));
			patch(path, 0, bytes, size);
		}
	}
	free(bytes);
	return NULL;
}

START_TEST(a_file_that_is_cut_while_it_is_read)
{
	pthread_t thread;
	char path[256];

	victim("cut", path);
	cutting = true;
	ck_assert_int_eq(pthread_create(&thread, NULL, cut, path), 0);
	for (int i = 0; i < 30; i++)
		harmless(path);
	cutting = false;
	pthread_join(thread, NULL);
}
END_TEST

static void build(void)
{
	workshop_build(&shop, "good", ".c", source, "-g -O1", good_path);
	workshop_build(&shop, "victim", ".c", source, "-g -O1", victim_path);
}

int main(int argc, char **argv)
{
	Suite *suite = suite_create("hostile_files");
	TCase *tcase = tcase_create("hostile_files");
	bool compiler = workshop_has_compiler();
	int failed;

	symbolizer_be_worker(argc, argv);
	log_init("test_hostile_files", LOG_LEVEL_ERROR);
	elf_version(EV_CURRENT);
	if (!compiler) {
		puts("# SKIP the suite: needs a compiler for its files");
		return 77;
	}
	workshop_open(&shop);
	tcase_add_unchecked_fixture(tcase, build, NULL);
	tcase_set_timeout(tcase, 400);
	workshop_add(tcase, !access(CRASHERS, R_OK), CRASHERS " is not there", crashers);
	tcase_add_loop_test(tcase, a_zip_bomb, 0, 3);
	tcase_add_test(tcase, a_zstd_bomb);
	tcase_add_test(tcase, an_xz_bomb);
	tcase_add_loop_test(tcase, damaged_section_headers, 0, 5);
	tcase_add_loop_test(tcase, other_kinds_of_machines, 0, 4);
	tcase_add_loop_test(tcase, random_bytes, 0, 2);
	tcase_add_test(tcase, a_sparse_file);
	tcase_add_test(tcase, a_file_that_is_cut_while_it_is_read);
	suite_add_tcase(suite, tcase);
	failed = suite_main(suite);
	workshop_close(&shop);
	return failed;
}
