/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shared by the halves of the client: client.c has the public face, requests
 * and images; link.c has the worker's life and what goes over the socket,
 * answer.c what comes back, blame.c whose fault a worker's end was.
 *
 * There may be two links, each a struct symbolizer of its own with its own worker, queues
 * and images: the caller's, and the one for what is slow (slow.c), which it owns.
 *
 * One request is at the worker at a time ("current"). It may take several
 * steps, each one message and its answer: a file that the worker does not hold
 * is handed over before its names are asked for, a fresh worker is given the
 * kernel's symbols first. So it is always clear which request a worker died of.
 */
#pragma once

#include "daemon/base/clock.h"
#include "daemon/base/hashmap.h"
#include "symbolizer/channel.h"
#include "symbolizer/client.h"
#include "symbolizer/process.h"

#define CLIENT_LEFT_MAX 16 /* more are forgotten (and reaped by init at the end) */
#define CLIENT_PATIENCE_FIRST_NS (5 * NSEC_PER_SEC)

struct image_part { /* a file that the worker wants */
	uint32_t number;
	int fd; /* -1: none */
	bool awaited; /* the owner has not answered yet */
};

struct image {
	uint32_t id;
	int fd; /* -1: bad, or given up for want of descriptors */
	uint64_t used;
	bool held; /* the present worker has it */
	int debug_fd; /* its debug file; -1: none */
	bool debug_held; /* if held: with its debug file */
	bool has_parts; /* if held: further files may be wanted for its names */
	bool parts_refused; /* a worker ended over one: there are none any more */
	VEC(struct image_part) parts; /* wanted, and not handed over yet */
	uint64_t parts_deadline; /* CLOCK_BOOTTIME, ns: then those awaited are absent */
	bool quarantined;
	uint32_t spared; /* requests that failed because workers were killed from outside */
	bool unwind_quarantined; /* a worker ended over its unwind table */
	bool damaged; /* and that was told: of its names */
	bool unwind_damaged; /* of its unwind table */
	int failure; /* -errno that its names fail with; 0: good */
	char *failure_text;
};

/* A request of a caller. */
struct op {
	struct op *next;
	enum wire_kind kind;
	uint32_t image;
	uint32_t urgency; /* of an unwind table */
	uint64_t *addresses; /* or offsets */
	size_t count;
	int fd; /* of maps, of memory; -1 */
	union {
		symbolizer_image_fn *image;
		symbolizer_names_fn *names;
		symbolizer_maps_fn *maps;
		symbolizer_unwind_fn *unwind;
		symbolizer_jvm_fn *jvm;
		symbolizer_libc_fn *libc;
		symbolizer_probes_fn *probes;
	} done; /* may be NULL */
	void *context;
	uint64_t asked; /* boot time, ns */
	uint32_t tries; /* workers it has seen end */
	uint32_t handed; /* how often its file had to be handed over */
	bool parts_settled; /* the worker lacks no file for its names */
	uint32_t part_rounds; /* how often it was asked which */
	bool refreshed; /* the kernel's symbols were read anew for it */
	struct error failure; /* if it failed without the worker */
};

struct op_queue {
	struct op *first, *last;
	size_t count;
};

/* What was found damaged. */
enum client_damage {
	CLIENT_DAMAGE_FILE, /* itself */
	CLIENT_DAMAGE_NAMES,
	CLIENT_DAMAGE_JIT_NAMES,
	CLIENT_DAMAGE_DEBUG_FILE,
	CLIENT_DAMAGE_PART,
	CLIENT_DAMAGE_UNWIND_TABLE, /* the call frame information that it is made of */
	CLIENT_DAMAGES,
};

enum link_state { LINK_DOWN, LINK_STARTING, LINK_READY };

struct symbolizer {
	struct symbolizer_config config;
	struct op_queue queue; /* waiting, in order: names, mappings, files */
	struct op_queue tables; /* waiting behind those: unwind tables, as they came */
	uint32_t overtaken; /* requests since a table has been waiting */
	struct op_queue aside; /* until files are found that they want */
	struct op_queue failed; /* their callbacks are owed */
	struct op *current;
	struct hashmap images; /* id to struct image * */
	uint64_t uses;
	struct symbolizer_stats stats;
	struct quarantine *quarantine; /* of both links; freed by the first */
	struct quarantine *damaged; /* the same: files with something damaged in them */

	/* slow.c's */
	struct symbolizer *slow; /* NULL: none yet, or this is it */
	bool is_slow;
	struct hashmap slow_maps; /* ids that are no images: lists of compilers */
	uint64_t step_began; /* CLOCK_BOOTTIME, ns: of the current request's first step */

	/* link.c's */
	int epoll, timer, wake;
	enum link_state state;
	struct worker_process process;
	struct channel_in in;
	struct channel_out out;
	struct strbuf request; /* out's payload */
	bool sending;
	enum wire_kind step; /* what was sent and is not answered */
	uint32_t step_id;
	uint64_t step_deadline; /* CLOCK_BOOTTIME, ns */
	uint64_t step_sent; /* likewise */
	uint64_t step_cpu; /* what the worker had had of a processor by then, ns */
	uint64_t not_before; /* of the next start */
	uint64_t delay; /* before the start after that */
	uint32_t start_failures; /* in a row */
	pid_t left[CLIENT_LEFT_MAX]; /* children that would not die yet; 0: none */
	bool warned; /* about a sandbox with gaps */

	bool kernel_held, kernel_restricted;
	uint64_t kernel_loaded_at, kernel_opened_at; /* boot time, ns: answered, and asked for */
	bool kernel_told; /* of changes: symbolizer_kernel_changed() */
	uint64_t kernel_changed_at; /* boot time, ns */
	uint64_t bpf_patience; /* age at which a BPF program's name has it read again; 0: first */
	uint64_t kernel_patience; /* age at which a nameless address has it read again */
	bool in_dispatch;
};

/* client.c, for slow.c and client_finish.c: */
void op_free(struct op *op);
int client_setup(struct symbolizer *s, const struct symbolizer_config *config,
		 struct symbolizer *first, struct error *error);
void client_teardown(struct symbolizer *s);

/* slow.c, for client.c and link.c: */
/* The link that serves this id: `s`, or its slow one. */
struct symbolizer *slow_owner(struct symbolizer *s, uint32_t id);
/* The current request has been at the worker too long for those who wait: it goes on,
 * or begins anew, in the slow link. */
void slow_take(struct symbolizer *s);
/* When slow_take() is to be called; 0: never. */
uint64_t slow_when(const struct symbolizer *s);

/* client.c, for link.c: */
struct image *client_image(const struct symbolizer *s, uint32_t id);
/* Marks the image bad: its descriptor goes, its names fail with this. */
void client_image_fail(struct symbolizer *s, struct image *image, const struct error *error);
/* The image is left with its own symbols. */
void client_debug_fail(struct symbolizer *s, struct image *image, const struct error *error);
/* So many places of a file were found damaged; text: the first of them, "" if it was told.
 * Of a file one of its names is told, and one of its unwind table: either may be asked for first.
 */
void client_damaged(struct symbolizer *s, uint32_t id, enum client_damage what, uint32_t count,
		    const char *text);
/* Ends the current request; its callback is called before these return. */
void client_finish_failed(struct symbolizer *s, const struct error *error);
void client_finish_image(struct symbolizer *s, const struct symbolizer_image *image);
void client_finish_names(struct symbolizer *s, const struct wire_names *names);
void client_finish_maps(struct symbolizer *s, const struct wire_mappings *mappings);
void client_finish_unwind(struct symbolizer *s, const void *table, size_t size);
void client_finish_jvm(struct symbolizer *s, const struct jvm_layout *layout);
void client_finish_libc(struct symbolizer *s, const struct libc_functions *functions);
/* Puts a request into its queue; `addresses`: template->count of them, copied. */
int client_submit(struct symbolizer *s, const struct op *template, const uint64_t *addresses);
void client_finish_probes(struct symbolizer *s, const struct probe_points *points);
void client_finish_plain(struct symbolizer *s);
/* The next waiting request becomes the current one; false if there is none. */
bool client_next(struct symbolizer *s);
/* The current request goes behind those that wait. */
void client_later(struct symbolizer *s);
/* All waiting requests fail. Their callbacks come with client_deliver(). */
void client_fail_all(struct symbolizer *s, const struct error *error);
void client_deliver(struct symbolizer *s);

/* Queues, for client_parts.c: */
void queue_push(struct op_queue *queue, struct op *op);
void queue_push_front(struct op_queue *queue, struct op *op);
struct op *queue_pop(struct op_queue *queue);

/* client_parts.c: further files of debug information. */
/* The worker told which it lacks: the current request goes on or stands aside. */
void client_parts_wanted(struct symbolizer *s, struct op *op, struct wire_parts *wanted);
/* The last of image->parts was handed over; error->code: not taken. */
void client_part_done(struct symbolizer *s, struct image *image, const struct error *error);
/* A worker ended over one. */
void client_parts_fail(struct symbolizer *s, struct image *image, const struct error *error);
/* Those that are wanted now are asked for anew when they are wanted again. */
void client_parts_forget(struct image *image);
/* The same, and who waits for them goes on. */
void client_parts_drop(struct symbolizer *s, struct image *image);
void client_parts_expire(struct symbolizer *s, uint64_t now);

/* link.c, for client.c: */
/* start: a worker at once. */
int link_init(struct symbolizer *s, bool with_worker, struct error *error);
void link_deinit(struct symbolizer *s);
/* There is something new to do: have dispatch called. */
void link_wake(struct symbolizer *s);
/* The worker ended, or must be (`kill_it`), or could not be started. */
void link_lost(struct symbolizer *s, bool kill_it, const char *why);
/* Has the link without its worker (whose state has been moved or ended) have a new one. */
void link_renew(struct symbolizer *s);
/* Ends the worker for no fault of its own. */
void link_end(struct symbolizer *s);
/* The socket of the worker that was moved here is watched from now on; not any more. */
void link_watch(struct symbolizer *s);
void link_unwatch(struct symbolizer *s);
/* Reads what came, sends what waits, minds deadlines and restarts. */
void link_run(struct symbolizer *s);

/* blame.c, for link.c: the worker ended so over a step of the current request, for this reason.
 * That fails, or is sent again to the next worker; without its debug file, or further ones, it
 * may go well. */
void blame_current(struct symbolizer *s, enum worker_end end, enum wire_kind step, const char *why);

/* answer.c, for link.c: the answer to the step that was sent has come whole. */
void answer_take(struct symbolizer *s);
