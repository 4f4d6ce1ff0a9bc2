/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/damage.h"

#include <stdarg.h>
#include <stdio.h>

void damage_note(struct damage *damage, const char *format, ...)
{
	va_list arguments;

	if (!damage->count) {
		va_start(arguments, format);
		vsnprintf(damage->text, sizeof(damage->text), format, arguments);
		va_end(arguments);
	}
	if (damage->count < UINT32_MAX)
		damage->count++;
}

const char *damage_tell(struct damage *damage, uint32_t *count)
{
	const char *text = damage->count && !damage->told ? damage->text : NULL;

	*count += damage->count - damage->told;
	damage->told = damage->count;
	return text;
}
