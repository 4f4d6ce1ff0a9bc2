/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The walk (bpf/walk.h), as host code: a made-up process with one file of code and
 * a stack that each test lays out itself.
 */
#include "daemon/host_walk.h"

#include <stdlib.h>
#include <string.h>

#include "symbolizer/unwind_build.h"
#include "tests/unit/suite.h"

#define IMAGE 7u
#define OTHER_IMAGE 9u /* mapped, without a table */
#define CODE 0x400000ULL /* where IMAGE is mapped, from offset 0x1000 */
#define OFFSET 0x1000ULL
#define OTHER 0x600000ULL
#define JIT 0x700000ULL
#define STACK 0x7ffd00000000ULL
#define STACK_WORDS 1024u

struct scene {
	struct {
		struct abi_raw raw;
		uint64_t words[STACK_WORDS];
	} sample;
	struct mapping_set *maps;
	struct unwind_build build;
	struct unwind_table table;
	struct unwind_file file, none;
	uint32_t *chunk;
	struct host_stack stack;
	uint32_t lacks;
};

static struct scene scene;

static const struct unwind_file *file_of(void *context, uint32_t image)
{
	struct scene *s = context;

	return image == IMAGE ? &s->file : image == OTHER_IMAGE ? &s->none : NULL;
}

static const uint32_t *chunk_of(void *context, uint32_t number)
{
	return number ? NULL : ((struct scene *)context)->chunk;
}

static const struct unwind_rule *rule_of(void *context, uint32_t number)
{
	const struct scene *s = context;

	return number < s->table.rule_count ? &s->table.rules[number] : NULL;
}

static void map(uint64_t start, uint32_t image, uint64_t offset, bool memory)
{
	struct mapping mapping = {start, start + 0x10000, offset, image, memory};

	ck_assert_int_eq(mapping_set_insert(scene.maps, &mapping), 0);
}

static void begin(void)
{
	scene = (struct scene){.maps = mapping_set_create(),
			       .chunk = calloc(UNWIND_CHUNK_WORDS, sizeof(uint32_t))};
	map(CODE, IMAGE, OFFSET, false);
	map(OTHER, OTHER_IMAGE, 0, false);
	map(JIT, 0, 0, true);
	scene.sample.raw.address = STACK;
	scene.sample.raw.bytes = sizeof(scene.sample.words);
	scene.sample.raw.registers[UNWIND_RSP] = STACK + 64;
}

static void end(void)
{
	mapping_set_unref(scene.maps);
	unwind_table_deinit(&scene.table);
	unwind_build_deinit(&scene.build);
	free(scene.chunk);
}

/* From `at` bytes into the code on, the rule is this one. */
static void rule(uint64_t at, struct unwind_rule rule)
{
	ck_assert_int_eq(unwind_build_add(&scene.build, OFFSET + at, &rule), 0);
}

#define RULE(kind, ...)                                                                            \
	((struct unwind_rule){.cfa = UNWIND_CFA_##kind, .ra = UNWIND_AT_CFA, ##__VA_ARGS__})
#define RSP(bytes, ...) RULE(REGISTER, .reg = UNWIND_RSP, .offset = (bytes), ##__VA_ARGS__)
#define SAVED_RBP .rbp = UNWIND_AT_CFA, .rbp_offset = -16

/* Word `index` of the stack, counted from the innermost frame's rsp. */
static void word(uint32_t index, uint64_t value)
{
	scene.sample.words[8 + index] = value;
}

static uint64_t place(uint32_t index)
{
	return STACK + 64 + index * 8ULL;
}

static bool walk(bool last)
{
	const struct host_tables tables = {file_of, chunk_of, rule_of, &scene, NULL};

	if (!scene.table.blocks) {
		ck_assert_int_eq(unwind_build_finish(&scene.build, &scene.table), 0);
		scene.file = (struct unwind_file){.first_block = scene.table.first_block,
						  .block_count = scene.table.block_count,
						  .rows = scene.table.block_count + 1};
		memcpy(scene.chunk, scene.table.blocks, (scene.table.block_count + 1) * 4ULL);
		memcpy(scene.chunk + scene.file.rows, scene.table.rows,
		       scene.table.row_count * 4ULL);
	}
	return host_walk(&scene.sample.raw, scene.maps, &tables, last, &scene.stack, &scene.lacks);
}

static void start_at(uint64_t ip)
{
	scene.sample.raw.ip = ip;
}

/* Walks; the frames must be these bytes of the code, innermost first, and end so. */
static void expect(enum abi_reason reason, size_t count, const uint64_t *at)
{
	ck_assert(walk(true));
	ck_assert_uint_eq(scene.stack.stack.hdr.reason, reason);
	ck_assert_uint_eq(scene.stack.stack.count, count);
	for (size_t i = 0; i < count; i++)
		ck_assert_uint_eq(scene.stack.frames[i], ABI_FRAME(IMAGE, OFFSET + at[i]));
}

#define EXPECT(reason, ...)                                                                        \
	do {                                                                                       \
		const uint64_t at_[] = {__VA_ARGS__};                                              \
		expect(ABI_REASON_##reason, sizeof(at_) / sizeof(at_[0]), at_);                    \
	} while (0)

/* ---- rules ---- */

START_TEST(by_the_stack_pointer)
{
	rule(0x000, RSP(24));
	rule(0x100, RSP(8));
	rule(0x200, RULE(END));
	start_at(CODE + 0x10);
	word(2, CODE + 0x150);
	word(3, CODE + 0x220);
	EXPECT(COMPLETE, 0x10, 0x14f, 0x21f);
}
END_TEST

START_TEST(a_return_address_is_looked_up_in_its_call)
{
	/* The call that never returns is the last thing of its function. */
	rule(0x000, RSP(8));
	rule(0x100, RSP(16));
	rule(0x200, RULE(NONE));
	rule(0x300, RULE(END));
	start_at(CODE);
	word(0, CODE + 0x200);
	word(2, CODE + 0x310);
	EXPECT(COMPLETE, 0, 0x1ff, 0x30f);
}
END_TEST

START_TEST(by_rbp_and_back)
{
	rule(0x000, RSP(8));
	rule(0x100, RULE(REGISTER, .reg = UNWIND_RBP, .offset = 16, SAVED_RBP));
	rule(0x200, RULE(REGISTER, .reg = UNWIND_RBP, .offset = 16, SAVED_RBP));
	rule(0x300, RULE(END));
	start_at(CODE);
	scene.sample.raw.registers[UNWIND_RBP] = place(10);
	word(0, CODE + 0x110);
	word(10, place(20));
	word(11, CODE + 0x210);
	word(20, 0);
	word(21, CODE + 0x310);
	EXPECT(COMPLETE, 0, 0x10f, 0x20f, 0x30f);
}
END_TEST

START_TEST(realigned_and_plt)
{
	/* PLT: after 11 bytes of the entry one more word is on the stack. */
	rule(0x000, RULE(PLT, .reg = UNWIND_RSP, .offset = 8, .extra = 11));
	rule(0x100, RULE(DEREF, .reg = UNWIND_RBP, .offset = -8, .rbp = UNWIND_AT_RBP));
	rule(0x200, RULE(END));
	start_at(CODE + 0xb);
	scene.sample.raw.registers[UNWIND_RBP] = place(10);
	word(1, CODE + 0x110);
	word(9, place(30)); /* the CFA */
	word(29, CODE + 0x210);
	EXPECT(COMPLETE, 0xb, 0x10f, 0x20f);
	start_at(CODE + 0xa);
	word(0, CODE + 0x110);
	EXPECT(COMPLETE, 0xa, 0x10f, 0x20f);
}
END_TEST

START_TEST(out_of_a_signal)
{
	rule(0x000, RSP(8));
	rule(0x0ff, RULE(SIGNAL)); /* as glibc has it: from a byte before */
	/* What it hit: CFA by rbx, which the context holds. The address before it is
	 * another function's: it must not be looked up. */
	rule(0x200, RULE(NONE));
	rule(0x280, RULE(REGISTER, .reg = UNWIND_RBX, .offset = 8));
	rule(0x300, RULE(END));
	start_at(CODE);
	word(0, CODE + 0x100);
	word(1 + 15, 0); /* rbp */
	word(1 + 16, place(60)); /* rbx */
	word(1 + 20, place(50)); /* rsp */
	word(1 + 21, CODE + 0x280); /* rip */
	word(60, CODE + 0x310);
	EXPECT(COMPLETE, 0, 0x100, 0x280, 0x30f);
}
END_TEST

START_TEST(return_address_in_a_register)
{
	rule(0x000, (struct unwind_rule){.cfa = UNWIND_CFA_REGISTER,
					 .reg = UNWIND_RSP,
					 .ra = UNWIND_IN_REGISTER,
					 .extra = UNWIND_RBX});
	rule(0x100, RULE(END));
	start_at(CODE);
	scene.sample.raw.registers[UNWIND_RBX] = CODE + 0x110;
	EXPECT(COMPLETE, 0, 0x10f);
}
END_TEST

START_TEST(a_saved_register_is_found_frames_later)
{
	/* rbx is saved by the second frame at CFA - 16, not by the third; the fourth
	 * needs it. r12 is never saved: it is in the register all the way. */
	rule(0x000, RSP(8));
	rule(0x100, RSP(24, .saved = UNWIND_SAVED(0, 2)));
	rule(0x200, RSP(8));
	rule(0x300, RULE(REGISTER, .reg = UNWIND_RBX, .offset = 8));
	rule(0x400, RULE(REGISTER, .reg = UNWIND_R12, .offset = 8));
	rule(0x500, RULE(END));
	start_at(CODE);
	scene.sample.raw.registers[UNWIND_RBX] = 0xbad;
	scene.sample.raw.registers[UNWIND_R12] = place(50);
	word(0, CODE + 0x110);
	word(2, place(40));
	word(3, CODE + 0x210);
	word(4, CODE + 0x310);
	word(40, CODE + 0x410);
	word(50, CODE + 0x510);
	EXPECT(COMPLETE, 0, 0x10f, 0x20f, 0x30f, 0x40f, 0x50f);
}
END_TEST

START_TEST(what_no_rule_says)
{
	rule(0x000, RSP(8));
	rule(0x100, RSP(16, .saved = UNWIND_SAVED(0, UNWIND_SAVED_UNKNOWN)));
	rule(0x200, RULE(REGISTER, .reg = UNWIND_RBX, .offset = 8));
	rule(0x300, RULE(REGISTER, .reg = 0, .offset = 8)); /* rax: nobody gives it back */
	rule(0x400, RULE(UNSUPPORTED, .extra = 0x77));
	start_at(CODE);
	word(0, CODE + 0x110);
	word(2, CODE + 0x210);
	EXPECT(UNKNOWN_REGISTER, 0, 0x10f, 0x20f);
	word(0, CODE + 0x310);
	EXPECT(UNKNOWN_REGISTER, 0, 0x30f);
	word(0, CODE + 0x410);
	EXPECT(UNSUPPORTED, 0, 0x40f);
	/* At the innermost frame all registers are known. */
	start_at(CODE + 0x300);
	scene.sample.raw.registers[0] = place(5);
	word(5, CODE + 0x410);
	EXPECT(UNSUPPORTED, 0x300, 0x40f);
}
END_TEST

/* ---- addresses that no call pushed ---- */

/* The code lies right behind the stack here: it is all that can be read. */
static uint64_t lay_code(const uint8_t *bytes, size_t size)
{
	memcpy((uint8_t *)&scene.sample.words[STACK_WORDS - 8], bytes, size);
	map(STACK + sizeof(scene.sample.words) - 64, IMAGE, OFFSET + 0x8000, false);
	return STACK + sizeof(scene.sample.words) - 64 + 8;
}

static const uint8_t sigreturn[] = {0x66, 0x90, 0x66, 0x90, 0x66, 0x90, 0x66, 0x90, 0x48,
				    0xc7, 0xc0, 0x0f, 0,    0,    0,    0x0f, 0x05};

START_TEST(a_signal_without_rules)
{
	uint64_t trampoline = lay_code(sigreturn, sizeof(sigreturn));

	rule(0x000, RSP(8));
	rule(0x300, RULE(END));
	rule(0x310, RULE(NONE));
	start_at(CODE);
	word(0, trampoline);
	word(1 + 20, place(50)); /* rsp */
	word(1 + 21, CODE + 0x305); /* rip */
	EXPECT(COMPLETE, 0, 0x8008, 0x305);
}
END_TEST

START_TEST(a_stack_that_was_made)
{
	uint8_t code[17] = {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x48, 0x89, 0xdc};
	uint64_t bottom = lay_code(code, sizeof(code));

	rule(0x000, RSP(8));
	rule(0x310, RULE(NONE));
	rule(0x8008, RSP(8));
	start_at(CODE);
	word(0, bottom);
	EXPECT(COMPLETE, 0, 0x8008);
	/* It follows a call: somebody called, and never got back. */
	code[3] = 0xe8;
	memcpy((uint8_t *)&scene.sample.words[STACK_WORDS - 8], code, sizeof(code));
	EXPECT(NO_ROW, 0, 0x8007);
	code[3] = 0;
	code[7] = 0x42; /* no padding */
	memcpy((uint8_t *)&scene.sample.words[STACK_WORDS - 8], code, sizeof(code));
	EXPECT(NO_ROW, 0, 0x8007);
}
END_TEST

/* ---- the frame pointer ---- */

START_TEST(through_code_without_a_file)
{
	rule(0x000, RSP(8));
	rule(0x100, RULE(REGISTER, .reg = UNWIND_RBX, .offset = 8));
	rule(0x200, RULE(END));
	start_at(JIT + 5);
	scene.sample.raw.registers[UNWIND_RBP] = place(4);
	word(4, place(10));
	word(5, CODE + 0x210);
	ck_assert(walk(true));
	ck_assert_uint_eq(scene.stack.stack.hdr.reason, ABI_REASON_COMPLETE);
	ck_assert_uint_eq(scene.stack.stack.count, 2);
	ck_assert_uint_eq(scene.stack.frames[0], JIT + 5);
	/* What such code did with rbx, nobody knows. */
	word(5, CODE + 0x110);
	scene.sample.raw.registers[UNWIND_RBX] = place(20);
	word(20, CODE + 0x210);
	ck_assert(walk(true));
	ck_assert_uint_eq(scene.stack.stack.hdr.reason, ABI_REASON_UNKNOWN_REGISTER);
}
END_TEST

START_TEST(ends_of_the_chain)
{
	const struct {
		uint64_t rbp, saved, address;
		enum abi_reason reason;
	} cases[] = {
		{place(4), 0, JIT + 0x20, ABI_REASON_COMPLETE}, /* a link that is 0: the end */
		{place(4), 0, 0, ABI_REASON_COMPLETE},
		{0, 0, 0, ABI_REASON_NO_ROW}, /* no link of a chain at all */
		{STACK, 0, 0, ABI_REASON_NO_ROW}, /* below rsp */
		{place(4) + 1, 0, JIT, ABI_REASON_NO_ROW},
		{STACK + sizeof(scene.sample.words), 0, 0, ABI_REASON_NO_ROW},
		{place(4), 0, 0x1234, ABI_REASON_NO_ROW}, /* to no code */
		{place(4), place(4), JIT + 9, ABI_REASON_NO_ROW}, /* a circle */
	};

	rule(0, RULE(END));
	start_at(JIT);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		scene.sample.raw.registers[UNWIND_RBP] = cases[i].rbp;
		word(4, cases[i].saved);
		word(5, cases[i].address);
		ck_assert(walk(true));
		ck_assert_msg(scene.stack.stack.hdr.reason == cases[i].reason, "case %zu: %u", i,
			      scene.stack.stack.hdr.reason);
		ck_assert_uint_le(scene.stack.stack.count, 2);
	}
}
END_TEST

/* ---- bounds ---- */

START_TEST(deeper_than_the_limit)
{
	rule(0x000, RSP(8));
	rule(0x100, RULE(END));
	start_at(CODE);
	for (uint32_t i = 0; i < ABI_FRAMES_MAX + 8; i++)
		word(i, CODE + 0x20);
	ck_assert(walk(true));
	ck_assert_uint_eq(scene.stack.stack.hdr.reason, ABI_REASON_TRUNCATED);
	ck_assert_uint_eq(scene.stack.stack.count, ABI_FRAMES_MAX);
	word(ABI_FRAMES_MAX - 2, CODE + 0x110);
	ck_assert(walk(true));
	ck_assert_uint_eq(scene.stack.stack.hdr.reason, ABI_REASON_COMPLETE);
	ck_assert_uint_eq(scene.stack.stack.count, ABI_FRAMES_MAX);
}
END_TEST

START_TEST(beyond_what_was_copied)
{
	rule(0x000, RSP((int32_t)sizeof(scene.sample.words)));
	rule(0x100, RSP(-4096));
	rule(0x200, RSP(0));
	start_at(CODE);
	EXPECT(UNREADABLE, 0);
	start_at(CODE + 0x100);
	EXPECT(UNREADABLE, 0x100);
	/* No frame lies below its callee's. */
	scene.sample.raw.registers[UNWIND_RSP] = STACK + 512;
	start_at(CODE + 0x200);
	scene.sample.words[63] = CODE + 0x210;
	EXPECT(BROKEN_CHAIN, 0x200, 0x20f);
	scene.sample.raw.bytes = 0;
	EXPECT(UNREADABLE, 0x200);
}
END_TEST

/* ---- what is not known yet ---- */

START_TEST(waits_for_a_table)
{
	rule(0x000, RSP(8));
	rule(0x100, RULE(END));
	start_at(CODE);
	word(0, OTHER + 0x10);
	word(1, 0);
	scene.sample.raw.registers[UNWIND_RBP] = place(4);
	word(4, 0);
	word(5, CODE + 0x110);
	ck_assert(!walk(false));
	ck_assert_uint_eq(scene.lacks, OTHER_IMAGE);
	/* If it does not come, by the frame pointer. */
	ck_assert(walk(true));
	ck_assert_uint_eq(scene.stack.stack.hdr.reason, ABI_REASON_COMPLETE);
	ck_assert_uint_eq(scene.stack.stack.count, 3);
	ck_assert_uint_eq(scene.stack.frames[1], ABI_FRAME(OTHER_IMAGE, 0xf));
	/* If there is none, likewise, and nobody waits. */
	scene.none.none = 1;
	ck_assert(walk(false));
	ck_assert_uint_eq(scene.stack.stack.hdr.reason, ABI_REASON_COMPLETE);
}
END_TEST

START_TEST(without_mappings)
{
	struct mapping_set *maps = scene.maps;

	rule(0, RULE(END));
	start_at(CODE);
	scene.maps = NULL;
	ck_assert(walk(true));
	scene.maps = maps;
	ck_assert_uint_eq(scene.stack.stack.hdr.reason, ABI_REASON_NO_MAPPING);
	ck_assert_uint_eq(scene.stack.stack.count, 1);
	ck_assert_uint_eq(scene.stack.frames[0], CODE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host_walk");
	const struct {
		const char *name;
		const TTest *tests[8];
	} cases[] = {
		{"rules",
		 {by_the_stack_pointer, a_return_address_is_looked_up_in_its_call, by_rbp_and_back,
		  realigned_and_plt, out_of_a_signal, return_address_in_a_register,
		  a_saved_register_is_found_frames_later, what_no_rule_says}},
		{"frame_pointer", {through_code_without_a_file, ends_of_the_chain}},
		{"uncalled", {a_signal_without_rules, a_stack_that_was_made}},
		{"bounds", {deeper_than_the_limit, beyond_what_was_copied}},
		{"early", {waits_for_a_table, without_mappings}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *tcase = tcase_create(cases[i].name);

		tcase_add_checked_fixture(tcase, begin, end);
		for (size_t t = 0; t < 8 && cases[i].tests[t]; t++)
			tcase_add_test(tcase, cases[i].tests[t]);
		suite_add_tcase(suite, tcase);
	}
	return suite_main(suite);
}
