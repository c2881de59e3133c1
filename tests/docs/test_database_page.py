"""docs/database.md against the migrations: every table and view with all of its columns, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIGRATIONS = ROOT / "files" / "database"
PAGE = ROOT / "docs" / "database.md"

Tables = dict[str, list[str]]

NAME = r"strandline\.(\w+)"
CONSTRAINTS = ("PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "CONSTRAINT", "EXCLUDE")
CHANGES = {
    "create": re.compile(rf"CREATE TABLE {NAME} \((.*)\)", re.DOTALL),
    "view": re.compile(rf"CREATE (?:OR REPLACE )?VIEW {NAME} AS\b(.*)", re.DOTALL),
    "rename": re.compile(rf"ALTER TABLE {NAME} RENAME TO (\w+)"),
    "add": re.compile(rf"ALTER TABLE {NAME} ADD COLUMN (\w+)"),
    "drop_column": re.compile(rf"ALTER TABLE {NAME} DROP COLUMN (\w+)"),
    "drop": re.compile(rf"DROP (?:TABLE|VIEW) {NAME}"),
}
# What changes no column.
OTHER = re.compile(
    r"ALTER TABLE \S+ (?:SET \(|ADD CONSTRAINT|DROP CONSTRAINT)|ALTER INDEX|CREATE (?:UNIQUE )?INDEX|CREATE SCHEMA"
    r"|CREATE (?:OR REPLACE )?FUNCTION|CREATE TRIGGER|DROP (?:TRIGGER|FUNCTION|INDEX)|COMMENT|DO|GRANT|REVOKE|INSERT"
    r"|UPDATE|DELETE|SELECT|WITH"
)


def statements(sql: str) -> Iterator[str]:
    """The statements of a migration, without comments, bodies of functions and strings."""
    sql = re.sub(r"(\$\w*\$).*?\1", "''", re.sub(r"--[^\n]*", "", sql), flags=re.DOTALL)
    sql = re.sub(r"'[^']*'", "''", sql)
    yield from filter(None, (" ".join(statement.split()) for statement in sql.split(";")))


def parts(text: str) -> list[str]:
    """Text split at its commas, those in parentheses apart; what is in parentheses is left out."""
    while (shorter := re.sub(r"\([^()]*\)", "", text)) != text:
        text = shorter
    return [part.strip() for part in text.split(",")]


def selected(query: str) -> list[str]:
    """The names of the columns that a query gives: of its first SELECT that is in no parentheses."""
    outer = ", ".join(parts(query))
    found = re.search(r"\bSELECT (.*?) FROM\b", outer)
    assert found, f"the columns of this view can't be told: {query}"
    return [re.split(r"[\s.]", column.strip())[-1] for column in found[1].split(",")]


def apply(tables: Tables, statement: str) -> None:
    """Follow one statement."""
    matches = ((kind, form.match(statement)) for kind, form in CHANGES.items())
    kind, found = next(((kind, found) for kind, found in matches if found), ("", None))
    if found is None:
        assert OTHER.match(statement), f"this test can't tell what the statement changes: {statement}"
    elif kind == "create" and (like := re.fullmatch(rf"LIKE {NAME}", found[2])):
        tables[found[1]] = list(tables[like[1]])
    elif kind == "create":
        tables[found[1]] = [part.split()[0] for part in parts(found[2]) if not part.startswith(CONSTRAINTS)]
    elif kind == "view":
        tables[found[1]] = selected(found[2])
    elif kind == "rename":
        tables[found[2]] = tables.pop(found[1])
    elif kind == "add":
        tables[found[1]].append(found[2])
    elif kind == "drop_column":
        tables[found[1]].remove(found[2])
    else:
        del tables[found[1]]


def migrated() -> Tables:
    """Tables and views with their columns, as all migrations together make them."""
    tables: Tables = {}
    for path in sorted(MIGRATIONS.glob("*.sql")):
        for statement in statements(path.read_text()):
            apply(tables, statement)
    return tables


def documented() -> Tables:
    """Tables and views with their columns, as the page describes them."""
    found: Tables = {}
    for section in re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        name, _, body = section.partition("\n")
        rows = re.findall(r"^\| ([\w, ]+) \| .*\S.* \|$", body.split("\n## ")[0], re.MULTILINE)
        assert rows[0] == "column", f"docs/database.md: {name}: the table of columns is missing"
        found[name] = [column for row in rows[1:] for column in row.split(", ")]
    return found


def test_every_table_and_view_is_described_and_no_other() -> None:
    assert sorted(documented()) == sorted(migrated())


def test_every_column_is_described_once_and_no_other() -> None:
    described = documented()
    for name, columns in migrated().items():
        assert sorted(described[name]) == sorted(columns), f"docs/database.md: {name}"


def test_a_change_of_a_table_is_followed() -> None:
    """What the comparison above would miss if it read migrations wrongly."""
    tables: Tables = {}
    for statement in statements(
        """
        -- CREATE TABLE strandline.nothing (no integer);
        CREATE TABLE strandline.old (
            a integer PRIMARY KEY, b text NOT NULL CHECK (b IN ('x, y', ';')), UNIQUE (a, b)
        );
        CREATE TABLE strandline.copy (LIKE strandline.old);
        ALTER TABLE strandline.old ADD COLUMN c timestamptz; ALTER TABLE strandline.old RENAME TO new;
        ALTER TABLE strandline.copy DROP COLUMN a;
        CREATE VIEW strandline.seen AS
            WITH w AS (SELECT x, y FROM z) SELECT n.a, coalesce(n.b, '') AS d FROM strandline.new n;
        CREATE FUNCTION strandline.f() RETURNS void LANGUAGE sql AS $do$ CREATE TABLE strandline.g (i integer); $do$;
        """
    ):
        apply(tables, statement)
    assert tables == {"new": ["a", "b", "c"], "copy": ["b"], "seen": ["a", "d"]}
