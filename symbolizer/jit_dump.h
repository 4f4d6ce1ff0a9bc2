/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a just-in-time compiler writes down in perf's binary form, jit-PID.dump (linux,
 * tools/perf/Documentation/jitdump-specification.txt, version 1): functions with their
 * code, where code went to, and source lines. Foreign bytes: to be used in the worker
 * only.
 *
 * Records used: JIT_CODE_LOAD, JIT_CODE_MOVE, JIT_CODE_DEBUG_INFO, JIT_CODE_CLOSE; others
 * are passed over, and so is the code. The file grows while it is read: each reading goes
 * on at the first record that was not whole. A record that cannot be one ends the reading
 * for good, with its offset; the names of before stay.
 *
 * V8 writes the addresses of its lines 64 bytes too high (for a tool that puts an ELF
 * header before each function). That is seen by all lines of a file beginning no
 * earlier than that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"
#include "symbolizer/jit_functions.h"

#define JIT_DUMP_READ_MAX (64ull << 20) /* bytes gone over at a time; the next time goes on */
#define JIT_DUMP_ROWS_MAX (4u << 20) /* lines of all functions; what is beyond has none */
#define JIT_DUMP_PENDING_MAX 4096u /* functions whose lines came and whose code has not */

/* The lines of one piece of code. */
struct jit_lines {
	uint64_t base; /* process address of the code */
	uint32_t first, count; /* rows */
};

struct jit_row { /* from this place of the code on */
	uint32_t offset; /* as the file has it; bytes from the code's beginning */
	uint32_t line;
	uint32_t file; /* a name */
};

struct jit_load { /* by the compiler's number of the code */
	uint64_t size;
	uint32_t name, lines;
};

struct jit_dump {
	uint64_t offset; /* up to which the file has been read; 0: nothing yet */
	uint64_t device, inode; /* of that file */
	bool more; /* there was more than is gone over at a time */
	bool closed; /* nothing more is to come */
	struct error damage; /* code 0: none */
	uint64_t refused; /* lines above a limit */
	uint32_t resets; /* of the functions, when what follows was filled */
	struct jit_functions functions;
	VEC(struct jit_lines) lines; /* of functions: their number plus 1 */
	VEC(struct jit_row) rows;
	VEC(struct jit_load) loads;
	struct hashmap by_number; /* of code, to a load */
	struct hashmap pending; /* address of code, to lines plus 1 */
	uint32_t least_offset; /* of any row */
};

struct jit_dump_place {
	const char *name;
	const char *file; /* "": not known */
	uint32_t line;
};

/* Whether a file that begins so is one: of `size` bytes at least 4. */
bool jit_dump_is(const void *bytes, size_t size);
void jit_dump_deinit(struct jit_dump *dump);
/* Reads what has been added; all of it, if it is another file than the last time or has
 * become shorter. -EIO, -EINVAL with offset (and what was read before is there); -ENOMEM:
 * it is empty then. */
int jit_dump_update(struct jit_dump *dump, int fd, struct error *error);
/* False: nothing is known of the address. */
bool jit_dump_find(const struct jit_dump *dump, uint64_t address, struct jit_dump_place *ret);
