/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Answers that are kept: what was put in comes out, in answers that stand alone.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "symbolizer/name_cache.h"
#include "tests/unit/suite.h"

#define PLACES 5000u

static uint32_t depth_of(uint64_t place)
{
	return (uint32_t)(place % 7);
}

static struct symbolizer_frame frame_of(uint64_t place, uint32_t level, char *name, size_t size)
{
	snprintf(name, size, "f%u_%u", (unsigned)(place % 97), level);
	return (struct symbolizer_frame){.name = name,
					 .module = "",
					 .file = level % 2 ? "/a.c" : "",
					 .line = (uint32_t)place + level,
					 .inlined = level + 1 < depth_of(place)};
}

static void fill(struct name_cache *cache, uint64_t from, uint64_t to)
{
	for (uint64_t place = from; place < to; place++) {
		struct name_cache_function function = {place + 3, (uint32_t)place + 5};
		struct symbolizer_frame frames[8];
		char names[8][32];

		for (uint32_t i = 0; i < depth_of(place); i++)
			frames[i] = frame_of(place, i, names[i], sizeof(names[i]));
		ck_assert_ptr_null(name_cache_find(cache, place * 16));
		ck_assert_int_eq(
			name_cache_add(cache, place * 16, frames, depth_of(place), &function), 0);
	}
}

static void check_name(const struct symbolizer_name *name, uint64_t place)
{
	char text[32];

	ck_assert_uint_eq(name->frame_count, depth_of(place));
	ck_assert_uint_eq(name->start, place + 3);
	ck_assert_uint_eq(name->size, place + 5);
	for (uint32_t i = 0; i < name->frame_count; i++) {
		struct symbolizer_frame want = frame_of(place, i, text, sizeof(text));

		ck_assert_str_eq(name->frames[i].name, want.name);
		ck_assert_str_eq(name->frames[i].file, want.file);
		ck_assert_str_eq(name->frames[i].module, "");
		ck_assert_uint_eq(name->frames[i].line, want.line);
		ck_assert_int_eq(name->frames[i].inlined, want.inlined);
	}
}

/* One answer to some places, as it comes out at the other end. */
static size_t check_answer(struct name_cache *cache, uint64_t from, uint64_t to)
{
	struct wire_out out = {0};
	struct wire_names names;
	struct strbuf bytes = {0};
	struct error error = {0};
	size_t texts;

	ck_assert_int_eq(name_cache_begin(cache, true), 0);
	for (uint64_t place = from; place < to; place++)
		ck_assert_int_eq(name_cache_tell(cache, name_cache_find(cache, place * 16), &out),
				 0);
	ck_assert_int_eq(wire_out_finish(&out, &bytes), 0);
	ck_assert_int_eq(wire_get_names(bytes.data, bytes.length, to - from, &error, &names), 0);
	for (uint64_t place = from; place < to; place++)
		check_name(&names.names.items[place - from], place);
	texts = names.strings.count;
	wire_names_deinit(&names);
	strbuf_deinit(&bytes);
	wire_out_deinit(&out);
	return texts;
}

START_TEST(what_is_put_in_comes_out)
{
	struct name_cache cache = {0};

	ck_assert_ptr_null(name_cache_find(&cache, 0));
	fill(&cache, 0, PLACES);
	for (uint64_t place = 0; place < PLACES; place += 500)
		check_answer(&cache, place, place + 500);
	check_answer(&cache, 0, PLACES);
	ck_assert_ptr_null(name_cache_find(&cache, 8));
	ck_assert_uint_gt(name_cache_memory(&cache), PLACES * sizeof(struct name_cache_entry));
	name_cache_deinit(&cache);
	ck_assert_uint_eq(name_cache_memory(&cache), 0);
}
END_TEST

/* A text is told once an answer, and again in the next one. */
START_TEST(texts_are_told_once_an_answer)
{
	struct name_cache cache = {0};
	size_t texts;

	fill(&cache, 0, 97 * 7);
	texts = check_answer(&cache, 0, 97 * 7);
	ck_assert_uint_eq(check_answer(&cache, 0, 97 * 7), texts);
	/* "" and "/a.c", and one of each place's remainder and level. */
	ck_assert_uint_eq(texts, 2 + 97 * 6);
	name_cache_deinit(&cache);
}
END_TEST

/* More may be added while an answer is under way; and its count goes round. */
START_TEST(added_meanwhile)
{
	struct name_cache cache = {0};
	struct wire_out out = {0};

	fill(&cache, 0, 10);
	ck_assert_int_eq(name_cache_begin(&cache, true), 0);
	for (uint64_t place = 0; place < 10; place++)
		ck_assert_int_eq(name_cache_tell(&cache, name_cache_find(&cache, place * 16), &out),
				 0);
	fill(&cache, 10, 300);
	ck_assert_int_eq(name_cache_begin(&cache, false), 0);
	for (uint64_t place = 10; place < 300; place++)
		ck_assert_int_eq(name_cache_tell(&cache, name_cache_find(&cache, place * 16), &out),
				 0);
	ck_assert_uint_eq(out.count, 300);
	wire_out_deinit(&out);
	cache.answers = UINT32_MAX;
	check_answer(&cache, 0, 300);
	check_answer(&cache, 0, 300);
	name_cache_deinit(&cache);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("name_cache");

	SUITE_CASE(suite, "name_cache", what_is_put_in_comes_out, texts_are_told_once_an_answer,
		   added_meanwhile);
	return suite_main(suite);
}
