"""The catalogue: the listeners and every event that they write, with the fields of its line.

It is the sum of the files events.yml, one in each protocol's folder and one for the sensor itself. What they may hold
stands in protocols/README.md. The patterndb rules, docs/events.md and the tests follow from it. Runs on the controller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PACKAGE = Path(__file__).resolve().parents[1]
CAP = 256
"""Bytes of a value that are kept unless its `cap` says otherwise; the listeners' VALUE_CAP."""
SENSOR = "sensor"
"""The sensor itself, which reports its own state. It is not a listener and has no port."""
NAME = re.compile(r"[a-z][a-z0-9]{0,15}")
UNIT = re.compile(r"[A-Za-z0-9@_.:-]{1,120}\.service")
FLOW = ("saddr", "sport", "daddr", "dport", "proto")
MARK = 0x5354
"""The firewall's mark of packets from and to the listener that has every other port: a number of our own."""
SILENT_MARK = 0x5355
"""That of packets from a raw socket. It could send anything in anybody's name, so the firewall drops them."""
RESERVED = {"event", *FLOW, "sensor", "run", "n", "ts", "rts", "program", "reject", "msg"}
"""Names that the parsed spool uses itself (FLOW and event are in every line)."""


class CatalogueError(ValueError):
    """What is wrong with the catalogue: file, field and remedy in one sentence."""


@dataclass(frozen=True)
class Value:
    """What the other side chose."""

    name: str
    help: str
    cap: int
    """Bytes that are kept."""


@dataclass(frozen=True)
class Event:
    """One kind of line."""

    name: str
    listener: str
    program: str
    summary: str
    port: int
    protos: tuple[str, ...]
    trusted: Mapping[str, str]
    values: tuple[Value, ...]


def read(catalogue: Mapping[str, Any]) -> list[Event]:
    """The catalogue's events in its order. Raises CatalogueError."""
    listeners = catalogue["listeners"]
    default = int(catalogue["defaults"]["cap"])
    events = []
    for name, entry in catalogue["events"].items():
        if not re.fullmatch(r"[a-z][a-z0-9]*\.[a-z][a-z0-9_]*", name):
            raise CatalogueError(f"{name}: the name of an event is LISTENER.WORD")
        if entry["listener"] not in listeners:
            raise CatalogueError(f"{name}: there is no listener {entry['listener']}")
        listener = listeners[entry["listener"]]
        trusted = dict(entry.get("trusted") or {})
        values = tuple(
            Value(key, str(value["help"]), int(value.get("cap", default)))
            for key, value in (entry.get("values") or {}).items()
        )
        # What has no port, the sensor itself, writes as if by TCP from port 0 to port 0.
        ports = listener["ports"] or [{"port": 0, "proto": "tcp"}]
        protos = tuple(sorted({port["proto"] for port in ports}))
        event = Event(
            name,
            entry["listener"],
            listener["program"],
            entry["summary"],
            ports[0]["port"],
            protos,
            trusted,
            values,
        )
        _check(event)
        events.append(event)
    return events


def columns(events: Iterable[Event]) -> dict[str, list[str]]:
    """For each listener the fields of its events, each once, in the catalogue's order: the archive's columns.

    `verified` is not among them: the archive has it for every event.
    """
    found: dict[str, dict[str, None]] = {}
    for event in events:
        names = [*event.trusted, *(value.name for value in event.values)]
        found.setdefault(event.listener, {}).update(dict.fromkeys(name for name in names if name != "verified"))
    return {listener: list(names) for listener, names in found.items()}


def _check(event: Event) -> None:
    """Raise CatalogueError when the event's fields could be mistaken for others."""
    names = [*event.trusted, *(value.name for value in event.values)]
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise CatalogueError(f"{event.name}: {name} is no name for a field")
        if name in RESERVED:
            raise CatalogueError(f"{event.name}: the field {name} has a meaning of its own; give it another name")
        if names.count(name) > 1:
            raise CatalogueError(f"{event.name}: the field {name} stands there twice")
    for value in event.values:
        if f"{value.name}_length" in names:
            raise CatalogueError(f"{event.name}: {value.name}_length is where the length of a cut {value.name} goes")
    if event.protos != ("tcp",) and next(iter(event.trusted), None) != "verified":
        raise CatalogueError(f"{event.name}: its source may be forged, so its first trusted field must be `verified`")


# --- the files ---


def protocols(package: Path = PACKAGE) -> list[Path]:
    """The protocols' folders, by name."""
    return sorted(file.parent for file in (package / "protocols").glob("*/events.yml"))


def load(package: Path = PACKAGE) -> dict[str, Any]:
    """The catalogue: `listeners` and `events` by name, each event with its listener's. Raises CatalogueError."""
    catalogue: dict[str, Any] = {"defaults": {"cap": CAP}, "listeners": {}, "events": {}}
    for folder in [*protocols(package), package / SENSOR]:
        file, name = folder / "events.yml", folder.name
        document = _document(file)
        if not NAME.fullmatch(name):
            raise CatalogueError(f"{folder}: name the folder with small letters and digits, at most 16, a letter first")
        listener = _listener(file, name, document)
        python = (folder / "session.py").is_file()
        if python and (listener["program"], listener["unit"]) != (f"strandline-{name}", f"strandline-{name}.service"):
            raise CatalogueError(f"{file}: listener: remove unit and program: in Python they are the default ones")
        catalogue["listeners"][name] = {**listener, "python": python}
        for event, entry in document["events"].items():
            if not str(event).startswith(f"{name}."):
                raise CatalogueError(f"{file}: {event}: begin the event's name with {name}.")
            catalogue["events"][event] = {**entry, "listener": name}
    _check_ports(catalogue["listeners"])
    read(catalogue)
    return catalogue


def _document(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogueError(f"{file}: {error}") from error
    if not isinstance(document, dict) or not all(isinstance(document.get(key), dict) for key in ("listener", "events")):
        raise CatalogueError(f"{file}: write the two mappings `listener` and `events`")
    for event, entry in document["events"].items():
        if not isinstance(entry, dict) or not entry.get("summary"):
            raise CatalogueError(f"{file}: {event}: give it a summary")
        _check_fields(f"{file}: {event}", entry)
    return document


def _check_fields(where: str, entry: Mapping[str, Any]) -> None:
    """Raise CatalogueError unless the event's fields have the shape that protocols/README.md shows."""
    trusted, values = entry.get("trusted") or {}, entry.get("values") or {}
    if not isinstance(trusted, dict):
        raise CatalogueError(f"{where}: trusted: write a mapping, NAME: what it means")
    if not isinstance(values, dict):
        raise CatalogueError(f"{where}: values: write a mapping, NAME: {{help: what it is}}")
    for name, value in values.items():
        if not isinstance(value, dict) or not value.get("help"):
            raise CatalogueError(f"{where}: values: {name}: write {{help: what it is}}, and cap if 256 bytes don't do")
        cap = value.get("cap", CAP)
        if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
            raise CatalogueError(f"{where}: values: {name}: cap: write a number of bytes, for example 1024")


def _listener(file: Path, name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """A listener's entry with its defaults filled in. Raises CatalogueError."""
    entry = {
        "title": name.upper(), "program": f"strandline-{name}", "unit": f"strandline-{name}.service", "settings": {},
        "optional": False, "every_other_port": False, **document["listener"],
    }  # fmt: skip
    known = ("title", "ports", "unit", "program", "settings", "optional", "every_other_port")
    if unknown := sorted(set(entry) - set(known)):
        raise CatalogueError(f"{file}: listener: {unknown[0]} is unknown; it has {', '.join(known)}")
    for key in ("optional", "every_other_port"):
        if not isinstance(entry[key], bool):
            raise CatalogueError(f"{file}: listener: {key}: write true, or leave it out")
    ports = entry.get("ports")
    if not isinstance(ports, list) or not all(_is_port(port) for port in ports) or not (ports or name == SENSOR):
        raise CatalogueError(f"{file}: listener: ports: write a list like [{{port: 79, proto: tcp}}]")
    if entry["every_other_port"]:
        protos = sorted(port["proto"] for port in ports)
        if protos != ["tcp", "udp"] or ports[0]["port"] != ports[1]["port"] or not entry["optional"]:
            raise CatalogueError(
                f"{file}: listener: every_other_port: write `optional: true`, and one port that is both tcp and udp"
            )
    if not UNIT.fullmatch(str(entry["unit"])):
        raise CatalogueError(f"{file}: listener: unit: write the service's name, like strandline-{name}.service")
    return entry


def _is_port(port: object) -> bool:
    if not isinstance(port, dict) or set(port) != {"port", "proto"} or type(port["port"]) is not int:
        return False
    if port["proto"] == "ipv6":
        return port["port"] == 0
    return 0 < port["port"] < 65536 and port["proto"] in ("tcp", "udp")


def port_name(port: Mapping[str, Any]) -> str:
    """A listener's port as it is shown: 53/udp, or the protocol that has no ports."""
    return "IP protocol 41" if port["proto"] == "ipv6" else f"{port['port']}/{port['proto']}"


def _check_ports(listeners: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise CatalogueError when two listeners are to have one port."""
    owners: dict[tuple[int, str], str] = {}
    for name, entry in listeners.items():
        for port in entry["ports"]:
            key = port["port"], port["proto"]
            if (other := owners.setdefault(key, name)) != name:
                raise CatalogueError(f"protocols/{name}/events.yml: {port_name(port)} belongs to {other}; take another")


def listeners(catalogue: Mapping[str, Any], names: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Name, service and ports of the listeners: those named, or all that are not optional. The sensor itself, which
    has no port, is left out.

    Raises CatalogueError for a name that is no listener's.
    """
    known = {name: entry for name, entry in catalogue["listeners"].items() if entry["ports"]}
    usual = [name for name, entry in known.items() if not entry.get("optional")]
    wanted = usual if names is None else list(names)
    for name in wanted:
        if name not in known:
            raise CatalogueError(f"fleet_listeners: {name!r} is no listener; there are {', '.join(known)}")
    return [
        {"name": name, "unit": entry["unit"], "ports": entry["ports"]}
        for name, entry in known.items()
        if name in wanted
    ]


def python_listeners(catalogue: Mapping[str, Any], names: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Name, title, ports and settings of the listeners that Python serves, chosen as `listeners` does.

    The firewall knows some sockets by their `mark`: those of the one that has every other port too, and raw ones, which
    send nothing; for the others it is 0.
    """

    def mark(entry: Mapping[str, Any]) -> int:
        if entry.get("every_other_port"):
            return MARK
        return SILENT_MARK if any(port["proto"] == "ipv6" for port in entry["ports"]) else 0

    return [
        {key: entry[key] for key in ("title", "ports", "settings")}
        | {"name": each["name"], "mark": mark(entry), "every_other_port": bool(entry.get("every_other_port"))}
        for each in listeners(catalogue, names)
        if (entry := catalogue["listeners"][each["name"]])["python"]
    ]
