#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests of an ordinary user that race with processes which end, leave their number to another's,
and execute set-user-id programs: not one result has anything of another's. REQUESTS: how many
(500; `make test-races` has 100,000)."""

import contextlib
import multiprocessing
import os
import random
import shutil
import socket
import struct
import subprocess
import time

import lib

REQUESTS = int(os.environ.get("REQUESTS", "500"))
USER = 61001
CLIENTS = 4
HEADER = struct.Struct("<IHHI")  # length, type, version, serial: daemon/protocol.h
OPEN, DETACH, OPENED, PROFILE, ERROR = 4, 8, 68, 69, 64
SESSION, PID, FREQUENCY = 7, 8, 10  # tags


def field(tag, value):
    return struct.pack("<HII", tag, 4, value)


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.serial = 0

    def receive(self, n):
        data = bytearray()
        while len(data) < n:
            part = self.socket.recv(n - len(data))
            if not part:
                raise ConnectionError("perfd closed the connection")
            data += part
        return bytes(data)

    def ask(self, kind, payload):
        """The reply to it; events are passed over."""
        self.serial += 1
        self.socket.sendall(HEADER.pack(len(payload), kind, 1, self.serial) + payload)
        while True:
            length, kind, _, serial = HEADER.unpack(self.receive(HEADER.size))
            payload = self.receive(length)
            if kind < 128 and serial == self.serial:
                return kind, payload


def race(path, pids, requests, uid, seed, results):
    """Opens a session on whoever has the number, has its result, and looks for secrets in it."""
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    random.seed(seed)
    client = Client(path)
    count = {"requests": 0, "opened": 0, "refused": 0, "own": 0, "secret": 0, "leak": ""}
    while count["requests"] < requests:
        count["requests"] += 1
        kind, payload = client.ask(OPEN, field(PID, random.choice(pids)) + field(FREQUENCY, 4999))
        if kind != OPENED:
            count["refused"] += 1
            continue
        count["opened"] += 1
        session = struct.unpack_from("<HII", payload)[2]
        time.sleep(random.random() * 0.02)
        kind, payload = client.ask(DETACH, field(SESSION, session))
        count["own"] += b"own_work" in payload
        # The name of a process is no secret (/proc/PID/comm); what it does is.
        if kind == PROFILE and b"secret_work" in payload:
            count["secret"] += 1
            count["leak"] = str(payload[:2000])
    results.put(count)


def run(path, pids, requests, uid):
    results = multiprocessing.Queue()
    clients = [multiprocessing.Process(target=race, args=(path, pids, requests // CLIENTS, uid, seed,
                                                          results)) for seed in range(CLIENTS)]
    for client in clients:
        client.start()
    counts = [results.get(timeout=3600) for _ in clients]
    for client in clients:
        client.join(60)
        lib.equal(client.exitcode, 0, "exit code of a client")
    return {key: sum(count[key] for count in counts) if key != "leak"
            else "".join(count[key] for count in counts) for key in counts[0]}


def not_one_leak():
    lib.need_root()
    with open("/proc/sys/kernel/pid_max", encoding="utf-8") as file:
        highest = int(file.read())
    pids = [highest - 7, highest - 11]
    with lib.folder() as place, \
            lib.Perfd("--set", "cpu.frequency_hz=0", "--set", "memory.faults_hz=0", "--set",
                      "memory.rss_interval=0s") as perfd, contextlib.ExitStack() as stack:
        risen = os.path.join(place, "risen")
        shutil.copy(lib.program("identity"), risen)
        os.chmod(risen, 0o4755)
        reborn = [stack.enter_context(lib.started(lib.program("reborn"), pid, USER, risen, 15,
                                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE))
                  for pid in pids]
        began = time.monotonic()
        told = run(perfd.socket, pids, REQUESTS, USER)
        took = time.monotonic() - began
        # That the secret would be seen: by root it is.
        roots = run(perfd.socket, pids, 80, 0)
        lives = sum(int(process.communicate(timeout=30)[0]) for process in reborn)
        leak = told.pop("leak")
        print(f"# {told} in {took:.0f} s, {lives} processes of {len(pids)} numbers; "
              f"root: {roots['secret']} of {roots['opened']} with secrets")
        lib.check(roots["secret"], "root does not see the secret: the test cannot fail")
        lib.check(told["own"] and told["refused"], f"nothing raced: {told}")
        lib.equal(told["secret"], 0, f"results with another's work in them ({leak[:500]})")
        lib.equal(told["requests"], REQUESTS // CLIENTS * CLIENTS, "requests")


lib.main(not_one_leak)
