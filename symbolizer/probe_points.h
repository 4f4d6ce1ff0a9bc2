/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a file's allocations can be seen by probes:
 *
 *	notes	USDT probes (section .note.stapsdt, as SystemTap's <sys/sdt.h> version 3
 *		writes it) of the providers "perfd" and "otel_memory"
 *	code	the functions of an allocator, by their names
 *
 * The kernel emulates some instructions at a probe (push, nop, branches, calls) and runs
 * all others once more out of line, which takes twenty times as long. So a function's
 * probe is put on the first instruction it can emulate, as long as the arguments are
 * still in registers (which may be others by then) and nothing has been jumped over.
 *
 * An allocator that is linked into a program beside the C library's has its functions under
 * names with a prefix: jemalloc's je_malloc, or _rjem_malloc in Rust, mimalloc's mi_malloc.
 *
 * A function that does nothing of its own but goes on to another one with a probe has none.
 *
 * A probe of a function's return puts another return address in the place of its own. So it
 * must lie on top of the stack yet; and an operator that throws has none, for nobody who
 * unwinds in the program knows the other address.
 *
 * Foreign bytes: to be used in the worker only. Offsets are the file's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/base/error.h"
#include "daemon/base/reader.h"
#include "daemon/base/strbuf.h"
#include "symbolizer/elf_image.h"

#define PROBE_POINTS_MAX 128u

struct probe_point {
	uint64_t offset;
	uint64_t semaphore; /* offset of its counter; 0: none */
	uint64_t
		function; /* where the function begins, and its bytes; 0: no function, or unknown */
	uint32_t function_size;
	uint8_t probe; /* enum abi_probe */
	uint8_t arguments[3]; /* DWARF numbers of registers */
	bool emulated;
	/* The call's return may be probed, too: its return address is on top of the stack there,
	 * and no exception goes through it. */
	bool returns;
};

struct probe_points {
	/* Of a library with notes: its control word (daemon/heap/control.h), as an offset from
	 * where the file's code would begin in memory; 0: it has none. */
	uint64_t control;
	size_t count;
	struct probe_point items[PROBE_POINTS_MAX];
};

/* Damaged notes and names are passed over; 0 even where there is none. */
int probe_points_find(const struct elf_image *image, struct error *error, struct probe_points *ret);
/* Whether an offset is in one of the functions that have points. */
bool probe_points_within(const struct probe_points *points, uint64_t offset);
/* What goes over the wire; the answer to a request; and back: -EBADMSG where it makes no sense. */
void probe_points_encode(const struct probe_points *points, struct strbuf *answer);
int probe_points_answer(struct reader *request, int fd, struct strbuf *answer, struct error *error);
int probe_points_decode(const void *payload, size_t size, struct error *error,
			struct probe_points *ret);
/* One note's description, for a fuzzer too. False: none that is wanted, or damaged. */
struct probe_note {
	uint64_t location, base, semaphore; /* ELF addresses */
	struct probe_point point; /* probe and arguments */
};
bool probe_note_parse(const void *bytes, size_t size, struct probe_note *ret);
/* The best place in a function's code, for a fuzzer too: `point` is that of its beginning before,
 * with its first `count` arguments (2 at most) where they come. The ELF address of what it
 * goes on to at once; 0: nothing. */
uint64_t probe_place_find(const uint8_t *code, size_t size, uint64_t address, uint8_t count,
			  struct probe_point *point);
