/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A capture: the stream of records of a live daemon, in the order in which it
 * saw them, to be played again without root (source_replay.c). The file: a head
 * of 16 bytes (magic, ABI version), then the records of bpf/abi.h end to end.
 * Samples of sessions are left out: it holds the system-wide view.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "bpf/abi.h"
#include "daemon/base/error.h"

#define CAPTURE_MAGIC "PERFDREC"

struct capture_head {
	char magic[8];
	uint32_t abi_version;
	uint32_t pad;
};

struct capture {
	FILE *file; /* NULL: nothing is captured */
	uint64_t records;
	int failed; /* -errno of the first write that failed; nothing is written after */
};

int capture_create(struct capture *capture, const char *path, struct error *error);
void capture_write(struct capture *capture, const struct abi_header *record);
/* 0, or -errno if any write failed. */
int capture_close(struct capture *capture);
