/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What debug information has in further files and odd sections: golden bytes for
 * the parsers (package index, links to a supplement, address ranges, packed
 * sections), and where the files are looked for.
 */
#include <check.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "daemon/base/log.h"
#include "daemon/base/strbuf.h"
#include "symbolizer/debug_part.h"
#include "symbolizer/dwarf_aranges.h"
#include "symbolizer/dwarf_package.h"
#include "symbolizer/dwarf_supplement.h"
#include "tests/unit/suite.h"
#include "tests/unit/workshop.h"

static struct workshop shop;

#define run(...) ck_assert_int_eq(workshop_command(__VA_ARGS__), 0)

/* ---- the package's index ---- */

/* Two slots of four are in use; three columns. The first unit's row is the second. */
#define PACKAGE(version, strings)                                                                  \
	{                                                                                          \
		version, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, /* header */                 \
			0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0, 0, 0xaa, /* ids */            \
			0, 0, 0, 0, 0, 0, 0, 0, 0x22, 0, 0, 0, 0, 0, 0, 0xbb, /**/                 \
			0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, /* rows */                 \
			1, 0, 0, 0, 3, 0, 0, 0, strings, 0, 0, 0, /* columns: info, abbrev, ... */ \
			0x40, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, /* offsets of row 1 */              \
			0x10, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, /* and of row 2 */                  \
			0x20, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 0x30, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, \
			0                                                                          \
	}

START_TEST(a_package)
{
	static const uint8_t five[] = PACKAGE(5, 6), lists[] = PACKAGE(5, 8), two[] = PACKAGE(2, 8);
	struct dwarf_package package;
	const struct dwarf_contribution *unit;
	struct error error = {0};

	ck_assert_msg(!dwarf_package_parse(&package, five, sizeof(five), &error), "%s", error.text);
	ck_assert_uint_eq(package.units.count, 2);
	unit = dwarf_package_at(&package, 0x40);
	ck_assert_ptr_nonnull(unit);
	ck_assert_uint_eq(unit->id, 0xbb00000000000022ull);
	ck_assert_uint_eq(unit->info_size, 0x20);
	ck_assert_uint_eq(unit->abbrev, 5);
	ck_assert_uint_eq(unit->string_offsets, 6);
	unit = dwarf_package_at(&package, 0x10);
	ck_assert_ptr_nonnull(unit);
	ck_assert_uint_eq(unit->id, 0xaa00000000000011ull);
	ck_assert_uint_eq(unit->string_offsets, 8);
	ck_assert_ptr_null(dwarf_package_at(&package, 0x11));
	dwarf_package_deinit(&package);
	/* Number 8 is another section's in each version. */
	ck_assert_int_eq(dwarf_package_parse(&package, lists, sizeof(lists), &error), 0);
	ck_assert_uint_eq(dwarf_package_at(&package, 0x40)->lists, 6);
	dwarf_package_deinit(&package);
	ck_assert_int_eq(dwarf_package_parse(&package, two, sizeof(two), &error), 0);
	ck_assert_uint_eq(dwarf_package_at(&package, 0x40)->lists, 0);
	dwarf_package_deinit(&package);
}
END_TEST

START_TEST(a_damaged_package)
{
	uint8_t bytes[] = PACKAGE(5, 6);
	struct dwarf_package package;
	struct error error = {0};

	for (size_t size = 0; size < sizeof(bytes); size++) {
		ck_assert_int_eq(dwarf_package_parse(&package, bytes, size, &error), -EBADMSG);
		ck_assert_msg(!strncmp(error.text, "section .debug_cu_index, offset ", 32), "%s",
			      error.text);
	}
	bytes[0] = 3;
	ck_assert_int_eq(dwarf_package_parse(&package, bytes, sizeof(bytes), &error), -EBADMSG);
	ck_assert_msg(strstr(error.text, "version 3"), "%s", error.text);
	bytes[0] = 5;
	bytes[11] = 0xff; /* four thousand million units */
	ck_assert_int_eq(dwarf_package_parse(&package, bytes, sizeof(bytes), &error), -EBADMSG);
	bytes[11] = 0;
	bytes[16 + 32] = bytes[16 + 36] = bytes[16 + 40] = bytes[16 + 44] = 1; /* one for all */
	ck_assert_int_eq(dwarf_package_parse(&package, bytes, sizeof(bytes), &error), -EBADMSG);
	/* A row that is not there is no unit's. */
	bytes[16 + 32] = bytes[16 + 36] = bytes[16 + 40] = bytes[16 + 44] = 9;
	ck_assert_int_eq(dwarf_package_parse(&package, bytes, sizeof(bytes), &error), 0);
	ck_assert_uint_eq(package.units.count, 0);
	dwarf_package_deinit(&package);
}
END_TEST

/* ---- what is said of a supplement ---- */

START_TEST(links_to_a_supplement)
{
	static const char link[] = "dir/x.dwz\0\1\2\3\4", sup[] = "\5\0\0x.sup\0\4\1\2\3\4",
			  itself[] = "\5\0\1x.sup\0\4\1\2\3\4", four[] = "\4\0\0x.sup\0\4\1\2\3\4",
			  nameless[] = "\0\1\2\3\4";
	static char long_one[4096];
	struct dwarf_supplement supplement;

	dwarf_supplement_parse(link, sizeof(link) - 1, false, &supplement);
	ck_assert_str_eq(supplement.path, "dir/x.dwz");
	ck_assert_uint_eq(supplement.id_size, 4);
	ck_assert_mem_eq(supplement.id, "\1\2\3\4", 4);
	ck_assert(!supplement.is_checksum);
	dwarf_supplement_parse(sup, sizeof(sup) - 1, true, &supplement);
	ck_assert_str_eq(supplement.path, "x.sup");
	ck_assert_uint_eq(supplement.id_size, 4);
	ck_assert(supplement.is_checksum);
	for (size_t size = 0; size < sizeof(sup) - 1; size++) {
		dwarf_supplement_parse(sup, size, true, &supplement);
		ck_assert_uint_eq(supplement.id_size, 0);
	}
	for (size_t size = 0; size <= sizeof("dir/x.dwz"); size++) {
		dwarf_supplement_parse(link, size, false, &supplement);
		ck_assert_uint_eq(supplement.id_size, 0);
	}
	dwarf_supplement_parse(itself, sizeof(itself) - 1, true, &supplement);
	ck_assert_uint_eq(supplement.id_size, 0);
	dwarf_supplement_parse(four, sizeof(four) - 1, true, &supplement);
	ck_assert_uint_eq(supplement.id_size, 0);
	dwarf_supplement_parse(nameless, sizeof(nameless) - 1, false, &supplement);
	ck_assert_uint_eq(supplement.id_size, 0);
	memset(long_one, 'x', 2000);
	dwarf_supplement_parse(long_one, 2010, false, &supplement);
	ck_assert_uint_eq(supplement.id_size, 0);
	memset(long_one + 9, 'x', 100); /* an id that is too long */
	long_one[8] = 0;
	dwarf_supplement_parse(long_one, 100, false, &supplement);
	ck_assert_uint_eq(supplement.id_size, 0);
}
END_TEST

/* ---- address ranges ---- */

static int note_range(void *context, uint64_t unit, uint64_t start, uint64_t end)
{
	struct strbuf *text = context;

	strbuf_printf(text, "%llx:%llx-%llx ", (unsigned long long)unit, (unsigned long long)start,
		      (unsigned long long)end);
	return start == 0xbad ? -ENOSPC : 0;
}

START_TEST(address_ranges)
{
	static const uint8_t bytes[] = {/* of 8 bytes, with four of padding before its tuples */
					0x2c, 0, 0, 0, 2, 0, 0x10, 0, 0, 0, 8, 0, 0xff, 0xff, 0xff,
					0xff, /**/
					0, 0x10, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, /**/
					0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /**/
					/* of 4, in 64-bit DWARF: a header of 24 bytes */
					0xff, 0xff, 0xff, 0xff, 0x1c, 0, 0, 0, 0, 0, 0, 0, /**/
					2, 0, 0x50, 0, 0, 0, 0, 0, 0, 0, 4, 0, /**/
					0, 0x20, 0, 0, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	struct strbuf text = {0};
	struct error error = {0};
	uint8_t copy[sizeof(bytes)];

	ck_assert_int_eq(dwarf_aranges_parse(bytes, sizeof(bytes), note_range, &text, &error), 0);
	ck_assert_str_eq(strbuf_text(&text), "10:1000-1020 50:2000-2008 ");
	for (size_t size = 1; size < sizeof(bytes); size++) {
		strbuf_clear(&text);
		if (size == 48)
			continue;
		ck_assert_int_eq(dwarf_aranges_parse(bytes, size, note_range, &text, &error),
				 -EBADMSG);
		ck_assert_msg(strstr(error.text, size < 48 ? "offset 0:" : "offset 48:"), "%s",
			      error.text);
	}
	memcpy(copy, bytes, sizeof(bytes));
	copy[16] = 0xad;
	copy[17] = 0x0b;
	ck_assert_int_eq(dwarf_aranges_parse(copy, sizeof(copy), note_range, &text, &error),
			 -ENOSPC);
	copy[4] = 3; /* a version nobody has defined */
	ck_assert_int_eq(dwarf_aranges_parse(copy, sizeof(copy), note_range, &text, &error),
			 -EBADMSG);
	strbuf_deinit(&text);
}
END_TEST

/* ---- packed sections ---- */

START_TEST(packed_sections)
{
	static const char text[] = "to be packed, to be packed, to be packed";
	uint8_t header[24] = {2, [8] = sizeof(text)}, gnu[12] = "ZLIB", packed[256];
	struct dwarf_packed got;
	struct error error = {0};
	char out[sizeof(text)];
	size_t size = ZSTD_compress(packed, sizeof(packed), text, sizeof(text), 3);
	uLongf zlib_size = sizeof(packed);

	ck_assert(!ZSTD_isError(size));
	ck_assert(dwarf_packed_read(&got, header, false, true));
	ck_assert_uint_eq(got.size, sizeof(text));
	ck_assert_int_eq(dwarf_packed_unpack(&got, ".s", packed, size, out, &error), 0);
	ck_assert_str_eq(out, text);
	/* Larger or smaller than was said, damaged, cut off. */
	got.size--;
	ck_assert_int_eq(dwarf_packed_unpack(&got, ".s", packed, size, out, &error), -EINVAL);
	got.size++;
	ck_assert_int_eq(dwarf_packed_unpack(&got, ".s", packed, size - 1, out, &error), -EINVAL);
	ck_assert_str_eq(error.text, "section .s, offset 24: damaged zstd data");
	packed[0] ^= 1;
	ck_assert_int_eq(dwarf_packed_unpack(&got, ".s", packed, size, out, &error), -EINVAL);
	header[0] = 9;
	ck_assert(dwarf_packed_read(&got, header, false, true));
	ck_assert_int_eq(dwarf_packed_unpack(&got, ".s", packed, size, out, &error), -ENOTSUP);
	ck_assert_msg(strstr(error.text, "type 9"), "%s", error.text);
	header[8] = 0;
	ck_assert(!dwarf_packed_read(&got, header, false, true)); /* nothing in it */
	gnu[11] = sizeof(text);
	ck_assert_int_eq(compress(packed, &zlib_size, (const Bytef *)text, sizeof(text)), Z_OK);
	ck_assert(dwarf_packed_read(&got, gnu, true, true));
	ck_assert_uint_eq(got.size, sizeof(text));
	ck_assert_int_eq(dwarf_packed_unpack(&got, ".s", packed, zlib_size, out, &error), 0);
	gnu[0] = 'X';
	ck_assert(!dwarf_packed_read(&got, gnu, true, true));
}
END_TEST

/* ---- where they are looked for ---- */

static const char *find(const char *program, struct symbolizer_part part, char text[16])
{
	char proc[256], host[256];
	struct debug_file_places places = {.proc = proc,
					   .host_root = host,
					   .debug = "usr/lib/debug",
					   .folder = "usr/lib/debug/.build-id"};
	int fd = -1, r;

	workshop_path(&shop, "proc", proc);
	workshop_path(&shop, "host", host);
	memset(text, 0, 16);
	part.name = part.name ? part.name : "";
	part.folder = part.folder ? part.folder : "";
	r = debug_part_open_in(&places, 42, program, &part, &fd);
	if (r)
		return strerrorname_np(-r);
	ck_assert_int_gt(read(fd, text, 15), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	return text;
}

static void put(const char *path, const char *text)
{
	run("cd '%s' && mkdir -p \"$(dirname '%s')\" && printf %%s '%s' >'%s'", shop.folder, path,
	    text, path);
}

START_TEST(places)
{
	static const struct symbolizer_part package = {.kind = SYMBOLIZER_PART_PACKAGE,
						       .build_id = {0xab, 0xcd},
						       .build_id_size = 2},
					    unit = {.kind = SYMBOLIZER_PART_UNIT,
						    .name = "sub/x.dwo",
						    .folder = "/build"},
					    shared = {.kind = SYMBOLIZER_PART_SUPPLEMENT,
						      .name = "../../.dwz/s",
						      .build_id = {0xab, 0xce},
						      .build_id_size = 2};
	struct symbolizer_part other;
	char text[16];

	put("host/keep", "x");
	put("proc/42/root/keep", "x");
	ck_assert_str_eq(find("/usr/bin/p", package, text), "ENOENT");
	put("host/usr/lib/debug/.build-id/ab/cd.dwp", "id");
	ck_assert_str_eq(find("/usr/bin/p", package, text), "id");
	put("host/usr/lib/debug/usr/bin/p.dwp", "debug");
	ck_assert_str_eq(find("/usr/bin/p", package, text), "debug");
	put("proc/42/root/usr/bin/p.dwp", "beside");
	ck_assert_str_eq(find("/usr/bin/p", package, text), "beside");
	ck_assert_str_eq(find("usr/bin/p", package, text), "EINVAL");

	ck_assert_str_eq(find("/usr/bin/p", unit, text), "ENOENT");
	put("host/usr/bin/x.dwo", "flat");
	ck_assert_str_eq(find("/usr/bin/p", unit, text), "flat");
	put("host/usr/bin/sub/x.dwo", "deep");
	ck_assert_str_eq(find("/usr/bin/p", unit, text), "deep");
	put("host/build/sub/x.dwo", "build");
	ck_assert_str_eq(find("/usr/bin/p", unit, text), "build");
	other = unit;
	other.name = "/build/sub/x.dwo";
	ck_assert_str_eq(find("/usr/bin/p", other, text), "build");
	other.name = "/etc/passwd";
	put("host/etc/passwd", "secret");
	ck_assert_str_eq(find("/usr/bin/p", other, text), "EINVAL");

	ck_assert_str_eq(find("/usr/bin/p", shared, text), "ENOENT");
	put("host/usr/lib/debug/.dwz/s", "dwz");
	ck_assert_str_eq(find("/usr/bin/p", shared, text), "dwz");
	put("host/usr/lib/debug/.build-id/ab/ce.debug", "id");
	ck_assert_str_eq(find("/usr/bin/p", shared, text), "id");
	run("rm -r '%s/proc' '%s/host'", shop.folder, shop.folder);
}
END_TEST

START_TEST(only_what_the_owner_may_read)
{
	struct symbolizer_part unit = {.kind = SYMBOLIZER_PART_UNIT, .name = "/x.dwo"};
	char text[16];

	put("proc/42/root/keep", "x");
	put("host/x.dwo", "x");
	unit.owner = 1234;
	ck_assert_str_eq(find("/p", unit, text), "x");
	run("chmod 640 '%s/host/x.dwo'", shop.folder);
	ck_assert_str_eq(find("/p", unit, text), "EACCES");
	unit.owner = geteuid();
	ck_assert_str_eq(find("/p", unit, text), "x");
	/* By a link, to a file of others: the file counts. */
	put("host/secret", "secret");
	run("cd '%s/host' && chmod 600 secret && ln -sf /secret x.dwo", shop.folder);
	unit.owner = 1234;
	ck_assert_str_eq(find("/p", unit, text), "EACCES");
	run("cd '%s/host' && rm x.dwo && mkfifo x.dwo", shop.folder);
	ck_assert_str_eq(find("/p", unit, text), "ENOEXEC"); /* and it does not block */
	run("rm -r '%s/proc' '%s/host'", shop.folder, shop.folder);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dwarf_parts");
	int failed;

	log_init("test_dwarf_parts", LOG_LEVEL_ERROR);
	workshop_open(&shop);
	SUITE_CASE(suite, "sections", a_package, a_damaged_package, links_to_a_supplement,
		   address_ranges, packed_sections);
	SUITE_CASE(suite, "places", places, only_what_the_owner_may_read);
	failed = suite_main(suite);
	workshop_close(&shop);
	return failed;
}
