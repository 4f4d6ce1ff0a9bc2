/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the client and the worker say to each other: one request at a time, one
 * answer to each, both as a header and a payload. Both ends read with the
 * bounded reader and trust nothing: to the privileged client the worker's
 * answers are foreign bytes.
 *
 * All integers are little-endian. A message larger than one packet goes in
 * fragments (see channel.h), so the payloads here are whole ones.
 *
 *   kind          request                         answer
 *   HELLO         u32 version, u32 images_max     u32 version, u32 sandbox bits, text
 *   IMAGE_OPEN    u32 image, and a descriptor     damage, u8 build id[20], u8 its size,
 *                                               u32 symbols, text (its debug file's
 *                                               name), u8 parts, u8 has DWARF
 *   IMAGE_DROP    u32 image                       -
 *   IMAGE_DEBUG   u32 image, and a descriptor     damage, u32 symbols, u8 parts
 *   IMAGE_WANTED  as IMAGE_NAMES                  u32 count, then each: u32 number, u8 kind,
 *                                               build id, name, folder (u32 length, bytes)
 *   IMAGE_PART    u32 image, u32 number, and a    -
 *                 descriptor, or none: not there
 *   IMAGE_NAMES   u32 image, flags, u64 offset[]  damage, strings, names
 *   KERNEL_LOAD   -, and a descriptor             u8 restricted, u32 symbols
 *   KERNEL_NAMES  u64 address[]                   strings, names
 *   MAPS          -, and a descriptor             strings, mappings
 *   UNWIND        u32 image, and a descriptor     an unwind table (unwind_table.h)
 *   JIT_NAMES     u32 map, u64 address[],         damage, strings, names
 *                 and a descriptor
 *   PROBES        u32 image, and a descriptor     places of probes (probe_points.h)
 *   JVM           u64 code, u64 offset of it      a layout (hotspot.h)
 *                 in libjvm.so, and a descriptor
 *   LIBC          u64 code, u64 offset of it      addresses (libc_functions.h)
 *                 in libc, and a descriptor
 *
 * An answer with an error has a sentence as its payload. "parts": 1 if further files
 * may be wanted for names (dwarf_parts.h); then IMAGE_WANTED is asked before them.
 * JIT_NAMES with -EAGAIN: the file is long, a piece of it has been read; to be asked again.
 *   damage    u32 places found damaged since it was told last, text of the first one of all
 *             (u32 length, bytes: none if it was told before)
 *   strings   u32 count, then each: u32 length, bytes, NUL
 *   names     u32 count, then each: u8 frames, then each frame:
 *             u32 name, module, file (numbers of strings), u32 line, u8 inlined;
 *             with no frames: u64 the function's beginning, 0 if not known
 *   mappings  u32 count, then each: u64 start, length, offset, inode,
 *             u32 major, minor, path (number of a string), u8 flags
 */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "daemon/base/reader.h"
#include "daemon/base/strbuf.h"
#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"
#include "symbolizer/client.h"

#define WIRE_VERSION 8u
#define WIRE_HEADER_SIZE 16u
#define WIRE_TEXT_MAX 512u /* of an error's sentence */
#define WIRE_NAME_MAX 4096u /* bytes of a name, a module, a source file */
#define WIRE_PATH_MAX 65536u /* bytes of a mapping's path */
#define WIRE_ADDRESSES_MAX SYMBOLIZER_ADDRESSES_MAX /* in one request */
#define WIRE_FRAMES_MAX 128u /* of one address */
#define WIRE_MAPPINGS_MAX (1u << 20)
#define WIRE_PARTS_MAX 64u /* wanted files in one answer */

enum wire_kind {
	WIRE_HELLO,
	WIRE_IMAGE_OPEN,
	WIRE_IMAGE_DROP,
	WIRE_IMAGE_DEBUG,
	WIRE_IMAGE_WANTED,
	WIRE_IMAGE_PART,
	WIRE_IMAGE_NAMES,
	WIRE_KERNEL_LOAD,
	WIRE_KERNEL_NAMES,
	WIRE_MAPS,
	WIRE_UNWIND,
	WIRE_JIT_NAMES,
	WIRE_JVM,
	WIRE_LIBC,
	WIRE_PROBES,
	WIRE_KIND_COUNT,
};

/* Of each kind: what it is called in messages, how large it may be, whether a
 * descriptor comes with the request. */
struct wire_kind_info {
	const char *name;
	uint32_t request_max, answer_max; /* bytes of payload */
	bool with_fd;
};
/* NULL for a number that is no kind. */
const struct wire_kind_info *wire_kind_info(uint32_t kind);

#define WIRE_MORE 1u /* flag: more fragments of this message follow */

struct wire_header {
	uint32_t id; /* the request's; its answer has the same */
	uint16_t kind;
	uint16_t flags;
	int32_t error; /* of an answer: 0 or -errno */
	uint32_t size; /* bytes of payload in this fragment */
};
void wire_put_header(uint8_t bytes[WIRE_HEADER_SIZE], const struct wire_header *header);
/* False if the packet is shorter than a header or its size does not agree. */
bool wire_get_header(const void *packet, size_t size, struct wire_header *ret);

/* An answer under way in the worker: records refer to strings by number, and
 * wire_out_finish() puts the strings first. */
struct wire_out {
	struct strtab strings; /* those that are to be told once */
	VEC(uint32_t) numbers; /* of each of these, in the answer */
	struct strbuf texts; /* all of them as they are told, behind their count */
	uint32_t text_count;
	struct strbuf records;
	uint32_t count;
};
void wire_out_deinit(struct wire_out *out);
/* Empties it for the next answer; its memory stays, unless it is more than WIRE_KEPT_MAX. */
#define WIRE_KEPT_MAX (8u << 20)
void wire_out_clear(struct wire_out *out);
int wire_out_name(struct wire_out *out, const struct symbolizer_frame *frames, uint32_t count);
/* An address without a name, and its function, as struct symbolizer_name has it. */
int wire_out_nameless(struct wire_out *out, uint64_t start, uint32_t size);
int wire_out_mapping(struct wire_out *out, const struct symbolizer_mapping *mapping);
/* For who knows himself which texts he told already: adds one, and gives its number. */
uint32_t wire_out_text(struct wire_out *out, const char *text, size_t length);
/* Room for an address's frames, at most WIRE_FRAMES_MAX, to be filled by as many wire_frame_put(),
 * which gives where the next one goes, by such numbers; its function, as struct symbolizer_name
 * has it. NULL: there is no memory. */
uint8_t *wire_out_frames(struct wire_out *out, uint32_t count, uint64_t start, uint32_t size);
#define WIRE_NAME_HEAD 13u /* bytes before its frames */
#define WIRE_FRAME_SIZE 17u /* bytes */
static inline uint8_t *wire_frame_put(uint8_t *to, uint32_t name, uint32_t file, uint32_t line,
				      bool inlined)
{
	/* Name, module (none: the file's own), source file, line. */
	uint32_t numbers[] = {htole32(name), 0, htole32(file), htole32(line)};

	memcpy(to, numbers, sizeof(numbers));
	to[sizeof(numbers)] = inlined;
	return to + WIRE_FRAME_SIZE;
}

/* Appends strings, count and records; -ENOMEM. What is left in `out` is to be cleared. */
int wire_out_finish(struct wire_out *out, struct strbuf *ret);

/* What an answer said. Its texts point into the payload it was read from, which
 * must live as long, and in which control characters of names have been made
 * '?': a name goes into logs and files, where a newline would forge a line. */
struct wire_names {
	VEC(const char *) strings;
	VEC(struct symbolizer_frame) frames;
	VEC(struct symbolizer_name) names;
};
struct wire_mappings {
	VEC(const char *) strings;
	VEC(struct symbolizer_mapping) mappings;
};
void wire_names_deinit(struct wire_names *names);
void wire_mappings_deinit(struct wire_mappings *mappings);
/* -EBADMSG with the reason in `error`, -ENOMEM. `expected`: how many were asked. */
int wire_get_names(void *payload, size_t size, size_t expected, struct error *error,
		   struct wire_names *ret);
int wire_get_mappings(void *payload, size_t size, struct error *error, struct wire_mappings *ret);
int wire_get_image(const void *payload, size_t size, struct error *error,
		   struct symbolizer_image *ret);

/* A wanted file, and how the privileged side reads a list of them: names that can
 * be none, or are too long, make all of it damaged. The texts are `ret`'s. */
void wire_put_part(struct strbuf *out, const struct symbolizer_part *part);
struct wire_parts {
	uint32_t count;
	struct symbolizer_part parts[WIRE_PARTS_MAX];
	struct strbuf texts;
};
void wire_parts_deinit(struct wire_parts *parts);
int wire_get_parts(const void *payload, size_t size, struct error *error, struct wire_parts *ret);
