/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One recording of perfctl, from the question to the written file: what
 * `record`, `attach` and `detach` have in common.
 *
 * Signals: SIGINT and SIGTERM are blocked and read from a descriptor. Without a
 * command the first one ends the recording; with one, SIGINT is the command's
 * own business (the terminal sends it there too), SIGTERM is passed on to it,
 * and the recording ends when it does. The second SIGINT aborts, and leaves
 * nothing behind.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/child.h"
#include "daemon/client.h"
#include "daemon/options.h"
#include "daemon/private_daemon.h"
#include "daemon/progress.h"
#include "daemon/result.h"

struct recording {
	struct client client;
	struct private_daemon daemon; /* pid 0: the running one is used */
	struct child child; /* pid 0: no command */
	struct client_session session;
	bool heap; /* put libperfd-heap.so into the session's process */
	struct progress progress;
	struct result result;
	sigset_t mask; /* as it was before us: for the processes we start */
	int signal_fd;
	uint32_t id; /* of the session; 0: not open */
	uint32_t frequency_hz; /* the session's */
	unsigned int interrupts; /* SIGINTs so far */
	bool hint_due; /* Ctrl-C went to a command that has not ended of it yet */
};

/* Blocks the signals. */
int recording_init(struct recording *recording, struct error *error);
void recording_deinit(struct recording *recording);
/* Connects to the running perfd; `may_be_private`: or to one of its own where none
 * runs. */
int recording_connect(struct recording *recording, const struct options *options,
		      bool may_be_private, struct error *error);
int recording_open(struct recording *recording, struct error *error);
/* Until the recording is over. -EINTR: aborted. */
int recording_follow(struct recording *recording, struct error *error);
/* Ends the session, writes its result, and says on stderr what was recorded and
 * where it is. `pid`: whose background session, where there is no id. -ENODATA: no
 * samples, the text says why. */
int recording_finish(struct recording *recording, pid_t pid, struct error *error);
/* Waits for a command that outlives its recording (--duration). */
int recording_wait_child(struct recording *recording, struct error *error);
