/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The functions of this very process's C library, beside what the loader says of them.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbolizer/libc_functions.h"
#include "tests/unit/suite.h"

/* Where the library with that function has its code mapped. */
static void find_code(const void *function, uint64_t *ret_code, uint64_t *ret_offset)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512], modes[8];
	unsigned long start, end, offset;

	*ret_code = *ret_offset = 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%lx-%lx %7s %lx", &start, &end, modes, &offset) == 4 &&
		    (unsigned long)function >= start && (unsigned long)function < end) {
			*ret_code = start;
			*ret_offset = offset;
		}
	fclose(file);
	ck_assert_uint_ne(*ret_code, 0);
}

static int read_at(uint64_t code, uint64_t offset, struct libc_functions *ret)
{
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	struct error error = {0};
	int r = libc_functions_read(fd, code, offset, &error, ret);

	ck_assert(r == 0 || *error.text);
	close(fd);
	return r;
}

START_TEST(functions_are_where_the_loader_has_them)
{
	struct libc_functions functions;
	uint64_t code, offset;

	find_code((const void *)(uintptr_t)pause, &code, &offset);
	ck_assert_int_eq(read_at(code, offset, &functions), 0);
#define CHECK(name)                                                                                \
	ck_assert_uint_eq(functions.at[LIBC_##name].address,                                       \
			  (uint64_t)(uintptr_t)dlsym(RTLD_DEFAULT, #name))
	CHECK(dlsym);
	CHECK(syscall);
	CHECK(pthread_cond_wait); /* has an older version too */
	CHECK(fork);
	CHECK(dl_iterate_phdr);
#undef CHECK
	ck_assert_uint_gt(functions.at[LIBC_malloc].size, 16);
	ck_assert_uint_ne(functions.at[LIBC_free].address, functions.at[LIBC_malloc].address);
}
END_TEST

START_TEST(what_is_no_library_is_refused)
{
	struct libc_functions functions = {.at[0].address = 77};
	char *block = malloc(1 << 20);

	memset(block, 0x55, 1 << 20);
	ck_assert_int_eq(read_at(16, 0, &functions), -EIO);
	ck_assert_int_eq(read_at(((uint64_t)(uintptr_t)block + 0x80000) & ~0xfffULL, 0, &functions),
			 -ENOEXEC);
	ck_assert_uint_eq(functions.at[0].address, 77);
	free(block);
}
END_TEST

START_TEST(what_comes_over_the_wire_is_checked)
{
	struct libc_functions functions = {.at[LIBC_malloc] = {0x7f0000001000, 99}}, again;
	struct strbuf text = {0};
	struct error error = {0};

	libc_functions_encode(&functions, &text);
	ck_assert_int_eq(libc_functions_decode(text.data, text.length, &error, &again), 0);
	ck_assert_mem_eq(&functions, &again, sizeof(again));
	ck_assert_int_eq(libc_functions_decode(text.data, text.length - 1, &error, &again),
			 -EBADMSG);
	strbuf_u8(&text, 0);
	ck_assert_int_eq(libc_functions_decode(text.data, text.length, &error, &again), -EBADMSG);
	functions.at[LIBC_malloc].address = 1ULL << 60;
	text.length = 0;
	libc_functions_encode(&functions, &text);
	ck_assert_int_eq(libc_functions_decode(text.data, text.length, &error, &again), -EBADMSG);
	strbuf_deinit(&text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libc_functions");

	SUITE_CASE(suite, "functions", functions_are_where_the_loader_has_them,
		   what_is_no_library_is_refused, what_comes_over_the_wire_is_checked);
	return suite_main(suite);
}
