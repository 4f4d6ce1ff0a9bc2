/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/named_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/client.h"
#include "symbolizer/go_table.h"
#include "symbolizer/mini_debug.h"

static bool is_stripped(const struct elf_image *image)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr header;

		if (gelf_getshdr(scn, &header) && header.sh_type == SHT_SYMTAB)
			return false;
	}
	return true;
}

/* What is there and is damaged leaves the file with the names that it has. */
static void note_damage(struct damage *damage, int r, const struct error *error)
{
	if (r < 0 && r != -ENOENT)
		damage_note(damage, "%s", error->text);
}

/* The symbols that strip(1) leaves, and what stands for those that it took. */
static int read_symbols(struct symtab *ret, const struct elf_image *image, struct damage *damage,
			struct error *error)
{
	struct mini_debug mini = {0};
	struct go_table go = {0};
	struct symtab_more more = {0};
	struct error why = {0};
	int r;

	if (!is_stripped(image))
		return symtab_init(ret, image, error);
	r = mini_debug_init(&mini, image, &why);
	note_damage(damage, r, &why);
	more.mini = r < 0 ? NULL : &mini.image;
	if (r != -ENOMEM) {
		r = go_table_read(image, &why, &go);
		note_damage(damage, r, &why);
		more.go = r < 0 ? NULL : &go;
	}
	/* Memory can be had by letting go of other files. */
	r = r == -ENOMEM ? error_set(error, r, "%s", why.text)
			 : symtab_init_more(ret, image, &more, error);
	if (more.mini)
		mini_debug_deinit(&mini);
	if (more.go)
		go_table_deinit(&go);
	return r;
}

int named_file_init(struct named_file *ret, int fd, struct error *error)
{
	struct named_file file = {0};
	int r = elf_image_init(&file.image, fd, error);

	if (r < 0)
		return r;
	debug_link_read(&file.image, &file.link);
	dwarf_supplement_read(&file.image, &file.parts.supplement);
	r = read_symbols(&file.symtab, &file.image, &file.damage, error);
	if (!r && function_starts_init(&file.starts, &file.image, &file.symtab) < 0) {
		r = error_set(error, -ENOMEM, "out of memory for the beginnings of functions");
		symtab_deinit(&file.symtab);
	}
	if (r < 0) {
		elf_image_deinit(&file.image);
		return r;
	}
	elf_image_close_file(&file.image);
	*ret = file;
	return 0;
}

void named_file_deinit(struct named_file *file)
{
	elf_image_deinit(&file->image);
	symtab_deinit(&file->symtab);
	symtab_deinit(&file->debug);
	function_starts_deinit(&file->starts);
	dwarf_frames_close(file->dwarf);
	name_cache_deinit(&file->cache);
}

static int check_build(const struct named_file *file, const struct elf_image *debug, int fd,
		       struct error *error)
{
	const struct elf_image *image = &file->image;

	if (!image->build_id_size || !debug->build_id_size)
		return debug_link_check(&file->link, fd, error);
	if (debug->build_id_size == image->build_id_size &&
	    !memcmp(debug->build_id, image->build_id, image->build_id_size))
		return 0;
	return error_set(error, -EBADMSG,
			 "the debug file is of another build: it has another build id");
}

int named_file_add_debug(struct named_file *file, int fd, struct error *error)
{
	struct dwarf_supplement supplement = {0};
	struct elf_image debug;
	struct symtab symtab;
	int r = elf_image_init(&debug, fd, error);

	if (r < 0)
		return r;
	r = check_build(file, &debug, fd, error);
	if (!r)
		r = symtab_init_debug(&symtab, &debug, &file->image, error);
	if (!r)
		dwarf_supplement_read(&debug, &supplement);
	elf_image_deinit(&debug);
	if (r < 0)
		return r;
	if (supplement.id_size)
		file->parts = (struct dwarf_parts){.supplement = supplement};
	symtab_deinit(&file->debug);
	name_cache_deinit(&file->cache); /* they say more now */
	file->debug = symtab;
	return 0;
}

bool named_file_take_dwarf(struct named_file *file, int fd, size_t memory_max)
{
	struct dwarf_index *dwarf;
	struct error error = {0};
	int r = dwarf_frames_open(fd, &file->image, memory_max, &error, &dwarf);

	if (r < 0) {
		if (r != -ENODATA && r != -ENOEXEC)
			damage_note(&file->damage, "%s", error.text);
		return false;
	}
	dwarf_frames_close(file->dwarf);
	name_cache_deinit(&file->cache);
	file->dwarf = dwarf;
	return true;
}

static enum demangle_form form_of(uint32_t flags)
{
	if (flags & SYMBOLIZER_DEMANGLE_FULL)
		return DEMANGLE_FULL;
	return flags & SYMBOLIZER_DEMANGLE_SHORT ? DEMANGLE_SHORT : DEMANGLE_NONE;
}

struct named_file_style named_file_style_of(uint32_t flags)
{
	return (struct named_file_style){.addresses = flags & SYMBOLIZER_ELF_ADDRESSES,
					 .no_inlines = flags & SYMBOLIZER_NO_INLINES,
					 .form = form_of(flags)};
}

static bool same_style(const struct named_file_style *a, const struct named_file_style *b)
{
	return a->addresses == b->addresses && a->no_inlines == b->no_inlines && a->form == b->form;
}

int named_file_wanted(struct named_file *file, struct reader *places,
		      const struct named_file_style *style, struct strbuf *answer)
{
	bool remembered = same_style(&file->style, style);
	struct dwarf_wants wants = {0};
	bool room = true;
	int r;

	dwarf_parts_wanted(&file->parts, file->dwarf, file->image.build_id,
			   file->image.build_id_size, &wants);
	while (reader_left(places) && room) {
		uint64_t address = reader_u64(places);

		if (remembered && name_cache_find(&file->cache, address))
			continue;
		if (style->addresses || elf_image_address(&file->image, address, &address))
			room = dwarf_parts_wanted_at(file->dwarf, address, &wants);
	}
	strbuf_u32(answer, wants.count);
	strbuf_append(answer, strbuf_text(&wants.records), wants.records.length);
	r = strbuf_error(&wants.records);
	strbuf_deinit(&wants.records);
	return r;
}

/* ---- answers ---- */

#define ROUND_MAX 65536u /* places that are looked up at once */

struct missing { /* a place that was not asked for yet */
	uint64_t address; /* ELF address; 0: it is none */
	uint64_t place;
	uint32_t unit; /* of the debug information */
};

struct round {
	struct named_file *file;
	struct dwarf_frames_style style;
	VEC(struct missing) missing;
	VEC(uint64_t) addresses; /* of these, ascending */
};

static int compare(const void *left, const void *right)
{
	const struct missing *a = left, *b = right;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return (a->place > b->place) - (a->place < b->place);
}

static int compare_units(const void *left, const void *right)
{
	const struct missing *a = left, *b = right;

	if (a->unit != b->unit)
		return a->unit < b->unit ? -1 : 1;
	return compare(left, right);
}

static int collect(struct round *round, const uint64_t *places, size_t count)
{
	struct named_file *file = round->file;

	vec_clear(&round->missing);
	for (size_t i = 0; i < count; i++) {
		struct missing missing = {.address = places[i], .place = places[i]};

		if (name_cache_find(&file->cache, places[i]))
			continue;
		if (!file->style.addresses &&
		    !elf_image_address(&file->image, places[i], &missing.address))
			missing.address = 0;
		if (vec_push(&round->missing, missing) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Addresses ascending, what is missing unit by unit. */
static int arrange(struct round *round)
{
	struct missing *items = round->missing.items;
	size_t count = round->missing.count;

	qsort(items, count, sizeof(*items), compare);
	vec_clear(&round->addresses);
	if (vec_reserve(&round->addresses, count) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		round->addresses.items[round->addresses.count++] = items[i].address;
		items[i].unit = dwarf_index_unit(round->file->dwarf, items[i].address);
	}
	qsort(items, count, sizeof(*items), compare_units);
	return 0;
}

/* All of it is in the file as it is in memory. */
static bool in_one_piece(const struct named_file *file, uint64_t address, uint32_t size,
			 uint64_t *ret_start)
{
	uint64_t last;

	return elf_image_offset(&file->image, address, ret_start) &&
	       elf_image_offset(&file->image, address + size - 1, &last) &&
	       last == *ret_start + size - 1;
}

/* Where the function without a name begins that covers the address, and how far all of it is so:
 * where no place in it has a name, or more to tell than another. */
static struct name_cache_function nameless(const struct named_file *file, uint64_t address)
{
	struct name_cache_function found = {0};
	uint64_t start, offset;
	uint32_t size;

	if (!function_starts_find(&file->starts, address, &start, &size) ||
	    !elf_image_offset(&file->image, start, &found.start)) {
		found.start = 0;
		return found;
	}
	if (!file->dwarf && !symtab_names_any(&file->symtab, start, start + size) &&
	    !symtab_names_any(&file->debug, start, start + size) &&
	    in_one_piece(file, start, size, &offset))
		found.size = size;
	return found;
}

/* All places that have the name of this one and nothing more. */
static struct name_cache_function named(const struct named_file *file, const struct symtab *symbols,
					uint64_t address)
{
	const struct symtab_range *range = symtab_range_of(symbols, address);
	struct name_cache_function found = {0};

	if (file->dwarf || (symbols != &file->debug && file->debug.ranges.count) ||
	    !in_one_piece(file, range->address, range->size, &found.start))
		return (struct name_cache_function){0};
	found.size = range->size;
	return found;
}

static int look_up(struct round *round, const struct missing *missing)
{
	struct named_file *file = round->file;
	struct symbolizer_frame frames[WIRE_FRAMES_MAX];
	struct name_cache_function function = {0};
	uint64_t address = missing->address;
	const char *symbol;
	uint32_t count;

	if (!address)
		return name_cache_add(&file->cache, missing->place, NULL, 0, &function);
	round->style.symbols = &file->debug;
	symbol = symtab_find(&file->debug, address);
	if (!symbol) {
		round->style.symbols = &file->symtab;
		symbol = symtab_find(&file->symtab, address);
	}
	count = dwarf_frames_find(file->dwarf, address, symbol, &round->style, frames);
	if (!count)
		function = nameless(file, address);
	else if (count == 1 && symbol && !file->style.addresses)
		function = named(file, round->style.symbols, address);
	return name_cache_add(&file->cache, missing->place, frames, count, &function);
}

static int look_up_all(struct round *round)
{
	struct named_file *file = round->file;
	int r = 0;

	if (!round->missing.count)
		return 0;
	if (file->dwarf)
		r = arrange(round);
	if (r < 0)
		return r;
	if (file->dwarf)
		dwarf_index_begin(file->dwarf, &(struct dwarf_asked){round->addresses.items,
								     round->addresses.count});
	for (size_t i = 0; i < round->missing.count && !r; i++) {
		if (!name_cache_find(&file->cache, round->missing.items[i].place))
			r = look_up(round, &round->missing.items[i]);
	}
	if (file->dwarf)
		dwarf_index_end(file->dwarf);
	return r;
}

/* Those up to the first that was not asked for before, or all; *ret: how many. */
static int tell_known(struct name_cache *cache, const uint64_t *places, size_t count,
		      struct wire_out *out, size_t *ret)
{
	const struct name_cache_entry *entry;
	size_t at = 0;
	int r = name_cache_begin(cache, !out->count);

	while (!r && at < count && (entry = name_cache_find(cache, places[at]))) {
		r = name_cache_tell(cache, entry, out);
		at++;
	}
	*ret = at;
	return r;
}

static int put_round(struct round *round, const uint64_t *places, size_t count,
		     struct wire_out *out)
{
	struct name_cache *cache = &round->file->cache;
	size_t told = 0, more = 0;
	int r = tell_known(cache, places, count, out, &told);

	if (r || told == count)
		return r;
	r = collect(round, places + told, count - told);
	if (!r)
		r = look_up_all(round);
	return r ? r : tell_known(cache, places + told, count - told, out, &more);
}

int named_file_put(struct named_file *file, const uint64_t *places, size_t count,
		   const struct named_file_style *style, struct demangler *demangler,
		   size_t memory_max, struct wire_out *out)
{
	struct round round = {.file = file,
			      .style = {.no_inlines = style->no_inlines,
					.form = style->form,
					.demangler = demangler}};
	int r = 0;

	if (!same_style(&file->style, style))
		name_cache_deinit(&file->cache);
	file->style = *style;
	for (size_t at = 0, more; at < count && !r; at += more) {
		more = count - at < ROUND_MAX ? count - at : ROUND_MAX;
		if (name_cache_memory(&file->cache) > memory_max)
			name_cache_deinit(&file->cache);
		r = put_round(&round, places + at, more, out);
	}
	vec_free(&round.missing);
	vec_free(&round.addresses);
	return r;
}

void named_file_tell_damage(struct named_file *file, struct strbuf *answer)
{
	struct dwarf_index *alternate = file->dwarf ? file->dwarf->alternate : NULL;
	struct damage *all[] = {&file->damage, file->dwarf ? &file->dwarf->file->damage : NULL,
				alternate ? &alternate->file->damage : NULL};
	const char *first = NULL;
	uint32_t count = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const char *text = all[i] ? damage_tell(all[i], &count) : NULL;

		first = first ? first : text;
	}
	strbuf_u32(answer, count);
	strbuf_bytes(answer, first ? first : "", first ? (uint32_t)strlen(first) : 0);
}

size_t named_file_memory(const struct named_file *file)
{
	return name_cache_memory(&file->cache) +
	       (file->dwarf ? dwarf_index_memory(file->dwarf) : 0);
}

void named_file_trim(struct named_file *file)
{
	name_cache_deinit(&file->cache);
	if (!file->dwarf)
		return;
	dwarf_index_trim(file->dwarf);
	dwarf_splits_forget(file->dwarf->splits);
}

int named_file_add_part(struct named_file *file, uint32_t number, int fd, struct error *error)
{
	int r = dwarf_parts_add(&file->parts, file->dwarf, number, fd, error);

	if (r >= 0 && fd >= 0)
		name_cache_deinit(&file->cache); /* there is more to tell now */
	return r;
}
