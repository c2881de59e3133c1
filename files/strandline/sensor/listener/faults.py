"""Errors of our own: said where they are, and survived."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .notices import Notices

FAULTS = "internal errors, see the lines above"


def report(notices: Notices) -> None:
    """An error of ours must not stop the next message: say where, and go on."""
    notices.count(FAULTS)
    if notices.total(FAULTS) <= 20:  # enough to find it, too few to fill the journal
        import traceback  # noqa: PLC0415 - 1 MB, and rarely needed

        sys.stderr.write("<3>" + traceback.format_exc().strip().replace("\n", "\n<3>") + "\n")
        sys.stderr.flush()
