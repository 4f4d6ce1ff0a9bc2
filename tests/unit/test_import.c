/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include "flamegraph/import.h"
#include "flamegraph/input.h"
#include "flamegraph/token_cache.h"
#include "tests/unit/profile_text.h"

/* gzip around the bytes, as one member appended to `to`. */
static void gzip(struct strbuf *to, const char *text, size_t n)
{
	uint8_t block[4096];
	z_stream zlib = {.next_in = (Bytef *)(uintptr_t)text, .avail_in = (uInt)n};
	int r;

	ck_assert_int_eq(deflateInit2(&zlib, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	do {
		zlib.next_out = block;
		zlib.avail_out = sizeof(block);
		r = deflate(&zlib, Z_FINISH);
		strbuf_append(to, block, sizeof(block) - zlib.avail_out);
	} while (r == Z_OK);
	ck_assert_int_eq(r, Z_STREAM_END);
	deflateEnd(&zlib);
}

static void check_line(struct input *input, const char *want)
{
	size_t n;
	const char *line = input_line(input, &n);

	if (!want) {
		ck_assert_ptr_null(line);
		return;
	}
	ck_assert_ptr_nonnull(line);
	ck_assert_uint_eq(n, strlen(want));
	ck_assert(!memcmp(line, want, n));
}

static void check_three(struct input *input)
{
	size_t n;

	ck_assert_int_eq(input->error.code, 0);
	ck_assert(!memcmp(input_peek(input, &n), "one\r\n", 5));
	ck_assert_uint_eq(n, 12);
	check_line(input, "one");
	check_line(input, "");
	check_line(input, "three");
	check_line(input, NULL);
	ck_assert_uint_eq(input->line, 3);
	ck_assert_int_eq(input->error.code, 0);
	input_deinit(input);
}

START_TEST(lines_of_memory_and_of_a_pipe)
{
	struct input input;
	int ends[2];

	ck_assert_int_eq(input_init_memory(&input, "one\r\n\nthree\n", 12), 0);
	check_three(&input);
	ck_assert_int_eq(pipe(ends), 0);
	/* The first byte alone: gzip is looked for in two. */
	ck_assert_int_eq(write(ends[1], "o", 1), 1);
	ck_assert_int_eq(write(ends[1], "ne\r\n\nthree\n", 11), 11);
	close(ends[1]);
	ck_assert_int_eq(input_init_fd(&input, ends[0]), 0);
	check_three(&input);
	close(ends[0]);
}
END_TEST

START_TEST(gzip_is_inflated_member_by_member)
{
	struct strbuf bytes = {0};
	struct input input;
	size_t n;

	gzip(&bytes, "one\r\n", 5);
	gzip(&bytes, "\nthree\n", 7);
	ck_assert_int_eq(input_init_memory(&input, bytes.data, bytes.length), 0);
	check_three(&input);
	ck_assert_int_eq(input_init_memory(&input, bytes.data, bytes.length - 4), 0);
	ck_assert_ptr_null(input_all(&input, &n));
	ck_assert_int_eq(input.error.code, -EBADMSG);
	ck_assert_ptr_nonnull(strstr(input.error.text, "ends too early"));
	input_deinit(&input);
	bytes.data[12] = (char)~bytes.data[12];
	ck_assert_int_eq(input_init_memory(&input, bytes.data, bytes.length), 0);
	ck_assert_ptr_null(input_all(&input, &n));
	ck_assert_int_eq(input.error.code, -EBADMSG);
	input_deinit(&input);
	strbuf_deinit(&bytes);
}
END_TEST

START_TEST(lines_longer_than_the_buffer)
{
	size_t size = 3U << 20, n;
	char *text = malloc(size);
	struct input input;

	memset(text, 'x', size);
	text[0] = '\n';
	text[size - 1] = '\n';
	input_init_memory(&input, text, size);
	check_line(&input, "");
	ck_assert_ptr_nonnull(input_line(&input, &n));
	ck_assert_uint_eq(n, size - 2);
	check_line(&input, NULL);
	input_deinit(&input);
	free(text);
}
END_TEST

START_TEST(a_line_without_end_is_an_error)
{
	size_t size = INPUT_LINE_MAX + (1U << 20), n;
	char *text = malloc(size);
	struct input input;

	memset(text, 'x', size);
	input_init_memory(&input, text, size);
	ck_assert_ptr_null(input_line(&input, &n));
	ck_assert_int_eq(input.error.code, -E2BIG);
	ck_assert_str_eq(input.error.text, "line 1 has more than 16777216 bytes");
	input_deinit(&input);
	free(text);
}
END_TEST

START_TEST(a_directory_is_an_error)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY);
	struct input input;

	ck_assert_int_eq(input_init_fd(&input, fd), -EISDIR);
	input_deinit(&input);
	close(fd);
}
END_TEST

START_TEST(numbers)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t whole;
		uint32_t millionths;
	} cases[] = {
		{"0", true, 0, 0},
		{"12", true, 12, 0},
		{"18446744073709551615", true, UINT64_MAX, 0},
		{"18446744073709551616", false, 0, 0},
		{"1.5", true, 1, 500000},
		{"1.", true, 1, 0},
		{".25", true, 0, 250000},
		{"0.0000014", true, 0, 1},
		{"2e3", true, 2000, 0},
		{"1.5e-3", true, 0, 1500},
		{"0.9999999", true, 1, 0},
		{"", false, 0, 0},
		{"-1", false, 0, 0},
		{"+1", false, 0, 0},
		{"1x", false, 0, 0},
		{"nan", false, 0, 0},
		{"inf", false, 0, 0},
		{"0x10", false, 0, 0},
		{"1e99", false, 0, 0},
		{".", false, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct import_number number = {0};
		bool good = import_number(cases[i].text, strlen(cases[i].text), &number);

		ck_assert_msg(good == cases[i].good, "\"%s\"", cases[i].text);
		ck_assert_uint_eq(number.whole, cases[i].whole);
		ck_assert_uint_eq(number.millionths, cases[i].millionths);
	}
}
END_TEST

static void check_kind(const char *name, enum frame_kind want, const char *want_name)
{
	size_t n = strlen(name);

	ck_assert_int_eq(import_kind(name, &n), want);
	ck_assert_uint_eq(n, strlen(want_name));
	ck_assert(!memcmp(name, want_name, n));
}

START_TEST(kinds_by_name)
{
	check_kind("main", FRAME_USER, "main");
	check_kind("vfs_read_[k]", FRAME_KERNEL, "vfs_read");
	check_kind("f_[i]", FRAME_INLINE, "f");
	check_kind("f_[j]", FRAME_JIT, "f");
	check_kind("f_[x]", FRAME_USER, "f_[x]");
	check_kind("[truncated]", FRAME_SPECIAL, "[truncated]");
	check_kind("[libc.so.6+0x12]", FRAME_USER, "[libc.so.6+0x12]");
	check_kind("", FRAME_USER, "");
	check_kind("_[k]", FRAME_USER, "_[k]");
}
END_TEST

START_TEST(the_kernel_by_its_module)
{
	static const char *const kernel[] = {"[kernel.kallsyms]", "[nf_nat]", "vmlinux",
					     "/usr/lib/debug/boot/vmlinux-6.1.0", "/lib/x/nf.ko"};
	static const char *const other[] = {"[unknown]", "[vdso]", "/bin/vmlinuz",
					    "a.out",     "",       "["};

	for (size_t i = 0; i < 5; i++)
		ck_assert_msg(import_is_kernel(kernel[i], strlen(kernel[i])), "%s", kernel[i]);
	for (size_t i = 0; i < 6; i++)
		ck_assert_msg(!import_is_kernel(other[i], strlen(other[i])), "%s", other[i]);
}
END_TEST

START_TEST(malformed_lines_are_named)
{
	struct profile *profile = profile_create();
	struct malformed malformed = {0};

	ck_assert_int_eq(malformed_report(&malformed, "line", profile), 0);
	ck_assert_uint_eq(profile->counts.count, 0);
	for (uint64_t line = 3; line < 15; line++)
		malformed_add(&malformed, line, line == 3 ? "no number" : "something else");
	ck_assert_int_eq(malformed_report(&malformed, "line", profile), 0);
	ck_assert_uint_eq(profile->counts.items[0].count, 12);
	ck_assert_str_eq(profile_text(profile, profile->counts.items[0].text),
			 "not understood and skipped: lines 3, 4, 5, 6, 7, 8, 9, 10, … (the "
			 "first: no number)");
	profile_destroy(profile);
}
END_TEST

/* Against a plain array, with keys that share their beginnings and lengths. */
START_TEST(tokens_are_found_again)
{
	struct token_cache cache = {0};
	char key[64];

	ck_assert_uint_eq(token_cache_get(&cache, token_hash("x", 1), "x", 1), TOKEN_NONE);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 5000; i++) {
			size_t n = (size_t)snprintf(key, sizeof(key), "some_function_%u", i * 7);
			uint32_t hash = token_hash(key, n);
			uint32_t want = round ? i : TOKEN_NONE;

			ck_assert_uint_eq(token_cache_get(&cache, hash, key, n), want);
			if (!round)
				ck_assert_int_eq(token_cache_put(&cache, hash, key, n, i), 0);
		}
	}
	/* One hash, different keys. */
	ck_assert_int_eq(token_cache_put(&cache, 5, "abcdefghi", 9, 1), 0);
	ck_assert_int_eq(token_cache_put(&cache, 5, "abcdefghj", 9, 2), 0);
	ck_assert_int_eq(token_cache_put(&cache, 5, "", 0, 3), 0);
	ck_assert_uint_eq(token_cache_get(&cache, 5, "abcdefghi", 9), 1);
	ck_assert_uint_eq(token_cache_get(&cache, 5, "abcdefghj", 9), 2);
	ck_assert_uint_eq(token_cache_get(&cache, 5, "", 0), 3);
	ck_assert_uint_eq(token_cache_get(&cache, 5, "abcdefgh", 8), TOKEN_NONE);
	token_cache_deinit(&cache);
}
END_TEST

/* Of any length, no byte is overlooked: neither by the hash nor in comparing. */
START_TEST(each_byte_of_a_token_counts)
{
	char one[151], other[151];

	for (size_t i = 0; i < sizeof(one); i++)
		one[i] = (char)(i * 7 + 1);
	for (size_t n = 0; n < sizeof(one) - 1; n++) {
		memcpy(other, one, sizeof(one));
		ck_assert(token_equal(one, other, n));
		ck_assert_uint_eq(token_hash(one, n), token_hash(other, n));
		ck_assert_uint_ne(token_hash(one, n), token_hash(one, n + 1));
		for (size_t i = 0; i < n; i++) {
			other[i] ^= 0x40;
			ck_assert(!token_equal(one, other, n));
			ck_assert_uint_ne(token_hash(one, n), token_hash(other, n));
			other[i] ^= 0x40;
		}
		other[n] ^= 0x40;
		ck_assert(token_equal(one, other, n));
		ck_assert_uint_eq(token_hash(one, n), token_hash(other, n));
	}
}
END_TEST

START_TEST(a_full_cache_begins_anew)
{
	struct token_cache cache = {0};
	size_t n = TOKEN_CACHE_MAX / 4;
	char *key = calloc(1, n);

	for (uint32_t i = 0; i < 10; i++) {
		memcpy(key, &i, sizeof(i));
		ck_assert_int_eq(token_cache_put(&cache, i, key, n, i), 0);
		ck_assert_uint_eq(token_cache_get(&cache, i, key, n), i);
		ck_assert_uint_le(cache.bytes.count, TOKEN_CACHE_MAX);
	}
	token_cache_deinit(&cache);
	free(key);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("import");
	TCase *tc = tcase_create("import");

	tcase_add_test(tc, lines_of_memory_and_of_a_pipe);
	tcase_add_test(tc, gzip_is_inflated_member_by_member);
	tcase_add_test(tc, lines_longer_than_the_buffer);
	tcase_add_test(tc, a_line_without_end_is_an_error);
	tcase_add_test(tc, a_directory_is_an_error);
	tcase_add_test(tc, numbers);
	tcase_add_test(tc, kinds_by_name);
	tcase_add_test(tc, the_kernel_by_its_module);
	tcase_add_test(tc, malformed_lines_are_named);
	tcase_add_test(tc, tokens_are_found_again);
	tcase_add_test(tc, each_byte_of_a_token_counts);
	tcase_add_test(tc, a_full_cache_begins_anew);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
