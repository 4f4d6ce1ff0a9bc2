/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads out of a running Java machine how its code is laid out (bpf/jvm.h). All of
 * it is in the process's own memory: libjvm.so as it is mapped, its dynamic symbols
 * gHotSpotVMStructs and gHotSpotVMTypes with their strides and field offsets (made
 * for HotSpot's serviceability agent, hotspot/share/runtime/vmStructs.hpp; JDK 8 to
 * 25 have them), and the objects that they lead to.
 *
 * Every byte may be hostile: each address is only read, in pages, of which a
 * limited number is read in all; tables and texts have limits; what comes out is
 * checked as the daemon checks it again.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/jvm.h"
#include "daemon/base/error.h"
#include "daemon/base/strbuf.h"

/* `memory` reads the process's memory at process addresses (/proc/PID/mem); `code` is
 * where code of libjvm.so is mapped, from `offset` in the file on. exec_id is left 0.
 * -EAGAIN: the machine has not made its heaps or its interpreter yet; -ENOEXEC: no
 * library of a HotSpot machine, or of one that says too little; -EBADMSG: what it says
 * makes no sense; -EIO: its memory cannot be read. */
int hotspot_read(int memory, uint64_t code, uint64_t offset, struct error *error,
		 struct jvm_layout *ret);
/* What goes over the wire, and back: -EBADMSG where it makes no sense. */
void hotspot_encode(const struct jvm_layout *layout, struct strbuf *answer);
int hotspot_decode(const void *payload, size_t size, struct error *error, struct jvm_layout *ret);
