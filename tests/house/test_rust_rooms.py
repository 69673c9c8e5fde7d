"""What each crate may know: its neighbours below, and the libraries that are kept behind one door."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from .repository import RUST, crates

if TYPE_CHECKING:
    from pathlib import Path

# Which of our crates each one may use (design §2: below, never above; session never calls engine).
MAY_USE = {
    "bindings": {"engine", "fleet", "front", "gate", "roster", "session", "stream", "x509"},
    "fleet": {"session"},
    "front": {"gate"},
    "gate": {"engine", "roster", "session", "x509"},
    "session": {"x509"},
    "engine": {"p256", "x509"},
    "p256": set(),
    "roster": {"x509"},
    "stream": set(),
    "x509": set(),
}
# Which crates alone may use each library outside of their tests. What plays the devices speaks TLS and signs for them.
KEPT_BEHIND = {
    "pyo3": {"bindings"},
    "rustls": {"session", "fleet"},
    "aws-lc-rs": {"engine", "session", "fleet"},
    "rayon": {"engine"},
    "rusqlite": {"stream"},
    "sha2": {"session"},
    "mio": {"fleet", "front"},
    "socket2": {"fleet", "front"},
}
# The files of a crate that alone name such a library.
NAMED_IN = {
    ("engine", "aws_lc_rs"): {"engine/src/backend.rs"},
    ("session", "aws_lc_rs"): {"session/src/cipher.rs", "session/src/handshake.rs", "session/src/sha256.rs"},
    # `trust.md` §1.5: `peer_certificates()` is no proof of admission, so nobody else can see it.
    ("session", "rustls"): {"session/src/handshake.rs", "session/src/sha256.rs"},
    ("session", "sha2"): {"session/src/sha256.rs"},
}
# What needs `unsafe`: one file for each set of instructions.
SIMD = {"p256/src/ifma.rs", "p256/src/x25519/avx2.rs"}

CRATES = [pytest.param(crate, id=crate.name) for crate in crates()]


def dependencies(crate: Path) -> set[str]:
    manifest = tomllib.loads((crate / "Cargo.toml").read_text())
    tables = [manifest, *manifest.get("target", {}).values()]
    return {name for table in tables for kind in ("dependencies", "build-dependencies") for name in table.get(kind, {})}


def sources(crate: Path) -> list[Path]:
    return sorted((crate / "src").rglob("*.rs"))


def naming(pattern: str, directory: Path) -> set[str]:
    """Files under `directory` with a line of code, neither comment nor test, that matches `pattern`."""
    code = re.compile(rf"^(?!\s*//).*(?:{pattern})", re.MULTILINE)
    shipped = ((path, path.read_text().partition("\n#[cfg(test)]\n")[0]) for path in directory.rglob("*.rs"))
    return {str(path.relative_to(RUST)) for path, text in shipped if code.search(text)}


def test_every_crate_has_its_place_in_the_table() -> None:
    assert {crate.name for crate in crates()} == set(MAY_USE)


@pytest.mark.parametrize("crate", CRATES)
def test_a_crate_uses_only_crates_below_it(crate: Path) -> None:
    own = {name.removeprefix("holdfast-") for name in dependencies(crate) if name.startswith("holdfast-")}
    assert own <= MAY_USE[crate.name]


@pytest.mark.parametrize("library", KEPT_BEHIND)
def test_a_library_is_kept_behind_one_door(library: str) -> None:
    assert {crate.name for crate in crates() if library in dependencies(crate)} == KEPT_BEHIND[library]


@pytest.mark.parametrize(("crate", "library"), NAMED_IN)
def test_few_files_of_a_crate_name_its_library(crate: str, library: str) -> None:
    assert naming(rf"\b{library}\b", RUST / crate / "src") == NAMED_IN[crate, library]


def test_nobody_asks_the_tls_library_who_the_peer_is() -> None:
    assert naming(r"peer_certificates\b", RUST) <= {"session/src/handshake.rs"}


def test_fleet_has_one_file_for_each_library() -> None:
    fleet = RUST / "fleet" / "src"
    # Of its provider `tls` asks rustls, by the same name.
    assert naming(r"^use aws_lc_rs\b", fleet) == {"fleet/src/crypto.rs"}
    assert naming(r"\brustls\b", fleet) == {"fleet/src/tls.rs"}
    assert all(re.match(r"fleet/src/(socket|worker)\b", name) for name in naming(r"\b(mio|socket2)::", fleet))


@pytest.mark.parametrize("crate", CRATES)
def test_a_crate_is_free_of_unsafe(crate: Path) -> None:
    lint = tomllib.loads((crate / "Cargo.toml").read_text())["lints"]
    assert lint == {"workspace": True}
    expected = SIMD if crate.name == "p256" else set()
    assert naming(r"\bunsafe\b(?!_)", crate) == expected
    # The bench of single operations compiles one of them into itself: none of it is public.
    allowing = {"p256/src/lib.rs", "p256/src/x25519/mod.rs", "p256/benches/arithmetic.rs"} if expected else set()
    assert naming(r"(allow|expect)\([^)]*\bunsafe_code", crate) == allowing
    # PyO3's macros write some in bindings; the workspace denies it in ours.
    level = {"bindings": None, "p256": "deny"}.get(crate.name, "forbid")
    assert level is None or f"#![{level}(unsafe_code)]" in (crate / "src" / "lib.rs").read_text()


def test_every_use_of_unsafe_has_its_proof_and_there_are_few() -> None:
    text = "".join((RUST / name).read_text() for name in sorted(SIMD))
    proven = re.findall(r"// SAFETY: [^\n]*\n(?:\s*//[^\n]*\n)*[^\n]*unsafe \{", text)
    assert text.count("unsafe {") == len(proven) <= 10


@pytest.mark.parametrize("crate", CRATES)
def test_the_clock_is_an_argument_below_bindings(crate: Path) -> None:
    if crate.name != "bindings":
        knowing = naming(r"(SystemTime|Instant)::now", crate / "src")
        # Whoever measures others must look at the clock: fleet's loop does, and nothing else in it.
        assert {name for name in knowing if not re.match(r"fleet/src/(run|worker)\b", name)} == set()


@pytest.mark.parametrize("name", ["x509", "session", "gate", "front"])
def test_code_that_reads_a_peers_bytes_can_neither_index_nor_wrap(name: str) -> None:
    text = (RUST / name / "src" / "lib.rs").read_text()
    for lint in ("indexing_slicing", "arithmetic_side_effects", "as_conversions"):
        assert re.search(rf"#!\[deny\([^)]*clippy::{lint}", text)
