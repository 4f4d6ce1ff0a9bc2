/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/metrics_server.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/metrics_text.h"
#include "symbolizer/sandbox.h"

#define LIBRARY "libmicrohttpd.so.12"
#define TEXT_MAX (512u * 1024)
#define FRESH_NS NSEC_PER_SEC
#define ANSWER_NS (5 * NSEC_PER_SEC) /* that the daemon may take */
#define NICE 10

#define TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define TYPE_PLAIN "text/plain; version=0.0.4; charset=utf-8"

/* X(result, name, parameters): what is used of libmicrohttpd. */
#define FUNCTIONS(X)                                                                               \
	X(struct MHD_Daemon *, start_daemon,                                                       \
	  (unsigned flags, uint16_t port, MHD_AcceptPolicyCallback, void *,                        \
	   MHD_AccessHandlerCallback, void *, ...))                                                \
	X(enum MHD_Result, run, (struct MHD_Daemon *))                                             \
	X(enum MHD_Result, get_timeout, (struct MHD_Daemon *, MHD_UNSIGNED_LONG_LONG *))           \
	X(const union MHD_DaemonInfo *, get_daemon_info,                                           \
	  (struct MHD_Daemon *, enum MHD_DaemonInfoType, ...))                                     \
	X(const union MHD_ConnectionInfo *, get_connection_info,                                   \
	  (struct MHD_Connection *, enum MHD_ConnectionInfoType, ...))                             \
	X(const char *, lookup_connection_value,                                                   \
	  (struct MHD_Connection *, enum MHD_ValueKind, const char *))                             \
	X(struct MHD_Response *, create_response_from_buffer,                                      \
	  (size_t, void *, enum MHD_ResponseMemoryMode))                                           \
	X(enum MHD_Result, add_response_header,                                                    \
	  (struct MHD_Response *, const char *, const char *))                                     \
	X(enum MHD_Result, queue_response,                                                         \
	  (struct MHD_Connection *, unsigned, struct MHD_Response *))                              \
	X(void, destroy_response, (struct MHD_Response *))                                         \
	X(void, suspend_connection, (struct MHD_Connection *))                                     \
	X(void, resume_connection, (struct MHD_Connection *))

struct library {
#define X(result, name, parameters) result(*name) parameters;
	FUNCTIONS(X)
#undef X
};

struct text {
	char *bytes; /* NULL: none yet */
	size_t length;
	uint64_t at; /* boot time, ns; when it came */
	uint64_t asked; /* likewise; 0: it is not asked for */
};

/* A connection: they are few, and in one table. */
struct client {
	struct MHD_Connection *connection; /* NULL: free */
	uint64_t since; /* boot time, ns */
	bool suspended; /* waits for a text */
	bool waited;
	bool ended; /* shut down for its age */
	enum metrics_form form;
};

struct service {
	struct library library;
	struct MHD_Daemon *daemon;
	int daemon_fd; /* epoll */
	int control;
	struct text texts[METRICS_FORM_COUNT];
	struct client clients[METRICS_CONNECTIONS_MAX];
};

/* ---- handing over ---- */

int metrics_server_hand_over(int socket, int listening)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char byte = 0;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control.space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &listening, sizeof(listening));
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int take_over(int socket, int *ret)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control.space)};
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPROTO;
	memcpy(ret, CMSG_DATA(header), sizeof(int));
	return 0;
}

/* ---- clients ---- */

static struct client *find_client(struct service *service, const struct MHD_Connection *connection)
{
	for (size_t i = 0; i < METRICS_CONNECTIONS_MAX; i++)
		if (service->clients[i].connection == connection)
			return &service->clients[i];
	return NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **unused,
			  enum MHD_ConnectionNotificationCode code)
{
	bool begins = code == MHD_CONNECTION_NOTIFY_STARTED;
	struct client *client = find_client(context, begins ? NULL : connection);

	(void)unused;
	if (client)
		*client =
			begins ? (struct client){.connection = connection, .since = clock_boot_ns()}
			       : (struct client){0};
}

/* Whoever is slow loses the connection: libmicrohttpd's own limit is on silence only. */
static void end_old_ones(struct service *service, uint64_t now)
{
	for (size_t i = 0; i < METRICS_CONNECTIONS_MAX; i++) {
		struct client *client = &service->clients[i];
		const union MHD_ConnectionInfo *info;

		if (!client->connection || client->suspended || client->ended ||
		    now - client->since < METRICS_CONNECTION_NS)
			continue;
		info = service->library.get_connection_info(client->connection,
							    MHD_CONNECTION_INFO_CONNECTION_FD);
		if (info)
			shutdown(info->connect_fd, SHUT_RDWR);
		client->ended = true;
	}
}

/* ---- answers ---- */

static enum MHD_Result answer(struct service *service, struct MHD_Connection *connection,
			      unsigned status, const char *type, const char *bytes, size_t length)
{
	const struct library *mhd = &service->library;
	struct MHD_Response *response = mhd->create_response_from_buffer(
		length, (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	mhd->add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	mhd->add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		mhd->add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = mhd->queue_response(connection, status, response);
	mhd->destroy_response(response);
	return result;
}

static enum MHD_Result refuse(struct service *service, struct MHD_Connection *connection,
			      unsigned status, const char *text)
{
	return answer(service, connection, status, "text/plain; charset=utf-8", text, strlen(text));
}

static bool is_fresh(const struct text *text)
{
	return text->bytes && clock_boot_ns() - text->at < FRESH_NS;
}

/* False: the daemon is not to be asked. */
static bool ask(struct service *service, enum metrics_form form)
{
	uint8_t byte = (uint8_t)form;

	if (service->texts[form].asked)
		return true;
	if (send(service->control, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		return false;
	service->texts[form].asked = clock_boot_ns();
	return true;
}

static enum MHD_Result serve(struct service *service, struct MHD_Connection *connection)
{
	struct client *client = find_client(service, connection);
	const char *accept = service->library.lookup_connection_value(connection, MHD_HEADER_KIND,
								      MHD_HTTP_HEADER_ACCEPT);
	enum metrics_form form = accept && strstr(accept, "application/openmetrics-text")
					 ? METRICS_OPENMETRICS
					 : METRICS_PLAIN;
	const struct text *text = &service->texts[form];

	if (is_fresh(text))
		return answer(service, connection, MHD_HTTP_OK,
			      form == METRICS_OPENMETRICS ? TYPE_OPENMETRICS : TYPE_PLAIN,
			      text->bytes, text->length);
	if (!client || client->waited || !ask(service, form))
		return refuse(service, connection, MHD_HTTP_SERVICE_UNAVAILABLE,
			      "perfd gives no answer\n");
	client->suspended = client->waited = true;
	client->form = form;
	service->library.suspend_connection(connection);
	return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_size, void **state)
{
	struct service *service = context;

	(void)version;
	(void)data;
	/* Once with the head alone; a body is not read, but the answer comes after it. */
	if (!*state) {
		*state = service;
		return MHD_YES;
	}
	if (*data_size) {
		*data_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(service, connection, MHD_HTTP_METHOD_NOT_ALLOWED,
			      "only GET and HEAD\n");
	if (strcmp(url, "/metrics") != 0)
		return refuse(service, connection, MHD_HTTP_NOT_FOUND, "there is only /metrics\n");
	return serve(service, connection);
}

/* ---- texts ---- */

static void resume(struct service *service, enum metrics_form form)
{
	for (size_t i = 0; i < METRICS_CONNECTIONS_MAX; i++) {
		struct client *client = &service->clients[i];

		if (!client->suspended || client->form != form)
			continue;
		client->suspended = false;
		service->library.resume_connection(client->connection);
	}
	service->texts[form].asked = 0;
}

static void give_up_waiting(struct service *service, uint64_t now)
{
	for (unsigned form = 0; form < METRICS_FORM_COUNT; form++)
		if (service->texts[form].asked && now - service->texts[form].asked > ANSWER_NS)
			resume(service, (enum metrics_form)form);
}

static void take_text(struct service *service)
{
	static const size_t size = TEXT_MAX;
	char *packet = malloc(size);
	ssize_t n = packet ? recv(service->control, packet, size, MSG_DONTWAIT) : -1;
	struct text *text;

	if (n == 0)
		_exit(EXIT_SUCCESS); /* the daemon is gone */
	if (n < 1 || (unsigned char)packet[0] >= METRICS_FORM_COUNT) {
		free(packet);
		return;
	}
	text = &service->texts[(unsigned char)packet[0]];
	free(text->bytes);
	memmove(packet, packet + 1, (size_t)n - 1);
	text->bytes = packet;
	text->length = (size_t)n - 1;
	text->at = clock_boot_ns();
	resume(service, (enum metrics_form)(text - service->texts));
}

/* ---- the process ---- */

static int load(struct library *ret)
{
	void *library = dlopen(LIBRARY, RTLD_NOW);

	if (!library) {
		log_error("metrics need %s (Debian: libmicrohttpd12)", LIBRARY);
		return -ENOSYS;
	}
#define X(result, name, parameters)                                                                \
	*(void **)&ret->name = dlsym(library, "MHD_" #name);                                       \
	if (!ret->name) {                                                                          \
		log_error("%s has no MHD_%s", LIBRARY, #name);                                     \
		return -ENOSYS;                                                                    \
	}
	FUNCTIONS(X)
#undef X
	return 0;
}

static int start(struct service *service, int listening)
{
	const struct MHD_OptionItem options[] = {
		{MHD_OPTION_LISTEN_SOCKET, listening, NULL},
		{MHD_OPTION_CONNECTION_LIMIT, METRICS_CONNECTIONS_MAX, NULL},
		{MHD_OPTION_CONNECTION_TIMEOUT, METRICS_CONNECTION_NS / NSEC_PER_SEC, NULL},
		{MHD_OPTION_CONNECTION_MEMORY_LIMIT, METRICS_REQUEST_MAX, NULL},
		{MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, service},
		{MHD_OPTION_END, 0, NULL},
	};
	const union MHD_DaemonInfo *info;

	service->daemon = service->library.start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0,
							NULL, NULL, on_request, service,
							MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	if (!service->daemon)
		return log_error_errno(-EIO, "metrics: libmicrohttpd does not start");
	info = service->library.get_daemon_info(service->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || info->epoll_fd < 0)
		return log_error_errno(-EIO, "metrics: libmicrohttpd has no epoll descriptor");
	service->daemon_fd = info->epoll_fd;
	return 0;
}

static int wait_ms(struct service *service)
{
	MHD_UNSIGNED_LONG_LONG own = 1000;

	if (service->library.get_timeout(service->daemon, &own) != MHD_YES || own > 1000)
		own = 1000;
	return (int)own;
}

static _Noreturn void loop(struct service *service)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = service->control, .events = POLLIN},
				       {.fd = service->daemon_fd, .events = POLLIN}};
		uint64_t now;

		if (poll(fds, 2, wait_ms(service)) < 0 && errno != EINTR)
			_exit(EXIT_FAILURE);
		if (fds[0].revents)
			take_text(service);
		now = clock_boot_ns();
		give_up_waiting(service, now);
		end_old_ones(service, now);
		service->library.run(service->daemon);
	}
}

int metrics_server_main(int fd)
{
	static const struct sandbox_config sandbox = {
		.keep_fd = SANDBOX_KEEP_ALL, .die_with_parent = true, .serves = true};
	struct service *service = calloc(1, sizeof(*service));
	int listening = -1;

	sandbox_close_others(fd);
	sandbox_ignore_signals();
	setpriority(PRIO_PROCESS, 0, NICE);
	tzset(); /* gmtime() would open the time zone's file */
	if (!service || take_over(fd, &listening))
		_exit(EXIT_FAILURE);
	service->control = fd;
	/* Both before the sandbox, which lets nothing be loaded or made; nobody is heard yet. */
	if (load(&service->library) || start(service, listening))
		_exit(EXIT_FAILURE);
	sandbox_enter(&sandbox);
	loop(service);
}
