"""What the documentation says of codes, made from the recipes and the codes themselves; a test keeps both equal."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from holdfast._holdfast import mends

from .recipes import all_cases, device_cases

DOCS = Path(__file__).parents[2] / "docs"
BEGIN_MADE, END_MADE = "<!-- made by `python -m tests.damaged`: -->", "<!-- : made -->"

CODES_INTRODUCTION = """\
`VerificationError.code`, `Outcome.code`, the hub's log and `holdfast cert verify` show these. Beside each: what mends
it, where its rule is written, and how many of the [damaged chains](damaged-chains.md) it refuses.
"""
DAMAGED_INTRODUCTION = """\
{count} ways to damage a chain, each one fact from a chain that is accepted, and the one code that each is refused with.
Positions count from the end entity, 0; `–` is nobody's fault in particular. The chain is Company-X Root → Factory-Y →
Technician-Z → widget-1: device 0, Technician-Z 1, Factory-Y 2, root 3. `tests/damaged/recipes.py` makes them, a test
judges them, and `python -m tests.damaged` makes this page."""


def codes_page() -> str:
    """`docs/codes.md`: the part between the marks is made here, what others wrote around it is kept."""
    counts = {code: 0 for code, _, _ in mends()}
    for case in (*all_cases(), *device_cases()):
        counts[case.code] += 1
    made = [
        BEGIN_MADE,
        "## Certificates and chains",
        "",
        CODES_INTRODUCTION,
        "| code | what to do | rule | chains |",
        "|---|---|---|---|",
        *(f"| `{code}` | {mend}. | {section} | {counts[code] or '–'} |" for code, section, mend in sorted(mends())),
        END_MADE,
    ]
    page = (DOCS / "codes.md").read_text()
    before, _, rest = page.partition(BEGIN_MADE)
    _, _, after = rest.partition(END_MADE)
    return before + "\n".join(made) + after


def damaged_page() -> str:
    """`docs/damaged-chains.md`, all of it."""
    cases, devices = all_cases(), list(device_cases())
    lines = [
        "# Damaged chains",
        "",
        DAMAGED_INTRODUCTION.format(count=len(cases) + len(devices)),
    ]
    for group, members in groupby(cases, key=lambda case: case.group):
        lines += ["", f"## {group}", "", "| damage | code | position |", "|---|---|---|"]
        for case in members:
            lines.append(f"| {case.what} | `{case.code}` | {'–' if case.position is None else case.position} |")
    lines += [
        "",
        "## Device ids",
        "",
        "A good chain whose end entity's name is no device id.",
        "",
        "| damage | code |",
        "|---|---|",
    ]
    lines += [f"| {case.what} | `{case.code}` |" for case in devices]
    return "\n".join([*lines, ""])


PAGES = {"codes.md": codes_page, "damaged-chains.md": damaged_page}


def write() -> None:
    """Make both pages."""
    for page, make in PAGES.items():
        (DOCS / page).write_text(make())
