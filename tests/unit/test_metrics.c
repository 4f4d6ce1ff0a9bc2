/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Metrics: where they may be served, and what they look like.
 */
#include <errno.h>
#include <string.h>

#include "daemon/metrics_address.h"
#include "daemon/metrics_text.h"
#include "tests/unit/suite.h"

START_TEST(addresses)
{
	static const struct {
		const char *text;
		int family; /* 0: refused */
	} cases[] = {
		{"/run/x.sock", AF_UNIX},
		{"127.0.0.1:9903", AF_INET},
		{"127.9.9.9:1", AF_INET},
		{"localhost:65535", AF_INET},
		{"[::1]:9903", AF_INET6},
		{"", 0},
		{"x", 0},
		{"x.sock", 0},
		{"127.0.0.1", 0},
		{"127.0.0.1:", 0},
		{":9903", 0},
		{"127.0.0.1:0", 0},
		{"127.0.0.1:65536", 0},
		{"127.0.0.1:-1", 0},
		{"127.0.0.1: 1", 0},
		{"127.0.0.1:9x", 0},
		{"0.0.0.0:9903", 0},
		{"128.0.0.1:9903", 0},
		{"192.0.2.1:9903", 0},
		{"[::]:9903", 0},
		{"[::ffff:127.0.0.1]:9903", 0},
		{"::1:9903", 0},
		{"[127.0.0.1]:9903", 0},
		{"[::1:9903", 0},
		{"[]:9903", 0},
		{"localhost.example.org:9903", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct metrics_address address = {0};
		struct error error = {0};
		int r = metrics_address_parse(cases[i].text, &address, &error);

		ck_assert_msg(r == (cases[i].family ? 0 : -EINVAL), "\"%s\": %d", cases[i].text, r);
		ck_assert_int_eq(address.at.any.sa_family, cases[i].family);
		ck_assert_msg(!r || strstr(error.text, "expected the path of a Unix socket"), "%s",
			      error.text);
	}
}
END_TEST

static const char status_text[] =
	"{\"version\": \"1.2\", \"uptime_ns\": 1500000000, \"source\": {\"cpus\": 2},"
	"\"samples\": {\"fired\": 7, \"idle\": 3, \"lost\": {\"lost_ring\": 1, \"odd\": \"x\"}},"
	"\"memory\": {\"heap\": {\"observed\": 0.25}}, \"cost\": {\"cpu_ns\": 2000000001},"
	"\"history\": {\"kept\": false}, \"symbols\": 5}";

static char *text_of(enum metrics_form form)
{
	json_t *status = json_loads(status_text, 0, NULL);
	struct strbuf out = {0};

	ck_assert_ptr_nonnull(status);
	ck_assert_int_eq(metrics_text(status, form, &out), 0);
	json_decref(status);
	return out.data;
}

START_TEST(openmetrics)
{
	static const char want[] =
		"# TYPE perfd_build info\n"
		"# HELP perfd_build Which perfd this is.\n"
		"perfd_build_info{version=\"1.2\"} 1\n"
		"# TYPE perfd_uptime_seconds gauge\n"
		"# UNIT perfd_uptime_seconds seconds\n"
		"# HELP perfd_uptime_seconds Time since perfd started.\n"
		"perfd_uptime_seconds 1.5\n"
		"# TYPE perfd_cpus gauge\n"
		"# HELP perfd_cpus CPUs that are sampled.\n"
		"perfd_cpus 2\n"
		"# TYPE perfd_events_fired counter\n"
		"# HELP perfd_events_fired Sampling events that ran the BPF program.\n"
		"perfd_events_fired_total 7\n"
		"# TYPE perfd_events_passed counter\n"
		"# HELP perfd_events_passed Sampling events that took no sample, by why.\n"
		"perfd_events_passed_total{reason=\"idle\"} 3\n"
		"# TYPE perfd_samples_lost counter\n"
		"# HELP perfd_samples_lost Samples that did not arrive, by reason.\n"
		"perfd_samples_lost_total{reason=\"lost_ring\"} 1\n"
		"# TYPE perfd_heap_observed_ratio gauge\n"
		"# UNIT perfd_heap_observed_ratio ratio\n"
		"# HELP perfd_heap_observed_ratio Share of the time in which calls are seen.\n"
		"perfd_heap_observed_ratio 0.25\n"
		"# TYPE perfd_cpu_seconds counter\n"
		"# UNIT perfd_cpu_seconds seconds\n"
		"# HELP perfd_cpu_seconds CPU time of perfd's own processes.\n"
		"perfd_cpu_seconds_total{process=\"daemon\"} 2.000000001\n"
		"# EOF\n";
	char *text = text_of(METRICS_OPENMETRICS);

	ck_assert_str_eq(text, want);
	free(text);
}
END_TEST

START_TEST(plain)
{
	char *text = text_of(METRICS_PLAIN);

	ck_assert_ptr_nonnull(strstr(text, "# TYPE perfd_events_fired_total counter\n"
					   "# HELP perfd_events_fired_total Sampling events that "
					   "ran the BPF program.\n"
					   "perfd_events_fired_total 7\n"));
	ck_assert_ptr_nonnull(strstr(text, "# TYPE perfd_build_info gauge\n"));
	ck_assert_ptr_null(strstr(text, "# UNIT"));
	ck_assert_ptr_null(strstr(text, "# EOF"));
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("metrics");

	SUITE_CASE(suite, "metrics", addresses, openmetrics, plain);
	return suite_main(suite);
}
