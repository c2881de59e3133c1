"""The scanner's program is found by its path: it lives in an image, not in a package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "files" / "demo" / "scanner"))
