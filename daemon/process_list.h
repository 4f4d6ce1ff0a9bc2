/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The processes that /proc shows, with what they have of memory: for perfctl, by the rights
 * of whoever calls it.
 */
#pragma once

#include "daemon/top_model.h"

/* `own_only`: those of this user. Kernel threads have no memory and are left out. What ends
 * meanwhile is left out too. 0 or -errno, *facts unchanged then; the caller frees the items. */
int process_list(bool own_only, struct top_facts *facts);
