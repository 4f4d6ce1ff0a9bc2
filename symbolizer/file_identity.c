/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/file_identity.h"

#include <stddef.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "daemon/base/clock.h"

#define OVERLAY 0x794c7630u

/* statfs(2) and linux/magic.h. */
static const uint32_t not_believed[] = {
	0x65735546u, /* FUSE */
	0x00006969u, /* NFS */
	0x0000517bu, 0xff534d42u, 0xfe534d42u, /* SMB, CIFS, SMB 2 */
	0x01021997u, /* 9P */
	0x00c36400u, /* Ceph */
	0x5346414fu, 0x6b414653u, /* AFS */
	0x73757245u, /* Coda */
	0x786f4256u, /* VirtualBox's folders */
};

static bool believed(uint32_t type)
{
	for (size_t i = 0; i < sizeof(not_believed) / sizeof(not_believed[0]); i++)
		if (not_believed[i] == type)
			return false;
	return true;
}

static uint64_t nanoseconds(struct timespec time)
{
	return (uint64_t)time.tv_sec * NSEC_PER_SEC + (uint64_t)time.tv_nsec;
}

bool file_identity_take_at(int fd, uint64_t now, struct file_identity *ret)
{
	struct statfs fs;
	struct stat st;
	uint64_t changed;

	if (fstat(fd, &st) || fstatfs(fd, &fs) || !S_ISREG(st.st_mode) ||
	    !believed((uint32_t)fs.f_type))
		return false;
	changed = nanoseconds(st.st_ctim);
	/* A time ahead of the clock, which was set back, is no better. */
	if (changed + FILE_IDENTITY_YOUNG_NS > now)
		return false;
	*ret = (struct file_identity){
		.device = (uint32_t)fs.f_type == OVERLAY ? 0 : st.st_dev,
		.inode = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime_ns = nanoseconds(st.st_mtim),
		.ctime_ns = changed,
		.uid = st.st_uid,
	};
	return true;
}

bool file_identity_take(int fd, struct file_identity *ret)
{
	return file_identity_take_at(fd, clock_real_ns(), ret);
}
