"""What does Python need of the contract: messages and stubs, made from our protos?

Guarantees that they are of this source tree, made anew by each run. Deliberately knows no broker.
"""

import importlib
import pathlib
import sys

import grpc_tools
from grpc_tools import protoc

PACKAGE = "grid.events.v1"


class Contract:
    """The messages and stubs, generated into a folder that is gone afterwards."""

    FILES = (
        "event",
        "event_service",
        "mail_service",
        "alert_service",
        "grid_log_service",
        "appliance_service",
        "broker_service",
    )

    def __init__(self, folder):
        protos = pathlib.Path(__file__).resolve().parents[2] / "proto"
        well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
        arguments = ["protoc", f"-I{protos}", f"-I{well_known}"]
        arguments += [f"--python_out={folder}", f"--grpc_python_out={folder}"]
        arguments += [str(protos / "grid/events/v1" / f"{name}.proto") for name in self.FILES]
        if protoc.main(arguments) != 0:
            raise RuntimeError("the protos do not compile")
        sys.path.insert(0, folder)
        for name in self.FILES:
            setattr(self, name, importlib.import_module(f"{PACKAGE}.{name}_pb2"))
            stubs = importlib.import_module(f"{PACKAGE}.{name}_pb2_grpc")
            setattr(self, f"{name}_stubs", stubs)


def not_utf8_log_event():
    """A SessionRequest with a log event (field 4, empty) whose text (field 16) is not UTF-8."""
    text = b"broken \xff\xfe text"
    event = b"\x22\x00" + b"\x82\x01" + bytes([len(text)]) + text
    return b"\x12" + bytes([len(event)]) + event
