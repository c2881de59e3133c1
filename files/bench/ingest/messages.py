"""Messages as ten sensors send them: RFC 5424, numbered, framed by their length (RFC 6587, section 3.4.1).

    python3 messages.py DIRECTORY COUNT SOURCES NAME:ADDRESS…

Writes DIRECTORY/NAME.messages for each sensor, COUNT lines over all of them. In the place of the run stands RUN, as
long as a run's name: who sends them puts another one there each time, so that the same messages are new ones. The mix
is that of scanners and guessers; the sources are SOURCES addresses of which a few send most (Zipf), as on the Internet.
"""

from __future__ import annotations

import ipaddress
import itertools
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

RUN = "1700000000000000-beef"
PASSWORDS = ["123456", "admin", "password", "root", "1234", "qwerty", "P@ssw0rd", "12345678", "test", "ubuntu"]
USERS = ["root", "admin", "ubuntu", "user", "test", "oracle", "postgres", "git", "pi", "ftpuser"]
AGENTS = ["friendly-scanner", "PolycomSoundPointIP", "Cisco-SIPGateway/IOS-12.x", "pplsip"]
KINDS = {"ssh.client": 22, "ssh.password": 45, "dns.query": 14, "sip.request": 14, "vnc.client": 5}


def event(kind: str, source: str, own: str, rng: random.Random) -> tuple[str, str]:
    """The program and the text of one event (files/strandline/protocols/*/events.yml)."""
    sport = rng.randrange(1024, 65536)
    if kind == "ssh.client":
        head = f"event={kind} saddr={source} sport={sport} daddr={own} dport=22 proto=tcp"
        return "strandline-ssh", f'{head} valid=yes ident="SSH-2.0-{rng.choice(("Go", "libssh_0.9.6", "PUTTY"))}"'
    if kind == "ssh.password":
        head = f"event={kind} saddr={source} sport={sport} daddr={own} dport=22 proto=tcp method=password"
        return (
            "strandline-ssh",
            f'{head} user="{rng.choice(USERS)}" password="{rng.choice(PASSWORDS)}{rng.randrange(1000)}"',
        )
    if kind == "dns.query":
        qclass, qtype, qname = rng.choice(
            (("IN", "ANY", "example.net."), ("IN", "A", "www.example.org."), ("CH", "TXT", "VERSION.BIND."))
        )
        head = f"event={kind} saddr={source} sport={sport} daddr={own} dport=53 proto=udp verified=no"
        rest = (
            f"id={rng.randrange(65536)} opcode=0 rd=1 cd=0 ad=0 edns=- udpsize=- do=0 ecs=0 cookie=0"
            f' qclass={qclass} qtype={qtype} qname="{qname}"'
        )
        return "strandline-dns", f"{head} {rest}"
    if kind == "sip.request":
        head = f"event={kind} saddr={source} sport={sport} daddr={own} dport=5060 proto=udp verified=no malformed=-"
        rest = (
            f'method="{rng.choice(("OPTIONS", "OPTIONS", "REGISTER", "INVITE"))}" uri="sip:100@{own}"'
            f' from="<sip:100@1.1.1.1>;tag={rng.randrange(10**10)}" to="<sip:100@{own}>"'
            ' contact="sip:100@127.0.1.1:5060"'
            f' call_id="{rng.randrange(10**20)}" cseq="1 OPTIONS" user_agent="{rng.choice(AGENTS)}"'
            ' auth_user="" auth_realm="" auth_nonce="" auth_uri="" auth_response=""'
        )
        return "strandline-sip", f"{head} {rest}"
    head = f"event={kind} saddr={source} sport={sport} daddr={own} dport=5900 proto=tcp"
    return "strandline-vnc", f'{head} version="RFB 003.008"'


def main() -> None:
    """Write the files; the same arguments write the same messages but for the time."""
    directory, count, sources, *sensors = sys.argv[1:]
    rng = random.Random(1)  # noqa: S311 - invented traffic
    # 11.0.0.0/8 and up in steps: invented, and never contacted by anything here.
    addresses = [str(ipaddress.IPv4Address(0x0B000001 + 7919 * number)) for number in range(int(sources))]
    weights = list(itertools.accumulate(1 / (rank + 20) for rank in range(len(addresses))))
    kinds = list(itertools.accumulate(KINDS.values()))
    now = datetime.now(UTC) - timedelta(seconds=60)
    each = int(count) // len(sensors)
    for sensor in sensors:
        name, own = sensor.split(":")
        with (Path(directory) / f"{name}.messages").open("wb") as file:
            who = rng.choices(addresses, cum_weights=weights, k=each)
            what = rng.choices(list(KINDS), cum_weights=kinds, k=each)
            for n, (source, kind) in enumerate(zip(who, what, strict=True), 1):
                when = now + timedelta(microseconds=600 * n)
                program, text = event(kind, source, own, rng)
                line = (
                    f"<134>1 {when:%Y-%m-%dT%H:%M:%S.%f}+00:00 {name} {program} 123 -"
                    f' [ev@32473 run="{RUN}" n="{n}"] {text}'
                ).encode()
                file.write(b"%d %s" % (len(line), line))


main()
