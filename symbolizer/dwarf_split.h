/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Units that are split (DWARF 5, 3.1.2 and 3.1.3; GNU's fission of DWARF 4): the program has a
 * skeleton of each, with its ranges, addresses and lines; functions and names
 * are in a .dwo file, or in a package of them (.dwp). What belongs together has
 * the same 64-bit id; what has not is refused. Foreign bytes: to be used in the
 * worker only.
 *
 * A unit whose other half is not had is told by its skeleton: lines, and what
 * the compiler left of functions. Which files are wanted is asked here, and each
 * is asked for once, until it is let go of.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"
#include "symbolizer/dwarf_file.h"
#include "symbolizer/dwarf_package.h"

#define DWARF_SPLIT_FILE_MAX (64ULL << 20) /* bytes of a .dwo: it is kept in memory */

struct dwarf_index;

enum dwarf_split_state {
	DWARF_SPLIT_UNASKED,
	DWARF_SPLIT_ABSENT,
	DWARF_SPLIT_NO_ROOM, /* until others are let go of */
	DWARF_SPLIT_THERE,
};

struct dwarf_split_unit { /* the other half of the program's unit of that number */
	struct dwarf_index *index; /* of its .dwo; NULL: in the package */
	uint32_t unit; /* in that index */
	uint8_t state; /* enum dwarf_split_state */
};

struct dwarf_splits {
	struct dwarf_index *package; /* NULL: there is none; its descriptor is ours */
	struct hashmap ids; /* of the package's units, to their numbers */
	bool package_asked;
	VEC(struct dwarf_split_unit) units;
	uint64_t memory; /* of .dwo files that are held: bytes */
	uint64_t memory_max;
	uint64_t loaded; /* what was read of them and the package: bytes */
	uint32_t absent; /* halves that could not be had */
};

/* For a program's index; *ret is NULL where it has no skeletons. -ENOMEM. */
int dwarf_splits_create(struct dwarf_index *index, struct dwarf_splits **ret);
void dwarf_splits_destroy(struct dwarf_splits *splits);
/* The package: on success the descriptor is ours. -ENODATA, -EBADMSG, -ENOMEM with the reason. */
int dwarf_splits_add_package(struct dwarf_index *index, int fd, struct error *error);
/* The .dwo of a unit: the descriptor stays the caller's, and may be closed.
 * -EBADMSG: no unit in it has the id; -E2BIG: too large; -ENOMEM. */
int dwarf_splits_add_unit(struct dwarf_index *index, uint32_t number, int fd, struct error *error);
/* It is not to be had. */
void dwarf_splits_absent(struct dwarf_index *index, uint32_t number);
/* Whether a unit's .dwo is to be asked for now. */
bool dwarf_splits_wants(struct dwarf_index *index, uint32_t number);
/* Moves from a skeleton to its other half, where that is there. */
void dwarf_splits_follow(struct dwarf_index **index, uint32_t *number);
/* Lets go of all .dwo files (they may be asked for again), but not of the package. */
void dwarf_splits_forget(struct dwarf_splits *splits);
/* Whether more than half of the memory for .dwo files is in use. */
bool dwarf_splits_full(const struct dwarf_splits *splits);
/* Lets go of what was read of them. */
void dwarf_splits_trim(struct dwarf_splits *splits);
size_t dwarf_splits_memory(const struct dwarf_splits *splits);
