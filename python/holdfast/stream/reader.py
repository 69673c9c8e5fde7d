"""Reads what devices have sent, from the logs that workers write, while they write."""

from __future__ import annotations

import heapq
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from holdfast.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ROWS_AT_ONCE = 1_000
LOCK_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One message of one device, as it is kept."""

    log: str
    """Which worker's log holds it."""
    seq: int
    """Its number there; numbers rise, and are never used again."""
    received_at: datetime
    device_id: str
    system_properties: Mapping[str, str | None]
    properties: Mapping[str, str | None]
    payload: bytes

    def record(self) -> dict[str, Any]:
        """As JSON has it: the payload is `payload` if it can be that, else `payload_text` or `payload_base64`."""
        return {
            "log": self.log,
            "seq": self.seq,
            "received_at": self.received_at.isoformat(timespec="milliseconds"),
            "device_id": self.device_id,
            "system_properties": self.system_properties,
            "properties": self.properties,
            **_payload_fields(self.payload),
        }


class Reader:
    """All logs in `directory`, in the order of arrival. `position` is remembered between calls of `read`."""

    def __init__(self, directory: Path, *, device_id: str | None = None) -> None:
        self._directory = directory
        self._device_id = device_id
        self._position: dict[str, int] = {}

    def read(self) -> Iterator[Event]:
        """What has come since the last call.

        Raises:
            ConfigurationError: `no_telemetry`, `telemetry_log_failed`.
        """
        if not self._directory.is_dir():
            message = f"there is no telemetry in {self._directory}"
            raise ConfigurationError("no_telemetry", message, hint="`holdfast serve` writes it there")
        logs = [self._read_log(path) for path in sorted(self._directory.glob("worker-*.db"))]
        for event in heapq.merge(*logs, key=lambda event: event.received_at):
            self._position[event.log] = event.seq
            yield event

    def skip_to_last(self, count: int) -> None:
        """Begin so that each log has at most its last `count` messages left to read."""
        for path in self._directory.glob("worker-*.db"):
            rows = list(
                self._query(path, "SELECT seq FROM messages WHERE seq > ? {} ORDER BY seq DESC LIMIT ?", 0, count + 1)
            )
            if len(rows) > count:
                self._position[path.stem] = rows[count][0]

    def _read_log(self, path: Path) -> Iterator[Event]:
        seq = self._position.get(path.stem, 0)
        statement = (
            "SELECT seq, received_at_ms, device_id, system_properties, properties, payload"
            " FROM messages WHERE seq > ? {} ORDER BY seq LIMIT ?"
        )
        while rows := self._query(path, statement, seq, ROWS_AT_ONCE):
            for seq, received_at_ms, device_id, system_properties, properties, payload in rows:
                yield Event(
                    log=path.stem,
                    seq=seq,
                    received_at=datetime.fromtimestamp(received_at_ms / 1000, UTC),
                    device_id=device_id,
                    system_properties=json.loads(system_properties),
                    properties=json.loads(properties),
                    payload=payload,
                )

    def _query(self, path: Path, statement: str, seq: int, limit: int) -> list[tuple[Any, ...]]:
        wanted = ""
        parameters: tuple[object, ...] = (seq, limit)
        if self._device_id is not None:
            wanted, parameters = "AND device_id = ?", (seq, self._device_id, limit)
        try:
            with closing(
                sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS_MAX)
            ) as log:
                return log.execute(statement.format(wanted), parameters).fetchall()
        except sqlite3.Error as error:
            message = f"cannot read {path}: {error}"
            raise ConfigurationError("telemetry_log_failed", message) from error


def _payload_fields(payload: bytes) -> dict[str, Any]:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        import base64

        return {"payload_base64": base64.b64encode(payload).decode()}
    try:
        fields = {"payload": json.loads(text)}
        # Whoever reads our lines would stumble over what Python takes for JSON and nobody else does, NaN and 1e999; and
        # what can just be read may be nested too deep to be written.
        json.dumps(fields, allow_nan=False)
    except (ValueError, RecursionError):
        return {"payload_text": text}
    return fields
