"""Metrics as Prometheus reads them: families of samples, written and read in its text format, version 0.0.4.

Labels have values of our own choosing alone: numbers of workers, codes, reasons. Nothing that a peer claims is ever one
(I15), so the number of series is bounded whoever comes.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
INFINITY = "+Inf"
# What a label's value and a help text must not hold as they are.
_ESCAPES = {"\\": r"\\", "\n": r"\n", '"': r"\""}
_UNESCAPES = {escaped: plain for plain, escaped in _ESCAPES.items()}
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: -?[0-9]+)?", re.DOTALL)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?', re.DOTALL)


class Type(enum.Enum):
    """What a family's samples are."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """What has one name, one kind and one line of help. A counter's name ends in `_total`."""

    name: str
    type: Type
    help: str
    samples: Sequence[Sample]


def counter(name: str, help_: str, values: Iterable[tuple[Mapping[str, str], float]]) -> Family:
    """A family of numbers that only grow."""
    return Family(name, Type.COUNTER, help_, _samples(name, values))


def gauge(name: str, help_: str, values: Iterable[tuple[Mapping[str, str], float]]) -> Family:
    """A family of numbers that come and go."""
    return Family(name, Type.GAUGE, help_, _samples(name, values))


def histogram(
    name: str, help_: str, values: Iterable[tuple[Mapping[str, str], Sequence[float], Sequence[int], float]]
) -> Family:
    """A family of distributions: labels, upper bounds, how many lay in each (one more than bounds), and their sum."""
    samples = []
    for labels, bounds, counts, total in values:
        below = 0
        for bound, count in zip([*map(_written, bounds), INFINITY], counts, strict=True):
            below += count
            samples.append(Sample(name=f"{name}_bucket", labels={**labels, "le": bound}, value=below))
        samples.append(Sample(name=f"{name}_sum", labels=labels, value=total))
        samples.append(Sample(name=f"{name}_count", labels=labels, value=below))
    return Family(name, Type.HISTOGRAM, help_, samples)


def exposition(families: Iterable[Family]) -> str:
    """All of it, as it is scraped. A family without samples is left out."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines.append(f"# HELP {family.name} {_escaped(family.help, quotes=False)}")
            lines.append(f"# TYPE {family.name} {family.type.value}")
            lines += map(_line, family.samples)
    return "".join(f"{line}\n" for line in lines)


def parse_exposition(text: str) -> Iterator[Sample]:
    """The samples in `text`.

    Raises:
        ValueError: a line is none.
    """
    for line in text.split("\n"):  # the format knows no other end of a line
        if not line or line.startswith("#"):
            continue
        found = _SAMPLE.fullmatch(line)
        if found is None:
            message = f"not a sample: {line!r}"
            raise ValueError(message)
        name, labels, value = found.groups()
        unescaped = {label: _unescaped(given) for label, given in _LABEL.findall(labels or "")}
        yield Sample(name=name, labels=unescaped, value=float(value))


def _samples(name: str, values: Iterable[tuple[Mapping[str, str], float]]) -> list[Sample]:
    return [Sample(name=name, labels=labels, value=value) for labels, value in values]


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
    return (
        f"{sample.name}{{{labels}}} {_written(sample.value)}" if labels else f"{sample.name} {_written(sample.value)}"
    )


def _written(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _escaped(text: str, *, quotes: bool = True) -> str:
    return "".join(_ESCAPES.get(one, one) if quotes or one != '"' else one for one in text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda found: _UNESCAPES.get(found[0], found[0]), text, flags=re.DOTALL)
