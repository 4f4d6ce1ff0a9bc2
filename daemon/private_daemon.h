/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A perfd of perfctl's own, for `record` where none is running: it has no
 * system-wide sampling, serves this one client over a socket pair, and ends
 * with it, also when perfctl is killed (the socket closes, and the kernel
 * sends it SIGTERM).
 */
#pragma once

#include <signal.h>
#include <sys/types.h>

#include "daemon/base/error.h"
#include "daemon/client.h"

struct private_daemon {
	pid_t pid; /* 0: none */
};

/* Starts the perfd beside this program's own file, or the one in $PATH, and
 * connects *ret_client to it; it answers when its probes run. `config`: its
 * --config, or NULL. `mask`: its signal mask. */
int private_daemon_start(const char *config, const sigset_t *mask, struct error *error,
			 struct private_daemon *ret, struct client *ret_client);
/* Waits for its end, which begins when the client is closed. */
void private_daemon_end(struct private_daemon *daemon);
