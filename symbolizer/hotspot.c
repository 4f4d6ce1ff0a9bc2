/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/hotspot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "symbolizer/process_library.h"

#define ENTRIES_MAX 8192u /* of vmStructs, vmTypes; JDK 25 has some 600 */
#define STRIDE_MAX 256u
#define ADDRESS_MAX (1ULL << 47)
#define TEXT_MAX 48u

/* ---- HotSpot's tables of itself ---- */

enum field {
	HEAPS,
	HEAP,
	LOW_BOUND,
	HIGH_BOUND,
	INTERPRETER,
	CALL_STUB,
	ARRAY_LENGTH,
	ARRAY_DATA,
	HEAP_MEMORY,
	HEAP_SEGMAP,
	HEAP_SHIFT,
	SPACE_LOW,
	SPACE_LOW_BOUNDARY,
	SPACE_HIGH_BOUNDARY,
	QUEUE_BUFFER,
	QUEUE_LIMIT,
	BLOCK_USED,
	BLOB_NAME,
	BLOB_SIZE,
	BLOB_FRAME_SIZE,
	BLOB_FRAME_COMPLETE,
	BLOB_CODE_BEGIN,
	BLOB_CODE_OFFSET,
	FIELD_COUNT
};

/* Statics give an address, others an offset; some have had two names. */
static const struct {
	enum field field;
	const char *type, *name;
} fields[] = {
	{HEAPS, "CodeCache", "_heaps"},
	{HEAP, "CodeCache", "_heap"}, /* JDK 8: only one */
	{LOW_BOUND, "CodeCache", "_low_bound"},
	{HIGH_BOUND, "CodeCache", "_high_bound"},
	{INTERPRETER, "AbstractInterpreter", "_code"},
	{CALL_STUB, "StubRoutines", "_call_stub_return_address"},
	{ARRAY_LENGTH, "GrowableArrayBase", "_len"},
	{ARRAY_LENGTH, "GenericGrowableArray", "_len"}, /* before JDK 16 */
	{ARRAY_DATA, "GrowableArray<int>", "_data"},
	{HEAP_MEMORY, "CodeHeap", "_memory"},
	{HEAP_SEGMAP, "CodeHeap", "_segmap"},
	{HEAP_SHIFT, "CodeHeap", "_log2_segment_size"},
	{SPACE_LOW, "VirtualSpace", "_low"},
	{SPACE_LOW_BOUNDARY, "VirtualSpace", "_low_boundary"},
	{SPACE_HIGH_BOUNDARY, "VirtualSpace", "_high_boundary"},
	{QUEUE_BUFFER, "StubQueue", "_stub_buffer"},
	{QUEUE_LIMIT, "StubQueue", "_buffer_limit"},
	{BLOCK_USED, "HeapBlock::Header", "_used"},
	{BLOB_NAME, "CodeBlob", "_name"},
	{BLOB_SIZE, "CodeBlob", "_size"},
	{BLOB_FRAME_SIZE, "CodeBlob", "_frame_size"},
	{BLOB_FRAME_COMPLETE, "CodeBlob", "_frame_complete_offset"},
	{BLOB_CODE_BEGIN, "CodeBlob", "_code_begin"}, /* JDK 9 to 22 */
	{BLOB_CODE_OFFSET, "CodeBlob", "_code_offset"}, /* JDK 8, and since 23 */
};

/* Without these nothing can be done. */
static const enum field needed[] = {
	INTERPRETER, CALL_STUB,          HEAP_MEMORY,         HEAP_SEGMAP,     HEAP_SHIFT,
	SPACE_LOW,   SPACE_LOW_BOUNDARY, SPACE_HIGH_BOUNDARY, QUEUE_BUFFER,    QUEUE_LIMIT,
	BLOCK_USED,  BLOB_NAME,          BLOB_SIZE,           BLOB_FRAME_SIZE, BLOB_FRAME_COMPLETE,
};

struct machine {
	struct process_memory *memory;
	struct process_library library;
	uint64_t values[FIELD_COUNT];
	bool known[FIELD_COUNT];
	bool short_complete; /* _frame_complete_offset has 16 bits */
	uint64_t block_header; /* bytes; 0: not known */
};

struct table { /* one of HotSpot's tables: entries until one without a name */
	uint64_t first, stride;
	uint64_t column[6];
	uint32_t columns;
};

/* The variable `names`[0] points to the first entry, [1] is the stride, the others are
 * the offsets of an entry's columns. */
static int open_table(struct machine *machine, const char *const *names, uint32_t columns,
		      struct table *ret)
{
	int r = process_library_u64(machine->memory, &machine->library, names[0], &ret->first);

	if (!r)
		r = process_library_u64(machine->memory, &machine->library, names[1], &ret->stride);
	for (uint32_t i = 0; i < columns && !r; i++) {
		r = process_library_u64(machine->memory, &machine->library, names[i + 2],
					&ret->column[i]);
		if (!r && ret->column[i] > STRIDE_MAX)
			r = -EBADMSG;
	}
	if (!r && (!ret->stride || ret->stride > STRIDE_MAX))
		r = -EBADMSG;
	return r;
}

static bool cell(struct machine *machine, const struct table *table, uint64_t entry,
		 uint32_t column, void *ret, size_t size)
{
	return process_memory_read(machine->memory, entry + table->column[column], ret, size);
}

enum { STRUCT_TYPE, STRUCT_FIELD, STRUCT_TYPE_TEXT, STRUCT_STATIC, STRUCT_OFFSET, STRUCT_ADDRESS };

static bool take_field(struct machine *machine, const struct table *table, uint64_t entry)
{
	char type[TEXT_MAX], name[TEXT_MAX];
	uint64_t pointers[2], text;
	uint32_t is_static;

	if (!cell(machine, table, entry, STRUCT_TYPE, &pointers[0], 8) ||
	    !cell(machine, table, entry, STRUCT_FIELD, &pointers[1], 8) || !pointers[0])
		return false;
	if (!process_memory_text(machine->memory, pointers[0], type, sizeof(type)) ||
	    !process_memory_text(machine->memory, pointers[1], name, sizeof(name)))
		return true;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		enum field field = fields[i].field;

		if (strcmp(type, fields[i].type) || strcmp(name, fields[i].name))
			continue;
		if (!cell(machine, table, entry, STRUCT_STATIC, &is_static, sizeof(is_static)) ||
		    !cell(machine, table, entry, is_static ? STRUCT_ADDRESS : STRUCT_OFFSET,
			  &machine->values[field], 8) ||
		    !cell(machine, table, entry, STRUCT_TYPE_TEXT, &text, 8))
			return false;
		machine->known[field] = true;
		if (field == BLOB_FRAME_COMPLETE)
			machine->short_complete =
				process_memory_is(machine->memory, text, "int16_t");
	}
	return true;
}

static int read_fields(struct machine *machine)
{
	static const char *const names[] = {
		"gHotSpotVMStructs",
		"gHotSpotVMStructEntryArrayStride",
		"gHotSpotVMStructEntryTypeNameOffset",
		"gHotSpotVMStructEntryFieldNameOffset",
		"gHotSpotVMStructEntryTypeStringOffset",
		"gHotSpotVMStructEntryIsStaticOffset",
		"gHotSpotVMStructEntryOffsetOffset",
		"gHotSpotVMStructEntryAddressOffset",
	};
	struct table table = {0};
	int r = open_table(machine, names, 6, &table);

	for (uint32_t i = 0; !r && i < ENTRIES_MAX; i++)
		if (!take_field(machine, &table, table.first + i * table.stride))
			break;
	for (size_t i = 0; !r && i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!machine->known[needed[i]])
			r = -ENOEXEC;
	return r;
}

static int read_types(struct machine *machine)
{
	static const char *const names[] = {
		"gHotSpotVMTypes",
		"gHotSpotVMTypeEntryArrayStride",
		"gHotSpotVMTypeEntryTypeNameOffset",
		"gHotSpotVMTypeEntrySizeOffset",
	};
	struct table table = {0};
	int r = open_table(machine, names, 2, &table);
	uint64_t name;

	for (uint32_t i = 0; !r && i < ENTRIES_MAX && !machine->block_header; i++) {
		uint64_t entry = table.first + i * table.stride;

		if (!cell(machine, &table, entry, 0, &name, 8) || !name)
			break;
		if (process_memory_is(machine->memory, name, "HeapBlock") &&
		    !cell(machine, &table, entry, 1, &machine->block_header, 8))
			return -EIO;
	}
	return r ? r : machine->block_header ? 0 : -ENOEXEC;
}

/* ---- what they lead to ---- */

static bool get_u64(struct machine *machine, uint64_t at, void *ret)
{
	return process_memory_read(machine->memory, at, ret, 8);
}

static bool get_u32(struct machine *machine, uint64_t at, void *ret)
{
	return process_memory_read(machine->memory, at, ret, 4);
}

static int read_heap(struct machine *machine, uint64_t heap, struct jvm_layout *layout)
{
	const uint64_t *values = machine->values;
	struct jvm_heap *to = &layout->heaps[layout->heap_count];
	uint32_t shift;

	if (!get_u64(machine, heap + values[HEAP_MEMORY] + values[SPACE_LOW_BOUNDARY], &to->low) ||
	    !get_u64(machine, heap + values[HEAP_MEMORY] + values[SPACE_HIGH_BOUNDARY],
		     &to->high) ||
	    !get_u64(machine, heap + values[HEAP_SEGMAP] + values[SPACE_LOW], &to->segmap) ||
	    !get_u32(machine, heap + values[HEAP_SHIFT], &shift))
		return -EIO;
	if (!to->low || !to->high || !to->segmap)
		return -EAGAIN;
	if (to->low >= to->high || (layout->heap_count && shift != layout->segment_shift))
		return -EBADMSG;
	layout->segment_shift = shift;
	if (!layout->heap_count || to->low < layout->low)
		layout->low = to->low;
	if (to->high > layout->high)
		layout->high = to->high;
	layout->heap_count++;
	return 0;
}

static int read_heap_array(struct machine *machine, uint64_t array, struct jvm_layout *layout)
{
	const uint64_t *values = machine->values;
	uint64_t data, heap;
	uint32_t count;
	int r = 0;

	if (!get_u32(machine, array + values[ARRAY_LENGTH], &count) ||
	    !get_u64(machine, array + values[ARRAY_DATA], &data))
		return -EIO;
	if (count > JVM_HEAPS_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < count && !r; i++)
		r = get_u64(machine, data + i * 8ULL, &heap) ? read_heap(machine, heap, layout)
							     : -EIO;
	return r ? r : count ? 0 : -EAGAIN;
}

/* Heaps are made one after another: all are there when they fill the whole. */
static int read_heaps(struct machine *machine, struct jvm_layout *layout)
{
	const uint64_t *values = machine->values;
	uint64_t pointer, low, high, sum = 0;
	int r;

	if (machine->known[HEAP]) {
		if (!get_u64(machine, values[HEAP], &pointer))
			return -EIO;
		return pointer ? read_heap(machine, pointer, layout) : -EAGAIN;
	}
	if (!machine->known[HEAPS] || !machine->known[ARRAY_LENGTH] ||
	    !machine->known[ARRAY_DATA] || !machine->known[LOW_BOUND] ||
	    !machine->known[HIGH_BOUND])
		return -ENOEXEC;
	if (!get_u64(machine, values[HEAPS], &pointer) ||
	    !get_u64(machine, values[LOW_BOUND], &low) ||
	    !get_u64(machine, values[HIGH_BOUND], &high))
		return -EIO;
	if (!pointer || !low || !high)
		return -EAGAIN;
	r = read_heap_array(machine, pointer, layout);
	for (uint32_t i = 0; i < layout->heap_count; i++)
		sum += layout->heaps[i].high - layout->heaps[i].low;
	return !r && sum < high - low ? -EAGAIN : r;
}

static int read_interpreter(struct machine *machine, struct jvm_layout *layout)
{
	const uint64_t *values = machine->values;
	uint64_t queue;
	uint32_t limit;

	if (!get_u64(machine, values[INTERPRETER], &queue) ||
	    !get_u64(machine, values[CALL_STUB], &layout->call_stub))
		return -EIO;
	if (!queue || !layout->call_stub)
		return -EAGAIN;
	if (!get_u64(machine, queue + values[QUEUE_BUFFER], &layout->interpreter) ||
	    !get_u32(machine, queue + values[QUEUE_LIMIT], &limit))
		return -EIO;
	layout->interpreter_end = layout->interpreter + limit;
	return 0;
}

/* Offsets of a CodeBlob's fields become offsets in its block. */
static int take_offsets(const struct machine *machine, struct jvm_layout *layout)
{
	const uint64_t *values = machine->values;
	bool pointer = machine->known[BLOB_CODE_BEGIN];
	enum field code = pointer ? BLOB_CODE_BEGIN : BLOB_CODE_OFFSET;
	uint64_t header = machine->block_header;

	if (!machine->known[code])
		return -ENOEXEC;
	if (header > JVM_BLOCK_BYTES)
		return -EBADMSG;
	for (enum field field = BLOCK_USED; field < FIELD_COUNT; field++)
		if (values[field] > JVM_BLOCK_BYTES)
			return -EBADMSG;
	layout->blob = (uint32_t)header;
	layout->used = (uint32_t)values[BLOCK_USED];
	layout->name = (uint32_t)(header + values[BLOB_NAME]);
	layout->size = (uint32_t)(header + values[BLOB_SIZE]);
	layout->frame_size = (uint32_t)(header + values[BLOB_FRAME_SIZE]);
	layout->frame_complete = (uint32_t)(header + values[BLOB_FRAME_COMPLETE]);
	layout->frame_complete_bytes = machine->short_complete ? 2 : 4;
	layout->code = (uint32_t)(header + values[code]);
	layout->code_bytes = pointer ? 8 : 4;
	return 0;
}

/* ---- is it possible? ---- */

static const char *heap_fault(const struct jvm_layout *layout, const struct jvm_heap *heap)
{
	if (heap->low >= heap->high || heap->low < layout->low || heap->high > layout->high)
		return "a code heap lies outside the code cache";
	if (!heap->segmap || heap->segmap >= ADDRESS_MAX)
		return "a segment map lies outside the address space";
	return NULL;
}

static const char *fault(const struct jvm_layout *layout)
{
	const uint32_t ends[] = {layout->used + 1,
				 layout->name + 8,
				 layout->size + 4,
				 layout->frame_size + 4,
				 layout->frame_complete + layout->frame_complete_bytes,
				 layout->code + layout->code_bytes,
				 layout->blob};

	if (!layout->heap_count || layout->heap_count > JVM_HEAPS_MAX)
		return "too many code heaps, or none";
	if (!layout->low || layout->low >= layout->high || layout->high > ADDRESS_MAX)
		return "a code cache outside the address space";
	for (uint32_t i = 0; i < layout->heap_count; i++)
		if (heap_fault(layout, &layout->heaps[i]))
			return heap_fault(layout, &layout->heaps[i]);
	if (layout->interpreter >= layout->interpreter_end || layout->interpreter < layout->low ||
	    layout->interpreter_end > layout->high)
		return "an interpreter outside the code cache";
	if (layout->segment_shift < 3 || layout->segment_shift > 16)
		return "segments of an impossible size";
	if ((layout->frame_complete_bytes != 2 && layout->frame_complete_bytes != 4) ||
	    (layout->code_bytes != 4 && layout->code_bytes != 8))
		return "fields of an impossible size";
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (ends[i] > JVM_BLOCK_BYTES)
			return "a field too far from its block's beginning";
	return NULL;
}

static const char *explain(int code)
{
	switch (code) {
	case -EAGAIN:
		return "it is still starting";
	case -EIO:
		return "its memory cannot be read";
	case -ENOEXEC:
		return "libjvm.so does not describe itself (gHotSpotVMStructs) as a HotSpot "
		       "machine does: its Java frames are walked by frame pointer "
		       "(-XX:+PreserveFramePointer)";
	default:
		return "what it says of itself makes no sense";
	}
}

static int read_layout(struct machine *machine, uint64_t code, uint64_t offset,
		       struct jvm_layout *layout)
{
	int r = process_library_find(machine->memory, code, offset, &machine->library);

	if (!r)
		r = read_fields(machine);
	if (!r)
		r = read_types(machine);
	if (!r)
		r = take_offsets(machine, layout);
	if (!r)
		r = read_heaps(machine, layout);
	return r ? r : read_interpreter(machine, layout);
}

int hotspot_read(int memory, uint64_t code, uint64_t offset, struct error *error,
		 struct jvm_layout *ret)
{
	_cleanup_free_ struct process_memory *pages = process_memory_create(memory);
	struct machine machine = {.memory = pages};
	struct jvm_layout layout = {0};
	int r;

	if (!pages)
		return error_set(error, -ENOMEM, "out of memory");
	r = read_layout(&machine, code, offset, &layout);
	if (r)
		return error_set(error, r, "the Java machine at 0x%" PRIx64 ": %s", code,
				 explain(r));
	if (fault(&layout))
		return error_set(error, -EBADMSG, "the Java machine at 0x%" PRIx64 ": %s", code,
				 fault(&layout));
	*ret = layout;
	return 0;
}

/* ---- over the wire ---- */

void hotspot_encode(const struct jvm_layout *layout, struct strbuf *answer)
{
	strbuf_append(answer, layout, sizeof(*layout));
}

int hotspot_decode(const void *payload, size_t size, struct error *error, struct jvm_layout *ret)
{
	struct jvm_layout layout;

	if (size != sizeof(layout))
		return error_set(error, -EBADMSG, "a Java machine's layout of %zu bytes", size);
	memcpy(&layout, payload, sizeof(layout));
	layout.exec_id = 0;
	if (fault(&layout))
		return error_set(error, -EBADMSG, "a Java machine's layout: %s", fault(&layout));
	*ret = layout;
	return 0;
}
