/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The client decodes what a socket sends, and draws it. What decodes must encode
 * to something that decodes again, and go through every format.
 */
#include <stdlib.h>

#include "flamegraph/format.h"
#include "flamegraph/profile_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void draw(const struct profile *profile)
{
	for (size_t i = 0; i < format_count; i++) {
		char *text = NULL;
		size_t n;
		FILE *out = open_memstream(&text, &n);

		if (!out)
			abort();
		format_write(&formats[i], profile, NULL, out, NULL);
		fclose(out);
		free(text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct profile *profile = NULL, *again = NULL;
	struct strbuf bytes = {0};
	struct error error;

	if (profile_decode(data, size, &error, &profile))
		return 0;
	draw(profile);
	if (profile_encode(profile, &bytes) ||
	    profile_decode(bytes.data, bytes.length, &error, &again))
		abort();
	profile_destroy(profile);
	profile_destroy(again);
	strbuf_deinit(&bytes);
	return 0;
}
