/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "perfd": the profile as it is, with all its values, times, processes, marks and series:
 * the bytes of profile_wire.h. To keep a profile, and read it by another command later.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/input.h"
#include "flamegraph/profile_wire.h"

static const char magic[] = "PFDP";

int format_perfd_write(const struct format_job *job, FILE *out)
{
	_cleanup_(strbuf_deinit) struct strbuf bytes = {0};
	int r = profile_encode(job->profile, &bytes);

	if (!r)
		fwrite(bytes.data, 1, bytes.length, out);
	return r;
}

bool format_perfd_recognises(const char *head, size_t n)
{
	return n >= strlen(magic) && !memcmp(head, magic, strlen(magic));
}

int format_perfd_read(struct input *input, const struct format_read_options *options,
		      struct profile *profile)
{
	_cleanup_profile_ struct profile *read = NULL;
	struct profile empty = *profile;
	size_t n;
	const char *bytes = input_all(input, &n);
	int r;

	(void)options;
	if (!bytes)
		return 0; /* the input says why */
	r = profile_decode(bytes, n, &input->error, &read);
	if (r)
		return r;
	*profile = *read;
	*read = empty;
	return 0;
}
