/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/probe_points.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/suite.h"
#include "tests/unit/workshop.h"

static struct error problem;

/* A note's description as the assembler writes it. */
static size_t note(uint8_t *bytes, const char *provider, const char *name, const char *arguments)
{
	uint64_t addresses[] = {0x51b0, 0x6340, 0xa222};
	size_t at = sizeof(addresses);

	memcpy(bytes, addresses, at);
	at += (size_t)sprintf((char *)bytes + at, "%s", provider) + 1;
	at += (size_t)sprintf((char *)bytes + at, "%s", name) + 1;
	at += (size_t)sprintf((char *)bytes + at, "%s", arguments) + 1;
	return at;
}

START_TEST(notes)
{
	struct probe_note got;
	uint8_t bytes[256];
	size_t size = note(bytes, "perfd", "alloc", "8@%rdi -8@%rsi 8@%r15");

	ck_assert(probe_note_parse(bytes, size, &got));
	ck_assert_uint_eq(got.location, 0x51b0);
	ck_assert_uint_eq(got.base, 0x6340);
	ck_assert_uint_eq(got.semaphore, 0xa222);
	ck_assert_uint_eq(got.point.probe, ABI_PROBE_ALLOC);
	ck_assert_uint_eq(got.point.arguments[0], 5);
	ck_assert_uint_eq(got.point.arguments[1], 4);
	ck_assert_uint_eq(got.point.arguments[2], 15);
	size = note(bytes, "otel_memory", "free", "8@%rdi");
	ck_assert(probe_note_parse(bytes, size, &got));
	ck_assert_uint_eq(got.point.probe, ABI_PROBE_FREE);
}
END_TEST

START_TEST(notes_that_are_not_wanted)
{
	static const struct {
		const char *provider, *name, *arguments;
	} bad[] = {
		{"libc", "setjmp", "8@%rdi"},       {"perfd", "alloc", "8@%rdi"},
		{"perfd", "free", "4@%edi"},        {"perfd", "free", "8@-8(%rbp)"},
		{"perfd", "free", "8@%rdi 8@%rsi"}, {"perfd", "free", ""},
		{"perfd", "free", "8@%rsp"},
	};
	struct probe_note got;
	uint8_t bytes[256];
	size_t size;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size = note(bytes, bad[i].provider, bad[i].name, bad[i].arguments);
		ck_assert_msg(!probe_note_parse(bytes, size, &got), "%s", bad[i].arguments);
	}
	/* Cut off anywhere. */
	size = note(bytes, "perfd", "free", "8@%rdi");
	for (size_t i = 0; i < size; i++)
		ck_assert(!probe_note_parse(bytes, i, &got));
}
END_TEST

START_TEST(the_wire)
{
	struct probe_points points = {.control = 0x7020, .count = 2}, got;
	struct strbuf out = {0};

	points.items[0] = (struct probe_point){.offset = 0x1234,
					       .semaphore = 0x99,
					       .probe = ABI_PROBE_ALLOC,
					       .arguments = {5, 4, 1}};
	points.items[1] = (struct probe_point){.offset = 0x98930,
					       .probe = ABI_PROBE_PRODUCT,
					       .arguments = {5, 4},
					       .emulated = true};
	probe_points_encode(&points, &out);
	ck_assert_int_eq(probe_points_decode(out.data, out.length, &problem, &got), 0);
	ck_assert_mem_eq(got.items, points.items, sizeof(points.items[0]) * 2);
	ck_assert_uint_eq(got.control, 0x7020);
	for (size_t i = 0; i < out.length; i++)
		ck_assert_int_eq(probe_points_decode(out.data, i, &problem, &got), -EBADMSG);
	/* A register and a probe that there are not. */
	out.data[4 + 29] = 16;
	ck_assert_int_eq(probe_points_decode(out.data, out.length, &problem, &got), -EBADMSG);
	out.data[4 + 29] = 5;
	out.data[4 + 28] = ABI_PROBE_COUNT;
	ck_assert_int_eq(probe_points_decode(out.data, out.length, &problem, &got), -EBADMSG);
	strbuf_deinit(&out);
}
END_TEST

static const struct probe_point *first_of(const struct probe_points *points, uint8_t probe)
{
	for (size_t i = 0; i < points->count; i++)
		if (points->items[i].probe == probe)
			return &points->items[i];
	return NULL;
}

/* The C library of this machine has an allocator, on instructions that the kernel
 * emulates; the loader's own one is no library's. */
START_TEST(a_c_library)
{
	static const char *const paths[] = {"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6",
					    "/usr/lib/libc.so.6"};
	const struct probe_point *malloc_point = NULL;
	struct probe_points points;
	struct elf_image image;
	int fd = -1;

	for (size_t i = 0; fd < 0 && i < sizeof(paths) / sizeof(paths[0]); i++)
		fd = open(paths[i], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	elf_version(EV_CURRENT);
	ck_assert_int_eq(elf_image_init(&image, fd, &problem), 0);
	ck_assert_int_eq(probe_points_find(&image, &problem, &points), 0);
	malloc_point = first_of(&points, ABI_PROBE_SIZE);
	ck_assert_ptr_nonnull(malloc_point);
	ck_assert_uint_eq(malloc_point->arguments[0], 5);
	ck_assert(malloc_point->emulated);
	ck_assert_ptr_nonnull(first_of(&points, ABI_PROBE_PRODUCT));
	ck_assert_ptr_nonnull(first_of(&points, ABI_PROBE_RESIZE));
	elf_image_deinit(&image);
	close(fd);
}
END_TEST

/* A library of functions in assembly, whose points are found. */
static void points_of(const char *source, struct probe_points *ret)
{
	struct elf_image image;
	struct workshop shop;
	char path[256];
	int fd;

	workshop_open(&shop);
	workshop_build(&shop, "own.so", ".s", source, "-shared -nostdlib", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	elf_version(EV_CURRENT);
	ck_assert_int_eq(elf_image_init(&image, fd, &problem), 0);
	ck_assert_int_eq(probe_points_find(&image, &problem, ret), 0);
	elf_image_deinit(&image);
	close(fd);
	workshop_close(&shop);
}

#define FUNCTION(name, code)                                                                       \
	".globl " name "\n.type " name ",@function\n" name ":\n" code ".size " name ",.-" name "\n"

/* RDI is 5, RSI 4, RDX 1 and RAX 0. */
START_TEST(arguments_that_are_elsewhere_by_then)
{
	struct probe_points points;

	points_of(".text\n"
		  /* As mimalloc's: the thread's heap is put where the size was. */
		  FUNCTION("malloc", "mov %rdi,%rsi\nmov %fs:0,%rdi\ncmp $0x400,%rsi\nja 1f\nret\n"
				     "1: jmp 1b\n")
			  FUNCTION("calloc", "mov %rdi,%rax\nmov %fs:0,%rdi\ncmp $1,%rax\nje 1f\n"
					     "mul %rsi\n1: ret\n")
				  FUNCTION("realloc",
					   "mov %rsi,%rdx\nmov %rdi,%rsi\nmov %fs:0,%rdi\njmp 1f\n"
					   "nop\n1: ret\n")
		  /* Half of a size is none, and what is gone is gone: the first instruction. */
		  FUNCTION("valloc", "mov %edi,%esi\nxor %edi,%edi\njmp 1f\nnop\n1: ret\n")
			  FUNCTION("pvalloc",
				   "mov %rdi,%rsi\nxor %esi,%esi\nxor %edi,%edi\njmp 1f\nnop\n"
				   "1: ret\n"),
		  &points);
	ck_assert_uint_eq(points.count, 5);
	ck_assert(points.items[0].emulated);
	ck_assert_uint_eq(points.items[0].arguments[0], 4);
	ck_assert(points.items[1].emulated);
	ck_assert_uint_eq(points.items[1].arguments[0], 0);
	ck_assert_uint_eq(points.items[1].arguments[1], 4);
	ck_assert(points.items[2].emulated);
	ck_assert_uint_eq(points.items[2].arguments[0], 4);
	ck_assert_uint_eq(points.items[2].arguments[1], 1);
	for (size_t i = 3; i < 5; i++) {
		ck_assert(!points.items[i].emulated);
		ck_assert_uint_eq(points.items[i].offset, points.items[i].function);
		ck_assert_uint_eq(points.items[i].arguments[0], 5);
	}
}
END_TEST

START_TEST(names_with_a_prefix)
{
	struct probe_points points;

	points_of(".text\n" FUNCTION("je_malloc", "push %rbx\npop %rbx\nret\n")
			  FUNCTION("je_calloc", "push %rbx\npop %rbx\nret\n")
		  /* Another family's, and nobody's: there is no such malloc. */
		  FUNCTION("mi_realloc", "push %rbx\npop %rbx\nret\n")
			  FUNCTION("zalloc", "push %rbx\npop %rbx\nret\n"),
		  &points);
	ck_assert_uint_eq(points.count, 2);
	ck_assert_uint_eq(points.items[0].probe, ABI_PROBE_SIZE);
	ck_assert_uint_eq(points.items[1].probe, ABI_PROBE_PRODUCT);
}
END_TEST

START_TEST(small_numbers)
{
	for (uint64_t value = 0; value < 1ULL << 47; value += 1 + value / 7) {
		uint64_t low =
			abi_small_value(abi_small(value, ABI_SIZE_MANTISSA, 0), ABI_SIZE_MANTISSA);
		uint64_t high = abi_small_value(abi_small(value, ABI_SIZE_MANTISSA, UINT64_MAX),
						ABI_SIZE_MANTISSA);
		uint64_t step = high - low;

		ck_assert_uint_le(low, value);
		ck_assert_uint_ge(high, value);
		ck_assert_uint_le(step, value >> ABI_SIZE_MANTISSA);
		if (value < 2048)
			ck_assert_uint_eq(low, value);
		/* So often up that the mean is the value. */
		if (step)
			ck_assert_uint_eq(low + step - 1 - ((low + step - 1 - value) & (step - 1)),
					  value);
	}
	ck_assert_uint_lt(abi_small(1ULL << 47, ABI_SIZE_MANTISSA, 0), 1u << 16);
	ck_assert_uint_lt(abi_small(1ULL << 57, ABI_WEIGHT_MANTISSA, UINT64_MAX), ABI_WEIGHT_RULE);
}
END_TEST

/* 256 of the chances, one of each kind: what is added over all is what was cut off. */
START_TEST(small_numbers_have_an_exact_mean)
{
	static const uint64_t values[] = {35, 77, 524288, 524289, 700001, 123457};

	for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
		uint64_t sum = 0, chances = 1ULL << 16;

		for (uint64_t chance = 0; chance < chances; chance++)
			sum += abi_small_value(abi_small(values[v], ABI_WEIGHT_MANTISSA, chance),
					       ABI_WEIGHT_MANTISSA);
		ck_assert_uint_eq(sum, values[v] * chances);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("probe_points");

	SUITE_CASE(suite, "points", notes, notes_that_are_not_wanted, the_wire, a_c_library);
	if (workshop_has_compiler())
		SUITE_CASE(suite, "code", arguments_that_are_elsewhere_by_then,
			   names_with_a_prefix);
	else
		workshop_skip("code", "gcc is not there");
	SUITE_CASE(suite, "numbers", small_numbers, small_numbers_have_an_exact_mean);
	return suite_main(suite);
}
