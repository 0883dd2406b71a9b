#!/usr/bin/env python3
"""A mail server that keeps what it gets, and is dead for a while: sink.py PORT FILE DEAD [CLOCK]

Writes a line of JSON per mail into FILE: when it was accepted ("real", ns since the machine's boot; "told",
ns since 1970 by the told clock in the file CLOCK, if there is one) and the message as it came. While dead it
does not listen: connections are refused. The file DEAD, once it exists, has from when to when: ns of told
time with a CLOCK, else of the time since boot. With a CLOCK it asks for a standstill of told time as long as it takes a mail.
Judges nothing. Speaks SMTP as much as gridd, Alertmanager 0.25 and smtplib need.
"""

import asyncio
import json
import mmap
import os
import struct
import sys
import time

HOLD_AT = 128


def real_now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Clock:
    """Reads the told clock as clock.c does."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)
        self.holders = 0

    def now(self):
        while True:
            index, = struct.unpack_from("=I", self.page, 0)
            told, real, rate, holds = struct.unpack_from("=4q", self.page, 8 + 32 * (index & 1))
            if struct.unpack_from("=I", self.page, 0)[0] == index:
                return told + min(max(0, real_now() - real), holds) * rate

    def hold(self, by):
        self.holders += by
        self.page[HOLD_AT] = 1 if self.holders > 0 else 0


class Delivery:
    """Asks for a standstill from the connection, or the next mail on it, until the mail is accepted."""

    def __init__(self, clock):
        self.clock = clock
        self.holds = False

    def begin(self):
        if self.clock and not self.holds:
            self.holds = True
            self.clock.hold(1)

    def end(self):
        if self.holds:
            self.holds = False
            self.clock.hold(-1)


class Sink:
    def __init__(self, port, path, dead_file, clock):
        self.port = port
        self.out = open(path, "w", buffering=1)
        self.clock = clock
        self.dead_file = dead_file
        self.dead = None

    def is_dead(self):
        if self.dead is None and os.path.exists(self.dead_file):
            with open(self.dead_file) as file:
                self.dead = json.load(file)
        now = self.clock.now() if self.clock else real_now()
        return self.dead is not None and self.dead[0] <= now < self.dead[1]

    async def serve(self):
        server = None
        while True:
            if self.is_dead() and server:
                server.close()
                server = None
            elif not self.is_dead() and not server:
                server = await asyncio.start_server(self.connection, "127.0.0.1", self.port, limit=1 << 24)
            await asyncio.sleep(0.002)

    async def connection(self, reader, writer):
        delivery = Delivery(self.clock)
        delivery.begin()
        try:
            await self.session(reader, writer, delivery)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            delivery.end()
            writer.close()

    async def session(self, reader, writer, delivery):
        async def reply(text):
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        await reply("220 sink.example ESMTP")
        while line := await reader.readline():
            verb = line[:4].upper().strip()
            if verb == b"MAIL":
                delivery.begin()
            if verb == b"EHLO":
                await reply("250-sink.example\r\n250-8BITMIME\r\n250 SIZE 10485760")
            elif verb == b"DATA":
                await reply("354 go on")
                message = await reader.readuntil(b"\r\n.\r\n")
                self.keep(message[:-3].replace(b"\r\n..", b"\r\n."))
                await reply("250 2.0.0 Ok: queued")
                delivery.end()
            elif verb == b"QUIT":
                await reply("221 2.0.0 Bye")
                return
            else:
                await reply("250 2.0.0 Ok")

    def keep(self, message):
        told = self.clock.now() if self.clock else None
        text = message.decode("utf-8", "surrogateescape")
        self.out.write(json.dumps({"real": real_now(), "told": told, "message": text}) + "\n")


def main():
    port, path, dead_file, *clock = sys.argv[1:]
    asyncio.run(Sink(int(port), path, dead_file, Clock(clock[0]) if clock else None).serve())


if __name__ == "__main__":
    main()
