/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When a picture's boxes ran: the samples by time bucket and box, as text for the
 * report's scripts, beside picture_put_text():
 *
 *	times 1
 *	start NS		of the epoch, 0: unknown
 *	bucket NS		width of a step
 *	steps N			from the first to the last, N lines follow:
 *	BOX,SELF[,THIN] ...	what ran in this step, blanks between; may be empty
 *	marks N			what happened, by time, N lines follow; the first step is 0
 *	AT_NS ALARM TEXT	ALARM 1: something went wrong
 *
 * BOX counts the picture's boxes from 0. Steps are the profile's buckets, or several
 * of them where there would be too many.
 */
#pragma once

#include "daemon/base/hashmap.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/picture.h"

#define PICTURE_STEPS_MAX 6000
#define PICTURE_BOXES_MAX 200000 /* that the picture may have */
#define PICTURE_TIMES_MAX 400000 /* of BOX,SELF[,THIN] */

/* `leaves` as picture_init() filled it. Nothing is written for a profile without a time
 * axis. 0 or -ENOMEM. */
int picture_put_times(struct strbuf *out, const struct picture *picture,
		      const struct hashmap *leaves);
