#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Names where nobody is told of mappings and walks look into the kernel's own: those of programs
with many mappings, those of the file that is there and not of the one that was, and through
changes from one way to the other and back."""

import os
import signal
import subprocess

import lib

HZ = 499


def mappings(perfd):
    return perfd.ctl_json("rates")["mappings"]


def wait_until(perfd, told):
    lib.wait_for(lambda: mappings(perfd)["told"] == told, f"mappings to be {told}")


def kept_raw(perfd):
    """Stacks that could not be walked at once."""
    return perfd.ctl_json("status")["unwinder"]["stacks_kept"]


def attached(perfd, path, pid, work):
    """What a session of the process has while work() is done."""
    with perfd.start_ctl("attach", "--pid", str(pid), "-F", str(HZ), "-o", path) as attach:
        perfd.wait_session(pid)
        work()
        attach.send_signal(signal.SIGINT)
        lib.equal(attach.wait(60), 0, "exit code of attach")
    return lib.Folded.load(path)


def run_many(perfd, path, cpu_ms):
    """Folded stacks of a program with a thousand mappings and more."""
    with lib.started(lib.program("many_maps"), 500, cpu_ms, stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, text=True) as process:
        lib.equal(process.stdout.readline(), "ready\n", "what many_maps says")
        with perfd.start_ctl("attach", "--pid", str(process.pid), "-F", str(HZ), "-o",
                             path) as attach:
            perfd.wait_session(process.pid)
            process.stdin.write("\n")
            process.stdin.flush()
            lib.equal(attach.wait(60), 0, "exit code of attach")
    return lib.Folded.load(path)


def many_mappings_are_looked_at():
    """More than one node of the kernel's tree holds."""
    lib.need_bpf()
    with lib.folder() as place, \
            lib.Perfd("--set", "cpu.frequency_hz=0", mappings="sampled") as perfd:
        wait_until(perfd, "sampled")
        path = os.path.join(place, "out.folded")
        run_many(perfd, path, 300)  # its files and their tables are known
        before = kept_raw(perfd)
        folded, kept = run_many(perfd, path, 1000), kept_raw(perfd) - before
        burnt = [(frames, value) for frames, value in folded.stacks if "burn" in frames]
        total = sum(value for _, value in burnt)
        whole = sum(value for frames, value in burnt
                    if any(frames[i:i + 3] == ["main", "plugin_call", "burn"]
                           for i in range(len(frames))))
        samples = total / 1e9 * HZ
        print(f"{whole / total:.1%} of {samples:.0f} samples whole, {kept} kept to be walked later")
        lib.check(whole >= 0.99 * total, f"{whole / total:.1%} whole: {burnt[:5]}")
        lib.check(kept < samples / 4, f"{kept} of {samples:.0f} samples could not be walked at once")


def the_file_that_is_there():
    """Written anew, the same inode, the same st_mtime, mapped at the same place. Where all are told,
    a moment passes until it is; who looks, sees it."""
    lib.need_bpf()
    with lib.folder() as place, \
            lib.Perfd("--set", "cpu.frequency_hz=0", mappings="sampled") as perfd, \
            lib.started(lib.program("remapper"), os.path.join(place, "code.so"), 300,
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        wait_until(perfd, "sampled")
        for turn, name in enumerate(("first", "other", "first", "first", "other")):
            def work(name=name):
                process.stdin.write(name + "\n")
                process.stdin.flush()
                lib.equal(process.stdout.readline(), "done\n", "what remapper says")
            folded = attached(perfd, os.path.join(place, f"{turn}.folded"), process.pid, work)
            burnt = folded.within("burn")
            named = folded.within(f"call_{name}")
            wrong = folded.within("call_other" if name == "first" else "call_first")
            print(f"{name}: {named} of {burnt} ns named, {wrong} ns by the other one")
            lib.equal(wrong, 0, f"ns named by the file that was there before ({folded.stacks})")
            lib.check(named >= 0.9 * burnt, f"{named} of {burnt} ns named: {folded.stacks}")


def set_mappings(path, how):
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"[budget]\nmappings = {how}\n")


def there_and_back():
    """A program that maps and unmaps, and others that come and go, lose no names by it."""
    lib.need_bpf()
    with lib.folder() as place:
        config, path = os.path.join(place, "perfd.conf"), os.path.join(place, "out.folded")
        set_mappings(config, "told")
        with lib.Perfd("--config", config, "--set", "cpu.frequency_hz=0", mappings="") as perfd, \
                lib.started(lib.program("dlopener"), 100, 40) as process:
            def work():
                turns = 0
                while process.poll() is None and turns < 6:
                    how = ("sampled", "told")[turns % 2]
                    set_mappings(config, how)
                    lib.succeeds(perfd.ctl("reload"))
                    wait_until(perfd, "all" if how == "told" else how)
                    lib.wait_for(lambda begun=lib.cpu_seconds(process.pid): process.poll() is not
                                 None or lib.cpu_seconds(process.pid) > begun + 0.3,
                                 "dlopener to go on", 60)
                    turns += 1
                lib.check(turns >= 4, f"only {turns} turns while dlopener ran")
            folded = attached(perfd, path, process.pid, work)
            changes = mappings(perfd)["changes"]
        lib.check(changes >= 4, f"only {changes} changes")
        total, named = folded.total, folded.within("plugin_work")
        print(f"{named / total:.1%} of {total / 1e9:.2f} s in plugin_work, {changes} changes")
        lib.check(named >= 0.95 * total, f"{named / total:.1%} named: {folded.stacks[:20]}")


lib.main(many_mappings_are_looked_at, the_file_that_is_there, there_and_back)
