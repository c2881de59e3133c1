"""Look-up of one address: all feeds' NDJSON lines once more, in a file for each /8 of the addresses.

A page of the site fetches the one file that an address is in; a reader without scripts, or a program, does the same by
hand. The site does not learn who is asked about: it sees the /8, and no more. There are at most 256 files for each
family, whatever sources somebody forges.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from . import store
from .addresses import NeverList, packed
from .formatted import time_limit

_LOG = logging.getLogger(__name__)
SECONDS = 60.0
_KEY = '"address": "'


def shard(address: str) -> str:
    """Return the name of an address's file: `192` for 192.0.2.7, `v6-20` for 2001:db8::7."""
    if ":" in address:
        return f"v6-{int(address.partition(':')[0] or '0', 16) >> 8:02x}"
    return address.partition(".")[0]


def gather(files: Iterable[Path], never: NeverList) -> dict[str, bytearray]:
    """Return the content of each file: lines of the feeds' NDJSON files, in their order. Raises OSError, ValueError.

    A feed that was kept may have an address that is not published any more: here it is left out.
    """
    found: dict[str, bytearray] = {}
    for path in files:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                # What the publisher wrote itself has the address in one place; a kept file is read with care.
                _, _, rest = line.partition(_KEY)
                address = rest.partition('"')[0] or str(json.loads(line)["address"])
                try:
                    if packed(address) in never:
                        continue
                except ValueError:
                    raise ValueError(f"{path.name}: {address[:50]!r} is no address") from None
                found.setdefault(shard(address), bytearray()).extend(line.encode())
    return found


def write(builder: store.Builder, feeds: Iterable[str], former: Path | None, never: NeverList) -> str:
    """Write the look-up's files from what the generation has of the feeds already.

    Returns what went wrong: there is no look-up then, and the feeds are published all the same. Raises OSError when the
    disk can't be written.
    """
    paths = [path for feed in feeds if (path := builder.directory / f"{feed}.ndjson").is_file()]
    try:
        with time_limit(SECONDS):
            found = gather(paths, never)
    except (OSError, ValueError, KeyError, TypeError) as error:
        _LOG.exception("the look-up is left out")
        return f"the look-up of addresses is left out ({' '.join(str(error).split()) or type(error).__name__})"
    for name, content in sorted(found.items()):
        builder.renew(f"{store.LOOKUP}/{name}.ndjson", bytes(content), former, companions=[store.PACKED])
    return ""
