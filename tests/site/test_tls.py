"""The site with TLS: nginx with the role's own configuration, in a container; see tls_requests.py."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles" / "publisher"
NAME = "feeds.example.org"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Write nginx.conf as the role does for a site with a certificate, and ask the site."""
    top = tmp_path_factory.mktemp("tls")
    settings = {
        "publisher_server_name": NAME, "publisher_tls_certificate": "/srv/tls/cert.pem",
        "publisher_tls_key": "/srv/tls/key.pem", "ansible_managed": "Ansible managed",
    }  # fmt: skip
    task = {"ansible.builtin.template": {
        "src": str(ROLE / "templates/etc/nginx/nginx.conf.j2"), "dest": str(top / "nginx.conf"), "mode": "0644",
    }}  # fmt: skip
    play = {
        "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task],
        "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
    }  # fmt: skip
    (top / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    play_it = ["ansible-playbook", "-i", "localhost,", "-e", json.dumps(settings), str(top / "play.yml")]
    subprocess.run(play_it, check=True, cwd=ROOT)
    done = subprocess.run(
        [
            "podman", "run", "--rm", "--network=none", f"--volume={top}:/srv/conf:ro",
            f"--volume={ROOT / 'tests'}:/strandline/tests:ro", os.environ["STRANDLINE_PUBLISHER_IMAGE"],
            "python3", "-B", "/strandline/tests/site/tls_requests.py", NAME,
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_http_leads_to_the_sites_own_name_whatever_the_client_sends(seen: dict[str, Any]) -> None:
    """No open redirect: neither by Host, nor by an absolute URI, nor by the path; and no header of the client's."""
    assert len(seen["redirects"]) >= 7
    for asked, answer in seen["redirects"].items():
        assert answer["status"] in (301, 400), (asked, answer)
        if answer["status"] == 301:
            assert answer["location"].startswith(f"https://{NAME}/"), (asked, answer)
        assert "x-forged" not in answer["headers"], (asked, answer)
    assert seen["redirects"]["plain"] == {
        "status": 301, "location": f"https://{NAME}/dnsrd.txt?x=1", "headers": seen["redirects"]["plain"]["headers"],
    }  # fmt: skip


def test_https_serves_the_site_and_says_to_stay(seen: dict[str, Any]) -> None:
    """With a verified certificate, by HTTP/2 where the client has it; no version that is broken."""
    assert (seen["https"]["status"], seen["https"]["body"]) == (200, "feed\n")
    assert seen["https"]["headers"]["strict-transport-security"] == "max-age=31536000"
    assert seen["protocols"] == {"h2": "h2", "http/1.1": "http/1.1"}
    assert seen["versions"] == {"TLSv1.1": False, "TLSv1.2": True, "TLSv1.3": True}


def test_no_answer_repeats_a_foreign_host(seen: dict[str, Any]) -> None:
    """Over TLS either: not even where nginx makes a redirect to a directory of its own."""
    assert len(seen["foreign"]) == 3
    for answer in seen["foreign"]:
        assert "evil.example" not in json.dumps(answer), answer
