/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One line of a stack as `perf script` prints it, and what becomes of its symbol: as
 * the tools that collapse such text do, so that names are the same.
 *
 *	    7f533952bc77 _dl_check_map_versions+0x597 (/usr/lib/ld-2.28.so)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/strbuf.h"

struct perf_line {
	const char *pc, *symbol, *module; /* in the line, not NUL-terminated */
	size_t pc_n, symbol_n, module_n;
};

/* False: it is no such line. */
bool perf_line_parse(const char *line, size_t n, struct perf_line *ret);
/* Length of the symbol without "+0x597", and without a Rust symbol's hash. */
size_t perf_symbol_strip(const char *symbol, size_t n);
/* Is it a process's name in the place of a symbol, "(java)", as old perfs have it? */
bool perf_symbol_is_process(const char *symbol, size_t n);
/* The first of the functions that "a->b->c" stands for (inlined ones after the one
 * they are in): its length; *ret_next is where the next begins, n if there is none. */
size_t perf_symbol_split(const char *symbol, size_t n, size_t *ret_next);
/* Appends the function's name: without arguments; a Java one without its "L"; for
 * "[unknown]" or none that of the module, and the address if asked for. */
void perf_symbol_put(struct strbuf *out, const struct perf_line *line, const char *function,
		     size_t n, bool java, bool address);
