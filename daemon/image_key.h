/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a file is known by in the table of images: numbers made of its build id, of its place in a
 * file system, or of that and its state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "bpf/abi.h"
#include "bpf/unwind.h"

/* Memory, whatever it is a file of. */
bool image_key_is_memory(const char *path);
/* As the kernel numbers devices: not as stat(2) does. */
uint32_t image_device(uint32_t dev_major, uint32_t dev_minor);
uint64_t image_key_of_build_id(const uint8_t *build_id, uint8_t size);
uint64_t image_key_of_inode(uint32_t dev_major, uint32_t dev_minor, uint64_t inode);
/* Of one state of a file: another one, once it was changed. */
uint64_t image_key_of_state(const struct unwind_inode *file);
/* All memory without a file is one image, so is the vDSO; a file is told by its
 * build id, else by device and inode (and its path, where those are unknown). */
uint64_t image_key(const struct abi_mmap *mmap);
/* The state of a file that was looked at: st_dev, st_ino and st_ctim. */
struct unwind_inode image_state(const struct stat *st);
