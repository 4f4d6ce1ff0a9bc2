/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/named_file.h"

#include <errno.h>
#include <string.h>

#include "daemon/base/log.h"
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
static void note_damage(int r, const struct error *error)
{
	if (r < 0 && r != -ENOENT)
		log_info("worker: %s", error->text);
}

/* The symbols that strip(1) leaves, and what stands for those that it took. */
static int read_symbols(struct symtab *ret, const struct elf_image *image, struct error *error)
{
	struct mini_debug mini = {0};
	struct go_table go = {0};
	struct symtab_more more = {0};
	struct error why = {0};
	int r;

	if (!is_stripped(image))
		return symtab_init(ret, image, error);
	r = mini_debug_init(&mini, image, &why);
	note_damage(r, &why);
	more.mini = r < 0 ? NULL : &mini.image;
	if (r != -ENOMEM) {
		r = go_table_read(image, &why, &go);
		note_damage(r, &why);
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
	r = read_symbols(&file.symtab, &file.image, error);
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
	struct elf_image debug;
	struct symtab symtab;
	int r = elf_image_init(&debug, fd, error);

	if (r < 0)
		return r;
	r = check_build(file, &debug, fd, error);
	if (!r)
		r = symtab_init_debug(&symtab, &debug, &file->image, error);
	elf_image_deinit(&debug);
	if (r < 0)
		return r;
	symtab_deinit(&file->debug);
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
			log_info("worker: %s", error.text);
		return false;
	}
	dwarf_frames_close(file->dwarf);
	file->dwarf = dwarf;
	return true;
}

int named_file_put(const struct named_file *file, uint64_t place, bool is_address,
		   const struct dwarf_frames_style *style, struct wire_out *out)
{
	uint64_t address = place, start;
	const char *symbol;
	int r;

	if (!is_address && !elf_image_address(&file->image, place, &address))
		return wire_out_nameless(out, 0);
	symbol = symtab_find(&file->debug, address);
	if (!symbol)
		symbol = symtab_find(&file->symtab, address);
	r = dwarf_frames_put(out, file->dwarf, address, symbol, style);
	if (r)
		return r < 0 ? r : 0;
	if (!function_starts_find(&file->starts, address, &start) ||
	    !elf_image_offset(&file->image, start, &start))
		start = 0;
	return wire_out_nameless(out, start);
}
