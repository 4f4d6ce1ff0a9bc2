/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/log.h"
#include "daemon/resolver_internal.h"

static void on_part(void *context, int error, const char *text, struct opener_file *file)
{
	struct resolver_request *request = context;
	struct resolver *resolver = request->resolver;

	if (error)
		log_debug("%s", text);
	if (!error || !debug_fetch_part(&resolver->fetch, request->image, &request->part))
		symbolizer_add_part(resolver->symbolizer, request->image, request->part.number,
				    error ? -1 : TAKE_FD(file->fd));
	resolver_request_destroy(request);
}

/* A further file of an image's debug information. */
void resolver_find_part(void *context, uint32_t id, const struct symbolizer_part *part)
{
	struct resolver *resolver = context;
	const struct image *image = image_table_get(resolver->images, id);
	struct resolver_request *request = NULL;
	struct opener_request wanted = {.kind = OPENER_PART,
					.part = (uint8_t)part->kind,
					.name = part->name,
					.folder = part->folder,
					.build_id_size = part->build_id_size};

	memcpy(wanted.build_id, part->build_id, part->build_id_size);
	if (image && !image->vdso && image->path[0] == '/')
		request = resolver_request_create(resolver, 0);
	if (request) {
		request->image = id;
		request->part = *part;
		request->part.name = request->part.folder = "";
		wanted.pid = (pid_t)image->use.pid;
		wanted.path = image->path;
		wanted.owner = image->file_uid;
		if (!openers_open(resolver->openers, &wanted, on_part, request))
			return;
		resolver_request_destroy(request);
	}
	symbolizer_add_part(resolver->symbolizer, id, part->number, -1);
}

static void on_debug_file(void *context, int error, const char *text, struct opener_file *file)
{
	struct resolver_request *request = context;
	struct resolver *resolver = request->resolver;
	struct image *image = image_table_get(resolver->images, request->image);
	bool has_debug_info = request->has_debug_info;

	resolver_request_destroy(request);
	if (!image || image->state != IMAGE_DEBUG)
		return;
	image->state = IMAGE_READY;
	if (error)
		log_debug("%s: %s", image->path, text);
	if (error && !has_debug_info)
		debug_fetch_image(&resolver->fetch, image);
	if (error)
		return;
	if (symbolizer_add_debug(resolver->symbolizer, image->id, TAKE_FD(file->fd)))
		log_debug("%s: its debug file was not taken", image->path);
}

/* The symbols that were cut off the file, if they are installed: until that is known
 * nobody is told its names. */
static void look_for_debug_file(struct resolver *resolver, struct image *image,
				const struct symbolizer_image *opened)
{
	struct opener_request wanted = {.kind = OPENER_DEBUG,
					.pid = (pid_t)image->use.pid,
					.path = image->path,
					.name = opened->debug_name};
	struct resolver_request *request;

	if (image->vdso || (!opened->build_id_size && !opened->debug_name[0]))
		return;
	wanted.build_id_size = opened->build_id_size;
	memcpy(wanted.build_id, opened->build_id, opened->build_id_size);
	request = resolver_request_create(resolver, 0);
	if (!request)
		return;
	request->image = image->id;
	request->has_debug_info = opened->debug_info;
	if (openers_open(resolver->openers, &wanted, on_debug_file, request))
		resolver_request_destroy(request);
	else
		image->state = IMAGE_DEBUG;
}

static void on_list(void *context, int error, const char *text, struct opener_file *file)
{
	struct resolver_request *request = context;
	struct resolver *resolver = request->resolver;
	struct image *image = image_table_get(resolver->images, request->image);
	uint64_t look = request->look;

	resolver_request_destroy(request);
	if (!image)
		return;
	if (error == -ETIMEDOUT && image->jit_look == look)
		quarantine_add(symbolizer_quarantine(resolver->symbolizer), image->id, "open it",
			       text);
	if (error && error != -ENOENT)
		log_debug("%s", text);
	jit_code_found(&resolver->jit, image, look, error ? -1 : TAKE_FD(file->fd));
}

bool resolver_look_for_list(void *context, struct image *image)
{
	struct resolver *resolver = context;
	struct opener_request wanted = {.kind = OPENER_PERF_MAP, .pid = (pid_t)image->use.pid};
	struct resolver_request *request = resolver_request_create(resolver, 0);

	if (!request)
		return false;
	request->image = image->id;
	request->look = image->jit_look;
	if (!openers_open(resolver->openers, &wanted, on_list, request))
		return true;
	resolver_request_destroy(request);
	return false;
}

void resolver_on_image(void *context, int error, const char *text,
		       const struct symbolizer_image *opened)
{
	struct resolver_request *request = context;
	struct resolver *resolver = request->resolver;
	struct image *image = image_table_get(resolver->images, request->image);

	resolver_request_destroy(request);
	if (!image)
		return;
	if (error) {
		log_debug("%s: %s", image->path, text ? text : strerror(-error));
		image_table_fail(resolver->images, image, text ? text : "refused");
		/* Not the file's fault: it is handed over again when it is asked for, some times.
		 */
		if (error != -ENOEXEC && error != -EINVAL && error != -E2BIG && error != -EFAULT) {
			image->attempts++;
			symbolizer_drop_image(resolver->symbolizer, image->id);
		}
	} else if (image_table_ready(resolver->images, image, opened->build_id,
				     opened->build_id_size)) {
		log_debug("%s: %s", image->path, image->why);
		symbolizer_drop_image(resolver->symbolizer, image->id);
	} else {
		look_for_debug_file(resolver, image, opened);
		/* Only now it may be known to be the mapped one. */
		if (resolver->on_opened)
			resolver->on_opened(resolver->context, image);
	}
}

static void opened(struct resolver *resolver, struct image *image)
{
	if (image->state == IMAGE_FAILED)
		log_debug("%s: %s", image->path, image->why);
	if (resolver->on_opened)
		resolver->on_opened(resolver->context, image);
}

static void on_file(void *context, int error, const char *text, struct opener_file *file)
{
	struct resolver_request *request = context;
	struct resolver *resolver = request->resolver;
	struct image *image = image_table_get(resolver->images, request->image);

	resolver_request_destroy(request);
	if (!image || image->state != IMAGE_OPENING)
		return;
	if (error == -ETIMEDOUT)
		quarantine_add(symbolizer_quarantine(resolver->symbolizer), image->id, "open it",
			       text);
	if (error)
		image_table_not_opened(resolver->images, image, text);
	else
		image_table_opened(resolver->images, image, file);
	opened(resolver, image);
}

void resolver_open(struct resolver *resolver, struct image *image)
{
	struct resolver_request *request;
	struct opener_request wanted;

	if (!image_table_wants_file(image))
		return;
	if (image_table_open_vdso(resolver->images, image)) {
		opened(resolver, image);
		return;
	}
	request = resolver_request_create(resolver, 0);
	if (!request)
		return;
	request->image = image->id;
	image_table_opening(image, &wanted);
	if (openers_open(resolver->openers, &wanted, on_file, request)) {
		resolver_request_destroy(request);
		image_table_not_opened(resolver->images, image, "too many files wait to be opened");
		opened(resolver, image);
	}
}

int resolver_hand_over(struct resolver *resolver, struct image *image)
{
	struct resolver_request *request;
	int fd;

	if (image->state == IMAGE_READY)
		return debug_fetch_awaited(image) ? -EAGAIN : 0;
	resolver_open(resolver, image);
	if (image->state == IMAGE_OPENING || image->state == IMAGE_HANDED ||
	    image->state == IMAGE_DEBUG)
		return -EAGAIN;
	if (image->state != IMAGE_OPENED)
		return -ENOENT;
	request = resolver_request_create(resolver, 0);
	if (!request)
		return -ENOENT;
	request->image = image->id;
	fd = image_table_hand_over(resolver->images, image);
	if (symbolizer_add_image(resolver->symbolizer, image->id, fd, resolver_on_image, request)) {
		image_table_fail(resolver->images, image, "the symbolizer did not take it");
		resolver_request_destroy(request);
		return -ENOENT;
	}
	return -EAGAIN;
}

bool resolver_take_back(struct resolver *resolver, struct image *image, int error)
{
	if (!image || image->jit || (error != -ESTALE && error != -ENOENT))
		return false;
	if (error == -ESTALE && image->state == IMAGE_READY) {
		symbolizer_drop_image(resolver->symbolizer, image->id);
		image->state = IMAGE_KNOWN;
	}
	return image->state != IMAGE_READY && image->state != IMAGE_FAILED;
}

/* Those that a worker did not survive, or that are damaged, are told by their path. */
static void mark_listed(const struct quarantine *list, bool *used, size_t count)
{
	for (size_t i = 0; i < quarantine_count(list); i++) {
		uint32_t image = quarantine_get(list, i)->image;

		if (image && image <= count)
			used[image - 1] = true;
	}
}

void resolver_mark(const struct resolver *resolver, bool *used, size_t count)
{
	for (const struct resolver_request *at = resolver->requests; at; at = at->next)
		if (at->image && at->image <= count)
			used[at->image - 1] = true;
	debug_fetch_mark(&resolver->fetch, used, count);
	mark_listed(symbolizer_quarantine(resolver->symbolizer), used, count);
	mark_listed(symbolizer_damaged(resolver->symbolizer), used, count);
}

bool resolver_blames_file(int error)
{
	return error == -ENODATA || error == -ENOTSUP || error == -EINVAL || error == -E2BIG ||
	       error == -ENOEXEC;
}

bool resolver_is_momentary(int error)
{
	return error && !resolver_blames_file(error) && error != -EFAULT;
}

void resolver_forget(struct resolver *resolver, const struct image *image)
{
	symbolizer_drop_image(resolver->symbolizer, image->id);
}
