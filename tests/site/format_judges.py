#!/usr/bin/env python3
"""Let the programs that the formats are made for read a generation, and print, as JSON, what they found in it.

Runs as root in a container of its own, where it may fill sets of the kernel; what this kernel can't do is null.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "files"), str(ROOT / "tests" / "publisher")]

from publisher_fakes import END, FakeSource, every_feed, row  # noqa: E402
from strandline.publisher import addresses, config, publish, window  # noqa: E402

PROVEN = [*(f"198.18.{n // 250}.{n % 250}" for n in range(5000)), "2001:db8::1", "2001:db8:0:0:1:0:0:1", "2001:db8:1::"]
FORGEABLE = ["198.18.99.1", "2001:db8::99"]


def run(*argv: str | Path, data: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, input=data, capture_output=True, text=True, check=False)


def publisher(top: Path) -> tuple[config.Config, FakeSource]:
    for name in ("www", "state"):
        (top / name).mkdir()
    (top / "asn.tsv").write_text("198.18.0.0\t198.18.0.255\t5\tZZ\tNET - \n", encoding="ascii")
    opened = [addresses.parse_network(text) for text in ("198.18.0.0/15", "2001:db8::/32")]
    settings = config.Config(
        network=config.Network('Test "Net"; $x', "tag", "a@example.org", "https://feeds.example.org/", "CC", "Write."),
        feeds=config.load_feeds(every_feed(top)), webroot=top / "www", state=top / "state", asn_table=top / "asn.tsv",
        never=addresses.NeverList(publish_ranges=opened),
    )  # fmt: skip
    return settings, FakeSource()


def publish_again(settings: config.Config, source: FakeSource, proven: list[str], hours: int) -> Path:
    source.categories = {
        feed.category: [*map(row, proven), *(row(address, verified=0) for address in FORGEABLE)]
        for feed in settings.feeds
    }
    end = END + timedelta(hours=hours)
    accept = publish.Accept(drop=True)
    publish.run(settings, source, window.ending_at(end), now=end, accept=accept)
    return settings.webroot / "current"


def nft(site: Path) -> dict[str, Any]:
    """Check every file, then load one and read the sets."""
    checked = [run("nft", "-c", "-f", path) for path in sorted(site.glob("*.nft"))]
    loaded = run("nft", "-f", site / "sshclient.nft")
    sets = json.loads(run("nft", "-j", "list", "table", "inet", "strandline").stdout)["nftables"]
    return {
        "said": [done.stderr[:300] for done in [*checked, loaded] if done.returncode],
        "files": len(checked),
        "found": sorted(element for one in sets if "set" in one for element in one["set"].get("elem", [])),
    }


def ipset(site: Path) -> dict[str, Any] | None:
    """Restore the file twice, as an hourly reader does, and read the sets."""
    if run("ipset", "create", "probe", "hash:ip").returncode:
        return None
    run("ipset", "destroy", "probe")
    done = [run("ipset", "restore", "-file", site / "sshclient.ipset") for _ in range(2)]
    found = []
    for name in ("sshclient_ipv4", "sshclient_ipv6"):
        found += re.findall(r"^add \S+ (\S+)", run("ipset", "save", name).stdout, re.MULTILINE)
    names = run("ipset", "list", "-name").stdout.split()
    return {"said": [one.stderr for one in done if one.returncode], "found": sorted(found), "sets": sorted(names)}


def question(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)


def ask(port: int, name: str, kind: int = 1) -> tuple[int, int]:
    """Return an answer's code and its number of records; a server that is starting is asked again."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        for _ in range(20):
            client.sendto(question(name, kind), ("127.0.0.1", port))
            try:
                answer = client.recv(4096)
            except OSError:  # nothing in time, or nobody there yet
                time.sleep(0.1)
                continue
            return answer[3] & 15, struct.unpack(">H", answer[6:8])[0]
    raise TimeoutError(f"no answer on port {port} for {name}")


@contextmanager
def server(log: Path, *argv: str | Path) -> Iterator[None]:
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(argv, stdout=said, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


def reversed_name(address: str) -> str:
    value = addresses.packed(address)
    return ".".join(reversed(address.split("."))) if len(value) == 4 else ".".join(reversed(value.hex()))


def dnsbl(site: Path, top: Path) -> dict[str, Any]:
    data = [f"bl.example:{kind}:{site / 'sshclient'}.{kind}" for kind in ("ip4set", "ip6trie")]
    argv = ["rbldnsd", "-n", "-b", "127.0.0.1/5301", "-u", "nobody", "-w", "/", *data]
    asked = [*PROVEN[:2], *PROVEN[-3:], *FORGEABLE, "127.0.0.2", "127.0.0.1", "::ffff:7f00:2", "::ffff:7f00:1"]
    names = {
        address: reversed_name(address) if not address.startswith("::") else ".".join(
            reversed(socket.inet_pton(socket.AF_INET6, address).hex())
        )
        for address in asked
    }  # fmt: skip
    log = top / "rbldnsd.log"
    with server(log, *argv):
        found = {address: ask(5301, f"{name}.bl.example")[1] for address, name in names.items()}
        texts = ask(5301, f"{names[PROVEN[0]]}.bl.example", kind=16)[1]
    return {"listed": found, "texts": texts, "log": log.read_text(encoding="utf-8")}


def rpz(site: Path, top: Path) -> dict[str, Any]:
    """Check the zones, then let a resolver use one for answers that come from a zone of its own."""
    checked = [run("named-checkzone", "rpz.example", path) for path in sorted(site.glob("*.rpz"))]
    names = {"proven4": ("A", PROVEN[0]), "forgeable4": ("A", FORGEABLE[0]), "forgeable6": ("AAAA", FORGEABLE[1])}
    names |= {f"proven6-{n}": ("AAAA", address) for n, address in enumerate(PROVEN[-3:])}
    zone = "$TTL 60\n@ SOA ns hostmaster 1 60 60 600 60\n@ NS ns\nns A 127.0.0.1\n"
    zone += "".join(f"{name} {kind} {address}\n" for name, (kind, address) in names.items())
    (top / "answers.zone").write_text(zone, encoding="ascii")
    (top / "named.conf").write_text(
        f'options {{ directory "{top}"; listen-on port 5302 {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none;'
        ' session-keyfile none; recursion yes; response-policy { zone "rpz.example"; } qname-wait-recurse no; };\n'
        f'controls {{ }};\nzone "rpz.example" {{ type primary; file "{site / "sshclient.rpz"}"; }};\n'
        f'zone "answers.example" {{ type primary; file "{top / "answers.zone"}"; }};\n',
        encoding="ascii",
    )
    log = top / "named.log"
    with server(log, "named", "-g", "-c", top / "named.conf", "-n", "1"):
        while ask(5302, "ns.answers.example")[0]:
            time.sleep(0.1)
        answers = {
            name: ask(5302, f"{name}.answers.example", kind=28 if kind == "AAAA" else 1)
            for name, (kind, _) in names.items()
        }
    complaints = [
        line for line in log.read_text(encoding="utf-8").splitlines() if "canonical" in line or "invalid" in line
    ]
    return {
        "said": [done.stdout for done in checked if done.returncode],
        "files": len(checked),
        "answers": answers,
        "complaints": complaints,
    }


def main() -> None:
    """Publish twice, so that files are replaced, and have the second generation judged."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    with tempfile.TemporaryDirectory() as place:
        top = Path(place)
        top.chmod(0o755)
        settings, source = publisher(top)
        site = publish_again(settings, source, ["198.18.50.1", "2001:db8::50"], 0)
        before = nft(site)["found"]
        ipset(site)
        site = publish_again(settings, source, PROVEN, 1).resolve()
        feeds = json.loads((site / "feeds.json").read_text(encoding="utf-8"))["feeds"]
        canonical = sorted(addresses.address_text(addresses.packed(address)) for address in PROVEN)
        print(
            json.dumps(
                {
                    "feeds": len(feeds), "proven": canonical, "nft_before": before, "nft": nft(site),
                    "ipset": ipset(site), "dnsbl": dnsbl(site, top), "rpz": rpz(site, top),
                }
            )
        )  # fmt: skip


if __name__ == "__main__":
    main()
