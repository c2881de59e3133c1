"""The bench's arithmetic: what was measured in each round, and what follows from all of them. No clocks here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

MICRO = 1_000_000


@dataclass(frozen=True)
class Round:
    """One side, one time: messages sent, rows found, and what it took."""

    side: str
    sent: int
    rows: int
    distinct: int
    seconds: float
    """From the first byte on the wire to the last commit."""
    cpu: Mapping[str, float]
    """CPU seconds by process."""
    loader_peak_kib: int = 0

    @property
    def rows_per_s(self) -> float:
        """Committed rows a second."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def missing(self) -> int:
        """Messages that are no row."""
        return self.sent - self.distinct

    @property
    def duplicate(self) -> int:
        """Rows too many."""
        return self.rows - self.distinct

    def cpu_per_row(self) -> dict[str, float]:
        """Microseconds of CPU for each row, by process; those that took no part are left out."""
        return {name: spent / self.rows * MICRO for name, spent in self.cpu.items() if spent and self.rows}


def round_of(side: str, sent: Mapping[str, Any], seen: Mapping[str, Any], began: float | None = None) -> Round:
    """A round from what the sender and the watcher printed; ``began`` when the work began with something else."""
    start = float(sent["began"]) if began is None else began
    return Round(
        side,
        int(sent["sent"]),
        int(seen["rows"]),
        int(seen["distinct"]),
        float(seen["last"]) - start,
        {str(name): float(value) for name, value in seen["cpu"].items()},
        int(seen["loader_peak_kib"]),
    )


def spread(rounds: Sequence[Round]) -> str:
    """The lowest and the highest rate: what a single round is worth on this machine."""
    rates = [each.rows_per_s for each in rounds]
    return f"{min(rates):,.0f} to {max(rates):,.0f}"


def cpu(rounds: Sequence[Round]) -> dict[str, float]:
    """The median of the rounds' CPU for each row, by process."""
    names = dict.fromkeys(name for each in rounds for name in each.cpu_per_row())
    return {name: round(median(each.cpu_per_row().get(name, 0.0) for each in rounds), 1) for name in names}


def together(by_process: Mapping[str, float]) -> float:
    """The CPU of all processes for each row."""
    return round(sum(by_process.values()), 1)


def result(
    article: Sequence[Round], ours: Sequence[Round], steady: Round, backlog: Round, against: Sequence[Round] = ()
) -> dict[str, Any]:
    """What build/bench/ingest.json says. Rates are medians of the rounds that alternated; ``missing`` and ``duplicate``
    are ours, over every round; ``against`` is another revision of ours, if one was asked for.
    """
    own = [*ours, steady, backlog]
    rate, other = (median(each.rows_per_s for each in rounds) for rounds in (ours, article))
    return {
        "rows_per_s": round(rate),
        "sql_rows_per_s": round(other),
        "ratio": round(rate / other, 1) if other else None,
        "steady_rows_per_s": round(steady.rows_per_s),
        "backlog_rows_per_s": round(backlog.rows_per_s),
        "missing": sum(each.missing for each in own),
        "duplicate": sum(each.duplicate for each in own),
        "sql_missing": sum(each.missing for each in article),
        "cpu_us_per_row": cpu(ours),
        "steady_cpu_us_per_row": cpu([steady]),
        "backlog_cpu_us_per_row": cpu([backlog]),
        "sql_cpu_us_per_row": cpu(article),
        "cpu_us_per_row_together": together(cpu(ours)),
        "sql_cpu_us_per_row_together": together(cpu(article)),
        **(_against(against) if against else {}),
        "loader_peak_mib": round(max(each.loader_peak_kib for each in own) / 1024, 1),
        "rounds": [
            {"side": each.side, "sent": each.sent, "rows": each.rows, "seconds": round(each.seconds, 2)}
            for each in (*article, *against, *own)
        ],
    }


def _against(rounds: Sequence[Round]) -> dict[str, Any]:
    """What is said of another revision."""
    spent = cpu(rounds)
    return {
        "against_rows_per_s": round(median(each.rows_per_s for each in rounds)),
        "against_cpu_us_per_row": spent,
        "against_cpu_us_per_row_together": together(spent),
        "against_missing": sum(each.missing for each in rounds),
    }
