/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/code_frames.h"

#include <errno.h>
#include <string.h>

#include "symbolizer/code_entries.h"
#include "symbolizer/code_flow.h"

static const char stub_prefixes[][6] = {".plt", ".iplt"};

struct run {
	struct code_frames *frames;
	code_ranges_vec ranges;
	struct code_returns returns;
	struct code_states states;
	uint64_t bytes;
};

/* --- ranges -------------------------------------------------------------------- */

static bool is_padding(const uint8_t *bytes, size_t size)
{
	struct code_insn insn;

	for (size_t at = 0; at < size; at += insn.length) {
		if (!code_insn_decode(bytes + at, size - at, 0, &insn) || !insn.padding)
			return false;
	}
	return true;
}

/* Bytes that nobody else speaks of; they stay libelf's. */
static int add_range(struct run *run, uint64_t start, uint64_t end, bool stubs)
{
	struct code_range range = {.offset = start, .stubs = stubs};
	Elf_Data *data;
	int r;

	if (run->bytes + (end - start) > CODE_BYTES_MAX || run->ranges.count >= CODE_RANGES_MAX) {
		run->frames->stats.cut = true;
		return 0;
	}
	if (!elf_image_address(run->frames->image, start, &range.address))
		return 0;
	data = elf_getdata_rawchunk(run->frames->image->elf, (int64_t)start, end - start,
				    ELF_T_BYTE);
	if (!data || !data->d_buf || data->d_size != end - start ||
	    is_padding(data->d_buf, data->d_size))
		return 0;
	range.bytes = data->d_buf;
	range.size = (uint32_t)data->d_size;
	r = code_range_init(&range);
	if (r < 0)
		return r;
	r = vec_push(&run->ranges, range);
	if (r < 0)
		code_range_deinit(&range);
	run->bytes += range.size;
	return r;
}

static bool holds_stubs(const struct elf_image *image, size_t section)
{
	GElf_Shdr header;
	Elf_Scn *scn = elf_getscn(image->elf, section);
	const char *name;
	size_t strings;

	if (!scn || !gelf_getshdr(scn, &header) || elf_getshdrstrndx(image->elf, &strings))
		return false;
	name = elf_strptr(image->elf, strings, header.sh_name);
	for (size_t i = 0; name && i < sizeof(stub_prefixes) / sizeof(*stub_prefixes); i++) {
		if (!strncmp(name, stub_prefixes[i], strlen(stub_prefixes[i])))
			return true;
	}
	return false;
}

struct area { /* of one section; file offsets */
	uint64_t start, end;
	bool stubs;
};
typedef VEC(struct area) areas_vec;

static int by_start(const void *a, const void *b)
{
	const struct area *one = a, *other = b;

	return one->start < other->start ? -1 : one->start > other->start;
}

/* Sections with code, sorted, none inside another; empty if stripped off. */
static int find_areas(const struct elf_image *image, areas_vec *ret)
{
	uint64_t covered = 0;
	size_t kept = 0;

	for (size_t i = 0; i < image->sections.count; i++) {
		const struct elf_section *section = &image->sections.items[i];
		struct area area = {.stubs = holds_stubs(image, i)};

		if (!section->executable || !section->size ||
		    !elf_image_offset(image, section->address, &area.start) ||
		    section->size > image->file_size - area.start)
			continue;
		area.end = area.start + section->size;
		if (vec_push(ret, area) < 0)
			return -ENOMEM;
	}
	if (ret->count)
		qsort(ret->items, ret->count, sizeof(*ret->items), by_start);
	for (size_t i = 0; i < ret->count; i++) {
		if (ret->items[i].start < covered)
			continue;
		covered = ret->items[i].end;
		ret->items[kept++] = ret->items[i];
	}
	ret->count = kept;
	return 0;
}

/* The parts of the gaps that are code as the section headers see it: a segment
 * may have the file's headers and its constants in it too. */
static int add_ranges(struct run *run, const areas_vec *areas)
{
	const code_gaps_vec *gaps = run->frames->gaps;
	size_t next = 0;
	int r = 0;

	for (size_t i = 0; i < gaps->count && !r; i++) {
		const struct code_gap *gap = &gaps->items[i];

		if (!run->frames->image->sections.count) {
			r = add_range(run, gap->start, gap->end, false);
			continue;
		}
		while (next < areas->count && areas->items[next].end <= gap->start)
			next++;
		for (size_t k = next; k < areas->count && areas->items[k].start < gap->end && !r;
		     k++) {
			const struct area *area = &areas->items[k];

			r = add_range(run, gap->start > area->start ? gap->start : area->start,
				      gap->end < area->end ? gap->end : area->end, area->stubs);
		}
	}
	return r;
}

/* --- rows ------------------------------------------------------------------------ */

/* `mov $15, %rax; syscall` (rt_sigreturn), and its shorter spelling: what the kernel
 * lets a signal handler return to. */
static const struct {
	uint8_t bytes[9];
	uint8_t size;
} trampolines[] = {
	{{0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05}, 9},
	{{0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05}, 7},
};

struct writer {
	struct run *run;
	const struct code_range *range;
	struct unwind_rule rule; /* of the row that was written last */
	bool written; /* there is one */
};

/* Length of the trampoline that begins there; 0: none does. */
static uint32_t trampoline_at(const struct code_range *range, uint32_t place)
{
	for (size_t i = 0; i < sizeof(trampolines) / sizeof(*trampolines); i++) {
		uint32_t size = trampolines[i].size;

		if (place < range->size && size <= range->size - place &&
		    !memcmp(range->bytes + place, trampolines[i].bytes, size))
			return size;
	}
	return 0;
}

static int write_row(struct writer *writer, uint32_t place, const struct unwind_rule *rule,
		     const struct code_state *state)
{
	if (writer->written && !memcmp(&writer->rule, rule, sizeof(*rule)))
		return 0;
	writer->rule = *rule;
	writer->written = true;
	return writer->run->frames->row(writer->run->frames->context, writer->range->offset + place,
					rule, state);
}

/* An instruction, or a byte of none, or padding: for that the rule before is as good
 * as any other. Gives the number of bytes. */
static int write_one(struct writer *writer, uint32_t place, uint32_t *ret)
{
	static const struct unwind_rule none = {.cfa = UNWIND_CFA_NONE, .ra = UNWIND_AT_CFA};
	const struct code_range *range = writer->range;
	const struct code_state *state = NULL;
	struct unwind_rule rule = none;
	struct code_insn insn;

	*ret = 1;
	if (!code_insn_decode(range->bytes + place, range->size - place, 0, &insn))
		return write_row(writer, place, &none, NULL);
	if (!range->at[place]) {
		if (!insn.padding)
			return write_row(writer, place, &none, NULL);
		*ret = insn.length;
		return writer->written ? 0 : write_row(writer, place, &none, NULL);
	}
	state = &writer->run->states.items.items[range->at[place] - 1];
	rule = code_state_rule(state);
	*ret = insn.length;
	if (rule.cfa != UNWIND_CFA_NONE)
		writer->run->frames->stats.known += insn.length;
	return write_row(writer, place, &rule, state);
}

/* The kernel returns to the trampoline's first byte, and a return address is looked
 * up one byte before itself: so its row begins there. */
static int write_range(struct run *run, const struct code_range *range)
{
	static const struct unwind_rule none = {.cfa = UNWIND_CFA_NONE, .ra = UNWIND_AT_CFA};
	static const struct unwind_rule signal = {.cfa = UNWIND_CFA_SIGNAL, .ra = UNWIND_AT_CFA};
	struct writer writer = {.run = run, .range = range};
	uint32_t length;
	int r = 0;

	for (uint32_t place = 0; place < range->size && !r; place += length) {
		length = trampoline_at(range, place);
		if (length) {
			r = write_row(&writer, place, &signal, NULL);
			run->frames->stats.known += length;
		} else {
			r = write_one(&writer, place, &length);
		}
		if (!r && trampoline_at(range, place + length))
			r = write_row(&writer, place + length - 1, &signal, NULL);
	}
	return r ? r : write_row(&writer, range->size, &none, NULL);
}

/* -------------------------------------------------------------------------------- */

static int find_and_follow(struct run *run)
{
	areas_vec areas = {0};
	int r = find_areas(run->frames->image, &areas);

	if (!r)
		r = add_ranges(run, &areas);
	vec_free(&areas);
	if (!r && run->ranges.count) {
		code_entries_mark(run->frames->image, &run->ranges);
		r = code_returns_init(&run->returns, run->frames->image, &run->ranges);
	}
	for (size_t i = 0; i < run->ranges.count && !r; i++)
		r = code_range_follow(&run->ranges.items[i], &run->returns, &run->states);
	return r;
}

int code_frames_run(struct code_frames *frames, struct error *error)
{
	struct run run = {.frames = frames, .states.deadline = clock_boot_ns() + CODE_TIME_MAX};
	int r;

	frames->stats = (struct code_stats){0};
	r = find_and_follow(&run);
	if (r == -ENOMEM)
		error_set(error, r, "out of memory for code without call frame information");
	frames->stats.bytes = run.bytes;
	frames->stats.cut |= run.states.full;
	for (size_t i = 0; i < run.ranges.count && !r; i++)
		r = write_range(&run, &run.ranges.items[i]);
	for (size_t i = 0; i < run.ranges.count; i++)
		code_range_deinit(&run.ranges.items[i]);
	vec_free(&run.ranges);
	code_returns_deinit(&run.returns);
	code_states_deinit(&run.states);
	return r;
}
