/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A program with skeletons and a file with split units, both of any bytes: the
 * first four say how long the program is, the fifth whether the other file is a
 * .dwo or a package, or what dwz made. Whatever is accepted gives whole frames.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbolizer/dwarf_parts.h"

#define FRAMES 64u
#define ADDRESSES 32u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct dwarf_index *index, uint64_t address)
{
	struct dwarf_frame frames[FRAMES];
	uint32_t count = dwarf_index_find(index, address, frames, FRAMES);

	if (count > FRAMES)
		abort();
	for (uint32_t i = 0; i < count; i++) {
		if (!frames[i].name || !frames[i].file || strlen(frames[i].name) > DWARF_STRING_MAX)
			abort();
	}
}

static int file_of(const uint8_t *bytes, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		abort();
	return fd;
}

/* Hands the other file over, as it is wanted. */
static void add(struct dwarf_index *index, uint8_t kind, const uint8_t *bytes, size_t size)
{
	struct dwarf_parts parts = {.supplement = {.path = "x", .id_size = 1}};
	uint32_t number = kind % 3 == 1   ? DWARF_PARTS_PACKAGE
			  : kind % 3 == 2 ? DWARF_PARTS_SUPPLEMENT
					  : kind / 3;
	struct dwarf_wants wants = {0};
	struct error error = {0};
	int fd = file_of(bytes, size), r;

	dwarf_parts_wanted(&parts, index, (const uint8_t *)"id", 2, &wants);
	r = dwarf_parts_add(&parts, index, number, fd, &error);
	if (r < 0 && (!error.code || !error.text[0]))
		abort();
	if (r != 1)
		close(fd);
	for (size_t i = 0; i < index->ranges.count && i < ADDRESSES; i++)
		dwarf_parts_wanted_at(index, index->ranges.items[i].start, &wants);
	if (wants.count > DWARF_PARTS_WANTED_MAX)
		abort();
	strbuf_deinit(&wants.records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dwarf_bounds everywhere = {1, UINT64_MAX};
	struct dwarf_file *file = malloc(sizeof(*file));
	struct dwarf_index index;
	struct error error = {0};
	uint32_t first = 0;
	uint8_t *copy;

	if (!file)
		abort();
	if (size >= 5)
		memcpy(&first, data, 4);
	if (size < 5 || first > size - 5) {
		free(file);
		return 0;
	}
	copy = malloc(first + !first);
	if (!copy)
		abort();
	memcpy(copy, data + 5, first);
	if (dwarf_file_init_memory(file, copy, first, DWARF_WHOLE, &error)) {
		free(file);
	} else if (!dwarf_index_init(&index, file, &everywhere, 4u << 20, &error)) {
		add(&index, data[4], data + 5 + first, size - 5 - first);
		for (size_t i = 0; i < index.ranges.count && i < ADDRESSES; i++) {
			ask(&index, index.ranges.items[i].start);
			ask(&index, index.ranges.items[i].end - 1);
		}
		for (uint64_t i = 0; i < ADDRESSES; i++)
			ask(&index, 0x1100 + 5 * i);
		if (index.alternate) {
			close(index.alternate->file->fd);
			dwarf_index_deinit(index.alternate);
			free(index.alternate);
			index.alternate = NULL;
		}
		dwarf_index_deinit(&index);
	}
	free(copy);
	return 0;
}
