/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/log.h"

static const unsigned privileges[] = {
#define X(name, number, why) number,
	PRIVILEGES(X)
#undef X
};

/* The header may be older than the kernel. */
#define X(name, number, why) _Static_assert((number) < 64, #name);
PRIVILEGES(X)
#undef X
_Static_assert(CAP_KILL == 5 && CAP_SYS_PTRACE == 19 && CAP_SYS_ADMIN == 21 && CAP_SYSLOG == 34,
	       "numbers are linux/capability.h's");

#define NGROUPS_IN 256 /* more than anybody has */
#define BIT(number) (1ULL << (number))

uint64_t privileges_needed(uint64_t has)
{
	uint64_t needed = 0;

	for (size_t i = 0; i < sizeof(privileges) / sizeof(privileges[0]); i++)
		needed |= BIT(privileges[i]);
	return has & needed;
}

static int read_permitted(uint64_t *ret)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	*ret = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

static int set(uint64_t kept)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.permitted = (uint32_t)kept, .effective = (uint32_t)kept},
		{.permitted = (uint32_t)(kept >> 32), .effective = (uint32_t)(kept >> 32)}};

	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* Takes CAP_SETPCAP. Without it (a service manager has set the bounds) they stay. */
static void drop_bounds(uint64_t kept)
{
	for (unsigned number = 0; number < 64; number++) {
		if (kept & BIT(number) || prctl(PR_CAPBSET_READ, number, 0, 0, 0) != 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0)
			return;
	}
}

void privileges_join(gid_t group)
{
	gid_t groups[NGROUPS_IN];
	int count = getgroups(NGROUPS_IN - 1, groups);

	if (group == (gid_t)-1 || count < 0)
		return;
	for (int i = 0; i < count; i++)
		if (groups[i] == group)
			return;
	groups[count] = group;
	if (setgroups((size_t)count + 1, groups) < 0)
		log_debug("group %u cannot be joined: %s", group, strerror(errno));
}

/* The side band's buffer of a CPU that comes, without CAP_IPC_LOCK (perf_mmap() in
 * kernel/events/core.c); takes CAP_SYS_RESOURCE, or a unit that says so. */
static void allow_locked_memory(void)
{
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	if (setrlimit(RLIMIT_MEMLOCK, &all) < 0)
		log_debug("locked memory stays limited: RLIMIT_MEMLOCK cannot be raised");
}

int privileges_drop(struct error *error)
{
	uint64_t has = 0, kept, now = 0;
	int r = read_permitted(&has);

	allow_locked_memory();

	if (r)
		return error_set(error, r, "cannot read my capabilities: %s", strerror(-r));
	kept = privileges_needed(has);
	drop_bounds(kept);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	r = set(kept);
	if (!r)
		r = read_permitted(&now);
	if (!r && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r || now != kept)
		return error_set(error, r ? r : -EPERM,
				 "cannot let go of capabilities that are not needed: %s",
				 strerror(r ? -r : EPERM));
	log_debug("capabilities %#llx, of %#llx until now", (unsigned long long)kept,
		  (unsigned long long)has);
	return 0;
}
