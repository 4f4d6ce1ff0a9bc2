# SPDX-License-Identifier: GPL-2.0-or-later
"""Has another process make a system call of the test's choice, by ptrace(2): it is
stopped inside the call that it waits in, and its registers are set to make another one.
So the program that is tried is the real one, in the state that it is really in."""

import ctypes
import os
import signal

import lib

ATTACH, CONT, STEP, GETREGS, SETREGS, DETACH = 16, 7, 9, 12, 13, 17
WALL = 0x40000000
SYSCALL = b"\x0f\x05"  # the instruction
NAMES = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags "
         "rsp ss fs_base gs_base ds es fs gs").split()
NUMBERS = {  # x86-64
    "read": 0, "write": 1, "open": 2, "mmap": 9, "mprotect": 10, "ioctl": 16, "dup": 32,
    "getpid": 39, "socket": 41, "connect": 42, "sendto": 44, "bind": 49, "socketpair": 53,
    "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "chdir": 80, "mkdir": 83,
    "unlink": 87, "readlink": 89, "chmod": 90, "chown": 92, "ptrace": 101, "setuid": 105,
    "mount": 165, "setrlimit": 160, "init_module": 175, "tkill": 200, "openat": 257,
    "unshare": 272, "process_vm_readv": 310, "process_vm_writev": 311, "memfd_create": 319,
    "bpf": 321, "execveat": 322, "openat2": 437, "perf_event_open": 298, "prctl": 157,
    "userfaultfd": 323, "io_uring_setup": 425, "pidfd_open": 434, "pidfd_getfd": 438,
    "clone3": 435}


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in NAMES]


libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def trace(request, pid, data=None):
    if libc.ptrace(request, pid, None, data) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace request {request}: {os.strerror(error)}")


def wait(pid):
    """The signal that stopped it, or ("died", signal) or ("ended", code)."""
    _, status = os.waitpid(pid, WALL)
    if os.WIFSTOPPED(status):
        return os.WSTOPSIG(status)
    if os.WIFSIGNALED(status):
        return "died", os.WTERMSIG(status)
    return "ended", os.WEXITSTATUS(status)


def waits_in_call(pid):
    """Whether it sleeps inside a system call of its own (not: runs). One that is still being
    executed can sleep in that call too, for the disk; whoever is attached to then stops with
    the SIGTRAP of its execve, not where it was looked at."""
    try:
        with open(f"/proc/{pid}/syscall") as file:
            number = file.read().split()[0]
    except OSError:
        return False
    return number.isdigit() and int(number) not in (NUMBERS["execve"], NUMBERS["execveat"])


def call(pid, name, *arguments):
    """What the call gave there; or ("died", signal). The process stays stopped if alive."""
    lib.wait_for(lambda: waits_in_call(pid), f"process {pid} to wait")
    trace(ATTACH, pid)
    stopped = wait(pid)
    lib.check(stopped == signal.SIGSTOP, f"process {pid} did not stop: {stopped}")
    registers = Registers()
    trace(GETREGS, pid, ctypes.byref(registers))
    with open(f"/proc/{pid}/mem", "rb") as memory:
        memory.seek(registers.rip - 2)
        lib.equal(memory.read(2), SYSCALL, "the instruction that it is stopped behind")
    registers.rax, registers.orig_rax = NUMBERS[name], 2**64 - 1
    registers.rip -= 2
    for register, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"),
                               list(arguments) + [0] * 6):
        setattr(registers, register, value % 2**64)
    trace(SETREGS, pid, ctypes.byref(registers))
    trace(STEP, pid)
    came = wait(pid)
    if isinstance(came, tuple):
        return came
    if came == signal.SIGSYS:  # the filter's doing: it dies of it
        trace(CONT, pid, came)
        return wait(pid)
    trace(GETREGS, pid, ctypes.byref(registers))
    return ctypes.c_longlong(registers.rax).value

