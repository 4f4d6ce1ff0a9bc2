#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that misbehave, and sockets that are none: an error for whoever did it, and
the others are served meanwhile. Frames are as daemon/protocol.h has them."""

import contextlib
import os
import random
import resource
import socket
import struct
import subprocess
import time

import lib

HEADER = struct.Struct("<IHHI")  # length, type, version, serial
VERSION = 1
HELLO, STATUS, RECENT, ERROR, OK, JSON = 1, 2, 9, 64, 65, 67
TEXT = 2  # tag of an error's sentence


def connect(perfd):
    client = socket.socket(socket.AF_UNIX)
    client.connect(perfd.socket)  # waits where the queue is full
    client.settimeout(10)
    return contextlib.closing(client)


def receive(client, n):
    data = b""
    while len(data) < n:
        part = client.recv(n - len(data))
        lib.check(part, f"perfd closed the connection after {len(data)} of {n} bytes")
        data += part
    return data


def frame(client):
    length, kind, version, serial = HEADER.unpack(receive(client, HEADER.size))
    return kind, version, serial, receive(client, length)


def error_text(payload):
    at = 0
    while at < len(payload):
        tag, length = struct.unpack_from("<HI", payload, at)
        at += 6
        if tag == TEXT:
            return payload[at:at + length].rstrip(b"\0").decode()
        at += length
    raise AssertionError(f"an error without a text: {payload!r}")


def expect_error(client, part):
    kind, _, _, payload = frame(client)
    lib.equal(kind, ERROR, "type of the reply")
    lib.contains(error_text(payload), part, "error")


def expect_close(client):
    try:
        lib.equal(client.recv(1), b"", "more bytes")
    except ConnectionResetError:
        pass


def served(perfd):
    """Others get their answer, and wait for nobody who gives none. (A busy machine takes its time to
    start perfctl.)"""
    began = time.monotonic()
    perfd.alive()
    took = time.monotonic() - began
    lib.check(took < 6, f"others waited {took:.1f} s for status")


def without_bpf():
    """Nothing here needs a sample."""
    return lib.Perfd("--set", "cpu.frequency_hz=0")


def not_a_socket():
    lib.need_bpf()
    with lib.folder() as place:
        path = os.path.join(place, "perfd.sock")
        with open(path, "w") as file:
            file.write("mine")
        result = subprocess.run([lib.PERFD, "--config", "/dev/null", "--socket", path],
                                capture_output=True, text=True, timeout=30)
        lib.fails(result, 1, path, "perfd")
        lib.contains(result.stderr, "socket", "error of perfd")
        with open(path) as file:
            lib.equal(file.read(), "mine", "the file that was there")
        lib.equal(lib.perfctl("status", "--socket", path).returncode, 3, "exit code of status")


def second_perfd():
    with without_bpf() as perfd:
        result = subprocess.run([lib.PERFD, "--config", "/dev/null", "--socket", perfd.socket],
                                capture_output=True, text=True, timeout=30)
        lib.fails(result, 1, perfd.socket, "the second perfd")
        served(perfd)


def another_version():
    with without_bpf() as perfd, connect(perfd) as client:
        client.sendall(HEADER.pack(0, HELLO, VERSION + 99, 1))
        expect_error(client, str(VERSION + 99))
        expect_close(client)
        served(perfd)


def half_a_frame():
    with without_bpf() as perfd, connect(perfd) as half, connect(perfd) as body:
        half.sendall(HEADER.pack(0, STATUS, VERSION, 1)[:6])
        body.sendall(HEADER.pack(4096, STATUS, VERSION, 1) + b"x" * 10)
        served(perfd)
        # The other half arrives after all.
        half.sendall(HEADER.pack(0, STATUS, VERSION, 1)[6:])
        lib.equal(frame(half)[0], JSON, "type of the reply")


def four_gigabytes():
    with without_bpf() as perfd, connect(perfd) as client:
        before = int(lib.status_field(perfd.process.pid, "VmRSS").split()[0])
        client.sendall(HEADER.pack(0xFFFFFFFF, STATUS, VERSION, 1))
        expect_error(client, "4294967295")
        expect_close(client)
        grown = int(lib.status_field(perfd.process.pid, "VmRSS").split()[0]) - before
        lib.check(grown < 16 * 1024, f"perfd grew by {grown} KiB")
        served(perfd)


def nonsense():
    """An unknown request, fields that are none: an error each, the connection goes on."""
    with without_bpf() as perfd, connect(perfd) as client:
        client.sendall(HEADER.pack(0, 999, VERSION, 1))
        expect_error(client, "999")
        client.sendall(HEADER.pack(3, STATUS, VERSION, 2) + b"abc")
        expect_error(client, "status")
        client.sendall(HEADER.pack(0, OK, VERSION, 3))
        expect_error(client, "no request")
        client.sendall(HEADER.pack(0, STATUS, VERSION, 4))
        kind, _, serial, _ = frame(client)
        lib.equal((kind, serial), (JSON, 4), "reply after the errors")


def does_not_read():
    """Asks and asks, and reads nothing: what waits for it is bounded."""
    with without_bpf() as perfd, connect(perfd) as client:
        before = int(lib.status_field(perfd.process.pid, "VmRSS").split()[0])
        client.settimeout(0.5)
        request = HEADER.pack(0, STATUS, VERSION, 7) * 1000
        with contextlib.suppress(socket.timeout):
            for _ in range(200):
                client.sendall(request)
        served(perfd)
        grown = int(lib.status_field(perfd.process.pid, "VmRSS").split()[0]) - before
        lib.check(grown < 64 * 1024, f"perfd grew by {grown} KiB for one client")


def many_connections():
    """More than there may be are refused with a reason, and room comes back."""
    with lib.Perfd("--set", "cpu.frequency_hz=0", "--set", "daemon.clients_max=8") as perfd:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(perfd)) for _ in range(8)]
            for client in clients:
                client.sendall(HEADER.pack(0, STATUS, VERSION, 1))
                lib.equal(frame(client)[0], JSON, "type of the reply")
            lib.fails(perfd.ctl("status"), 1, "clients_max")
        lib.wait_for(lambda: perfd.ctl("status").returncode == 0, "room for another client")


def a_thousand_clients():
    """Where so many may be, all are served; where not, those above it are told, and room for
    others is left by each user."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with lib.Perfd("--set", "cpu.frequency_hz=0", "--set", "daemon.clients_max=1100") as perfd, \
            contextlib.ExitStack() as stack:
        before = int(lib.status_field(perfd.process.pid, "VmRSS").split()[0])
        clients = [stack.enter_context(connect(perfd)) for _ in range(1000)]
        for client in clients:
            client.settimeout(60)
            client.sendall(HEADER.pack(0, STATUS, VERSION, 1))
        for client in clients:
            lib.equal(frame(client)[0], JSON, "type of the reply")
        served(perfd)
        lib.equal(perfd.ctl_json("status")["server"]["clients"], 1001, "clients")
        grown = int(lib.status_field(perfd.process.pid, "VmRSS").split()[0]) - before
        lib.check(grown < 64 * 1024, f"perfd grew by {grown} KiB for 1,000 clients")
    flood = ("import socket, sys\n"
             "clients = []\n"
             "for _ in range(1000):\n"
             "    client = socket.socket(socket.AF_UNIX)\n"
             "    client.connect(sys.argv[1])\n"
             "    clients.append(client)\n"
             "print('there', flush=True)\n"
             "sys.stdin.readline()\n")
    with lib.Perfd("--set", "cpu.frequency_hz=0") as perfd, \
            lib.started("python3", "-c", flood, perfd.socket, user=61001, group=61001, extra_groups=[],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        lib.equal(one.stdout.readline(), b"there\n", "the flood")
        served(perfd)  # half of the places are left
        told = lib.perfctl("status", "--socket", perfd.socket, user=61002, group=61002,
                           extra_groups=[], cwd="/", binary=perfctl_for_all(perfd))
        lib.succeeds(told, "status of another user")
        refused = perfd.ctl_json("status")["server"]["clients_refused"]
        lib.check(refused >= 1000 - 64, f"{refused} were refused")


def perfctl_for_all(perfd):
    return lib.for_everybody(lib.PERFCTL, perfd.folder)


def random_frames():
    """Bytes at random, headers that are none, fields at random in frames that are: errors, and the
    service goes on without growing."""
    random.seed(8)
    tags = [tag for tag in range(40) if tag != 12]  # background sessions stay, as they should
    with without_bpf() as perfd:
        before = int(lib.status_field(perfd.process.pid, "VmRSS").split()[0])
        sent = 0
        while sent < 20000:
            with connect(perfd) as client:
                client.setblocking(False)
                for _ in range(200):
                    sent += 1
                    body = b"".join(
                        struct.pack("<HI", random.choice(tags), random.choice([0, 1, 4, 8, 300]))
                        + random.randbytes(random.choice([0, 1, 4, 8]))
                        for _ in range(random.randrange(4)))
                    kind = random.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 64, 70, 999])
                    whole = HEADER.pack(len(body), kind, VERSION, sent) + body
                    if random.random() < 0.02:
                        whole = random.randbytes(random.randrange(1, 200))
                    try:
                        client.sendall(whole)
                        client.recv(1 << 20)
                    except BlockingIOError:
                        continue
                    except OSError:
                        break
        served(perfd)
        lib.wait_for(lambda: perfd.ctl_json("status")["server"]["clients"] == 1, "the clients to go")
        lib.equal(perfd.sessions(), [], "sessions that are left")
        grown = int(lib.status_field(perfd.process.pid, "VmRSS").split()[0]) - before
        lib.check(grown < 48 * 1024, f"perfd grew by {grown} KiB")


def slow_readers_of_much():
    """Results that nobody reads: others are served, and what waits is bounded."""
    with lib.Perfd() as perfd, contextlib.ExitStack() as stack, lib.folder() as place:
        with lib.started(lib.program("shares"), 1, stdout=subprocess.DEVNULL) as busy:
            busy.wait(30)
        lib.wait_for(lambda: perfd.ctl("report", "--last", "1m").returncode == 0, "something to ask for")
        clients = [stack.enter_context(connect(perfd)) for _ in range(20)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for serial in range(200):
                    client.sendall(HEADER.pack(0, RECENT, VERSION, serial))
        for _ in range(3):
            served(perfd)
        with lib.started(lib.program("shares"), 30, stdout=subprocess.DEVNULL) as target:
            lib.succeeds(perfd.ctl("attach", "--pid", target.pid, "-d", "500ms", "-o",
                                   os.path.join(place, "x.svg")))
        grown = int(lib.status_field(perfd.process.pid, "VmRSS").split()[0])
        lib.check(grown < 300 * 1024, f"perfd has {grown} KiB")


lib.main(not_a_socket, second_perfd, another_version, half_a_frame, four_gigabytes, nonsense,
         does_not_read, many_connections, a_thousand_clients, random_frames, slow_readers_of_much)
