/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The kernel's function names, from the text of /proc/kallsyms: the kernel's
 * own, its modules', and those of BPF programs ("bpf_prog_<tag>_<name> [bpf]").
 *
 * Names are of text symbols (t, T, w, W). The list gives no sizes, so a
 * function reaches to the next symbol of any kind; symbols of data are kept
 * for that as nameless ends. In the kernel proper only addresses of its text
 * (_stext to _etext) and of its init text have names; the last symbol before a
 * hole reaches no further than KALLSYMS_REACH_MAX.
 *
 * With kernel.kptr_restrict, or without the right to see them, all addresses
 * are 0: then the list is empty and `restricted` is set, which is no error.
 *
 * Zero-initialised is empty. About 14 bytes a symbol and its name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"

#define KALLSYMS_REACH_MAX (1U << 20) /* bytes */
#define KALLSYMS_SYMBOLS_MAX (4U << 20)

struct kallsyms {
	/* Three columns, sorted by address, so that none needs padding. */
	uint64_t *addresses;
	uint32_t *names; /* offset in text; UINT32_MAX: an end without a name */
	uint16_t *modules; /* id in module_names; 0: the kernel itself */
	size_t count;
	VEC(char) text;
	struct strtab module_names;
	uint64_t text_start, text_end; /* _stext, _etext; 0: the list does not say */
	uint64_t init_start, init_end; /* _sinittext, _einittext */
	bool restricted;
};

/* Reads to the end of the text. -EBADMSG with the line's number for what is no
 * such list, -E2BIG, -ENOMEM, or what read() says. The descriptor stays the
 * caller's. */
int kallsyms_init(struct kallsyms *ret, int fd, struct error *error);
void kallsyms_deinit(struct kallsyms *kallsyms);
/* The name of the function around a kernel address, or NULL; and its module,
 * "" for the kernel itself. Both owned by the list. */
const char *kallsyms_find(const struct kallsyms *kallsyms, uint64_t address,
			  const char **ret_module);
size_t kallsyms_memory(const struct kallsyms *kallsyms);
