/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/sampling_event.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

/* So many page faults a second a CPU may have, and the kernel (which throttles events
 * that fire more often than kernel.perf_event_max_sample_rate) takes no offence. */
#define FAULTS_A_SECOND 1600000u
/* Of the whole machine, and where somebody looks at a process: the latter is worth the
 * tenth of a microsecond that each firing costs. */
#define FAULTS_PERIOD_ALL ABI_FAULTS_PERIOD
#define FAULTS_PERIOD 16u

static uint64_t faults_period(bool all)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/sys/kernel/perf_event_max_sample_rate", "re");
	uint64_t period = all ? FAULTS_PERIOD_ALL : FAULTS_PERIOD, rate = 0;

	if (file && fscanf(file, "%" SCNu64, &rate) == 1 && rate && FAULTS_A_SECOND / rate > period)
		period = FAULTS_A_SECOND / rate;
	return period;
}

bool sampling_event_has(enum abi_source source)
{
	return source == ABI_SOURCE_CPU_CLOCK || source == ABI_SOURCE_CYCLES ||
	       source == ABI_SOURCE_FAULTS;
}

uint64_t sampling_period(const struct source_slot *how)
{
	switch (how->source) {
	case ABI_SOURCE_CPU_CLOCK:
		return NSEC_PER_SEC / how->frequency_hz;
	case ABI_SOURCE_FAULTS:
		return faults_period(how->all);
	default:
		return 0;
	}
}

/* Either way, of a period: enough that after some dozens of them nothing is in step. */
#define JITTER_PERMILLE 20

uint64_t sampling_period_jittered(const struct source_slot *how)
{
	uint64_t period = sampling_period(how), most = period * JITTER_PERMILLE / 1000;

	if (how->source != ABI_SOURCE_CPU_CLOCK || !most || most > UINT32_MAX / 2)
		return period;
	return period - most + arc4random_uniform((uint32_t)(2 * most + 1));
}

static int open_perf_event(const struct source_slot *how, uint64_t period, uint32_t cpu)
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
		attr.config = how->source == ABI_SOURCE_FAULTS ? PERF_COUNT_SW_PAGE_FAULTS
							       : PERF_COUNT_SW_CPU_CLOCK;
		attr.sample_period = period;
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
			const struct source_slot *how, uint64_t period, uint32_t cpu, uint32_t slot,
			struct error *error)
{
	LIBBPF_OPTS(bpf_perf_event_opts, options, .bpf_cookie = slot);
	_cleanup_close_ int fd = open_perf_event(how, period, cpu);
	struct bpf_link *link;

	if (fd < 0)
		return event_error(how, cpu, -errno, error);
	link = bpf_program__attach_perf_event_opts(program, fd, &options);
	if (!link)
		return event_error(how, cpu, -errno, error);
	event->fd = TAKE_FD(fd);
	event->link = link;
	return 0;
}

int sampling_event_set(const struct sampling_event *event, const struct source_slot *how,
		       uint64_t period)
{
	uint64_t value = how->source == ABI_SOURCE_CYCLES ? how->frequency_hz : period;

	if (!event->link)
		return 0;
	return ioctl(event->fd, PERF_EVENT_IOC_PERIOD, &value) ? -errno : 0;
}

void sampling_event_close(struct sampling_event *event)
{
	if (event->link)
		bpf_link__destroy(event->link); /* closes the perf event too */
	event->link = NULL;
}
