"""Reads the text of Guru Meditation Reports as the tests of oslo.reports do: lines below a box, frames
split at empty lines. Prints what it found as JSON; ends with an error at a line that does not fit.

Usage: read_reports.py FILE
"""

import json
import re
import sys

BOX = "=" * 72
TITLE = "====%s====" % "Guru Meditation".center(64)
THREAD = re.compile(r"------(\s+)((?:Green )?Thread(?: #-?\d+)?)\1\s?------$")
FRAME = re.compile(r"(\S.*):(\d+) in (\S.*)$")
PROCESS = re.compile(r"(?:    )*Process \d+ \(under \d+\) \[ run by: .* \(\d+\), state: \w+.* \]$")
PAIR = re.compile(r"(?:  )*[^=]+ = .*$")


def reports(text):
    """The last report of a text, as lines."""
    begin = text.rindex(BOX + "\n" + TITLE)
    return text[begin:].split("\n")


def sections(lines):
    """Title and lines of each section."""
    assert lines[:6] == [BOX, TITLE, BOX, "|" * 72, "", ""], lines[:6]
    found, at = [], 6
    while at < len(lines):
        assert lines[at] == BOX and lines[at + 2] == BOX, (at, lines[at : at + 3])
        title = lines[at + 1]
        assert title.startswith("====") and title.endswith("===="), title
        end = at + 3
        while end < len(lines) and not lines[end].startswith("="):
            end += 1
        found.append((title.strip("= "), lines[at + 3 : end]))
        at = end
    return found


def threads(lines):
    """The stacks of a section: headings, and frames as (file, line, function, code)."""
    found, at = [], 0
    while at < len(lines):
        heading = THREAD.match(lines[at])
        assert heading, "no heading: %r" % lines[at]
        assert lines[at + 1] == "", "no empty line below %r" % lines[at]
        end = at + 2
        while end < len(lines) and not lines[end].startswith("------"):
            end += 1
        body = "\n".join(lines[at + 2 : end]).strip("\n")
        frames = []
        for block in body.split("\n\n"):
            if block == "No Traceback!":
                continue
            first, *rest = block.split("\n")
            frame = FRAME.match(first)
            assert frame, "no frame: %r" % block
            assert len(rest) == 1 and re.match(r"    (`.*`|\(source not found\))$", rest[0]), block
            frames.append([*frame.groups(), rest[0].strip()])
        found.append({"title": heading.group(2), "frames": frames})
        at = end
    return found


def groups(lines):
    """The settings of the configuration by group."""
    found, group = {}, None
    assert lines[0] == "", lines[:2]
    for before, line in zip(lines, lines[1:]):
        if re.match(r"[^ ].*: $", line):
            assert before == "", "no empty line above %r" % line
            group = found.setdefault(line[:-2], {})
        elif line:
            pair = re.match(r"  ([^ =]+) = (.*)$", line)
            assert pair or line.startswith("    "), line
            if pair:
                group[pair.group(1)] = pair.group(2)
    return found


def read(text):
    result = {}
    for title, lines in sections(reports(text)):
        if title in ("Threads", "Green Threads"):
            result[title] = threads(lines)
        elif title == "Processes":
            assert lines and lines[0], "no process"
            assert all(PROCESS.match(line) for line in lines if line), lines
            result[title] = len([line for line in lines if line])
        elif title == "Configuration":
            result[title] = groups(lines)
        elif title == "Package":
            pairs = [line.split(" = ", 1) for line in lines if line]
            assert [key for key, _ in pairs] == ["product", "vendor", "version"], lines
            result[title] = dict(pairs)
        else:
            for line in lines:
                assert not line or line.startswith((" ", "(")) or PAIR.match(line), line
            result[title] = len(lines)
    return result


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as report:
        print(json.dumps(read(report.read())))
