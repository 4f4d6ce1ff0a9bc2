/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Hard stacks, first part: frames of unusual shape.
 */
#include "tests/programs/hard.h"

#include <alloca.h>

/* --- alloca: the stack pointer moves, the CFA hangs on rbp ------------------------ */

KEEP static void alloca_frame(uint64_t ns, size_t size)
{
	volatile char *room = alloca(size);

	room[0] = 1;
	bottom(ns);
	room[size - 1] = 2;
}

KEEP static void run_alloca(uint64_t ns)
{
	alloca_frame(ns, (size_t)(ns % 1000) + 500);
	AFTER_CALL();
}

KEEP static void alloca_small(size_t size)
{
	volatile char *room = alloca(size);

	room[0] = 1;
	room[size - 1] = 2;
}

KEEP static void run_alloca_hot(uint64_t ns)
{
	WHILE_BURNING(ns)
	alloca_small((size_t)call_ % 100 + 16);
}

/* --- over-aligned frames: the CFA is kept in memory (DRAP) ------------------------- */

/* Arguments on the stack, a wider alignment and alloca: the compiler needs a
 * register of its own for the arguments, and saves it in the frame. */
KEEP static uint64_t aligned_frame(uint64_t ns, size_t size, uint64_t c, uint64_t d, uint64_t e,
				   uint64_t f, uint64_t on_stack, uint64_t too)
{
	volatile char block[128] __attribute__((aligned(64)));
	volatile char *room = alloca(size);

	block[0] = (char)c;
	room[0] = block[0];
	bottom(ns);
	block[127] = (char)d;
	return on_stack + too + e + f + (uint64_t)room[0];
}

KEEP static void run_aligned(uint64_t ns)
{
	aligned_frame(ns, (size_t)(ns % 100) + 50, 1, 2, 3, 4, 5, 6);
	AFTER_CALL();
}

KEEP static uint64_t aligned_small(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
				   uint64_t f, uint64_t on_stack)
{
	volatile uint64_t block[8] __attribute__((aligned(64)));

	block[0] = a + b + c;
	block[7] = d + e + f;
	return block[0] + block[7] + on_stack;
}

KEEP static void run_aligned_hot(uint64_t ns)
{
	volatile uint64_t sum = 0;

	WHILE_BURNING(ns)
	sum += aligned_small(1, 2, 3, 4, 5, 6, 7);
	(void)sum;
}

#ifdef __x86_64__
/* As -mstackrealign makes every function. */
KEEP __attribute__((force_align_arg_pointer)) static void realigned_inner(uint64_t ns)
{
	bottom(ns);
	AFTER_CALL();
}

KEEP __attribute__((force_align_arg_pointer)) static void realigned_outer(uint64_t ns)
{
	realigned_inner(ns);
	AFTER_CALL();
}
#else
#define realigned_outer bottom
#endif

KEEP static void run_realigned(uint64_t ns)
{
	realigned_outer(ns);
	AFTER_CALL();
}

/* --- big frames ------------------------------------------------------------------------ */

#define BIG(name, size, inner)                                                                     \
	KEEP static void name(uint64_t ns)                                                         \
	{                                                                                          \
		volatile char room[size];                                                          \
                                                                                                   \
		room[0] = room[sizeof(room) - 1] = 1;                                              \
		inner(ns);                                                                         \
		room[1] = 2;                                                                       \
	}

BIG(frame_1m, 1 << 20, bottom)
BIG(frame_200k, 200 << 10, frame_1m)
BIG(frame_70k, 70 << 10, frame_200k)

KEEP static void run_big(uint64_t ns)
{
	frame_70k(ns);
	AFTER_CALL();
}

KEEP static void big_small_work(uint64_t x)
{
	volatile uint64_t room[9000];

	room[x % 9000] = x;
	(void)room[0];
}

KEEP static void run_big_hot(uint64_t ns)
{
	WHILE_BURNING(ns)
	big_small_work((uint64_t)call_);
}

/* --- every callee-saved register, rbp among them, used for other things ------------------ */

#if defined(__x86_64__) && !defined(HARD_FRAME_POINTER)
#define ALL_SAVED "rbx", "rbp", "r12", "r13", "r14", "r15"
#elif defined(__x86_64__)
#define ALL_SAVED "rbx", "r12", "r13", "r14", "r15"
#else
#define ALL_SAVED "memory"
#endif

KEEP static void saves_all(uint64_t ns)
{
	__asm__ volatile("" ::: ALL_SAVED);
	bottom(ns);
	__asm__ volatile("" ::: ALL_SAVED);
}

/* rbp is this frame's base, and must be found again past saves_all. */
KEEP static void based_on_rbp(uint64_t ns, size_t size)
{
	volatile char *room = alloca(size);

	room[0] = 1;
	saves_all(ns);
	room[size - 1] = 2;
}

KEEP static void run_saved(uint64_t ns)
{
	based_on_rbp(ns, 300);
	AFTER_CALL();
}

KEEP static void saves_all_briefly(void)
{
#ifdef __x86_64__
	/* A wrong rbp, if anybody follows it. */
#ifndef HARD_FRAME_POINTER
	__asm__ volatile("mov $0x1234567, %%ebp; mov $-1, %%rbx" ::: ALL_SAVED);
#else
	__asm__ volatile("mov $-1, %%rbx" ::: ALL_SAVED);
#endif
#endif
}

KEEP static void run_saved_hot(uint64_t ns)
{
	WHILE_BURNING(ns)
	saves_all_briefly();
}

/* --- leaves: no frame at all, the red zone ------------------------------------------------ */

KEEP static uint64_t red_zone(uint64_t x)
{
	volatile uint64_t room[12];

	for (uint32_t i = 0; i < 48; i++)
		room[i % 12] = x + i;
	return room[x % 12];
}

KEEP static void run_red_zone(uint64_t ns)
{
	volatile uint64_t sum = 0;

	WHILE_BURNING(ns)
	sum += red_zone((uint64_t)call_);
	(void)sum;
}

KEEP static uint32_t tiny(uint32_t x)
{
	return x * 1664525u + 1013904223u;
}

KEEP static void run_tiny(uint64_t ns)
{
	volatile uint32_t sink = 1;

	WHILE_BURNING(ns)
	sink = tiny(sink);
}

/* --- depth --------------------------------------------------------------------------------- */

KEEP static uint64_t descend(uint64_t depth, uint64_t ns)
{
	volatile uint64_t local[3] = {depth, ns, 0};

	if (depth == 1)
		bottom(ns);
	else
		local[2] = descend(depth - 1, ns);
	return local[0] + local[2];
}

KEEP static void run_recursion_150(uint64_t ns)
{
	descend(150, ns);
	AFTER_CALL();
}

KEEP static void run_recursion_400(uint64_t ns)
{
	descend(400, ns);
	AFTER_CALL();
}

const struct hard_case hard_frames[] = {
	{"alloca", run_alloca, "bottom", "@main run_alloca alloca_frame bottom"},
	{"alloca_hot", run_alloca_hot, "alloca_small|run_alloca_hot", "@main run_alloca_hot"},
	{"aligned", run_aligned, "bottom", "@main run_aligned aligned_frame bottom"},
	{"aligned_hot", run_aligned_hot, "aligned_small|run_aligned_hot", "@main run_aligned_hot"},
	{"realigned", run_realigned, "bottom",
	 "@main run_realigned realigned_outer realigned_inner bottom"},
	{"big", run_big, "bottom", "@main run_big frame_70k frame_200k frame_1m bottom"},
	{"big_hot", run_big_hot, "big_small_work|run_big_hot", "@main run_big_hot"},
	{"saved", run_saved, "bottom", "@main run_saved based_on_rbp saves_all bottom"},
	{"saved_hot", run_saved_hot, "saves_all_briefly|run_saved_hot", "@main run_saved_hot"},
	{"red_zone", run_red_zone, "red_zone|run_red_zone", "@main run_red_zone"},
	{"tiny", run_tiny, "tiny|run_tiny", "@main run_tiny"},
	{"recursion_150", run_recursion_150, "bottom",
	 "@main run_recursion_150 150:descend bottom"},
	{"recursion_400", run_recursion_400, "bottom",
	 "@main run_recursion_400 400:descend bottom"},
	{0},
};
