"""What is wrong, and what people have to be told of it: pure functions of what was found, what is known, and the time.

Nobody is accused on bad evidence. While nothing at all is heard, or the loader is behind, it is this collector that is
wrong, and no sensor is judged; afterwards each has the whole limit to be heard again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from .settings import Limits

OK = "ok"
HYSTERESIS = 2
"""Per cent that a disk must gain beyond its limit before it counts as well again."""
HEARING = 2
"""So many sensors together can tell that it is the collector who hears nothing."""


PUBLISHING = timedelta(hours=3)
"""A publisher that has not run for so long has missed two runs at least."""


@dataclass(frozen=True)
class Listener:
    """What is known of a listener."""

    heard: datetime
    state: str
    mute: str
    last_event: datetime | None


@dataclass(frozen=True)
class Sensor:
    """What is known of a sensor. `since`: when it was first looked for; `heard`: None before its first heartbeat."""

    name: str
    since: datetime
    heard: datetime | None = None
    interval: timedelta = timedelta(minutes=5)
    disk_free: int | None = None
    listeners: Mapping[str, Listener] = field(default_factory=dict)


@dataclass(frozen=True)
class Collector:
    """What is known of this host. `up_since`: when its syslog-ng started, None when it does not run."""

    name: str
    up_since: datetime | None
    hearing_since: datetime
    loader: str = ""  # what is wrong with the loader
    disks: Mapping[str, int] = field(default_factory=dict)  # per cent free, by directory


@dataclass(frozen=True)
class Publisher:
    """What a publisher last said of itself. `stale_after`: of what it has published, None when that is nothing."""

    name: str
    ran_at: datetime
    stale_after: datetime | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """The state of a subject, and a sentence on it."""

    state: str
    text: str = ""


@dataclass(frozen=True)
class Known:
    """What is remembered of a subject."""

    state: str
    since: datetime
    told: str = OK
    changes: tuple[datetime, ...] = ()
    damped: bool = False


@dataclass(frozen=True)
class Told:
    """What people are told."""

    subject: str
    state: str
    text: str


def stamp(moment: datetime) -> str:
    """A time as people read it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def span(length: timedelta) -> str:
    """A length of time as people read it."""
    minutes = int(length.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2 * 1440 else f"{minutes // 1440} days"


def hears_nothing(now: datetime, sensors: Iterable[Sensor]) -> datetime | None:
    """The time of the last heartbeat of all, when every sensor's is overdue and there are enough to tell; else None."""
    heard = [(sensor.heard, sensor.interval) for sensor in sensors if sensor.heard is not None]
    if len(heard) < HEARING:
        return None
    newest = max(moment for moment, _ in heard)
    overdue = max(interval for _, interval in heard) * 1.5 + timedelta(minutes=1)
    return newest if now - newest > overdue else None


def observe(
    now: datetime, limits: Limits, sensors: Iterable[Sensor], collector: Collector, known: Mapping[str, Known]
) -> tuple[dict[str, Found], bool]:
    """The state of every subject that can be judged, and whether the sensors could be."""
    sensors = list(sensors)
    found: dict[str, Found] = {}
    nothing_since = hears_nothing(now, sensors)
    can_judge = nothing_since is None and not collector.loader and collector.up_since is not None
    found.update(_collector(now, limits, collector, nothing_since, len(sensors)))
    for where, free in collector.disks.items():
        subject = f"disk {collector.name}:{where}"
        found[subject] = _disk(subject, f"{collector.name}: {where}", free, limits, known)
    if not can_judge:
        return found, False
    assert collector.up_since is not None  # noqa: S101 - or it could not judge
    heard_from = max(collector.hearing_since, collector.up_since)
    for sensor in sensors:
        subject = f"sensor {sensor.name}"
        found[subject] = _sensor(now, limits, sensor, heard_from, alone=len(sensors) < HEARING)
        if found[subject].state != OK or sensor.heard is None:
            continue  # of a silent sensor nothing more is known
        for name, listener in sensor.listeners.items():
            found[f"listener {sensor.name} {name}"] = _listener(now, limits, sensor, name, listener, heard_from)
        if sensor.disk_free is not None:
            subject = f"disk {sensor.name}"
            found[subject] = _disk(subject, f"{sensor.name}: the spool's file system", sensor.disk_free, limits, known)
    return found, True


def _collector(
    now: datetime, limits: Limits, collector: Collector, nothing_since: datetime | None, count: int
) -> dict[str, Found]:
    """This host's syslog-ng and loader, and whether anybody is heard."""
    name = collector.name
    found = {f"loader {name}": Found(OK, f"{name}: the loader is well again")}
    if collector.loader:
        found[f"loader {name}"] = Found("behind", f"{name}: {collector.loader}; no sensor can be judged meanwhile")
    found[f"collector {name}"] = Found(OK, f"{name} hears the sensors again")
    if collector.up_since is None:
        found[f"collector {name}"] = Found("stopped", f"{name}: syslog-ng does not run: no event is received")
    elif nothing_since is not None and not collector.loader and now - nothing_since > limits.silence:
        since = f"its syslog-ng runs since {stamp(collector.up_since)}"
        found[f"collector {name}"] = Found(
            "deaf",
            f"{name} has heard none of its {count} sensors since {stamp(nothing_since)} ({since}): rather its own"
            " network than all of them. No sensor is judged before it hears again",
        )
    return found


def _sensor(now: datetime, limits: Limits, sensor: Sensor, heard_from: datetime, *, alone: bool) -> Found:
    """Whether a sensor is heard."""
    name = sensor.name
    last = max(sensor.heard or sensor.since, heard_from)
    if now - last <= limits.silence:
        return Found(OK, f"{name} is heard again" if sensor.heard else f"{name} is waited for")
    ever = f"since {stamp(sensor.heard)}, {span(now - sensor.heard)}" if sensor.heard else "yet, not once"
    hint = "; it is the only one, so it may be this collector's network" if alone else ""
    return Found("silent", f"{name} has not been heard {ever}{hint}")


def _listener(
    now: datetime, limits: Limits, sensor: Sensor, name: str, listener: Listener, heard_from: datetime
) -> Found:
    """Whether a listener of a sensor that is heard lives."""
    where = f"{sensor.name}: {name}"
    if now - max(listener.heard, heard_from) > limits.silence:
        return Found("silent", f"{where}: the sensor has not spoken of it since {stamp(listener.heard)}")
    if listener.state == "inactive":
        return Found("dead", f"{where}: its service does not run")
    if listener.state != "alive":
        return Found("dead", f"{where}: its service runs and does not answer on {listener.mute.replace('+', ', ')}")
    quiet = limits.quiet and listener.last_event is not None and now - listener.last_event > limits.quiet
    if quiet and listener.last_event is not None:
        ago = span(now - listener.last_event)
        return Found("quiet", f"{where}: it lives, and had no visitor for {ago}: is its port reachable from outside?")
    return Found(OK, f"{where} lives again")


def publishers(now: datetime, said: Iterable[Publisher]) -> dict[str, Found]:
    """The state of every publisher. None is forgotten for being silent: that is when people need to know."""
    return {f"publisher {one.name}": _publisher(now, one) for one in said}


def _publisher(now: datetime, one: Publisher) -> Found:
    """Whether a publisher's feeds are renewed, and its last run went well."""
    if one.stale_after is not None and now > one.stale_after:
        why = f": {one.problems[0]}" if one.problems else ""
        return Found("stale", f"{one.name}: its feeds were not renewed, they held until {stamp(one.stale_after)}{why}")
    if now - one.ran_at > PUBLISHING:
        return Found("silent", f"{one.name}: the publisher has not run since {stamp(one.ran_at)}")
    if one.problems:
        more = f" (and {len(one.problems) - 1} more)" if len(one.problems) > 1 else ""
        return Found("failing", f"{one.name}: {one.problems[0]}{more}")
    return Found(OK, f"{one.name} publishes well again")


def _disk(subject: str, where: str, free: int, limits: Limits, known: Mapping[str, Known]) -> Found:
    """Whether a disk has room."""
    before = known.get(subject)
    limit = limits.disk_percent + (HYSTERESIS if before is not None and before.state != OK else 0)
    if free < limit:
        return Found("full", f"{where} has {free} % left")
    return Found(OK, f"{where} has {free} % left again")


def step(
    now: datetime,
    limits: Limits,
    known: Mapping[str, Known],
    found: Mapping[str, Found],
    *,
    collector: str,
    judged: bool,
) -> tuple[dict[str, Known], list[Told]]:
    """What is remembered from now on, and what people are told: each change of a state once.

    What changes too often is told so once, and again when it has kept a state for a while. A subject that is not found
    any more is forgotten, but kept as it was while the sensors can't be judged, while its sensor is not heard, and when
    it is another collector's.
    """
    after: dict[str, Known] = {}
    told: list[Told] = []
    for subject, one in sorted(found.items()):
        memory = known.get(subject, Known(OK, now))
        changes = tuple(moment for moment in memory.changes if now - moment < limits.flap_window)
        if one.state != memory.state:
            memory = replace(memory, state=one.state, since=now)
            changes = (*changes, now)
        memory = replace(memory, changes=changes)
        if memory.damped:
            if now - memory.since >= limits.settle:
                text = f"{one.text or subject} (settled: so for {span(now - memory.since)})"
                told.append(Told(subject, memory.state, text))
                memory = replace(memory, damped=False, told=memory.state, changes=())
        elif memory.state != memory.told:
            if len(changes) >= limits.flap_changes:
                text = (
                    f"{one.text or subject}; it changed {len(changes)} times within {span(limits.flap_window)}, and you"
                )
                text += f" are told again when it has kept one state for {span(limits.settle)}"
                told.append(Told(subject, "flapping", text))
                memory = replace(memory, damped=True)
            else:
                told.append(Told(subject, memory.state, one.text or subject))
                memory = replace(memory, told=memory.state)
        after[subject] = memory
    for subject, memory in known.items():
        if subject in found:
            continue
        kind, name, *_ = subject.split(" ")
        if kind in ("collector", "loader") or ":" in name:
            keep = name.partition(":")[0] != collector
        else:
            sensor = found.get(f"sensor {name}")
            keep = not judged or (kind != "sensor" and sensor is not None and sensor.state != OK)
        if keep:
            after[subject] = memory
    return after, told
