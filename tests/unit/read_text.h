/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading a profile from bytes in a test.
 */
#pragma once

#include "flamegraph/input.h"
#include "tests/unit/profile_text.h"

static inline int read_bytes(const char *format, const void *bytes, size_t n,
			     const struct format_read_options *options, struct error *error,
			     struct profile **ret)
{
	struct input input;
	int r;

	input_init_memory(&input, bytes, n);
	r = format_read(format ? format_find(format) : NULL, &input, options, error, ret);
	input_deinit(&input);
	return r;
}

/* By its content. */
static inline struct profile *read_text(const char *text)
{
	struct profile *profile = NULL;
	struct error error = {0};

	ck_assert_msg(!read_bytes(NULL, text, strlen(text), NULL, &error, &profile), "%s",
		      error.text);
	return profile;
}

static inline void check_folded(const struct profile *profile, const char *want)
{
	char *folded = profile_must_render(profile, "folded");

	ck_assert_str_eq(folded, want);
	free(folded);
}

/* The sentence about what was skipped, or "". */
static inline const char *malformed_text(const struct profile *profile)
{
	for (size_t i = 0; i < profile->counts.count; i++) {
		if (!strcmp(profile_text(profile, profile->counts.items[i].key), "malformed"))
			return profile_text(profile, profile->counts.items[i].text);
	}
	return "";
}
