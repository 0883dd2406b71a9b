"""Runs the real Alertmanager, and feeds it as an exporter that knows everything would: what begins, and ends.

Its constants that can be set are scaled like the timeline. Those that cannot (the least time for a
notification, the pauses of its retries, 30 s until an empty group is forgotten) are as they are.
"""

import collections
import datetime
import http.client
import json
import os
import re
import subprocess
import threading
import time

import mails
import servers

PROGRAM = "prometheus-alertmanager"

# One line per alert, for the judge; sizes are those of the HTML alone, which is Alertmanager's own.
TEXT = ("{{ range .Alerts }}@@{{ .Status }}\\t{{ .Labels.appliance }}\\t{{ .Labels.alertname }}\\t"
        "{{ .Labels.severity }}\\t{{ .Annotations.text }}\\n{{ end }}")

CONFIG = """\
global:
  resolve_timeout: 24h
  smtp_smarthost: 127.0.0.1:{smtp}
  smtp_from: alertmanager@example.org
  smtp_hello: localhost
  smtp_require_tls: false
route:
  receiver: ops
  group_by: [{group_by}]
  group_wait: {group_wait}ms
  group_interval: {group_interval}ms
  repeat_interval: {repeat_interval}ms
receivers:
  - name: ops
    email_configs:
      - to: ops@example.org
        send_resolved: true
        text: "{text}"
"""


class Alertmanager(servers.Server):
    """One Alertmanager, the sink of its mails, and its exporter."""

    def __init__(self, folder, name, group_by, timeline, run):
        super().__init__(folder, name)
        self.group_by = group_by
        self.timeline = timeline
        self.run = run
        self.sink = servers.Sink(folder, f"{name} mails")
        self.latest = 0

    def prepare(self):
        def scaled(seconds):
            return max(1, round(seconds * 1000 / self.run.scale))

        with open(os.path.join(self.folder, "alertmanager.yml"), "w") as file:
            file.write(CONFIG.format(
                smtp=self.sink.port, group_by=self.group_by, text=TEXT, group_wait=scaled(30),
                group_interval=scaled(300), repeat_interval=scaled(4 * 3600)))

    def words(self):
        gc = max(1, round(1800 * 1000 / self.run.scale))
        return [PROGRAM, f"--config.file={self.folder}/alertmanager.yml", f"--storage.path={self.folder}/data",
                f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=",
                f"--alerts.gc-interval={gc}ms", "--log.level=warn"]

    def __enter__(self):
        self.sink.__enter__()
        return super().__enter__()

    def __exit__(self, *more):
        super().__exit__(*more)
        self.sink.__exit__(*more)

    def begin(self):
        self.sink.is_dead_in(self.run.dead_real())
        self.thread = threading.Thread(target=self.feed, name=self.name)
        self.thread.start()

    def wait(self):
        self.thread.join()

    def feed(self):
        """Posts each report at its time. What is open stays open until its end is reported."""
        exporter = Exporter(self.timeline)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        steps = [(it["at"], "alerts", it) for it in self.timeline["reports"]]
        steps += [(it["from"], "silences", it) for it in self.timeline["planned"]]
        steps = collections.deque(sorted(steps, key=lambda step: step[0]))
        while steps:
            self.latest = max(self.latest, self.run.wait_until(steps[0][0]))
            now, bodies = self.run.told_ms(servers.real_now()), []
            if steps[0][1] == "silences":
                post(connection, "/api/v2/silences", self.silence(steps.popleft()[2]))
                continue
            # What is due goes together, as from a Prometheus.
            while steps and steps[0][0] <= now and steps[0][1] == "alerts":
                bodies += exporter.posted(steps.popleft()[2])
            if bodies:
                post(connection, "/api/v2/alerts", bodies)
        self.run.wait_until(self.timeline["length"])

    def silence(self, work):
        left = (work["until"] - work["from"]) / 1000 / self.run.scale
        matcher = {"name": "appliance", "value": re.escape(work["prefix"]) + ".*", "isRegex": True, "isEqual": True}
        return {"matchers": [matcher], "startsAt": stamp(0), "endsAt": stamp(left), "createdBy": "ops",
                "comment": "planned work"}

    def mails(self):
        """Its mails, as the judge reads them."""
        found = []
        for it in self.sink.read():
            mail = mails.parse(it["message"])
            mentions = []
            for line in mail.text.splitlines():
                if line.startswith("@@"):
                    status, name, topic, severity, text = (line[2:].split("\t") + [""] * 4)[:5]
                    mentions.append({"name": name, "topic": topic, "text": text, "severity": severity,
                                     "is_resolved": status == "resolved"})
            found.append({"at": self.run.told_ms(it["real"]), "subject": mail.subject,
                          "bytes": len(mail.html.encode()), "text": mails.visible(mail.html), "mentions": mentions})
        return found


class Exporter:
    """The open alerts, and how they are posted."""

    def __init__(self, timeline):
        self.machines = timeline["machines"]
        self.open = {}

    def posted(self, report):
        machine = self.machines[report["machine"]]
        # A text without its numbers is a name.
        name = re.sub(r"\d+", "N", report["topic"])
        key = (machine["name"], name)
        if report["is_end"]:
            ended = [it for it in self.open.values() if (it["labels"]["appliance"], it["labels"]["alertname"]) == key]
            for alert in ended:
                del self.open[key + (alert["labels"]["severity"],)]
            return [dict(alert, endsAt=stamp(0)) for alert in ended]
        labels = {"alertname": name, "appliance": machine["name"], "class": machine["class"],
                  "prefix": machine["name"].rsplit(".", 1)[0], "severity": report["severity"]}
        alert = self.open.setdefault(key + (report["severity"],), {"labels": labels, "startsAt": stamp(0)})
        alert["annotations"] = {"text": report["text"]}
        return [dict(alert, endsAt=stamp(7 * 86_400))]


def stamp(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.isoformat()


def post(connection, path, body):
    for attempt in range(5):
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            time.sleep(0.05 * (attempt + 1))
            continue
        if response.status != 200:
            raise RuntimeError(f"{path} was answered with {response.status}: {text[:300]!r}")
        return
    raise RuntimeError(f"{path} cannot be posted")


def version():
    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True)
    return (done.stdout + done.stderr).split(" (")[0].strip()
