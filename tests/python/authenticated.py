"""Can a client in another language authenticate: with a certificate, and with a token?

    python authenticated.py HOST:PORT IDENTITY-FOLDER CA-FILE TOKEN-FILE

The folder is that of `vme enrol`, the token is an appliance's. Guarantees that every check ran when it
prints `authenticated: N checks passed`. Knows nothing of our Rust code.
"""

import pathlib
import sys
import tempfile
import uuid

import grpc
from contract import Contract

CALL_TIMEOUT_S = 100


def read(path):
    return pathlib.Path(path).read_bytes()


def report(contract, channel, metadata=()):
    """Sends one log event; returns the number of its record."""
    event = contract.event.Event(text="from python", boot_id=str(uuid.uuid4()))
    event.log.SetInParent()
    stub = contract.event_service_stubs.EventServiceStub(channel)
    request = contract.event_service.ReportRequest(event=event)
    return stub.Report(request, metadata=metadata, timeout=CALL_TIMEOUT_S).record_number


def refused(contract, channel, metadata=()):
    """The status code of a report that must be refused."""
    try:
        report(contract, channel, metadata)
    except grpc.RpcError as error:
        return error.code()
    raise AssertionError("the report was accepted")


def main(address, folder, ca_file, token_file):
    folder, passed = pathlib.Path(folder), 0
    authority = read(ca_file)
    with tempfile.TemporaryDirectory() as protos:
        contract = Contract(protos)
        mutual = grpc.ssl_channel_credentials(
            authority, read(folder / "key.pem"), read(folder / "certificate.pem")
        )
        with grpc.secure_channel(address, mutual) as channel:
            assert report(contract, channel) > 0
            other = (("grid-appliance", "other"),)
            assert refused(contract, channel, other) == grpc.StatusCode.PERMISSION_DENIED
            passed += 2
        token = pathlib.Path(token_file).read_text(encoding="ascii").strip()
        encrypted = grpc.ssl_channel_credentials(authority)
        with grpc.secure_channel(address, encrypted) as channel:
            assert refused(contract, channel) == grpc.StatusCode.UNAUTHENTICATED
            bearer = (("authorization", f"Bearer {token}"),)
            assert report(contract, channel, bearer) > 0
            wrong = (("authorization", f"Bearer {token[:-1]}x"),)
            assert refused(contract, channel, wrong) == grpc.StatusCode.UNAUTHENTICATED
            passed += 3
        calls = grpc.composite_channel_credentials(
            encrypted, grpc.access_token_call_credentials(token)
        )
        with grpc.secure_channel(address, calls) as channel:
            assert report(contract, channel) > 0
            passed += 1
    print(f"authenticated: {passed} checks passed")


if __name__ == "__main__":
    main(*sys.argv[1:])
