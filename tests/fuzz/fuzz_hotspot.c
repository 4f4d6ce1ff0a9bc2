/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A Java machine's memory with any bytes in some places: each part of the input is
 * u16 where (in units of 8 bytes from the library's beginning), then 8 bytes. What is
 * read out of it must stand the check that the daemon makes. The whole input is an
 * answer of the worker's, too.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbolizer/hotspot.h"
#include "tests/unit/jvm_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct jvm_layout *layout)
{
	struct strbuf text = {0};
	struct jvm_layout again;
	struct error error = {0};

	hotspot_encode(layout, &text);
	if (hotspot_decode(text.data, text.length, &error, &again))
		abort();
	strbuf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);
	static struct jvm_image image;
	struct jvm_layout layout;
	struct error error = {0};

	if (!hotspot_decode(data, size, &error, &layout))
		check(&layout);
	jvm_image_init(&image);
	for (; size >= 10; data += 10, size -= 10) {
		uint32_t at = JVM_BASE + (uint32_t)(data[0] | data[1] << 8) * 8;

		if (at + 8 <= JVM_END)
			memcpy(&image.bytes[at], data + 2, 8);
	}
	if (fd < 0 || pwrite(fd, image.bytes, sizeof(image.bytes), 0) != sizeof(image.bytes))
		abort();
	if (!hotspot_read(fd, JVM_CODE, JVM_CODE - JVM_BASE, &error, &layout))
		check(&layout);
	else if (!error.code || !error.text[0])
		abort();
	close(fd);
	return 0;
}
