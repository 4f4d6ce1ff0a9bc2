/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/resolver_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#define NAMES_PER_REQUEST 4096u

struct resolver_request *resolver_request_create(struct resolver *resolver, size_t count)
{
	struct resolver_request *request =
		calloc(1, sizeof(*request) + count * sizeof(request->frames[0]));

	if (!request)
		return NULL;
	request->resolver = resolver;
	request->count = count;
	request->next = resolver->requests;
	request->link = &resolver->requests;
	if (request->next)
		request->next->link = &request->next;
	resolver->requests = request;
	return request;
}

void resolver_request_destroy(struct resolver_request *request)
{
	*request->link = request->next;
	if (request->next)
		request->next->link = request->link;
	process_unref(request->process);
	free(request);
}

/* Of a file, or of a compiler's list. */
static void on_damaged(void *context, uint32_t id, const char *text)
{
	const struct resolver *resolver = context;
	const struct image *image = image_table_get(resolver->images, id);

	if (image && image->jit)
		log_info("names of process %u's own code: %s", image->use.pid, text);
	else
		log_info("%s: %s", image ? image->path : "a file", text);
}

static void on_debug_refused(void *context, uint32_t id)
{
	struct resolver *resolver = context;
	const struct image *image = image_table_get(resolver->images, id);

	if (image)
		debug_fetch_refused(&resolver->fetch, image);
}

int resolver_init(struct resolver *resolver, const struct config *config, const char *program,
		  struct error *error)
{
	static const char *const argv[] = {"perfd", "--worker", NULL};
	static const char *const opener_argv[] = {"perfd", "--opener", NULL};
	struct symbolizer_config how = {.find_part = resolver_find_part,
					.debug_refused = on_debug_refused,
					.damaged = on_damaged,
					.part_context = resolver,
					.memory_bytes = config->worker_memory_bytes,
					.deadline_ns = config->worker_deadline_ns,
					.images_max = config->worker_images_max,
					.flags = SYMBOLIZER_DEMANGLE_SHORT,
					.program = program,
					.argv = argv};

	struct openers_config opening = {
		.deadline_ns = config->opener_deadline_ns, .program = program, .argv = opener_argv};
	int r = openers_create(&opening, error, &resolver->openers);

	if (!r)
		r = symbolizer_create(&how, error, &resolver->symbolizer);
	if (r < 0)
		return r;
	resolver->fetch.symbolizer = resolver->symbolizer;
	resolver->fetch.images = resolver->images;
	resolver->fetch.stacks = resolver->stacks;
	debug_fetch_init(&resolver->fetch, config, program);
	return 0;
}

void resolver_deinit(struct resolver *resolver)
{
	debug_fetch_deinit(&resolver->fetch);
	symbolizer_destroy(resolver->symbolizer);
	openers_destroy(resolver->openers);
	while (resolver->requests)
		resolver_request_destroy(resolver->requests);
	for (size_t i = resolver->next_unmapped; i < resolver->unmapped.count; i++)
		process_unref(resolver->unmapped.items[i]);
	vec_free(&resolver->unmapped);
	jit_code_deinit(&resolver->jit);
}

/* ---- names ---- */

/* asked: when, if its image is one of code made at run time; 0. */
static void name_frame(struct resolver *resolver, uint32_t frame, uint64_t asked,
		       const struct symbolizer_name *name)
{
	struct stack_table *stacks = resolver->stacks;
	struct frame_name names[64];
	size_t count = 0;

	for (uint32_t i = 0; i < name->frame_count && count < 64; i++) {
		const struct symbolizer_frame *from = &name->frames[i];

		names[count++] = (struct frame_name){
			.name = stack_table_string(stacks, from->name),
			.module = stack_table_string(stacks, from->module),
			.file = stack_table_string(stacks, from->file),
			.line = from->line,
			.inlined = from->inlined,
		};
	}
	if (!count && asked)
		jit_code_nameless(&resolver->jit, frame, asked);
	else
		stack_table_name(stacks, frame, names, count, name->start);
	if (name->size)
		stack_table_learn(stacks, frame, name->start, name->size);
}

/* Of a file that was taken back. */
static bool ask_again(struct resolver_request *request)
{
	struct stack_table *stacks = request->resolver->stacks;

	if (request->generation != stacks->generation)
		return false;
	for (size_t i = 0; i < request->count; i++) {
		struct frame *frame = &stacks->frames.items[request->frames[i]];

		if (vec_push(&stacks->new_frames, request->frames[i]))
			return false;
		frame->state = FRAME_NEW;
	}
	return true;
}

static void on_names(void *context, int error, const char *text,
		     const struct symbolizer_name *names, size_t count)
{
	struct resolver_request *request = context;
	struct resolver *resolver = request->resolver;
	struct image *image = request->image == IMAGE_KERNEL
				      ? NULL
				      : image_table_get(resolver->images, request->image);
	const struct symbolizer_name none = {0};

	if (error && request->image != IMAGE_KERNEL) {
		if (resolver_take_back(resolver, image, error) && ask_again(request)) {
			resolver_request_destroy(request);
			return;
		}
		/* Not once more over a list that a worker did not survive. */
		if (image && image->jit && error == -EFAULT)
			image_table_fail(resolver->images, image, text);
		log_debug("%s: %s", image ? image->path : "?", text ? text : "no names");
	}
	if (request->generation == resolver->stacks->generation)
		for (size_t i = 0; i < request->count; i++)
			name_frame(resolver, request->frames[i],
				   image && image->jit ? request->asked : 0,
				   !error && i < count ? &names[i] : &none);
	resolver_request_destroy(request);
}

/* stack_table's memory_image. */
static uint32_t memory_image(void *context, struct process *process)
{
	struct resolver *resolver = context;

	return jit_code_image(&resolver->jit, process);
}

static void open_dump(void *context, struct image *image)
{
	resolver_open(context, image);
}

void resolver_name_memory(struct resolver *resolver)
{
	resolver->jit.stacks = resolver->stacks;
	resolver->jit.images = resolver->images;
	resolver->jit.open = open_dump;
	resolver->jit.look = resolver_look_for_list;
	resolver->jit.open_context = resolver;
	resolver->jit.processes = resolver->processes;
	resolver->stacks->memory_image = memory_image;
	resolver->stacks->memory_context = resolver;
}

static int ask_symbolizer(struct resolver *resolver, struct image *file, const uint64_t *offsets,
			  struct resolver_request *request)
{
	int fd;

	if (!file)
		return symbolizer_kernel_names(resolver->symbolizer, offsets, request->count,
					       on_names, request);
	if (!file->jit)
		return symbolizer_names(resolver->symbolizer, file->id, offsets, request->count,
					on_names, request);
	fd = jit_code_open(&resolver->jit, file);
	return symbolizer_jit_names(resolver->symbolizer, file->id, fd, offsets, request->count,
				    on_names, request);
}

/* Nobody can be asked, of code made at run time: not yet. */
static void give_up(struct resolver *resolver, const struct image *image, const uint32_t *frames,
		    size_t count)
{
	const struct symbolizer_name none = {0};

	for (size_t i = 0; i < count; i++)
		name_frame(resolver, frames[i], image && image->jit ? clock_boot_ns() : 0, &none);
}

/* Puts frames back on the list, for the next flush. */
static int ask_later(struct stack_table *stacks, const uint32_t *frames, size_t count)
{
	if (vec_reserve(&stacks->new_frames, stacks->new_frames.count + count))
		return -ENOMEM;
	memcpy(&stacks->new_frames.items[stacks->new_frames.count], frames,
	       count * sizeof(*frames));
	stacks->new_frames.count += count;
	return 0;
}

/* Asks for the names of frames that are all of one image. */
static void ask_names(struct resolver *resolver, uint32_t image, const uint32_t *frames,
		      size_t count)
{
	struct stack_table *stacks = resolver->stacks;
	struct image *file = image_table_get(resolver->images, image);
	_cleanup_free_ uint64_t *offsets = malloc(count * sizeof(*offsets));
	struct resolver_request *request;
	int r = !offsets || (image != IMAGE_KERNEL && !file) ? -ENOENT : 0;

	if (!r && file && !file->jit)
		r = resolver_hand_over(resolver, file);
	if (!r && file && file->jit && jit_code_opening(&resolver->jit, file))
		r = -EAGAIN;
	if (r == -EAGAIN && !ask_later(stacks, frames, count))
		return;
	if (r) {
		give_up(resolver, file, frames, count);
		return;
	}
	request = resolver_request_create(resolver, count);
	if (!request) {
		give_up(resolver, file, frames, count);
		return;
	}
	request->generation = stacks->generation;
	request->image = image;
	request->asked = clock_boot_ns();
	for (size_t i = 0; i < count; i++) {
		struct frame *frame = &stacks->frames.items[frames[i]];

		frame->state = FRAME_ASKED;
		offsets[i] = frame->offset;
		request->frames[i] = frames[i];
	}
	r = ask_symbolizer(resolver, file, offsets, request);
	if (r) {
		resolver_request_destroy(request);
		give_up(resolver, file, frames, count);
	}
}

struct place {
	uint32_t image, frame;
};

static int compare_places(const void *left, const void *right)
{
	const struct place *a = left, *b = right;

	if (a->image != b->image)
		return a->image < b->image ? -1 : 1;
	return a->frame < b->frame ? -1 : a->frame > b->frame;
}

/* Of a file that the symbolizer has. What else it takes for names (the file, and its debug file)
 * is looked for while the process lives. */
static bool can_wait(const struct resolver *resolver, uint32_t id)
{
	const struct image *image =
		id == IMAGE_KERNEL ? NULL : image_table_get(resolver->images, id);

	return id == IMAGE_KERNEL || (image && !image->jit && image->state == IMAGE_READY);
}

/* Takes the frames that are to be asked for now off the list; how many. */
static size_t take_new_frames(struct resolver *resolver, struct place *places)
{
	struct stack_table *stacks = resolver->stacks;
	size_t taken = 0, kept = 0;

	for (size_t i = 0; i < stacks->new_frames.count; i++) {
		uint32_t frame = stacks->new_frames.items[i];
		uint32_t image = stacks->frames.items[frame].image;

		if (resolver->at_leisure && can_wait(resolver, image))
			stacks->new_frames.items[kept++] = frame;
		else
			places[taken++] = (struct place){image, frame};
	}
	stacks->new_frames.count = kept;
	return taken;
}

static void ask_all_names(struct resolver *resolver)
{
	size_t count = resolver->stacks->new_frames.count;
	_cleanup_free_ struct place *places = malloc((count ? count : 1) * sizeof(*places));
	uint32_t batch[NAMES_PER_REQUEST];

	if (!count || !places)
		return;
	count = take_new_frames(resolver, places);
	qsort(places, count, sizeof(*places), compare_places);
	for (size_t i = 0; i < count;) {
		size_t n = 0;

		for (size_t first = i;
		     i < count && n < NAMES_PER_REQUEST && places[i].image == places[first].image;
		     i++)
			batch[n++] = places[i].frame;
		ask_names(resolver, places[i - 1].image, batch, n);
	}
}

/* ---- unwind tables ---- */

static void on_unwind(void *context, int error, const char *text, const void *bytes, size_t size)
{
	struct resolver_request *request = context;
	struct resolver *resolver = request->resolver;
	struct unwind_table table = {0};
	struct error problem = {0};
	struct resolver_table answer = {.bytes = bytes, .size = size};

	if (!error)
		error = unwind_table_decode(bytes, size, &problem, &table);
	answer.error = error;
	answer.text = problem.code ? problem.text : text;
	answer.table = error ? NULL : &table;
	resolver_take_back(resolver, image_table_get(resolver->images, request->image), error);
	request->on_table(request->answer_context, request->image, &answer);
	unwind_table_deinit(&table);
	resolver_request_destroy(request);
}

static void on_probes(void *context, int error, const char *text, const struct probe_points *points)
{
	struct resolver_request *request = context;
	struct resolver *resolver = request->resolver;

	resolver_take_back(resolver, image_table_get(resolver->images, request->image), error);
	request->on_probes(request->answer_context, error, text, points);
	resolver_request_destroy(request);
}

int resolver_ask_probes(struct resolver *resolver, uint32_t image, symbolizer_probes_fn *done,
			void *context)
{
	struct image *file = image_table_get(resolver->images, image);
	int r = file && !file->anonymous && !file->vdso ? resolver_hand_over(resolver, file)
							: -ENODATA;
	struct resolver_request *request;

	if (r)
		return r;
	request = resolver_request_create(resolver, 0);
	if (!request)
		return -ENOMEM;
	request->image = image;
	request->on_probes = done;
	request->answer_context = context;
	r = symbolizer_probes(resolver->symbolizer, image, on_probes, request);
	if (r)
		resolver_request_destroy(request);
	return r;
}

int resolver_ask_table(struct resolver *resolver, uint32_t image, uint32_t urgency,
		       resolver_table_fn *done, void *context)
{
	struct image *file = image_table_get(resolver->images, image);
	struct resolver_request *request;
	int r;

	r = file ? resolver_hand_over(resolver, file) : -ENOENT;
	if (r && r != -EAGAIN)
		return r;
	if (file->state == IMAGE_OPENING)
		return -EINPROGRESS;
	request = resolver_request_create(resolver, 0);
	if (!request)
		return -ENOMEM;
	request->image = image;
	request->on_table = done;
	request->answer_context = context;
	r = symbolizer_unwind(resolver->symbolizer, image, urgency, on_unwind, request);
	if (r)
		resolver_request_destroy(request);
	return r;
}

void resolver_flush(struct resolver *resolver)
{
	resolver_flush_maps(resolver);
	if (resolver->jit.late.count)
		jit_code_again(&resolver->jit, clock_boot_ns(), false);
	ask_all_names(resolver);
}

void resolver_flush_late(struct resolver *resolver)
{
	resolver->at_leisure = false;
	jit_code_again(&resolver->jit, clock_boot_ns(), true);
	resolver_flush(resolver);
}
