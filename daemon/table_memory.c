/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/table_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "daemon/base/cleanup.h"

#define CHUNK_BYTES (UNWIND_CHUNK_WORDS * sizeof(uint32_t))
/* Some seconds: to map chunks anew each time costs more than to look at them. */
#define RESTS_MAX 12u

void table_memory_init(struct table_memory *memory, int outer_fd, uint64_t limit)
{
	uint64_t chunks = limit / CHUNK_BYTES;

	*memory = (struct table_memory){.outer_fd = outer_fd};
	memory->chunks_max = chunks < 1                   ? 1
			     : chunks > UNWIND_CHUNKS_MAX ? UNWIND_CHUNKS_MAX
							  : (uint32_t)chunks;
}

static void unview(struct table_memory *memory)
{
	for (uint32_t i = 0; i < memory->chunk_count; i++) {
		if (memory->views[i])
			munmap((void *)memory->views[i], CHUNK_BYTES);
		memory->views[i] = NULL;
	}
}

void table_memory_deinit(struct table_memory *memory)
{
	unview(memory);
	for (uint32_t i = 0; i < memory->chunk_count; i++)
		close(memory->chunks[i]);
	vec_free(&memory->free);
}

/* Between the ranges in use, before the first and behind the last: there can be
 * no more free ones than that. Room for all of them is taken before a range is
 * given out, so that it can be put back when memory is short. */
static int reserve_free(struct table_memory *memory)
{
	return vec_reserve(&memory->free, memory->in_use + 2);
}

/* Puts a range back, joined with its neighbours. */
static void put_free(struct table_memory *memory, uint32_t start, uint32_t count)
{
	struct table_range *ranges = memory->free.items;
	size_t at = 0, n = memory->free.count;

	while (at < n && ranges[at].start < start)
		at++;
	if (at && ranges[at - 1].start + ranges[at - 1].count == start) {
		ranges[--at].count += count;
	} else {
		memmove(&ranges[at + 1], &ranges[at], (n - at) * sizeof(*ranges));
		ranges[at] = (struct table_range){start, count};
		memory->free.count = ++n;
	}
	if (at + 1 < n && ranges[at].start + ranges[at].count == ranges[at + 1].start) {
		ranges[at].count += ranges[at + 1].count;
		memmove(&ranges[at + 1], &ranges[at + 2], (n - at - 2) * sizeof(*ranges));
		memory->free.count--;
	}
}

static int add_chunk(struct table_memory *memory)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	_cleanup_close_ int fd = -1;

	if (memory->chunk_count >= memory->chunks_max)
		return -ENOSPC;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "perfd_table", sizeof(uint32_t), CHUNK_BYTES, 1,
			    &options);
	if (fd < 0)
		return -errno;
	if (bpf_map_update_elem(memory->outer_fd, &memory->chunk_count, &fd, BPF_ANY))
		return -errno;
	put_free(memory, memory->chunk_count << UNWIND_CHUNK_SHIFT, UNWIND_CHUNK_WORDS);
	memory->chunks[memory->chunk_count++] = TAKE_FD(fd);
	return 0;
}

/* First fit. */
static int take(struct table_memory *memory, uint32_t count, uint32_t *ret_start)
{
	for (size_t i = 0; i < memory->free.count; i++) {
		struct table_range *range = &memory->free.items[i];

		if (range->count < count)
			continue;
		*ret_start = range->start;
		range->start += count;
		range->count -= count;
		if (!range->count) {
			memmove(range, range + 1, (memory->free.count - i - 1) * sizeof(*range));
			memory->free.count--;
		}
		memory->used += count;
		memory->in_use++;
		return 0;
	}
	return -ENOSPC;
}

int table_memory_alloc(struct table_memory *memory, uint32_t count, uint32_t *ret_start)
{
	if (!count || count > (uint64_t)memory->chunks_max * UNWIND_CHUNK_WORDS)
		return -ENOSPC;
	if (reserve_free(memory))
		return -ENOMEM;
	while (take(memory, count, ret_start)) {
		int r = add_chunk(memory);

		if (r)
			return r;
	}
	return 0;
}

void table_memory_free(struct table_memory *memory, uint32_t start, uint32_t count)
{
	memory->used -= count;
	memory->in_use--;
	put_free(memory, start, count);
}

int table_memory_write(struct table_memory *memory, uint32_t start, const uint32_t *words,
		       uint32_t count)
{
	while (count) {
		uint32_t at = start & (UNWIND_CHUNK_WORDS - 1), n = UNWIND_CHUNK_WORDS - at;
		uint32_t *chunk = mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
				       memory->chunks[start >> UNWIND_CHUNK_SHIFT], 0);

		if (chunk == MAP_FAILED)
			return -errno;
		if (n > count)
			n = count;
		memcpy(chunk + at, words, n * sizeof(*words));
		munmap(chunk, CHUNK_BYTES);
		start += n;
		words += n;
		count -= n;
	}
	return 0;
}

void table_memory_rest(struct table_memory *memory)
{
	if (memory->rests < RESTS_MAX && ++memory->rests == RESTS_MAX)
		unview(memory);
}

/* Mapping one costs as much as hundreds of look-ups. */
const uint32_t *table_memory_view(struct table_memory *memory, uint32_t chunk)
{
	void *view;

	if (chunk >= memory->chunk_count)
		return NULL;
	memory->rests = 0;
	if (memory->views[chunk])
		return memory->views[chunk];
	view = mmap(NULL, CHUNK_BYTES, PROT_READ, MAP_SHARED, memory->chunks[chunk], 0);
	if (view == MAP_FAILED)
		return NULL;
	memory->views[chunk] = view;
	return view;
}
