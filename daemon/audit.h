/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who did what: a line in the log, whatever its level, for each request that begins, ends or
 * changes something, and for each that was refused for want of rights. One line, of
 * key=value pairs, that a program can take apart:
 *
 *	audit: op=attach result=ok uid=1000 gid=1000 pid=4242 comm="perfctl" session=7
 *	target_pid=1234 target_uid=1000 target_comm="redis-server" event=cpu-clock
 *	audit: op=attach result=refused … error=EPERM reason="process 1 belongs to uid 0, …"
 *
 * Who asks is what the kernel says (daemon/peer.h); names (comm) are what the process calls
 * itself, quoted, with \xNN for what could steer a terminal or end the line. Refusals are at
 * most AUDIT_REFUSALS_PER_SECOND, so that nobody fills the log; those left out are counted in
 * the next line. What was done is always told. A perfd that serves one perfctl alone
 * (record's) tells nothing: nobody else is there.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/error.h"
#include "daemon/protocol.h"

#define AUDIT_REFUSALS_PER_SECOND 20u

struct connection;
struct server_session;

/* Of the server. */
struct audit_log {
	uint64_t second; /* of boot time, that `refusals` are of */
	uint32_t refusals;
	uint64_t left_out; /* since the last line of a refusal */
};

/* What is told of a request; kept before it is served, for the session may be gone after. */
struct audit {
	const char *op; /* NULL: only a refusal is told, as the request's name */
	const char *name;
	uint32_t session; /* 0: none */
	pid_t target; /* 0: all processes, or none */
	uid_t target_uid;
	char target_comm[16], event[16];
};

void audit_begin(const struct connection *connection, const struct message *message,
		 struct audit *ret);
/* `r`: what came of it. */
void audit_request(struct connection *connection, struct audit *audit, int r,
		   const struct error *error);
/* What came of putting the library into a process, which takes a while. */
void audit_heap(struct connection *connection, const struct server_session *session,
		const struct error *error);
