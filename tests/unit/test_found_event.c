/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What walks met, as if it had been told: paths are put together from parts, and parts that are
 * none of a path give none.
 */
#include "daemon/found_event.h"

#include <string.h>

#include "tests/unit/suite.h"

struct record {
	struct abi_found found;
	char path[ABI_FOUND_PATH_MAX];
};

/* `parts`: with a NUL behind each, as they come. */
static struct record record_of(const char *parts, size_t size, uint32_t flags)
{
	struct record record = {.found = {.hdr = {.type = ABI_FOUND, .time = 77},
					  .pid = 50,
					  .exec_id = 3,
					  .start = 0x1000,
					  .length = 0x2000,
					  .offset = 0x400,
					  .inode = 9,
					  .changed = 5,
					  .device = 8 << 20 | 17,
					  .flags = flags,
					  .path_size = (uint32_t)size}};

	memcpy(record.path, parts, size);
	record.found.hdr.size = (uint16_t)(sizeof(record.found) + ((size + 7) & ~(size_t)7));
	return record;
}

static void check_path(const char *parts, size_t size, uint32_t flags, const char *path)
{
	struct record record = record_of(parts, size, flags);
	struct found_event event;

	found_event_make(&record.found, &event);
	ck_assert_str_eq(event.mmap.path, path);
	ck_assert_uint_eq(event.mmap.hdr.type, ABI_MMAP);
	ck_assert_uint_eq(event.mmap.hdr.size % 8, 0);
	ck_assert_uint_gt(event.mmap.hdr.size, sizeof(event.mmap) + strlen(path));
}

#define CHECK_PATH(parts, flags, path) check_path(parts, sizeof(parts), flags, path)

START_TEST(parts_come_the_last_one_first)
{
	CHECK_PATH("libc.so.6\0lib\0usr", 0, "/usr/lib/libc.so.6");
	CHECK_PATH("init", 0, "/init");
	CHECK_PATH("gone\0tmp", ABI_FOUND_DELETED, "/tmp/gone (deleted)");
	/* The root of a file system that is nobody's has its name. */
	CHECK_PATH("memfd:code\0/", 0, "/memfd:code");
}
END_TEST

START_TEST(what_is_no_path_gives_none)
{
	char longest[ABI_FOUND_PATH_MAX];

	check_path("", 0, 0, "");
	check_path("", 0, ABI_FOUND_DELETED, "");
	/* Not ended. */
	check_path("libc.so.6\0lib", sizeof("libc.so.6\0lib") - 1, 0, "");
	/* Parts without a letter would be longer together than any path. */
	memset(longest, 0, sizeof(longest));
	check_path(longest, sizeof(longest), 0, "");
}
END_TEST

START_TEST(no_more_than_the_record_holds)
{
	struct record record = record_of("libc.so.6\0lib", sizeof("libc.so.6\0lib"), 0);
	struct found_event event;

	record.found.path_size = UINT32_MAX;
	found_event_make(&record.found, &event);
	ck_assert_str_eq(event.mmap.path, "");
	record.found.path_size = record.found.hdr.size - (uint32_t)sizeof(record.found) + 1;
	found_event_make(&record.found, &event);
	ck_assert_str_eq(event.mmap.path, "");
}
END_TEST

START_TEST(the_mapping_is_the_same)
{
	struct record record = record_of("x", 2, 0);
	struct found_event event;

	found_event_make(&record.found, &event);
	ck_assert_uint_eq(event.mmap.pid, 50);
	ck_assert_uint_eq(event.mmap.start, 0x1000);
	ck_assert_uint_eq(event.mmap.length, 0x2000);
	ck_assert_uint_eq(event.mmap.offset, 0x400);
	ck_assert_uint_eq(event.mmap.inode, 9);
	ck_assert_uint_eq(event.mmap.dev_major, 8);
	ck_assert_uint_eq(event.mmap.dev_minor, 17);
	ck_assert_uint_eq(event.mmap.build_id_size, 0);
	ck_assert_uint_eq(event.mmap.hdr.time, 77);
}
END_TEST

START_TEST(memory_and_the_vdso_have_their_names)
{
	CHECK_PATH("x", ABI_FOUND_VDSO, "[vdso]");
	CHECK_PATH("x", ABI_FOUND_MEMORY, "//anon");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("found_event");

	SUITE_CASE(suite, "events", parts_come_the_last_one_first, what_is_no_path_gives_none,
		   no_more_than_the_record_holds, the_mapping_is_the_same,
		   memory_and_the_vdso_have_their_names);
	return suite_main(suite);
}
