/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The worker's answers to questions about a living process's memory. The request is a
 * place (u64 address, u64 offset in its file) and a descriptor that reads the memory at
 * process addresses.
 */
#pragma once

#include "daemon/base/error.h"
#include "daemon/base/reader.h"
#include "daemon/base/strbuf.h"

/* Appends the answer; -EPROTO for a request of the wrong form. */
int worker_jvm(struct reader *request, int memory, struct strbuf *answer, struct error *error);
int worker_libc(struct reader *request, int memory, struct strbuf *answer, struct error *error);
