"""x509-limbo's cases as questions that any verifier can be asked. The data lies elsewhere."""

from __future__ import annotations

import base64
import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..support.peers import Question

# Cases without a time hold at any: their certificates run from 1970 to 2969.
PRESENT = datetime(2026, 11, 23, tzinfo=UTC)
SUITES = {"core": "limbo-dev.json.gz", "client": "limbo-client-dev.json.gz", "bettertls": "limbo-bettertls-dev.json.gz"}


def directory() -> Path | None:
    """Where the data lies, if anywhere: `HOLDFAST_VECTORS`."""
    named = os.environ.get("HOLDFAST_VECTORS")
    return Path(named) if named else None


def cases(suite: str) -> list[dict[str, Any]]:
    """The cases of a suite, or none where there is no data."""
    found = directory()
    if found is None:
        return []
    with gzip.open(found / SUITES[suite]) as file:
        listed: list[dict[str, Any]] = json.load(file)["testcases"]
    return listed


def der(pem: str) -> bytes:
    """The one block of a PEM text."""
    return base64.b64decode("".join(line for line in pem.split("\n") if not line.startswith("-----")))


def question(case: dict[str, Any], present: datetime = PRESENT) -> Question:
    """What a case asks."""
    return Question(
        chain=[der(pem) for pem in (case["peer_certificate"], *case["untrusted_intermediates"])],
        roots=[der(pem) for pem in case["trusted_certs"]],
        at=present if case["validation_time"] is None else datetime.fromisoformat(case["validation_time"]),
        server_name=case["expected_peer_name"]["value"] if case["validation_kind"] == "SERVER" else None,
        max_intermediates=case["max_chain_depth"],
        crls=tuple(map(der, case["crls"])),
    )


def result(reason: str | None) -> str:
    """Limbo's word for an answer."""
    return "SUCCESS" if reason is None else "FAILURE"


def namespace(case_id: str) -> str:
    """The part of an id that counts are kept by."""
    parts = case_id.removeprefix("client::").split("::")
    return "::".join(parts[:-1])
