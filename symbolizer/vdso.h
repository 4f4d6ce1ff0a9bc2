/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The vDSO: an ELF file that the kernel maps into each process and that is in
 * no file system. All 64-bit processes of a running kernel have the same one,
 * so a copy of our own stands for theirs.
 */
#pragma once

/* A sealed memfd (close-on-exec, at its beginning) with this process's vDSO
 * image, the caller's to close or to hand to symbolizer_add_image(). Offsets in
 * it are addresses less the mapping's start. -ENOENT if there is none; -errno.
 * Privileged code may call this: the bytes are the kernel's, and are copied,
 * not parsed beyond their ELF header. */
int vdso_image_open(void);
