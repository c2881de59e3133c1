"""What a service tells systemd (sd_notify(3)). The listeners use it, too: nothing heavy is imported."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send a state like READY=1; whether it was sent. Without systemd, or when it doesn't take it, nothing happens."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as teller:
            teller.setblocking(False)
            teller.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)
    except OSError:
        return False
    return True
