"""`holdfast top`: a running hub, as it goes."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.options import Decimal, now, read_settings, settings_options
from holdfast.cli.output import json_option
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from holdfast.hub.flow import Flow, Look
    from holdfast.settings import Settings

HISTORY_COUNT = 24
ROWS_MAX = 8
"""Codes, reasons and sizes that are shown at the most."""
BARS = "▁▂▃▄▅▆▇█"
CURVES = (("admitted", "green"), ("refused", "red"), ("messages", "cyan"))
THOUSAND = 1_000


@click.command()
@click.option("--interval", type=Decimal(0.2, 60), default=1.0, show_default=True, help="Seconds.")
@click.option("--once", is_flag=True, help="One answer, of one interval.")
@settings_options
@json_option
def top(interval: float, *, once: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401 (click's options)
    """Watch a running hub: who comes, who is let in, who is turned away and why; what each worker does.

    It reads the hub's metrics: `metrics_port` must be set. Ctrl-C ends it. Where the output is no terminal, or with
    `--json`, the answers follow one another.
    """
    settings = read_settings(**given)
    try:
        if as_json or once or not sys.stdout.isatty():
            _follow(settings, interval, once=once, as_json=as_json)
        else:
            _watch(settings, interval)
    except KeyboardInterrupt:
        return


def _look(settings: Settings) -> Look:
    from holdfast.hub.flow import Look
    from holdfast.hub.watcher import fetch

    return Look.of(fetch(settings, "/metrics")[1], time.monotonic())


def _follow(settings: Settings, interval: float, *, once: bool, as_json: bool) -> None:
    from rich.console import Console

    from holdfast.hub.flow import Flow

    console, before, history = Console(highlight=False), _look(settings), _History()
    while True:
        time.sleep(interval)
        after = _look(settings)
        flow = Flow(before, after)
        before = after
        history.add(flow)
        if as_json:
            click.echo(json.dumps(flow.record()))
        else:
            console.print(_screen(settings, flow, history))
        if once:
            return
        sys.stdout.flush()


def _watch(settings: Settings, interval: float) -> None:
    from rich.live import Live
    from rich.text import Text

    from holdfast.hub.flow import Flow

    before, history = _look(settings), _History()
    with Live(Text("…"), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            try:
                after = _look(settings)
            except HoldfastError as error:  # it may come back
                live.update(Text(str(error), style="red"), refresh=True)
                continue
            flow = Flow(before, after)
            before = after
            history.add(flow)
            live.update(_screen(settings, flow, history), refresh=True)


class _History:
    """The last looks, of what has a curve."""

    def __init__(self) -> None:
        self._rates: dict[str, deque[float]] = {name: deque(maxlen=HISTORY_COUNT) for name, _ in CURVES}

    def add(self, flow: Flow) -> None:
        from holdfast.hub.flow import RATES

        for name, rates in self._rates.items():
            rates.append(flow.rate(RATES[name]))

    def curve(self, name: str) -> str:
        """One bar a look, the highest being full."""
        rates = self._rates[name]
        highest = max(rates, default=0) or 1
        return "".join(BARS[min(round(rate / highest * (len(BARS) - 1)), len(BARS) - 1)] for rate in rates)


def _screen(settings: Settings, flow: Flow, history: _History) -> RenderableType:
    from rich.columns import Columns
    from rich.console import Group

    record = flow.record()
    lists = [
        _counted("refused", record["refused"], "red"),
        _counted("closed", record["closed"], ""),
        _batches(record["batches"]),
    ]
    shown = Columns([one for one in lists if one.row_count], padding=(0, 4))
    return Group(_head(settings, flow, record), _rates(record, history), _workers(record["workers"]), shown)


def _head(settings: Settings, flow: Flow, record: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    began = flow.after.total("start_time_seconds")
    up = timedelta(seconds=max(round(now().timestamp() - began), 0))
    workers = record["workers"]
    head = Text.assemble(
        ("holdfast ", "bold"),
        f"{record['version']}  {settings.hub}  ",
        ("ready", "bold green") if record["ready"] else ("not ready", "bold red"),
        f"  up {up}  epoch {record['epoch']}  workers {sum(one['up'] for one in workers)}/{len(workers)}",
    )
    if record["log_lines_suppressed"]:
        head.append(f"  {record['log_lines_suppressed']} lines of the log suppressed", style="yellow")
    return head


def _rates(record: Mapping[str, Any], history: _History) -> RenderableType:
    from rich.text import Text

    table = _table("", "per second", "", "")
    rates, totals = record["rates"], record["totals"]
    beside = {
        "admitted": f"{totals['sessions']:,} sessions, {totals['half_open']:,} half-open",
        "refused": f"{_short(rates['opened'])}/s came, {totals['connections']:,} are open",
        "messages": f"{_short(rates['acknowledged'])}/s acknowledged, {totals['messages_queued']:,} wait",
    }
    for name, colour in CURVES:
        curve = Text(history.curve(name), style=colour)
        table.add_row(name, _short(rates[name]), beside[name], curve)
    table.add_row("bytes", _short(rates["bytes_in"]), f"{_short(rates['bytes_out'])}/s out", "")
    table.columns[2].justify = table.columns[3].justify = "left"
    return table


def _workers(workers: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = _table("worker", "sessions", "half-open", "in/s", "no/s", "msg/s", "CPU", "memory", "died")
    for one in workers:
        table.add_row(
            str(one["worker"]) if one["up"] else f"[red]{one['worker']} is down[/]",
            f"{one['sessions']:,}",
            f"{one['half_open']:,}",
            _short(one["admitted"]),
            _short(one["refused"]),
            _short(one["messages"]),
            f"{one['cpu_percent']:.0f} %",
            f"{_short(one['resident_bytes'])}B",
            str(one["restarts"]),
        )
    return table


def _counted(title: str, counted: Mapping[str, Mapping[str, float]], colour: str) -> Table:
    table = _table(title, "so far", "/s")
    moving = sorted(counted.items(), key=lambda one: (-one[1]["per_second"], -one[1]["total"]))
    for name, figures in moving[:ROWS_MAX]:
        style = colour if figures["per_second"] else ""
        table.add_row(name, f"{figures['total']:,.0f}", _short(figures["per_second"]), style=style)
    return table


def _batches(sizes: Mapping[str, int]) -> Table:
    table = _table("batch", "so far", "")
    highest = max(sizes.values(), default=0) or 1
    for size, count in sizes.items():
        if count:
            table.add_row(size, f"{count:,}", "█" * max(round(16 * count / highest), 1))
    table.columns[2].justify = "left"
    return table


def _table(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    return table


def _short(value: float) -> str:
    """Three digits and what they stand for: 1.23 k."""
    for unit in ("", "k", "M", "G"):
        if value < THOUSAND:
            return f"{value:.0f}" if unit == "" else f"{value:.3g} {unit}"
        value /= THOUSAND
    return f"{value:,.0f} T"
