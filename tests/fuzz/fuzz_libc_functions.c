/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A process's memory that is the input, with a C library's code at its second page: what
 * is read out of it must stand the check that the daemon makes. The whole input is an
 * answer of the worker's, too.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbolizer/libc_functions.h"

#define CODE 0x11000
#define BASE 0x10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);
	struct libc_functions functions, again;
	struct strbuf text = {0};
	struct error error = {0};

	libc_functions_decode(data, size, &error, &functions);
	if (fd < 0 || size > 1 << 20 || ftruncate(fd, BASE + (1 << 20)) < 0 ||
	    pwrite(fd, data, size, BASE) != (ssize_t)size)
		abort();
	if (!libc_functions_read(fd, CODE, CODE - BASE, &error, &functions)) {
		libc_functions_encode(&functions, &text);
		if (libc_functions_decode(text.data, text.length, &error, &again))
			abort();
		strbuf_deinit(&text);
	} else if (!error.code || !error.text[0]) {
		abort();
	}
	close(fd);
	return 0;
}
