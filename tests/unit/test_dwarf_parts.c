/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What debug information has in further files and odd sections: golden bytes for
 * the parsers (package index, links to a supplement, address ranges, packed
 * sections), and programs whose truth is known, split and shared in the ways that
 * compilers and dwz do it, and asked by a real worker.
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
#include "symbolizer/dwarf_index.h"
#include "symbolizer/dwarf_package.h"
#include "symbolizer/dwarf_supplement.h"
#include "tests/unit/symbolizer_fixture.h"
#include "tests/unit/workshop.h"

#define MEMORY (64u << 20)

static struct workshop shop;

static int try_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int try_run(const char *format, ...)
{
	char command[2048];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	return system(command);
}
#define run(...) ck_assert_int_eq(try_run(__VA_ARGS__), 0)

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

/* ---- programs ---- */

static const char one_c[] =
	"static inline __attribute__((always_inline)) int inner(int a)\n"
	"{ __asm__ volatile(\".globl mark_one\\nmark_one: nop\"); return a * 3; }\n"
	"__attribute__((noinline)) int outer(int a)\n"
	"{ return inner(a) + 7; }\n";
static const char two_c[] =
	"int outer(int a);\n"
	"static inline __attribute__((always_inline)) int deep(int a)\n"
	"{ __asm__ volatile(\".globl mark_two\\nmark_two: nop\"); return a * 5; }\n"
	"int main(int argc, char **argv)\n"
	"{ (void)argv; return outer(argc) + deep(argc); }\n";

/* The whole of it: "function:line" of each frame, leaf first. */
static const char *const whole[] = {"inner:2 outer:4", "deep:3 main:5"};
/* By skeletons without functions: the symbol, and the leaf's line. */
static const char *const skeleton[] = {"outer:2", "main:3"};
/* Where the names of what is inlined are elsewhere. */
static const char *const shared_away[] = {"outer:4", "main:5"};

struct reply {
	struct answers answers;
	char text[2][256];
};

static void on_frames(void *context, int error, const char *text,
		      const struct symbolizer_name *names, size_t count)
{
	struct reply *reply = context;

	take(&reply->answers, error, text);
	for (size_t i = 0; !error && i < count && i < 2; i++) {
		reply->text[i][0] = '\0';
		for (uint32_t j = 0; j < names[i].frame_count; j++) {
			size_t at = strlen(reply->text[i]);

			snprintf(reply->text[i] + at, sizeof(reply->text[i]) - at, "%s%s:%u",
				 at ? " " : "", names[i].frames[j].name, names[i].frames[j].line);
		}
	}
}

struct asked { /* by the worker, for files */
	struct symbolizer *symbolizer;
	const char *path; /* of the program */
	unsigned asked;
	bool later; /* not inside of the question */
	uint32_t numbers[16];
	int fds[16];
};

static void find_part(void *context, uint32_t image, const struct symbolizer_part *part)
{
	struct asked *asked = context;
	int fd = -1;

	ck_assert_uint_lt(asked->asked, 16);
	ck_assert_uint_eq(part->owner, geteuid());
	debug_part_open(0, asked->path, part, &fd);
	asked->numbers[asked->asked] = part->number;
	asked->fds[asked->asked++] = fd;
	if (!asked->later)
		ck_assert_int_eq(symbolizer_add_part(asked->symbolizer, image, part->number, fd),
				 0);
}

static void place_of(const char *path, const char *mark, uint64_t *ret)
{
	char command[512];
	unsigned long long address = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "nm '%s' | grep -w %s", path, mark);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	ck_assert_int_eq(fscanf(pipe, "%llx", &address), 1);
	pclose(pipe);
	*ret = address;
}

/* Has a worker tell both marks' functions. */
static struct symbolizer_stats ask(const char *path, bool later, const char *const want[2])
{
	struct asked asked = {.path = path, .later = later};
	struct symbolizer_config config = plain;
	struct reply reply = {0};
	struct symbolizer_stats stats;
	uint64_t places[2];

	config.flags = SYMBOLIZER_ELF_ADDRESSES;
	config.find_part = find_part;
	config.part_context = &asked;
	asked.symbolizer = create(&config);
	place_of(path, "mark_one", &places[0]);
	place_of(path, "mark_two", &places[1]);
	ck_assert_int_eq(add(asked.symbolizer, 1, open(path, O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_int_eq(symbolizer_names(asked.symbolizer, 1, places, 2, on_frames, &reply), 0);
	for (unsigned given = 0; later && !reply.answers.total;) {
		struct pollfd ready = {.fd = symbolizer_fd(asked.symbolizer), .events = POLLIN};

		if (given < asked.asked) {
			ck_assert_int_eq(symbolizer_add_part(asked.symbolizer, 1,
							     asked.numbers[given],
							     asked.fds[given]),
					 0);
			given++;
		}
		poll(&ready, 1, 250);
		symbolizer_dispatch(asked.symbolizer);
	}
	wait_for(asked.symbolizer, &reply.answers, 1);
	ck_assert_msg(!reply.answers.error, "%s", reply.answers.text);
	for (int i = 0; i < 2; i++)
		ck_assert_str_eq(reply.text[i], want[i]);
	/* Nobody asks twice. */
	ck_assert_int_eq(symbolizer_names(asked.symbolizer, 1, places, 2, on_frames, &reply), 0);
	wait_for(asked.symbolizer, &reply.answers, 2);
	ck_assert_int_eq(symbolizer_add_part(asked.symbolizer, 1, 0, -1), -ENOENT);
	stats = stats_of(asked.symbolizer);
	ck_assert_uint_eq(stats.parts + stats.parts_absent + stats.parts_refused, asked.asked);
	ck_assert_uint_eq(stats.restarts, 0);
	symbolizer_destroy(asked.symbolizer);
	return stats;
}

static void sources(const char *folder, char path[256])
{
	char file[512];

	snprintf(path, 256, "%s/%s", shop.folder, folder);
	run("mkdir '%s'", path);
	snprintf(file, sizeof(file), "%s/one.c", path);
	workshop_write(file, one_c, strlen(one_c));
	snprintf(file, sizeof(file), "%s/two.c", path);
	workshop_write(file, two_c, strlen(two_c));
}

static const struct split {
	const char *name, *compiler, *flags, *packer;
} splits[] = {
	{"gcc4", "gcc", "-gdwarf-4", "dwp"},
	{"gcc5", "gcc", "-gdwarf-5", NULL}, /* neither dwp 2.40 nor llvm-dwp 14 survives it */
	{"clang4", "clang", "-gdwarf-4", "llvm-dwp"},
	{"clang5", "clang", "-gdwarf-5", "llvm-dwp"},
	{"types", "gcc", "-gdwarf-4 -fdebug-types-section", "dwp"},
	{"packed", "gcc", "-gdwarf-4 -gz=zlib", NULL},
};
#define SPLITS ((int)(sizeof(splits) / sizeof(splits[0])))

START_TEST(split_units)
{
	const struct split *split = &splits[_i];
	char folder[256], path[300];
	struct symbolizer_stats stats;

	sources(split->name, folder);
	snprintf(path, sizeof(path), "%s/p", folder);
	run("cd '%s' && %s -O2 %s -gsplit-dwarf -c one.c two.c && %s one.o two.o -o p", folder,
	    split->compiler, split->flags, split->compiler);
	stats = ask(path, false, whole);
	ck_assert_uint_eq(stats.parts, 2);
	ck_assert_uint_eq(stats.parts_absent, 1); /* the package */
	ask(path, true, whole);
	/* Moved away together: found beside the program. */
	run("cd '%s' && mkdir moved && mv p *.dwo moved", folder);
	snprintf(path, sizeof(path), "%s/moved/p", folder);
	ask(path, false, whole);
	if (split->packer && !try_run("%s --version >/dev/null 2>&1", split->packer)) {
		run("cd '%s' && mv moved/* . && timeout 20 %s -e p -o p.dwp && rm *.dwo", folder,
		    split->packer);
		snprintf(path, sizeof(path), "%s/p", folder);
		ck_assert_uint_eq(ask(path, false, whole).parts, 1);
		run("cd '%s' && mv p p.dwp moved", folder);
		snprintf(path, sizeof(path), "%s/moved/p", folder);
		ask(path, false, whole);
		run("cd '%s' && head -c 300 moved/p.dwp >cut && mv cut moved/p.dwp", folder);
		ck_assert_uint_eq(ask(path, false, skeleton).parts_refused, 1);
	}
	run("rm -r '%s'", folder);
}
END_TEST

/* One of another build, none, and one that is no ELF file: by the skeletons. */
START_TEST(halves_that_do_not_fit)
{
	char folder[256], path[300];
	struct symbolizer_stats stats;

	sources("unfit", folder);
	snprintf(path, sizeof(path), "%s/p", folder);
	run("cd '%s' && gcc -O2 -g -gsplit-dwarf -c one.c two.c && gcc one.o two.o -o p && "
	    "sed s/7/8/ one.c >three.c && gcc -O2 -g -gsplit-dwarf -c three.c && "
	    "mv three.dwo one.dwo && echo no ELF file >two.dwo",
	    folder);
	stats = ask(path, false, skeleton);
	ck_assert_uint_eq(stats.parts, 0);
	ck_assert_uint_eq(stats.parts_refused, 2);
	run("rm '%s'/*.dwo && mkfifo '%s/one.dwo'", folder, folder);
	stats = ask(path, false, skeleton);
	ck_assert_uint_eq(stats.parts_absent, 3);
	run("rm -r '%s'", folder);
}
END_TEST

static void share(const char *folder, const char *flags)
{
	run("cd '%s' && for i in 1 2 3; do sed s/9/$i/ two.c >two$i.c; "
	    "gcc -O2 -g one.c two$i.c -o p$i || exit 1; done && dwz %s -m shared p1 p2 p3",
	    folder, flags);
}

START_TEST(what_programs_share)
{
	static const char *const flags[] = {"", "-r", "-5"};
	char folder[256], path[300];

	sources("dwz", folder);
	snprintf(path, sizeof(path), "%s/p1", folder);
	share(folder, flags[_i]);
	ck_assert_uint_eq(ask(path, false, whole).parts, 1);
	ask(path, true, whole);
	/* Without it, and with another program's. */
	run("mv '%s/shared' '%s/kept'", folder, folder);
	ck_assert_uint_eq(ask(path, false, shared_away).parts_absent, 1);
	run("cd '%s' && cp p1 shared", folder);
	ck_assert_uint_eq(ask(path, false, shared_away).parts_refused, 1);
	/* Root's own secrets are not read because a program names them. */
	run("cd '%s' && mv kept shared && chmod 600 shared", folder);
	if (!geteuid())
		ck_assert_uint_eq(ask(path, false, shared_away).parts_absent, 1);
	run("rm -r '%s'", folder);
}
END_TEST

/* The worker waits for no owner that does not answer. */
START_TEST(an_owner_that_drops_the_file)
{
	struct asked asked = {.later = true};
	struct symbolizer_config config = plain;
	struct reply reply = {0};
	char folder[256], path[300];
	uint64_t place = 0x1000;

	sources("drop", folder);
	snprintf(path, sizeof(path), "%s/p", folder);
	asked.path = path;
	run("cd '%s' && gcc -O2 -g -gsplit-dwarf one.c two.c -o p", folder);
	config.find_part = find_part;
	config.part_context = &asked;
	asked.symbolizer = create(&config);
	ck_assert_int_eq(add(asked.symbolizer, 1, open(path, O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_int_eq(symbolizer_names(asked.symbolizer, 1, &place, 1, on_frames, &reply), 0);
	while (!asked.asked) {
		struct pollfd ready = {.fd = symbolizer_fd(asked.symbolizer), .events = POLLIN};

		poll(&ready, 1, 250);
		symbolizer_dispatch(asked.symbolizer);
	}
	ck_assert_uint_eq(symbolizer_pending(asked.symbolizer), 1);
	symbolizer_drop_image(asked.symbolizer, 1);
	wait_for(asked.symbolizer, &reply.answers, 1);
	ck_assert_int_eq(reply.answers.error, -ENOENT);
	ck_assert_int_eq(symbolizer_add_part(asked.symbolizer, 1, asked.numbers[0], -1), -ENOENT);
	symbolizer_destroy(asked.symbolizer);
	run("rm -r '%s'", folder);
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

/* ---- units that do not say where their code is ---- */

START_TEST(units_without_ranges)
{
	static const char assembly[] =
		"	.text\n	.globl one, two\none: nop\n	ret\ntwo: nop\n	ret\n.Lend:\n"
		"	.section .debug_info\n	.long .Li - .Lb\n.Lb:	.value 4\n"
		"	.long .Lab\n	.byte 8\n	.byte 1\n	.asciz \"silent.c\"\n"
		"	.byte 2\n	.asciz \"first\"\n	.quad one\n	.quad 2\n"
		"	.byte 2\n	.asciz \"second\"\n	.quad two\n	.quad 2\n"
		"	.byte 0\n.Li:\n"
		"	.section .debug_abbrev\n.Lab:	.byte 1, 0x11, 1, 3, 8, 0, 0\n"
		"	.byte 2, 0x2e, 0, 3, 8, 0x11, 1, 0x12, 7, 0, 0, 0\n";
	static const char ranges[] =
		"	.section .debug_aranges\n	.long 0x2c\n	.value 2\n	.long 0\n"
		"	.byte 8, 0\n	.long 0\n	.quad one, .Lend - one, 0, 0\n";
	static const struct dwarf_bounds everywhere = {1, UINT64_MAX};
	char source[256], path[256];
	struct dwarf_frame frames[4];
	struct dwarf_file *file = malloc(sizeof(*file));
	struct dwarf_index index;
	struct error error = {0};
	uint64_t one, two;
	FILE *out;

	snprintf(source, sizeof(source), "%s/silent%d.s", shop.folder, _i);
	snprintf(path, sizeof(path), "%s/silent%d", shop.folder, _i);
	out = fopen(source, "w");
	ck_assert(out && file);
	fprintf(out, "%s%s", assembly, _i ? ranges : "");
	fclose(out);
	run("gcc -c '%s' -o '%s.o' && ld -e one -o '%s' '%s.o'", source, path, path, path);
	place_of(path, "one", &one);
	place_of(path, "two", &two);
	ck_assert_msg(!dwarf_file_init(file, open(path, O_RDONLY | O_CLOEXEC), DWARF_WHOLE, &error),
		      "%s", error.text);
	ck_assert_msg(!dwarf_index_init(&index, file, &everywhere, MEMORY, &error), "%s",
		      error.text);
	ck_assert_uint_eq(index.silent.count, _i ? 0 : 1);
	ck_assert_uint_eq(dwarf_index_find(&index, two + 1, frames, 4), 1);
	ck_assert_str_eq(frames[0].name, "second");
	ck_assert_uint_eq(dwarf_index_find(&index, one, frames, 4), 1);
	ck_assert_str_eq(frames[0].name, "first");
	ck_assert_uint_eq(dwarf_index_find(&index, one - 1, frames, 4), 0);
	ck_assert_uint_eq(index.silent.count, 0);
	close(file->fd);
	dwarf_index_deinit(&index);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("dwarf_parts");
	TCase *tcase = tcase_create("dwarf_parts");
	bool gcc = workshop_has_compiler(), dwz = !try_run("dwz --version >/dev/null 2>&1");
	bool clang = !try_run("clang --version >/dev/null 2>&1");
	SRunner *runner;
	int failed;

	symbolizer_be_worker(argc, argv);
	log_init("test_dwarf_parts", LOG_LEVEL_ERROR);
	workshop_open(&shop);
	tcase_set_timeout(tcase, 90);
	tcase_add_test(tcase, a_package);
	tcase_add_test(tcase, a_damaged_package);
	tcase_add_test(tcase, links_to_a_supplement);
	tcase_add_test(tcase, address_ranges);
	tcase_add_test(tcase, packed_sections);
	tcase_add_test(tcase, places);
	tcase_add_test(tcase, only_what_the_owner_may_read);
	for (int i = 0; i < SPLITS; i++) {
		if (splits[i].compiler[0] == 'g' ? gcc : clang)
			tcase_add_loop_test(tcase, split_units, i, i + 1);
		else
			workshop_skip(splits[i].name, "its compiler is not there");
	}
	workshop_add(tcase, gcc, "no gcc", halves_that_do_not_fit);
	workshop_add(tcase, gcc, "no gcc", an_owner_that_drops_the_file);
	if (gcc && dwz)
		tcase_add_loop_test(tcase, what_programs_share, 0, 3);
	else
		workshop_skip("what_programs_share", "no gcc or dwz");
	if (gcc)
		tcase_add_loop_test(tcase, units_without_ranges, 0, 2);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	workshop_close(&shop);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
