/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/kallsyms.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "symbolizer/lines.h"

#define NAMELESS UINT32_MAX
#define NAME_MAX_BYTES 4096

struct entry {
	uint64_t address;
	uint32_t name;
	uint16_t module;
	uint8_t rank; /* of several at one address the highest wins */
};

struct parser {
	struct kallsyms *list;
	VEC(struct entry) entries;
	bool any_line, any_address;
};

struct line { /* "ffffffff81000000 T _stext", "... t name\t[module]" */
	uint64_t address;
	char type;
	const char *name, *module;
	size_t name_length, module_length;
};

static bool split(const char *text, struct line *ret)
{
	unsigned long long address;
	const char *end;

	if (!lines_hex(&text, &address) || text[0] != ' ' || !isalpha((unsigned char)text[1]) ||
	    text[2] != ' ' || !text[3])
		return false;
	*ret = (struct line){.address = address, .type = text[1], .name = text + 3};
	ret->name_length = strcspn(ret->name, " \t");
	ret->module = strchr(ret->name + ret->name_length, '[');
	end = ret->module ? strchr(ret->module, ']') : NULL;
	if (end) {
		ret->module++;
		ret->module_length = (size_t)(end - ret->module);
	}
	if (ret->name_length > NAME_MAX_BYTES)
		ret->name_length = NAME_MAX_BYTES;
	return ret->name_length > 0;
}

/* The linker script's own marks share addresses with real functions. */
static bool is_mark(const char *name, size_t length)
{
	static const char *const marks[] = {"_text",      "_stext",     "_etext",
					    "_sinittext", "_einittext", "__pi__text"};

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		if (length == strlen(marks[i]) && !memcmp(name, marks[i], length))
			return true;
	}
	return (length > 6 && !memcmp(name + length - 6, "_start", 6) && name[0] == '_') ||
	       (length > 4 && !memcmp(name + length - 4, "_end", 4) && name[0] == '_');
}

static uint8_t rank_of(const struct line *line)
{
	/* __x64_sys_read is what the machine runs; its twin at the same address
	 * only serves 32-bit callers. */
	bool twin = line->name_length > 7 && !memcmp(line->name, "__ia32_", 7);
	uint8_t rank = 3;

	switch (line->type) {
	case 'T':
		rank = 6;
		break;
	case 'W':
	case 'w':
		rank = 5;
		break;
	case 't':
		rank = 4;
		break;
	default:
		return 0;
	}
	if (is_mark(line->name, line->name_length))
		return 1;
	return twin ? 3 : rank;
}

static void note_bounds(struct kallsyms *list, const struct line *line)
{
	struct {
		const char *name;
		uint64_t *at;
	} const bounds[] = {
		{"_stext", &list->text_start},
		{"_etext", &list->text_end},
		{"_sinittext", &list->init_start},
		{"_einittext", &list->init_end},
	};

	if (line->name[0] != '_' || line->module_length)
		return;
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		if (line->name_length == strlen(bounds[i].name) &&
		    !memcmp(line->name, bounds[i].name, line->name_length))
			*bounds[i].at = line->address;
	}
}

static int add_text(struct kallsyms *list, const struct line *line, uint32_t *ret_offset)
{
	size_t offset = list->text.count;

	if (offset + line->name_length + 1 >= NAMELESS ||
	    vec_reserve(&list->text, offset + line->name_length + 1) < 0)
		return -ENOMEM;
	memcpy(list->text.items + offset, line->name, line->name_length);
	list->text.items[offset + line->name_length] = '\0';
	list->text.count = offset + line->name_length + 1;
	*ret_offset = (uint32_t)offset;
	return 0;
}

static int add_line(struct parser *parser, const struct line *line)
{
	struct entry entry = {.address = line->address, .name = NAMELESS, .rank = rank_of(line)};
	uint32_t module;
	int r;

	parser->any_line = true;
	if (!line->address)
		return 0; /* restricted; or a per-CPU offset, which is no address */
	parser->any_address = true;
	note_bounds(parser->list, line);
	if (parser->entries.count >= KALLSYMS_SYMBOLS_MAX)
		return -E2BIG;
	if (entry.rank) {
		r = add_text(parser->list, line, &entry.name);
		if (r < 0)
			return r;
	}
	module = strtab_add(&parser->list->module_names, line->module ? line->module : "",
			    line->module_length);
	if (module == UINT32_MAX)
		return -ENOMEM;
	if (module > UINT16_MAX)
		return -E2BIG;
	entry.module = (uint16_t)module;
	return vec_push(&parser->entries, entry);
}

/* By address, ends before names, so that the last at an address is the best. */
static int compare(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	/* Names are in file order; the first one counts. */
	return (a->name < b->name) - (a->name > b->name);
}

/* Drops all but the best at each address, and ends that end nothing. */
static size_t select_best(struct entry *entries, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (i + 1 < count && entries[i + 1].address == entries[i].address)
			continue;
		if (entries[i].name == NAMELESS && (!kept || entries[kept - 1].name == NAMELESS))
			continue;
		entries[kept++] = entries[i];
	}
	return kept;
}

static int build_columns(struct kallsyms *list, const struct entry *entries, size_t count)
{
	if (!count)
		return 0;
	list->addresses = malloc(count * sizeof(*list->addresses));
	list->names = malloc(count * sizeof(*list->names));
	list->modules = malloc(count * sizeof(*list->modules));
	if (!list->addresses || !list->names || !list->modules)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		list->addresses[i] = entries[i].address;
		list->names[i] = entries[i].name;
		list->modules[i] = entries[i].module;
	}
	list->count = count;
	return 0;
}

static int read_lines(struct parser *parser, int fd, struct error *error)
{
	struct lines lines;
	size_t length;
	char *text;
	int r;

	lines_init(&lines, fd);
	while ((r = lines_next(&lines, &text, &length)) > 0) {
		struct line line;

		if (!split(text, &line))
			return error_set(error, -EBADMSG,
					 "line %zu is not of the form \"address type name\"",
					 lines.number);
		r = add_line(parser, &line);
		if (r < 0)
			return error_set(error, r, "line %zu: %s", lines.number,
					 r == -E2BIG ? "too many symbols" : "out of memory");
	}
	if (r < 0)
		return error_set(error, r, "after line %zu: %s", lines.number, strerror(-r));
	if (!parser->any_line)
		return error_set(error, -EBADMSG, "the list is empty");
	return 0;
}

int kallsyms_init(struct kallsyms *ret, int fd, struct error *error)
{
	struct kallsyms list = {0};
	struct parser parser = {.list = &list};
	int r;

	/* Id 0 is "": the kernel itself. */
	r = read_lines(&parser, fd, error);
	if (!r && parser.entries.count) {
		qsort(parser.entries.items, parser.entries.count, sizeof(*parser.entries.items),
		      compare);
		parser.entries.count = select_best(parser.entries.items, parser.entries.count);
		r = build_columns(&list, parser.entries.items, parser.entries.count);
		if (r < 0)
			error_set(error, r, "out of memory for the kernel's symbols");
	}
	list.restricted = parser.any_line && !parser.any_address;
	vec_free(&parser.entries);
	if (!r && list.text.count) {
		char *text = realloc(list.text.items, list.text.count);

		if (text) {
			list.text.items = text;
			list.text.capacity = list.text.count;
		}
	}
	if (r < 0) {
		kallsyms_deinit(&list);
		return r;
	}
	*ret = list;
	return 0;
}

void kallsyms_deinit(struct kallsyms *kallsyms)
{
	free(kallsyms->addresses);
	free(kallsyms->names);
	free(kallsyms->modules);
	vec_free(&kallsyms->text);
	strtab_deinit(&kallsyms->module_names);
	*kallsyms = (struct kallsyms){0};
}

static bool in_kernel_text(const struct kallsyms *list, uint64_t address)
{
	if (!list->text_start || list->text_end <= list->text_start)
		return true; /* the list does not say */
	return (address >= list->text_start && address < list->text_end) ||
	       (address >= list->init_start && address < list->init_end);
}

const char *kallsyms_find(const struct kallsyms *kallsyms, uint64_t address,
			  const char **ret_module)
{
	size_t low = 0, high = kallsyms->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (kallsyms->addresses[middle] <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || kallsyms->names[low - 1] == NAMELESS ||
	    address - kallsyms->addresses[low - 1] >= KALLSYMS_REACH_MAX ||
	    (!kallsyms->modules[low - 1] && !in_kernel_text(kallsyms, address)))
		return NULL;
	*ret_module = strtab_get(&kallsyms->module_names, kallsyms->modules[low - 1]);
	return kallsyms->text.items + kallsyms->names[low - 1];
}

size_t kallsyms_memory(const struct kallsyms *kallsyms)
{
	return kallsyms->count * (sizeof(*kallsyms->addresses) + sizeof(*kallsyms->names) +
				  sizeof(*kallsyms->modules)) +
	       kallsyms->text.capacity + kallsyms->module_names.bytes.capacity;
}
