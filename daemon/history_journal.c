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

int history_journal_read(const struct history_journal *journal, history_journal_fn *each,
			 void *context, struct error *error)
{
	_cleanup_free_ char *bytes = NULL;
	size_t length = (size_t)journal->length, at = 0;
	struct head head;

	if (journal->fd < 0 || !length)
		return 0;
	if (journal->length > HISTORY_JOURNAL_MAX)
		return error_set(error, -EBADMSG, "it is larger than perfd makes one");
	bytes = malloc(length);
	if (!bytes)
		return error_set(error, -ENOMEM, "out of memory");
	if (pread(journal->fd, bytes, length, 0) != (ssize_t)length)
		return error_set(error, -EIO, "it cannot be read");
	while (at < length) {
		struct profile *profile;
		int r;

		if (length - at < sizeof(head))
			return error_set(error, -EBADMSG, "it is cut short");
		memcpy(&head, bytes + at, sizeof(head));
		at += sizeof(head);
		if (head.magic != MAGIC || head.size > length - at ||
		    XXH3_64bits(bytes + at, head.size) != head.hash)
			return error_set(error, -EBADMSG, "it is damaged at byte %zu",
					 at - sizeof(head));
		r = profile_decode(bytes + at, head.size, error, &profile);
		if (r)
			return r;
		each(context, profile);
		at += head.size;
	}
	return 0;
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
