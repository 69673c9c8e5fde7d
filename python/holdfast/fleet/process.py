"""One process of a run: `python -P -m holdfast.fleet.process`. A job as a line of JSON in, snapshots as lines out.

It stops when it is told to (another line), and when whoever started it is gone (the end of its input).
"""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from holdfast._holdfast import FleetRun
from holdfast.errors import HoldfastError
from holdfast.files import take_all_descriptors

if TYPE_CHECKING:
    from collections.abc import Mapping

REPORT_SECONDS = 0.25
READ_BYTES = 1 << 16


def main() -> None:
    """Play the part that the first line of the input describes."""
    # A Ctrl-C reaches the whole group; whoever started this process decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    take_all_descriptors()
    job = json.loads(_read_line())
    key = job["issuer_key"]
    try:
        run = FleetRun(job["devices"], job["plan"], issuer_key=key and base64.b64decode(key))
        stopping = threading.Event()
        threading.Thread(target=_listen, args=(stopping,), daemon=True).start()
        while not run.finished:
            if stopping.wait(REPORT_SECONDS):
                run.stop()
                break
            _say(run.snapshot())
        run.join()
        _say(run.snapshot())
    except HoldfastError as error:
        _say({"error": error.code, "message": error.message})
        sys.exit(1)


def _read_line() -> bytes:
    """The next line of the input, past Python's buffer: a thread that waits inside of that cannot be left behind."""
    line = b""
    while not line.endswith(b"\n") and (octets := os.read(sys.stdin.fileno(), READ_BYTES)):
        line += octets
    return line


def _listen(stopping: threading.Event) -> None:
    _read_line()
    stopping.set()


def _say(record: Mapping[str, Any]) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({**record, "cpu_seconds": used.ru_utime + used.ru_stime}), flush=True)  # noqa: T201 (its output)


if __name__ == "__main__":
    main()
