/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/jit_code.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"

#define LOOK_FIRST_NS NSEC_PER_SEC /* a compiler may begin its list at any time */
#define LOOK_MAX_NS (30 * NSEC_PER_SEC)

void jit_code_deinit(struct jit_code *jit)
{
	vec_free(&jit->late);
	vec_free(&jit->used);
	vec_free(&jit->free);
}

static void mark_used(struct jit_code *jit)
{
	for (size_t i = 0; i < jit->stacks->frames.count; i++) {
		struct image *image =
			image_table_get(jit->images, jit->stacks->frames.items[i].image);

		if (image && image->jit)
			image->jit_in_frames = jit->swept;
	}
}

/* Each time that the stack table gave something up, images of processes that have ended may
 * be in no frame any more. */
static void sweep(struct jit_code *jit)
{
	size_t kept = 0;

	if (jit->swept == jit->stacks->generation)
		return;
	jit->swept = jit->stacks->generation;
	mark_used(jit);
	for (size_t i = 0; i < jit->used.count; i++) {
		uint32_t id = jit->used.items[i];
		struct image *image = image_table_get(jit->images, id);
		const struct process *process = process_table_alive(jit->processes, image->use.pid);

		if ((process && process->jit_image == id) || image->jit_in_frames == jit->swept ||
		    vec_push(&jit->free, id))
			jit->used.items[kept++] = id;
		else
			image_table_jit_again(jit->images, image, 0);
	}
	jit->used.count = kept;
}

static uint32_t take_image(struct jit_code *jit, uint32_t pid)
{
	uint32_t id;

	sweep(jit);
	if (vec_reserve(&jit->used, jit->used.count + 1))
		return IMAGE_NONE;
	if (jit->free.count) {
		id = jit->free.items[--jit->free.count];
		image_table_jit_again(jit->images, image_table_get(jit->images, id), pid);
	} else {
		id = jit->used.count < JIT_IMAGES_MAX ? image_table_add_jit(jit->images, pid)
						      : IMAGE_NONE;
	}
	if (id != IMAGE_NONE)
		jit->used.items[jit->used.count++] = id;
	return id;
}

/* What it was before an exec is another program's. */
static void renew(struct process *process)
{
	if (process->jit_execs == process->execs)
		return;
	process->jit_execs = process->execs;
	process->jit_image = IMAGE_NONE;
	process->jit_dump = IMAGE_NONE;
}

static void look_for_list(struct jit_code *jit, struct image *image, const struct process *process)
{
	if (process->end || image->jit_dump != IMAGE_NONE || image->state == IMAGE_FAILED ||
	    image->jit_look)
		return;
	image->jit_look = ++jit->looks;
	if (!jit->look(jit->open_context, image))
		image->jit_look = 0;
}

/* The process may be another program by now, or the image another process's. */
void jit_code_found(struct jit_code *jit, struct image *image, uint64_t look, int fd)
{
	const struct process *process = process_table_alive(jit->processes, image->use.pid);

	if (image->jit_look == look) {
		image->jit_look = 0;
		if (fd >= 0 && image->state != IMAGE_FAILED &&
		    (!process ||
		     (process->jit_image == image->id && process->jit_execs == process->execs))) {
			image_table_jit_file(jit->images, image, fd);
			return;
		}
	}
	if (fd >= 0)
		close(fd);
}

static void wait_longer(struct image *image, uint64_t now)
{
	image->jit_wait = image->jit_wait ? 2 * image->jit_wait : LOOK_FIRST_NS;
	if (image->jit_wait > LOOK_MAX_NS)
		image->jit_wait = LOOK_MAX_NS;
	image->jit_next = now + image->jit_wait;
}

uint32_t jit_code_image(struct jit_code *jit, struct process *process)
{
	struct image *image;

	renew(process);
	image = image_table_get(jit->images, process->jit_image);
	if (image || process->end)
		return process->jit_image;
	process->jit_image = take_image(jit, process->pid);
	image = image_table_get(jit->images, process->jit_image);
	if (!image)
		return IMAGE_NONE;
	image->jit_dump = process->jit_dump;
	look_for_list(jit, image, process);
	wait_longer(image, clock_boot_ns());
	return process->jit_image;
}

/* "jit-1234.dump": the specification's name. In another pid namespace the number is
 * another one, and the process's own all the same: it has mapped the file. */
bool jit_code_is_dump(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *at = slash ? slash + 1 : path;
	size_t digits;

	if (strncmp(at, "jit-", 4))
		return false;
	digits = strspn(at + 4, "0123456789");
	return digits && !strcmp(at + 4 + digits, ".dump");
}

void jit_code_mapped(struct jit_code *jit, struct process *process, const struct image *image)
{
	struct image *code;

	if (image->anonymous || !jit_code_is_dump(image->path))
		return;
	renew(process);
	process->jit_dump = image->id;
	code = image_table_get(jit->images, process->jit_image);
	if (code)
		code->jit_dump = image->id;
}

/* The file that is asked: the dump, or the list of lines. -1: none. */
static int source(struct jit_code *jit, const struct image *image)
{
	struct image *dump = image_table_get(jit->images, image->jit_dump);

	if (!dump)
		return image->fd;
	jit->open(jit->open_context, dump); /* it may have been closed to make room */
	return dump->fd;
}

bool jit_code_opening(const struct jit_code *jit, const struct image *image)
{
	struct image *dump = image_table_get(jit->images, image->jit_dump);

	if (!dump)
		return image->jit_look;
	jit->open(jit->open_context, dump);
	return dump->state == IMAGE_OPENING;
}

int jit_code_open(struct jit_code *jit, const struct image *image)
{
	int fd = image->state == IMAGE_FAILED ? -1 : source(jit, image);

	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static bool is_late(struct jit_code *jit, uint32_t frame, uint64_t asked)
{
	const struct image *image;

	if (jit->generation != jit->stacks->generation) {
		jit->generation = jit->stacks->generation;
		vec_clear(&jit->late);
	}
	image = image_table_get(jit->images, jit->stacks->frames.items[frame].image);
	if (!image || image->state == IMAGE_FAILED || (image->jit_over && asked >= image->jit_over))
		return false;
	if (jit->late.count >= JIT_LATE_MAX || vec_push(&jit->late, frame)) {
		jit->refused++;
		return false;
	}
	return true;
}

/* Compilers write while an answer is under way: one from before all were asked for the last
 * time, with the end of a process or a session, is not the last. */
void jit_code_nameless(struct jit_code *jit, uint32_t frame, uint64_t asked)
{
	struct stack_table *stacks = jit->stacks;

	if (!is_late(jit, frame, asked)) {
		stack_table_name(stacks, frame, NULL, 0, 0);
		return;
	}
	stack_table_late(stacks, frame);
	if (asked >= jit->asked_all || stack_table_ask_again(stacks, frame))
		return;
	jit->late.count--; /* is_late() has put it there */
	jit->asked_again++;
}

/* Whether there is somebody to ask; a list that is new, or in the place of the old one,
 * is found here. An ended process's compiler has told all: that is the last time. */
static bool look_again(struct jit_code *jit, struct image *image)
{
	const struct process *process = process_table_alive(jit->processes, image->use.pid);

	if (process && process->jit_image == image->id)
		look_for_list(jit, image, process);
	else
		image->jit_over = jit->asked;
	return source(jit, image) >= 0 || image->jit_over || jit_code_opening(jit, image);
}

/* What an image is to do is found out once, with its first frame. */
static bool is_due(struct jit_code *jit, struct image *image, uint64_t now, bool all)
{
	if (image->jit_looked == jit->asked)
		return image->jit_due;
	image->jit_looked = jit->asked;
	image->jit_due = (all || now >= image->jit_next) && look_again(jit, image);
	if (now >= image->jit_next)
		wait_longer(image, now);
	return image->jit_due;
}

void jit_code_again(struct jit_code *jit, uint64_t now, bool all)
{
	size_t kept = 0;

	if (!jit->stacks)
		return; /* a recording: its processes are not these */
	if (jit->generation != jit->stacks->generation)
		vec_clear(&jit->late);
	if (all)
		jit->asked_all = now;
	if (!jit->late.count || (!all && now - jit->asked < LOOK_FIRST_NS))
		return;
	jit->asked = now > jit->asked ? now : jit->asked + 1;
	for (size_t i = 0; i < jit->late.count; i++) {
		uint32_t frame = jit->late.items[i];
		struct image *image =
			image_table_get(jit->images, jit->stacks->frames.items[frame].image);

		if (image && is_due(jit, image, now, all) &&
		    !stack_table_ask_again(jit->stacks, frame))
			jit->asked_again++;
		else
			jit->late.items[kept++] = frame;
	}
	jit->late.count = kept;
}
