/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where metrics are served, as metrics.listen has it: the path of a Unix socket, or an address
 * of this machine only with a port:
 *
 *	/run/perfd/metrics.sock   127.0.0.1:9903   [::1]:9903   localhost:9903
 */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/base/error.h"

struct metrics_address {
	union {
		struct sockaddr any;
		struct sockaddr_un path;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at;
	socklen_t size;
};

/* -EINVAL with what was expected, and why nothing else is. */
int metrics_address_parse(const char *text, struct metrics_address *ret, struct error *error);
