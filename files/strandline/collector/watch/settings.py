"""The watcher's configuration, /etc/strandline/watch.json, as the role collector writes it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from ...shared.settings import Section, read_json

LOOPBACK = ("localhost", "127.0.0.1", "::1")
STARTTLS, TLS, PLAIN = "starttls", "tls", "none"


@dataclass(frozen=True)
class Mail:
    """A mail server that takes our mail, and from whom and to whom it goes."""

    to: tuple[str, ...]
    sender: str
    host: str = "localhost"
    port: int = 25
    security: str = PLAIN  # or starttls, tls
    user: str = ""
    password: str = field(default="", repr=False)
    timeout: float = 20


@dataclass(frozen=True)
class Webhook:
    """Where a JSON document is posted to."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10


@dataclass(frozen=True)
class Limits:
    """From when on something is wrong, and when it is told."""

    silence: timedelta = timedelta(minutes=15)
    quiet: timedelta = timedelta(hours=48)  # a listener that lives and writes no event; 0: never mind
    disk_percent: int = 10
    flap_changes: int = 4
    flap_window: timedelta = timedelta(hours=1)
    settle: timedelta = timedelta(minutes=30)


@dataclass(frozen=True)
class Settings:
    """All that the watcher has to know."""

    collector: str
    database: str
    limits: Limits
    mail: Mail | None
    webhook: Webhook | None
    addresses: Path
    disks: tuple[Path, ...]
    loader_status: Path
    stats: Path
    removed: Path
    run: Path  # a boot removes what is in it
    state: Path


def _mail(section: Section) -> Mail | None:
    section.only(*(one.name for one in fields(Mail)))
    if not section.texts("to"):
        return None
    mail = Mail(
        to=section.texts("to"),
        sender=section.text("sender"),
        host=section.text("host", Mail.host),
        port=section.number("port", Mail.port, 1, 65535),
        security=section.choice("security", (PLAIN, STARTTLS, TLS), Mail.security),
        user=section.optional("user"),
        password=section.optional("password"),
        timeout=section.decimal("timeout", Mail.timeout, 0.1, 300),
    )
    if mail.password and mail.security == PLAIN and mail.host not in LOOPBACK:
        raise section.wrong("password", "would travel in the clear", "Set security to starttls or tls")
    for key, address in (*(("to", address) for address in mail.to), ("sender", mail.sender)):
        if "@" not in address or any(ord(letter) < 33 for letter in address):
            raise section.wrong(key, f"{address!r} is no mail address", "Write one like alice@example.org")
    return mail


def _webhook(section: Section) -> Webhook | None:
    section.only(*(one.name for one in fields(Webhook)))
    url = section.optional("url")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise section.wrong("url", "has another scheme", "Begin it with https:// (http:// is for this host alone)")
    headers = section.entries("headers")
    for name, value in headers.items():
        if not all(32 < ord(letter) < 127 for letter in name) or any(ord(letter) in (10, 13) for letter in value):
            raise section.wrong("headers", f"{name!r} can't be a header", "Use printable ASCII, and one line")
    return Webhook(url, dict(headers), section.decimal("timeout", Webhook.timeout, 0.1, 300))


def _limits(section: Section) -> Limits:
    section.only(
        "silence_minutes", "quiet_hours", "disk_percent", "flap_changes", "flap_minutes", "settle_minutes"
    )  # fmt: skip
    minutes, hours = timedelta(minutes=1), timedelta(hours=1)
    return Limits(
        silence=section.decimal("silence_minutes", Limits.silence / minutes, 0.1, 10080) * minutes,
        quiet=section.decimal("quiet_hours", Limits.quiet / hours, 0, 8760) * hours,
        disk_percent=section.number("disk_percent", Limits.disk_percent, 0, 100),
        flap_changes=section.number("flap_changes", Limits.flap_changes, 1, 1000),
        flap_window=section.decimal("flap_minutes", Limits.flap_window / minutes, 0.1, 10080) * minutes,
        settle=section.decimal("settle_minutes", Limits.settle / minutes, 0, 10080) * minutes,
    )


def parse(top: Section) -> Settings:
    """Check what was read. Raises ConfigurationError with the first mistake."""
    top.only(*(one.name for one in fields(Settings)))
    return Settings(
        collector=top.text("collector"),
        database=top.text("database"),
        limits=_limits(top.section("limits")),
        mail=_mail(top.section("mail")),
        webhook=_webhook(top.section("webhook")),
        addresses=top.path("addresses"),
        disks=tuple(map(Path, top.texts("disks"))),
        loader_status=top.path("loader_status"),
        stats=top.path("stats"),
        removed=top.path("removed"),
        run=top.path("run"),
        state=top.path("state"),
    )


def load(path: Path) -> Settings:
    """Read and check the file. Raises ConfigurationError."""
    return parse(read_json(path))
