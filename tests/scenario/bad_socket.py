#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that misbehave, and sockets that are none: an error for whoever did it, and
the others are served meanwhile. Frames are as daemon/protocol.h has them."""

import contextlib
import os
import socket
import struct
import subprocess
import time

import lib

HEADER = struct.Struct("<IHHI")  # length, type, version, serial
VERSION = 1
HELLO, STATUS, ERROR, OK, JSON = 1, 2, 64, 65, 67
TEXT = 2  # tag of an error's sentence


def connect(perfd):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(perfd.socket)
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
    """Others get their answer, and at once."""
    began = time.monotonic()
    perfd.alive()
    took = time.monotonic() - began
    lib.check(took < 2, f"others waited {took:.1f} s for status")


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


lib.main(not_a_socket, second_perfd, another_version, half_a_frame, four_gigabytes, nonsense,
         does_not_read, many_connections)
