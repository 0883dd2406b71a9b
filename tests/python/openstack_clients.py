"""Can openstacksdk and python-novaclient have a broker trigger crash dumps, when it wants logins?

    python openstack_clients.py FILE

FILE is JSON: `compute` and `identity` are the addresses of the two APIs, `ca` is the file with the broker's
authority; `operator` and `viewer` have a `name` and a `token`; `running` names six appliances that run,
`idle` one that never did. Guarantees that every check ran when it prints `openstack clients: N checks passed`,
and then, as JSON, the request id of each dump by name. Knows nothing of our Rust code.
"""

import json
import pathlib
import sys

import openstack
import requests
from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import session as keystone
from keystoneauth1.identity import v3
from novaclient import client as novaclient
from novaclient import exceptions as nova_errors
from openstack import exceptions as sdk_errors

DUMP = "trigger_crash_dump"
POLICY = f"Policy doesn't allow os_compute_api:servers:{DUMP} to be performed."
UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"


class Story:
    """Dumps by one operator, each of another appliance."""

    def __init__(self, given):
        self.given = given
        self.operator, self.viewer = given["operator"], given["viewer"]
        self.running, self.idle = given["running"], given["idle"]
        self.passed = 0
        self.request_ids = {}
        session, _ = self.session(self.password(self.operator))
        self.compute = openstack.connection.Connection(session=session).compute
        self.ids = {server.name: server.id for server in self.compute.servers()}

    def holds(self, claim, what):
        if not claim:
            raise AssertionError(what)
        self.passed += 1

    def same(self, got, expected, what):
        self.holds(got == expected, f"{what}: expected {expected!r}, got {got!r}")

    def refused(self, kind, words, call, *arguments):
        """The error of that kind, with these words."""
        try:
            call(*arguments)
        except kind as error:
            self.holds(words in str(error), f"{words!r} in {error!r}")
            return error
        raise AssertionError(f"{kind.__name__} was expected of {call.__name__}{arguments!r}")

    def password(self, who):
        return v3.Password(
            auth_url=self.given["identity"],
            username=who["name"],
            password=who["token"],
            project_name="grid",
            user_domain_name="Default",
            project_domain_name="Default",
        )

    def session(self, auth):
        """A session; and what it sends and how it is answered, which grows."""
        sent, transport = [], requests.Session()

        def note(response, **_):
            path = response.request.path_url.partition("?")[0]
            last = path.rstrip("/").rpartition("/")[2]
            sent.append((response.request.method, last, response.status_code))

        transport.hooks["response"].append(note)
        return keystone.Session(auth=auth, session=transport, verify=self.given["ca"]), sent

    def dumped_once(self, name, request_id=None):
        """The record of a dump is what it should be."""
        server = self.compute.get_server(self.ids[name])
        self.same(server.status, "REBOOT", f"status of {name}")
        dumps = [it for it in self.compute.server_actions(server) if it.action == DUMP]
        self.same(len(dumps), 1, f"dumps of {name}")
        action = self.compute.get_server_action(dumps[0].request_id, server)
        self.same(action.user_id, self.operator["name"], "who wanted it")
        self.same([it["event"] for it in action.events], [f"compute_{DUMP}"], "events")
        self.same(action.request_id, request_id or action.request_id, "request id")
        self.request_ids[name] = action.request_id

    def sdk_with_a_password(self):
        expected = {*self.running, self.idle}
        self.holds(expected <= set(self.ids), f"{expected} within {set(self.ids)}")
        server = self.compute.find_server(self.running[0])
        self.same(server.id, self.ids[self.running[0]], "id of a server that is found by name")
        dump = self.compute.trigger_server_crash_dump
        dump(server)
        self.dumped_once(server.name)
        busy = f"Cannot '{DUMP}' instance {server.id} while it is in task_state rebooting"
        self.refused(sdk_errors.ConflictException, busy, dump, server)
        idle = self.ids[self.idle]
        self.refused(sdk_errors.ConflictException, f"Instance {idle} is not ready", dump, idle)
        self.refused(sdk_errors.NotFoundException, UNKNOWN, dump, UNKNOWN)

    def sdk_with_http_basic(self):
        basic = openstack.connect(
            auth_type="http_basic",
            auth={
                "endpoint": self.given["compute"],
                "username": self.operator["name"],
                "password": self.operator["token"],
            },
            cacert=self.given["ca"],
        )
        basic.compute.trigger_server_crash_dump(self.ids[self.running[1]])
        self.dumped_once(self.running[1])

    def sdk_with_an_application_credential(self):
        credential = v3.ApplicationCredential(
            auth_url=self.given["identity"],
            application_credential_id=self.operator["name"],
            application_credential_secret=self.operator["token"],
        )
        session, _ = self.session(credential)
        connection = openstack.connection.Connection(session=session)
        connection.compute.trigger_server_crash_dump(self.ids[self.running[2]])
        self.dumped_once(self.running[2])

    def sdk_whose_token_became_invalid(self):
        """It logs in again and repeats the request: that is one dump."""
        auth = self.password(self.operator)
        session, sent = self.session(auth)
        session.get_token()
        state, token = json.loads(auth.get_auth_state()), self.operator["token"]
        state["auth_token"] = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
        auth.set_auth_state(json.dumps(state))
        sent.clear()
        connection = openstack.connection.Connection(session=session)
        connection.compute.trigger_server_crash_dump(self.ids[self.running[3]])
        posts = [it for it in sent if it[0] == "POST"]
        expected = [("POST", "action", 401), ("POST", "tokens", 201), ("POST", "action", 202)]
        self.same(posts, expected, "posts with an invalid token")
        self.dumped_once(self.running[3])

    def novaclient_at_the_lowest_version(self):
        session, sent = self.session(self.password(self.operator))
        server = self.ids[self.running[4]]
        old = novaclient.Client("2.16", session=session)
        error = nova_errors.VersionNotFoundForAPIMethod
        self.refused(error, "'2.16' is not supported", old.servers.trigger_crash_dump, server)
        nova = novaclient.Client("2.17", session=session)
        done = nova.servers.trigger_crash_dump(server)
        posts = [("POST", "tokens", 201), ("POST", "action", 202)]
        self.same([it for it in sent if it[0] == "POST"], posts, "posts of novaclient")
        self.same(len(done.request_ids), 1, "request ids")
        self.dumped_once(self.running[4], done.request_ids[0])

    def novaclient_at_the_highest_version(self):
        session, _ = self.session(self.password(self.operator))
        nova = novaclient.Client("2.84", session=session)
        server = nova.servers.find(name=self.running[5])
        self.same(server.id, self.ids[self.running[5]], "id of a server that is found by name")
        dump, conflict = nova.servers.trigger_crash_dump, nova_errors.Conflict
        nova.servers.lock(server)
        self.holds(nova.servers.get(server).locked, "it is locked")
        self.refused(conflict, f"Instance {server.id} is locked", dump, server)
        nova.servers.unlock(server)
        self.holds(not nova.servers.get(server).locked, "it is not locked any more")
        done = dump(server)
        self.dumped_once(server.name, done.request_ids[0])
        error = self.refused(conflict, "while it is in task_state rebooting", dump, server)
        self.holds(error.request_id.startswith("req-"), f"a request id in {error!r}")
        self.holds(error.request_id != done.request_ids[0], "which is another one")
        found = nova.instance_action.get(server, done.request_ids[0])
        self.same(found.action, DUMP, "the action by its request id")
        listed = [it.request_id for it in nova.instance_action.list(server) if it.action == DUMP]
        self.same(listed, done.request_ids, "dumps that are listed")
        get, unknown = nova.instance_action.get, f"req-{UNKNOWN}"
        self.refused(nova_errors.NotFound, f"Action {unknown} not found", get, server, unknown)
        self.refused(nova_errors.NotFound, UNKNOWN, dump, UNKNOWN)

    def others_are_refused(self):
        """Nobody but an operator has a dump, and nobody without a login has anything."""
        server = self.ids[self.running[5]]
        session, _ = self.session(self.password(self.viewer))
        seen = openstack.connection.Connection(session=session).compute
        self.same(seen.find_server(self.running[5]).id, server, "what a viewer sees")
        dump = seen.trigger_server_crash_dump
        self.refused(sdk_errors.ForbiddenException, POLICY, dump, server)
        dump = novaclient.Client("2.84", session=session).servers.trigger_crash_dump
        self.refused(nova_errors.Forbidden, POLICY, dump, server)
        wrong = {"name": self.operator["name"], "token": self.viewer["token"]}
        session, sent = self.session(self.password(wrong))
        dump = novaclient.Client("2.84", session=session).servers.trigger_crash_dump
        words = "The request you have made requires authentication."
        self.refused(keystone_errors.Unauthorized, words, dump, server)
        self.same([it for it in sent if it[0] == "POST"], [("POST", "tokens", 401)], "posts")


def main(file):
    story = Story(json.loads(pathlib.Path(file).read_text(encoding="utf-8")))
    story.sdk_with_a_password()
    story.sdk_with_http_basic()
    story.sdk_with_an_application_credential()
    story.sdk_whose_token_became_invalid()
    story.novaclient_at_the_lowest_version()
    story.novaclient_at_the_highest_version()
    story.others_are_refused()
    print(f"openstack clients: {story.passed} checks passed")
    print(json.dumps(story.request_ids))


if __name__ == "__main__":
    main(*sys.argv[1:])
