"""How likely an address is to be seen again within 24 hours of the end of the seven days, from its own history.

A logistic regression for each feed, fitted on past days and believed only if it does better on the week after them than
two simpler guesses. docs/confidence.md has its form and its figures.
"""

from __future__ import annotations

import json
import logging
import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..shared import documents
from .errors import SourceError, SourceUnavailableError
from .source import Snapshot, Source

_LOG = logging.getLogger(__name__)
FILE = "confidence.json"
_VERSION = 2
INPUTS = (
    "constant", "log2(1 + hours since last seen)", "days seen", "log2(events)", "days from first to last", "proven",
    "seen within the last 24 hours",
)  # fmt: skip
"""What the coefficients are multiplied with, in their order."""
_IDLE, _FRESH = 1, 6  # where those that change with time alone stand
BOUND = 0.05
"""An address is valid until its probability falls under this."""
TRAINED_ON = 14
HELD_OUT = 7
_WINDOW = 7  # days
_LOOKED_BACK = 42  # days, for those that have all of their past: an outage takes eight of them
_ROWS = 20_000  # of each of the two parts, about: more would take longer and hardly change the coefficients
_MOST_ROWS = 2 * _ROWS
_FEWEST_ROWS = 500
_FEWEST_OF_A_KIND = 50  # that were seen again, and that were not
_RENEWED_AFTER = timedelta(days=7)
_TRIED_AFTER = timedelta(days=1)
_USED_FOR = timedelta(days=35)
_NEVER = datetime.min.replace(tzinfo=UTC)
_SECONDS = 300.0  # after which no query is begun: the run holds its lock meanwhile, and the next hour's waits
_QUERY_SECONDS = 30
_DAY = timedelta(days=1)
_FRESH_HOURS = 24.0
_MOST_HOURS = _WINDOW * 24.0  # then an address leaves the feed
_WIDEST = 30.0  # of a logit: beyond it, exp() says nothing more

# Each text once in memory, however many addresses have it.
_HUNDREDTHS = tuple(f"{hundredth / 100:.2f}" for hundredth in range(101))

Inputs = tuple[float, float, float, float, float, float, float]


@dataclass
class Rows:
    """Addresses as they were at the ends of windows, and whether each was seen in the 24 hours after that."""

    inputs: list[Inputs] = field(default_factory=list)
    again: list[bool] = field(default_factory=list)

    def add(self, inputs: Inputs, again: bool) -> None:
        """Take an address."""
        self.inputs.append(inputs)
        self.again.append(again)

    @property
    def rate(self) -> float:
        """The share that was seen again."""
        return sum(self.again) / len(self.again)


@dataclass(frozen=True)
class Bin:
    """Of the addresses whose probability is in one tenth of the range: the mean of it, and how many came back."""

    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Model:
    """A feed's model, and how it did in the week that it was not fitted on."""

    coefficients: tuple[float, ...] = ()
    """One for each of INPUTS; none when there is no model."""
    problem: str = ""
    """Why it is not used; empty when it is."""
    trained_on: int = 0
    """Rows that it was fitted on."""
    checked_on: int = 0
    """Rows of the held-out week."""
    seen_again: float = 0.0
    """The share of these that came back."""
    brier: float = 0.0
    """Mean square of the difference between probability and outcome: 0 is perfect, 0.25 is a coin."""
    brier_constant: float = 0.0
    """That of a guess which takes the share of the days before for every address."""
    brier_last_seen: float = 0.0
    """That of a guess which takes, for each number of days since last seen, the share of the days before."""
    calibration: tuple[Bin, ...] = ()


def inputs(idle: float, span: float, events: int, verified: int, days: int) -> Inputs:
    """Return what the model looks at. `idle` and `span`: hours since last seen, and from first to last seen."""
    return (
        1.0, math.log2(1.0 + max(0.0, idle)), float(days.bit_count()), math.log2(max(1, events)), span / 24.0,
        1.0 if verified else 0.0, 1.0 if idle <= _FRESH_HOURS else 0.0,
    )  # fmt: skip


def probability(coefficients: Sequence[float], values: Sequence[float]) -> float:
    """Return what the model says of an address."""
    logit = sum(c * x for c, x in zip(coefficients, values, strict=True))
    return 1.0 / (1.0 + math.exp(-max(-_WIDEST, min(_WIDEST, logit))))


def fit(rows: Rows) -> tuple[float, ...]:
    """Return the coefficients of greatest likelihood, by Newton's method.

    A small penalty on their squares keeps them finite where an input says everything, or nothing (always the same).
    """
    size = len(INPUTS)
    found = [0.0] * size
    for _ in range(30):
        slope = [-coefficient for coefficient in found]
        curve = [[1.0 if i == j else 0.0 for j in range(size)] for i in range(size)]
        for values, again in zip(rows.inputs, rows.again, strict=True):
            p = probability(found, values)
            weight = p * (1.0 - p)
            rest = again - p
            for i, x in enumerate(values):
                slope[i] += rest * x
                weighted = weight * x
                row = curve[i]
                for j in range(i + 1):
                    row[j] += weighted * values[j]
        for i in range(size):
            for j in range(i):
                curve[j][i] = curve[i][j]
        step = _solve(curve, slope)
        # A step too far would end where the likelihood is flat.
        largest = max(abs(one) for one in step)
        scale = min(1.0, 5.0 / largest) if largest else 1.0
        found = [coefficient + scale * one for coefficient, one in zip(found, step, strict=True)]
        if largest < 1e-6:
            break
    return tuple(found)


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve a system of linear equations whose matrix is symmetric and positive definite."""
    size = len(right)
    rows = [[*matrix[i], right[i]] for i in range(size)]
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(i + 1, size):
            factor = rows[k][i] / rows[i][i]
            for j in range(i, size + 1):
                rows[k][j] -= factor * rows[i][j]
    found = [0.0] * size
    for i in reversed(range(size)):
        found[i] = (rows[i][size] - sum(rows[i][j] * found[j] for j in range(i + 1, size))) / rows[i][i]
    return found


def _brier(guessed: Iterable[float], rows: Rows) -> float:
    return sum((p - again) ** 2 for p, again in zip(guessed, rows.again, strict=True)) / len(rows.again)


def _days_idle(values: Inputs) -> int:
    return min(_WINDOW - 1, int((2.0 ** values[_IDLE] - 1.0) / 24.0))


def judged(train: Rows, held: Rows) -> Model:
    """Fit a model on some rows and judge it by later ones."""
    for what, rows in (("the days to fit it on", train), ("the week to check it by", held)):
        came = sum(rows.again)
        if len(rows.again) < _FEWEST_ROWS or min(came, len(rows.again) - came) < _FEWEST_OF_A_KIND:
            return Model(
                problem=f"{what} have {len(rows.again)} rows, of which {came} came back: {_FEWEST_ROWS}, with "
                f"{_FEWEST_OF_A_KIND} of either kind, are needed",
                trained_on=len(train.again),
                checked_on=len(held.again),
            )
    coefficients = fit(train)
    guessed = [probability(coefficients, values) for values in held.inputs]
    by_day: list[list[int]] = [[0, 0] for _ in range(_WINDOW)]
    for values, again in zip(train.inputs, train.again, strict=True):
        by_day[_days_idle(values)][0] += 1
        by_day[_days_idle(values)][1] += again
    rates = [came / count if count else train.rate for count, came in by_day]
    brier = _brier(guessed, held)
    constant = _brier([train.rate] * len(held.again), held)
    last_seen = _brier((rates[_days_idle(values)] for values in held.inputs), held)
    problem = ""
    if not brier < min(constant, last_seen):
        problem = (
            f"in the week that it was checked by, its Brier score of {brier:.4f} was not below that of a constant "
            f"({constant:.4f}) and of the time last seen alone ({last_seen:.4f})"
        )
    return Model(
        coefficients, problem, len(train.again), len(held.again), held.rate, brier, constant, last_seen,
        tuple(_calibration(guessed, held.again)),
    )  # fmt: skip


def _calibration(guessed: Sequence[float], again: Sequence[bool]) -> Iterable[Bin]:
    tenths: dict[int, list[tuple[float, bool]]] = {}
    for p, came in zip(guessed, again, strict=True):
        tenths.setdefault(min(9, int(p * 10)), []).append((p, came))
    for _, found in sorted(tenths.items()):
        count = len(found)
        yield Bin(count, round(sum(p for p, _ in found) / count, 4), round(sum(came for _, came in found) / count, 4))


class Judge:
    """Says of an address of a feed how likely it is to come back, and until when it is worth acting on.

    Both texts are empty where there is no model, or nothing is known of the days.
    """

    def __init__(self, coefficients: Sequence[float], end: datetime) -> None:
        self._end = end.astimezone(UTC)
        self._hours: dict[str, float] = {}
        self._texts: dict[float, str] = {}
        self._coefficients = tuple(coefficients)
        self._logit = math.log(BOUND / (1.0 - BOUND))  # of the bound

    def _hours_to_end(self, moment: str) -> float:
        """Return the hours from a time (`YYYY-mm-dd HH:MM:SS`) to the end of the window."""
        hour = moment[:13]
        hours = self._hours.get(hour)
        if hours is None:
            begins = datetime.strptime(hour, "%Y-%m-%d %H").replace(tzinfo=UTC)
            hours = self._hours[hour] = (self._end - begins) / timedelta(hours=1)
        return hours - int(moment[14:16]) / 60.0 - int(moment[17:19]) / 3600.0

    def __call__(self, first: str, last: str, events: int, verified: int, days: int) -> tuple[str, str]:
        """Return the probability and the time, as NDJSON and CSV have them."""
        if not self._coefficients or not days:
            return "", ""
        idle = self._hours_to_end(last)
        values = inputs(idle, self._hours_to_end(first) - idle, events, verified, days)
        logit = sum(map(float.__mul__, self._coefficients, values))
        p = 1.0 / (1.0 + math.exp(-max(-_WIDEST, min(_WIDEST, logit))))
        old = logit - self._coefficients[_FRESH] * values[_FRESH] - self._coefficients[_IDLE] * values[_IDLE]
        return _HUNDREDTHS[round(p * 100)], self._full_hour(math.ceil(self._valid_hours(idle, logit, old) - idle))

    def _valid_hours(self, idle: float, logit: float, old: float) -> float:
        """Return the hours since last seen at which the probability falls under BOUND, as time passes and nothing else
        changes. `logit` is that of now, and `old` the share of it that does not change.
        """
        slope = self._coefficients[_IDLE]
        if slope >= 0.0:
            # Only the end of the first 24 hours can lower it.
            if logit < self._logit:
                return idle
            falls = old + slope * math.log2(1.0 + _FRESH_HOURS) < self._logit
            return _FRESH_HOURS if idle <= _FRESH_HOURS and falls else _MOST_HOURS
        if idle > _FRESH_HOURS:
            return max(_FRESH_HOURS, self._hours_until_bound(old))
        hours = self._hours_until_bound(old + self._coefficients[_FRESH])
        return max(_FRESH_HOURS, self._hours_until_bound(old)) if hours > _FRESH_HOURS else hours

    def _hours_until_bound(self, logit: float) -> float:
        """Return the hours since last seen after which an address falls under BOUND whose logit was this at first, and
        falls with time.
        """
        exponent = (self._logit - logit) / self._coefficients[_IDLE]
        return min(_MOST_HOURS, math.exp2(max(0.0, min(10.0, exponent))) - 1.0)

    def _full_hour(self, hours: int) -> str:
        text = self._texts.get(hours)
        if text is None:
            text = self._texts[hours] = f"{self._end + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
        return text


@dataclass(frozen=True)
class Stay:
    """How long the addresses were in a feed that left it in the week before the models were fitted."""

    left: int
    median_days: int


@dataclass(frozen=True)
class Models:
    """The models of all feeds, and when each was fitted: by the publisher's clock."""

    fitted: Mapping[str, datetime] = field(default_factory=dict)
    tried: Mapping[str, datetime] = field(default_factory=dict)
    """When each was last begun: one that did not end well waits a day, whatever ended it."""
    feeds: Mapping[str, Model] = field(default_factory=dict)
    stays: Mapping[str, Stay] = field(default_factory=dict)
    """Of the feeds that any address has left."""

    def of(self, category: str, now: datetime) -> Model:
        """Return a feed's model, with a problem where it must not be used."""
        model = self.feeds.get(category)
        if model is None:
            return Model(problem="none has been fitted yet")
        fitted = self.fitted[category]
        if not model.problem and abs(now - fitted) > _USED_FOR:
            return Model(problem=f"it is of {fitted:%Y-%m-%d}, which is too old")
        return model

    def judge(self, category: str, end: datetime, now: datetime) -> Judge:
        """Return what judges a feed's addresses at the end of a window."""
        model = self.of(category, now)
        return Judge(() if model.problem else model.coefficients, end)

    def due(self, categories: Iterable[str], now: datetime) -> list[str]:
        """Return the feeds whose models should be fitted again, those first that have waited longest.

        Each is fitted every week. One that has none, or whose history is too short as yet, is tried every day; one that
        has too few addresses is not, since to count them takes as long as to fit a model.
        """
        found = []
        for category in categories:
            if category in self.tried and abs(now - self.tried[category]) < _TRIED_AFTER:
                continue
            model = self.feeds.get(category)
            unread = model is None or (model.problem and not model.trained_on and not model.checked_on)
            if unread or abs(now - self.fitted[category]) >= _RENEWED_AFTER:
                found.append(category)
        return sorted(found, key=lambda category: self.fitted.get(category, _NEVER))


def load(state: Path) -> Models:
    """Return the stored models, or an empty set of models if the file is missing or unusable."""
    path = state / FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != _VERSION:
            raise ValueError(f"of version {document['version']}")
        fitted, tried = _times(document["fitted"]), _times(document["tried"])
        feeds = {str(category): _model(found) for category, found in document["feeds"].items()}
        stays = {
            str(category): Stay(int(one["left"]), int(one["median_days"]))
            for category, one in document["stays"].items()
        }
        if not feeds.keys() <= fitted.keys():
            raise ValueError("a model without the time at which it was fitted")
    except FileNotFoundError:
        return Models()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _LOG.warning("%s: can't be used (%s); the models are fitted anew", path, error)
        return Models()
    return Models(fitted, tried, feeds, stays)


def _times(found: Mapping[str, str]) -> dict[str, datetime]:
    times = {str(category): datetime.fromisoformat(text) for category, text in found.items()}
    if any(moment.tzinfo is None for moment in times.values()):
        raise ValueError("a time without a zone")
    return times


def _store(state: Path, models: Models) -> None:
    """Raises OSError."""
    documents.write(
        state / FILE,
        {
            "version": _VERSION,
            "fitted": {category: moment.isoformat() for category, moment in models.fitted.items()},
            "tried": {category: moment.isoformat() for category, moment in models.tried.items()},
            "feeds": {category: asdict(model) for category, model in models.feeds.items()},
            "stays": {category: asdict(stay) for category, stay in models.stays.items()},
        },
    )


def _model(found: Mapping[str, Any]) -> Model:
    """Return a model as it was stored; each value as what it must be, since pages are made of them."""
    model = Model(
        coefficients=tuple(float(one) for one in found["coefficients"]),
        problem=str(found["problem"]),
        calibration=tuple(
            Bin(int(one["rows"]), float(one["predicted"]), float(one["observed"])) for one in found["calibration"]
        ),
        trained_on=int(found["trained_on"]),
        checked_on=int(found["checked_on"]),
        seen_again=float(found["seen_again"]),
        brier=float(found["brier"]),
        brier_constant=float(found["brier_constant"]),
        brier_last_seen=float(found["brier_last_seen"]),
    )
    usable = len(model.coefficients) == len(INPUTS) and all(map(math.isfinite, model.coefficients))
    if not (usable or (model.problem and not model.coefficients)):
        raise ValueError("not as many coefficients as inputs")
    return model


class _Time:
    """What is left of the time that the fitting may take."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _SECONDS

    @property
    def over(self) -> bool:
        """Whether nothing more may be begun."""
        return time.monotonic() >= self._until

    def check(self) -> None:
        """Raise SourceError when it is over."""
        if self.over:
            raise SourceError(f"the {_SECONDS:.0f} seconds for all of them are over")


def renew(state: Path, source: Source, sizes: Mapping[str, int], now: datetime) -> bool:
    """Fit the models again whose time it is. Returns whether there were any.

    `sizes` has the number of addresses of each feed. A feed whose history can't be read keeps its model, and so does
    one for which there is no time left. Raises OSError when the models can't be stored, SourceUnavailableError when the
    database can't be reached.
    """
    models = load(state)
    due = models.due(sizes, now)
    if not due:
        return False
    # Before anything is begun: if this run is killed meanwhile, the next ones must not be killed for the same.
    models = replace(models, tried={**models.tried, **dict.fromkeys(due, now)})
    _store(state, models)
    left = _Time()
    for category in due:
        if left.over:
            _LOG.warning("%s: no time was left to fit its confidence; tried again tomorrow", category)
            continue
        try:
            # A snapshot of its own: one that is open for long keeps the database from tidying up.
            with source.snapshot(statement_timeout=_QUERY_SECONDS) as snapshot:
                model = fitted(snapshot, category, sizes[category], now, left)
                left.check()
                count, median = snapshot.stays(category, _today(snapshot, now))
        except SourceUnavailableError:
            raise
        except SourceError as error:
            _LOG.warning("%s: its confidence can't be fitted again (%s)", category, error)
            continue
        stays = {other: stay for other, stay in models.stays.items() if other != category}
        if count:
            stays[category] = Stay(count, median)
        models = replace(
            models,
            fitted={**models.fitted, category: now},
            feeds={**models.feeds, category: model},
            stays=stays,
        )
        _store(state, models)
        _LOG.info(
            "%s: %s", category,
            f"no confidence: {model.problem}" if model.problem else
            f"confidence fitted on {model.trained_on} rows; Brier score {model.brier:.4f} on {model.checked_on}"
            f" of the week after, {model.brier_constant:.4f} by a constant, {model.brier_last_seen:.4f} by the "
            "time last seen",
        )  # fmt: skip
    return True


def _today(snapshot: Snapshot, now: datetime) -> datetime:
    """Return the beginning of the UTC day: all before it is over, by both clocks."""
    return min(now, snapshot.condition.clock).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def fitted(snapshot: Snapshot, category: str, addresses: int, now: datetime, left: _Time) -> Model:
    """Fit a feed's model on the days before the last week, and check it by that week. Raises SourceError."""
    today = _today(snapshot, now)
    left.check()
    there = set(snapshot.days_with_rows(category, today - (_LOOKED_BACK + _WINDOW) * _DAY, today))
    # A day without rows is one of an outage: nothing came back on it, and for a week after it too little is known.
    days = [
        day
        for day in (today - back * _DAY for back in range(_LOOKED_BACK, 0, -1))
        if all(day - back * _DAY in there for back in range(_WINDOW + 1))
    ][-TRAINED_ON - HELD_OUT :]
    train_days, held_days = days[:-HELD_OUT], days[-HELD_OUT:]
    if len(train_days) < HELD_OUT:
        return Model(
            problem=f"three weeks of history are needed, and {len(days) + (_WINDOW if days else 0)} days are there"
        )
    train = _rows(snapshot, category, addresses, train_days, left)
    return judged(train, _rows(snapshot, category, addresses, held_days, left))


def _rows(snapshot: Snapshot, category: str, addresses: int, days: Sequence[datetime], left: _Time) -> Rows:
    found = _Sample(_MOST_ROWS)
    # Most rows never leave the database. A flood of forged sources, of which few are published, is not in `addresses`.
    sample = max(1, round(addresses * len(days) / _ROWS))
    for day in days:
        left.check()
        snapshot.recurrence(category, day, sample, found.take)
    return found.rows


class _Sample:
    """A uniform random sample of the rows offered, of bounded size (reservoir sampling, Vitter's algorithm R)."""

    def __init__(self, most: int) -> None:
        self.rows = Rows()
        self._most = most
        self._came = 0
        self._random = random.Random(0)  # noqa: S311 - the same rows for the same history

    def take(self, idle: float, span: float, events: int, verified: int, days: int, again: bool) -> None:
        """Take a source; see source.TakePast."""
        self._came += 1
        if len(self.rows.again) < self._most:
            self.rows.add(inputs(idle, span, events, verified, days), again)
            return
        place = self._random.randrange(self._came)
        if place < self._most:
            self.rows.inputs[place] = inputs(idle, span, events, verified, days)
            self.rows.again[place] = again
