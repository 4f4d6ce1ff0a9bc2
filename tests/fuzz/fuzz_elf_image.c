/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as an ELF file: refused with a reason, or an image whose ranges are
 * sorted and disjoint and whose addresses convert there and back.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/elf_image.h"
#include "symbolizer/function_starts.h"
#include "symbolizer/symtab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_symtab(const struct symtab *symtab)
{
	uint64_t end = 0;

	for (size_t i = 0; i < symtab->ranges.count; i++) {
		const struct symtab_range *range = &symtab->ranges.items[i];
		const char *name = symtab_find(symtab, range->address);

		if (range->address < end || !range->size || !name || !*name)
			abort();
		end = range->address + range->size;
	}
}

static void check_starts(const struct elf_image *image, const struct symtab *symtab)
{
	struct function_starts starts;
	uint64_t end = 0;

	if (function_starts_init(&starts, image, symtab))
		return;
	for (size_t i = 0; i < starts.items.count; i++) {
		const struct function_start *start = &starts.items.items[i];

		if (start->at < end || !start->size)
			abort();
		end = (uint64_t)start->at + start->size;
	}
	function_starts_deinit(&starts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_image image;
	struct symtab symtab;
	struct error error = {0};
	uint8_t *copy = malloc(size + !size);

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (elf_image_init_memory(&image, copy, size, &error)) {
		if (!error.code || !error.text[0])
			abort();
		free(copy);
		return 0;
	}
	if (image.build_id_size > ELF_IMAGE_BUILD_ID_MAX)
		abort();
	if (!symtab_init(&symtab, &image, &error)) {
		check_symtab(&symtab);
		check_starts(&image, &symtab);
		symtab_deinit(&symtab);
	}
	if (!symtab_init_debug(&symtab, &image, &image, &error))
		symtab_deinit(&symtab);
	elf_image_close_file(&image);
	for (uint64_t offset = 0; offset < size; offset += 61) {
		uint64_t address, back;

		if (elf_image_address(&image, offset, &address))
			elf_image_offset(&image, address, &back);
	}
	elf_image_deinit(&image);
	free(copy);
	return 0;
}
