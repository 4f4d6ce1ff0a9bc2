/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/debuginfod.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "symbolizer/debuginfod_cache.h"
#include "symbolizer/fetcher.h"
#include "symbolizer/process.h"

#define MEMORY_BYTES (1ULL << 30) /* address space of a fetcher: TLS libraries are large */
#define GRACE_NS (2 * NSEC_PER_SEC) /* behind its own time limit */
#define ALONE_FIRST_NS (30 * NSEC_PER_SEC)
#define ALONE_MAX_NS (600 * NSEC_PER_SEC)

struct waiter {
	struct waiter *next;
	debuginfod_fn *done;
	void *context;
};

struct wanted { /* a file */
	struct wanted *next;
	uint8_t build_id[DEBUGINFOD_BUILD_ID_MAX];
	size_t size;
	struct waiter *waiters;
};

struct fetch {
	struct wanted *wanted; /* NULL: this one is free */
	struct worker_process process;
	uint64_t deadline; /* boot time, ns */
};

struct debuginfod {
	struct debuginfod_config config;
	struct debuginfod_cache cache;
	struct debuginfod_stats stats;
	struct wanted *first, *last; /* waiting */
	struct fetch fetches[DEBUGINFOD_FETCHES_MAX];
	pid_t left[DEBUGINFOD_FETCHES_MAX]; /* that did not die yet; 0: none */
	uint64_t alone_until, alone; /* boot time; how long, ns */
	int epoll, timer, wake;
};

static void watch(struct debuginfod *d, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		log_error_errno(-errno, "debuginfod: a descriptor cannot be watched");
}

int debuginfod_create(const struct debuginfod_config *config, struct error *error,
		      struct debuginfod **ret)
{
	struct debuginfod *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return error_set(error, -ENOMEM, "out of memory for debuginfod");
	d->config = *config;
	r = debuginfod_cache_open(&d->cache, config->folder, config->cache_bytes, error);
	if (r < 0) {
		free(d);
		return r;
	}
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	d->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->epoll < 0 || d->timer < 0 || d->wake < 0) {
		r = error_set(error, -errno, "debuginfod's descriptors: %s", strerror(errno));
		debuginfod_destroy(d);
		return r;
	}
	watch(d, d->timer);
	watch(d, d->wake);
	*ret = d;
	return 0;
}

static void wanted_free(struct wanted *wanted)
{
	while (wanted && wanted->waiters) {
		struct waiter *next = wanted->waiters->next;

		free(wanted->waiters);
		wanted->waiters = next;
	}
	free(wanted);
}

static void end_process(struct debuginfod *d, struct fetch *fetch)
{
	size_t at = (size_t)(fetch - d->fetches);
	char how[128];

	epoll_ctl(d->epoll, EPOLL_CTL_DEL, fetch->process.socket, NULL);
	worker_process_end(&fetch->process, true, how, sizeof(how), &d->left[at]);
}

void debuginfod_destroy(struct debuginfod *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < DEBUGINFOD_FETCHES_MAX; i++) {
		struct fetch *fetch = &d->fetches[i];

		if (!fetch->wanted)
			continue;
		end_process(d, fetch);
		debuginfod_cache_drop(&d->cache, fetch->wanted->build_id, fetch->wanted->size);
		wanted_free(fetch->wanted);
	}
	while (d->first) {
		struct wanted *next = d->first->next;

		wanted_free(d->first);
		d->first = next;
	}
	debuginfod_cache_close(&d->cache);
	if (d->timer >= 0)
		close(d->timer);
	if (d->wake >= 0)
		close(d->wake);
	if (d->epoll >= 0)
		close(d->epoll);
	free(d);
}

int debuginfod_fd(const struct debuginfod *d)
{
	return d->epoll;
}

static bool is_for(const struct wanted *wanted, const uint8_t *build_id, size_t size)
{
	return wanted && wanted->size == size && !memcmp(wanted->build_id, build_id, size);
}

/* What is asked for already has one more who waits for it. */
static struct wanted *find(struct debuginfod *d, const uint8_t *build_id, size_t size)
{
	for (size_t i = 0; i < DEBUGINFOD_FETCHES_MAX; i++) {
		if (is_for(d->fetches[i].wanted, build_id, size))
			return d->fetches[i].wanted;
	}
	for (struct wanted *wanted = d->first; wanted; wanted = wanted->next) {
		if (is_for(wanted, build_id, size))
			return wanted;
	}
	return NULL;
}

static struct wanted *add(struct debuginfod *d, const uint8_t *build_id, size_t size)
{
	struct wanted *wanted = calloc(1, sizeof(*wanted));

	if (!wanted)
		return NULL;
	memcpy(wanted->build_id, build_id, size);
	wanted->size = size;
	if (d->last)
		d->last->next = wanted;
	else
		d->first = wanted;
	d->last = wanted;
	d->stats.pending++;
	return wanted;
}

int debuginfod_ask(struct debuginfod *d, const uint8_t *build_id, size_t size, debuginfod_fn *done,
		   void *context)
{
	struct waiter *waiter;
	struct wanted *wanted;
	uint64_t one = 1;

	if (size < 2 || size > DEBUGINFOD_BUILD_ID_MAX)
		return -EINVAL;
	wanted = find(d, build_id, size);
	if (!wanted && d->stats.pending >= DEBUGINFOD_PENDING_MAX)
		return -EAGAIN;
	waiter = calloc(1, sizeof(*waiter));
	if (!waiter)
		return -ENOMEM;
	if (!wanted)
		wanted = add(d, build_id, size);
	if (!wanted) {
		free(waiter);
		return -ENOMEM;
	}
	*waiter = (struct waiter){wanted->waiters, done, context};
	wanted->waiters = waiter;
	d->stats.asked++;
	if (write(d->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error_errno(-errno, "debuginfod: cannot wake itself");
	return 0;
}

/* Tells all who wait; fd is taken. */
static void tell(struct debuginfod *d, struct wanted *wanted, int error, const char *text, int fd)
{
	_cleanup_close_ int owned = fd;

	d->stats.pending--;
	while (wanted->waiters) {
		struct waiter *waiter = wanted->waiters;
		int copy = error ? -1 : dup(fd);

		wanted->waiters = waiter->next;
		if (!error && copy < 0)
			waiter->done(waiter->context, -errno, "no descriptor for it", -1);
		else
			waiter->done(waiter->context, error, text, copy);
		free(waiter);
	}
	wanted_free(wanted);
}

/* Of servers that are down nothing is asked for a while. */
static void leave_alone(struct debuginfod *d, const char *text)
{
	d->alone = d->alone ? 2 * d->alone : ALONE_FIRST_NS;
	if (d->alone > ALONE_MAX_NS)
		d->alone = ALONE_MAX_NS;
	d->alone_until = clock_boot_ns() + d->alone;
	log_warning("debuginfod: left alone for %llu s: %s",
		    (unsigned long long)(d->alone / NSEC_PER_SEC), text);
}

static void count_failure(struct debuginfod *d, struct wanted *wanted, int error, const char *text)
{
	if (error == -ENOENT || error == -EFBIG)
		debuginfod_cache_missing(&d->cache, wanted->build_id, wanted->size);
	if (error == -ENOENT) {
		d->stats.missing++;
		d->alone = 0;
		return;
	}
	d->stats.failed++;
	d->stats.timeouts += error == -ETIMEDOUT;
	d->stats.left_alone += error == -EHOSTDOWN;
	if (error == -ETIMEDOUT || error == -EIO || error == -ENOSYS)
		leave_alone(d, text);
}

/* What the cache knows; false: it must be fetched. */
static bool answer_from_cache(struct debuginfod *d, struct wanted *wanted)
{
	int fd = -1, r = debuginfod_cache_get(&d->cache, wanted->build_id, wanted->size, &fd);

	if (r && r != -ENODATA)
		return false;
	if (r)
		d->stats.missing++;
	else
		d->stats.cached++;
	tell(d, wanted, r ? -ENOENT : 0, r ? "no server had it a moment ago" : "", fd);
	return true;
}

static int start(struct debuginfod *d, struct fetch *fetch, struct wanted *wanted,
		 struct error *error)
{
	const struct symbolizer_config how = {
		.memory_bytes = MEMORY_BYTES, .program = d->config.program, .argv = d->config.argv};
	char hex[2 * DEBUGINFOD_BUILD_ID_MAX + 1];
	struct fetcher_request request = {.timeout_ns = d->config.timeout_ns,
					  .size_max = d->config.cache_bytes / 2,
					  .build_id = hex,
					  .urls = d->config.urls};
	_cleanup_close_ int fd = -1;
	int r = debuginfod_cache_begin(&d->cache, wanted->build_id, wanted->size, &fd);

	if (r < 0)
		return error_set(error, r, "%s cannot be written: %s", d->config.folder,
				 r == -EEXIST ? "another process fetches it" : strerror(-r));
	for (size_t i = 0; i < wanted->size; i++)
		snprintf(hex + 2 * i, 3, "%02x", wanted->build_id[i]);
	r = worker_process_start(&how, error, &fetch->process);
	if (!r) {
		watch(d, fetch->process.socket);
		r = fetcher_ask(fetch->process.socket, &request, fd);
		if (r < 0) {
			error_set(error, r, "a fetcher cannot be asked: %s", strerror(-r));
			end_process(d, fetch);
		}
	}
	if (r < 0) {
		debuginfod_cache_drop(&d->cache, wanted->build_id, wanted->size);
		return r;
	}
	fetch->wanted = wanted;
	fetch->deadline = clock_boot_ns() + d->config.timeout_ns + GRACE_NS;
	return 0;
}

static struct fetch *free_fetch(struct debuginfod *d)
{
	for (size_t i = 0; i < DEBUGINFOD_FETCHES_MAX; i++) {
		if (!d->fetches[i].wanted && !d->left[i])
			return &d->fetches[i];
	}
	return NULL;
}

static void begin_some(struct debuginfod *d)
{
	struct fetch *fetch;

	while (d->first && (fetch = free_fetch(d))) {
		struct wanted *wanted = d->first;
		struct error error = {0};

		d->first = wanted->next;
		if (!d->first)
			d->last = NULL;
		if (answer_from_cache(d, wanted))
			continue;
		if (clock_boot_ns() < d->alone_until)
			error_set(&error, -EHOSTDOWN, "the servers are left alone for a while");
		else
			start(d, fetch, wanted, &error);
		if (error.code) {
			count_failure(d, wanted, error.code, error.text);
			tell(d, wanted, error.code, error.text, -1);
		}
	}
}

static void finish(struct debuginfod *d, struct fetch *fetch, const struct fetcher_reply *reply)
{
	struct wanted *wanted = fetch->wanted;
	const char *text = reply->text;
	int fd = -1, r = reply->error;

	fetch->wanted = NULL;
	end_process(d, fetch);
	if (!r) {
		r = debuginfod_cache_keep(&d->cache, wanted->build_id, wanted->size, &fd);
		text = r ? "what came cannot be kept" : "";
	}
	if (r) {
		debuginfod_cache_drop(&d->cache, wanted->build_id, wanted->size);
		count_failure(d, wanted, r, text);
	} else {
		d->stats.fetched++;
		d->stats.bytes += reply->bytes;
		d->alone = 0;
	}
	tell(d, wanted, r, text, fd);
}

/* What has been answered, and what never will be. */
static void collect(struct debuginfod *d, struct fetch *fetch)
{
	struct fetcher_reply reply = {0};
	int r = fetcher_answer(fetch->process.socket, &reply);

	if (!r && clock_boot_ns() < fetch->deadline)
		return;
	if (r != 1)
		reply = (struct fetcher_reply){
			.error = r ? -EIO : -ETIMEDOUT,
			.text = "the fetcher gave no answer",
		};
	finish(d, fetch, &reply);
}

static void arm_timer(struct debuginfod *d)
{
	struct itimerspec when = {0};
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < DEBUGINFOD_FETCHES_MAX; i++) {
		if (d->fetches[i].wanted && d->fetches[i].deadline < next)
			next = d->fetches[i].deadline;
		if (d->left[i])
			next = clock_boot_ns() + NSEC_PER_SEC;
	}
	if (next != UINT64_MAX) {
		when.it_value.tv_sec = (time_t)(next / NSEC_PER_SEC);
		when.it_value.tv_nsec = (long)(next % NSEC_PER_SEC);
	}
	timerfd_settime(d->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void debuginfod_dispatch(struct debuginfod *d)
{
	uint64_t count;

	if (read(d->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error_errno(-errno, "debuginfod: its event descriptor");
	if (read(d->timer, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error_errno(-errno, "debuginfod: its timer");
	for (size_t i = 0; i < DEBUGINFOD_FETCHES_MAX; i++) {
		if (d->left[i] && worker_process_reap(d->left[i]))
			d->left[i] = 0;
		if (d->fetches[i].wanted)
			collect(d, &d->fetches[i]);
	}
	begin_some(d);
	arm_timer(d);
}

void debuginfod_wrong(struct debuginfod *d, const uint8_t *build_id, size_t size)
{
	d->stats.wrong++;
	debuginfod_cache_missing(&d->cache, build_id, size);
}

void debuginfod_get_stats(const struct debuginfod *d, struct debuginfod_stats *ret)
{
	*ret = d->stats;
	ret->evicted = d->cache.evicted;
	ret->cache_bytes = debuginfod_cache_bytes(&d->cache);
}
