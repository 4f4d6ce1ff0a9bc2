#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Go programs: whole stacks across Go's own changes of stacks, also where the program
is stripped, and each with its true callers."""

import os
import re
import shutil
import subprocess

import lib

HZ = 499
SECONDS = 3
WHOLE = 0.995
# Where Go's own traceback ends (runtime.topofstack()).
TOPS = {"runtime.goexit", "runtime.mstart", "runtime.mcall", "runtime.morestack",
        "runtime.rt0_go", "_rt0_amd64_linux", "runtime.clone"}

# Allocates much, so that the collector works and stacks grow and are changed.
SOURCE = """
package main

import ("fmt"; "sort"; "strings"; "sync"; "time")

type tree struct { left, right *tree; name string }

func grow(depth int) *tree {
	if depth == 0 { return &tree{name: fmt.Sprint("leaf", depth)} }
	return &tree{grow(depth - 1), grow(depth - 1), strings.Repeat("x", depth)}
}

func deep(n int) int {
	var room [64]int
	room[n%64] = n
	if n == 0 { return 0 }
	return deep(n-1) + room[n%64]
}

func work(end time.Time) (sum int) {
	for time.Now().Before(end) {
		sum += len(grow(10).name)
		sum += deep(500)
		names := map[string]int{}
		for i := 0; i < 500; i++ { names[fmt.Sprint(i*7919%1000)] += i }
		keys := []string{}
		for name := range names { keys = append(keys, name) }
		sort.Strings(keys)
		c := make(chan int)
		go func() { c <- deep(100) }()
		sum += <-c
	}
	return
}

func main() {
	var group sync.WaitGroup
	end := time.Now().Add(SECONDS * time.Second)
	for i := 0; i < 2; i++ { group.Add(1); go func() { work(end); group.Done() }() }
	group.Wait()
}
"""


def build(place, *flags):
    if not shutil.which("go"):
        raise lib.Skip("no go here")
    source = os.path.join(place, "go_stacks.go")
    with open(source, "w", encoding="utf-8") as file:
        file.write(SOURCE.replace("SECONDS", str(SECONDS)))
    program = os.path.join(place, "go_stacks")
    result = subprocess.run(["go", "build", *flags, "-o", program, source], text=True,
                            capture_output=True, check=False,
                            env={**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off"})
    lib.check(result.returncode == 0, f"go build: {result.stderr}")
    return program


def stacks_of(perfd, place, program):
    """The second look: the first one makes the tables."""
    path = os.path.join(place, "out.folded")
    for _ in range(2):
        lib.succeeds(perfd.ctl("record", "-F", HZ, "-o", path, "--", program))
    found = []
    for frames, value in lib.Folded.load(path).stacks:
        user = [frame for frame in frames[1:] if not frame.endswith(("_[k]", "_[i]"))]
        if user:
            found.append((user, value))
    return found


def check_whole(stacks, is_top):
    total = sum(value for _, value in stacks)
    bad = {}
    for user, value in stacks:
        if not is_top(user[0]):
            bad[";".join(user[:4])] = bad.get(";".join(user[:4]), 0) + value
    share = 1 - sum(bad.values()) / total
    worst = sorted(bad.items(), key=lambda item: -item[1])[:5]
    lib.check(share >= WHOLE, f"{share:.2%} of the stacks are whole: {worst}")


def named(frame):
    return frame.removesuffix(".abi0")


def check_callers(stacks):
    """runtime.systemstack runs a closure of its caller: "f.func1" was called by f."""
    right = wrong = 0
    example = ""
    for user, value in stacks:
        for at in range(2, len(user)):
            closure = re.match(r"(runtime\..+?)\.[\w.]*func\d+", user[at])
            if not closure or named(user[at - 1]) != "runtime.systemstack":
                continue
            if closure.group(1).startswith(user[at - 2]) or user[at - 2] in user[at]:
                right += value
            else:
                wrong += value
                example = ";".join(user[at - 2:at + 1])
    lib.check(right > 0, "no stack crosses runtime.systemstack")
    lib.check(wrong <= right * 0.01, f"{wrong / (right + wrong):.2%} wrong callers: {example}")


def a_plain_program():
    with lib.folder() as place, lib.Perfd("--set", "cpu.frequency_hz=0") as perfd:
        stacks = stacks_of(perfd, place, build(place))
        check_whole(stacks, lambda root: named(root) in TOPS)
        check_callers(stacks)


def position_independent():
    with lib.folder() as place, lib.Perfd("--set", "cpu.frequency_hz=0") as perfd:
        stacks = stacks_of(perfd, place, build(place, "-buildmode=pie"))
        check_whole(stacks, lambda root: named(root) in TOPS or root == "_start")
        check_callers(stacks)


def without_symbols():
    """No symbols and no .debug_frame: the names are in Go's own table."""
    with lib.folder() as place, lib.Perfd("--set", "cpu.frequency_hz=0") as perfd:
        stacks = stacks_of(perfd, place, build(place, "-ldflags=-s -w"))
        check_whole(stacks, lambda root: named(root) in TOPS)
        check_callers(stacks)
        nameless = {frame for user, _ in stacks for frame in user if frame.startswith("[go_stacks")}
        lib.check(not nameless, f"without a name: {sorted(nameless)[:5]}")


lib.main(a_plain_program, position_independent, without_symbols)
