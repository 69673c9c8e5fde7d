"""A run while it runs, and its report afterwards, as a person reads them: tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from holdfast.fleet.report import outcomes, quantile_us

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.fleet.plan import Plan


def running(plan: Plan, merged: Mapping[str, Any], cpu_share: float) -> Table:
    """Where every crowd stands. `cpu_share` is how many cores this client uses."""
    title = f"{plan.address}:{plan.port}  {merged['elapsed_seconds']:.1f} s  client {cpu_share:.2f} cores"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for column in ("crowd", "tried", "in", "not in", "under way", "open", "per s", "p50", "p99", "p99.9", "messages"):
        table.add_column(column, justify="left" if column == "crowd" else "right")
    for crowd, figures in zip(plan.crowds, merged["crowds"], strict=True):
        endings = outcomes(figures)
        connected = endings.get("connected", 0)
        last = figures["rounds"][-1] if figures["rounds"] else None
        seconds = figures["seconds"]
        measured = last and (last["total"] if last["total"]["count"] else figures["reaction"])
        table.add_row(
            crowd.name,
            str(sum(one["started"] for one in figures["rounds"])),
            str(connected),
            str(sum(endings.values()) - connected),
            str(figures["under_way"]),
            str(figures["open"]),
            str(seconds[-2]["connected"] if len(seconds) > 1 else connected),
            *(_ms(measured, share) for share in (0.5, 0.99, 0.999)),
            f"{figures['acknowledged']}/{figures['published']}" if figures["published"] else "-",
        )
    return table


def finished(report: Mapping[str, Any]) -> list[Table]:
    """What came of it: outcomes with their counts and latencies; of those who misbehaved what the hub did about it."""
    honest = [crowd for crowd in report["crowds"] if not crowd["misbehaviour"]]
    others = [crowd for crowd in report["crowds"] if crowd["misbehaviour"]]
    tables = [_reactions(others)] if others else []
    return tables + ([_outcomes(honest), _latencies(honest)] if honest else [])


def _reactions(crowds: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("misbehaviour", "what the hub did", "count", "after, ms", "at most")
    table.add_column("", justify="left")
    for crowd in crowds:
        reaction = crowd["reaction"]
        times = [_short(reaction[f"{one}_ms"]) if reaction["count"] else "-" for one in ("p50", "max")]
        verdict = "as it should" if crowd["as_expected"] == crowd["connections"] else "NOT AS IT SHOULD"
        for ending, count in crowd["rounds"][0]["outcomes"].items():
            table.add_row(crowd["name"], ending, str(count), *times, verdict)
    return table


def _outcomes(crowds: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("contact", "outcome", "count", "share")
    for crowd in crowds:
        for number, one in enumerate(crowd["rounds"], 1):
            total = sum(one["outcomes"].values())
            for ending, count in sorted(one["outcomes"].items(), key=lambda item: -item[1]):
                table.add_row(str(number), ending, str(count), f"{100 * count / total:.2f} %")
            if one["resumed"]:
                table.add_row("", "  by a ticket", str(one["resumed"]), f"{100 * one['resumed'] / total:.2f} %")
        for ending, count in crowd["lost"].items():
            table.add_row("", f"lost later: {ending}", str(count), "")
    return table


def _latencies(crowds: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("contact", "milliseconds", "count", "mean", "p50", "p90", "p99", "p99.9", "max", "per s")
    for crowd in crowds:
        for number, one in enumerate(crowd["rounds"], 1):
            rate = one["connected_per_second"]
            table.add_row(str(number), "connect", *_figures(one["connect"]), f"{rate:.0f}" if rate else "")
            for part in ("tcp", "tls", "answer"):
                table.add_row("", f"  {part}", *_figures(one[part]), "")
        if crowd["published"]:
            rate = _per_second(crowd, "acknowledged")
            table.add_row("", "acknowledged", *_figures(crowd["acknowledgement"]), f"{rate:.0f}" if rate else "")
        if crowd["schedule_lag"]["count"]:
            table.add_row("", "client late", *_figures(crowd["schedule_lag"]), "")
    return table


def _figures(measured: Mapping[str, Any]) -> list[str]:
    if not measured["count"]:
        return ["0", *"------"]
    names = ("mean", "p50", "p90", "p99", "p99_9", "max")
    return [str(measured["count"]), *(_short(measured[f"{name}_ms"]) for name in names)]


def _short(milliseconds: float) -> str:
    """Four digits say all that was measured."""
    digits = next((digits for limit, digits in ((10, 2), (100, 1)) if milliseconds < limit), 0)
    return f"{milliseconds:.{digits}f}"


def _per_second(crowd: Mapping[str, Any], field: str) -> float | None:
    """The mean of the seconds in which anything happened, the first and last of them left out."""
    busy = [second[field] for second in crowd["seconds"] if second[field]][1:-1]
    return sum(busy) / len(busy) if busy else None


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
    return table


def _ms(histogram: Mapping[str, Any] | None, share: float) -> str:
    us = quantile_us(histogram, share) if histogram and histogram["count"] else None
    return "-" if us is None else f"{us / 1000:.1f}"
