"""`python3 listener PROTOCOL`: the daemon that systemd starts with its sockets.

Settings come from the environment (the unit's Environment=); what is wrong ends the start with one sentence.
"""

from __future__ import annotations

import os
import signal
import sys

if not __package__:  # run as a directory with -I: nothing of the outside is on the path, and the package is not either
    sys.path[0] = os.path.abspath(__file__ + "/../../../..")

from strandline.sensor.listener import daemon
from strandline.sensor.listener.session import SettingError
from strandline.sensor.listener.sockets import listen_sockets


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; the exit status."""
    if len(arguments) != 1 or arguments[0] not in daemon.protocols():
        sys.stderr.write(f"<3>usage: listener {'|'.join(daemon.protocols())}\n")
        return 2
    sockets = listen_sockets(os.environ, os.getpid())
    if not sockets:
        sys.stderr.write(f"<3>no sockets handed over: start strandline-{arguments[0]}.service\n")
        return 2
    try:
        service = daemon.Daemon(arguments[0], sockets, os.environ)
    except SettingError as error:
        sys.stderr.write(f"<3>{error}\n")
        return 2
    signal.signal(signal.SIGTERM, service.loop.stop)
    signal.signal(signal.SIGINT, service.loop.stop)
    service.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
