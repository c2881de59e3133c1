"""Parse feed files with IntelMQ's own dataplane parser: exit 1 when an event is missing or a line was rejected.

It takes 13 categories; files of others are named and left out.

Runs in IntelMQ's virtual environment (client_venv.py): `python intelmq_check.py FILE...`
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path


def main(files: list[str]) -> int:
    """Return the exit status."""
    bad = 0
    with tempfile.TemporaryDirectory() as root:
        os.environ["INTELMQ_ROOT_DIR"] = root  # before the import: it makes its folders at once
        from intelmq.bots.parsers.dataplane.parser import (  # type: ignore[import-not-found]  # noqa: PLC0415
            CATEGORY,
            DataplaneParserBot,
        )
        from intelmq.lib.bot import BotLibSettings  # type: ignore[import-not-found]  # noqa: PLC0415
        from intelmq.lib.utils import base64_encode  # type: ignore[import-not-found]  # noqa: PLC0415

        logging.disable(logging.CRITICAL)  # it tells its story on stdout, again for each bot
        for name in files:
            if Path(name).stem.removesuffix("-ipv6") not in CATEGORY:
                print(f"unknown to IntelMQ: {Path(name).name}")
                continue
            text = Path(name).read_text(encoding="utf-8")
            lines = [line for line in text.splitlines() if line and not line.startswith("#")]
            bot = DataplaneParserBot("acceptance", settings=BotLibSettings | {"error_dump_message": False})
            bot._Bot__stats_cache = None  # else it looks for redis for some 5 s
            report = {
                "__type": "Report",
                "feed.name": "acceptance",
                "feed.url": f"https://example.net/{Path(name).name}",
                "time.observation": "2026-01-01T00:00:00+00:00",
                "raw": base64_encode(text),
            }
            result = bot.process_message(report)
            events, errors = result["output"], result.get("error", [])
            right = len(events) == len(lines) and not errors
            right = right and [e["source.ip"] for e in events] == [x.split("  |  ")[2].strip() for x in lines]
            print(f"{'ok ' if right else 'BAD'} {name}: {len(lines)} lines, {len(events)} events, {len(errors)} errors")
            for error in errors[:3]:
                print(f"    {str(error)[:300]}")
            bad += not right
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
