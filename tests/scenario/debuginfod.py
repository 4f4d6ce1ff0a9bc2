#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debug files from a real debuginfod server on loopback: for perfctl symbolize, and for a
running perfd in the background; and from a server that sends another build's file."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

import lib

SOURCE = """
#include <time.h>
static int __attribute__((noipa)) secret_work(int n)
{
	volatile int sum = 0;
	for (int i = 0; i < n; i++)
		sum += i;
	return sum;
}
static inline __attribute__((always_inline)) int inlined_work(int n) { return secret_work(n) + 1; }
int main(void)
{
	time_t end = time(0) + %d;
	int sum = 0;
	while (time(0) < end)
		sum += inlined_work(100000);
	return sum == 7;
}
"""


def need_tools():
    for tool in ("debuginfod", "gcc", "objcopy", "strip"):
        if not shutil.which(tool):
            raise lib.Skip(f"no {tool}")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    lib.check(done.returncode == 0, f"{command[0]}: {done.stderr}")
    return done.stdout


def build(place, name, seconds):
    """A stripped program, its build id, and its debug file elsewhere."""
    program, debug = os.path.join(place, name), os.path.join(place, "served", name + ".debug")
    os.makedirs(os.path.dirname(debug), exist_ok=True)
    with open(program + ".c", "w", encoding="utf-8") as file:
        file.write(SOURCE % seconds)
    run("gcc", "-O2", "-g", "-Wl,--build-id", "-o", program, program + ".c")
    run("objcopy", "--only-keep-debug", program, debug)
    address = next(line.split()[0] for line in run("nm", program).splitlines()
                   if line.endswith(" secret_work"))
    run("strip", program)
    notes = run("readelf", "-n", program)
    build_id = notes.split("Build ID:")[1].split()[0]
    return program, debug, build_id, address


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def real_server(place, build_id):
    """debuginfod over place/served, when it knows that build id."""
    port = free_port()
    with open(os.path.join(place, "server.log"), "w") as log:
        server = subprocess.Popen(["debuginfod", "-F", "-p", str(port), "-d",
                                   os.path.join(place, "debuginfod.sqlite"),
                                   os.path.join(place, "served")],
                                  stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                  env={**os.environ, "DEBUGINFOD_URLS": ""})
    url = f"http://127.0.0.1:{port}"

    def knows():
        try:
            with urllib.request.urlopen(f"{url}/buildid/{build_id}/debuginfo", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    try:
        lib.wait_for(knows, "debuginfod to know the file", 30)
        yield url
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def settings(place, url):
    return ["--set", f"symbols.debuginfod_urls={url}", "--set",
            f"symbols.debuginfod_cache_dir={os.path.join(place, 'fetched')}"]


def by_symbolize():
    need_tools()
    with lib.folder() as place:
        program, _, build_id, address = build(place, "asked", 0)
        config = os.path.join(place, "perfd.conf")
        with real_server(place, build_id) as url:
            with open(config, "w", encoding="utf-8") as file:
                file.write("[symbols]\ndebuginfod_cache_dir = " + os.path.join(place, "fetched"))
            without = lib.perfctl("symbolize", "-c", config, program, address)
            lib.check("secret_work" not in without.stdout, without.stdout)
            environment = {**os.environ, "DEBUGINFOD_URLS": url}
            got = lib.perfctl("symbolize", "-c", config, "--debuginfod", program, address,
                              env=environment)
            lib.check("secret_work at " in got.stdout, got.stdout + got.stderr)
        # The server is gone: out of the cache.
        got = lib.perfctl("symbolize", "-c", config, "--debuginfod", program, address,
                          env=environment)
        lib.check("secret_work at " in got.stdout, got.stdout + got.stderr)
        # And nobody is named: said, and how to.
        got = lib.perfctl("symbolize", "-c", config, "--debuginfod", program, address,
                          env={**os.environ, "DEBUGINFOD_URLS": ""})
        lib.fails(got, 1, "symbols.debuginfod_urls", "symbolize without servers")


def fetched(perfd):
    return json.loads(perfd.ctl("status", "--json").stdout)["symbols"]["debuginfod"]


def profile(perfd, program, place):
    """Folded stacks of a program under a running perfd."""
    path = os.path.join(place, "out.folded")
    child = subprocess.Popen([program])
    try:
        lib.succeeds(perfd.ctl("attach", "--pid", child.pid, "-F", 499, "-o", path))
    finally:
        child.wait()
    with open(path, encoding="utf-8") as file:
        return file.read()


def by_a_running_perfd():
    lib.need_bpf()
    need_tools()
    with lib.folder() as place:
        program, _, build_id, _ = build(place, "sampled", 4)
        with real_server(place, build_id) as url, lib.Perfd(*settings(place, url)) as perfd:
            stacks = profile(perfd, program, place)
            lib.check("secret_work" in stacks and "inlined_work_[i]" in stacks, stacks[:1000])
            lib.check("[sampled+0x" not in stacks, stacks[:1000])
            counts = fetched(perfd)
            lib.check(counts["used"] and counts["fetched"] >= 1 and counts["fetched_bytes"] > 0,
                      counts)
            lib.check(os.path.exists(os.path.join(place, "fetched", build_id + ".debug")),
                      "nothing was kept")


class Liar(http.server.BaseHTTPRequestHandler):
    """Has one file, whatever it is asked for."""

    def do_GET(self):  # noqa: N802
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_):
        pass


def of_another_build():
    """Refused by the worker, thrown away, counted; no name of it is ever seen."""
    lib.need_bpf()
    need_tools()
    with lib.folder() as place:
        program, _, build_id, _ = build(place, "victim", 4)
        other = os.path.join(place, "other")
        with open(other + ".c", "w", encoding="utf-8") as file:
            file.write((SOURCE % 0).replace("secret_work", "wrong_name"))
        run("gcc", "-O2", "-g", "-Wl,--build-id", "-o", other, other + ".c")
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
            with open(other, "rb") as file:
                server.content = file.read()
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            url = f"http://127.0.0.1:{server.server_address[1]}"
            with lib.Perfd(*settings(place, url)) as perfd:
                stacks = profile(perfd, program, place)
                lib.check("wrong_name" not in stacks and "[victim+0x" in stacks, stacks[:1000])
                counts = lib.wait_for(lambda: fetched(perfd)["wrong"] and fetched(perfd),
                                      "the wrong file to be counted")
                lib.check(counts["fetched"] >= 1, counts)
                kept = os.path.join(place, "fetched", build_id + ".debug")
                lib.check(os.path.getsize(kept) == 0, "the wrong file was kept")
            server.shutdown()


lib.main(by_symbolize, by_a_running_perfd, of_another_build)
