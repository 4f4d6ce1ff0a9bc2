/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/openers.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/vec.h"
#include "symbolizer/opener_line.h"
#include "symbolizer/parcel.h"
#include "symbolizer/process.h"

#define SENT_MAX 16u /* to one opener, so that it need not wait for us */
#define LATE_NS (100 * NSEC_PER_MSEC) /* then what waits behind goes to another one */
#define LEFT_ALONE_NS (60 * NSEC_PER_SEC)
#define DELAY_FIRST_NS (20 * NSEC_PER_MSEC) /* between starts that fail */
#define DELAY_MAX_NS (2 * NSEC_PER_SEC)
#define END_WAIT_NS (200 * NSEC_PER_MSEC)
#define START_FAILURES_MAX 3 /* then who waits is told */
#define TRIES_MAX 3 /* openers that may end in one request */

struct slot { /* an opener */
	pid_t pid; /* 0: none */
	int socket;
	struct opener_line sent;
	uint64_t since; /* boot time, ns: it works on the first one since then */
	uint64_t device; /* of the file system that it is about to ask; 0: not known */
	uint32_t skip; /* replies to come of requests that another has got meanwhile */
	bool answered; /* anything so far */
};

struct openers {
	struct openers_config config;
	struct slot slots[OPENERS_MAX];
	struct opener_line waiting, failed;
	struct {
		uint64_t device, until;
	} alone[OPENER_AVOID_MAX];
	VEC(pid_t) leaving; /* killed, not gone yet */
	int epoll, timer, wake;
	uint32_t next_id;
	uint64_t not_before, delay; /* of the next start */
	uint32_t start_failures; /* in a row */
	struct openers_stats stats;
};

static void fail(struct openers *o, struct opener_waiting *waiting, int code, const char *text)
{
	error_set(&waiting->failure, code, "%.80s of process %d: %s",
		  waiting->request.path ? waiting->request.path : "a file", waiting->request.pid,
		  text);
	opener_line_push(&o->failed, waiting);
}

/* ---- an opener's life ---- */

static void wake(struct openers *o)
{
	uint64_t one = 1;

	if (write(o->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error_errno(-errno, "openers: cannot wake itself");
}

static void reap(struct openers *o)
{
	for (size_t i = o->leaving.count; i-- > 0;) {
		if (waitpid(o->leaving.items[i], NULL, WNOHANG))
			o->leaving.items[i] = o->leaving.items[--o->leaving.count];
	}
}

/* Never waits for its end: that is what it may not be able to reach. */
static void end_process(struct openers *o, struct slot *slot)
{
	epoll_ctl(o->epoll, EPOLL_CTL_DEL, slot->socket, NULL);
	close(slot->socket);
	kill(slot->pid, SIGKILL);
	if (!waitpid(slot->pid, NULL, WNOHANG) && vec_push(&o->leaving, slot->pid))
		log_error("openers: out of memory to remember process %d", slot->pid);
	slot->pid = 0;
	slot->socket = -1;
	slot->skip = 0;
	slot->device = 0;
	slot->answered = false;
}

static void start_failed(struct openers *o, const char *why)
{
	struct opener_waiting *waiting;

	o->delay = o->delay ? o->delay * 2 : DELAY_FIRST_NS;
	if (o->delay > DELAY_MAX_NS)
		o->delay = DELAY_MAX_NS;
	o->not_before = clock_boot_ns() + o->delay;
	if (++o->start_failures < START_FAILURES_MAX)
		return;
	log_error("openers: none can be started: %s", why);
	while ((waiting = opener_line_pop(&o->waiting)))
		fail(o, waiting, -EPIPE, "no opener can be started");
}

/* The opener ended by itself, or said what fits nothing. */
static void lost(struct openers *o, struct slot *slot, const char *why)
{
	struct opener_waiting *first = slot->sent.first;
	bool answered = slot->answered;

	end_process(o, slot);
	o->stats.restarts++;
	log_warning("openers: one is replaced: %s", why);
	if (first && ++first->tries >= TRIES_MAX) {
		opener_line_pop(&slot->sent);
		fail(o, first, -EFAULT, "openers end over it");
	}
	opener_line_put_before(&o->waiting, &slot->sent);
	if (!answered)
		start_failed(o, why);
}

static void leave_alone(struct openers *o, uint64_t device)
{
	size_t oldest = 0;

	if (!device)
		return;
	for (size_t i = 0; i < OPENER_AVOID_MAX; i++) {
		if (o->alone[i].device == device) {
			oldest = i;
			break;
		}
		if (o->alone[i].until < o->alone[oldest].until)
			oldest = i;
	}
	o->alone[oldest].device = device;
	o->alone[oldest].until = clock_boot_ns() + LEFT_ALONE_NS;
}

static void time_out(struct openers *o, struct slot *slot)
{
	struct opener_waiting *first = opener_line_pop(&slot->sent);

	leave_alone(o, slot->device);
	end_process(o, slot);
	o->stats.restarts++;
	if (first) {
		o->stats.timeouts++;
		fail(o, first, -ETIMEDOUT, "its file system gave no answer");
		log_warning("openers: %s", first->failure.text);
	}
	opener_line_put_before(&o->waiting, &slot->sent);
}

static bool start(struct openers *o, struct slot *slot)
{
	const struct symbolizer_config how = {.program = o->config.program, .argv = o->config.argv};
	struct epoll_event event = {.events = EPOLLIN};
	struct worker_process process;
	struct error error = {0};

	if (clock_boot_ns() < o->not_before)
		return false;
	if (worker_process_start(&how, &error, &process) < 0) {
		start_failed(o, error.text);
		return false;
	}
	event.data.fd = process.socket;
	epoll_ctl(o->epoll, EPOLL_CTL_ADD, process.socket, &event);
	slot->pid = process.pid;
	slot->socket = process.socket;
	return true;
}

/* ---- requests ---- */

static void take_care(const struct openers *o, uint64_t avoid[OPENER_AVOID_MAX],
		      struct opener_care *ret)
{
	uint64_t now = clock_boot_ns();

	*ret = (struct opener_care){.avoid = avoid,
				    .local_only = o->leaving.count >= OPENERS_ABANDONED_MAX};
	for (size_t i = 0; i < OPENER_AVOID_MAX; i++)
		if (o->alone[i].device && o->alone[i].until > now)
			avoid[ret->avoid_count++] = o->alone[i].device;
}

/* False if it must wait. */
static bool send_first(struct openers *o, struct slot *slot)
{
	struct opener_waiting *waiting = o->waiting.first;
	uint64_t avoid[OPENER_AVOID_MAX];
	struct opener_care care;
	struct strbuf bytes = {0};
	ssize_t n;
	int r;

	take_care(o, avoid, &care);
	waiting->id = ++o->next_id;
	r = opener_request_encode(&waiting->request, waiting->id, &care, &bytes);
	if (r < 0) {
		fail(o, opener_line_pop(&o->waiting), r, strerror(-r));
		strbuf_deinit(&bytes);
		return true;
	}
	n = send(slot->socket, bytes.data, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT);
	strbuf_deinit(&bytes);
	if (n < 0) /* it is full, or gone, which is seen when it is read */
		return false;
	if (!slot->sent.first)
		slot->since = clock_boot_ns();
	opener_line_push(&slot->sent, opener_line_pop(&o->waiting));
	return true;
}

static bool is_late(const struct slot *slot, uint64_t now)
{
	return slot->skip || (slot->sent.first && now - slot->since >= LATE_NS);
}

/* The opener that gets what waits: one that is not stuck, or a new one. */
static struct slot *free_slot(struct openers *o)
{
	uint64_t now = clock_boot_ns();
	struct slot *none = NULL;

	for (size_t i = 0; i < OPENERS_MAX; i++) {
		struct slot *slot = &o->slots[i];

		if (!slot->pid)
			none = none ? none : slot;
		else if (!is_late(slot, now))
			return slot;
	}
	return none && start(o, none) ? none : NULL;
}

static void pump(struct openers *o)
{
	struct opener_waiting *waiting;

	while (o->waiting.first) {
		struct slot *slot = free_slot(o);

		if (!slot || slot->sent.count >= SENT_MAX || !send_first(o, slot))
			break;
	}
	if (o->leaving.count < 2 * OPENERS_ABANDONED_MAX)
		return;
	while ((waiting = opener_line_pop(&o->waiting)))
		fail(o, waiting, -EHOSTDOWN, "too many file systems give no answer");
}

static void finish(struct openers *o, struct opener_waiting *waiting, struct opener_reply *reply)
{
	o->stats.failures += reply->error != 0;
	o->stats.left_alone += reply->error == -EHOSTDOWN;
	waiting->done(waiting->context, reply->error, reply->text,
		      reply->error ? NULL : &reply->file);
	opener_waiting_free(waiting);
}

/* ---- replies ---- */

/* 1: `reply` came; 0: nothing now; -EPIPE, -EBADMSG. */
static int receive(const struct slot *slot, struct opener_reply *reply)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char bytes[OPENER_REPLY_MAX];
	struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	_cleanup_close_ int parcel = -1;
	const struct cmsghdr *header;
	ssize_t n;

	do {
		n = recvmsg(slot->socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return -EPIPE;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&parcel, CMSG_DATA(header), sizeof(int));
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
	    opener_reply_decode(bytes, (size_t)n, reply) < 0 ||
	    (parcel >= 0) != (!reply->error && !reply->about) ||
	    (parcel >= 0 && !parcel_is(parcel)))
		return -EBADMSG;
	reply->file.fd = TAKE_FD(parcel);
	return 1;
}

/* False: that was the last of it. */
static bool take_reply(struct openers *o, struct slot *slot)
{
	struct opener_reply reply;
	int r = receive(slot, &reply);

	if (r == 0)
		return false;
	if (r < 0 || (!slot->skip && (!slot->sent.first || slot->sent.first->id != reply.id))) {
		if (r > 0 && reply.file.fd >= 0)
			close(reply.file.fd);
		lost(o, slot, r == -EPIPE ? "it ended" : "it said what fits nothing");
		return false;
	}
	if (reply.about) {
		slot->device = reply.device;
		return true;
	}
	slot->answered = true;
	slot->device = 0;
	slot->since = clock_boot_ns();
	o->start_failures = 0;
	o->delay = 0;
	if (slot->sent.first && slot->sent.first->id == reply.id)
		finish(o, opener_line_pop(&slot->sent), &reply);
	else
		slot->skip--;
	if (reply.file.fd >= 0)
		close(reply.file.fd);
	return true;
}

static void mind_time(struct openers *o)
{
	uint64_t now = clock_boot_ns();

	for (size_t i = 0; i < OPENERS_MAX; i++) {
		struct slot *slot = &o->slots[i];
		struct opener_waiting *first = slot->sent.first;
		struct opener_line behind = {0};

		if (!slot->pid || (!first && !slot->skip))
			continue;
		if (now - slot->since >= o->config.deadline_ns) {
			time_out(o, slot);
		} else if (first && first->next && now - slot->since >= LATE_NS) {
			/* The first stays; another opener takes what is behind it. */
			behind = (struct opener_line){first->next, slot->sent.last,
						      slot->sent.count - 1};
			first->next = NULL;
			slot->sent = (struct opener_line){first, first, 1};
			slot->skip += (uint32_t)behind.count;
			opener_line_put_before(&o->waiting, &behind);
		}
	}
}

static void arm_timer(struct openers *o)
{
	uint64_t at = o->waiting.first && o->not_before > clock_boot_ns() ? o->not_before : 0;
	struct itimerspec when = {0};

	for (size_t i = 0; i < OPENERS_MAX; i++) {
		const struct slot *slot = &o->slots[i];
		bool behind = slot->sent.count > 1 || o->waiting.first;
		uint64_t then;

		if (!slot->pid || (!slot->sent.first && !slot->skip))
			continue;
		then = slot->since + o->config.deadline_ns;
		if (behind && slot->since + LATE_NS > clock_boot_ns())
			then = slot->since + LATE_NS;
		if (!at || then < at)
			at = then;
	}
	when.it_value.tv_sec = (time_t)(at / NSEC_PER_SEC);
	when.it_value.tv_nsec = (long)(at % NSEC_PER_SEC);
	timerfd_settime(o->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Callbacks may ask anew, and that may fail at once: only those owed now are called. */
static void deliver_failures(struct openers *o)
{
	for (size_t owed = o->failed.count; owed; owed--) {
		struct opener_waiting *waiting = opener_line_pop(&o->failed);
		struct opener_reply reply = {.error = waiting->failure.code, .file.fd = -1};

		memcpy(reply.text, waiting->failure.text, sizeof(reply.text));
		finish(o, waiting, &reply);
	}
	if (o->failed.count)
		wake(o);
}

void openers_dispatch(struct openers *o)
{
	uint64_t count;

	if (read(o->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error_errno(-errno, "openers: the event descriptor");
	if (read(o->timer, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error_errno(-errno, "openers: the timer");
	for (size_t i = 0; i < OPENERS_MAX; i++) {
		for (uint32_t turns = 0; o->slots[i].pid && turns < 4 * SENT_MAX; turns++)
			if (!take_reply(o, &o->slots[i]))
				break;
	}
	mind_time(o);
	pump(o);
	reap(o);
	deliver_failures(o);
	arm_timer(o);
}

int openers_open(struct openers *o, const struct opener_request *request, openers_fn *done,
		 void *context)
{
	struct opener_waiting *waiting;
	int r;

	if (openers_pending(o) >= OPENERS_PENDING_MAX)
		return -EAGAIN;
	waiting = calloc(1, sizeof(*waiting));
	r = waiting ? opener_request_copy(&waiting->request, request) : -ENOMEM;
	if (r < 0) {
		free(waiting);
		return r;
	}
	waiting->done = done;
	waiting->context = context;
	opener_line_push(&o->waiting, waiting);
	o->stats.requests++;
	pump(o); /* at once: the process may end in a moment */
	if (o->failed.count)
		wake(o);
	arm_timer(o);
	return 0;
}

/* ---- life ---- */

int openers_create(const struct openers_config *config, struct error *error, struct openers **ret)
{
	struct openers *o = calloc(1, sizeof(*o));
	struct epoll_event event = {.events = EPOLLIN};

	if (!o)
		return error_set(error, -ENOMEM, "out of memory for the openers");
	o->config = *config;
	for (size_t i = 0; i < OPENERS_MAX; i++)
		o->slots[i].socket = -1;
	o->epoll = epoll_create1(EPOLL_CLOEXEC);
	o->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	o->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (o->epoll < 0 || o->timer < 0 || o->wake < 0) {
		int r = error_set(error, -errno, "the openers' descriptors: %s", strerror(errno));

		openers_destroy(o);
		return r;
	}
	event.data.fd = o->timer;
	epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->timer, &event);
	event.data.fd = o->wake;
	epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->wake, &event);
	start(o, &o->slots[0]); /* ready when it is needed */
	*ret = o;
	return 0;
}

void openers_destroy(struct openers *o)
{
	const struct timespec pause = {.tv_nsec = (long)(NSEC_PER_MSEC / 2)};

	if (!o)
		return;
	for (size_t i = 0; i < OPENERS_MAX; i++) {
		opener_line_free(&o->slots[i].sent);
		if (o->slots[i].pid)
			end_process(o, &o->slots[i]);
	}
	/* One that hangs is left to init. */
	for (uint64_t until = clock_boot_ns() + END_WAIT_NS;
	     o->leaving.count && clock_boot_ns() < until; reap(o))
		nanosleep(&pause, NULL);
	opener_line_free(&o->waiting);
	opener_line_free(&o->failed);
	vec_free(&o->leaving);
	if (o->epoll >= 0)
		close(o->epoll);
	if (o->timer >= 0)
		close(o->timer);
	if (o->wake >= 0)
		close(o->wake);
	free(o);
}

int openers_fd(const struct openers *o)
{
	return o->epoll;
}

size_t openers_pending(const struct openers *o)
{
	size_t count = o->waiting.count + o->failed.count;

	for (size_t i = 0; i < OPENERS_MAX; i++)
		count += o->slots[i].sent.count;
	return count;
}

void openers_get_stats(const struct openers *o, struct openers_stats *ret)
{
	*ret = o->stats;
	ret->abandoned = (uint32_t)o->leaving.count;
	ret->processes = 0;
	ret->pid = 0;
	for (size_t i = 0; i < OPENERS_MAX; i++) {
		ret->processes += o->slots[i].pid != 0;
		if (!ret->pid)
			ret->pid = o->slots[i].pid;
	}
}
