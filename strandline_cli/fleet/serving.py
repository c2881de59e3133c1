"""How well each sensor served, by the database's daily tallies: silent days, and who is silent now."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from strandline_cli import paths, verbs
from strandline_cli.errors import Refusal
from strandline_cli.progress import Progress

WINDOW_DAYS = 90
SILENT_AFTER = 2  # days: yesterday's last events may still be on their way


@dataclass(frozen=True)
class Serving:
    """The days (UTC) of a sensor's events in the database."""

    first: dt.date
    last: dt.date
    days: int  # within the last WINDOW_DAYS, today not counted, on which at least one event happened

    def silent_days(self, today: dt.date) -> int:
        """Days without any event within the window, since the sensor's first one; today does not count."""
        began = max(self.first, today - dt.timedelta(days=WINDOW_DAYS))
        return max(0, (today - began).days - self.days)

    def silent_now(self, today: dt.date) -> bool:
        """Whether nothing has come since yesterday."""
        return (today - self.last).days >= SILENT_AFTER


def ask(progress: Progress, inventory: str) -> dict[str, Serving]:
    """Ask the collectors' database. Raises StepFailed when none of them answers."""
    with tempfile.TemporaryDirectory(prefix="strandline-") as directory:
        extra = [f"--extra-vars={json.dumps({'report_dir': directory, 'report_days': WINDOW_DAYS})}"]
        with progress.step("database", "Ask the database which sensors served") as step:
            code = verbs.play(step, paths.PLAYBOOKS / "report.yml", [inventory], extra, check=False)
            found = sorted(Path(directory).glob("*.json"))
            step.check(bool(found), f"no collector could be asked (ansible-playbook ended with {code})")
            return merge(read(file.read_text(encoding="utf-8"), file.stem) for file in found)


def read(text: str, where: str) -> dict[str, Serving]:
    """What one collector's database said. Raises Refusal when it is not what playbooks/report.yml asks for."""
    try:
        return {
            str(row["sensor"]): Serving(
                dt.date.fromisoformat(row["first"]), dt.date.fromisoformat(row["last"]), int(row["days"])
            )
            for row in json.loads(text)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(
            f"{where} answered something else than the sensors' days ({error!r}). Is it up to date?"
        ) from error


def merge(answers: Iterable[Mapping[str, Serving]]) -> dict[str, Serving]:
    """Several databases: of each sensor the one that has seen it last."""
    best: dict[str, Serving] = {}
    for answer in answers:
        for name, serving in answer.items():
            if name not in best or serving.last > best[name].last:
                best[name] = serving
    return best
