"""What a figure was measured on, for whoever reads it later."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path


def describe() -> dict[str, str]:
    """CPU, its features that matter here, kernel, interpreter, revision."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text()
    except OSError:
        cpuinfo = ""
    fields = dict(line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    flags = set(named.get("flags", "").split())
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cpu": f"{named.get('model name', platform.processor())} (family {named.get('cpu family', '?')}, "
        f"model {named.get('model', '?')})",
        "features": " ".join(sorted(flags & {"avx512ifma", "avx2", "sha_ni", "adx"})),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "revision": revision.stdout.strip() or "unknown",
    }
