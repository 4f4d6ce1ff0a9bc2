/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What `perfctl top` says without a screen, of the newest interval: a table, or an object of
 * NDJSON (schema perfd.top/1, docs/schemas/perfd.top-1.json).
 */
#pragma once

#include "daemon/base/strbuf.h"
#include "daemon/top_model.h"

struct top_print {
	const char *host;
	uint32_t cpus, frequency_hz;
	uint32_t lines; /* of processes, and of functions; 0: all */
	enum top_sort sort;
	bool reversed;
	const char *filter; /* of processes and functions; NULL: all */
};

/* 0 or -ENOMEM. */
int top_print_table(const struct top_model *model, const struct top_print *how, struct strbuf *out);
int top_print_json(const struct top_model *model, const struct top_print *how, struct strbuf *out);

/* "perfd-host  12:03:04  1.00 s  2 CPUs 37.5 % busy  99 Hz  lost 0": of the newest interval. */
void top_print_head(const struct top_model *model, const struct top_print *how, struct strbuf *out);
/* "12.3 MiB" and "99.0", right-aligned, as they stand in columns. */
void top_put_bytes(struct strbuf *out, uint64_t bytes, bool known, int width);
void top_put_percent(struct strbuf *out, double share, int width);
void top_put_rate(struct strbuf *out, double rate, int width);
/* "kernel", "inlined", … or NULL: what a reader must know of a function. */
const char *top_kind_mark(uint32_t kind);
