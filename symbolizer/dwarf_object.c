/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_object.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Number 0 is ELF's empty section, 1 ours. */
#define SECTIONS 2

#if DWARF_OBJECT_NEW
typedef Dwarf_Unsigned section_index;
typedef Dwarf_Small byte_order;
#define LITTLE_ENDIAN_ORDER DW_END_little
#else
typedef Dwarf_Half section_index;
typedef Dwarf_Endianness byte_order;
#define LITTLE_ENDIAN_ORDER DW_OBJECT_LSB
#endif

static int section_info(void *context, section_index index, dwarf_object_section *ret, int *error)
{
	const struct dwarf_object *object = context;

	*error = 0;
	if (index >= SECTIONS)
		return DW_DLV_NO_ENTRY;
	memset(ret, 0, sizeof(*ret));
#if DWARF_OBJECT_NEW
	ret->as_name = index ? object->name : "";
	ret->as_type = index ? SHT_PROGBITS : SHT_NULL;
	ret->as_addr = index ? object->address : 0;
	ret->as_size = index ? object->size : 0;
#else
	ret->name = index ? object->name : "";
	ret->type = index ? SHT_PROGBITS : SHT_NULL;
	ret->addr = index ? object->address : 0;
	ret->size = index ? object->size : 0;
#endif
	return DW_DLV_OK;
}

static byte_order order(void *context)
{
	(void)context;
	return LITTLE_ENDIAN_ORDER;
}

static Dwarf_Small eight(void *context)
{
	(void)context;
	return 8;
}

static Dwarf_Unsigned section_count(void *context)
{
	(void)context;
	return SECTIONS;
}

static int load(void *context, section_index index, Dwarf_Small **ret, int *error)
{
	const struct dwarf_object *object = context;

	*error = 0;
	if (index != 1)
		return DW_DLV_NO_ENTRY;
	*ret = object->bytes;
	return DW_DLV_OK;
}

#if DWARF_OBJECT_NEW
static Dwarf_Unsigned file_size(void *context)
{
	const struct dwarf_object *object = context;

	return object->size;
}

static const dwarf_object_methods methods = {
	.om_get_section_info = section_info,
	.om_get_byte_order = order,
	.om_get_length_size = eight,
	.om_get_pointer_size = eight,
	.om_get_filesize = file_size,
	.om_get_section_count = section_count,
	.om_load_section = load,
};
#else
static const dwarf_object_methods methods = {
	.get_section_info = section_info,
	.get_byte_order = order,
	.get_length_size = eight,
	.get_pointer_size = eight,
	.get_section_count = section_count,
	.load_section = load,
};
#endif

void dwarf_object_reason(struct dwarf_object *object, Dwarf_Error error, char *ret, size_t size)
{
	snprintf(ret, size, "%s", error ? dwarf_errmsg(error) : "no reason given");
	if (error && object->debug)
		dwarf_dealloc_error(object->debug, error);
}

int dwarf_object_open(struct dwarf_object *object, struct error *error)
{
	Dwarf_Error why = NULL;
	char reason[256];
	int r;

#if DWARF_OBJECT_NEW
	object->interface.ai_object = object;
	object->interface.ai_methods = &methods;
#else
	object->interface.object = object;
	object->interface.methods = &methods;
#endif
	object->debug = NULL;
	object->bookkeeping = dwarf_set_de_alloc_flag(0);
	r = dwarf_object_init_b(&object->interface, NULL, NULL, DW_GROUPNUMBER_ANY, &object->debug,
				&why);
	if (r == DW_DLV_OK)
		return 0;
	dwarf_object_reason(object, why, reason, sizeof(reason));
	dwarf_set_de_alloc_flag(object->bookkeeping);
	object->debug = NULL;
	return error_set(error, -EINVAL, "section %s: libdwarf: %s", object->name, reason);
}

void dwarf_object_close(struct dwarf_object *object)
{
	if (!object->debug)
		return;
#if DWARF_OBJECT_NEW
	dwarf_object_finish(object->debug);
#else
	dwarf_object_finish(object->debug, NULL);
#endif
	dwarf_set_de_alloc_flag(object->bookkeeping);
	object->debug = NULL;
}
