/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/symbolize.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/debug_wait.h"
#include "daemon/jit_code.h"
#include "symbolizer/debug_file.h"
#include "symbolizer/debug_part.h"
#include "symbolizer/opener.h"
#include "symbolizer/perf_map_file.h"
#include "symbolizer/vdso.h"

#define TICK_MS 250
#define DEADLINE_NS (60 * NSEC_PER_SEC) /* nobody else waits for this worker */
#define KERNEL_FIRST 0xffff800000000000ULL
#define NO_FILE UINT32_MAX
#define FILE_KERNEL (UINT32_MAX - 1)
#define FILE_JIT (UINT32_MAX - 2) /* memory that the process wrote itself */

/* What a callback was told. */
struct reply {
	bool done;
	int error;
	char text[512];
	struct symbolizer_image image;
};

static void wait_for(struct symbolize *symbolize, const bool *done)
{
	while (!*done) {
		struct pollfd ready = {.fd = symbolizer_fd(symbolize->symbolizer),
				       .events = POLLIN};

		poll(&ready, 1, TICK_MS);
		symbolizer_dispatch(symbolize->symbolizer);
	}
}

/* A further file of an image's debug information. */
static void find_part(void *context, uint32_t image, const struct symbolizer_part *part)
{
	struct symbolize *symbolize = context;
	const char *path =
		image <= symbolize->files.count ? symbolize->files.items[image - 1].real : NULL;
	int fd = -1;

	if (path && path[0] == '/')
		debug_part_open(symbolize->pid, path, part, &fd);
	symbolizer_add_part(symbolize->symbolizer, image, part->number, fd);
}

static void on_damaged(void *context, uint32_t image, const char *text)
{
	struct symbolize *symbolize = context;
	/* One that is just being added is the next. */
	const char *path = image == FILE_JIT ? "[jit]"
			   : image <= symbolize->files.count
				   ? symbolize->files.items[image - 1].path
			   : symbolize->adding ? symbolize->adding
					       : "?";
	struct symbolize_damage damage = {strdup(path), strdup(text)};

	log_warning("%s: %s", path, text);
	if (damage.path && damage.why && !vec_push(&symbolize->damage, damage))
		return;
	free(damage.path);
	free(damage.why);
}

static int start(struct symbolize *symbolize, const struct config *config, uint32_t flags,
		 struct error *error)
{
	static const char *const argv[] = {"perfctl", "--worker", NULL};
	struct symbolizer_config how = {.find_part = find_part,
					.damaged = on_damaged,
					.part_context = symbolize,
					.memory_bytes = config->worker_memory_bytes,
					.deadline_ns = DEADLINE_NS,
					.images_max = config->worker_images_max,
					.flags = flags & ~SYMBOLIZE_DEBUGINFOD,
					.program = "/proc/self/exe",
					.argv = argv};
	int r = 0;

	if (flags & SYMBOLIZE_DEBUGINFOD)
		r = debug_wait_create(config, error, &symbolize->servers);
	if (!r)
		r = symbolizer_create(&how, error, &symbolize->symbolizer);
	if (r < 0) {
		debug_wait_destroy(symbolize->servers);
		symbolize->servers = NULL;
	}
	return r;
}

/* ---- files ---- */

static void on_image(void *context, int error, const char *text,
		     const struct symbolizer_image *image)
{
	struct reply *reply = context;

	reply->done = true;
	reply->error = error;
	snprintf(reply->text, sizeof(reply->text), "%s", text ? text : "");
	if (image)
		reply->image = *image;
}

/* Hands a file to the worker, and what was cut off it if that is installed. */
static int add_image(struct symbolize *symbolize, uint32_t id, const char *path, int fd,
		     struct error *error)
{
	struct reply reply = {0};
	int r = symbolizer_add_image(symbolize->symbolizer, id, fd, on_image, &reply), debug;

	if (r < 0)
		return error_set(error, r, "%s", strerror(-r));
	wait_for(symbolize, &reply.done);
	if (reply.error)
		return error_set(error, reply.error, "%s", reply.text);
	r = debug_file_open(symbolize->pid, reply.image.build_id, reply.image.build_id_size,
			    &debug);
	if (r && reply.image.debug_name[0])
		r = debug_file_open_link(symbolize->pid, path, reply.image.debug_name, &debug);
	if (r && symbolize->servers && !reply.image.debug_info) {
		struct error why = {0};

		r = debug_wait_for(symbolize->servers, reply.image.build_id,
				   reply.image.build_id_size, &why, &debug);
		if (r)
			log_warning("%s: %s", path, why.text);
	}
	if (!r)
		symbolizer_add_debug(symbolize->symbolizer, id, debug);
	return 0;
}

/* A place for the file is there even if it cannot be had: it says why. real: its
 * absolute path, where `path` is as the user gave it. */
static int add_file(struct symbolize *symbolize, const char *path, const char *real, int fd,
		    struct error *error)
{
	struct symbolize_file file = {.path = strdup(path), .real = strdup(real)};
	uint32_t id = (uint32_t)symbolize->files.count + 1;
	int r;

	symbolize->adding = path;
	r = fd < 0 ? error->code : add_image(symbolize, id, real, fd, error);
	symbolize->adding = NULL;

	if (!r)
		file.image = id;
	else
		file.why = strdup(error->text);
	if (!file.path || !file.real || (r && !file.why) || vec_push(&symbolize->files, file) < 0) {
		free(file.path);
		free(file.real);
		free(file.why);
		return error_set(error, -ENOMEM, "out of memory for files");
	}
	return r;
}

int symbolize_init_file(struct symbolize *ret, const char *path, const struct config *config,
			uint32_t flags, struct error *error)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	int fd = -1, r;

	*ret = (struct symbolize){0};
	if (!real)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	r = opener_open(0, 0, 0, real, NULL, error, &fd);
	if (r < 0)
		return r;
	r = start(ret, config, flags, error);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = add_file(ret, path, real, fd, error);
	if (r < 0) {
		error_prefix(error, "%s", path);
		symbolize_deinit(ret);
	}
	return r;
}

/* ---- processes ---- */

struct maps_reply {
	struct symbolize *symbolize;
	struct reply reply;
};

static void on_maps(void *context, int error, const char *text,
		    const struct symbolizer_mapping *mappings, size_t count)
{
	struct maps_reply *maps = context;
	struct symbolize *symbolize = maps->symbolize;

	on_image(&maps->reply, error, text, NULL);
	for (size_t i = 0; i < count && !maps->reply.error; i++) {
		struct symbolizer_mapping mapping = mappings[i];

		mapping.path = strdup(mapping.path);
		if (!mapping.path || vec_push(&symbolize->mappings, mapping) < 0 ||
		    vec_push(&symbolize->mapping_files, 0) < 0)
			on_image(&maps->reply, -ENOMEM, "out of memory for mappings", NULL);
	}
}

static int read_maps(struct symbolize *symbolize, struct error *error)
{
	struct maps_reply maps = {.symbolize = symbolize};
	char path[64];
	int fd, r;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)symbolize->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, -errno, "process %d: %s: %s", (int)symbolize->pid, path,
				 strerror(errno));
	r = symbolizer_maps(symbolize->symbolizer, fd, on_maps, &maps);
	if (r < 0)
		return error_set(error, r, "%s: %s", path, strerror(-r));
	wait_for(symbolize, &maps.reply.done);
	if (maps.reply.error)
		return error_set(error, maps.reply.error, "%s: %s", path, maps.reply.text);
	return 0;
}

int symbolize_init_process(struct symbolize *ret, pid_t pid, const struct config *config,
			   uint32_t flags, struct error *error)
{
	int r;

	*ret = (struct symbolize){.pid = pid};
	r = start(ret, config, flags & ~(uint32_t)SYMBOLIZER_ELF_ADDRESSES, error);
	if (!r)
		r = read_maps(ret, error);
	if (r < 0)
		symbolize_deinit(ret);
	return r;
}

void symbolize_deinit(struct symbolize *symbolize)
{
	symbolizer_destroy(symbolize->symbolizer);
	debug_wait_destroy(symbolize->servers);
	for (size_t i = 0; i < symbolize->files.count; i++) {
		free(symbolize->files.items[i].path);
		free(symbolize->files.items[i].real);
		free(symbolize->files.items[i].why);
	}
	for (size_t i = 0; i < symbolize->mappings.count; i++)
		free((char *)(uintptr_t)symbolize->mappings.items[i].path);
	for (size_t i = 0; i < symbolize->damage.count; i++) {
		free(symbolize->damage.items[i].path);
		free(symbolize->damage.items[i].why);
	}
	vec_free(&symbolize->damage);
	vec_free(&symbolize->files);
	vec_free(&symbolize->mappings);
	vec_free(&symbolize->mapping_files);
}

static size_t find_mapping(const struct symbolize *symbolize, uint64_t address)
{
	for (size_t i = 0; i < symbolize->mappings.count; i++) {
		const struct symbolizer_mapping *mapping = &symbolize->mappings.items[i];

		if (address - mapping->start < mapping->length)
			return i;
	}
	return SIZE_MAX;
}

/* Opens the file behind a mapping, once; other mappings of it have it too. */
static uint32_t file_of(struct symbolize *symbolize, size_t at)
{
	const struct symbolizer_mapping *mapping = &symbolize->mappings.items[at];
	struct opener_identity id = {mapping->dev_major, mapping->dev_minor, mapping->inode};
	struct error error = {0};
	int fd = -1;

	if (symbolize->mapping_files.items[at])
		return symbolize->mapping_files.items[at] - 1;
	if (!strcmp(mapping->path, "[vdso]"))
		fd = vdso_image_open();
	else if (mapping->path[0] == '/')
		opener_open(symbolize->pid, mapping->start, mapping->start + mapping->length,
			    mapping->path, &id, &error, &fd);
	else
		return NO_FILE;
	if (fd < 0 && !error.code)
		error_set(&error, -ENOENT, "it cannot be opened");
	add_file(symbolize, mapping->path, mapping->path, fd, &error);
	for (size_t i = 0; i < symbolize->mappings.count; i++) {
		const struct symbolizer_mapping *other = &symbolize->mappings.items[i];

		if (i == at || (mapping->inode && other->inode == mapping->inode &&
				!strcmp(other->path, mapping->path)))
			symbolize->mapping_files.items[i] = (uint32_t)symbolize->files.count;
	}
	return (uint32_t)symbolize->files.count - 1;
}

/* ---- questions ---- */

/* Where one address is asked for. */
struct question {
	uint64_t place; /* an offset or address */
	uint32_t file; /* NO_FILE: none */
	uint32_t index; /* of the caller's address */
};

struct asking {
	struct symbolize *symbolize;
	const struct question *questions;
	size_t count;
	symbolize_fn *found;
	void *context;
	bool done;
	bool too_much; /* the answer was too large to be sent */
};

static void on_names(void *context, int error, const char *text,
		     const struct symbolizer_name *names, size_t count)
{
	struct asking *asking = context;
	const struct symbolize_file *files = asking->symbolize->files.items;

	asking->done = true;
	asking->too_much = error == -E2BIG && asking->count > 1;
	if (asking->too_much)
		return;
	for (size_t i = 0; i < asking->count; i++) {
		const struct question *question = &asking->questions[i];
		struct symbolize_place place = {
			.path = question->file == FILE_KERNEL ? "kernel"
				: question->file == FILE_JIT  ? "[jit]"
				: question->file == NO_FILE   ? ""
							      : files[question->file].path,
			.offset = question->place,
		};

		asking->found(asking->context, question->index, &place,
			      !error && i < count ? &names[i] : NULL, error && text ? text : "");
	}
}

/* What the process's compiler writes down, if it does. */
static int open_jit(const struct symbolize *symbolize)
{
	struct error error = {0};
	int fd = -1;

	for (size_t i = symbolize->mappings.count; i-- > 0;) {
		const struct symbolizer_mapping *mapping = &symbolize->mappings.items[i];
		struct opener_identity id = {mapping->dev_major, mapping->dev_minor,
					     mapping->inode};

		if (mapping->executable && jit_code_is_dump(mapping->path) &&
		    !opener_open(symbolize->pid, mapping->start, mapping->start + mapping->length,
				 mapping->path, &id, &error, &fd))
			return fd;
	}
	return perf_map_file_open(symbolize->pid, NULL, &fd) < 0 ? -1 : fd;
}

/* Questions that are all for one file. */
static int ask_file(struct asking *asking, const uint64_t *places, struct error *error)
{
	struct symbolize *symbolize = asking->symbolize;
	uint32_t number = asking->questions[0].file;
	int r;

	if (number == NO_FILE) {
		on_names(asking, -ENOENT, "in no file", NULL, 0);
		return 0;
	}
	if (number == FILE_KERNEL) {
		r = symbolizer_kernel_names(symbolize->symbolizer, places, asking->count, on_names,
					    asking);
	} else if (number == FILE_JIT) {
		int fd = open_jit(symbolize);

		if (fd < 0) {
			on_names(asking, -ENOENT,
				 "in memory without a file, and neither jit dump nor perf map",
				 NULL, 0);
			return 0;
		}
		r = symbolizer_jit_names(symbolize->symbolizer, FILE_JIT, fd, places, asking->count,
					 on_names, asking);
	} else if (!symbolize->files.items[number].image) {
		on_names(asking, -ENOENT, symbolize->files.items[number].why, NULL, 0);
		return 0;
	} else {
		r = symbolizer_names(symbolize->symbolizer, symbolize->files.items[number].image,
				     places, asking->count, on_names, asking);
	}
	if (r < 0)
		return error_set(error, r, "the symbolizer: %s", strerror(-r));
	wait_for(symbolize, &asking->done);
	return 0;
}

static bool is_memory(const struct symbolizer_mapping *mapping)
{
	return mapping->executable &&
	       (!mapping->path[0] || !strncmp(mapping->path, "[anon", 5) ||
		!strcmp(mapping->path, "[heap]") || !strcmp(mapping->path, "[stack]") ||
		!strncmp(mapping->path, "/memfd:", 7));
}

static void locate(struct symbolize *symbolize, uint64_t address, struct question *question)
{
	const struct symbolizer_mapping *mapping;
	size_t at;

	question->place = address;
	question->file = 0;
	if (!symbolize->pid)
		return;
	question->file = NO_FILE;
	if (address >= KERNEL_FIRST) {
		question->file = FILE_KERNEL;
		return;
	}
	at = find_mapping(symbolize, address);
	if (at == SIZE_MAX)
		return;
	mapping = &symbolize->mappings.items[at];
	if (is_memory(mapping)) {
		question->file = FILE_JIT;
		return;
	}
	question->file = file_of(symbolize, at);
	if (question->file == NO_FILE)
		return;
	question->place = address - mapping->start;
	/* A vDSO's mapping has no file offset. */
	if (mapping->path[0] == '/')
		question->place += mapping->offset;
}

static int compare(const void *left, const void *right)
{
	const struct question *a = left, *b = right;

	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	return (a->index > b->index) - (a->index < b->index);
}

/* An answer that is too large is asked for in halves. */
static int ask_some(const struct asking *template, const uint64_t *places, size_t count,
		    struct error *error)
{
	struct asking asking = *template, rest = *template;
	int r;

	asking.count = count;
	r = ask_file(&asking, places, error);
	if (r || !asking.too_much)
		return r;
	rest.questions += count / 2;
	r = ask_some(template, places, count / 2, error);
	return r ? r : ask_some(&rest, places + count / 2, count - count / 2, error);
}

int symbolize_ask(struct symbolize *symbolize, const uint64_t *addresses, size_t count,
		  symbolize_fn *found, void *context, struct error *error)
{
	_cleanup_free_ struct question *questions = malloc(count * sizeof(*questions));
	_cleanup_free_ uint64_t *places = malloc(count * sizeof(*places));
	int r = 0;

	if (!count || count > SYMBOLIZE_BATCH)
		return count ? -E2BIG : 0;
	if (!questions || !places)
		return error_set(error, -ENOMEM, "out of memory for %zu addresses", count);
	for (size_t i = 0; i < count; i++) {
		locate(symbolize, addresses[i], &questions[i]);
		questions[i].index = (uint32_t)i;
	}
	qsort(questions, count, sizeof(*questions), compare);
	for (size_t i = 0; i < count; i++)
		places[i] = questions[i].place;
	for (size_t i = 0, next; i < count && !r; i = next) {
		struct asking asking = {.symbolize = symbolize,
					.questions = &questions[i],
					.found = found,
					.context = context};

		for (next = i; next < count && questions[next].file == questions[i].file;)
			next++;
		r = ask_some(&asking, &places[i], next - i, error);
	}
	return r;
}
