/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The walk through a Java machine's code (bpf/hotspot.h), as host code: a made-up
 * machine with one heap, and a stack that each test lays out itself.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/host_walk.h"
#include "tests/unit/suite.h"

#define LOW 0x100000ULL
#define HIGH 0x200000ULL
#define SEGMAP 0x300000ULL
#define NAMES 0x180000ULL /* in the heap, for the walk reads nothing else */
#define INTERPRETER 0x190000ULL
#define INTERPRETER_END 0x1a0000ULL
#define C_CODE 0x500000ULL
#define STACK 0x7ffd00000000ULL
#define STACK_WORDS 256u

/* Blobs: where their code begins (segments of 128 bytes; header and blob before it). */
#define METHOD_A 0x101080ULL
#define METHOD_B 0x102080ULL
#define STUBS 0x103080ULL
#define ADAPTER 0x104080ULL

#define HEAD 0x80u /* from the block to its code */
#define NAME_AT 16u
#define SIZE_AT 24u
#define FRAME_AT 28u
#define COMPLETE_AT 32u
#define CODE_AT 36u

struct scene {
	struct {
		struct abi_raw raw;
		uint64_t words[STACK_WORDS];
	} sample;
	struct mapping_set *maps;
	struct jvm_layout layout;
	int memory;
	uint64_t names; /* used so far */
	struct host_stack stack;
};

static struct scene scene;

static const struct unwind_file *no_file(void *context, uint32_t image)
{
	(void)context, (void)image;
	return NULL;
}

static const uint32_t *no_chunk(void *context, uint32_t number)
{
	(void)context, (void)number;
	return NULL;
}

static const struct unwind_rule *no_rule(void *context, uint32_t number)
{
	(void)context, (void)number;
	return NULL;
}

static void put(uint64_t at, const void *bytes, size_t size)
{
	ck_assert_int_eq(pwrite(scene.memory, bytes, size, (off_t)at), (ssize_t)size);
}

static void put_u32(uint64_t at, uint32_t value)
{
	put(at, &value, sizeof(value));
}

/* Code at this address; `text` may hold NULs. */
#define CODE(at, text) put((at), (text), sizeof(text) - 1)

/* A block from code - HEAD on, of 8 segments. */
static void blob(uint64_t code, const char *name, int32_t words, int32_t complete)
{
	uint64_t block = code - HEAD, segment = (block - LOW) >> 7, text = NAMES + scene.names;
	static const uint8_t hops[8] = {0, 1, 2, 3, 4, 5, 6, 7};

	put(text, name, strlen(name) + 1);
	scene.names += 64;
	put(block + 8, "\1", 1);
	put(block + NAME_AT, &text, 8);
	put_u32(block + SIZE_AT, 8 * 128 - 16);
	put_u32(block + FRAME_AT, (uint32_t)words);
	put_u32(block + COMPLETE_AT, (uint32_t)complete);
	put_u32(block + CODE_AT, HEAD - 16);
	put(SEGMAP + segment, hops, sizeof(hops));
}

/* The address behind a call at code + at. */
static uint64_t called(uint64_t code, uint32_t at)
{
	CODE(code + at, "\xe8\x00\x00\x00\x00");
	return code + at + 5;
}

static void map(uint64_t start, uint64_t end, uint32_t image, bool memory)
{
	struct mapping mapping = {start, end, 0, image, memory};

	ck_assert_int_eq(mapping_set_insert(scene.maps, &mapping), 0);
}

static void begin(void)
{
	static const uint8_t free_segment = 0xff;

	scene = (struct scene){.maps = mapping_set_create(),
			       .memory = memfd_create("memory", MFD_CLOEXEC)};
	map(LOW, HIGH, 0, true);
	map(C_CODE, C_CODE + 0x1000, 7, false);
	scene.layout = (struct jvm_layout){.low = LOW,
					   .high = HIGH,
					   .interpreter = INTERPRETER,
					   .interpreter_end = INTERPRETER_END,
					   .call_stub = STUBS + 0x105,
					   .heaps = {{LOW, HIGH, SEGMAP}},
					   .heap_count = 1,
					   .segment_shift = 7,
					   .used = 8,
					   .name = NAME_AT,
					   .size = SIZE_AT,
					   .frame_size = FRAME_AT,
					   .frame_complete = COMPLETE_AT,
					   .frame_complete_bytes = 4,
					   .code = CODE_AT,
					   .code_bytes = 4,
					   .blob = 16};
	ck_assert_int_ge(scene.memory, 0);
	ck_assert_int_eq(ftruncate(scene.memory, 0x400000), 0);
	for (uint64_t i = 0; i < (HIGH - LOW) >> 7; i++)
		put(SEGMAP + i, &free_segment, 1);
	blob(METHOD_A, "nmethod", 6, 12);
	blob(METHOD_B, "nmethod", 4, 12);
	blob(STUBS, "StubRoutines (1)", 0, -1);
	blob(ADAPTER, "I2C/C2I adapters", 0, -1);
	called(STUBS, 0x100);
	scene.sample.raw.address = STACK;
	scene.sample.raw.bytes = sizeof(scene.sample.words);
	scene.sample.raw.registers[UNWIND_RSP] = STACK + 64;
}

static void end(void)
{
	mapping_set_unref(scene.maps);
	close(scene.memory);
}

/* Word `index` of the stack, counted from the innermost frame's rsp. */
static void word(uint32_t index, uint64_t value)
{
	scene.sample.words[8 + index] = value;
}

static uint64_t place(uint32_t index)
{
	return STACK + 64 + index * 8ULL;
}

static void walk(uint64_t ip)
{
	const struct host_machine machine = {&scene.layout, scene.memory};
	const struct host_tables tables = {no_file, no_chunk, no_rule, NULL, &machine};
	uint32_t lacks;

	scene.sample.raw.ip = ip;
	ck_assert(host_walk(&scene.sample.raw, scene.maps, &tables, true, &scene.stack, &lacks));
}

static void expect(size_t count, const uint64_t *frames)
{
	for (size_t i = 0; i < count && i < scene.stack.stack.count; i++)
		ck_assert_msg(scene.stack.frames[i] == frames[i], "frame %zu is 0x%llx, not 0x%llx",
			      i, (unsigned long long)scene.stack.frames[i],
			      (unsigned long long)frames[i]);
	ck_assert_uint_eq(scene.stack.stack.count, count);
}

#define EXPECT(...)                                                                                \
	expect(sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (uint64_t[]){__VA_ARGS__})
#define IN_C ((uint64_t)7 << 48 | 0x2f)

/* From word `at` on: the frame of METHOD_B, called at B + 0x40; its caller, main,
 * interpreted; the call stub; C code. What A returns to is METHOD_B + 0x45. */
static void callers(uint32_t at)
{
	word(at + 2, place(at + 10)); /* main's rbp */
	word(at + 3, INTERPRETER + 0x500);
	word(at + 9, place(at + 12)); /* main's caller's rsp */
	word(at + 10, place(at + 20)); /* the stub's rbp */
	word(at + 11, STUBS + 0x105);
	word(at + 20, 0);
	word(at + 21, C_CODE + 0x30);
}

#define CALLERS METHOD_B + 0x44, INTERPRETER + 0x4ff, STUBS + 0x104, IN_C

START_TEST(all_kinds_of_frames)
{
	callers(6);
	word(4, 0x1234);
	word(5, called(METHOD_B, 0x40));
	walk(METHOD_A + 0x60);
	EXPECT(METHOD_A + 0x60, CALLERS);
}
END_TEST

START_TEST(prologues)
{
	/* C1: push %rbp; sub $0x20,%rsp; C2: sub $0x28,%rsp; mov %rbp,0x20(%rsp) */
	CODE(METHOD_A, "\x89\x84\x24\x00\x00\xfe\xff\x55\x48\x83\xec\x20\x90");
	called(METHOD_B, 0x40);
	callers(1);
	word(0, METHOD_B + 0x45);
	walk(METHOD_A);
	EXPECT(METHOD_A, CALLERS);
	walk(METHOD_A + 7);
	EXPECT(METHOD_A + 7, CALLERS);
	callers(2);
	word(0, 0x1234);
	word(1, METHOD_B + 0x45);
	walk(METHOD_A + 8);
	EXPECT(METHOD_A + 8, CALLERS);
	blob(METHOD_A, "nmethod", 6, 0x20); /* complete later: the barrier is in it */
	callers(6);
	word(0, called(METHOD_B, 0x50)); /* an old one: below the frame */
	word(5, METHOD_B + 0x45);
	walk(METHOD_A + 12);
	EXPECT(METHOD_A + 12, CALLERS);
	CODE(METHOD_A, "\x48\x81\xec\x28\x00\x00\x00\x48\x89\x6c\x24\x20\x90");
	scene.sample.raw.registers[UNWIND_RBP] = place(16);
	word(4, 0x1234); /* not stored yet */
	walk(METHOD_A + 7);
	EXPECT(METHOD_A + 7, CALLERS);
}
END_TEST

START_TEST(epilogues)
{
	/* add $0x20,%rsp; pop %rbp; cmp ..(%r15),%rsp; ja; ret */
	CODE(METHOD_A + 0x60, "\x48\x83\xc4\x20\x5d\x49\x3b\xa7\x40\x03\x00\x00"
			      "\x0f\x87\x06\x00\x00\x00\xc3\x90");
	called(METHOD_B, 0x40);
	scene.sample.raw.registers[UNWIND_RBP] = 0x1234;
	callers(6);
	word(5, METHOD_B + 0x45);
	walk(METHOD_A + 0x60);
	EXPECT(METHOD_A + 0x60, CALLERS);
	callers(2);
	word(1, METHOD_B + 0x45);
	walk(METHOD_A + 0x64);
	EXPECT(METHOD_A + 0x64, CALLERS);
	callers(1);
	word(0, METHOD_B + 0x45);
	word(5, called(METHOD_B, 0x50)); /* what a whole frame would end with */
	for (uint32_t at = 0x65; at <= 0x72; at++) {
		if (at != 0x65 && at != 0x6c && at != 0x72)
			continue; /* within an instruction */
		walk(METHOD_A + at);
		EXPECT(METHOD_A + at, CALLERS);
	}
}
END_TEST

START_TEST(pushed_words)
{
	callers(9);
	word(7, 0x1234);
	word(8, called(METHOD_B, 0x40));
	word(5, METHOD_B + 0x60); /* no call before it */
	walk(METHOD_A + 0x60);
	EXPECT(METHOD_A + 0x60, CALLERS);
}
END_TEST

START_TEST(stubs_and_adapters)
{
	called(METHOD_B, 0x40);
	/* With rbp as its frame pointer, and words below it. */
	scene.sample.raw.registers[UNWIND_RBP] = place(4);
	callers(6);
	word(5, METHOD_B + 0x45);
	walk(STUBS + 0x40);
	EXPECT(STUBS + 0x40, CALLERS);
	/* Its first instruction: rbp is still the caller's. */
	CODE(STUBS + 0x40, "\x55\x48\x8b\xec");
	callers(1);
	word(0, METHOD_B + 0x45);
	walk(STUBS + 0x40);
	EXPECT(STUBS + 0x40, CALLERS);
	walk(ADAPTER + 0x10);
	EXPECT(ADAPTER + 0x10, CALLERS);
}
END_TEST

START_TEST(entering_the_interpreter)
{
	__u64 *registers = scene.sample.raw.registers;

	called(METHOD_B, 0x40);
	callers(4);
	registers[UNWIND_R13] = place(4); /* the caller's rsp */
	registers[UNWIND_RBP] = 0x1234;
	word(0, METHOD_B + 0x45);
	walk(INTERPRETER + 0x100);
	EXPECT(INTERPRETER + 0x100, CALLERS);
	word(0, 0); /* popped into rax, locals pushed in its place */
	registers[0] = METHOD_B + 0x45;
	walk(INTERPRETER + 0x110);
	EXPECT(INTERPRETER + 0x110, CALLERS);
	registers[0] = 0;
	word(0, 0x1234); /* push %rbp */
	word(1, METHOD_B + 0x45);
	walk(INTERPRETER + 0x120);
	EXPECT(INTERPRETER + 0x120, CALLERS);
	registers[UNWIND_RBP] = place(0); /* its own from here on */
	scene.sample.words[7] = place(4); /* push %r13 */
	registers[UNWIND_RSP] -= 8;
	walk(INTERPRETER + 0x124);
	EXPECT(INTERPRETER + 0x124, CALLERS);
}
END_TEST

START_TEST(leaving_the_interpreter)
{
	/* leave; pop %rsi; mov %rbx,%rsp; jmp *%rsi */
	CODE(INTERPRETER + 0x200, "\xc9\x5e\x48\x8b\xe3\xff\xe6");
	called(METHOD_B, 0x40);
	scene.sample.raw.registers[UNWIND_R13] = 0x1234;
	callers(1);
	word(0, METHOD_B + 0x45);
	walk(INTERPRETER + 0x201);
	EXPECT(INTERPRETER + 0x201, CALLERS);
	callers(0);
	scene.sample.raw.registers[4] = METHOD_B + 0x45; /* rsi */
	walk(INTERPRETER + 0x202);
	EXPECT(INTERPRETER + 0x202, CALLERS);
	walk(INTERPRETER + 0x205);
	EXPECT(INTERPRETER + 0x205, CALLERS);
}
END_TEST

/* Nothing leads on, and nothing is read for ever. */
START_TEST(damaged_heaps)
{
	uint64_t segment = (METHOD_A - HEAD - LOW) >> 7;
	uint8_t hop = 1;

	walk(LOW + 0x80); /* where nothing is */
	EXPECT(LOW + 0x80);
	put(SEGMAP + segment, "\xfe", 1); /* further back than the heap's beginning */
	walk(METHOD_A + 0x60);
	EXPECT(METHOD_A + 0x60);
	for (uint64_t i = 0; i <= segment; i++)
		put(SEGMAP + i, &hop, 1); /* never a first one */
	walk(METHOD_A + 0x60);
	EXPECT(METHOD_A + 0x60);
	blob(METHOD_A, "nmethod", 6, 12);
	put(METHOD_A - HEAD + 8, "\0", 1); /* a free block */
	walk(METHOD_A + 0x60);
	EXPECT(METHOD_A + 0x60);
	blob(METHOD_A, "nmethod", INT32_MAX, INT32_MIN);
	put_u32(METHOD_A - HEAD + SIZE_AT, 0x10);
	walk(METHOD_A + 0x60);
	EXPECT(METHOD_A + 0x60);
	scene.layout.exec_id = 1; /* its own: the walk takes it from there */
	scene.layout.heaps[0].segmap = 0x7f0000000000;
	walk(METHOD_A + 0x60);
	EXPECT(METHOD_A + 0x60);
}
END_TEST

START_TEST(another_return_address_is_none)
{
	word(5, METHOD_B + 0x60); /* no call before it */
	walk(METHOD_A + 0x60);
	EXPECT(METHOD_A + 0x60);
	word(5, C_CODE + 0x30); /* C calls by the call stub only */
	walk(METHOD_A + 0x60);
	EXPECT(METHOD_A + 0x60);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host_hotspot");
	TCase *tcase = tcase_create("walk");

	tcase_add_checked_fixture(tcase, begin, end);
	tcase_add_test(tcase, all_kinds_of_frames);
	tcase_add_test(tcase, prologues);
	tcase_add_test(tcase, epilogues);
	tcase_add_test(tcase, pushed_words);
	tcase_add_test(tcase, stubs_and_adapters);
	tcase_add_test(tcase, entering_the_interpreter);
	tcase_add_test(tcase, leaving_the_interpreter);
	tcase_add_test(tcase, damaged_heaps);
	tcase_add_test(tcase, another_return_address_is_none);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
