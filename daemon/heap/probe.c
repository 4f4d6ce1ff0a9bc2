/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The notes are those of SystemTap's <sys/sdt.h> version 3 ("UserSpaceProbeImplementation"
 * in its wiki), which every tracer reads: written here, so that nothing needs to be
 * installed and two names can share a place.
 */
#include "daemon/heap/probe.h"

#define SEMAPHORE __attribute__((section(".probes"), used, visibility("hidden")))
SEMAPHORE volatile uint16_t heap_alloc_semaphore;
SEMAPHORE volatile uint16_t heap_free_semaphore;

/* One note: three addresses (the place, the section that tells how far they were moved
 * by prelink, the semaphore), then provider, name, and the arguments' places. */
#define NOTE(provider, name, semaphore, arguments)                                                 \
	".pushsection .note.stapsdt,\"\",\"note\"\n"                                               \
	".balign 4\n"                                                                              \
	".4byte 992f-991f, 994f-993f, 3\n"                                                         \
	"991: .asciz \"stapsdt\"\n"                                                                \
	"992: .balign 4\n"                                                                         \
	"993: .8byte 990b, _.stapsdt.base, " semaphore "\n"                                        \
	".asciz \"" provider "\"\n"                                                                \
	".asciz \"" name "\"\n"                                                                    \
	".asciz \"" arguments "\"\n"                                                               \
	"994: .balign 4\n"                                                                         \
	".popsection\n"

__asm__(".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
	".weak _.stapsdt.base\n"
	".hidden _.stapsdt.base\n"
	"_.stapsdt.base: .space 1\n"
	".size _.stapsdt.base, 1\n"
	".popsection\n");

/* The nop has five bytes: newer kernels put a call in its place, which is cheaper than
 * a trap. That needs the stack below the stack pointer: no red zone (see the Makefile). */
#if defined(__x86_64__)
#define PLACE "990: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
#define ALLOC_ARGUMENTS "8@%%rdi 8@%%rsi 8@%%rdx"
#define FREE_ARGUMENTS "8@%%rdi"
#elif defined(__aarch64__)
#define PLACE "990: nop\n"
#define ALLOC_ARGUMENTS "8@x0 8@x1 8@x2"
#define FREE_ARGUMENTS "8@x0"
#else
#error "libperfd-heap.so: the registers of this machine are not known yet"
#endif

/* Arguments lie where the calling convention has put them. */
__attribute__((noinline)) void heap_probe_alloc(const void *pointer, uint64_t size,
						uint64_t weighted_bytes)
{
	__asm__ volatile(PLACE NOTE("perfd", "alloc", "heap_alloc_semaphore", ALLOC_ARGUMENTS) NOTE(
				 "otel_memory", "alloc", "heap_alloc_semaphore", ALLOC_ARGUMENTS)
			 :
#if defined(__x86_64__)
			 : "D"(pointer), "S"(size), "d"(weighted_bytes)
#else
			 : "r"(pointer), "r"(size), "r"(weighted_bytes)
#endif
			 : "memory");
}

__attribute__((noinline)) void heap_probe_free(const void *pointer)
{
	__asm__ volatile(PLACE NOTE("perfd", "free", "heap_free_semaphore", FREE_ARGUMENTS)
				 NOTE("otel_memory", "free", "heap_free_semaphore", FREE_ARGUMENTS)
			 :
#if defined(__x86_64__)
			 : "D"(pointer)
#else
			 : "r"(pointer)
#endif
			 : "memory");
}
