/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/profile_text.h"

START_TEST(equal_things_are_one)
{
	struct profile *profile = profile_create();
	struct profile_frame frame = {.name = profile_string(profile, "main"), .line = 3};
	struct profile_frame other = frame;
	uint32_t a, b, stack[2];

	memset(&other, 0xff, sizeof(other)); /* the padding must not count */
	other.name = frame.name;
	other.module = other.file = 0;
	other.line = 3;
	other.address = 0;
	other.kind = FRAME_USER;
	a = profile_frame(profile, &frame);
	ck_assert_uint_eq(profile_frame(profile, &other), a);
	other.line = 4;
	b = profile_frame(profile, &other);
	ck_assert_uint_ne(a, b);
	stack[0] = a;
	stack[1] = b;
	ck_assert_uint_eq(profile_stack(profile, stack, 2), 1);
	ck_assert_uint_eq(profile_stack(profile, stack, 1), 2);
	ck_assert_uint_eq(profile_stack(profile, stack, 2), 1);
	ck_assert_uint_eq(profile_stack(profile, stack, 0), 0);
	ck_assert_uint_eq(profile->frames.count, 2);
	profile_destroy(profile);
}
END_TEST

/* The index says "the same" by hash; the profile must look again. */
START_TEST(a_hash_in_common_is_not_enough)
{
	struct profile *a = profile_create(), *b = profile_create();
	struct profile_frame x = {.line = 1}, y = {.line = 2};
	uint64_t key, value;
	size_t at = 0;

	profile_frame(a, &x);
	ck_assert(hashmap_next(&a->frame_index, &at, &key, &value));
	profile_frame(b, &y);
	ck_assert(!hashmap_put(&b->frame_index, key, 0)); /* y where x belongs */
	ck_assert_uint_eq(profile_frame(b, &x), 1);
	ck_assert_uint_eq(profile_frame(b, &x), 1);
	ck_assert_uint_eq(profile_frame(b, &y), 0);
	profile_destroy(a);
	profile_destroy(b);
}
END_TEST

START_TEST(stacks_keep_their_order)
{
	struct profile *profile = profile_from_text("value n count\nstack c;a;b;a 1\n");
	size_t count;
	const uint32_t *frames = profile_stack_frames(profile, 1, &count);

	ck_assert_uint_eq(count, 3);
	ck_assert_str_eq(profile_text(profile, profile->frames.items[frames[1]].name), "b");
	ck_assert_uint_eq(frames[0], frames[2]);
	ck_assert_ptr_null(profile_stack_frames(profile, 0, &count));
	ck_assert_uint_eq(count, 0);
	ck_assert_ptr_null(profile_stack_frames(profile, 99, &count));
	profile_destroy(profile);
}
END_TEST

START_TEST(samples_alike_are_summed)
{
	struct profile *profile = profile_from_text("value n count\nvalue cpu nanoseconds\n"
						    "stack c;a 1 10\nstack c;a 2 20\n"
						    "stack d;a 4 40\nof -1 1\nstack c;a 8 80\n");

	ck_assert_uint_eq(profile->samples.count, 3);
	ck_assert_uint_eq(profile_total(profile, 0), 15);
	ck_assert_uint_eq(profile_total(profile, 1), 150);
	ck_assert_uint_eq(profile_total(profile, 2), 0);
	profile_destroy(profile);
}
END_TEST

START_TEST(ids_that_are_none_are_refused)
{
	struct profile *profile = profile_from_text("value n count\nstack c;a 1\n");
	uint32_t stack[] = {0, 7};
	uint64_t value = 1;

	ck_assert_uint_eq(profile_frame(profile, &(struct profile_frame){.name = 99}),
			  PROFILE_NONE);
	ck_assert_uint_eq(profile_frame(profile, &(struct profile_frame){.kind = FRAME_KIND_COUNT}),
			  PROFILE_NONE);
	ck_assert_uint_eq(profile_stack(profile, stack, 2), PROFILE_NONE);
	ck_assert_int_eq(profile_add_sample(profile, &(struct profile_sample){.stack = 9}, &value),
			 -EINVAL);
	ck_assert_int_eq(
		profile_add_sample(profile, &(struct profile_sample){.process = 0}, &value),
		-EINVAL);
	ck_assert_uint_eq(profile_add_process(profile, &(struct profile_process){.comm = 99}),
			  PROFILE_NONE);
	ck_assert_uint_eq(profile_add_value_type(profile, "late", "count"), PROFILE_NONE);
	ck_assert_uint_eq(profile_add_value_type(profile, "n", "count"), 0);
	ck_assert_uint_eq(profile->samples.count, 1);
	profile_destroy(profile);
}
END_TEST

START_TEST(a_sample_needs_a_value_type)
{
	struct profile *profile = profile_create();
	struct profile_sample sample = {.process = PROFILE_NONE};

	ck_assert_int_eq(profile_add_sample(profile, &sample, NULL), -EINVAL);
	ck_assert_uint_eq(profile->samples.count, 0);
	profile_destroy(profile);
}
END_TEST

START_TEST(sums_stop_at_the_top)
{
	struct profile *profile = profile_from_text("value n count\n"
						    "stack c;a 18446744073709551615\n"
						    "stack c;a 5\nstack c;b 5\n");

	ck_assert_uint_eq(profile->values.items[0], UINT64_MAX);
	ck_assert_uint_eq(profile_total(profile, 0), UINT64_MAX);
	profile_destroy(profile);
}
END_TEST

START_TEST(counts_add_up_by_key)
{
	struct profile *profile = profile_create();

	ck_assert(!profile_add_count(profile, "lost", "", 2, 1));
	ck_assert(!profile_add_count(profile, "lost", "no room", 3, 0));
	ck_assert(!profile_add_count(profile, "cut", "short", 1, 0));
	ck_assert_uint_eq(profile->counts.count, 2);
	ck_assert_uint_eq(profile->counts.items[0].count, 5);
	ck_assert_uint_eq(profile->counts.items[0].is_loss, 1);
	ck_assert_str_eq(profile_text(profile, profile->counts.items[0].text), "no room");
	profile_destroy(profile);
}
END_TEST

/* A profile as text without ids, its lines sorted: equal for equal contents. */
static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_sample(struct strbuf *out, const struct profile *profile, size_t i)
{
	const struct profile_sample *sample = &profile->samples.items[i];
	size_t count;
	const uint32_t *frames = profile_stack_frames(profile, sample->stack, &count);

	strbuf_printf(out, "%u %s", sample->bucket, profile_text(profile, sample->comm));
	if (sample->process != PROFILE_NONE) {
		const struct profile_process *process = &profile->processes.items[sample->process];

		strbuf_printf(out, " %u+%" PRIu64, process->pid, process->start_ns);
	}
	for (size_t k = 0; k < count; k++) {
		const struct profile_frame *frame = &profile->frames.items[frames[k]];

		strbuf_printf(out, "|%s@%s@%" PRIx64 "@%u", profile_text(profile, frame->name),
			      profile_text(profile, frame->module), frame->address, frame->kind);
	}
	for (uint32_t v = 0; v < profile->value_type_count; v++)
		strbuf_printf(out, " %" PRIu64,
			      profile->values.items[i * profile->value_type_count + v]);
}

static char *contents_of(const struct profile *profile)
{
	size_t lines = profile->samples.count + profile->processes.count, at = 0;
	char **sorted = calloc(lines + 1, sizeof(*sorted));
	struct strbuf text = {0};

	for (size_t i = 0; i < profile->samples.count; i++) {
		struct strbuf line = {0};

		put_sample(&line, profile, i);
		sorted[at++] = line.data;
	}
	for (size_t i = 0; i < profile->processes.count; i++) {
		const struct profile_process *process = &profile->processes.items[i];
		struct strbuf line = {0};

		strbuf_printf(&line, "process %u %" PRIu64 " %" PRIu64 " %s", process->pid,
			      process->start_ns, process->end_ns,
			      profile_text(profile, process->comm));
		sorted[at++] = line.data;
	}
	qsort(sorted, lines, sizeof(*sorted), compare_lines);
	strbuf_printf(&text, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", profile->start_ns,
		      profile->duration_ns, profile->bucket_ns,
		      profile_text(profile, profile->title));
	for (size_t i = 0; i < lines; i++) {
		strbuf_printf(&text, "%s\n", sorted[i]);
		free(sorted[i]);
	}
	free(sorted);
	return text.data;
}

START_TEST(merge_commutes)
{
	unsigned seed = (unsigned)_i;
	struct profile *a = profile_from_seed(seed), *b = profile_from_seed(seed * 31 + 7);
	struct profile *c = profile_from_seed(seed), *d = profile_from_seed(seed * 31 + 7);
	uint64_t want = profile_total(a, 1) + profile_total(b, 1);
	char *ab, *ba;

	if (seed % 3 == 0)
		b->bucket_ns = d->bucket_ns = 2500000000;
	ck_assert_int_eq(profile_merge(a, b), 0);
	ck_assert_int_eq(profile_merge(d, c), 0);
	ab = contents_of(a);
	ba = contents_of(d);
	ck_assert_str_eq(ab, ba);
	ck_assert_uint_eq(profile_total(a, 1), want);
	ck_assert_uint_eq(profile_total(d, 1), want);
	free(ab);
	free(ba);
	profile_destroy(a);
	profile_destroy(b);
	profile_destroy(c);
	profile_destroy(d);
}
END_TEST

START_TEST(merge_into_nothing_is_a_copy)
{
	struct profile *from = profile_from_seed(11), *into = profile_create();
	char *a, *b;

	ck_assert_int_eq(profile_merge(into, from), 0);
	a = contents_of(from);
	b = contents_of(into);
	ck_assert_str_eq(a, b);
	ck_assert_uint_eq(into->default_value, 1);
	free(a);
	free(b);
	profile_destroy(from);
	profile_destroy(into);
}
END_TEST

START_TEST(merge_lays_time_over_time)
{
	struct profile *a = profile_from_text("title late\nstart 5000\nduration 2000\nbucket 1000\n"
					      "value n count\nof -1 1\nstack c;a 1\n");
	struct profile *b = profile_from_text("title early\nstart 2000\nduration 3000\nbucket 500\n"
					      "value n count\nof -1 3\nstack c;a 2\n"
					      "process 7 1 c 200 900\n");
	char *text;

	ck_assert_int_eq(profile_merge(a, b), 0);
	text = contents_of(a);
	ck_assert_str_eq(text, "2000 5000 1000 early\n1 c|a@@0@0 2\n4 c|a@@0@0 1\n"
			       "process 7 200 900 c\n");
	free(text);
	profile_destroy(a);
	profile_destroy(b);
}
END_TEST

/* Windows one after another: a process that began in the first was there before the
 * second; another one had its pid before it. */
START_TEST(merge_knows_a_process_by_its_birth)
{
	struct profile *first = profile_from_text("start 5000\nduration 1000\nvalue n count\n"
						  "process 7 1 c 0 200 900\n"
						  "process 7 1 c 400 0 5400\n");
	struct profile *second = profile_from_text("start 6000\nduration 1000\nvalue n count\n"
						   "process 7 1 c 0 300 5400\nof 0 0\n"
						   "stack c;a 1\n");
	char *text;

	ck_assert_int_eq(profile_merge(second, first), 0);
	text = contents_of(second);
	ck_assert_str_eq(text, "5000 2000 0 \n0 c 7+400|a@@0@0 1\n"
			       "process 7 0 200 c\nprocess 7 400 1300 c\n");
	free(text);
	profile_destroy(first);
	profile_destroy(second);
}
END_TEST

START_TEST(merge_refuses_a_value_it_has_no_room_for)
{
	struct profile *a = profile_from_text("value n count\nstack c;a 1\n");
	struct profile *b = profile_from_text("value n bytes\nstack c;b 1\n");
	struct profile *c = profile_from_text("value x count\nvalue n count\nstack c;a 2 3\n");
	char *before = contents_of(a), *after;

	ck_assert_int_eq(profile_merge(a, b), -EINVAL);
	ck_assert_int_eq(profile_merge(a, a), -EINVAL);
	after = contents_of(a);
	ck_assert_str_eq(before, after);
	ck_assert_int_eq(profile_merge(c, a), 0); /* a's n is c's second */
	ck_assert_uint_eq(profile_total(c, 0), 2);
	ck_assert_uint_eq(profile_total(c, 1), 4);
	free(before);
	free(after);
	profile_destroy(a);
	profile_destroy(b);
	profile_destroy(c);
}
END_TEST

static Suite *profile_suite(void)
{
	Suite *suite = suite_create("profile");
	TCase *tc = tcase_create("profile");

	tcase_add_test(tc, equal_things_are_one);
	tcase_add_test(tc, a_hash_in_common_is_not_enough);
	tcase_add_test(tc, stacks_keep_their_order);
	tcase_add_test(tc, samples_alike_are_summed);
	tcase_add_test(tc, ids_that_are_none_are_refused);
	tcase_add_test(tc, a_sample_needs_a_value_type);
	tcase_add_test(tc, sums_stop_at_the_top);
	tcase_add_test(tc, counts_add_up_by_key);
	tcase_add_loop_test(tc, merge_commutes, 1, 100);
	tcase_add_test(tc, merge_into_nothing_is_a_copy);
	tcase_add_test(tc, merge_lays_time_over_time);
	tcase_add_test(tc, merge_knows_a_process_by_its_birth);
	tcase_add_test(tc, merge_refuses_a_value_it_has_no_room_for);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return run_suite(profile_suite());
}
