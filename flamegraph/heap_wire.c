/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/heap_wire.h"

#include <math.h>
#include <string.h>

#include "flamegraph/profile_internal.h"

#define SUM_BYTES 40u
#define LEVEL_BYTES (SUM_BYTES + 8)
/* Of a site without levels and with empty histograms. */
#define SITE_BYTES (8 + 5 * SUM_BYTES + 16 + 3 * 8 + 8)

static void put_double(struct strbuf *out, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	strbuf_u64(out, bits);
}

static void put_sum(struct strbuf *out, const struct heap_sum *sum)
{
	strbuf_u64(out, sum->n);
	strbuf_u64(out, sum->count);
	strbuf_u64(out, sum->bytes);
	put_double(out, sum->count_var);
	put_double(out, sum->bytes_var);
}

static void put_histogram(struct strbuf *out, const uint64_t *buckets)
{
	uint64_t mask = 0;

	for (unsigned int i = 0; i < HEAP_BUCKETS; i++)
		mask |= (uint64_t)(buckets[i] != 0) << i;
	strbuf_u64(out, mask);
	for (unsigned int i = 0; i < HEAP_BUCKETS; i++)
		if (buckets[i])
			strbuf_u64(out, buckets[i]);
}

static void put_site(struct strbuf *out, const struct heap_site *site)
{
	strbuf_u32(out, site->stack);
	strbuf_u32(out, site->process);
	put_sum(out, &site->alloc);
	put_sum(out, &site->live);
	put_sum(out, &site->leaked);
	put_sum(out, &site->peak);
	put_sum(out, &site->temporary);
	put_sum(out, &site->unknown);
	strbuf_u64(out, site->old);
	strbuf_u64(out, site->old_freed);
	put_histogram(out, site->sizes);
	put_histogram(out, site->lives);
	put_histogram(out, site->ages);
	strbuf_u32(out, site->first_level);
	strbuf_u32(out, (uint32_t)site->levels.count);
	for (size_t i = 0; i < site->levels.count; i++) {
		put_sum(out, &site->levels.items[i].live);
		put_double(out, site->levels.items[i].moved_var);
	}
}

void heap_encode(const struct heap_data *data, struct strbuf *out)
{
	strbuf_u32(out, data->frees);
	strbuf_u32(out, data->joined);
	strbuf_u64(out, data->peak_ns);
	strbuf_u64(out, data->since_ns);
	strbuf_u32(out, data->breaks);
	strbuf_u64(out, data->wanted_ns);
	strbuf_u64(out, data->observed_ns);
	strbuf_u32(out, (uint32_t)data->snapshots.count);
	for (size_t i = 0; i < data->snapshots.count; i++)
		strbuf_u64(out, data->snapshots.items[i]);
	strbuf_u32(out, (uint32_t)data->sites.count);
	for (size_t i = 0; i < data->sites.count; i++)
		put_site(out, &data->sites.items[i]);
}

struct decoder {
	struct reader *in;
	const uint32_t *stacks;
	size_t stack_count, processes;
	struct heap_data *data;
	bool fates; /* the form that tells of unknown ones */
	bool no_memory;
};

static bool out_of_memory(struct decoder *decoder)
{
	decoder->no_memory = true;
	return reader_fail(decoder->in, "out of memory");
}

/* A variance: finite, and not below 0. */
static double get_variance(struct reader *in)
{
	uint64_t bits = reader_u64(in);
	double value;

	memcpy(&value, &bits, sizeof(value));
	if (reader_ok(in) && (!isfinite(value) || value < 0)) {
		reader_fail(in, "a variance that cannot be");
		return 0;
	}
	return value;
}

static struct heap_sum get_sum(struct reader *in)
{
	struct heap_sum sum;

	sum.n = reader_u64(in);
	sum.count = reader_u64(in);
	sum.bytes = reader_u64(in);
	sum.count_var = get_variance(in);
	sum.bytes_var = get_variance(in);
	return sum;
}

static bool get_flag(struct reader *in)
{
	uint32_t flag = reader_u32(in);

	if (flag > 1)
		reader_fail(in, "a flag that is neither 0 nor 1");
	return flag;
}

static void get_histogram(struct reader *in, uint64_t *buckets)
{
	uint64_t mask = reader_u64(in);

	if (reader_ok(in) && mask >> HEAP_BUCKETS)
		reader_fail(in, "more buckets than a histogram has");
	for (unsigned int i = 0; i < HEAP_BUCKETS && reader_ok(in); i++)
		buckets[i] = mask >> i & 1 ? reader_u64(in) : 0;
}

static bool get_levels(struct decoder *decoder, struct heap_site *site)
{
	struct reader *in = decoder->in;
	uint32_t count;

	site->first_level = reader_u32(in);
	count = reader_u32(in);
	if (!reader_ok(in))
		return false;
	if ((uint64_t)site->first_level + count > decoder->data->snapshots.count)
		return reader_fail(in, "a level without a snapshot");
	if (count && vec_reserve(&site->levels, count))
		return out_of_memory(decoder);
	for (uint32_t i = 0; i < count; i++) {
		struct heap_level level;

		level.live = get_sum(in);
		level.moved_var = get_variance(in);
		if (!reader_ok(in))
			return false;
		site->levels.items[site->levels.count++] = level;
	}
	return true;
}

static bool get_site(struct decoder *decoder, struct heap_site *site)
{
	struct reader *in = decoder->in;
	uint32_t stack = reader_u32(in);

	site->process = reader_u32(in);
	if (!reader_ok(in))
		return false;
	if (stack >= decoder->stack_count)
		return reader_fail(in, "stack id out of range");
	if (site->process != PROFILE_NONE && site->process >= decoder->processes)
		return reader_fail(in, "process index out of range");
	site->stack = decoder->stacks[stack];
	site->alloc = get_sum(in);
	site->live = get_sum(in);
	site->leaked = get_sum(in);
	site->peak = get_sum(in);
	site->temporary = get_sum(in);
	if (decoder->fates)
		site->unknown = get_sum(in);
	site->old = reader_u64(in);
	site->old_freed = reader_u64(in);
	get_histogram(in, site->sizes);
	get_histogram(in, site->lives);
	get_histogram(in, site->ages);
	return reader_ok(in) && get_levels(decoder, site);
}

static bool get_snapshots(struct decoder *decoder)
{
	struct reader *in = decoder->in;
	uint32_t count = reader_u32(in);
	uint64_t last = 0;

	if (!reader_ok(in))
		return false;
	/* One more than are kept: that of the end. */
	if (count > HEAP_SNAPSHOTS_MAX + 1)
		return reader_fail(in, "more snapshots than there may be");
	if (count && vec_reserve(&decoder->data->snapshots, count))
		return out_of_memory(decoder);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t at = reader_u64(in);

		if (reader_ok(in) && at < last)
			return reader_fail(in, "snapshots in disorder");
		last = at;
		decoder->data->snapshots.items[decoder->data->snapshots.count++] = at;
	}
	return reader_ok(in);
}

static bool get_sites(struct decoder *decoder)
{
	struct heap_data *data = decoder->data;
	uint32_t count = reader_u32(decoder->in);

	if (count > reader_left(decoder->in) / SITE_BYTES)
		return reader_fail(decoder->in, "more sites announced than there are bytes");
	for (uint32_t i = 0; i < count; i++) {
		struct heap_site site = {0};

		if (!get_site(decoder, &site)) {
			heap_site_deinit(&site);
			return false;
		}
		if (vec_push(&data->sites, site)) {
			heap_site_deinit(&site);
			return out_of_memory(decoder);
		}
	}
	return reader_ok(decoder->in);
}

static void get_breaks(struct reader *in, struct heap_data *data)
{
	data->since_ns = reader_u64(in);
	data->breaks = reader_u32(in);
	data->wanted_ns = reader_u64(in);
	data->observed_ns = reader_u64(in);
	if (reader_ok(in) && data->observed_ns > data->wanted_ns)
		reader_fail(in, "more was observed than there was");
}

bool heap_decode(struct reader *in, uint32_t version, const uint32_t *stacks, size_t stack_count,
		 size_t processes, struct heap_data *data, bool *ret_no_memory)
{
	struct decoder decoder = {.in = in,
				  .fates = version >= HEAP_WIRE_FATES,
				  .stacks = stacks,
				  .stack_count = stack_count,
				  .processes = processes,
				  .data = data};
	bool ok;

	data->frees = get_flag(in);
	data->joined = get_flag(in);
	data->peak_ns = reader_u64(in);
	if (decoder.fates)
		get_breaks(in, data);
	ok = get_snapshots(&decoder) && get_sites(&decoder);
	*ret_no_memory = decoder.no_memory;
	return ok;
}
