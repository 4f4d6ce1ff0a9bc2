/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/sampling_event.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

uint64_t sampling_period(const struct source_slot *how)
{
	return NSEC_PER_SEC / how->frequency_hz;
}

static int open_perf_event(const struct source_slot *how, uint32_t cpu)
{
	struct perf_event_attr attr = {.size = sizeof(attr), .disabled = 1};

	/* The clock takes a period as it is; cycles are steered to a frequency by the
	 * kernel, and each sample tells the period that it stood for. */
	if (how->source == ABI_SOURCE_CYCLES) {
		attr.type = PERF_TYPE_HARDWARE;
		attr.config = PERF_COUNT_HW_CPU_CYCLES;
		attr.freq = 1;
		attr.sample_freq = how->frequency_hz;
	} else {
		attr.type = PERF_TYPE_SOFTWARE;
		attr.config = PERF_COUNT_SW_CPU_CLOCK;
		attr.sample_period = sampling_period(how);
	}
	return (int)syscall(SYS_perf_event_open, &attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static int event_error(const struct source_slot *how, uint32_t cpu, int code, struct error *error)
{
	if (how->source == ABI_SOURCE_CYCLES && (code == -ENOENT || code == -EOPNOTSUPP))
		return error_set(error, -EOPNOTSUPP,
				 "no hardware cycle counter on this machine (often so in virtual "
				 "ones): use -e cpu-clock");
	if (code == -EACCES || code == -EPERM)
		return error_set(
			error, code,
			"no permission to sample CPU %u: perfd needs CAP_PERFMON and CAP_BPF "
			"(CAP_SYS_ADMIN where kernel.perf_event_paranoid is 3 or more)",
			cpu);
	return error_set(error, code, "cannot sample CPU %u: %s", cpu, strerror(-code));
}

int sampling_event_open(struct sampling_event *event, const struct bpf_program *program,
			const struct source_slot *how, uint32_t cpu, uint32_t slot,
			struct error *error)
{
	LIBBPF_OPTS(bpf_perf_event_opts, options, .bpf_cookie = slot);
	_cleanup_close_ int fd = open_perf_event(how, cpu);
	struct bpf_link *link;

	if (fd < 0)
		return event_error(how, cpu, -errno, error);
	link = bpf_program__attach_perf_event_opts(program, fd, &options);
	if (!link)
		return event_error(how, cpu, -errno, error);
	TAKE_FD(fd);
	event->link = link;
	return 0;
}

void sampling_event_close(struct sampling_event *event)
{
	if (event->link)
		bpf_link__destroy(event->link); /* closes the perf event too */
	event->link = NULL;
}
