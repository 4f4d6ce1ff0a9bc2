/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/recording.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/command.h"
#include "flamegraph/report.h"

static sigset_t our_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	return set;
}

int recording_init(struct recording *recording, struct error *error)
{
	sigset_t ours = our_signals();

	*recording = (struct recording){.session = {.event = "", .title = ""}, .signal_fd = -1};
	client_init(&recording->client, -1);
	progress_init(&recording->progress);
	sigprocmask(SIG_BLOCK, &ours, &recording->mask);
	recording->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	if (recording->signal_fd < 0)
		return error_set(error, -errno, "cannot watch for Ctrl-C: %s", strerror(errno));
	return 0;
}

void recording_deinit(struct recording *recording)
{
	struct signalfd_siginfo info;

	progress_clear(&recording->progress);
	client_deinit(&recording->client);
	private_daemon_end(&recording->daemon);
	child_deinit(&recording->child);
	/* The Ctrl-C that aborted us is dealt with: our exit code says so. */
	while (recording->signal_fd >= 0 && read(recording->signal_fd, &info, sizeof(info)) > 0)
		;
	if (recording->signal_fd >= 0)
		close(recording->signal_fd);
	sigprocmask(SIG_SETMASK, &recording->mask, NULL);
}

static int connect_private(struct recording *recording, const struct options *options,
			   struct error *error)
{
	int r = private_daemon_start(options->config, &recording->mask, error, &recording->daemon,
				     &recording->client);

	if (r < 0)
		return r;
	recording->client.interrupt_fd = recording->signal_fd;
	r = client_hello(&recording->client, CLIENT_TIMEOUT_NS, error);
	if (r == -ECONNRESET)
		return error_set(
			error, r,
			"the private perfd ended before it was ready; it has said why above%s",
			geteuid() ? " (without a running perfd, recording needs root)" : "");
	return r;
}

int recording_connect(struct recording *recording, const struct options *options,
		      bool may_be_private, struct error *error)
{
	int r = command_connect(options, error, &recording->client);

	if ((r == -ENOENT || r == -ECONNREFUSED) && may_be_private)
		return connect_private(recording, options, error);
	if (r < 0)
		return r;
	recording->client.interrupt_fd = recording->signal_fd;
	return 0;
}

int recording_open(struct recording *recording, struct error *error)
{
	int r = client_open(&recording->client, &recording->session, error, &recording->id,
			    &recording->frequency_hz);

	if (r || !recording->heap)
		return r;
	r = client_heap(&recording->client, recording->id, error);
	/* One in the background would go on without what it was opened for. */
	if (r)
		client_close(&recording->client, recording->id, NULL);
	return r;
}

static int aborted(struct error *error)
{
	return error_set(error, -EINTR, "aborted: nothing was written");
}

/* 1: the recording is to end; 0: it goes on; -EINTR: aborted. */
static int take_signals(struct recording *recording, struct error *error)
{
	struct signalfd_siginfo info;
	bool end = false;

	while (read(recording->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGINT && ++recording->interrupts > 1)
			return aborted(error);
		if (!recording->child.running) {
			end = true;
			continue;
		}
		if (info.ssi_signo == SIGTERM)
			kill(recording->child.pid, SIGTERM);
		else
			recording->hint_due = true;
	}
	return end;
}

/* What has come from perfd: 1 when the session has ended. */
static int take_events(struct recording *recording, struct error *error)
{
	struct message message;
	int r;

	while (!(r = client_receive(&recording->client, 0, error, &message))) {
		if (message.info->type == MESSAGE_PROGRESS && recording->hint_due) {
			progress_clear(&recording->progress);
			fputs("perfctl: waiting for the command to end; Ctrl-C again aborts\n",
			      stderr);
			recording->hint_due = false;
		}
		if (message.info->type == MESSAGE_PROGRESS)
			progress_draw(&recording->progress, &message);
		if (message.info->type == MESSAGE_ENDED &&
		    message_u32(&message, FIELD_SESSION) == recording->id)
			return 1;
	}
	return r == -EAGAIN ? 0 : r;
}

/* Sleeps until a signal, the command's end, or (if `events`) perfd's word. */
static int wait_any(struct recording *recording, bool events, struct error *error)
{
	struct pollfd fds[] = {
		{.fd = recording->signal_fd, .events = POLLIN},
		{.fd = recording->child.running ? recording->child.pidfd : -1, .events = POLLIN},
		{.fd = events ? recording->client.fd : -1, .events = POLLIN},
	};
	int r;

	if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0 && errno != EINTR)
		return error_set(error, -errno, "cannot wait: %s", strerror(errno));
	if (fds[1].revents)
		child_reap(&recording->child);
	/* Also when the command has ended: it may have died of the Ctrl-C that waits
	 * here, and that must not count as one that came after. */
	r = take_signals(recording, error);
	return r < 0 ? r : r || fds[1].revents;
}

int recording_follow(struct recording *recording, struct error *error)
{
	int r;

	do {
		r = take_events(recording, error);
		if (!r)
			r = wait_any(recording, true, error);
	} while (!r);
	return r < 0 ? r : 0;
}

int recording_wait_child(struct recording *recording, struct error *error)
{
	int r = 0;

	while (recording->child.running && r >= 0)
		r = wait_any(recording, false, error);
	return r < 0 ? r : 0;
}

/* Why a profile may have no samples. */
static int explain_empty(const struct recording *recording, const struct profile *profile,
			 const char *end, struct error *error)
{
	static const struct {
		const char *event, *what;
	} counted[] = {{"faults", "page faults"},
		       {"heap",
			"allocations (an allocator that is linked in must have its symbols; -e "
			"faults and -e mmap need none)"},
		       {"mmap", "calls that take address space"},
		       {"munmap", "calls that give address space back"}};
	double seconds = (double)profile->duration_ns / 1e9;
	uint64_t lost = report_lost(profile);

	if (lost)
		return error_set(error, -ENODATA,
				 "no samples: all %" PRIu64
				 " of them were lost (see `perfctl status`)",
				 lost);
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		if (!strcmp(profile_text(profile, profile->event), counted[i].event))
			return error_set(error, -ENODATA, "no samples in %.3f s: no %s were seen",
					 seconds, counted[i].what);
	if (!strcmp(end, PROTOCOL_END_EXIT) || recording->child.pid)
		return error_set(
			error, -ENODATA,
			"no samples: what was recorded ended after %.3f s, and used too little "
			"CPU time for a sample at %u Hz; raise -F",
			seconds, profile->frequency_hz);
	if (!recording->session.pid)
		return error_set(error, -ENODATA,
				 "no samples in %.1f s: no process that you may see used the CPU",
				 seconds);
	return error_set(
		error, -ENODATA,
		"no samples in %.1f s at %u Hz: process %d was idle (only time on the CPU is "
		"sampled); give it work, or record longer with -d",
		seconds, profile->frequency_hz, (int)recording->session.pid);
}

static void say_what(const struct recording *recording, const struct profile *profile, size_t bytes)
{
	uint64_t lost = report_lost(profile);

	fprintf(stderr, "perfctl: %" PRIu64 " samples of %zu process%s in %.1f s, %" PRIu64 " lost",
		report_samples(profile), profile->processes.count,
		profile->processes.count == 1 ? "" : "es", (double)profile->duration_ns / 1e9,
		lost);
	if (strcmp(recording->result.path, "-") != 0)
		fprintf(stderr, "; wrote %s (%s, %zu bytes)", recording->result.path,
			recording->result.format->name, bytes);
	fputc('\n', stderr);
}

int recording_finish(struct recording *recording, pid_t pid, struct error *error)
{
	_cleanup_profile_ struct profile *profile = NULL;
	const char *end;
	sigset_t ours = our_signals();
	size_t bytes;
	int r = client_detach(&recording->client, recording->id, pid, error, &end, &profile);

	progress_clear(&recording->progress);
	if (r == -EINTR)
		return aborted(error);
	if (r < 0)
		return r;
	if (!profile->samples.count)
		return explain_empty(recording, profile, end, error);
	/* From here on Ctrl-C may end us as it is: what is half written has no name
	 * that anybody sees (output.h). */
	sigprocmask(SIG_SETMASK, &recording->mask, NULL);
	r = result_write(&recording->result, profile, error, &bytes);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	if (r < 0)
		return r;
	say_what(recording, profile, bytes);
	return 0;
}
