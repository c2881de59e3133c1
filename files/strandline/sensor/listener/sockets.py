"""Sockets from systemd, and datagrams with the address they were sent to.

asyncio and `recvfrom` hide the destination; a sensor has several addresses, so `recvmsg` asks the kernel for it
(IP_PKTINFO of ip(7), IPV6_RECVPKTINFO of RFC 3542, section 6), and replies leave from that same address.
"""

from __future__ import annotations

import os
import socket
import struct

from ...event.line import Flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    Address = tuple[Any, ...]
    Destination = tuple[str, bool, list[tuple[int, int, bytes]]]

LISTEN_FDS_START = 3
"""The first handed-over file descriptor (sd_listen_fds(3))."""

_IP_PKTINFO = 8  # <linux/in.h>; Python has no name for it before 3.14
_SO_RXQ_OVFL = 40  # <asm-generic/socket.h>: datagrams that the kernel dropped because the queue was full
_IP_TRANSPARENT, _IP_ORIGDSTADDR = 19, 20  # <linux/in.h>
_IPV6_ORIGDSTADDR = 74  # <linux/in6.h>
_IN_PKTINFO = struct.Struct("=I4s4s")  # interface, address of ours to reply from, destination in the header
_IN6_PKTINFO = struct.Struct("=16sI")  # destination in the header, interface
_COUNTER = struct.Struct("=I")
_MAPPED = "::ffff:"
_UNKNOWN: Destination = ("-", False, [])
_DESTINATIONS_MAX = 64
"""Destinations whose control messages are remembered as they are read; a sensor has a few addresses."""
_SOCKADDR, _SOCKADDR6 = 16, 28  # bytes of a socket address
_ANCILLARY = sum(
    socket.CMSG_SPACE(size) for size in (_IN_PKTINFO.size, _IN6_PKTINFO.size, _COUNTER.size, _SOCKADDR, _SOCKADDR6)
)


def plain_address(address: str) -> str:
    """The address without scope, an IPv4-mapped one (RFC 4291, section 2.5.5.2) as IPv4."""
    address = address.partition("%")[0]
    if address.startswith(_MAPPED) and "." in address:
        return address[len(_MAPPED) :]
    return address


def source_prefix(address: str, bits4: int, bits6: int) -> bytes:
    """The network that an address of text belongs to, as a key for limits: bits4 of IPv4, bits6 of IPv6 (multiples
    of 8)."""
    family, bits = (socket.AF_INET6, bits6) if ":" in address else (socket.AF_INET, bits4)
    return socket.inet_pton(family, address)[: bits // 8]


def listen_sockets(environment: MutableMapping[str, str], pid: int) -> list[socket.socket]:
    """The sockets that systemd handed over, none when it handed over none (sd_listen_fds(3)); clears the variables."""
    theirs = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "0")
    environment.pop("LISTEN_FDNAMES", None)
    if theirs != str(pid) or not count.isdigit():
        return []
    sockets = []
    for descriptor in range(LISTEN_FDS_START, LISTEN_FDS_START + int(count)):
        os.set_inheritable(descriptor, False)
        handed = socket.socket(fileno=descriptor)
        handed.setblocking(False)
        sockets.append(handed)
    return sockets


class Datagram:
    """What came: its bytes, who sent it to whom, and how to reply; `unicast` is false for broadcast and multicast."""

    __slots__ = ("data", "flow", "peer", "reply_from", "unicast")

    def __init__(
        self, data: bytes, flow: Flow, peer: Address, reply_from: list[tuple[int, int, bytes]], unicast: bool
    ) -> None:
        self.data, self.flow, self.peer, self.reply_from, self.unicast = data, flow, peer, reply_from, unicast


class PacketPort:
    """A raw IPv4 socket for all packets of a protocol without ports (raw(7)). It never replies.

    The kernel has checked each packet's IPv4 header, and put its fragments together.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.kernel_drops = 0
        """As a DatagramPort's."""
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        self._buffer = bytearray(65536)
        self._view = memoryview(self._buffer)

    def receive(self) -> Datagram | None:
        """What the next packet carries behind its IPv4 header (RFC 791, section 3.1); None when nothing waits."""
        try:
            size, ancillary, _, _ = self.socket.recvmsg_into([self._buffer], socket.CMSG_SPACE(_COUNTER.size))
        except OSError:
            return None
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL and len(data) >= _COUNTER.size:
                (self.kernel_drops,) = _COUNTER.unpack_from(data)
        saddr, daddr = (socket.inet_ntop(socket.AF_INET, self._view[at : at + 4]) for at in (12, 16))
        begin = 4 * (self._buffer[0] & 0x0F)
        flow = Flow(saddr, 0, daddr, 0, "ipv6")
        return Datagram(bytes(self._view[begin:size]), flow, (saddr, 0), [], False)

    def reply(self, to: Datagram, data: bytes) -> bool:  # noqa: ARG002 - as a DatagramPort has it
        """Never."""
        return False


class DatagramPort:
    """A bound UDP socket, IPv4, IPv6 or both."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.kernel_drops = 0
        """Datagrams that the kernel dropped at this socket since it was made (32 bits, may wrap)."""
        sock.setblocking(False)
        # On a dual-stack socket IPv4 datagrams bring IPv4's structure.
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        if sock.getsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT):
            # The firewall leads other ports here, too: which one it was is told with each datagram.
            sock.setsockopt(socket.IPPROTO_IP, _IP_ORIGDSTADDR, 1)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_ORIGDSTADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        self._buffer = bytearray(65536)
        self._view = memoryview(self._buffer)
        self._port: int = sock.getsockname()[1]
        self._destinations: dict[bytes, Destination] = {}

    def receive(self) -> Datagram | None:
        """The next datagram; None when nothing waits (or the kernel could not hand it over: the event loop comes
        again)."""
        try:
            size, ancillary, _, peer = self.socket.recvmsg_into([self._buffer], _ANCILLARY)
        except OSError:
            return None
        daddr, unicast, reply_from = _UNKNOWN
        port = self._port
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET:
                if kind == _SO_RXQ_OVFL and len(data) >= _COUNTER.size:
                    (self.kernel_drops,) = _COUNTER.unpack_from(data)
            elif kind in (_IP_ORIGDSTADDR, _IPV6_ORIGDSTADDR):
                port = int.from_bytes(data[2:4], "big")  # family, port, address
            elif daddr == "-" or level == socket.IPPROTO_IP:
                daddr, unicast, reply_from = self._destinations.get(data) or self._destination(level, kind, data)
        saddr = peer[0]
        flow = Flow(plain_address(saddr) if ":" in saddr else saddr, peer[1], daddr, port, "udp")
        return Datagram(bytes(self._view[:size]), flow, peer, reply_from, unicast)

    def _destination(self, level: int, kind: int, data: bytes) -> Destination:
        """What a control message says of the destination: its address, whether it is one host's, and the control
        message of a reply from it."""
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(data) >= _IN_PKTINFO.size:
            _, ours, header = _IN_PKTINFO.unpack_from(data)
            # Without the interface: the route decides, the address stays ours.
            back = [(level, kind, _IN_PKTINFO.pack(0, ours, bytes(4)))]
            found = socket.inet_ntop(socket.AF_INET, header), ours == header, back
        elif level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) >= _IN6_PKTINFO.size:
            header, interface = _IN6_PKTINFO.unpack_from(data)
            link_local = header[0] == 0xFE and header[1] & 0xC0 == 0x80
            back = [(level, kind, _IN6_PKTINFO.pack(header, interface if link_local else 0))]
            found = plain_address(socket.inet_ntop(socket.AF_INET6, header)), header[0] != 0xFF, back
        else:
            return _UNKNOWN
        # The two kinds differ in length, so that the bytes alone are the key.
        if len(self._destinations) >= _DESTINATIONS_MAX:
            self._destinations.clear()
        self._destinations[data] = found
        return found

    def reply(self, to: Datagram, data: bytes) -> bool:
        """Send to the datagram's sender from the address it was sent to; false when the kernel would not."""
        if not to.unicast:
            return False
        try:
            self.socket.sendmsg([data], to.reply_from, 0, to.peer)
        except OSError:
            return False
        return True
