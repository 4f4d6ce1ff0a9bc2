#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the service manager hears: ready, signs of life while perfd works and none while it
hangs, and the end."""

import contextlib
import os
import re
import signal
import socket
import struct
import time

import lib

WATCHDOG_SECONDS = 1
SO_TIMESTAMP = 29  # asm-generic/socket.h: when something was said, however late it is read


class Manager:
    """Starts perfd as a service manager does, and hears what it says."""

    def __init__(self, stack):
        self.place = stack.enter_context(lib.folder())
        path = os.path.join(self.place, "notify")
        self.socket = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.bind(path)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)
        self.said_at = 0.0  # seconds of the clock, by the kernel
        self.log = stack.enter_context(open(os.path.join(self.place, "log"), "w+"))
        # WATCHDOG_PID is only known once perfd is there: the shell becomes it.
        self.perfd = stack.enter_context(lib.started(
            "sh", "-c", 'export WATCHDOG_PID=$(($$ + ${OFF:-0})); exec "$@"', "sh", lib.PERFD,
            "--config", "/dev/null", "--socket", os.path.join(self.place, "perfd.sock"),
            "--set", "unwind.cache_dir=", "--set", "history.dir=",
            stdout=self.log, stderr=self.log,
            env={**os.environ, **self.variables(), "NOTIFY_SOCKET": path}))

    def variables(self):
        return {"WATCHDOG_USEC": str(WATCHDOG_SECONDS * 10**6)}

    def next(self, seconds):
        """The next thing it says, or None."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            said, extra, _, _ = self.socket.recvmsg(4096, 256)
            seconds, microseconds = struct.unpack_from("@ll", extra[0][2])
            self.said_at = seconds + microseconds / 1e6
            return said.decode()
        except (socket.timeout, BlockingIOError):
            return None

    def expect(self, what, seconds=30):
        said = self.next(seconds)
        if said != what:
            self.log.seek(0)
            raise AssertionError(f"perfd said {said!r}, expected {what!r}: {self.log.read()}")

    def forget(self):
        """What was said before this moment."""
        while self.next(0):
            pass


class Stranger(Manager):
    """Who has the variables of another process."""

    def variables(self):
        return {**super().variables(), "OFF": "1"}


def signs_of_life():
    lib.need_bpf()
    with contextlib.ExitStack() as stack:
        manager = Manager(stack)
        manager.expect("READY=1")
        begin = manager.said_at
        for _ in range(6):
            manager.expect("WATCHDOG=1")
        print(f"six signs of life in {manager.said_at - begin:.2f} s")
        lib.check(manager.said_at - begin > 6 * WATCHDOG_SECONDS / 2 - WATCHDOG_SECONDS / 2,
                  "signs of life come more often than at half of the time")
        manager.perfd.send_signal(signal.SIGSTOP)
        lib.wait_for(lambda: lib.status_field(manager.perfd.pid, "State").startswith("T"),
                     "perfd to stand still")
        manager.forget()
        said = manager.next(3 * WATCHDOG_SECONDS)
        lib.equal(said, None, "what a perfd that hangs says")
        manager.perfd.send_signal(signal.SIGCONT)
        manager.expect("WATCHDOG=1")
        manager.perfd.send_signal(signal.SIGTERM)
        said = manager.next(30)
        while said == "WATCHDOG=1":
            said = manager.next(30)
        lib.equal(said, "STOPPING=1", "what perfd says at its end")
        lib.equal(manager.perfd.wait(20), 0, "exit code")


def setting(key):
    """Of the unit, in seconds."""
    with open(os.path.join(lib.ROOT, "configs", "perfd.service.in"), encoding="utf-8") as file:
        return int(re.search(rf"^{key}=(\d+)$", file.read(), re.MULTILINE).group(1))


def a_hung_daemon_is_replaced():
    """As the unit has it: from the moment that it hangs until another one is ready, 15 s at most."""
    lib.need_bpf()
    with contextlib.ExitStack() as stack:
        manager = Manager(stack)
        manager.expect("READY=1")
        manager.expect("WATCHDOG=1")
        manager.perfd.send_signal(signal.SIGSTOP)
        lib.wait_for(lambda: lib.status_field(manager.perfd.pid, "State").startswith("T"),
                     "perfd to stand still")
        manager.forget()
        lib.equal(manager.next(WATCHDOG_SECONDS), None, "what a perfd that hangs says")
        begin = time.monotonic()
        manager.perfd.kill()
        manager.perfd.wait()
        another = Manager(stack)
        another.expect("READY=1")
        again = time.monotonic() - begin
        whole = setting("WatchdogSec") + setting("RestartSec") + again
        print(f"# from its end until another is ready: {again:.1f} s; in all at most {whole:.1f} s")
        lib.check(setting("WatchdogSec") + setting("RestartSec") + 3 <= 15, "the unit is too patient")
        lib.check(again < 15, f"it took {again} s to begin again")
        another.perfd.send_signal(signal.SIGTERM)
        lib.equal(another.perfd.wait(20), 0, "exit code")


def not_meant():
    """$WATCHDOG_PID is another process: the manager does not wait for this one."""
    lib.need_bpf()
    with contextlib.ExitStack() as stack:
        manager = Stranger(stack)
        manager.expect("READY=1")
        said = manager.next(2 * WATCHDOG_SECONDS)
        lib.equal(said, None, "what perfd says to another's watchdog")
        manager.perfd.send_signal(signal.SIGTERM)
        manager.expect("STOPPING=1")
        lib.equal(manager.perfd.wait(20), 0, "exit code")


lib.main(signs_of_life, a_hung_daemon_is_replaced, not_meant)
