/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

#define BACKLOG 128

static int make_directory(const char *key, const char *path, struct error *error)
{
	char directory[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;

	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (!slash || slash == directory)
		return 0;
	*slash = 0;
	if (mkdir(directory, 0755) < 0 && errno != EEXIST)
		return error_set(error, -errno, "cannot create the directory of %s, %s: %s", key,
				 directory, strerror(errno));
	return 0;
}

/* Removes a socket that nobody serves: 0 if the path is free now. */
static int make_free(const char *key, const struct sockaddr_un *address, struct error *error)
{
	_cleanup_close_ int fd = -1;
	struct stat before, now;
	struct ucred cred = {0};
	socklen_t size = sizeof(cred);

	if (lstat(address->sun_path, &before) < 0)
		return errno == ENOENT ? 0
				       : error_set(error, -errno, "cannot look at %s %s: %s", key,
						   address->sun_path, strerror(errno));
	if (!S_ISSOCK(before.st_mode))
		return error_set(
			error, -ENOTSOCK,
			"%s is there and is no socket: it is left alone; remove it, or choose "
			"another path with --socket",
			address->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(error, -errno, "cannot create a socket: %s", strerror(errno));
	/* EAGAIN: its queue is full, so somebody lives there. */
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)) || errno == EAGAIN) {
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size);
		return error_set(error, -EADDRINUSE,
				 "another perfd (pid %d) is serving %s; stop it, or use --socket",
				 (int)cred.pid, address->sun_path);
	}
	if (errno != ECONNREFUSED && errno != ENOENT)
		return error_set(error, -errno, "%s is in use by something else: %s",
				 address->sun_path, strerror(errno));
	/* Another perfd may have replaced it since we looked. */
	if (!lstat(address->sun_path, &now) && now.st_ino == before.st_ino &&
	    unlink(address->sun_path) < 0)
		return error_set(error, -errno, "cannot remove the old socket %s: %s",
				 address->sun_path, strerror(errno));
	return 0;
}

int listener_open(const char *path, struct error *error, struct listener *ret)
{
	return listener_open_as("daemon.socket", path, 0666, error, ret);
}

int listener_open_as(const char *key, const char *path, mode_t mode, struct error *error,
		     struct listener *ret)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct listener listener = {.fd = -1};
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (!*path || strlen(path) >= sizeof(address.sun_path))
		return error_set(error, -ENAMETOOLONG, "%s needs a path of 1 to %zu bytes, not %zu",
				 key, sizeof(address.sun_path) - 1, strlen(path));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	r = make_directory(key, path, error);
	if (!r)
		r = make_free(key, &address, error);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(path, mode) < 0 || listen(fd, BACKLOG) < 0 || lstat(path, &st) < 0)
		return error_set(error, -errno, "cannot listen on %s %s: %s", key, path,
				 strerror(errno));
	memcpy(listener.path, address.sun_path, sizeof(listener.path));
	listener.dev = st.st_dev;
	listener.ino = st.st_ino;
	listener.fd = TAKE_FD(fd);
	*ret = listener;
	return 0;
}

void listener_close(struct listener *listener)
{
	struct stat st;

	if (listener->fd < 0)
		return;
	if (!lstat(listener->path, &st) && st.st_dev == listener->dev && st.st_ino == listener->ino)
		unlink(listener->path);
	close(listener->fd);
	listener->fd = -1;
}
