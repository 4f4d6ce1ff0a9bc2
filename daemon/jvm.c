/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/jvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/jvm.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"

/* A machine starts within a second; a busy computer takes longer. All tries together
 * take some 15 s. */
#define DELAY_FIRST_NS (5 * NSEC_PER_MSEC)
#define DELAY_MAX_NS (500 * NSEC_PER_MSEC)
#define TRIES_MAX 40u

struct jvm {
	struct jvm_table *table;
	struct process *process; /* a reference */
	uint32_t execs; /* of the process, when it mapped the library */
	uint64_t code, offset; /* process address and file offset of libjvm.so's code */
	uint64_t next, delay; /* when to ask again, and how long after that */
	uint32_t tries;
	bool asked;
	bool known; /* the kernel side has it */
	bool given_up;
};

void jvm_table_init(struct jvm_table *table, struct source *source, struct symbolizer *symbolizer,
		    struct openers *openers)
{
	*table = (struct jvm_table){.source = source, .symbolizer = symbolizer, .openers = openers};
}

static void jvm_free(struct jvm *jvm)
{
	process_unref(jvm->process);
	free(jvm);
}

void jvm_table_deinit(struct jvm_table *table)
{
	for (size_t i = 0; i < table->items.count; i++)
		jvm_free(table->items.items[i]);
	vec_free(&table->items);
}

static bool gone(const struct jvm *jvm)
{
	return jvm->process->end || jvm->process->execs != jvm->execs;
}

static struct jvm *find(const struct jvm_table *table, const struct process *process)
{
	for (size_t i = 0; i < table->items.count; i++)
		if (table->items.items[i]->process == process && !gone(table->items.items[i]))
			return table->items.items[i];
	return NULL;
}

static void give_up(struct jvm *jvm, const char *why)
{
	jvm->given_up = true;
	jvm->table->failed++;
	log_debug("pid %u: Java frames are walked by frame pointer: %s", jvm->process->pid, why);
}

static void on_layout(void *context, int error, const char *text, const struct jvm_layout *layout)
{
	struct jvm *jvm = context;
	struct source *source = jvm->table->source;
	struct jvm_layout known;

	jvm->asked = false;
	if (gone(jvm))
		return;
	if (error) {
		/* Whatever is said of it, it may be starting: a library that is not
		 * relocated yet looks like another one, and objects are half made. */
		if (jvm->tries >= TRIES_MAX)
			give_up(jvm, text);
		return;
	}
	known = *layout;
	known.exec_id = jvm->process->exec_id;
	if (source->ops->set_jvm(source, jvm->process->pid, &known)) {
		give_up(jvm, "the kernel side has no room for it");
		return;
	}
	jvm->known = true;
	jvm->table->known++;
	log_debug("pid %u: a Java machine, %u code heaps, after %u tries", jvm->process->pid,
		  known.heap_count, jvm->tries);
}

static void on_memory(void *context, int error, const char *text, struct opener_file *file)
{
	struct jvm *jvm = context;

	jvm->asked = false;
	if (gone(jvm))
		return;
	if (error) {
		if (error != -ENOENT) /* it has just ended */
			give_up(jvm, text);
		return;
	}
	jvm->asked = !symbolizer_jvm(jvm->table->symbolizer, TAKE_FD(file->fd), jvm->code,
				     jvm->offset, on_layout, jvm);
}

static void ask(struct jvm *jvm, uint64_t now)
{
	struct opener_request memory = {.kind = OPENER_MEMORY, .pid = (pid_t)jvm->process->pid};

	jvm->tries++;
	jvm->next = now + jvm->delay;
	jvm->delay += jvm->delay / 2;
	if (jvm->delay > DELAY_MAX_NS)
		jvm->delay = DELAY_MAX_NS;
	jvm->asked = !openers_open(jvm->table->openers, &memory, on_memory, jvm);
}

static void add(struct jvm_table *table, struct process *process, uint64_t code, uint64_t offset)
{
	struct jvm *jvm;

	if (table->items.count >= JVMS_MAX) {
		table->refused++;
		return;
	}
	jvm = calloc(1, sizeof(*jvm));
	if (!jvm || vec_push(&table->items, jvm)) {
		free(jvm);
		table->refused++;
		return;
	}
	*jvm = (struct jvm){.table = table,
			    .process = process_ref(process),
			    .execs = process->execs,
			    .code = code,
			    .offset = offset,
			    .delay = DELAY_FIRST_NS};
	if (process->exec_id_known)
		ask(jvm, clock_boot_ns());
}

static bool is_library(const struct image *image)
{
	const char *name = image->path ? strrchr(image->path, '/') : NULL;

	return name && !strcmp(name, "/libjvm.so");
}

void jvm_table_mapped(struct jvm_table *table, struct process *process, const struct image *image,
		      uint64_t start, uint64_t offset)
{
	struct jvm *jvm;

	if (!table->source->ops->set_jvm || process->end || !image)
		return;
	if (!image->anonymous) {
		if (is_library(image) && !find(table, process))
			add(table, process, start, offset);
		return;
	}
	/* Memory for code: it may be the heap that a starting machine lacked. */
	jvm = table->items.count ? find(table, process) : NULL;
	if (jvm) {
		jvm->next = 0;
		jvm->delay = DELAY_FIRST_NS;
	}
}

void jvm_table_look(struct jvm_table *table, struct process *process,
		    const struct image_table *images)
{
	struct mapping_place place = {0};
	const struct mapping *mapping;

	while ((mapping = mapping_set_next(process->maps, &place))) {
		jvm_table_mapped(table, process, image_table_get(images, mapping->image),
				 mapping->start, mapping->offset);
	}
}

static void forget(struct jvm_table *table, size_t at)
{
	struct jvm *jvm = table->items.items[at];
	bool successor = false;

	table->items.items[at] = table->items.items[--table->items.count];
	/* The process may have run another machine since, under the same pid. */
	for (size_t i = 0; i < table->items.count; i++)
		successor |= table->items.items[i]->known &&
			     table->items.items[i]->process->pid == jvm->process->pid;
	if (jvm->known) {
		table->known--;
		if (!successor)
			table->source->ops->set_jvm(table->source, jvm->process->pid, NULL);
	}
	jvm_free(jvm);
}

void jvm_table_flush(struct jvm_table *table, uint64_t now)
{
	for (size_t i = table->items.count; i-- > 0;) {
		struct jvm *jvm = table->items.items[i];

		if (jvm->asked)
			continue;
		if (gone(jvm)) {
			forget(table, i);
		} else if (!jvm->known && !jvm->given_up && now >= jvm->next &&
			   jvm->process->exec_id_known) {
			ask(jvm, now);
		}
	}
}
