"""How the story looks: colours and a moving bar on a terminal, the same words as plain text elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Narrator:
    """Writes chapters, the commands that are run, and what was found to be true."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, soft_wrap=True)
        self._began = time.monotonic()
        self._chapter = 0

    @property
    def elapsed_seconds(self) -> float:
        """Since the story began."""
        return time.monotonic() - self._began

    def open(self, title: str, text: str) -> None:
        """Write the headline and what the story is about."""
        self._console.print(Text(title, style="bold"))
        self._console.print(text)

    def chapter(self, title: str, text: str) -> None:
        """Begin the next chapter."""
        self._chapter += 1
        self._console.print()
        self._console.print(Text(f"{self._chapter}. {title}", style="bold cyan"))
        self._console.print(Text(f"   {text}", style="italic"))

    def command(self, line: str) -> None:
        """Show a command that is about to run."""
        self._console.print(Text(f"   $ {line}", style="dim"))

    def held(self, claim: str) -> None:
        """Say what was checked, and held."""
        self._console.print(Text("   ✓ ", style="bold green") + Text(claim))

    def refused(self, who: str, told: str, code: str) -> None:
        """Say who was turned away, what the device was told and what the hub's log says."""
        line = Text("   ✗ ", style="bold red") + Text(f"{who:<54}") + Text(f"{told:<25} ")
        self._console.print(line + Text(code, style="yellow"))

    @contextmanager
    def progress(self, text: str, total: int) -> Iterator[Callable[[], None]]:
        """A bar that each call of what it yields moves on by one; nothing where there is no terminal to move it on."""
        bar = Progress(
            TextColumn("   {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        with bar:
            task = bar.add_task(text, total=total)
            yield lambda: bar.advance(task)

    def close(self, text: str) -> None:
        """Write the last line."""
        self._console.print()
        self._console.print(Text(text, style="bold"))
