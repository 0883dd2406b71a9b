"""The rows about disk space, starts and memory: what stays after the events."""

import json
import os
import signal
import statistics
import subprocess
import time

from servers import Ceiling, Gridd, resident_bytes, run

IDLE_SESSIONS = int(os.environ.get("BENCH_IDLE_SESSIONS", 2_000))


def status(server):
    return json.loads(server.gridctl("status", "--output", "json"))


def encoded_bytes(bench):
    """The size of an encoded event of the load, from the bytes that the ceiling wrote."""
    with bench.start(Ceiling) as server:
        figures = server.load(events=100_000, seconds=600)
        return status(server)["archive_bytes"] / figures["acknowledged"]


def row_8(bench, filled):
    """Of what the archive holds: the last records are still in the commit log."""
    until = time.monotonic() + 60
    while (now := status(filled.server))["archived_through"] < 0.9 * now["last_record"] and time.monotonic() < until:
        time.sleep(0.5)
    each, event = now["archive_bytes"] / now["archived_through"], encoded_bytes(bench)
    bench.add(8, "the encoded event", f"{each / event:.2f}",
              f"{each:.1f} bytes of archive a record, {event:.1f} an encoded event; {now['archived_through']:,} records")


def first_acknowledgement(server):
    """Starts the server again; seconds until an event is acknowledged."""
    began = time.monotonic()
    server.start()
    run([server.programs.vme, "--broker", f"127.0.0.1:{server.port}", "--appliance", "first", "--timeout", "60s",
         "id=log", "msg=x"], env=dict(os.environ, VME_STATE=os.path.join(server.folder, "vme")))
    return time.monotonic() - began


def kill_at_full_load(server):
    words = [str(word) for word in server.bench_words(seconds=60)]
    load = subprocess.Popen([server.programs.gridctl, "--broker", f"127.0.0.1:{server.port}", *words],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    server.stop(signal.SIGKILL)
    load.kill()
    load.wait()


def row_9(bench):
    records = int(os.environ.get("BENCH_RECORDS", 300_000 if bench.quick else 1_000_000))
    took = {}
    for many in (records // 10, records):
        with bench.start(Gridd) as server:
            server.fill(many)
            for how in ("clean", "killed"):
                for _ in range(bench.rounds):
                    server.stop() if how == "clean" else kill_at_full_load(server)
                    took.setdefault((how, many), []).append(first_acknowledgement(server) * 1e3)
    for how in ("clean", "killed"):
        few, many = (took[how, it] for it in (records // 10, records))
        ends = "after a stop" if how == "clean" else "after a kill in a second of full load"
        bench.add(9, f"with {records // 10:,}", f"{statistics.median(many) / statistics.median(few):.2f} x",
                  f"{statistics.median(many):.0f} ({min(many):.0f} to {max(many):.0f}) ms; "
                  f"{statistics.median(few):.0f} ({min(few):.0f} to {max(few):.0f}) ms",
                  f"start to first acknowledgement, {records:,} records, {ends}")


def row_10(bench):
    known = int(os.environ.get("BENCH_KNOWN", 100_000 if bench.quick else 250_000))
    memory = {}
    for appliances in (1_000, known):
        with bench.start(Gridd) as server:
            server.load(events=2 * known, seconds=600, more=("--appliances", str(appliances)))
            time.sleep(2)
            memory[appliances] = resident_bytes(server.pid)
    each = (memory[known] - memory[1_000]) / (known - 1_000)
    bench.add(10, "-", f"{each:.0f} B", f"resident memory with {known:,} and with 1,000 appliances: "
              f"{memory[known] / (1 << 20):.0f} and {memory[1_000] / (1 << 20):.0f} MiB", "memory of a known appliance")
    for connections in (IDLE_SESSIONS, IDLE_SESSIONS // 100):
        with bench.start(Gridd) as server:
            figures = server.load(sessions=IDLE_SESSIONS, rate=IDLE_SESSIONS // 10, outstanding=1, seconds=bench.seconds,
                                  more=("--connections", str(connections)))
        bench.add(10, "-", f"{figures['session_bytes'] / 1024:.1f} KiB",
                  f"{IDLE_SESSIONS:,} sessions on {connections:,} connections, an event each 10 s",
                  "memory of a session that is nearly idle")
