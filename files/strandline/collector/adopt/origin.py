"""Which sensor a log, or a line of it, is of."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from strandline.collector.adopt.found import Skip
from strandline.collector.lines import NAME, address, shown

_quad = re.compile(r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9]|\.[0-9])")


class Unknown(Exception):
    """The sensor can't be told; the text says what to do."""


def plain(text: str) -> str:
    """Return an address as listeners write it; raise Unknown for any other text."""
    try:
        return shown(address(text))
    except (OSError, ValueError):
        raise Unknown(f"--address {text}: that is no address") from None


def sensors(path: Path) -> dict[str, str]:
    """Return the sensor's name by address, as the role collector lists them; empty without the list."""
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return {}
    return {found: name for name, found in (line.split() for line in text.splitlines() if line.strip())}


def in_path(name: str) -> list[str]:
    """Return the addresses that a path names in a folder or in the file's name."""
    found: list[str] = []
    for part in PurePosixPath(name).parts:
        stem = re.sub(r"(?:\.(?:log|json|gz|xz|zst|[0-9]{1,3}))+\Z", "", part)
        candidates = [part, stem] if ":" in part else _quad.findall(part)
        for one in candidates:
            try:
                text = str(ipaddress.ip_address(one))
            except ValueError:
                continue
            if text not in found:
                found.append(text)
    return found


class Origin:
    """Says of which sensor a line is, and to which of its addresses it came."""

    def __init__(self, sensor: str, own: Iterable[str], known: Mapping[str, str], path: str) -> None:
        """With a sensor's name all lines are of it; else the path or each line tells by an address."""
        self._known = dict(known)
        self._sensor = sensor
        self._addresses: dict[str, list[str]] = {}
        for text, name in known.items():
            self._addresses.setdefault(name, []).append(text)
        self._near = ""
        if sensor:
            if not NAME.fullmatch(sensor):
                raise Unknown(f"--sensor {sensor}: that is no name of a sensor")
            given = [plain(text) for text in own]
            if given:
                self._addresses[sensor] = given
            if not self._addresses.get(sensor):
                raise Unknown(
                    f"--sensor {sensor}: the inventory has no sensor of that name. Correct it, or say by --address"
                    " which address it had; its events are then stored under this name"
                )
            return
        here = in_path(path)
        if not here:
            return  # each line says it
        ours = sorted({self._known[text] for text in here if text in self._known})
        if len(ours) != 1:
            what = "several sensors" if ours else "an address that no sensor of the inventory has"
            raise Unknown(
                f"{path}: the path names {what} ({', '.join(here)}). Import it with --sensor NAME, and --address"
                " ADDRESS if the inventory has not got that sensor"
            )
        self._sensor = ours[0]
        self._near = next(text for text in here if self._known.get(text) == self._sensor)

    def of(self, host: str, saddr: str) -> tuple[str, str, bool]:
        """Return sensor and destination address of a line, and whether that address is certain; raise Skip.

        `host` is what the line says of itself, which counts only where neither the operator nor the path has said it.
        """
        sensor, near = self._sensor, self._near
        if not sensor:
            try:
                near = shown(address(host))
            except (OSError, ValueError):
                raise Skip("sensor: neither the path nor the line names an address") from None
            found = self._known.get(near)
            if found is None:
                raise Skip("sensor: the line is from an address that no sensor of the inventory has")
            sensor = found
        family = ":" in saddr
        if near and (":" in near) == family:
            return sensor, near, True
        fitting = [text for text in self._addresses.get(sensor, []) if (":" in text) == family]
        if fitting:
            return sensor, fitting[0], len(fitting) == 1
        return sensor, near or self._addresses[sensor][0], False
