#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of 32-bit code: their CPU time and page faults are seen and named, and what
cannot be followed is refused in words. No compiler for them is needed, only binutils."""

import contextlib
import os
import subprocess

import lib

PLAIN = """
.globl _start
.text
.type burn32,@function
burn32:
	mov $20000000,%ecx
1:	dec %ecx
	jnz 1b
	ret
.size burn32,.-burn32
.type _start,@function
_start:
1:	call burn32
	mov $192,%eax	# mmap2
	xor %ebx,%ebx
	mov $65536,%ecx
	mov $3,%edx
	mov $0x22,%esi
	mov $-1,%edi
	xor %ebp,%ebp
	int $0x80
	movl $1,(%eax)
	mov %eax,%ebx
	mov $91,%eax	# munmap
	mov $65536,%ecx
	int $0x80
	jmp 1b
.size _start,.-_start
"""

LOADER, LIBRARY = "/lib/ld-linux.so.2", "/lib32/libc.so.6"
WITH_LIBRARY = """
.globl _start
.text
.type _start,@function
_start:
1:	push $1000
	call malloc
	add $4,%esp
	push %eax
	call free
	add $4,%esp
	jmp 1b
.size _start,.-_start
.section .note.GNU-stack,"",@progbits
"""


@contextlib.contextmanager
def running(place, source, *link):
    path = os.path.join(place, "code32")
    with open(path + ".s", "w") as file:
        file.write(source)
    subprocess.run(["as", "--32", "-o", path + ".o", path + ".s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-o", path, path + ".o", *link], check=True)
    try:
        context = lib.started(path)
        process = context.__enter__()
    except OSError as error:
        raise lib.Skip(f"the kernel runs no 32-bit programs: {error}")
    try:
        yield process
    finally:
        context.__exit__(None, None, None)


def refused(perfd, process, part, *options):
    lib.fails(perfd.ctl("attach", "--pid", process.pid, "-d", "10s", "-o", "-", *options), 1, part)


def of_the_processor():
    with lib.folder() as place, lib.Perfd() as perfd, running(place, PLAIN) as process:
        out = os.path.join(place, "x.folded")
        lib.succeeds(perfd.ctl("attach", "--pid", process.pid, "-F", 999, "-d", "1s", "-o", out))
        folded = lib.Folded.load(out)
        lib.check(folded.within("burn32") > 0.8 * folded.total,
                  f"little of it is in its function: {folded.stacks[:5]}")
        lib.succeeds(perfd.ctl("attach", "--pid", process.pid, "-e", "faults", "-d", "1s", "-o", out))
        lib.check(lib.Folded.load(out).within("_start") > 0, "no page faults of its")


def what_is_refused():
    with lib.folder() as place, lib.Perfd() as perfd, running(place, PLAIN) as process:
        for event in ("heap", "mmap", "munmap"):
            refused(perfd, process, "runs 32-bit code", "-e", event)
        refused(perfd, process, "runs 32-bit code", "--heap")
        lib.equal(process.poll(), None, "it lives on")


def with_a_library():
    if not os.path.exists(LOADER) or not os.path.exists(LIBRARY):
        raise lib.Skip("there is no 32-bit C library (libc6-i386)")
    with lib.folder() as place, lib.Perfd() as perfd, \
            running(place, WITH_LIBRARY, "-dynamic-linker", LOADER, LIBRARY) as process:
        refused(perfd, process, "runs 32-bit code", "-e", "heap")
        refused(perfd, process, "runs 32-bit code", "--heap")
        lib.equal(process.poll(), None, "it lives on")
        lib.equal(perfd.sessions(), [], "sessions")


lib.main(of_the_processor, what_is_refused, with_a_library)
