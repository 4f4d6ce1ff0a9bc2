/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names of addresses outside of any profile: of a file, or of a process as it is
 * now. It has a symbolizer of its own, whose worker is this program again, and
 * waits for its answers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/error.h"
#include "daemon/base/vec.h"
#include "daemon/config.h"
#include "symbolizer/client.h"

#define SYMBOLIZE_BATCH 65536u /* addresses that are asked for at once: each unit is read once */

/* An address in its file; `path` is "" if no file is known to hold it. */
struct symbolize_place {
	const char *path;
	uint64_t offset; /* as it was asked for: in the file, or an ELF address */
};

/* What one address is, to be used before this returns. name: NULL, or with no
 * frames, where there is no name; why: "" or what hindered it. */
typedef void symbolize_fn(void *context, size_t index, const struct symbolize_place *place,
			  const struct symbolizer_name *name, const char *why);

struct symbolize_file {
	char *path;
	char *real; /* absolute, as its process has it */
	uint32_t image; /* 0: it cannot be had */
	char *why;
};

struct symbolize_damage {
	char *path; /* "[jit]": the process's compiler's list */
	char *why; /* with section and offset */
};

struct symbolize { /* must not move */
	struct symbolizer *symbolizer;
	pid_t pid; /* 0: of a file */
	VEC(struct symbolize_file) files;
	VEC(struct symbolizer_mapping) mappings; /* paths are ours */
	struct debug_wait *servers; /* NULL: debuginfod is not asked */
	const char *adding; /* path of a file that is being added; NULL */
	VEC(struct symbolize_damage) damage; /* what was met with so far, one a file */
	VEC(uint32_t) mapping_files; /* of each mapping, its file plus 1; 0: not opened yet */
};

#define SYMBOLIZE_DEBUGINFOD (1u << 31)

/* flags: enum symbolizer_flag; SYMBOLIZE_DEBUGINFOD: what is not installed is fetched. */
int symbolize_init_file(struct symbolize *ret, const char *path, const struct config *config,
			uint32_t flags, struct error *error);
int symbolize_init_process(struct symbolize *ret, pid_t pid, const struct config *config,
			   uint32_t flags, struct error *error);
void symbolize_deinit(struct symbolize *symbolize);
/* Calls `found` once for each of at most SYMBOLIZE_BATCH addresses, in no order. */
int symbolize_ask(struct symbolize *symbolize, const uint64_t *addresses, size_t count,
		  symbolize_fn *found, void *context, struct error *error);
