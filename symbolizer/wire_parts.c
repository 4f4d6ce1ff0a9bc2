/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lists of the files that the worker lacks for an image's names. What is read
 * here goes to system calls that open files: it is foreign, and only its form is
 * checked; what it may lead to is limited by debug_part.h.
 */
#include <errno.h>
#include <string.h>

#include "symbolizer/wire.h"

void wire_put_part(struct strbuf *out, const struct symbolizer_part *part)
{
	strbuf_u32(out, part->number);
	strbuf_u8(out, (uint8_t)part->kind);
	strbuf_bytes(out, part->build_id, part->build_id_size);
	strbuf_bytes(out, part->name, (uint32_t)strlen(part->name));
	strbuf_bytes(out, part->folder, (uint32_t)strlen(part->folder));
}

void wire_parts_deinit(struct wire_parts *parts)
{
	strbuf_deinit(&parts->texts);
}

/* *ret_at: where it is in the texts, which move as they grow. */
static void read_text(struct reader *reader, struct wire_parts *parts, size_t *ret_at)
{
	size_t length = 0;
	const char *text = reader_bytes(reader, SYMBOLIZER_PART_PATH_MAX, &length);

	*ret_at = parts->texts.length;
	if (text && memchr(text, 0, length))
		reader_fail(reader, "a file's name that is none");
	if (text)
		strbuf_append(&parts->texts, text, length);
	strbuf_putc(&parts->texts, '\0');
}

static void read_part(struct reader *reader, struct symbolizer_part *part)
{
	const void *build_id;
	size_t size = 0;
	uint8_t kind;

	part->number = reader_u32(reader);
	kind = reader_u8(reader);
	build_id = reader_bytes(reader, sizeof(part->build_id), &size);
	if (kind >= SYMBOLIZER_PART_KINDS)
		reader_fail(reader, "a file of no kind");
	if (!build_id)
		return;
	part->kind = (enum symbolizer_part_kind)kind;
	part->build_id_size = (uint8_t)size;
	memcpy(part->build_id, build_id, size);
}

int wire_get_parts(const void *payload, size_t size, struct error *error, struct wire_parts *ret)
{
	size_t names[WIRE_PARTS_MAX], folders[WIRE_PARTS_MAX];
	struct wire_parts parts = {0};
	struct reader reader;
	const char *texts;

	reader_init(&reader, payload, size);
	parts.count = reader_u32(&reader);
	if (parts.count > WIRE_PARTS_MAX)
		reader_fail(&reader, "more files than were to be told");
	for (uint32_t i = 0; i < parts.count && reader_ok(&reader); i++) {
		read_part(&reader, &parts.parts[i]);
		read_text(&reader, &parts, &names[i]);
		read_text(&reader, &parts, &folders[i]);
	}
	if (reader_ok(&reader) && reader_left(&reader))
		reader_fail(&reader, "bytes behind the end");
	if (!reader_ok(&reader) || strbuf_error(&parts.texts)) {
		int r = reader_ok(&reader)
				? error_set(error, -ENOMEM, "out of memory for an answer")
				: error_set(error, -EBADMSG, "a damaged answer, at byte %zu: %s",
					    reader.bad_at, reader.bad);

		wire_parts_deinit(&parts);
		return r;
	}
	texts = strbuf_text(&parts.texts);
	for (uint32_t i = 0; i < parts.count; i++) {
		parts.parts[i].name = texts + names[i];
		parts.parts[i].folder = texts + folders[i];
	}
	*ret = parts;
	return 0;
}
