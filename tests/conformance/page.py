"""`docs/conformance.md`: counts beside other verifiers', and every difference with its reason."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..support.peers import Webpki, openssl, ours, pyca, versions
from . import limbo, pkits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DOCS = ROOT / "docs" / "conformance.md"
# What others answer, as measured by `python -m tests.conformance`: it takes minutes, and depends on their versions.
PEERS = HERE / "peers.json"
Counts = dict[str, list[int]]
SUITES = {
    "core": "x509-limbo, the dev part of its core",
    "client": "The same cases as clients' chains",
    "bettertls": "BetterTLS",
}
INTRODUCTION = """\
# Conformance

What public test suites say of holdfast, and of others that were asked the same. Ours is counted again by each run of
the tests, and a change on either side fails them: `tests/conformance`, `rust/engine/tests/wycheproof.rs`.
`python -m tests.conformance` asks all the others anew and makes this page.

A figure reads *right of asked*, and after it how many invalid chains were accepted, which is the figure that matters.
Nobody is asked what they have no way to be asked: `cryptography` about revocation, rustls-webpki (as called here) about
revocation and the number of intermediates. Others are called as their manuals say, with nothing relaxed; a refusal for
a wrong reason counts as right for them, while each of ours is held to a code.
"""
ALGORITHMS = {
    "Ecdsa": "ECDSA on P-256, P-384, P-521",
    "Ed25519": "Ed25519",
    "Rsa2": "RSA PKCS #1 v1.5, 2048",
    "Rsa3": "RSA PKCS #1 v1.5, 3072",
    "Rsa4": "RSA PKCS #1 v1.5, 4096",
    "RsaPss": "RSA-PSS",
    "MlDsa": "ML-DSA-44, -65, -87",
}


def count(suite: str, answer: Callable[[Any], str | None], *, crls: bool, depths: bool) -> Counts:
    """Per namespace: right answers, questions asked, invalid chains accepted."""
    counts: Counts = defaultdict(lambda: [0, 0, 0])
    for case in limbo.cases(suite):
        question = limbo.question(case)
        if (question.crls and not crls) or (question.max_intermediates is not None and not depths):
            continue
        said = limbo.result(answer(question))
        right = said == case["expected_result"]
        tally = counts[limbo.namespace(case["id"])]
        tally[0] += right
        tally[1] += 1
        tally[2] += not right and said == "SUCCESS"
    return dict(counts)


def count_ours(suite: str) -> Counts:
    return count(suite, ours, crls=True, depths=True)


def measure() -> None:
    """Asks the others, and keeps what they say in `peers.json`."""
    webpki = Webpki()
    found = {
        suite: {
            "cryptography": count(suite, pyca, crls=False, depths=True),
            "OpenSSL": count(suite, openssl, crls=True, depths=True),
            "rustls-webpki": count(suite, webpki, crls=False, depths=False),
        }
        for suite in SUITES
    }
    webpki.close()
    PEERS.write_text(json.dumps({"versions": versions(), "counts": found}, indent=1) + "\n")


def cell(counts: list[int]) -> str:
    right, asked, accepted = counts
    return "–" if not asked else f"{right} of {asked}" + (f" ({accepted})" if accepted else "")


def total(counts: Counts) -> list[int]:
    return [sum(column) for column in zip(*counts.values(), strict=True)]


def limbo_tables() -> Iterator[str]:
    peers = json.loads(PEERS.read_text())
    for suite, title in SUITES.items():
        columns = {"holdfast": count_ours(suite), **peers["counts"][suite]}
        heads = [f"{name} {peers['versions'].get(name, '')}".strip() for name in columns]
        yield from ("", f"## {title}", "", f"| namespace | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|")
        for namespace in sorted(columns["holdfast"]):
            cells = (cell(counts.get(namespace, [0, 0, 0])) for counts in columns.values())
            yield f"| {namespace} | {' | '.join(cells)} |"
        yield f"| **all** | {' | '.join(cell(total(counts)) for counts in columns.values())} |"


def differences(title: str, listed: dict[str, dict[str, str]], words: dict[str, str]) -> Iterator[str]:
    yield from ("", title, "", "| test | expected | ours | why |", "|---|---|---|---|")
    for name, row in listed.items():
        yield f"| {name} | {words[row['expected']]} | {words[row['actual']]} | {row['reason']} |"


def pkits_table() -> Iterator[str]:
    known = json.loads((HERE / "pkits-differences.json").read_text())
    stricter = json.loads((HERE / "pkits-stricter.json").read_text())
    tests = pkits.tests()
    sections = dict.fromkeys(test.section for test in tests)
    yield from ("", "## NIST PKITS", "")
    yield "RFC 5280's validation (§6), which the suite tests, and the default, which also asks what §4 asks of issuers."
    yield from ("", "| section | tests | §6 | default |", "|---|---|---|---|")
    for section in sections:
        members = [test.id for test in tests if test.section == section]
        right = len([one for one in members if one not in known])
        default = len([one for one in members if one not in known and one not in stricter])
        yield f"| {section} | {len(members)} | {right} | {default} |"
    right = len(tests) - len(known)
    yield f"| **all** | {len(tests)} | {right} | {right - len(stricter)} |"
    yield from differences("Under §6 these differ:", known, {"True": "valid", "False": "refused"})
    yield ""
    reasons = ", ".join(f"`{code}` {number}" for code, number in Counter(stricter.values()).most_common())
    yield f"The default refuses {len(stricter)} valid paths more: {reasons}. Neither accepts an invalid path."


def wycheproof_table() -> Iterator[str]:
    rows = re.findall(r'\("(\w+)", (\d+), (\d+)\)', (ROOT / "rust" / "engine" / "tests" / "wycheproof.rs").read_text())
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, tests, accepted in rows:
        title = max((prefix for prefix in ALGORITHMS if name.startswith(prefix)), key=len)
        sums[title][0] += int(tests)
        sums[title][1] += int(accepted)
    yield from ("", "## Wycheproof", "")
    yield "Through the code that checks certificates. Wrong verdicts: 0. Everything out of scope is refused."
    yield from ("", "| algorithm | tests | accepted |", "|---|---|---|")
    for prefix, title in ALGORITHMS.items():
        yield f"| {title} | {sums[prefix][0]:,} | {sums[prefix][1]:,} |"
    yield f"| **all** | {sum(one for one, _ in sums.values()):,} | {sum(two for _, two in sums.values()):,} |"


def page() -> str:
    known = json.loads((HERE / "limbo-differences.json").read_text())
    words = {"SUCCESS": "accepted", "FAILURE": "refused"}
    lines = [
        INTRODUCTION.rstrip(),
        *limbo_tables(),
        *differences("## Where we differ from x509-limbo", known, words),
        *pkits_table(),
        *wycheproof_table(),
    ]
    return "\n".join([*lines, ""])
