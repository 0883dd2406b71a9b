"""Reads a mail as its reader sees it: subject, text, HTML."""

import email
import email.policy
import html
import re
from dataclasses import dataclass


@dataclass
class Mail:
    subject: str
    text: str
    html: str
    headers: dict

    def header(self, name):
        return str(self.headers[name] or "")


def parse(message):
    parsed = email.message_from_bytes(message.encode("utf-8", "surrogateescape"), policy=email.policy.default)
    parts = {"text/plain": "", "text/html": ""}
    for part in parsed.walk():
        if part.get_content_type() in parts:
            parts[part.get_content_type()] += part.get_content().replace("\r\n", "\n")
    return Mail(str(parsed["Subject"] or ""), parts["text/plain"], parts["text/html"], parsed)


def visible(page):
    """The words of a page, without its head."""
    body = re.sub(r"(?is)<(head|style|script)\b.*?</\1>", " ", page)
    return html.unescape(re.sub(r"<[^>]*>", " ", body))
