"""`holdfast demo`."""

from __future__ import annotations

import signal
import sys

import click


@click.command()
def demo() -> None:
    """Tell the whole story with real processes and sockets.

    A root CA, two intermediates and a hundred widgets are made in a temporary directory; the root is registered with
    proof of possession; the widgets connect to a hub on a free loopback port and send; one impostor of each kind is
    turned away. Every sentence is checked: exit 1 when one does not hold. It needs nothing and leaves nothing.
    """
    from holdfast.demo.narrator import Narrator
    from holdfast.demo.story import tell

    try:
        tell(Narrator())
    except KeyboardInterrupt:
        click.echo("holdfast: the demo was interrupted; nothing is left running", err=True)
        sys.exit(128 + signal.SIGINT)
