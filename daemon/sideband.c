/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/sideband.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/reader.h"

#ifndef PERF_RECORD_MISC_MMAP_BUILD_ID
#define PERF_RECORD_MISC_MMAP_BUILD_ID (1 << 14)
#endif

#define RECORD_MAX 65536 /* perf_event_header.size has 16 bits */

/* PERF_SAMPLE_TID | TIME | ID | CPU: the trailer of every record (sample_id_all). */
struct trailer {
	uint32_t pid, tid;
	uint64_t time;
	uint64_t id; /* the event that it was written for */
	uint32_t cpu, reserved;
};

/*
 * Whoever is told of mappings is told of tasks, too, asked for or not (perf_event_task_match() in
 * kernel/events/core.c): so one event is for both, or another for tasks alone. The buffer is
 * that of a third, which is told of code of the kernel.
 */
enum sideband_event { EVENT_SYMBOLS, EVENT_TASKS, EVENT_MAPPINGS };

static int open_event(uint32_t cpu, enum sideband_event kind, bool build_id)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_period = 1,
		.sample_type =
			PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ID | PERF_SAMPLE_CPU,
		.sample_id_all = 1,
		.mmap = kind == EVENT_MAPPINGS,
		.mmap2 = kind == EVENT_MAPPINGS,
		.comm = kind != EVENT_SYMBOLS,
		.comm_exec = kind != EVENT_SYMBOLS,
		.task = kind != EVENT_SYMBOLS,
		.ksymbol = kind == EVENT_SYMBOLS,
		.use_clockid = 1,
		.clockid = CLOCK_BOOTTIME,
		.watermark = 1,
	};

	attr.build_id = build_id;
	/* Nobody polls this descriptor: the daemon looks in by the clock. */
	attr.wakeup_watermark = UINT32_MAX / 2;
	return (int)syscall(SYS_perf_event_open, &attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Into the buffer that is there. -errno. */
static int open_tasks(const struct sideband *sideband, bool mappings, uint64_t *ret_id)
{
	enum sideband_event kind = mappings ? EVENT_MAPPINGS : EVENT_TASKS;
	int code, fd = open_event(sideband->cpu, kind, mappings);

	if (fd < 0 && errno == EINVAL)
		fd = open_event(sideband->cpu, kind, false); /* before 5.12 */
	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_ID, ret_id) < 0 ||
	    ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, sideband->fd) < 0) {
		code = -errno;
		close(fd);
		return code;
	}
	return fd;
}

int sideband_begin_change(struct sideband *sideband, bool mappings)
{
	int fd;

	if (sideband->tasks_fd >= 0 && mappings == sideband->mappings)
		return 0;
	fd = open_tasks(sideband, mappings, &sideband->next_id);
	if (fd < 0)
		return fd;
	sideband->next_fd = fd;
	return 0;
}

void sideband_end_change(struct sideband *sideband, bool keep)
{
	int older = sideband->tasks_fd;

	if (sideband->next_fd < 0)
		return;
	if (!keep) {
		close(sideband->next_fd);
		sideband->next_fd = -1;
		return;
	}
	/* What happens while both are open is told by both. */
	sideband->since = older < 0 ? 0 : clock_boot_ns();
	sideband->older_id = sideband->tasks_id;
	sideband->tasks_id = sideband->next_id;
	sideband->tasks_fd = sideband->next_fd;
	sideband->next_fd = -1;
	sideband->mappings = !sideband->mappings;
	if (older >= 0)
		close(older);
}

int sideband_init(struct sideband *sideband, uint32_t cpu, uint64_t ring_bytes, bool mappings,
		  struct error *error)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *pages;
	int r, fd = open_event(cpu, EVENT_SYMBOLS, false);

	if (fd < 0) {
		int code = -errno;

		if (code == -EACCES || code == -EPERM)
			return error_set(
				error, code,
				"no permission for perf events: perfd needs CAP_PERFMON (and "
				"CAP_SYS_ADMIN where kernel.perf_event_paranoid is 3 or more)");
		return error_set(error, code, "perf side-band event on CPU %u: %s", cpu,
				 strerror(-code));
	}
	pages = mmap(NULL, page + ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (pages == MAP_FAILED) {
		int code = -errno;

		close(fd);
		return error_set(error, code,
				 "cannot map %llu bytes of side band for CPU %u: %s; lower "
				 "limits.sideband_bytes or raise kernel.perf_event_mlock_kb",
				 (unsigned long long)ring_bytes, cpu, strerror(-code));
	}
	*sideband = (struct sideband){.fd = fd,
				      .tasks_fd = -1,
				      .next_fd = -1,
				      .mappings = !mappings,
				      .cpu = cpu,
				      .pages = pages,
				      .ring_bytes = (size_t)ring_bytes};
	sideband->whole = malloc(RECORD_MAX);
	r = sideband->whole ? sideband_begin_change(sideband, mappings) : -ENOMEM;
	if (r) {
		sideband_deinit(sideband);
		return error_set(error, r, "perf event of tasks on CPU %u: %s", cpu, strerror(-r));
	}
	sideband_end_change(sideband, true);
	return 0;
}

void sideband_deinit(struct sideband *sideband)
{
	if (!sideband->pages)
		return;
	munmap(sideband->pages, (size_t)sysconf(_SC_PAGESIZE) + sideband->ring_bytes);
	if (sideband->tasks_fd >= 0)
		close(sideband->tasks_fd);
	if (sideband->next_fd >= 0)
		close(sideband->next_fd);
	close(sideband->fd);
	free(sideband->whole);
	*sideband = (struct sideband){.fd = -1, .tasks_fd = -1, .next_fd = -1};
}

/* One perf record on its way to its ABI form. */
struct conversion {
	const struct perf_event_header *header;
	struct reader body; /* without header and trailer */
	struct trailer trailer;
	void (*each)(void *context, const void *record, size_t size);
	void *context;
};

static struct abi_header abi_head(const struct conversion *c, enum abi_type type, size_t size)
{
	return (struct abi_header){.size = (uint16_t)size,
				   .type = (uint8_t)type,
				   .cpu = (uint16_t)c->trailer.cpu,
				   .time = c->trailer.time};
}

static void convert_fork(struct conversion *c)
{
	struct abi_fork fork = {.hdr = abi_head(c, ABI_FORK, sizeof(fork))};

	fork.pid = reader_u32(&c->body);
	fork.ppid = reader_u32(&c->body);
	fork.tid = reader_u32(&c->body);
	fork.ptid = reader_u32(&c->body);
	if (reader_ok(&c->body))
		c->each(c->context, &fork, sizeof(fork));
}

static void convert_exit(struct conversion *c)
{
	struct abi_exit ended = {.hdr = abi_head(c, ABI_EXIT, sizeof(ended))};

	ended.pid = reader_u32(&c->body);
	reader_u32(&c->body); /* ppid */
	ended.tid = reader_u32(&c->body);
	if (reader_ok(&c->body))
		c->each(c->context, &ended, sizeof(ended));
}

static void convert_comm(struct conversion *c)
{
	bool exec = c->header->misc & PERF_RECORD_MISC_COMM_EXEC;
	struct abi_comm comm = {.hdr = abi_head(c, exec ? ABI_EXEC : ABI_COMM, sizeof(comm))};
	const char *name;
	size_t n;

	_Static_assert(sizeof(struct abi_comm) == sizeof(struct abi_exec), "same shape");
	comm.pid = reader_u32(&c->body);
	comm.tid = reader_u32(&c->body);
	n = reader_left(&c->body);
	name = reader_take(&c->body, n);
	if (!name)
		return;
	n = strnlen(name, n < ABI_COMM_MAX ? n : ABI_COMM_MAX - 1);
	memcpy(comm.comm, name, n);
	c->each(c->context, &comm, sizeof(comm));
}

static void convert_mmap2(struct conversion *c)
{
	union {
		struct abi_mmap mmap;
		uint8_t bytes[sizeof(struct abi_mmap) + ABI_PATH_MAX + 8];
	} out;
	struct abi_mmap *map = &out.mmap;
	const uint8_t *id;
	const char *path;
	size_t n, size;

	*map = (struct abi_mmap){0}; /* not the path's room: there are thousands a second */
	map->pid = reader_u32(&c->body);
	map->tid = reader_u32(&c->body);
	map->start = reader_u64(&c->body);
	map->length = reader_u64(&c->body);
	map->offset = reader_u64(&c->body);
	if (c->header->misc & PERF_RECORD_MISC_MMAP_BUILD_ID) {
		map->build_id_size = reader_u8(&c->body);
		reader_take(&c->body, 3);
		id = reader_take(&c->body, ABI_BUILD_ID_MAX);
		if (!id || map->build_id_size > ABI_BUILD_ID_MAX)
			return;
		memcpy(map->build_id, id, map->build_id_size);
	} else {
		map->dev_major = reader_u32(&c->body);
		map->dev_minor = reader_u32(&c->body);
		map->inode = reader_u64(&c->body);
		reader_u64(&c->body); /* inode generation */
	}
	reader_u64(&c->body); /* prot, flags: only executable ones are sent */
	n = reader_left(&c->body);
	path = reader_take(&c->body, n);
	if (!path)
		return;
	n = strnlen(path, n < ABI_PATH_MAX ? n : ABI_PATH_MAX - 1);
	size = (sizeof(*map) + n + 1 + 7) & ~(size_t)7;
	memcpy(map->path, path, n);
	memset(map->path + n, 0, size - sizeof(*map) - n);
	map->hdr = abi_head(c, ABI_MMAP, size);
	c->each(c->context, map, size);
}

static void note_symbols(struct sideband *sideband, uint64_t time)
{
	if (time > sideband->symbols_changed)
		sideband->symbols_changed = time;
}

static void convert_lost(struct conversion *c)
{
	struct abi_lost lost = {.hdr = abi_head(c, ABI_LOST, sizeof(lost))};

	lost.hdr.reason = ABI_REASON_LOST_SIDEBAND;
	reader_u64(&c->body); /* event id */
	lost.count = reader_u64(&c->body);
	if (reader_ok(&c->body))
		c->each(c->context, &lost, sizeof(lost));
}

static void convert(struct sideband *sideband, const struct perf_event_header *header,
		    void (*each)(void *context, const void *record, size_t size), void *context)
{
	struct conversion c = {.header = header, .each = each, .context = context};
	size_t size = header->size;

	if (size < sizeof(*header) + sizeof(c.trailer))
		return;
	reader_init(&c.body, header + 1, size - sizeof(*header) - sizeof(c.trailer));
	memcpy(&c.trailer, (const char *)header + size - sizeof(c.trailer), sizeof(c.trailer));
	c.trailer.cpu = sideband->cpu;
	if ((c.trailer.id == sideband->tasks_id && c.trailer.time < sideband->since) ||
	    (c.trailer.id == sideband->older_id && c.trailer.time >= sideband->since))
		return; /* told twice */
	switch (header->type) {
	case PERF_RECORD_FORK:
		convert_fork(&c);
		break;
	case PERF_RECORD_EXIT:
		convert_exit(&c);
		break;
	case PERF_RECORD_COMM:
		convert_comm(&c);
		break;
	case PERF_RECORD_MMAP2:
		convert_mmap2(&c);
		break;
	case PERF_RECORD_LOST:
		convert_lost(&c);
		note_symbols(sideband, c.trailer.time); /* it may have been among them */
		break;
	case PERF_RECORD_KSYMBOL:
		note_symbols(sideband, c.trailer.time);
		break;
	default:
		break;
	}
}

void sideband_drain(struct sideband *sideband,
		    void (*each)(void *context, const void *record, size_t size), void *context)
{
	struct perf_event_mmap_page *page = sideband->pages;
	const uint8_t *ring = (const uint8_t *)page + sysconf(_SC_PAGESIZE);
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = page->data_tail, mask = sideband->ring_bytes - 1;

	while (tail < head) {
		const struct perf_event_header *header =
			(const struct perf_event_header *)(ring + (tail & mask));
		size_t size = header->size, first = sideband->ring_bytes - (tail & mask);

		if (size < sizeof(*header) || size > head - tail)
			break; /* not ours to understand: skip all there is */
		if (size > first) {
			memcpy(sideband->whole, header, first);
			memcpy((uint8_t *)sideband->whole + first, ring, size - first);
			header = sideband->whole;
		}
		convert(sideband, header, each, context);
		tail += size;
	}
	__atomic_store_n(&page->data_tail, head, __ATOMIC_RELEASE);
}
