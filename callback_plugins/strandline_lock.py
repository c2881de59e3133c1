"""Ansible callback: opens the inventory's lock file, so that a lock lasts as long as the run that takes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import lock

DOCUMENTATION = r"""
name: strandline_lock
type: aggregate
short_description: Holds an inventory's lock until the run ends
description:
  - Only one run at a time may change the hosts of an inventory. C(strandline_inventory) takes the lock in a process of
    its own for the task; this callback has the lock file open in ansible-playbook's process, with which the lock ends.
  - It shows nothing and needs no setting; it is loaded because it stands in the folder of callbacks.
author: Strandline developers
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible ships no types
    """Opens lock files; takes none."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "strandline_lock"

    def v2_playbook_on_start(self, _playbook: Any) -> None:
        """Open the lock files before the first worker is forked."""
        lock.prepare(str(source) for source in context.CLIARGS.get("inventory") or ())
