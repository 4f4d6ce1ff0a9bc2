/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The control protocol from perfctl's side: one connection, one request at a
 * time, blocking with a deadline and open to Ctrl-C.
 *
 * Ownership: the client owns its socket. A message that it gives points into
 * its buffer and lives until the next call.
 *
 * A reply that is an ERROR comes back as its code with perfd's own sentence.
 * -EINTR: `interrupt_fd` became readable (it is left unread). -ETIMEDOUT: the
 * deadline passed. -ECONNRESET: perfd is gone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/strbuf.h"
#include "daemon/protocol.h"
#include "flamegraph/profile.h"

#define CLIENT_TIMEOUT_NS (60 * 1000000000ull) /* for a reply */

struct client {
	int fd; /* -1: not connected */
	int interrupt_fd; /* -1: none */
	uint32_t serial; /* of the last request */
	struct strbuf input;
	size_t taken; /* bytes of input that the last message used */
};

/* -ENOENT or -ECONNREFUSED: nobody serves the path. */
int client_connect(const char *path, struct error *error, struct client *ret);
/* A socket that is connected already; the client's from then on. */
void client_init(struct client *client, int fd);
void client_deinit(struct client *client);

/* Starts a request in an empty *buf; end it with client_call(). */
size_t client_begin(struct client *client, enum message_type type, struct strbuf *buf);
/* Sends the request (begun at 0 in *buf, whose memory is given back in any case)
 * and waits for its reply, which must be of type `want`. Events that come
 * before it are dropped. */
int client_call(struct client *client, struct strbuf *buf, enum message_type want,
		uint64_t timeout_ns, struct error *error, struct message *ret);
/* The next message of any kind, if one is whole or becomes so before
 * `deadline_ns` (CLOCK_BOOTTIME; 0: only what is here now, then -EAGAIN). */
int client_receive(struct client *client, uint64_t deadline_ns, struct error *error,
		   struct message *ret);

/* --- the requests --- */

struct client_session {
	int32_t pid; /* 0: all */
	bool wait_exec;
	bool background;
	uint32_t frequency_hz; /* 0: the default */
	uint64_t duration_ns; /* 0: until stopped */
	uint32_t precision_ppm; /* until shares are so exact; 0: likewise */
	uint32_t progress_ms; /* 0: no progress events */
	const char *event; /* "": the default */
	const char *title; /* "": made by perfd */
};

/* Also checks that both sides speak the same version. */
int client_hello(struct client *client, uint64_t timeout_ns, struct error *error);
int client_open(struct client *client, const struct client_session *session, struct error *error,
		uint32_t *ret_session, uint32_t *ret_frequency);
/* Puts libperfd-heap.so into the session's process. */
int client_heap(struct client *client, uint32_t session, struct error *error);
/* Ends the session and forgets it, with what it has. */
int client_close(struct client *client, uint32_t session, struct error *error);
/* Ends a session and takes its result: by its id, or (if that is 0) the newest
 * background session on `pid`. *ret is the caller's; *ret_end says why the session
 * ended and lives until the next call. */
int client_detach(struct client *client, uint32_t session, int32_t pid, struct error *error,
		  const char **ret_end, struct profile **ret);
/* A part of the time that perfd keeps, and of whom; all zero: all of it. */
struct client_range {
	uint64_t last_ns; /* the last so much, or */
	uint64_t since_ns, until_ns; /* CLOCK_REALTIME; 0: open */
	uint32_t steps; /* of the time axis, about; 0: none is needed */
	pid_t pid; /* 0: all */
	/* Names, or patterns; NULL: all. */
	const char *comm, *cgroup, *unit, *container, *host;
};
/* The system-wide view of an event ("": CPU time). */
int client_recent(struct client *client, const char *event, const struct client_range *range,
		  struct error *error, struct profile **ret);
/* `list`: "windows" or "services"; the text lives until the next call. */
int client_history(struct client *client, const char *list, const char *event,
		   const struct client_range *range, struct error *error, const char **ret);
/* What a session has so far; it goes on. */
int client_look(struct client *client, uint32_t session, struct error *error, struct profile **ret);
/* A request whose reply is JSON, with one field of text (NULL: without): the answer lives
 * until the next call. */
int client_ask(struct client *client, enum message_type type, enum protocol_field field,
	       const char *value, struct error *error, const char **ret);
/* Asks for what came of a session since it was last taken, without waiting for the answer. */
int client_ask_take(struct client *client, uint32_t session, struct error *error);
/* The answer, if it is whole by now: else -EAGAIN. */
int client_take_answer(struct client *client, struct error *error, struct profile **ret);
/* status or sessions: the text lives until the next call. */
/* With hz: sets the session's rate first; 0: the controller's again. */
int client_rates(struct client *client, const uint32_t *session, uint32_t hz, struct error *error,
		 const char **ret);
int client_json(struct client *client, enum message_type type, struct error *error,
		const char **ret);
