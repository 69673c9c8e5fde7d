"""The command line: one file per noun, loaded when its noun is used."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run `holdfast`; the entry point of the package."""
    try:
        from holdfast.cli.output import guard_streams
        from holdfast.cli.root import holdfast
    except ModuleNotFoundError as error:  # click comes with the extras, so that `pip install holdfast` stays small
        if error.name not in {"click", "rich"}:
            raise
        sys.exit("holdfast: the command line needs its extra: pip install 'holdfast[cli]'")
    guard_streams()
    # What is half done is removed then, too; `serve` has words of its own for it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    holdfast()
