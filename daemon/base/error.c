/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_fill_(struct error *error, int code, const char *format, ...)
{
	va_list args;

	if (!error)
		return;
	error->code = code;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
}

int error_prefix(struct error *error, const char *format, ...)
{
	char text[sizeof(error->text)];
	va_list args;
	size_t n;

	if (!error)
		return 0;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	n = strlen(text);
	/* What does not fit is cut off at the end, as in error_set(). */
	for (const char *at = ": "; *at && n < sizeof(text) - 1; at++)
		text[n++] = *at;
	for (const char *at = error->text; *at && n < sizeof(text) - 1; at++)
		text[n++] = *at;
	text[n] = '\0';
	memcpy(error->text, text, sizeof(text));
	return error->code;
}
