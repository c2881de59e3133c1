"""The passwords that providers mail, as an operator keeps them in a file while hosts are onboarded."""

from __future__ import annotations

from collections.abc import Iterable

from strandline_fleet.errors import Refusal
from strandline_fleet.targets import Groups, hosts_of, words


def host_passwords(text: str, target: str | Iterable[str], groups: Groups) -> dict[str, str]:
    """The password of each host of a target: one line for all of them, or one for each in the order they were named.

    Of a provider or group the hosts are in the inventory's order. Raises Refusal when the lines are of another number.
    """
    names = list(dict.fromkeys(host for word in words(target) for host in hosts_of(groups, word)))
    lines = text.splitlines()
    if len(lines) == 1:
        lines *= len(names)
    if len(lines) != len(names) or not all(lines):
        raise Refusal(
            "The password file (onboard_password_file, --password-file) has "
            f"{len(lines)} lines for {len(names)} hosts. "
            "Write one password for all of them, or one a line for each, in the order in which you name the hosts."
        )
    return dict(zip(names, lines, strict=True))
