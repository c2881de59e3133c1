"""Leased hosts as a table of comma-separated values: one host a line, for a spreadsheet and from one."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime as dt
import difflib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from strandline_fleet.errors import Refusal
from strandline_fleet.inventory import edit
from strandline_fleet.inventory.change import Change
from strandline_fleet.inventory.countries import CONTINENT_OF
from strandline_fleet.inventory.model import Fleet, Host, Problem, Provider
from strandline_fleet.inventory.providers import renews_by_itself
from strandline_fleet.inventory.trees import Trees, place_host

PLACE = ("city", "country")
LEASE = ("plan", "price", "currency", "period", "renews", "status", "since", "auto_renew", "cancel_days")
COLUMNS = ("host", "provider", "provider_name", "site", "addresses", *PLACE, *LEASE)
OPTIONAL = ("provider_name", "site", "status", "since", "auto_renew", "cancel_days")
SHOWN = 20
"""Mistakes that are told at once."""
BY_VERB = {
    "addresses": "follow its addresses by ./strandline renumber or address",
    "price": "write a new price by ./strandline renewed --price",
    "renews": "write a payment by ./strandline renewed",
    "provider": "rename a provider by ./strandline provider",
}
"""What changes a host that is there already, by column."""


@dataclass(frozen=True)
class Row:
    """A line of the table: its number in the file, and the text of each column; an empty one is left out."""

    line: int
    words: Mapping[str, str]

    @property
    def host(self) -> str:
        """The host's name."""
        return self.words.get("host", "")

    @property
    def group(self) -> str:
        """The provider's group."""
        return f"provider_{self.words.get('provider', '').removeprefix('provider_')}"

    @property
    def addresses(self) -> list[str]:
        """The addresses, between which there are blanks."""
        return self.words.get("addresses", "").split()


def exported(fleet: Fleet) -> str:
    """The whole fleet as a table, which :func:`imported` finds nothing to change in."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for provider in fleet.providers:
        writer.writerows([words.get(column, "") for column in COLUMNS] for words in _words(provider))
    return out.getvalue()


def _words(provider: Provider) -> Iterator[dict[str, str]]:
    for host in provider.hosts:
        lease = host.lease
        yield {
            "host": host.name,
            "provider": provider.group.removeprefix("provider_"),
            "provider_name": provider.name,
            "site": str(provider.details.get("site") or ""),
            "addresses": " ".join(host.addresses),
            "city": host.place.city,
            "country": host.place.country,
            "plan": lease.plan,
            "price": f"{lease.price:.2f}",
            "currency": lease.currency,
            "period": lease.period,
            "renews": str(lease.renews),
            "status": lease.status,
            "since": str(lease.since or ""),
            "auto_renew": "true" if lease.auto_renew else "false",
            "cancel_days": "" if lease.cancel_days is None else str(lease.cancel_days),
        }


def rows_of(path: Path) -> list[Row]:
    """Read a table. Commas, semicolons or tabs stand between its columns; the first line names them, in any order.

    Raises Refusal with file and line for what is no such table.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Refusal(f"import_file: {path} can't be read ({error.strerror}). Name a file of this machine.") from error
    except UnicodeDecodeError as error:
        raise Refusal(f"{path} is not UTF-8 text (byte {error.start}). Save it as CSV in UTF-8.") from error
    lines = text.splitlines()
    first = lines[0] if lines else ""
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        header, *found = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except ValueError:
        raise Refusal(f"{path} is empty. Its first line names the columns: {','.join(COLUMNS)}.") from None
    except csv.Error as error:
        raise Refusal(f"{path}:{reader.line_num}: is no table: {error}. Correct the quotes of that line.") from error
    names = header[1]
    problems = [*_wrong_columns(path, names)]
    for line, cells in found:
        if len(cells) != len(names):
            message = f"the line has {len(cells)} columns and the first one {len(names)}"
            problems.append(Problem(str(path), line, "", "", message, "put a value with a comma in it in quotes"))
    _stop(path, problems)
    return [Row(line, {name: cell for name, cell in zip(names, cells, strict=True) if cell}) for line, cells in found]


def _wrong_columns(path: Path, names: Sequence[str]) -> Iterator[Problem]:
    for name in names:
        if name not in COLUMNS:
            close = difflib.get_close_matches(name, COLUMNS, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(COLUMNS)}"
            yield Problem(str(path), 1, "", name, "is no column of the table", remedy)
        elif names.count(name) > 1:
            yield Problem(str(path), 1, "", name, "the column stands twice", "keep one of them")
    for name in COLUMNS:
        if name not in names and name not in OPTIONAL:
            yield Problem(str(path), 1, "", name, "the column is missing", "add it")


def _stop(path: Path, problems: Sequence[Problem]) -> None:
    """Raise Refusal with all mistakes, if there are any."""
    if problems:
        lines = [str(problem) for problem in sorted(set(problems))]
        more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise Refusal("\n".join([f"{path} has mistakes, and nothing was written:", *lines[:SHOWN], *more]))


def imported(fleet: Fleet, path: Path, today: dt.date) -> Change:
    """Put the hosts of a table into their providers' files; those that stand there like that already are left alone.

    Raises Refusal with every mistake: the table's file and line, host, column, value and remedy.
    """
    rows = rows_of(path)
    known = {host.name: host for host in fleet.hosts()}
    groups = {provider.group: provider for provider in fleet.providers}
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    fresh: list[Row] = []
    for row in rows:
        missing = [column for column in ("host", "provider") if not row.words.get(column)]
        problems += [Problem(str(path), row.line, row.host, each, "is missing", "fill it in") for each in missing]
        if row.host in lines:
            message = f"{row.host} stands in line {lines[row.host]} too"
            problems.append(Problem(str(path), row.line, row.host, "host", message, "remove one of the two"))
        elif row.host in known:
            problems += _differences(path, row, known[row.host])
        elif not missing:
            fresh.append(row)
        lines.setdefault(row.host, row.line)
    trees = Trees()
    started: set[str] = set()
    for row in fresh:
        new = row.group not in groups and row.group not in started
        if new and not edit.PROVIDER_GROUP.fullmatch(row.group):
            remedy = "use a-z, 0-9 and _, as its file is called: alder"
            message = f"{row.words['provider']!r} is no provider's short name"
            problems.append(Problem(str(path), row.line, row.host, "provider", message, remedy))
        elif new and "provider_name" not in row.words:
            close = difflib.get_close_matches(row.group, groups, n=1)
            hint = f"did you mean {close[0].removeprefix('provider_')!r}, or is it new? Then " if close else ""
            message = f"there is no provider {row.words['provider']!r}"
            remedy = f"{hint}give its name in full in provider_name"
            problems.append(Problem(str(path), row.line, row.host, "provider", message, remedy))
        else:
            started.add(row.group)
            place, lease = _parts(row)
            if lease.get("auto_renew") is True and (row.group not in groups or renews_by_itself(groups[row.group])):
                del lease["auto_renew"]  # as its provider says
            entry = edit.entry_of(row.addresses, place, lease)
            place_host(trees, fleet, row.group, row.host, entry, _details(row, today))
    texts = trees.texts()
    problems += _found(path, edit.check(fleet, texts), {row.host: row for row in fresh})
    _stop(path, problems)
    return Change(texts)


def _details(row: Row, today: dt.date) -> dict[str, Any] | None:
    if "provider_name" not in row.words:
        return None
    site = {"site": row.words["site"]} if "site" in row.words else {}
    return {"name": edit.word(row.words["provider_name"]), **site, "since": dt.date(today.year, today.month, today.day)}


def _parts(row: Row) -> tuple[dict[str, Any], dict[str, Any]]:
    """Place and lease as they will stand in the file; what is wrong in them stays text, so that the check names it."""
    place = {column: row.words[column] for column in PLACE if column in row.words}
    place["continent"] = CONTINENT_OF.get(place.get("country", ""), "EU")
    lease: dict[str, Any] = {column: row.words[column] for column in LEASE if column in row.words}
    lease.setdefault("status", "active")
    if re.fullmatch(r"[0-9.]+", lease.get("price", "")):
        with contextlib.suppress(InvalidOperation):
            lease["price"] = Decimal(lease["price"])
    for column in ("renews", "since"):
        with contextlib.suppress(KeyError, ValueError):
            lease[column] = dt.date.fromisoformat(lease[column])
    words = {"true": True, "yes": True, "false": False, "no": False}
    if "auto_renew" in lease:
        lease["auto_renew"] = words.get(lease["auto_renew"].lower(), lease["auto_renew"])
    if re.fullmatch(r"[0-9]{1,9}", lease.get("cancel_days", "")):
        lease["cancel_days"] = int(lease["cancel_days"])
    return place, lease


def _found(path: Path, problems: Sequence[Problem], rows: Mapping[str, Row]) -> Iterator[Problem]:
    """The problems that the inventory would have, at the table's lines where they are."""
    countries = {problem.host for problem in problems if problem.field == "place.country"}
    for problem in problems:
        if row := rows.get(problem.host):
            column = problem.field.rpartition(".")[2] or "host"
            remedy = "fill in the column" if problem.message == "is missing" else problem.remedy
            if column != "continent" or problem.host not in countries:
                place = {"file": str(path), "line": row.line, "field": column, "remedy": remedy}
                yield dataclasses.replace(problem, **place)  # type: ignore[arg-type]
        else:
            yield problem


def _differences(path: Path, row: Row, host: Host) -> Iterator[Problem]:
    """Where a host that is there already is another one than the table's."""
    place, lease = _parts(row)
    words = {"provider": row.group, "addresses": row.addresses}
    said = {**{column: place.get(column) for column in PLACE}, **lease, **words}
    there: dict[str, Any] = {
        "provider": host.provider,
        "addresses": list(host.addresses),
        **{column: getattr(host.place, column) for column in PLACE},
        **{column: getattr(host.lease, column) for column in LEASE},
    }
    for column, value in said.items():
        same = value == there[column] or (column == "renews" and value == host.lease.written)
        if column in row.words and not same:
            shown = " ".join(there[column]) if column == "addresses" else str(there[column]).removeprefix("provider_")
            message = f"{host.name} has {shown} in {host.file}, and {row.words[column]} here"
            remedy = f"import only adds hosts: {BY_VERB.get(column, 'change it in that file')}, or take the line out"
            yield Problem(str(path), row.line, host.name, column, message, remedy)
