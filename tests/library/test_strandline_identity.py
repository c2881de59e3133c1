"""The module that gives a host its identity, with the real program and real certificates."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from library import strandline_identity

PROGRAM = Path(__file__).resolve().parents[2] / "files" / "tls" / "strandline-identity"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a host keeps its identity; chgrp stands in, for the group is the hosts'."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "chgrp").write_text("#!/bin/sh\n")
    (tools / "chgrp").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    (tmp_path / "tls").mkdir()
    return tmp_path / "tls"


class Module:
    """The module, as Ansible would call it for a directory."""

    def __init__(self, directory: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.directory, self.capture = directory, capture

    def __call__(self, state: str, *, check: bool = False, **more: Any) -> dict[str, Any]:
        arguments = {"state": state, "directory": str(self.directory), "program": str(PROGRAM), "name": "ams1", **more}
        with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            strandline_identity.main()
        result: dict[str, Any] = json.loads(self.capture.readouterr().out)
        return result

    def files(self) -> dict[str, str]:
        """All that is in the directory."""
        return {str(path.relative_to(self.directory)): path.read_text() for path in self.directory.rglob("*.pem")}


@pytest.fixture
def module(directory: Path, capsys: pytest.CaptureFixture[str]) -> Module:
    return Module(directory, capsys)


def test_a_bare_host_has_none_and_gets_one_once(module: Module) -> None:
    assert module("gathered") == {**module("gathered"), "changed": False, "step": "absent"}
    assert module("present", check=True)["changed"]
    assert module.files() == {}
    made = module("present", days=9)
    assert (made["changed"], made["step"], made["ends"] - made["begins"]) == (True, "settled", 9 * 86400)
    assert made["certificate"] == (module.directory / "cert.pem").read_text()
    before = module.files()
    assert not module("present")["changed"]
    assert module.files() == before


@pytest.mark.slow
def test_a_rotation_step_by_step_each_announced_and_each_repeated(module: Module) -> None:
    module("present")
    for state, before in (("prepared", "settled"), ("switched", "prepared"), ("settled", "switched")):
        files = module.files()
        announced = module(state, check=True)
        assert (announced["changed"], announced["step"]) == (True, state)
        assert announced["diff"] == {"before": f"{before}\n", "after": f"{state}\n"}
        assert module.files() == files
        done = module(state)
        assert (done["changed"], done["step"]) == (True, state)
        assert module.files() != files
        files = module.files()
        assert not module(state)["changed"]
        assert module.files() == files


def test_whoever_begins_again_after_the_switch_gets_no_third_identity(module: Module) -> None:
    module("present")
    new = module("prepared")["certificate"]
    module("switched")
    again = module("prepared")
    assert (again["changed"], again["step"], again["certificate"]) == (False, "switched", new)


def test_a_switch_that_was_cut_short_is_finished(module: Module) -> None:
    module("present")
    new = module("prepared")["certificate"]
    module("switched")
    # As if the power had gone between the two renames.
    next_ = module.directory / "next"
    next_.mkdir()
    (module.directory / "cert.pem").rename(next_ / "cert.pem")
    (module.directory / "cert.pem").write_text((module.directory / "previous" / "cert.pem").read_text())
    assert module("gathered")["certificate"] == new
    module("switched")
    assert (module.directory / "cert.pem").read_text() == new
    assert not next_.exists()


@pytest.mark.parametrize(
    ("state", "said"), [("prepared", "no identity"), ("switched", "no identity"), ("settled", "no identity")]
)
def test_a_bare_host_has_nothing_to_rotate(module: Module, state: str, said: str) -> None:
    assert said in module(state)["msg"]


def test_steps_out_of_order_are_refused(module: Module) -> None:
    module("present")
    assert "prepare one first" in module("switched")["msg"]
    module("prepared")
    assert "not been switched to" in module("settled")["msg"]


def test_what_the_program_refuses_is_said(module: Module) -> None:
    assert "can't be a name" in module("present", name="../ams1")["msg"]
    assert module.files() == {}
