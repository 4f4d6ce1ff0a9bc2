/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/symtab.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "symbolizer/go_table.h"
#include "symbolizer/plt.h"

#define SYMBOLS_MAX (16U << 20)
#define NAME_MAX_BYTES 4096 /* a longer name is cut */

static const char plt_suffix[] = "@plt";

struct candidate {
	uint64_t address;
	uint64_t size; /* 0: not known */
	uint64_t limit; /* where its section ends; one past */
	const char *name;
	uint16_t name_length;
	uint8_t binding; /* 3 global, 2 weak, 1 local */
	bool label; /* STT_NOTYPE */
	bool stub; /* of the procedure linkage table: the name gets a suffix */
};

typedef VEC(struct candidate) candidates;

struct collection {
	const struct elf_image *file; /* that holds the symbols */
	const struct elf_image *loaded; /* that holds the code: the same, or its debug file's */
	candidates found;
	size_t sorted; /* so many of them are in order */
};

struct table { /* one symbol section and its strings */
	Elf_Data *symbols;
	size_t count;
	const char *strings;
	size_t strings_size;
};

/* libelf does not tell apart a section that cannot be read and memory that is
 * short; the first is a damaged file, the second must not look like one. */
static int read_section(const struct elf_image *image, Elf_Scn *scn, const GElf_Shdr *header,
			Elf_Data **ret)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	void *probe;

	if (data && data->d_buf) {
		*ret = data;
		return 1;
	}
	if (data || header->sh_size > image->file_size)
		return 0;
	probe = malloc(header->sh_size);
	free(probe);
	return probe ? 0 : -ENOMEM;
}

/* 1 if the section can be used, 0 if not, -ENOMEM. */
static int table_open(const struct elf_image *image, Elf_Scn *scn, const GElf_Shdr *header,
		      struct table *ret)
{
	Elf_Scn *strings_scn = elf_getscn(image->elf, header->sh_link);
	GElf_Shdr strings_header;
	Elf_Data *strings = NULL;
	size_t entry = gelf_fsize(image->elf, ELF_T_SYM, 1, EV_CURRENT);
	int r;

	if (!entry || !strings_scn || !gelf_getshdr(strings_scn, &strings_header) ||
	    strings_header.sh_type != SHT_STRTAB)
		return 0;
	r = read_section(image, scn, header, &ret->symbols);
	if (r == 1)
		r = read_section(image, strings_scn, &strings_header, &strings);
	if (r != 1)
		return r;
	ret->count = ret->symbols->d_size / entry;
	ret->strings = strings->d_buf;
	ret->strings_size = strings->d_size;
	return ret->count <= INT32_MAX; /* gelf_getsym() counts in int */
}

/* The default version of a name, "memcpy@@GLIBC_2.14", is no part of it; another
 * one, "memcpy@GLIBC_2.2.5", tells two functions apart. */
static size_t name_length(const char *name, size_t max)
{
	size_t length = strnlen(name, max);
	const char *version = length ? memchr(name, '@', length) : NULL;

	while (version && version + 1 < name + length && version[1] != '@')
		version = memchr(version + 1, '@', (size_t)(name + length - version - 1));
	if (version && version + 1 == name + length)
		version = NULL;
	return version && version > name ? (size_t)(version - name) : length;
}

static bool name_counts(const char *name, size_t length, bool label)
{
	if (!length)
		return false;
	/* "Mapping symbols" of the ARM and RISC-V ABIs: $a, $d, $t, $x, perhaps
	 * with ".something". */
	if (name[0] == '$' && length >= 2 && strchr("adtx", name[1]) &&
	    (length == 2 || name[2] == '.'))
		return false;
	return !(label && name[0] == '.');
}

static uint8_t binding_rank(uint8_t info)
{
	switch (GELF_ST_BIND(info)) {
	case STB_GLOBAL:
	case STB_GNU_UNIQUE:
		return 3;
	case STB_WEAK:
		return 2;
	default:
		return 1;
	}
}

/* Where the symbol must end at the latest; 0: it is not code. */
static uint64_t code_limit(const struct collection *collection, const GElf_Sym *symbol, bool label)
{
	const struct elf_section *section = NULL;
	uint64_t end = elf_image_code_end(collection->loaded, symbol->st_value);

	if (symbol->st_shndx < SHN_LORESERVE && symbol->st_shndx < collection->file->sections.count)
		section = &collection->file->sections.items[symbol->st_shndx];
	if (!end || (label && !(section && section->executable)))
		return 0;
	if (!section)
		return end;
	if (symbol->st_value < section->address ||
	    symbol->st_value - section->address >= section->size)
		return 0;
	return section->address + section->size;
}

static bool candidate_of(const struct collection *collection, const struct table *table,
			 size_t index, struct candidate *ret)
{
	GElf_Sym symbol;
	uint8_t type;
	bool label;
	uint64_t limit;
	size_t length;

	if (!gelf_getsym(table->symbols, (int)index, &symbol))
		return false;
	type = GELF_ST_TYPE(symbol.st_info);
	label = type == STT_NOTYPE;
	if ((type != STT_FUNC && type != STT_GNU_IFUNC && !label) || symbol.st_shndx == SHN_UNDEF ||
	    symbol.st_shndx == SHN_ABS || symbol.st_shndx == SHN_COMMON ||
	    symbol.st_name >= table->strings_size)
		return false;
	length = name_length(table->strings + symbol.st_name, table->strings_size - symbol.st_name);
	if (!name_counts(table->strings + symbol.st_name, length, label))
		return false;
	limit = code_limit(collection, &symbol, label);
	if (!limit)
		return false;
	*ret = (struct candidate){
		.address = symbol.st_value,
		.size = symbol.st_size,
		.limit = limit,
		.name = table->strings + symbol.st_name,
		.name_length = (uint16_t)(length < NAME_MAX_BYTES ? length : NAME_MAX_BYTES),
		.binding = binding_rank(symbol.st_info),
		.label = label,
	};
	return true;
}

static int collect_table(struct collection *collection, const struct table *table,
			 struct error *error)
{
	for (size_t i = 1; i < table->count; i++) {
		struct candidate candidate;

		if (!candidate_of(collection, table, i, &candidate))
			continue;
		if (collection->found.count >= SYMBOLS_MAX)
			return error_set(error, -E2BIG, "more than %u function symbols",
					 SYMBOLS_MAX);
		if (vec_push(&collection->found, candidate) < 0)
			return error_set(error, -ENOMEM, "out of memory for %zu symbols",
					 table->count);
	}
	return 0;
}

static int collect(struct collection *collection, struct error *error)
{
	const struct elf_image *image = collection->file;
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr header;
		struct table table;
		int r;

		if (!gelf_getshdr(scn, &header) ||
		    (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM))
			continue;
		r = table_open(image, scn, &header, &table);
		if (r < 0)
			return error_set(error, r, "out of memory for a symbol table of %llu bytes",
					 (unsigned long long)header.sh_size);
		if (r)
			r = collect_table(collection, &table, error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int collect_go(struct collection *collection, const struct go_table *go)
{
	for (size_t i = 0; i < go->functions.count; i++) {
		const struct go_function *function = &go->functions.items[i];
		uint64_t end = elf_image_code_end(collection->loaded, function->start);
		struct candidate candidate = {.address = function->start, .binding = 1};

		if (!end || function->start >= function->end)
			continue;
		candidate.limit = function->end < end ? function->end : end;
		candidate.size = candidate.limit - candidate.address;
		candidate.name = go_table_name(go, function);
		candidate.name_length = (uint16_t)strnlen(candidate.name, NAME_MAX_BYTES);
		if (candidate.name_length && vec_push(&collection->found, candidate) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int collect_more(struct collection *collection, const struct symtab_more *more,
			struct error *error)
{
	struct collection mini = *collection;
	int r = 0;

	if (more->mini) {
		mini.file = more->mini;
		r = collect(&mini, error);
		collection->found = mini.found;
	}
	if (!r && more->go) {
		r = collect_go(collection, more->go);
		if (r < 0)
			error_set(error, r, "out of memory for %zu functions of Go",
				  more->go->functions.count);
	}
	return r;
}

/* By address; at one address the preferred one first. */
static int compare(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	int c;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	if (a->binding != b->binding)
		return a->binding > b->binding ? -1 : 1;
	if (!a->size != !b->size)
		return a->size ? -1 : 1;
	if (a->name_length != b->name_length)
		return a->name_length < b->name_length ? -1 : 1;
	c = memcmp(a->name, b->name, a->name_length);
	return c ? c : (a->size > b->size) - (a->size < b->size);
}

/* A slot that the loader fills by asking an IFUNC's resolver has no name of its
 * own; the resolver's symbol is the function's. */
static const struct candidate *find_resolver(const struct collection *collection, uint64_t address)
{
	const struct candidate *items = collection->found.items;
	size_t low = 0, high = collection->sorted;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (items[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < collection->sorted && items[low].address == address ? &items[low] : NULL;
}

static int collect_stub(void *context, const struct plt_stub *stub)
{
	struct collection *collection = context;
	uint64_t end = elf_image_code_end(collection->loaded, stub->address);
	struct candidate candidate = {.address = stub->address,
				      .size = stub->size,
				      .limit = stub->address + stub->size,
				      .binding = 1,
				      .stub = true};
	const struct candidate *resolver;
	size_t length;

	if (!end || end < candidate.limit || candidate.limit < candidate.address)
		return 0;
	if (stub->name) {
		length = name_length(stub->name, NAME_MAX_BYTES);
		candidate.name = stub->name;
		candidate.name_length = (uint16_t)length;
		return vec_push(&collection->found, candidate);
	}
	resolver = find_resolver(collection, stub->resolver);
	if (!resolver || resolver->stub)
		return 0;
	candidate.name = resolver->name;
	candidate.name_length = resolver->name_length;
	return vec_push(&collection->found, candidate);
}

static void sort(struct collection *collection)
{
	if (collection->found.count > collection->sorted)
		qsort(collection->found.items, collection->found.count,
		      sizeof(*collection->found.items), compare);
	collection->sorted = collection->found.count;
}

static bool is_alias(const struct candidate *best, const struct candidate *other)
{
	if (other->stub || other->label ||
	    (other->name[0] == '_' && other->name[1] != 'Z' && other->name[1] != 'R'))
		return false;
	return other->name_length != best->name_length ||
	       memcmp(other->name, best->name, best->name_length) != 0;
}

/* Those that will lose, but are names that people know. Before select_best(). */
static int collect_aliases(const candidates *found, candidates *aliases)
{
	size_t best = 0;
	int r = 0;

	for (size_t i = 1; i < found->count && !r; i++) {
		if (found->items[i].address != found->items[best].address)
			best = i;
		else if (is_alias(&found->items[best], &found->items[i]))
			r = vec_push(aliases, found->items[i]);
	}
	return r;
}

/* One candidate an address; the winner takes a size from a loser if it has
 * none. Labels inside a sized function go. */
static void select_best(candidates *found)
{
	size_t kept = 0;
	uint64_t covered = 0; /* end of the sized symbols so far */

	for (size_t i = 0; i < found->count;) {
		struct candidate best = found->items[i];

		for (; i < found->count && found->items[i].address == best.address; i++) {
			if (!best.size)
				best.size = found->items[i].size;
		}
		if (best.size > best.limit - best.address)
			best.size = best.limit - best.address;
		if (!best.size && best.address < covered)
			continue;
		if (best.address + best.size > covered)
			covered = best.address + best.size;
		found->items[kept++] = best;
	}
	found->count = kept;
	for (size_t i = 0; i < kept; i++) {
		struct candidate *at = &found->items[i];

		if (at->size)
			continue;
		at->size = at->limit - at->address;
		if (i + 1 < kept && at[1].address - at->address < at->size)
			at->size = at[1].address - at->address;
	}
}

struct flattener {
	struct symtab *symtab;
	const candidates *found;
	VEC(uint32_t) open; /* ranges not at their end yet, innermost last */
	VEC(uint32_t) names; /* of each candidate, in the table's names */
	const candidates *aliases;
	size_t alias; /* the next one of them */
	uint64_t at; /* all below is written */
};

static int emit(struct flattener *flat, uint32_t index, uint64_t end)
{
	uint64_t size = end - flat->at;
	struct symtab_range range = {
		.address = flat->at,
		.size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX,
		.name = flat->names.items[index],
	};

	flat->at = end;
	return vec_push(&flat->symtab->ranges, range);
}

/* Writes what the open ranges cover below `until`. */
static int flatten_until(struct flattener *flat, uint64_t until)
{
	while (flat->open.count) {
		uint32_t index = flat->open.items[flat->open.count - 1];
		uint64_t end = flat->found->items[index].address + flat->found->items[index].size;
		uint64_t stop = end < until ? end : until;

		if (stop > flat->at) {
			int r = emit(flat, index, stop);

			if (r < 0)
				return r;
		}
		if (end > until)
			break;
		flat->open.count--;
	}
	return 0;
}

static int put_name(struct symtab *symtab, const struct candidate *candidate, uint32_t *ret)
{
	const char *suffix = candidate->stub ? plt_suffix : "";
	size_t offset = symtab->names.count, more = strlen(suffix) + 1;

	if (offset + candidate->name_length + more > UINT32_MAX ||
	    vec_reserve(&symtab->names, offset + candidate->name_length + more) < 0 ||
	    !symtab->names.items)
		return -ENOMEM;
	memcpy(symtab->names.items + offset, candidate->name, candidate->name_length);
	memcpy(symtab->names.items + offset + candidate->name_length, suffix, more);
	symtab->names.count = offset + candidate->name_length + more;
	*ret = (uint32_t)offset;
	return 0;
}

/* And what its place is called too. */
static int add_name(struct flattener *flat, const struct candidate *candidate)
{
	const candidates *aliases = flat->aliases;
	struct symtab *symtab = flat->symtab;
	struct symtab_alias alias = {0};
	int r = put_name(symtab, candidate, &alias.name);

	if (!r)
		r = vec_push(&flat->names, alias.name);
	while (flat->alias < aliases->count &&
	       aliases->items[flat->alias].address < candidate->address)
		flat->alias++; /* of a label that is gone */
	for (; flat->alias < aliases->count && !r &&
	       aliases->items[flat->alias].address == candidate->address;
	     flat->alias++) {
		r = put_name(symtab, &aliases->items[flat->alias], &alias.other);
		if (!r)
			r = vec_push(&symtab->aliases, alias);
	}
	return r;
}

static int flatten(struct symtab *symtab, const candidates *found, const candidates *aliases)
{
	struct flattener flat = {.symtab = symtab, .found = found, .aliases = aliases};
	int r = 0;

	for (uint32_t i = 0; i < found->count && !r; i++) {
		r = flatten_until(&flat, found->items[i].address);
		flat.at = found->items[i].address;
		if (!r)
			r = add_name(&flat, &found->items[i]);
		if (!r)
			r = vec_push(&flat.open, i);
	}
	if (!r)
		r = flatten_until(&flat, UINT64_MAX);
	vec_free(&flat.open);
	vec_free(&flat.names);
	return r;
}

/* Growing by doubling leaves up to half unused; the table is kept long. */
static void trim(struct symtab *symtab)
{
	void *ranges, *names;

	if (!symtab->ranges.count)
		return;
	ranges =
		realloc(symtab->ranges.items, symtab->ranges.count * sizeof(*symtab->ranges.items));
	if (ranges) {
		symtab->ranges.items = ranges;
		symtab->ranges.capacity = symtab->ranges.count;
	}
	names = realloc(symtab->names.items, symtab->names.count);
	if (names) {
		symtab->names.items = names;
		symtab->names.capacity = symtab->names.count;
	}
}

static int build(struct symtab *ret, struct collection *collection, const struct symtab_more *more,
		 struct error *error)
{
	candidates aliases = {0};
	struct symtab symtab = {0};
	int r = collect(collection, error);

	if (!r)
		r = collect_more(collection, more, error);
	if (!r) {
		sort(collection);
		/* A debug file has the sections' headers, not their bytes. */
		if (collection->file == collection->loaded)
			r = plt_stubs(collection->file, collect_stub, collection);
		sort(collection);
	}
	if (!r) {
		r = collect_aliases(&collection->found, &aliases);
		select_best(&collection->found);
		symtab.symbols = (uint32_t)collection->found.count;
		if (!r)
			r = flatten(&symtab, &collection->found, &aliases);
	}
	vec_free(&aliases);
	if (r == -ENOMEM)
		error_set(error, r, "out of memory for %zu symbols", collection->found.count);
	vec_free(&collection->found);
	if (r < 0) {
		symtab_deinit(&symtab);
		return r;
	}
	trim(&symtab);
	*ret = symtab;
	return 0;
}

int symtab_init(struct symtab *ret, const struct elf_image *image, struct error *error)
{
	return symtab_init_more(ret, image, &(struct symtab_more){0}, error);
}

int symtab_init_more(struct symtab *ret, const struct elf_image *image,
		     const struct symtab_more *more, struct error *error)
{
	struct collection collection = {.file = image, .loaded = image};

	return build(ret, &collection, more, error);
}

int symtab_init_debug(struct symtab *ret, const struct elf_image *debug,
		      const struct elf_image *image, struct error *error)
{
	struct collection collection = {.file = debug, .loaded = image};

	return build(ret, &collection, &(struct symtab_more){0}, error);
}

void symtab_deinit(struct symtab *symtab)
{
	vec_free(&symtab->ranges);
	vec_free(&symtab->names);
	vec_free(&symtab->aliases);
}
