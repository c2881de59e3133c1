#!/usr/bin/env python3
"""Serve a small site with /srv/conf/nginx.conf, ask it in every way, and print the answers as JSON.

    tls_requests.py NAME

Runs as root in a container of its own.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

WEBROOT = Path("/var/www/strandline")
TLS = Path("/srv/tls")


def serve(name: str) -> None:
    """Make a generation and a certificate, and start nginx."""
    generation = WEBROOT / "generations/2026/11/25/03"
    (generation / "deep").mkdir(parents=True)
    for path in ("index.html", "dnsrd.txt", "deep/index.html"):
        (generation / path).write_text("feed\n", encoding="ascii")
    (WEBROOT / "current").symlink_to("generations/2026/11/25/03")
    TLS.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", TLS / "key.pem",
         "-out", TLS / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(["nginx", "-c", "/srv/conf/nginx.conf"], check=True, stdout=subprocess.DEVNULL)
    time.sleep(1)


def answer(connection: socket.socket, request: str) -> dict[str, Any]:
    """What the site answers to a request as it stands."""
    with connection:
        connection.sendall(request.encode("ascii"))
        response = http.client.HTTPResponse(connection)
        response.begin()
        headers = {key.lower(): value for key, value in response.getheaders()}
        body = response.read().decode()
        return {"status": response.status, "location": headers.get("location"), "headers": headers, "body": body}


def over_tls(name: str, *protocols: str, version: ssl.TLSVersion | None = None) -> ssl.SSLSocket:
    """Open a verified connection; only of this version, when one is given."""
    context = ssl.create_default_context(cafile=str(TLS / "cert.pem"))
    context.set_alpn_protocols(list(protocols))
    if version:
        # Whatever this machine's policy is, the client may; the server decides.
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
    return context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 5), server_hostname=name)


def takes(name: str, version: ssl.TLSVersion) -> bool:
    """Say whether the site speaks this version."""
    try:
        over_tls(name, version=version).close()
    except ssl.SSLError:
        return False
    return True


def main() -> None:
    """Ask."""
    name = sys.argv[1]
    serve(name)
    end = "Connection: close\r\n\r\n"
    asked = {
        "plain": f"GET /dnsrd.txt?x=1 HTTP/1.1\r\nHost: {name}\r\n{end}",
        "foreign host": f"GET /dnsrd.txt HTTP/1.1\r\nHost: evil.example\r\n{end}",
        "foreign port": f"GET / HTTP/1.1\r\nHost: {name}:81@evil.example\r\n{end}",
        "no host": "GET / HTTP/1.0\r\n\r\n",
        "absolute URI": f"GET http://evil.example/dnsrd.txt HTTP/1.1\r\nHost: evil.example\r\n{end}",
        "two slashes": f"GET //evil.example/ HTTP/1.1\r\nHost: {name}\r\n{end}",
        "line ends": f"GET /%0d%0aX-Forged:%20yes HTTP/1.1\r\nHost: {name}\r\n{end}",
        "forwarded": f"GET / HTTP/1.1\r\nHost: {name}\r\nX-Forwarded-Host: evil.example\r\n{end}",
        "a method": f"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n{end}",
    }
    redirects = {
        what: {key: value for key, value in found.items() if key != "body"}
        for what, request in asked.items()
        for found in [answer(socket.create_connection(("127.0.0.1", 80), 5), request)]
    }
    versions = {"TLSv1.1": ssl.TLSVersion.TLSv1_1, "TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
    protocols = {}
    for protocol in ("h2", "http/1.1"):
        with over_tls(name, protocol) as connection:
            protocols[protocol] = connection.selected_alpn_protocol()
    result = {
        "redirects": redirects,
        "https": answer(over_tls(name), f"GET /signals/dnsrd.txt HTTP/1.1\r\nHost: {name}\r\n{end}"),
        "protocols": protocols,
        "versions": {what: takes(name, version) for what, version in versions.items()},
        "foreign": [
            answer(over_tls(name), f"GET {path} HTTP/1.1\r\nHost: evil.example\r\n{end}")
            for path in ("/", "/deep", "/nothing")
        ],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
