"""What left the scanner and what came back, from the kernel's packet tap: what no client tells us.

OpenSSH's ssh, nmap and sipvicious do not say which source port they used or how often they sent again. A packet socket
(packet(7)) on all interfaces sees every packet with the kernel's own time stamp. Packets are sorted into flows by the
sensor address; the actions at one address are played one after another, so the flows seen meanwhile are the action's.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

ETH_P_ALL = 0x0003
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
PACKET_STATISTICS = 6
TCP, UDP, IPV6 = 6, 17, 41
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


@dataclass
class Stream:
    """One direction of a TCP connection, put together from its segments (RFC 9293, section 3.4)."""

    start: int | None = None
    """Sequence number of the first byte."""
    segments: dict[int, bytes] = field(default_factory=dict)

    def add(self, seq: int, data: bytes) -> None:
        """Keep a segment; of two at the same place the longer one stays."""
        if self.start is None or not data:
            return
        offset = (seq - self.start) & 0xFFFFFFFF
        if offset < 1 << 31 and len(self.segments.get(offset, b"")) < len(data):
            self.segments[offset] = data

    def data(self) -> bytes:
        """The bytes from the beginning to the first gap."""
        whole = bytearray()
        for offset in sorted(self.segments):
            if offset > len(whole):
                break
            whole += self.segments[offset][len(whole) - offset :]
        return bytes(whole)


@dataclass
class Datagram:
    """One UDP datagram, or what one packet of IPv6 in IPv4 carries; `time` in ns since the epoch, `sent` when it left
    the scanner."""

    time: int
    sent: bool
    payload: bytes


@dataclass
class Flow:
    """A TCP connection, the datagrams between two UDP endpoints, or the packets of IPv6 in IPv4 between two addresses,
    where both ports are 0. Times in ns since the epoch, UTC."""

    proto: str
    saddr: str
    sport: int
    daddr: str
    dport: int
    first: int
    last: int
    bytes: int = 0
    established: bool = False
    """TCP: our side finished the handshake, so the sensor's kernel has a connection to accept."""
    sent: Stream = field(default_factory=Stream)
    received: Stream = field(default_factory=Stream)
    datagrams: list[Datagram] = field(default_factory=list)
    fragmented: bool = False


Key = tuple[str, str, int, str, int]


class Capture:
    """Collects flows between our source addresses and the sensors' addresses until it is closed.

    Raises PermissionError without CAP_NET_RAW.
    """

    def __init__(self, sources: Iterable[str], destinations: Iterable[str]) -> None:
        self._sources = frozenset(sources)
        self._flows: dict[str, dict[Key, list[Flow]]] = {d: {} for d in destinations}
        self._lock = threading.Lock()
        self._seen = 0
        self._stop = threading.Event()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(ETH_P_ALL))
        self._socket.settimeout(0.2)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        with contextlib.suppress(PermissionError):  # the default size is enough for a calm machine; drops are counted
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def take(self, destination: str) -> list[Flow]:
        """The flows to this sensor address since the last call, by the time of their first packet."""
        with self._lock:
            taken = [flow for flows in self._flows[destination].values() for flow in flows]
            self._flows[destination] = {}
        return sorted(taken, key=lambda flow: flow.first)

    def close(self) -> int:
        """Stop, and return how many packets the kernel dropped because we were too slow."""
        self._stop.set()
        self._thread.join()
        statistics = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self._socket.close()
        return int(struct.unpack("=II", statistics)[1])

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                packet, ancillary, _, address = self._socket.recvmsg(1 << 17, 64)
            except TimeoutError:
                continue
            seconds, nanoseconds = next(
                (struct.unpack("=qq", data[:16]) for _, kind, data in ancillary if kind == SO_TIMESTAMPNS), (0, 0)
            )
            with self._lock:
                self.packet(packet, seconds * 1_000_000_000 + nanoseconds, address[2] == socket.PACKET_OUTGOING)

    def packet(self, packet: bytes, time: int, outgoing: bool) -> None:
        """Sort one IPv4 packet (RFC 791) into its flow."""
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return
        source, destination = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        if outgoing and source in self._sources and destination in self._flows:
            near, far = source, destination
        elif not outgoing and destination in self._sources and source in self._flows:
            near, far = destination, source
        else:
            return
        header, total = (packet[0] & 15) * 4, struct.unpack_from("!H", packet, 2)[0]
        fragment = struct.unpack_from("!H", packet, 6)[0]
        protocol, body = packet[9], packet[header:total]
        if fragment & 0x1FFF:
            return  # a later fragment; the first one marks the flow
        if protocol == IPV6:
            self._datagram(("ipv6", near, 0, far, 0), body, time, outgoing, bool(fragment & 0x2000))
            return
        if len(body) < 8:
            return
        ports = struct.unpack_from("!HH", body)
        sport, dport = ports if outgoing else ports[::-1]
        if protocol == UDP:
            self._datagram(("udp", near, sport, far, dport), body[8:], time, outgoing, bool(fragment & 0x2000))
        elif protocol == TCP and len(body) >= 20:
            self._segment(("tcp", near, sport, far, dport), body, time, outgoing)

    def _datagram(self, key: Key, payload: bytes, time: int, outgoing: bool, fragmented: bool) -> None:
        flow = self._flow(key, time, outgoing)
        if flow:
            flow.fragmented |= fragmented
            flow.datagrams.append(Datagram(time, outgoing, payload))
            flow.bytes += len(payload) if outgoing else 0
            flow.last = time

    def _flow(self, key: Key, time: int, begins: bool) -> Flow | None:
        flows = self._flows[key[3]].setdefault(key, [])
        if not flows and begins:
            flows.append(Flow(*key, first=time, last=time))
        return flows[-1] if flows else None

    def _segment(self, key: Key, body: bytes, time: int, outgoing: bool) -> None:
        seq, _, offset, flags = struct.unpack_from("!IIBB", body, 4)
        data = body[(offset >> 4) * 4 :]
        if outgoing and flags & SYN:
            flows = self._flows[key[3]].setdefault(key, [])
            if not flows or flows[-1].sent.start != (seq + 1) & 0xFFFFFFFF:  # not the same SYN sent again
                flows.append(Flow(*key, first=time, last=time, sent=Stream((seq + 1) & 0xFFFFFFFF)))
            return
        flow = self._flow(key, time, begins=False)
        if not flow:
            return  # the tail of a connection that an earlier action made
        flow.last = time
        if not outgoing:
            if flags & SYN:
                flow.received.start = (seq + 1) & 0xFFFFFFFF
            flow.received.add(seq, data)
            return
        flow.established |= bool(flags & ACK) and not flags & RST and flow.received.start is not None
        flow.bytes += len(data)
        flow.sent.add(seq, data)
