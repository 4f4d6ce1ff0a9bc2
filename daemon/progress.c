/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void progress_init(struct progress *progress)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

	*progress = (struct progress){.terminal = isatty(STDERR_FILENO) && term &&
						  strcmp(term, "dumb") != 0};
	progress->color = progress->terminal && !(no_color && *no_color);
}

void progress_draw(struct progress *progress, const struct message *event)
{
	uint64_t elapsed_ns = message_u64(event, FIELD_ELAPSED);
	uint64_t samples = message_u64(event, FIELD_SAMPLES);
	uint64_t lost = message_u64(event, FIELD_LOST);
	double seconds = (double)(elapsed_ns - progress->elapsed_ns) / 1e9;
	double rate = 0;

	if (!progress->terminal)
		return;
	if (elapsed_ns > progress->elapsed_ns && samples >= progress->samples)
		rate = (double)(samples - progress->samples) / seconds;
	/* Back to the line's beginning, and what is longer there is cleared. */
	fprintf(stderr, "\r%.1f s  %" PRIu64 " samples  %.0f/s  %u process%s  %s%" PRIu64 " lost%s",
		(double)elapsed_ns / 1e9, samples, rate, message_u32(event, FIELD_PROCESSES),
		message_u32(event, FIELD_PROCESSES) == 1 ? "" : "es",
		progress->color && lost ? "\033[31m" : "", lost,
		progress->color && lost ? "\033[0m" : "");
	fputs("\033[K  (Ctrl-C ends)", stderr);
	fflush(stderr);
	progress->drawn = true;
	progress->elapsed_ns = elapsed_ns;
	progress->samples = samples;
}

void progress_clear(struct progress *progress)
{
	if (progress->drawn)
		fputs("\r\033[K", stderr);
	progress->drawn = false;
}
