"""The text of a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT), names hashed or not.

A line is: names with commas between them or one hashed name, key type, key; before them perhaps a marker (@revoked).
A name is a host's or [host]:port. Hashed it is |1|SALT|HMAC, both in base64, by HMAC-SHA1 over the name with the salt
as the key: ssh writes names so where HashKnownHosts is on, and then a name can be recognised and not be read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable

HASHED = "|1|"


def hashed(name: str, salt: bytes) -> str:
    """A name as ssh hashes it."""
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"{HASHED}{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def salt_of(entry: str) -> bytes | None:
    """The salt of a hashed name; None when the name is not hashed."""
    parts = entry.split("|")
    if len(parts) != 4 or not entry.startswith(HASHED):
        return None
    try:
        return base64.b64decode(parts[2], validate=True)
    except binascii.Error:
        return None


def is_name(entry: str, name: str) -> bool:
    """Whether an entry, hashed or not, stands for exactly that name."""
    salt = salt_of(entry)
    return entry == name if salt is None else hmac.compare_digest(entry, hashed(name, salt))


def spellings(name: str, ports: Iterable[int]) -> list[str]:
    """A host's name as ssh writes it for port 22 and for others."""
    return [name, *(f"[{name}]:{port}" for port in ports if port != 22)]


def _changed(text: str, change: Callable[[str], str | None]) -> str:
    """The text with each name changed, or removed where ``change`` returns None; a line without names goes.

    Comments stay, and so do lines with a marker: what was revoked remains revoked.
    """
    lines: list[str] = []
    keys: set[str] = set()
    for line in text.splitlines(keepends=True):
        names, space, key = line.partition(" ")
        if line.startswith(("#", "@")) or not key.strip():
            lines.append(line)
            continue
        changed = [change(name) for name in names.split(",")]
        kept = ",".join(dict.fromkeys(name for name in changed if name is not None))
        whole = f"{kept}{space}{key}"
        if kept and whole not in keys:
            keys.add(whole)
            lines.append(whole)
    return "".join(lines)


def _plain(entry: str) -> str:
    """An entry that is not hashed, without its port."""
    return entry[1:].partition("]:")[0] if entry.startswith("[") else entry


def forget(text: str, names: Iterable[str], ports: Iterable[int] = ()) -> str:
    """The text without the host keys of these names or addresses, at whatever port.

    Of a hashed name the port can't be read: it is found at port 22 and at ``ports``.
    """
    ports = list(ports)
    gone = set(names)
    known = [spelling for name in gone for spelling in spellings(name, ports)]

    def change(entry: str) -> str | None:
        if salt_of(entry) is None:
            return None if _plain(entry) in gone else entry
        return None if any(is_name(entry, name) for name in known) else entry

    return _changed(text, change)


def rename(text: str, old: str, new: str, ports: Iterable[int] = ()) -> str:
    """The text in which host keys kept under ``old`` count for ``new``. A hashed name stays hashed."""
    pairs = list(zip(spellings(old, ports), spellings(new, ports), strict=True))

    def change(entry: str) -> str:
        salt = salt_of(entry)
        if salt is None:
            if entry == old:
                return new
            return f"[{new}]{entry.removeprefix(f'[{old}]')}" if entry.startswith(f"[{old}]:") else entry
        return next((hashed(to, salt) for name, to in pairs if is_name(entry, name)), entry)

    return _changed(text, change)


def fingerprint(key: str) -> str:
    """A key as ssh shows it: SHA256 and its digest in base64 without padding."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(key)).digest()).decode().rstrip("=")


def keys_of(text: str, name: str) -> set[tuple[str, str]]:
    """The keys that a known_hosts file, or what ssh-keyscan printed, has for a name: type and key in base64.

    An empty name stands for every name.
    """
    found = set()
    for line in text.splitlines():
        names, _, rest = line.partition(" ")
        words = rest.split()
        if line.startswith(("#", "@")) or len(words) < 2:
            continue
        if not name or any(is_name(entry, name) for entry in names.split(",")):
            found.add((words[0], words[1]))
    return found


def recognise(text: str, name: str, scans: Iterable[str]) -> dict[str, object]:
    """Whether the host that answers is the one that is known by a name.

    ``scans`` are what ssh-keyscan printed of one port after the other; the first at which a host answered counts. The
    state is `same` when a known key is shown, `other` when all of them are others, `unknown` when none is known, and
    `silent` when no port answered. ``known`` and ``shown`` are fingerprints.
    """
    known = keys_of(text, name)
    shown = next((keys for scan in scans if (keys := keys_of(scan, ""))), set())
    # A host may have got a key of another type; only those of one type can be compared.
    kinds = {kind for kind, _ in known}
    comparable = {key for key in shown if key[0] in kinds}
    if not shown:
        state = "silent"
    elif not known:
        state = "unknown"
    else:
        state = "same" if comparable & known else "other"
    return {
        "state": state,
        "known": sorted(fingerprint(key) for _, key in known),
        "shown": sorted(fingerprint(key) for _, key in comparable or shown),
    }
