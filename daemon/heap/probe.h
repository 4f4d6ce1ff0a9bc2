/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The library's probes (control.h says what they tell). Where nobody looks, a probe is
 * a nop; a note in the file tells tracers where it is and where its arguments are. The
 * kernel raises the semaphores while somebody does.
 *
 * A file of its own, so that a test can put its own probes in its place.
 */
#pragma once

#include <stdint.h>

extern volatile uint16_t heap_alloc_semaphore, heap_free_semaphore;

void heap_probe_alloc(const void *pointer, uint64_t size, uint64_t weighted_bytes);
void heap_probe_free(const void *pointer);
