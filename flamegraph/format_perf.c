/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "perf": the text that `perf script` prints, for the many tools that read it. A sample
 * record of ours is one of theirs, with its value as the period; the time is that of
 * its bucket. Inlined frames stand in lines of their own with "(inlined)" for a module.
 */
#include "flamegraph/format.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/sample_order.h"
#include "flamegraph/text.h"

static void put_string(struct strbuf *out, const struct profile *profile, uint32_t string,
		       const char *otherwise)
{
	size_t n = strtab_length(&profile->strings, string);

	if (n)
		text_put(out, profile_text(profile, string), n);
	else
		strbuf_puts(out, otherwise);
}

static void put_head(struct strbuf *out, const struct format_job *job,
		     const struct profile_sample *sample, uint64_t value)
{
	const struct profile *profile = job->profile;
	uint64_t ns = (profile->start_ns % 100000000000000) + sample->bucket * profile->bucket_ns;
	uint32_t pid = 0;

	if (sample->process != PROFILE_NONE)
		pid = profile->processes.items[sample->process].pid;
	put_string(out, profile, sample->comm, "unknown");
	strbuf_printf(out, " %u/%u [000] %" PRIu64 ".%06" PRIu64 ": %" PRIu64 " ", pid, pid,
		      ns / 1000000000, ns / 1000 % 1000000, value);
	put_string(out, profile, profile->event, job->value_name);
	strbuf_puts(out, ":\n");
}

static void put_frame(struct strbuf *out, const struct profile *profile,
		      const struct profile_frame *frame)
{
	strbuf_printf(out, "\t%16" PRIx64 " ", frame->address);
	put_string(out, profile, frame->name, "[unknown]");
	strbuf_puts(out, " (");
	if (frame->kind == FRAME_INLINE)
		strbuf_puts(out, "inlined");
	else if (frame->kind == FRAME_KERNEL)
		strbuf_puts(out, "[kernel.kallsyms]");
	else
		put_string(out, profile, frame->module,
			   frame->kind == FRAME_JIT ? "/tmp/perf-0.map" : "[unknown]");
	strbuf_puts(out, ")\n");
}

int format_perf_write(const struct format_job *job, FILE *out)
{
	const struct profile *profile = job->profile;
	_cleanup_free_ uint32_t *order = sample_order(profile, true);
	struct strbuf text = {0};
	int r;

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < profile->samples.count; i++) {
		const struct profile_sample *sample = &profile->samples.items[order[i]];
		uint64_t value =
			profile->values
				.items[order[i] * profile->value_type_count + job->value_type];
		size_t count;
		const uint32_t *frames = profile_stack_frames(profile, sample->stack, &count);

		if (!value)
			continue;
		put_head(&text, job, sample, value);
		while (count)
			put_frame(&text, profile, &profile->frames.items[frames[--count]]);
		strbuf_putc(&text, '\n');
		if (text.length > 65536) {
			fwrite(text.data, 1, text.length, out);
			strbuf_clear(&text);
		}
	}
	if (text.length)
		fwrite(text.data, 1, text.length, out);
	r = strbuf_error(&text);
	strbuf_deinit(&text);
	return r;
}
