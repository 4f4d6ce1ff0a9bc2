/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/cfi_frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/dwarf_object.h"

struct listing { /* libdwarf's own */
	const struct cfi_section *section;
	struct dwarf_object object;
	Dwarf_Cie *cies;
	Dwarf_Fde *fdes;
	Dwarf_Signed cie_count, fde_count;
};

void cfi_frames_deinit(struct cfi_frames *frames)
{
	vec_free(&frames->cies);
	vec_free(&frames->fdes);
}

static int list(struct listing *listing, struct error *error)
{
	Dwarf_Debug debug = listing->object.debug;
	Dwarf_Error why = NULL;
	char reason[256];
	int r;

	if (listing->section->kind == CFI_EH_FRAME)
		r = dwarf_get_fde_list_eh(debug, &listing->cies, &listing->cie_count,
					  &listing->fdes, &listing->fde_count, &why);
	else
		r = dwarf_get_fde_list(debug, &listing->cies, &listing->cie_count, &listing->fdes,
				       &listing->fde_count, &why);
	if (r == DW_DLV_OK)
		return 0;
	listing->cie_count = listing->fde_count = 0;
	if (r == DW_DLV_NO_ENTRY)
		return 0;
	dwarf_object_reason(&listing->object, why, reason, sizeof(reason));
	return error_set(error, -EINVAL, "section %s: libdwarf: %s", listing->section->name,
			 reason);
}

/* Where bytes lie that libdwarf points at; false if they are not all of the section. */
static bool locate(const struct cfi_section *section, const void *bytes, uint64_t size,
		   struct cfi_bytes *ret)
{
	uintptr_t at = (uintptr_t)bytes - (uintptr_t)section->bytes;

	if ((uintptr_t)bytes < (uintptr_t)section->bytes || at > section->size ||
	    size > section->size - at)
		return false;
	*ret = (struct cfi_bytes){.offset = (uint32_t)at, .size = (uint32_t)size};
	return true;
}

static int bad_entry(const struct listing *listing, uint64_t offset, const char *what,
		     struct error *error)
{
	return error_set(error, -EINVAL, "section %s, offset 0x%llx: %s", listing->section->name,
			 (unsigned long long)offset, what);
}

static int read_cie(const struct listing *listing, Dwarf_Cie from, struct cfi_frames *frames,
		    struct error *error)
{
	Dwarf_Unsigned size = 0, program_size = 0, code = 0;
	struct cfi_cie cie = {0};
	dwarf_bytes program = NULL;
	Dwarf_Half ra = 0, offset_size = 0;
	Dwarf_Small version = 0;
	Dwarf_Signed data = 0;
	char *augmentation = NULL;
	Dwarf_Error why = NULL;
	Dwarf_Off offset = 0;

	if (dwarf_cie_section_offset(listing->object.debug, from, &offset, &why) != DW_DLV_OK)
		return bad_entry(listing, 0, "a CIE that is nowhere", error);
	if (dwarf_get_cie_info_b(from, &size, &version, &augmentation, &code, &data, &ra, &program,
				 &program_size, &offset_size, &why) != DW_DLV_OK)
		return bad_entry(listing, offset, "a CIE that libdwarf cannot read", error);
	if (!locate(listing->section, program, program_size, &cie.program))
		return bad_entry(listing, offset, "a CIE whose program is not inside it", error);
	cie.code_alignment = code;
	cie.data_alignment = data;
	cie.ra_register = ra;
	cie.signal = augmentation && augmentation[0] == 'z' && strchr(augmentation, 'S');
	if (vec_push(&frames->cies, cie) < 0)
		return error_set(error, -ENOMEM, "out of memory for CIEs");
	return 0;
}

static int read_fde(const struct listing *listing, Dwarf_Fde from, struct cfi_frames *frames,
		    struct error *error)
{
	Dwarf_Unsigned length = 0, size = 0, program_size = 0;
	Dwarf_Off cie_offset = 0, offset = 0;
	dwarf_bytes bytes = NULL, program = NULL;
	Dwarf_Error why = NULL;
	struct cfi_fde fde = {0};
	Dwarf_Signed cie = -1;
	Dwarf_Addr start = 0;

	if (dwarf_get_fde_range(from, &start, &length, &bytes, &size, &cie_offset, &cie, &offset,
				&why) != DW_DLV_OK)
		return bad_entry(listing, offset, "an FDE that libdwarf cannot read", error);
	if (cie < 0 || (size_t)cie >= frames->cies.count)
		return bad_entry(listing, offset, "an FDE without a CIE", error);
	if (dwarf_get_fde_instr_bytes(from, &program, &program_size, &why) != DW_DLV_OK ||
	    !locate(listing->section, program, program_size, &fde.program))
		return bad_entry(listing, offset, "an FDE whose program is not inside it", error);
	fde.start = start;
	fde.length = length;
	fde.offset = (uint32_t)offset;
	fde.cie = (uint32_t)cie;
	if (vec_push(&frames->fdes, fde) < 0)
		return error_set(error, -ENOMEM, "out of memory for FDEs");
	return 0;
}

static int by_address(const void *a, const void *b)
{
	const struct cfi_fde *one = a, *other = b;

	if (one->start != other->start)
		return one->start < other->start ? -1 : 1;
	return one->offset < other->offset ? -1 : one->offset > other->offset;
}

/* libdwarf has sorted them by address already, but not those that begin alike:
 * where none do there is nothing left to be done. */
static void sort(struct cfi_frames *frames)
{
	for (size_t i = 1; i < frames->fdes.count; i++) {
		if (by_address(&frames->fdes.items[i - 1], &frames->fdes.items[i]) > 0) {
			qsort(frames->fdes.items, frames->fdes.count, sizeof(*frames->fdes.items),
			      by_address);
			return;
		}
	}
}

static int read_all(const struct listing *listing, struct cfi_frames *frames, struct error *error)
{
	int r = 0;

	if (vec_reserve(&frames->fdes, (size_t)listing->fde_count) < 0)
		return error_set(error, -ENOMEM, "out of memory for FDEs");
	for (Dwarf_Signed i = 0; i < listing->cie_count && !r; i++)
		r = read_cie(listing, listing->cies[i], frames, error);
	for (Dwarf_Signed i = 0; i < listing->fde_count && !r; i++)
		r = read_fde(listing, listing->fdes[i], frames, error);
	return r;
}

int cfi_frames_read(const struct cfi_section *section, struct error *error, struct cfi_frames *ret)
{
	struct cfi_frames frames = {0};
	struct listing listing = {
		.section = section,
		.object = {.name = section->name,
			   .bytes = section->bytes,
			   .size = section->size,
			   .address = section->address},
	};
	int r;

	if (!section->fdes) {
		*ret = frames;
		return 0;
	}
	r = dwarf_object_open(&listing.object, error);
	if (r < 0)
		return r;
	r = list(&listing, error);
	if (!r)
		r = read_all(&listing, &frames, error);
	if (listing.cie_count)
		dwarf_object_free_frames(listing.object.debug, listing.cies, listing.cie_count,
					 listing.fdes, listing.fde_count);
	dwarf_object_close(&listing.object);
	if (r < 0) {
		cfi_frames_deinit(&frames);
		return r;
	}
	sort(&frames);
	*ret = frames;
	return 0;
}
