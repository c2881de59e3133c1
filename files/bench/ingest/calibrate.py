"""What this machine does in a second of the work that the bench measures: run in a collector's container.

    python3 calibrate.py DIRECTORY

Prints, as JSON: PCRE matches of one event's message (libpcre2, which syslog-ng uses), and writes of 8 KiB with fsync to
a file in DIRECTORY (PostgreSQL's own), each in a second; the CPU's model, its clock source, and how long it takes to
read the clock.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path

MESSAGE = (
    b"event=ssh.password saddr=192.0.2.7 sport=51044 daddr=203.0.113.9 dport=22 proto=tcp method=password"
    b' user="root" password="x\\x22y z"'
)
PATTERN = (
    rb"event=ssh\.password saddr=[0-9a-f.:]+ sport=[0-9]{1,5}+ daddr=[0-9a-f.:]+ dport=[0-9]{1,5}+ proto=(?:tcp|udp)"
    rb' method=[A-Za-z0-9_.:+/=-]++ user="(?:[ !#-\[\]-~]|\\x[0-9a-f]{2})*+"'
    rb' password="(?:[ !#-\[\]-~]|\\x[0-9a-f]{2})*+"\z'
)


def matches() -> int:
    """PCRE matches in a second."""
    library = ctypes.CDLL(ctypes.util.find_library("pcre2-8") or "libpcre2-8.so.0")
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    compile_pattern = library.pcre2_compile_8
    compile_pattern.restype = pointer
    compile_pattern.argtypes = [ctypes.c_char_p, size, ctypes.c_uint32, pointer, pointer, pointer]
    error, offset = ctypes.c_int(), size()
    code = compile_pattern(PATTERN, len(PATTERN), 0, ctypes.byref(error), ctypes.byref(offset), None)
    make = library.pcre2_match_data_create_from_pattern_8
    make.restype, make.argtypes = pointer, [pointer, pointer]
    data = make(code, None)
    match = library.pcre2_match_8
    match.argtypes = [pointer, ctypes.c_char_p, size, size, ctypes.c_uint32, pointer, pointer]
    done, end = 0, time.perf_counter() + 1
    while time.perf_counter() < end:
        for _ in range(100):
            if match(code, MESSAGE, len(MESSAGE), 0, 0, data, None) < 0:
                sys.exit("the pattern does not match its message")
        done += 100
    return done


def syncs(directory: str) -> int:
    """Writes with fsync in a second."""
    done = 0
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        end = time.perf_counter() + 1
        while time.perf_counter() < end:
            os.pwrite(file.fileno(), b"\0" * 8192, 0)
            os.fsync(file.fileno())
            done += 1
    return done


def clock_reading() -> float:
    """Nanoseconds that it takes to read the clock."""
    begun = time.perf_counter()
    for _ in range(100_000):
        time.clock_gettime(time.CLOCK_REALTIME)
    return (time.perf_counter() - begun) * 1e4


def main() -> None:
    """Measure, one after the other."""
    model, source = "", ""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    with contextlib.suppress(OSError):
        source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text().strip()
    found = {
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "clock": source,
        "clock_read_ns": round(clock_reading()),
        "pcre_matches_per_s": matches(),
        "fsyncs_per_s": syncs(sys.argv[1]),
    }
    json.dump(found, sys.stdout)


main()
