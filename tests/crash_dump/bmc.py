"""A BMC of pyghmi, for ipmitool: power status, and the diagnostic interrupt as an NMI by QEMU's monitor.

    bmc.py MONITOR USER     the password comes in IPMI_PASSWORD; prints the port of 127.0.0.1

MONITOR is the path of a QMP socket. Without a machine there the power is off, and the interrupt is
refused, as by a BMC that does not support it.
"""

import json
import os
import socket
import sys

from pyghmi.ipmi.bmc import Bmc

# Nobody else holds the monitor for longer than a command.
MONITOR_TIMEOUT = 5


def command(path, name):
    """The answer of the machine to one command."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(MONITOR_TIMEOUT)
        monitor.connect(path)
        lines = monitor.makefile("rw", encoding="utf-8")
        assert "QMP" in json.loads(lines.readline())
        answer = {}
        for word in ("qmp_capabilities", name):
            lines.write(json.dumps({"execute": word, "id": word}) + "\n")
            lines.flush()
            answer = {}
            while answer.get("id") != word:
                answer = json.loads(lines.readline())
        return answer["return"]


class MachineBmc(Bmc):
    """The BMC of one machine."""

    def __init__(self, monitor, user):
        super().__init__({user: os.environ["IPMI_PASSWORD"]}, port=0, address="127.0.0.1")
        # Sessions are found by it.
        self.port = self.serversocket.getsockname()[1]
        self.monitor = monitor

    def get_power_state(self):
        try:
            return "on" if command(self.monitor, "query-status")["running"] else "off"
        except OSError:
            return "off"

    def pulse_diag(self):
        try:
            command(self.monitor, "inject-nmi")
        except OSError as error:
            raise NotImplementedError from error


def main():
    bmc = MachineBmc(*sys.argv[1:])
    print(bmc.port, flush=True)
    bmc.listen()


main()
