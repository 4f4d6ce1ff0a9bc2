/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The worker: a loop that takes one request, answers it, and waits for the next, in a
 * process that has no privileges left. Each kind has a row in the table of handlers.
 */
#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/log.h"
#include "symbolizer/cfi.h"
#include "symbolizer/channel.h"
#include "symbolizer/client.h"
#include "symbolizer/elf_image.h"
#include "symbolizer/jit_names.h"
#include "symbolizer/kallsyms.h"
#include "symbolizer/named_file.h"
#include "symbolizer/probe_points.h"
#include "symbolizer/proc_maps.h"
#include "symbolizer/sandbox.h"
#include "symbolizer/worker_memory.h"

/* Of its whole life, as a request has the client's deadline: against one taken over. */
#define CPU_SECONDS 600
#define EXIT_PROTOCOL 76 /* sysexits.h's EX_PROTOCOL */
/* Files with debug information are kept open: they or their debug files, and of
 * both what they share with others, and the package of their split units. */
#define IMAGES_MAX ((SANDBOX_DESCRIPTORS_MAX - 64) / 3)
#define DWARF_MEMORY_DEFAULT (512ULL << 20) /* where the memory has no limit */

struct parsed { /* what stays of a file once it is read */
	uint32_t id;
	uint64_t used; /* the worker's count of requests when it was last asked */
	struct named_file file;
};

struct worker {
	int socket;
	uint32_t sandbox; /* layers in force */
	uint32_t images_max;
	uint64_t requests;
	VEC(struct parsed *) images;
	struct hashmap index; /* id to position in images */
	struct jit_names jit;
	struct kallsyms kernel;
	bool kernel_loaded;
	struct demangler demangler;
	struct wire_out out; /* of the last answer with names: its memory serves for the next */
	struct strbuf answer; /* the same */
	uint64_t dwarf_max; /* bytes that all files' debug information may take */
};

/* Of what debug information may take, what the answers kept of one file may. */
#define NAMES_SHARE 4

typedef VEC(uint64_t) places;
struct request {
	struct reader reader;
	int fd; /* stays the channel's, unless set to -1 */
};

typedef int handler(struct worker *worker, struct request *request, struct strbuf *answer,
		    struct error *error);

static int malformed(struct error *error)
{
	return error_set(error, -EPROTO, "a request of the wrong form");
}

static bool complete(const struct request *request)
{
	return reader_ok(&request->reader) && !reader_left(&request->reader);
}

static void forget_at(struct worker *worker, size_t at)
{
	struct parsed *parsed = worker->images.items[at];
	struct parsed *last = worker->images.items[--worker->images.count];

	hashmap_remove(&worker->index, parsed->id);
	if (last != parsed) {
		worker->images.items[at] = last;
		*hashmap_get(&worker->index, last->id) = at;
	}
	named_file_deinit(&parsed->file);
	free(parsed);
}

static void forget_least_used(struct worker *worker)
{
	size_t least = 0;

	for (size_t i = 1; i < worker->images.count; i++) {
		if (worker->images.items[i]->used < worker->images.items[least]->used)
			least = i;
	}
	forget_at(worker, least);
}

static int handle_hello(struct worker *worker, struct request *request, struct strbuf *answer,
			struct error *error)
{
	uint32_t version = reader_u32(&request->reader), images_max = reader_u32(&request->reader);
	char missing[256];

	if (!complete(request) || !images_max)
		return malformed(error);
	if (version != WIRE_VERSION)
		return error_set(error, -EPROTO, "the worker speaks version %u, not %u",
				 WIRE_VERSION, version);
	worker->images_max = images_max < IMAGES_MAX ? images_max : IMAGES_MAX;
	sandbox_missing(worker->sandbox, missing, sizeof(missing));
	strbuf_u32(answer, WIRE_VERSION);
	strbuf_u32(answer, worker->sandbox);
	strbuf_puts(answer, missing);
	return 0;
}

/* What a large file needed while it was parsed goes back to the system. */
static int parse_or_make_room(struct worker *worker, int fd, struct parsed *parsed,
			      struct error *error)
{
	int r = named_file_init(&parsed->file, fd, error);

	if (r == -ENOMEM && worker->images.count) {
		while (worker->images.count)
			forget_at(worker, worker->images.count - 1);
		malloc_trim(0);
		r = named_file_init(&parsed->file, fd, error);
	}
	malloc_trim(0);
	return r;
}

static int keep(struct worker *worker, struct parsed *parsed, struct error *error)
{
	uint64_t *at = hashmap_get(&worker->index, parsed->id);

	if (at)
		forget_at(worker, *at);
	while (worker->images.count >= worker->images_max)
		forget_least_used(worker);
	if (vec_push(&worker->images, parsed) < 0)
		return error_set(error, -ENOMEM, "out of memory for one more file");
	if (hashmap_put(&worker->index, parsed->id, worker->images.count - 1) < 0) {
		worker->images.count--;
		return error_set(error, -ENOMEM, "out of memory for one more file");
	}
	return 0;
}

static int handle_image_open(struct worker *worker, struct request *request, struct strbuf *answer,
			     struct error *error)
{
	uint32_t id = reader_u32(&request->reader);
	struct parsed *parsed;
	int r;

	if (!complete(request) || request->fd < 0)
		return malformed(error);
	parsed = calloc(1, sizeof(*parsed));
	if (!parsed)
		return error_set(error, -ENOMEM, "out of memory for one more file");
	parsed->id = id;
	parsed->used = worker->requests;
	r = parse_or_make_room(worker, request->fd, parsed, error);
	if (!r) {
		r = keep(worker, parsed, error);
		if (r < 0)
			named_file_deinit(&parsed->file);
	}
	if (r < 0) {
		free(parsed);
		return r;
	}
	if (named_file_take_dwarf(&parsed->file, request->fd, worker->dwarf_max))
		request->fd = -1;
	named_file_tell_damage(&parsed->file, answer);
	strbuf_append(answer, parsed->file.image.build_id, sizeof(parsed->file.image.build_id));
	strbuf_u8(answer, parsed->file.image.build_id_size);
	strbuf_u32(answer, parsed->file.symtab.symbols);
	strbuf_bytes(answer, parsed->file.link.name, (uint32_t)strlen(parsed->file.link.name));
	strbuf_u8(answer, dwarf_parts_any(&parsed->file.parts, parsed->file.dwarf));
	strbuf_u8(answer, parsed->file.dwarf != NULL);
	return 0;
}

static int handle_image_drop(struct worker *worker, struct request *request, struct strbuf *answer,
			     struct error *error)
{
	uint64_t *at = hashmap_get(&worker->index, reader_u32(&request->reader));

	(void)answer;
	if (!complete(request))
		return malformed(error);
	if (at)
		forget_at(worker, *at);
	return 0;
}

static int handle_image_debug(struct worker *worker, struct request *request, struct strbuf *answer,
			      struct error *error)
{
	uint64_t *at = hashmap_get(&worker->index, reader_u32(&request->reader));
	struct parsed *parsed;
	int r;

	if (!complete(request) || request->fd < 0)
		return malformed(error);
	if (!at) /* the client hands it over again */
		return error_set(error, -ESTALE, "the file is not open any more");
	parsed = worker->images.items[*at];
	parsed->used = worker->requests;
	r = named_file_add_debug(&parsed->file, request->fd, error);
	if (r == -ENOMEM) {
		while (worker->images.count > 1)
			forget_at(worker, worker->images.items[0] == parsed);
		malloc_trim(0);
		r = named_file_add_debug(&parsed->file, request->fd, error);
	}
	malloc_trim(0);
	if (r < 0)
		return r;
	if (named_file_take_dwarf(&parsed->file, request->fd, worker->dwarf_max))
		request->fd = -1;
	named_file_tell_damage(&parsed->file, answer);
	strbuf_u32(answer, parsed->file.debug.symbols);
	strbuf_u8(answer, dwarf_parts_any(&parsed->file.parts, parsed->file.dwarf));
	return 0;
}

static int handle_image_wanted(struct worker *worker, struct request *request,
			       struct strbuf *answer, struct error *error)
{
	uint64_t *at = hashmap_get(&worker->index, reader_u32(&request->reader));
	struct named_file_style style = named_file_style_of(reader_u32(&request->reader));
	struct parsed *parsed;
	int r;

	if (!at) /* the client hands it over again */
		return error_set(error, -ESTALE, "the file is not open any more");
	parsed = worker->images.items[*at];
	parsed->used = worker->requests;
	r = named_file_wanted(&parsed->file, &request->reader, &style, answer);
	if (!reader_ok(&request->reader))
		return malformed(error);
	return r ? error_set(error, r, "out of memory for names of files") : 0;
}

/* Without a descriptor: it is not to be had. */
static int handle_image_part(struct worker *worker, struct request *request, struct strbuf *answer,
			     struct error *error)
{
	uint64_t *at = hashmap_get(&worker->index, reader_u32(&request->reader));
	uint32_t number = reader_u32(&request->reader);
	struct named_file *file;
	int r;

	(void)answer;
	if (!complete(request))
		return malformed(error);
	if (!at) /* the client hands it over again */
		return error_set(error, -ESTALE, "the file is not open any more");
	file = &worker->images.items[*at]->file;
	r = named_file_add_part(file, number, request->fd, error);
	if (r == 1)
		request->fd = -1;
	return r < 0 ? r : 0;
}

/* What was read of the other files goes if all of it is too much. */
static void limit_dwarf(struct worker *worker, const struct parsed *now)
{
	uint64_t sum = 0;

	/* So that the next question has room for those that it needs. */
	if (now->file.dwarf && dwarf_splits_full(now->file.dwarf->splits))
		dwarf_splits_forget(now->file.dwarf->splits);
	for (size_t i = 0; i < worker->images.count; i++)
		sum += named_file_memory(&worker->images.items[i]->file);
	if (sum <= worker->dwarf_max)
		return;
	for (size_t i = 0; i < worker->images.count; i++) {
		if (worker->images.items[i] != now)
			named_file_trim(&worker->images.items[i]->file);
	}
	malloc_trim(0);
}

static int put_name(struct wire_out *out, const char *name, const char *module)
{
	struct symbolizer_frame frame = {.name = name, .module = module, .file = ""};

	return wire_out_name(out, &frame, name && name[0] ? 1 : 0);
}

/* The rest of a request: as they are on the wire. */
static int read_places(struct request *request, places *ret)
{
	size_t count = reader_left(&request->reader) / sizeof(uint64_t);

	if (vec_reserve(ret, count) < 0)
		return -ENOMEM;
	while (ret->count < count)
		ret->items[ret->count++] = reader_u64(&request->reader);
	return 0;
}

static int handle_image_names(struct worker *worker, struct request *request, struct strbuf *answer,
			      struct error *error)
{
	uint64_t *at = hashmap_get(&worker->index, reader_u32(&request->reader));
	struct named_file_style style = named_file_style_of(reader_u32(&request->reader));
	places asked = {0};
	struct parsed *parsed;
	int r;

	if (!at) /* the client hands it over again */
		return error_set(error, -ESTALE, "the file is not open any more");
	parsed = worker->images.items[*at];
	parsed->used = worker->requests;
	r = read_places(request, &asked);
	if (!r && !complete(request))
		r = malformed(error);
	else if (!r)
		r = named_file_put(&parsed->file, asked.items, asked.count, &style,
				   &worker->demangler, worker->dwarf_max / NAMES_SHARE,
				   &worker->out);
	named_file_tell_damage(&parsed->file, answer);
	if (!r)
		r = wire_out_finish(&worker->out, answer);
	wire_out_clear(&worker->out);
	vec_free(&asked);
	limit_dwarf(worker, parsed);
	return r == -ENOMEM ? error_set(error, r, "out of memory for names") : r;
}

static int handle_kernel_load(struct worker *worker, struct request *request, struct strbuf *answer,
			      struct error *error)
{
	struct kallsyms kernel;
	int r;

	if (!complete(request) || request->fd < 0)
		return malformed(error);
	r = kallsyms_init(&kernel, request->fd, error);
	if (r < 0)
		return r;
	kallsyms_deinit(&worker->kernel);
	worker->kernel = kernel;
	worker->kernel_loaded = true;
	malloc_trim(0);
	strbuf_u8(answer, kernel.restricted);
	strbuf_u32(answer, (uint32_t)kernel.count);
	return 0;
}

static int handle_kernel_names(struct worker *worker, struct request *request,
			       struct strbuf *answer, struct error *error)
{
	struct wire_out out = {0};
	int r = 0;

	if (!worker->kernel_loaded)
		return error_set(error, -ESTALE, "the kernel's symbols are not loaded");
	while (reader_left(&request->reader) && !r) {
		uint64_t address = reader_u64(&request->reader);
		const char *module = "";
		const char *name = kallsyms_find(&worker->kernel, address, &module);

		r = put_name(&out, name, module);
	}
	if (!r)
		r = wire_out_finish(&out, answer);
	wire_out_deinit(&out);
	if (!reader_ok(&request->reader))
		return malformed(error);
	return r ? error_set(error, r, "out of memory for names") : 0;
}

static int handle_jit_names(struct worker *worker, struct request *request, struct strbuf *answer,
			    struct error *error)
{
	uint32_t id = reader_u32(&request->reader);
	struct wire_out out = {0};
	const struct jit_file *file;
	int r;

	if (!reader_ok(&request->reader) || !id || request->fd < 0)
		return malformed(error);
	r = jit_names_update(&worker->jit, id, request->fd, error, &file);
	if (r < 0)
		return r;
	jit_names_tell_damage(&worker->jit, id, answer);
	while (reader_left(&request->reader) && !r)
		r = jit_names_put(file, reader_u64(&request->reader), &out);
	if (!r)
		r = wire_out_finish(&out, answer);
	wire_out_deinit(&out);
	if (!reader_ok(&request->reader))
		return malformed(error);
	return r ? error_set(error, r, "out of memory for names") : 0;
}

static int add_mapping(void *context, const struct proc_map *map)
{
	struct wire_out *out = context;
	struct symbolizer_mapping mapping = {
		.start = map->start,
		.length = map->end - map->start,
		.offset = map->offset,
		.inode = map->inode,
		.dev_major = map->dev_major,
		.dev_minor = map->dev_minor,
		.executable = map->executable,
		.deleted = map->deleted,
		.path = map->path,
	};

	return out->count < WIRE_MAPPINGS_MAX ? wire_out_mapping(out, &mapping) : -E2BIG;
}

static int handle_maps(struct worker *worker, struct request *request, struct strbuf *answer,
		       struct error *error)
{
	struct wire_out out = {0};
	int r;

	(void)worker;
	if (!complete(request) || request->fd < 0)
		return malformed(error);
	/* A worker that is gone may have read some of it. */
	lseek(request->fd, 0, SEEK_SET);
	r = proc_maps_parse(request->fd, add_mapping, &out, error);
	if (r == -ENOMEM || r == -E2BIG)
		error_set(error, r, "too many mappings: %u were read", out.count);
	if (!r && wire_out_finish(&out, answer) < 0)
		r = error_set(error, -ENOMEM, "out of memory for %u mappings", out.count);
	wire_out_deinit(&out);
	return r;
}

static int build_table(int fd, struct unwind_table *table, struct error *error)
{
	struct elf_image image;
	int r = elf_image_init(&image, fd, error);

	if (r < 0)
		return r;
	r = cfi_build(&image, error, NULL, table);
	elf_image_deinit(&image);
	return r;
}

/* The file need not be one that is held, and does not become one. */
static int handle_unwind(struct worker *worker, struct request *request, struct strbuf *answer,
			 struct error *error)
{
	struct unwind_table table;
	int r;

	reader_u32(&request->reader); /* its id, for the client's own use */
	if (!complete(request) || request->fd < 0)
		return malformed(error);
	r = build_table(request->fd, &table, error);
	if (r == -ENOMEM && worker->images.count) {
		while (worker->images.count)
			forget_at(worker, worker->images.count - 1);
		malloc_trim(0);
		r = build_table(request->fd, &table, error);
	}
	if (!r) {
		unwind_table_encode(&table, answer);
		unwind_table_deinit(&table);
	}
	malloc_trim(0);
	return r;
}

/* Those that need nothing of the worker's own. */
#define HANDLER(name, function)                                                                    \
	static int handle_##name(struct worker *worker, struct request *request,                   \
				 struct strbuf *answer, struct error *error)                       \
	{                                                                                          \
		(void)worker;                                                                      \
		return function(&request->reader, request->fd, answer, error);                     \
	}
HANDLER(jvm, worker_jvm)
HANDLER(libc, worker_libc)
HANDLER(probes, probe_points_answer)

static handler *const handlers[] = {
	[WIRE_HELLO] = handle_hello,
	[WIRE_IMAGE_OPEN] = handle_image_open,
	[WIRE_IMAGE_DROP] = handle_image_drop,
	[WIRE_IMAGE_DEBUG] = handle_image_debug,
	[WIRE_IMAGE_WANTED] = handle_image_wanted,
	[WIRE_IMAGE_PART] = handle_image_part,
	[WIRE_IMAGE_NAMES] = handle_image_names,
	[WIRE_KERNEL_LOAD] = handle_kernel_load,
	[WIRE_KERNEL_NAMES] = handle_kernel_names,
	[WIRE_MAPS] = handle_maps,
	[WIRE_UNWIND] = handle_unwind,
	[WIRE_JIT_NAMES] = handle_jit_names,
	[WIRE_JVM] = handle_jvm,
	[WIRE_LIBC] = handle_libc,
	[WIRE_PROBES] = handle_probes,
};
_Static_assert(sizeof(handlers) / sizeof(handlers[0]) == WIRE_KIND_COUNT,
	       "a handler for each kind of request");

/* Handles the message that came and sends its answer. */
static int answer_one(struct worker *worker, struct channel_in *in)
{
	struct channel_out out = {.header = {.id = in->header.id, .kind = in->header.kind},
				  .fd = -1};
	struct request request = {0};
	struct error error = {0};
	int r = channel_in_unpack(in);

	worker->requests++;
	request.fd = in->fd;
	reader_init(&request.reader, in->payload.data, in->payload.length);
	r = r ? error_set(&error, r, "the file did not come: %s", strerror(-r))
	      : handlers[in->header.kind](worker, &request, &worker->answer, &error);
	/* Before the answer: where closing hangs, this file is to blame, not the next. */
	if (request.fd >= 0)
		close(request.fd);
	in->fd = -1;
	if (!r && strbuf_error(&worker->answer))
		r = error_set(&error, -ENOMEM, "out of memory for an answer");
	if (!r && worker->answer.length > wire_kind_info(in->header.kind)->answer_max)
		r = error_set(&error, -E2BIG, "an answer of %zu bytes: ask for less at once",
			      worker->answer.length);
	out.header.error = r;
	out.payload = r ? error.text : strbuf_text(&worker->answer);
	out.size = r ? strnlen(error.text, WIRE_TEXT_MAX - 1) : worker->answer.length;
	r = channel_send(worker->socket, &out);
	if (worker->answer.capacity > WIRE_KEPT_MAX || strbuf_error(&worker->answer))
		strbuf_deinit(&worker->answer);
	strbuf_clear(&worker->answer);
	return r;
}

static int serve(struct worker *worker)
{
	struct channel_in in;
	int r;

	channel_in_init(&in);
	while ((r = channel_receive(worker->socket, &in, false)) == 1) {
		r = answer_one(worker, &in);
		channel_in_clear(&in);
		if (r < 0)
			break;
	}
	channel_in_deinit(&in);
	return r;
}

/* Half of the memory is for debug information: the rest is symbols and answers. */
static uint64_t dwarf_share(void)
{
	struct rlimit memory;

	if (getrlimit(RLIMIT_AS, &memory) < 0 || memory.rlim_cur == RLIM_INFINITY)
		return DWARF_MEMORY_DEFAULT;
	return memory.rlim_cur / 2;
}

int symbolizer_worker_serve(int fd)
{
	struct worker worker = {.socket = fd, .images_max = 1, .dwarf_max = DWARF_MEMORY_DEFAULT};

	elf_version(EV_CURRENT);
	return serve(&worker);
}

int symbolizer_worker_main(int fd, uint64_t memory_bytes)
{
	struct sandbox_config sandbox = {.keep_fd = fd,
					 .memory_bytes = memory_bytes,
					 .cpu_seconds = CPU_SECONDS,
					 .die_with_parent = true};
	struct worker worker = {.socket = fd, .images_max = 1};
	int r;

	sandbox_ignore_signals();
	elf_version(EV_CURRENT);
	worker.dwarf_max = dwarf_share(); /* before the sandbox: nobody may ask in there */
	worker.sandbox = sandbox_enter(&sandbox);
	r = serve(&worker);
	if (r < 0 && r != -EPIPE)
		log_error_errno(r, "worker: the socket to the daemon failed");
	/* Not by way of atexit(): what libraries do there is not allowed in here. */
	_exit(r < 0 && r != -EPIPE ? EXIT_PROTOCOL : 0);
}
