/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl doctor: what this machine has of what perfd needs, for people and as JSON.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "daemon/command.h"
#include "daemon/doctor.h"
#include "daemon/output.h"

#define SCHEMA "perfd.doctor/1"
#define NAME_WIDTH 34

static void put_text(struct strbuf *out, const struct doctor_finding *findings,
		     const unsigned *counts)
{
	for (size_t i = 0; i < DOCTOR_CHECK_COUNT; i++) {
		const struct doctor_finding *finding = &findings[i];

		strbuf_printf(out, "%-9s %-*s %s\n", doctor_state_name(finding->state), NAME_WIDTH,
			      doctor_checks[i].name, finding->found);
		if (finding->state != DOCTOR_OK)
			strbuf_printf(out, "%10s%s\n%10smend: %s\n", "", doctor_checks[i].why, "",
				      finding->mend);
	}
	strbuf_printf(out, "%u ok, %u degraded, %u missing, %u unknown\n", counts[DOCTOR_OK],
		      counts[DOCTOR_DEGRADED], counts[DOCTOR_MISSING], counts[DOCTOR_UNKNOWN]);
}

static void put_json(struct strbuf *out, const struct doctor_finding *findings,
		     const unsigned *counts)
{
	json_t *checks = json_array(), *document;
	char *text;

	for (size_t i = 0; i < DOCTOR_CHECK_COUNT; i++) {
		json_t *check = json_pack("{s:s, s:s, s:s, s:s}", "name", doctor_checks[i].name,
					  "state", doctor_state_name(findings[i].state), "found",
					  findings[i].found, "why", doctor_checks[i].why);

		if (findings[i].state != DOCTOR_OK)
			json_object_set_new(check, "mend", json_string(findings[i].mend));
		json_array_append_new(checks, check);
	}
	document = json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:o}", "schema", SCHEMA, "version",
			     PERFD_VERSION, "ok", counts[DOCTOR_OK], "degraded",
			     counts[DOCTOR_DEGRADED], "missing", counts[DOCTOR_MISSING], "unknown",
			     counts[DOCTOR_UNKNOWN], "checks", checks);
	text = json_dumps(document, JSON_INDENT(2));
	if (text)
		strbuf_printf(out, "%s\n", text);
	free(text);
	json_decref(document);
}

int cmd_doctor(const struct options *options)
{
	_cleanup_(strbuf_deinit) struct strbuf out = {0};
	struct doctor_finding findings[DOCTOR_CHECK_COUNT];
	unsigned counts[DOCTOR_STATES] = {0};
	struct doctor_facts facts;
	struct config config;
	struct error error;

	if (command_config(options, &config, &error) < 0)
		return command_fail(EXIT_CODE_FAILURE, &error);
	doctor_read(&config, &facts);
	for (size_t i = 0; i < DOCTOR_CHECK_COUNT; i++) {
		doctor_examine(&doctor_checks[i], &facts, &findings[i]);
		counts[findings[i].state]++;
	}
	if (option_given(options, OPTION_JSON))
		put_json(&out, findings, counts);
	else
		put_text(&out, findings, counts);
	if (strbuf_error(&out)) {
		error_set(&error, -ENOMEM, "no memory");
		return command_fail(EXIT_CODE_FAILURE, &error);
	}
	if (output_write("-", out.data, out.length, &error) < 0)
		return command_fail(EXIT_CODE_FAILURE, &error);
	return counts[DOCTOR_MISSING] ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
}
