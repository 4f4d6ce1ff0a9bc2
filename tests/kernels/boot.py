#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`make test-kernels`: perfd under Debian's kernels, each booted in QEMU by emulation.

Each kernel is started once for each boot of BOOTS with guest.sh as its init, which
prints TAP lines on the serial console; they come out as tests/run.py prints a test.
What the console said is kept in $(B)/kernels/SUITE/BOOT.TRY.log.

One guest at a time, at low priority. It says what is right and wrong, never what
anything costs. Ends within TOTAL_SECONDS: what has not begun by then fails.

Environment: B (build folder), ONLY (kernels or boots whose name, as "sid/plain", has
this word).
"""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import initramfs  # noqa: E402
import packages  # noqa: E402
import run as runner  # noqa: E402

BUILD = os.path.join(runner.ROOT, runner.BUILD)
PLACE = os.path.join(BUILD, "kernels")
NEEDS = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static"}
SUITES = ("bullseye", "bookworm", "trixie", "sid")  # 5.10, 6.1, 6.12, the newest
FALLBACK = {"sid": "trixie-backports"}
BOOTS = {"plain": "", "integrity": "lockdown=integrity", "confidentiality":
         "lockdown=confidentiality"}
PROGRAMS = ("shares", "deep", "threads", "faults", "mappings", "allocs", "resident")
BOOT_SECONDS = 300
TOTAL_SECONDS = 1200
MEMORY = "1G"
# QEMU 7.2 crashes kernels now and then, at boot too. Fewer with one thread for both
# processors (in 1 of some 30 boots with two, one met the other's breakpoint in code that
# had been patched back) and without cmpxchg16b (4 of 33 boots with it, in the kernel's
# allocator; 0 of 25 without).
CPU = "max,-cx16"
TRIES = 3
PLAN = re.compile(r"^1\.\.(\d+)\s*$", re.MULTILINE)


def qemu(image, archive, boot):
    append = f"console=ttyS0 quiet loglevel=1 panic=-1 perfd_boot={boot} {BOOTS[boot]}"
    return ["nice", "-n", "15", "qemu-system-x86_64", "-nodefaults", "-nographic", "-no-reboot",
            "-accel", "tcg,thread=single", "-cpu", CPU, "-smp", "2", "-m", MEMORY, "-serial", "stdio",
            "-kernel", image, "-initrd", archive, "-append", append]


def boot_once(command, log, seconds):
    """(exit code or None at the time limit, what the console said)."""
    with open(log, "w+", errors="replace") as console:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        console.seek(0)
        return code, console.read().replace("\r", "")


def finished(output):
    """The guest has said how many tests it ran, and its emulator has heard them all."""
    plan = PLAN.search(output)
    return plan and int(plan.group(1)) == len(runner.parse_tap(output))


def cause(output):
    """What a kernel said when it died."""
    found = re.search(r"(?:Oops|BUG|Kernel panic).*", output)
    return found.group(0).strip() if found else "the kernel said nothing"


def report(totals, name, output):
    failed = False
    for verdict, case, detail in runner.parse_tap(output):
        if verdict == "ok":
            totals.ok(f"{name}: {case}")
        elif verdict == "skip":
            totals.skip(f"{name}: {case}", detail)
        else:
            failed = True
            totals.fail(f"{name}: {case}", detail)
    return failed


def run_boot(totals, name, command, log, until):
    """Boots until the guest comes to its end. One that breaks off is booted again, but
    not in silence: a crash that is perfd's doing comes again."""
    for attempt in range(1, TRIES + 1):
        left = until - time.monotonic()
        if left < 1:
            totals.fail(name, f"no time left of {TOTAL_SECONDS} s")
            return
        seconds = min(left, BOOT_SECONDS)
        code, output = boot_once(command, f"{log}.{attempt}.log", seconds)
        if finished(output):
            if report(totals, name, output):
                runner.show(output)
            return
        why = (f"did not end within {seconds:.0f} s" if code is None
               else f"broke off: {cause(output)}")
        if code is None or attempt == TRIES:
            break
        totals.skip(f"{name}: boot {attempt}", f"{why}; booted again")
    report(totals, name, output)
    totals.fail(name, f"the guest {why}")
    runner.show(output)


def release_of(image):
    return os.path.basename(image).removeprefix("vmlinuz-")


def find_image(suite):
    try:
        return packages.Suite(suite, os.path.join(PLACE, suite)).image()
    except packages.Unavailable:
        if suite not in FALLBACK:
            raise
        other = FALLBACK[suite]
        return packages.Suite(other, os.path.join(PLACE, other)).image()


def run_suite(totals, suite, archive, until):
    boots = [boot for boot in BOOTS if runner.ONLY in f"{suite}/{boot}"]
    if not boots:
        return
    try:
        image = find_image(suite)
    except packages.Unavailable as reason:
        totals.skip(f"kernels/{suite}", str(reason))
        return
    for boot in boots:
        name = f"kernels/{suite}/{boot} ({release_of(image)})"
        run_boot(totals, name, qemu(image, archive, boot), os.path.join(PLACE, suite, boot),
                 until)


def main():
    totals = runner.Totals()
    until = time.monotonic() + TOTAL_SECONDS
    archive = os.path.join(PLACE, "initramfs.cpio")
    try:
        if platform.machine() != "x86_64":
            raise packages.Unavailable(f"the programs are for {platform.machine()}, the kernels "
                                       "for x86_64")
        packages.install(NEEDS)
        os.makedirs(PLACE, exist_ok=True)
        programs = [os.path.join(BUILD, "perfd"), os.path.join(BUILD, "perfctl")]
        programs += [os.path.join(BUILD, "programs", name) for name in PROGRAMS]
        busybox = shutil.which("busybox")
        initramfs.write(archive, os.path.join(HERE, "guest.sh"), programs, busybox)
    except packages.Unavailable as reason:
        totals.skip("kernels", str(reason))
    else:
        for suite in SUITES:
            run_suite(totals, suite, archive, until)
    if totals.failed:
        print("failed: " + "; ".join(totals.failed))
    print(f"{totals.passed} passed, {len(totals.failed)} failed, {len(totals.skipped)} skipped")
    if totals.failed:
        return 1
    return 0 if totals.passed else runner.SKIPPED


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
