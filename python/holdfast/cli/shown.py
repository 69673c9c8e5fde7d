"""How certificates and verdicts look: records for programs, and the same as a sheet for people."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast._holdfast import Certificate
from holdfast.cli.output import is_fancy
from holdfast.cli.text import printable
from holdfast.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from holdfast._holdfast import Explanation, Finding

# Where output goes to a file or another program nobody sees where a line would fold.
PLAIN_WIDTH: Final = 160
GOOD, BAD, DIM, HEAD, LABEL = "green", "bold red", "dim", "bold", "cyan"


def certificate_record(der: bytes, at: datetime) -> dict[str, Any]:
    """What one certificate says, or why it cannot be read."""
    try:
        read = Certificate(der)
    except VerificationError as error:
        return {"code": error.code, "message": error.message, "mend": error.hint}
    return {
        "code": None,
        "subject": read.subject,
        "issuer": read.issuer,
        "self_issued": read.self_issued,
        "serial_number": read.serial_number,
        "not_before": read.not_before.isoformat(),
        "not_after": read.not_after.isoformat(),
        "in_date": read.not_before <= at <= read.not_after,
        "days_left": (read.not_after - at).days,
        "role": _role(read),
        "device_id": _or_refusal(lambda: read.device_id)[0],
        "public_key": _named(lambda: read.public_key_algorithm),
        "signature": _named(lambda: read.signature_algorithm),
        "fingerprint": read.fingerprint,
        "spki_sha256": read.spki_sha256,
        "extensions": [
            {"name": name, "critical": critical, "value": value} for name, critical, value in read.extensions
        ],
    }


def verdict_record(explanation: Explanation, chain: Sequence[bytes], anchors: Sequence[bytes]) -> dict[str, Any]:
    """What came of a chain: the verdict, and every rule of every certificate of the path it is about."""
    # Asked for once: each answer is made anew, and as long as the chain, which may be a bag of a hundred thousand.
    outcome, presented, findings = explanation.outcome, explanation.presented, explanation.findings
    ders = [chain[index] for index in presented]
    if explanation.anchor is not None:
        ders.append(anchors[explanation.anchor])
    found_at: dict[int, list[Finding]] = defaultdict(list)
    for finding in findings:
        found_at[finding.position].append(finding)
    path = []
    for position, der in enumerate(ders):
        rules = [
            {
                "rule": finding.rule,
                "section": finding.section,
                "wanted": finding.wanted,
                "kept": finding.code is None,
                "code": finding.code,
                "found": finding.found,
                "mend": finding.mend,
                "refusing": finding.refusing,
            }
            for finding in found_at[position]
        ]
        role = "end entity" if position == 0 else "intermediate" if position < len(presented) else "anchor"
        path.append({"position": position, "role": role, **_identity(der), "rules": rules})
    refusing = next((finding for finding in findings if finding.refusing), None)
    return {
        "accepted": outcome.ok,
        "code": outcome.code,
        "position": outcome.position,
        "rule": refusing.rule if refusing else None,
        "section": refusing.section if refusing else _mend_of(outcome.code)[0],
        "found": outcome.message,
        "wanted": refusing.wanted if refusing else None,
        "mend": refusing.mend if refusing else _mend_of(outcome.code)[1],
        "common_name": outcome.path.common_name if outcome.path else None,
        "not_after": outcome.path.not_after.isoformat() if outcome.path else None,
        "path": path,
        "not_used": len(chain) - len(presented),
    }


def _identity(der: bytes) -> dict[str, Any]:
    try:
        read = Certificate(der)
    except VerificationError:
        return {"subject": None, "issuer": None, "fingerprint": None, "spki_sha256": None}
    return {
        "subject": read.subject or "(no name)",
        "issuer": read.issuer,
        "fingerprint": read.fingerprint,
        "spki_sha256": read.spki_sha256,
    }


def _mend_of(code: str | None) -> tuple[str | None, str | None]:
    from holdfast._holdfast import mends

    return next(((section, mend) for known, section, mend in mends() if known == code), (None, None))


def _or_refusal(ask: Any) -> tuple[str | None, str | None]:  # noqa: ANN401
    try:
        return ask(), None
    except VerificationError as error:
        return None, error.code


def _named(ask: Any) -> str:  # noqa: ANN401
    value, code = _or_refusal(ask)
    return value or str(code)


def _role(read: Certificate) -> str:
    try:
        is_ca, path_len = read.is_ca, read.path_len
    except VerificationError as error:
        return error.code
    if not is_ca:
        return "end entity"
    kind = "root CA" if read.self_issued else "intermediate CA"
    return kind if path_len is None else f"{kind}, path length {path_len}"


class Sheet:
    """Writes to stdout: in colour on a terminal, plain elsewhere."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() else PLAIN_WIDTH
        self._console = Console(highlight=False, markup=False, emoji=False, width=width)
        fancy = is_fancy(self._console.encoding)
        self._good, self._bad, self._line, self._dot = ("✓", "✗", "│", " · ") if fancy else ("ok", "NO", "|", ", ")

    # ── certificates ───────────────────────────────────────────────────────────────────────────────────────────────

    def certificates(self, file: str, records: Sequence[dict[str, Any]]) -> None:
        """Every certificate of one file."""
        self._print(Text(printable(file), HEAD))
        for place, record in enumerate(records):
            self._print()
            if record["code"]:
                self._unreadable(place, record)
            else:
                self._certificate(place, record)
        self._print()

    def _unreadable(self, place: int, record: dict[str, Any]) -> None:
        self._print(self._heading(place, Text("cannot be read", BAD)))
        fields = {"code": record["code"], "found": record["message"], "mend": record["mend"]}
        self._print(self._fields(fields))

    def _certificate(self, place: int, record: dict[str, Any]) -> None:
        self._print(self._heading(place, Text(record["subject"] or "(no name)", HEAD)))
        begin, end = (record[name].replace("T", " ").removesuffix("+00:00") for name in ("not_before", "not_after"))
        days = record["days_left"]
        if record["in_date"]:
            left = Text(f"{days} days left", GOOD)
        else:
            left = Text(f"ended {-days} days ago" if days < 0 else "not yet", BAD)
        fields: dict[str, str | Text] = {
            "issuer": "itself" if record["self_issued"] else record["issuer"],
            "role": record["role"],
            "device id": record["device_id"] or "none" if record["role"] == "end entity" else "",
            "serial": record["serial_number"],
            "valid": Text(f"{begin} to {end} UTC  ") + left,
            "key": record["public_key"],
            "signature": record["signature"],
            "sha256": record["fingerprint"],
            "key sha256": record["spki_sha256"],
        }
        self._print(self._fields(fields))
        shown = {
            one["name"]: Text("critical  " if one["critical"] else "", DIM).append(one["value"], "not dim")
            for one in record["extensions"]
        }
        self._print(self._fields(shown))

    # ── verdicts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def verdict(self, file: str, record: dict[str, Any]) -> None:
        """The verdict on one chain, and what led to it."""
        head = Text(printable(file) + "  ", HEAD)
        head.append("accepted" if record["accepted"] else "refused", GOOD if record["accepted"] else BAD)
        self._print(head)
        self._print()
        table = self._grid(3)
        for one in record["path"]:
            self._step(table, one, record)
        self._print(table)
        if record["accepted"]:
            fields = {"device": record["common_name"], "good until": record["not_after"].replace("T", " ")}
        else:
            fields = self._why(record)
        if record["not_used"] and record["path"]:
            fields["not used"] = f"{record['not_used']} more that were presented"
        self._print()
        self._print(self._fields(fields))
        self._print()

    def _step(self, table: Table, one: dict[str, Any], record: dict[str, Any]) -> None:
        refused = one["position"] == record["position"] and not record["accepted"]
        broken = [rule for rule in one["rules"] if not rule["kept"]]
        mark = Text(self._bad, BAD) if refused or broken else Text(self._good if one["rules"] else " ", GOOD)
        name = Text(one["subject"] or "(cannot be read)", BAD if refused else HEAD)
        last = one is record["path"][-1]
        name.append(f"  {one['role']}", "not bold dim")
        table.add_row(Text(str(one["position"]), DIM), mark, name)
        line = Text("" if last else self._line, DIM)
        for rule in broken:
            text = Text(f"{self._bad} {rule['rule']}", BAD)
            text.append(f"  {rule['found']}", "not bold")
            text.append(f"  {rule['section']}", "not bold dim")
            if rule["refusing"]:
                text.append("  refused by this", "not dim")
            self._add_wrapped(table, line, text)
        kept = [rule["rule"] for rule in one["rules"] if rule["kept"]]
        if kept:
            self._add_wrapped(table, line, Text(f"{self._good} {self._dot.join(kept)}", DIM))
        if not last:
            table.add_row("", line, "")

    def _add_wrapped(self, table: Table, line: Text, text: Text) -> None:
        """Folded here, so that the line at its side has no gaps."""
        for number, part in enumerate(text.wrap(self._console, self._console.width - 12)):
            part.rstrip()
            table.add_row("", line, part if number == 0 else Text("  ").append_text(part))

    def _why(self, record: dict[str, Any]) -> dict[str, str | Text]:
        at = next((one for one in record["path"] if one["position"] == record["position"]), None)
        fields: dict[str, str | Text] = {"refused as": Text(record["code"], BAD)}
        if at is not None:
            fields["certificate"] = f"{at['position']}, {at['subject'] or '(cannot be read)'}"
            fields["sha256"] = at["fingerprint"] or ""
        rule = f"{record['rule']}, {record['section']}" if record["rule"] else record["section"] or ""
        fields |= {"rule": rule, "found": record["found"], "wanted": record["wanted"] or ""}
        fields["mend"] = Text(record["mend"] or "", GOOD)
        return fields

    # ── layout ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _print(self, *what: Table | Text) -> None:
        """As rich prints it, without the spaces that fill its columns."""
        with self._console.capture() as capture:
            self._console.print(*what)
        lines = capture.get().splitlines()
        click.echo("\n".join(line.rstrip() for line in lines))

    def _heading(self, place: int, text: Text) -> Table:
        table = self._grid(2)
        table.add_row(Text(str(place), DIM), text)
        return table

    def _fields(self, fields: Mapping[str, str | Text]) -> Table:
        """Names and values; a fingerprint fits beside the longest of the usual names on a terminal of 80 columns."""
        table = self._grid(3, indent=1)
        for label, value in fields.items():
            if value:
                text = Text(printable(value)) if isinstance(value, str) else value
                table.add_row("", Text(label, LABEL), text)
        return table

    def _grid(self, columns: int, indent: int = 2) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=indent, justify="right")
        for column in range(1, columns):
            table.add_column(overflow="fold", no_wrap=column < columns - 1)
        return table
