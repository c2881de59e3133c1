"""How likely an address is to come back: against weeks whose truth is known, from the database to the published row."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import logging
import math
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from local_postgres import needs_postgresql
from publisher_database import Database, Sighting, database
from publisher_fakes import END, FakeSource, row
from strandline.publisher import confidence, config, publish, window
from strandline.publisher.errors import SourceError
from strandline.publisher.source import PostgresSource, TakePast

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
# What kinds of sources there are: how many, and how likely one is seen on any day. The last ones stay for some days.
KINDS = ((120, 0.97), (150, 0.5), (330, 0.12))
SHORT_STAYS = 40  # begin each day
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class Truth:
    """Sources that come back by known rules, on each of 30 days before TODAY and on it."""

    def __init__(self, seed: int, *, today: datetime = TODAY, days: int = 30) -> None:
        rng = random.Random(seed)
        self.today = today
        self.days = [today - back * DAY for back in range(days, -1, -1)]
        self.chance: dict[tuple[str, datetime], float] = {}
        self.sightings: list[Sighting] = []
        self.seen: dict[str, list[datetime]] = defaultdict(list)
        number = 0
        for count, chance in KINDS:
            for _ in range(count):
                number += 1
                self._live(rng, f"198.18.{number // 250}.{number % 250}", self.days, chance)
        for at in range(-6, len(self.days)):
            for _ in range(SHORT_STAYS):
                number += 1
                # Each day it goes for good by one in three.
                until = at + 1 + int(math.log(1.0 - rng.random()) / math.log(2 / 3))
                there = self.days[max(0, at) : max(0, until)]
                address = f"198.19.{number // 250 % 250}.{number % 250}"
                self._live(rng, address, there, 1.0, stays=2 / 3)

    def _live(
        self, rng: random.Random, address: str, there: list[datetime], chance: float, *, stays: float | None = None
    ) -> None:
        for day in self.days:
            self.chance[address, day] = chance if stays is None else (stays if day - DAY in there else 0.0)
        for day in there:
            if rng.random() < chance:
                for _ in range(rng.randint(1, 4)):
                    when = day + timedelta(seconds=rng.randrange(86_400))
                    self.seen[address].append(when)
                    self.sightings.append(("dnsrd", when, address, rng.randint(1, 3), 1))

    def rows(self, days: list[datetime]) -> confidence.Rows:
        """What the model sees of these days' beginnings, counted without the database."""
        found = confidence.Rows()
        for day in days:
            for address in self.there(day):
                inputs, again = self.of(address, day)
                found.add(inputs, again)
        return found

    def there(self, end: datetime) -> list[str]:
        """The addresses of the seven days that end then."""
        return [address for address, times in self.seen.items() if any(end - 7 * DAY <= t < end for t in times)]

    def of(self, address: str, end: datetime) -> tuple[confidence.Inputs, bool]:
        """What the model sees of an address, and whether it came back within 24 hours."""
        times = [t for t in self.seen[address] if end - 7 * DAY <= t < end]
        first, last = min(times), max(times)
        mask = 0
        for t in times:
            mask |= 1 << math.ceil((end - t) / DAY) - 1
        events = sum(s[3] for s in self.sightings_of(address) if end - 7 * DAY <= s[1] < end)
        hour = timedelta(hours=1)
        again = any(end <= t < end + DAY for t in self.seen[address])
        return confidence.inputs((end - last) / hour, (last - first) / hour, events, 1, mask), again

    def sightings_of(self, address: str) -> list[Sighting]:
        if not hasattr(self, "_by_address"):
            self._by_address: dict[str, list[Sighting]] = defaultdict(list)
            for one in self.sightings:
                self._by_address[one[2]].append(one)
        return self._by_address[address]


def parts(truth: Truth) -> tuple[list[datetime], list[datetime]]:
    """The days that a model is fitted on, and those of the week that it is checked by."""
    days = [truth.today - back * DAY for back in range(21, 0, -1)]
    return days[:14], days[14:]


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth(14)


@pytest.fixture(scope="module")
def model(truth: Truth) -> confidence.Model:
    train, held = parts(truth)
    return confidence.judged(truth.rows(train), truth.rows(held))


def test_on_the_held_out_week_it_beats_a_constant_and_the_time_last_seen(truth: Truth, model: confidence.Model) -> None:
    """And comes near what could be known at best: the chances by which the weeks were made."""
    train, held = parts(truth)
    assert model.problem == ""
    assert model.trained_on == sum(len(truth.there(day)) for day in train)
    assert model.checked_on == sum(len(truth.there(day)) for day in held)
    rows = [(truth.chance[address, day], *truth.of(address, day)) for day in held for address in truth.there(day)]
    came = [again for _, _, again in rows]
    assert model.seen_again == pytest.approx(sum(came) / len(came))
    mine = [confidence.probability(model.coefficients, inputs) for _, inputs, _ in rows]
    assert model.brier == pytest.approx(sum((p - again) ** 2 for p, again in zip(mine, came, strict=True)) / len(came))
    rate = truth.rows(train).rate
    assert model.brier_constant == pytest.approx(sum((rate - again) ** 2 for again in came) / len(came))
    best = sum((chance - again) ** 2 for chance, _, again in rows) / len(rows)
    print(
        f"Brier score: model {model.brier:.4f}, last seen {model.brier_last_seen:.4f},"
        f" constant {model.brier_constant:.4f}, at best {best:.4f}"
    )
    assert best < model.brier < model.brier_last_seen < model.brier_constant
    assert model.brier < model.brier_last_seen - 0.01


def test_of_those_that_it_says_a_probability_of_about_as_many_come_back(model: confidence.Model) -> None:
    assert sum(one.rows for one in model.calibration) == model.checked_on
    for one in model.calibration:
        print(f"{one.rows:6} rows: {one.predicted:.3f} said, {one.observed:.3f} came back")
        assert abs(one.predicted - one.observed) < 0.1 + 2 * math.sqrt(0.25 / one.rows)
    wrong = sum(one.rows * abs(one.predicted - one.observed) for one in model.calibration) / model.checked_on
    assert wrong < 0.05


def test_the_coefficients_are_those_by_which_the_rows_were_made() -> None:
    """Newton's method finds them again, but for chance."""
    rng = random.Random(3)
    made = (-1.0, -0.8, 0.5, 0.1, 0.2, 0.0, 0.7)
    rows = confidence.Rows()
    for _ in range(20_000):
        values = confidence.inputs(
            rng.uniform(0, 160), rng.uniform(0, 160), rng.randint(1, 500), 0, rng.randrange(1, 128)
        )
        rows.add(values, rng.random() < confidence.probability(made, values))
    for found, wanted in zip(confidence.fit(rows), made, strict=True):
        assert found == pytest.approx(wanted, abs=0.25)


def test_inputs_that_say_everything_or_nothing_give_no_infinite_coefficients() -> None:
    rows = confidence.Rows()
    for n in range(2000):
        rows.add(confidence.inputs(1.0 if n % 2 else 100.0, 0, 1, 0, 1), bool(n % 2))
    found = confidence.fit(rows)
    assert all(math.isfinite(one) and abs(one) < 50 for one in found)
    assert confidence.probability(found, rows.inputs[1]) > 0.95
    assert confidence.probability(found, rows.inputs[0]) < 0.05


def test_where_history_says_nothing_there_is_no_confidence() -> None:
    """Coins: nothing is better than the constant. And too few rows, or rows of one kind."""
    rng = random.Random(5)

    def coins(count: int, chance: float) -> confidence.Rows:
        rows = confidence.Rows()
        for _ in range(count):
            rows.add(
                confidence.inputs(
                    rng.uniform(0, 160), rng.uniform(0, 160), rng.randint(1, 9), 1, rng.randrange(1, 128)
                ),
                rng.random() < chance,
            )
        return rows

    assert "was not below that of a constant" in confidence.judged(coins(1500, 0.5), coins(3000, 0.5)).problem
    for few in (coins(499, 0.5), coins(3000, 0.0), coins(3000, 1.0)):
        for model in (confidence.judged(few, coins(600, 0.5)), confidence.judged(coins(600, 0.5), few)):
            assert "are needed" in model.problem
            assert model.coefficients == ()


def test_an_address_is_valid_until_its_probability_falls_under_the_bound() -> None:
    rng = random.Random(8)
    coefficients = (-1.0, -0.6, 0.3, 0.05, -0.05, 0.0, 1.0)
    judge = confidence.Judge(coefficients, END)
    before = earlier = 0
    for _ in range(500):
        last = END - timedelta(seconds=rng.randrange(7 * 86_400))
        first = last - timedelta(seconds=rng.randrange(max(1, int((last - (END - 7 * DAY)).total_seconds()))))
        days, events = rng.randrange(1, 128), rng.randint(1, 100)
        said, until = judge(f"{first:%Y-%m-%d %H:%M:%S}", f"{last:%Y-%m-%d %H:%M:%S}", events, 1, days)
        hour = timedelta(hours=1)

        def at(
            moment: datetime, first: datetime = first, last: datetime = last, events: int = events, days: int = days
        ) -> float:
            idle, span = (moment - last) / timedelta(hours=1), (last - first) / timedelta(hours=1)
            return confidence.probability(coefficients, confidence.inputs(idle, span, events, 1, days))

        assert float(said) == pytest.approx(at(END), abs=0.00501)
        moment = datetime.fromisoformat(until)
        assert moment <= last + 7 * DAY + hour
        if moment < last + 7 * DAY:
            before += 1
            assert at(max(moment, last)) <= confidence.BOUND + 1e-9
            if moment - hour > last:
                earlier += 1
                assert at(moment - hour) > confidence.BOUND - 1e-9
    assert before > 20
    assert earlier > 20


def test_an_address_is_valid_now_if_and_only_if_its_probability_is_not_under_the_bound() -> None:
    """Whatever a feed's history says of time: some sources come back the likelier the longer they were away."""
    rng = random.Random(11)
    kinds: dict[tuple[bool, bool, bool, bool], int] = defaultdict(int)
    for _ in range(20_000):
        # Of idle time and of "fresh", which matter here; the constant brings the probabilities near to the bound.
        slope, fresh = rng.uniform(-1, 1), rng.uniform(-3, 3)
        hours = rng.randrange(24 * 3600) if rng.random() < 0.5 else rng.randrange(24 * 3600, 168 * 3600 + 1)
        idle = hours / 3600
        values = confidence.inputs(idle, 0.0, 1, 1, 1)
        constant = math.log(0.05 / 0.95) + rng.uniform(-2, 2) - slope * values[1] - fresh * values[6]
        coefficients = (constant, slope, 0.0, 0.0, 0.0, 0.0, fresh)
        moment = f"{END - timedelta(hours=idle):%Y-%m-%d %H:%M:%S}"
        _, until = confidence.Judge(coefficients, END)(moment, moment, 1, 1, 1)
        left = (datetime.fromisoformat(until) - END) / timedelta(hours=1)

        def at(hours: float, idle: float = idle, coefficients: tuple[float, ...] = coefficients) -> float:
            return confidence.probability(coefficients, confidence.inputs(idle + hours, 0.0, 1, 1, 1))

        now = at(0) >= confidence.BOUND
        assert left >= 0 if now else left <= 0, (coefficients, idle, left)
        kinds[slope > 0, fresh > 0, idle > 24, now] += 1
        if now:
            # It holds for each hour until then, and not after it, unless the address leaves the feed.
            assert all(at(hour) >= confidence.BOUND - 1e-9 for hour in range(int(left)))
            assert left - 1 < 168 - idle + 1e-6
            if idle + left < 168:
                last = [left - minute / 60 for minute in range(61) if minute / 60 <= left]
                falls = min(
                    *map(at, [*last, left + 1e-6]), at(24 - idle + 1e-6) if left - 1 <= 24 - idle <= left else 1
                )
                assert falls <= confidence.BOUND + 2e-3, (coefficients, idle, left)
    assert len(kinds) == 16
    assert min(kinds.values()) > 300


def test_models_are_fitted_every_week_and_daily_where_one_is_missing() -> None:
    good = confidence.Model((0.0,) * 7)
    few, short = confidence.Model(problem="few", trained_on=3, checked_on=2), confidence.Model(problem="short")
    feeds = {"a": good, "b": good, "few": few, "short": short}
    fitted = {"a": END, "b": END - HOUR, "few": END, "short": END}
    models = confidence.Models(fitted, fitted, feeds)
    assert confidence.Models().due(["a"], END) == ["a"]
    assert models.due(["a", "b", "few", "new"], END + timedelta(hours=23)) == ["new"]
    assert models.due(feeds, END + 6 * DAY) == ["short"]
    assert models.due(["a", "b", "few"], END + 7 * DAY) == ["b", "a", "few"]
    # One that was begun is not begun again on the same day, whatever became of it.
    begun = dataclasses.replace(models, tried={**fitted, "a": END + 7 * DAY, "new": END + 7 * DAY})
    assert begun.due(["a", "new"], END + 7 * DAY + 23 * HOUR) == []
    assert begun.due(["a", "new"], END + 8 * DAY) == ["new", "a"]
    assert models.of("a", END + 34 * DAY) == good
    assert "too old" in models.of("a", END + 36 * DAY).problem
    assert models.of("c", END).problem


@pytest.mark.parametrize(
    "damage",
    [
        "", "[]", '{"version": 2}', '{"version": 1, "fitted": "2026-11-25T03:00:00+00:00", "feeds": {}, "stays": {}}',
        '{"version": 2, "fitted": {"a": "2026-11-25T03:00:00+00:00"}, "tried": {}, "stays": {},'
        ' "feeds": {"a": {"coefficients": [1], "calibration": []}}}',
        '{"version": 2, "fitted": {"a": "2026-11-25T03:00:00+00:00"}, "tried": {}, "stays": {},'
        ' "feeds": {"a": {"coefficients": [NaN, 1, 1, 1, 1, 1, 1], "calibration": []}}}',
        '{"version": 2, "fitted": {"a": "2026-11-25"}, "tried": {}, "feeds": {}, "stays": {}}',
        '{"version": 2, "fitted": {}, "tried": ["a"], "feeds": {}, "stays": {}}',
        '{"version": 2, "fitted": {}, "tried": {}, "stays": {}, "feeds": {"a": {"coefficients": [], "problem": "no",'
        ' "calibration": [], "trained_on": 0, "checked_on": 0, "seen_again": 0, "brier": 0, "brier_constant": 0,'
        ' "brier_last_seen": 0}}}',
    ],
)  # fmt: skip
def test_damaged_models_are_no_models(tmp_path: Path, damage: str) -> None:
    (tmp_path / confidence.FILE).write_text(damage, encoding="utf-8")
    assert confidence.load(tmp_path) == confidence.Models()


def test_without_history_the_fields_say_nothing(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [(*row("198.18.0.1"), 1)]  # type: ignore[list-item]
    publish.run(settings, source, window.ending_at(END), now=END)
    [one] = [json.loads(line) for line in (settings.webroot / "current/dnsrd.ndjson").read_text().splitlines()]
    assert (one["confidence"], one["valid_until"]) == (None, None)
    text = (settings.webroot / "current/dnsrd.csv").read_text(encoding="utf-8")
    [line] = csv.DictReader(io.StringIO(text))
    assert (line["confidence"], line["valid_until"]) == ("", "")
    assert confidence.renew(settings.state, source, {"dnsrd": 1}, END)
    assert "three weeks of history are needed" in confidence.load(settings.state).of("dnsrd", END).problem


def test_a_feed_whose_history_can_not_be_read_keeps_its_model(
    settings: config.Config, source: FakeSource, model: confidence.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise SourceError("it takes too long")

    now = datetime.now(UTC)
    then = {"dnsrd": now - 8 * DAY}
    confidence._store(settings.state, confidence.Models(then, then, {"dnsrd": model}))
    monkeypatch.setattr(source, "days_with_rows", fails)
    assert confidence.renew(settings.state, source, {"dnsrd": 1}, now)
    assert confidence.load(settings.state) == confidence.Models(then, {"dnsrd": now}, {"dnsrd": model})


def test_a_run_that_is_killed_while_it_fits_costs_one_try_a_day(
    settings: config.Config, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def killed(category: str, *_: object) -> None:
        begun.append(category)
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "days_with_rows", killed)
    for hour in range(24):
        with contextlib.suppress(KeyboardInterrupt):
            confidence.renew(settings.state, source, {"dnsrd": 1, "sshclient": 1}, END + hour * HOUR)
    assert begun == ["dnsrd"]
    with pytest.raises(KeyboardInterrupt):
        confidence.renew(settings.state, source, {"dnsrd": 1, "sshclient": 1}, END + DAY)


def test_after_five_minutes_no_query_is_begun(
    settings: config.Config, source: FakeSource, monkeypatch: pytest.MonkeyPatch, model: confidence.Model
) -> None:
    """The feeds that are left keep their models, and are the first the next time."""
    clock = 0.0
    asked: list[tuple[str, float]] = []

    def days(category: str, since: datetime, before: datetime) -> list[datetime]:
        return [since + n * DAY for n in range((before - since).days)]

    def slow(category: str, *_: object) -> None:
        nonlocal clock
        asked.append((category, clock))
        clock += 29

    monkeypatch.setattr(source, "days_with_rows", days)
    monkeypatch.setattr(source, "recurrence", slow)
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    then = {"dnsrd": END - 9 * DAY, "sshclient": END - 8 * DAY}
    confidence._store(settings.state, confidence.Models(then, then, dict.fromkeys(then, model)))
    assert confidence.renew(settings.state, source, dict.fromkeys(then, 1), END)
    assert {category for category, _ in asked} == {"dnsrd"}
    assert 270 < max(when for _, when in asked) < 300
    assert confidence.load(settings.state) == confidence.Models(
        then, dict.fromkeys(then, END), dict.fromkeys(then, model)
    )


def test_a_flood_of_forged_sources_is_sampled_evenly(source: FakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of them are published, and more rows come than the memory holds: each day has its share of what is kept."""
    monkeypatch.setattr(confidence, "_MOST_ROWS", 1000)

    def many(category: str, day: datetime, sample: int, take: TakePast) -> None:
        assert (category, sample) == ("dnsrd", 1)
        for _ in range(5000):
            take(1.0, 0.0, day.day, 0, 1, day.day % 2 == 0)

    monkeypatch.setattr(source, "recurrence", many)
    days = [END + n * DAY for n in range(4)]
    rows = confidence._rows(source, "dnsrd", 100, days, confidence._Time())
    assert len(rows.inputs) == len(rows.again) == 1000
    for day in days:
        share = [
            again for values, again in zip(rows.inputs, rows.again, strict=True) if values[3] == math.log2(day.day)
        ]
        assert 190 < len(share) < 310
        assert set(share) == {day.day % 2 == 0}


# From the database


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with database() as found:
        yield found


@needs_postgresql
def test_the_database_says_on_which_days_a_source_was_seen(server: Database, truth: Truth) -> None:
    """To the row, whatever the hour at which the days begin; the rest is as in strandline.feed."""
    server.see(truth.sightings)
    for hours in (0, 1, 13, 23):
        end = truth.today - DAY + timedelta(hours=hours)
        found: dict[str, tuple[object, ...]] = {}

        def take(
            address: str, first: str, last: str, events: int, verified: int, days: int = 0, /,
            *, found: dict[str, tuple[object, ...]] = found,
        ) -> None:  # fmt: skip
            found[address] = (first, last, events, verified, days)

        with server.source().snapshot() as snapshot:
            snapshot.rows("dnsrd", window.ending_at(end), take)
        wanted = {}
        for address in truth.there(end):
            there = [one for one in truth.sightings_of(address) if end - 7 * DAY <= one[1] < end]
            mask = 0
            for one in there:
                mask |= 1 << math.ceil((end - one[1]) / DAY) - 1
            first, last = (f"{f(one[1] for one in there):%Y-%m-%d %H:%M:%S}" for f in (min, max))
            wanted[address] = (first, last, sum(one[3] for one in there), sum(one[4] for one in there), mask)
        assert len(wanted) > 500
        assert found == wanted
        assert server.ask(
            "SELECT count(*) FROM (SELECT saddr, first_seen, last_seen, events, verified_events"
            " FROM strandline.feed_days('dnsrd', %s, %s) EXCEPT SELECT * FROM strandline.feed('dnsrd', %s, %s)) x",
            end - 7 * DAY, end, end - 7 * DAY, end,
        ) == [(0,)]  # fmt: skip


@needs_postgresql
def test_the_model_of_the_database_is_that_of_the_truth(
    server: Database, truth: Truth, model: confidence.Model, settings: config.Config, caplog: pytest.LogCaptureFixture
) -> None:
    """The rows, the figures, and what is published in the end."""
    server.see(truth.sightings)
    source = server.source()
    now = truth.today + timedelta(hours=1)
    with caplog.at_level(logging.INFO):
        assert confidence.renew(settings.state, source, {"dnsrd": 100, "sshclient": 10}, now)
    assert not confidence.renew(settings.state, source, {"dnsrd": 100}, now)
    models = confidence.load(settings.state)
    found = models.of("dnsrd", now)
    assert (found.problem, found.trained_on, found.checked_on) == ("", model.trained_on, model.checked_on)
    assert found.coefficients == pytest.approx(model.coefficients, abs=1e-6)
    assert found.brier == pytest.approx(model.brier, abs=1e-9)
    assert found.brier_last_seen == pytest.approx(model.brier_last_seen, abs=1e-9)
    assert "three weeks of history are needed, and 0 days are there" in models.of("sshclient", now).problem
    assert f"dnsrd: confidence fitted on {model.trained_on} rows" in caplog.text

    publish.run(settings, source, window.ending_at(truth.today), now=now)
    lines = [json.loads(line) for line in (settings.webroot / "current/dnsrd.ndjson").read_text().splitlines()]
    assert {one["address"] for one in lines} == set(truth.there(truth.today)) - {"198.18.0.200"}
    for one in lines:
        inputs, _ = truth.of(one["address"], truth.today)
        # Times of the feed are of whole seconds.
        assert one["confidence"] == pytest.approx(confidence.probability(found.coefficients, inputs), abs=0.0051)
        assert one["last_seen"] <= one["valid_until"][:13] + ":59:59Z"
    text = (settings.webroot / "current/dnsrd.csv").read_text(encoding="utf-8")
    assert [
        (line["address"], float(line["confidence"]), line["valid_until"]) for line in csv.DictReader(io.StringIO(text))
    ] == [(one["address"], one["confidence"], one["valid_until"]) for one in lines]


@needs_postgresql
def test_a_sample_has_the_same_addresses_every_day(server: Database, truth: Truth) -> None:
    server.see(truth.sightings)
    source: PostgresSource = server.source()

    def events(sample: int, day: datetime) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        with source.snapshot() as snapshot:
            snapshot.recurrence("dnsrd", day, sample, lambda *values: found.append(values))
        return found

    train, _ = parts(truth)
    whole, some = events(1, train[0]), events(4, train[0])
    assert len(whole) == len(truth.there(train[0]))
    assert 0.15 < len(some) / len(whole) < 0.35
    assert set(some) <= set(whole)


@needs_postgresql
def test_with_less_than_three_weeks_there_is_no_confidence(server: Database, settings: config.Config) -> None:
    short = Truth(2, days=19)
    server.see(short.sightings)
    confidence.renew(settings.state, server.source(), {"dnsrd": 100}, short.today + timedelta(hours=1))
    problem = confidence.load(settings.state).of("dnsrd", short.today).problem
    assert problem == "three weeks of history are needed, and 19 days are there"


@needs_postgresql
def test_before_the_migration_the_feeds_are_published_without_confidence(
    server: Database, settings: config.Config, truth: Truth, caplog: pytest.LogCaptureFixture
) -> None:
    server.see(truth.sightings)
    renamed = "ALTER FUNCTION strandline.{}(text, timestamptz, timestamptz) RENAME TO {}"
    server.ask(renamed.format("feed_days", "feed_days_later"))
    try:
        outcome = publish.run(settings, server.source(), window.ending_at(truth.today), now=truth.today)
    finally:
        server.ask(renamed.format("feed_days_later", "feed_days"))
    assert outcome.failed == ()
    lines = [json.loads(line) for line in (settings.webroot / "current/dnsrd.ndjson").read_text().splitlines()]
    assert {one["address"] for one in lines} == set(truth.there(truth.today)) - {"198.18.0.200"}
    assert {(one["confidence"], one["valid_until"]) for one in lines} == {(None, None)}
    assert caplog.text.count("the database lacks a migration") == 1


@needs_postgresql
def test_a_day_without_rows_is_one_of_an_outage(server: Database, settings: config.Config) -> None:
    """Nothing can be said of it, nor of the week after it: earlier days take their place."""
    whole = Truth(6, days=45)
    out = whole.today - 10 * DAY
    server.see(one for one in whole.sightings if not out <= one[1] < out + DAY)
    with server.source().snapshot() as snapshot:
        assert snapshot.days_with_rows("dnsrd", out - DAY, out + 2 * DAY) == [out - DAY, out + DAY]
        assert snapshot.days_with_rows("sshclient", out - DAY, out + 2 * DAY) == []
    now = whole.today + timedelta(hours=1)
    confidence.renew(settings.state, server.source(), {"dnsrd": 100}, now)
    found = confidence.load(settings.state).of("dnsrd", now)
    back = [1, 2, *range(11, 30)]
    days = [whole.today - n * DAY for n in reversed(back)]
    wanted = confidence.judged(whole.rows(days[:14]), whole.rows(days[14:]))
    assert (found.problem, found.trained_on, found.checked_on) == ("", wanted.trained_on, wanted.checked_on)
    assert found.coefficients == pytest.approx(wanted.coefficients, abs=1e-6)


@needs_postgresql
def test_a_query_that_takes_too_long_is_given_up(server: Database) -> None:
    with server.source().snapshot(statement_timeout=1) as snapshot:
        with pytest.raises(SourceError, match="statement timeout"):
            snapshot._copy("SELECT pg_sleep(5)", (), lambda _: None)
        assert snapshot.stays("sshclient", TODAY) == (0, 0), "the snapshot is there for the next one"
