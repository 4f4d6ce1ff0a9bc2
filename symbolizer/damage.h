/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What of a file is damaged, and does without a name because of it: how many places,
 * and the first of them in words, as "section NAME, offset N: what". Noted by parsers
 * in the worker, told to the client once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/strbuf.h"

#define DAMAGE_TEXT_MAX 200u

struct damage { /* zero-initialised: none */
	uint32_t count; /* places, as often as they were met with */
	uint32_t told; /* of these */
	char text[DAMAGE_TEXT_MAX]; /* of the first */
};

void damage_note(struct damage *damage, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Makes all that is in `damage` told: adds what was not to *count, and gives the text if
 * nothing was told before, else NULL. */
const char *damage_tell(struct damage *damage, uint32_t *count);
