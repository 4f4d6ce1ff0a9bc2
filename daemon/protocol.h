/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What perfctl and perfd say to each other over the control socket (a Unix
 * stream socket): frames of a fixed header and tagged fields, little-endian.
 *
 *	header	u32 length of the payload, u16 message type, u16 protocol
 *		version, u32 serial
 *	payload	any number of fields: u16 tag, u32 length, bytes
 *
 * A request carries a serial of the client's choice; its one reply carries the
 * same. Events come unasked, with the serial of the request that opened their
 * session. The header and the message ERROR stay as they are in all versions,
 * so that two programs of different versions can still tell each other why
 * they do not understand one another.
 *
 * Each message names the fields it must and may have: an unknown, missing,
 * doubled or oversized field is an error that names it. Text is sent with its
 * NUL and without another one inside, so that it can be used where it lies.
 *
 * Ownership: a decoded message points into the payload it was decoded from.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/strbuf.h"

#define PROTOCOL_VERSION 1
#define PROTOCOL_HEADER_SIZE 12
#define PROTOCOL_REQUEST_MAX (64u * 1024) /* bytes of a request's payload */
#define PROTOCOL_REPLY_MAX (256u * 1024 * 1024) /* of a reply's or an event's */

/* Values of the field "end", as engine.h names them. */
#define PROTOCOL_END_EXIT "exit"

enum field_type {
	FIELD_TYPE_BOOL, /* one byte, 0 or 1 */
	FIELD_TYPE_U32,
	FIELD_TYPE_U64,
	FIELD_TYPE_TEXT,
	FIELD_TYPE_BYTES,
};

/* X(enumerator, tag, type, most bytes, name, meaning) */
#define PROTOCOL_FIELDS(X)                                                                         \
	X(CODE, 1, U32, 4, "code", "errno of the failure")                                         \
	X(TEXT, 2, TEXT, 1024, "text", "the failure in a sentence")                                \
	X(PROGRAM, 3, TEXT, 128, "program", "name and version of who speaks")                      \
	X(SENDER_PID, 4, U32, 4, "sender_pid", "pid of who speaks, in its own pid namespace")      \
	X(PRIVILEGED, 5, BOOL, 1, "privileged", "the peer may see all processes")                  \
	X(JSON, 6, TEXT, PROTOCOL_REPLY_MAX, "json", "a JSON object")                              \
	X(SESSION, 7, U32, 4, "session", "id of a session")                                        \
	X(PID, 8, U32, 4, "pid", "process, in the daemon's pid namespace; 0: all")                 \
	X(WAIT_EXEC, 9, BOOL, 1, "wait_exec", "leave out what comes before the next exec")         \
	X(FREQUENCY, 10, U32, 4, "frequency_hz", "samples a second and CPU; 0: the default")       \
	X(DURATION, 11, U64, 8, "duration_ns", "of a session (0: until stopped) or a look back")   \
	X(BACKGROUND, 12, BOOL, 1, "background", "the session outlives its client")                \
	X(TITLE, 13, TEXT, 256, "title", "what was profiled, for people")                          \
	X(EVENT, 14, TEXT, 16, "event", "what is sampled; \"\": CPU")                              \
	X(PROGRESS, 15, U32, 4, "progress_ms", "time between progress events; 0: none")            \
	X(PROFILE, 16, BYTES, PROTOCOL_REPLY_MAX, "profile", "see flamegraph/profile_wire.h")      \
	X(END, 17, TEXT, 32, "end", "why a session ended: stopped, duration, exit, error")         \
	X(ELAPSED, 18, U64, 8, "elapsed_ns", "since the session was opened")                       \
	X(SAMPLES, 19, U64, 8, "samples", "taken so far")                                          \
	X(LOST, 20, U64, 8, "lost", "samples lost so far")                                         \
	X(PROCESSES, 21, U32, 4, "processes", "seen so far")                                       \
	X(FIRST_SAMPLE, 22, U64, 8, "first_sample_ns", "from open to the first sample; 0: none")   \
	X(ACTUAL_FREQUENCY, 23, U32, 4, "actual_frequency_hz", "the rate the session got")         \
	X(SINCE, 24, U64, 8, "since_ns", "CLOCK_REALTIME; a time from then on; 0: open")           \
	X(UNTIL, 25, U64, 8, "until_ns", "likewise, up to then")                                   \
	X(STEPS, 26, U32, 4, "steps", "of the time axis, about; 0 or none: no axis is needed")     \
	X(COMM, 27, TEXT, 256, "comm", "only processes of that name; * and ? are wildcards")       \
	X(CGROUP, 28, TEXT, 256, "cgroup", "likewise, by the cgroup's path")                       \
	X(UNIT, 29, TEXT, 256, "unit", "likewise, by the systemd unit")                            \
	X(CONTAINER, 30, TEXT, 256, "container", "likewise, by the container's id or name")        \
	X(HOST, 31, TEXT, 256, "host", "likewise, by the machine")                                 \
	X(LIST, 32, TEXT, 32, "list", "what of the history is listed: windows or services")        \
	X(KEY, 33, TEXT, 64, "key", "section.key of a setting")                                    \
	X(TAKE, 34, BOOL, 1, "take", "what is handed over is then forgotten")                      \
	X(PRECISION, 35, U32, 4, "precision_ppm", "the session ends when shares are so exact")

enum protocol_field {
#define X(name, tag, type, max, text, meaning) FIELD_##name = (tag),
	PROTOCOL_FIELDS(X)
#undef X
		FIELD_END_OF_TAGS
};
#define FIELD_BIT(name) (1ull << FIELD_##name)

/* Who may send a message. Requests are for any local user unless it says
 * otherwise; what of the machine they reach is decided by daemon/peer.h. */
enum message_kind {
	MESSAGE_REQUEST, /* any client */
	MESSAGE_REQUEST_OWNER, /* the session's owner, root, and the group */
	MESSAGE_REQUEST_PRIVILEGED, /* root and the group */
	MESSAGE_REPLY, /* perfd */
	MESSAGE_EVENT, /* perfd, to the client that opened the session */
};

/* What is asked of the history, by when and whose. */
#define PROTOCOL_HISTORY                                                                           \
	(FIELD_BIT(DURATION) | FIELD_BIT(EVENT) | FIELD_BIT(SINCE) | FIELD_BIT(UNTIL) |            \
	 FIELD_BIT(PID) | FIELD_BIT(COMM) | FIELD_BIT(CGROUP) | FIELD_BIT(UNIT) |                  \
	 FIELD_BIT(CONTAINER) | FIELD_BIT(HOST))

/* X(enumerator, type on the wire, name, kind, fields it must have, fields it
 *   may have, meaning and reply) */
#define PROTOCOL_MESSAGES(X)                                                                       \
	X(HELLO, 1, "hello", REQUEST, 0, FIELD_BIT(PROGRAM) | FIELD_BIT(SENDER_PID),               \
	  "who is there; reply: welcome")                                                          \
	X(STATUS, 2, "status", REQUEST, 0, 0, "how the daemon is; reply: json")                    \
	X(SESSIONS, 3, "sessions", REQUEST, 0, 0, "the sessions the peer may see; reply: json")    \
	X(OPEN, 4, "open", REQUEST, FIELD_BIT(PID),                                                \
	  FIELD_BIT(WAIT_EXEC) | FIELD_BIT(FREQUENCY) | FIELD_BIT(DURATION) |                      \
		  FIELD_BIT(BACKGROUND) | FIELD_BIT(TITLE) | FIELD_BIT(EVENT) |                    \
		  FIELD_BIT(PROGRESS) | FIELD_BIT(PRECISION),                                      \
	  "begin a session; reply: opened, later the events progress and ended")                   \
	X(STOP, 5, "stop", REQUEST_OWNER, FIELD_BIT(SESSION), 0,                                   \
	  "end a session and keep its samples; reply: ok")                                         \
	X(COLLECT, 6, "collect", REQUEST_OWNER, FIELD_BIT(SESSION), 0,                             \
	  "the result of a session that has ended; reply: profile")                                \
	X(CLOSE, 7, "close", REQUEST_OWNER, FIELD_BIT(SESSION), 0,                                 \
	  "end a session and forget it; reply: ok")                                                \
	X(DETACH, 8, "detach", REQUEST_OWNER, 0, FIELD_BIT(SESSION) | FIELD_BIT(PID),              \
	  "stop, collect and close in one; the newest background session of a pid where no "       \
	  "session is named; reply: profile")                                                      \
	X(RECENT, 9, "recent", REQUEST_PRIVILEGED, 0, PROTOCOL_HISTORY | FIELD_BIT(STEPS),         \
	  "the system-wide view of the last duration_ns (0: all that is kept), or between since "  \
	  "and until, in whole windows; reply: profile")                                           \
	X(LOOK, 10, "look", REQUEST_OWNER, FIELD_BIT(SESSION), FIELD_BIT(TAKE),                    \
	  "what a session has so far, or since the last take, which goes on; reply: profile")      \
	X(HISTORY, 11, "history", REQUEST_PRIVILEGED, FIELD_BIT(LIST), PROTOCOL_HISTORY,           \
	  "what the history on disk has of that time; reply: json")                                \
	X(HEAP, 12, "heap", REQUEST_OWNER, FIELD_BIT(SESSION), 0,                                  \
	  "put libperfd-heap.so into the session's process, until the session ends; reply: ok")    \
	X(CONFIG, 13, "config", REQUEST_PRIVILEGED, 0, FIELD_BIT(KEY),                             \
	  "the settings in force, or one of them; reply: json")                                    \
	X(RELOAD, 14, "reload", REQUEST, 0, 0,                                                     \
	  "read the settings again; of root only; reply: json")                                    \
	X(RATES, 15, "rates", REQUEST, 0, FIELD_BIT(SESSION) | FIELD_BIT(FREQUENCY),               \
	  "how often what is sampled, what that costs, and why so; with a session and a "          \
	  "frequency (0: the controller's): sets it first, of one's own session, or of any one "   \
	  "and of the system-wide view (0) for root and the group; reply: json")                   \
	X(ERROR, 64, "error", REPLY, FIELD_BIT(CODE) | FIELD_BIT(TEXT), 0, "the request failed")   \
	X(OK, 65, "ok", REPLY, 0, 0, "done")                                                       \
	X(WELCOME, 66, "welcome", REPLY,                                                           \
	  FIELD_BIT(PROGRAM) | FIELD_BIT(SENDER_PID) | FIELD_BIT(PRIVILEGED), 0,                   \
	  "who perfd is and what the peer may see")                                                \
	X(JSON, 67, "json", REPLY, FIELD_BIT(JSON), 0, "an answer for people and programs")        \
	X(OPENED, 68, "opened", REPLY, FIELD_BIT(SESSION) | FIELD_BIT(ACTUAL_FREQUENCY), 0,        \
	  "the session runs")                                                                      \
	X(PROFILE, 69, "profile", REPLY, FIELD_BIT(SESSION) | FIELD_BIT(PROFILE) | FIELD_BIT(END), \
	  0, "the samples")                                                                        \
	X(PROGRESS, 128, "progress", EVENT,                                                        \
	  FIELD_BIT(SESSION) | FIELD_BIT(ELAPSED) | FIELD_BIT(SAMPLES) | FIELD_BIT(LOST) |         \
		  FIELD_BIT(PROCESSES) | FIELD_BIT(FIRST_SAMPLE),                                  \
	  0, "how far a session is, every progress_ms")                                            \
	X(ENDED, 129, "ended", EVENT, FIELD_BIT(SESSION) | FIELD_BIT(END), 0,                      \
	  "a session ended; its samples wait for collect or detach")

enum message_type {
#define X(name, type, text, kind, must, may, meaning) MESSAGE_##name = (type),
	PROTOCOL_MESSAGES(X)
#undef X
};

/* One row of the table above; NULL for a type that is in no row. */
struct message_info {
	enum message_type type;
	const char *name;
	enum message_kind kind;
	uint64_t must, may; /* FIELD_BIT()s */
	const char *meaning;
};
const struct message_info *message_info(uint16_t type);
const char *protocol_field_name(enum protocol_field field);

struct protocol_header {
	uint32_t length; /* bytes of payload that follow */
	uint16_t type;
	uint16_t version;
	uint32_t serial;
};

/* Splits the first PROTOCOL_HEADER_SIZE bytes; any bytes give some header. */
void protocol_header_decode(const void *bytes, struct protocol_header *ret);
/* Whether the frame can be taken, judged by its header alone (before its
 * payload is there): -EPROTO for another version (the text names both), -EMSGSIZE
 * for more than `max` bytes. */
int protocol_header_check(const struct protocol_header *header, uint32_t max, struct error *error);

struct message_value {
	uint64_t number; /* of BOOL, U32, U64 */
	const char *bytes; /* of TEXT (NUL-terminated) and BYTES */
	size_t size; /* of bytes, without TEXT's NUL */
};

struct message {
	const struct message_info *info;
	uint32_t serial;
	uint64_t present; /* FIELD_BIT()s */
	struct message_value values[FIELD_END_OF_TAGS];
};

/* Decodes a payload of header->length bytes. -EBADMSG, with a text that names the
 * message and the field: an unknown type, an unknown, missing, doubled or
 * oversized field, a text without its NUL. */
int message_decode(const struct protocol_header *header, const void *payload, struct message *ret,
		   struct error *error);
static inline bool message_has(const struct message *message, enum protocol_field field)
{
	return message->present >> field & 1;
}
/* 0, false or "" where the field is absent. */
static inline uint64_t message_u64(const struct message *message, enum protocol_field field)
{
	return message->values[field].number;
}
static inline uint32_t message_u32(const struct message *message, enum protocol_field field)
{
	return (uint32_t)message->values[field].number;
}
const char *message_text(const struct message *message, enum protocol_field field);

/* Writing: message_begin, one message_put_… a field, message_end with what
 * message_begin gave. Running out of memory shows in strbuf_error(). */
size_t message_begin(struct strbuf *buf, enum message_type type, uint32_t serial);
/* For BOOL, U32 and U64 fields; the width comes from the table. */
void message_put_number(struct strbuf *buf, enum protocol_field field, uint64_t value);
/* Cut to the field's limit where it is longer. */
void message_put_text(struct strbuf *buf, enum protocol_field field, const char *text);
/* A BYTES field whose content is then appended to buf; message_end_bytes takes
 * what message_begin_bytes gave. */
size_t message_begin_bytes(struct strbuf *buf, enum protocol_field field);
void message_end_bytes(struct strbuf *buf, size_t begin);
void message_end(struct strbuf *buf, size_t begin);
