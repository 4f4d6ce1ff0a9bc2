/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"

static struct config config;
static struct error error;

static void setup(void)
{
	config_init(&config);
	error = (struct error){0};
}

static int parse(const char *text)
{
	return config_parse(&config, "x.conf", text, strlen(text), &error);
}

static bool alike(const struct config *a, const struct config *b)
{
	struct strbuf left = {0}, right = {0};
	bool same;

	config_explain(a, &left);
	config_explain(b, &right);
	same = left.length && !strcmp(strbuf_text(&left), strbuf_text(&right));
	strbuf_deinit(&left);
	strbuf_deinit(&right);
	return same;
}

static void refuses(const char *text, const char *want)
{
	struct config before = config;

	ck_assert_int_eq(parse(text), -EINVAL);
	ck_assert_int_eq(error.code, -EINVAL);
	ck_assert_str_eq(error.text, want);
	ck_assert_msg(alike(&before, &config), "changed by: %s", text);
}

START_TEST(defaults)
{
	ck_assert_str_eq(config.socket, "/run/perfd/perfd.sock");
	ck_assert_str_eq(config.socket_group, "perfd");
	ck_assert_str_eq(config.log_level, "info");
	ck_assert_uint_eq(config.clients_max, 64);
	ck_assert_str_eq(config.event, "cpu-clock");
	ck_assert_uint_eq(config.frequency_hz, 99);
	ck_assert_uint_eq(config.session_frequency_hz, 99);
	ck_assert_uint_eq(config.frequency_max_hz, 10000);
	ck_assert_uint_eq(config.window_ns, NSEC_PER_SEC);
	ck_assert_uint_eq(config.keep_ns, 300 * NSEC_PER_SEC);
	ck_assert_uint_eq(config.sessions_max, 31);
	ck_assert_uint_eq(config.processes_max, 65536);
	ck_assert_uint_eq(config.mappings_max, 2u << 20);
	ck_assert_uint_eq(config.ring_bytes, 1u << 20);
	ck_assert_uint_eq(config.sideband_bytes, 1u << 20);
	ck_assert_uint_eq(config.stacks_max, 65536);
	ck_assert_uint_eq(config.samples_max, 2u << 20);
	ck_assert_uint_eq(config.exited_grace_ns, 10 * NSEC_PER_SEC);
	ck_assert_uint_eq(config.unwind_memory_bytes, 128u << 20);
	ck_assert_uint_eq(config.worker_memory_bytes, 1u << 30);
	ck_assert_uint_eq(config.worker_deadline_ns, 5 * NSEC_PER_SEC);
	ck_assert_uint_eq(config.worker_images_max, 256);
	ck_assert_int_eq(config_check(&config, &error), 0);
}
END_TEST

START_TEST(a_whole_file)
{
	ck_assert_int_eq(parse("# mine\n"
			       "\n"
			       "[daemon]\n"
			       "socket = /tmp/a#b.sock   # a comment\n"
			       "socket_group =\n"
			       "\t[ cpu ]\r\n"
			       "frequency_hz=0\n"
			       "[history]\n"
			       "window = 1500ms\n"
			       "[limits]\n"
			       "ring_bytes = 4M\n"
			       "worker_memory = 67108865"),
			 0);
	ck_assert_str_eq(config.socket, "/tmp/a#b.sock");
	ck_assert_str_eq(config.socket_group, "");
	ck_assert_uint_eq(config.frequency_hz, 0);
	ck_assert_uint_eq(config.window_ns, 1500 * NSEC_PER_MSEC);
	ck_assert_uint_eq(config.ring_bytes, 4u << 20);
	ck_assert_uint_eq(config.worker_memory_bytes, 67108865);
	ck_assert_uint_eq(config.keep_ns, 300 * NSEC_PER_SEC); /* not named: as it was */
}
END_TEST

START_TEST(unknown_keys_are_named_with_the_likely_one)
{
	refuses("[cpu]\nfrequency = 5\n",
		"x.conf:2: unknown key \"frequency\" in [cpu]; did you mean \"frequency_hz\"?");
	refuses("[cpu]\n\nevnt = cycles\n",
		"x.conf:3: unknown key \"evnt\" in [cpu]; did you mean \"event\"?");
	refuses("[cpu]\nwindow = 5s\n",
		"x.conf:2: unknown key \"window\" in [cpu]; did you mean \"window\" in [history]?");
	refuses("[cpu]\nzzzzzzzz = 5\n", "x.conf:2: unknown key \"zzzzzzzz\" in [cpu]");
	refuses("[limit]\n", "x.conf:1: unknown section [limit]; did you mean [limits]?");
	refuses("[qqqqqqq]\n", "x.conf:1: unknown section [qqqqqqq]: expected [daemon], [cpu], "
			       "[memory], [budget], [history], [unwind], [symbols], [metrics] or "
			       "[limits]");
}
END_TEST

START_TEST(bad_values_say_what_was_expected)
{
	refuses("[cpu]\nfrequency_hz = fast\n",
		"x.conf:2: frequency_hz = \"fast\": expected a number from 0 to 100000");
	refuses("[cpu]\nfrequency_hz = -1\n",
		"x.conf:2: frequency_hz = \"-1\": expected a number from 0 to 100000");
	refuses("[cpu]\nfrequency_hz = 100001\n",
		"x.conf:2: frequency_hz = \"100001\": expected a number from 0 to 100000");
	refuses("[cpu]\nfrequency_hz =\n",
		"x.conf:2: frequency_hz = \"\": expected a number from 0 to 100000");
	refuses("[cpu]\nfrequency_hz = 99999999999999999999\n",
		"x.conf:2: frequency_hz = \"99999999999999999999\": expected a number from 0 to "
		"100000");
	refuses("[cpu]\nevent = instructions\n",
		"x.conf:2: event = \"instructions\": expected one of: cpu-clock cycles");
	refuses("[history]\nwindow = 10\n", "x.conf:2: window = \"10\": expected a time from 100ms "
					    "to 1h (units: ns, us, ms, s, m, h)");
	refuses("[limits]\nring_bytes = 100000\n",
		"x.conf:2: ring_bytes = \"100000\": expected a size that is a power of two, from "
		"64K to 1G (units: K, M, G)");
	refuses("[limits]\nworker_memory = 18014398509481984K\n",
		"x.conf:2: worker_memory = \"18014398509481984K\": expected a size from 64M to 64G "
		"(units: K, M, G)");
	refuses("[daemon]\nsocket = perfd.sock\n", "x.conf:2: socket = \"perfd.sock\": expected an "
						   "absolute path of at most 107 bytes");
}
END_TEST

START_TEST(socket_path_must_fit_a_socket_address)
{
	char path[109], text[256];

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[107] = '\0';
	snprintf(text, sizeof(text), "[daemon]\nsocket = %s", path);
	ck_assert_int_eq(parse(text), 0);
	ck_assert_uint_eq(strlen(config.socket), 107);
	snprintf(text, sizeof(text), "[daemon]\nsocket = %sy", path);
	ck_assert_int_eq(parse(text), -EINVAL);
	ck_assert_uint_eq(strlen(config.socket), 107);
}
END_TEST

START_TEST(lines_that_are_none)
{
	refuses("hello\n", "x.conf:1: \"hello\": expected \"key = value\"");
	refuses("frequency_hz = 9\n",
		"x.conf:1: key \"frequency_hz\" stands before the first [section]");
	refuses("[cpu\n", "x.conf:1: \"[cpu\": expected \"[section]\"");
	refuses("[cpu] 5\n", "x.conf:1: \"[cpu] 5\": expected \"[section]\"");
	refuses("[cpu]\nfrequency_hz = 9\n\nfrequency_hz = 9\n",
		"x.conf:4: \"frequency_hz\" was set already in line 2");
}
END_TEST

START_TEST(bytes_that_are_no_text)
{
	static const char nul[] = "[cpu]\nevent = cycles\0\n";
	char line[600];

	ck_assert_int_eq(config_parse(&config, "x.conf", nul, sizeof(nul) - 1, &error), -EINVAL);
	ck_assert_str_eq(error.text, "x.conf:2: a NUL byte: this is no text file");
	memset(line, 'a', sizeof(line));
	ck_assert_int_eq(config_parse(&config, "x.conf", line, sizeof(line), &error), -EINVAL);
	ck_assert_str_eq(error.text, "x.conf:1: line of 600 bytes: expected at most 512");
}
END_TEST

START_TEST(values_that_cross)
{
	refuses("[cpu]\nfrequency_max_hz = 50\nsession_frequency_hz = 40\n\n",
		"x.conf:2: cpu.frequency_hz = 99: expected at most cpu.frequency_max_hz = 50");
	refuses("[history]\nkeep = 2m\nwindow = 3m\n",
		"x.conf:3: history.window = 3m: expected at most history.keep = 2m");
	ck_assert_int_eq(config_set(&config, "history.window", "10m", &error), 0);
	ck_assert_int_eq(config_check(&config, &error), -EINVAL);
	ck_assert_str_eq(error.text, "history.window = 10m: expected at most history.keep = 5m");
}
END_TEST

START_TEST(set_one)
{
	ck_assert_int_eq(config_set(&config, "cpu.frequency_hz", "1000", &error), 0);
	ck_assert_uint_eq(config.frequency_hz, 1000);
	ck_assert_int_eq(config_set(&config, "frequency_hz", "1000", &error), -EINVAL);
	ck_assert_str_eq(error.text, "\"frequency_hz\": expected \"section.key\"");
	ck_assert_int_eq(config_set(&config, "cpu.frequency_h", "1", &error), -EINVAL);
	ck_assert_str_eq(error.text,
			 "unknown key \"frequency_h\" in [cpu]; did you mean \"frequency_hz\"?");
	ck_assert_int_eq(config_set(&config, "cpus.event", "cycles", &error), -EINVAL);
	ck_assert_str_eq(error.text, "unknown section [cpus]; did you mean [cpu]?");
	ck_assert_int_eq(config_set(&config, "cpu.event", "", NULL), -EINVAL);
	ck_assert_str_eq(config.event, "cpu-clock");
}
END_TEST

START_TEST(load_from_disk)
{
	char path[] = "/tmp/perfd-test-XXXXXX";
	static const char text[] = "[cpu]\nfrequency_hz = 49\n";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	ck_assert_int_eq(config_load(&config, path, &error), 0);
	ck_assert_uint_eq(config.frequency_hz, 49);
	unlink(path);
	ck_assert_int_eq(config_load(&config, path, &error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.text, path));
	ck_assert_int_eq(config_load(&config, "/", &error), -EISDIR);
}
END_TEST

/* The template with every "#key" line taken in: all keys, all at their defaults. */
START_TEST(template_is_whole_and_loads)
{
	struct strbuf text = {0};
	struct config loaded;

	config_write_template(&text);
	ck_assert_int_eq(strbuf_error(&text), 0);
	for (size_t i = 0; i + 1 < text.length; i++) {
		if (text.data[i] == '#' && text.data[i + 1] >= 'a' && text.data[i + 1] <= 'z')
			text.data[i] = ' ';
	}
	config_init(&loaded);
	ck_assert_msg(!config_parse(&loaded, "template", text.data, text.length, &error), "%s",
		      error.text);
	ck_assert(alike(&loaded, &config));
	strbuf_deinit(&text);
}
END_TEST

/* `make config` writes the file anew when this fails. */
START_TEST(shipped_file_is_the_template)
{
	struct strbuf text = {0};
	char shipped[16384];
	FILE *file = fopen("configs/perfd.conf", "re");
	size_t n;

	ck_assert_msg(file, "configs/perfd.conf: not found from here");
	n = fread(shipped, 1, sizeof(shipped), file);
	fclose(file);
	config_write_template(&text);
	ck_assert_uint_eq(n, text.length);
	ck_assert(!memcmp(shipped, text.data, n));
	strbuf_deinit(&text);
}
END_TEST

START_TEST(explain_shows_what_is_in_force)
{
	struct strbuf text = {0};

	ck_assert_int_eq(config_set(&config, "limits.exited_grace", "0s", &error), 0);
	ck_assert_int_eq(config_set(&config, "limits.worker_memory", "1536M", &error), 0);
	config_explain(&config, &text);
	ck_assert_ptr_nonnull(strstr(text.data, "limits.exited_grace = 0s\n"));
	ck_assert_ptr_nonnull(strstr(text.data, "limits.worker_memory = 1536M\n"));
	ck_assert_ptr_nonnull(strstr(text.data, "from 0 to 100000 (Hz). Default: 99\n"));
	ck_assert_ptr_nonnull(strstr(text.data, "daemon.socket = /run/perfd/perfd.sock\n"));
	strbuf_deinit(&text);
}
END_TEST

static Suite *config_suite(void)
{
	Suite *suite = suite_create("config");
	TCase *tc = tcase_create("config");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, a_whole_file);
	tcase_add_test(tc, unknown_keys_are_named_with_the_likely_one);
	tcase_add_test(tc, bad_values_say_what_was_expected);
	tcase_add_test(tc, socket_path_must_fit_a_socket_address);
	tcase_add_test(tc, lines_that_are_none);
	tcase_add_test(tc, bytes_that_are_no_text);
	tcase_add_test(tc, values_that_cross);
	tcase_add_test(tc, set_one);
	tcase_add_test(tc, load_from_disk);
	tcase_add_test(tc, template_is_whole_and_loads);
	tcase_add_test(tc, shipped_file_is_the_template);
	tcase_add_test(tc, explain_shows_what_is_in_force);
	suite_add_tcase(suite, tc);
	return suite;
}

/* `--template` prints the file that ships: `make config`. */
static int print_template(void)
{
	struct strbuf text = {0};
	int failed;

	config_write_template(&text);
	failed = fputs(strbuf_text(&text), stdout) < 0 || fflush(stdout);
	strbuf_deinit(&text);
	return failed;
}

int main(int argc, char **argv)
{
	SRunner *runner;
	int failed;

	if (argc > 1 && !strcmp(argv[1], "--template"))
		return print_template();
	runner = srunner_create(config_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
