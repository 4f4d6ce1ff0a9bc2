/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file system in user space that hangs: hang_fs FOLDER FILE mounts one over FOLDER
 * that has one program, FOLDER/program, with what is in FILE. It says "mounted N", N
 * being its connection's number below /sys/fs/fuse/connections, serves until SIGUSR1,
 * says "hangs", and from then on takes every request and answers none, as a dead server
 * does. It ends when it is unmounted or its connection is aborted, and does neither itself.
 *
 * It speaks to /dev/fuse itself (linux/fuse.h; Documentation/filesystems/fuse.rst), so that
 * no library is needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROGRAM 2 /* its inode; the root's is FUSE_ROOT_ID */
#define VALID 3600 /* seconds that the kernel believes names and attributes */
#define READ_MAX (128u << 10)

static volatile sig_atomic_t hanging;

static void hang(int number)
{
	(void)number;
	hanging = 1;
}

struct server {
	int fuse, file;
	struct stat st;
};

static void answer(const struct server *server, const struct fuse_in_header *in, int error,
		   const void *bytes, size_t size)
{
	struct fuse_out_header head = {
		.len = (uint32_t)(sizeof(head) + size), .error = error, .unique = in->unique};
	struct iovec parts[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)bytes, size}};

	if (writev(server->fuse, parts, 2) < 0 && errno != ENOENT)
		perror("hang_fs: writev");
}

static struct fuse_attr attributes(const struct server *server, uint64_t node)
{
	if (node != PROGRAM)
		return (struct fuse_attr){.ino = node, .mode = S_IFDIR | 0755, .nlink = 2};
	return (struct fuse_attr){.ino = node,
				  .mode = S_IFREG | 0755,
				  .nlink = 1,
				  .size = (uint64_t)server->st.st_size,
				  .blocks = (uint64_t)server->st.st_size / 512 + 1,
				  .blksize = 4096};
}

static void init(const struct server *server, const struct fuse_in_header *in)
{
	struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
				    .minor = FUSE_KERNEL_MINOR_VERSION,
				    .max_readahead = READ_MAX,
				    .max_write = 4096,
				    .max_background = 16,
				    .congestion_threshold = 12};

	answer(server, in, 0, &out, sizeof(out));
}

static void look_up(const struct server *server, const struct fuse_in_header *in, const char *name)
{
	struct fuse_entry_out out = {.nodeid = PROGRAM,
				     .entry_valid = VALID,
				     .attr_valid = VALID,
				     .attr = attributes(server, PROGRAM)};

	if (strcmp(name, "program") != 0)
		answer(server, in, -ENOENT, NULL, 0);
	else
		answer(server, in, 0, &out, sizeof(out));
}

static void read_file(const struct server *server, const struct fuse_in_header *in,
		      const struct fuse_read_in *what)
{
	static char bytes[READ_MAX];
	size_t size = what->size < READ_MAX ? what->size : READ_MAX;
	ssize_t n = pread(server->file, bytes, size, (off_t)what->offset);

	answer(server, in, n < 0 ? -EIO : 0, bytes, n < 0 ? 0 : (size_t)n);
}

static void serve(const struct server *server, const struct fuse_in_header *in, const void *rest)
{
	struct fuse_attr_out attr = {.attr_valid = VALID, .attr = attributes(server, in->nodeid)};
	struct fuse_open_out opened = {.open_flags = FOPEN_KEEP_CACHE};

	switch (in->opcode) {
	case FUSE_INIT:
		init(server, in);
		break;
	case FUSE_LOOKUP:
		look_up(server, in, rest);
		break;
	case FUSE_GETATTR:
		answer(server, in, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		answer(server, in, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
		read_file(server, in, rest);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break; /* nobody waits for an answer */
	case FUSE_RELEASE:
	case FUSE_FLUSH:
		answer(server, in, 0, NULL, 0);
		break;
	default:
		answer(server, in, -ENOSYS, NULL, 0);
	}
}

static int mount_over(struct server *server, const char *folder)
{
	char options[128];

	server->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (server->fuse < 0)
		return -1;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
		 server->fuse);
	return mount("hang_fs", folder, "fuse.hang_fs", 0, options);
}

/* Without asking the server, which we are. */
static unsigned connection(const char *folder)
{
	struct statx st;

	if (statx(AT_FDCWD, folder, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st) < 0)
		return 0;
	return st.stx_dev_minor;
}

int main(int argc, char **argv)
{
	static union {
		struct fuse_in_header header;
		char bytes[FUSE_MIN_READ_BUFFER + READ_MAX];
	} in;
	struct sigaction action = {.sa_handler = hang};
	struct server server = {.fuse = -1};
	int said = 0;

	server.file = argc == 3 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
	if (server.file < 0 || fstat(server.file, &server.st) < 0 || mount_over(&server, argv[1])) {
		perror("hang_fs");
		return 1;
	}
	sigaction(SIGUSR1, &action, NULL);
	printf("mounted %u\n", connection(argv[1]));
	fflush(stdout);
	for (;;) {
		ssize_t n = read(server.fuse, &in, sizeof(in));

		if (hanging && !said) {
			said = printf("hangs\n");
			fflush(stdout);
		}
		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (n < (ssize_t)sizeof(in.header))
			return 0; /* ENODEV: it is unmounted */
		if (!hanging)
			serve(&server, &in.header, in.bytes + sizeof(in.header));
	}
}
