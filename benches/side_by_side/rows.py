"""The rows of RESULTS.md: what is compared with what, and how it is written down."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections import namedtuple

import servers
import storage_rows
from servers import Ceiling, FloodedGridd, Gridd, Nats, NatsAlways, Redis, TlsGridd, run

# A result: the row's number, what, with what it is compared, the ratio or figure, and the values behind it.
Result = namedtuple("Result", "row what against figure values")

TITLES = {
    1: "events/s, 64 sessions x 256 outstanding",
    2: "events/s, 1 x 1000",
    3: "events/s, 64 x 256",
    4: "events/s, 64 x 256",
    5: "acknowledgement, one outstanding",
    6: "p99 of the acknowledgement, 64 x 256",
    7: "server CPU per event",
    8: "disk space of a record",
    9: "start to first acknowledgement",
    10: "memory",
    11: "last 100 records of one appliance",
    12: "text search",
    14: "one event as a whole process",
    15: "events/s with 200 live tails",
    16: "events/s among many known appliances",
    17: "export of all, records/s",
    18: "CPU of an event over budget",
}

FULL = {"sessions": 64, "outstanding": 256}
ONE = {"sessions": 1, "outstanding": 1000}
SINGLE = {"sessions": 1, "outstanding": 1}
PACED = {"sessions": 64, "outstanding": 256, "rate": 20_000}


def median(values):
    return statistics.median(values)


def spread(values, scale=1, digits=1):
    low, middle, high = (it / scale for it in (min(values), median(values), max(values)))
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


class Bench:
    """Runs each cell, a server under a load, once, and keeps its figures."""

    def __init__(self, programs, folder, rounds, quick):
        self.programs, self.folder, self.rounds, self.quick = programs, folder, rounds, quick
        self.seconds = 2 if quick else 5
        self.cells = {}
        self.results = []
        self.began = time.time()

    def start(self, kind):
        return kind(self.programs, self.folder)

    def say(self, text):
        print(f"{time.time() - self.began:7.1f} s  {text}", flush=True)

    def measure(self, kinds, load):
        """The figures of these servers under that load, interleaved; each once only."""
        key = tuple(sorted(load.items()))
        missing = [kind for kind in kinds if (kind, key) not in self.cells]
        for at in range(self.rounds if missing else 0):
            for kind in missing:
                with self.start(kind) as server:
                    figures = server.load(**dict({"seconds": self.seconds}, **load))
                self.cells.setdefault((kind, key), []).append(figures)
                self.say(f"round {at + 1}  {kind.name:<17} {dict(load)}  "
                         f"{figures['events_per_second']:,.0f} events/s  p99 {figures['ack_p99_us'] / 1e3:.2f} ms  "
                         f"{figures['cpu_us_per_event']:.2f} us")
        return [self.cells[(kind, key)] for kind in kinds]

    def close(self):
        if hasattr(self, "filled"):
            self.filled.__exit__(None, None, None)

    def add(self, row, against, figure, values, what=None):
        self.results.append(Result(row, what or TITLES[row], against, figure, values))
        self.say(f"row {row}: {what or TITLES[row]}, against {against}: {figure}  [{values}]")

    def ratio(self, row, kinds, load, key, scale, unit, what=None, digits=0):
        ours, theirs = ([it[key] for it in cell] for cell in self.measure(kinds, load))
        values = (f"gridd {spread(ours, scale, digits)} {unit}; "
                  f"{kinds[1].name} {spread(theirs, scale, digits)} {unit}")
        self.add(row, kinds[1].name, f"{median(ours) / median(theirs):.2f} x", values, what)


def row_1(bench):
    bench.ratio(1, [Gridd, Redis], FULL, "events_per_second", 1, "events/s")


def row_2(bench):
    bench.ratio(2, [Gridd, Redis], ONE, "events_per_second", 1, "events/s")


def row_3(bench):
    bench.ratio(3, [Gridd, NatsAlways], FULL, "events_per_second", 1, "events/s")
    bench.ratio(3, [Gridd, Nats], FULL, "events_per_second", 1, "events/s", "events/s, 64 x 256 (it is not durable)")


def row_4(bench):
    bench.ratio(4, [Gridd, Ceiling], FULL, "events_per_second", 1, "events/s")


def row_5(bench):
    for other in (Ceiling, Redis):
        for key in ("ack_p50_us", "ack_p99_us"):
            bench.ratio(5, [Gridd, other], SINGLE, key, 1e3, "ms", f"{TITLES[5]}: {key[4:7]}", 3)


def row_6(bench):
    bench.ratio(6, [Gridd, Redis], FULL, "ack_p99_us", 1e3, "ms", None, 1)


def row_7(bench):
    bench.ratio(7, [Gridd, Redis], FULL, "cpu_us_per_event", 1, "us", f"{TITLES[7]}, 64 x 256", 2)
    bench.ratio(7, [Gridd, Redis], PACED, "cpu_us_per_event", 1, "us", f"{TITLES[7]}, paced 20,000/s", 2)
    archived = [it["cpu_us_per_event_archived"] for it in bench.measure([Gridd], FULL)[0]]
    bench.add(7, "-", f"{median(archived):.2f} us", f"gridd {spread(archived, 1, 2)} us",
              "CPU per event until all is in the archive, 64 x 256")


class FilledGridd:
    """A gridd with many records, and the same as JSON lines, for the rows that read."""

    def __init__(self, bench):
        self.records = int(os.environ.get("BENCH_RECORDS", 300_000 if bench.quick else 1_000_000))
        self.server = bench.start(Gridd)
        self.lines = os.path.join(self.server.folder, "records.jsonl")
        self.bench = bench

    def __enter__(self):
        server = self.server.__enter__()
        for appliance, text in (("old", "spoke long ago {}"), ("needle", "a needle-{} in a haystack")):
            for number in range(120 if appliance == "old" else 1):
                self.vme(appliance, text.format(number + 7_000_001))
        # Twice: the needle lies in the middle.
        server.fill(self.records // 2, sessions=64, more=["--appliances", "1000"])
        self.vme("needle", "the only needle-42 of all")
        server.fill(self.records // 2, sessions=64)
        self.bench.say(f"filled with {self.records} records")
        began = time.monotonic()
        with open(self.lines, "wb") as file:
            words = [server.programs.gridctl, "--broker", f"127.0.0.1:{server.port}", *self.export_words()]
            subprocess.run(words, stdout=file, check=True, stderr=subprocess.DEVNULL)
        self.export_seconds = time.monotonic() - began
        with open(self.lines, "rb") as file:
            self.exported = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        if self.exported < self.records:
            raise RuntimeError(f"{self.exported} of {self.records} records were exported")
        return self

    def __exit__(self, *what):
        return self.server.__exit__(*what)

    def export_words(self):
        """`log export` where there is one."""
        helped = subprocess.run([self.server.programs.gridctl, "log", "export", "--help"], capture_output=True)
        if helped.returncode == 0:
            return ["log", "export", "--output", "jsonl"]
        return ["log", "list", "--all", "--output", "jsonl"]

    def vme(self, appliance, text):
        run([self.server.programs.vme, "--broker", f"127.0.0.1:{self.server.port}", "--appliance", appliance,
             "id=log", f"msg={text}"], env=dict(os.environ, VME_STATE=os.path.join(self.server.folder, "vme")))

    def compare(self, row, what, ours, theirs):
        """Both as whole processes, warm, in turn."""
        words = ["--broker", f"127.0.0.1:{self.server.port}", *ours]
        own, others = [], []
        for at in range(self.bench.rounds + 1):
            for seconds, command in ((own, [self.server.programs.gridctl, *words]), (others, ["sh", "-c", theirs])):
                began = time.monotonic()
                output = run(command)
                if at > 0:
                    seconds.append(time.monotonic() - began)
                if not output.strip():
                    raise RuntimeError(f"{command} found nothing")
        values = f"gridctl {spread(own, 1e-3)} ms; rg {spread(others, 1e-3)} ms; {self.records:,} records"
        self.bench.add(row, "ripgrep", f"{median(others) / median(own):.3f} x as fast", values, what)


def filled(bench):
    """Shared by the rows that read; ended with the bench."""
    if not hasattr(bench, "filled"):
        made = FilledGridd(bench)
        made.__enter__()
        bench.filled = made
    return bench.filled


def row_8(bench):
    storage_rows.row_8(bench, filled(bench))


def row_11(bench):
    full = filled(bench)
    for appliance, what in (("bench:main.a1", "frequent"), ("old", "spoke long ago only")):
        full.compare(11, f"{TITLES[11]}: {what}", ["log", "list", "--limit", "100", appliance],
                     f"{bench.programs.rg} --no-config '\"appliance\":\"{appliance}\"' {full.lines} | tail -100")


def row_12(bench):
    full = filled(bench)
    full.compare(12, f"{TITLES[12]}, one hit in all", ["log", "list", "--text", "needle-42", "--limit", "5"],
                 f"{bench.programs.rg} --no-config needle-42 {full.lines}")
    full.compare(12, f"{TITLES[12]}, common, newest 100", ["log", "list", "--text", "checkpoint", "--limit", "100"],
                 f"{bench.programs.rg} --no-config checkpoint {full.lines} | tail -100")


def row_14(bench):
    times = 50 if bench.quick else 200
    with bench.start(Gridd) as plain, bench.start(TlsGridd) as tls, bench.start(Redis) as redis:
        vme = lambda server, *more: [bench.programs.vme, "--broker", f"127.0.0.1:{server.port}", "--appliance", "one",
                                     *more, "id=log", "msg=x"]
        commands = {
            "vme": vme(plain),
            "vme, TLS": vme(tls, "--pin", tls.pin()),
            "redis-cli": [bench.programs.redis_cli, "-p", str(redis.port), "XADD", "one", "*", "e", "x"],
        }
        took = {name: [] for name in commands}
        for at in range(times):
            for name, command in commands.items():
                state = os.path.join(plain.folder, f"state-{name[-3:]}")
                began = time.monotonic()
                run(command, env=dict(os.environ, VME_STATE=state))
                if at >= 3:
                    took[name].append(time.monotonic() - began)
    other = median(took["redis-cli"])
    for name in ("vme", "vme, TLS"):
        values = f"{name} {spread(took[name], 1e-3, 2)} ms; redis-cli XADD {spread(took['redis-cli'], 1e-3, 2)} ms"
        bench.add(14, "redis-cli XADD", f"{median(took[name]) / other:.2f} x of its time", values,
                  f"{TITLES[14]}, TLS {'on' if 'TLS' in name else 'off'}")


class TailedGridd(Gridd):
    """A gridd with live tails."""

    tails = int(os.environ.get("BENCH_TAILS", 200))
    name = f"gridd, {tails} tails"

    def load(self, **what):
        words = [self.programs.side_by_side, "tails", "--port", self.port, "--tails", self.tails]
        reader = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            json.loads(reader.stdout.readline())
            figures = super().load(**what)
            told, _ = reader.communicate("", timeout=60)
            figures["received"] = json.loads(told)["received"]
        finally:
            reader.kill()
        return figures


def row_15(bench):
    ours, plain = bench.measure([TailedGridd, Gridd], FULL)
    rates, others = ([it["events_per_second"] for it in cell] for cell in (ours, plain))
    received = median([it["received"] / it["acknowledged"] for it in ours])
    bench.add(15, "without tails", f"{median(rates) / median(others):.2f}",
              f"with {spread(rates, 1, 0)}, without {spread(others, 1, 0)} events/s; each tail of one appliance of 64; "
              f"{received:.2f} messages an event, slow readers are told", f"events/s with {TailedGridd.tails} live tails")


def row_16(bench):
    known = int(os.environ.get("BENCH_KNOWN", 100_000 if bench.quick else 250_000))
    load = dict(FULL, more=("--appliances", str(known)))
    many, few = bench.measure([Gridd], load)[0], bench.measure([Gridd], FULL)[0]
    compare_known(bench, f"64 sessions, {known:,} known appliances", "64 known appliances", many, few)
    calls = {"sessions": 4, "outstanding": 64}
    many = bench.measure([Gridd], dict(calls, more=("--unary", "--appliances", str(known))))[0]
    few = bench.measure([Gridd], dict(calls, more=("--unary", "--appliances", "64")))[0]
    compare_known(bench, f"a call an event, each of another of {known:,} appliances", "of 64 appliances", many, few)


def compare_known(bench, what, against, many, few):
    rates, others = ([it["events_per_second"] for it in cell] for cell in (many, few))
    p99 = [it["ack_p99_us"] for it in many]
    bench.add(16, against, f"{median(rates) / median(others):.2f}",
              f"{spread(rates, 1, 0)} and {spread(others, 1, 0)} events/s; p99 {spread(p99, 1e3)} ms", f"events/s, {what}")


def row_17(bench):
    full = filled(bench)
    rates = []
    for _ in range(bench.rounds):
        began = time.monotonic()
        words = [bench.programs.gridctl, "--broker", f"127.0.0.1:{full.server.port}", *full.export_words()]
        subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        rates.append(full.exported / (time.monotonic() - began))
    events = [it["events_per_second"] for it in bench.measure([Gridd], FULL)[0]]
    bench.add(17, "row 1's events/s", f"{median(rates) / median(events):.2f} x",
              f"{spread(rates, 1, 0)} records/s of {full.exported:,} records; row 1 {spread(events, 1, 0)} events/s")


def row_18(bench):
    flooded, plain = bench.measure([FloodedGridd, Gridd], FULL)
    over, others = ([it["cpu_us_per_event"] for it in cell] for cell in (flooded, plain))
    bench.add(18, "row 1's event", f"{median(over) / median(others):.2f}",
              f"over budget {spread(over, 1, 2)} us, at {spread([it['events_per_second'] for it in flooded], 1, 0)} "
              f"events/s: each is acknowledged with the count of its second; row 1 {spread(others, 1, 2)} us")


ROWS = {1: row_1, 2: row_2, 3: row_3, 4: row_4, 5: row_5, 6: row_6, 7: row_7, 8: row_8, 9: storage_rows.row_9,
        10: storage_rows.row_10, 11: row_11, 12: row_12, 14: row_14,
        15: row_15, 16: row_16, 17: row_17, 18: row_18}


def machine():
    with open("/proc/cpuinfo") as cpus:
        model = next((line.split(":", 1)[1].strip() for line in cpus if line.startswith("model name")), "unknown")
    with open("/proc/meminfo") as memory:
        kib = int(memory.readline().split()[1])
    return f"{os.cpu_count()} CPUs ({model}), {kib / (1 << 20):.0f} GiB of memory, Linux {platform.release()}"


def file_system(folder):
    told = subprocess.run(["df", "--output=fstype", folder], capture_output=True, text=True).stdout.split()
    return told[-1] if told else "unknown"


def write_results(bench, pictures):
    commit = subprocess.run(["git", "describe", "--always", "--dirty=+changes"], cwd=servers.TOP, capture_output=True,
                            text=True).stdout.strip()
    redis = run([bench.programs.redis, "--version"]).split()[2]
    lines = [
        "# Results of the comparison",
        "",
        "Written by `benches/side_by_side/run.py`; do not change it by hand. Ratios count, absolute figures belong to the "
        "machine. Load generator and server share it.",
        "",
        f"- {time.strftime('%Y-%m-%d %H:%M', time.gmtime(bench.began))} UTC, commit {commit}, "
        f"took {(time.time() - bench.began) / 60:.0f} min{', quick runs' if bench.quick else ''}",
        f"- {machine()}, {file_system(bench.folder)}",
        f"- Redis {redis} (`appendonly yes`, `appendfsync always`, 4 streams), {servers.NATS} (file storage), "
        f"{run([bench.programs.rg, '--version']).splitlines()[0]}",
        f"- {bench.rounds} rounds of {bench.seconds} s, interleaved; medians (lowest to highest). Texts of 150 bytes, every "
        "one different; one event a message, each acknowledged when durable; a class without rate limits. After each run "
        "the stored events were counted, and equalled the acknowledged ones.",
        "- Ceiling: a bare tonic server that appends the bytes of events to a file written with zeros before, `fdatasync`, "
        "group commit (`benches/side_by_side/ceiling.rs`).",
        "",
        "| # | what | against | result | values |",
        "|---|---|---|---|---|",
    ]
    for result in sorted(bench.results, key=lambda it: it.row):
        lines.append(f"| {result.row} | {result.what} | {result.against} | **{result.figure}** | {result.values} |")
    if pictures:
        lines += ["", "## Curves", ""]
        lines += [f"![{title}](curves/{name})\n" for title, name in pictures]
    with open(os.path.join(servers.TOP, "benches", "RESULTS.md"), "w") as file:
        file.write("\n".join(lines).rstrip() + "\n")
    print(f"wrote benches/RESULTS.md with {len(bench.results)} results")
