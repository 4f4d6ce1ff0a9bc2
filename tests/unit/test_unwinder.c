/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which tables the kernel side gets, and when: asked for once, from the cache if
 * it has them, else of a real worker; evicted by use; and kept on disk only as
 * what they are. A fake source takes the tables.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>

#include "daemon/unwinder.h"
#include "symbolizer/probe_points.h"
#include "tests/unit/suite.h"
#include "tests/unit/symbolizer_fixture.h"
#include "tests/unit/table_fixture.h"

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"
#define LOADER "/lib64/ld-linux-x86-64.so.2"
#define SHELL "/bin/sh"
#define LIMIT (16u << 20)
#define IMAGES 16

/* ---- a source that remembers ---- */

static struct {
	uint32_t rows[IMAGES]; /* loaded; 0: none */
	unsigned loaded, unloaded, without;
	uint32_t order[64];
	uint32_t room; /* tables that fit */
	int fails_with;
} kernel;

static uint32_t loaded_now(void)
{
	uint32_t count = 0;

	for (int i = 0; i < IMAGES; i++)
		count += kernel.rows[i] != 0;
	return count;
}

static int load_table(struct source *source, uint32_t image, const struct unwind_table *table)
{
	(void)source;
	ck_assert_uint_lt(image, IMAGES);
	if (kernel.fails_with)
		return kernel.fails_with;
	if (loaded_now() >= kernel.room)
		return -ENOSPC;
	ck_assert_uint_eq(kernel.rows[image], 0);
	kernel.rows[image] = table->row_count;
	kernel.order[kernel.loaded++] = image;
	return 0;
}

static void unload_table(struct source *source, uint32_t image)
{
	(void)source;
	ck_assert_uint_ne(kernel.rows[image], 0);
	kernel.rows[image] = 0;
	kernel.unloaded++;
}

static void no_table(struct source *source, uint32_t image)
{
	(void)source;
	ck_assert_uint_eq(kernel.rows[image], 0);
	kernel.without++;
}

static const struct source_ops ops = {.name = "fake",
				      .load_table = load_table,
				      .unload_table = unload_table,
				      .no_table = no_table};
static struct source source = {.ops = &ops};

/* ---- all that the unwinder stands on ---- */

static struct config config;
static struct resolver resolver;
static struct image_table images;
static struct stack_table stacks;
static struct process_table processes;
static struct unwinder unwinder;
static struct table_cache *cache;
static uint32_t worker_images_max; /* 0: as it is by default */

static void on_opened(void *context, struct image *image)
{
	(void)context;
	unwinder_opened(&unwinder, image);
}

static void start(bool with_cache)
{
	struct error error = {0};

	memset(&kernel, 0, sizeof(kernel));
	kernel.room = IMAGES;
	config_init(&config);
	if (worker_images_max)
		config.worker_images_max = worker_images_max;
	image_table_init(&images, IMAGES - 1, 8);
	stack_table_init(&stacks, 1024);
	process_table_init(&processes, 64, 0);
	resolver = (struct resolver){.stacks = &stacks,
				     .images = &images,
				     .processes = &processes,
				     .on_opened = on_opened};
	ck_assert_msg(!resolver_init(&resolver, &config, "/proc/self/exe", &error), "%s",
		      error.text);
	cache = NULL;
	if (with_cache)
		ck_assert_msg(!table_cache_create(table_folder, LIMIT, "/bin/sh", &error, &cache),
			      "%s", error.text);
	unwinder_init(&unwinder, &source, &resolver, cache);
}

static void stop(void)
{
	table_cache_destroy(cache);
	unwinder_deinit(&unwinder);
	resolver_deinit(&resolver);
	process_table_deinit(&processes);
	stack_table_deinit(&stacks);
	image_table_deinit(&images);
}

static void restart(bool with_cache)
{
	stop();
	start(with_cache);
}

static uint32_t add_image(const char *path, const uint8_t *build_id, uint8_t build_id_size)
{
	union {
		struct abi_mmap mmap;
		uint8_t bytes[sizeof(struct abi_mmap) + 256];
	} out = {.mmap = {.start = 4096, .length = 4096, .build_id_size = build_id_size}};

	if (build_id)
		memcpy(out.mmap.build_id, build_id, build_id_size);
	snprintf(out.mmap.path, 256, "%s", path);
	return image_table_add(&images, &out.mmap);
}

static void turn(void)
{
	struct pollfd ready[] = {
		{.fd = symbolizer_fd(resolver.symbolizer), .events = POLLIN},
		{.fd = cache ? table_cache_fd(cache) : -1, .events = POLLIN},
		{.fd = openers_fd(resolver.openers), .events = POLLIN},
	};

	poll(ready, 3, 100);
	openers_dispatch(resolver.openers);
	if (cache)
		table_cache_dispatch(cache);
	symbolizer_dispatch(resolver.symbolizer);
}

static enum table_state state_of(uint32_t image)
{
	return unwinder.tables.items[image].state;
}

static void settle(uint32_t image)
{
	uint64_t until = clock_boot_ns() + PATIENCE_NS;

	while (state_of(image) == TABLE_ASKED) {
		ck_assert(clock_boot_ns() < until);
		turn();
	}
}

static uint32_t want(const char *path)
{
	uint32_t image = add_image(path, NULL, 0);

	unwinder_missed(&unwinder, image);
	settle(image);
	return image;
}

static struct table_cache_stats cache_stats(void)
{
	struct table_cache_stats stats;

	table_cache_get_stats(cache, &stats);
	return stats;
}

/* Requests that the worker was asked. */
static uint64_t asked(void)
{
	struct symbolizer_stats stats;

	symbolizer_get_stats(resolver.symbolizer, &stats);
	return stats.requests;
}

/* ---- tests ---- */

START_TEST(asked_for_once)
{
	uint32_t image = want(LIBC);

	ck_assert_int_eq(state_of(image), TABLE_LOADED);
	ck_assert_uint_gt(kernel.rows[image], 1000);
	ck_assert_uint_eq(unwinder.rows, kernel.rows[image]);
	unwinder_missed(&unwinder, image);
	unwinder_missed(&unwinder, image);
	turn();
	ck_assert_uint_eq(kernel.loaded, 1);
	ck_assert_uint_eq(unwinder.loaded, 1);
	unwinder_missed(&unwinder, IMAGE_NONE);
	unwinder_missed(&unwinder, IMAGE_KERNEL);
	ck_assert_uint_lt(unwinder.tables.count, IMAGES);
}
END_TEST

/* Where the budget is used up, one is made now and then, and the others wait; what somebody
 * attached to needs does not. */
START_TEST(tables_can_wait)
{
	uint32_t loader, libc;

	unwinder_hold(&unwinder, true);
	loader = want(LOADER);
	ck_assert_int_eq(state_of(loader), TABLE_LOADED);
	libc = add_image(LIBC, NULL, 0);
	unwinder_missed(&unwinder, libc);
	unwinder_missed(&unwinder, libc);
	ck_assert_int_eq(state_of(libc), TABLE_NONE);
	ck_assert_uint_eq(unwinder.put_off, 2);
	unwinder_hold(&unwinder, false);
	unwinder_missed(&unwinder, libc);
	ck_assert_int_eq(state_of(libc), TABLE_ASKED);
	settle(libc);
	ck_assert_int_eq(state_of(libc), TABLE_LOADED);
}
END_TEST

START_TEST(a_file_that_has_none)
{
	uint32_t text = want("/etc/passwd"), none;

	ck_assert_int_eq(state_of(text), TABLE_FAILED);
	ck_assert_uint_eq(unwinder.failed, 1);
	ck_assert_uint_eq(kernel.without, 1);
	/* One that cannot be opened may be reached by way of another process. */
	none = want("/no/such/file");
	ck_assert_int_eq(state_of(none), TABLE_NONE);
	ck_assert_uint_eq(kernel.loaded, 0);
}
END_TEST

/* A file that was let go of while its table waited: that says nothing of it. */
START_TEST(a_table_that_failed_is_asked_for_again)
{
	uint32_t image = add_image(LIBC, NULL, 0);
	uint64_t until = clock_boot_ns() + PATIENCE_NS;

	want(LOADER); /* the worker is there */
	resolver_open(&resolver, image_table_get(&images, image));
	while (image_table_get(&images, image)->state == IMAGE_OPENING) {
		ck_assert(clock_boot_ns() < until);
		turn();
	}
	unwinder_missed(&unwinder, image);
	ck_assert_int_eq(state_of(image), TABLE_ASKED);
	symbolizer_drop_image(resolver.symbolizer, image);
	settle(image);
	ck_assert_int_eq(state_of(image), TABLE_NONE);
	ck_assert_uint_eq(kernel.without, 0);
	unwinder_missed(&unwinder, image);
	settle(image);
	ck_assert_int_eq(state_of(image), TABLE_LOADED);
	ck_assert_uint_gt(kernel.rows[image], 1000);
}
END_TEST

struct told {
	unsigned times;
	int error;
	size_t points;
};

static void on_probes(void *context, int error, const char *text, const struct probe_points *points)
{
	struct told *told = context;

	(void)text;
	told->times++;
	told->error = error;
	told->points = error ? 0 : points->count;
}

/* Until the resolver says something else than that it does not have the file yet. */
static int ask_probes(uint32_t image, struct told *told)
{
	uint64_t until = clock_boot_ns() + PATIENCE_NS;
	unsigned times = told->times;
	int r;

	while ((r = resolver_ask_probes(&resolver, image, on_probes, told)) == -EAGAIN) {
		ck_assert(clock_boot_ns() < until);
		turn();
	}
	while (!r && told->times == times) {
		ck_assert(clock_boot_ns() < until);
		turn();
	}
	return r;
}

static void have_all(const char *const *paths, int count)
{
	for (int i = 0; i < count; i++) {
		uint32_t image = add_image(paths[i], NULL, 0);
		struct told told = {0};

		while (told.times < 2 && (!told.times || told.error))
			ck_assert_int_eq(ask_probes(image, &told), 0);
		ck_assert_int_eq(told.error, 0);
	}
}

/* The symbolizer keeps four descriptors: the file used least was closed, and is opened again
 * for whoever asks for it. */
START_TEST(a_file_that_was_let_go_of_is_opened_again)
{
	static const char *const others[] = {LOADER, SHELL, "/usr/bin/env", "/bin/ls"};
	static const char *const first[] = {LIBC};
	struct told told = {0};
	uint32_t libc;

	stop();
	worker_images_max = 1;
	start(false);
	worker_images_max = 0;
	have_all(first, 1);
	libc = add_image(LIBC, NULL, 0);
	have_all(others, 4);
	ck_assert_int_eq(ask_probes(libc, &told), 0);
	ck_assert_int_eq(told.error, -ESTALE);
	ck_assert(resolver_is_momentary(told.error));
	ck_assert_int_eq(ask_probes(libc, &told), 0);
	ck_assert_int_eq(told.error, 0);
	ck_assert_uint_gt(told.points, 3);

	have_all(others, 4);
	unwinder_missed(&unwinder, libc);
	settle(libc);
	ck_assert_int_eq(state_of(libc), TABLE_NONE);
	unwinder_missed(&unwinder, libc);
	settle(libc);
	ck_assert_int_eq(state_of(libc), TABLE_LOADED);
	ck_assert_int_eq(ask_probes(add_image("//anon", NULL, 0), &told), -ENODATA);
}
END_TEST

START_TEST(the_least_used_goes)
{
	uint32_t libc, loader, shell;

	kernel.room = 2;
	libc = want(LIBC);
	loader = want(LOADER);
	unwinder_used(&unwinder, libc, 20);
	unwinder_used(&unwinder, loader, 10);
	shell = want(SHELL);
	ck_assert_int_eq(state_of(shell), TABLE_LOADED);
	ck_assert_int_eq(state_of(loader), TABLE_NONE);
	ck_assert_int_eq(state_of(libc), TABLE_LOADED);
	ck_assert_uint_eq(unwinder.evicted, 1);
	ck_assert_uint_eq(unwinder.rows, kernel.rows[libc] + kernel.rows[shell]);
	unwinder_missed(&unwinder, loader); /* and it comes back */
	settle(loader);
	ck_assert_int_eq(state_of(loader), TABLE_LOADED);
	ck_assert_uint_eq(unwinder.evicted, 2);
}
END_TEST

START_TEST(no_room_for_even_one)
{
	uint32_t image;

	kernel.room = 0;
	image = want(LIBC);
	ck_assert_int_eq(state_of(image), TABLE_FAILED);
	kernel.room = 5;
	kernel.fails_with = -EPERM;
	image = want(LOADER);
	ck_assert_int_eq(state_of(image), TABLE_FAILED);
	ck_assert_uint_eq(unwinder.failed, 2);
	ck_assert_uint_eq(unwinder.rows, 0);
}
END_TEST

/* The program, the C library and the loader, however late they were seen; then
 * what most walks missed. */
START_TEST(the_most_urgent_first)
{
	struct process process = {.maps = mapping_set_create()};
	uint32_t missed_once = add_image("/usr/bin/env", NULL, 0);
	uint32_t missed_twice = add_image("/bin/ls", NULL, 0);
	uint32_t library = add_image("/lib/x86_64-linux-gnu/libm.so.6", NULL, 0);
	uint32_t program = add_image(SHELL, NULL, 0), libc = add_image(LIBC, NULL, 0);
	uint32_t mapped[] = {program, library, libc};

	for (uint64_t i = 0; i < 3; i++) {
		struct mapping mapping = {
			.start = 4096 * (i + 1), .end = 4096 * (i + 2), .image = mapped[i]};

		ck_assert_int_eq(mapping_set_insert(process.maps, &mapping), 0);
	}
	/* The worker takes what is there: all files are. */
	for (uint32_t i = 1; i <= images.images.count; i++)
		resolver_open(&resolver, image_table_get(&images, i));
	while (openers_pending(resolver.openers))
		turn();
	unwinder_missed(&unwinder, missed_once);
	unwinder_missed(&unwinder, missed_twice);
	unwinder_missed(&unwinder, missed_twice);
	unwinder_need_all(&unwinder, &process);
	ck_assert(unwinder_waits(&unwinder, &process));
	unwinder_need_all(&unwinder, &process); /* more often is no more */
	for (size_t i = 0; i < 3; i++)
		settle(mapped[i]);
	ck_assert(!unwinder_waits(&unwinder, &process));
	settle(missed_once);
	settle(missed_twice);
	ck_assert_uint_eq(kernel.loaded, 5);
	ck_assert_uint_eq(kernel.order[0], program);
	ck_assert_uint_eq(kernel.order[1], libc);
	ck_assert_uint_eq(kernel.order[2], library);
	ck_assert_uint_eq(kernel.order[3], missed_twice);
	ck_assert_uint_eq(kernel.order[4], missed_once);
	mapping_set_unref(process.maps);
}
END_TEST

START_TEST(from_the_cache_after_a_restart)
{
	uint32_t image, rows;

	restart(true);
	image = want(LIBC);
	rows = kernel.rows[image];
	ck_assert_uint_gt(rows, 1000);
	ck_assert_uint_eq(cache_stats().misses, 1);
	ck_assert_uint_eq(asked(), 2); /* the file, and its table */
	restart(true);
	image = want(LIBC);
	ck_assert_uint_eq(kernel.rows[image], rows);
	ck_assert_uint_eq(cache_stats().hits, 1);
	ck_assert_uint_eq(asked(), 0);
}
END_TEST

/* Code without call frame information: found out once. */
START_TEST(a_reason_is_kept_too)
{
	struct file_identity identity;
	struct table_record record = {.error = -ENODATA, .text = "none"};
	int fd = open(SHELL, O_RDONLY | O_CLOEXEC);
	uint32_t image;

	restart(true);
	ck_assert(file_identity_take(fd, &identity));
	close(fd);
	table_cache_keep(cache, &identity, &record, NULL, 0);
	restart(true);
	image = want(SHELL);
	ck_assert_int_eq(state_of(image), TABLE_FAILED);
	ck_assert_uint_eq(cache_stats().hits, 1);
	ck_assert_uint_eq(asked(), 0);
	ck_assert_uint_eq(unwinder.failed, 1);
	ck_assert_uint_eq(kernel.without, 1);
}
END_TEST

/* Somebody's file says of itself that it is the C library: in the cache it stays
 * what it is, a file of its own. */
START_TEST(a_forged_build_id)
{
	uint64_t questions = 0;
	uint32_t image, rows;
	struct image *file;

	restart(true);
	image = want(LIBC);
	rows = kernel.rows[image];
	file = image_table_get(&images, image);
	ck_assert_uint_gt(file->build_id_size, 0);
	restart(true);
	/* The event names a build id that the file behind the path does not have:
	 * what is kept of that file is not taken for the mapping. */
	image = add_image(LIBC, (const uint8_t *)"another build", 13);
	unwinder_missed(&unwinder, image);
	settle(image);
	ck_assert_uint_eq(cache_stats().hits, 1);
	/* The right one may be reached yet, but this one is not opened for ever. */
	for (int tries = 0; tries < 10; tries++) {
		questions = asked();
		unwinder_missed(&unwinder, image);
		settle(image);
	}
	ck_assert_uint_eq(asked(), questions);
	ck_assert_int_ne(state_of(image), TABLE_LOADED);
	ck_assert_uint_eq(kernel.rows[image], 0);
	restart(true);
	image = want(LIBC);
	ck_assert_uint_eq(kernel.rows[image], rows);
}
END_TEST

START_TEST(a_young_file_is_not_kept)
{
	char path[128], command[512];
	uint32_t image;

	restart(true);
	snprintf(path, sizeof(path), "%s/young", table_folder);
	snprintf(command, sizeof(command), "cp /bin/ls %s", path);
	ck_assert_int_eq(system(command), 0);
	image = want(path);
	ck_assert_int_eq(state_of(image), TABLE_LOADED);
	ck_assert_uint_eq(cache_stats().misses, 0);
	table_cache_destroy(cache);
	cache = NULL;
	snprintf(command, sizeof(command), "! ls %s/*.table >/dev/null 2>&1", table_folder);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

static void setup(void)
{
	table_folder_setup();
	start(false);
}

static void teardown(void)
{
	stop();
	table_folder_teardown();
}

int main(int argc, char **argv)
{
	Suite *suite = suite_create("unwinder");
	TCase *tcase = tcase_create("tables");
	bool debian = !access(LIBC, R_OK) && !access(LOADER, R_OK);

	symbolizer_be_worker(argc, argv);
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	workshop_add(tcase, debian, "needs Debian's libc", asked_for_once);
	workshop_add(tcase, debian, "needs Debian's libc", tables_can_wait);
	tcase_add_test(tcase, a_file_that_has_none);
	workshop_add(tcase, debian, "needs Debian's libc", a_table_that_failed_is_asked_for_again);
	workshop_add(tcase, debian, "needs Debian's libc",
		     a_file_that_was_let_go_of_is_opened_again);
	workshop_add(tcase, debian, "needs Debian's libc", the_least_used_goes);
	workshop_add(tcase, debian, "needs Debian's libc", no_room_for_even_one);
	workshop_add(tcase, debian, "needs Debian's libc", the_most_urgent_first);
	workshop_add(tcase, debian, "needs Debian's libc", from_the_cache_after_a_restart);
	tcase_add_test(tcase, a_reason_is_kept_too);
	workshop_add(tcase, debian, "needs Debian's libc", a_forged_build_id);
	tcase_add_test(tcase, a_young_file_is_not_kept);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
