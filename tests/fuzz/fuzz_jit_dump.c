/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as a jit dump, written in two pieces: functions in order that do not overlap,
 * each with a name, and lines of theirs; what is damaged says where.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbolizer/jit_dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void update(struct jit_dump *dump, int fd)
{
	struct error error = {0};
	int r = jit_dump_update(dump, fd, &error);

	if (r && (!error.code || !error.text[0]))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jit_dump dump = {0};
	size_t half = size / 2;
	int fd = memfd_create("dump", MFD_CLOEXEC);
	uint64_t end = 0;

	if (fd < 0 || write(fd, data, half) != (ssize_t)half)
		abort();
	update(&dump, fd);
	if (write(fd, data + half, size - half) != (ssize_t)(size - half))
		abort();
	update(&dump, fd);
	for (size_t i = 0; i < dump.functions.items.count; i++) {
		const struct jit_function *function = &dump.functions.items.items[i];
		struct jit_dump_place place;

		if (function->start < end || function->end <= function->start ||
		    !jit_dump_find(&dump, function->start, &place) || !place.name || !place.file ||
		    !jit_dump_find(&dump, function->end - 1, &place))
			abort();
		end = function->end;
	}
	jit_dump_deinit(&dump);
	close(fd);
	return 0;
}
