/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The service manager's watchdog, by the protocol of sd_watchdog_enabled(3): "WATCHDOG=1" at
 * half of $WATCHDOG_USEC, from the daemon's own event loop, or the manager ends the daemon and
 * starts it anew. A loop that hangs sends none; nor does one that turns while the source is not
 * read any more, because such a daemon is of no use.
 *
 * Ownership: the event base is the caller's and must outlive the watchdog. Times in ns, of
 * CLOCK_MONOTONIC, as the manager counts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

/* How long the source may go unread: it is four times a second. Matters only for watchdogs
 * that are shorter than twice this. */
#define WATCHDOG_GRACE_NS 1000000000ULL

/* How often the source was read to its end so far. */
typedef uint64_t watchdog_progress_fn(void *context);

struct watchdog {
	watchdog_progress_fn *progress;
	void *context;
	struct event *timer; /* NULL: nobody watches */
	uint64_t last; /* progress as last seen */
	uint64_t moved; /* when that was new */
	bool told; /* that it stands still */
};

/* 0: nobody watches this process (no $WATCHDOG_USEC, or $WATCHDOG_PID is another's), else the
 * time between two signs of life, in ns. -EINVAL: $WATCHDOG_USEC is no time. The texts are
 * the variables', or NULL. */
int watchdog_interval(const char *usec, const char *pid, int own_pid, uint64_t *ret_ns);
/* Whether a sign of life may be given, now that `progress` is seen. */
bool watchdog_alive(struct watchdog *watchdog, uint64_t progress, uint64_t now);

/* Begins, if the environment wants it. 0 or -errno. */
int watchdog_start(struct watchdog *watchdog, struct event_base *base,
		   watchdog_progress_fn *progress, void *context);
void watchdog_stop(struct watchdog *watchdog);
