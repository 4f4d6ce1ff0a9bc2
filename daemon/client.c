/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "flamegraph/profile_wire.h"

#define READ_CHUNK (256 * 1024)
#define CONNECT_TIMEOUT_S 10

void client_init(struct client *client, int fd)
{
	*client = (struct client){.fd = fd, .interrupt_fd = -1};
}

void client_deinit(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	strbuf_deinit(&client->input);
	client_init(client, -1);
}

int client_connect(const char *path, struct error *error, struct client *ret)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = CONNECT_TIMEOUT_S};
	_cleanup_close_ int fd = -1;

	if (!*path || strlen(path) >= sizeof(address.sun_path))
		return error_set(error, -ENAMETOOLONG, "--socket needs a path of 1 to %zu bytes",
				 sizeof(address.sun_path) - 1);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(error, -errno, "cannot create a socket: %s", strerror(errno));
	/* A perfd that hangs has a full queue, and connect() would wait in it. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED)
			return error_set(error, -errno, "no perfd answers on %s", path);
		return error_set(error, -errno, "cannot connect to perfd on %s: %s", path,
				 strerror(errno));
	}
	client_init(ret, TAKE_FD(fd));
	return 0;
}

static int gone(struct error *error)
{
	return error_set(error, -ECONNRESET, "perfd closed the connection");
}

/* Waits until the socket is ready for `events`. */
static int wait_ready(const struct client *client, short events, uint64_t deadline_ns,
		      struct error *error)
{
	struct pollfd fds[] = {{.fd = client->fd, .events = events},
			       {.fd = client->interrupt_fd, .events = POLLIN}};

	for (;;) {
		uint64_t now = clock_boot_ns();
		uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
		struct timespec timeout = {.tv_sec = (time_t)(left / NSEC_PER_SEC),
					   .tv_nsec = (long)(left % NSEC_PER_SEC)};
		int n = ppoll(fds, 2, &timeout, NULL);

		if (n < 0 && errno != EINTR)
			return error_set(error, -errno, "cannot wait for perfd: %s",
					 strerror(errno));
		if (n > 0 && fds[1].revents)
			return error_set(error, -EINTR, "interrupted");
		if (n > 0)
			return 0;
		if (n == 0)
			return error_set(error, -ETIMEDOUT, "perfd does not answer");
	}
}

static int send_all(const struct client *client, const struct strbuf *buf, uint64_t deadline_ns,
		    struct error *error)
{
	size_t sent = 0;

	while (sent < buf->length) {
		ssize_t n = send(client->fd, buf->data + sent, buf->length - sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return 0; /* perhaps it has said why: the reader finds out */
		} else if (errno == EAGAIN) {
			int r = wait_ready(client, POLLOUT, deadline_ns, error);

			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return error_set(error, -errno, "cannot ask perfd: %s", strerror(errno));
		}
	}
	return 0;
}

/* Takes the next frame out of the buffer: -EAGAIN if it is not whole yet. */
static int take_frame(struct client *client, struct error *error, struct message *ret)
{
	struct protocol_header header;
	size_t left;
	int r;

	/* What the last message pointed into is not needed any more. */
	if (client->taken) {
		left = client->input.length - client->taken;
		memmove(client->input.data, client->input.data + client->taken, left);
		client->input.length = left;
		client->taken = 0;
	}
	if (client->input.length < PROTOCOL_HEADER_SIZE)
		return -EAGAIN;
	protocol_header_decode(client->input.data, &header);
	r = protocol_header_check(&header, PROTOCOL_REPLY_MAX, error);
	if (r < 0)
		return error_prefix(error, "perfd's answer");
	if (client->input.length - PROTOCOL_HEADER_SIZE < header.length)
		return -EAGAIN;
	client->taken = PROTOCOL_HEADER_SIZE + header.length;
	r = message_decode(&header, client->input.data + PROTOCOL_HEADER_SIZE, ret, error);
	return r < 0 ? error_prefix(error, "perfd's answer") : 0;
}

/* Reads what is there, straight into the buffer. */
static int read_more(struct client *client, struct error *error)
{
	struct strbuf *input = &client->input;
	static const char room[4096];
	size_t at = input->length;
	ssize_t n;

	/* strbuf grows by appending only; the room is overwritten at once. */
	if (input->capacity - at <= sizeof(room))
		strbuf_append(input, room, sizeof(room));
	if (strbuf_error(input))
		return error_set(error, -ENOMEM, "no memory for perfd's answer");
	input->length = at;
	n = input->capacity - at - 1 < READ_CHUNK ? (ssize_t)(input->capacity - at - 1)
						  : READ_CHUNK;
	n = recv(client->fd, input->data + at, (size_t)n, MSG_DONTWAIT);
	if (n == 0)
		return gone(error);
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		return errno == ECONNRESET
			       ? gone(error)
			       : error_set(error, -errno, "cannot read perfd's answer: %s",
					   strerror(errno));
	}
	input->length = at + (size_t)n;
	return 0;
}

int client_receive(struct client *client, uint64_t deadline_ns, struct error *error,
		   struct message *ret)
{
	bool looked = false;

	for (;;) {
		int r = take_frame(client, error, ret);

		if (r != -EAGAIN)
			return r;
		if (!deadline_ns) {
			struct pollfd now = {.fd = client->fd, .events = POLLIN};

			if (looked || poll(&now, 1, 0) <= 0)
				return -EAGAIN;
			looked = true;
		} else {
			r = wait_ready(client, POLLIN, deadline_ns, error);
			if (r < 0)
				return r;
		}
		r = read_more(client, error);
		if (r < 0)
			return r;
	}
}

size_t client_begin(struct client *client, enum message_type type, struct strbuf *buf)
{
	return message_begin(buf, type, ++client->serial);
}

static int check_reply(const struct message *message, enum message_type want, struct error *error)
{
	if (message->info->type == MESSAGE_ERROR) {
		int code = (int)(message_u32(message, FIELD_CODE) & 0xfff);

		return error_set(error, code ? -code : -EIO, "%s",
				 message_text(message, FIELD_TEXT));
	}
	if (message->info->type != want)
		return error_set(error, -EPROTO, "perfd answered with \"%s\", not with \"%s\"",
				 message->info->name, message_info((uint16_t)want)->name);
	return 0;
}

int client_call(struct client *client, struct strbuf *buf, enum message_type want,
		uint64_t timeout_ns, struct error *error, struct message *ret)
{
	uint64_t deadline = clock_boot_ns() + timeout_ns;
	struct message message = {0};
	int r;

	message_end(buf, 0);
	r = strbuf_error(buf) ? error_set(error, -ENOMEM, "no memory for a request")
			      : send_all(client, buf, deadline, error);
	strbuf_deinit(buf);
	if (r < 0)
		return r;
	for (;;) {
		r = client_receive(client, deadline, error, &message);
		if (r < 0 || !message.info)
			return r;
		if (message.info->kind == MESSAGE_EVENT)
			continue;
		/* Serial 0: perfd ends the connection, whatever was asked. */
		if (message.serial == client->serial ||
		    (message.serial == 0 && message.info->type == MESSAGE_ERROR))
			break;
	}
	r = check_reply(&message, want, error);
	if (r < 0)
		return r;
	*ret = message;
	return 0;
}

int client_hello(struct client *client, uint64_t timeout_ns, struct error *error)
{
	struct strbuf buf = {0};
	struct message reply;

	client_begin(client, MESSAGE_HELLO, &buf);
	message_put_text(&buf, FIELD_PROGRAM, "perfctl " PERFD_VERSION);
	message_put_number(&buf, FIELD_SENDER_PID, (uint32_t)getpid());
	return client_call(client, &buf, MESSAGE_WELCOME, timeout_ns, error, &reply);
}

int client_open(struct client *client, const struct client_session *session, struct error *error,
		uint32_t *ret_session, uint32_t *ret_frequency)
{
	struct strbuf buf = {0};
	struct message reply;
	int r;

	client_begin(client, MESSAGE_OPEN, &buf);
	message_put_number(&buf, FIELD_PID, (uint32_t)session->pid);
	message_put_number(&buf, FIELD_WAIT_EXEC, session->wait_exec);
	message_put_number(&buf, FIELD_BACKGROUND, session->background);
	message_put_number(&buf, FIELD_FREQUENCY, session->frequency_hz);
	message_put_number(&buf, FIELD_DURATION, session->duration_ns);
	message_put_number(&buf, FIELD_PROGRESS, session->progress_ms);
	if (session->precision_ppm) /* a perfd that does not know it says so */
		message_put_number(&buf, FIELD_PRECISION, session->precision_ppm);
	message_put_text(&buf, FIELD_EVENT, session->event);
	message_put_text(&buf, FIELD_TITLE, session->title);
	r = client_call(client, &buf, MESSAGE_OPENED, CLIENT_TIMEOUT_NS, error, &reply);
	if (r < 0)
		return r;
	*ret_session = message_u32(&reply, FIELD_SESSION);
	*ret_frequency = message_u32(&reply, FIELD_ACTUAL_FREQUENCY);
	return 0;
}

static int decode_profile(const struct message *reply, struct error *error, struct profile **ret)
{
	const struct message_value *bytes = &reply->values[FIELD_PROFILE];
	int r = profile_decode(bytes->bytes, bytes->size, error, ret);

	return r < 0 ? error_prefix(error, "perfd's profile") : 0;
}

static int call_for_profile(struct client *client, struct strbuf *buf, struct error *error,
			    const char **ret_end, struct profile **ret)
{
	struct message reply;
	int r = client_call(client, buf, MESSAGE_PROFILE, CLIENT_TIMEOUT_NS, error, &reply);

	if (!r)
		r = decode_profile(&reply, error, ret);
	if (r < 0)
		return r;
	*ret_end = message_text(&reply, FIELD_END);
	return 0;
}

int client_heap(struct client *client, uint32_t session, struct error *error)
{
	struct message reply;
	struct strbuf buf = {0};

	client_begin(client, MESSAGE_HEAP, &buf);
	message_put_number(&buf, FIELD_SESSION, session);
	return client_call(client, &buf, MESSAGE_OK, CLIENT_TIMEOUT_NS, error, &reply);
}

int client_detach(struct client *client, uint32_t session, int32_t pid, struct error *error,
		  const char **ret_end, struct profile **ret)
{
	struct strbuf buf = {0};

	client_begin(client, MESSAGE_DETACH, &buf);
	if (session)
		message_put_number(&buf, FIELD_SESSION, session);
	else
		message_put_number(&buf, FIELD_PID, (uint32_t)pid);
	return call_for_profile(client, &buf, error, ret_end, ret);
}

int client_close(struct client *client, uint32_t session, struct error *error)
{
	struct strbuf buf = {0};
	struct message reply;

	client_begin(client, MESSAGE_CLOSE, &buf);
	message_put_number(&buf, FIELD_SESSION, session);
	return client_call(client, &buf, MESSAGE_OK, CLIENT_TIMEOUT_NS, error, &reply);
}

static void put_range(struct strbuf *buf, const char *event, const struct client_range *range)
{
	const struct {
		enum protocol_field field;
		uint64_t value;
	} numbers[] = {
		{FIELD_DURATION, range->last_ns},  {FIELD_SINCE, range->since_ns},
		{FIELD_UNTIL, range->until_ns},    {FIELD_STEPS, range->steps},
		{FIELD_PID, (uint32_t)range->pid},
	};
	const struct {
		enum protocol_field field;
		const char *text;
	} texts[] = {
		{FIELD_EVENT, *event ? event : NULL}, {FIELD_COMM, range->comm},
		{FIELD_CGROUP, range->cgroup},        {FIELD_UNIT, range->unit},
		{FIELD_CONTAINER, range->container},  {FIELD_HOST, range->host},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].value)
			message_put_number(buf, numbers[i].field, numbers[i].value);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].text)
			message_put_text(buf, texts[i].field, texts[i].text);
}

int client_recent(struct client *client, const char *event, const struct client_range *range,
		  struct error *error, struct profile **ret)
{
	struct strbuf buf = {0};
	const char *end;

	client_begin(client, MESSAGE_RECENT, &buf);
	put_range(&buf, event, range);
	return call_for_profile(client, &buf, error, &end, ret);
}

int client_history(struct client *client, const char *list, const char *event,
		   const struct client_range *range, struct error *error, const char **ret)
{
	struct strbuf buf = {0};
	struct message reply;
	int r;

	client_begin(client, MESSAGE_HISTORY, &buf);
	message_put_text(&buf, FIELD_LIST, list);
	put_range(&buf, event, range);
	r = client_call(client, &buf, MESSAGE_JSON, CLIENT_TIMEOUT_NS, error, &reply);
	if (r < 0)
		return r;
	*ret = message_text(&reply, FIELD_JSON);
	return 0;
}

int client_look(struct client *client, uint32_t session, struct error *error, struct profile **ret)
{
	struct strbuf buf = {0};
	const char *end;

	client_begin(client, MESSAGE_LOOK, &buf);
	message_put_number(&buf, FIELD_SESSION, session);
	return call_for_profile(client, &buf, error, &end, ret);
}

int client_ask_take(struct client *client, uint32_t session, struct error *error)
{
	struct strbuf buf = {0};
	int r;

	client_begin(client, MESSAGE_LOOK, &buf);
	message_put_number(&buf, FIELD_SESSION, session);
	message_put_number(&buf, FIELD_TAKE, 1);
	message_end(&buf, 0);
	r = strbuf_error(&buf) ? error_set(error, -ENOMEM, "no memory for a request")
			       : send_all(client, &buf, clock_boot_ns() + CLIENT_TIMEOUT_NS, error);
	strbuf_deinit(&buf);
	return r;
}

int client_take_answer(struct client *client, struct error *error, struct profile **ret)
{
	struct message message;
	int r;

	do {
		r = client_receive(client, 0, error, &message);
		if (r)
			return r;
	} while (message.info->kind == MESSAGE_EVENT ||
		 (message.serial != client->serial && message.serial));
	r = check_reply(&message, MESSAGE_PROFILE, error);
	return r ? r : decode_profile(&message, error, ret);
}

int client_ask(struct client *client, enum message_type type, enum protocol_field field,
	       const char *value, struct error *error, const char **ret)
{
	struct strbuf buf = {0};
	struct message reply;
	int r;

	client_begin(client, type, &buf);
	if (value)
		message_put_text(&buf, field, value);
	r = client_call(client, &buf, MESSAGE_JSON, CLIENT_TIMEOUT_NS, error, &reply);
	if (r < 0)
		return r;
	*ret = message_text(&reply, FIELD_JSON);
	return 0;
}

int client_json(struct client *client, enum message_type type, struct error *error,
		const char **ret)
{
	return client_ask(client, type, FIELD_END_OF_TAGS, NULL, error, ret);
}

int client_rates(struct client *client, const uint32_t *session, uint32_t hz, struct error *error,
		 const char **ret)
{
	struct strbuf buf = {0};
	struct message reply;
	int r;

	client_begin(client, MESSAGE_RATES, &buf);
	if (session) {
		message_put_number(&buf, FIELD_SESSION, *session);
		message_put_number(&buf, FIELD_FREQUENCY, hz);
	}
	r = client_call(client, &buf, MESSAGE_JSON, CLIENT_TIMEOUT_NS, error, &reply);
	if (r < 0)
		return r;
	*ret = message_text(&reply, FIELD_JSON);
	return 0;
}
