"""Starts and stops servers on loopback, and keeps the time of a run. All ends with the run."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def real_now():
    """Nanoseconds since the machine's boot, as sink.py and clock.c have it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Run:
    """When the timeline begins in real time, and how much faster it passes."""

    def __init__(self, scale, timeline):
        self.scale = scale
        self.timeline = timeline
        self.begin = None

    def start(self):
        """The timeline begins in half a second."""
        self.begin = real_now() + 500_000_000

    def real_at(self, at_ms):
        return self.begin + int(at_ms * 1e6 / self.scale)

    def told_ms(self, real):
        return max(0, int((real - self.begin) * self.scale / 1e6))

    def dead_real(self):
        return [self.real_at(it) for it in self.timeline["dead"]]

    def wait_until(self, at_ms):
        """Waits for that time of the timeline; gives how late it is, in ms of told time."""
        left = (self.real_at(at_ms) - real_now()) / 1e9
        if left > 0:
            time.sleep(left)
        return max(0, self.told_ms(real_now()) - at_ms)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process with a folder and a port, which listens when it is entered."""

    environment = None

    def __init__(self, parent, name):
        self.name = name
        self.port = free_port()
        self.folder = os.path.join(parent, name.replace(" ", "-"))
        self.process = None

    def prepare(self):
        pass

    def words(self):
        raise NotImplementedError

    def __enter__(self):
        os.makedirs(self.folder)
        self.prepare()
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in self.words()], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=dict(os.environ, **(self.environment or {})))
        until = time.monotonic() + 120
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise RuntimeError(f"{self.name} did not start: {self.log()[-800:]}")
            time.sleep(0.02)
        return self

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def log(self):
        with open(os.path.join(self.folder, "log"), errors="replace") as log:
            return log.read()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Sink(Server):
    """The mail server of a notifier."""

    def __init__(self, parent, name, clock=None):
        super().__init__(parent, name)
        self.dead = os.path.join(self.folder, "dead")
        self.clock = clock

    def is_dead_in(self, span):
        """From when to when it is dead: see sink.py."""
        with open(f"{self.dead}.new", "w") as file:
            json.dump(span, file)
        os.rename(f"{self.dead}.new", self.dead)

    @property
    def file(self):
        return os.path.join(self.folder, "mails")

    def words(self):
        clock = [self.clock] if self.clock else []
        return [sys.executable, os.path.join(HERE, "sink.py"), self.port, self.file, self.dead, *clock]

    def read(self):
        with open(self.file) as lines:
            return [json.loads(line) for line in lines]
