"""From a day's rows to its Parquet files, by DuckDB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from .source import Day, Kind, Run
from .store import Account, Store

COMMON = ("ts", "rts", "sensor", "run", "n", "event", "verified", "proto", "saddr", "sport", "daddr", "dport")
"""The columns that every file has, before those of its listener's fields."""
MORE, CUT = "more", "cut"
"""And behind them: fields that the catalogue does not have, and the true lengths of values that were cut."""
TAKEN = {*COMMON, MORE, CUT, "day", "listener"}
STAGE = {
    "ts": "TIMESTAMP", "rts": "TIMESTAMP", "n": "BIGINT", "run": "INTEGER", "sport": "INTEGER", "dport": "INTEGER",
    "kind": "INTEGER", "saddr": "VARCHAR", "daddr": "VARCHAR", "fields": "VARCHAR",
}  # fmt: skip
# Small enough that what is sorted for one fits into the memory that there is, large enough to pack well.
ROW_GROUP = 61_440


class DoesNotAddUp(Exception):
    """The rows are not those that the account has. The text says which run differs first."""


def text(value: str) -> str:
    """A literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def column(field: str) -> str:
    """The name of a field's column: another one where the archive needs the name itself."""
    return f"event_{field}" if field in TAKEN else field


def listener(event: str) -> str:
    """The listener of an event."""
    return event.partition(".")[0]


def _by_kind(cases: Iterable[tuple[Kind, str]], otherwise: str) -> str:
    """An expression that depends on a row's kind."""
    whens = "".join(f" WHEN {kind.id} THEN {value}" for kind, value in cases)
    return f"CASE e.kind{whens} END" if whens else otherwise


def _value(place: int) -> str:
    """A row's value by its place from 1. Of no text at all the database makes empty values, and so do we."""
    return f"coalesce(v[{place}], '')"


def select(kinds: Sequence[Kind], fields: Sequence[str]) -> str:
    """The query for one listener's events, of these kinds, with a column for each of the fields."""
    columns = []
    for field in fields:
        cases = [(kind, _value(kind.names.index(field) + 1)) for kind in kinds if field in kind.names]
        columns.append(f"{_by_kind(cases, 'NULL::VARCHAR')} AS {column(field)}")
    others = []
    for kind in kinds:
        if unknown := [name for name in kind.names if name not in fields]:
            names = ", ".join(map(text, unknown))
            values = ", ".join(_value(kind.names.index(name) + 1) for name in unknown)
            others.append((kind, f"MAP([{names}], [{values}])"))
    columns.append(f"{_by_kind(others, 'NULL::MAP(VARCHAR, VARCHAR)')} AS {MORE}")
    lengths = [
        (kind, f"MAP(v[{len(kind.names) + 1}:len(v):2], v[{len(kind.names) + 2}:len(v):2]::BIGINT[])")
        for kind in kinds
        if kind.cut
    ]
    columns.append(f"{_by_kind(lengths, 'NULL::MAP(VARCHAR, BIGINT)')} AS {CUT}")
    ids = ", ".join(str(kind.id) for kind in kinds)
    return f"""
        SELECT e.ts::TIMESTAMPTZ AS ts, e.rts::TIMESTAMPTZ AS rts, r.sensor, r.run, e.n,
               k.event, k.verified, k.proto, e.saddr, e.sport, e.daddr, e.dport, {", ".join(columns)}
        FROM (SELECT *, string_split(fields, chr(9)) AS v FROM stage WHERE kind IN ({ids})) e
        JOIN kinds k ON k.kind = e.kind JOIN runs r ON r.id = e.run
        ORDER BY k.event, e.saddr, e.ts, e.run, e.n
    """  # noqa: S608 - numbers, names that the configuration checked, and literals


def compare(found: Account, stated: Account, what: str) -> None:
    """Raise DoesNotAddUp when a run has not as many events as the account has."""
    wrong = [run for run in sorted({*found, *stated}) if found.get(run, 0) != stated.get(run, 0)]
    if wrong:
        (sensor, run), others = wrong[0], len(wrong) - 1
        raise DoesNotAddUp(
            f"run {run} of {sensor}: {what} {found.get(wrong[0], 0)} events, the account has {stated.get(wrong[0], 0)}"
            + (f" ({others} more runs differ)" if others else "")
        )


def connect(folder: Path, memory_mib: int) -> duckdb.DuckDBPyConnection:
    """DuckDB on one core, with no extension from elsewhere, that puts aside in `folder` what does not fit."""
    connection = duckdb.connect(
        str(folder / "stage.duckdb"),
        config={
            "threads": 1,
            "memory_limit": f"{memory_mib}MiB",
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    # Nothing is asked for in the order in which it came; what is sorted stays sorted.
    connection.execute("SET preserve_insertion_order = false")
    return connection


def _stage(connection: duckdb.DuckDBPyConnection, day: Day, kinds: list[Kind], runs: list[Run]) -> None:
    """Bring the day's rows into DuckDB."""
    connection.execute("CREATE TABLE kinds (kind INTEGER, event VARCHAR, proto VARCHAR, verified BOOLEAN)")
    if kinds:
        connection.executemany("INSERT INTO kinds VALUES (?, ?, ?, ?)", [kind[:4] for kind in kinds])
    connection.execute("CREATE TABLE runs (id INTEGER, sensor VARCHAR, run VARCHAR)")
    if runs:
        connection.executemany("INSERT INTO runs VALUES (?, ?, ?)", [run[:3] for run in runs])
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in STAGE.items())
    with day.rows() as file:
        connection.execute(
            f"CREATE TABLE stage AS SELECT * FROM read_csv('{file}', auto_detect=false, header=false, delim=',',"  # noqa: S608
            f" quote='\"', escape='\"', new_line='\\n', parallel=false, force_not_null=['fields'],"
            f" columns={{{columns}}})"
        )


def write_day(store: Store, name: str, day: Day, columns: Mapping[str, Sequence[str]], memory_mib: int) -> int:
    """Write a day, check it against the account, and put it in its place; return its events.

    Raises DoesNotAddUp, and then what the archive had of the day stays; psycopg2.Error, duckdb.Error, OSError.
    """
    runs, kinds = day.runs(), day.kinds()
    stated: Account = Counter()
    for run in runs:
        stated[run.sensor, run.run] += run.stored
    names = {run.id: (run.sensor, run.run) for run in runs}
    with store.aside() as aside:
        connection = connect(aside, memory_mib)
        try:
            _stage(connection, day, kinds, runs)
            staged = connection.execute("SELECT run, count(*) FROM stage GROUP BY run").fetchall()
            compare({names.get(run, ("?", str(run))): count for run, count in staged}, stated, "the database has")
            folder = aside / f"day={name}"
            folder.mkdir()
            present = {row[0] for row in connection.execute("SELECT DISTINCT kind FROM stage").fetchall()}
            here = [kind for kind in kinds if kind.id in present]
            rows: dict[str, int] = {}
            for each in sorted({listener(kind.event) for kind in here}):
                file = folder / f"listener={each}" / "part.parquet"
                file.parent.mkdir()
                query = select([kind for kind in here if listener(kind.event) == each], columns.get(each, ()))
                connection.execute(
                    f"COPY ({query}) TO {text(str(file))} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2,"
                    f" ROW_GROUP_SIZE {ROW_GROUP})"
                )
                rows[str(file.relative_to(folder))] = 0
            written: Account = Counter()
            for relative in rows:
                counts = connection.execute(
                    f"SELECT sensor, run, count(*) FROM read_parquet({text(str(folder / relative))}) GROUP BY 1, 2"  # noqa: S608
                ).fetchall()
                for sensor, run_name, count in counts:
                    written[sensor, run_name] += count
                    rows[relative] += count
            compare(written, stated, "the files have")
        finally:
            connection.close()
        store.put(name, folder, dict(stated), rows)
    return sum(stated.values())
