/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The live source: the BPF programs, their rings, and the perf side band.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/cpus.h"
#include "daemon/source_bpf_internal.h"

#include "cpu.skel.h"
#include "process.skel.h"

static const struct source_bpf *self_const(const struct source *source)
{
	return (const struct source_bpf *)source;
}

/* ---- CPUs ---- */

/* What the slot's clock has on a CPU. */
static uint64_t period_on(const struct source_bpf *s, uint32_t slot, uint32_t cpu)
{
	if (cpu >= (uint32_t)s->possible_cpus ||
	    bpf_map_lookup_elem(bpf_map__fd(s->programs.sampler->maps.periods), &slot,
				s->per_cpu_periods))
		return sampling_period(&s->slots[slot]);
	return s->per_cpu_periods[cpu];
}

/* Of its own on each CPU; others are seen by tracepoints and probes. */
static bool has_event(const struct source_bpf *s, uint32_t slot)
{
	return sampling_event_has(s->slots[slot].source) &&
	       !(slot == ABI_SLOT_FAULTS && s->faults.skel);
}

static int open_event(struct source_bpf *s, struct cpu *cpu, uint32_t slot, struct error *error)
{
	if (!has_event(s, slot))
		return 0;
	return sampling_event_open(&cpu->events[slot], s->programs.sampler->progs.cpu_sample,
				   &s->slots[slot], period_on(s, slot, cpu->number), cpu->number,
				   slot, error);
}

static void cpu_deinit(struct cpu *cpu)
{
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		sampling_event_close(&cpu->events[slot]);
	sideband_deinit(&cpu->sideband);
}

static int cpu_add(struct source_bpf *s, uint32_t number, struct error *error)
{
	struct cpu cpu = {.number = number};
	int r = sideband_init(&cpu.sideband, number, s->sideband_bytes, !s->blind, error);

	if (r)
		return r;
	s->symbols_changed = clock_boot_ns(); /* what came on it before, nobody told */
	for (uint32_t slot = 0; !r && slot < ABI_SLOTS_MAX; slot++)
		if (s->open[slot])
			r = open_event(s, &cpu, slot, error);
	if (!r && vec_push(&s->cpus, cpu))
		r = error_set(error, -ENOMEM, "out of memory");
	if (r)
		cpu_deinit(&cpu);
	return r;
}

static void collect(void *context, const void *record, size_t size)
{
	struct source_bpf *s = context;
	const struct abi_header *header = record;

	if (header->type == ABI_LOST)
		s->sideband_lost += ((const struct abi_lost *)record)->count;
	if (reorder_add(&s->reorder, record, size))
		log_warning("a record of type %u was dropped: out of memory", header->type);
}

static void cpu_remove(struct source_bpf *s, size_t at)
{
	struct cpu *cpu = &s->cpus.items[at];

	sideband_drain(&cpu->sideband, collect, s);
	cpu_deinit(cpu);
	*cpu = s->cpus.items[--s->cpus.count];
}

/* How often each CPU's programs ran for the clock opened first: a younger one hides its death. */
static void read_fired(const struct source_bpf *s, uint64_t *fired)
{
	int map = bpf_map__fd(s->programs.sampler->maps.counters);

	memset(fired, 0, (size_t)s->possible_cpus * sizeof(*fired));
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		if (!s->open[slot] || s->slots[slot].source != ABI_SOURCE_CPU_CLOCK)
			continue;
		if (!bpf_map_lookup_elem(map, &slot, s->per_cpu))
			for (int i = 0; i < s->possible_cpus; i++)
				fired[i] = s->per_cpu[i].fired;
		return;
	}
}

/* Looks, one a second, without a tick: its event is dead. Idle, a CPU may have none so long. */
#define QUIET_LOOKS_MAX 3

/* A clock that ticks even in idle but has not for long: its event died because
 * the CPU was away for a moment between two looks. */
static bool stalled(const struct source_bpf *s, struct cpu *cpu, uint64_t fired)
{
	bool clock = false;

	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		clock |= s->open[slot] && s->slots[slot].source == ABI_SOURCE_CPU_CLOCK &&
			 s->slots[slot].frequency_hz > 2;
	cpu->quiet = clock && cpu->fired && cpu->fired == fired ? cpu->quiet + 1 : 0;
	cpu->fired = fired;
	return cpu->quiet > QUIET_LOOKS_MAX;
}

static void bpf_follow_cpus(struct source *source)
{
	struct source_bpf *s = self(source);
	_cleanup_free_ uint64_t *fired = calloc((size_t)s->possible_cpus, sizeof(*fired));
	struct cpus online, have = {0};
	struct error error;

	unwind_maps_rest(&s->unwind);
	if (!fired || cpus_online_read(s->online_fd, &online))
		return;
	read_fired(s, fired);
	for (size_t i = s->cpus.count; i-- > 0;) {
		struct cpu *cpu = &s->cpus.items[i];
		uint32_t number = cpu->number;
		uint64_t count = number < (uint32_t)s->possible_cpus ? fired[number] : 0;

		if (cpus_has(&online, number) && !stalled(s, cpu, count)) {
			have.bits[number / 64] |= 1ULL << (number % 64);
			continue;
		}
		log_info("CPU %u went away", number);
		cpu_remove(s, i);
		s->cpu_changes++;
	}
	for (uint32_t number = 0; number < CPUS_MAX; number++) {
		if (!cpus_has(&online, number) || cpus_has(&have, number))
			continue;
		if (cpu_add(s, number, &error)) {
			log_warning("CPU %u came, but is not sampled: %s", number, error.text);
		} else {
			log_info("CPU %u came", number);
			s->cpu_changes++;
		}
	}
}

/* ---- slots and targets ---- */

static int write_periods(struct source_bpf *s, uint32_t slot)
{
	for (int cpu = 0; cpu < s->possible_cpus; cpu++)
		s->per_cpu_periods[cpu] = sampling_period_jittered(&s->slots[slot]);
	return bpf_map_update_elem(bpf_map__fd(s->programs.sampler->maps.periods), &slot,
				   s->per_cpu_periods, BPF_ANY);
}

#define SLICE_LIMIT_HZ 10000u

int bpf_write_slot(struct source_bpf *s, uint32_t slot, bool active)
{
	uint32_t slices;
	const struct duty_window window = bpf_watch_window(s, slot, &slices);
	uint64_t limit = (uint64_t)s->slots[slot].frequency_hz * slices;
	struct abi_slot record = {
		.active = active,
		.all = s->slots[slot].all,
		.source = (uint8_t)s->slots[slot].source,
		.generation = s->generations[slot],
		/* As many samples as if it looked all the time. */
		.limit = limit < SLICE_LIMIT_HZ || slices == 1 ? (uint32_t)limit : SLICE_LIMIT_HZ,
		.restricted = s->slots[slot].restricted,
		.owner = s->slots[slot].owner,
		.scale = window.scale,
		.one_in = s->slots[slot].one_in,
		.from = window.from,
		.until = window.until,
		.end = window.end,
	};

	return bpf_map_update_elem(bpf_map__fd(s->programs.sampler->maps.slots), &slot, &record,
				   BPF_ANY);
}

static void bpf_close_slot(struct source *source, uint32_t slot)
{
	struct source_bpf *s = self(source);

	if (!s->open[slot])
		return;
	source_mmap_close(&s->mmap, slot);
	bpf_watch_close(s, slot); /* before what it turns on and off is gone */
	if (slot == ABI_SLOT_FAULTS)
		source_faults_deinit(&s->faults);
	for (size_t i = 0; i < s->cpus.count; i++)
		sampling_event_close(&s->cpus.items[i].events[slot]);
	bpf_write_slot(s, slot, false);
	s->open[slot] = false;
}

static int bpf_open_slot(struct source *source, uint32_t slot, const struct source_slot *how,
			 struct error *error)
{
	struct source_bpf *s = self(source);
	int r = 0;

	if (how->source == ABI_SOURCE_HEAP) {
		r = source_heap_load(&s->heap, &s->programs, s->config, error);
		if (r)
			return r;
	}
	s->slots[slot] = *how;
	s->generations[slot] = ++s->generation;
	if (slot == ABI_SLOT_FAULTS &&
	    (source_faults_load(&s->faults, &s->programs, s->config, error) ||
	     source_faults_begin(&s->faults, error))) {
		log_info("%s: by the kernel's event", error->text);
		source_faults_deinit(&s->faults);
	}
	if (bpf_watch_open(s, slot))
		return error_set(error, -ENOMEM, "out of memory");
	if (write_periods(s, slot) || bpf_write_slot(s, slot, true))
		return error_set(error, -errno, "cannot write the slot map: %s", strerror(errno));
	if (how->source == ABI_SOURCE_MMAP || how->source == ABI_SOURCE_MUNMAP) {
		r = source_mmap_open(&s->mmap, &s->programs, s->config, slot, how, error);
		if (r) {
			bpf_write_slot(s, slot, false);
			bpf_watch_close(s, slot);
			return r;
		}
	}
	s->open[slot] = true;
	for (size_t i = 0; !r && i < s->cpus.count; i++) {
		r = open_event(s, &s->cpus.items[i], slot, error);
		if (r == -ENODEV)
			r = 0; /* the CPU has just left: follow_cpus() will see it */
	}
	if (r)
		bpf_close_slot(source, slot);
	return r;
}

static int bpf_set_rate(struct source *source, uint32_t slot, uint32_t frequency_hz)
{
	struct source_bpf *s = self(source);
	int r = 0;

	if (!s->open[slot] || s->slots[slot].source == ABI_SOURCE_HEAP)
		return -EINVAL;
	s->slots[slot].frequency_hz = frequency_hz;
	if (s->slots[slot].source == ABI_SOURCE_FAULTS || !has_event(s, slot))
		return bpf_write_slot(s, slot, true) ? -errno : 0;
	if (write_periods(s, slot))
		return -errno;
	for (size_t i = 0; i < s->cpus.count; i++) {
		struct cpu *cpu = &s->cpus.items[i];
		/* The others follow nevertheless: a firing's weight goes by the map. */
		int failed = sampling_event_set(&cpu->events[slot], &s->slots[slot],
						s->per_cpu_periods[cpu->number]);

		if (failed)
			r = failed;
	}
	return r;
}

static int bpf_thin_busy(struct source *source, uint32_t slot, uint32_t one_in)
{
	struct source_bpf *s = self(source);

	if (!s->open[slot])
		return -EINVAL;
	s->slots[slot].one_in = one_in;
	return bpf_write_slot(s, slot, true) ? -errno : 0;
}

static int bpf_add_target(struct source *source, uint32_t slot, pid_t pid, bool at_exec)
{
	struct source_bpf *s = self(source);
	int map = bpf_map__fd(s->programs.sampler->maps.targets);
	struct abi_target target = {0};
	uint32_t key = (uint32_t)pid;

	bpf_map_lookup_elem(map, &key, &target);
	if (at_exec)
		target.at_exec |= 1u << slot;
	else
		target.slots |= 1u << slot;
	if (bpf_map_update_elem(map, &key, &target, BPF_ANY))
		return -errno;
	pid_marks_set(&s->marks, key);
	return 0;
}

static void bpf_remove_target(struct source *source, uint32_t slot, pid_t pid)
{
	struct source_bpf *s = self(source);
	int map = bpf_map__fd(s->programs.sampler->maps.targets);
	struct abi_target target;
	uint32_t key = (uint32_t)pid;

	if (bpf_map_lookup_elem(map, &key, &target))
		return;
	target.slots &= ~(1u << slot);
	target.at_exec &= ~(1u << slot);
	if (target.slots || target.at_exec)
		bpf_map_update_elem(map, &key, &target, BPF_EXIST);
	else
		bpf_map_delete_elem(map, &key);
}

static int bpf_target_slots(struct source *source, pid_t pid, uint32_t *ret)
{
	struct abi_target target;
	uint32_t key = (uint32_t)pid;

	if (bpf_map_lookup_elem(bpf_map__fd(self(source)->programs.sampler->maps.targets), &key,
				&target))
		return -errno;
	/* The exec is told before its tracepoint has run: who joins with it has not left. */
	*ret = target.slots | target.at_exec;
	return 0;
}

static void bpf_forget_stack(struct source *source, uint64_t id)
{
	bpf_map_delete_elem(bpf_map__fd(self(source)->programs.sampler->maps.stacks_sent), &id);
}

/* ---- reading ---- */

static int bpf_tasks(struct source *source, struct error *error)
{
	struct source_bpf *s = self(source);
	struct abi_task records[64];
	_cleanup_close_ int fd = bpf_iter_create(s->programs.tasks_link);
	ssize_t n;

	if (fd < 0)
		return error_set(error, -errno, "cannot list tasks: %s", strerror(errno));
	while ((n = read(fd, records, sizeof(records))) > 0)
		for (size_t i = 0; i < (size_t)n / sizeof(records[0]); i++)
			source->on_record(source->context, &records[i].hdr);
	return n < 0 ? error_set(error, -errno, "cannot list tasks: %s", strerror(errno)) : 0;
}

static int bpf_memory(struct source *source)
{
	struct source_bpf *s = self(source);
	struct abi_rss records[64];
	_cleanup_close_ int fd = bpf_iter_create(s->programs.memory_link);
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, records, sizeof(records))) > 0)
		for (size_t i = 0; i < (size_t)n / sizeof(records[0]); i++)
			source->on_record(source->context, &records[i].hdr);
	return n < 0 ? -errno : 0;
}

static int on_ring_record(void *context, void *record, size_t size)
{
	collect(context, record, size);
	return 0;
}

static int bpf_drain(struct source *source, bool now)
{
	struct source_bpf *s = self(source);
	uint64_t before = clock_boot_ns();
	int r;

	for (size_t i = 0; i < s->cpus.count; i++)
		sideband_drain(&s->cpus.items[i].sideband, collect, s);
	r = ring_buffer__consume(s->rings);
	reorder_release(&s->reorder, now ? UINT64_MAX : s->drained_at, source->on_record,
			source->context);
	s->drained_at = before;
	return r < 0 ? r : 0;
}

static uint64_t bpf_symbols_changed(const struct source *source)
{
	const struct source_bpf *s = self_const(source);
	uint64_t time = s->symbols_changed;

	for (size_t i = 0; i < s->cpus.count; i++)
		if (s->cpus.items[i].sideband.symbols_changed > time)
			time = s->cpus.items[i].sideband.symbols_changed;
	return time;
}

static bool bpf_done(const struct source *source)
{
	(void)source;
	return false;
}

static int bpf_wake_fd(const struct source *source)
{
	return ring_buffer__epoll_fd(self_const(source)->rings);
}

/* ---- life ---- */

static void bpf_destroy(struct source *source)
{
	struct source_bpf *s = self(source);

	for (size_t i = 0; i < s->cpus.count; i++)
		cpu_deinit(&s->cpus.items[i]);
	vec_free(&s->cpus);
	if (s->online_fd >= 0)
		close(s->online_fd);
	ring_buffer__free(s->rings);
	for (uint32_t i = 0; i < s->ring_count; i++)
		close(s->ring_fds[i]);
	source_heap_deinit(&s->heap);
	source_mmap_deinit(&s->mmap);
	source_faults_deinit(&s->faults);
	bpf_watch_deinit(s);
	bpf_programs_destroy(&s->programs);
	reorder_deinit(&s->reorder);
	unwind_maps_deinit(&s->unwind);
	pid_marks_deinit(&s->marks);
	vec_free(&s->tables);
	free(s->per_cpu);
	free(s->per_cpu_periods);
	free(s);
}

static const struct source_ops bpf_ops = {
	.name = "bpf",
	.tasks = bpf_tasks,
	.memory = bpf_memory,
	.open_slot = bpf_open_slot,
	.close_slot = bpf_close_slot,
	.set_rate = bpf_set_rate,
	.thin_busy = bpf_thin_busy,
	.watch = bpf_watch,
	.add_target = bpf_add_target,
	.remove_target = bpf_remove_target,
	.target_slots = bpf_target_slots,
	.load_table = bpf_load_table,
	.unload_table = bpf_unload_table,
	.no_table = bpf_no_table,
	.walk = bpf_walk,
	.publish_set = bpf_publish_set,
	.withdraw_set = bpf_withdraw_set,
	.assign_set = bpf_assign_set,
	.set_jvm = bpf_set_jvm,
	.know_file = bpf_know_file,
	.forget_file = bpf_forget_file,
	.forget_image = bpf_forget_image,
	.tell_mappings = bpf_tell_mappings,
	.forget_stack = bpf_forget_stack,
	.drain = bpf_drain,
	.share_views = bpf_share_views,
	.symbols_changed = bpf_symbols_changed,
	.follow_cpus = bpf_follow_cpus,
	.get_counters = bpf_get_counters,
	.get_run_time = bpf_get_run_time,
	.done = bpf_done,
	.wake_fd = bpf_wake_fd,
	.destroy = bpf_destroy,
};

static int init_unwinding(struct source_bpf *s, const struct config *config, struct error *error)
{
	const struct unwind_map_fds fds = bpf_programs_unwind_fds(&s->programs);
	int r = unwind_maps_init(&s->unwind, &fds, config->unwind_memory_bytes);

	if (r)
		return error_set(error, r, "cannot map the unwind tables: %s", strerror(-r));
	r = pid_marks_init(&s->marks, bpf_map__fd(s->programs.sampler->maps.pid_marks));
	return r ? error_set(error, r, "cannot map the marks of processes: %s", strerror(-r)) : 0;
}

static int make_rings(struct source_bpf *s, const struct config *config, struct error *error)
{
	int outer = bpf_map__fd(s->programs.sampler->maps.rings);

	for (uint32_t i = 0; i < s->ring_count; i++) {
		int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "perfd_ring", 0, 0,
					(uint32_t)config->ring_bytes, NULL);

		if (fd < 0)
			return error_set(error, -errno,
					 "cannot make a ring buffer of %llu bytes: %s; lower "
					 "limits.ring_bytes",
					 (unsigned long long)config->ring_bytes, strerror(errno));
		s->ring_fds[i] = fd;
		if (bpf_map_update_elem(outer, &i, &fd, BPF_ANY))
			return error_set(error, -errno, "cannot install a ring buffer: %s",
					 strerror(errno));
		if (!s->rings)
			s->rings = ring_buffer__new(fd, on_ring_record, s, NULL);
		else if (ring_buffer__add(s->rings, fd, on_ring_record, s))
			return error_set(error, -errno, "cannot map a ring buffer: %s",
					 strerror(errno));
		if (!s->rings)
			return error_set(error, -errno, "cannot map a ring buffer: %s",
					 strerror(errno));
	}
	return 0;
}

static int open_cpus(struct source_bpf *s, struct error *error)
{
	struct cpus online;
	int r = cpus_online_read(s->online_fd, &online);

	if (r)
		return error_set(error, r, "/sys/devices/system/cpu/online: %s", strerror(-r));
	for (uint32_t number = 0; number < CPUS_MAX; number++) {
		if (!cpus_has(&online, number))
			continue;
		r = cpu_add(s, number, error);
		if (r)
			return r;
	}
	return 0;
}

int source_bpf_create(const struct config *config, source_record_fn *on_record, void *context,
		      struct error *error, struct source **ret)
{
	struct source_bpf *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return error_set(error, -ENOMEM, "out of memory");
	bpf_programs_log();
	s->base = (struct source){.ops = &bpf_ops, .on_record = on_record, .context = context};
	s->base.heap = &s->heap;
	s->heap.marks = &s->marks;
	s->config = config;
	s->sideband_bytes = config->sideband_bytes;
	s->online_fd = cpus_online_open();
	s->possible_cpus = libbpf_num_possible_cpus();
	if (s->possible_cpus <= 0)
		s->possible_cpus = 1;
	s->ring_count =
		(uint32_t)s->possible_cpus < RINGS_MAX ? (uint32_t)s->possible_cpus : RINGS_MAX;
	memset(s->ring_fds, -1, sizeof(s->ring_fds));
	s->per_cpu = calloc((size_t)s->possible_cpus, sizeof(*s->per_cpu));
	s->per_cpu_periods = calloc((size_t)s->possible_cpus, sizeof(*s->per_cpu_periods));
	r = s->per_cpu && s->per_cpu_periods ? 0 : error_set(error, -ENOMEM, "out of memory");
	if (!r)
		r = bpf_programs_load(&s->programs, config, s->ring_count, error);
	if (!r)
		r = init_unwinding(s, config, error);
	if (!r)
		r = make_rings(s, config, error);
	if (!r)
		r = open_cpus(s, error);
	if (r) {
		bpf_destroy(&s->base);
		return r;
	}
	*ret = &s->base;
	return 0;
}
