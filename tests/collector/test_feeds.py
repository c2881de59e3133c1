"""feeds.yml: which events count for which category, and what is said of a wrong file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from strandline.event import feeds
from strandline.event.feeds import FeedError

CATALOGUE = feeds.parse(feeds.collect(Path(feeds.__file__).parents[1]), "feeds.yml")
ENTRY: dict[str, Any] = {"event": "sip.request", "title": "T", "description": "D"}


def categories(event: str, proto: str = "tcp", dport: int = 1, verified: bool = True, **data: str) -> set[str]:
    """The categories of the real catalogue that an event counts for."""
    return set(CATALOGUE.categories(event, data, proto, dport, verified))


def test_the_catalogue_counts_what_its_texts_say() -> None:
    assert categories("ssh.client", valid="yes") == {"sshclient"}
    assert categories("ssh.client", valid="no") == set()
    assert categories("ssh.password", user='"root"') == {"sshpwauth"}
    assert categories("ssh.key") == set()
    assert categories("sip.request", method='"OPTIONS"') == {"sipquery"}
    assert categories("sip.request", method="INVITE") == {"sipinvitation"}
    assert categories("sip.request", method='"REGISTER"') == {"sipregistration"}
    assert categories("sip.request", method='"options"') == set()
    assert categories("sip.request") == set()
    assert categories("vnc.client") == {"vncrfb"}
    assert categories("telnet.login", user="root") == {"telnetlogin"}
    for mode in "367":
        assert categories("ntp.request", proto="udp", verified=False, mode=mode) == {f"ntpmode{mode}"}
    assert categories("ntp.malformed", proto="udp", verified=False, mode="3") == set()
    assert categories("telnet.malformed", reason="closed") == set()
    assert categories("smtp.greet", verb="HELO") == categories("smtp.greet", verb="EHLO") == {"smtpgreet"}
    assert categories("smtp.data", command="BDAT", reason="closed") == {"smtpdata"}
    for event in ("smtp.mail", "smtp.auth", "smtp.command", "smtp.malformed"):
        assert categories(event) == set()
    assert categories("dns.query", proto="udp", rd="1", qclass="IN", qtype="ANY") == {"dnsrd", "dnsrdany"}
    assert categories("dns.query", proto="tcp", rd="0", qclass="IN", qtype="A") == {"dnstcp"}
    version: dict[str, Any] = {"qclass": "CH", "qtype": "TXT", "qname": "version.BIND."}
    assert categories("dns.query", proto="udp", rd="0", **version) == {"dnsversion"}
    assert categories("dns.query", proto="tcp", rd="1", **version) == {"dnsrd", "dnsversion", "dnstcp"}


def test_columns_and_lists_can_be_asked_for() -> None:
    rules = feeds.parse(
        {"feeds": {"one": {**ENTRY, "where": {"proto": "udp", "verified": "yes", "dport": ["5060", "5061"]}}}}, "x"
    )
    assert rules.categories("sip.request", {}, "udp", 5061, True) == ["one"]
    assert rules.categories("sip.request", {}, "udp", 5061, False) == []
    assert rules.categories("sip.request", {}, "tcp", 5060, True) == []
    assert rules.categories("sip.request", {}, "udp", 5062, True) == []


def test_a_rule_as_sql_names_only_checked_fields() -> None:
    rules = feeds.parse(
        {"feeds": {"one": {**ENTRY, "where_fold": True, "where": {"method": ["A'b", "C"], "verified": "yes"}}}}, "x"
    )
    condition, parameters = rules.rule("one").sql()
    assert "A'b" not in condition
    assert parameters == {"event": "sip.request", "values0": ["a'b", "c"], "values1": ["yes"]}
    with pytest.raises(FeedError, match="no feed 'two'; there are: one"):
        rules.rule("two")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "x: put the feeds under the key `feeds`"),
        ({"feeds": {}}, "x: put the feeds"),
        ({"feeds": {"a b": ENTRY}}, "feed 'a b': name it with small letters"),
        ({"feeds": {True: ENTRY}}, "feed True: name it"),
        ({"feeds": {"a": None}}, "feed 'a': give it the fields"),
        ({"feeds": {"a": {**ENTRY, "wher": {}}}}, "feed 'a': unknown field wher; known are"),
        ({"feeds": {"a": {"event": "a.b", "title": "t"}}}, "feed 'a': field description is missing"),
        ({"feeds": {"a": {**ENTRY, "event": "ssh"}}}, "feed 'a': event 'ssh' is not a name"),
        (
            {"feeds": {"a": {**ENTRY, "where": {"rd": 1}}}},
            "feed 'a': where.rd: 1 is not text to YAML; put it in quotes: \"1\"",
        ),
        ({"feeds": {"a": {**ENTRY, "where": {"valid": True}}}}, 'put it in quotes: "yes"'),
        ({"feeds": {"a": {**ENTRY, "where": {"x": []}}}}, "where.x lists no value"),
        ({"feeds": {"a": {**ENTRY, "where": ["x"]}}}, "where must be fields with values"),
        ({"feeds": {"a": {**ENTRY, "where": {"x'": "1"}}}}, "not a field's name"),
        ({"feeds": {"a": {**ENTRY, "where_fold": "yes"}}}, "where_fold must be true or false"),
    ],
)
def test_a_wrong_file_is_named_with_entry_field_and_remedy(document: object, message: str) -> None:
    with pytest.raises(FeedError) as refused:
        feeds.parse(document, "x")
    assert str(refused.value).startswith("x: ")
    assert message in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"none\.yml: can't be read \(No such file"):
        feeds.load(tmp_path / "none.yml")
    (tmp_path / "bad.yml").write_text("feeds: [")
    with pytest.raises(FeedError, match=r"bad\.yml: not YAML"):
        feeds.load(tmp_path / "bad.yml")
