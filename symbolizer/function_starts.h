/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where functions without a symbol begin and end: from the binary search table
 * of .eh_frame_hdr (LSB core specification, chapter 10.6.2) and the FDEs in
 * .eh_frame that it points to. Stripping leaves both in place. A sample in such
 * a function can then be shown as the function, not as one place for each
 * instruction. Foreign bytes: to be used in the worker only.
 *
 * Functions that the symbols cover from beginning to end are left out: nobody
 * will ask for them. Eight bytes for each of the others.
 *
 * Zero-initialised is empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "symbolizer/elf_image.h"
#include "symbolizer/symtab.h"

#define FUNCTION_STARTS_MAX (1u << 22) /* entries of a table; what is beyond has no start */

struct function_start {
	uint32_t at; /* bytes from base */
	uint32_t size;
};

struct function_starts {
	uint64_t base; /* ELF address */
	VEC(struct function_start) items; /* by address, disjoint */
};

/* A table that is missing, of a form no linker writes, or not sorted gives no
 * starts, an FDE that does not agree with its entry gives none of its own:
 * neither is an error. The image's file must be open. -ENOMEM. */
int function_starts_init(struct function_starts *ret, const struct elf_image *image,
			 const struct symtab *symtab);
void function_starts_deinit(struct function_starts *starts);
/* False if no function is known to cover the ELF address. */
bool function_starts_find(const struct function_starts *starts, uint64_t address,
			  uint64_t *ret_start, uint32_t *ret_size);

/* The same from the two sections' bytes, for the fuzzer and the above. Ranges
 * outside [code_start, code_end) do not count. */
struct function_starts_input {
	const void *header; /* .eh_frame_hdr */
	size_t header_size;
	uint64_t header_address;
	const void *frames; /* .eh_frame */
	size_t frames_size;
	uint64_t frames_address;
	uint64_t code_start, code_end; /* ELF addresses */
	bool is_64;
	const struct symtab *symtab;
};
/* False if the header is of no use; else where .eh_frame is (ELF address). */
bool function_starts_frames_address(const struct function_starts_input *input,
				    uint64_t *ret_address);
int function_starts_parse(struct function_starts *ret, const struct function_starts_input *input);
