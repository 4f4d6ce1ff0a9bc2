/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An error for a person: a code for the program and one sentence that says
 * what went wrong, where, and how to mend it. Functions that can fail for a
 * reason the user must understand take a `struct error *` last (may be NULL).
 */
#pragma once

struct error {
	int code; /* negative errno; 0: no error */
	char text[512];
};

/* Fills *error (if not NULL) and returns `code`: a macro, so that callers are
 * compiled and analysed in the knowledge of what they return. */
#define error_set(error, code, ...)                                                                \
	({                                                                                         \
		int code_ = (code);                                                                \
		error_fill_((error), code_, __VA_ARGS__);                                          \
		code_;                                                                             \
	})
void error_fill_(struct error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts "prefix: " before the text that is there; returns error->code. */
int error_prefix(struct error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
