/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/settings.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/suite.h"

static char path[] = "/tmp/perfd-settings-XXXXXX";
static struct settings_source source;
static struct settings settings, fresh;
static struct error error;

static void setup(void)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	source = (struct settings_source){.file = path};
}

static void teardown(void)
{
	unlink(path);
	vec_free(&source.options);
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static const struct setting_origin *origin_of(const struct settings *of, const char *name)
{
	const struct config_key *key;

	ck_assert_int_eq(config_key_parse(name, &error, &key), 0);
	return &of->origins[key - config_keys];
}

static json_t *find(json_t *list, const char *name)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i,
			   item) if (!strcmp(json_string_value(json_object_get(item, "key")),
					     name)) return item;
	return NULL;
}

START_TEST(the_last_that_says_it_wins)
{
	struct setting_option set = {.option = "--set", .value = "cpu.frequency_hz=51"};
	struct setting_option socket = {
		.option = "--socket", .key = "daemon.socket", .value = "/tmp/x"};

	write_file("[cpu]\nfrequency_hz = 49\n\nsession_frequency_hz = 7\n");
	vec_push(&source.options, set);
	vec_push(&source.options, socket);
	ck_assert_int_eq(settings_read(&source, &error, &settings), 0);
	ck_assert_uint_eq(settings.config.frequency_hz, 51);
	ck_assert_uint_eq(settings.config.session_frequency_hz, 7);
	ck_assert_str_eq(settings.config.socket, "/tmp/x");
	ck_assert_int_eq(origin_of(&settings, "cpu.frequency_hz")->from, SETTING_OPTION);
	ck_assert_str_eq(origin_of(&settings, "daemon.socket")->option, "--socket");
	ck_assert_int_eq(origin_of(&settings, "session_frequency_hz")->from, SETTING_FILE);
	ck_assert_uint_eq(origin_of(&settings, "session_frequency_hz")->line, 4);
	ck_assert_int_eq(origin_of(&settings, "history.dir")->from, SETTING_DEFAULT);
	ck_assert_uint_gt(origin_of(&settings, "history.dir")->since_ns, 0);
}
END_TEST

START_TEST(what_is_wrong_is_said_with_its_place_and_nothing_changes)
{
	struct setting_option set = {.option = "--set", .value = "cpu.frequency_hz"};

	write_file("[cpu]\nfrequency_hz = 49\n");
	ck_assert_int_eq(settings_read(&source, &error, &settings), 0);
	write_file("[cpu]\nfrequency_hz = 50\nfrequency = 1\n");
	ck_assert_int_eq(settings_read(&source, &error, &settings), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.text, ":3: unknown key \"frequency\""));
	ck_assert_int_eq(strncmp(error.text, path, strlen(path)), 0);
	ck_assert_uint_eq(settings.config.frequency_hz, 49);
	/* Half of a file, as an editor may leave it for a moment. */
	write_file("[cpu]\nfrequency_hz = 50\nsession_freq");
	ck_assert_int_eq(settings_read(&source, &error, &settings), -EINVAL);
	/* Each is good, but not together. */
	write_file("[cpu]\nfrequency_max_hz = 10\nsession_frequency_hz = 5\n");
	ck_assert_int_eq(settings_read(&source, &error, &settings), -EINVAL);
	ck_assert_uint_eq(settings.config.frequency_hz, 49);
	write_file("");
	vec_push(&source.options, set);
	ck_assert_int_eq(settings_read(&source, &error, &settings), -EINVAL);
	ck_assert_str_eq(error.text, "--set cpu.frequency_hz: expected section.key=value");
	unlink(path);
	ck_assert_int_eq(settings_read(&source, &error, &settings), -ENOENT);
}
END_TEST

START_TEST(some_hold_now_and_some_after_a_restart)
{
	json_t *changes;
	uint64_t since;

	write_file("[cpu]\nfrequency_hz = 49\n");
	ck_assert_int_eq(settings_read(&source, &error, &settings), 0);
	since = origin_of(&settings, "cpu.frequency_hz")->since_ns;
	write_file("[cpu]\nfrequency_hz = 49\n[limits]\nsessions_max = 3\nring_bytes = 2M\n");
	ck_assert_int_eq(settings_read(&source, &error, &fresh), 0);
	ck_assert_int_eq(settings_take(&settings, &fresh, &changes), 0);
	ck_assert_uint_eq(settings.config.sessions_max, 3);
	ck_assert_uint_eq(settings.config.ring_bytes, 1u << 20);
	ck_assert_uint_eq(settings.read.ring_bytes, 2u << 20);
	ck_assert_uint_eq(json_array_size(json_object_get(changes, "now")), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(changes, "restart")), 1);
	ck_assert_ptr_nonnull(find(json_object_get(changes, "now"), "limits.sessions_max"));
	ck_assert_ptr_nonnull(find(json_object_get(changes, "restart"), "limits.ring_bytes"));
	ck_assert_uint_eq(origin_of(&settings, "cpu.frequency_hz")->since_ns, since);
	ck_assert_uint_ge(origin_of(&settings, "limits.sessions_max")->since_ns, since);
	json_decref(changes);
	/* What waits for a restart is told again, and is no news when it goes back. */
	ck_assert_int_eq(settings_take(&settings, &fresh, &changes), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(changes, "now")), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(changes, "restart")), 1);
	json_decref(changes);
	write_file("");
	ck_assert_int_eq(settings_read(&source, &error, &fresh), 0);
	ck_assert_int_eq(settings_take(&settings, &fresh, &changes), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(changes, "restart")), 0);
	ck_assert_ptr_nonnull(find(json_object_get(changes, "now"), "cpu.frequency_hz"));
	ck_assert_uint_eq(settings.config.sessions_max, 31);
	json_decref(changes);
}
END_TEST

START_TEST(every_key_is_shown)
{
	json_t *document, *key;

	write_file("[limits]\nring_bytes = 2M\n[daemon]\nbtf = /\xff\n");
	ck_assert_int_eq(settings_read(&source, &error, &settings), 0);
	settings.config.ring_bytes = 1u << 20; /* in force still */
	document = settings_json(&settings, NULL, true);
	ck_assert_uint_eq(json_array_size(json_object_get(document, "keys")), CONFIG_KEY_COUNT);
	key = find(json_object_get(document, "keys"), "limits.ring_bytes");
	ck_assert_str_eq(json_string_value(json_object_get(key, "value")), "1M");
	ck_assert_str_eq(json_string_value(json_object_get(key, "after_restart")), "2M");
	ck_assert_str_eq(json_string_value(json_object_get(key, "max")), "1G");
	ck_assert_str_eq(json_string_value(json_object_get(key, "set_by")), "file");
	ck_assert_int_eq(json_integer_value(json_object_get(key, "line")), 2);
	ck_assert_ptr_nonnull(find(json_object_get(document, "keys"), "daemon.btf"));
	json_decref(document);
}
END_TEST

START_TEST(a_key_is_found_by_either_name)
{
	const struct config_key *key;

	ck_assert_int_eq(config_key_parse("history.age", &error, &key), 0);
	ck_assert_str_eq(key->name, "age");
	ck_assert_int_eq(config_key_parse("ring_bytes", &error, &key), 0);
	ck_assert_str_eq(key->section, "limits");
	ck_assert_int_eq(config_key_parse("ring_byte", &error, &key), -EINVAL);
	ck_assert_str_eq(error.text,
			 "unknown key \"ring_byte\"; did you mean \"limits.ring_bytes\"?");
	ck_assert_int_eq(config_key_parse("limts.ring_bytes", &error, &key), -EINVAL);
	ck_assert_str_eq(error.text, "unknown section [limts]; did you mean [limits]?");
	ck_assert_int_eq(config_key_parse("zzzzzzzzzzzz", &error, &key), -EINVAL);
	ck_assert_str_eq(error.text, "unknown key \"zzzzzzzzzzzz\" (see `perfctl config show`)");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("settings");
	TCase *tc = tcase_create("settings");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_last_that_says_it_wins);
	tcase_add_test(tc, what_is_wrong_is_said_with_its_place_and_nothing_changes);
	tcase_add_test(tc, some_hold_now_and_some_after_a_restart);
	tcase_add_test(tc, every_key_is_shown);
	tcase_add_test(tc, a_key_is_found_by_either_name);
	suite_add_tcase(suite, tc);
	return suite_main(suite);
}
