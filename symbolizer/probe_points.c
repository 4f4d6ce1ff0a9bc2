/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/probe_points.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/reader.h"
#include "symbolizer/code_insn.h"

#define NOTE_TYPE 3u
#define CONTROL_SYMBOL "perfd_heap_control"
#define SYMBOLS_MAX (1u << 22)
#define SCAN_BYTES 64u /* of a function's beginning, at most */
#define SCAN_INSNS 12

/* ---- notes ---- */

static const struct {
	const char *provider, *name;
	uint8_t probe, arguments;
} wanted[] = {
	{"perfd", "alloc", ABI_PROBE_ALLOC, 3},
	{"perfd", "free", ABI_PROBE_FREE, 1},
	{"otel_memory", "alloc", ABI_PROBE_ALLOC, 3},
	{"otel_memory", "free", ABI_PROBE_FREE, 1},
};

static const struct {
	const char *name;
	uint8_t number; /* DWARF's */
} registers[] = {{"rax", 0},  {"rdx", 1},  {"rcx", 2}, {"rbx", 3}, {"rsi", 4},
		 {"rdi", 5},  {"rbp", 6},  {"r8", 8},  {"r9", 9},  {"r12", 12},
		 {"r13", 13}, {"r14", 14}, {"r15", 15}};

/* "8@%rdi", or "-8@%rdi": a whole register. */
static bool parse_argument(const char *text, size_t length, uint8_t *ret)
{
	if (length && *text == '-') {
		text++;
		length--;
	}
	if (length < 5 || memcmp(text, "8@%", 3))
		return false;
	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		if (strlen(registers[i].name) == length - 3 &&
		    !memcmp(registers[i].name, text + 3, length - 3)) {
			*ret = registers[i].number;
			return true;
		}
	}
	return false;
}

static bool parse_arguments(const char *text, uint8_t count, uint8_t *ret)
{
	for (uint8_t i = 0; i < count; i++) {
		size_t length = strcspn(text, " ");

		if (!parse_argument(text, length, &ret[i]))
			return false;
		text += length;
		text += strspn(text, " ");
	}
	return !*text;
}

static const char *take_text(struct reader *reader)
{
	const char *text = (const char *)reader->data + reader->at;
	const char *end = reader_left(reader) ? memchr(text, 0, reader_left(reader)) : NULL;

	if (!end) {
		reader_fail(reader, "a text without an end");
		return "";
	}
	reader_take(reader, (size_t)(end - text) + 1);
	return text;
}

bool probe_note_parse(const void *bytes, size_t size, struct probe_note *ret)
{
	struct probe_note note = {0};
	const char *provider, *name, *arguments;
	struct reader reader;

	reader_init(&reader, bytes, size);
	note.location = reader_u64(&reader);
	note.base = reader_u64(&reader);
	note.semaphore = reader_u64(&reader);
	provider = take_text(&reader);
	name = take_text(&reader);
	arguments = take_text(&reader);
	if (!reader_ok(&reader))
		return false;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (strcmp(wanted[i].provider, provider) != 0 || strcmp(wanted[i].name, name) != 0)
			continue;
		if (!parse_arguments(arguments, wanted[i].arguments, note.point.arguments))
			return false;
		note.point.probe = wanted[i].probe;
		note.point.emulated = true; /* nop */
		*ret = note;
		return true;
	}
	return false;
}

/* One place may have two names. */
static bool has_place(const struct probe_points *points, uint64_t offset)
{
	for (size_t i = 0; i < points->count; i++)
		if (points->items[i].offset == offset)
			return true;
	return false;
}

static void add_point(struct probe_points *points, const struct probe_point *point)
{
	if (points->count < PROBE_POINTS_MAX && !has_place(points, point->offset))
		points->items[points->count++] = *point;
}

static void add_note(const struct elf_image *image, const struct probe_note *note, uint64_t moved,
		     struct probe_points *points)
{
	struct probe_point point = note->point;

	if (!elf_image_offset(image, note->location + moved, &point.offset))
		return;
	if (note->semaphore && !elf_image_offset(image, note->semaphore + moved, &point.semaphore))
		return;
	add_point(points, &point);
}

static void read_notes(const struct elf_image *image, Elf_Data *data, uint64_t base,
		       struct probe_points *points)
{
	struct reader reader;

	reader_init(&reader, data->d_buf, data->d_buf ? data->d_size : 0);
	while (reader_left(&reader) >= 12) {
		uint32_t name_size = reader_u32(&reader), size = reader_u32(&reader);
		uint32_t type = reader_u32(&reader);
		const char *name = reader_take(&reader, (name_size + 3ull) & ~3ull);
		const void *bytes = reader_take(&reader, (size + 3ull) & ~3ull);
		struct probe_note note;

		if (!reader_ok(&reader))
			return;
		if (type != NOTE_TYPE || name_size != 8 || memcmp(name, "stapsdt", 8) ||
		    !probe_note_parse(bytes, size, &note))
			continue;
		/* Prelink moves code, but not what notes say. */
		add_note(image, &note, base && note.base ? base - note.base : 0, points);
	}
}

static void find_notes(const struct elf_image *image, struct probe_points *points)
{
	Elf_Scn *scn = NULL;
	Elf_Data *notes[8];
	size_t count = 0, names;
	uint64_t base = 0;

	if (elf_getshdrstrndx(image->elf, &names))
		return;
	while ((scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr header;
		const char *name;

		if (!gelf_getshdr(scn, &header))
			continue;
		name = elf_strptr(image->elf, names, header.sh_name);
		if (name && !strcmp(name, ".stapsdt.base"))
			base = header.sh_addr;
		else if (name && !strcmp(name, ".note.stapsdt") && header.sh_type == SHT_NOTE &&
			 count < 8 && (notes[count] = elf_rawdata(scn, NULL)))
			count++;
	}
	for (size_t i = 0; i < count; i++)
		read_notes(image, notes[i], base, points);
}

/* ---- functions ---- */

enum { RDX = 1, RSI = 4, RDI = 5 }; /* DWARF's numbers */

/* By DWARF's numbers, those of machine code; and back. */
static const uint8_t in_code[] = {0, 2, 1, 3, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15};
static const uint8_t in_dwarf[] = {0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15};
/* By machine code's number, what bpf/heap.bpf.c can read: not rsp, r10 and r11. */
#define READABLE (~(1u << CODE_RSP | 1u << 10 | 1u << 11))

/* Whose names these are in front of the functions' own: of an allocator that is linked into a
 * program beside the C library's. */
static const char *const families[] = {"", "je_", "_rjem_", "mi_", "tc_"};
#define FAMILIES (sizeof(families) / sizeof(families[0]))

enum {
	PREFIXED = 1, /* only behind a family's prefix */
	THROWS = 2,
};

/* Functions that others of the table may go on to come first. */
static const struct allocator_function {
	const char *name;
	uint8_t probe;
	uint8_t arguments[2];
	uint8_t count; /* of the arguments */
	uint8_t flags;
} functions[] = {
	{"malloc", ABI_PROBE_SIZE, {RDI}, 1, 0},
	{"calloc", ABI_PROBE_PRODUCT, {RDI, RSI}, 2, 0},
	{"realloc", ABI_PROBE_RESIZE, {RDI, RSI}, 2, 0},
	{"memalign", ABI_PROBE_SIZE, {RSI}, 1, 0},
	{"aligned_alloc", ABI_PROBE_SIZE, {RSI}, 1, 0},
	{"posix_memalign", ABI_PROBE_PLACE, {RDI, RDX}, 2, 0},
	{"valloc", ABI_PROBE_SIZE, {RDI}, 1, 0},
	{"pvalloc", ABI_PROBE_SIZE, {RDI}, 1, 0},
	{"reallocarray", ABI_PROBE_PRODUCT, {RSI, RDX}, 2, 0},
	{"_Znwm", ABI_PROBE_SIZE, {RDI}, 1, THROWS},
	{"_Znam", ABI_PROBE_SIZE, {RDI}, 1, THROWS},
	{"_ZnwmRKSt9nothrow_t", ABI_PROBE_SIZE, {RDI}, 1, 0},
	{"_ZnamRKSt9nothrow_t", ABI_PROBE_SIZE, {RDI}, 1, 0},
	{"_ZnwmSt11align_val_t", ABI_PROBE_SIZE, {RDI}, 1, THROWS},
	{"_ZnamSt11align_val_t", ABI_PROBE_SIZE, {RDI}, 1, THROWS},
	{"_ZnwmSt11align_val_tRKSt9nothrow_t", ABI_PROBE_SIZE, {RDI}, 1, 0},
	{"_ZnamSt11align_val_tRKSt9nothrow_t", ABI_PROBE_SIZE, {RDI}, 1, 0},
	{"mallocx", ABI_PROBE_SIZE, {RDI}, 1, 0},
	{"rallocx", ABI_PROBE_RESIZE, {RDI, RSI}, 2, 0},
	{"newarray", ABI_PROBE_SIZE, {RDI}, 1, PREFIXED | THROWS},
	{"zalloc", ABI_PROBE_SIZE, {RDI}, 1, PREFIXED},
	{"new", ABI_PROBE_SIZE, {RDI}, 1, PREFIXED | THROWS},
	{"malloc_aligned", ABI_PROBE_SIZE, {RDI}, 1, PREFIXED},
	{"zalloc_aligned", ABI_PROBE_SIZE, {RDI}, 1, PREFIXED},
	{"realloc_aligned", ABI_PROBE_RESIZE, {RDI, RSI}, 2, PREFIXED},
	{"free", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"cfree", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdlPv", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdaPv", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdlPvm", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdaPvm", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdlPvRKSt9nothrow_t", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdaPvRKSt9nothrow_t", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdlPvSt11align_val_t", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdaPvSt11align_val_t", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdlPvmSt11align_val_t", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdaPvmSt11align_val_t", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdlPvSt11align_val_tRKSt9nothrow_t", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"_ZdaPvSt11align_val_tRKSt9nothrow_t", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"free_sized", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"free_aligned_sized", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"dallocx", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"sdallocx", ABI_PROBE_RELEASE, {RDI}, 1, 0},
	{"free_size", ABI_PROBE_RELEASE, {RDI}, 1, PREFIXED},
	{"free_size_aligned", ABI_PROBE_RELEASE, {RDI}, 1, PREFIXED},
	{"free_aligned", ABI_PROBE_RELEASE, {RDI}, 1, PREFIXED},
	{"delete", ABI_PROBE_RELEASE, {RDI}, 1, PREFIXED},
	{"deletearray", ABI_PROBE_RELEASE, {RDI}, 1, PREFIXED},
	{"delete_sized", ABI_PROBE_RELEASE, {RDI}, 1, PREFIXED},
	{"deletearray_sized", ABI_PROBE_RELEASE, {RDI}, 1, PREFIXED},
};
#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

struct found_function {
	uint64_t address; /* ELF; 0: not in the file */
	uint64_t size;
};

struct found {
	struct found_function of[FAMILIES][FUNCTIONS];
};

static void match_symbol(const char *name, const GElf_Sym *symbol, struct found *found)
{
	for (size_t family = 0; family < FAMILIES; family++) {
		size_t prefix = strlen(families[family]);

		if (strncmp(name, families[family], prefix) != 0)
			continue;
		for (size_t f = 0; f < FUNCTIONS; f++) {
			struct found_function *function = &found->of[family][f];

			if (!function->address && (prefix || !(functions[f].flags & PREFIXED)) &&
			    !strcmp(functions[f].name, name + prefix))
				*function =
					(struct found_function){symbol->st_value, symbol->st_size};
		}
	}
}

static void read_symbols(Elf *elf, Elf_Scn *scn, const GElf_Shdr *header, struct found *found)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	GElf_Sym symbol;

	for (int i = 1; data && i < (int)SYMBOLS_MAX && gelf_getsym(data, i, &symbol); i++) {
		const char *name;

		if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF ||
		    !symbol.st_value)
			continue;
		name = elf_strptr(elf, header->sh_link, symbol.st_name);
		if (name)
			match_symbol(name, &symbol, found);
	}
}

static void find_symbols(const struct elf_image *image, struct found *found)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr header;

		if (gelf_getshdr(scn, &header) &&
		    (header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB))
			read_symbols(image->elf, scn, &header, found);
	}
}

/* A prefix-less 66, 0x66 nops, jcc, jmp and call by displacement, push of a register:
 * what arch/x86/kernel/uprobes.c (branch_setup_xol_ops(), push_setup_xol_ops()) takes. */
static bool is_emulated(const uint8_t *code, const struct code_insn *insn)
{
	if (insn->length == 1)
		return (code[0] & 0xf8) == 0x50 || code[0] == 0x90;
	if (insn->length == 2 && code[0] == 0x41 && (code[1] & 0xf8) == 0x50)
		return true;
	if (insn->length == 5 && (code[0] == 0xe8 || code[0] == 0xe9))
		return true;
	if (insn->length == 2 && (code[0] == 0xeb || (code[0] & 0xf0) == 0x70))
		return true;
	if (insn->length == 6 && code[0] == 0x0f && (code[1] & 0xf0) == 0x80)
		return true;
	return insn->padding && code[0] == 0x0f && code[1] == 0x1f;
}

static bool moves_stack(const struct code_insn *insn)
{
	return insn->op == CODE_PUSH || insn->op == CODE_POP || insn->op == CODE_LEAVE ||
	       insn->written >> CODE_RSP & 1 || (insn->op != CODE_OTHER && insn->reg == CODE_RSP);
}

/* Where a function's arguments are, as its instructions go by: machine code's numbers. */
struct argument_places {
	uint8_t count;
	uint8_t at[2];
	uint8_t copy[2]; /* where it lies, too; CODE_NO_REGISTER */
};

/* False: an argument is not in a register that can be read any more. */
static bool arguments_after(struct argument_places *places, const struct code_insn *insn)
{
	for (uint8_t i = 0; i < places->count; i++) {
		bool lost = insn->written >> places->at[i] & 1 ||
			    (insn->reg == places->at[i] && insn->op != CODE_OTHER);

		if (insn->op == CODE_MOVE && insn->source == places->at[i] && !lost &&
		    READABLE >> insn->reg & 1) {
			places->copy[i] = insn->reg;
			continue;
		}
		if (places->copy[i] != CODE_NO_REGISTER &&
		    (insn->written >> places->copy[i] & 1 ||
		     (insn->reg == places->copy[i] && insn->op != CODE_OTHER)))
			places->copy[i] = CODE_NO_REGISTER;
		if (!lost)
			continue;
		if (places->copy[i] == CODE_NO_REGISTER)
			return false;
		places->at[i] = places->copy[i];
		places->copy[i] = CODE_NO_REGISTER;
	}
	return true;
}

/* The probe goes there, with the arguments where they are then. */
static void put_probe(struct probe_point *point, uint64_t at, const struct argument_places *places,
		      bool moved)
{
	point->offset += at;
	point->emulated = true;
	point->returns = point->returns && !moved;
	for (uint8_t i = 0; i < places->count; i++)
		point->arguments[i] = in_dwarf[places->at[i]];
}

uint64_t probe_place_find(const uint8_t *code, size_t size, uint64_t address, uint8_t count,
			  struct probe_point *point)
{
	struct argument_places places = {.count = count};
	uint64_t goes_to = 0;
	bool moved = false;

	for (uint8_t i = 0; i < count; i++) {
		places.at[i] = in_code[point->arguments[i]];
		places.copy[i] = CODE_NO_REGISTER;
	}
	for (size_t i = 0, at = 0; i < SCAN_INSNS && at < size; i++) {
		struct code_insn insn;

		if (at == 0 && size >= 4 && !memcmp(code, "\xf3\x0f\x1e\xfa", 4)) { /* endbr64 */
			at = 4;
			continue;
		}
		if (!code_insn_decode(code + at, size - at, address + at, &insn))
			break;
		if (!point->emulated && is_emulated(code + at, &insn))
			put_probe(point, at, &places, moved);
		if (insn.flow == CODE_JUMP && insn.direct)
			goes_to = insn.target;
		if (insn.flow != CODE_NEXT || !arguments_after(&places, &insn))
			break;
		moved = moved || moves_stack(&insn);
		at += insn.length;
	}
	return goes_to;
}

/* The best place, or the beginning, if there is none better. `ret_goes_to`: the function
 * at once goes on there; 0. */
static bool place_probe(const struct elf_image *image, const struct found_function *function,
			uint8_t arguments, struct probe_point *point, uint64_t *ret_goes_to)
{
	uint64_t size = function->size && function->size < SCAN_BYTES ? function->size : SCAN_BYTES;
	Elf_Data *data;

	*ret_goes_to = 0;
	if (!elf_image_offset(image, function->address, &point->offset))
		return false;
	point->function = point->offset;
	point->function_size = function->size < UINT32_MAX ? (uint32_t)function->size : 0;
	data = elf_getdata_rawchunk(image->elf, (int64_t)point->offset, size, ELF_T_BYTE);
	if (!data || !data->d_buf)
		return false;
	*ret_goes_to =
		probe_place_find(data->d_buf, data->d_size, function->address, arguments, point);
	return true;
}

static bool is_function(const struct found *found, uint64_t address)
{
	for (size_t family = 0; family < FAMILIES; family++)
		for (size_t f = 0; f < FUNCTIONS; f++)
			if (found->of[family][f].address == address)
				return true;
	return false;
}

static void find_family(const struct elf_image *image, const struct found *found, size_t family,
			struct probe_points *points)
{
	for (size_t f = 0; f < FUNCTIONS; f++) {
		const struct found_function *function = &found->of[family][f];
		struct probe_point point = {.probe = functions[f].probe,
					    .returns = functions[f].probe != ABI_PROBE_RELEASE &&
						       !(functions[f].flags & THROWS)};
		uint64_t goes_to;

		if (!function->address)
			continue;
		memcpy(point.arguments, functions[f].arguments, sizeof(functions[f].arguments));
		if (place_probe(image, function, functions[f].count, &point, &goes_to) &&
		    !(goes_to && is_function(found, goes_to)))
			add_point(points, &point);
	}
}

static int find_functions(const struct elf_image *image, struct probe_points *points)
{
	struct found *found = calloc(1, sizeof(*found));

	if (!found)
		return -ENOMEM;
	find_symbols(image, found);
	for (size_t family = 0; family < FAMILIES; family++)
		/* Whatever has no malloc is no allocator: operators that call another file's. */
		if (found->of[family][0].address)
			find_family(image, found, family, points);
	free(found);
	return 0;
}

/* The address of a data symbol in one table; 0: it is not there. */
static uint64_t find_data(Elf *elf, Elf_Scn *scn, const GElf_Shdr *header, const char *data_name)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	GElf_Sym symbol;

	for (int i = 1; data && i < (int)SYMBOLS_MAX && gelf_getsym(data, i, &symbol); i++) {
		const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);

		if (name && GELF_ST_TYPE(symbol.st_info) == STT_OBJECT &&
		    symbol.st_shndx != SHN_UNDEF && !strcmp(name, data_name))
			return symbol.st_value;
	}
	return 0;
}

/* As far behind the first byte of the file as the word is behind where that is, or would be, by
 * the code's segment: that is what its mappings tell. */
static void find_control(const struct elf_image *image, struct probe_points *points)
{
	const struct elf_segment *code = NULL;
	Elf_Scn *scn = NULL;
	uint64_t address = 0;

	for (size_t i = 0; !code && i < image->segments.count; i++)
		if (image->segments.items[i].executable)
			code = &image->segments.items[i];
	while (!address && (scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr header;

		if (gelf_getshdr(scn, &header) && header.sh_type == SHT_DYNSYM)
			address = find_data(image->elf, scn, &header, CONTROL_SYMBOL);
	}
	if (!code || !address || code->address < code->offset ||
	    address <= code->address - code->offset ||
	    (address - (code->address - code->offset)) >> 40)
		return;
	points->control = address - (code->address - code->offset);
}

int probe_points_find(const struct elf_image *image, struct error *error, struct probe_points *ret)
{
	struct probe_points points = {0};

	if (image->machine != EM_X86_64)
		return error_set(error, -ENOTSUP, "the file is not for x86-64");
	find_notes(image, &points);
	if (points.count)
		find_control(image, &points);
	/* A library with probes of its own stands before the allocator. */
	if (!points.count && find_functions(image, &points))
		return error_set(error, -ENOMEM, "out of memory");
	*ret = points;
	return 0;
}

bool probe_points_within(const struct probe_points *points, uint64_t offset)
{
	for (size_t i = 0; i < points->count; i++) {
		const struct probe_point *point = &points->items[i];

		if (point->function_size && offset >= point->function &&
		    offset - point->function < point->function_size)
			return true;
	}
	return false;
}
