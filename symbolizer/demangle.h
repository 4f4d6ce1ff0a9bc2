/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The names of C++ (Itanium ABI) and Rust (legacy and v0) as people write them, by
 * libiberty, which bounds its own depth. Foreign bytes: to be used in the worker
 * only.
 *
 * The short form is for pictures: without parameters, and with each list of
 * template arguments folded to "<>": all instances of a template are one name.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"

#define DEMANGLE_LENGTH_MAX 4096u /* bytes of a name, mangled or not; the rest is cut */
#define DEMANGLE_KEPT_MAX (16u << 20) /* bytes of names that are remembered */

enum demangle_form { DEMANGLE_NONE, DEMANGLE_SHORT, DEMANGLE_FULL, DEMANGLE_FORMS };

/* Zero-initialised is ready. */
struct demangler {
	struct strtab names; /* both sorts */
	VEC(uint32_t)
	known[DEMANGLE_FORMS]; /* of each name its other one, or itself, plus 1; 0: not tried */
};

void demangler_deinit(struct demangler *demangler);
#define DEMANGLE_SAME UINT32_MAX
/* Number of the name in this form; DEMANGLE_SAME: the name itself is to be used, for
 * it is none of theirs, or there is no memory. */
uint32_t demangler_find(struct demangler *demangler, const char *name, enum demangle_form form);
/* Good until the next demangler_find(). */
const char *demangler_text(const struct demangler *demangler, uint32_t number);
/* Forgets all names if they are too many. */
void demangler_limit(struct demangler *demangler);

/* Folds a demangled name to its short form, in `ret` of `size` bytes. */
void demangle_fold(const char *name, char *ret, size_t size);
