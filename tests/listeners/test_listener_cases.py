"""Inputs that real scanners send and that broke other listeners, against the real daemons on the loopback.

The numbers are those of the list of such inputs (1 to 12).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest
from listener_harness import Service, pause, read_until, silent, sip

Serve = Callable[..., Service]

BANNER = b"RFB 003.008\n"


@pytest.mark.parametrize(
    ("broken", "malformed"),
    [
        pytest.param(sip("OPTIONS", "Content-Length: 999"), "length", id="case 1, Content-Length above the body"),
        pytest.param(sip().replace(b"Via: ", b"X-Via: "), "via", id="case 2, no Via"),
    ],
)
def test_a_malformed_datagram_does_not_stop_the_next(serve: Serve, broken: bytes, malformed: str) -> None:
    service = serve("sip")
    client = service.udp_client()
    for data in (broken, sip(), sip(), sip()):
        client.send(data)
    records = service.sink.wait(4)
    assert [r.trusted["malformed"] for r in records] == [malformed, "-", "-", "-"]
    assert {r.values["method"] for r in records} == {'"OPTIONS"'}
    assert {(r.saddr, r.sport) for r in records} == {client.getsockname()}
    assert {(r.daddr, r.dport) for r in records} == {service.udp}


def test_case_3_a_response_gets_no_answer(serve: Serve) -> None:
    service = serve("sip")
    client = service.udp_client()
    client.send(b"SIP/2.0 200 OK")
    client.send(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.7\r\n\r\n")
    assert silent(client)
    client.send(sip())
    records = service.sink.wait(3)
    assert [r.name for r in records] == ["sip.malformed", "sip.malformed", "sip.request"]
    assert records[0].trusted["reason"] == "response"
    assert client.recv(9999).startswith(b"SIP/2.0 200 OK\r\nVia: ")


def test_case_4_lf_only(serve: Serve) -> None:
    service = serve("sip")
    service.udp_client().send(sip(line_end="\n"))
    (found,) = service.sink.wait(1)
    assert found.values["method"] == '"OPTIONS"'
    assert found.values["user_agent"] == '"friendly-scanner"'


def test_case_5_no_final_blank_line(serve: Serve) -> None:
    service = serve("sip")
    client = service.udp_client()
    client.send(sip().rstrip(b"\r\n"))
    (found,) = service.sink.wait(1)
    assert found.values["method"] == '"OPTIONS"'
    assert client.recv(9999).startswith(b"SIP/2.0 200 OK\r\n")


def test_case_6_hostile_user_agents(serve: Serve) -> None:
    service = serve("sip")
    client = service.udp_client()
    hostile = [
        b"\xff\xfe\x00",
        b'x"; saddr: 192.0.2.66; user: root |',
        b"x\rsaddr=192.0.2.66",
        b'" saddr=192.0.2.66 x="',
    ]
    for value in hostile:
        client.send(sip().replace(b"friendly-scanner", value))
    records = service.sink.wait(4)
    assert [r.values["user_agent"] for r in records] == [
        r'"\xff\xfe\x00"',
        r'"x\x22; saddr: 192.0.2.66; user: root |"',
        r'"x\x0dsaddr=192.0.2.66"',
        r'"\x22 saddr=192.0.2.66 x=\x22"',
    ]
    assert {(r.saddr, r.sport) for r in records} == {client.getsockname()}


def test_case_7_three_segments(serve: Serve) -> None:
    service = serve("sip")
    client = service.tcp_client()
    data = sip(transport="TCP")
    first = data.index(b"\r\nMax-Forwards") + 1  # between CR and LF
    second = data.index(b"\r\nCall-ID") + 1
    for segment in (data[:first], data[first:second], data[second:]):
        client.sendall(segment)
        pause()
    service.sink.wait(1)
    client.sendall(sip("REGISTER", transport="TCP"))
    records = service.sink.wait(2)
    assert [r.values["method"] for r in records] == ['"OPTIONS"', '"REGISTER"']
    assert {(r.saddr, r.sport) for r in records} == {client.getsockname()}
    assert {r.trusted["verified"] for r in records} == {"yes"}


def test_case_8_pipelined_and_keep_alive(serve: Serve) -> None:
    service = serve("sip")
    client = service.tcp_client()
    client.sendall(sip() * 3)
    service.sink.wait(3)
    other = service.tcp_client()
    other.sendall(b"\r\n\r\n")
    assert read_until(other, 2) == b"\r\n"
    other.sendall(sip("REGISTER"))
    assert service.sink.wait(4)[3].values["method"] == '"REGISTER"'
    assert other.recv(9999).startswith(b"SIP/2.0 401 Unauthorized\r\n")


@pytest.mark.parametrize("version", ["RFB 003.889", "RFB 004.001", "RFB 005.000", "RFB 003.005"])
def test_case_9_versions(serve: Serve, version: str) -> None:
    service = serve("vnc")
    client = service.tcp_client()
    assert read_until(client, 12) == BANNER
    client.sendall(version.encode() + b"\n")
    if version == "RFB 003.005":
        assert read_until(client, 4) == b"\x00\x00\x00\x02"
    else:
        assert read_until(client, 3) == b"\x02\x02\x01"
        client.sendall(b"\x02")
    challenge = read_until(client, 16)
    client.sendall(b"0123456789abcdef")
    assert read_until(client, 4) == b"\x00\x00\x00\x01"
    records = service.sink.wait(3)
    assert records[0].values["version"] == f'"{version}"'
    assert records[2].trusted["challenge"] == challenge.hex()
    assert records[2].trusted["response"] == b"0123456789abcdef".hex()


def test_case_10_split_segments(serve: Serve) -> None:
    service = serve("vnc")
    client = service.tcp_client()
    client.sendall(b"RFB 00")
    pause()
    client.sendall(b"3.008\n")
    assert read_until(client, 15) == BANNER + b"\x02\x02\x01"
    other = service.tcp_client()
    other.sendall(b"RFB 003.008\n\x02")
    challenge = read_until(other, 31)[15:]
    other.sendall(b"A" * 8)
    pause()
    other.sendall(b"B" * 8)
    assert read_until(other, 29) == b"\x00\x00\x00\x01\x00\x00\x00\x15Authentication failed"
    assert other.recv(1) == b""
    assert service.sink.find(client.getsockname()[1], "vnc.client").values["version"] == '"RFB 003.008"'
    found = service.sink.find(other.getsockname()[1], "vnc.auth")
    assert found.trusted["challenge"] == challenge.hex()
    assert found.trusted["response"] == (b"A" * 8 + b"B" * 8).hex()


def test_case_11_one_idle_client_does_not_stop_sip(serve: Serve) -> None:
    service = serve("sip")
    service.tcp_client()
    client = service.tcp_client()
    client.sendall(sip())
    assert service.sink.find(client.getsockname()[1], "sip.request").values["method"] == '"OPTIONS"'


@pytest.mark.parametrize("per_source", ["64", "8192"])
def test_case_11_850_idle_clients_do_not_stop_vnc(serve: Serve, per_source: str) -> None:
    service = serve("vnc", STRANDLINE_CONNECTIONS_PER_SOURCE=per_source)
    idle = [service.tcp_client() for _ in range(850)]
    began = time.monotonic()
    client = service.tcp_client()
    client.sendall(b"RFB 003.008\n")
    service.sink.find(client.getsockname()[1], "vnc.client")
    assert time.monotonic() - began < 1
    evicted = [r for r in service.sink.records if r.name == "vnc.malformed"]
    assert {r.trusted["reason"] for r in evicted} == {"evicted"}
    assert len(evicted) == 851 - (64 if per_source == "64" else 512)
    assert evicted[0].sport == idle[0].getsockname()[1]


def telnet_login(client: socket.socket, *segments: bytes) -> bytes:
    """Refuse each option, log in, and read up to the next prompt."""
    assert read_until(client, 21) == b"\xff\xfb%\xff\xfb&\xff\xfd\x18\xff\xfd \xff\xfd#\xff\xfd'\xff\xfd$"
    client.sendall(b"\xff\xfc\x18\xff\xfc\x20\xff\xfc\x23\xff\xfc\x27\xff\xfc\x24\xff\xfe\x25\xff\xfe\x26")
    answer = b""
    while not answer.endswith(b" login: "):
        answer += client.recv(4096)
    for segment in segments:
        client.sendall(segment)
        pause()
    client.settimeout(6.0)
    while answer.count(b" login: ") < 2:
        more = client.recv(4096)
        assert more
        answer += more
    return answer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("segments", "user", "password"),
    [
        ((b"root\r\0", b"admin\r\0"), '"root"', '"admin"'),
        ((b"root\r\nadmin\r\n",), '"root"', '"admin"'),
        ((b"ro", b"ot\r", b"\nadm", b"in\n"), '"root"', '"admin"'),
        ((b"r\xc3\xb6\xfe\r\n", b"\x80\xff\xff\r\n"), r'"r\xc3\xb6\xfe"', r'"\x80\xff"'),
    ],
)
def test_case_12_telnet(serve: Serve, segments: tuple[bytes, ...], user: str, password: str) -> None:
    service = serve("telnet", STRANDLINE_HOSTNAME="vm")
    client = service.tcp_client()
    answer = telnet_login(client, *segments)
    assert answer.count(b"\r\nLogin incorrect\r\nvm login: ") == 1
    (found,) = service.sink.wait(1)
    assert (found.values["user"], found.values["password"]) == (user, password)
    assert (found.saddr, found.sport) == client.getsockname()


@pytest.mark.slow
def test_a_failed_login_takes_its_time_and_delays_nobody(serve: Serve) -> None:
    service = serve("telnet")
    clients = [service.tcp_client() for _ in range(60)]
    began = time.monotonic()
    for client in clients:
        client.sendall(b"root\r\nadmin\r\n")
    service.sink.wait(60, 2.0)  # logged before they are answered
    assert time.monotonic() - began < 2
    for client in clients:
        client.settimeout(6.0)
        answer = b""
        while b"Login incorrect" not in answer:
            answer += client.recv(4096)
        assert time.monotonic() - began > 2
    assert time.monotonic() - began < 5


def test_a_telnet_client_that_waits_for_its_prompt_gets_one(serve: Serve) -> None:
    service = serve("telnet", STRANDLINE_HOSTNAME="web1", STRANDLINE_KERNEL="6.1.0-37-amd64")
    client = service.tcp_client()
    answer = b""
    while not answer.endswith(b"\r\nLinux 6.1.0-37-amd64 (127.0.0.1) (pts/0)\r\n\r\nweb1 login: "):
        answer += client.recv(4096)
    client.close()
    assert service.sink.wait(1)[0].trusted["reason"] == "closed"


def test_who_leaves_while_a_failure_takes_its_time_is_forgotten(serve: Serve) -> None:
    service = serve("telnet")
    for _ in range(200):
        client = service.tcp_client()
        client.sendall(b"root\r\nadmin\r\n")
        read_until(client, 30)
        client.close()
    service.sink.wait(200, 5.0)
    pause()
    streams = service.daemon._streams
    assert len(streams) == 0
    assert sum(map(len, streams._wakes.values())) == 0


def test_an_idle_client_is_timed_out_and_a_slow_one_too(serve: Serve) -> None:
    service = serve("sip", STRANDLINE_IDLE_SECONDS="1")
    idle, slow = service.tcp_client(), service.tcp_client()
    data = sip()
    slow.sendall(data[:40])
    for position in range(40, 100, 4):  # always busy, never done
        try:
            slow.sendall(data[position : position + 4])
        except OSError:
            break
        time.sleep(0.1)
    assert service.sink.find(idle.getsockname()[1], "sip.malformed").trusted["reason"] == "timeout"
    assert service.sink.find(slow.getsockname()[1], "sip.request").values["method"] == '"OPTIONS"'
    assert idle.recv(1) == b""


def test_many_requests_in_one_segment_are_all_logged(serve: Serve) -> None:
    service = serve("sip")
    client = service.tcp_client()
    client.sendall(b"A sip:x\n\n" * 5000)
    client.close()
    records = service.sink.wait(5000, 10.0)
    assert {r.values["uri"] for r in records} == {'"sip:x"'}


def test_a_client_that_does_not_read_is_bounded(serve: Serve) -> None:
    service = serve("sip")
    greedy = service.tcp_client()
    greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    greedy.settimeout(0.5)
    with pytest.raises(OSError):  # noqa: PT011 - blocked or reset, both will do
        greedy.sendall(sip() * 20000)
    client = service.tcp_client()
    client.sendall(sip())
    service.sink.find(client.getsockname()[1], "sip.request")


@pytest.mark.slow
def test_answers_wait_for_a_client_that_reads_late(serve: Serve) -> None:
    service = serve("sip")
    client = service.tcp_client()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20.0)
    number = 1500
    sender = threading.Thread(
        target=lambda: client.sendall(
            b"".join(sip(user=str(n)).replace(b"CSeq: 1 ", b"CSeq: %d " % n) for n in range(number))
        )
    )
    sender.start()
    time.sleep(3)
    answers = b""
    while answers.count(b"\r\n\r\n") < number:
        more = client.recv(65536)
        assert more
        answers += more
    sender.join()
    each = answers.split(b"\r\n\r\n")
    assert each.pop() == b""
    for n, answer in enumerate(each):
        assert answer.startswith(b"SIP/2.0 200 OK\r\nVia: ")
        assert b"\r\nCSeq: %d OPTIONS\r\n" % n in answer
        assert answer.count(b"SIP/2.0 200") == 1
    assert [r.values["cseq"] for r in service.sink.wait(number)] == [f'"{n} OPTIONS"' for n in range(number)]


def test_a_nonce_that_comes_back_proves_the_source(serve: Serve) -> None:
    service = serve("sip")
    client = service.udp_client()
    client.send(sip("REGISTER"))
    nonce = client.recv(9999).partition(b'nonce="')[2].partition(b'"')[0].decode()
    client.send(
        sip(
            "REGISTER",
            f'Authorization: Digest username="100", realm="asterisk", nonce="{nonce}", uri="sip:x", response="00"',
        )
    )
    client.send(sip("REGISTER", 'Authorization: Digest username="100", nonce="0000000000000000"'))
    assert [r.trusted["verified"] for r in service.sink.wait(3)] == ["no", "yes", "no"]


def test_stopping_logs_what_is_open(serve: Serve) -> None:
    service = serve("vnc")
    client = service.tcp_client()
    read_until(client, 12)
    client.sendall(b"RFB 0")
    pause()
    service.daemon.loop.stop()
    assert service.sink.find(client.getsockname()[1], "vnc.malformed").values["data"] == '"RFB 0"'


def test_who_is_in_the_middle_of_a_handshake_may_finish_it(serve: Serve) -> None:
    service = serve("vnc")
    client = service.tcp_client()
    read_until(client, 12)
    service.daemon.loop.stop()
    pause()
    client.sendall(b"RFB 003.008\n\x02")
    read_until(client, 19)
    client.sendall(b"0123456789abcdef")
    assert read_until(client, 4) == b"\x00\x00\x00\x01"
    service.sink.find(client.getsockname()[1], "vnc.auth")


def test_a_fault_of_ours_does_not_stop_the_next(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = serve("vnc")
    with monkeypatch.context() as patched:
        patched.setattr("strandline.protocols.vnc.session.negotiated", lambda _: 1 / 0)
        broken = service.tcp_client()
        broken.sendall(b"RFB 003.008\n")
        assert read_until(broken, 99) in (BANNER, b"")
    client = service.tcp_client()
    client.sendall(b"RFB 003.008\n")
    service.sink.find(client.getsockname()[1], "vnc.client")
    assert "ZeroDivisionError" in capsys.readouterr().err


TLS_HELLO = (
    bytes.fromhex("16030100a5010000a10303" + "0a" * 32 + "20" + "0d" * 32 + "00261302130313011303c02cc030")
    + b"\r\n\r\nOPTIONS \x00\xff\x00\x01" * 4
)
"""A ClientHello's beginning with what would be line ends in a text."""

VALID = {"sip": sip("REGISTER", transport="TCP"), "vnc": b"RFB 003.008\n", "telnet": b"root\r\nadmin\r\n"}
UNDERSTOOD = {"sip": "sip.request", "vnc": "vnc.client", "telnet": "telnet.login"}


@pytest.mark.parametrize("protocol", VALID)
@pytest.mark.parametrize(
    ("said", "reasons", "begins"),
    [
        (b"", {"closed"}, '""'),
        (b"GET / HTTP/1.1\r\nHost: 203.0.113.9\r\n\r\n", {"garbage", "foreign"}, r'"GET / HTTP/1.1\x0d\x0a'),
        (TLS_HELLO, {"garbage", "foreign"}, r'"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\x0a'),
    ],
    ids=["nothing", "HTTP", "TLS"],
)
def test_every_connection_leaves_one_trace(
    serve: Serve, protocol: str, said: bytes, reasons: set[str], begins: str
) -> None:
    service = serve(protocol)
    client = service.tcp_client()
    port = client.getsockname()[1]
    client.sendall(said)
    pause()
    client.close()
    (found,) = service.sink.wait(1)
    assert (found.name, found.sport) == (f"{protocol}.malformed", port)
    assert found.trusted["reason"] in reasons
    assert found.values["data"].startswith(begins)
    other = service.tcp_client()
    other.sendall(VALID[protocol])
    assert service.sink.find(other.getsockname()[1], UNDERSTOOD[protocol])
    assert len([record for record in service.sink.records if record.sport == port]) == 1
