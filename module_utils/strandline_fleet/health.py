"""What `./strandline verify` makes of a host: its measurements against the inventory's limits. No sockets here.

A host may have been taken over: whatever it says is checked before it is used, and escaped before it is shown.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strandline_fleet.listening import shown, strange_programs

HOST_CHECKS = ("clock", "certificate", "disk", "memory", "updates", "ports", "owners")
SHOWN = 160  # characters of a host's text
LISTED = 4  # names in a cell
SITE_TLS_DAYS = 14  # the site's certificate should not end sooner
DAY = 86400.0


@dataclass(frozen=True)
class Finding:
    """One cell: whether it is as it should be, what to show, and the figures behind it."""

    ok: bool
    says: str
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A host, or one that could not be asked (``unreachable`` says why)."""

    host: str
    function: str
    findings: Mapping[str, Finding]
    unreachable: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.unreachable and all(finding.ok for finding in self.findings.values())


class Strange(ValueError):
    """A host said something that no host of ours says."""


def escaped(text: object, limit: int = SHOWN) -> str:
    r"""A host's text as it may be shown: printable ASCII stays, all else is \xNN or \uNNNN, and it is cut."""
    said = str(text)
    shown = "".join(letter if " " <= letter <= "~" and letter != "\\" else _escape(letter) for letter in said[:limit])
    return shown + ("…" if len(said) > limit else "")


def _escape(letter: str) -> str:
    number = ord(letter)
    return "\\\\" if letter == "\\" else f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def number(value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number within bounds. Raises Strange for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Strange(f"{escaped(value)} is no number")
    try:
        amount = float(value)
    except OverflowError as error:
        raise Strange("a number beyond all bounds") from error
    if not math.isfinite(amount) or not low <= amount <= high:
        raise Strange(f"{escaped(value)} is not between {low} and {high}")
    return amount


def words(value: object) -> list[str]:
    """A list of texts, escaped. Raises Strange for anything else."""
    if not isinstance(value, list):
        raise Strange(f"{escaped(value)} is no list")
    return [escaped(each, 60) for each in value]


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def clock(part: Mapping[str, Any], limits: Mapping[str, Any], _now: float) -> Finding:
    """The clock's offset from the time servers'."""
    offset = number(part["offset"], -1e10, 1e10)
    figures = {"offset_seconds": offset, "synchronised": part["synchronised"] is True}
    if part["synchronised"] is not True:
        return Finding(False, "chrony follows no time server: chronyc sources", figures)
    if abs(offset) > float(limits["clock_seconds"]):
        way = "fast" if offset > 0 else "slow"
        return Finding(
            False, f"{abs(offset):.3f} s {way}, allowed {limits['clock_seconds']}: chronyc tracking", figures
        )
    return Finding(True, f"{offset * 1000:+.1f} ms", figures)


def certificate(part: Mapping[str, Any], limits: Mapping[str, Any], now: float, known: str | None = None) -> Finding:
    """How long the certificate is good for, and whether it is the one that the network knows (``known``, SHA-256)."""
    ends = number(part["ends"], 0, 253402300799)
    days = math.floor((ends - now) / DAY)
    day = dt.datetime.fromtimestamp(ends, dt.UTC).date()
    figures = {"ends": day.isoformat(), "days": days}
    if ends <= now:
        return Finding(False, f"ended {day}: ./strandline rotate_certificates -i INVENTORY", figures)
    if days < int(limits["certificate_days"]):
        return Finding(False, f"ends {day}, in {days} days: ./strandline rotate_certificates -i INVENTORY", figures)
    if known is None:
        return Finding(
            False, "the inventory's certificates/ has none of this host: ./strandline site -i INVENTORY", figures
        )
    if part["sha256"] != known:
        return Finding(False, "not the one in the inventory's certificates/: ./strandline site -i INVENTORY", figures)
    return Finding(True, f"{days} days", figures)


def disk(part: Mapping[str, Any], limits: Mapping[str, Any], _now: float) -> Finding:
    """The fullest file system, by bytes or inodes."""
    allowed = int(limits["disk_percent"])
    most, bad = 0.0, []
    for each in part["file_systems"]:
        for key, what in (("used", ""), ("inodes_used", " of inodes")):
            share = number(each[key], 0, 1)
            most = max(most, share)
            if share * 100 > allowed:
                bad.append(f"{escaped(each['path'], 40)} {share:.0%} full{what}")
    figures = {"percent": round(most * 100, 1)}
    return Finding(False, f"{some(bad)}, allowed {allowed}%", figures) if bad else Finding(True, f"{most:.0%}", figures)


def memory(part: Mapping[str, Any], limits: Mapping[str, Any], _now: float) -> Finding:
    """Memory that programs can still have."""
    total = number(part["total"], 1)
    share = number(part["available"], 0, total) / total
    figures = {"available_percent": round(share * 100, 1)}
    if share * 100 < int(limits["memory_percent"]):
        left = f"{share:.0%} of {total / 2**20:.0f} MiB left"
        return Finding(False, f"{left}, wanted {limits['memory_percent']}%: systemd-cgtop -m", figures)
    return Finding(True, f"{share:.0%} left", figures)


def updates(part: Mapping[str, Any], limits: Mapping[str, Any], _now: float) -> Finding:
    """Updates of Debian's that wait, a reboot that is due, and lists too old to say."""
    packages, security = words(part["packages"]), words(part["security"])
    reboot = escaped(part["reboot"], 80)
    age = None if part["lists_age"] is None else number(part["lists_age"], -1e10, 1e10)
    figures = {"pending": len(packages), "security": len(security), "reboot": reboot or None}
    wrong = []
    hours = int(limits["package_lists_hours"])
    # An hour's grace: the lists were fetched a moment ago, or are just not old enough to be.
    if age is None or age > (hours + 1) * 3600:
        old = "has no package lists" if age is None else f"package lists are {age / 3600:.0f} h old"
        wrong.append(f"{old}: apt-get update fails on the host")
    if len(security) > int(limits["security_updates"]):
        wrong.append(f"{len(security)} of security ({some(security)}): ./strandline upgrade -i INVENTORY")
    if len(packages) > int(limits["updates"]):
        wrong.append(f"{len(packages)} wait, allowed {limits['updates']}: ./strandline upgrade -i INVENTORY")
    if reboot:
        wrong.append(f"reboot: {reboot}")
    return Finding(not wrong, "; ".join(wrong) or (f"{len(packages)} wait" if packages else "none"), figures)


def ports(part: Mapping[str, Any], limits: Mapping[str, Any], _now: float) -> Finding:
    """What listens against what should: nothing missing, nothing more."""
    wanted = {(int(each["port"]), str(each["proto"])) for each in limits["listening"]}
    tolerated = {(int(each["port"]), str(each["proto"])) for each in limits["tolerated"]}
    found: dict[tuple[int, str], str] = {}
    for each in part["sockets"]:
        port = int(number(each["port"], 0, 65535))
        if each["proto"] not in ("tcp", "udp", "ipv6"):
            raise Strange(f"{escaped(each['proto'], 20)} is no protocol")
        found[port, each["proto"]] = escaped(str(each["program"]).rsplit("/", 1)[-1], 40)
    missing = [shown(port, proto) for port, proto in sorted(wanted - found.keys())]
    extra = [
        shown(port, proto) + (f" ({found[port, proto]})" if found[port, proto] else "")
        for port, proto in sorted(found.keys() - wanted - tolerated)
    ]
    strange = [escaped(each) for each in strange_programs(part, limits["listening"])]
    figures = {"missing": missing, "extra": extra, "strange": strange}
    wrong = (
        strange
        + ([f"nothing listens on {some(missing)}"] if missing else [])
        + ([f"should not listen: {some(extra)}"] if extra else [])
    )
    return Finding(not wrong, "; ".join(wrong) or f"{len(wanted)} as they should be", figures)


def owners(part: Mapping[str, Any], _limits: Mapping[str, Any], _now: float) -> Finding:
    """What else governs firewall, sshd, accounts or addresses and may shut out the operator at the next boot."""
    if part.get("failed"):
        raise Strange(part.get("msg", "the search for other owners failed"))
    found = [escaped(each["name"], 60) for each in part["disable"]]
    refused = [escaped(each["name"], 60) for each in part["refuse"]]
    wrong = [f"{some(found)}: ./strandline site -i INVENTORY disables it under guard"] if found else []
    wrong += [escaped(each["says"], 2 * SHOWN) for each in part["refuse"]]
    if part["loaded"] is not True:
        wrong.append("the rules are not loaded, or will not be at boot: systemctl status nftables on the host")
    figures = {"others": found + refused}
    return Finding(not wrong, "; ".join(wrong) or "none", figures)


def site(part: Mapping[str, Any], _limits: Mapping[str, Any], now: float) -> Finding:
    """What a publisher's readers get: its age, its sums, what it says of itself, and when its TLS certificate ends."""
    age = (now - number(part["generated"])) / 3600
    wrong = []
    if now > number(part["stale_after"]):
        wrong.append(f"the site is {age:.0f} h old")
    if part["wrong_sums"]:
        wrong.append(f"served files differ from the list: {some([escaped(each, 60) for each in part['wrong_sums']])}")
    if part["kept"] and not part["problems"]:
        wrong.append(f"not renewed: {some([escaped(each, 60) for each in part['kept']])}")
    wrong += [escaped(each) for each in part["problems"][:LISTED]]
    figures: dict[str, Any] = {"hours": round(age, 1)}
    if part["tls_ends"] is not None:
        figures["tls_days"] = round((number(part["tls_ends"]) - now) / DAY)
        if figures["tls_days"] < SITE_TLS_DAYS:
            wrong.append(f"the site's TLS certificate ends in {figures['tls_days']} days")
    return Finding(not wrong, "; ".join(wrong) or f"{age:.1f} h old", figures)


def last_event(last: float | None, limits: Mapping[str, Any], now: float) -> Finding:
    """When the database got the sensor's last event (seconds since 1970); None when it has none."""
    if last is None:
        return Finding(False, "none in 31 days", {"last_event": None})
    when = dt.datetime.fromtimestamp(last, dt.UTC)
    figures = {"last_event": when.isoformat(timespec="seconds")}
    hours = (now - last) / 3600
    if hours > int(limits["silent_hours"]):
        ago = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} h"
        return Finding(False, f"{when:%Y-%m-%d %H:%M}, {ago} ago, allowed {limits['silent_hours']} h", figures)
    return Finding(True, f"{when:%H:%M:%S}" if hours < 12 else f"{hours:.0f} h ago", figures)


Judge = Callable[[Mapping[str, Any], Mapping[str, Any], float], Finding]
JUDGES: Mapping[str, tuple[str, Judge]] = {
    "clock": ("clock", clock),
    "disk": ("disks", disk),
    "memory": ("memory", memory),
    "updates": ("updates", updates),
    "ports": ("ports", ports),
    "owners": ("owners", owners),
}


def host_findings(
    measured: Mapping[str, Any], limits: Mapping[str, Any], now: float, known: str | None
) -> dict[str, Finding]:
    """Judge what a host measured. A part that it could not measure, or that makes no sense, is wrong and says so."""

    def judge(part: str, by: Judge) -> Finding:
        said = measured.get(part)
        try:
            if not isinstance(said, Mapping):
                raise Strange("nothing was said of it")
            if "error" in said:
                return Finding(False, f"can't be measured: {escaped(said['error'])}")
            return by(said, limits, now)
        except (Strange, KeyError, TypeError, AttributeError, OverflowError) as error:
            return Finding(False, f"the host's answer makes no sense: {escaped(error)}")

    findings = {check: judge(part, by) for check, (part, by) in JUDGES.items()}
    findings["certificate"] = judge("certificate", lambda part, given, at: certificate(part, given, at, known))
    ordered = {check: findings[check] for check in HOST_CHECKS}
    # Measured where feeds are published.
    return ordered | ({"site": judge("publisher", site)} if "publisher" in measured else {})


def why_unreachable(answer: Mapping[str, Any]) -> str:
    """Why a task had no answer from a host; empty when it had one."""
    if answer.get("unreachable"):
        said = " ".join(str(answer.get("msg") or "no answer").split()).removeprefix("Task failed: ")
        # Ansible's sentences before it say only that it went over SSH.
        return escaped(re.split(r"(?:over|via) ssh: ", said, maxsplit=1)[-1])
    if answer.get("failed"):
        return escaped(" ".join(str(answer.get("msg") or "the measurement failed").split()))
    return ""


def seen(answers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Several databases: of each sensor the newest of its last events."""
    newest: dict[str, float] = {}
    for answer in answers:
        for name, last in answer.items():
            newest[name] = max(last, newest.get(name, last))
    return newest
