"""The watcher's configuration, /etc/strandline/watch.json, as the role collector writes it."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
STARTTLS, TLS, PLAIN = "starttls", "tls", "none"


class SettingsError(Exception):
    """The configuration is wrong; the text names file and field, and says what belongs there."""


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


def _part(where: str, cls: type[Any], tree: Any) -> Any:
    """A dataclass from an object with the same names. Raises SettingsError."""
    if not isinstance(tree, dict):
        raise SettingsError(f"{where}: must be an object")
    known = {one.name: one for one in fields(cls)}
    for name in tree:
        if name not in known:
            raise SettingsError(f"{where}: unknown field {name!r}; known are {', '.join(known)}")
    for name, one in known.items():
        if name not in tree and one.default is MISSING and one.default_factory is MISSING:
            raise SettingsError(f"{where}: field {name} is missing")
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in tree.items()})


def _mail(where: str, tree: Any) -> Mail | None:
    if not tree or not tree.get("to"):
        return None
    mail: Mail = _part(where, Mail, tree)
    if mail.security not in (STARTTLS, TLS, PLAIN):
        raise SettingsError(f"{where}: security is {mail.security!r}; it must be none, starttls or tls")
    if mail.password and mail.security == PLAIN and mail.host not in LOOPBACK:
        raise SettingsError(f"{where}: a password must not travel in the clear: set security to starttls or tls")
    for address in (*mail.to, mail.sender):
        if "@" not in address or any(ord(letter) < 33 for letter in address):
            raise SettingsError(f"{where}: {address!r} is no mail address")
    return mail


def _webhook(where: str, tree: Any) -> Webhook | None:
    if not tree or not tree.get("url"):
        return None
    webhook: Webhook = _part(where, Webhook, tree)
    parts = urlsplit(webhook.url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise SettingsError(f"{where}: url must begin with https:// (http:// is for this host alone)")
    for name, value in webhook.headers.items():
        if not all(32 < ord(letter) < 127 for letter in name) or any(ord(letter) in (10, 13) for letter in str(value)):
            raise SettingsError(f"{where}: {name!r} can't be a header")
    return webhook


def parse(tree: Any, source: str) -> Settings:
    """Check what was read. Raises SettingsError with the first mistake."""
    try:
        limits = tree.get("limits", {})
        return Settings(
            collector=str(tree["collector"]),
            database=str(tree["database"]),
            limits=Limits(
                silence=timedelta(minutes=float(limits.get("silence_minutes", 15))),
                quiet=timedelta(hours=float(limits.get("quiet_hours", 48))),
                disk_percent=int(limits.get("disk_percent", 10)),
                flap_changes=int(limits.get("flap_changes", 4)),
                flap_window=timedelta(minutes=float(limits.get("flap_minutes", 60))),
                settle=timedelta(minutes=float(limits.get("settle_minutes", 30))),
            ),
            mail=_mail(f"{source}: mail", tree.get("mail")),
            webhook=_webhook(f"{source}: webhook", tree.get("webhook")),
            addresses=Path(tree["addresses"]),
            disks=tuple(Path(disk) for disk in tree["disks"]),
            loader_status=Path(tree["loader_status"]),
            stats=Path(tree["stats"]),
            removed=Path(tree["removed"]),
            run=Path(tree["run"]),
            state=Path(tree["state"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"{source}: {type(error).__name__}: {error}") from error


def load(path: Path) -> Settings:
    """Read and check the file. Raises SettingsError."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path}: not JSON: {error}") from error
