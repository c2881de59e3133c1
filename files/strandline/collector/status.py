"""Tell the world how the loader is: a status file for people and monitoring, and systemd."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from strandline.shared import documents
from strandline.shared.service import notify

log = logging.getLogger(__name__)

WRITE_SECONDS = 2.0


@dataclass(slots=True)
class Counters:
    """What happened since the loader started, and how far behind it is."""

    database: str = "connecting"  # or: connected, or the reason why not
    rows: int = 0
    duplicates: int = 0
    rejects: int = 0
    transactions: int = 0
    lag_bytes: int = 0  # written by syslog-ng and not loaded yet
    last_rts: str | None = None  # when the newest loaded event reached the collector
    last_reject: str | None = None  # the reason


class Status:
    """Writes the counters to a file now and then, and keeps systemd's watchdog quiet."""

    def __init__(self, path: Path) -> None:
        """Write to `path`, whole files only: a reader never sees half of one."""
        self.path = path
        self.counters = Counters()
        self._started = time.time()
        self._written = 0.0
        self._rejects_logged = 0
        self._rejects_logged_at = 0.0

    def due(self) -> bool:
        """Tell whether the file is old enough to be written again."""
        return time.monotonic() - self._written >= WRITE_SECONDS

    def write(self) -> None:
        """Write the file and notify systemd; an unwritable file is a warning, for loading is what matters."""
        self._written = time.monotonic()
        counters = self.counters
        document = {"time": time.time(), "started": self._started, **asdict(counters)}
        try:
            documents.write(self.path, document, sync=False)  # it says what was so two seconds ago
        except OSError as error:
            log.warning("cannot write %s: %s", self.path, error)
        notify(
            f"WATCHDOG=1\nSTATUS={counters.database}; {counters.rows} rows, {counters.rejects} rejects, "
            f"{counters.lag_bytes} bytes behind"
        )
        self._log_rejects()

    def _log_rejects(self) -> None:
        """Mention rejects in the log, at most once a minute."""
        new = self.counters.rejects - self._rejects_logged
        if new and time.monotonic() - self._rejects_logged_at >= 60:
            log.warning("%d lines rejected (see strandline.reject), the last one: %s", new, self.counters.last_reject)
            self._rejects_logged = self.counters.rejects
            self._rejects_logged_at = time.monotonic()
