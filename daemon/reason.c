/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/reason.h"

static const struct {
	const char *key, *frame, *text;
} reasons[] = {
#define X(name, key_, frame_, text_) [ABI_REASON_##name] = {key_, frame_, text_},
	ABI_REASONS(X)
#undef X
};
_Static_assert(sizeof(reasons) / sizeof(reasons[0]) == ABI_REASON_COUNT, "every reason has words");

const char *reason_key(unsigned int reason)
{
	return reason < ABI_REASON_COUNT ? reasons[reason].key : "unknown";
}

const char *reason_frame(unsigned int reason)
{
	return reason < ABI_REASON_COUNT ? reasons[reason].frame : "";
}

const char *reason_text(unsigned int reason)
{
	return reason < ABI_REASON_COUNT ? reasons[reason].text : "unknown reason";
}

bool reason_is_loss(unsigned int reason)
{
	return reason >= ABI_REASON_LOST_RING && reason < ABI_REASON_COUNT;
}
