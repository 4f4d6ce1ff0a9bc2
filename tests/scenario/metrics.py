#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics: what they say and how, who serves them, and what clients cannot do to perfd."""

import http.client
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time

import lib

PACKAGES = "/usr/lib/python3/dist-packages"  # Debian's, also for another Python: pure Python
CONNECTIONS_MAX = 16  # daemon/metrics_server.h, and below
CONNECTION_SECONDS = 10
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


def path_of(perfd):
    return os.path.join(perfd.folder, "metrics.sock")


def serving(**more):
    """A perfd that serves metrics beside its control socket."""
    class Serving(lib.Perfd):
        def __enter__(self):
            super().__enter__()
            try:
                lib.wait_for(lambda: ask(self)[0] == 200, "metrics")
            except BaseException:
                self.__exit__(*sys.exc_info())
                raise
            return self

        @property
        def folder(self):
            return self.__dict__["folder"]

        @folder.setter
        def folder(self, value):
            self.__dict__["folder"] = value
            self.options += ["--set", "metrics.listen=" + os.path.join(value, "metrics.sock")]
    return Serving(**more)


def ask(perfd, accept=OPENMETRICS, method="GET", path="/metrics"):
    """Status, content type, body; 0: nobody serves."""
    connection = Unix(path_of(perfd))
    try:
        connection.request(method, path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()
    except OSError:
        return 0, None, ""
    finally:
        connection.close()


def server_of(perfd):
    """The pid of the process that serves."""
    for pid in lib.children(perfd.process.pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().split(b"\0")[1] == b"--metrics":
                    return pid
        except (OSError, IndexError):
            pass
    return None


def parser():
    if PACKAGES not in sys.path:
        sys.path.append(PACKAGES)
    try:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    except ImportError:
        raise lib.Skip("prometheus_client is not installed "
                       "(Debian: python3-prometheus-client)") from None
    return text_string_to_metric_families


def values(text):
    """{sample with labels: value}"""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            lib.check(name not in found, f"{name} stands twice")
            found[name] = float(value)
    return found


def promtool_is_content():
    promtool = lib.command("promtool")
    with serving() as perfd:
        status, kind, text = ask(perfd, accept="text/plain")
        lib.equal((status, kind), (200, "text/plain; version=0.0.4; charset=utf-8"), "plain")
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True,
                              text=True, timeout=60)
        lib.equal((done.returncode, done.stdout + done.stderr), (0, ""), "promtool check metrics")
        done = subprocess.run([promtool, "check", "metrics"], capture_output=True, timeout=60,
                              text=True, input=text.replace("# HELP perfd_cpus ", "# perfd_cpus "))
        lib.check(done.returncode != 0, "promtool finds no fault in a metric without help")


def alerts_of_the_documentation_are_rules():
    promtool = lib.command("promtool")
    with open(os.path.join(lib.ROOT, "docs/metrics.md")) as file:
        text = file.read()
    known = {line.split('"')[1] for line in open(os.path.join(lib.ROOT, "daemon/metrics_text.c"))
             if line.startswith('\t{"')}
    with lib.folder() as place:
        path = os.path.join(place, "rules.yml")
        with open(path, "w") as file:
            file.writelines(line[4:] + "\n" for line in text.split("## Alerts\n")[1].split("\n")
                            if line.startswith("    "))
        done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True,
                              timeout=60)
        lib.equal(done.returncode, 0, f"promtool check rules: {done.stdout}{done.stderr}")
        lib.contains(done.stdout, "5 rules found", "promtool")
        with open(path) as file:
            named = re.findall(r"perfd_(\w+?)(?:_total)?\b", file.read())
    lib.equal([name for name in named if name not in known], [], "metrics that are not there")


def openmetrics_is_as_the_specification_has_it():
    families = parser()
    with serving() as perfd:
        status, kind, text = ask(perfd)
        lib.equal((status, kind), (200, OPENMETRICS), "OpenMetrics")
        lib.check(text.endswith("\n# EOF\n"), f"its end: {text[-40:]!r}")
        for family in families(text):
            lib.check(family.name.startswith("perfd_"), family.name)
            lib.check(family.documentation.endswith("."), f"help of {family.name}")
            lib.check(family.type in ("counter", "gauge", "info"), f"type of {family.name}")
            lib.check(not family.unit or family.name.endswith(family.unit), family.name)
            lib.check(len(family.samples) <= 64, f"{len(family.samples)} of {family.name}")
        plain = ask(perfd, accept="text/plain")[2]
        lib.equal(set(values(text)), set(values(plain)), "series in both forms")


def figures_are_those_of_status():
    with serving() as perfd, lib.started(lib.program("shares"), 30, stdout=subprocess.DEVNULL):
        def enough():
            text = values(ask(perfd)[2])
            return text if text["perfd_events_fired_total"] > 50 else None
        found = lib.wait_for(enough, "samples")
        told = perfd.ctl_json("status")
        lib.check(0 < found["perfd_events_fired_total"] <= told["samples"]["fired"], "fired")
        rate = found['perfd_sampling_rate_hertz{event="cpu-clock"}']
        lib.check(19 <= rate <= 99, f"rate {rate}")
        lib.equal(found["perfd_budget_ratio"], told["rates"]["budget_percent"] / 100, "budget")
        lib.check(found["perfd_resident_memory_bytes{process=\"worker\"}"] > 1e6, "worker's memory")
        lib.check(found["perfd_cpu_seconds_total{process=\"daemon\"}"] > 0, "daemon's CPU time")
        lib.check(found["perfd_history_limit_bytes"] == 1 << 30, "history")
        # Each sample accounted for, in one text: they are of one moment.
        parts = sum(value for name, value in found.items() if name.startswith(
            ("perfd_samples_taken_total", "perfd_events_passed_total",
             'perfd_samples_lost_total{reason="lost_ring"}')))
        lib.equal(parts, found["perfd_events_fired_total"], "taken, passed and lost together")


def it_is_off_by_default():
    with lib.Perfd() as perfd:
        lib.equal(server_of(perfd), None, "a process that serves metrics")


def its_process_may_do_nothing():
    with serving() as perfd:
        pid = server_of(perfd)
        lib.equal(lib.status_field(pid, "Uid").split(), [str(lib.NOBODY)] * 4, "user")
        lib.equal(lib.status_field(pid, "Groups"), "", "groups")
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            lib.equal(int(lib.status_field(pid, name), 16), 0, name)
        lib.equal(lib.status_field(pid, "NoNewPrivs"), "1", "NoNewPrivs")
        lib.equal(lib.status_field(pid, "Seccomp"), "2", "Seccomp")
        lib.equal(lib.status_field(pid, "Threads"), "1", "threads")
        lib.check(oct(os.stat(path_of(perfd)).st_mode)[-3:] == "660", "mode of the socket")


def requests_that_are_wrong():
    with serving() as perfd:
        lib.equal(ask(perfd, path="/")[0], 404, "another path")
        lib.equal(ask(perfd, method="POST")[0], 405, "POST")
        lib.equal(ask(perfd, method="HEAD")[::2], (200, ""), "HEAD")
        draw = random.Random(1)
        for number in range(200):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(path_of(perfd))
                noise = draw.randbytes(draw.randrange(1, 3000))
                lines = (b"GET /metrics HTTP/1.1\r\n" if number % 2 else b"") + noise + b"\r\n\r\n"
                try:
                    client.sendall(lines)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass
        pid = server_of(perfd)
        lib.equal(ask(perfd)[0], 200, "after noise")
        lib.equal(server_of(perfd), pid, "the process that serves")
        perfd.alive()


def stalled_clients_go():
    """As many as there may be, that send a byte now and then: they are ended, others served."""
    with serving() as perfd:
        clients = []
        try:
            for _ in range(CONNECTIONS_MAX):
                client = socket.socket(socket.AF_UNIX)
                client.connect(path_of(perfd))
                client.sendall(b"GET /metrics HT")
                clients.append(client)
            begun = time.monotonic()
            lib.check(perfd.ctl("status").returncode == 0, "perfd waits for them")

            def drip():
                for client in clients:
                    try:
                        client.send(b"x")
                    except OSError:
                        pass
                return ask_briefly(perfd)
            lib.wait_for(drip, "an answer behind them", 4 * CONNECTION_SECONDS)
            lib.check(time.monotonic() - begun < 3 * CONNECTION_SECONDS, "they were left for long")
        finally:
            for client in clients:
                client.close()


def ask_briefly(perfd):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(path_of(perfd))
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return client.recv(64).startswith(b"HTTP/1.")
        except OSError:
            return False


def a_flood_costs_perfd_a_text_a_second():
    with serving() as perfd:
        before, begun = perfd.ctl_json("status")["cost"]["cpu_ns"], time.monotonic()
        asked = 0
        while asked < 1000:
            lib.equal(ask(perfd)[0], 200, "an answer in the flood")
            asked += 1
        took = time.monotonic() - begun
        made = values(ask(perfd)[2])["perfd_metrics_scrapes_total"]
        lib.check(made <= 3 + 2 * took, f"{made} texts in {took:.1f} s, for {asked} requests")
        used = (perfd.ctl_json("status")["cost"]["cpu_ns"] - before) / 1e9
        lib.check(used < 0.25 * took + 0.2, f"perfd used {used:.2f} s of {took:.1f} s")


def it_is_started_anew():
    with serving() as perfd:
        first = server_of(perfd)
        os.kill(first, signal.SIGKILL)
        lib.wait_for(lambda: server_of(perfd) not in (None, first) and ask(perfd)[0] == 200,
                     "another process that serves")
        lib.equal(values(ask(perfd)[2])["perfd_metrics_server_restarts_total"], 1, "restarts")
        lib.contains(perfd.log(), "process that serves metrics has ended", "the log")
        perfd.end()
        lib.check(not os.path.exists(path_of(perfd)), "the socket is still there")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def on_a_loopback_address():
    for host, family in (("127.0.0.1", socket.AF_INET), ("[::1]", socket.AF_INET6)):
        if family == socket.AF_INET6 and not os.path.exists("/proc/net/if_inet6"):
            continue
        port = free_port()
        with lib.Perfd("--set", f"metrics.listen={host}:{port}"):
            def answered():
                connection = http.client.HTTPConnection(host.strip("[]"), port, timeout=20)
                try:
                    connection.request("GET", "/metrics")
                    return connection.getresponse().status == 200
                except OSError:
                    return False
                finally:
                    connection.close()
            lib.wait_for(answered, f"metrics on {host}")


def prometheus_scrapes_it():
    prometheus = lib.command("prometheus")
    port, own = free_port(), free_port()
    with lib.folder() as place, lib.Perfd("--set", f"metrics.listen=127.0.0.1:{port}"):
        config = os.path.join(place, "prometheus.yml")
        with open(config, "w") as file:
            file.write("global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: perfd\n"
                       f"    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n")
        with lib.started(prometheus, f"--config.file={config}",
                         f"--storage.tsdb.path={place}/data",
                         f"--web.listen-address=127.0.0.1:{own}", cwd=place,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            def scraped():
                connection = http.client.HTTPConnection("127.0.0.1", own, timeout=20)
                try:
                    connection.request("GET", "/api/v1/query?query=perfd_records_total")
                    text = connection.getresponse().read().decode()
                    return '"__name__":"perfd_records_total"' in text
                except OSError:
                    return False
                finally:
                    connection.close()
            lib.wait_for(scraped, "Prometheus to have it", 60)


def other_addresses_are_refused():
    for address, part in (("0.0.0.0:9903", "not of this machine alone"),
                          ("192.0.2.1:9903", "not of this machine alone"),
                          ("[2001:db8::1]:9", "not of this machine alone"),
                          ("example.org:9903", "no path and no address"),
                          ("127.0.0.1", "no path and no address"), ("127.0.0.1:0", "no path"),
                          ("127.0.0.1:99999", "no path"), ("/" + 120 * "x", "too long")):
        done = subprocess.run([lib.PERFD, "--config", "/dev/null", "--check-config", "--set",
                               f"metrics.listen={address}"], capture_output=True, text=True)
        lib.equal(done.returncode, 1, f"exit code with {address}")
        lib.contains(done.stderr, part, f"error of {address}")


lib.main(promtool_is_content, alerts_of_the_documentation_are_rules,
         openmetrics_is_as_the_specification_has_it,
         figures_are_those_of_status, it_is_off_by_default, its_process_may_do_nothing,
         requests_that_are_wrong, stalled_clients_go, a_flood_costs_perfd_a_text_a_second,
         it_is_started_anew, on_a_loopback_address, prometheus_scrapes_it,
         other_addresses_are_refused)
