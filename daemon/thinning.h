/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether the system-wide view makes one sample of several firings on a busy process
 * (bpf/busy.h), and why. It does while perfd has a budget and nobody wants more of the view
 * than a budget would give. How it is lies in the view's outputs: the series "thinning", and
 * a mark with the reason where it changes. Sessions are never thinned.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"

struct engine;

struct thinning {
	uint32_t one_in; /* firings on a busy process become one sample; 1: each does */
	const char *why; /* static */
};

/* As it should be. `forced`: the view's rate is set by hand. */
struct thinning thinning_judge(const struct config *config, bool forced);
/* The view was opened: it is as it should be from its first firing on. */
void thinning_open(struct engine *engine);
/* Settings or the view's rate may have changed. */
void thinning_follow(struct engine *engine);
/* Puts it on the view's time line; `now`: boot time, ns. */
void thinning_note(struct engine *engine, uint64_t now);
