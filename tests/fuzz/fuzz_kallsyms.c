/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as /proc/kallsyms: refused with a line, or a sorted list in which
 * look-ups stay within bounds.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbolizer/kallsyms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("kallsyms", MFD_CLOEXEC);
	struct kallsyms list;
	struct error error = {0};

	if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	if (kallsyms_init(&list, fd, &error)) {
		if (!error.code || !error.text[0])
			abort();
		close(fd);
		return 0;
	}
	close(fd);
	if (list.restricted && list.count)
		abort();
	for (size_t i = 0; i < list.count; i++) {
		const char *module = NULL;
		const char *name = kallsyms_find(&list, list.addresses[i], &module);

		if ((i && list.addresses[i] <= list.addresses[i - 1]) || (name && !module))
			abort();
	}
	kallsyms_deinit(&list);
	return 0;
}
