/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What `perfctl status --json` tells, as metrics: one table (metrics_text.c) has for each its
 * name, type, unit, help and place in that object. Labels are from lists in the source, never
 * from what runs on the machine, so there are as many series on a large machine as on a small
 * one. A place that is not there, or no number, is left out.
 */
#pragma once

#include <jansson.h>

#include "daemon/base/strbuf.h"

enum metrics_form {
	METRICS_OPENMETRICS, /* OpenMetrics 1.0 */
	METRICS_PLAIN, /* Prometheus's text format 0.0.4 */
	METRICS_FORM_COUNT
};

/* 0 or -ENOMEM. */
int metrics_text(const json_t *status, enum metrics_form form, struct strbuf *out);
