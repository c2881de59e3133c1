"""What the operator's side computes: inventory, rollouts, canaries, report. The plugins and the command share it."""

import sys
from pathlib import Path

# The controller uses parts of what runs on the hosts: the catalogue, the protocols' clients, the AS table's reader.
FILES = Path(__file__).resolve().parents[2] / "files"
if str(FILES) not in sys.path:
    sys.path.append(str(FILES))
