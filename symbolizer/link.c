/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The client's link to its worker: start, the steps of the current request,
 * deadlines, a worker's end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "symbolizer/client_private.h"
#include "symbolizer/sandbox.h"

#define STARVED_MAX 4 /* times the deadline: so long a worker that gets no processor has */
#define START_DEADLINE_NS (10 * NSEC_PER_SEC) /* exec and the sandbox */
#define DELAY_KILLED_NS (10 * NSEC_PER_MSEC)
#define DELAY_FIRST_NS (50 * NSEC_PER_MSEC)
#define DELAY_MAX_NS NSEC_PER_SEC /* whoever kills them all the time, work goes on */
#define DEINIT_WAIT_NS (500 * NSEC_PER_MSEC)
#define START_FAILURES_MAX 3 /* then who waits is told */

static void watch(struct symbolizer *s, int fd, uint32_t events, int operation)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(s->epoll, operation, fd, &event) < 0)
		log_error_errno(-errno, "symbolizer: a descriptor cannot be watched");
}

static void start(struct symbolizer *s);

int link_init(struct symbolizer *s, bool with_worker, struct error *error)
{
	s->process = (struct worker_process){.socket = -1};
	channel_in_init(&s->in);
	s->kernel_patience = CLIENT_PATIENCE_FIRST_NS;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll < 0 || s->timer < 0 || s->wake < 0) {
		int r = error_set(error, -errno, "the symbolizer's descriptors: %s",
				  strerror(errno));

		link_deinit(s);
		return r;
	}
	watch(s, s->timer, EPOLLIN, EPOLL_CTL_ADD);
	watch(s, s->wake, EPOLLIN, EPOLL_CTL_ADD);
	if (with_worker)
		start(s);
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* True while some are left. */
static bool reap(struct symbolizer *s)
{
	bool any = false;

	for (size_t i = 0; i < CLIENT_LEFT_MAX; i++) {
		if (s->left[i] && worker_process_reap(s->left[i]))
			s->left[i] = 0;
		any |= s->left[i] != 0;
	}
	return any;
}

static void remember_left(struct symbolizer *s, pid_t pid)
{
	for (size_t i = 0; pid && i < CLIENT_LEFT_MAX; i++) {
		if (!s->left[i]) {
			s->left[i] = pid;
			return;
		}
	}
}

void link_deinit(struct symbolizer *s)
{
	const struct timespec pause = {.tv_nsec = (long)NSEC_PER_MSEC};
	char text[256];
	pid_t left = 0;

	if (s->process.pid)
		worker_process_end(&s->process, true, text, sizeof(text), &left);
	remember_left(s, left);
	/* On a busy machine a killed one takes its time. */
	for (uint64_t until = clock_boot_ns() + DEINIT_WAIT_NS; reap(s) && clock_boot_ns() < until;)
		nanosleep(&pause, NULL);
	channel_in_deinit(&s->in);
	strbuf_deinit(&s->request);
	close_fd(&s->timer);
	close_fd(&s->wake);
	close_fd(&s->epoll);
}

void link_wake(struct symbolizer *s)
{
	uint64_t one = 1;

	if (write(s->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error_errno(-errno, "symbolizer: cannot wake itself");
}

/* The slow link has a worker only while it has work, or had. */
static bool work_waits(const struct symbolizer *s)
{
	return s->current || s->queue.count || s->tables.count;
}

static void arm_timer(struct symbolizer *s)
{
	bool idle = s->is_slow && !work_waits(s);
	uint64_t at = s->state != LINK_DOWN ? s->step_deadline : idle ? 0 : s->not_before;
	uint64_t late = slow_when(s);
	struct itimerspec when = {0};

	if (late && late < at)
		at = late;

	when.it_value.tv_sec = (time_t)(at / NSEC_PER_SEC);
	when.it_value.tv_nsec = (long)(at % NSEC_PER_SEC);
	timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void send_rest(struct symbolizer *s)
{
	int r = channel_send(s->process.socket, &s->out);

	if (s->sending != (r == -EAGAIN)) {
		s->sending = r == -EAGAIN;
		watch(s, s->process.socket, s->sending ? EPOLLIN | EPOLLOUT : EPOLLIN,
		      EPOLL_CTL_MOD);
	}
	/* A broken pipe is seen when its end is read: what the worker said before
	 * comes first. */
	if (r < 0 && r != -EAGAIN && r != -EPIPE)
		link_lost(s, true, strerror(-r));
}

/* s->request holds the payload. */
static void send_step(struct symbolizer *s, enum wire_kind kind, int fd)
{
	uint64_t limit = s->config.deadline_ns;

	if (kind == WIRE_HELLO && limit < START_DEADLINE_NS)
		limit = START_DEADLINE_NS;
	s->step = kind;
	s->out = (struct channel_out){
		.header = {.id = ++s->step_id, .kind = (uint16_t)kind},
		.payload = s->request.data,
		.size = s->request.length,
		.fd = fd,
	};
	s->step_sent = clock_boot_ns();
	s->step_deadline = s->step_sent + limit;
	if (!worker_process_cpu(s->process.pid, &s->step_cpu))
		s->step_cpu = 0;
	if (!s->step_began)
		s->step_began = clock_boot_ns();
	if (strbuf_error(&s->request)) {
		struct error error = {.code = -ENOMEM, .text = "out of memory for a request"};

		s->step_deadline = 0;
		strbuf_deinit(&s->request);
		client_finish_failed(s, &error);
		return;
	}
	send_rest(s);
}

static void start(struct symbolizer *s)
{
	struct error error = {0};

	if (worker_process_start(&s->config, &error, &s->process) < 0) {
		log_error("symbolizer: %s", error.text);
		link_lost(s, false, error.text);
		return;
	}
	s->state = LINK_STARTING;
	watch(s, s->process.socket, EPOLLIN, EPOLL_CTL_ADD);
	strbuf_clear(&s->request);
	strbuf_u32(&s->request, WIRE_VERSION);
	strbuf_u32(&s->request, s->config.images_max);
	send_step(s, WIRE_HELLO, -1);
}

/* The op's image, if it is good; else the op is over. */
static struct image *good_image(struct symbolizer *s, const struct op *op)
{
	struct image *image = client_image(s, op->image);
	struct error error = {.code = -ENOENT, .text = "the file was dropped"};

	if (image && !image->failure)
		return image;
	if (image)
		error_set(&error, image->failure, "%s",
			  image->failure_text ? image->failure_text : "the file is bad");
	client_finish_failed(s, &error);
	return NULL;
}

/* For those who want the file itself: the worker need not hold it. */
static void step_unwind(struct symbolizer *s, struct op *op)
{
	struct image *image = good_image(s, op);
	struct error error = {.code = -EFAULT,
			      .text = "the symbolizer's worker did not survive this file's call "
				      "frame information: it is left alone from now on"};

	if (!image)
		return;
	if (op->kind == WIRE_UNWIND && image->unwind_quarantined) {
		client_finish_failed(s, &error);
		return;
	}
	strbuf_u32(&s->request, op->image);
	send_step(s, op->kind, image->fd);
}

static void step_image(struct symbolizer *s, struct op *op)
{
	struct image *image = good_image(s, op);

	if (!image)
		return;
	strbuf_u32(&s->request, op->image);
	if (!image->held || op->kind == WIRE_IMAGE_OPEN) {
		op->handed++;
		op->parts_settled = false;
		client_parts_forget(image);
		send_step(s, WIRE_IMAGE_OPEN, image->fd);
		return;
	}
	if (op->kind == WIRE_IMAGE_NAMES && image->debug_fd >= 0 && !image->debug_held) {
		send_step(s, WIRE_IMAGE_DEBUG, image->debug_fd);
		return;
	}
	if (image->has_parts && image->parts.count) {
		const struct image_part *part = &image->parts.items[image->parts.count - 1];

		strbuf_u32(&s->request, part->number);
		send_step(s, WIRE_IMAGE_PART, part->fd);
		return;
	}
	strbuf_u32(&s->request, s->config.flags);
	for (size_t i = 0; i < op->count; i++)
		strbuf_u64(&s->request, op->addresses[i]);
	send_step(s, image->has_parts && !op->parts_settled ? WIRE_IMAGE_WANTED : WIRE_IMAGE_NAMES,
		  -1);
}

static void step_kernel(struct symbolizer *s, struct op *op)
{
	if (!s->kernel_held) {
		_cleanup_close_ int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
		struct error error = {0};

		if (fd < 0) {
			error_set(&error, -errno, "/proc/kallsyms cannot be opened: %s",
				  strerror(errno));
			client_finish_failed(s, &error);
			return;
		}
		log_debug("the kernel's symbols are read");
		s->kernel_opened_at = clock_boot_ns();
		send_step(s, WIRE_KERNEL_LOAD, fd);
		return;
	}
	for (size_t i = 0; i < op->count; i++)
		strbuf_u64(&s->request, op->addresses[i]);
	send_step(s, WIRE_KERNEL_NAMES, -1);
}

/* The next step of the current request; those that can fail without a step are
 * finished here. */
static void advance(struct symbolizer *s)
{
	struct op *op = s->current;

	strbuf_clear(&s->request);
	switch (op->kind) {
	case WIRE_IMAGE_OPEN:
	case WIRE_IMAGE_NAMES:
		step_image(s, op);
		break;
	case WIRE_IMAGE_DROP:
		strbuf_u32(&s->request, op->image);
		send_step(s, WIRE_IMAGE_DROP, -1);
		break;
	case WIRE_KERNEL_NAMES:
		step_kernel(s, op);
		break;
	case WIRE_MAPS:
		/* A worker that is gone may have read some of it. */
		lseek(op->fd, 0, SEEK_SET);
		send_step(s, WIRE_MAPS, op->fd);
		break;
	case WIRE_UNWIND:
	case WIRE_PROBES:
		step_unwind(s, op);
		break;
	case WIRE_JIT_NAMES:
		strbuf_u32(&s->request, op->image);
		for (size_t i = 0; i < op->count; i++)
			strbuf_u64(&s->request, op->addresses[i]);
		send_step(s, WIRE_JIT_NAMES, op->fd);
		break;
	case WIRE_JVM:
		for (size_t i = 0; i < op->count; i++)
			strbuf_u64(&s->request, op->addresses[i]);
		send_step(s, WIRE_JVM, op->fd);
		break;
	case WIRE_LIBC:
		for (size_t i = 0; i < op->count; i++)
			strbuf_u64(&s->request, op->addresses[i]);
		send_step(s, WIRE_LIBC, op->fd);
		break;
	default:
		client_finish_plain(s);
	}
}

static void forget_worker_state(struct symbolizer *s)
{
	uint64_t key, value;
	size_t at = 0;

	while (hashmap_next(&s->images, &at, &key, &value))
		((struct image *)(uintptr_t)value)->held = false;
	s->kernel_held = false;
	s->sending = false;
	channel_in_clear(&s->in);
}

/* One that was killed from outside says nothing of the next. */
static void plan_restart(struct symbolizer *s, bool killed)
{
	s->not_before = clock_boot_ns() + (killed ? DELAY_KILLED_NS : s->delay);
	if (killed)
		return;
	s->delay = s->delay ? s->delay * 2 : DELAY_FIRST_NS;
	if (s->delay > DELAY_MAX_NS)
		s->delay = DELAY_MAX_NS;
}

static void start_failed(struct symbolizer *s, bool killed, const char *why)
{
	struct error error = {0};

	log_error("symbolizer: the worker does not start: %s", why);
	if (killed || ++s->start_failures < START_FAILURES_MAX)
		return;
	error_set(&error, -EPIPE, "the symbolizer's worker does not start: %s", why);
	if (s->current)
		client_finish_failed(s, &error);
	client_fail_all(s, &error);
}

void link_lost(struct symbolizer *s, bool kill_it, const char *why)
{
	enum wire_kind step = s->step_deadline ? s->step : WIRE_HELLO;
	enum link_state was = s->state;
	enum worker_end end = WORKER_END_NOT_STARTED;
	char how[256] = "", text[512];
	pid_t left = 0;

	s->state = LINK_DOWN;
	s->step_deadline = s->step_began = 0;
	reap(s);
	if (s->process.pid) {
		/* Then it is nothing that it read which keeps it from answering. */
		bool held = worker_process_is_stopped(s->process.pid);

		epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->process.socket, NULL);
		end = worker_process_end(&s->process, kill_it, how, sizeof(how), &left);
		remember_left(s, left);
		if (held) {
			end = WORKER_END_KILLED;
			why = "it was stopped from outside, by a signal or a debugger";
		}
	}
	snprintf(text, sizeof(text), "%s%s%s", why, *why && *how && !kill_it ? ": " : "",
		 kill_it ? "" : how);
	forget_worker_state(s);
	s->stats.restarts++;
	plan_restart(s, end == WORKER_END_KILLED);
	if (was != LINK_READY) {
		start_failed(s, end == WORKER_END_KILLED, text);
		return;
	}
	log_warning("symbolizer: the worker is replaced: %s", text);
	if (s->current)
		blame_current(s, end, step, text);
}

void link_unwatch(struct symbolizer *s)
{
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->process.socket, NULL);
}

void link_watch(struct symbolizer *s)
{
	watch(s, s->process.socket, s->sending ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_ADD);
}

void link_renew(struct symbolizer *s)
{
	s->process = (struct worker_process){.socket = -1};
	s->state = LINK_DOWN;
	s->step_deadline = s->step_began = 0;
	forget_worker_state(s);
	start(s);
}

void link_end(struct symbolizer *s)
{
	char how[256];
	pid_t left;

	link_unwatch(s);
	worker_process_end(&s->process, true, how, sizeof(how), &left);
	remember_left(s, left);
	link_renew(s);
}

static void on_hello(struct symbolizer *s, const char *payload, size_t size)
{
	struct reader reader;
	const char *missing;
	size_t length;
	uint32_t version;

	reader_init(&reader, payload, size);
	version = reader_u32(&reader);
	reader_u32(&reader); /* the same as bits */
	length = reader_left(&reader);
	missing = reader_take(&reader, length);
	if (s->in.header.error || version != WIRE_VERSION || !reader_ok(&reader)) {
		link_lost(s, true, "the worker is of another version");
		return;
	}
	if (length && !s->warned)
		log_warning("symbolizer: the worker runs without: %.*s", (int)length, missing);
	s->warned = true;
	s->state = LINK_READY;
	s->start_failures = 0;
}

static void on_answer(struct symbolizer *s)
{
	if (!s->step_deadline || s->sending || s->in.header.id != s->step_id ||
	    s->in.header.kind != s->step) {
		link_lost(s, true, "an answer to nothing that was asked");
		return;
	}
	s->step_deadline = 0;
	if (s->step != WIRE_HELLO)
		s->delay = 0;
	if (s->step == WIRE_HELLO)
		on_hello(s, s->in.payload.data, s->in.payload.length);
	else
		answer_take(s);
}

/* False when there is nothing more to read for now. */
static bool receive(struct symbolizer *s)
{
	int r = channel_receive(s->process.socket, &s->in, true);

	if (r == 0)
		return false;
	if (r < 0) {
		link_lost(s, r != -EPIPE, r == -EPIPE ? "" : "what it said could not be read");
		return false;
	}
	on_answer(s);
	channel_in_clear(&s->in);
	return s->state != LINK_DOWN;
}

static void mind_time(struct symbolizer *s)
{
	uint64_t now = clock_boot_ns();

	reap(s);
	client_parts_expire(s, now);
	if (s->state == LINK_DOWN && now >= s->not_before && (!s->is_slow || work_waits(s)))
		start(s);
	else if (s->state != LINK_DOWN && s->step_deadline && now >= s->step_deadline &&
		 now - s->step_sent < STARVED_MAX * s->config.deadline_ns &&
		 worker_process_starves(s->process.pid, s->step_cpu + s->config.deadline_ns / 2))
		s->step_deadline = now + s->config.deadline_ns / 8;
	else if (s->state != LINK_DOWN && s->step_deadline && now >= s->step_deadline)
		link_lost(s, true, "it gave no answer before the deadline");
	else if (slow_when(s) && now >= slow_when(s))
		slow_take(s);
}

/* Gives the worker the next thing to do, if it has nothing to do. */
static void pump(struct symbolizer *s)
{
	while (s->state == LINK_READY && !s->step_deadline) {
		if (!s->current && !client_next(s))
			return;
		advance(s);
	}
}

void link_run(struct symbolizer *s)
{
	uint64_t count;

	if (read(s->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error_errno(-errno, "symbolizer: its event descriptor");
	if (s->state != LINK_DOWN && s->sending)
		send_rest(s);
	/* One answer may be followed by the next without a turn of the loop, but a
	 * turn ends: each pass answers at most one request. */
	for (int turns = 0; turns < 64; turns++) {
		pump(s);
		if (s->state == LINK_DOWN || !receive(s))
			break;
	}
	mind_time(s);
	pump(s);
	arm_timer(s);
}
