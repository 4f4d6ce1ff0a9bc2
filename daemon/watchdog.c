/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/watchdog.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/notify.h"

/* Shorter ones would be a busy loop. */
#define USEC_MIN 1000ULL
#define USEC_MAX (UINT64_MAX / 1000)

/* Digits only, and no more than 64 bits of them. */
static int parse(const char *text, uint64_t *ret)
{
	char *end;
	unsigned long long value;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end)
		return -EINVAL;
	*ret = value;
	return 0;
}

int watchdog_interval(const char *usec, const char *pid, int own_pid, uint64_t *ret_ns)
{
	uint64_t number;

	*ret_ns = 0;
	if (!usec || !*usec)
		return 0;
	/* The variable is inherited: a program that a watched one starts is not meant. */
	if (pid && *pid && (parse(pid, &number) < 0 || number != (uint64_t)own_pid))
		return 0;
	if (parse(usec, &number) < 0 || number < USEC_MIN || number > USEC_MAX)
		return -EINVAL;
	*ret_ns = number * 1000 / 2;
	return 0;
}

bool watchdog_alive(struct watchdog *watchdog, uint64_t progress, uint64_t now)
{
	if (progress != watchdog->last) {
		watchdog->last = progress;
		watchdog->moved = now;
	}
	return now - watchdog->moved < WATCHDOG_GRACE_NS;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct watchdog *watchdog = context;
	uint64_t progress = watchdog->progress(watchdog->context);

	(void)fd;
	(void)what;
	if (watchdog_alive(watchdog, progress, clock_ns(CLOCK_MONOTONIC))) {
		watchdog->told = false;
		notify_manager("WATCHDOG=1");
	} else if (!watchdog->told) {
		watchdog->told = true;
		log_error("the kernel's records are not read any more: the service manager gets "
			  "no sign of life, and will start perfd anew");
	}
}

int watchdog_start(struct watchdog *watchdog, struct event_base *base,
		   watchdog_progress_fn *progress, void *context)
{
	struct timeval interval;
	uint64_t ns;

	*watchdog = (struct watchdog){.progress = progress, .context = context};
	if (watchdog_interval(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), (int)getpid(), &ns) <
	    0)
		return -EINVAL;
	if (!ns)
		return 0;
	watchdog->moved = clock_ns(CLOCK_MONOTONIC);
	watchdog->timer = event_new(base, -1, EV_PERSIST, on_timer, watchdog);
	if (!watchdog->timer)
		return -ENOMEM;
	interval.tv_sec = (time_t)(ns / NSEC_PER_SEC);
	interval.tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / 1000);
	if (event_add(watchdog->timer, &interval) < 0) {
		watchdog_stop(watchdog);
		return -ENOMEM;
	}
	return 0;
}

void watchdog_stop(struct watchdog *watchdog)
{
	if (watchdog->timer)
		event_free(watchdog->timer);
	watchdog->timer = NULL;
}
