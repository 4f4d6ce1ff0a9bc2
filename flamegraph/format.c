/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/format.h"

#include <string.h>
#include <strings.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/import.h"
#include "flamegraph/input.h"
#include "flamegraph/report.h"
#include "flamegraph/text.h"

const struct format formats[] = {
	{"svg", ".svg", "interactive flame graph, one file for any browser", format_svg_write, NULL,
	 NULL, 0},
	{"html", ".html .htm", "report: flame graph, table, callers and callees, time line",
	 format_html_write, NULL, NULL, 20000000},
	{"folded", ".folded .collapsed", "a line a stack: comm;root;...;leaf VALUE",
	 format_folded_write, format_folded_read, format_folded_recognises, 0},
	{"pprof", ".pb.gz .pprof .pb", "for pprof and what reads its files", format_pprof_write,
	 format_pprof_read, format_pprof_recognises, 0},
	{"perf", ".perf .script", "the text of perf script", format_perf_write, format_perf_read,
	 format_perf_recognises, 0},
	{"perfd", ".perfd", "all that perfd has, for its own commands", format_perfd_write,
	 format_perfd_read, format_perfd_recognises, 0},
	{"speedscope", ".speedscope.json .speedscope", "for speedscope.app",
	 format_speedscope_write, NULL, NULL, 0},
	{"firefox", ".firefox.json .firefox", "for profiler.firefox.com", format_firefox_write,
	 NULL, NULL, 0},
	{"callgrind", ".callgrind", "for callgrind_annotate and KCachegrind",
	 format_callgrind_write, NULL, NULL, 0},
	{"chrome", ".trace.json .trace", "trace events, for Perfetto", format_chrome_write, NULL,
	 NULL, 0},
	{"d3", ".d3.json .d3", "the call tree for d3-flame-graph", format_d3_write, NULL, NULL, 0},
	{"csv", ".csv", "the table for a spreadsheet", format_csv_write, NULL, NULL, 0},
	{"tree", "", "the call tree as text, with percent", format_tree_write, NULL, NULL, 0},
	{"chart", "", "a flame graph in characters", format_chart_write, NULL, NULL, 0},
	{"report", ".txt", "table of functions: self, total, percent", format_report_write, NULL,
	 NULL, 0},
	{"json", ".json", "the table and everything counted, for programs", format_json_write, NULL,
	 NULL, 0},
};
const size_t format_count = sizeof(formats) / sizeof(*formats);

const struct format *format_find(const char *name)
{
	for (size_t i = 0; i < format_count; i++) {
		if (!strcmp(formats[i].name, name))
			return &formats[i];
	}
	return NULL;
}

/* Length of the longest of `extensions` that `path` ends with; 0: none. */
static size_t extension_fit(const char *extensions, const char *path, size_t length)
{
	size_t best = 0, n;

	for (const char *at = extensions; *at; at += n + (at[n] == ' ')) {
		n = strcspn(at, " ");
		if (n > best && n < length && !strncasecmp(path + length - n, at, n))
			best = n;
	}
	return best;
}

bool format_has_extension(const char *path, const char *extensions)
{
	return extension_fit(extensions, path, strlen(path)) > 0;
}

const struct format *format_for_path(const char *path)
{
	const struct format *best = NULL;
	size_t best_fit = 0;

	for (size_t i = 0; i < format_count; i++) {
		size_t fit = extension_fit(formats[i].extensions, path, strlen(path));

		if (fit > best_fit) {
			best_fit = fit;
			best = &formats[i];
		}
	}
	return best;
}

static char *join_names(bool readable)
{
	struct strbuf names = {0};

	for (size_t i = 0; i < format_count; i++) {
		if (readable && !formats[i].read)
			continue;
		strbuf_puts(&names, names.length ? ", " : "");
		strbuf_puts(&names, formats[i].name);
	}
	if (strbuf_error(&names))
		strbuf_deinit(&names);
	return names.data;
}

char *format_names(void)
{
	return join_names(false);
}

char *format_read_names(void)
{
	return join_names(true);
}

static int unknown_value(const struct profile *profile, const char *name, struct error *error)
{
	_cleanup_(strbuf_deinit) struct strbuf names = {0};

	for (uint32_t i = 0; i < profile->value_type_count; i++) {
		const char *have = profile_text(profile, profile->value_types[i].name);

		strbuf_puts(&names, i ? ", " : "");
		text_put(&names, have, strlen(have));
	}
	return error_set(error, -EINVAL, "no value \"%s\" in this profile; it has: %s", name,
			 strbuf_text(&names));
}

/* Says what was looked for and for how long: an empty result has a reason, and
 * these are the figures that show it. */
static int no_data(const struct format_job *job, struct error *error)
{
	const struct profile *profile = job->profile;
	_cleanup_(strbuf_deinit) struct strbuf detail = {0};

	if (profile->duration_ns) {
		strbuf_puts(&detail, " in ");
		text_put_value(&detail, profile->duration_ns, "nanoseconds");
	}
	if (profile->frequency_hz)
		strbuf_printf(&detail, " at %u Hz", profile->frequency_hz);
	strbuf_puts(&detail, ", ");
	text_put_count(&detail, report_lost(profile));
	strbuf_puts(&detail, " lost");
	if (profile->samples.count)
		return error_set(error, -ENODATA, "%s: no sample has a value of \"%s\"%s",
				 job->title, job->value_name, strbuf_text(&detail));
	return error_set(error, -ENODATA, "%s: no samples were taken%s", job->title,
			 strbuf_text(&detail));
}

static int unknown_palette(const char *name, struct error *error)
{
	_cleanup_free_ char *names = palette_names();

	return error_set(error, -EINVAL, "no palette \"%s\"; there are %s", name,
			 names ? names : "");
}

/* What is of memory looks like it, whoever wrote it: bytes, or page faults. */
static const char *usual_palette(const struct profile *profile)
{
	for (uint32_t i = 0; i < profile->value_type_count; i++) {
		const struct profile_value_type *type = &profile->value_types[i];
		const char *name = profile_text(profile, type->name);

		if (!strcmp(profile_text(profile, type->unit), "bytes") ||
		    !strcmp(name, "faults") || !strcmp(name, "page-faults"))
			return "memory";
	}
	return "kind";
}

static int prepare(struct format_job *job, const struct format_options *options,
		   struct error *error)
{
	const struct profile *profile = job->profile;

	job->value_type = profile->default_value;
	if (options->value) {
		job->value_type = profile_find_value_type(profile, options->value, NULL);
		if (job->value_type == PROFILE_NONE)
			return unknown_value(profile, options->value, error);
	}
	job->palette = palette_find(options->palette ? options->palette : usual_palette(profile));
	if (!job->palette)
		return unknown_palette(options->palette, error);
	job->title = options->title ? options->title : profile_text(profile, profile->title);
	if (!*job->title)
		job->title = "perfd profile";
	job->width = options->width ? options->width : 1200;
	job->top = options->top;
	job->columns = options->columns;
	job->window_ns = options->window_ns;
	job->without_comm = options->without_comm;
	job->confidence = options->confidence;
	job->value_name = job->value_unit = "";
	if (job->value_type < profile->value_type_count) {
		const struct profile_value_type *type = &profile->value_types[job->value_type];

		job->value_name = profile_text(profile, type->name);
		job->value_unit = profile_text(profile, type->unit);
		job->total = profile_total(profile, job->value_type);
	}
	return job->total ? 0 : no_data(job, error);
}

int format_write(const struct format *format, const struct profile *profile,
		 const struct format_options *options, FILE *out, struct error *error)
{
	static const struct format_options defaults;
	struct format_job job = {.profile = profile};
	int r = prepare(&job, options ? options : &defaults, error);

	if (r)
		return r;
	errno = 0;
	r = format->write(&job, out);
	if (!r && (fflush(out) || ferror(out)))
		r = errno ? -errno : -EIO;
	if (r)
		return error_set(error, r, "cannot write %s: %s", format->name, strerror(-r));
	return 0;
}

static const struct format *recognise(struct input *input)
{
	size_t n;
	const char *head = input_peek(input, &n);

	/* From the last: folded, of which the first lines of much else might pass, is the
	 * first row. */
	for (size_t i = n ? format_count : 0; i-- > 0;) {
		if (formats[i].recognises && formats[i].recognises(head, n))
			return &formats[i];
	}
	return NULL;
}

static int not_recognised(struct input *input, struct error *error)
{
	_cleanup_free_ char *names = format_read_names();
	size_t n;

	input_peek(input, &n);
	if (input->error.code)
		return error_set(error, input->error.code, "%s", input->error.text);
	if (!n)
		return error_set(error, -ENODATA, "it is empty");
	return error_set(error, -EBADMSG, "none of the formats that can be read (%s)",
			 names ? names : "");
}

/* Is there a sample that weighs anything? */
static bool has_data(const struct profile *profile)
{
	for (size_t i = 0; i < profile->values.count; i++) {
		if (profile->values.items[i])
			return true;
	}
	return false;
}

static int nothing_read(const struct format *format, const struct profile *profile,
			struct error *error)
{
	for (size_t i = 0; i < profile->counts.count; i++) {
		const struct profile_count *count = &profile->counts.items[i];

		if (!strcmp(profile_text(profile, count->key), IMPORT_MALFORMED_KEY))
			return error_set(error, -EBADMSG, "no stack in it, as %s; %s", format->name,
					 profile_text(profile, count->text));
	}
	return error_set(error, -ENODATA, "no stack in it, as %s", format->name);
}

int format_read(const struct format *format, struct input *input,
		const struct format_read_options *options, struct error *error,
		struct profile **ret)
{
	static const struct format_read_options defaults = {.annotate = FORMAT_ANNOTATE_DEFAULT};
	_cleanup_profile_ struct profile *profile = profile_create();
	int r;

	if (!profile)
		return error_set(error, -ENOMEM, "no memory for a profile");
	if (!format)
		format = recognise(input);
	if (!format)
		return not_recognised(input, error);
	if (!format->read)
		return error_set(error, -EINVAL, "%s can be written, not read", format->name);
	r = format->read(input, options ? options : &defaults, profile);
	if (input->error.code)
		return error_set(error, input->error.code, "%s: %s", format->name,
				 input->error.text);
	if (r)
		return error_set(error, r, "cannot read it as %s: %s", format->name, strerror(-r));
	if (!has_data(profile))
		return nothing_read(format, profile, error);
	*ret = TAKE_PTR(profile);
	return 0;
}
