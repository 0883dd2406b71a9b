"""Measures how cost grows with records, sessions and appliances, and draws it as SVG."""

import json
import math
import os
import statistics
import time

import servers
from servers import Gridd, Redis, run

COLOURS = ("#1f5fa8", "#c0504d", "#4f8f4f", "#7f5f9f")


def steps(first, variable, default):
    """Powers of ten from `first` to the last, which a variable can raise."""
    last = int(os.environ.get(variable, default))
    points = []
    while first < last:
        points.append(first)
        first *= 10
    return points + [last]


def measure(bench):
    """Measures all curves; gives the titles and names of the pictures."""
    folder = os.path.join(servers.TOP, "benches", "curves")
    os.makedirs(folder, exist_ok=True)
    pictures = []
    for name, curve in (("records", by_records), ("sessions", by_sessions), ("appliances", by_appliances)):
        for picture in curve(bench):
            file = f"{name}-{picture['name']}.svg"
            with open(os.path.join(folder, file), "w") as out:
                out.write(draw(picture))
            pictures.append((picture["title"], file))
            bench.say(f"curve {file}: {json.dumps(picture['series'])}")
    return pictures


def timed(words):
    """Milliseconds of a whole process: the median of five."""
    took = []
    for _ in range(5):
        began = time.monotonic()
        run(words)
        took.append((time.monotonic() - began) * 1e3)
    return statistics.median(took)


def by_records(bench):
    points = steps(10_000, "BENCH_CURVE_RECORDS", 1_000_000)
    one, text, start, disk = [], [], [], []
    with bench.start(Gridd) as server:
        stored = 0
        for records in points:
            server.fill(records - stored)
            stored = records
            gridctl = [server.programs.gridctl, "--broker", f"127.0.0.1:{server.port}", "log", "list"]
            one.append(timed([*gridctl, "--limit", "100", "bench:main.a1"]))
            text.append(timed([*gridctl, "--limit", "5", "--text", "a1-not-there"]))
            status = json.loads(server.gridctl("status", "--output", "json"))
            disk.append(status["archive_bytes"] / records)
            server.stop()
            began = time.monotonic()
            server.start()
            run([server.programs.vme, "--broker", f"127.0.0.1:{server.port}", "--appliance", "first", "--timeout", "30s",
                 "id=log", "msg=x"], env=dict(os.environ, VME_STATE=os.path.join(server.folder, "vme")))
            start.append((time.monotonic() - began) * 1e3)
    x = {"label": "records", "points": points}
    return [
        {"name": "time", "title": "Time of queries and of a start by stored records", "x": x, "y": "ms", "log": True,
         "series": {"last 100 of one appliance": one, "text, no hit": text, "start to first acknowledgement": start}},
        {"name": "disk", "title": "Disk space per record in the archive", "x": x, "y": "bytes", "log": False,
         "series": {"archive": disk}},
    ]


def by_sessions(bench):
    points = steps(1, "BENCH_CURVE_SESSIONS", 1_000 if bench.quick else 10_000)
    rates, redis, p99, memory = [], [], [], []
    for sessions in points:
        outstanding = max(1, 16_384 // sessions) if sessions > 16 else 1_000
        load = {"sessions": sessions, "outstanding": outstanding, "seconds": bench.seconds}
        with bench.start(Gridd) as server:
            # A connection for each session: as agents have it.
            figures = server.load(**load, more=("--connections", str(min(sessions, 10_000))))
        rates.append(figures["events_per_second"])
        p99.append(figures["ack_p99_us"] / 1e3)
        memory.append(max(1, figures["session_bytes"]) / 1024)
        with bench.start(Redis) as server:
            redis.append(server.load(**load)["events_per_second"])
    x = {"label": "sessions, a connection each", "points": points}
    return [
        {"name": "rate", "title": "Events per second by sessions", "x": x, "y": "events/s", "log": True,
         "series": {"gridd": rates, "Redis, appendfsync always": redis}},
        {"name": "p99", "title": "99th percentile of the acknowledgement by sessions", "x": x, "y": "ms", "log": True,
         "series": {"gridd": p99}},
        {"name": "memory", "title": "Memory of gridd per session", "x": x, "y": "KiB", "log": True,
         "series": {"gridd": memory}},
    ]


def by_appliances(bench):
    points = steps(100, "BENCH_CURVE_APPLIANCES", 100_000 if bench.quick else 250_000)
    rates, p99, memory = [], [], []
    for appliances in points:
        with bench.start(Gridd) as server:
            base = servers.resident_bytes(server.pid)
            figures = server.load(seconds=bench.seconds, more=("--appliances", str(appliances)))
            rates.append(figures["events_per_second"])
            p99.append(figures["ack_p99_us"] / 1e3)
            memory.append(max(1, figures["resident_bytes"] - base) / appliances)
    x = {"label": "known appliances", "points": points}
    return [
        {"name": "rate", "title": "Events per second by known appliances, 64 sessions", "x": x, "y": "events/s",
         "log": False, "series": {"gridd": rates}},
        {"name": "p99", "title": "99th percentile of the acknowledgement by known appliances", "x": x, "y": "ms",
         "log": False, "series": {"gridd": p99}},
        {"name": "memory", "title": "Memory of gridd per known appliance, all else included", "x": x, "y": "bytes",
         "log": True, "series": {"gridd": memory}},
    ]


def short(value):
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


def draw(picture):
    """A picture with a logarithmic x axis, a grid, units and a legend."""
    width, height, left, right, top, bottom = 720, 420, 80, 20, 46, 56
    points, series = picture["x"]["points"], picture["series"]
    values = [value for line in series.values() for value in line]
    low_x, high_x = math.log10(points[0]), max(math.log10(points[-1]), math.log10(points[0]) + 1)
    if picture["log"]:
        low_y = math.floor(math.log10(min(values)))
        high_y = max(math.ceil(math.log10(max(values))), low_y + 1)
        marks = [10 ** power for power in range(low_y, high_y + 1)]
        scale = math.log10
    else:
        step = 10 ** math.floor(math.log10(max(values)))
        step = step / 2 if max(values) / step < 3 else step
        low_y, high_y = 0, math.ceil(max(values) * 1.05 / step) * step
        marks = [step * at for at in range(round(high_y / step) + 1)]
        scale = float

    def at_x(value):
        return left + (math.log10(value) - low_x) / (high_x - low_x) * (width - left - right)

    def at_y(value):
        return height - bottom - (scale(value) - low_y) / (high_y - low_y) * (height - top - bottom)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{width / 2}" y="22" text-anchor="middle" font-size="15">{picture["title"]}</text>']
    for mark in marks:
        y = at_y(mark)
        out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{short(mark) if mark else 0}</text>')
    for point in points:
        x = at_x(point)
        out.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{height - bottom}" stroke="#eee"/>')
        out.append(f'<text x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle">{short(point)}</text>')
    out.append(f'<path d="M{left} {top}V{height - bottom}H{width - right}" fill="none" stroke="black"/>')
    out.append(f'<text x="{(width + left) / 2}" y="{height - 12}" text-anchor="middle">{picture["x"]["label"]}</text>')
    out.append(f'<text x="18" y="{height / 2}" text-anchor="middle" transform="rotate(-90 18 {height / 2})">{picture["y"]}</text>')
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in zip(points, line))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3.5" fill="{colour}"><title>{short(y)}</title></circle>'
                for x, y in zip(points, line)]
        y = top + 8 + 18 * number
        out.append(f'<rect x="{left + 12}" y="{y - 9}" width="14" height="10" fill="{colour}"/>')
        out.append(f'<text x="{left + 32}" y="{y}">{name}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
