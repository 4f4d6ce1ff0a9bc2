/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The memory of a Java machine in miniature, as /proc/PID/mem would show it: a library
 * with dynamic symbols, HotSpot's tables of itself, and the objects they lead to. Each
 * part is where the constants say, so that tests can damage it.
 */
#pragma once

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define JVM_BASE 0x10000u /* the library; all below are process addresses */
#define JVM_DYNAMIC 0x11000u
#define JVM_SYMBOLS 0x12000u
#define JVM_NAMES 0x13000u
#define JVM_HASH 0x14000u
#define JVM_VARIABLES 0x15000u
#define JVM_STRUCTS 0x16000u
#define JVM_TYPES 0x18000u
#define JVM_TEXTS 0x19000u
#define JVM_STATICS 0x1a000u
#define JVM_ARRAY 0x1b000u
#define JVM_POINTERS 0x1b100u
#define JVM_HEAP 0x1b200u /* and 0x100 on: the next */
#define JVM_QUEUE 0x1b800u
#define JVM_CODE 0x1f000u /* the mapping that is known */
#define JVM_END 0x20000u

#define JVM_LOW 0x7f0000000000u
#define JVM_HIGH 0x7f0000300000u
#define JVM_STRUCT_STRIDE 48u

struct jvm_image {
	uint8_t bytes[JVM_END];
	uint32_t symbols, structs, types;
	uint32_t names, texts; /* used so far */
};

static inline void jvm_put(struct jvm_image *image, uint64_t at, uint64_t value, size_t size)
{
	memcpy(&image->bytes[at], &value, size);
}

static inline uint64_t jvm_text(struct jvm_image *image, const char *text)
{
	uint64_t at = JVM_TEXTS + image->texts;

	memcpy(&image->bytes[at], text, strlen(text) + 1);
	image->texts += (uint32_t)strlen(text) + 1;
	return at;
}

static inline uint32_t jvm_gnu_hash(const char *name)
{
	uint32_t hash = 5381;

	while (*name)
		hash = hash * 33 + (uint8_t)*name++;
	return hash;
}

/* A 64-bit variable with a dynamic symbol; gives its address. */
static inline uint64_t jvm_variable(struct jvm_image *image, const char *name, uint64_t value)
{
	uint32_t index = ++image->symbols; /* 0 is none */
	uint64_t at = JVM_VARIABLES + index * 8;
	Elf64_Sym symbol = {.st_name = ++image->names, .st_value = at - JVM_BASE};

	memcpy(&image->bytes[JVM_SYMBOLS + index * sizeof(symbol)], &symbol, sizeof(symbol));
	memcpy(&image->bytes[JVM_NAMES + image->names], name, strlen(name) + 1);
	image->names += (uint32_t)strlen(name);
	jvm_put(image, at, value, 8);
	return at;
}

/* An entry of HotSpot's table of fields. */
static inline void jvm_field(struct jvm_image *image, const char *type, const char *name,
			     const char *kind, bool is_static, uint64_t value)
{
	uint64_t at = JVM_STRUCTS + image->structs++ * JVM_STRUCT_STRIDE;

	jvm_put(image, at, jvm_text(image, type), 8);
	jvm_put(image, at + 8, jvm_text(image, name), 8);
	jvm_put(image, at + 16, jvm_text(image, kind), 8);
	jvm_put(image, at + 24, is_static, 4);
	jvm_put(image, at + (is_static ? 40 : 32), value, 8);
}

static inline void jvm_type(struct jvm_image *image, const char *name, uint64_t size)
{
	uint64_t at = JVM_TYPES + image->types++ * 16;

	jvm_put(image, at, jvm_text(image, name), 8);
	jvm_put(image, at + 8, size, 8);
}

static inline void jvm_heap(struct jvm_image *image, uint32_t number, uint64_t low, uint64_t high)
{
	uint64_t at = JVM_HEAP + number * 0x100;

	jvm_put(image, JVM_POINTERS + number * 8, at, 8);
	jvm_put(image, at + 8, low, 8); /* _memory's boundaries */
	jvm_put(image, at + 16, high, 8);
	jvm_put(image, at + 0x48, 0x7e0000000000u + number * 0x10000, 8); /* _segmap's _low */
	jvm_put(image, at + 0x80, 7, 4);
}

static inline void jvm_symbols(struct jvm_image *image)
{
	static const char *const columns[] = {"TypeName", "FieldName", "TypeString",
					      "IsStatic", "Offset",    "Address"};
	char name[64];

	jvm_variable(image, "gHotSpotVMStructs", JVM_STRUCTS);
	jvm_variable(image, "gHotSpotVMStructEntryArrayStride", JVM_STRUCT_STRIDE);
	for (uint32_t i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "gHotSpotVMStructEntry%sOffset", columns[i]);
		jvm_variable(image, name, i * 8);
	}
	jvm_variable(image, "gHotSpotVMTypes", JVM_TYPES);
	jvm_variable(image, "gHotSpotVMTypeEntryArrayStride", 16);
	jvm_variable(image, "gHotSpotVMTypeEntryTypeNameOffset", 0);
	jvm_variable(image, "gHotSpotVMTypeEntrySizeOffset", 8);
}

/* As JDK 25 has it; the fields of a blob are added by the caller. */
static inline void jvm_fields(struct jvm_image *image)
{
	jvm_field(image, "CodeCache", "_heaps", "GrowableArray<CodeHeap*>*", true, JVM_STATICS);
	jvm_field(image, "CodeCache", "_low_bound", "address", true, JVM_STATICS + 8);
	jvm_field(image, "CodeCache", "_high_bound", "address", true, JVM_STATICS + 16);
	jvm_field(image, "AbstractInterpreter", "_code", "StubQueue*", true, JVM_STATICS + 24);
	jvm_field(image, "StubRoutines", "_call_stub_return_address", "address", true,
		  JVM_STATICS + 32);
	jvm_field(image, "GrowableArrayBase", "_len", "int", false, 0);
	jvm_field(image, "GrowableArray<int>", "_data", "int*", false, 8);
	jvm_field(image, "CodeHeap", "_memory", "VirtualSpace", false, 8);
	jvm_field(image, "CodeHeap", "_segmap", "VirtualSpace", false, 0x38);
	jvm_field(image, "CodeHeap", "_log2_segment_size", "int", false, 0x80);
	jvm_field(image, "VirtualSpace", "_low_boundary", "char*", false, 0);
	jvm_field(image, "VirtualSpace", "_high_boundary", "char*", false, 8);
	jvm_field(image, "VirtualSpace", "_low", "char*", false, 16);
	jvm_field(image, "StubQueue", "_stub_buffer", "address", false, 8);
	jvm_field(image, "StubQueue", "_buffer_limit", "int", false, 20);
	jvm_field(image, "HeapBlock::Header", "_used", "bool", false, 4);
	jvm_type(image, "CodeHeap", 336);
	jvm_type(image, "HeapBlock", 8);
}

static inline void jvm_blob_fields(struct jvm_image *image)
{
	jvm_field(image, "CodeBlob", "_name", "const char*", false, 8);
	jvm_field(image, "CodeBlob", "_size", "int", false, 24);
	jvm_field(image, "CodeBlob", "_frame_size", "int", false, 44);
	jvm_field(image, "CodeBlob", "_frame_complete_offset", "int16_t", false, 54);
	jvm_field(image, "CodeBlob", "_code_offset", "int", false, 36);
}

static inline void jvm_objects(struct jvm_image *image)
{
	jvm_put(image, JVM_STATICS, JVM_ARRAY, 8);
	jvm_put(image, JVM_STATICS + 8, JVM_LOW, 8);
	jvm_put(image, JVM_STATICS + 16, JVM_HIGH, 8);
	jvm_put(image, JVM_STATICS + 24, JVM_QUEUE, 8);
	jvm_put(image, JVM_STATICS + 32, JVM_LOW + 0x1234, 8);
	jvm_put(image, JVM_ARRAY, 2, 4);
	jvm_put(image, JVM_ARRAY + 8, JVM_POINTERS, 8);
	jvm_heap(image, 0, JVM_LOW, JVM_LOW + 0x100000);
	jvm_heap(image, 1, JVM_LOW + 0x100000, JVM_HIGH);
	jvm_put(image, JVM_QUEUE + 8, JVM_LOW + 0x2000, 8);
	jvm_put(image, JVM_QUEUE + 20, 0x10000, 4);
}

/* The ELF header, the dynamic section as glibc leaves it, and a hash table with one
 * bucket; gnu: in the GNU form. */
static inline void jvm_elf(struct jvm_image *image, bool gnu)
{
	Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64},
			     .e_machine = EM_X86_64,
			     .e_phoff = sizeof(header),
			     .e_phentsize = sizeof(Elf64_Phdr),
			     .e_phnum = 2};
	Elf64_Phdr segments[] = {{.p_type = PT_LOAD, .p_filesz = 0xf000},
				 {.p_type = PT_DYNAMIC, .p_vaddr = JVM_DYNAMIC - JVM_BASE}};
	Elf64_Dyn dynamic[] = {{DT_SYMTAB, {JVM_SYMBOLS}},
			       {DT_STRTAB, {JVM_NAMES}},
			       {gnu ? DT_GNU_HASH : DT_HASH, {JVM_HASH}},
			       {DT_NULL, {0}}};
	uint32_t system_v[] = {1, image->symbols + 1}, head[] = {1, 1, 1, 0};
	uint64_t chain = JVM_HASH + sizeof(head) + 8 + 4;

	memcpy(&image->bytes[JVM_BASE], &header, sizeof(header));
	memcpy(&image->bytes[JVM_BASE + sizeof(header)], segments, sizeof(segments));
	memcpy(&image->bytes[JVM_DYNAMIC], dynamic, sizeof(dynamic));
	memcpy(&image->bytes[JVM_HASH], gnu ? head : system_v, gnu ? sizeof(head) : 8);
	for (uint32_t i = 1; gnu && i <= image->symbols; i++) {
		Elf64_Sym symbol;
		uint32_t hash;

		memcpy(&symbol, &image->bytes[JVM_SYMBOLS + i * sizeof(symbol)], sizeof(symbol));
		hash = jvm_gnu_hash((const char *)&image->bytes[JVM_NAMES + symbol.st_name]);
		jvm_put(image, chain + (i - 1) * 4, (hash & ~1u) | (i == image->symbols ? 1u : 0u),
			4);
	}
	if (gnu)
		jvm_put(image, chain - 4, 1, 4); /* the bucket: from symbol 1 on */
}

static inline void jvm_image_init(struct jvm_image *image)
{
	memset(image, 0, sizeof(*image));
	jvm_symbols(image);
	jvm_fields(image);
	jvm_blob_fields(image);
	jvm_objects(image);
	jvm_elf(image, true);
}
