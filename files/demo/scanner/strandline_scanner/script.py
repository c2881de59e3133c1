r"""The script: every action that the demo plays, and the least that must come of it.

`least` lists rows that the action must produce whatever the client does besides; an action whose traffic holds fewer
has failed. A `where` of "each" plays at every sensor address, "first" and "last" at that one of each sensor alone.
"""

from __future__ import annotations

import smtplib
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import clients, expect
from .clients import ClientError, Context, Outcome, RfbScript

FORGED = "192.0.2.66"
"""An address that only ever stands in what a client chose; a row from it is a hole in the grammar."""


@dataclass(frozen=True)
class Action:
    """One entry of the script."""

    name: str
    help: str
    play: Callable[[Context], Outcome]
    where: str = "each"
    least: tuple[tuple[str, Mapping[str, str]], ...] = field(default=())


# --- SSH ---


def _curl(context: Context) -> Outcome:
    """libssh2 asks for the methods with `none`, then tries password and, when refused, keyboard-interactive."""
    user, secret = b"admin", b"admin123"
    outcome = context.run(
        "curl", "--silent", "--show-error", "--verbose", "--insecure", "--max-time", "20", "--interface", context.saddr,
        "--user", f"{user.decode()}:{secret.decode()}", f"sftp://{context.daddr}:{context.ports['ssh']}/",
    )  # fmt: skip
    outcome.attempts = [
        [expect.none(user), expect.password(user, secret), expect.password(user, secret, "keyboard-interactive")]
    ]
    return outcome


def _nmap(*arguments: str) -> Callable[[Context], Outcome]:
    """nmap, bounded; without its own choice of source (-n: no names are looked up, -Pn: no ping)."""

    def play(context: Context) -> Outcome:
        outcome = context.run("nmap", "-n", "-Pn", "--host-timeout", "50s", *arguments, context.daddr, seconds=60)
        if outcome.exit or "host timeout" in outcome.output:
            raise ClientError(f"nmap: {outcome.output.strip().splitlines()[-1:]}")
        return outcome

    return play


def _nmap_ssh(context: Context) -> Outcome:
    outcome = _nmap(
        "-sT",
        "-p",
        str(context.ports["ssh"]),
        "--script",
        "banner,ssh2-enum-algos,ssh-auth-methods",
        "--script-args",
        "ssh.user=root",
        "--script-timeout",
        "20s",
    )(context)
    # ssh-auth-methods, over libssh2, asks for root's methods; the other scripts do not get as far as a request.
    outcome.by_ident = {b"SSH-2.0-libssh2": [expect.none(b"root")]}
    return outcome


SSH = [
    Action(
        "ssh-passwords",
        "OpenSSH's ssh with three passwords for root",
        lambda c: clients.ssh(c, "root", "password", [b"root", b"123456", b'x"y\\z']),
    ),
    Action(
        "ssh-unknown-user",
        "a user that no host has",
        lambda c: clients.ssh(c, "nosuchuser-7f3a", "password", [b"correct horse", "pässwörd".encode()]),
    ),
    Action(
        "ssh-keyboard",
        "keyboard-interactive, two answers",
        lambda c: clients.ssh(c, "ubuntu", "keyboard-interactive", [b"ubuntu", b"; saddr 192.0.2.66"]),
    ),
    Action("ssh-key-ed25519", "an Ed25519 key", lambda c: clients.ssh(c, "git", "publickey", keys=["ed25519"])),
    Action(
        "ssh-key-rsa",
        "RSA and ECDSA keys, then a password",
        lambda c: clients.ssh(c, "deploy", "publickey,password", [b"deploy"], ["rsa", "ecdsa"]),
        "first",
    ),
    Action("ssh-none", "no credentials at all", lambda c: clients.ssh(c, "anonymous", "none")),
    Action(
        "ssh-user-from",
        "a user name that looks like the end of a log line (case 13)",
        lambda c: clients.ssh(c, "root from 192.0.2.123", "password", [b"a"]),
    ),
    Action(
        "ssh-user-style",
        "a user name with style and role (case 13)",
        lambda c: clients.ssh(c, "root:style/role", "password", [b"b"]),
    ),
    Action(
        "ssh-user-fields",
        "a user name and a password that look like fields of the line (case 13)",
        lambda c: clients.paramiko(
            c,
            "SSH-2.0-PUTTY",
            [clients.try_password(b"x; saddr 192.0.2.66; sport 1", b'" saddr=192.0.2.66 sport=1 x="')],
        ),
    ),
    Action(
        "ssh-bytes",
        "a user name and a password that are no text",
        lambda c: clients.paramiko(c, "SSH-2.0-PUTTY", [clients.try_password(b"\xff\xfe\x00\n", b"\x00\x1b[31m\r\n")]),
    ),
    Action(
        "ssh-long",
        "a user name and a password longer than a value may be",
        lambda c: clients.paramiko(c, "SSH-2.0-AsyncSSH_2.1.0", [clients.try_password(b"u" * 300, b"p" * 1500)]),
        "first",
    ),
    Action(
        "ssh-go",
        "Go's client: none, then a password",
        lambda c: clients.paramiko(
            c, "SSH-2.0-Go", [clients.try_none(b"oracle"), clients.try_password(b"oracle", b"oracle")]
        ),
    ),
    Action(
        "ssh-libssh",
        "a libssh bot's password",
        lambda c: clients.paramiko(c, "SSH-2.0-libssh_0.9.6", [clients.try_password(b"pi", b"raspberry")]),
    ),
    Action("ssh-libssh2", "curl's SFTP, that is libssh2", _curl, "first"),
    Action(
        "ssh-twenty",
        "20 connections without authentication in 2 s (case 14)",
        lambda c: clients.identifications(c, [b"SSH-2.0-ZGrab ZGrab SSH Survey\r\n"] * 20, 20),
        "first",
    ),
    Action(
        "ssh-not-ssh",
        "nothing, HTTP, and SSH 1 on the SSH port",
        lambda c: clients.identifications(
            c, [b"", b"GET / HTTP/1.0\r\n\r\n", b"SSH-1.5-NmapNSE_1.0\n", b'SSH-2.0-x" saddr=192.0.2.66\r\n'], 20
        ),
    ),
    Action("ssh-nmap", "nmap's scripts for SSH", _nmap_ssh, "first"),
]

# --- DNS ---

DNS_HOSTILE = (
    rb"a\032b\".example.",
    rb"\255\254\000.example.",
    rb"x;saddr=192.0.2.66\010event=ssh.password.example.",
    rb"'$(reboot)'|#@.example.",
)
LONG_NAME = ".".join(["l" * 63] * 3 + ["m" * 61]) + "."


def _dig(*arguments: str) -> Callable[[Context], Outcome]:
    def play(context: Context) -> Outcome:
        return context.run(
            "dig",
            "-r",
            "-b",
            context.saddr,
            "-p",
            str(context.ports["dns"]),
            "+tries=1",
            "+time=3",
            f"@{context.daddr}",
            *arguments,
        )

    return play


def _dig_cookie(context: Context) -> Outcome:
    """Ask over TCP, where cookies are given out, and again over UDP with the server's: that proves us (RFC 7873)."""
    first = _dig("cookie.example.", "A", "+tcp")(context)
    cookie = next((line.split()[2] for line in first.output.splitlines() if line.startswith("; COOKIE: ")), None)
    if not cookie:
        return first
    return _dig("cookie.example.", "A", f"+cookie={cookie}")(context)


def _dig_hostile(context: Context) -> Outcome:
    for name in DNS_HOSTILE[:-1]:
        _dig(name.decode(), "A")(context)
    return _dig(DNS_HOSTILE[-1].decode(), "AAAA")(context)


DNS = [
    Action(
        "dig-rd-a",
        "a recursive query, the search for an open resolver",
        _dig("www.example.com", "A"),
        least=(("dns.query", {"qname": "www.example.com.", "qtype": "A", "rd": "1"}),),
    ),
    Action(
        "dig-any",
        "a recursive ANY query, the trigger of reflection attacks",
        _dig("example.org", "ANY", "+notcp"),
        least=(("dns.query", {"qtype": "ANY", "rd": "1"}),),
    ),
    Action(
        "dig-version",
        "version.bind in class CH",
        _dig("version.bind", "TXT", "CH"),
        least=(("dns.query", {"qname": "version.bind.", "qclass": "CH", "qtype": "TXT"}),),
    ),
    Action(
        "dig-version-case",
        "the same in other letters, without EDNS",
        _dig("VERSION.Bind", "TXT", "CH", "+noedns"),
        "first",
        least=(("dns.query", {"qname": "VERSION.Bind.", "edns": "-"}),),
    ),
    Action(
        "dig-tcp",
        "over TCP",
        _dig("www.example.net", "MX", "+tcp"),
        least=(("dns.query", {"qname": "www.example.net.", "qtype": "MX"}),),
    ),
    Action(
        "dig-tcp-two",
        "two queries on one TCP connection",
        _dig("one.example.", "A", "+tcp", "+keepopen", "two.example.", "TXT", "+tcp", "+keepopen"),
        "first",
        least=(("dns.query", {"qname": "one.example."}), ("dns.query", {"qname": "two.example."})),
    ),
    Action(
        "dig-norec",
        "without recursion",
        _dig("example.com", "NS", "+norec"),
        least=(("dns.query", {"qtype": "NS", "rd": "0"}),),
    ),
    Action(
        "dig-dnssec",
        "with DO and CD",
        _dig("example.com", "DNSKEY", "+dnssec", "+cd", "+bufsize=4096"),
        "first",
        least=(("dns.query", {"qtype": "DNSKEY", "do": "1", "cd": "1", "udpsize": "4096"}),),
    ),
    Action(
        "dig-subnet",
        "with a client subnet",
        _dig("example.com", "A", "+subnet=192.0.2.0/24"),
        "first",
        least=(("dns.query", {"ecs": "1"}),),
    ),
    Action("dig-cookie", "with the server's own cookie", _dig_cookie, least=(("dns.query", {"cookie": "1"}),)),
    Action(
        "dig-type",
        "a type that has no name",
        _dig("example.com", "TYPE65300"),
        "first",
        least=(("dns.query", {"qtype": "TYPE65300"}),),
    ),
    Action("dig-root", "the root", _dig(".", "NS"), "first", least=(("dns.query", {"qname": "."}),)),
    Action(
        "dig-long",
        "the longest name there is",
        _dig(LONG_NAME, "A"),
        "first",
        least=(("dns.query", {"qname": LONG_NAME}),),
    ),
    Action(
        "dig-hostile",
        "names with spaces, quotes, NUL, line ends and fields of the line",
        _dig_hostile,
        least=(("dns.query", {"qname": r"a\x5c032b\x5c\x22.example."}),),
    ),
    Action(
        "dns-nmap",
        "nmap's scripts for DNS",
        lambda c: _nmap("-sU", "-p", str(c.ports["dns"]), "--script", "dns-nsid,dns-recursion")(c),
        "first",
        least=(("dns.query", {"qclass": "CH"}),),
    ),
]

# --- SIP ---


def _request(context: Context, method: str, number: int, **change: str) -> bytes:
    """A SIP request as scanners write it, with the headers given in `change` replaced, or left out when empty."""
    user = f"{100 + number}@{context.daddr}"
    headers = {
        "Via": f"SIP/2.0/UDP {context.saddr}:5060;branch=z9hG4bK-{number:08x};rport",
        "Max-Forwards": "70",
        "From": f'"scanner"<sip:100@{context.saddr}>;tag={number:08x}',
        "To": f"<sip:{user}>",
        "Call-ID": f"{number:032x}",
        "CSeq": f"{number + 1} {method}",
        "Contact": f"<sip:100@{context.saddr}:5060>",
        "User-Agent": "friendly-scanner",
        "Content-Length": "0",
        **{name.replace("_", "-"): text for name, text in change.items()},
    }
    lines = [f"{method} sip:{user} SIP/2.0", *(f"{name}: {text}" for name, text in headers.items() if text), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _sip_cases_udp(context: Context) -> Outcome:
    """Cases 1 to 6: each is followed by a valid request, which must not suffer."""
    options = [_request(context, "OPTIONS", number) for number in range(20)]
    hostile = f'x"; saddr: {FORGED}; user: root |'
    return clients.send_datagrams(
        context,
        "sip",
        [
            _request(context, "OPTIONS", 90, Content_Length="999"), *options[:3],
            _request(context, "OPTIONS", 91, Via=""), *options[3:6],
            b"SIP/2.0 200 OK\r\n\r\n", options[6],
            options[7].replace(b"\r\n", b"\n"),
            options[8].removesuffix(b"\r\n"), options[9],
            _request(context, "OPTIONS", 92, User_Agent="\xff\xfe\x00"),
            _request(context, "OPTIONS", 93, User_Agent=hostile),
            b"\x00\x01\x02 nonsense\r\n", options[10],
        ],
    )  # fmt: skip


def _sip_cases_tcp(context: Context) -> Outcome:
    """Cases 7 and 8: a request cut between CR and LF; three in one segment; keep-alive."""
    one = _request(context, "OPTIONS", 1)
    cut = one.index(b"\r\nTo:") + 1
    clients.send_segments(context, "sip", [one[:20], one[20:cut], one[cut:], _request(context, "OPTIONS", 2)])
    three = b"".join(_request(context, "OPTIONS", number) for number in (3, 4, 5))
    return clients.send_segments(context, "sip", [three, b"\r\n\r\n", _request(context, "REGISTER", 6)])


def _sip_methods(context: Context) -> Outcome:
    """INVITE with a session description, and every other method that scanners use."""
    here = f"IN IP4 {context.saddr}"
    sdp = f"v=0\r\no=- 1 1 {here}\r\ns=-\r\nc={here}\r\nt=0 0\r\nm=audio 8000 RTP/AVP 0\r\n"
    invite = (
        _request(context, "INVITE", 30, Content_Type="application/sdp", Content_Length=str(len(sdp))) + sdp.encode()
    )
    others = ("REGISTER", "ACK", "BYE", "CANCEL", "SUBSCRIBE", "NOTIFY", "MESSAGE", "INFO", "PRACK", "X-UNKNOWN")
    return clients.send_datagrams(
        context, "sip", [invite, *(_request(context, method, 31 + n) for n, method in enumerate(others))], 0.2
    )


def _sipvicious(tool: str, *arguments: str) -> Callable[[Context], Outcome]:
    def play(context: Context) -> Outcome:
        port = ["-p", str(context.ports["sip"])]
        words = context.work / "words"
        words.write_text("1000\nadmin\nsecret\n")
        filled = [str(words) if argument == "WORDS" else argument for argument in arguments]
        return context.run(tool, *port, "-x", context.saddr, *filled, context.daddr, seconds=40)

    return play


def _sipsak(*arguments: str) -> Callable[[Context], Outcome]:
    def play(context: Context) -> Outcome:
        target = f"sip:100@{context.daddr}:{context.ports['sip']}"
        return context.run("sipsak", "-H", context.saddr, *arguments, "-s", target, seconds=30)

    return play


SIP = [
    Action(
        "svmap",
        "sipvicious looks for SIP servers",
        _sipvicious("svmap"),
        least=(("sip.request", {"method": "OPTIONS"}),),
    ),
    Action(
        "svmap-invite",
        "the same with INVITE",
        _sipvicious("svmap", "-m", "INVITE"),
        "first",
        least=(("sip.request", {"method": "INVITE"}),),
    ),
    Action(
        "svwar",
        "sipvicious looks for extensions",
        _sipvicious("svwar", "--force", "-e", "100-102", "--maximumtime", "3"),
        least=(("sip.request", {"method": "REGISTER"}),),
    ),
    Action(
        "svcrack",
        "sipvicious guesses a password",
        _sipvicious("svcrack", "-u", "100", "-d", "WORDS", "--maximumtime", "3"),
        "last",
        least=(("sip.request", {"method": "REGISTER", "auth_user": "100"}),),
    ),
    Action("sipsak", "sipsak's OPTIONS", _sipsak("-v"), least=(("sip.request", {"method": "OPTIONS"}),)),
    Action(
        "sipsak-register",
        "sipsak registers with a password",
        _sipsak("-U", "-u", "100", "-a", "secret"),
        "first",
        least=(("sip.request", {"method": "REGISTER"}),),
    ),
    Action(
        "sip-methods",
        "INVITE with a session description and each other method",
        _sip_methods,
        least=(("sip.request", {"method": "INVITE"}), ("sip.request", {"method": "BYE"})),
    ),
    Action(
        "sip-cases-udp",
        "datagrams that broke other listeners (cases 1 to 6)",
        _sip_cases_udp,
        "first",
        least=(("sip.malformed", {"reason": "response"}),),
    ),
    Action(
        "sip-cases-tcp",
        "streams that broke other listeners (cases 7 and 8)",
        _sip_cases_tcp,
        "last",
        least=(("sip.request", {"method": "REGISTER"}),),
    ),
    Action(
        "sip-nmap",
        "nmap's script for SIP",
        lambda c: _nmap("-sU", "-p", str(c.ports["sip"]), "--script", "sip-methods")(c),
        "first",
        least=(("sip.request", {"method": "OPTIONS"}),),
    ),
]

# --- VNC ---

PASSWORD_FILE = bytes.fromhex("dbd83cfd727a1458")
"""The word `password` as VNC's password files hold it."""


def _vncsnapshot(context: Context) -> Outcome:
    stored = context.work / "passwd"
    stored.write_bytes(PASSWORD_FILE)
    display = context.ports["vnc"] - 5900
    return context.run("vncsnapshot", "-passwd", str(stored), f"{context.daddr}:{display}", "screen.jpg", seconds=20)


def _vncdo(*arguments: str) -> Callable[[Context], Outcome]:
    def play(context: Context) -> Outcome:
        server = f"{context.daddr}::{context.ports['vnc']}"
        return context.run("vncdo", "-t", "5", "-s", server, *arguments, "capture", "screen.png", seconds=20)

    return play


def _rfb(*scripts: RfbScript) -> Callable[[Context], Outcome]:
    def play(context: Context) -> Outcome:
        return [clients.rfb(context, script) for script in scripts][-1]

    return play


VNC = [
    Action("vncsnapshot", "TightVNC's client with a password", _vncsnapshot, least=(("vnc.auth", {}),)),
    Action("vncdo-password", "vncdotool with a password", _vncdo("-p", "letmein"), least=(("vnc.client", {}),)),
    Action("vncdo-none", "vncdotool without one", _vncdo(), "last", least=(("vnc.client", {}),)),
    Action(
        "vnc-versions",
        "versions that no one published (case 9)",
        _rfb(*(RfbScript(b"RFB %s\n" % v) for v in (b"003.889", b"004.001", b"005.000", b"003.005"))),
        "last",
        least=(("vnc.client", {"version": "RFB 003.889"}), ("vnc.client", {"version": "RFB 003.005"})),
    ),
    Action(
        "vnc-pieces",
        "messages cut in two, and two in one (case 10)",
        _rfb(
            RfbScript(b"RFB 003.008\n", pieces=True, response=bytes(range(16))),
            RfbScript(b"RFB 003.008\n", at_once=True, response=b'" saddr=192.0.2.6'[:16]),
            RfbScript(b"RFB 003.007\n", response=b"\xff" * 16),
            RfbScript(b"RFB 003.003\n", response=b"\0" * 16),
        ),
        "last",
        least=(
            ("vnc.auth", {"response": bytes(range(16)).hex()}),
            ("vnc.auth", {"version": "3.3", "response": "00" * 16}),
        ),
    ),
    Action(
        "vnc-type-none",
        "security type None",
        _rfb(RfbScript(b"RFB 003.008\n", security_type=1)),
        least=(("vnc.security", {"security_type": "1"}),),
    ),
    Action(
        "vnc-garbage",
        "what is no RFB",
        lambda c: clients.send_segments(c, "vnc", [b"GET / HTTP/1.0\r\n\r\n"]),
        "last",
        least=(("vnc.malformed", {"reason": "garbage"}),),
    ),
    Action(
        "vnc-nmap",
        "nmap's scripts for VNC",
        lambda c: _nmap("-sT", "-p", str(c.ports["vnc"]), "--script", "vnc-info,realvnc-auth-bypass")(c),
        "first",
        least=(("vnc.client", {}),),
    ),
]

# --- Telnet ---

REFUSALS = b"\xff\xfc\x18\xff\xfc\x20\xff\xfc\x23\xff\xfc\x27\xff\xfc\x24\xff\xfe\x25\xff\xfe\x26"
"""Answers to the options that inetutils-telnetd begins with."""


def _telnet(context: Context) -> Outcome:
    """Debian's telnet, which negotiates, with a user and a password typed at a human's pace."""
    words = "{ sleep 1; echo root; sleep 1; echo 12345; sleep 1; }"
    return context.run("sh", "-c", f"{words} | telnet {context.daddr} {context.ports['telnet']}", seconds=20)


def _curl_telnet(context: Context) -> Outcome:
    """curl's Telnet, which tells its terminal, and an environment that a server once believed."""
    url = f"telnet://{context.daddr}:{context.ports['telnet']}"
    return context.run(
        "curl", "--silent", "--interface", context.saddr, "--max-time", "4", "--telnet-option", "TTYPE=vt100",
        "--telnet-option", "NEW_ENV=USER,-froot", url, stdin="admin\nadmin1234\n",
    )  # fmt: skip


TELNET = [
    Action("telnet", "Debian's telnet", _telnet, least=(("telnet.login", {"user": "root", "password": "12345"}),)),
    Action(
        "telnet-curl",
        "curl with a terminal type and an environment",
        _curl_telnet,
        "first",
        least=(("telnet.option", {"option": "24"}), ("telnet.login", {"user": "admin"})),
    ),
    Action(
        "telnet-lines",
        "each end of a line, both lines in one segment, a name in two (case 12)",
        lambda c: clients.send_segments(
            c, "telnet", [REFUSALS, b"root\r\0xc3511\r\0", b"ad", b"min\r", b"\nadmin\n", b"guest\r", b"\0guest\r\n"]
        ),
        least=(("telnet.login", {"user": "admin", "attempt": "2"}), ("telnet.login", {"user": "guest"})),
    ),
    Action(
        "telnet-bytes",
        "names that are no text or look like fields of the line, and commands inside them",
        lambda c: clients.send_segments(
            c,
            "telnet",
            [b'r\xff\xf1\xfe\x00"t\r\n\x80\xff\xff\r\n', b'x" saddr=192.0.2.66 user="\r\n; saddr 192.0.2.66\r\n'],
        ),
        least=(("telnet.login", {"user": r"r\xfe\x00\x22t", "password": r"\x80\xff"}),),
    ),
    Action(
        "telnet-http",
        "what is no Telnet",
        lambda c: clients.send_segments(c, "telnet", [b"GET / HTTP/1.0\r\n\r\n"]),
        "last",
        least=(("telnet.malformed", {"reason": "foreign"}),),
    ),
    Action(
        "telnet-silent",
        "a connection without a word",
        lambda c: clients.send_segments(c, "telnet", []),
        "last",
        least=(("telnet.malformed", {"reason": "closed", "data": ""}),),
    ),
    Action(
        "telnet-nmap",
        "nmap's script for Telnet",
        lambda c: _nmap("-sT", "-p", str(c.ports["telnet"]), "--script", "telnet-encryption")(c),
        "first",
        least=(("telnet.malformed", {}),),
    ),
]

# --- NTP ---

NTP_CLIENT = b"\x23\x00\x06\xec" + bytes(36) + b"\xda\xd0\xff\xfe\x22\x5c\x00\x01"
MONLIST = b"\x17\x00\x03\x2a" + bytes(4)
READVAR = b"\x16\x02\x00\x01" + bytes(8)


def _ntpdig(context: Context) -> Outcome:
    """ntpsec's client asks for the time and must be told it."""
    outcome = context.run("ntpdig", "-t", "3", context.daddr)
    if outcome.exit:
        raise ClientError(f"ntpdig: {outcome.output.strip()}")
    return outcome


NTP = [
    Action("ntpdig", "ntpsec's client", _ntpdig, least=(("ntp.request", {"mode": "3"}),)),
    Action(
        "ntp-modes",
        "a client's request, readvar, monlist, and what asks for nothing",
        lambda c: clients.send_datagrams(
            c,
            "ntp",
            [NTP_CLIENT, READVAR, MONLIST, MONLIST[:4], NTP_CLIENT[:40], b"\x24" + bytes(47), b"\x16\x82", b"\r\n\r\n"],
        ),
        least=(
            ("ntp.request", {"mode": "6", "opcode": "2"}),
            ("ntp.request", {"mode": "7", "implementation": "3", "code": "42"}),
            ("ntp.malformed", {"reason": "short"}),
            ("ntp.malformed", {"reason": "response"}),
        ),
    ),
    Action(
        "ntp-nmap",
        "nmap's scripts for NTP",
        lambda c: _nmap("-sU", "-p", str(c.ports["ntp"]), "--script", "ntp-info,ntp-monlist")(c),
        "first",
        least=(("ntp.request", {"mode": "3"}),),
    ),
]

# --- SMTP ---

MAIL_HEAD = b"EHLO relay.example\r\n", b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"

SMTP_SCRIPTS = "smtp-commands,smtp-enum-users,smtp-ntlm-info,smtp-open-relay"


def _swaks(refused: int, *arguments: str) -> Callable[[Context], Outcome]:
    """swaks, which must be refused where a message ends or a password is tried."""

    def play(context: Context) -> Outcome:
        outcome = context.run(
            "swaks", "--server", context.daddr, "--port", str(context.ports["smtp"]), "--ehlo", "relay.example",
            "--from", "probe@example.org", "--to", "someone@example.net", "--timeout", "10", *arguments, seconds=30,
        )  # fmt: skip
        if outcome.exit != refused:
            raise ClientError(f"swaks ended with {outcome.exit}, not {refused}: {outcome.output.strip()[-200:]}")
        return outcome

    return play


def _smtplib(context: Context) -> Outcome:
    """Python's own client: a password by each mechanism, then a message, which must be refused."""
    outcome = Outcome("smtplib")
    with smtplib.SMTP(context.daddr, context.ports["smtp"], "relay.example", 10, (context.saddr, 0)) as client:
        try:
            client.login("admin@example.org", "Passw0rd!")
            raise ClientError("the sensor ACCEPTED a password")
        except smtplib.SMTPAuthenticationError as error:
            outcome.output = str(error)
        try:
            client.sendmail("a@example.org", ["b@example.net", "c@example.net"], "Subject: hi\n\n.dot\nbye\n")
            raise ClientError("the sensor ACCEPTED a message")
        except smtplib.SMTPDataError as error:
            outcome.output += str(error)
    return outcome


SMTP = [
    Action("swaks", "swaks sends a message", _swaks(26), least=(("smtp.data", {"command": "DATA"}),)),
    Action(
        "swaks-plain",
        "swaks logs in by PLAIN",
        _swaks(28, "--auth", "PLAIN", "--auth-user", "info", "--auth-password", "info123"),
        "first",
        least=(("smtp.auth", {"mechanism": "PLAIN", "user": "info", "password": "info123"}),),
    ),
    Action(
        "swaks-cram-md5",
        "swaks logs in by CRAM-MD5",
        _swaks(28, "--auth", "CRAM-MD5", "--auth-user", "info", "--auth-password", "info123"),
        "last",
        least=(("smtp.auth", {"mechanism": "CRAM-MD5", "user": "info"}),),
    ),
    Action(
        "smtplib",
        "Python's smtplib logs in and sends a message",
        _smtplib,
        least=(
            ("smtp.auth", {"mechanism": "PLAIN", "user": "admin@example.org"}),
            ("smtp.auth", {"mechanism": "LOGIN", "user": "admin@example.org"}),
            ("smtp.data", {"recipients": "2"}),
        ),
    ),
    Action(
        "smtp-dots",
        "a message in which other servers may see another end, a header of another's, and commands inside it",
        lambda c: clients.send_segments(
            c,
            "smtp",
            [
                *MAIL_HEAD,
                b'Subject: x" saddr=192.0.2.66 y="\r\n\r\na\n.\nMAIL FROM:<x@example.org>\r\n',
                b"..\r\n.\r",
                b"\n",
            ],
        ),
        "last",
        least=(("smtp.data", {"lone_dots": "1"}),),
    ),
    Action(
        "smtp-bdat",
        "a message in chunks",
        lambda c: clients.send_segments(
            c, "smtp", [MAIL_HEAD[0], MAIL_HEAD[1][:-6], b"BDAT 9\r\nSubject: ", b"BDAT 7 LAST\r\nx\r\n\r\n.\n"]
        ),
        "first",
        least=(("smtp.data", {"command": "BDAT", "subject": "x"}),),
    ),
    Action(
        "smtp-commands",
        "who may relay, and what else can be asked",
        lambda c: clients.send_segments(
            c,
            "smtp",
            [
                b"HELO w\xffx\r\n",
                b"HELO x y\r\n",
                b"VRFY root\r\nEXPN root\r\n",
                b"ETRN example.org\r\nSTARTTLS\r\n",
                b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRSET\r\n",
            ],
        ),
        least=(("smtp.mail", {"reason": "command"}), ("smtp.command", {"verb": "VRFY", "reply": "252"})),
    ),
    Action(
        "smtp-http",
        "what is no SMTP",
        lambda c: clients.send_segments(c, "smtp", [b"GET / HTTP/1.0\r\n\r\n"]),
        "last",
        least=(("smtp.malformed", {"reason": "foreign"}),),
    ),
    Action(
        "smtp-silent",
        "a connection without a word",
        lambda c: clients.send_segments(c, "smtp", []),
        "last",
        least=(("smtp.malformed", {"reason": "closed", "data": ""}),),
    ),
    Action(
        "smtp-nmap",
        "nmap's scripts for SMTP",
        lambda c: _nmap("-sT", "-p", str(c.ports["smtp"]), "--script", SMTP_SCRIPTS)(c),
        "first",
        least=(("smtp.greet", {"verb": "EHLO"}), ("smtp.mail", {}), ("smtp.command", {"verb": "AUTH"})),
    ),
]

# --- IPv6 in IPv4 ---

ECHO_REQUEST = b"\x80\x00\x00\x00\x00\x01\x00\x01"


def _ipv6(kind: int, payload: bytes, saddr: str = "2001:db8:41::7", daddr: str = "2002:c000:207::1") -> bytes:
    """An IPv6 packet, by default from a documentation address to a 6to4 one (RFC 8200, section 3; RFC 3056)."""
    addresses = socket.inet_pton(socket.AF_INET6, saddr) + socket.inet_pton(socket.AF_INET6, daddr)
    return struct.pack("!IHBB", 6 << 28, len(payload), kind, 64) + addresses + payload


PROTO41 = [
    Action(
        "proto41",
        "an echo request in IPv4, one behind options, and what is no IPv6",
        lambda c: clients.send_packets(
            c,
            [
                _ipv6(58, ECHO_REQUEST),
                _ipv6(60, bytes([58]) + bytes(7) + ECHO_REQUEST),
                _ipv6(58, ECHO_REQUEST)[:39],
                b"\x45" + bytes(59),
            ],
        ),
        least=(
            ("proto41.packet", {"protocol": "58", "size": "48"}),
            ("proto41.packet", {"protocol": "58", "size": "56"}),
            ("proto41.malformed", {"reason": "short"}),
            ("proto41.malformed", {"reason": "version"}),
        ),
    ),
]

# --- every other port ---

TLS_HELLO = b"\x16\x03\x01\x00\x05hello"

ANY = [
    Action(
        "any-tcp",
        "what looks like the beginning of a TLS handshake, at a port that nothing uses",
        lambda c: clients.send_segments(c, "any", [TLS_HELLO]),
        least=(("any.contact", {"reason": "data", "size": "10"}),),
    ),
    Action(
        "any-tcp-silent",
        "a connection without a byte",
        lambda c: clients.send_segments(c, "any", [], stay=0),
        "first",
        least=(("any.contact", {"reason": "closed", "size": "0"}),),
    ),
    Action(
        "any-udp",
        "two datagrams, which nobody answers",
        lambda c: clients.send_datagrams(c, "any", [b"M-SEARCH * HTTP/1.1\r\n\r\n", b""]),
        least=(("any.contact", {"size": "23"}), ("any.contact", {"size": "0"})),
    ),
]

ACTIONS = [*SSH, *DNS, *SIP, *VNC, *TELNET, *NTP, *SMTP, *PROTO41, *ANY]


def clients_of(
    name: str, port: int, silent: str, *said: tuple[bytes, str, Mapping[str, bytes | str | int]]
) -> list[Action]:
    """Actions at a TCP service of which the scanner knows nothing: one for each thing that it is to hear.

    Each comes with the event that must be logged of it, and its data. `silent` is that of a client without a word.
    """

    def action(number: int, words: bytes, event: str, data: Mapping[str, bytes | str | int]) -> Action:
        return Action(f"{name}-{number}", f"{words!r}", lambda c: clients.say(c, port, words, event, data))

    return [action(number, *each) for number, each in enumerate([*said, (b"", silent, expect.SILENT)], 1)]
