/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sentences around a picture or a table: what was profiled, where, when, how,
 * how much of it there is, and what was lost. Plain text, cleaned (text.h); a
 * picture escapes it.
 */
#pragma once

#include "daemon/base/strbuf.h"
#include "flamegraph/format.h"

/* "web1 · 2025-06-01 10:00:03 UTC · 10.0 s · cpu-clock at 499 Hz": what is known. */
void summary_put_origin(struct strbuf *out, const struct format_job *job);
/* "4,980 samples · cpu 9.96 s · 3 processes · 0 lost · 12 truncated". */
void summary_put_amount(struct strbuf *out, const struct format_job *job);
/* One of profile->counts: "truncated: 12 - the stack was deeper than 200 frames". */
void summary_put_count(struct strbuf *out, const struct profile *profile,
		       const struct profile_count *count);
/* Title, origin and amount, a line each, and an empty one: the head of a text. */
void summary_put_head(struct strbuf *out, const struct format_job *job);
/* All of profile->counts, a line each, after an empty one: its foot. */
void summary_put_counts(struct strbuf *out, const struct profile *profile);
