"""The `holdfast` command: finds the noun, loads its file, turns every known error into one line and an exit code."""

from __future__ import annotations

import importlib
import json
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from holdfast.cli.text import printable
from holdfast.errors import ConfigurationError, HoldfastError

if TYPE_CHECKING:
    from collections.abc import Iterator

# noun → (module, what the help says). The modules are imported only when their noun is used: `--help` stays quick.
NOUNS = {
    "authority": ("holdfast.cli.authority", "Act as a CA: make a root, request, sign, issue, prove."),
    "backup": ("holdfast.cli.backup", "Copy the hub's state while it runs."),
    "branch": ("holdfast.cli.branch", "Shut out a signer and every device below it, or replace its key."),
    "ca": ("holdfast.cli.ca", "Register CAs with the hub, and prove that you hold their keys."),
    "cert": ("holdfast.cli.cert", "Look at certificates, judge chains, and be told why."),
    "device": ("holdfast.cli.device", "Look at devices, send them messages, say who vouches for them."),
    "demo": ("holdfast.cli.demo", "Tell the whole story with real processes and sockets."),
    "doctor": ("holdfast.cli.doctor", "Look for everything that can be wrong with a hub."),
    "fleet": ("holdfast.cli.fleet", "Play a million devices: measure a hub, and try it."),
    "record": ("holdfast.cli.record", "Read who has changed what, when and why."),
    "restore": ("holdfast.cli.backup", "Bring a backup back; what was revoked stays revoked."),
    "serve": ("holdfast.cli.serve", "Run the hub."),
    "top": ("holdfast.cli.top", "Watch a running hub."),
    "stream": ("holdfast.cli.stream", "Read what devices have sent."),
}

INTERRUPTED_STATUS: Final = 128 + signal.SIGINT
"""What a shell says of whom Ctrl-C has ended."""
_INTERRUPTED: Final = HoldfastError("interrupted", "interrupted")


class _Nouns(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NOUNS:
            return None
        command: click.Command = getattr(importlib.import_module(NOUNS[cmd_name][0]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(noun, text) for noun, (_, text) in sorted(NOUNS.items())])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:  # noqa: ANN401 (click's own signature)
        with _reporting():  # `--help` answers here
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's own signature)
        with _reporting():
            return super().invoke(ctx)


@contextmanager
def _reporting() -> Iterator[None]:
    """Turn an error into its line and its status; an answer counts when it is written."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except HoldfastError as error:
        _leave(error, error.exit_status)
    except KeyboardInterrupt:
        _leave(_INTERRUPTED, INTERRUPTED_STATUS)
    except click.Abort as abort:  # click's, where a question was not answered with yes
        if isinstance(abort.__context__, KeyboardInterrupt):
            _leave(_INTERRUPTED, INTERRUPTED_STATUS)
        if isinstance(abort.__context__, EOFError):
            hint = "use --yes; a passphrase comes from --passphrase-file or --passphrase-env"
            nobody = ConfigurationError("nobody_to_ask", "nobody is there to answer the question", hint=hint)
            _leave(nobody, nobody.exit_status)
        _leave(HoldfastError("not_confirmed", "that was no yes; nothing was done"), HoldfastError.exit_status)
    except click.exceptions.NoArgsIsHelpError:
        raise  # all of it is ours
    except click.ClickException as error:  # what was typed is in it
        error.message = printable(error.message)  # type: ignore[misc]  # click asks for it later
        raise


def _leave(error: HoldfastError, status: int) -> NoReturn:
    report(error)
    sys.exit(status)


def report(error: HoldfastError) -> None:
    """Write `error` to stderr: one line for a person, one JSON object when the command was asked for `--json`."""
    with suppress(OSError):  # nobody hears it; the status says the same
        click.echo(_told(error), err=True)


def _told(error: HoldfastError) -> str:
    context = click.get_current_context(silent=True)
    while context is not None and "as_json" not in context.params:
        context = context.parent
    if "--json" in sys.argv[1:] or (context is not None and context.params["as_json"]):
        fields = {"error": error.code, "message": error.message, "hint": error.hint}
        position = getattr(error, "position", None)
        return json.dumps(fields if position is None else {**fields, "position": position})
    return printable(f"holdfast: {error}")


@click.group(cls=_Nouns, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="holdfast", message="%(prog)s %(version)s")
def holdfast() -> None:
    """Let devices in on the strength of one registered CA certificate.

    Results go to stdout, everything else to stderr. Exit status: 0 yes, 1 the answer is no, 2 usage, 3 bad input,
    4 unreachable, 5 not authorised, 6 conflict; 130 Ctrl-C, 141 the reader of stdout has gone.
    """
