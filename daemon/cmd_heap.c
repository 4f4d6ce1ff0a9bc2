/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl heap: who allocates, who holds, who leaks; of a session, the running perfd's
 * history or a file.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/command.h"
#include "daemon/output.h"
#include "daemon/result.h"
#include "daemon/subject.h"
#include "flamegraph/diff.h"
#include "flamegraph/heap_report.h"

#define TOP_DEFAULT 40
#define TIME_STEPS 120u /* of the history */

enum form { FORM_TEXT, FORM_JSON, FORM_OTHER };

struct work {
	const struct options *options;
	struct options reading;
	const char *operand; /* NULL: what the options name */
	char from[64], until[64]; /* of --diff; "": none */
	enum heap_view view;
	bool view_given;
	enum heap_by by;
	enum form form;
	struct result result; /* FORM_OTHER */
	const char *path;
	struct profile *profile;
	struct heap_data made;
	const struct heap_data *data;
};

/* ---- how it was called ---- */

/* --diff T1 T2, --diff T1..T2: the second moment is whichever argument is one. */
static int parse_diff(struct work *work, struct error *error)
{
	const char *text = work->options->diff, *dots = text ? strstr(text, "..") : NULL;
	const char *second = dots ? dots + 2 : NULL;
	int operands = 0;

	for (int i = 0; i < work->options->rest_count; i++) {
		const char *word = work->options->rest[i];

		if (text && !second && heap_diff_is_moment(word))
			second = word;
		else if (!operands++)
			work->operand = word;
	}
	if (operands > 1)
		return error_set(error, -EINVAL, "heap takes one subject, not %d", operands);
	if (!text)
		return 0;
	if (!second)
		return error_set(error, -EINVAL,
				 "--diff needs two moments: --diff 10s 40s, --diff start..end");
	snprintf(work->from, sizeof(work->from), "%.*s", dots ? (int)(dots - text) : 63, text);
	snprintf(work->until, sizeof(work->until), "%s", second);
	for (int i = 0; i < 2; i++)
		if (!heap_diff_is_moment(i ? work->until : work->from))
			return error_set(error, -EINVAL,
					 "--diff %s: expected moments of the session: 10s, 1.5m, "
					 "-5s (before the end), start, end or peak",
					 i ? work->until : work->from);
	return 0;
}

static int parse_view(struct work *work, struct error *error)
{
	const struct options *options = work->options;

	work->view = options->view ? heap_view_find(options->view) : HEAP_INUSE;
	work->view_given = options->view;
	if (work->view == HEAP_VIEWS)
		return error_set(error, -EINVAL,
				 "--view %s: expected inuse, alloc, peak, leaked or temporary",
				 options->view);
	if (options->by && strcmp(options->by, "function") != 0 && strcmp(options->by, "site") != 0)
		return error_set(error, -EINVAL, "--by %s: expected function or site", options->by);
	work->by = options->by && *options->by == 's' ? HEAP_BY_SITE : HEAP_BY_FUNCTION;
	return 0;
}

/* The table and the JSON are this command's own; all else is a format of profiles. */
static int parse_form(struct work *work, struct error *error)
{
	const struct options *options = work->options;
	const char *format = options->format;

	work->path = options->output ? options->output : "-";
	if (option_given(options, OPTION_JSON) && format)
		return error_set(error, -EINVAL, "--json and -f exclude each other");
	if (option_given(options, OPTION_JSON) || (format && !strcmp(format, "json")) ||
	    (!format && format_has_extension(work->path, ".json")))
		work->form = FORM_JSON;
	else if (!format && (!strcmp(work->path, "-") || format_has_extension(work->path, ".txt")))
		work->form = FORM_TEXT;
	else
		work->form = FORM_OTHER;
	if (work->form != FORM_OTHER)
		return output_check(work->path, error);
	return result_init(options, NULL, "folded", error, &work->result);
}

/* ---- what it is about ---- */

/* The newest session of allocations: of a process, or of all if there is but one. */
static int choose_session(const json_t *list, pid_t pid, struct error *error, uint32_t *ret)
{
	uint32_t found = 0, count = 0;
	const json_t *session;
	size_t i;

	json_array_foreach((json_t *)list, i, session)
	{
		const char *event = json_string_value(json_object_get(session, "event"));

		if (!event || strcmp(event, "heap") != 0 ||
		    (pid && json_integer_value(json_object_get(session, "pid")) != pid))
			continue;
		count++;
		found = (uint32_t)json_integer_value(json_object_get(session, "id"));
	}
	if (!count && pid)
		return error_set(error, -ENOENT,
				 "no session looks at the allocations of %d: begin one with "
				 "`perfctl attach --heap --pid %d --background`",
				 (int)pid, (int)pid);
	if (!count)
		return error_set(error, -ENOENT,
				 "no session looks at allocations: begin one with `perfctl attach "
				 "--heap --pid PID --background`, or name a file");
	if (count > 1 && !pid)
		return error_set(error, -EINVAL,
				 "%u sessions look at allocations: name one with --session ID (see "
				 "`perfctl sessions`) or --pid PID",
				 count);
	*ret = found;
	return 0;
}

static int find_session(struct work *work, struct error *error)
{
	_cleanup_(client_deinit) struct client client;
	const char *text;
	json_t *root;
	int r;

	client_init(&client, -1);
	r = command_connect(work->options, error, &client);
	if (r < 0)
		return r;
	r = client_json(&client, MESSAGE_SESSIONS, error, &text);
	if (r)
		return r;
	root = json_loads(text, 0, NULL);
	r = root ? choose_session(json_object_get(root, "sessions"), work->options->pid, error,
				  &work->reading.session)
		 : error_set(error, -EBADMSG, "perfd's answer is no JSON");
	json_decref(root);
	work->reading.pid = 0;
	return r;
}

static int load(struct work *work, struct error *error)
{
	const struct options *options = work->options;
	int r = 0;

	work->reading = *options;
	work->reading.time_steps = TIME_STEPS;
	if (!*work->reading.event)
		work->reading.event = "heap";
	if (!work->operand && !options->session && !options->last_ns && !options->since &&
	    !options->until)
		r = find_session(work, error);
	if (!r)
		r = subject_check(work->operand, &work->reading, error);
	if (!r)
		r = subject_load(work->operand, &work->reading, error, &work->profile);
	return r ? r : heap_view_data(work->profile, &work->made, error, &work->data);
}

/* ---- what comes of it ---- */

static int write_text(const struct work *work, int (*write)(const void *what, FILE *out),
		      const void *what, struct error *error)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&bytes, &size);
	int r = stream ? write(what, stream) : -ENOMEM;

	if (stream && fclose(stream) && !r)
		r = -ENOMEM;
	if (r)
		return error_set(error, r, "out of memory");
	r = output_write(work->path, bytes, size, error);
	if (!r && strcmp(work->path, "-") != 0)
		fprintf(stderr, "perfctl: wrote %s (%zu bytes)\n", work->path, size);
	return r;
}

static uint32_t rows_of(const struct work *work)
{
	return work->options->top || work->form != FORM_TEXT || work->options->output
		       ? work->options->top
		       : TOP_DEFAULT;
}

static int text_of(const void *report, FILE *out)
{
	return heap_report_text(report, out);
}

static int json_of(const void *report, FILE *out)
{
	return heap_report_json(report, out);
}

static int diff_text_of(const void *diff, FILE *out)
{
	return heap_diff_text(diff, out);
}

static int diff_json_of(const void *diff, FILE *out)
{
	return heap_diff_json(diff, out);
}

static int diff_picture_of(const void *diff, FILE *out)
{
	static const struct diff_options options;

	return diff_svg_write(diff, &options, out);
}

static int diff_folded_of(const void *diff, FILE *out)
{
	static const struct diff_options options;

	return diff_folded_write(diff, &options, out);
}

/* Two flame graphs in one: only where it is asked for. */
static int draw_diff(const struct work *work, size_t before, size_t after, struct error *error)
{
	_cleanup_profile_ struct profile *a = heap_view_snapshot(work->profile, work->data, before);
	_cleanup_profile_ struct profile *b = heap_view_snapshot(work->profile, work->data, after);
	struct diff_side left = {.profile = a}, right = {.profile = b};
	bool folded = !strcmp(work->result.format->name, "folded");
	struct diff diff;
	int r;

	if (!folded && strcmp(work->result.format->name, "svg") != 0)
		return error_set(error, -EINVAL,
				 "a difference can be a table, json, svg or folded, not %s",
				 work->result.format->name);
	if (!a || !b)
		return error_set(error, -ENOMEM, "out of memory");
	r = diff_init(&diff, &left, &right, DIFF_RAW, error);
	if (r)
		return r;
	r = write_text(work, folded ? diff_folded_of : diff_picture_of, &diff, error);
	diff_deinit(&diff);
	return r;
}

static int show_diff(const struct work *work, struct error *error)
{
	struct heap_diff diff;
	size_t before = 0, after = 0;
	int r = heap_diff_moment(work->data, work->from, error, &before);

	if (!r)
		r = heap_diff_moment(work->data, work->until, error, &after);
	if (r)
		return r;
	if (work->form == FORM_OTHER)
		return draw_diff(work, before, after, error);
	if (heap_diff_init(&diff, work->profile, work->data, before, after, work->by,
			   rows_of(work)))
		return error_set(error, -ENOMEM, "out of memory");
	r = write_text(work, work->form == FORM_JSON ? diff_json_of : diff_text_of, &diff, error);
	heap_diff_deinit(&diff);
	return r;
}

static int show_picture(struct work *work, struct error *error)
{
	size_t bytes;
	int r;

	work->result.value = heap_view_value(work->profile, work->view);
	if (!work->result.value)
		return error_set(error, -ENODATA, "this profile has no values of what was %s",
				 heap_view_title(work->view));
	r = result_write(&work->result, work->profile, error, &bytes);
	if (!r && strcmp(work->result.path, "-") != 0)
		fprintf(stderr, "perfctl: wrote %s (%s, %zu bytes)\n", work->result.path,
			work->result.format->name, bytes);
	return r;
}

static int show(struct work *work, struct error *error)
{
	struct heap_report report;
	int r = heap_view_check(work->profile, work->data, work->view, error);

	/* What nobody asked for is not missed, nor what is a part only. */
	if ((r || work->data->breaks) && !work->view_given) {
		work->view = HEAP_ALLOC;
		r = 0;
	}
	if (r)
		return r;
	if (work->form == FORM_OTHER)
		return show_picture(work, error);
	if (heap_report_init(&report, work->profile, work->data, work->view, work->by,
			     rows_of(work)))
		return error_set(error, -ENOMEM, "out of memory");
	r = write_text(work, work->form == FORM_JSON ? json_of : text_of, &report, error);
	heap_report_deinit(&report);
	return r;
}

int cmd_heap(const struct options *options)
{
	struct work work = {.options = options};
	struct error error = {0};
	int r = parse_diff(&work, &error);

	if (!r)
		r = parse_view(&work, &error);
	if (!r)
		r = parse_form(&work, &error);
	if (!r)
		r = load(&work, &error);
	if (!r)
		r = *work.from ? show_diff(&work, &error) : show(&work, &error);
	heap_data_deinit(&work.made);
	profile_destroy(work.profile);
	if (!r || r == -EPIPE)
		return EXIT_CODE_OK;
	return command_fail(r == -EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_FAILURE, &error);
}
