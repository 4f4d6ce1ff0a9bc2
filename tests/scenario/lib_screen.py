# SPDX-License-Identifier: GPL-2.0-or-later
"""A program on a terminal of its own: a pseudo-terminal, and an emulator (pyte) that knows
what stands on its screen."""

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import lib

PACKAGES = "/usr/lib/python3/dist-packages"
ENTER_SCREEN, LEAVE_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"  # of TERM=screen, see infocmp(1)
KEYS = {"up": "\x1bOA", "down": "\x1bOB", "right": "\x1bOC", "left": "\x1bOD", "enter": "\r",
        "back": "\x7f", "escape": "\x1b", "ctrl-c": "\x03"}


def emulator():
    """Debian's package, also for a Python that is not Debian's: it is pure Python."""
    if PACKAGES not in sys.path:
        sys.path.append(PACKAGES)
    try:
        import pyte
    except ImportError:
        raise lib.Skip("pyte is not installed (Debian: python3-pyte)") from None
    return pyte


class Screen:
    """with Screen([program, ...]) as screen: screen.wait("text"); screen.type("down")"""

    def __init__(self, command, columns=80, lines=24, environment=None):
        pyte = emulator()
        self.columns, self.lines = columns, lines
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, slave = os.openpty()
        self.set_size(columns, lines)
        self.slave = slave
        self.modes = termios.tcgetattr(slave)
        env = {**os.environ, "TERM": "screen", "LC_ALL": "C.UTF-8", **(environment or {})}
        env.pop("LINES", None)
        env.pop("COLUMNS", None)
        # The terminal is its controlling one, so that Ctrl-C is a signal.
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)

    def set_size(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns, lines):
        self.columns, self.lines = columns, lines
        self.screen.resize(lines, columns)
        self.set_size(columns, lines)

    def read(self, seconds=0.05):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            with contextlib.suppress(OSError):
                data = os.read(self.master, 65536)
                self.raw += data
                self.stream.feed(data)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def line(self, number):
        return self.screen.display[number].rstrip()

    def wait(self, pattern, seconds=15):
        """Until the screen has it; gives the match."""
        until = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.text(), re.MULTILINE)
            if match:
                return match
            lib.check(time.monotonic() < until and (self.process.poll() is None or self.more()),
                      f"waited for {pattern!r} on\n{self.text()}")
            self.read()

    def more(self):
        return bool(select.select([self.master], [], [], 0)[0])

    def type(self, *keys):
        for key in keys:
            os.write(self.master, KEYS.get(key, key).encode())

    def selected(self):
        """The line that is drawn in reverse below the head."""
        for number in range(3, self.lines):
            if self.screen.buffer[number][0].reverse:
                return self.line(number)
        return None

    def colors(self):
        return {cell.fg for row in self.screen.buffer.values() for cell in row.values()}

    def end(self, seconds=10):
        """Its exit code, after all that it still says."""
        until = time.monotonic() + seconds
        while self.process.poll() is None:
            lib.check(time.monotonic() < until, f"it does not end:\n{self.text()}")
            self.read()
        while self.more():
            self.read()
        return self.process.returncode

    def is_restored(self):
        lib.check(self.raw.count(ENTER_SCREEN) >= 1, "no full screen was entered")
        lib.check(self.raw.rfind(LEAVE_SCREEN) > self.raw.rfind(ENTER_SCREEN),
                  "the screen of before was not put back")
        lib.equal(termios.tcgetattr(self.slave)[:6], self.modes[:6], "the terminal's modes")

    def child(self):
        """The process that draws: the program's child."""
        return lib.wait_for(lambda: lib.children(self.process.pid), "the child that draws")[0]

    def kill(self, number=signal.SIGKILL):
        os.kill(self.child(), number)
