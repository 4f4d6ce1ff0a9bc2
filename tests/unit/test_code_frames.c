/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Code without call frame information: hand-written functions of each form, whose
 * rules are known; compiled programs, whose rules the compiler has written down,
 * which must come out alike without looking; musl, which has none.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/cfi.h"
#include "symbolizer/code_frames.h"
#include "symbolizer/unwind_build.h"
#include "tests/unit/suite.h"
#include "tests/unit/workshop.h"

static struct workshop shop;

struct file {
	int fd;
	struct elf_image image;
	struct cfi_stats stats;
	struct unwind_table table;
};

static void open_file(const char *path, struct file *file)
{
	struct error error = {0};

	file->fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(file->fd, 0);
	ck_assert_msg(!elf_image_init(&file->image, file->fd, &error), "%s: %s", path, error.text);
	ck_assert_msg(!cfi_build(&file->image, &error, &file->stats, &file->table), "%s: %s", path,
		      error.text);
}

static void close_file(struct file *file)
{
	unwind_table_deinit(&file->table);
	elf_image_deinit(&file->image);
	close(file->fd);
}

/* File offset and size of a symbol of .symtab. */
static uint64_t find_symbol(const struct file *file, const char *name, uint64_t *ret_size)
{
	Elf_Scn *scn = NULL;
	uint64_t offset = 0;

	while ((scn = elf_nextscn(file->image.elf, scn))) {
		Elf_Data *data;
		GElf_Shdr header;
		GElf_Sym symbol;

		ck_assert_ptr_nonnull(gelf_getshdr(scn, &header));
		if (header.sh_type != SHT_SYMTAB)
			continue;
		data = elf_getdata(scn, NULL);
		for (int i = 1; gelf_getsym(data, i, &symbol); i++) {
			if (strcmp(elf_strptr(file->image.elf, header.sh_link, symbol.st_name),
				   name) != 0)
				continue;
			ck_assert(elf_image_offset(&file->image, symbol.st_value, &offset));
			*ret_size = symbol.st_size;
			return offset;
		}
	}
	ck_abort_msg("no symbol %s", name);
	return 0;
}

static uint64_t symbol_offset(const struct file *file, const char *name)
{
	uint64_t size;

	return find_symbol(file, name, &size);
}

static void expect_at(const struct file *file, const char *name, int64_t bytes,
		      struct unwind_rule want)
{
	const struct unwind_rule *rule =
		unwind_table_find(&file->table, symbol_offset(file, name) + (uint64_t)bytes);

	ck_assert_msg(rule != NULL, "no rule at %s%+d", name, (int)bytes);
	ck_assert_msg(!memcmp(rule, &want, sizeof(want)),
		      "%s%+d: cfa %u reg %u offset %d rbp %u %d ra %u extra %d", name, (int)bytes,
		      rule->cfa, rule->reg, rule->offset, rule->rbp, rule->rbp_offset, rule->ra,
		      rule->extra);
}

#define RULE(kind, ...)                                                                            \
	((struct unwind_rule){.cfa = UNWIND_CFA_##kind, .ra = UNWIND_AT_CFA, ##__VA_ARGS__})
#define BY_RSP(n, ...) RULE(REGISTER, .reg = UNWIND_RSP, .offset = (n), ##__VA_ARGS__)
#define BY_RBP(n, ...) RULE(REGISTER, .reg = UNWIND_RBP, .offset = (n), ##__VA_ARGS__)
#define SAVED(n) .rbp = UNWIND_AT_CFA, .rbp_offset = (n)

/* Assembles functions without a word of call frame information. The labels whose
 * names begin with a dot would be gone: so none does. */
static void assemble(const char *name, const char *source, const char *flags, struct file *file)
{
	struct strbuf all = {0};
	char path[256], command[256];

	strbuf_puts(&all, ".macro function name\n.type \\name,@function\n\\name:\n.endm\n.text\n");
	strbuf_puts(&all, source);
	strbuf_puts(&all, ".section .note.GNU-stack,\"\",@progbits\n");
	snprintf(command, sizeof(command), "-nostdlib -Wl,--no-ld-generated-unwind-info %s", flags);
	workshop_build(&shop, name, ".s", all.data, command, path);
	strbuf_deinit(&all);
	open_file(path, file);
}

START_TEST(plain_frames)
{
	static const char source[] =
		"function leaf\n mov %edi, %eax\n leaf1: ret\n"
		"function pushes\n push %rbx\n pushes1: push %rbp\n pushes2: sub $24, %rsp\n"
		"pushes3: xor %ebp, %ebp\n pushes4: call leaf\n pushes5: add $24, %rsp\n"
		"pushes6: pop %rbp\n pushes7: pop %rbx\n pushes8: ret\n"
		"function pointer\n push %rbp\n mov %rsp, %rbp\n pointer1: sub $100, %rsp\n"
		"sub %rax, %rsp\n pointer2: call leaf\n leave\n pointer3: ret\n"
		"function early\n push %rbx\n test %edi, %edi\n je early2\n pop %rbx\n"
		"early1: ret\n early2: mov %edi, %ebx\n early3: pop %rbx\n jmp leaf\n"
		"function stored\n sub $40, %rsp\n mov %rbp, 16(%rsp)\n lea 4(%rdi), %rbp\n"
		"stored1: call leaf\n mov 16(%rsp), %rbp\n stored2: lea 40(%rsp), %rsp\n"
		"stored3: ret\n";
	struct file file;

	assemble("plain", source, "-shared", &file);
	expect_at(&file, "leaf", 0, BY_RSP(8));
	expect_at(&file, "leaf1", 0, BY_RSP(8));
	expect_at(&file, "pushes", 0, BY_RSP(8));
	expect_at(&file, "pushes1", 0, BY_RSP(16));
	expect_at(&file, "pushes2", 0, BY_RSP(24));
	expect_at(&file, "pushes3", 0, BY_RSP(48));
	expect_at(&file, "pushes4", 0, BY_RSP(48, SAVED(-24)));
	expect_at(&file, "pushes6", 0, BY_RSP(24, SAVED(-24)));
	expect_at(&file, "pushes7", 0, BY_RSP(16));
	expect_at(&file, "pushes8", 0, BY_RSP(8));
	expect_at(&file, "pointer1", 0, BY_RBP(16, SAVED(-16)));
	expect_at(&file, "pointer2", 0, BY_RBP(16, SAVED(-16)));
	expect_at(&file, "pointer3", 0, BY_RSP(8));
	expect_at(&file, "early1", 0, BY_RSP(8));
	expect_at(&file, "early2", 0, BY_RSP(16));
	expect_at(&file, "early3", 0, BY_RSP(16, .saved = UNWIND_SAVED(0, 2)));
	expect_at(&file, "stored1", 0, BY_RSP(48, SAVED(-32)));
	expect_at(&file, "stored2", 0, BY_RSP(48));
	expect_at(&file, "stored3", 0, BY_RSP(8));
	ck_assert(!file.stats.code.cut);
	ck_assert_uint_gt(file.stats.code.known, 0);
	close_file(&file);
}
END_TEST

/* gcc's way to a stack aligned to 32 bytes, and OpenSSL's. */
START_TEST(aligned_frames)
{
	static const char source[] =
		"function drap\n lea 8(%rsp), %r10\n and $-32, %rsp\n drap1: push -8(%r10)\n"
		"push %rbp\n mov %rsp, %rbp\n push %r10\n drap2: sub $64, %rsp\n call drap\n"
		"drap3: mov -8(%rbp), %r10\n leave\n lea -8(%r10), %rsp\n drap4: ret\n"
		"function kept\n mov %rsp, %rax\n push %rbp\n sub $64, %rsp\n and $-64, %rsp\n"
		"kept1: mov %rax, 24(%rsp)\n xor %ebp, %ebp\n kept2: call drap\n"
		"mov 24(%rsp), %rsi\n mov -8(%rsi), %rbp\n lea (%rsi), %rsp\n kept3: ret\n";
	struct file file;

	assemble("aligned", source, "-shared", &file);
	expect_at(&file, "drap1", 0, RULE(REGISTER, .reg = UNWIND_R10));
	expect_at(&file, "drap2", 0,
		  RULE(DEREF, .reg = UNWIND_RBP, .offset = -8, .rbp = UNWIND_AT_RBP));
	expect_at(&file, "drap3", 0,
		  RULE(DEREF, .reg = UNWIND_RBP, .offset = -8, .rbp = UNWIND_AT_RBP));
	expect_at(&file, "drap4", 0, BY_RSP(8));
	expect_at(&file, "kept1", 0, RULE(REGISTER, .offset = 8));
	expect_at(&file, "kept2", 0,
		  RULE(DEREF, .reg = UNWIND_RSP, .offset = 24, .extra = 8, SAVED(-16)));
	expect_at(&file, "kept3", 0, BY_RSP(8));
	close_file(&file);
}
END_TEST

/* What cannot be known is not said. */
START_TEST(nothing_known)
{
	static const char source[] =
		/* as many words as the loop has rounds */
		"function loop\n push %rbx\n loop1: push %rax\n dec %edi\n jne loop1\n"
		"loop2: call leaf\n hlt\n"
		/* who jumps leaves a word more on the stack than who does not */
		"function torn\n test %edi, %edi\n je torn1\n push %rax\n"
		"torn1: mov %edi, %eax\n torn2: hlt\n"
		"function switched\n mov 8(%rdi), %rsp\n switched1: mov 16(%rdi), %rbp\n"
		"jmp *24(%rdi)\n"
		/* returns to what it has pushed: a wrong idea of the stack, or a trick */
		"function trick\n push %rax\n trick1: ret\n"
		"function overwritten\n push %rbp\n xor %ebp, %ebp\n movl $1, (%rsp)\n"
		"overwritten1: call leaf\n hlt\n"
		"function leaf\n ret\n";
	struct file file;

	assemble("nothing", source, "-shared", &file);
	expect_at(&file, "loop", 0, BY_RSP(8));
	expect_at(&file, "loop1", 0, RULE(NONE));
	expect_at(&file, "loop2", 0, RULE(NONE));
	expect_at(&file, "torn1", 0, RULE(NONE));
	expect_at(&file, "torn2", 0, RULE(NONE));
	expect_at(&file, "switched", 0, BY_RSP(8));
	expect_at(&file, "switched1", 0, RULE(NONE));
	expect_at(&file, "trick", 0, RULE(NONE));
	expect_at(&file, "trick1", 0, RULE(NONE));
	expect_at(&file, "overwritten1", 0, BY_RSP(16, .rbp = UNWIND_UNDEFINED));
	close_file(&file);
}
END_TEST

/* Parts that no jump leads to, and what follows a call that does not come back. */
START_TEST(odd_ways)
{
	static const char source[] =
		"function table\n push %rbx\n sub $16, %rsp\n jmp *%rax\n"
		"case1: add $16, %rsp\n pop %rbx\n ret\n case2: inc %ebx\n jmp case1\n"
		"function dies\n sub $8, %rsp\n ud2\n"
		"function asserts\n sub $72, %rsp\n test %edi, %edi\n je cold\n"
		"asserts1: add $72, %rsp\n ret\n"
		"function other\n push %rbx\n test %edi, %edi\n je cold2\n pop %rbx\n ret\n"
		"cold: call dies\n cold2: mov %edi, %esi\n cold3: call unknown\n pop %rbx\n"
		"ret\n"
		"function hides\n sub $24, %rsp\n test %edi, %edi\n jne hides2\n call unknown\n"
		/* which does not return, as the next way in shows */
		"hides1: mov %edi, %eax\n ret\n hides2: add $24, %rsp\n jmp hides1\n nop\n"
		".balign 16\n"
		/* nothing points here: known by how it ends */
		"alone: push %rbp\n push %rbx\n alone1: call leaf\n pop %rbx\n pop %rbp\n"
		"alone2: ret\n .balign 16\n garbage: pop %rax\n garbage1: pop %rcx\n ret\n"
		".hidden unknown\n"
		"function leaf\n ret\n"
		"function unknown\n jmp *(%rdi)\n"
		"function points\n lea pointed(%rip), %rdi\n lea astray(%rip), %rsi\n ret\n"
		"pointed: push %rbx\n mov %rdi, %rbx\n pointed1: call leaf\n hlt\n"
		/* no function calls like this */
		"astray: push %rbx\n push %rbx\n astray1: call leaf\n hlt\n";
	struct file file;

	assemble("odd", source, "-shared -Wl,-Bsymbolic", &file);
	expect_at(&file, "case1", 0, BY_RSP(32));
	expect_at(&file, "case2", 0, BY_RSP(32));
	expect_at(&file, "asserts1", 0, BY_RSP(80));
	expect_at(&file, "cold", 0, BY_RSP(80));
	expect_at(&file, "cold2", 0, BY_RSP(16));
	expect_at(&file, "cold3", 5, BY_RSP(16));
	expect_at(&file, "hides1", 0, BY_RSP(8));
	expect_at(&file, "hides2", 0, BY_RSP(32));
	expect_at(&file, "alone1", 0, BY_RSP(24));
	expect_at(&file, "alone2", 0, BY_RSP(8));
	expect_at(&file, "pointed1", 0, BY_RSP(16, .saved = UNWIND_SAVED(0, 2)));
	expect_at(&file, "astray1", 0, RULE(NONE));
	expect_at(&file, "garbage", 0, RULE(NONE));
	expect_at(&file, "garbage1", 0, RULE(NONE));
	close_file(&file);
}
END_TEST

/* Where stacks begin and where signals come in. */
static const char outermost[] =
	".globl _start\n"
	"function _start\n xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call first\n"
	"start1: hlt\n"
	"function first\n push %rbx\n first1: call clone\n pop %rbx\n ret\n"
	"function clone\n mov $56, %eax\n clone1: syscall\n test %eax, %eax\n jne parent\n"
	"xor %ebp, %ebp\n child: pop %rdi\n call *%r9\n child1: mov $60, %eax\n syscall\n hlt\n"
	"parent: ret\n nop\n"
	"function restore\n mov $15, %rax\n restore1: syscall\n restore2: hlt\n"
	"function uses\n push %rbp\n xor %ebp, %ebp\n uses1: mov $1, %eax\n syscall\n"
	"pop %rbp\n ret\n";

START_TEST(beginnings)
{
	static const char *const flags[] = {"-static -no-pie", "-static-pie",
					    "-static -no-pie -Wl,-z,noseparate-code"};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct file file;

		assemble("outermost", outermost, flags[i], &file);
		expect_at(&file, "_start", 0, RULE(END));
		expect_at(&file, "start1", -1, RULE(END));
		expect_at(&file, "first1", 0, BY_RSP(16));
		expect_at(&file, "clone1", 0, BY_RSP(8));
		expect_at(&file, "child", 0, RULE(END));
		expect_at(&file, "child1", -1, RULE(END));
		expect_at(&file, "parent", 0, BY_RSP(8));
		/* A return address is looked up one byte before itself. */
		expect_at(&file, "restore", -1, RULE(SIGNAL));
		expect_at(&file, "restore", 0, RULE(SIGNAL));
		expect_at(&file, "restore1", 1, RULE(SIGNAL));
		expect_at(&file, "uses1", 0, BY_RSP(16, SAVED(-16)));
		close_file(&file);
	}
}
END_TEST

/* As lld and mold lay them out, which write no call frame information for them. */
START_TEST(stubs)
{
	static const char source[] =
		".section .plt,\"ax\",@progbits\n .balign 16\n plt0: push slots+8(%rip)\n"
		"plt0a: jmp *slots+16(%rip)\n .balign 16\n plt1: jmp *slots+24(%rip)\n"
		"plt1a: push $0\n plt1b: jmp plt0\n plt2: jmp *slots+32(%rip)\n"
		"plt2a: push $1\n plt2b: jmp plt0\n"
		".section .plt.sec,\"ax\",@progbits\n .balign 16\n sec1: endbr64\n"
		"sec1a: jmp *slots+24(%rip)\n .balign 16\n"
		".section .iplt,\"ax\",@progbits\n .balign 16\n iplt1: jmp *slots+40(%rip)\n"
		".balign 16, 0xcc\n"
		".data\n slots: .skip 64\n";
	struct file file;

	assemble("stubs", source, "-shared", &file);
	expect_at(&file, "plt0", 0, BY_RSP(16));
	expect_at(&file, "plt0a", 0, BY_RSP(24));
	expect_at(&file, "plt1", 0, BY_RSP(8));
	expect_at(&file, "plt1a", 0, BY_RSP(8));
	expect_at(&file, "plt1b", 0, BY_RSP(16));
	expect_at(&file, "plt2b", 0, BY_RSP(16));
	expect_at(&file, "sec1", 0, BY_RSP(8));
	expect_at(&file, "sec1a", 0, BY_RSP(8));
	expect_at(&file, "iplt1", 0, BY_RSP(8));
	close_file(&file);
}
END_TEST

/* Code of both kinds: each has its own, and neither reaches into the other. */
START_TEST(between_functions_with_cfi)
{
	static const char source[] =
		"function first\n .cfi_startproc\n .cfi_def_cfa_offset 1234\n nop\n ret\n"
		".cfi_endproc\n"
		"function middle\n push %rbx\n middle1: call first\n pop %rbx\n ret\n"
		".skip 16, 0x90\n"
		"function last\n .cfi_startproc\n .cfi_def_cfa_offset 4321\n nop\n ret\n"
		".cfi_endproc\n"
		"function after\n push %rbx\n after1: pop %rbx\n ret\n";
	struct file file;

	assemble("between", source, "-shared", &file);
	expect_at(&file, "first", 0, BY_RSP(1234));
	expect_at(&file, "middle", -1, BY_RSP(1234));
	expect_at(&file, "middle", 0, BY_RSP(8));
	expect_at(&file, "middle1", 0, BY_RSP(16));
	expect_at(&file, "last", 0, BY_RSP(4321));
	expect_at(&file, "after", 0, BY_RSP(8));
	expect_at(&file, "after1", 0, BY_RSP(16));
	ck_assert_uint_eq(file.stats.functions, 2);
	close_file(&file);
}
END_TEST

/* A few bytes between functions are padding, unless the program begins there; what
 * nobody called does not come back from its call. */
START_TEST(short_beginnings)
{
	static const char source[] =
		"function before\n .cfi_startproc\n nop\n ret\n .cfi_endproc\n"
		".globl _start\n function _start\n mov %rsp, %rdi\n call after\n start1:\n"
		".balign 32\n"
		"function after\n .cfi_startproc\n mov (%rdi), %rdi\n ret\n .cfi_endproc\n"
		"function other\n push %rbx\n call after\n pop %rbx\n ret\n";
	static const char *const flags[] = {"-static -no-pie", "-static-pie"};
	struct file file;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		assemble("short", source, flags[i], &file);
		expect_at(&file, "_start", 0, RULE(END));
		expect_at(&file, "start1", -1, RULE(END));
		expect_at(&file, "after", 0, BY_RSP(8));
		expect_at(&file, "other", 0, BY_RSP(8));
		close_file(&file);
	}
}
END_TEST

/* More than is looked at: the rest of the file has its rows all the same. */
START_TEST(too_much_code)
{
	static const char source[] =
		"function small\n .cfi_startproc\n push %rbx\n .cfi_adjust_cfa_offset 8\n"
		"small1: pop %rbx\n ret\n .cfi_endproc\n"
		"function large\n .skip 9 << 20, 0x55\n ret\n";
	struct file file;

	assemble("much", source, "-shared", &file);
	ck_assert(file.stats.code.cut);
	expect_at(&file, "small1", 0, BY_RSP(16));
	expect_at(&file, "large", 0, RULE(NONE));
	close_file(&file);
}
END_TEST

/* --- compiled code --------------------------------------------------------------- */

static const char compiled[] =
	"#include <alloca.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
	"volatile int sink;\n"
	"__attribute__((noinline)) int leaf(int a) { return a * 3 + sink; }\n"
	"__attribute__((noinline)) int many(int a, int b, int c, int d, int e, int f, int g, int "
	"h)\n { int x[40]; for (int i = 0; i < 40; i++) x[i] = leaf(a + i * b);\n"
	"  return x[c & 31] + x[d & 31] + e * leaf(f) + g * leaf(h); }\n"
	"__attribute__((noinline)) int dynamic(int n)\n"
	"{ char *p = alloca((size_t)n + 1); memset(p, n, (size_t)n); p[n] = 0; return leaf(p[n / "
	"2]); }\n __attribute__((noinline)) int chosen(int n)\n"
	"{ switch (n) { case 0: return leaf(1); case 1: return dynamic(4); case 2: sink = 3; "
	"return 9;\n"
	"  case 3: return leaf(leaf(2)); case 4: puts(\"4\"); return 4; case 5: return many(1, 2, "
	"3, 4, 5, 6, 7, n);\n"
	"  case 6: return leaf(n) + dynamic(n); default: if (n < 0) abort(); return n; } }\n"
	"__attribute__((noinline)) int aligned(int n)\n"
	"{ _Alignas(64) volatile int v[16]; for (int i = 0; i < 16; i++) v[i] = leaf(i * n);\n"
	"  return v[n & 15]; }\n"
	"static int compare(const void *a, const void *b) { return *(const int *)a - *(const int "
	"*)b; }\n"
	"__attribute__((noinline)) int recursive(int n) { return n < 1 ? leaf(n) : recursive(n - "
	"1) + leaf(n); }\n int (*volatile by_pointer)(int) = aligned;\n"
	"int main(int argc, char **argv)\n"
	"{ int x[16]; for (int i = 0; i < 16; i++) x[i] = chosen(i % 8) ^ i;\n"
	"  qsort(x, 16, sizeof(*x), compare); if (argc > 4) exit(3);\n"
	"  printf(\"%d %d %s\\n\", x[3], recursive(argc) + by_pointer(argc), argv[0]); return 0; "
	"}\n";

struct rows {
	struct unwind_build build;
	uint64_t last;
};

static int add_row(void *context, uint64_t offset, const struct unwind_rule *rule,
		   const struct code_state *state)
{
	struct rows *rows = context;

	(void)state;
	ck_assert_uint_ge(offset, rows->last);
	rows->last = offset;
	return unwind_build_add(&rows->build, offset, rule);
}

/* The table of the file as if it had no call frame information. */
static void make_blind(const struct file *file, struct unwind_table *ret)
{
	code_gaps_vec gaps = {0};
	struct rows rows = {0};
	struct code_frames frames = {
		.image = &file->image, .gaps = &gaps, .row = add_row, .context = &rows};
	struct error error = {0};

	for (size_t i = 0; i < file->image.segments.count; i++) {
		const struct elf_segment *segment = &file->image.segments.items[i];

		if (segment->executable)
			vec_push(&gaps, (struct code_gap){segment->offset,
							  segment->offset + segment->file_size});
	}
	ck_assert_msg(!code_frames_run(&frames, &error), "%s", error.text);
	ck_assert_int_eq(unwind_build_finish(&rows.build, ret), 0);
	vec_free(&gaps);
}

struct verdict {
	unsigned int compared, silent, wrong;
};

/* Of one function, at each byte. The CFA by another register is no difference that
 * could be judged from outside; there are few. */
static void compare_function(const struct file *file, const struct unwind_table *blind,
			     const char *name, struct verdict *verdict)
{
	uint64_t size, start = find_symbol(file, name, &size);

	for (uint64_t at = start; at < start + size; at++) {
		const struct unwind_rule *truth = unwind_table_find(&file->table, at);
		const struct unwind_rule *rule = unwind_table_find(blind, at);

		ck_assert_msg(truth && truth->cfa != UNWIND_CFA_NONE, "%s: no rule", name);
		verdict->compared++;
		if (!rule || rule->cfa == UNWIND_CFA_NONE)
			verdict->silent++;
		else if (rule->cfa == truth->cfa && rule->reg == truth->reg &&
			 (rule->offset != truth->offset || rule->extra != truth->extra))
			verdict->wrong++;
	}
}

START_TEST(as_the_compiler_says)
{
	static const char *const functions[] = {"leaf",    "many",    "dynamic",   "chosen",
						"aligned", "compare", "recursive", "main"};
	static const char *const flags[] = {
		"-O0",
		"-O1 -fomit-frame-pointer",
		"-O2 -fomit-frame-pointer",
		"-O3 -fomit-frame-pointer",
		"-Os -fomit-frame-pointer",
		"-O2 -fno-omit-frame-pointer",
		"-O2 -fomit-frame-pointer -fstack-protector-strong -fcf-protection "
		"-fstack-clash-protection",
		"-O2 -fomit-frame-pointer -mno-push-args -maccumulate-outgoing-args -mavx2",
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct verdict verdict = {0};
		struct unwind_table blind;
		struct file file;
		char path[256], all[256];

		snprintf(all, sizeof(all), "-w %s", flags[i]);
		workshop_build(&shop, "compiled", ".c", compiled, all, path);
		open_file(path, &file);
		make_blind(&file, &blind);
		for (size_t k = 0; k < sizeof(functions) / sizeof(functions[0]); k++)
			compare_function(&file, &blind, functions[k], &verdict);
		ck_assert_msg(verdict.compared > 500 && !verdict.wrong &&
				      verdict.silent * 50 <= verdict.compared,
			      "%s: of %u bytes %u silent, %u wrong", flags[i], verdict.compared,
			      verdict.silent, verdict.wrong);
		unwind_table_deinit(&blind);
		close_file(&file);
	}
}
END_TEST

static bool has_musl(void)
{
	return system("musl-gcc --version >/dev/null 2>&1") == 0;
}

/* Without symbols only code itself says where functions are: nearly all is found. */
START_TEST(musl)
{
	char source[256], path[256], command[1024];
	struct file file, stripped;
	uint64_t known;

	workshop_path(&shop, "musl.c", source);
	workshop_path(&shop, "musl", path);
	workshop_write(source, compiled, strlen(compiled));
	snprintf(command, sizeof(command),
		 "musl-gcc -w -O2 -fomit-frame-pointer -fno-asynchronous-unwind-tables -static "
		 "-no-pie '%s' -o '%s'",
		 source, path);
	ck_assert_int_eq(system(command), 0);
	open_file(path, &file);
	known = file.stats.code.known;
	expect_at(&file, "_start", 0, RULE(END));
	expect_at(&file, "main", 0, BY_RSP(8));
	expect_at(&file, "recursive", 0, BY_RSP(8));
	expect_at(&file, "memcpy", 0, BY_RSP(8));
	ck_assert_uint_gt(known * 100, file.stats.code.bytes * 90);
	close_file(&file);
	snprintf(command, sizeof(command), "strip '%s'", path);
	ck_assert_int_eq(system(command), 0);
	open_file(path, &stripped);
	ck_assert_uint_gt(stripped.stats.code.known * 100, known * 97);
	close_file(&stripped);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("code_frames");
	TCase *tcase = tcase_create("code_frames");
	bool can = workshop_has_compiler();
	int r;

	workshop_open(&shop);
	tcase_set_timeout(tcase, 120);
	workshop_add(tcase, can, "needs gcc", plain_frames);
	workshop_add(tcase, can, "needs gcc", aligned_frames);
	workshop_add(tcase, can, "needs gcc", nothing_known);
	workshop_add(tcase, can, "needs gcc", odd_ways);
	workshop_add(tcase, can, "needs gcc", beginnings);
	workshop_add(tcase, can, "needs gcc", stubs);
	workshop_add(tcase, can, "needs gcc", between_functions_with_cfi);
	workshop_add(tcase, can, "needs gcc", short_beginnings);
	workshop_add(tcase, can, "needs gcc", too_much_code);
	workshop_add(tcase, can, "needs gcc", as_the_compiler_says);
	workshop_add(tcase, can && has_musl(), "needs musl-gcc (Debian: musl-tools)", musl);
	suite_add_tcase(suite, tcase);
	r = suite_main(suite);
	workshop_close(&shop);
	return r;
}
