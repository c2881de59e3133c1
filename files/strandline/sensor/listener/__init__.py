"""Strandline's passive listeners: they answer just enough to learn what the other side wants, and write one line per
event.

Parsing and protocol (protocols/) are pure: bytes in, bytes and events out. streams.py and datagrams.py hold the
sockets, the deadlines and the limits; writer.py brings the events to the sensor's syslog-ng. Standard library only, and
of that only what is light: a sensor has 256 MB. `typing` (0.5 MB), `dataclasses` (2 MB), `asyncio` (7 MB) and OpenSSL
by way of `hashlib` (1.8 MB) stay out.
"""
