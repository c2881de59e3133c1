"""Leases that go on by themselves, payments by hand, other prices, and leases that have ended."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from strandline_fleet import journal
from strandline_fleet.decide import paid_on
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.leases import Terms, renewed, terms_of
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Host
from strandline_fleet.report import Known, summarise

TODAY = dt.date(2026, 11, 25)
PROVIDER = """\
---
sensors:
  children:
    provider_alder:
      vars:
        provider: {name: Alder Hosting}
      hosts:
        ams1:
          addresses: [45.0.0.1]
          place: {city: Amsterdam, country: NL, continent: EU}
          # Haggled down.
          lease: {plan: nano, price: 2.50, currency: USD, period: month, renews: 2026-01-31, status: active}  # by card
        ams2:
          addresses: [46.0.0.1]
          place: {city: Amsterdam, country: NL, continent: EU}
          lease:
            plan: nano
            price: 24.00
            currency: USD
            period: year
            renews: "2026-11-20"
            status: active
            auto_renew: false
            earlier: [{until: 2025-11-20, price: 20.00}]
        ams3:
          addresses: [47.0.0.1]
          place: {city: Amsterdam, country: NL, continent: EU}
          lease: {plan: nano, price: 10.00, currency: USD, period: year, renews: 2026-11-24, status: cancelled}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An inventory of three leases: by itself, by hand, ended."""
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "alder.yml").write_text(PROVIDER)
    return tmp_path


def hosts(directory: Path, today: dt.date = TODAY) -> dict[str, Host]:
    """The hosts by name."""
    return {host.name: host for host in load(directory, today).hosts()}


def renew(directory: Path, *names: str, today: dt.date = TODAY, **terms: object) -> tuple[str, ...]:
    """Write it; the reasons of those that stay as they are."""
    planned = renewed(load(directory, today), names, Terms(**terms), today)  # type: ignore[arg-type]
    planned.change.apply()
    return planned.left


def text(directory: Path) -> str:
    """The provider's file."""
    return (directory / "providers" / "alder.yml").read_text()


def test_an_active_lease_goes_on_by_itself_and_a_cancelled_one_ends(directory: Path) -> None:
    fleet = load(directory, TODAY)
    leases = {host.name: host.lease for host in fleet.hosts()}
    assert str(leases["ams1"].renews) == "2026-11-30"
    assert str(leases["ams2"].renews) == "2026-11-20"
    assert [name for name, lease in leases.items() if lease.ended] == ["ams3"]
    assert not fleet.errors
    said = [str(problem) for problem in fleet.problems]
    assert len(said) == 2
    assert "alder.yml:21: host ams2: lease.renews: 2026-11-20 is past" in said[0]
    assert "./strandline renewed -i INVENTORY ams2" in said[0]
    assert "alder.yml:28: host ams3: lease.renews: the lease was cancelled and ended on 2026-11-24" in said[1]
    assert "./strandline retire -i INVENTORY ams3" in said[1]


def test_a_cancelled_lease_counts_until_its_last_day(directory: Path) -> None:
    assert not hosts(directory, dt.date(2026, 11, 24))["ams3"].lease.ended


def test_a_provider_says_that_nothing_renews_by_itself(directory: Path) -> None:
    path = directory / "providers" / "alder.yml"
    path.write_text(PROVIDER.replace("{name: Alder Hosting}", "{name: Alder Hosting, auto_renew: false}"))
    assert str(hosts(directory)["ams1"].lease.renews) == "2026-01-31"
    path.write_text(path.read_text().replace("status: active}  #", "status: active, auto_renew: true}  #"))
    assert str(hosts(directory)["ams1"].lease.renews) == "2026-11-30"


def test_what_ended_costs_and_covers_nothing_and_is_to_be_retired(directory: Path) -> None:
    now = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
    report = summarise(load(directory, TODAY), now, Known())
    assert report["cost"]["year"] == Decimal("54.00")
    assert report["coverage"]["slash8s"] == [45, 46]
    assert [row["host"] for row in report["renewals"]["ended"]] == ["ams3"]
    assert [row["host"] for row in report["renewals"]["lapsed"]] == ["ams2"]
    assert "ams3" not in [row["host"] for row in report["give_up_first"]]
    todo = {row["host"]: (row["what"], row["command"]) for row in report["actions"]}
    assert todo["ams3"] == ("the cancelled lease has ended: retire", "./strandline retire -i INVENTORY ams3")
    assert todo["ams2"][1] == "./strandline renewed -i INVENTORY ams2"
    assert todo["ams1"] == ("renews for 2.50 USD a month", "")


def test_the_cash_of_each_month_follows_from_one_day_and_the_period(directory: Path) -> None:
    report = summarise(load(directory, TODAY), dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC), Known())
    paid = {row["month"]: (row["amount"], row["hosts"]) for row in report["cash"]}
    assert paid["2026-11"] == (Decimal("2.50"), ["ams1"])
    assert paid["2027-02"] == (Decimal("2.50"), ["ams1"])
    assert all(amount == Decimal("2.50") for amount, _ in paid.values())
    ams1 = hosts(directory)["ams1"]
    assert [str(day) for day in paid_on(ams1, TODAY)][:5] == [
        "2026-11-30", "2026-12-31", "2027-01-31", "2027-02-28", "2027-03-31",
    ]  # fmt: skip


def test_a_new_price_keeps_the_former_one_and_the_comments(directory: Path) -> None:
    assert renew(directory, "ams1", price=Decimal("2.80")) == ()
    assert text(directory) == PROVIDER.replace(
        "price: 2.50, currency: USD, period: month, renews: 2026-01-31, status: active}  #",
        "price: 2.80, currency: USD, period: month, renews: 2026-01-31, status: active, "
        "earlier: [{until: 2026-10-31, price: 2.50}]} #",
    )
    assert renew(directory, "ams1", price=Decimal("2.80")) == ("ams1: the file says so already",)
    said = "2.50 became 2.80 USD a month"
    entry = journal.Entry("alder", TODAY, journal.Kind.PRICE, said, "ams1")
    assert journal.read(directory) == {"alder": [entry]}


def test_a_second_price_on_the_same_day_corrects_the_first(directory: Path) -> None:
    for price in ("25.00", "26.00"):
        renew(directory, "ams2", price=Decimal(price), today=dt.date(2026, 11, 20))
    lease = hosts(directory)["ams2"].lease
    assert lease.price == 26
    assert [(str(each.until), each.price) for each in lease.earlier] == [
        ("2025-11-20", Decimal("20.00")), ("2026-11-20", Decimal("24.00")),
    ]  # fmt: skip


def test_two_prices_within_one_period_stay_in_order(directory: Path) -> None:
    renew(directory, "ams1", price=Decimal("2.80"), today=dt.date(2026, 11, 10))
    renew(directory, "ams1", price=Decimal("3.00"))
    assert [str(each.until) for each in hosts(directory)["ams1"].lease.earlier] == ["2026-10-31", "2026-11-25"]


def test_a_payment_by_hand_writes_the_next_day_once(directory: Path) -> None:
    assert renew(directory, "ams2") == ()
    assert text(directory) == PROVIDER.replace('"2026-11-20"', '"2027-11-20"')
    assert renew(directory, "ams2") == (
        "ams2: its payment of 2027-11-20 is ahead; if it is made: --ahead DAYS, or --renews DATE",
    )


def test_a_payment_before_its_day_counts_once(directory: Path) -> None:
    early = dt.date(2026, 11, 1)
    for _ in range(2):
        renew(directory, "ams2", ahead=30, today=early)
    assert str(hosts(directory, early)["ams2"].lease.renews) == "2027-11-20"


def test_another_day_is_written_as_given(directory: Path) -> None:
    renew(directory, "ams1", renews=dt.date(2026, 12, 10))
    assert str(hosts(directory)["ams1"].lease.renews) == "2026-12-10"


def test_of_a_provider_what_is_cancelled_is_left_out_and_said(directory: Path) -> None:
    assert renew(directory, "alder", price=Decimal("9.00")) == ("ams3: cancelled, ends on 2026-11-24",)
    assert {name: host.lease.price for name, host in hosts(directory).items()} == {"ams1": 9, "ams2": 9, "ams3": 10}


@pytest.mark.parametrize(
    ("names", "terms", "message"),
    [
        (["ams3"], {}, r"ams3 in .*alder\.yml: lease\.status is cancelled.*status: active"),
        (["ams9"], {}, r"ams9 is no leased host and no provider.*Did you mean ams"),
        (["zzz"], {}, r"zzz is no leased host.*Providers: alder"),
        (["ams1"], {"price": "24,00"}, r"renewed_price \(--price\): '24,00' is no amount"),
        (["ams1"], {"price": "nan"}, "no amount"),
        (["ams1"], {"price": "-1"}, "no amount"),
        (["ams1"], {"price": "1e7"}, r"(?s)Nothing was written.*alder\.yml:12: host ams1: lease\.price"),
        (["ams1"], {"renews": "2027-02-30"}, r"renewed_renews \(--renews\): '2027-02-30' is no date"),
        (["ams1"], {"renews": "2207-03-01"}, r"(?s)Nothing was written.*more than ten years away"),
    ],
)
def test_what_can_not_be_is_refused(directory: Path, names: list[str], terms: dict[str, str], message: str) -> None:
    fleet = load(directory, TODAY)
    with pytest.raises(Refusal, match=message):
        renewed(fleet, names, terms_of(terms.get("price", ""), terms.get("renews", ""), 0), TODAY)
    assert text(directory) == PROVIDER
