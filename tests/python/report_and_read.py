"""Can a client in another language, made from our protos alone, report and read?

    python report_and_read.py HOST:PORT

Guarantees that every check ran when it prints `python client: N checks passed`; the first that
does not hold raises. Can be run again on the same broker: each run is a new boot of its appliance.
Deliberately knows nothing of our Rust code, and asks for nothing that the contract does not say.
"""

import queue
import random
import sys
import tempfile
import time
import uuid

import grpc
from google.protobuf import timestamp_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

from contract import PACKAGE, Contract, not_utf8_log_event

APPLIANCE = "py:main.web1"
SPEAKER = (("grid-appliance", APPLIANCE),)
CALL_TIMEOUT_S = 100
SESSION_TIMEOUT_S = 300
SERVICES = ("EventService", "GridLogService", "ApplianceService", "BrokerService")


class Checks:
    """Counts what holds, raises at what does not."""

    def __init__(self):
        self.passed = 0

    def holds(self, claim, what):
        if not claim:
            raise AssertionError(what)
        self.passed += 1

    def same(self, got, expected, what):
        self.holds(got == expected, f"{what}: expected {expected!r}, got {got!r}")


class Story:
    """One boot of the appliance, from its first report to what can be read of it."""

    def __init__(self, contract, channel, checks):
        self.contract = contract
        self.channel = channel
        self.checks = checks
        self.boot_id = str(uuid.uuid4())
        self.spool_id = random.randrange(1, 2**64)
        self.events_stub = contract.event_service_stubs.EventServiceStub(channel)
        self.log_stub = contract.grid_log_service_stubs.GridLogServiceStub(channel)
        self.appliances_stub = contract.appliance_service_stubs.ApplianceServiceStub(channel)
        self.broker_stub = contract.broker_service_stubs.BrokerServiceStub(channel)
        # (record kind, event, state the appliance goes into, record number or None, severity)
        self.told = []

    def event(self, sequence, **fields):
        now = timestamp_pb2.Timestamp()
        now.FromMicroseconds(time.time_ns() // 1000)  # what the contract keeps
        return self.contract.event.Event(
            sequence=sequence, event_time=now, boot_id=self.boot_id, uptime_ms=1500, **fields
        )

    def report(self, event, spool_id):
        request = self.contract.event_service.ReportRequest(event=event, spool_id=spool_id)
        return self.events_stub.Report(request, metadata=SPEAKER, timeout=CALL_TIMEOUT_S)

    def reports_each_kind(self):
        """In an order that the lifecycle allows: a failed start that is done after all."""
        event, log = self.contract.event, self.contract.grid_log_service
        counter = event.Counter(name="n_db_xact_per_min", value=46.5)
        told = [
            (
                self.event(
                    1,
                    maintenance=event.Maintenance(progress=30),
                    text="Database recovery",
                    next_report_within_ms=30_000,
                ),
                log.APPLIANCE_STATE_MAINTENANCE,
                event.SEVERITY_INFO,
            ),
            (
                self.event(2, start_failed=event.StartFailed(), text="Missing DNS server address"),
                log.APPLIANCE_STATE_FAILED,
                event.SEVERITY_ERROR,
            ),
            (
                self.event(3, started_ok=event.StartedOk()),
                log.APPLIANCE_STATE_RUNNING,
                event.SEVERITY_INFO,
            ),
            (
                self.event(
                    4,
                    log=event.Log(),
                    text="Größe: 雪\x1b[31m",
                    severity=event.SEVERITY_WARN,
                ),
                log.APPLIANCE_STATE_UNSPECIFIED,
                event.SEVERITY_WARN,
            ),
            (
                self.event(
                    5,
                    alert=event.Alert(counter=counter),
                    text=f"Corrupted database file {self.boot_id} detected",
                    severity=event.SEVERITY_FATAL,
                ),
                log.APPLIANCE_STATE_UNSPECIFIED,
                event.SEVERITY_FATAL,
            ),
        ]
        last = 0
        for said, state, severity in told:
            kind = said.WhichOneof("kind")
            response = self.report(said, self.spool_id)
            self.checks.same(response.outcome, event.OUTCOME_KEPT, f"outcome of {kind}")
            self.checks.holds(response.record_number > last, f"{kind} has a higher number")
            self.checks.same(response.reason, "", f"reason of {kind}")
            last = response.record_number
            record_kind = log.RecordKind.Value(f"RECORD_KIND_{kind.upper()}")
            self.told.append((record_kind, said, state, last, severity))

        again = self.report(told[3][0], self.spool_id)
        self.checks.same(again.outcome, event.OUTCOME_DUPLICATE, "outcome of the same number again")

    def a_malformed_report_names_its_field(self):
        event = self.contract.event
        wrong = self.event(0, maintenance=event.Maintenance(progress=101))
        try:
            self.report(wrong, 0)
        except grpc.RpcError as error:
            self.checks.same(error.code(), grpc.StatusCode.INVALID_ARGUMENT, "code of progress 101")
            status = rpc_status.from_call(error)
        else:
            raise AssertionError("progress 101 was taken")
        self.checks.holds(status is not None, "the status has rich details")
        bad_request = error_details_pb2.BadRequest()
        found = [detail for detail in status.details if detail.Unpack(bad_request)]
        self.checks.same(len(found), 1, "BadRequest details")
        self.checks.same(len(bad_request.field_violations), 1, "violations")
        violation = bad_request.field_violations[0]
        self.checks.holds(
            violation.field.endswith("maintenance.progress"), f"field {violation.field!r}"
        )
        self.checks.holds("100" in violation.description, f"it says {violation.description!r}")

    def speaks_in_a_session(self):
        """Three events, of which the second is not UTF-8: no generated message can hold it."""
        service, event, log = (
            self.contract.event_service,
            self.contract.event,
            self.contract.grid_log_service,
        )
        spool_id = random.randrange(1, 2**64)
        says = queue.Queue()
        session = self.channel.stream_stream(
            f"/{PACKAGE}.EventService/Session",
            request_serializer=lambda said: said
            if isinstance(said, bytes)
            else said.SerializeToString(),
            response_deserializer=service.SessionResponse.FromString,
        )(iter(says.get, None), metadata=SPEAKER, timeout=SESSION_TIMEOUT_S)

        hello = service.Hello(
            protocol_revision=1,
            tool_version="python-client 1",
            boot_id=self.boot_id,
            uptime_ms=2000,
            spool_id=spool_id,
            next_sequence=1,
        )
        says.put(service.SessionRequest(hello=hello))
        first = next(session)
        self.checks.same(first.WhichOneof("message"), "welcome", "first message")
        self.welcome = first.welcome
        self.checks_welcome(first.welcome)

        good = [
            self.event(sequence, log=event.Log(), text=f"event {sequence} of the session")
            for sequence in (1, 3)
        ]
        says.put(service.SessionRequest(event=good[0]))
        says.put(not_utf8_log_event())
        says.put(service.SessionRequest(event=good[1]))
        through, exceptions = 0, []
        while through < 3:
            message = next(session)
            kind = message.WhichOneof("message")
            self.checks.holds(kind in ("ack", "notice"), f"a {kind} among the acks")
            if kind == "ack":
                self.checks.holds(message.ack.through >= through, "acks never go back")
                through = message.ack.through
                exceptions.extend(message.ack.exceptions)
        self.checks.same(through, 3, "acknowledged through")
        self.checks.same([e.position for e in exceptions], [2], "exceptions' positions")
        self.checks.same(exceptions[0].outcome, event.OUTCOME_INVALID, "outcome of broken UTF-8")
        self.checks.holds(len(exceptions[0].violations) > 0, "it names what is wrong")
        named = [violation.field for violation in exceptions[0].violations]
        self.checks.holds(any("text" in field for field in named), f"it names the text: {named}")

        says.put(service.SessionRequest(goodbye=service.Goodbye(reason="done")))
        says.put(None)
        for message in session:
            kind = message.WhichOneof("message")
            self.checks.holds(kind != "command", f"a {kind} behind the goodbye")
        self.checks.same(session.code(), grpc.StatusCode.OK, "end of the session")
        for said in good:
            state = log.APPLIANCE_STATE_UNSPECIFIED
            self.told.append((log.RECORD_KIND_LOG, said, state, None, event.SEVERITY_INFO))

    def checks_welcome(self, welcome):
        same = self.checks.same
        same(str(uuid.UUID(welcome.broker_id)), welcome.broker_id, "broker id")
        same(str(uuid.UUID(welcome.journal_id)), welcome.journal_id, "journal id")
        same(str(uuid.UUID(welcome.appliance_uuid)), welcome.appliance_uuid, "appliance's UUID")
        self.checks.holds(welcome.term >= 1, "the term counts from 1")
        same((welcome.window_events, welcome.window_bytes), (1024, 262_144), "window")
        same(welcome.limits.text_bytes, 4096, "limit of text")
        same(welcome.limits.event_bytes, 65_536, "limit of an event")
        same(welcome.reporting_interval_ms, 10_000, "reporting interval")
        self.checks.holds(welcome.HasField("server_time"), "the broker tells its time")

    def list_all(self, page_size=0, newest_first=False, **wanted):
        log = self.contract.grid_log_service
        record_filter = log.RecordFilter(appliances=["py:*.web?"], boot_id=self.boot_id, **wanted)
        records, token = [], ""
        while True:
            request = log.ListRecordsRequest(
                filter=record_filter,
                page_size=page_size,
                page_token=token,
                newest_first=newest_first,
            )
            page = self.log_stub.ListRecords(request, timeout=CALL_TIMEOUT_S)
            self.checks.same(len(page.missing), 0, "missing records")
            records.extend(page.records)
            token = page.next_page_token
            if not token:
                return records

    def reads_it_back(self):
        log, event = self.contract.grid_log_service, self.contract.event
        kinds = [
            log.RECORD_KIND_STARTED_OK,
            log.RECORD_KIND_START_FAILED,
            log.RECORD_KIND_MAINTENANCE,
            log.RECORD_KIND_LOG,
            log.RECORD_KIND_ALERT,
        ]
        records = self.list_all(page_size=3, kinds=kinds)
        self.checks.same(len(records), len(self.told), "records of this boot")
        last = 0
        for record, told in zip(records, self.told):
            self.checks.holds(record.number > last, "records come in order")
            last = record.number
            self.checks_record(record, *told)
        self.checks.holds("recovered" in records[2].flags, "the start is marked as recovered")

        backwards = self.list_all(page_size=2, kinds=kinds, newest_first=True)
        numbers = [record.number for record in records]
        self.checks.same([r.number for r in backwards], numbers[::-1], "newest first")

        grave = self.list_all(kinds=kinds, severity_at_least=event.SEVERITY_ERROR)
        self.checks.same([r.number for r in grave], [numbers[1], numbers[4]], "errors and worse")
        found = self.list_all(kinds=kinds, text="DATABASE FILE")
        self.checks.same([r.number for r in found], [numbers[4]], "records by text")

    def checks_record(self, record, kind, said, state, number, severity):
        event = self.contract.event
        name = f"record {record.number}"
        same = self.checks.same
        if number is not None:
            same(record.number, number, f"{name}: number as answered to the report")
        same(record.kind, kind, f"{name}: kind")
        same(record.severity, severity, f"{name}: severity")
        same(record.appliance, APPLIANCE, f"{name}: appliance")
        same(record.boot_id, self.boot_id, f"{name}: boot")
        if said.text:
            same(record.text, said.text, f"{name}: text")
        same(record.state, state, f"{name}: state")
        same(record.outcome, event.OUTCOME_KEPT, f"{name}: outcome")
        same(record.administrator, "", f"{name}: administrator")
        self.checks.holds(record.HasField("received_at"), f"{name}: time of receipt")
        received = record.received_at.ToSeconds()
        self.checks.holds(abs(time.time() - received) < 300, f"{name}: received {received}")
        for field in ("sequence", "event_time", "uptime_ms", "text", "next_report_within_ms"):
            same(getattr(record.event, field), getattr(said, field), f"{name}: event's {field}")
        kept, sent = record.event.WhichOneof("kind"), said.WhichOneof("kind")
        same(kept, sent, f"{name}: event's kind")
        same(getattr(record.event, kept), getattr(said, sent), f"{name}: event's {kept}")

    def follows_the_log(self):
        log = self.contract.grid_log_service
        record_filter = log.RecordFilter(appliances=[APPLIANCE], kinds=[log.RECORD_KIND_LOG])
        request = log.TailRecordsRequest(filter=record_filter, history=1)
        tail = self.log_stub.TailRecords(request, timeout=CALL_TIMEOUT_S)
        newest = next(tail)
        self.checks.same(newest.record.text, "event 3 of the session", "newest record of the tail")
        self.checks.holds(newest.cursor, "a tail can be continued")
        behind = next(tail)
        self.checks.same(behind.WhichOneof("message"), None, "behind the history: only a cursor")
        self.checks.holds(behind.cursor, "even a tail that was told nothing can be continued")

        said = self.event(6, log=self.contract.event.Log(), text="while somebody follows")
        number = self.report(said, self.spool_id).record_number
        self.checks.same(next(tail).record.number, number, "the tail goes on")
        tail.cancel()

    def finds_the_appliance_running(self):
        appliances, log = self.contract.appliance_service, self.contract.grid_log_service
        request = appliances.GetApplianceRequest(name=APPLIANCE)
        reply = self.appliances_stub.GetAppliance(request, timeout=CALL_TIMEOUT_S)
        appliance = reply.appliance
        self.checks.same(appliance.name, APPLIANCE, "appliance's name")
        self.checks.same(appliance.state, log.APPLIANCE_STATE_RUNNING, "appliance's state")
        self.checks.same(appliance.boot_id, self.boot_id, "appliance's boot")
        self.checks.same(appliance.uuid, self.welcome.appliance_uuid, "appliance's UUID")
        self.checks.same(appliance.failure, "", "appliance's failure")
        self.checks.holds(not appliance.HasField("deadline"), "no verdict is pending")
        self.checks.holds(appliance.explanation.startswith("running"), appliance.explanation)

        unknown = appliances.GetApplianceRequest(name="py:main.nobody")
        try:
            self.appliances_stub.GetAppliance(unknown, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            self.checks.same(error.code(), grpc.StatusCode.NOT_FOUND, "code of an unknown name")
        else:
            raise AssertionError("an appliance that never spoke was found")

    def asks_for_the_brokers_status(self):
        request = self.contract.broker_service.GetStatusRequest()
        status = self.broker_stub.GetStatus(request, timeout=CALL_TIMEOUT_S)
        self.checks.same(status.broker_id, self.welcome.broker_id, "broker id in the status")
        self.checks.same(status.term, self.welcome.term, "term in the status")
        newest = max(number for _, _, _, number, _ in self.told if number is not None)
        self.checks.holds(status.last_record >= newest, "the status knows the newest record")

    def asks_for_reflection_and_health(self):
        # The messages of v1 and v1alpha are alike on the wire; the package has v1alpha's only.
        ask = self.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        questions = [reflection_pb2.ServerReflectionRequest(list_services="")]
        questions += [
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"{PACKAGE}.{service}")
            for service in SERVICES
        ]
        listed, *files = list(ask(iter(questions), timeout=CALL_TIMEOUT_S))
        names = {service.name for service in listed.list_services_response.service}
        for service in SERVICES:
            self.checks.holds(f"{PACKAGE}.{service}" in names, f"{service} is listed in {names}")
        self.checks.same(len(files), len(SERVICES), "answers about symbols")
        for service, answer in zip(SERVICES, files):
            described = answer.file_descriptor_response.file_descriptor_proto
            self.checks.holds(len(described) > 0, f"{service} is described")

        health = health_pb2_grpc.HealthStub(self.channel)
        reply = health.Check(health_pb2.HealthCheckRequest(), timeout=CALL_TIMEOUT_S)
        self.checks.same(reply.status, health_pb2.HealthCheckResponse.SERVING, "health")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: report_and_read.py HOST:PORT")
    checks = Checks()
    # A proxy meant for PyPI must not stand between us and a broker on loopback.
    channel = grpc.insecure_channel(sys.argv[1], options=[("grpc.enable_http_proxy", 0)])
    with tempfile.TemporaryDirectory() as folder, channel:
        contract = Contract(folder)
        grpc.channel_ready_future(channel).result(timeout=CALL_TIMEOUT_S)
        story = Story(contract, channel, checks)
        story.asks_for_reflection_and_health()
        story.reports_each_kind()
        story.a_malformed_report_names_its_field()
        story.speaks_in_a_session()
        story.reads_it_back()
        story.follows_the_log()
        story.finds_the_appliance_running()
        story.asks_for_the_brokers_status()
    print(f"python client: {checks.passed} checks passed")


if __name__ == "__main__":
    main()
