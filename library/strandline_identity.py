#!/usr/bin/python
"""Ansible module: a host's key and certificate, and the steps by which a new pair takes their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_identity
short_description: Make a host's key and certificate, or have new ones take their place
description:
  - A host's identity is a key that never leaves it and a self-signed certificate that its peers pin.
  - A new identity takes the place of the old one in three steps. It is prepared beside the old one; the host switches
    to it once its peers trust both; it is settled, and the old key destroyed, once they trust the new one alone.
  - Each state may be asked for again. A host that is further already stays as it is, so that a rotation which was
    stopped is carried on.
  - Calls the program C(strandline-identity), which the role C(tls_identity) installs.
options:
  state:
    description:
      - V(gathered) changes nothing.
      - V(present) makes an identity where there is none. An identity that is there is never overwritten.
      - V(prepared) makes a new one beside the one in use. One that was prepared or switched to already is kept.
      - V(switched) puts the new one in the place of the old one, which is kept.
      - V(settled) destroys the old key.
    type: str
    choices: [gathered, present, prepared, switched, settled]
    default: gathered
  directory:
    description: Where the host keeps C(key.pem) and C(cert.pem).
    type: path
    default: /etc/strandline/tls
  name:
    description: The host's name in the certificate. Required for V(present) and V(prepared).
    type: str
  days:
    description: How long the new certificate is valid.
    type: int
    default: 800
  program:
    description: The program on the host.
    type: path
    default: /usr/lib/strandline/strandline-identity
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: Strandline developers
"""
EXAMPLES = r"""
- name: Ask how far the host is
  strandline_identity:
  register: identity

- name: Make a new key and certificate beside those in use
  strandline_identity:
    state: prepared
    name: "{{ inventory_hostname }}"
"""
RETURN = r"""
step:
  description: V(absent), V(settled), V(prepared) or V(switched); in check mode the step that would be reached.
  type: str
  returned: success
begins:
  description: From when the certificate in use is valid, in seconds since 1970.
  type: int
  returned: when there is a certificate
ends:
  description: Until when it is valid.
  type: int
  returned: when there is a certificate
certificate:
  description: The newest certificate of the host (PEM) - the prepared one, or else the one in use.
  type: str
  returned: when there is a certificate
"""

ABSENT = "absent"
SETTLED = "settled"
PREPARED = "prepared"
SWITCHED = "switched"
# What each state makes of a step that it changes: the program's verb, and the step reached. Other steps stay.
CHANGES = {
    "present": {ABSENT: ("make", SETTLED)},
    "prepared": {SETTLED: ("prepare", PREPARED)},
    "switched": {PREPARED: ("switch", SWITCHED), SWITCHED: ("switch", SWITCHED)},
    "settled": {SWITCHED: ("settle", SETTLED)},
}
# Steps from which a state can't be reached, and why.
REFUSED = {
    ("prepared", ABSENT): "holds no identity that could be replaced; provision the host first",
    ("switched", ABSENT): "holds no identity that could be replaced; provision the host first",
    ("switched", SETTLED): "holds no new identity to switch to; prepare one first",
    ("settled", ABSENT): "holds no identity; provision the host first",
    ("settled", PREPARED): "holds a new identity that has not been switched to",
}


class Identity:
    """The directory of a host's identity, seen through the program."""

    def __init__(self, module: AnsibleModule) -> None:
        """Contact nothing yet."""
        self.module = module
        self.directory = Path(module.params["directory"])

    def call(self, *arguments: str) -> str:
        """Run the program; what it refuses ends the module."""
        code, out, err = self.module.run_command([self.module.params["program"], *arguments])
        if code != 0:
            self.module.fail_json(msg=err.strip() or f"{arguments[0]} ended with {code}", rc=code)
        return str(out)

    def look(self) -> dict[str, Any]:
        """How far the host is, and its certificates."""
        if not (self.directory / "cert.pem").exists():
            return {"step": ABSENT}
        step, begins, ends = self.call("state", str(self.directory)).split()
        prepared = self.directory / "next" / "cert.pem"
        newest = prepared if prepared.exists() else self.directory / "cert.pem"
        return {"step": step, "begins": int(begins), "ends": int(ends), "certificate": newest.read_text()}

    def act(self, verb: str) -> None:
        """Take a step."""
        more = (self.module.params["name"], str(self.module.params["days"])) if verb in ("make", "prepare") else ()
        self.call(verb, str(self.directory), *more)


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["gathered", *CHANGES], "default": "gathered"},
            "directory": {"type": "path", "default": "/etc/strandline/tls"},
            "name": {"type": "str"},
            "days": {"type": "int", "default": 800},
            "program": {"type": "path", "default": "/usr/lib/strandline/strandline-identity"},
        },
        required_if=[("state", "present", ["name"]), ("state", "prepared", ["name"])],
        supports_check_mode=True,
    )
    identity = Identity(module)
    found = identity.look()
    before, state = found["step"], module.params["state"]
    if refusal := REFUSED.get((state, before)):
        module.fail_json(msg=f"{identity.directory} {refusal}", step=before)
    verb, after = CHANGES.get(state, {}).get(before, ("", before))
    if verb and not module.check_mode:
        # Also where a switch is said to be done: one that was cut short is finished.
        identity.act(verb)
        found = identity.look()
    module.exit_json(
        changed=before != after,
        diff={"before": f"{before}\n", "after": f"{after}\n"},
        **{**found, "step": after},
    )


if __name__ == "__main__":
    main()
