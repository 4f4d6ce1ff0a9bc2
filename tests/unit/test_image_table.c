/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files under one id each, however they are told of; and that a file which only
 * says that it is another one does not get that one's place.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "daemon/image_key.h"
#include "daemon/image_table.h"
#include "tests/unit/suite.h"
#include "tests/unit/workshop.h"

#define ROOTS "/bin/sh"
#define LENGTH 4096
#define GONE 0x3fffffff /* no process */

static struct workshop shop;
static struct image_table table;
static const uint8_t build_id[20] = "an id of twenty byte";

union event {
	struct abi_mmap mmap;
	uint8_t bytes[sizeof(struct abi_mmap) + ABI_PATH_MAX];
};

static union event event_of(const char *path, uint32_t pid, uint64_t start, bool with_build_id)
{
	union event event = {.mmap = {.pid = pid, .start = start, .length = LENGTH}};

	snprintf(event.mmap.path, ABI_PATH_MAX, "%s", path);
	if (with_build_id) {
		event.mmap.build_id_size = sizeof(build_id);
		memcpy(event.mmap.build_id, build_id, sizeof(build_id));
	}
	return event;
}

/* This process maps the file, and the event tells of it. */
static union event map(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const void *start;

	ck_assert_int_ge(fd, 0);
	start = mmap(NULL, LENGTH, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	ck_assert_ptr_ne(start, MAP_FAILED);
	close(fd);
	return event_of(path, (uint32_t)getpid(), (uint64_t)(uintptr_t)start, true);
}

/* What the resolver does with it. */
static struct image *take(const union event *event)
{
	uint32_t id = image_table_map(&table, &event->mmap);
	struct image *image = image_table_get(&table, id);

	ck_assert_ptr_nonnull(image);
	ck_assert_uint_eq(image->id, id);
	if (image_table_wants_file(image)) {
		struct opener_request wanted;
		struct opener_file file;
		struct error error;

		image->use = (struct image_use){event->mmap.pid, event->mmap.start,
						event->mmap.start + event->mmap.length};
		image_table_opening(image, &wanted);
		ck_assert_int_eq(image->state, IMAGE_OPENING);
		if (opener_request_serve(&wanted, NULL, &error, &file) < 0)
			image_table_not_opened(&table, image, error.text);
		else
			image_table_opened(&table, image, &file);
	}
	return image;
}

static void close_file(struct image *image)
{
	int fd = image_table_hand_over(&table, image);

	ck_assert_int_ge(fd, 0);
	close(fd);
	image->state = IMAGE_KNOWN;
}

/* A file of nobody's that says it has the same build id. */
static void forge(const char *name, char path[256])
{
	workshop_path(&shop, name, path);
	workshop_write(path, "not what it says", 16);
	ck_assert_int_eq(chmod(path, 0755), 0);
	ck_assert_int_eq(chown(path, 65534, 65534), 0);
}

START_TEST(one_file_however_it_is_told)
{
	union event by_build_id = map(ROOTS), by_path = event_of(ROOTS, GONE, 0, false);
	struct image *image = take(&by_build_id);

	ck_assert_int_eq(image->state, IMAGE_OPENED);
	ck_assert(image->roots);
	ck_assert_uint_eq(table.held, 1);
	ck_assert_ptr_eq(take(&by_build_id), image);
	by_path.mmap.inode = image->file_inode;
	by_path.mmap.dev_major = image->file_device >> 20;
	by_path.mmap.dev_minor = image->file_device & 0xfffff;
	ck_assert_ptr_eq(take(&by_path), image);
	ck_assert_uint_eq(table.images.count, 1);
}
END_TEST

START_TEST(known_by_its_inode_first)
{
	union event by_build_id = map(ROOTS), by_inode = by_build_id;
	struct image *image;
	struct stat st;

	ck_assert_int_eq(stat(ROOTS, &st), 0);
	by_inode.mmap.build_id_size = 0;
	by_inode.mmap.inode = st.st_ino;
	image = take(&by_inode);
	ck_assert_int_ge(image_table_hand_over(&table, image), 0);
	ck_assert_int_eq(image_table_ready(&table, image, build_id, sizeof(build_id)), 0);
	ck_assert_ptr_eq(take(&by_build_id), image);
}
END_TEST

/* The same, before anybody has read its build id: one file, one table, one name. */
START_TEST(known_by_its_inode_only)
{
	union event by_build_id = map(ROOTS), by_inode = by_build_id;
	struct image *image;
	struct stat st;

	ck_assert_int_eq(stat(ROOTS, &st), 0);
	by_inode.mmap.build_id_size = 0;
	by_inode.mmap.inode = st.st_ino;
	image = take(&by_inode);
	ck_assert_uint_eq(image->build_id_size, 0);
	ck_assert_ptr_eq(take(&by_build_id), image);
	ck_assert_uint_eq(image->build_id_size, sizeof(build_id));
	ck_assert_uint_eq(table.images.count, 1);
	/* The worker finds another build id in it: then it is not what was mapped. */
	ck_assert_int_eq(image_table_ready(&table, image, (const uint8_t *)"other", 5), -EINVAL);
}
END_TEST

START_TEST(another_build_is_no_match)
{
	union event event = map(ROOTS);
	struct image *image = take(&event);

	ck_assert_int_eq(image_table_ready(&table, image, (const uint8_t *)"other", 5), -EINVAL);
	ck_assert_int_eq(image->state, IMAGE_FAILED);
	ck_assert_ptr_nonnull(strstr(image->why, "replaced"));
	ck_assert_uint_eq(table.held, 0);
}
END_TEST

/* A process that is gone, below another root: what its path leads to here is another file, of
 * which nothing is told until the worker has compared the build ids. */
START_TEST(found_by_its_path_alone)
{
	union event gone = event_of(ROOTS, GONE, 4096, true), mine = map(ROOTS);
	struct image *image, *other;
	struct stat st;

	ck_assert_int_eq(stat(ROOTS, &st), 0);
	image = take(&gone);
	ck_assert_int_eq(image->state, IMAGE_OPENED);
	ck_assert(!image->sure);
	mine.mmap.build_id_size = 0;
	mine.mmap.inode = st.st_ino;
	mine.mmap.dev_major = major(st.st_dev);
	mine.mmap.dev_minor = minor(st.st_dev);
	other = take(&mine);
	ck_assert_ptr_ne(other, image);
	ck_assert(other->sure);
	/* It is another one, and is not opened by that path for ever. */
	for (int i = 0; image_table_wants_file(image) || image->state == IMAGE_OPENED; i++) {
		ck_assert_int_lt(i, 5);
		take(&gone);
		close_file(image);
		ck_assert_int_eq(image_table_ready(&table, image, (const uint8_t *)"other", 5),
				 -EINVAL);
		ck_assert(!image->sure);
	}
	ck_assert(image_table_wants_use(image, 1));
	ck_assert_int_eq(image->state, IMAGE_FAILED);
	image->attempts++;
	ck_assert(!image_table_wants_use(image, 2));
	ck_assert_ptr_eq(take(&mine), other);
}
END_TEST

/* The same, and it is the right one. */
START_TEST(found_by_its_path_and_checked)
{
	union event gone = event_of(ROOTS, GONE, 4096, true), mine = map(ROOTS);
	struct image *image = take(&gone);
	struct stat st;

	ck_assert_int_eq(stat(ROOTS, &st), 0);
	close_file(image);
	ck_assert_int_eq(image_table_ready(&table, image, build_id, sizeof(build_id)), 0);
	ck_assert(image->sure);
	mine.mmap.build_id_size = 0;
	mine.mmap.inode = st.st_ino;
	mine.mmap.dev_major = major(st.st_dev);
	mine.mmap.dev_minor = minor(st.st_dev);
	ck_assert_ptr_eq(take(&mine), image);
}
END_TEST

START_TEST(memory_is_one_image)
{
	union event anon = event_of("//anon", GONE, 0, false),
		    stack = event_of("[stack]", GONE, 0, false);
	struct image *image = take(&anon);

	ck_assert(image->anonymous);
	ck_assert_int_eq(image->state, IMAGE_FAILED);
	ck_assert_ptr_eq(take(&stack), image);
	ck_assert_str_eq(image_module(image), "[anon]");
}
END_TEST

START_TEST(no_more_than_the_limit)
{
	char path[32];

	for (int i = 0; i < 8; i++) {
		union event event;

		snprintf(path, sizeof(path), "/no/such/%d", i);
		event = event_of(path, GONE, 0, false);
		ck_assert_int_eq(image_table_add(&table, &event.mmap) != IMAGE_NONE, i < 6);
	}
	ck_assert_uint_eq(table.refused, 2);
}
END_TEST

START_TEST(descriptors_are_bounded)
{
	static const char *const paths[] = {"/bin/sh", "/bin/ls", "/bin/cat", "/bin/mv"};

	for (int i = 0; i < 4; i++) {
		union event event = event_of(paths[i], 0, 0, false);

		ck_assert_int_eq(take(&event)->state, IMAGE_OPENED);
	}
	ck_assert_uint_eq(table.held, 3);
	ck_assert_int_eq(image_table_get(&table, 1)->state, IMAGE_KNOWN);
	ck_assert_int_eq(image_table_get(&table, 1)->fd, -1);
}
END_TEST

static uint32_t add_named(int number)
{
	union event event;
	char path[32];

	snprintf(path, sizeof(path), "/no/such/%d", number);
	event = event_of(path, GONE, 0, false);
	return image_table_add(&table, &event.mmap);
}

START_TEST(what_is_released_makes_room)
{
	bool gone[6] = {false, true};
	union event sh = map(ROOTS);
	struct image *image;

	ck_assert_uint_eq(add_named(0), 1);
	image = take(&sh);
	ck_assert_uint_eq(image->id, 2);
	for (int i = 1; i < 5; i++)
		ck_assert_uint_eq(add_named(i), (uint32_t)i + 2);
	ck_assert_uint_eq(add_named(9), IMAGE_NONE);
	ck_assert_uint_eq(table.held, 1);
	image_table_release(&table, gone);
	ck_assert_ptr_null(image_table_get(&table, 2));
	ck_assert_uint_eq(table.held, 0);
	ck_assert_uint_eq(image_table_count(&table), 5);
	/* By none of its names is it the old one; those that stayed are known. */
	ck_assert_uint_eq(add_named(1), 3);
	ck_assert_uint_eq(add_named(10), 2);
	ck_assert_uint_eq(image_table_map(&table, &sh.mmap), IMAGE_NONE);
	ck_assert_uint_eq(add_named(11), IMAGE_NONE);
	ck_assert_uint_eq(table.released, 1);
	/* Once more, with others around. */
	memset(gone, true, sizeof(gone));
	gone[2] = false;
	image_table_release(&table, gone);
	ck_assert_uint_eq(image_table_count(&table), 1);
	ck_assert_uint_eq(add_named(1), 3);
	image = take(&sh);
	ck_assert_uint_eq(image->id, 1);
	ck_assert_int_eq(image->state, IMAGE_OPENED);
	image_table_release(&table, (bool[6]){false});
	ck_assert_uint_eq(take(&sh)->id, 1);
}
END_TEST

/* Whoever comes first: a user's file never stands for root's. */
static uint32_t add_list(struct image_table *of)
{
	uint32_t id = image_table_add_jit(of, 1);

	ck_assert_uint_ne(id, IMAGE_NONE);
	image_table_jit_file(of, image_table_get(of, id), dup(0));
	return id;
}

START_TEST(lists_of_compilers)
{
	union event memory = event_of("//anon", GONE, 0, false);
	struct image_table wide;
	const struct image *image;
	uint32_t anonymous, first;

	image_table_init(&wide, IMAGE_JIT_MAX + 2, 3);
	anonymous = image_table_add(&wide, &memory.mmap);
	first = image_table_add_jit(&wide, 1);
	image = image_table_get(&wide, first);
	ck_assert_ptr_nonnull(image);
	ck_assert_uint_ne(first, anonymous);
	ck_assert_str_eq(image_module(image), "[anon]");
	ck_assert_uint_eq(image_table_add(&wide, &memory.mmap), anonymous);
	/* The same process has another one after an exec; the oldest is closed. */
	ck_assert_int_lt(image->fd, 0);
	image_table_jit_file(&wide, image_table_get(&wide, first), dup(0));
	for (unsigned i = 1; i < IMAGE_JIT_MAX; i++)
		ck_assert_uint_ne(add_list(&wide), first);
	ck_assert_int_ge(image->fd, 0);
	ck_assert_uint_ne(add_list(&wide), IMAGE_NONE);
	ck_assert_int_lt(image->fd, 0);
	ck_assert_uint_eq(wide.held, IMAGE_JIT_MAX);
	ck_assert_uint_eq(image_table_add_jit(&wide, 1), IMAGE_NONE);
	ck_assert_uint_eq(wide.held, IMAGE_JIT_MAX);
	image_table_deinit(&wide);
}
END_TEST

START_TEST(a_forger_who_is_first)
{
	union event forged, genuine = map(ROOTS), gone = event_of(ROOTS, GONE, 0, true);
	struct image *theirs, *ours;
	char path[256];

	forge("first", path);
	forged = map(path);
	theirs = take(&forged);
	ck_assert(!theirs->roots);
	ours = take(&genuine);
	ck_assert_ptr_ne(ours, theirs);
	ck_assert(ours->roots);
	ck_assert_int_eq(ours->state, IMAGE_OPENED);
	ck_assert_uint_ne(ours->file_inode, theirs->file_inode);
	/* From now on the build id is root's, of processes that are gone too. */
	ck_assert_ptr_eq(take(&gone), ours);
	ck_assert_ptr_eq(take(&genuine), ours);
}
END_TEST

START_TEST(a_forger_who_is_second)
{
	union event forged, genuine = map(ROOTS);
	struct image *ours = take(&genuine);
	uint64_t inode = ours->file_inode;
	char path[256];

	forge("second", path);
	forged = map(path);
	/* The forger's own stacks are named by the file that they claim to be. */
	ck_assert_ptr_eq(take(&forged), ours);
	/* Opened anew, by way of the forger's mapping: refused. */
	close_file(ours);
	ck_assert_ptr_eq(take(&forged), ours);
	ck_assert_int_eq(ours->state, IMAGE_KNOWN);
	ck_assert_int_eq(ours->fd, -1);
	ck_assert_uint_eq(ours->file_inode, inode);
	take(&genuine);
	ck_assert_int_eq(ours->state, IMAGE_OPENED);
	ck_assert_uint_eq(ours->file_inode, inode);
}
END_TEST

/* A file known by its inode turns out to say the same: root's keeps the build id. */
START_TEST(a_forger_from_before)
{
	union event genuine = map(ROOTS), forged, told;
	struct image *ours = take(&genuine), *theirs;
	char path[256];

	forge("before", path);
	forged = map(path);
	forged.mmap.build_id_size = 0;
	theirs = take(&forged);
	ck_assert_ptr_ne(theirs, ours);
	ck_assert_int_eq(image_table_ready(&table, theirs, build_id, sizeof(build_id)), 0);
	told = event_of(ROOTS, GONE, 0, true);
	ck_assert_ptr_eq(take(&told), ours);
}
END_TEST

START_TEST(a_users_program_is_one_image)
{
	union event first, second, copied;
	char path[256], copy[256];
	struct image *image;

	forge("program", path);
	forge("copy", copy);
	first = map(path);
	second = map(path);
	copied = map(copy);
	image = take(&first);
	ck_assert_ptr_eq(take(&second), image);
	ck_assert_ptr_ne(take(&copied), image); /* another file: told apart */
	ck_assert_ptr_eq(take(&copied), take(&copied));
	ck_assert_ptr_eq(take(&first), image);
	ck_assert_uint_eq(table.images.count, 2);
}
END_TEST

/* The state of a file as walks see it. */
static struct unwind_inode state(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return image_state(&st);
}

static struct image *meet(const union event *event, const struct unwind_inode *file)
{
	return image_table_get(&table, image_table_find(&table, &event->mmap, file));
}

static void open_it(struct image *image, const union event *event)
{
	struct opener_request wanted;
	struct opener_file file;
	struct error error;

	image->use = (struct image_use){event->mmap.pid, event->mmap.start,
					event->mmap.start + event->mmap.length};
	image_table_opening(image, &wanted);
	ck_assert_int_eq(opener_request_serve(&wanted, NULL, &error, &file), 0);
	image_table_opened(&table, image, &file);
}

START_TEST(a_file_that_a_walk_met)
{
	struct unwind_inode file = state(ROOTS);
	union event untold = event_of("", GONE, 0, false), told = map(ROOTS);
	struct image *image;

	told.mmap.build_id_size = 0;
	/* Without a path nobody could open it. */
	ck_assert_ptr_null(meet(&untold, &file));
	image = meet(&told, &file);
	ck_assert_ptr_nonnull(image);
	ck_assert_ptr_eq(meet(&untold, &file), image);
	open_it(image, &told);
	ck_assert_int_eq(image->state, IMAGE_OPENED);
	ck_assert_uint_eq(image->file_changed, file.changed);
	/* The same inode, but changed since: another file, though the path is the same. */
	file.changed++;
	ck_assert_ptr_null(meet(&untold, &file));
	ck_assert_ptr_ne(meet(&told, &file), image);
}
END_TEST

START_TEST(only_that_state_is_opened)
{
	char path[256];
	struct unwind_inode file;
	union event event;
	struct image *image;

	workshop_path(&shop, "rewritten", path);
	workshop_write(path, "the first", 9);
	file = state(path);
	event = map(path);
	event.mmap.build_id_size = 0;
	event.mmap.inode = file.inode;
	image = meet(&event, &file);
	/* Until the clock of the file system has moved on. */
	do {
		workshop_write(path, "the second", 10);
	} while (state(path).changed == file.changed);
	open_it(image, &event);
	ck_assert_int_eq(image->state, IMAGE_FAILED);
	ck_assert_uint_eq(table.held, 0);
}
END_TEST

/* It was opened for an event with a build id, and a walk meets it under another number, as file
 * systems have that lie upon others. */
START_TEST(one_file_with_two_numbers)
{
	union event told = map(ROOTS), met = told;
	struct image *image = take(&told);
	struct unwind_inode file = state(ROOTS);

	ck_assert_int_eq(image->state, IMAGE_OPENED);
	met.mmap.build_id_size = 0;
	ck_assert_ptr_eq(meet(&met, &file), image);
	file.device++;
	ck_assert_ptr_eq(meet(&met, &file), image);
	file.changed++;
	ck_assert_ptr_ne(meet(&met, &file), image);
}
END_TEST

/* What /proc says has no build id: the number of its inode may be given anew. */
START_TEST(a_number_that_was_given_anew)
{
	char path[256];
	struct unwind_inode file;
	union event event;
	struct image *older, *newer;

	workshop_path(&shop, "anew", path);
	workshop_write(path, "the first", 9);
	file = state(path);
	event = map(path);
	event.mmap.build_id_size = 0;
	event.mmap.inode = file.inode;
	event.mmap.dev_major = file.device >> 20;
	event.mmap.dev_minor = file.device & 0xfffff;
	older = take(&event);
	ck_assert_int_eq(older->state, IMAGE_OPENED);
	ck_assert_ptr_eq(take(&event), older);
	do {
		workshop_write(path, "the second", 10);
	} while (state(path).changed == file.changed);
	newer = take(&event);
	ck_assert_ptr_ne(newer, older);
	ck_assert_int_eq(newer->state, IMAGE_OPENED);
	ck_assert_ptr_eq(take(&event), newer);
}
END_TEST

START_TEST(memory_that_a_walk_met)
{
	union event memfd = event_of("/memfd:code (deleted)", GONE, 0, false);
	union event anonymous = event_of("//anon", GONE, 0, false);
	const struct unwind_inode file = {.inode = 5, .changed = 6, .device = 7};

	ck_assert_ptr_eq(meet(&memfd, &file), take(&anonymous));
}
END_TEST

static void setup(void)
{
	image_table_init(&table, 6, 3);
}

static void teardown(void)
{
	image_table_deinit(&table);
}

int main(void)
{
	Suite *suite = suite_create("image_table");
	TCase *tcase = tcase_create("images");
	bool root = geteuid() == 0;
	int r;

	workshop_open(&shop);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, one_file_however_it_is_told);
	tcase_add_test(tcase, known_by_its_inode_first);
	workshop_add(tcase, root, "needs root", known_by_its_inode_only);
	tcase_add_test(tcase, another_build_is_no_match);
	tcase_add_test(tcase, found_by_its_path_alone);
	tcase_add_test(tcase, found_by_its_path_and_checked);
	tcase_add_test(tcase, memory_is_one_image);
	tcase_add_test(tcase, no_more_than_the_limit);
	tcase_add_test(tcase, descriptors_are_bounded);
	tcase_add_test(tcase, what_is_released_makes_room);
	tcase_add_test(tcase, lists_of_compilers);
	workshop_add(tcase, root, "needs root", a_file_that_a_walk_met);
	workshop_add(tcase, root, "needs root", only_that_state_is_opened);
	workshop_add(tcase, root, "needs root", one_file_with_two_numbers);
	workshop_add(tcase, root, "needs root", a_number_that_was_given_anew);
	tcase_add_test(tcase, memory_that_a_walk_met);
	workshop_add(tcase, root, "needs root", a_forger_who_is_first);
	workshop_add(tcase, root, "needs root", a_forger_who_is_second);
	workshop_add(tcase, root, "needs root", a_forger_from_before);
	workshop_add(tcase, root, "needs root", a_users_program_is_one_image);
	suite_add_tcase(suite, tcase);
	r = suite_main(suite);
	workshop_close(&shop);
	return r;
}
