/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/read_text.h"

static const char odd[] =
	"# captured on: Thu\n"
	"java 25607 4794564.109216: 10 cycles:\n"
	"\tffffffff8103ce3b native_safe_halt ([kernel.kallsyms])\n"
	"\t7f722d142778 Ljava/io/Stream;::print->Lfoo/Bar;::inl(I)V (/tmp/perf-19982.map)\n"
	"\t7f1e2215d058 [unknown] (/lib/x86_64-linux-gnu/libc-2.15.so)\n"
	"\t0 [unknown] ([unknown])\n"
	"\n"
	"V8 WorkerThread 24636/25607 [000] 4794565.2: 12 cycles:\n"
	"\t7d8 ipv4_conntrack_local+0x7f8f80b8 ([nf_conntrack_ipv4])\n"
	"\t1 net/http.(*Client).Do (/bin/go)\n"
	"\t1 (anonymous namespace)::foo(int) (/bin/cpp)\n"
	"\t1 std::vector<int(*)(char)>::push(int) (/bin/cpp)\n"
	"\t1 std::fs::open::hb90e1c1c787080f0 (/bin/rust)\n"
	"\t1 foo::operator->(int) (/bin/cpp)\n"
	"\t1 memfd+0x12 (/memfd:x y (deleted))\n"
	"\t1 small (inlined)\n"
	"\t1 a;b (/bin/x)\n"
	"\n"
	"  swapper     0 [000] 4794565.3:     34467 cycles:  ffffffff9aa3c8de idle ([kernel.x])\n"
	"vote   913    72.176760:     257597 cycles:\n"
	"\t1 main (/bin/vote)\n";

static void check_annotated(uint32_t annotate, const char *want)
{
	struct format_read_options options = {.annotate = annotate};
	struct profile *profile = NULL;
	struct error error = {0};

	ck_assert_msg(!read_bytes("perf", odd, strlen(odd), &options, &error, &profile), "%s",
		      error.text);
	check_folded(profile, want);
	ck_assert_str_eq(malformed_text(profile), "");
	profile_destroy(profile);
}

START_TEST(names_are_as_others_make_them)
{
	check_annotated(0, "V8_WorkerThread;a:b;small;memfd;foo::operator->;std::fs::open;"
			   "std::vector<int(*)(char)>::push;(anonymous namespace)::foo;"
			   "net/http.(*Client).Do;ipv4_conntrack_local 12\n"
			   "java;[unknown];[libc-2.15.so];java/io/Stream:::print;foo/Bar:::inl_[i];"
			   "native_safe_halt 10\n"
			   "swapper;idle 34467\nvote;main 257597\n");
}
END_TEST

START_TEST(annotations_are_made_when_asked_for)
{
	check_annotated(FORMAT_ANNOTATE_TID | FORMAT_ANNOTATE_PID | FORMAT_ANNOTATE_ADDRESS |
				FORMAT_ANNOTATE_DEFAULT,
			"V8_WorkerThread-24636/25607;a:b;small_[i];memfd;foo::operator->;"
			"std::fs::open;std::vector<int(*)(char)>::push;"
			"(anonymous namespace)::foo;net/http.(*Client).Do;"
			"ipv4_conntrack_local_[k] 12\n"
			"java-?/25607;[unknown <0>];[libc-2.15.so <7f1e2215d058>];"
			"java/io/Stream:::print_[j];foo/Bar:::inl_[i];native_safe_halt_[k] 10\n"
			"swapper-?/0;idle_[k] 34467\nvote-?/913;main 257597\n");
}
END_TEST

START_TEST(samples_have_time_process_and_count)
{
	struct profile *profile = read_text(odd);

	ck_assert_uint_eq(profile->bucket_ns, 1000000000);
	ck_assert_uint_eq(profile->duration_ns, 1190784000);
	ck_assert_uint_eq(profile_total(profile, 0), 4);
	ck_assert_str_eq(profile_text(profile, profile->value_types[1].name), "cycles");
	ck_assert_uint_eq(profile->samples.items[1].bucket, 1);
	ck_assert_uint_eq(profile->processes.count, 1);
	ck_assert_uint_eq(profile->processes.items[0].pid, 24636);
	profile_destroy(profile);
}
END_TEST

static const char two_events[] = "a 1 1.0: 5 cpu-clock:\n\t1 f (x)\n\n"
				 "a 1 1.1: 7 sched:sched_switch: prev_comm=a\n\t1 g (x)\n\n"
				 "a 1 1.2: 11 cpu-clock:\n\t1 f (x)\n\n";

START_TEST(one_event_is_read)
{
	struct format_read_options options = {.event = "sched:sched_switch"};
	struct profile *profile = read_text(two_events);
	struct error error = {0};

	check_folded(profile, "a;f 16\n");
	ck_assert_str_eq(profile_text(profile, profile->value_types[1].unit), "nanoseconds");
	ck_assert_str_eq(profile_text(profile, profile->counts.items[0].key), "other_events");
	ck_assert_uint_eq(profile->counts.items[0].count, 1);
	profile_destroy(profile);
	ck_assert(!read_bytes("perf", two_events, strlen(two_events), &options, &error, &profile));
	check_folded(profile, "a;g 7\n");
	profile_destroy(profile);
	options.event = "faults";
	ck_assert_int_eq(
		read_bytes("perf", two_events, strlen(two_events), &options, &error, &profile),
		-ENODATA);
}
END_TEST

START_TEST(what_is_no_line_of_it_is_skipped_and_named)
{
	struct profile *profile = read_text("a 1 1.0: cycles:\n\t1 f (x)\nnonsense\n\t2 g (x)\n\n"
					    "\t3 h (x)\n\nb 2 2.0: cycles:\n\t1 f (x)\n");

	check_folded(profile, "a;g;f 1\nb;f 1\n");
	ck_assert_str_eq(malformed_text(profile), "not understood and skipped: lines 3, 6 (the "
						  "first: no frame of a stack)");
	profile_destroy(profile);
}
END_TEST

/* A head without an empty line before it ends the sample; one without a stack counts. */
START_TEST(heads_without_stacks_are_samples)
{
	struct profile *profile =
		read_text("a 1 1.0: cycles:\n\t1 f (x)\n\nb 1 1.1: cycles:\nb 1 1.2: cycles:\n");

	check_folded(profile, "a;f 1\nb 2\n");
	ck_assert_str_eq(malformed_text(profile), "");
	profile_destroy(profile);
}
END_TEST

/* A line that begins with blanks is looked at by itself, one with a tab with the others: they
 * come to the same, whatever is between them and wherever a block of the input ends. */
START_TEST(tabs_are_as_good_as_blanks)
{
	struct strbuf tabs = {0}, blanks = {0};
	unsigned seed = (unsigned)_i + 1;
	struct profile *one, *other;
	char *want;

	for (unsigned sample = 0; sample < 400; sample++) {
		strbuf_printf(&tabs, "%s 7/%u [000] %u.25: %u cycles:%s\n",
			      rand_r(&seed) % 3 ? "app" : "java", 7 + sample % 4, sample,
			      1 + (unsigned)rand_r(&seed) % 100, rand_r(&seed) % 50 ? "" : " ");
		for (int i = rand_r(&seed) % (sample % 50 ? 30 : 300); i-- > 0;) {
			unsigned chance = (unsigned)rand_r(&seed) % 100;

			if (chance == 0)
				strbuf_puts(&tabs, "# remark\n");
			else if (chance == 1)
				strbuf_puts(&tabs, "nonsense\n");
			else
				strbuf_printf(&tabs, "\t%*x Lfn%u;::%.*s+0x%x (/usr/bin/%u)%s\n",
					      rand_r(&seed) % 17, (unsigned)rand_r(&seed),
					      (unsigned)rand_r(&seed) % 40, rand_r(&seed) % 26,
					      "abcdefghijklmnopqrstuvwxyz", chance, chance % 3,
					      chance == 2 ? "\r" : "");
		}
		strbuf_puts(&tabs, rand_r(&seed) % 20 ? "\n" : "\t \n");
	}
	for (size_t i = 0; i < tabs.length; i++)
		strbuf_puts(&blanks, tabs.data[i] == '\t' ? "        " : (char[]){tabs.data[i], 0});
	one = read_text(strbuf_text(&tabs));
	other = read_text(strbuf_text(&blanks));
	ck_assert_uint_gt(one->samples.count, 300);
	want = profile_must_render(other, "folded");
	check_folded(one, want);
	ck_assert_str_ne(malformed_text(one), "");
	ck_assert_str_eq(malformed_text(one), malformed_text(other));
	free(want);
	profile_destroy(one);
	profile_destroy(other);
	strbuf_deinit(&tabs);
	strbuf_deinit(&blanks);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("read_perf");
	TCase *tc = tcase_create("read_perf");

	tcase_add_test(tc, names_are_as_others_make_them);
	tcase_add_test(tc, annotations_are_made_when_asked_for);
	tcase_add_test(tc, samples_have_time_process_and_count);
	tcase_add_test(tc, one_event_is_read);
	tcase_add_test(tc, what_is_no_line_of_it_is_skipped_and_named);
	tcase_add_test(tc, heads_without_stacks_are_samples);
	tcase_add_loop_test(tc, tabs_are_as_good_as_blanks, 0, 20);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
