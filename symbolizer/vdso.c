/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/vdso.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

#define VDSO_SIZE_MAX (256U << 10)

/* The file's end: behind its section headers or its last segment. */
static size_t image_size(const ElfW(Ehdr) * header)
{
	const char *base = (const char *)header;
	const ElfW(Phdr) *segments = (const void *)(base + header->e_phoff);
	size_t size = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;

	for (size_t i = 0; i < header->e_phnum; i++) {
		if (segments[i].p_offset + segments[i].p_filesz > size)
			size = segments[i].p_offset + segments[i].p_filesz;
	}
	return size;
}

int vdso_image_open(void)
{
	const ElfW(Ehdr) *header = (const void *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);
	_cleanup_close_ int fd = -1;
	size_t size;

	if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG))
		return -ENOENT;
	size = image_size(header);
	if (size > VDSO_SIZE_MAX)
		return -EFBIG;
	fd = memfd_create("vdso", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	/* write() checks the memory: a size that is wrong gives EFAULT or a
	 * short count, where memcpy() would fault. */
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)header + done, size - done);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return TAKE_FD(fd);
}
