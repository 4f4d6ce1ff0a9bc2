/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the readers of foreign profiles share: numbers, kinds of frames by their
 * names, and the account of what could not be understood.
 *
 * A reader skips what is malformed and counts it. The count goes into the profile as
 * "malformed", with the first line numbers and the reason of the first: so it stands
 * on the terminal and in the foot of every output.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flamegraph/profile.h"

#define IMPORT_DEPTH_MAX 16384 /* frames of one stack; a deeper one is malformed */
#define IMPORT_MALFORMED_KEY "malformed"
#define IMPORT_LINES_NAMED 8

struct malformed {
	uint64_t count;
	uint64_t lines[IMPORT_LINES_NAMED]; /* the first ones */
	const char *why; /* of the first */
};

/* `line`: its number, or that of a record in a format without lines. */
void malformed_add(struct malformed *malformed, uint64_t line, const char *why);
/* `unit`: "line", "sample". 0 or -ENOMEM. */
int malformed_report(const struct malformed *malformed, const char *unit, struct profile *profile);

/* Takes one of the suffixes "_[k]", "_[i]", "_[j]" off a name (*n gets shorter) and
 * gives the kind; without one: FRAME_SPECIAL for a "[marker]", else FRAME_USER. */
enum frame_kind import_kind(const char *name, size_t *n);
/* Is that module the kernel, or a part of it? "[kernel.kallsyms]", "…/vmlinux-6.1",
 * "nf_nat.ko". */
bool import_is_kernel(const char *module, size_t n);

/* A decimal number of millionths: "12", "0.5", "1e-3"; nothing but it in the n bytes. */
#define IMPORT_MILLION 1000000U
struct import_number {
	uint64_t whole;
	uint32_t millionths; /* below a million */
};
bool import_number(const char *text, size_t n, struct import_number *ret);
/* The whole of a number; 0 for none. */
uint64_t import_decimal(const char *text, size_t n);

/* Adds a sample of a stack of frames, root first; sample->stack is set. 0 or -ENOMEM. */
int import_add_sample(struct profile *profile, const uint32_t *frames, size_t count,
		      struct profile_sample *sample, const uint64_t *values);
