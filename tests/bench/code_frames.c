/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * code_frames [-v] FILE...: how right the rules are that are made of machine code
 * alone. Makes them for code that has call frame information (.eh_frame) as if
 * it had none, and compares the two at each instruction; a line of JSON a file.
 * -v: the first instructions at which they differ, for a look with objdump.
 *
 *	equal	the same CFA; by the same register, or by another one of which the
 *		state says that both come to the same
 *	silent	nothing is said
 *	incomparable	both say something, of which it cannot be told whether it is
 *		the same
 *	wrong	another CFA
 *	rbp_...	likewise of the caller's rbp, where the CFA is equal
 *
 * Instructions are those of functions of which .eh_frame says something that a
 * rule can say. "functions": those that it is said of, and how many have no
 * instruction that is silent or wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "symbolizer/cfi_frames.h"
#include "symbolizer/cfi_program.h"
#include "symbolizer/code_frames.h"

#define EXAMPLES 40

struct row {
	uint64_t offset;
	struct unwind_rule rule;
	struct code_state state;
	bool has_state;
};

struct counts {
	uint64_t instructions, equal, by_other, silent, wrong, incomparable;
	uint64_t rbp_equal, rbp_silent, rbp_wrong;
	uint64_t functions, whole;
};

struct comparison {
	struct elf_image image;
	VEC(struct row) rows;
	uint8_t *bytes; /* of the file */
	size_t size;
	struct counts counts;
	struct code_stats stats;
	double ms;
	bool verbose;
	unsigned int shown;
	/* The stretch of CFI under way. */
	uint64_t start, bias;
	struct unwind_rule truth;
	bool pending, whole;
};

static int add_row(void *context, uint64_t offset, const struct unwind_rule *rule,
		   const struct code_state *state)
{
	struct comparison *c = context;
	struct row row = {.offset = offset, .rule = *rule, .has_state = state != NULL};

	if (state)
		row.state = *state;
	return vec_push(&c->rows, row);
}

/* The row that holds at a file offset; NULL: before all. */
static const struct row *row_at(const struct comparison *c, uint64_t offset)
{
	size_t first = 0, last = c->rows.count;

	while (first < last) {
		size_t middle = first + (last - first) / 2;

		if (c->rows.items[middle].offset <= offset)
			first = middle + 1;
		else
			last = middle;
	}
	return first ? &c->rows.items[first - 1] : NULL;
}

/* DWARF's numbers of registers to machine code's. */
static const uint8_t machine_numbers[16] = {0, 2, 1, 3, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15};

/* The expression for stubs is right at each instruction, not at each byte. */
static bool same_in_stub(const struct row *row, const struct unwind_rule *truth, uint64_t address)
{
	int32_t offset = truth->offset + ((address & 15) >= (uint64_t)truth->extra ? 8 : 0);

	return row->rule.cfa == UNWIND_CFA_REGISTER && row->rule.reg == UNWIND_RSP &&
	       row->rule.offset == offset;
}

/* The way back to the CFA that the truth takes is one that the state knows too. */
static bool is_stored(const struct code_state *state, const struct unwind_rule *truth)
{
	const struct code_value *base = &state->registers[machine_numbers[truth->reg & 15]];

	for (uint8_t i = 0; i < state->slot_count; i++) {
		const struct code_slot *slot = &state->slots[i];

		if (slot->at.base == base->base &&
		    slot->at.offset == base->offset + truth->offset &&
		    slot->value.base == CODE_CFA && slot->value.offset == -truth->extra)
			return true;
	}
	return false;
}

static bool same_cfa(const struct row *row, const struct unwind_rule *truth, uint64_t address)
{
	const struct code_value *value;

	if (truth->cfa == UNWIND_CFA_PLT)
		return same_in_stub(row, truth, address);
	if (row->rule.cfa == truth->cfa && row->rule.reg == truth->reg &&
	    row->rule.offset == truth->offset &&
	    (truth->cfa != UNWIND_CFA_DEREF || row->rule.extra == truth->extra))
		return true;
	if (truth->cfa == UNWIND_CFA_DEREF && row->has_state)
		return is_stored(&row->state, truth);
	if (truth->cfa != UNWIND_CFA_REGISTER || truth->ra != UNWIND_AT_CFA || !row->has_state)
		return false;
	value = &row->state.registers[machine_numbers[truth->reg & 15]];
	return value->base == CODE_CFA && value->offset == -truth->offset;
}

static bool is_saved_at(const struct row *row, int32_t offset)
{
	for (uint8_t i = 0; row->has_state && i < row->state.slot_count; i++) {
		const struct code_slot *slot = &row->state.slots[i];

		if (slot->value.base == CODE_CALLER && slot->value.offset == CODE_RBP &&
		    slot->at.base == CODE_CFA && slot->at.offset == offset)
			return true;
	}
	return false;
}

static bool same_rbp(const struct row *row, const struct unwind_rule *truth)
{
	if (row->rule.rbp == truth->rbp && row->rule.rbp_offset == truth->rbp_offset)
		return true;
	if (truth->rbp == UNWIND_AT_CFA)
		return is_saved_at(row, truth->rbp_offset);
	return truth->rbp == UNWIND_SAME && row->has_state &&
	       row->state.registers[CODE_RBP].base == CODE_CALLER &&
	       row->state.registers[CODE_RBP].offset == CODE_RBP;
}

/* The two find the CFA in ways of which nothing says whether they come to the same:
 * by a register (rax in a prologue of OpenSSL's) that the state has lost sight of. */
static bool is_incomparable(const struct row *row, const struct unwind_rule *truth,
			    uint64_t address)
{
	bool by_stack = truth->reg == UNWIND_RSP || truth->reg == UNWIND_RBP;

	return row->has_state && !same_cfa(row, truth, address) &&
	       ((truth->cfa == UNWIND_CFA_REGISTER && !by_stack) ||
		truth->cfa == UNWIND_CFA_DEREF || truth->ra == UNWIND_IN_REGISTER);
}

static void show(struct comparison *c, const char *what, uint64_t offset, const struct row *row)
{
	const struct unwind_rule *a = &c->truth, *b = &row->rule;

	if (!c->verbose || c->shown++ >= EXAMPLES)
		return;
	fprintf(stderr, "%s at %llx: cfi %u r%u%+d%+d rbp %u %d; code %u r%u%+d%+d rbp %u %d\n",
		what, (unsigned long long)(offset - c->bias), a->cfa, a->reg, a->offset, a->extra,
		a->rbp, a->rbp_offset, b->cfa, b->reg, b->offset, b->extra, b->rbp, b->rbp_offset);
}

static void compare_one(struct comparison *c, uint64_t offset)
{
	const struct row *row = row_at(c, offset);

	c->counts.instructions++;
	if (!row || row->rule.cfa == UNWIND_CFA_NONE) {
		c->counts.silent++;
		c->whole = false;
	} else if (is_incomparable(row, &c->truth, offset - c->bias)) {
		c->counts.incomparable++;
	} else if (!same_cfa(row, &c->truth, offset - c->bias)) {
		c->counts.wrong++;
		c->whole = false;
		show(c, "wrong", offset, row);
	} else {
		c->counts.equal++;
		c->counts.by_other += row->rule.reg != c->truth.reg;
		if (same_rbp(row, &c->truth)) {
			c->counts.rbp_equal++;
		} else if (row->rule.rbp == UNWIND_UNDEFINED) {
			c->counts.rbp_silent++;
		} else {
			c->counts.rbp_wrong++;
			show(c, "rbp", offset, row);
		}
	}
}

/* The instructions from where the last row began up to here. */
static void compare_up_to(struct comparison *c, uint64_t end)
{
	uint64_t at = c->start;
	struct code_insn insn;

	if (!c->pending || c->truth.cfa == UNWIND_CFA_UNSUPPORTED)
		return;
	for (; at < end && at < c->size; at += insn.length) {
		if (!code_insn_decode(c->bytes + at, c->size - at, 0, &insn))
			return;
		if (!insn.padding)
			compare_one(c, at);
	}
}

static int cfi_row(void *context, uint64_t start, const struct unwind_rule *rule)
{
	struct comparison *c = context;

	compare_up_to(c, start + c->bias);
	c->start = start + c->bias;
	c->truth = *rule;
	c->pending = true;
	return 0;
}

static int compare_function(struct comparison *c, const struct cfi_section *section,
			    const struct cfi_frames *frames, const struct cfi_fde *fde,
			    struct error *error)
{
	const struct cfi_cie *cie = &frames->cies.items[fde->cie];
	struct cfi_state state = {0};
	struct cfi_run run = {.section = section,
			      .cie = cie,
			      .fde = fde,
			      .start = &state,
			      .from = fde->start,
			      .to = fde->start + fde->length,
			      .row = cfi_row,
			      .context = c};
	uint64_t offset;
	int r;

	if (!fde->length || !elf_image_code_end(&c->image, fde->start) ||
	    !elf_image_offset(&c->image, fde->start, &offset))
		return 0;
	c->bias = offset - fde->start;
	c->pending = false;
	c->whole = true;
	r = cfi_program_start(section, cie, error, &state);
	if (!r)
		r = cfi_program_run(&run, error);
	if (r < 0)
		return r;
	compare_up_to(c, offset + fde->length);
	c->counts.functions++;
	c->counts.whole += c->whole;
	return 0;
}

static int compare_all(struct comparison *c, struct error *error)
{
	struct cfi_section section = {0};
	struct cfi_frames frames = {0};
	int r = cfi_section_read(&c->image, CFI_EH_FRAME, error, &section);

	if (r == -ENOENT)
		return error_set(error, r, "there is no .eh_frame to compare with");
	if (!r)
		r = cfi_section_check(&section, error);
	if (!r)
		r = cfi_frames_read(&section, error, &frames);
	for (size_t i = 0; i < frames.fdes.count && !r; i++)
		r = compare_function(c, &section, &frames, &frames.fdes.items[i], error);
	cfi_frames_deinit(&frames);
	cfi_section_deinit(&section);
	return r;
}

/* All that is executable, as if nobody said anything of it. */
static int make_rows(struct comparison *c, struct error *error)
{
	code_gaps_vec gaps = {0};
	struct code_frames frames = {
		.image = &c->image, .gaps = &gaps, .row = add_row, .context = c};
	uint64_t start = clock_boot_ns();
	int r = 0;

	for (size_t i = 0; i < c->image.segments.count && !r; i++) {
		const struct elf_segment *segment = &c->image.segments.items[i];

		if (segment->executable)
			r = vec_push(&gaps,
				     (struct code_gap){segment->offset,
						       segment->offset + segment->file_size});
	}
	if (!r)
		r = code_frames_run(&frames, error);
	vec_free(&gaps);
	c->stats = frames.stats;
	c->ms = (double)(clock_boot_ns() - start) / NSEC_PER_MSEC;
	return r;
}

static void print(const char *path, const struct comparison *c)
{
	const struct counts *n = &c->counts;
	double all = (double)(n->instructions ? n->instructions : 1);
	double said = (double)(n->equal + n->wrong ? n->equal + n->wrong : 1);
	double rbp = (double)(n->equal ? n->equal : 1);

	printf("{\"file\": \"%s\", \"instructions\": %llu, \"said_percent\": %.3f, "
	       "\"equal_percent_of_said\": %.4f, \"wrong\": %llu, \"silent\": %llu, "
	       "\"by_another_register\": %llu, \"incomparable\": %llu, \"rbp_equal_percent\": "
	       "%.4f, \"rbp_silent\": %llu, "
	       "\"rbp_wrong\": %llu, \"functions\": %llu, \"whole_functions\": %llu, "
	       "\"bytes\": %llu, \"cut\": %s, \"ms\": %.1f}\n",
	       path, (unsigned long long)n->instructions,
	       100.0 * (double)(n->instructions - n->silent) / all, 100.0 * (double)n->equal / said,
	       (unsigned long long)n->wrong, (unsigned long long)n->silent,
	       (unsigned long long)n->by_other, (unsigned long long)n->incomparable,
	       100.0 * (double)n->rbp_equal / rbp, (unsigned long long)n->rbp_silent,
	       (unsigned long long)n->rbp_wrong, (unsigned long long)n->functions,
	       (unsigned long long)n->whole, (unsigned long long)c->stats.bytes,
	       c->stats.cut ? "true" : "false", c->ms);
}

static int compare_file(const char *path, bool verbose, struct error *error)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct comparison c = {.verbose = verbose};
	int r;

	if (fd < 0)
		return error_set(error, -errno, "%s", strerror(errno));
	r = elf_image_init(&c.image, fd, error);
	if (r < 0)
		return r;
	c.size = c.image.file_size;
	c.bytes = mmap(NULL, c.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (c.bytes == MAP_FAILED)
		r = error_set(error, -errno, "%s", strerror(errno));
	if (!r)
		r = make_rows(&c, error);
	if (!r)
		r = compare_all(&c, error);
	if (!r)
		print(path, &c);
	if (c.bytes != MAP_FAILED)
		munmap(c.bytes, c.size);
	vec_free(&c.rows);
	elf_image_deinit(&c.image);
	return r;
}

int main(int argc, char **argv)
{
	bool verbose = argc > 1 && !strcmp(argv[1], "-v");
	int failed = 0;

	for (int i = 1 + verbose; i < argc; i++) {
		struct error error = {0};

		if (compare_file(argv[i], verbose, &error) < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], error.text);
			failed = 1;
		}
	}
	return failed;
}
