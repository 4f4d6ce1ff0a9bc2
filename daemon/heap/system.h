/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The system calls that the library makes, without the C library: errno stays the
 * program's, and one library serves glibc and musl.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

static inline long system_call(long number, long first, long second, long third)
{
#if defined(__x86_64__)
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(first), "S"(second), "d"(third)
			 : "rcx", "r11", "memory");
	return result;
#else
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = first;
	register long x1 __asm__("x1") = second;
	register long x2 __asm__("x2") = third;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	return x0;
#endif
}

static inline uint32_t system_tid(void)
{
	return (uint32_t)system_call(SYS_gettid, 0, 0, 0);
}

static inline void system_yield(void)
{
	system_call(SYS_sched_yield, 0, 0, 0);
}

/* May be cut short by a signal. */
static inline void system_sleep(long ns)
{
	const long time[2] = {0, ns}; /* struct timespec */

	system_call(SYS_nanosleep, (long)time, 0, 0);
}

static inline int system_protect(uintptr_t address, size_t size, int protection)
{
	return (int)system_call(SYS_mprotect, (long)address, (long)size, protection);
}
