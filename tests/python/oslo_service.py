"""A service with OpenStack's own Guru Meditation Reports: writes one to standard error and ends."""

import os
import signal
import threading

from oslo_config import cfg
from oslo_reports import guru_meditation_report as gmr
from oslo_reports import opts


class Version:
    """What the section Package tells."""

    def vendor_string(self):
        return "Grid Broker"

    def product_string(self):
        return "a service"

    def version_string_with_package(self):
        return "1.2.3"


def main():
    opts.set_defaults(cfg.CONF)
    cfg.CONF.register_opts(
        [
            cfg.StrOpt("password", secret=True, default="x"),
            cfg.ListOpt("recipients", default=["b@example.org", "a@example.org"]),
        ],
        group="mail",
    )
    cfg.CONF([], project="service")
    gmr.TextGuruMeditation.setup_autorun(Version(), conf=cfg.CONF)
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    os.kill(os.getpid(), signal.SIGUSR2)
    # Python calls the handler before the next line.
    over.set()
    thread.join()


if __name__ == "__main__":
    main()
