/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/top_feed.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/command.h"
#include "daemon/process_list.h"
#include "flamegraph/profile_wire.h"

static int open_session(struct top_feed *feed, const char *event, uint32_t frequency_hz,
			struct error *error, uint32_t *ret)
{
	const struct client_session session = {
		.event = event, .frequency_hz = frequency_hz, .title = "perfctl top"};
	uint32_t actual;
	int r = client_open(&feed->client, &session, error, ret, &actual);

	if (!r && !feed->frequency_hz)
		feed->frequency_hz = actual;
	return r;
}

/* What perfd says of itself, and what the kernel says of it: if it has the same pid in both,
 * it is in this pid namespace, and its pids are those of our /proc. */
static int greet(struct top_feed *feed, struct error *error)
{
	struct strbuf buf = {0};
	struct message reply;
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	int r;

	client_begin(&feed->client, MESSAGE_HELLO, &buf);
	message_put_text(&buf, FIELD_PROGRAM, "perfctl " PERFD_VERSION);
	message_put_number(&buf, FIELD_SENDER_PID, (uint32_t)getpid());
	r = client_call(&feed->client, &buf, MESSAGE_WELCOME, CLIENT_TIMEOUT_NS, error, &reply);
	if (r)
		return r;
	feed->all = message_u64(&reply, FIELD_PRIVILEGED);
	feed->same_pids = !getsockopt(feed->client.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
			  peer.pid == (pid_t)message_u32(&reply, FIELD_SENDER_PID);
	return 0;
}

int top_feed_open(struct top_feed *feed, const struct options *options, struct error *error)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct error ignored;
	int r;

	*feed = (struct top_feed){.cpus = cpus > 0 ? (uint32_t)cpus : 1};
	r = command_connect(options, error, &feed->client);
	if (r) {
		client_init(&feed->client, -1);
		return r;
	}
	r = greet(feed, error);
	if (!r)
		r = open_session(feed, "cpu-clock", options->frequency_hz, error,
				 &feed->cpu_session);
	if (!r && open_session(feed, "faults", 0, &ignored, &feed->faults_session))
		feed->faults_session = 0;
	if (r)
		top_feed_close(feed);
	return r;
}

void top_feed_close(struct top_feed *feed)
{
	client_deinit(&feed->client);
	profile_destroy(feed->cpu);
	profile_destroy(feed->faults);
	feed->cpu = feed->faults = NULL;
}

int top_feed_fd(const struct top_feed *feed)
{
	return feed->client.fd;
}

int top_feed_ask(struct top_feed *feed, struct error *error)
{
	int r = client_ask_take(&feed->client, feed->cpu_session, error);

	if (!r)
		feed->state = TOP_FEED_CPU;
	return r;
}

/* Both are there: into the model. */
static int finish(struct top_feed *feed, struct top_model *model, struct error *error)
{
	struct top_facts facts = {0};
	uint64_t until = feed->cpu->duration_ns;
	uint64_t duration = until > feed->until_ns ? until - feed->until_ns : 1;
	int r;

	feed->until_ns = until;
	feed->state = TOP_FEED_IDLE;
	if (feed->same_pids)
		process_list(!feed->all, &facts);
	r = top_model_add(model, feed->cpu, feed->faults, duration, &facts);
	feed->cpu = feed->faults = NULL;
	free(facts.items);
	return r ? error_set(error, r, "no memory for what perfd saw") : 0;
}

int top_feed_poll(struct top_feed *feed, struct top_model *model, struct error *error)
{
	int r;

	if (feed->state == TOP_FEED_CPU) {
		r = client_take_answer(&feed->client, error, &feed->cpu);
		if (r)
			return r;
		if (!feed->faults_session)
			return finish(feed, model, error);
		r = client_ask_take(&feed->client, feed->faults_session, error);
		if (r)
			return r;
		feed->state = TOP_FEED_FAULTS;
	}
	r = client_take_answer(&feed->client, error, &feed->faults);
	return r ? r : finish(feed, model, error);
}

int top_feed_next(struct top_feed *feed, struct top_model *model, int interrupt_fd,
		  struct error *error)
{
	struct pollfd fds[] = {{.fd = top_feed_fd(feed), .events = POLLIN},
			       {.fd = interrupt_fd, .events = POLLIN}};
	int r = top_feed_ask(feed, error);

	while (!r) {
		r = top_feed_poll(feed, model, error);
		if (r != -EAGAIN)
			return r;
		r = poll(fds, 2, (int)(CLIENT_TIMEOUT_NS / NSEC_PER_MSEC));
		if (!r)
			return error_set(error, -ETIMEDOUT, "perfd does not answer");
		if (r > 0 && fds[1].revents)
			return error_set(error, -EINTR, "interrupted");
		r = 0;
	}
	return r;
}
