/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One ELF file, opened by libelf for reading: what it is, its loadable
 * segments, its build id. Foreign bytes: to be used in the worker only.
 *
 * The file is read with pread (ELF_C_READ), never mapped: a live file that
 * somebody truncates gives a short read and so an error, where a mapping would
 * give SIGBUS. Only headers and the sections that are asked for are read.
 *
 * Ownership: the descriptor stays the caller's and must be open until
 * elf_image_close_file() or elf_image_deinit(); the segments and the build id
 * outlive the file.
 *
 * Addresses: "file offset" is bytes from the beginning of the file, "ELF
 * address" is what the file's own headers and symbols speak of (p_vaddr). The
 * two are tied by the PT_LOAD headers alone, which is why PIE, non-PIE and
 * prelinked files need no difference made.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gelf.h>

#include "daemon/base/error.h"
#include "daemon/base/vec.h"

#define ELF_IMAGE_BUILD_ID_MAX 20 /* the kernel's BUILD_ID_SIZE_MAX; longer ones are cut */

struct elf_segment { /* a PT_LOAD */
	uint64_t offset; /* in the file */
	uint64_t file_size;
	uint64_t address; /* ELF address */
	uint64_t memory_size;
	bool executable;
};

struct elf_section {
	uint64_t address, size; /* size 0 if the section is not in memory */
	bool executable;
};

struct elf_image {
	Elf *elf; /* NULL once the file is closed */
	uint16_t machine; /* EM_X86_64 or EM_386 */
	uint16_t type; /* ET_EXEC or ET_DYN */
	uint64_t file_size;
	uint8_t build_id[ELF_IMAGE_BUILD_ID_MAX];
	uint8_t build_id_size; /* 0: it has none */
	VEC(struct elf_segment) segments;
	VEC(struct elf_section) sections; /* by section index; empty if stripped off */
};

/* -ENOEXEC with a sentence for what is no ELF file, or one of another machine,
 * byte order or type; -EIO; -ENOMEM. */
int elf_image_init(struct elf_image *image, int fd, struct error *error);
/* The same from bytes in memory, which must outlive the file's being open. */
int elf_image_init_memory(struct elf_image *image, void *bytes, size_t size, struct error *error);
/* Gives back libelf's buffers and the section table. */
void elf_image_close_file(struct elf_image *image);
void elf_image_deinit(struct elf_image *image);

/* False if no segment holds the offset. Where segments share a page of the file
 * the one that holds the byte wins, an executable one before others; the rest
 * of a segment's pages counts as its own only if no other claims it, for that
 * is what a mapping shows. */
bool elf_image_address(const struct elf_image *image, uint64_t offset, uint64_t *ret_address);
bool elf_image_offset(const struct elf_image *image, uint64_t address, uint64_t *ret_offset);
/* The end of the executable segment that covers the address; 0 if none does. */
uint64_t elf_image_code_end(const struct elf_image *image, uint64_t address);
