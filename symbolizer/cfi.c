/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/cfi.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "daemon/base/log.h"
#include "symbolizer/cfi_frames.h"
#include "symbolizer/cfi_program.h"
#include "symbolizer/cfi_section.h"
#include "symbolizer/code_frames.h"
#include "symbolizer/go_table.h"
#include "symbolizer/unwind_build.h"

enum { SOURCES = 2 }; /* .eh_frame, .debug_frame: the former goes first */
enum { GO = SOURCES }; /* Go's own table goes between them */

struct source {
	struct cfi_section section; /* bytes NULL: there is none */
	struct cfi_frames frames;
	VEC(struct cfi_state) starts; /* what each CIE's program leaves behind */
};

struct extent { /* code that one FDE speaks of */
	uint64_t start, end; /* file offsets */
	uint64_t bias; /* file offset less ELF address */
	uint32_t fde; /* or Go's function */
	uint32_t source;
};
typedef VEC(struct extent) extents_vec;

#define ALIGNMENT_MAX 64u /* of functions: 16 mostly, up to a cache line */

struct code_row { /* made of code without call frame information */
	uint64_t offset;
	struct unwind_rule rule;
};

struct cfi {
	const struct elf_image *image;
	struct source sources[SOURCES];
	struct go_table go; /* empty in programs of other languages */
	extents_vec extents; /* by offset, none overlap */
	code_gaps_vec gaps; /* what they leave of the code */
	VEC(struct code_row) code_rows; /* rising */
	struct unwind_build build;
	struct cfi_stats stats;
	uint64_t bias; /* of the function under way */
	uint64_t entry; /* file offset of the program's; 0: none */
};

static void source_deinit(struct source *source)
{
	cfi_section_deinit(&source->section);
	cfi_frames_deinit(&source->frames);
	vec_free(&source->starts);
}

static int run_cies(struct source *source, struct error *error)
{
	int r = 0;

	for (size_t i = 0; i < source->frames.cies.count && !r; i++) {
		struct cfi_state state = {0};

		r = cfi_program_start(&source->section, &source->frames.cies.items[i], error,
				      &state);
		if (!r && vec_push(&source->starts, state) < 0)
			r = error_set(error, -ENOMEM, "out of memory for CIEs");
	}
	return r;
}

/* A file without the section is as good as one with an empty one. */
static int source_init(struct source *source, const struct elf_image *image,
		       enum cfi_section_kind kind, struct error *error)
{
	int r = cfi_section_read(image, kind, error, &source->section);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = cfi_section_check(&source->section, error);
	if (!r)
		r = cfi_frames_read(&source->section, error, &source->frames);
	return r ? r : run_cies(source, error);
}

/* The part of a function that is in an executable segment, and in the file;
 * false if it is not where it begins. */
static bool place(const struct elf_image *image, uint64_t start, uint64_t length,
		  struct extent *ret)
{
	for (size_t i = 0; i < image->segments.count; i++) {
		const struct elf_segment *segment = &image->segments.items[i];
		uint64_t skipped = start - segment->address;
		uint64_t left;

		if (!segment->executable || start < segment->address ||
		    skipped >= segment->file_size ||
		    segment->offset + segment->file_size > image->file_size)
			continue;
		left = segment->file_size - skipped;
		ret->start = segment->offset + skipped;
		ret->end = ret->start + (length < left ? length : left);
		ret->bias = segment->offset - segment->address;
		return ret->end > ret->start;
	}
	return false;
}

static int by_start(const void *a, const void *b)
{
	const struct extent *one = a, *other = b;

	if (one->start != other->start)
		return one->start < other->start ? -1 : 1;
	return one->fde < other->fde ? -1 : one->fde > other->fde;
}

/* Addresses rise, but segments may lie in the file in another order. */
static void sort(extents_vec *extents)
{
	for (size_t i = 1; i < extents->count; i++) {
		if (by_start(&extents->items[i - 1], &extents->items[i]) > 0) {
			qsort(extents->items, extents->count, sizeof(*extents->items), by_start);
			return;
		}
	}
}

static int place_all(struct cfi *cfi, uint32_t number, extents_vec *ret)
{
	const struct cfi_frames *frames = &cfi->sources[number].frames;

	if (vec_reserve(ret, frames->fdes.count) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < frames->fdes.count; i++) {
		struct extent extent = {.fde = (uint32_t)i, .source = number};
		const struct cfi_fde *fde = &frames->fdes.items[i];

		if (!place(cfi->image, fde->start, fde->length, &extent))
			cfi->stats.outside++;
		else if (vec_push(ret, extent) < 0)
			return -ENOMEM;
	}
	sort(ret);
	return 0;
}

static int place_go(struct cfi *cfi, extents_vec *ret)
{
	for (size_t i = 0; i < cfi->go.functions.count; i++) {
		const struct go_function *function = &cfi->go.functions.items[i];
		struct extent extent = {.fde = (uint32_t)i, .source = GO};

		if (function->end > function->start &&
		    place(cfi->image, function->start, function->end - function->start, &extent) &&
		    vec_push(ret, extent) < 0)
			return -ENOMEM;
	}
	sort(ret);
	return 0;
}

/* Of `from`, what those before in it and those of `first` leave of each: one
 * piece, the first, so that no program has to be run more than once. The result
 * has both, by offset. */
static int merge(struct cfi *cfi, const extents_vec *first, const extents_vec *from,
		 extents_vec *ret)
{
	uint64_t covered = 0;
	size_t next = 0;

	if (vec_reserve(ret, first->count + from->count) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < from->count; i++) {
		struct extent extent = from->items[i];

		if (extent.start < covered)
			extent.start = covered;
		/* Those of `first` that begin before: they may reach in here. */
		while (next < first->count && first->items[next].start <= extent.start) {
			const struct extent *other = &first->items[next++];

			if (vec_push(ret, *other) < 0)
				return -ENOMEM;
			if (extent.start < other->end)
				extent.start = other->end;
		}
		if (next && extent.start < first->items[next - 1].end)
			extent.start = first->items[next - 1].end;
		if (next < first->count && extent.end > first->items[next].start)
			extent.end = first->items[next].start;
		if (extent.start != from->items[i].start || extent.end != from->items[i].end)
			cfi->stats.overlapped++;
		if (extent.start >= extent.end)
			continue;
		covered = extent.end;
		if (vec_push(ret, extent) < 0)
			return -ENOMEM;
	}
	while (next < first->count) {
		if (vec_push(ret, first->items[next++]) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int find_extents(struct cfi *cfi, struct error *error)
{
	int r = 0;

	static const uint32_t order[] = {0, GO, 1};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && !r; i++) {
		extents_vec placed = {0}, merged = {0};

		r = order[i] == GO ? place_go(cfi, &placed) : place_all(cfi, order[i], &placed);
		if (!r)
			r = merge(cfi, &cfi->extents, &placed, &merged);
		vec_free(&placed);
		vec_free(&cfi->extents);
		cfi->extents = merged;
	}
	return r ? error_set(error, r, "out of memory for the list of functions") : 0;
}

static int add_row(void *context, uint64_t start, const struct unwind_rule *rule)
{
	struct cfi *cfi = context;

	cfi->stats.unsupported += rule->cfa == UNWIND_CFA_UNSUPPORTED;
	return unwind_build_add(&cfi->build, start + cfi->bias, rule);
}

static const struct unwind_rule none = {.cfa = UNWIND_CFA_NONE, .ra = UNWIND_AT_CFA};

static int too_much(const struct cfi *cfi, int r, const char *section, uint32_t offset,
		    struct error *error)
{
	if (r != -E2BIG && r != -ENOMEM)
		return r;
	return error_set(error, r, "section %s, offset 0x%x: %s (%zu rows, %zu rules so far)",
			 section, offset,
			 r == -ENOMEM ? "out of memory" : "more than a table can hold",
			 cfi->build.rows.count, cfi->build.rules.count);
}

static int add_go_function(struct cfi *cfi, const struct extent *extent, struct error *error)
{
	const struct go_function *function = &cfi->go.functions.items[extent->fde];
	int r;

	cfi->bias = extent->bias;
	cfi->stats.functions++;
	r = go_table_rows(&cfi->go, function, extent->start - extent->bias,
			  extent->end - extent->bias, add_row, cfi, error);
	if (r == -EINVAL) { /* the others are good */
		cfi->stats.go_functions_damaged++;
		r = unwind_build_add(&cfi->build,
				     cfi->build.pending && cfi->build.offset > extent->start
					     ? cfi->build.offset
					     : extent->start,
				     &none);
	}
	if (!r)
		r = unwind_build_add(&cfi->build, extent->end, &none);
	return too_much(cfi, r, ".gopclntab", function->deltas, error);
}

/* The rows of one function, and one that ends it. */
static int add_function(struct cfi *cfi, const struct extent *extent, struct error *error)
{
	const struct source *source = &cfi->sources[extent->source];
	const struct cfi_fde *fde = &source->frames.fdes.items[extent->fde];
	struct cfi_run run = {
		.section = &source->section,
		.cie = &source->frames.cies.items[fde->cie],
		.fde = fde,
		.start = &source->starts.items[fde->cie],
		.from = extent->start - extent->bias,
		.to = extent->end - extent->bias,
		.row = add_row,
		.context = cfi,
	};
	int r;

	cfi->bias = extent->bias;
	cfi->stats.functions++;
	r = cfi_program_run(&run, error);
	if (r == -EINVAL && extent->source && cfi->sources[0].frames.fdes.count) {
		cfi->stats.debug_frame_damaged = true;
		r = unwind_build_add(&cfi->build, cfi->build.offset, &none);
	}
	if (!r)
		r = unwind_build_add(&cfi->build, extent->end, &none);
	return too_much(cfi, r, source->section.name, fde->offset, error);
}

static int read_sources(struct cfi *cfi, struct error *error)
{
	struct source *eh = &cfi->sources[0], *debug = &cfi->sources[1];
	int r = source_init(eh, cfi->image, CFI_EH_FRAME, error);

	if (r < 0)
		return r;
	r = go_table_read(cfi->image, error, &cfi->go);
	cfi->stats.go_table_damaged = r < 0 && r != -ENOENT;
	if (r == -ENOMEM)
		return r;
	r = source_init(debug, cfi->image, CFI_DEBUG_FRAME, error);
	if (r < 0 && r != -ENOMEM && (eh->frames.fdes.count || cfi->go.functions.count)) {
		cfi->stats.debug_frame_damaged = true;
		source_deinit(debug);
		return 0;
	}
	return r;
}

/* --- code without call frame information --------------------------------------- */

static int add_gap(struct cfi *cfi, uint64_t start, uint64_t end)
{
	return start < end ? vec_push(&cfi->gaps, (struct code_gap){start, end}) : 0;
}

/* Fewer bytes than the function behind them is aligned to: what its linker or
 * compiler has filled up with. Not worth a look: large files have many. But the
 * program's entry is code, however short. */
static bool is_padding(const struct cfi *cfi, uint64_t start, uint64_t end)
{
	uint64_t alignment = end & -end;

	if (cfi->entry >= start && cfi->entry < end)
		return false;
	return end - start < (alignment < ALIGNMENT_MAX ? alignment : ALIGNMENT_MAX);
}

/* What the extents leave of an executable segment. */
static int find_segment_gaps(struct cfi *cfi, const struct elf_segment *segment, size_t *next)
{
	uint64_t at = segment->offset, end = segment->offset + segment->file_size;
	bool behind = false; /* an extent ends at `at` */
	int r = 0;

	for (; *next < cfi->extents.count && cfi->extents.items[*next].start < end && !r; ++*next) {
		const struct extent *extent = &cfi->extents.items[*next];

		if (extent->start > at && !(behind && is_padding(cfi, at, extent->start)))
			r = add_gap(cfi, at, extent->start);
		if (extent->end > at)
			at = extent->end;
		behind = true;
	}
	return r ? r : add_gap(cfi, at, end);
}

static int by_offset(const void *a, const void *b)
{
	const struct elf_segment *one = a, *other = b;

	return one->offset < other->offset ? -1 : one->offset > other->offset;
}

static uint64_t entry_of(const struct elf_image *image)
{
	uint64_t offset = 0;
	GElf_Ehdr header;

	if (!gelf_getehdr(image->elf, &header) || !elf_image_offset(image, header.e_entry, &offset))
		return 0;
	return offset;
}

static int find_gaps(struct cfi *cfi)
{
	VEC(struct elf_segment) segments = {0};
	uint64_t covered = 0;
	size_t next = 0;
	int r = 0;

	cfi->entry = entry_of(cfi->image);
	for (size_t i = 0; i < cfi->image->segments.count && !r; i++) {
		const struct elf_segment *segment = &cfi->image->segments.items[i];

		if (segment->executable && segment->offset <= cfi->image->file_size &&
		    segment->file_size <= cfi->image->file_size - segment->offset)
			r = vec_push(&segments, *segment);
	}
	if (segments.count)
		qsort(segments.items, segments.count, sizeof(*segments.items), by_offset);
	for (size_t i = 0; i < segments.count && !r; i++) {
		if (segments.items[i].offset >= covered)
			r = find_segment_gaps(cfi, &segments.items[i], &next);
		if (segments.items[i].offset + segments.items[i].file_size > covered)
			covered = segments.items[i].offset + segments.items[i].file_size;
	}
	vec_free(&segments);
	return r;
}

static int add_code_row(void *context, uint64_t offset, const struct unwind_rule *rule,
			const struct code_state *state)
{
	struct cfi *cfi = context;
	struct code_row row = {.offset = offset, .rule = *rule};

	(void)state;
	return vec_push(&cfi->code_rows, row);
}

static int find_code_rows(struct cfi *cfi, struct error *error)
{
	struct code_frames frames = {
		.image = cfi->image, .gaps = &cfi->gaps, .row = add_code_row, .context = cfi};
	int r = find_gaps(cfi);

	if (r < 0)
		return error_set(error, r, "out of memory for code without call frame information");
	if (!cfi->gaps.count)
		return 0;
	r = code_frames_run(&frames, error);
	cfi->stats.code = frames.stats;
	return r;
}

/* Those up to where a function begins, whose own row goes before the last of them. */
static int add_code_rows(struct cfi *cfi, uint64_t end, size_t *next, struct error *error)
{
	int r = 0;

	for (; *next < cfi->code_rows.count && cfi->code_rows.items[*next].offset <= end && !r;
	     ++*next)
		r = unwind_build_add(&cfi->build, cfi->code_rows.items[*next].offset,
				     &cfi->code_rows.items[*next].rule);
	return r ? error_set(error, r, "file offset 0x%llx: %s",
			     (unsigned long long)cfi->code_rows.items[*next - 1].offset,
			     r == -ENOMEM ? "out of memory" : "more than a table can hold")
		 : 0;
}

/* ---------------------------------------------------------------------------------- */

static int build(struct cfi *cfi, struct error *error, struct unwind_table *ret)
{
	size_t next = 0;
	int r = read_sources(cfi, error);

	if (!r)
		r = find_extents(cfi, error);
	if (!r)
		r = find_code_rows(cfi, error);
	if (!r && !cfi->extents.count && !cfi->stats.code.known)
		return error_set(error, -ENODATA,
				 "no call frame information of executable code, and nothing that "
				 "could be known of it without");
	for (size_t i = 0; i < cfi->extents.count && !r; i++) {
		r = add_code_rows(cfi, cfi->extents.items[i].start, &next, error);
		if (!r)
			r = cfi->extents.items[i].source == GO
				    ? add_go_function(cfi, &cfi->extents.items[i], error)
				    : add_function(cfi, &cfi->extents.items[i], error);
	}
	if (!r)
		r = add_code_rows(cfi, UINT64_MAX, &next, error);
	if (r < 0)
		return r;
	r = unwind_build_finish(&cfi->build, ret);
	return r ? error_set(error, r, "out of memory for the unwind table") : 0;
}

int cfi_build(const struct elf_image *image, struct error *error, struct cfi_stats *stats,
	      struct unwind_table *ret)
{
	struct cfi cfi = {.image = image};
	int r;

	if (image->machine != EM_X86_64 || gelf_getclass(image->elf) != ELFCLASS64)
		return error_set(error, -ENOTSUP,
				 "not for x86-64: only its unwind tables are made");
	r = build(&cfi, error, ret);
	if (!r && stats)
		*stats = cfi.stats;
	if (!r && cfi.stats.code.cut)
		log_info("unwind table: more code without call frame information than is looked at "
			 "in "
			 "one file (%u MiB, %u s): the rest of it goes by the frame pointer",
			 CODE_BYTES_MAX >> 20, (unsigned int)(CODE_TIME_MAX / NSEC_PER_SEC));
	for (size_t i = 0; i < SOURCES; i++)
		source_deinit(&cfi.sources[i]);
	go_table_deinit(&cfi.go);
	vec_free(&cfi.extents);
	vec_free(&cfi.gaps);
	vec_free(&cfi.code_rows);
	unwind_build_deinit(&cfi.build);
	return r;
}
