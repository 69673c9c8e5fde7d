"""`holdfast fleet`: a million pretend devices, to measure a hub and to try it."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from holdfast._holdfast import fleet_kinds
from holdfast.cli.options import Decimal, file_base, now
from holdfast.cli.output import emit_record, emit_table, json_option
from holdfast.errors import ConfigurationError, UnreachableError
from holdfast.fleet.plan import Crowd, Plan, Publish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from holdfast.fleet.papers import Fleet
    from holdfast.fleet.report import Record

TARGET = click.argument("target")
DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))
PORT = 8883
WATCH_SECONDS = 0.5
LOG_WIDTH = 120
GIVE_UP_AFTER = 50
"""Connections that meet nobody before a run ends by itself."""
CLOCK_SKEW = timedelta(days=1)
SUPPLY_CHAIN = ("Company-X Root", "Factory-Y", "Technician-Z")


@click.group()
def fleet() -> None:
    """Play a million devices, honest ones and others, against any hub that speaks MQTT over TLS.

    `fleet make` makes a supply chain and its devices. `connect`, `hold` and `publish` bring them to a hub and measure;
    `misbehave` tries what a hub must withstand. The hub must trust root.pem of the fleet's directory.
    """


@fleet.command()
@DIRECTORY
@click.option("--devices", type=click.IntRange(min=1), default=1000, show_default=True, help="How many.")
@click.option(
    "--ca",
    "authorities",
    multiple=True,
    default=SUPPLY_CHAIN,
    show_default=True,
    help="Name of a CA, the root's first; repeat it for every step down to the devices.",
)
@click.option("--prefix", default="widget", show_default=True, help="What their ids begin with.")
@click.option("--days", type=click.IntRange(min=1), default=365, show_default=True, help="How long all is valid.")
@click.option("--seed", help="Any text; the same one gives the same keys again.")
@click.option(
    "--threads", type=click.IntRange(1, 256), default=os.cpu_count() or 1, help="Threads that share the work."
)
@json_option
def make(
    directory: Path,
    devices: int,
    authorities: Sequence[str],
    prefix: str,
    days: int,
    seed: str | None,
    threads: int,
    *,
    as_json: bool,
) -> None:
    """Make a root, the CAs below it and devices below those, in the new DIRECTORY."""
    from holdfast.fleet import papers

    began = time.perf_counter()
    made = papers.make(
        directory,
        names=list(authorities),
        prefix=prefix,
        count=devices,
        begins=(now() - CLOCK_SKEW).replace(microsecond=0),
        days=days,
        seed=seed,
        threads=threads,
    )
    took = time.perf_counter() - began
    record = _record(made) | {"seconds": round(took, 3), "devices_per_second": round(devices / took)}
    emit_record(record, as_json=as_json)


@fleet.command()
@DIRECTORY
@json_option
def show(directory: Path, *, as_json: bool) -> None:
    """Say what lies in DIRECTORY."""
    emit_record(_record(_open(directory)), as_json=as_json)


@fleet.command()
@DIRECTORY
@click.argument("number", type=click.IntRange(min=0))
@click.option("--out", type=file_base, metavar="BASE", help="Write BASE.pem and BASE.key. [default: the device's id]")
@json_option
def export(directory: Path, number: int, out: Path | None, *, as_json: bool) -> None:
    """Write the certificates and the key of device NUMBER as PEM, for any other client."""
    opened = _open(directory)
    device_id = opened.devices.device_id(number)
    certificate, key = opened.export(number, out or Path(device_id))
    emit_record({"device": device_id, "certificate": str(certificate), "private_key": str(key)}, as_json=as_json)


@fleet.command()
@json_option
def kinds(*, as_json: bool) -> None:
    """List the ways to misbehave, with the cases of the attack catalogue that they play."""
    columns = ("kind", "catalogue", "a_hub_should", "what_it_does")
    words = {"served": "serve it", "refused": "not let it in", "ended": "end it", "survived": "survive it"}
    rows = [(name, catalogue, words[expected], about) for name, catalogue, expected, about in fleet_kinds()]
    emit_table([dict(zip(columns, row, strict=True)) for row in rows], columns, as_json=as_json, empty="")


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every run may be told; `_Run` takes it."""
    for option in (
        json_option,
        click.option("--plot", type=click.Path(path_type=Path), help="Draw the run as SVG into this file."),
        click.option(
            "--report", type=click.Path(path_type=Path), help="Write the whole report as JSON into this file."
        ),
        click.option("--remote", is_flag=True, help="Allow a target that is not this machine. Ask its owner first."),
        click.option("--sources", type=click.IntRange(0, 65_000), default=64, help="Loopback addresses to dial from."),
        click.option("--threads", type=click.IntRange(1, 64), default=1, help="Threads of each process."),
        click.option(
            "--processes", type=click.IntRange(1, 256), default=1, help="Processes; more where descriptors need it."
        ),
        click.option(
            "--patience",
            type=Decimal(0, min_open=True),
            default=20.0,
            help="Seconds that a connection may take to its answer.",
        ),
        click.option("--keep-alive", type=click.IntRange(0, 65_535), default=60, help="Seconds, as the CONNECT says."),
        click.option("--clean-session", is_flag=True, help="Ask for a clean session; stock SDKs do not."),
        click.option(
            "--resume", is_flag=True, help="Come back by the TLS 1.3 ticket that the contact before was given."
        ),
        click.option("--server-name", help="Name of the hub, for SNI and user names; otherwise what TARGET says."),
        click.option(
            "--app", "application", type=click.Choice(["mqtt", "http"]), default="mqtt", help="Inside of TLS."
        ),
        click.option("--tls", type=click.Choice(["1.2", "1.3"]), default="1.3", show_default=True, help="TLS version."),
        click.option("--devices", "chosen", metavar="[FIRST:]COUNT", help="Which devices; otherwise all."),
        click.option("--concurrency", type=click.IntRange(1), default=64, help="Connections under way at once."),
        click.option("--rate", type=Decimal(0), default=0.0, help="Connections begun a second; 0: no limit."),
    ):
        command = option(command)
    return command


@fleet.command()
@TARGET
@DIRECTORY
@click.option("--contacts", type=click.IntRange(1), default=1, help="How often each device connects.")
@click.option("--stay", type=Decimal(0), default=0.0, help="Seconds that each one stays.")
@_run_options
def connect(target: str, directory: Path, contacts: int, stay: float, **given: Any) -> None:  # noqa: ANN401 (click's options)
    """Connect every device, let it say good-bye, and go on with the next.

    With `--contacts 2` all come once more when the last has gone: of a hub that pins identities, the second contact
    costs less than the first, and both are reported.
    """
    run = _Run(target, directory, given)
    run.go([run.crowd("honest", rounds=contacts, stay_seconds=stay)])


@fleet.command()
@TARGET
@DIRECTORY
@click.option("--seconds", type=Decimal(0), help="How long, once all are in; otherwise until Ctrl-C.")
@_run_options
def hold(target: str, directory: Path, seconds: float | None, **given: Any) -> None:  # noqa: ANN401 (click's options)
    """Connect all devices and keep them connected, silent but for their pings."""
    run = _Run(target, directory, given)
    run.go([run.crowd("honest", stay="all", stay_seconds=seconds)])


@fleet.command()
@TARGET
@DIRECTORY
@click.option("--seconds", type=Decimal(0), default=10.0, show_default=True, help="How long, once all are in.")
@click.option("--messages-per-second", type=Decimal(0), default=0.0, help="Of all together; 0: no limit.")
@click.option("--in-flight", type=click.IntRange(1, 65_535), default=16, help="Unacknowledged messages of a device.")
@click.option("--qos", type=click.IntRange(0, 1), default=1, show_default=True)
@click.option("--payload-bytes", type=click.IntRange(0, 262_144), default=128, show_default=True)
@_run_options
def publish(
    target: str,
    directory: Path,
    seconds: float,
    messages_per_second: float,
    in_flight: int,
    qos: int,
    payload_bytes: int,
    **given: Any,  # noqa: ANN401
) -> None:
    """Connect all devices, then let them publish, and measure each acknowledgement."""
    run = _Run(target, directory, given)
    sends = Publish(rate=messages_per_second, messages=0, in_flight=in_flight, qos=qos, payload_bytes=payload_bytes)
    run.go([run.crowd("honest", stay="all", stay_seconds=seconds, publish=sends)])


@fleet.command()
@TARGET
@DIRECTORY
@click.argument("kind", nargs=-1, required=True)
@click.option("--each", type=click.IntRange(1), default=10, show_default=True, help="Devices that misbehave so.")
@click.option("--honest", type=Decimal(0), default=0.0, help="Honest devices a second beside them.")
@_run_options
def misbehave(target: str, directory: Path, kind: Sequence[str], each: int, honest: float, **given: Any) -> None:  # noqa: ANN401
    """Let devices misbehave in every KIND named (`all` is all of them), and say what the hub does about it.

    Exit 1 if it let one in that it should not have, or let one stay for longer than `--patience`. With `--honest` other
    devices connect meanwhile, and how long they wait is measured.
    """
    run = _Run(target, directory, given)
    known = [name for name, *_ in fleet_kinds()]
    if unknown := [name for name in kind if name not in {*known, "all"}]:
        message = f"no device misbehaves by '{unknown[0]}'"
        raise ConfigurationError("unknown_misbehaviour", message, hint="`holdfast fleet kinds` lists them")
    names = known if "all" in kind else list(dict.fromkeys(kind))
    run.go(run.crowds_of(names, each, honest))


class _Run:
    """One run as the command line asks for it."""

    def __init__(self, target: str, directory: Path, given: dict[str, Any]) -> None:
        self._given = given
        self._fleet = _open(directory)
        self._address, self._port, name = _resolve(target, remote=given["remote"])
        self._server_name = given["server_name"] or name
        self._first, self._count = _chosen(given["chosen"], len(self._fleet.devices))

    def crowd(self, name: str, **more: Any) -> Crowd:  # noqa: ANN401 (a crowd's fields)
        given = self._given
        fields = {
            "first": self._first,
            "count": self._count,
            "tls": given["tls"],
            "application": given["application"],
            "rate": given["rate"],
            "concurrency": given["concurrency"],
            "keep_alive_seconds": given["keep_alive"],
            "clean_session": given["clean_session"],
            "resume": given["resume"],
        }
        return Crowd(name=name, **(fields | more))

    def crowds_of(self, names: Sequence[str], each: int, honest: float) -> list[Crowd]:
        """A crowd for every kind, each of other devices, and one of honest devices beside them."""
        needed = each * len(names) + (1 if honest else 0)
        if needed > self._count:
            message = f"{needed} devices are needed, {self._count} there are"
            raise ConfigurationError("no_such_device", message, hint="Lower --each, or make a larger fleet")
        crowds = []
        for position, name in enumerate(names):
            # A certificate message in clear is a thing of TLS 1.2 alone.
            version = {"tls": "1.2"} if name == "huge-certificate" else {}
            first = self._first + position * each
            crowds.append(self.crowd(name, misbehaviour=name, first=first, count=each, concurrency=each, **version))
        if honest:
            first, left = self._first + each * len(names), self._count - each * len(names)
            seconds = self._given["patience"]
            count = min(left, max(1, int(honest * seconds)))
            crowds.append(self.crowd("honest", first=first, count=count, rate=honest, concurrency=10_000))
        return crowds

    def go(self, crowds: Sequence[Crowd]) -> None:
        """Run it, show it, write what was asked for, and exit with what it means."""
        from holdfast.fleet.report import is_as_expected, is_unreachable, report

        given = self._given
        plan = Plan(
            address=self._address,
            port=self._port,
            server_name=self._server_name,
            crowds=tuple(crowds),
            source_addresses=given["sources"] if ipaddress.ip_address(self._address).is_loopback else 0,
            patience_seconds=given["patience"],
            threads=given["threads"],
        )
        merged, interrupted, processes = self._watch(plan)
        made = report(plan, merged, interrupted=interrupted, processes=processes)
        self._emit(made)
        if is_unreachable(merged):
            message = f"nobody answers at {self._address}:{self._port}"
            raise UnreachableError("target_unreachable", message)
        sys.exit(0 if is_as_expected(merged) else 1)

    def _watch(self, plan: Plan) -> tuple[Record, bool, int]:
        from holdfast.fleet.processes import Processes
        from holdfast.fleet.report import is_unreachable

        key, devices = self._fleet.issuer_key(), self._fleet.devices_file
        interrupted = False
        with Processes(plan, devices, issuer_key=key, processes=self._given["processes"]) as processes:
            try:
                with _Screen(plan, quiet=self._given["as_json"]) as screen:
                    for merged in processes.watch(WATCH_SECONDS):
                        screen.show(merged)
                        if is_unreachable(merged, at_least=GIVE_UP_AFTER):
                            processes.stop()
            except KeyboardInterrupt:
                interrupted = True
                processes.stop()
            return processes.last(), interrupted, processes.count

    def _emit(self, made: Record) -> None:
        given = self._given
        if given["report"]:
            _write(given["report"], json.dumps(made) + "\n")
        if given["plot"]:
            from holdfast.fleet.chart import report_svg

            _write(given["plot"], report_svg(made))
        if given["as_json"]:
            click.echo(json.dumps(made))
            return
        from holdfast.fleet import live

        console = _console(stderr=False)
        for table in live.finished(made):
            console.print(table)


class _Screen:
    """The live table, on a terminal; nothing elsewhere."""

    def __init__(self, plan: Plan, *, quiet: bool) -> None:
        from rich.live import Live

        self._plan = plan
        console = _console(stderr=True)
        shown = console.is_terminal and not quiet
        self._live = Live(console=console, auto_refresh=False, transient=True) if shown else None
        self._cpu: tuple[float, float] = (0.0, 0.0)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, merged: Record) -> None:
        """Where it stands."""
        if self._live is None:
            return
        from holdfast.fleet.live import running

        (before, used), here = self._cpu, (merged["elapsed_seconds"], merged["cpu_seconds"])
        self._cpu = here
        share = (here[1] - used) / (here[0] - before) if here[0] > before else 0.0
        self._live.update(running(self._plan, merged, share), refresh=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, markup=False)
    # A file or a pipe has no width; a table that is cut off in it is worth nothing.
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, markup=False, width=LOG_WIDTH)


def _open(directory: Path) -> Fleet:
    from holdfast.fleet.papers import Fleet

    return Fleet.open(directory)


def _record(opened: Fleet) -> dict[str, object]:
    devices = opened.devices
    return {
        "directory": str(opened.directory),
        "authorities": devices.authority_names,
        "devices": len(devices),
        "first_device": devices.device_id(0),
        "last_device": devices.device_id(len(devices) - 1),
        "root": str(opened.directory / "root.pem"),
    }


def _chosen(text: str | None, count: int) -> tuple[int, int]:
    """First device and how many, of `COUNT` or `FIRST:COUNT`."""
    if text is None:
        return 0, count
    first, _, wanted = text.rpartition(":")
    if not (first or "0").isdecimal() or not wanted.isdecimal() or int(wanted) == 0:
        message = f"'{text}' is neither COUNT nor FIRST:COUNT"
        raise click.UsageError(message)
    begins, many = int(first or 0), int(wanted)
    if begins + many > count:
        message = f"devices {begins} to {begins + many - 1} are wanted, there are {count}, counted from 0"
        raise ConfigurationError("no_such_device", message)
    return begins, many


def _resolve(target: str, *, remote: bool) -> tuple[str, int, str]:
    """Address, port and name of `HOST[:PORT]` (an IPv6 address in brackets).

    Raises:
        ConfigurationError: `bad_target`, `target_not_local`.
        UnreachableError: `target_unknown`.
    """
    host, port = target, str(PORT)
    if target.startswith("["):
        host, _, after = target[1:].partition("]")
        port = after.removeprefix(":") or port
    elif target.count(":") == 1:
        host, _, port = target.partition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        message = f"'{target}' is not HOST or HOST:PORT"
        raise ConfigurationError("bad_target", message)
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        message = f"there is no '{host}': {error.strerror}"
        raise UnreachableError("target_unknown", message) from error
    address = str(found[0][4][0])
    if not remote and not ipaddress.ip_address(address).is_loopback:
        message = f"{address} is not this machine"
        raise ConfigurationError("target_not_local", message, hint="--remote allows it, if its owner does")
    return address, int(port), host


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
        raise ConfigurationError("unwritable_file", message) from error
