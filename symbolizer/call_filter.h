/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The system calls that a process may make from now on, as rows of tables; any other one
 * ends it (seccomp(2), by libseccomp).
 */
#pragma once

#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

struct call_rule {
	int call; /* SCMP_SYS(name) */
	uint32_t argument; /* that is looked at, if there is a mask: */
	uint64_t mask, value; /* allowed where argument & mask == value */
};

/* In any case; and where an argument's bits are such. */
#define CALL(name)                                                                                 \
	{                                                                                          \
		SCMP_SYS(name), 0, 0, 0                                                            \
	}
#define CALL_WHERE(name, argument, mask, value)                                                    \
	{                                                                                          \
		SCMP_SYS(name), (argument), (mask), (value)                                        \
	}
/* The type of that argument is int: what is above its 32 bits is nobody's. */
#define CALL_INT UINT32_MAX

struct call_rules {
	const struct call_rule *rules;
	size_t count;
};
#define CALL_RULES(table)                                                                          \
	{                                                                                          \
		(table), sizeof(table) / sizeof((table)[0])                                        \
	}

/* 0, or -errno: the kernel takes no filter (then nothing has changed). */
int call_filter_enter(const struct call_rules *tables, size_t count);
