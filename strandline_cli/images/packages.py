"""Images of hosts that have their Debian packages already, so that scenarios don't install them again and again.

What a group's hosts need is read from the roles: the apt tasks of every role that playbooks/site.yml gives the group.
The images hold nothing else. Keys and database clusters, which an installation makes for one host alone, are made when
a container boots for the first time; services that a role installs without starting them are off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from strandline_fleet.targets import FUNCTIONS

from strandline_cli import paths
from strandline_cli.errors import StepFailed
from strandline_cli.images import derived
from strandline_cli.progress import Step

ROLES = paths.ROOT / "roles"
SITE = paths.PLAYBOOKS / "site.yml"
RECIPE = paths.ROOT / "strandline_cli" / "images" / "packages"
IMAGES = {"sensor": "sensors", "collector": "collectors", "publisher": "publishers"}
"""Each image and the group whose hosts start from it; STRANDLINE_SENSOR_IMAGE_TAG and so on name them to Ansible."""
APT = ("ansible.builtin.apt", "apt")
PRESENT = ("present", "latest")
TASKS = ("block", "rescue", "always")
DENY = 101  # policy-rc.d's exit status for "don't start it"
NAMES = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True)


@dataclass(frozen=True)
class Packages:
    """Debian's packages of one or more roles, and those of them whose services a role keeps Debian from starting."""

    names: frozenset[str] = frozenset()
    not_started: frozenset[str] = frozenset()

    def __or__(self, other: Packages) -> Packages:
        return Packages(self.names | other.names, self.not_started | other.not_started)


def read(path: Path) -> Any:
    """Return a YAML file's content; None where there is none."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def tasks(entries: list[dict[str, Any]] | None) -> Iterator[dict[str, Any]]:
    """Yield tasks, those within blocks too."""
    for entry in entries or ():
        if any(word in entry for word in TASKS):
            for word in TASKS:
                yield from tasks(entry.get(word))
        else:
            yield entry


def rendered(text: str, variables: Mapping[str, Any], where: str) -> str:
    """Return a package's name with the role's own variables filled in. Raises StepFailed for any other variable."""
    try:
        return NAMES.from_string(text).render(variables)
    except jinja2.TemplateError as error:
        raise StepFailed(f"{where}: the package {text!r} can't be read without a host: {error}") from error


def of_task(task: Mapping[str, Any], variables: Mapping[str, Any], where: str) -> Packages:
    """Return what an apt task installs from Debian: nothing where it removes packages, or installs a file."""
    options = next((task[name] for name in APT if name in task), None)
    if options is None or "name" not in options or options.get("state", "present") not in PRESENT:
        return Packages()
    named = options["name"]
    found = frozenset(rendered(name, variables, where) for name in ([named] if isinstance(named, str) else named))
    return Packages(found, found if options.get("policy_rc_d") == DENY else frozenset())


def of_role(name: str, roles: Path = ROLES) -> Packages:
    """Return what a role and those that it depends on install."""
    role = roles / name
    variables = (read(role / "defaults" / "main.yml") or {}) | (read(role / "vars" / "main.yml") or {})
    found = Packages()
    for file in sorted((role / "tasks").glob("*.yml")):
        for task in tasks(read(file)):
            found |= of_task(task, variables, f"roles/{name}/tasks/{file.name}")
    for needed in (read(role / "meta" / "main.yml") or {}).get("dependencies", []):
        found |= of_role(role_name(needed), roles)
    return found


def role_name(entry: str | Mapping[str, Any]) -> str:
    """Return the name of a role as a play or a role's dependencies give it."""
    return entry if isinstance(entry, str) else str(entry["role"])


def roles_of(group: str, playbook: Path = SITE) -> list[str]:
    """Return the roles that a playbook's plays give to a group's hosts, in their order."""
    found = []
    for play in read(playbook):
        named = re.findall(r"\b(sensors|collectors|publishers|builders)\b", str(play.get("hosts", "")))
        # A play that names no group is for every leased host.
        if group in named or (not named and group in FUNCTIONS):
            found += [role_name(entry) for entry in play.get("roles", [])]
    return found


def of_group(group: str) -> Packages:
    """Return what the hosts of a group need. Raises StepFailed when nothing is found, which can't be right."""
    found = Packages()
    for role in roles_of(group):
        found |= of_role(role)
    if not found.names:
        raise StepFailed(f"{paths.shown(SITE)}: no play gives the group {group} a role that installs packages")
    return found


def ensure(step: Step, base: str) -> None:
    """Build the images whose packages, recipe or base have changed, and name them to create.yml."""
    for image, group in IMAGES.items():
        found = of_group(group)
        arguments = {"PACKAGES": " ".join(sorted(found.names)), "NOT_STARTED": " ".join(sorted(found.not_started))}
        os.environ[f"STRANDLINE_{image.upper()}_IMAGE_TAG"] = derived.ensure(step, image, RECIPE, base, arguments)
