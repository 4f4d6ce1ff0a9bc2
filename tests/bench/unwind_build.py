#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What unwind tables cost: milliseconds to make one from a file's call frame
information, and bytes a row with index and rules; beside it, how long readelf takes
to expand the same rows. Then from asking for a table to having it in the kernel's
memory: made anew, from the cache (its file in memory), and from the disk (as root).
Wanted for libLLVM: at most 500 ms anew, 20 ms from the cache. Writes
build/bench/unwind_build.json."""

import glob
import json
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario"))
import lib  # noqa: E402
import result  # noqa: E402

PATTERNS = ["/usr/lib/*/libLLVM-*.so*", "/usr/lib/*/libLLVM.so*", "/usr/lib/*/libc.so.6",
            "/usr/lib/*/libcrypto.so.3", "/usr/bin/node", "/usr/bin/python3", "/usr/bin/redis-server"]


def files():
    """One file for each pattern, by its real name."""
    found = [sorted(glob.glob(pattern)) for pattern in PATTERNS]
    return list(dict.fromkeys(os.path.realpath(names[0]) for names in found if names))


def readelf_ms(path):
    if os.environ.get("BENCH_AS_IS") or not lib.shutil.which("readelf"):
        return None
    started = time.monotonic()
    subprocess.run(["readelf", "--debug-dump=frames-interp", path], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False)
    return round((time.monotonic() - started) * 1000, 1)


def built(name):
    program = os.path.join(lib.BUILD, "tests", name)
    if not os.access(program, os.X_OK):
        raise lib.Skip(f"{os.path.relpath(program)} is not built: make bench")
    return program


def loading(path):
    """{} where it cannot be measured."""
    with lib.folder() as place:
        done = subprocess.run([built("bench_table_cache"), os.path.join(place, "tables"), path],
                              capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, end="", file=sys.stderr)
        return {}
    return {key: value for key, value in json.loads(done.stdout).items() if key != "file"}


def main():
    program = built("bench_unwind_build")
    rows = []
    for path in files():
        done = subprocess.run([program, path], capture_output=True, text=True)
        if done.returncode:
            print(done.stderr, end="", file=sys.stderr)
            continue
        row = json.loads(done.stdout)
        row["readelf_ms"] = readelf_ms(path)
        row.update(loading(path))
        rows.append(row)
    if not rows:
        raise lib.Skip("none of the files it measures is here")
    result.table(["file", "functions", "rows", "build ms", "bytes/row", "readelf ms",
                  "loaded: anew", "cached", "of it in the loop", "disk"],
                 [[os.path.basename(row["file"]), row["functions"], row["rows"], row["build_ms"],
                   row["bytes_a_row"], row["readelf_ms"],
                   *(row.get(key, "-") for key in ("built_ms", "cached_ms", "loop_ms", "disk_ms"))]
                  for row in rows])
    result.save("unwind_build", {"files": rows})


if __name__ == "__main__":
    result.run(main)
