/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/server_internal.h"

/* Requests that do something, and what that is called; of others only a refusal is told. */
static const struct {
	enum message_type type;
	const char *op;
} ops[] = {
	{MESSAGE_OPEN, "attach"},   {MESSAGE_STOP, "stop"},        {MESSAGE_CLOSE, "close"},
	{MESSAGE_DETACH, "detach"}, {MESSAGE_HEAP, "heap-inject"}, {MESSAGE_RELOAD, "reload"},
	{MESSAGE_RATES, "rate"},
};

/* What a process calls itself, and whose it is; "" and -1 where it is gone. */
static void read_process(pid_t pid, char comm[16], uid_t *ret_uid)
{
	_cleanup_close_ int fd = -1;
	char path[32];
	struct stat st;
	ssize_t n;

	comm[0] = '\0';
	*ret_uid = (uid_t)-1;
	if (pid <= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!fstat(fd, &st))
		*ret_uid = st.st_uid;
	n = read(fd, comm, 15);
	comm[n > 0 ? n : 0] = '\0';
	comm[strcspn(comm, "\n")] = '\0';
}

static void put_quoted(struct strbuf *out, const char *text)
{
	strbuf_putc(out, '"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			strbuf_printf(out, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			strbuf_printf(out, "\\x%02x", c);
		else
			strbuf_putc(out, *text);
	}
	strbuf_putc(out, '"');
}

static uint32_t session_of(const struct connection *connection, const struct message *message)
{
	const struct server_session *at = connection->server->sessions;
	pid_t pid = (pid_t)message_u32(message, FIELD_PID);

	if (message_has(message, FIELD_SESSION))
		return message_u32(message, FIELD_SESSION);
	for (; message->info->type == MESSAGE_DETACH && at; at = at->next)
		if (at->pid == pid && at->background)
			return at->id;
	return 0;
}

void audit_begin(const struct connection *connection, const struct message *message,
		 struct audit *ret)
{
	const struct server_session *at = connection->server->sessions;

	*ret = (struct audit){.name = message->info->name, .target_uid = (uid_t)-1};
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (ops[i].type == message->info->type)
			ret->op = ops[i].op;
	if (message->info->type == MESSAGE_RATES && !message_has(message, FIELD_SESSION))
		ret->op = NULL; /* a look */
	ret->session = session_of(connection, message);
	ret->target = (pid_t)message_u32(message, FIELD_PID);
	for (; ret->session && at; at = at->next)
		if (at->id == ret->session)
			ret->target = at->pid;
	if (message->info->type != MESSAGE_OPEN)
		return;
	/* A command that is held until somebody watches, or the whole machine. */
	if (!ret->target || message_u64(message, FIELD_WAIT_EXEC))
		ret->op = "record";
	snprintf(ret->event, sizeof(ret->event), "%s", message_text(message, FIELD_EVENT));
	if (!ret->event[0])
		snprintf(ret->event, sizeof(ret->event), "%s",
			 connection->server->options.config->event);
}

static void tell(struct connection *connection, struct audit *audit, const struct error *failure)
{
	_cleanup_(strbuf_deinit) struct strbuf line = {0};
	struct audit_log *log = &connection->server->audit;
	char comm[16];
	uid_t ignored;

	read_process(connection->peer.pid, comm, &ignored);
	strbuf_printf(&line, "audit: op=%s result=%s uid=%u gid=%u pid=%d comm=",
		      audit->op ? audit->op : audit->name,
		      !failure                                              ? "ok"
		      : failure->code == -EPERM || failure->code == -EACCES ? "refused"
									    : "failed",
		      connection->peer.uid, connection->peer.gid, (int)connection->peer.pid);
	put_quoted(&line, comm);
	if (audit->session)
		strbuf_printf(&line, " session=%u", audit->session);
	if (audit->target > 0) {
		read_process(audit->target, audit->target_comm, &audit->target_uid);
		strbuf_printf(&line, " target_pid=%d", (int)audit->target);
		if (audit->target_uid != (uid_t)-1)
			strbuf_printf(&line, " target_uid=%u", audit->target_uid);
		strbuf_puts(&line, " target_comm=");
		put_quoted(&line, audit->target_comm);
	}
	if (audit->event[0]) {
		strbuf_puts(&line, " event=");
		put_quoted(&line, audit->event);
	}
	if (failure) {
		const char *name = strerrorname_np(-failure->code);

		strbuf_printf(&line, " error=%s reason=", name ? name : "?");
		put_quoted(&line, failure->text);
		if (log->left_out)
			strbuf_printf(&line, " left_out=%llu", (unsigned long long)log->left_out);
		log->left_out = 0;
	}
	log_notice("%s", strbuf_text(&line));
}

/* Whether one more refusal may be told in this second. */
static bool may_tell(struct audit_log *log)
{
	uint64_t second = clock_boot_ns() / NSEC_PER_SEC;

	if (second != log->second)
		*log = (struct audit_log){.second = second, .left_out = log->left_out};
	if (log->refusals++ < AUDIT_REFUSALS_PER_SECOND)
		return true;
	log->left_out++;
	return false;
}

void audit_request(struct connection *connection, struct audit *audit, int r,
		   const struct error *error)
{
	bool refused = r == -EPERM || r == -EACCES;

	if (connection->gone || (!audit->op && !refused))
		return;
	if (r < 0) {
		if (may_tell(&connection->server->audit))
			tell(connection, audit, error);
		return;
	}
	/* A session that was opened stands first. */
	if (audit->event[0] && connection->server->sessions)
		audit->session = connection->server->sessions->id;
	tell(connection, audit, NULL);
}

void audit_heap(struct connection *connection, const struct server_session *session,
		const struct error *error)
{
	struct audit audit = {.op = "heap-injected",
			      .name = "heap",
			      .session = session->id,
			      .target = session->pid,
			      .target_uid = (uid_t)-1};

	if (!connection->gone)
		tell(connection, &audit, error->code ? error : NULL);
}
