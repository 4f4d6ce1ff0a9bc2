/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/opener_request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/reader.h"
#include "symbolizer/debug_file.h"
#include "symbolizer/debug_part.h"
#include "symbolizer/perf_map_file.h"

/* ---- kinds ---- */

typedef int opener_kind_fn(const struct opener_request *request, const struct opener_care *care,
			   struct error *error, struct opener_file *ret);

static const char *path_of(const struct opener_request *request)
{
	return request->path ? request->path : "";
}

static int open_mapped(const struct opener_request *request, const struct opener_care *care,
		       struct error *error, struct opener_file *ret)
{
	return opener_open_carefully(request->pid, request->start, request->end, path_of(request),
				     &request->id, care, error, &ret->fd, &ret->sure);
}

static int open_debug(const struct opener_request *request, const struct opener_care *care,
		      struct error *error, struct opener_file *ret)
{
	int r = -ENOENT;

	(void)care;
	if (request->build_id_size)
		r = debug_file_open(request->pid, request->build_id, request->build_id_size,
				    &ret->fd);
	if (r && request->name && request->name[0])
		r = debug_file_open_link(request->pid, path_of(request), request->name, &ret->fd);
	return r ? error_set(error, r, "the debug file of %.80s: %s", path_of(request),
			     strerror(-r))
		 : 0;
}

static int open_perf_map(const struct opener_request *request, const struct opener_care *care,
			 struct error *error, struct opener_file *ret)
{
	int r = perf_map_file_open(request->pid, care, &ret->fd);

	return r ? error_set(error, r, "the perf map of process %d: %s", request->pid, strerror(-r))
		 : 0;
}

static int open_proc(const struct opener_request *request, const char *name, struct error *error,
		     struct opener_file *ret)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", request->pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	ret->fd = fd;
	return 0;
}

static int open_memory(const struct opener_request *request, const struct opener_care *care,
		       struct error *error, struct opener_file *ret)
{
	(void)care;
	return open_proc(request, "mem", error, ret);
}

static int open_maps(const struct opener_request *request, const struct opener_care *care,
		     struct error *error, struct opener_file *ret)
{
	(void)care;
	return open_proc(request, "maps", error, ret);
}

static int open_part(const struct opener_request *request, const struct opener_care *care,
		     struct error *error, struct opener_file *ret)
{
	struct symbolizer_part part = {.kind = (enum symbolizer_part_kind)request->part,
				       .build_id_size = request->build_id_size,
				       .owner = request->owner,
				       .name = request->name ? request->name : "",
				       .folder = request->folder ? request->folder : ""};
	int r = -EINVAL;

	(void)care;
	if (part.build_id_size <= sizeof(part.build_id)) {
		memcpy(part.build_id, request->build_id, part.build_id_size);
		r = debug_part_open(request->pid, path_of(request), &part, &ret->fd);
	}
	return r ? error_set(error, r, "%.80s, of the debug information of %.80s: %s", part.name,
			     path_of(request), strerror(-r))
		 : 0;
}

static int open_path(const struct opener_request *request, const struct opener_care *care,
		     struct error *error, struct opener_file *ret)
{
	return opener_open_carefully(request->pid, 0, 0, path_of(request), NULL, care, error,
				     &ret->fd, &ret->sure);
}

static const struct {
	opener_kind_fn *open;
	bool in_proc; /* the kernel's own file: no owner, no identity */
} kinds[] = {
	[OPENER_MAPPED] = {open_mapped, false},    [OPENER_DEBUG] = {open_debug, false},
	[OPENER_PERF_MAP] = {open_perf_map, true}, [OPENER_MEMORY] = {open_memory, true},
	[OPENER_MAPS] = {open_maps, true},         [OPENER_PATH] = {open_path, false},
	[OPENER_PART] = {open_part, false},
};
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == OPENER_KIND_COUNT, "a row for each kind");

static int describe(int fd, struct opener_file *file, struct error *error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(error, -errno, "it cannot be examined: %s", strerror(errno));
	file->dev_major = major(st.st_dev);
	file->dev_minor = minor(st.st_dev);
	file->inode = st.st_ino;
	file->changed_ns =
		(uint64_t)st.st_ctim.tv_sec * NSEC_PER_SEC + (uint64_t)st.st_ctim.tv_nsec;
	file->uid = st.st_uid;
	file->roots = st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH));
	file->identified = file_identity_take(fd, &file->identity);
	return 0;
}

int opener_request_serve(const struct opener_request *request, const struct opener_care *care,
			 struct error *error, struct opener_file *ret)
{
	struct opener_file file = {.fd = -1};
	int r = kinds[request->kind].open(request, care, error, &file);

	if (!r && !kinds[request->kind].in_proc)
		r = describe(file.fd, &file, error);
	if (r < 0) {
		if (file.fd >= 0)
			close(file.fd);
		return r;
	}
	*ret = file;
	return 0;
}

static int copy_text(const char **ret, const char *text)
{
	*ret = NULL;
	if (!text)
		return 0;
	if (strlen(text) >= PATH_MAX)
		return -ENAMETOOLONG;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

int opener_request_copy(struct opener_request *ret, const struct opener_request *request)
{
	struct opener_request copy = *request;
	int r;

	copy.name = copy.folder = NULL;
	r = copy_text(&copy.path, request->path);
	if (!r)
		r = copy_text(&copy.name, request->name);
	if (!r)
		r = copy_text(&copy.folder, request->folder);
	if (r < 0)
		opener_request_free(&copy);
	else
		*ret = copy;
	return r;
}

void opener_request_free(struct opener_request *request)
{
	free((char *)(uintptr_t)request->path);
	free((char *)(uintptr_t)request->name);
	free((char *)(uintptr_t)request->folder);
	request->path = request->name = request->folder = NULL;
}

/* ---- on the way ---- */

static bool put_text(struct strbuf *out, const char *text)
{
	size_t length = text ? strlen(text) : 0;

	strbuf_bytes(out, text ? text : "", (uint32_t)length);
	return length < PATH_MAX;
}

int opener_request_encode(const struct opener_request *request, uint32_t id,
			  const struct opener_care *care, struct strbuf *ret)
{
	bool fits;

	strbuf_u32(ret, id);
	strbuf_u8(ret, (uint8_t)request->kind);
	strbuf_u32(ret, (uint32_t)request->pid);
	strbuf_u64(ret, request->start);
	strbuf_u64(ret, request->end);
	strbuf_u32(ret, request->id.dev_major);
	strbuf_u32(ret, request->id.dev_minor);
	strbuf_u64(ret, request->id.inode);
	strbuf_bytes(ret, request->build_id, request->build_id_size);
	strbuf_u8(ret, care->local_only);
	strbuf_u32(ret, (uint32_t)care->avoid_count);
	for (size_t i = 0; i < care->avoid_count; i++)
		strbuf_u64(ret, care->avoid[i]);
	fits = put_text(ret, request->path);
	fits &= put_text(ret, request->name);
	fits &= put_text(ret, request->folder);
	strbuf_u8(ret, request->part);
	strbuf_u32(ret, request->owner);
	return fits ? strbuf_error(ret) : -ENAMETOOLONG;
}

static void take_text(struct reader *reader, char text[PATH_MAX])
{
	size_t size = 0;
	const char *bytes = reader_bytes(reader, PATH_MAX - 1, &size);

	if (!bytes || memchr(bytes, '\0', size)) {
		reader_fail(reader, "a text");
		return;
	}
	memcpy(text, bytes, size);
	text[size] = '\0';
}

int opener_request_decode(const void *bytes, size_t size, struct opener_request_in *ret)
{
	struct opener_request *request = &ret->request;
	const void *build_id;
	struct reader reader;
	size_t count = 0;

	memset(ret, 0, sizeof(*ret));
	reader_init(&reader, bytes, size);
	ret->id = reader_u32(&reader);
	request->kind = reader_u8(&reader);
	request->pid = (pid_t)reader_u32(&reader);
	request->start = reader_u64(&reader);
	request->end = reader_u64(&reader);
	request->id.dev_major = reader_u32(&reader);
	request->id.dev_minor = reader_u32(&reader);
	request->id.inode = reader_u64(&reader);
	build_id = reader_bytes(&reader, OPENER_BUILD_ID_MAX, &count);
	if (build_id)
		memcpy(request->build_id, build_id, count);
	request->build_id_size = (uint8_t)count;
	ret->care.local_only = reader_u8(&reader);
	ret->care.avoid = ret->avoid;
	ret->care.avoid_count = reader_u32(&reader);
	if (ret->care.avoid_count > OPENER_AVOID_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < ret->care.avoid_count; i++)
		ret->avoid[i] = reader_u64(&reader);
	take_text(&reader, ret->path);
	take_text(&reader, ret->name);
	take_text(&reader, ret->folder);
	request->part = reader_u8(&reader);
	request->owner = reader_u32(&reader);
	request->folder = ret->folder;
	request->path = ret->path;
	request->name = ret->name;
	if (!reader_ok(&reader) || reader_left(&reader) || request->kind >= OPENER_KIND_COUNT ||
	    request->pid < 0)
		return -EBADMSG;
	return 0;
}

void opener_reply_encode(const struct opener_reply *reply, struct strbuf *ret)
{
	const struct opener_file *file = &reply->file;
	const struct file_identity *identity = &file->identity;

	strbuf_u32(ret, reply->id);
	strbuf_u8(ret, reply->about);
	strbuf_u64(ret, reply->device);
	strbuf_u32(ret, (uint32_t)reply->error);
	strbuf_bytes(ret, reply->text, (uint32_t)strnlen(reply->text, sizeof(reply->text) - 1));
	strbuf_u32(ret, file->dev_major);
	strbuf_u32(ret, file->dev_minor);
	strbuf_u64(ret, file->inode);
	strbuf_u64(ret, file->changed_ns);
	strbuf_u32(ret, file->uid);
	strbuf_u8(ret, file->roots);
	strbuf_u8(ret, file->identified);
	strbuf_u8(ret, file->sure);
	strbuf_u64(ret, identity->device);
	strbuf_u64(ret, identity->inode);
	strbuf_u64(ret, identity->size);
	strbuf_u64(ret, identity->mtime_ns);
	strbuf_u64(ret, identity->ctime_ns);
	strbuf_u64(ret, identity->uid);
}

int opener_reply_decode(const void *bytes, size_t size, struct opener_reply *ret)
{
	struct opener_reply reply = {.file.fd = -1};
	struct file_identity *identity = &reply.file.identity;
	struct reader reader;
	size_t length = 0;
	const char *text;

	reader_init(&reader, bytes, size);
	reply.id = reader_u32(&reader);
	reply.about = reader_u8(&reader);
	reply.device = reader_u64(&reader);
	reply.error = (int)reader_u32(&reader);
	text = reader_bytes(&reader, sizeof(reply.text) - 1, &length);
	for (size_t i = 0; text && i < length; i++)
		reply.text[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	reply.file.dev_major = reader_u32(&reader);
	reply.file.dev_minor = reader_u32(&reader);
	reply.file.inode = reader_u64(&reader);
	reply.file.changed_ns = reader_u64(&reader);
	reply.file.uid = reader_u32(&reader);
	reply.file.roots = reader_u8(&reader);
	reply.file.identified = reader_u8(&reader);
	reply.file.sure = reader_u8(&reader);
	identity->device = reader_u64(&reader);
	identity->inode = reader_u64(&reader);
	identity->size = reader_u64(&reader);
	identity->mtime_ns = reader_u64(&reader);
	identity->ctime_ns = reader_u64(&reader);
	identity->uid = reader_u64(&reader);
	if (!reader_ok(&reader) || reader_left(&reader) || reply.error > 0 || reply.error < -4095 ||
	    (reply.about && reply.error))
		return -EBADMSG;
	*ret = reply;
	return 0;
}
