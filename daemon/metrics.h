/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Metrics for Prometheus and its kin, as the daemon has to do with them: it opens the socket
 * of metrics.listen, hands it to a process without privileges (metrics_server.h), which alone
 * talks to whoever scrapes, and makes a text when that process asks, at most once a second
 * and form. A client that stalls, floods or sends nonsense is that process's; if it dies it is
 * started anew after a while, and counted.
 *
 * Ownership: borrows the server and the base, which must outlive it.
 */
#pragma once

#include <event2/event.h>
#include <jansson.h>

#include "daemon/base/error.h"
#include "daemon/config.h"
#include "daemon/server.h"

struct metrics;

/* 0 and NULL where metrics.listen is empty. `program`: to execute anew. */
int metrics_create(const struct config *config, struct server *server, struct event_base *base,
		   const char *program, struct error *error, struct metrics **ret);
/* Ends the process and removes a Unix socket. */
void metrics_destroy(struct metrics *metrics);
