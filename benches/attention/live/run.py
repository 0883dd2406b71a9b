#!/usr/bin/env python3
"""Plays one timeline into gridd, the real Alertmanager (two groupings) and one mail an alert, all live.

    benches/attention/live/run.py                     seed 7, 14 days in about 10 minutes
    benches/attention/live/run.py --scale 800         the same in 25 minutes: the others' delays are finer
    benches/attention/live/run.py --seed 11 --keep /tmp/live

Builds gridd, gridctl and the bench, starts all on loopback in a temporary folder, each with a mail server of
its own that is dead for two days of the timeline, and prints the table. README.md tells what is scaled and
what cannot be. Needs Rust, cc, Python 3.9 and Debian's prometheus-alertmanager.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import alertmanager
import gridd
import naive
import servers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--scale", type=int, default=2100, help="how much faster than real time")
    parser.add_argument("--only", default="", help="some of: gridd, alertmanager, naive, with commas between")
    parser.add_argument("--profile", choices=["release", "dev"], default="release")
    parser.add_argument("--keep", metavar="DIR", help="keep mails and logs there")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(","))) or {"gridd", "alertmanager", "naive"}
    if "alertmanager" in only and not shutil.which(alertmanager.PROGRAM):
        sys.exit(f"{alertmanager.PROGRAM} is missing: install Debian's package of that name")
    programs = gridd.Programs(options.profile)
    exported = subprocess.run([programs.attention, "live", "export", str(options.seed)], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
    timeline = json.loads(exported)
    folder = options.keep or tempfile.mkdtemp(prefix="attention-live-")
    os.makedirs(folder, exist_ok=True)
    try:
        compare(options, only, programs, timeline, folder)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def compare(options, only, programs, timeline, folder):
    run = servers.Run(options.scale, timeline)
    notifiers = []
    if "gridd" in only:
        notifiers.append(gridd.Gridd(folder, programs, timeline, options.seed, options.scale))
    if "alertmanager" in only:
        by = {"Alertmanager by appliance and name": "appliance, alertname",
              "Alertmanager by prefix and class": "prefix, class"}
        notifiers += [alertmanager.Alertmanager(folder, name, group_by, timeline, run)
                      for name, group_by in by.items()]
        print(alertmanager.version())
    if "naive" in only:
        notifiers.append(naive.Naive(folder, timeline, run))
    with contextlib.ExitStack() as running:
        for notifier in notifiers:
            running.enter_context(notifier)
        minutes = timeline["length"] / 60_000 / options.scale
        print(f"seed {options.seed}, {len(timeline['reports'])} reports, {timeline['problems']} problems, 1 to "
              f"{options.scale}: {minutes:.0f} minutes and what gridd's clock stands still", flush=True)
        run.start()
        for notifier in notifiers:
            notifier.begin()
        files = []
        for notifier in notifiers:
            notifier.wait()
            path = os.path.join(folder, notifier.name.replace(" ", "-") + ".jsonl")
            with open(path, "w") as file:
                file.writelines(json.dumps(mail) + "\n" for mail in notifier.mails())
            files.append(f"{notifier.name}={path}")
            if notifier.latest:
                print(f"{notifier.name}: fed at most {notifier.latest / 1000:.0f} s of told time late")
            elif getattr(notifier, "result", ""):
                print(f"{notifier.name}: {notifier.result.strip()}")
    print(flush=True)
    subprocess.run([programs.attention, "live", "judge", str(options.seed), *files], check=True)


if __name__ == "__main__":
    main()
