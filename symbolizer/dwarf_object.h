/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One section in memory, as libdwarf wants to be shown an object file: no file,
 * no path, no mapping. And the one place that knows that libdwarf's interface
 * changed between 20210528 (Debian 12) and 0.3.2 (Debian 13 has 0.11): from the
 * latter on the header names its version, the structs of the object interface
 * end in _a, and pointers to bytes are no longer void pointers.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <libdwarf.h>

#include "daemon/base/error.h"

#ifdef DW_LIBDWARF_VERSION_MAJOR
#define DWARF_OBJECT_NEW 1
typedef Dwarf_Obj_Access_Interface_a dwarf_object_interface;
typedef Dwarf_Obj_Access_Methods_a dwarf_object_methods;
typedef Dwarf_Obj_Access_Section_a dwarf_object_section;
typedef Dwarf_Small *dwarf_bytes;
#define dwarf_object_free_frames dwarf_dealloc_fde_cie_list
#else
#define DWARF_OBJECT_NEW 0
typedef Dwarf_Obj_Access_Interface dwarf_object_interface;
typedef Dwarf_Obj_Access_Methods dwarf_object_methods;
typedef Dwarf_Obj_Access_Section dwarf_object_section;
typedef Dwarf_Ptr dwarf_bytes;
#define dwarf_object_free_frames dwarf_fde_cie_list_dealloc
#endif

struct dwarf_object {
	const char *name; /* of the section: ".eh_frame" */
	uint8_t *bytes; /* the caller's, to live until the end */
	size_t size;
	uint64_t address;
	dwarf_object_interface interface;
	Dwarf_Debug debug;
	int bookkeeping; /* libdwarf's setting as it was before */
};

/* Name, bytes, size and address are set; the object must not move. -EINVAL with
 * libdwarf's reason.
 *
 * As long as it is open libdwarf notes no allocations (a setting of the whole
 * library), which takes it as long as all the rest: so what it gives out must be
 * given back, and some bytes are lost with each error. */
int dwarf_object_open(struct dwarf_object *object, struct error *error);
void dwarf_object_close(struct dwarf_object *object);
/* libdwarf's words for an error, copied to `ret`; the error is given back. */
void dwarf_object_reason(struct dwarf_object *object, Dwarf_Error error, char *ret, size_t size);
