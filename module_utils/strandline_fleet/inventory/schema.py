"""What an inventory may hold: JSON Schemas, their parts that other files define, and a schema's errors as problems.

provider.schema.json, inventory.schema.json, variables.schema.json and journal.schema.json are written by hand.
generated.schema.json is what the listeners' catalogue, the roles' argument_specs and the tables of countries and
periods say; a test keeps it up to date, and `python -m strandline_fleet.inventory.schema` writes it. An editor with a
YAML language server reads the same files. A schema says its own message and remedy: ``x-message`` (with the value),
``x-key-message`` (with the key), ``x-remedy``.
"""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource
from strandline.event import catalogue as catalogue_files

from strandline_fleet.arithmetic import PERIODS_PER_YEAR
from strandline_fleet.inventory.countries import CONTINENT_OF, CONTINENTS
from strandline_fleet.inventory.model import Severity

DIRECTORY = Path(__file__).parent / "schemas"
ROOT = Path(__file__).resolve().parents[3]
GENERATED = "generated.schema.json"
PROVIDER, INVENTORY, VARIABLES = "provider.schema.json", "inventory.schema.json", "variables.schema.json"
JOURNAL = "journal.schema.json"
OWN_PORTS = (5432, 80, 443)
"""Ports of collectors and publishers, beside the one for events, which the playbooks name."""
JSON_TYPES = {
    "bool": ["boolean"],
    "int": ["integer"],
    "float": ["number"],
    "list": ["array"],
    "dict": ["object"],
    "str": ["string", "number", "boolean", "null"],
    "path": ["string"],
}
"""JSON's types for those of an argument_spec."""
NOT = {
    "bool": "neither yes nor no",
    "int": "no whole number",
    "float": "no number",
    "list": "no list",
    "dict": "no mapping",
}
"""What a value of another type is, in a message."""
FEW = 12  # words that a remedy lists
EXAMPLES = "add it: see inventory/example/providers/"


@dataclass(frozen=True)
class Finding:
    """Where a document breaks its schema: the path of the value, what is wrong, and what to write instead."""

    path: tuple[str | int, ...]
    message: str
    remedy: str
    severity: Severity = Severity.ERROR


def role_variables() -> dict[str, Any]:
    """The roles' variables by name, as a schema."""
    found: dict[str, Any] = {}
    for file in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        for entry in yaml.safe_load(file.read_text(encoding="utf-8"))["argument_specs"].values():
            for name, option in entry.get("options", {}).items():
                said = option.get("description", "")
                kind = JSON_TYPES.get(option.get("type", "str"))
                found[name] = {
                    "description": " ".join(said) if isinstance(said, list) else said,
                    **({"type": kind} if kind else {}),
                    "x-message": f"{{value!r}} is {NOT.get(option.get('type', 'str'), 'no text')}",
                    "x-remedy": f"see roles/{file.parents[1].name}/README.md",
                }
    return dict(sorted(found.items()))


def generated() -> dict[str, Any]:
    """The schema whose facts stand elsewhere."""
    catalogue = catalogue_files.load()["listeners"]
    listeners = [name for name, entry in catalogue.items() if entry["ports"]]
    playbooks = yaml.safe_load((ROOT / "playbooks" / "group_vars" / "all.yml").read_text(encoding="utf-8"))
    own = {*OWN_PORTS, playbooks["fleet_events_port"]}
    ports = sorted({each["port"] for entry in catalogue.values() for each in entry["ports"] if each["port"]} | own)
    unknown = {"x-message": "{value!r} is unknown"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": GENERATED,
        "$comment": "Made by strandline_fleet.inventory.schema; not edited by hand.",
        "$defs": {
            "listener": {
                "enum": listeners,
                "x-message": "{value!r} is no listener",
                "x-remedy": f"write some of {', '.join(listeners)}, or leave it out for the usual ones",
            },
            "taken_port": {"enum": ports},
            "country": {
                "enum": sorted(CONTINENT_OF),
                "description": "ISO 3166 code of two capital letters.",
                "x-message": "{value!r} is no country",
                "x-remedy": "write its ISO 3166 code of two capital letters, for example NL",
            },
            "continent": {"enum": list(CONTINENTS), **unknown},
            "period": {"enum": list(PERIODS_PER_YEAR), **unknown},
            "addresses": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "string",
                    "format": "address",
                    "x-message": "{value!r} is no IP address",
                    "x-remedy": "write for example 192.0.2.10",
                },
                "description": "Public addresses of the host; Ansible enters by the first one.",
                "x-message": "{value!r} is no list of addresses",
                "x-remedy": "write for example [192.0.2.10]",
            },
            "role_variables": {"properties": role_variables()},
        },
    }


def _date(value: object) -> bool:
    return not isinstance(value, str) or bool(dt.date.fromisoformat(value))


def _past_date(value: object) -> bool:
    first, today = dt.date(1990, 1, 1), dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    return not isinstance(value, str) or first <= dt.date.fromisoformat(value) <= today


def _address(value: object) -> bool:
    return not isinstance(value, str) or bool(ipaddress.ip_address(value))


def _network(value: object) -> bool:
    return not isinstance(value, str) or bool(ipaddress.ip_network(value, strict=True))


formats = FormatChecker(formats=())
for _name, _check in (("date", _date), ("past-date", _past_date), ("address", _address), ("network", _network)):
    formats.checks(_name, raises=ValueError)(_check)


@functools.cache
def _schemas() -> dict[str, Any]:
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in DIRECTORY.glob("*.json")}


@functools.cache
def _registry() -> Registry[Any]:
    return Registry().with_resources((name, Resource.from_contents(schema)) for name, schema in _schemas().items())


@functools.cache
def validator(name: str) -> Draft202012Validator:
    """The validator of a schema, by its file's name."""
    return Draft202012Validator(_schemas()[name], registry=_registry(), format_checker=formats)


def known_names(schema: Mapping[str, Any], base: str) -> set[str]:
    """The names of properties that a schema knows, those of its parts included."""
    names = set(schema.get("properties", {}))
    for part in (*schema.get("allOf", ()), *([schema] if "$ref" in schema else ())):
        if "$ref" in part:
            file, _, pointer = part["$ref"].partition("#")
            target = _schemas()[file or base]
            for step in pointer.strip("/").split("/") if pointer else ():
                target = target[step]
            names |= known_names(target, file or base)
        else:
            names |= known_names(part, base)
    return names


def findings(name: str, document: Any) -> Iterator[Finding]:
    """Everything in which a document breaks the schema. Values with a template in them are Ansible's to judge."""
    for error in validator(name).iter_errors(document):
        yield from _explained(error, name)


def _explained(error: ValidationError, name: str) -> Iterator[Finding]:
    path = tuple(error.absolute_path)
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    value = error.instance
    if isinstance(value, str) and ("{{" in value or "{%" in value):
        return
    if error.validator == "required":
        for key in error.validator_value:
            if key not in value:
                yield Finding((*path, key), "is missing", EXAMPLES)
    elif error.validator in {"additionalProperties", "unevaluatedProperties"}:
        known = known_names(schema, name)
        patterns = schema.get("patternProperties", {})
        allowed = {key for key in value if _matches(key, patterns) or _matches(key, _patterns_of(schema, name))}
        for key in value:
            if key not in known and key not in allowed:
                message = schema.get("x-key-message", "{key!r} is no known key").format(key=key)
                yield Finding((*path, key), message, close_to(key, known) or listed(known, schema))
    elif error.validator == "propertyNames" or (error.parent and error.parent.validator == "propertyNames"):
        yield Finding((*path, value), schema.get("x-key-message", "{key!r} is no name").format(key=value), "")
    else:
        template = schema.get("x-message", "{value!r} does not fit")
        yield Finding(path, template.format(value=shown(value)), _remedy(error, schema, value))


def _remedy(error: ValidationError, schema: Mapping[str, Any], value: object) -> str:
    if error.validator == "enum" and (close := close_to(value, error.validator_value)):
        return close
    if error.validator == "format" and schema.get("format") == "network":
        try:
            return f"write {ipaddress.ip_network(str(value), strict=False)}"
        except ValueError:
            pass
    if "x-remedy" in schema:
        return str(schema["x-remedy"])
    return f"write one of {', '.join(map(str, error.validator_value))}" if error.validator == "enum" else EXAMPLES


def _patterns_of(schema: Mapping[str, Any], base: str) -> Mapping[str, Any]:
    return {
        pattern: rule
        for part in schema.get("allOf", ())
        if "$ref" in part
        for pattern, rule in _schemas()[part["$ref"].partition("#")[0] or base].get("patternProperties", {}).items()
    }


def _matches(key: str, patterns: Mapping[str, Any]) -> bool:
    return any(re.search(pattern, key) for pattern in patterns)


def unknown_variables(names: Iterable[str]) -> Iterator[Finding]:
    """Names of variables that look like ours and are not; an operator's own variables may be called anything else."""
    known = known_names(_schemas()[VARIABLES], VARIABLES)
    families = {name.split("_")[0] for name in known if "_" in name}
    patterns = _schemas()[VARIABLES]["patternProperties"]
    for name in names:
        if name in known or _matches(name, patterns):
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.6 if name.split("_")[0] in families else 0.85)
        if close or name.split("_")[0] in families:
            remedy = close_to(name, known) or "see the roles' README files"
            yield Finding((name,), f"{name!r} is no known variable", remedy)


def shown(value: object) -> object:
    """A value as a message shows it: short."""
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def close_to(word: object, known: Sequence[Any] | set[str]) -> str:
    """The remedy for a word that is nearly a known one."""
    close = difflib.get_close_matches(str(word), map(str, known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def listed(known: set[str], schema: Mapping[str, Any]) -> str:
    """The remedy that names the known words, where they are few, or else the schema's own."""
    return f"known are {', '.join(sorted(known))}" if 0 < len(known) <= FEW else str(schema.get("x-remedy", EXAMPLES))


if __name__ == "__main__":
    (DIRECTORY / GENERATED).write_text(json.dumps(generated(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
