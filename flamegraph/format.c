/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/format.h"

#include <string.h>
#include <strings.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/report.h"
#include "flamegraph/text.h"

const struct format formats[] = {
	{"svg", ".svg", "interactive flame graph, one file for any browser", format_svg_write},
	{"folded", ".folded .collapsed", "a line a stack: comm;root;...;leaf VALUE",
	 format_folded_write},
	{"report", ".txt", "table of functions: self, total, percent", format_report_write},
	{"json", ".json", "the table and everything counted, for programs", format_json_write},
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

char *format_names(void)
{
	struct strbuf names = {0};

	for (size_t i = 0; i < format_count; i++) {
		strbuf_puts(&names, i ? ", " : "");
		strbuf_puts(&names, formats[i].name);
	}
	if (strbuf_error(&names))
		strbuf_deinit(&names);
	return names.data;
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
	job->title = options->title ? options->title : profile_text(profile, profile->title);
	if (!*job->title)
		job->title = "perfd profile";
	job->width = options->width ? options->width : 1200;
	job->top = options->top;
	job->without_comm = options->without_comm;
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
