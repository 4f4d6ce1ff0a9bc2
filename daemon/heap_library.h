/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where libperfd-heap.so is: beside this program, or where it is installed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/error.h"

/* Its path; -ENOENT with all places that were looked at. `late`: the one for programs that
 * run already and have no static thread storage to give, and for musl's. */
int heap_library_find(bool late, char *path, size_t size, struct error *error);
