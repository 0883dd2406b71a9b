"""Runs a real gridd whose clocks are told (clock.c), plays the timeline into it, and reads its mails.

gridd is built as it is, but reads its clocks through the C library, so that clock.c can be in between: the
feature `use-libc` of the crate rustix. All its constants are then scaled: none is changed.
"""

import datetime
import json
import os
import re
import subprocess
import threading

import mails
import servers

TOP = os.path.dirname(os.path.dirname(os.path.dirname(servers.HERE)))
RECIPIENT = "ops@example.org"

CONFIG = """\
tracing = "warn"
disk_low_water = "64MiB"
[mail]
server = "127.0.0.1:{smtp}"
security = "plain"
from = "grid@example.org"
hello = "grid.example.org"
to = "{recipient}"
zone = "UTC"
"""


class Programs:
    """gridd, gridctl, and the bench, which has the feeder and the judge."""

    def __init__(self, profile):
        release = ["--release"] if profile == "release" else []
        words = ["cargo", "build", *release, "--features", "rustix/use-libc", "--bin", "gridd", "--bin", "gridctl"]
        built = executables(words)
        self.gridd, self.gridctl = built["gridd"], built["gridctl"]
        bench = ["--profile", "dev"] if profile != "release" else []
        self.attention = executables(["cargo", "bench", *bench, "--features", "rustix/use-libc", "--no-run",
                                      "--bench", "attention"])["attention"]


def executables(words):
    built = subprocess.run([*words, "--message-format", "json"], cwd=TOP, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} failed")
    messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
    return {it["target"]["name"]: it["executable"] for it in messages if it.get("executable")}


def preloaded(folder):
    library = os.path.join(folder, "clock.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, os.path.join(servers.HERE, "clock.c"), "-ldl",
                    "-lpthread"], check=True)
    return library


class Gridd(servers.Server):
    """gridd, its feeder and the sink of its mails."""

    latest = 0

    def __init__(self, folder, programs, timeline, seed, scale):
        super().__init__(folder, "gridd")
        self.programs = programs
        self.timeline = timeline
        self.words_of_feeder = [programs.attention, "live", "feed", seed, os.path.join(folder, "clock"), scale]
        self.clock = os.path.join(folder, "clock")
        self.sink = servers.Sink(folder, "gridd mails", self.clock)
        self.environment = {"LD_PRELOAD": preloaded(folder), "GRID_TOLD_CLOCK": self.clock}
        self.feeder = None
        self.result = ""

    def prepare(self):
        self.http = servers.free_port()
        classes = sorted({machine["class"] for machine in self.timeline["machines"]})
        with open(os.path.join(self.folder, "gridd.toml"), "w") as file:
            file.write(CONFIG.format(smtp=self.sink.port, recipient=RECIPIENT))
            file.writelines(f"[class.{name}]\nmanaged = true\n" for name in classes)

    def words(self):
        return [self.programs.gridd, "--config", f"{self.folder}/gridd.toml", "--data", f"{self.folder}/data",
                "--grpc", f"127.0.0.1:{self.port}", "--http", f"127.0.0.1:{self.http}"]

    def __enter__(self):
        # The feeder first: it tells the time.
        self.feeder = subprocess.Popen([str(word) for word in self.words_of_feeder], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        self.feeder.stdout.readline()
        self.sink.__enter__()
        return super().__enter__()

    def __exit__(self, *more):
        super().__exit__(*more)
        if self.feeder.poll() is None:
            self.feeder.stdin.close()
            try:
                self.feeder.wait(10)
            except subprocess.TimeoutExpired:
                self.feeder.kill()
                self.feeder.wait()
        self.sink.__exit__(*more)

    def begin(self):
        self.sink.is_dead_in([(self.timeline["begin_ms"] + it) * 1_000_000 for it in self.timeline["dead"]])
        self.feeder.stdin.write(f"127.0.0.1:{self.port}\n")
        self.feeder.stdin.flush()
        self.thread = threading.Thread(target=self.read_result, name=self.name)
        self.thread.start()

    def read_result(self):
        self.result = self.feeder.stdout.readline()

    def wait(self):
        self.thread.join()
        if not self.result:
            raise RuntimeError(f"the feeder ended: exit code {self.feeder.wait()}; gridd: {self.log()[-800:]}")

    def shown(self, number):
        """What gridd says that it sent."""
        words = [self.programs.gridctl, "--broker", f"127.0.0.1:{self.port}", "mail", "show", number, "--output",
                 "json"]
        return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    def mails(self):
        """Its mails, as the judge reads them: what gridd says is in them, if the mail's text names it."""
        found = []
        begin = self.timeline["begin_ms"]
        for it in self.sink.read():
            mail = mails.parse(it["message"])
            number = re.search(r"^Mail (\d+) of Grid Broker", mail.text, re.M)
            if number is None:
                raise RuntimeError(f"a mail without its number: {mail.text[-300:]}")
            sent = self.shown(number.group(1))
            mentions = [mention(notice) for notice in sent["notices"] + sent.get("briefs", [])]
            mentions = [it for it in mentions if is_named(it["name"], mail.text)]
            found.append({"at": it["told"] // 1_000_000 - begin, "queued_at": max(0, queued_ms(sent) - begin),
                          "subject": mail.subject, "bytes": len(mail.text.encode()) + len(mail.html.encode()),
                          "text": mail.text, "mentions": mentions})
        return found


def mention(notice):
    return {"name": notice["appliance"], "topic": notice["kind"], "text": notice.get("text", ""),
            "severity": notice["severity"], "is_resolved": notice["resolved"]}


def is_named(name, text):
    return not name or name in text


def queued_ms(sent):
    at = datetime.datetime.fromisoformat(sent["queued_since"].replace("Z", "+00:00"))
    return int(at.timestamp() * 1000)
