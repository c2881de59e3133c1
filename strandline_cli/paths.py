"""Where things are: in the clone, and in the cache that outlasts it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("STRANDLINE_BUILD", ROOT / "build"))  # scenarios that run side by side have one each
LOGS = BUILD / "log"
PLAYBOOKS = ROOT / "playbooks"
SHARED = ROOT / "molecule" / "shared"
DEMO_INVENTORY = ROOT / "inventory" / "demo"
DEMO_BUILD = BUILD / "demo"
WWW = DEMO_BUILD / "www"


def cache() -> Path:
    """Return the cache directory, which ./strandline has chosen and made."""
    return Path(os.environ["STRANDLINE_CACHE"])


def shown(path: Path) -> str:
    """Return a path as the operator would write it: short inside the clone."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
