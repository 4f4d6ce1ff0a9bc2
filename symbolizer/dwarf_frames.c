/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct dwarf_bounds code_of(const struct elf_image *image)
{
	struct dwarf_bounds bounds = {.start = UINT64_MAX};

	for (size_t i = 0; i < image->segments.count; i++) {
		const struct elf_segment *segment = &image->segments.items[i];

		if (!segment->executable)
			continue;
		if (segment->address < bounds.start)
			bounds.start = segment->address;
		if (segment->address + segment->memory_size > bounds.end)
			bounds.end = segment->address + segment->memory_size;
	}
	return bounds;
}

int dwarf_frames_open(int fd, const struct elf_image *image, size_t memory_max, struct error *error,
		      struct dwarf_index **ret)
{
	struct dwarf_index *index = malloc(sizeof(*index));
	struct dwarf_file *file = malloc(sizeof(*file));
	struct dwarf_bounds bounds = code_of(image);
	int r;

	if (!index || !file) {
		free(index);
		free(file);
		return error_set(error, -ENOMEM, "out of memory for debug information");
	}
	r = dwarf_file_init(file, fd, DWARF_WHOLE, error);
	if (r < 0)
		free(file);
	else
		r = dwarf_index_init(index, file, &bounds, memory_max, error);
	if (r < 0) {
		free(index);
		return r;
	}
	*ret = index;
	return 0;
}

void dwarf_frames_close(struct dwarf_index *index)
{
	if (!index)
		return;
	dwarf_frames_close(index->alternate);
	close(index->file->fd);
	dwarf_index_deinit(index);
	free(index);
}

static bool mangled(const char *name)
{
	return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

/* What the function around all inlined ones is called. Functions that no other
 * file can name have no linkage name in DWARF, but in the symbols. */
static const char *outer_name(const struct dwarf_frame *frame, const char *symbol,
			      const struct symtab *symbols)
{
	if (!symbol || (symbols && symtab_is_also(symbols, symbol, frame->name)))
		return frame->name;
	if (!frame->name[0] || !strchr(symbol, '.') || (mangled(symbol) && !mangled(frame->name)))
		return symbol;
	return frame->name;
}

/* Only the function that is no inlined one stays, and says where the leaf is. */
static uint32_t without_inlines(struct dwarf_frame *frames, uint32_t count)
{
	struct dwarf_frame outer;

	if (count < 2)
		return count;
	outer = frames[count - 1];
	outer.file = frames[0].file;
	outer.line = frames[0].line;
	frames[0] = outer;
	return 1;
}

/* Demangled texts move as others are added: first all of them, then where they are. */
static void demangle_all(const struct dwarf_frames_style *style, struct symbolizer_frame *frames,
			 uint32_t count)
{
	uint32_t names[WIRE_FRAMES_MAX];

	demangler_limit(style->demangler);
	for (uint32_t i = 0; i < count; i++)
		names[i] = demangler_find(style->demangler, frames[i].name, style->form);
	for (uint32_t i = 0; i < count; i++) {
		if (names[i] != DEMANGLE_SAME)
			frames[i].name = demangler_text(style->demangler, names[i]);
	}
}

uint32_t dwarf_frames_find(struct dwarf_index *index, uint64_t address, const char *symbol,
			   const struct dwarf_frames_style *style, struct symbolizer_frame *frames)
{
	struct dwarf_frame found[WIRE_FRAMES_MAX];
	uint32_t count = index ? dwarf_index_find(index, address, found, WIRE_FRAMES_MAX) : 0;
	uint32_t kept = 0;

	if (style->no_inlines)
		count = without_inlines(found, count);
	for (uint32_t i = 0; i < count; i++) {
		const char *name = found[i].inlined ? found[i].name
						    : outer_name(&found[i], symbol, style->symbols);

		if (!name[0])
			continue;
		frames[kept++] = (struct symbolizer_frame){.name = name,
							   .module = "",
							   .file = found[i].file,
							   .line = found[i].line,
							   .inlined = found[i].inlined};
	}
	if (!kept && symbol)
		frames[kept++] =
			(struct symbolizer_frame){.name = symbol, .module = "", .file = ""};
	demangle_all(style, frames, kept);
	return kept;
}
