/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/reader.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/profile_wire.h"

#define MAGIC 0x4a444650u /* "PFDJ" */

struct head {
	uint32_t magic, size;
	uint64_t hash;
};

int history_journal_open(struct history_journal *journal, int folder)
{
	struct stat st;
	int fd = openat(folder, HISTORY_JOURNAL_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
			0600);
	int r = 0;

	*journal = (struct history_journal){.fd = -1};
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -EINVAL;
	if (r) {
		close(fd);
		return r;
	}
	*journal = (struct history_journal){.fd = fd, .length = (uint64_t)st.st_size};
	return 0;
}

void history_journal_close(struct history_journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = -1;
}

static int put(struct strbuf *out, const struct profile *profile)
{
	size_t at = out->length;
	struct head head = {.magic = MAGIC};
	int r;

	strbuf_append(out, (const char *)&head, sizeof(head));
	r = profile_encode(profile, out);
	if (!r)
		r = strbuf_error(out);
	if (r)
		return r;
	head.size = (uint32_t)(out->length - at - sizeof(head));
	head.hash = XXH3_64bits(out->data + at + sizeof(head), head.size);
	memcpy(out->data + at, &head, sizeof(head));
	return 0;
}

int history_journal_append(struct history_journal *journal, struct profile *const *profiles,
			   size_t count)
{
	_cleanup_(strbuf_deinit) struct strbuf out = {0};
	ssize_t n;
	int r = 0;

	if (journal->fd < 0)
		return -EBADF;
	for (size_t i = 0; !r && i < count; i++)
		r = put(&out, profiles[i]);
	if (!r && journal->length + out.length > HISTORY_JOURNAL_MAX)
		r = -EFBIG;
	if (r)
		return r;
	n = pwrite(journal->fd, out.data, out.length, (off_t)journal->length);
	if (n >= 0 && (size_t)n == out.length) {
		journal->length += out.length;
		return 0;
	}
	r = n < 0 ? -errno : -ENOSPC;
	/* A part of it is as good as damaged. */
	if (ftruncate(journal->fd, (off_t)journal->length) < 0)
		history_journal_close(journal);
	return r;
}

/* ---- reading ---- */

/* Records that are looked at for the next one behind a damage: a bound for a file that somebody
 * made to have us busy. A disk's damage takes one or two. */
#define TRIES_MAX 100

struct parser {
	struct reader reader;
	unsigned int tries;
	struct history_journal_lost *lost;
};

/* The record at the reader's place, which stays there if that is none. */
static int next_record(struct parser *parser, struct error *error, struct profile **ret)
{
	struct reader reader = parser->reader;
	size_t at = reader.at;
	bool magic = reader_u32(&reader) == MAGIC;
	uint32_t size = reader_u32(&reader);
	uint64_t hash = reader_u64(&reader);
	const void *bytes = reader_take(&reader, size);
	int r;

	if (!reader_ok(&reader))
		return error_set(error, -EBADMSG, "it is damaged or cut short at byte %zu", at);
	if (!magic || XXH3_64bits(bytes, size) != hash)
		return error_set(error, -EBADMSG, "it is damaged at byte %zu", at);
	r = profile_decode(bytes, size, error, ret);
	if (!r)
		parser->reader = reader;
	return r;
}

/* The next place behind this one where a record may begin; the end, if there is none. */
static size_t next_place(const struct reader *reader)
{
	const uint32_t magic = MAGIC;
	const uint8_t *from = reader->data + reader->at + 1;
	size_t left = reader->size - reader->at - 1;
	const uint8_t *found = memmem(from, left, &magic, sizeof(magic));

	return found ? (size_t)(found - reader->data) : reader->size;
}

/* The next record that can be read, or NULL; what is before it is lost. */
static struct profile *next_readable(struct parser *parser, bool *ret_damage)
{
	struct history_journal_lost *lost = parser->lost;
	struct reader *reader = &parser->reader;
	struct profile *profile = NULL;
	size_t from = reader->at;
	struct error error;

	*ret_damage = false;
	while (reader->at < reader->size && next_record(parser, &error, &profile)) {
		if (!*ret_damage && !lost->places++)
			lost->first = error;
		*ret_damage = true;
		reader->at = ++parser->tries < TRIES_MAX ? next_place(reader) : reader->size;
		lost->bytes += reader->at - from;
		from = reader->at;
	}
	return profile;
}

void history_journal_parse(const void *bytes, size_t size, history_journal_fn *each, void *context,
			   struct history_journal_lost *lost)
{
	struct parser parser = {.lost = lost};
	struct profile *profile;
	bool damage;

	reader_init(&parser.reader, bytes, size);
	while ((profile = next_readable(&parser, &damage)))
		each(context, profile, damage);
}

static int read_all(const struct history_journal *journal, char **ret, struct error *error)
{
	_cleanup_free_ char *bytes = NULL;
	size_t length = (size_t)journal->length;

	if (journal->length > HISTORY_JOURNAL_MAX)
		return error_set(error, -EBADMSG, "it is larger than perfd makes one");
	bytes = malloc(length);
	if (!bytes)
		return error_set(error, -ENOMEM, "out of memory");
	if (pread(journal->fd, bytes, length, 0) != (ssize_t)length)
		return error_set(error, -EIO, "it cannot be read");
	*ret = TAKE_PTR(bytes);
	return 0;
}

void history_journal_read(const struct history_journal *journal, history_journal_fn *each,
			  void *context, struct history_journal_lost *lost)
{
	_cleanup_free_ char *bytes = NULL;
	struct error error;

	if (journal->fd < 0 || !journal->length)
		return;
	if (!read_all(journal, &bytes, &error)) {
		history_journal_parse(bytes, (size_t)journal->length, each, context, lost);
		return;
	}
	if (!lost->places++)
		lost->first = error;
	lost->bytes += journal->length;
}

void history_journal_clear(struct history_journal *journal)
{
	if (journal->fd < 0 || !journal->length)
		return;
	/* What stays would be found again. */
	if (ftruncate(journal->fd, 0) < 0)
		history_journal_close(journal);
	journal->length = 0;
}
