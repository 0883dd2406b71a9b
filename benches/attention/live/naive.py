"""One mail an alert, as a script with a mail command does it: at once, and again until the server takes it."""

import collections
import smtplib
import threading
from email.message import EmailMessage

import mails
import servers


class Naive:
    """The script, and the sink of its mails."""

    name = "one mail an alert"
    latest = 0

    def __init__(self, folder, timeline, run):
        self.timeline = timeline
        self.run = run
        self.sink = servers.Sink(folder, "one mail an alert")

    def __enter__(self):
        self.sink.__enter__()
        return self

    def __exit__(self, *more):
        self.sink.__exit__(*more)

    def begin(self):
        self.sink.is_dead_in(self.run.dead_real())
        self.thread = threading.Thread(target=self.feed, name=self.name)
        self.thread.start()

    def wait(self):
        self.thread.join()

    def feed(self):
        owed = collections.deque()
        reports = [it for it in self.timeline["reports"] if not it["is_end"]]
        for report in reports:
            self.latest = max(self.latest, self.run.wait_until(report["at"]))
            owed.append(report)
            self.send(owed)
        self.run.wait_until(self.timeline["length"])
        self.send(owed)

    def send(self, owed):
        """Sends what is owed, the oldest first, until the server does not take it."""
        try:
            with smtplib.SMTP("127.0.0.1", self.sink.port, "localhost", timeout=10) as server:
                while owed:
                    server.send_message(self.mail(owed[0]))
                    owed.popleft()
        except (OSError, smtplib.SMTPException):
            pass

    def mail(self, report):
        name = self.timeline["machines"][report["machine"]]["name"]
        mail = EmailMessage()
        mail["From"], mail["To"] = "script@example.org", "ops@example.org"
        mail["Subject"] = f"{report['severity']}: {name}: {report['text']}"
        mail["X-Topic"], mail["X-Severity"], mail["X-Name"] = report["topic"], report["severity"], name
        mail.set_content(f"{name}: {report['text']}\n")
        return mail

    def mails(self):
        """Its mails, as the judge reads them."""
        found = []
        for it in self.sink.read():
            mail = mails.parse(it["message"])
            mention = {"name": mail.header("X-Name"), "topic": mail.header("X-Topic"), "text": mail.text,
                       "severity": mail.header("X-Severity"), "is_resolved": False}
            found.append({"at": self.run.told_ms(it["real"]), "subject": mail.subject,
                          "bytes": len(mail.text.encode()), "text": mail.text, "mentions": [mention]})
        return found
