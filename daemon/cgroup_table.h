/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The paths of cgroups (v2) by the ids that samples carry. An id is the number of the
 * folder in the cgroup file system, which gives it back by a file handle (kernel commit
 * aa8188253474 "kernfs: add file handle support", 5.5): nothing is walked. A path is looked
 * up when its id is first seen, for a cgroup may be gone a moment later, and remembered.
 *
 * Without a cgroup2 mount, or the capability that file handles take
 * (CAP_DAC_READ_SEARCH), paths are "".
 */
#pragma once

#include <stdint.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/strtab.h"

#define CGROUPS_MAX 65536u /* remembered; at the limit all are forgotten */

struct cgroup_table {
	int mount; /* of cgroup2; -1: none */
	char root[256]; /* where it is mounted */
	struct strtab paths;
	struct hashmap by_id; /* -> id in paths */
	uint64_t unknown; /* ids whose path could not be had */
};

void cgroup_table_init(struct cgroup_table *table);
void cgroup_table_deinit(struct cgroup_table *table);
/* "/system.slice/x.service", "/"; "": not known. Valid until the next call. */
const char *cgroup_table_path(struct cgroup_table *table, uint64_t id);
