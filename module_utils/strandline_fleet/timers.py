"""Units of systemd that run verbs by the clock on the controller: their text, and what a run without anybody needs."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from strandline_fleet.errors import Refusal

UNIT_DIRECTORY = Path("/etc/systemd/system")
PROTECTED = tuple(map(Path, ("/usr", "/boot", "/efi", "/etc", "/bin", "/lib", "/sbin")))
"""What ProtectSystem=full makes read-only."""
MARK = "# Written by ./strandline timers for the inventory "


@dataclasses.dataclass(frozen=True)
class Clocked:
    """A verb that runs by the clock."""

    verb: str
    calendar: str
    """When: systemd.time(7), in the machine's time zone."""
    what: str
    options: tuple[str, ...] = ()
    minutes: int = 120
    """A run that takes longer is ended."""
    spread_minutes: int = 10
    """It begins at a random time within this number of minutes, so that not all runs begin together. 0: at once,
    and a run that was missed while the machine was off is not made up for."""


CLOCKED = (
    Clocked("verify", "*-*-* 05:30:00", "check every host"),
    Clocked("reconcile", "*-*-* 02/6:15:00", "find events that never arrived, and have them sent again"),
    Clocked("due", "Mon *-*-* 07:00:00", "tell what is due", ("--mail",), minutes=15),
    Clocked("canary_round", "*:0/5", "see whether marked events reach the database", minutes=9, spread_minutes=0),
    Clocked("reputation", "Sun *-*-* 04:00:00", "see what others say of our addresses", ("--mail",), minutes=60),
    Clocked("journal", "Sat *-*-* 04:00:00", "enter which sensors fell silent", ("--news",), minutes=30),
    Clocked("report", "*-*-* 06:30:00", "make the report", ("--live",), minutes=30),
)


@dataclasses.dataclass(frozen=True)
class Controller:
    """Where and as whom the verbs run."""

    clone: Path
    inventory: Path
    user: str
    vault_password_file: Path | None = None
    ssh_agent: Path | None = None
    """The agent's socket."""
    cache: Path | None = None
    """STRANDLINE_CACHE, where it is not the default."""
    build: Path | None = None
    """STRANDLINE_BUILD, the same."""
    state: Path | None = None
    """XDG_STATE_HOME, the same: below it stands what verbs remember."""

    @property
    def name(self) -> str:
        """The inventory's name in those of its units."""
        return re.sub(r"[^a-z0-9_]+", "_", self.inventory.stem.lower()).strip("_") or "inventory"

    @property
    def mark(self) -> str:
        """The first line of each unit: whose it is."""
        return f"{MARK}{self.inventory}"

    def unit(self, verb: str) -> str:
        """The name of a verb's units, without their ending."""
        return f"strandline-{self.name}-{verb}"


def schedule(wanted: Mapping[str, Any] | None) -> dict[str, str]:
    """When each verb runs, by the inventory's fleet_timers; what is switched off is not in it.

    Raises Refusal for a verb that does not run by the clock, and for what is no time by its type.
    """
    known = {each.verb: each.calendar for each in CLOCKED}
    for verb, when in (wanted or {}).items():
        if verb not in known:
            raise Refusal(f"fleet_timers: {verb} does not run by the clock. Name one of {', '.join(known)}.")
        if when is False or when == "":
            del known[verb]
        elif isinstance(when, str) and when.isprintable():
            known[verb] = str(when)
        else:
            raise Refusal(
                f"fleet_timers.{verb}: {when!r} is no time. Write it as systemd.time(7) has it, for example"
                f' "*-*-* 05:30:00", or false to leave {verb} out.'
            )
    return known


def quoted(word: str, *, expands: bool = True) -> str:
    """A word of a command line or of Environment= (systemd.service(5)); ``expands``: in it $ stands for a variable."""
    if not word.isprintable():
        raise Refusal(f"{word!r} can't stand in a unit of systemd: it has characters that can't be printed. Rename it.")
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text.replace("$", "$$") if expands else text}"'


def plain(path: Path) -> str:
    """A path that is the whole of a setting."""
    if not str(path).isprintable() or str(path) != str(path).strip():
        raise Refusal(f"{str(path)!r} can't stand in a unit of systemd. Rename it.")
    return str(path).replace("%", "%%")


READABLE = 'for file; do test -r "$file" || { echo "$file can not be read by $(id -un). $0" >&2; exit 1; }; done'
AGENT = 'ssh-add -l >&2 || { echo "The ssh agent at $SSH_AUTH_SOCK has no key. Add it: ssh-add" >&2; exit 1; }'
REMEDY = "Put it back, or run ./strandline timers again"


def _commands(controller: Controller, clocked: Clocked) -> list[str]:
    """The checks before a run, which say in the journal what is missing, and the run itself."""
    needed = [controller.inventory, *filter(None, [controller.vault_password_file, controller.ssh_agent])]
    checks = [["/bin/sh", "-c", READABLE, REMEDY, *map(str, needed)]]
    if controller.ssh_agent:
        checks.append(["/bin/sh", "-c", AGENT])
    run = [str(controller.clone / "strandline"), clocked.verb, "-i", str(controller.inventory), *clocked.options]
    if controller.vault_password_file:
        run += ["--", f"--vault-password-file={controller.vault_password_file}"]
    lines = [f"ExecStartPre={' '.join(map(quoted, check))}" for check in checks]
    # In the program's own path nothing is expanded.
    return [*lines, f"ExecStart={' '.join([quoted(run[0], expands=False), *map(quoted, run[1:])])}"]


def _writable(controller: Controller) -> Iterator[str]:
    """The folders that a run writes into where ProtectSystem=full would keep it from that (systemd.exec(5))."""
    inventory = controller.inventory if controller.inventory.is_dir() else controller.inventory.parent
    for path in dict.fromkeys([controller.clone, inventory, controller.cache, controller.build, controller.state]):
        if path and any(path.is_relative_to(kept) for kept in PROTECTED):
            # The minus: a folder that is not there yet is no error, for the run makes it.
            yield f"ReadWritePaths={quoted(f'-{path}', expands=False)}"


def service(controller: Controller, clocked: Clocked) -> str:
    """The unit that runs a verb once."""
    environment = {"LANG": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
    folders = {"STRANDLINE_CACHE": controller.cache, "STRANDLINE_BUILD": controller.build}
    folders["XDG_STATE_HOME"] = controller.state
    environment |= {name: str(path) for name, path in folders.items() if path}
    if controller.ssh_agent:
        environment["SSH_AUTH_SOCK"] = str(controller.ssh_agent)
    lines = [
        controller.mark,
        "[Unit]",
        f"Description=Strandline, {controller.name}: {clocked.what}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        f"User={controller.user}",
        f"WorkingDirectory={plain(controller.clone)}",
        *(f"Environment={quoted(f'{name}={value}', expands=False)}" for name, value in environment.items()),
        "# Nobody is there to be asked: what wants an answer fails.",
        "StandardInput=null",
        *_commands(controller, clocked),
        f"TimeoutStartSec={clocked.minutes}min",
        "Nice=5",
        "NoNewPrivileges=yes",
        "ProtectSystem=full",
        *_writable(controller),
    ]
    return "\n".join(lines) + "\n"


def timer(controller: Controller, clocked: Clocked, calendar: str) -> str:
    """The unit that says when."""
    spread = [f"RandomizedDelaySec={clocked.spread_minutes}min", "Persistent=yes"]
    lines = [
        controller.mark,
        "[Unit]",
        f"Description=When Strandline is to {clocked.what} ({controller.name})",
        "",
        "[Timer]",
        f"OnCalendar={calendar.replace('%', '%%')}",
        *(spread if clocked.spread_minutes else ["AccuracySec=1s"]),
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return "\n".join(lines) + "\n"


def units(controller: Controller, times: Mapping[str, str]) -> dict[str, str]:
    """Every unit's text by its file name, for the verbs that have a time."""
    found = {}
    for clocked in CLOCKED:
        if clocked.verb in times:
            name = controller.unit(clocked.verb)
            found[f"{name}.service"] = service(controller, clocked)
            found[f"{name}.timer"] = timer(controller, clocked, times[clocked.verb])
    return found


def all_names(controller: Controller) -> list[str]:
    """The file names of all units that this inventory may have."""
    return [f"{controller.unit(each.verb)}.{ending}" for each in CLOCKED for ending in ("service", "timer")]


def belongs_to(controller: Controller, path: str, first_line: str) -> None:
    """Raise Refusal when a unit of our name is somebody else's, by its first line."""
    if first_line == controller.mark:
        return
    owner = f"the inventory {first_line.removeprefix(MARK)}" if first_line.startswith(MARK) else "somebody else"
    raise Refusal(
        f"{path} belongs to {owner}, not to {controller.inventory}. Rename one of the two inventories' folders, or"
        " remove the unit where its inventory is gone."
    )


def encrypted(inventory: Path) -> list[Path]:
    """The inventory's files that hold something encrypted by ansible-vault."""
    paths = [inventory] if inventory.is_file() else sorted(path for path in inventory.rglob("*") if path.is_file())
    return [path for path in paths if _has_vault(path)]


def _has_vault(path: Path) -> bool:
    if path.suffix not in (".yml", ".yaml", "", ".ini"):
        return False
    return b"$ANSIBLE_VAULT;" in path.read_bytes()


def usable_keys(named: Sequence[Path], tried: Iterable[Path]) -> str:
    """Why the keys by which hosts are entered would not do when nobody is there; empty when they do.

    ``named`` are those of the inventory, all of which must do, and ``tried`` those that ssh tries by itself, of which
    one has to, where a host names none.
    """
    for path in named:
        if why := _locked(path):
            return f"{path} {why}"
    tried = list(tried)
    there = [path for path in tried if path.is_file()]
    if tried and not there:
        return "ssh finds no key"
    if there and all(_locked(path) for path in there):
        return f"{' and '.join(map(str, there))} {'has' if len(there) == 1 else 'have'} a passphrase"
    return ""


def _locked(path: Path) -> str:
    if not path.is_file():
        return "is no file"
    done = subprocess.run(
        ["ssh-keygen", "-y", "-P", "", "-f", str(path)], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    return "" if done.returncode == 0 else "has a passphrase, or is no private key"
