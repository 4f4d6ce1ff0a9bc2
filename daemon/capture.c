/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/capture.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

int capture_create(struct capture *capture, const char *path, struct error *error)
{
	struct capture_head head = {.abi_version = ABI_VERSION};

	memcpy(head.magic, CAPTURE_MAGIC, sizeof(head.magic));
	*capture = (struct capture){.file = fopen(path, "wbe")};
	if (!capture->file)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (fwrite(&head, sizeof(head), 1, capture->file) != 1)
		capture->failed = -EIO;
	return 0;
}

static bool is_of_session(const struct abi_header *record)
{
	return record->type == ABI_SAMPLE && record->slot != ABI_SLOT_CPU &&
	       record->slot < ABI_SESSION_SLOTS;
}

void capture_write(struct capture *capture, const struct abi_header *record)
{
	if (!capture->file || capture->failed || is_of_session(record))
		return;
	if (fwrite(record, record->size, 1, capture->file) != 1)
		capture->failed = errno ? -errno : -EIO;
	else
		capture->records++;
}

int capture_close(struct capture *capture)
{
	int r = capture->failed;

	if (!capture->file)
		return 0;
	if (fclose(capture->file) && !r)
		r = -errno;
	capture->file = NULL;
	return r;
}
