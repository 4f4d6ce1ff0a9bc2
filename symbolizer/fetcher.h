/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The process that talks to debuginfod servers, so that neither the daemon with its
 * privileges nor the worker with its foreign bytes has a network: this program, executed
 * anew for one file. It is told what to fetch and given a descriptor to write it to; it
 * has no capability, is nobody, cannot write, make or execute any file nor look into a
 * process, and ends.
 *
 * The protocol is debuginfod(8)'s: GET URL/buildid/HEX/debuginfo, of each URL in turn until
 * one has it. HTTP and HTTPS only, also when redirected. By libcurl, which is loaded in
 * there only: nobody else needs it.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/error.h"

/* Where it finds its socket after exec. */
#define FETCHER_FD 3
#define FETCHER_REQUEST_MAX 8192u /* bytes */
#define FETCHER_REPLY_MAX 512u /* bytes */

struct fetcher_request {
	uint64_t timeout_ns; /* for all of it */
	uint64_t size_max; /* bytes of the file; a larger one is refused */
	const char *build_id; /* in hex */
	const char *urls; /* apart by spaces */
};

/* What it says at its end. A reply is foreign to who asked. */
struct fetcher_reply {
	int error; /* 0; -ENOENT: no server has it; -ETIMEDOUT, -EFBIG, -EIO, -ENOSYS: no libcurl */
	uint64_t bytes;
	char text[256]; /* of an error; control characters made '?' */
};

/* The request goes into the socket with the descriptor, which stays the caller's. */
int fetcher_ask(int socket, const struct fetcher_request *request, int fd);
/* 1: it has answered; 0: not yet; -EPIPE: it ended without; -EBADMSG. */
int fetcher_answer(int socket, struct fetcher_reply *ret);
/* Its main: ends the process. */
int fetcher_main(int fd);
