/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names of code that a process made at run time, out of what its compiler wrote down:
 * perf_map.h's lines or jit_dump.h's records, told apart by how the file begins. What was
 * read of a few files is kept, by the asker's number for each; the one not asked for
 * longest makes room. Foreign bytes: to be used in the worker only.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/error.h"
#include "symbolizer/jit_dump.h"
#include "symbolizer/perf_map.h"
#include "symbolizer/wire.h"

#define JIT_FILES_MAX 8 /* kept; another one is read anew */

struct jit_file {
	uint32_t id; /* 0: none */
	uint64_t used;
	struct perf_map map;
	struct jit_dump dump;
	struct damage damage; /* of the dump */
};

struct jit_names {
	uint64_t uses;
	struct jit_file files[JIT_FILES_MAX];
};

/* Reads on in the file with that number (not 0). *ret is valid until the next call. What
 * is damaged leaves the names of before, and is noted. -EAGAIN: there is more of
 * it than is read at a time, ask again; -EIO, -ENOMEM. */
int jit_names_update(struct jit_names *names, uint32_t id, int fd, struct error *error,
		     const struct jit_file **ret);
/* As named_file_tell_damage(), of a file that was just read on. */
void jit_names_tell_damage(struct jit_names *names, uint32_t id, struct strbuf *answer);
/* Puts the name of a process address into an answer: 0 or -ENOMEM. */
int jit_names_put(const struct jit_file *file, uint64_t address, struct wire_out *out);
