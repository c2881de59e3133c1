"""The counters of a running syslog-ng.

`syslog-ng-ctl stats` prints a line for each: SourceName;SourceId;SourceInstance;State;Type;Number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Counter:
    """One of them: `dst.file`, `d_spool#0`, the file's path, `dropped`, 12."""

    source: str
    id: str
    instance: str
    kind: str
    value: int

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.source};{self.id};{self.instance};{self.kind}"


def parse(output: str) -> Iterator[Counter]:
    """The counters in what was printed; other lines are passed over (the first one has titles)."""
    for line in output.splitlines():
        # A path or an address may hold anything but is in the middle.
        head, _, rest = line.partition(";")
        name, _, rest = rest.partition(";")
        words = rest.rsplit(";", 3)
        if len(words) == 4 and words[3].strip().isdigit():
            yield Counter(head, name, words[0], words[2], int(words[3]))


def dropped(output: str, destination: str) -> dict[str, int]:
    """What a destination of the configuration could not take, by counter."""
    return {
        counter.key: counter.value
        for counter in parse(output)
        if counter.kind == "dropped" and counter.id.partition("#")[0] == destination
    }
