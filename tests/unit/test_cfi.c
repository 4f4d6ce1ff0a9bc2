/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Programs of hand-written .cfi_ directives, one for each form, whose rules are
 * known; and the system's own libraries against what readelf makes of them, row by
 * row.
 */
#include "symbolizer/cfi_expression.h"
#include "tests/unit/cfi_fixture.h"
#include "tests/unit/suite.h"

static void check_frames(const struct file *file)
{
	const struct unwind_rule in_rbp = RULE(REGISTER, .reg = UNWIND_RBP, .offset = 16, SAVED);
	const struct unwind_rule at_entry = RULE(REGISTER, .reg = UNWIND_RSP, .offset = 8);

	expect(file, "frame", 0, at_entry);
	expect(file, "frame1", 0, RULE(REGISTER, .reg = UNWIND_RSP, .offset = 16, SAVED));
	expect(file, "frame1", 2, RULE(REGISTER, .reg = UNWIND_RSP, .offset = 16, SAVED));
	expect(file, "frame1", 3, in_rbp);
	expect(file, "frame3", -1, in_rbp);
	expect(file, "frame3", 0, in_rbp);
	expect(file, "frame3", 1, at_entry);
	expect(file, "frame4", 0, in_rbp);
	expect(file, "frame4", 299, in_rbp);
	expect(file, "frame4", 300, RULE(REGISTER, .reg = UNWIND_RBP, .offset = 1 << 20, SAVED));
	expect(file, "frame_end", 0, RULE(NONE));
	expect(file, "hole", 1, RULE(NONE));
	expect(file, "next", 0, at_entry);
}

START_TEST(every_form)
{
	struct file file;
	char path[256];

	build_forms(path, "forms", "");
	open_file(path, &file);
	check_frames(&file);
	expect(&file, "plt", 0, RULE(PLT, .reg = UNWIND_RSP, .offset = 8, .extra = 11));
	expect(&file, "drap", 0, RULE(REGISTER, .reg = UNWIND_R10));
	expect(&file, "drap1", 0,
	       RULE(DEREF, .reg = UNWIND_RBP, .offset = -8, .rbp = UNWIND_AT_RBP));
	expect(&file, "on_stack", 0,
	       RULE(DEREF, .reg = UNWIND_RSP, .offset = 40, .extra = 8, .rbp = UNWIND_UNDEFINED));
	expect(&file, "linear", 0, RULE(REGISTER, .reg = UNWIND_RSP, .offset = 24, SAVED));
	expect(&file, "trampoline", 0, RULE(SIGNAL));
	expect(&file, "entry", 0, RULE(END));
	expect(&file, "in_register", 0,
	       (struct unwind_rule){.cfa = UNWIND_CFA_REGISTER,
				    .reg = UNWIND_RSP,
				    .ra = UNWIND_IN_REGISTER,
				    .extra = UNWIND_RBX});
	expect(&file, "odd", 0, RULE(UNSUPPORTED, .extra = 0x77));
	expect(&file, "odd1", 0,
	       RULE(REGISTER, .reg = UNWIND_RSP, .offset = 8, .rbp = UNWIND_UNDEFINED));
	expect(&file, "odd2", 0, RULE(UNSUPPORTED, .extra = 0x80));
	expect(&file, "odd3", 0, RULE(REGISTER, .reg = UNWIND_RSP, .offset = 8));
	/* "Negative" is before the factor, which is negative too. */
	expect(&file, "after", 0,
	       RULE(REGISTER, .reg = UNWIND_RSP, .offset = 8, .rbp = UNWIND_AT_CFA,
		    .rbp_offset = 16));
	expect(&file, "saves", 0,
	       RULE(REGISTER, .reg = UNWIND_RSP, .offset = 8,
		    .saved = UNWIND_SAVED(0, 3) | UNWIND_SAVED(2, 4)));
	expect(&file, "saves1", 0,
	       RULE(REGISTER, .reg = UNWIND_RSP, .offset = 8,
		    .saved = UNWIND_SAVED(0, 3) | UNWIND_SAVED(1, UNWIND_SAVED_UNKNOWN) |
			     UNWIND_SAVED(4, UNWIND_SAVED_UNKNOWN)));
	expect(&file, "drap_saves", 0,
	       RULE(DEREF, .reg = UNWIND_RBP, .offset = -8, .rbp = UNWIND_AT_RBP,
		    .saved = UNWIND_SAVED(0, 1) | UNWIND_SAVED(1, UNWIND_SAVED_UNKNOWN)));
	ck_assert_uint_eq(file.stats.functions, 13);
	ck_assert_uint_eq(file.stats.unsupported, 2);
	close_file(&file);
}
END_TEST

/* Stripped, linked elsewhere, or both sections: the rules are the same. */
START_TEST(other_ways_to_lay_it_out)
{
	static const char *const flags[] = {
		"-s",
		"-Wl,-z,noseparate-code",
		"-Wl,-Ttext-segment=0x40000000",
		"-Wa,--compress-debug-sections",
		"-Wl,--no-ld-generated-unwind-info",
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct file file;
		char path[256];

		build_forms(path, "laid_out", flags[i]);
		open_file(path, &file);
		check_frames(&file);
		close_file(&file);
	}
}
END_TEST

/* Go's way: .debug_frame alone, compressed or not; and both, of which .eh_frame
 * speaks of other functions. */
START_TEST(debug_frame_where_there_is_nothing_else)
{
	static const char *const flags[] = {"", "-Wl,--compress-debug-sections=zlib",
					    "-Wl,--compress-debug-sections=zlib-gnu"};
	const char *signal = strstr(forms, ".cfi_signal_frame");
	struct strbuf source = {0};

	/* libdwarf takes no 'S' for .debug_frame. */
	strbuf_puts(&source, ".cfi_sections .debug_frame\n");
	strbuf_append(&source, forms, (size_t)(signal - forms));
	strbuf_puts(&source, signal + strlen(".cfi_signal_frame\n"));
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct file file;
		char path[256], all[256];

		snprintf(all, sizeof(all), "-shared -nostdlib %s", flags[i]);
		workshop_build(&shop, "debug_frame", ".s", source.data, all, path);
		open_file(path, &file);
		check_frames(&file);
		expect(&file, "plt", 0, RULE(PLT, .reg = UNWIND_RSP, .offset = 8, .extra = 11));
		ck_assert_uint_eq(file.stats.functions, 13);
		close_file(&file);
	}
	strbuf_deinit(&source);
}
END_TEST

START_TEST(eh_frame_goes_before_debug_frame)
{
	static const char one[] = ".globl a, b\n"
				  "a: .cfi_startproc\n nop\n .cfi_def_cfa_offset 64\n nop\n"
				  ".cfi_endproc\n";
	/* An FDE of .debug_frame by hand: all of a (2 bytes) and b (2), CFA = rsp + 32. */
	static const char other[] =
		"b: nop\n nop\n"
		".section .debug_frame,\"\",@progbits\n"
		"cie: .long 1f - 0f\n"
		"0: .long 0xffffffff\n .byte 3, 0, 1, 0x78, 16, 0x0c, 7, 32, 0x90, 1\n"
		".balign 8, 0\n"
		"1: .long 3f - 2f\n"
		"2: .long cie - cie\n .quad a, 4\n"
		"3:\n"
		".section .note.GNU-stack,\"\",@progbits\n";
	struct strbuf source = {0};
	struct file file;
	char path[256];

	strbuf_puts(&source, one);
	strbuf_puts(&source, other);
	/* Addresses in .debug_frame are absolute: not relocated in a static program. */
	workshop_build(&shop, "both", ".s", source.data,
		       "-static -nostdlib -no-pie -Wl,--export-dynamic,-e,a", path);
	open_file(path, &file);
	ck_assert_uint_eq(file.stats.functions, 2);
	ck_assert_uint_eq(file.stats.overlapped, 1);
	strbuf_deinit(&source);
	close_file(&file);
}
END_TEST

/* What follows an instruction that nobody knows is unsupported, the rest of the
 * file is not. */
START_TEST(unknown_instruction)
{
	static const char source[] = ".globl vendor, vendor1, next\n"
				     "vendor: .cfi_startproc\n nop\n"
				     "vendor1: .cfi_escape 0x3e,0x01\n nop\n .cfi_endproc\n"
				     "next: .cfi_startproc\n nop\n .cfi_endproc\n"
				     ".section .note.GNU-stack,\"\",@progbits\n";
	struct file file;
	char path[256];

	workshop_build(&shop, "vendor", ".s", source, "-shared -nostdlib 2>/dev/null", path);
	open_file(path, &file);
	expect(&file, "vendor", 0, RULE(REGISTER, .reg = UNWIND_RSP, .offset = 8));
	expect(&file, "vendor1", 0, RULE(UNSUPPORTED, .extra = 0x3e));
	expect(&file, "next", 0, RULE(REGISTER, .reg = UNWIND_RSP, .offset = 8));
	close_file(&file);
}
END_TEST

START_TEST(expressions)
{
	static const struct {
		const char *bytes;
		size_t size;
		struct cfi_expression want;
	} cases[] = {
		{"\x77\x08", 2, {CFI_EXPRESSION_LINEAR, 7, 0x77, 8, 0}},
		{"\x76\x78\x06", 3, {CFI_EXPRESSION_DEREF, 6, 0x76, -8, 0}},
		{"\x92\x06\x78\x06\x38\x22", 6, {CFI_EXPRESSION_DEREF, 6, 0x92, -8, 8}},
		{"\x38\x77\x00\x22", 4, {CFI_EXPRESSION_LINEAR, 7, 0x38, 8, 0}},
		{"\x77\x00\x0b\xf0\xff\x22\x96", 7, {CFI_EXPRESSION_LINEAR, 7, 0x77, -16, 0}},
		{"\x77\x00\x0a\x10\x00\x1c", 6, {CFI_EXPRESSION_LINEAR, 7, 0x77, -16, 0}},
		{"\x77\x08\x80\x00\x3f\x1a\x35\x2a\x33\x24\x22",
		 11,
		 {CFI_EXPRESSION_PLT, 7, 0x77, 8, 5}},
		/* rax is not rsp; not by 15; not times 8; nothing; too little; too much */
		{"\x70\x08\x80\x00\x3f\x1a\x35\x2a\x33\x24\x22",
		 11,
		 {.form = CFI_EXPRESSION_OTHER, .reg = 0, .first_opcode = 0x70}},
		{"\x77\x08\x80\x00\x3e\x1a\x35\x2a\x33\x24\x22", 11, {.first_opcode = 0x77}},
		{"\x77\x08\x80\x00\x3f\x1a\x35\x2a\x34\x24\x22", 11, {.first_opcode = 0x77}},
		{"", 0, {.first_opcode = 0}},
		{"\x77", 1, {.first_opcode = 0x77}},
		{"\x77\x80", 2, {.first_opcode = 0x77}},
		{"\x77\x08\x77\x08", 4, {.first_opcode = 0x77}},
		{"\x22", 1, {.first_opcode = 0x22}},
		{"\x06", 1, {.first_opcode = 0x06}},
		{"\x23\x08", 2, {.first_opcode = 0x23}},
		{"\x38", 1, {.first_opcode = 0x38}},
		{"\x77\x00\x06\x06", 4, {.first_opcode = 0x77}},
		{"\x2f\xfd\xff", 3, {.first_opcode = 0x2f}}, /* skip to itself */
		{"\x92\xff\xff\xff\xff\x0f\x00", 7, {.first_opcode = 0x92}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cfi_expression got;

		cfi_expression_read(cases[i].bytes, cases[i].size, &got);
		ck_assert_msg(got.form == cases[i].want.form &&
				      got.first_opcode == cases[i].want.first_opcode,
			      "%zu: form %d opcode %x", i, got.form, got.first_opcode);
		if (got.form == CFI_EXPRESSION_OTHER)
			continue;
		ck_assert_uint_eq(got.reg, cases[i].want.reg);
		ck_assert_int_eq(got.offset, cases[i].want.offset);
		ck_assert_int_eq(got.extra, cases[i].want.extra);
	}
}
END_TEST

/* ---- against readelf ---- */

struct witness { /* a row as readelf sees it */
	uint64_t address; /* ELF address */
	char cfa[32], rbp[16], ra[16], saved[UNWIND_SAVED_COUNT][16];
};

static const char *const saved_names[UNWIND_SAVED_COUNT] = {"rbx", "r12", "r13", "r14", "r15"};

struct interview {
	const struct file *file;
	const char *path;
	struct witness last; /* address UINT64_MAX: none in this function */
	uint64_t end; /* of the function */
	int rbp_column, ra_column,
		saved_columns[UNWIND_SAVED_COUNT]; /* words in a row; -1: there is none */
	uint64_t rows;
};

/* "rsp+16", "c-8": a register or the CFA, and a number. */
static bool split(const char *text, char name[8], int64_t *number)
{
	size_t n = strcspn(text, "+-");

	if (n >= 8 || !text[n])
		return false;
	memcpy(name, text, n);
	name[n] = '\0';
	*number = strtoll(text + n, NULL, 10);
	return true;
}

static int dwarf_register(const char *name)
{
	static const char *const names[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

	for (int i = 0; i < 16; i++) {
		if (!strcmp(names[i], name))
			return i;
	}
	/* In columns it is "r3 (rbx)". */
	return name[0] == 'r' && name[1] >= '0' && name[1] <= '9' ? atoi(name + 1) : -1;
}

static bool cfa_agrees(const struct unwind_rule *rule, const struct witness *witness)
{
	int64_t number = 0;
	char name[8];

	if (!strcmp(witness->cfa, "exp"))
		return rule->cfa == UNWIND_CFA_PLT || rule->cfa == UNWIND_CFA_DEREF ||
		       rule->cfa == UNWIND_CFA_SIGNAL || rule->cfa == UNWIND_CFA_UNSUPPORTED;
	return rule->cfa == UNWIND_CFA_REGISTER && split(witness->cfa, name, &number) &&
	       rule->reg == dwarf_register(name) && rule->offset == number;
}

static bool rbp_agrees(const struct unwind_rule *rule, const struct witness *witness)
{
	int64_t number = 0;
	char name[8];

	if (rule->cfa == UNWIND_CFA_SIGNAL || rule->cfa == UNWIND_CFA_UNSUPPORTED)
		return true;
	if (split(witness->rbp, name, &number))
		return rule->rbp == UNWIND_AT_CFA && !strcmp(name, "c") &&
		       rule->rbp_offset == number;
	if (!strcmp(witness->rbp, "exp"))
		return rule->rbp != UNWIND_SAME;
	/* readelf says "u" of what is undefined, and of what was not said. */
	return rule->rbp == UNWIND_SAME || rule->rbp == UNWIND_UNDEFINED;
}

static bool saved_agrees(const struct unwind_rule *rule, const char *said, uint32_t index)
{
	uint32_t words = UNWIND_SAVED_WORDS(rule->saved, index);
	int64_t number = 0;
	char name[8];

	if (rule->cfa == UNWIND_CFA_SIGNAL || rule->cfa == UNWIND_CFA_UNSUPPORTED)
		return true;
	if (!split(said, name, &number)) /* "u" as of rbp, "exp" */
		return !strcmp(said, "exp") || !words || words == UNWIND_SAVED_UNKNOWN;
	return !strcmp(name, "c") &&
	       (words == UNWIND_SAVED_UNKNOWN || number == -(int64_t)words * 8);
}

static bool row_agrees(const struct unwind_rule *rule, const struct witness *witness)
{
	if (!strcmp(witness->ra, "u"))
		return rule->cfa == UNWIND_CFA_END;
	if (strcmp(witness->ra, "c-8") != 0 && rule->cfa == UNWIND_CFA_UNSUPPORTED)
		return true; /* glibc's setcontext: the return address at CFA + 168 */
	if (!strcmp(witness->ra, "c-8") && rule->ra != UNWIND_AT_CFA)
		return false;
	if (dwarf_register(witness->ra) >= 0)
		return rule->ra == UNWIND_IN_REGISTER && rule->extra == dwarf_register(witness->ra);
	for (uint32_t i = 0; i < UNWIND_SAVED_COUNT; i++)
		if (!saved_agrees(rule, witness->saved[i], i))
			return false;
	return cfa_agrees(rule, witness) && rbp_agrees(rule, witness);
}

static void confront(struct interview *interview, uint64_t address)
{
	const struct witness *witness = &interview->last;
	const struct unwind_rule *rule;
	uint64_t offset = 0;

	ck_assert(elf_image_offset(&interview->file->image, address, &offset));
	rule = unwind_table_find(&interview->file->table, offset);
	ck_assert_msg(
		rule && row_agrees(rule, witness),
		"%s at 0x%llx: readelf says %s %s %s; cfa %d reg %d offset %d rbp %d %d ra %d 0x%x",
		interview->path, (unsigned long long)address, witness->cfa, witness->rbp,
		witness->ra, rule ? rule->cfa : -1, rule ? rule->reg : 0, rule ? rule->offset : 0,
		rule ? rule->rbp : 0, rule ? rule->rbp_offset : 0, rule ? rule->ra : 0,
		rule ? rule->saved : 0);
}

/* The row ends here: its first and its last byte are asked for. */
static void end_row(struct interview *interview, uint64_t end)
{
	uint64_t start = interview->last.address;

	interview->last.address = UINT64_MAX;
	if (start == UINT64_MAX || start >= end)
		return;
	confront(interview, start);
	interview->last.address = start;
	confront(interview, end - 1);
	interview->last.address = UINT64_MAX;
	interview->rows++;
}

static void read_columns(struct interview *interview, char *line)
{
	char *rest = NULL;
	int at = 0;

	interview->rbp_column = interview->ra_column = -1;
	for (uint32_t i = 0; i < UNWIND_SAVED_COUNT; i++)
		interview->saved_columns[i] = -1;
	for (char *word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
		if (!strcmp(word, "rbp"))
			interview->rbp_column = at;
		else if (!strcmp(word, "ra"))
			interview->ra_column = at;
		for (uint32_t i = 0; i < UNWIND_SAVED_COUNT; i++)
			if (!strcmp(word, saved_names[i]))
				interview->saved_columns[i] = at;
		at++;
	}
}

static void read_row(struct interview *interview, char *line)
{
	struct witness row = {.rbp = "u", .ra = "c-8", .saved = {"u", "u", "u", "u", "u"}};
	char *rest = NULL;
	int at = 0;

	for (char *word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
		if (word[0] == '(')
			continue;
		if (at == 0)
			row.address = strtoull(word, NULL, 16);
		else if (at == 1)
			snprintf(row.cfa, sizeof(row.cfa), "%s", word);
		else if (at == interview->rbp_column)
			snprintf(row.rbp, sizeof(row.rbp), "%s", word);
		else if (at == interview->ra_column)
			snprintf(row.ra, sizeof(row.ra), "%s", word);
		for (uint32_t i = 0; i < UNWIND_SAVED_COUNT; i++)
			if (at == interview->saved_columns[i])
				snprintf(row.saved[i], sizeof(row.saved[i]), "%s", word);
		at++;
	}
	end_row(interview, row.address);
	interview->last = row;
}

static void read_line(struct interview *interview, char *line)
{
	const char *range = strstr(line, " pc=");
	char *end = NULL;

	if (range) {
		end_row(interview, interview->end);
		strtoull(range + 4, &end, 16);
		interview->end = strtoull(end + 2, NULL, 16);
	} else if (strstr(line, " CIE ")) {
		end_row(interview, interview->end);
		interview->end = 0; /* its rows are nobody's */
	} else if (strstr(line, "   LOC ") == line) {
		read_columns(interview, line);
	} else if (interview->end && strspn(line, "0123456789abcdef") == 16) {
		read_row(interview, line);
	}
}

static void compare_with_readelf(const char *path, uint64_t rows_min)
{
	struct interview interview = {.path = path, .last.address = UINT64_MAX};
	char command[512], *line = NULL;
	struct file file;
	size_t size = 0;
	FILE *readelf;

	open_file(path, &file);
	interview.file = &file;
	snprintf(command, sizeof(command), "readelf --debug-dump=frames-interp '%s' 2>/dev/null",
		 path);
	readelf = popen(command, "r");
	ck_assert_ptr_nonnull(readelf);
	while (getline(&line, &size, readelf) > 0)
		read_line(&interview, line);
	end_row(&interview, interview.end);
	pclose(readelf); /* it fails for notes of the program that it does not know */
	ck_assert_uint_ge(interview.rows, rows_min);
	free(line);
	close_file(&file);
}

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"
#define LOADER "/lib64/ld-linux-x86-64.so.2"
#define LLVM "/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1"

START_TEST(libc_as_readelf_sees_it)
{
	compare_with_readelf(LIBC, 20000);
}
END_TEST

START_TEST(loader_as_readelf_sees_it)
{
	compare_with_readelf(LOADER, 1000);
}
END_TEST

START_TEST(llvm_as_readelf_sees_it)
{
	compare_with_readelf(LLVM, 500000);
}
END_TEST

START_TEST(forms_as_readelf_sees_them)
{
	char path[256];

	/* Not the instruction that does not exist: readelf stops there. */
	workshop_build(
		&shop, "plain", ".c",
		"#include <stdlib.h>\n#include <string.h>\n"
		"int f(int n, char *s) { char a[n]; memset(a, 1, n); return a[n / 2] + s[0]; }\n"
		"int main(int c, char **v) {\n"
		"	_Alignas(64) char room[256];\n"
		"	memset(room, c, 256);\n"
		"	return f(c + 5, v[0]) + room[c] + atoi(v[0]); }\n",
		"-O2 -fomit-frame-pointer", path);
	compare_with_readelf(path, 10);
}
END_TEST

static bool has(const char *path)
{
	return !access(path, R_OK);
}

static void add_comparisons(Suite *suite, bool compiler)
{
	bool readelf = !system("readelf --version >/dev/null 2>&1");
	TCase *tcase = tcase_create("readelf");

	tcase_set_timeout(tcase, 120);
	workshop_add(tcase, readelf && has(LIBC), "needs readelf and " LIBC,
		     libc_as_readelf_sees_it);
	workshop_add(tcase, readelf && has(LOADER), "needs readelf and " LOADER,
		     loader_as_readelf_sees_it);
	workshop_add(tcase, readelf && has(LLVM), "needs readelf and " LLVM,
		     llvm_as_readelf_sees_it);
	workshop_add(tcase, readelf && compiler, "needs readelf and gcc",
		     forms_as_readelf_sees_them);
	suite_add_tcase(suite, tcase);
}
int main(void)
{
	Suite *suite = suite_create("cfi");
	bool compiler = workshop_has_compiler();
	TCase *tcase = tcase_create("forms");
	int r;

	workshop_open(&shop);
	tcase_add_test(tcase, expressions);
	workshop_add(tcase, compiler, "needs gcc", every_form);
	workshop_add(tcase, compiler, "needs gcc", unknown_instruction);
	workshop_add(tcase, compiler, "needs gcc", other_ways_to_lay_it_out);
	workshop_add(tcase, compiler, "needs gcc", debug_frame_where_there_is_nothing_else);
	workshop_add(tcase, compiler, "needs gcc", eh_frame_goes_before_debug_frame);
	suite_add_tcase(suite, tcase);
	add_comparisons(suite, compiler);
	r = suite_main(suite);
	workshop_close(&shop);
	return r;
}
