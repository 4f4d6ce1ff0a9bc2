/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For suites about call frame information: a library of hand-written .cfi_
 * directives, one for each form, and what its table says at a label.
 */
#pragma once

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/cfi.h"
#include "tests/unit/workshop.h"

static struct workshop shop;

/* Every form, each row with a label of its own. */
static const char forms[] =
	".text\n"
	".globl frame, frame1, frame3, frame4, frame_end\n"
	"frame: .cfi_startproc\n push %rbp\n"
	"frame1: .cfi_def_cfa_offset 16\n .cfi_offset rbp, -16\n mov %rsp, %rbp\n"
	".cfi_def_cfa_register rbp\n .skip 70000, 0x90\n" /* DW_CFA_advance_loc4 */
	"frame3: .cfi_remember_state\n pop %rbp\n"
	".cfi_def_cfa rsp, 8\n .cfi_restore rbp\n ret\n"
	"frame4: .cfi_restore_state\n .skip 300, 0x90\n" /* DW_CFA_advance_loc2 */
	".cfi_def_cfa_offset 1048576\n nop\n"
	"frame_end: .cfi_endproc\n"
	".globl hole, next\n"
	"hole: nop\n nop\n"
	"next: .cfi_startproc\n nop\n .cfi_endproc\n"
	".globl plt\n"
	"plt: .cfi_startproc\n"
	".cfi_escape 0x0f,0x0b,0x77,0x08,0x80,0x00,0x3f,0x1a,0x3b,0x2a,0x33,0x24,0x22\n"
	"nop\n .cfi_endproc\n"
	".globl drap, drap1\n"
	"drap: .cfi_startproc\n .cfi_def_cfa r10, 0\n nop\n"
	"drap1: .cfi_escape 0x0f,0x03,0x76,0x78,0x06\n"
	".cfi_escape 0x10,0x06,0x02,0x76,0x00\n nop\n .cfi_endproc\n"
	".globl on_stack\n" /* OpenSSL's: the old rsp was stored at rsp + 40 */
	"on_stack: .cfi_startproc\n .cfi_escape 0x0f,0x05,0x77,0x28,0x06,0x23,0x08\n"
	".cfi_escape 0x10,0x06,0x02,0x77,0x08\n nop\n .cfi_endproc\n"
	".globl linear\n"
	"linear: .cfi_startproc\n .cfi_escape 0x0f,0x02,0x77,0x18\n"
	".cfi_escape 0x10,0x06,0x02,0x77,0x08\n nop\n .cfi_endproc\n"
	".globl trampoline\n"
	"trampoline: .cfi_startproc\n .cfi_signal_frame\n"
	".cfi_escape 0x0f,0x04,0x77,0xa0,0x01,0x06\n"
	".cfi_escape 0x10,0x10,0x03,0x77,0xa8,0x01\n nop\n .cfi_endproc\n"
	".globl entry\n"
	"entry: .cfi_startproc\n .cfi_undefined rip\n nop\n .cfi_endproc\n"
	".globl in_register\n"
	"in_register: .cfi_startproc\n .cfi_def_cfa_offset 0\n .cfi_register rip, rbx\n nop\n"
	".cfi_endproc\n"
	".globl odd, odd1, odd2, odd3\n"
	"odd: .cfi_startproc\n .cfi_remember_state\n .cfi_escape 0x0f,0x03,0x77,0x00,0x12\n nop\n"
	"odd1: .cfi_restore_state\n .cfi_undefined rbp\n nop\n"
	"odd2: .cfi_offset rip, -24\n nop\n"
	"odd3: .cfi_offset rip, -8\n .cfi_same_value rbp\n nop\n .cfi_endproc\n"
	".globl after\n"
	"after: .cfi_startproc\n .cfi_escape 0x2e,0x10\n .cfi_escape 0x2f,0x06,0x02\n nop\n"
	".cfi_endproc\n"
	/* rbx and r13 pushed, r14 given back, r15 too far off for a rule, r12 lost. */
	".globl saves, saves1\n"
	"saves: .cfi_startproc\n .cfi_offset rbx, -24\n .cfi_offset r13, -32\n nop\n"
	"saves1: .cfi_restore r13\n .cfi_same_value r14\n .cfi_offset r15, -1024\n"
	".cfi_undefined r12\n nop\n .cfi_endproc\n"
	/* As drap, with rbx at rbp - 8 and r12 at CFA - 8. */
	".globl drap_saves\n"
	"drap_saves: .cfi_startproc\n .cfi_escape 0x0f,0x03,0x76,0x78,0x06\n"
	".cfi_escape 0x10,0x06,0x02,0x76,0x00\n .cfi_escape 0x10,0x03,0x02,0x76,0x78\n"
	".cfi_offset r12, -8\n nop\n .cfi_endproc\n"
	".section .note.GNU-stack,\"\",@progbits\n";

struct file {
	int fd;
	struct elf_image image;
	struct cfi_stats stats;
	struct unwind_table table;
};

static inline void open_file(const char *path, struct file *file)
{
	struct error error = {0};

	file->fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(file->fd, 0);
	ck_assert_msg(!elf_image_init(&file->image, file->fd, &error), "%s: %s", path, error.text);
	ck_assert_msg(!cfi_build(&file->image, &error, &file->stats, &file->table), "%s: %s", path,
		      error.text);
}

static inline void close_file(struct file *file)
{
	unwind_table_deinit(&file->table);
	elf_image_deinit(&file->image);
	close(file->fd);
}

static inline uint64_t symbol_offset(const struct file *file, const char *name)
{
	Elf_Scn *scn = NULL;
	uint64_t offset = 0;

	while ((scn = elf_nextscn(file->image.elf, scn))) {
		Elf_Data *data;
		GElf_Shdr header;
		GElf_Sym symbol;

		ck_assert_ptr_nonnull(gelf_getshdr(scn, &header));
		if (header.sh_type != SHT_DYNSYM)
			continue;
		data = elf_getdata(scn, NULL);
		for (int i = 1; gelf_getsym(data, i, &symbol); i++) {
			if (strcmp(elf_strptr(file->image.elf, header.sh_link, symbol.st_name),
				   name) != 0)
				continue;
			ck_assert(elf_image_offset(&file->image, symbol.st_value, &offset));
			return offset;
		}
	}
	ck_abort_msg("no symbol %s", name);
	return 0;
}

static inline const struct unwind_rule *rule_near(const struct file *file, const char *name,
						  int64_t bytes)
{
	const struct unwind_rule *rule =
		unwind_table_find(&file->table, symbol_offset(file, name) + (uint64_t)bytes);

	ck_assert_msg(rule != NULL, "no rule at %s%+d", name, (int)bytes);
	return rule;
}

static inline void build_forms(char path[256], const char *name, const char *flags)
{
	char all[256];

	snprintf(all, sizeof(all), "-shared -nostdlib -Wl,--build-id %s", flags);
	workshop_build(&shop, name, ".s", forms, all, path);
}

/* cfa, reg, offset; rbp, its offset; ra, extra. */
static inline void expect(const struct file *file, const char *name, int64_t bytes,
			  struct unwind_rule want)
{
	const struct unwind_rule *rule = rule_near(file, name, bytes);

	ck_assert_msg(!memcmp(rule, &want, sizeof(want)),
		      "%s%+d: cfa %u reg %u offset %d rbp %u %d ra %u extra %d", name, (int)bytes,
		      rule->cfa, rule->reg, rule->offset, rule->rbp, rule->rbp_offset, rule->ra,
		      rule->extra);
}

#define RULE(kind, ...)                                                                            \
	((struct unwind_rule){.cfa = UNWIND_CFA_##kind, .ra = UNWIND_AT_CFA, ##__VA_ARGS__})
#define SAVED .rbp = UNWIND_AT_CFA, .rbp_offset = -16
