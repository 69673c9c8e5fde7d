"""`holdfast authority`, as its users run it: a directory, files, answers, exit codes."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from cryptography import x509

from holdfast import TrustStore, Verifier
from holdfast._holdfast import POSSESSION_PREFIX, Certificate
from holdfast.authority import KeyAlgorithm
from holdfast.cli.authority import KEY_ALGORITHMS
from holdfast.cli.root import holdfast
from holdfast.possession import CODE_CHARACTERS, Challenge, SignatureProof, signed_message
from holdfast.verify import Policy

from ..house.repository import ROOT
from .papers import DER, ca_extension, csr, usage_extension

if TYPE_CHECKING:
    from collections.abc import Callable

Run = "Callable[..., Answer]"


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """`holdfast authority …` in a directory of its own; a status other than the wanted one is a failure."""
    monkeypatch.chdir(tmp_path)

    def run_it(line: str, *more: str, status: int = 0, code: str | None = None, stdin: bytes | None = None) -> Answer:
        done = CliRunner().invoke(holdfast, ["authority", *line.split(), *more], input=stdin)
        answer = Answer(status=done.exit_code, out=done.stdout, err=done.stderr)
        assert answer.status == status, answer
        if status not in (0, 2):
            assert answer.out == ""
            assert f"({code})" in answer.err, answer
            assert answer.err.count("\n") == 1, answer
        return answer

    return run_it


@pytest.fixture
def tree(run: Callable[..., Answer]) -> Callable[..., Answer]:
    """company.pem, factory.pem (one CA may follow), technician.pem (devices only), each with its key beside it."""
    run("root --out company --name", "Company-X Root")
    for name, above, path_len in (("factory", "company", 1), ("technician", "factory", 0)):
        run(f"request --name {name} --out {name}")
        run(f"sign --ca {above}.pem --csr {name}.csr --path-len {path_len} --out {name}.pem")
    return run


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def chain_of(file: str) -> list[bytes]:
    return [one.public_bytes(DER) for one in x509.load_pem_x509_certificates(Path(file).read_bytes())]


def judged(anchor: str, file: str) -> str | None:
    return Verifier(TrustStore(chain_of(anchor)[-1:]), Policy()).verify(chain_of(file)).common_name


# ── the story ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_whole_story_in_files(tree: Callable[..., Answer], tmp_path: Path) -> None:
    """Company-X → Factory-Y → Technician-Z → three widgets, each key where it was made; the engine accepts them all."""
    (tmp_path / "widgets").mkdir()
    (tmp_path / "widgets.txt").write_text("widget-1\nwidget-2\n\nwidget-3\n")
    tree("request --devices-from widgets.txt --out widgets")
    answer = tree("issue --ca technician.pem --csr widgets --out widgets --json").json
    assert [one["device_id"] for one in answer["devices"]] == ["widget-1", "widget-2", "widget-3"]
    for number in (1, 2, 3):
        file = f"widgets/widget-{number}.pem"
        assert judged("company.pem", file) == f"widget-{number}"
        assert len(chain_of(file)) == 3
        assert answer["devices"][number - 1]["fingerprint"] == Certificate(chain_of(file)[0]).fingerprint
    keys = sorted(str(path) for path in Path().rglob("*.key"))
    assert keys == ["company.key", "factory.key", "technician.key", *(f"widgets/widget-{n}.key" for n in (1, 2, 3))]
    assert {stat.S_IMODE(Path(key).stat().st_mode) for key in keys} == {0o600}
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_answers_are_json_where_asked_and_lines_else(run: Callable[..., Answer]) -> None:
    made = run("root --name Company-X --out a --path-len 2 --days 10 --json").json
    certificate = Certificate(chain_of("a.pem")[0])
    assert made == {
        "subject": "CN=Company-X",
        "issuer": "CN=Company-X",
        "path_len": 2,
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "serial_number": certificate.serial_number,
        "fingerprint": certificate.fingerprint,
        "ignored_extensions": [],
        "certificate": "a.pem",
        "key": "a.key",
    }
    lines = run("request --name Factory-Y --out b").out.splitlines()
    assert lines == ["subject  CN=Factory-Y", "request  b.csr", "key      b.key"]


def test_a_name_with_dots_keeps_them(run: Callable[..., Answer]) -> None:
    run("root --name Company-X --out company.x")
    assert sorted(files()) == ["company.x.key", "company.x.pem"]


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_every_key_algorithm_can_be_asked_for(run: Callable[..., Answer], algorithm: str) -> None:
    run(f"root --name Company-X --out a --key-algorithm {algorithm}")
    assert Certificate(chain_of("a.pem")[0]).public_key_algorithm == algorithm


def test_the_key_algorithms_are_those_of_the_library() -> None:
    assert tuple(one.value for one in KeyAlgorithm) == KEY_ALGORITHMS


def test_a_whole_subject_can_be_given(run: Callable[..., Answer]) -> None:
    answer = run("root --out a --json --subject", "CN=Company-X Root,O=Company\\, X,C=DE").json
    assert answer["subject"] == "CN=Company-X Root,O=Company\\, X,C=DE"
    run("root --out b --subject", "Company-X", status=3, code="subject_invalid")


# ── devices ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_factory_makes_keys_where_no_request_is_given(tree: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "line").mkdir()
    (one,) = tree("issue --ca factory.pem --device widget-1 --out line --json").json["devices"]
    assert (one["device_id"], one["certificate"], one["key"]) == ("widget-1", "line/widget-1.pem", "line/widget-1.key")
    tree("issue --ca factory.pem --devices-from - --device widget-2 --out line", stdin=b"widget-3\r\nwidget-4")
    assert sorted(path.name for path in (tmp_path / "line").iterdir()) == [
        f"widget-{number}.{end}" for number in (1, 2, 3, 4) for end in ("key", "pem")
    ]
    assert judged("company.pem", "line/widget-4.pem") == "widget-4"


@pytest.mark.parametrize("place", [".", "widgets", "widgets/", "elsewhere/"])
def test_files_are_not_named_by_a_directory(tree: Callable[..., Answer], tmp_path: Path, place: str) -> None:
    (tmp_path / "widgets").mkdir(exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    for words in ("root --name X", "request --name X"):
        tree(f"{words} --out {place}", status=2)
    tree("issue --ca factory.pem --device .. --out widgets", status=3, code="device_id_not_a_file_name")
    assert sorted(tmp_path.rglob("*")) == before


def test_ids_beside_requests_say_which_are_expected(tree: Callable[..., Answer]) -> None:
    """E09: a request for another device's id, slipped in among honest ones, is not signed."""
    tree("request --device widget-1 --device widget-2 --out .")
    before = files()
    tree(
        "issue --ca technician.pem --csr widget-1.csr --csr widget-2.csr --device widget-1 --out .",
        status=3,
        code="device_id_mismatch",
    )
    tree(
        "issue --ca technician.pem --csr widget-1.csr --device widget-1 --device widget-2 --out .",
        status=3,
        code="device_id_mismatch",
    )
    assert files() == before
    tree("issue --ca technician.pem --csr widget-1.csr --device widget-1 --out .")
    tree("issue --ca technician.pem --csr widget-2.csr --out .")
    assert judged("company.pem", "widget-2.pem") == "widget-2"


def test_a_list_of_devices_has_a_bound(run: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.cli.authority.DEVICES_FILE_BYTES_MAX", 20)
    for size, status, code in ((20, 0, None), (21, 3, "file_too_large")):
        Path("ids.txt").write_bytes(b"widget-1".ljust(size))
        Path(str(size)).mkdir()
        Path(f"{size}-too").mkdir()
        run(f"request --devices-from ids.txt --out {size}", status=status, code=code)
        run(f"request --devices-from - --out {size}-too", status=status, code=code, stdin=Path("ids.txt").read_bytes())


@pytest.mark.parametrize(
    ("code", "ids"),
    [
        ("no_devices", b""),
        ("no_devices", b"\n \r\n"),
        ("common_name_invalid", b"widget-1\nwidget 2\n"),
        ("common_name_invalid", b"widget-1\nw\xc3\xaddget\n"),
        ("common_name_invalid", "widget-1\n".encode("utf-16")),
        ("common_name_invalid", b"widget-1\n\x00\n"),
        ("common_name_invalid", b"../widget-1"),
        ("common_name_too_long", b"x" * 65),
        ("common_name_reserved", b"HFPOP1-x"),
        ("duplicate_device_id", b"widget-1\nwidget-2\nWidget-1\n"),
    ],
)
def test_refuses_a_list_of_devices_with_one_that_is_none(tree: Callable[..., Answer], code: str, ids: bytes) -> None:
    Path("ids.txt").write_bytes(ids)
    before = files()
    tree("request --devices-from ids.txt --out .", status=3, code=code)
    tree("issue --ca technician.pem --devices-from ids.txt --out .", status=3, code=code)
    tree("issue --ca technician.pem --devices-from - --out .", status=3, code=code, stdin=ids)
    assert files() == before


def test_a_refusal_names_the_line(tree: Callable[..., Answer]) -> None:
    Path("ids.txt").write_text("widget-1\n\nwidget 2\n")
    answer = tree("request --devices-from ids.txt --out .", status=3, code="common_name_invalid")
    assert "ids.txt, line 3:" in answer.err


def test_one_bad_request_among_many_and_none_is_issued(tree: Callable[..., Answer]) -> None:
    tree("request --device widget-1 --device widget-2 --out .")
    whole = Path("widget-2.csr").read_bytes()
    Path("widget-3.csr").write_bytes(whole)
    before = files()
    tree("issue --ca technician.pem --csr . --out .", status=3, code="request_asks_for_ca")  # the CAs' own are here too
    requests = ("--csr", "widget-1.csr", "--csr", "widget-2.csr", "--csr", "widget-3.csr")
    tree("issue --ca technician.pem --out .", *requests, status=3, code="duplicate_device_id")
    Path("widget-3.csr").write_bytes(whole.replace(b"M", b"N", 2))
    before = files()
    answer = tree("issue --ca technician.pem --out .", *requests, status=3, code="bad_request")
    assert "widget-3.csr:" in answer.err
    Path("widget-3.csr").write_bytes(csr("widget\x1b[2J"))
    before = files()
    answer = tree("issue --ca technician.pem --out .", *requests, status=3, code="subject_invalid")
    assert r"request for 'CN=widget\x1b[2J':" in answer.err
    assert files() == before


@pytest.mark.filterwarnings("ignore:Attribute's length must be")
def test_a_name_that_is_too_long_is_refused_in_one_line(tree: Callable[..., Answer]) -> None:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x" * 65, _validate=False)])
    Path("a.csr").write_bytes(csr(subject))
    with spawn("issue", "--ca", "technician.pem", "--csr", "a.csr", "--out", ".") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err.count(b"\n") == 1
    assert err.rstrip().endswith(b"(common_name_too_long)")


def test_a_directory_without_requests_is_refused(tree: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    tree("issue --ca technician.pem --csr empty --out .", status=3, code="no_request")


def test_extensions_that_are_not_granted_are_named(tree: Callable[..., Answer]) -> None:
    san = x509.SubjectAlternativeName([x509.DNSName("widget-2")]), False
    Path("a.csr").write_bytes(csr("widget-1", san))
    Path("b.csr").write_bytes(csr("Line-7", ca_extension(), san))
    for command in ("issue --ca technician.pem --csr a.csr --out .", "sign --ca factory.pem --csr b.csr --out b.pem"):
        answer = tree(command, status=3, code="extension_not_granted")
        assert "SubjectAlternativeName (2.5.29.17)" in answer.err
        signed = tree(f"{command} --ignore-extensions --json").json
        assert signed["ignored_extensions"] == ["SubjectAlternativeName (2.5.29.17)"]
    assert not [e for e in x509.load_pem_x509_certificate(Path("b.pem").read_bytes()).extensions if e.value == san[0]]


def test_e09_a_device_that_asks_to_be_a_ca_is_refused_in_any_case(tree: Callable[..., Answer]) -> None:
    Path("a.csr").write_bytes(csr("widget-1", ca_extension(), usage_extension("key_cert_sign")))
    for more in ("", " --ignore-extensions"):
        tree(f"issue --ca technician.pem --csr a.csr --out .{more}", status=3, code="request_asks_for_ca")


def test_ids_that_no_file_can_be_named_by_are_refused(
    tree: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows a backslash leads into another directory and a colon into a hidden stream; here both are names."""
    for number, name in enumerate(("..\\evil", "widget:1")):
        tree(f"issue --ca technician.pem --device {name} --out .")
        with monkeypatch.context() as windows:
            windows.setattr("holdfast.cli.authority.UNFIT_FOR_FILE_NAMES", set('\\:*?"<>|'))
            tree(f"request --device {name}{number} --out .", status=3, code="device_id_not_a_file_name")


# ── nothing is overwritten, nothing half done ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("taken", ["a.key", "a.pem", "a.csr"])
@pytest.mark.parametrize("kind", ["file", "dangling link", "directory"])
def test_what_exists_is_never_overwritten(tree: Callable[..., Answer], taken: str, kind: str) -> None:
    place = Path(taken)
    if kind == "file":
        place.write_bytes(b"mine")
    elif kind == "directory":
        place.mkdir()
    else:
        place.symlink_to("nowhere")
    before, names = files(), sorted(Path().iterdir())
    commands = {
        "a.key": ["root --name A --out a", "request --name A --out a", "request --device a --out .",
                  "issue --ca technician.pem --device a --out ."],
        "a.pem": ["root --name A --out a", "sign --ca factory.pem --csr technician.csr --out a.pem",
                  "issue --ca technician.pem --device a --out ."],
        "a.csr": ["request --name A --out a", "request --device a --out ."],
    }  # fmt: skip
    for command in commands[taken]:
        tree(command, status=6, code="file_exists")
    assert files() == before
    assert sorted(Path().iterdir()) == names


@pytest.mark.parametrize("command", ["root --name A --out missing/a", "request --device a --out missing"])
def test_refuses_a_directory_that_is_not_there(run: Callable[..., Answer], command: str) -> None:
    run(command, status=3, code="directory_not_found")
    assert list(Path().iterdir()) == []


def test_refuses_outputs_without_a_name(tree: Callable[..., Answer]) -> None:
    before = files()
    tree("sign --ca factory.pem --csr technician.csr --out .", status=6, code="file_exists")
    assert files() == before


def spawn(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "holdfast", "authority", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def staged(directory: Path, *, files_count: int) -> list[Path]:
    """Wait until a command in `directory` has written that many files, none of which is there yet."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [path for path in directory.rglob("*") if path.parent.name.startswith(".holdfast-")]
        if len(found) >= files_count:
            return found
        time.sleep(0.005)
    pytest.fail("nothing was written")


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 128 + signal.SIGINT)]
)
def test_a_command_that_is_stopped_leaves_nothing(
    tree: Callable[..., Answer], sent: signal.Signals, status: int
) -> None:
    out = Path("line").resolve()
    out.mkdir()
    Path("ids.txt").write_text("".join(f"widget-{number}\n" for number in range(20_000)))
    with spawn("request", "--devices-from", "ids.txt", "--out", "line") as process:
        staged(out, files_count=10)
        process.send_signal(sent)
        process.communicate(timeout=60)
    assert process.returncode == status
    assert list(out.iterdir()) == []


def test_f04_a_command_that_is_killed_leaves_nothing_that_others_can_read_or_that_looks_done(
    tree: Callable[..., Answer],
) -> None:
    out = Path("line").resolve()
    out.mkdir()
    Path("ids.txt").write_text("".join(f"widget-{number}\n" for number in range(20_000)))
    with spawn("request", "--devices-from", "ids.txt", "--out", "line") as process:
        staged(out, files_count=10)
        process.kill()
        process.communicate(timeout=60)
    (left,) = out.iterdir()
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in left.glob("*.key")} == {0o600}


# ── every file that is read ────────────────────────────────────────────────────────────────────────────────────────

SIGN = "sign --ca {ca} --key {key} --csr {csr} --out out.pem"
READ = {"ca": "factory.pem", "key": "factory.key", "csr": "technician.csr"}


@pytest.mark.parametrize("which", READ)
def test_refuses_every_input_that_is_no_file_or_too_large(tree: Callable[..., Answer], which: str) -> None:
    Path("directory").mkdir()
    Path("large").write_bytes(b"-----BEGIN " * 6000)
    Path("large").chmod(0o600)
    os.mkfifo("fifo", 0o600)
    before = files_but_fifo()
    for place in ("missing", "directory", "fifo"):
        tree(SIGN.format(**(READ | {which: place})), status=3, code="unreadable_file")
    tree(SIGN.format(**(READ | {which: "large"})), status=3, code="file_too_large")
    assert files_but_fifo() == before


def files_but_fifo() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


@pytest.mark.parametrize("which", READ)
def test_refuses_every_input_that_is_cut_or_random_or_another_ones(tree: Callable[..., Answer], which: str) -> None:
    whole = Path(READ[which]).read_bytes()
    others = [Path(name).read_bytes() for name in READ.values() if name != READ[which]]
    before = files()
    for data in (
        b"",
        whole[: len(whole) // 2],
        b"\x00" * 100,
        os.urandom(500),
        b"\x30\x80",
        *others,
    ):
        Path("bad").write_bytes(data)
        Path("bad").chmod(0o600)
        done = CliRunner().invoke(holdfast, ["authority", *SIGN.format(**(READ | {which: "bad"})).split()])
        assert done.exit_code == 3, (data, done.output)
        assert done.stdout == ""
        assert done.stderr.startswith("holdfast: bad: ")
    Path("bad").unlink()
    assert files() == before


def test_f05_refuses_a_key_that_others_can_read(tree: Callable[..., Answer]) -> None:
    Path("factory.key").chmod(0o640)
    answer = tree(SIGN.format(**READ), status=3, code="secret_file_exposed")
    assert "chmod 600 factory.key" in answer.err


def test_refuses_another_cas_key(tree: Callable[..., Answer]) -> None:
    tree(SIGN.format(**(READ | {"key": "company.key"})), status=3, code="key_mismatch")


def test_refusals_of_the_engine_come_with_its_codes(tree: Callable[..., Answer]) -> None:
    tree("sign --ca technician.pem --csr factory.csr --out out.pem", status=3, code="path_len_exceeded")
    tree("sign --ca factory.pem --csr factory.csr --out out.pem", status=3, code="subject_taken")
    tree("sign --ca company.pem --csr factory.csr --days 36500 --out out.pem", status=3, code="validity_exceeds_issuer")
    tree("request --device widget-1 --out .")
    tree("sign --ca factory.pem --csr widget-1.csr --out out.pem", status=3, code="request_asks_for_device")
    tree("issue --ca technician.pem --csr widget-1.csr --out .")
    tree("sign --ca widget-1.pem --csr factory.csr --out out.pem", status=3, code="not_a_ca")


# ── passphrases ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("hunter2\n")
    file.chmod(0o600)
    return file


def test_a_passphrase_comes_from_a_file_or_the_environment(
    run: Callable[..., Answer], secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CA_PASSPHRASE", "hunter2")
    run(f"root --name Company-X --out a --passphrase-file {secret}")
    assert b"ENCRYPTED PRIVATE KEY" in Path("a.key").read_bytes()
    run("issue --ca a.pem --device widget-1 --out . --passphrase-env CA_PASSPHRASE")
    run(f"issue --ca a.pem --device widget-2 --out . --passphrase-file {secret}")
    assert b"ENCRYPTED" not in Path("widget-1.key").read_bytes()
    run("issue --ca a.pem --device widget-3 --out .", status=3, code="passphrase_needed")
    run("issue --ca a.pem --device widget-3 --out . --passphrase-env NOT_SET", status=3, code="passphrase_needed")
    monkeypatch.setenv("CA_PASSPHRASE", "hunter3")
    run("issue --ca a.pem --device widget-3 --out . --passphrase-env CA_PASSPHRASE", status=3, code="wrong_passphrase")


def test_a_request_can_be_made_with_a_passphrase_too(run: Callable[..., Answer], secret: Path) -> None:
    run(f"request --name Factory-Y --out a --passphrase-file {secret}")
    assert b"ENCRYPTED PRIVATE KEY" in Path("a.key").read_bytes()
    answer = run(f"request --device widget-1 --out . --passphrase-file {secret}", status=2)
    assert "a passphrase goes with a CA's key" in answer.err


def test_refuses_passphrases_that_protect_nothing(run: Callable[..., Answer], secret: Path) -> None:
    run("root --name Company-X --out b")
    run(f"issue --ca b.pem --device widget-1 --out . --passphrase-file {secret}", status=3, code="key_not_encrypted")
    secret.chmod(0o644)
    run(f"root --name Company-X --out a --passphrase-file {secret}", status=3, code="secret_file_exposed")
    secret.chmod(0o600)
    secret.write_text("\n")
    run(f"root --name Company-X --out a --passphrase-file {secret}", status=3, code="empty_passphrase")
    assert not Path("a.key").exists()


def test_passphrases_from_two_places_are_one_too_many(run: Callable[..., Answer], secret: Path) -> None:
    run(f"root --name Company-X --out a --passphrase-file {secret} --ask-passphrase", status=2)


def test_no_option_takes_a_passphrase_itself(run: Callable[..., Answer]) -> None:
    for command in ("root", "request", "sign", "issue", "prove"):
        shown = run(f"{command} --help").out
        assert "--passphrase-file" in shown
        assert "--passphrase " not in shown


def at_a_terminal(*arguments: str, typed: list[bytes]) -> tuple[int, bytes]:
    """Run a command whose standard input and error are a terminal, and type a line each time it asks."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast", "authority", *arguments], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
            if part.rstrip().endswith(b":") and typed:
                os.write(ours, typed.pop(0) + b"\n")
        with process:
            process.wait(60)
    finally:
        os.close(ours)
    return process.returncode, shown


def test_a_passphrase_is_asked_for_at_a_terminal_and_not_shown(run: Callable[..., Answer]) -> None:
    """Twice where a key is made; where one is needed and nothing was said, too."""
    status, shown = at_a_terminal(
        "root", "--name", "Company-X", "--out", "a", "--ask-passphrase", typed=[b"hunter2", b"hunter2"]
    )
    assert status == 0, shown
    assert b"ENCRYPTED PRIVATE KEY" in Path("a.key").read_bytes()
    assert b"hunter2" not in shown
    status, shown = at_a_terminal("issue", "--ca", "a.pem", "--device", "widget-1", "--out", ".", typed=[b"hunter2"])
    assert status == 0, shown
    assert judged("a.pem", "widget-1.pem") == "widget-1"


# ── proofs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def challenge_for(file: str, **fields: Any) -> Challenge:
    certificate = Certificate(chain_of(file)[0])
    standard: dict[str, Any] = {
        "hub": "hub.example",
        "tenant": "default",
        "ca": "company-x",
        "certificate_sha256": certificate.fingerprint,
        "spki_sha256": certificate.spki_sha256,
        "etag": "1",
        "challenge_id": "c-1",
        "code": POSSESSION_PREFIX + "A" * CODE_CHARACTERS,
        "nonce": "0f" * 32,
        "expires_at": datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1),
    }
    challenge = Challenge(**(standard | fields))
    Path("challenge.json").write_text(challenge.to_json())
    return challenge


PROVE = "prove --ca {ca}.pem --hub hub.example --tenant default --challenge challenge.json --out proof"


@pytest.mark.parametrize("ca", ["company", "technician"])
def test_a_proof_by_certificate_is_one_certificate_for_the_code(tree: Callable[..., Answer], ca: str) -> None:
    challenge = challenge_for(f"{ca}.pem")
    answer = tree(PROVE.format(ca=ca) + " --json").json
    assert (answer["hub"], answer["tenant"], answer["ca"]) == ("hub.example", "default", "company-x")
    (der,) = chain_of("proof")
    proof = Certificate(der)
    assert proof.sole_common_name == challenge.code
    proof.check_issued_by(Certificate(chain_of(f"{ca}.pem")[0]))
    proof.check_in_date(datetime.now(UTC))
    assert proof.not_after == challenge.expires_at
    assert not proof.is_ca
    assert sorted(name for name in files() if "proof" in name) == ["proof"]


def test_a_proof_by_signature_signs_the_whole_challenge(tree: Callable[..., Answer]) -> None:
    challenge = challenge_for("factory.pem")
    shown = tree(PROVE.format(ca="factory") + " --method signature").out
    assert "hub.example" in shown
    assert "default" in shown
    proof = SignatureProof.from_json(Path("proof").read_bytes())
    assert (proof.challenge_id, proof.algorithm) == ("c-1", "ecdsa-p256-sha256")
    Certificate(chain_of("factory.pem")[0]).verify_signature(signed_message(challenge), proof.signature)


@pytest.mark.parametrize("method", ["certificate", "signature"])
@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("wrong_hub", {"hub": "other.example"}),
        ("wrong_tenant", {"tenant": "other"}),
        ("wrong_ca", {"certificate_sha256": "00" * 32}),
        ("wrong_ca", {"spki_sha256": "00" * 32}),
        ("challenge_expired", {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}),
    ],
)
def test_o02_refuses_to_answer_a_challenge_that_is_anothers(
    tree: Callable[..., Answer], method: str, code: str, fields: dict[str, Any]
) -> None:
    challenge_for("company.pem", **fields)
    tree(PROVE.format(ca="company") + f" --method {method}", status=1, code=code)
    assert not Path("proof").exists()


def test_o10_refuses_to_answer_with_a_renewed_certificate(tree: Callable[..., Answer]) -> None:
    """The same key and name, another certificate: the challenge says which was meant."""
    challenge_for("factory.pem")
    tree("sign --ca company.pem --csr factory.csr --path-len 1 --out renewed.pem")
    tree(PROVE.format(ca="renewed") + " --key factory.key", status=1, code="wrong_ca")
    tree(PROVE.format(ca="factory"))


def test_refuses_what_is_no_challenge(tree: Callable[..., Answer]) -> None:
    for data in (b"", b"{}", os.urandom(200), Path("company.pem").read_bytes()):
        Path("challenge.json").write_bytes(data)
        tree(PROVE.format(ca="company"), status=3, code="bad_challenge")
    Path("challenge.json").write_bytes(b" " * (16 * 1024 + 1))
    tree(PROVE.format(ca="company"), status=3, code="file_too_large")
    assert not Path("proof").exists()


def test_a_proof_is_never_written_over_anything(tree: Callable[..., Answer]) -> None:
    challenge_for("company.pem")
    Path("proof").write_text("mine")
    tree(PROVE.format(ca="company"), status=6, code="file_exists")
    assert Path("proof").read_text() == "mine"


def test_the_tree_of_the_documentation_is_made_as_it_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("widgets.txt").write_text("widget-1\nwidget-2\n")
    documented = (ROOT / "docs" / "authority.md").read_text().partition("```sh\n")[2].partition("```")[0]
    script = f'holdfast() {{ "{sys.executable}" -m holdfast "$@"; }}\n{documented}'
    subprocess.run(["/bin/sh", "-e", "-c", script], check=True, timeout=120, capture_output=True)
    for device_id in ("widget-1", "widget-2"):
        assert judged("company-x.pem", f"widgets/{device_id}.pem") == device_id


# ── usage ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "line",
    [
        "root --out a",
        "root --name A --subject CN=A --out a",
        "root --name A --out a --days 0",
        "root --name A --out a --days 36501",
        "root --name A --out a --path-len -1",
        "root --name A --out a --key-algorithm ed25519",
        "request --out a",
        "request --name A --device b --out a",
        "issue --ca technician.pem --out .",
        "prove --ca company.pem --challenge challenge.json --out proof",
        "prove --ca company.pem --hub hub.example --challenge challenge.json --out proof",
    ],
)
def test_usage_that_makes_no_sense_is_refused(tree: Callable[..., Answer], line: str) -> None:
    before = files()
    tree(line, status=2)
    assert files() == before


def test_errors_are_json_where_json_is_asked_for(run: Callable[..., Answer]) -> None:
    with spawn("issue", "--ca", "none.pem", "--device", "a", "--out", ".", "--json") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (3, b"")
    assert json.loads(err) == {
        "error": "unreadable_file",
        "message": "cannot read none.pem: No such file or directory",
        "hint": None,
    }


def test_help_needs_no_cryptography() -> None:
    """`--help` stays quick: the library that signs is loaded by the command that signs."""
    script = (
        "import sys; from click.testing import CliRunner; from holdfast.cli.root import holdfast\n"
        "for line in (['authority'], ['authority', 'issue']):\n"
        "    assert CliRunner().invoke(holdfast, [*line, '--help']).exit_code == 0\n"
        "assert 'holdfast.cli.authority' in sys.modules\n"
        "assert not {'cryptography', 'holdfast.authority', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
