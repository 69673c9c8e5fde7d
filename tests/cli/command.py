"""`holdfast NOUN …` as programs run it: what it answers, and what it complains of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Command:
    """What begins with `holdfast NOUN`."""

    noun: str

    def __call__(self, *words: str | bytes, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it, in a terminal's width that folds nothing."""
        done = subprocess.run(
            [sys.executable, "-m", "holdfast", self.noun, *words],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
            env={**os.environ, "COLUMNS": "300", **environment},
        )
        return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())

    def answer(self, *words: str | bytes, stdin: bytes = b"") -> Any:
        """What it says when all is well."""
        done = self(*words, "--json", stdin=stdin)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def complaint(self, *words: str | bytes, status: int = 3, stdin: bytes = b"", note: str = "") -> dict[str, Any]:
        """What it says when it is not, and nothing else but the question with `note` in it."""
        done = self(*words, "--json", stdin=stdin)
        assert (done.returncode, done.stdout) == (status, ""), done
        asked, brace, line = done.stderr.partition("{")
        assert note in asked if note else not asked, done
        found: dict[str, Any] = json.loads(brace + line)
        return found

    def refusal(self, *words: str | bytes, status: int = 3) -> str:
        """The code of its complaint."""
        return str(self.complaint(*words, status=status)["error"])
