/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a file opener can be asked for, each kind a row in a table, and how request
 * and reply look on the way between the daemon and its openers (openers.h). To the
 * privileged daemon a reply is foreign bytes. A new kind is a value here, a row in
 * opener_request.c, and the fields that it needs in struct opener_request.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/error.h"
#include "daemon/base/strbuf.h"
#include "symbolizer/file_identity.h"
#include "symbolizer/opener.h"

#define OPENER_BUILD_ID_MAX 64
#define OPENER_AVOID_MAX 16
#define OPENER_REQUEST_MAX (3 * PATH_MAX + 1024) /* bytes */
#define OPENER_REPLY_MAX 1024

enum opener_kind {
	OPENER_MAPPED, /* the file behind a mapping: pid, start, end, path, id (opener.h) */
	OPENER_DEBUG, /* a debug file: pid, build_id if its size is not 0, then path and name
		       * if there is one (debug_file.h) */
	OPENER_PERF_MAP, /* pid's list of compiled code (perf_map_file.h) */
	OPENER_MEMORY, /* pid's /proc/PID/mem */
	OPENER_MAPS, /* pid's /proc/PID/maps */
	OPENER_PART, /* a further file of debug information: pid, path, part, owner, build_id,
		      * name, folder (debug_part.h) */
	OPENER_PATH, /* a regular file: path below pid's root, or of this machine if pid is 0 */
	OPENER_KIND_COUNT,
};

struct opener_request {
	enum opener_kind kind;
	pid_t pid; /* 0: none */
	uint64_t start, end; /* process addresses of the mapping; 0, 0: not known */
	const char *path; /* NULL: none */
	const char *name; /* NULL: none */
	struct opener_identity id; /* all 0: not known */
	uint8_t build_id[OPENER_BUILD_ID_MAX];
	uint8_t build_id_size; /* 0: none */
	uint8_t part; /* enum symbolizer_part_kind */
	uint32_t owner; /* user id */
	const char *folder; /* NULL: none */
};

/* What was opened. For files in /proc only `fd` is set. */
struct opener_file {
	int fd; /* for reading, or a parcel (parcel.h); close-on-exec */
	uint32_t dev_major, dev_minor; /* of the opened file, as stat(2) has them */
	uint64_t inode;
	uint64_t changed_ns; /* st_ctime */
	uint32_t uid; /* its owner */
	bool roots; /* only root can have written it */
	bool identified; /* `identity` is there */
	bool sure; /* of a mapping: it is the mapped file, and not one found by its path alone */
	struct file_identity identity;
};

/* Opens it here and now, by this process's own rights; may hang where its file system
 * does. care: NULL or as opener.h has it. ret->fd is the caller's. */
int opener_request_serve(const struct opener_request *request, const struct opener_care *care,
			 struct error *error, struct opener_file *ret);

/* With texts of its own, to be freed. -ENAMETOOLONG, -ENOMEM. */
int opener_request_copy(struct opener_request *ret, const struct opener_request *request);
void opener_request_free(struct opener_request *request);

/* ---- on the way ---- */

/* care->about and its context do not travel. -ENAMETOOLONG: a path or name is too long;
 * -ENOMEM. */
int opener_request_encode(const struct opener_request *request, uint32_t id,
			  const struct opener_care *care, struct strbuf *ret);
struct opener_request_in { /* a request that came, and what it points to */
	struct opener_request request;
	uint32_t id;
	struct opener_care care;
	uint64_t avoid[OPENER_AVOID_MAX];
	char path[PATH_MAX], name[PATH_MAX], folder[PATH_MAX];
};
/* -EBADMSG. `ret` must stay where it is. */
int opener_request_decode(const void *bytes, size_t size, struct opener_request_in *ret);

struct opener_reply {
	uint32_t id;
	bool about; /* not done: it is about to ask the file system `device` */
	uint64_t device;
	int error; /* 0: `file`, whose descriptor travels beside this; or -errno and text */
	char text[512];
	struct opener_file file; /* fd: -1 */
};
/* At most OPENER_REPLY_MAX bytes. */
void opener_reply_encode(const struct opener_reply *reply, struct strbuf *ret);
/* -EBADMSG. Control characters of the text are made '?'. */
int opener_reply_decode(const void *bytes, size_t size, struct opener_reply *ret);
