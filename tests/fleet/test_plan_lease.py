"""What to lease next and what to give up first: the figures, the joint order, its backtest, and what is refused."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from strandline_fleet import alone, leasing, offers
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Fleet

from tests.generate_fleet import write_fleet

ROOT = Path(__file__).resolve().parents[2]
TODAY = dt.date(2026, 11, 25)
DAY = dt.timedelta(days=1)
HEADING = "provider,plan,price,currency,period,country,ranges,asn,note\n"
HOST = """        {name}:
          addresses: [{addresses}]
          place: {{city: Amsterdam, country: NL, continent: EU}}
          lease: {{plan: nano, price: {price}, currency: USD, period: {period}, renews: {renews}, status: {status}}}
"""


def fleet_of(directory: Path, *hosts: tuple[str, str, object, str, str], status: str = "active") -> Fleet:
    """A fleet of hosts: name, addresses, price, period, renewal."""
    (directory / "providers").mkdir(parents=True, exist_ok=True)
    text = "sensors:\n  children:\n    provider_alder:\n      vars: {provider: {name: Alder}}\n      hosts:\n"
    for name, addresses, price, period, renews in hosts:
        text += HOST.format(name=name, addresses=addresses, price=price, period=period, renews=renews, status=status)
    (directory / "providers" / "alder.yml").write_text(text)
    fleet = load(directory, TODAY)
    assert fleet.errors == ()
    return fleet


@pytest.fixture
def three(tmp_path: Path) -> Fleet:
    return fleet_of(
        tmp_path / "fleet",
        ("a", "45.0.0.1, 46.0.0.1", 10, "year", "2027-03-01"),
        ("b", "45.0.0.2", 50, "year", "2027-06-01"),
        ("c", "81.0.0.1", 2, "month", "2026-12-01"),
    )


def offer(name: str, cost: int, octets: set[int], country: str = "NL", asns: set[int] | None = None) -> offers.Offer:
    return offers.Offer(name, "nano", country, Decimal(cost), frozenset(octets), frozenset(asns or set()))


def test_what_the_network_lacks(three: Fleet) -> None:
    has = leasing.held(three, {"45.0.0.1": 64496, "81.0.0.1": None})
    assert has.single == {46: "a", 81: "c"}
    assert len(has.uncovered) == 221 - 3
    assert (has.countries, has.asns) == (frozenset({"NL"}), frozenset({64496}))
    assert (
        45 not in leasing.held(three, {}, without="a").single or leasing.held(three, {}, without="a").single[45] == "b"
    )


def test_a_gain_counts_beside_those_that_were_taken_before(three: Fleet) -> None:
    has = leasing.held(three, {})
    chosen = leasing.plan(
        has,
        [
            offer("dear", 90, {41, 102, 103}, "KE", {64500}),  # 30 for each new /8, 45 once 41 is there
            offer("cheap", 20, {41}, "KE"),
            offer("second", 5, {46}),
            offer("country", 6, {45}, "BR"),
            offer("useless", 1, {45}),
            offer("never", 500, {7}),
        ],
        Decimal(150),
    )
    assert [(one.offer.provider, str(one.gain), one.spent, one.per_slash8) for one in chosen] == [
        ("cheap", "41/8, KE", Decimal(20), Decimal("20.00")),
        ("dear", "102/8, 103/8, AS64500, a second host in 41/8", Decimal(110), Decimal("45.00")),
        ("country", "BR", Decimal(116), None),
        ("second", "a second host in 46/8", Decimal(121), None),
    ]
    said = leasing.shown(has, [offer("x", 1, {41}, "KE")], chosen, Decimal(150), "USD")
    assert "121 of 150 USD a year: 3 more /8s." in said
    assert "a: 46; c: 81" in said
    assert "countries KE" in said


def test_no_budget_buys_nothing(three: Fleet) -> None:
    assert leasing.plan(leasing.held(three, {}), [offer("x", 1, {41})], Decimal(0)) == []


def test_the_present_providers_plans_are_offers_in_their_own_ranges(three: Fleet) -> None:
    (known,) = offers.known(three, {"45.0.0.1": 64496})
    assert (known.slash8s, known.asns, known.cost) == (frozenset({45, 46, 81}), frozenset({64496}), Decimal("50.00"))


def test_a_file_of_offers_is_read(three: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "offers.csv"
    path.write_text(
        "\ufeff"
        + HEADING
        + '"Cedar, Ltd",nano,1.50,USD,month,KE,41.90.0.0/16 102.0.0.7 2001:db8::/32 10.0.0.0/8,AS64500,ok\n\n'
        "Elm,big,30,USD,year,NL,,,\n"
    )
    cedar, elm = offers.read(path, three)
    assert (cedar.provider, cedar.cost, cedar.slash8s, cedar.asns) == (
        "Cedar, Ltd",
        Decimal("18.00"),
        frozenset({41, 102}),
        frozenset({64500}),
    )
    assert (elm.slash8s, elm.country) == (frozenset(), "NL")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("provider,plan,price,currency,period,contry\n", [":1: country: the column is", ":1: 'contry' is no known"]),
        ("", [":1: provider: the column is missing"]),
        (HEADING + 'E,n,"1,50",USD,year,NL,,,\n', [":2: price: '1,50' is no amount; write"]),
        (HEADING + "E,n,nan,USD,year,NL,,,\n", [":2: price: 'nan' is no amount"]),
        (HEADING + "E,n,-1,USD,year,NL,,,\n", [":2: price: '-1' is no amount"]),
        (HEADING + "E,n,1,CHF,week,XX,,,\n", [":2: currency: there", ":2: period: 'week'", ":2: country: 'XX'"]),
        (HEADING + "E,n,1,USD,year,NL,41.0.0.0/33,,\n", [":2: ranges: '41.0.0.0/33' is no range"]),
        (HEADING + "E,n,1,USD,year,NL,0.0.0.0/0,,\n", [":2: ranges: '0.0.0.0/0' is larger than a /8"]),
        (HEADING + "E,n,1,USD,year,NL,,many,\n", [":2: asn: 'many' is no AS number"]),
        (HEADING + "E,n,1,USD,year,NL,,4294967296,\n", [":2: asn: '4294967296' is no AS number"]),
        (HEADING + f"E,n,1,USD,year,NL,,{'9' * 5000},\n", [":2: asn: '99999999999999999999…' is no AS number"]),
        (HEADING + "E,n,1,USD,year,NL,,६४,\n", [":2: asn: '६४' is no AS number"]),
        (HEADING + f"E,n,1,USD,year,NL,,,{'x' * 131_073}\n", [":2: this is no CSV (field larger than field limit"]),
        (f"provider,{'x' * 131_073}\n", [":1: this is no CSV (field larger than field limit"]),
        (HEADING + "E,,1,USD,year,NL,,,\n", [":2: plan: is empty"]),
        (HEADING + "E,n,1,USD,year,NL,,,x,y\n", [":2: there are more values than columns"]),
    ],
)  # fmt: skip
def test_a_mistake_in_the_offers_is_named_with_line_and_field(
    three: Fleet, tmp_path: Path, text: str, expected: list[str]
) -> None:
    path = tmp_path / "offers.csv"
    path.write_text(text)
    with pytest.raises(Refusal) as refused:
        offers.read(path, three)
    for said in expected:
        assert f"{path}{said}" in str(refused.value)


def test_offers_that_are_no_file_or_no_text_are_refused(three: Fleet, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"--offers .*nowhere: No such file"):
        offers.read(tmp_path / "nowhere", three)
    (tmp_path / "bad").write_bytes(b"\xff\xfe")
    with pytest.raises(Refusal, match="is not UTF-8"):
        offers.read(tmp_path / "bad", three)


# Which lease to give up first ---------------------------------------------------------------------------------------


def test_what_two_hosts_saw_is_lost_with_the_second_of_them(tmp_path: Path) -> None:
    hosts = list(
        fleet_of(
            tmp_path / "fleet",
            *((name, f"45.0.0.{n}", 10, "year", "2027-03-01") for n, name in enumerate("abcd", 1)),
        ).hosts()
    )
    sets = {
        frozenset("ab"): 50,  # a and b look useless, each by itself
        frozenset("a"): 1,
        frozenset("b"): 2,
        frozenset("c"): 10,
        frozenset("abcd"): 37,
    }
    money = alone.money_of(hosts, {}, "USD", TODAY)
    assert alone.shares(sets) == {"a": 0.01, "b": 0.02, "c": 0.1, "d": 0.0}
    found = alone.order(hosts, sets, money)
    assert [(one.host, round(one.lost, 4)) for one in found] == [("d", 0.0), ("a", 0.01), ("c", 0.1), ("b", 0.89)]
    assert found[-1].lost_so_far == pytest.approx(1)
    assert found[-1].slash8s == (45,)


def test_the_order_is_by_what_is_lost_for_what_it_costs_and_the_slash8s_decide_without_sources(three: Fleet) -> None:
    hosts = list(three.hosts())
    money = alone.money_of(hosts, {}, "USD", TODAY)
    assert [one.host for one in alone.order(hosts, {}, money)] == ["b", "c", "a"]
    dear_and_good = {frozenset("b"): 50, frozenset("a"): 20, frozenset("c"): 30}  # for each dollar: 1, 2, 1.25
    assert [one.host for one in alone.order(hosts, dear_and_good, money)] == ["b", "c", "a"]


def test_prepaid_time_does_not_come_back(tmp_path: Path) -> None:
    fleet = fleet_of(
        tmp_path / "fleet",
        ("monthly", "45.0.0.1", 2, "month", "2026-12-01"),
        ("yearly", "45.0.0.2", 30, "year", "2027-11-01"),
        ("paid", "45.0.0.3", 60, "3-years", "2028-11-01"),
        ("today", "45.0.0.4", 24, "year", "2026-11-25"),
        ("free", "45.0.0.5", 0, "year", "2026-12-25"),
    )
    money = alone.money_of(fleet.hosts(), {}, "USD", TODAY)
    assert {name: (one.cost, one.saved) for name, one in money.items()} == {
        "monthly": (Decimal(24), Decimal(24)),
        "yearly": (Decimal(30), Decimal(30)),
        "today": (Decimal(24), Decimal(24)),
        "free": (Decimal(0), Decimal(0)),
    }
    assert {one.host for one in alone.order(list(fleet.hosts()), {}, money)} == {"monthly", "yearly", "today"}
    cancelled = fleet_of(tmp_path / "other", ("x", "45.0.0.1", 2, "month", "2026-12-01"), status="cancelled")
    assert alone.money_of(cancelled.hosts(), {}, "USD", TODAY) == {}


def invented_days(rng: random.Random, hosts: list[str], days: int) -> dict[dt.date, dict[frozenset[str], int]]:
    """Hosts see more the further behind they stand in the list."""
    found = {}
    for back in range(1, days + 1):
        sets: dict[frozenset[str], int] = {}
        for place, name in enumerate(hosts):
            sets[frozenset([name])] = place * 10 + rng.randrange(3)
        sets[frozenset(hosts)] = 100
        found[TODAY - back * DAY] = sets
    return found


def test_a_backtest_compares_the_choice_with_the_dearest(tmp_path: Path) -> None:
    write_fleet(tmp_path / "fleet", hosts=20, providers=5, seed=1, today=TODAY)
    fleet = load(tmp_path / "fleet", TODAY)
    hosts = list(fleet.hosts())
    days = invented_days(random.Random(1), [host.name for host in hosts], 28)
    money = alone.money_of(hosts, fleet.settings["fleet_rates"], "USD", TODAY)
    tested = alone.backtest(hosts, days, money)
    assert tested is not None
    assert tested.chosen_until == TODAY - 8 * DAY
    assert len(tested.hosts) == len(tested.dearest) == 5
    assert tested.lost == pytest.approx(tested.foreseen, abs=0.01)
    assert tested.lost < tested.lost_by_dearest
    assert "would have lost" in alone.said(tested)
    assert alone.backtest(hosts, dict(list(days.items())[:13]), money) is None


def test_a_host_that_is_new_is_not_judged() -> None:
    days = {TODAY - n * DAY: {frozenset(["old"] if n > 3 else ["old", "new"]): 5} for n in range(1, 9)}
    assert alone.too_new(days, ["old", "new"]) == ["new"]


def test_the_databases_answer_is_read_and_anything_else_is_refused() -> None:
    line = '{"day": "2026-11-24", "one_in": 4, "sets": [[["a", "b"], 2], [["a"], 3]]}\n'
    days = alone.read(line + '{"day": "2026-11-23", "one_in": 1, "sets": []}\n', "hub1")
    assert days == {dt.date(2026, 11, 24): {frozenset("ab"): 8, frozenset("a"): 12}}
    assert alone.summed(days, ["a"]) == {frozenset("a"): 20}
    with pytest.raises(Refusal, match="The database on hub1 answered something else"):
        alone.read("ERROR", "hub1")


def test_a_hundred_hosts_and_a_month_are_ordered_in_seconds(tmp_path: Path) -> None:
    write_fleet(tmp_path / "fleet", hosts=100, providers=30, seed=1, today=TODAY)
    fleet = load(tmp_path / "fleet", TODAY)
    hosts = list(fleet.hosts())
    rng = random.Random(1)
    names = [host.name for host in hosts]
    sets = {frozenset(rng.sample(names, rng.choice((1, 1, 2, 5, 40)))): rng.randrange(1, 9) for _ in range(50_000)}
    began = dt.datetime.now(dt.UTC)
    found = alone.order(hosts, sets, alone.money_of(hosts, fleet.settings["fleet_rates"], "USD", TODAY))
    assert len(found) == 100
    assert (dt.datetime.now(dt.UTC) - began).total_seconds() < 10


def play(inventory: Path, *arguments: str) -> tuple[int, str]:
    """Run the verb by plain Ansible: exit code, and what was said with single spaces."""
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={inventory}", "playbooks/plan_lease.yml", *arguments],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.slow
def test_the_playbook_plans_and_says_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "offers.csv"
    path.write_text(HEADING + "Cedar,nano,18.00,USD,year,KE,41.90.0.0/16,64500,\n")
    example = ROOT / "inventory" / "example"
    code, said = play(example, f"--extra-vars={json.dumps({'plan_lease_budget': 20, 'plan_lease_offers': str(path)})}")
    assert code == 0, said
    assert "Cedar nano KE 18.00 18.00 41/8, AS64500, KE" in said
    assert "--seen asks the database" in said
    code, said = play(example)
    assert code == 2, said
    assert "-e plan_lease_budget=200" in said
    code, said = play(example, "--extra-vars=plan_lease_budget=nan")
    assert code == 2, said
    assert "'nan' is no amount" in said
