"""Each role's meta/argument_specs.yml says of its inputs what its defaults/main.yml sets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
SPECIFIED = sorted(ROLES.glob("*/meta/argument_specs.yml"))
# An input without a default stands in defaults/main.yml as a comment.
COMMENTED = re.compile(r"^# (\w+): ", re.MULTILINE)


def role_of(specs: Path) -> str:
    """The role's name."""
    return specs.parents[1].name


def options(specs: Path) -> dict[str, dict[str, Any]]:
    """The inputs of all of a role's entry points."""
    points = yaml.safe_load(specs.read_text())["argument_specs"].values()
    return {name: option for point in points for name, option in point.get("options", {}).items()}


def defaults(specs: Path) -> Path:
    """The role's defaults, as they are written."""
    return specs.parents[1] / "defaults" / "main.yml"


def test_every_role_with_defaults_has_specs() -> None:
    assert {path.parents[1].name for path in ROLES.glob("*/defaults/main.yml")} <= set(map(role_of, SPECIFIED))


@pytest.mark.parametrize("specs", SPECIFIED, ids=role_of)
def test_the_defaults_are_those_of_the_specs(specs: Path) -> None:
    said = {name: option["default"] for name, option in options(specs).items() if "default" in option}
    assert (yaml.safe_load(defaults(specs).read_text()) or {}) == said


@pytest.mark.parametrize("specs", SPECIFIED, ids=role_of)
def test_an_input_without_a_default_is_required_and_shown_as_a_comment(specs: Path) -> None:
    required = {name for name, option in options(specs).items() if option.get("required")}
    shown = {name for name in COMMENTED.findall(defaults(specs).read_text()) if name.startswith(f"{role_of(specs)}_")}
    assert shown == required
    neither = {
        name for name, option in options(specs).items() if not option.get("required") and "default" not in option
    }
    assert neither == set()


@pytest.mark.parametrize("specs", SPECIFIED, ids=role_of)
def test_an_input_begins_with_the_name_of_its_role(specs: Path) -> None:
    assert {name for name in options(specs) if not name.startswith(f"{role_of(specs)}_")} == set()
