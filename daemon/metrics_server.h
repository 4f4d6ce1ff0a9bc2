/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The process that serves metrics over HTTP: this program, executed anew, with no capability,
 * no file, nobody's user id and a list of system calls (symbolizer/sandbox.h), for what comes
 * over HTTP is foreign. By libmicrohttpd, which is loaded in there only.
 *
 *	GET /metrics   OpenMetrics 1.0 to who accepts it, else Prometheus's text format 0.0.4
 *
 * Texts come from the daemon, on demand, and are served for a second. At most
 * METRICS_CONNECTIONS_MAX connections; one that is not served in METRICS_CONNECTION_NS ends,
 * whatever it sends, and each is of one request. One thread.
 *
 * With the daemon, by packets: first it hands over the socket that is listened on; then the
 * process sends a byte, enum metrics_form, and gets that byte with the text behind it.
 */
#pragma once

#define METRICS_SERVER_FD 3 /* where it finds its socket after exec */
#define METRICS_SERVER_MEMORY (512ull << 20) /* address space: libraries of libmicrohttpd */
#define METRICS_CONNECTIONS_MAX 16u
#define METRICS_CONNECTION_NS (10 * 1000000000ull)
#define METRICS_REQUEST_MAX 8192u /* bytes of a request's head */

/* The daemon's side: 0 or -errno; `listening` stays the caller's. */
int metrics_server_hand_over(int socket, int listening);
/* Its main: ends the process. */
int metrics_server_main(int fd);
