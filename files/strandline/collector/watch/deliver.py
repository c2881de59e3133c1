"""Tell people: by mail (RFC 5321) through a server that takes it, and by a JSON document posted to a URL."""

from __future__ import annotations

import http.client
import json
import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from .judge import OK, Told
from .settings import STARTTLS, TLS, Mail, Webhook

NAMED = 5
"""So many subjects of a state are named in a title; all of them stand below."""


class DeliveryError(Exception):
    """It could not be delivered; the text says why."""


def title(items: Sequence[Told]) -> str:
    """What it is about in one line: `2 silent: ams1, scl1; 1 well again: sin1 ssh`."""
    groups: dict[str, list[str]] = {}
    for item in items:
        state = "well again" if item.state == OK else item.state
        names = groups.setdefault(state, [])
        name = item.subject.partition(" ")[2] or item.subject
        if name not in names:
            names.append(name)
    parts = []
    for state, names in sorted(groups.items(), key=lambda group: (group[0] == "well again", group[0])):
        rest = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
        parts.append(f"{len(names)} {state}: " + ", ".join([*names[:NAMED], *rest]))
    return "; ".join(parts)


def mail_message(mail: Mail, collector: str, ids: Sequence[int], made: datetime, items: Sequence[Told]) -> EmailMessage:
    """The mail. The same notices have the same Message-ID, so that a second copy can be known as one."""
    message = EmailMessage()
    message["Subject"] = f"[strandline] {title(items)}"
    message["From"] = mail.sender
    message["To"] = ", ".join(mail.to)
    message["Date"] = format_datetime(made.astimezone(UTC))
    message["Message-ID"] = f"<watch-{'-'.join(map(str, ids[:20]))}.{int(made.timestamp())}@{collector}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answering machine answers
    lines = [f"- {item.text}" for item in items]
    message.set_content("\n".join([*lines, "", f"Told by {collector}. What to do: docs/watch.md", ""]))
    return message


def by_mail(mail: Mail, message: EmailMessage) -> None:
    """Hand the mail to the server. Raises DeliveryError."""
    context = ssl.create_default_context()
    try:
        if mail.security == TLS:
            server: smtplib.SMTP = smtplib.SMTP_SSL(mail.host, mail.port, timeout=mail.timeout, context=context)
        else:
            server = smtplib.SMTP(mail.host, mail.port, timeout=mail.timeout)
        try:
            if mail.security == STARTTLS:
                server.starttls(context=context)
            if mail.user:
                server.login(mail.user, mail.password)
            refused = server.send_message(message)
        finally:
            # Once the server has taken the mail, how it says goodbye is no reason to send it again.
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
            server.close()
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryError(f"{mail.host}:{mail.port}: {' '.join(str(error).split())[:300]}") from error
    if refused:
        raise DeliveryError(f"{mail.host}:{mail.port}: refused for {', '.join(refused)}")


def document(collector: str, ids: Sequence[int], made: datetime, items: Sequence[Told]) -> dict[str, Any]:
    """What is posted. `text` is what chat programs show of a webhook."""
    return {
        "id": "-".join(map(str, ids)),
        "collector": collector,
        "time": made.astimezone(UTC).isoformat(timespec="seconds"),
        "title": title(items),
        "text": "\n".join([title(items), *(f"- {item.text}" for item in items)]),
        "items": [{"subject": item.subject, "state": item.state, "text": item.text} for item in items],
    }


def by_webhook(webhook: Webhook, body: dict[str, Any]) -> None:
    """Post the document; anything but 2xx is a failure, a redirection too. Raises DeliveryError."""
    parts = urlsplit(webhook.url)
    host, where = parts.hostname or "", f"{parts.scheme}://{parts.netloc}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, parts.port, timeout=webhook.timeout, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=webhook.timeout)
        try:
            headers = {"Content-Type": "application/json", "User-Agent": "strandline-watch", **webhook.headers}
            connection.request("POST", path, json.dumps(body).encode(), headers)
            answer = connection.getresponse()
            answer.read(65536)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DeliveryError(f"{where}: {' '.join(str(error).split())[:300] or type(error).__name__}") from error
    if not 200 <= answer.status < 300:
        raise DeliveryError(f"{where}: answered {answer.status} {answer.reason[:100]}")
