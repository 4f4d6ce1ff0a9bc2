/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbolizer/hotspot.h"
#include "tests/unit/jvm_image.h"
#include "tests/unit/suite.h"

static struct jvm_image image;

static int read_at(uint64_t code, uint64_t offset, struct error *error, struct jvm_layout *layout)
{
	int fd = memfd_create("memory", MFD_CLOEXEC), r;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, image.bytes, sizeof(image.bytes), 0), sizeof(image.bytes));
	r = hotspot_read(fd, code, offset, error, layout);
	close(fd);
	return r;
}

static int read_image(struct error *error, struct jvm_layout *layout)
{
	return read_at(JVM_CODE, JVM_CODE - JVM_BASE, error, layout);
}

static void fails(int code)
{
	struct jvm_layout layout = {.heap_count = 77};
	struct error error = {0};

	ck_assert_int_eq(read_image(&error, &layout), code);
	ck_assert_int_eq(error.code, code);
	ck_assert(error.text[0]);
	ck_assert_uint_eq(layout.heap_count, 77); /* unchanged */
}

START_TEST(a_machine)
{
	struct jvm_layout layout;
	struct error error = {0};

	jvm_image_init(&image);
	ck_assert_msg(!read_image(&error, &layout), "%s", error.text);
	ck_assert_uint_eq(layout.low, JVM_LOW);
	ck_assert_uint_eq(layout.high, JVM_HIGH);
	ck_assert_uint_eq(layout.interpreter, JVM_LOW + 0x2000);
	ck_assert_uint_eq(layout.interpreter_end, JVM_LOW + 0x12000);
	ck_assert_uint_eq(layout.call_stub, JVM_LOW + 0x1234);
	ck_assert_uint_eq(layout.heap_count, 2);
	ck_assert_uint_eq(layout.heaps[1].low, JVM_LOW + 0x100000);
	ck_assert_uint_eq(layout.heaps[1].segmap, 0x7e0000010000);
	ck_assert_uint_eq(layout.segment_shift, 7);
	/* From the block's beginning: its header has 8 bytes. */
	ck_assert_uint_eq(layout.blob, 8);
	ck_assert_uint_eq(layout.used, 4);
	ck_assert_uint_eq(layout.frame_size, 52);
	ck_assert_uint_eq(layout.frame_complete, 62);
	ck_assert_uint_eq(layout.frame_complete_bytes, 2);
	ck_assert_uint_eq(layout.code, 44);
	ck_assert_uint_eq(layout.code_bytes, 4);
}
END_TEST

START_TEST(pointers_to_code)
{
	struct jvm_layout layout;
	struct error error = {0};

	jvm_image_init(&image);
	jvm_field(&image, "CodeBlob", "_code_begin", "address", false, 32);
	ck_assert_msg(!read_image(&error, &layout), "%s", error.text);
	ck_assert_uint_eq(layout.code, 40);
	ck_assert_uint_eq(layout.code_bytes, 8);
}
END_TEST

START_TEST(the_older_hash_table)
{
	struct jvm_layout layout;
	struct error error = {0};

	jvm_image_init(&image);
	jvm_elf(&image, false);
	ck_assert_msg(!read_image(&error, &layout), "%s", error.text);
	ck_assert_uint_eq(layout.heap_count, 2);
}
END_TEST

/* As lld places segments: addresses run ahead of offsets. */
START_TEST(a_gap_before_the_code)
{
	struct jvm_layout layout;
	struct error error = {0};

	jvm_image_init(&image);
	ck_assert_int_eq(read_at(JVM_CODE, JVM_CODE - JVM_BASE - 0x2000, &error, &layout), 0);
	ck_assert_uint_eq(layout.low, JVM_LOW);
}
END_TEST

START_TEST(a_machine_that_starts)
{
	jvm_image_init(&image);
	jvm_put(&image, JVM_STATICS, 0, 8); /* no heaps yet */
	fails(-EAGAIN);
	jvm_image_init(&image);
	jvm_put(&image, JVM_ARRAY, 1, 4); /* the second heap is not there yet */
	fails(-EAGAIN);
	jvm_image_init(&image);
	jvm_put(&image, JVM_STATICS + 24, 0, 8); /* nor the interpreter */
	fails(-EAGAIN);
	jvm_image_init(&image);
	jvm_put(&image, JVM_HEAP + 0x148, 0, 8); /* nor the second heap's map */
	fails(-EAGAIN);
}
END_TEST

START_TEST(no_machine)
{
	memset(&image, 0, sizeof(image));
	fails(-ENOEXEC);
	jvm_image_init(&image);
	jvm_put(&image, JVM_BASE + 18, EM_AARCH64, 2);
	fails(-ENOEXEC);
	jvm_image_init(&image);
	jvm_put(&image, JVM_DYNAMIC, DT_NULL, 8);
	fails(-ENOEXEC);
	jvm_image_init(&image);
	jvm_put(&image, JVM_NAMES + 1, 'x', 1); /* another library */
	fails(-ENOEXEC);
	jvm_image_init(&image);
	image.bytes[JVM_TEXTS] = 'x'; /* no CodeCache::_heaps */
	fails(-ENOEXEC);
	jvm_image_init(&image);
	jvm_put(&image, JVM_TYPES + 16, 0, 8); /* no HeapBlock */
	fails(-ENOEXEC);
}
END_TEST

START_TEST(damage)
{
	jvm_image_init(&image);
	jvm_put(&image, JVM_VARIABLES + 2 * 8, 0, 8); /* entries without a length: for ever */
	fails(-EBADMSG);
	jvm_image_init(&image);
	jvm_put(&image, JVM_VARIABLES + 2 * 8, UINT64_MAX, 8);
	fails(-EBADMSG);
	jvm_image_init(&image);
	jvm_put(&image, JVM_ARRAY, 1000000, 4); /* heaps */
	fails(-EBADMSG);
	jvm_image_init(&image);
	jvm_put(&image, JVM_POINTERS, 0x7fff00000000, 8);
	fails(-EIO);
	jvm_image_init(&image);
	jvm_put(&image, JVM_HEAP + 0x80, 40, 4); /* the second heap's segments differ */
	fails(-EBADMSG);
	jvm_image_init(&image);
	jvm_put(&image, JVM_HEAP + 16, JVM_LOW - 1, 8); /* a heap that ends before it begins */
	fails(-EBADMSG);
	jvm_image_init(&image);
	jvm_put(&image, JVM_QUEUE + 8, 0x1000, 8); /* an interpreter elsewhere */
	fails(-EBADMSG);
	jvm_image_init(&image);
	jvm_put(&image, JVM_TYPES + 24, 1 << 20, 8); /* the block's header */
	fails(-EBADMSG);
	jvm_image_init(&image);
	jvm_put(&image, JVM_BASE + 32, 0x7f0000000000, 8); /* the program headers */
	fails(-EIO);
}
END_TEST

/* A hash chain without end, and tables whose entries never do: limits end them. */
START_TEST(without_end)
{
	struct jvm_layout layout;
	struct error error = {0};

	jvm_image_init(&image);
	jvm_elf(&image, false);
	jvm_put(&image, JVM_HASH + 4, UINT32_MAX, 4); /* symbols */
	ck_assert_int_eq(read_image(&error, &layout), 0);
	jvm_put(&image, JVM_NAMES + 1, 'x', 1); /* the one that is looked for */
	fails(-ENOEXEC);
	jvm_image_init(&image);
	for (uint32_t i = image.types; JVM_TYPES + i * 16 < JVM_TEXTS; i++)
		jvm_put(&image, JVM_TYPES + i * 16, JVM_TEXTS, 8);
	image.bytes[JVM_TYPES + 16] = 0;
	jvm_put(&image, JVM_TYPES + 16, JVM_TEXTS, 8); /* in place of HeapBlock */
	jvm_put(&image, JVM_VARIABLES + 10 * 8, 1, 8); /* stride */
	ck_assert_int_lt(read_image(&error, &layout), 0);
}
END_TEST

START_TEST(every_byte_turned)
{
	jvm_image_init(&image);
	/* What comes out of a damaged image is refused, or could be one. */
	for (uint32_t at = JVM_BASE; at < JVM_QUEUE + 64; at += at % 64 < 48 ? 1 : 7) {
		uint8_t was = image.bytes[at];
		struct jvm_layout layout = {0}, again;
		struct error error = {0};
		struct strbuf text = {0};

		if (!was && at % 16)
			continue;
		image.bytes[at] = (uint8_t)~was;
		if (!read_image(&error, &layout)) {
			hotspot_encode(&layout, &text);
			ck_assert_int_eq(hotspot_decode(text.data, text.length, &error, &again), 0);
		}
		strbuf_deinit(&text);
		image.bytes[at] = was;
	}
}
END_TEST

START_TEST(over_the_wire)
{
	struct jvm_layout layout, again = {0};
	struct error error = {0};
	struct strbuf text = {0};

	jvm_image_init(&image);
	ck_assert_int_eq(read_image(&error, &layout), 0);
	hotspot_encode(&layout, &text);
	ck_assert_int_eq(hotspot_decode(text.data, text.length, &error, &again), 0);
	ck_assert_mem_eq(&layout, &again, sizeof(layout));
	ck_assert_int_eq(hotspot_decode(text.data, text.length - 1, &error, &again), -EBADMSG);
	for (size_t at = 0; at < text.length; at++) {
		text.data[at] ^= (char)0x80;
		if (hotspot_decode(text.data, text.length, &error, &again))
			ck_assert(error.text[0]);
		else
			ck_assert_uint_le(again.heap_count, JVM_HEAPS_MAX);
		text.data[at] ^= (char)0x80;
	}
	layout.frame_size = JVM_BLOCK_BYTES - 3; /* its last byte lies behind the block */
	strbuf_clear(&text);
	hotspot_encode(&layout, &text);
	ck_assert_int_eq(hotspot_decode(text.data, text.length, &error, &again), -EBADMSG);
	strbuf_deinit(&text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hotspot");

	SUITE_CASE(suite, "what it says", a_machine, pointers_to_code, the_older_hash_table,
		   a_gap_before_the_code, a_machine_that_starts, no_machine);
	SUITE_CASE(suite, "damage", damage, without_end, every_byte_turned, over_the_wire);
	return suite_main(suite);
}
