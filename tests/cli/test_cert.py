"""`holdfast cert`: certificates out of every kind of file, verdicts with their reasons, for people and for programs."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from holdfast.cli.bundles import ELEMENTS_COUNT_MAX, read_certificates
from holdfast.cli.root import holdfast

from ..support import der, forge
from ..support.forge import AT, CLIENT_AUTH, SERVER_AUTH, dns, honest, p256, san

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

AT_SECONDS = str(int(AT.timestamp()))
DEVICE, TECHNICIAN, FACTORY, ROOT = honest().encode()


def serial(certificate: bytes) -> bytes:
    return der.inside(der.inside(certificate)[0][2])[1][1]


def pem(*ders: bytes, label: str = "CERTIFICATE") -> bytes:
    blocks = (f"-----BEGIN {label}-----\n{base64.encodebytes(one).decode()}-----END {label}-----\n" for one in ders)
    return "".join(blocks).encode()


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root.pem").write_bytes(pem(ROOT))
    (tmp_path / "chain.pem").write_bytes(pem(DEVICE, TECHNICIAN, FACTORY))


def cert(*words: str, stdin: bytes = b"") -> Result:
    """The command in this process: it is asked many times here."""
    with patch.object(sys, "argv", ["holdfast", "cert", *words]):
        return CliRunner().invoke(holdfast, ["cert", *words], input=stdin, catch_exceptions=False)


def records(*words: str, status: int = 0, stdin: bytes = b"") -> list[dict[str, Any]]:
    finished = cert(*words, "--json", stdin=stdin)
    assert finished.exit_code == status, finished
    return [json.loads(line) for line in finished.stdout.splitlines()]


def verdict(*words: str, status: int = 0, file: str = "chain.pem", stdin: bytes = b"") -> dict[str, Any]:
    (record,) = records(
        "verify", "-CAfile", "root.pem", "-attime", AT_SECONDS, *words, file, status=status, stdin=stdin
    )
    return record


def refused(*words: str, file: str = "chain.pem") -> tuple[str, int | None]:
    record = verdict(*words, status=1, file=file)
    assert not record["accepted"]
    return record["code"], record["position"]


def complaint(*words: str, status: int = 3) -> str:
    finished = cert(*words, "--json")
    assert (finished.exit_code, finished.stdout) == (status, ""), finished
    code: str = json.loads(finished.stderr.splitlines()[-1])["error"]
    return code


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_kind_of_file_holds_the_same_certificates(tmp_path: Path) -> None:
    wanted = [DEVICE, TECHNICIAN, FACTORY]
    bundle = pkcs7.serialize_certificates([x509.load_der_x509_certificate(one) for one in wanted], Encoding.DER)
    files = {
        "pem": pem(*wanted),
        "text around": b"widget-1\n" + pem(DEVICE) + b"above it:\n" + pem(TECHNICIAN, FACTORY),
        "old label": pem(*wanted, label="X509 CERTIFICATE"),
        "der, one after another": b"".join(wanted),
        "pkcs7": bundle,
        "pkcs7 in pem": pem(bundle, label="PKCS7"),
    }
    fingerprints = {
        name: {one["fingerprint"] for one in records("inspect", "-", stdin=data)} for name, data in files.items()
    }
    assert len(fingerprints["pem"]) == 3
    assert all(found == fingerprints["pem"] for found in fingerprints.values())
    (tmp_path / "device.der").write_bytes(DEVICE)
    (only,) = records("inspect", "device.der")
    assert (only["subject"], only["device_id"], only["role"]) == ("CN=widget-1", "widget-1", "end entity")


def test_a_file_without_certificates_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("no certificate\n")
    (tmp_path / "key.pem").write_bytes(pem(b"\x30\x00", label="EC PRIVATE KEY"))
    (tmp_path / "cut.pem").write_bytes(pem(DEVICE)[:-30])
    (tmp_path / "cut.p7b").write_bytes(bytes.fromhex("308006092a864886f70d010702"))
    wanted = {
        "words": "no_certificate",
        "key.pem": "no_certificate",
        "cut.pem": "bad_pem",
        "cut.p7b": "no_certificate",
        "nothing.pem": "unreadable_file",
    }
    for command in (("inspect",), ("verify", "-CAfile", "root.pem")):
        found = records(*command, *wanted, status=3)
        assert {one["file"]: one["error"] for one in found} == wanted
        assert all(one["file"] in one["message"] for one in found)


def test_a_file_that_cannot_be_read_keeps_no_other_from_its_turn() -> None:
    files = ("nothing.pem", "chain.pem", "neither.pem")
    shown = records("inspect", *files, status=3)
    assert [one["file"] for one in shown] == ["nothing.pem", *["chain.pem"] * 3, "neither.pem"]
    judged = records("verify", "-CAfile", "root.pem", "-attime", AT_SECONDS, *files, status=3)
    assert [one.get("error", one.get("accepted")) for one in judged] == ["unreadable_file", True, "unreadable_file"]
    told = cert("verify", "-CAfile", "root.pem", "-attime", AT_SECONDS, *files)
    assert told.exit_code == 3
    assert "CN=widget-1" in told.stdout
    assert [line.partition(" (")[0] for line in told.stderr.splitlines()] == [
        f"holdfast: cannot read {name}: No such file or directory" for name in (files[0], files[2])
    ]


def test_a_file_from_windows_may_begin_with_its_mark(tmp_path: Path) -> None:
    (tmp_path / "marked.pem").write_bytes(b"\xef\xbb\xbf" + pem(DEVICE, TECHNICIAN, FACTORY))
    assert len(records("inspect", "marked.pem")) == 3


def test_a_bundle_of_openssl_s_is_read_without_a_word(tmp_path: Path) -> None:
    """It is BER, not DER: what of `cryptography`'s warns of that, warns its own users."""
    command = ["openssl", "crl2pkcs7", "-nocrl", "-certfile", "chain.pem", "-out", "chain.p7b"]
    subprocess.run(command, check=True, capture_output=True)
    run = [sys.executable, "-W", "always", "-m", "holdfast", "cert", "inspect", "chain.p7b", "--json"]
    shown = subprocess.run(run, check=False, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr, shown.stdout.count("\n")) == (0, "", 3)


def test_a_key_beside_the_chain_is_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_bytes(pem(DEVICE, TECHNICIAN, FACTORY) + pem(b"secret", label="PRIVATE KEY"))
    finished = cert("verify", "-CAfile", "root.pem", "-attime", AT_SECONDS, "both.pem")
    assert finished.exit_code == 0
    assert finished.stderr == "holdfast: both.pem: left out: PRIVATE KEY\n"
    assert "secret" not in finished.stdout + finished.stderr


def test_elements_of_der_are_read_in_linear_time_and_are_not_without_bound(tmp_path: Path) -> None:
    """The smallest that there can be, one after another: as many as are allowed, told apart, and one more."""
    least = b"\x30\x00"
    path = tmp_path / "many.der"
    path.write_bytes(least * ELEMENTS_COUNT_MAX)
    began = time.process_time()
    assert read_certificates(path) == [least] * ELEMENTS_COUNT_MAX
    assert time.process_time() - began < 2, "quadratic, they took ten seconds and more"
    path.write_bytes(least * (ELEMENTS_COUNT_MAX + 1))
    assert records("inspect", "many.der", status=3)[0]["error"] == "file_too_large"
    path.write_bytes(least * 2 + b"\x30\x85\x01\x00\x00\x00\x00" + least + b"\x31")
    assert read_certificates(path) == [least, least, b"\x30\x85\x01\x00\x00\x00\x00" + least + b"\x31"]


def test_a_verdict_on_a_long_chain_takes_linear_time(tmp_path: Path) -> None:
    """What the engine says of a chain is as long as the chain: asked for again at each place, it took minutes."""
    (tmp_path / "many.der").write_bytes(b"\x30\x00" * 20_000)
    began = time.process_time()
    assert len(verdict(status=1, file="many.der")["path"]) == 20_000
    assert time.process_time() - began < 2


# ── inspect ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_inspect_tells_what_a_certificate_says(tmp_path: Path) -> None:
    constrained = forge.constraints([dns("a.example")], [forge.email("b.example")])
    chain = honest(CLIENT_AUTH, san(dns("w.example"), forge.email("w@a.example"))).extend(1, constrained).encode()
    (tmp_path / "full.pem").write_bytes(pem(*chain))
    device, technician, factory, root = records("inspect", "full.pem", "--at", AT.isoformat())
    values = {one["name"]: one["value"] for one in device["extensions"]}
    assert values["basicConstraints"] == "CA:false"
    assert values["keyUsage"] == "digitalSignature"
    assert values["extKeyUsage"] == "clientAuth"
    assert values["subjectAltName"] == "DNS:w.example, email:w@a.example"
    assert device["public_key"] == "ecdsa-p256"
    assert device["signature"] == "ecdsa-sha256"
    named = {one["name"]: one for one in technician["extensions"]}
    assert named["nameConstraints"]["value"] == "permitted DNS:a.example; excluded email:b.example"
    assert named["nameConstraints"]["critical"]
    assert factory["role"].startswith("intermediate CA")
    assert root["role"] == "root CA"
    assert all(one["in_date"] for one in (device, technician, factory, root))


def test_inspect_puts_the_reason_where_the_certificate_would_be(tmp_path: Path) -> None:
    (tmp_path / "damaged.pem").write_bytes(pem(DEVICE, TECHNICIAN[:-1], FACTORY))
    good, bad, after = records("inspect", "damaged.pem", status=1)
    assert (good["code"], after["code"]) == (None, None)
    assert bad["code"] == "der_truncated"
    assert bad["mend"]
    shown = cert("inspect", "damaged.pem")
    assert shown.exit_code == 1
    assert "cannot be read" in shown.stdout


def test_what_a_name_holds_cannot_move_the_cursor(tmp_path: Path) -> None:
    hostile = honest().change(0, subject=forge.name("widget\x1b[2J\u202e[bold]")).encode()
    (tmp_path / "hostile.pem").write_bytes(pem(*hostile[:3]))
    for words in (("inspect",), ("verify", "-CAfile", "root.pem")):
        shown = cert(*words, "hostile.pem").stdout
        assert "[2J" in shown, "what makes it a command is not there to be taken away"
        assert shown.isprintable() or not {one for one in shown if not one.isprintable()} - {"\n"}
        assert "[bold]" in shown, "names are no markup"


# ── verify ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_good_chain_is_accepted_with_every_rule_of_every_certificate() -> None:
    record = verdict()
    assert (record["accepted"], record["code"], record["common_name"]) == (True, None, "widget-1")
    assert [one["role"] for one in record["path"]] == ["end entity", "intermediate", "intermediate", "anchor"]
    assert all(rule["kept"] and not rule["refusing"] for one in record["path"] for rule in one["rules"])
    assert {"in date", "signature", "key usage"} <= {rule["rule"] for rule in record["path"][0]["rules"]}


def test_a_refusal_names_all_there_is_to_know(tmp_path: Path) -> None:
    """Technician-Z may not sign certificates: its key usage says so."""
    (tmp_path / "bad.pem").write_bytes(pem(*honest().extend(1, forge.key_usage(forge.CRL_SIGN)).encode()[:3]))
    record = verdict(status=1, file="bad.pem")
    assert (record["code"], record["position"], record["rule"]) == ("key_usage_not_allowed", 1, "key usage")
    assert record["section"].startswith("RFC 5280")
    assert all(record[field] for field in ("found", "wanted", "mend"))
    (refusing,) = [rule for one in record["path"] for rule in one["rules"] if rule["refusing"]]
    assert (refusing["code"], refusing["found"]) == (record["code"], record["found"])
    shown = cert("verify", "-CAfile", "root.pem", "-attime", AT_SECONDS, "bad.pem")
    assert shown.exit_code == 1
    for text in ("refused", "key_usage_not_allowed", "CN=Technician-Z", record["path"][1]["fingerprint"]):
        assert text in shown.stdout
    for field in ("section", "found", "wanted", "mend"):
        assert record[field] in " ".join(shown.stdout.split())
    assert "\x1b" not in shown.stdout
    assert not any(line.endswith(" ") for line in shown.stdout.splitlines())


def test_times_are_seconds_or_iso_8601() -> None:
    late = AT + timedelta(days=365 * 40)
    assert refused("--at", late.isoformat()) == ("expired", 0)
    assert refused("-attime", str(int(late.timestamp()))) == ("expired", 0)
    assert refused("--at", late.replace(tzinfo=None).isoformat()) == ("expired", 0)
    assert verdict("--at", AT.isoformat())["accepted"]
    assert cert("verify", "--ca-file", "root.pem", "--at", "tomorrow", "chain.pem").exit_code == 2


def test_untrusted_certificates_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "device.pem").write_bytes(pem(DEVICE))
    (tmp_path / "others.der").write_bytes(FACTORY + TECHNICIAN)
    assert refused(file="device.pem") == ("unknown_issuer", 0)
    assert verdict("-untrusted", "others.der", file="device.pem")["accepted"]
    assert verdict("--untrusted", "others.der", file="device.pem")["accepted"]


def test_a_server_is_judged_under_its_name(tmp_path: Path) -> None:
    server = honest(SERVER_AUTH, san(dns("hub.example.com"), forge.ip(192, 0, 2, 1))).encode()
    (tmp_path / "chain.pem").write_bytes(pem(*server[:3]))
    for words in (("-verify_hostname", "hub.example.com"), ("--server-name", "192.0.2.1"), ("-verify_ip", "192.0.2.1")):
        assert verdict(*words)["accepted"]
        assert verdict(*words, "-purpose", "sslserver")["accepted"]
    assert refused("--server-name", "other.example.com") == ("server_name_mismatch", 0)
    assert refused("-purpose", "sslclient") == ("extended_key_usage_not_allowed", 0)
    assert complaint("verify", "-CAfile", "root.pem", "--purpose", "server", "chain.pem") == "server_name_missing"


def test_revocation_is_asked_as_openssl_asks_it(tmp_path: Path) -> None:
    keys = {"Technician-Z": "technician", "Factory-Y": "factory", "Company-X Root": "root"}
    lists = [forge.crl(issuer, p256(key)) for issuer, key in keys.items()]
    revoked = forge.crl("Factory-Y", p256("factory"), forge.Revoked(int.from_bytes(serial(TECHNICIAN))))
    (tmp_path / "all.pem").write_bytes(pem(*lists, label="X509 CRL"))
    (tmp_path / "one.der").write_bytes(lists[0])
    (tmp_path / "revoked.pem").write_bytes(pem(*lists, revoked, label="X509 CRL"))
    assert verdict("-crl_check_all", "-CRLfile", "all.pem")["accepted"]
    assert verdict("--crl-check", "--crl-file", "one.der")["accepted"]
    assert refused("--crl-file", "one.der") == ("crl_missing", 2), "lists that are given are asked about the whole path"
    assert refused("--crl-file", "revoked.pem") == ("certificate_revoked", 1)
    assert verdict("--crl-file", "revoked.pem", "--crl-check")["accepted"]
    assert refused("-crl_check") == ("crl_missing", 0)
    assert refused("--crl-check-all") == ("crl_missing", 2)
    (tmp_path / "words.pem").write_bytes(pem(b"\x30\x00", label="X509 CRL"))
    assert complaint("verify", "-CAfile", "root.pem", "-CRLfile", "words.pem", "chain.pem") == "bad_crl"


def test_a_file_that_holds_no_revocation_list_is_none(tmp_path: Path) -> None:
    """Each is refused, also where an unknown status is let through: nobody would notice that nothing was asked."""
    key, request = b"\x30\x00", b"\x30\x02\x05\x00"
    files = {
        "key.pem": pem(key, label="EC PRIVATE KEY"),
        "request.pem": pem(request, label="CERTIFICATE REQUEST"),
        "chain-again.pem": pem(DEVICE, FACTORY),
        "key.der": key,
        "certificate.der": DEVICE,
        "words": b"no list\n",
    }
    lenient = ("--lenient", "unknown-revocation-status")
    for name, contents in files.items():
        (tmp_path / name).write_bytes(contents)
        assert complaint("verify", "-CAfile", "root.pem", *lenient, "--crl-file", name, "chain.pem") == "bad_crl"
    finished = cert("verify", "-CAfile", "root.pem", *lenient, "--crl-file", "request.pem", "chain.pem")
    assert "there is no revocation list in request.pem, but CERTIFICATE REQUEST (bad_crl)" in finished.stderr
    (tmp_path / "both.pem").write_bytes(
        pem(forge.crl("Technician-Z", p256("technician")), label="X509 CRL") + files["key.pem"]
    )
    both = ("--crl-file", "both.pem", "--crl-check", "-attime", AT_SECONDS)
    finished = cert("verify", "-CAfile", "root.pem", *both, "chain.pem")
    assert (finished.exit_code, finished.stderr) == (0, "holdfast: both.pem: left out: EC PRIVATE KEY\n")


def test_a_limit_and_a_leniency_reach_the_policy(tmp_path: Path) -> None:
    assert refused("-verify_depth", "1") == ("max_intermediates_exceeded", 1)
    assert verdict("--max-intermediates", "2")["accepted"]
    (tmp_path / "odd.pem").write_bytes(pem(*honest().change(0, serial=der.integer(0)).encode()[:3]))
    assert refused(file="odd.pem") == ("invalid_serial_number", 0)
    assert verdict("--lenient", "issuance", file="odd.pem")["accepted"]
    assert refused("-explicit_policy")[0] == "policy_not_valid"
    assert refused("-policy", "1.2.3")[0] == "policy_not_valid"
    assert complaint("verify", "-CAfile", "root.pem", "--policy", "x", "chain.pem") == "invalid_policy_oid"


def test_each_file_is_a_chain_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "stranger.pem").write_bytes(pem(*honest().change(0, issuer=forge.name("Nobody")).encode()[:3]))
    good, bad = records("verify", "-CAfile", "root.pem", "-attime", AT_SECONDS, "chain.pem", "stranger.pem", status=1)
    assert (good["file"], good["accepted"]) == ("chain.pem", True)
    assert (bad["file"], bad["code"]) == ("stranger.pem", "unknown_issuer")


def test_an_anchor_named_twice_is_the_same_anchor(tmp_path: Path) -> None:
    other = honest().change(3, subject=forge.name("Company-Q"), issuer=forge.name("Company-Q")).encode()[3]
    (tmp_path / "roots.pem").write_bytes(pem(other, other, ROOT, ROOT))
    record = verdict("--ca-file", "roots.pem")
    assert record["accepted"]
    assert record["path"][-1]["subject"] == "CN=Company-X Root"


def test_what_cannot_be_trusted_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "cut.der").write_bytes(ROOT[:-1])
    assert complaint("verify", "-CAfile", "cut.der", "chain.pem") == "bad_anchor"
    assert cert("verify", "chain.pem").exit_code == 2, "nothing is trusted unless it is named"


def test_a_certificate_that_cannot_be_read_is_named_among_the_others(tmp_path: Path) -> None:
    (tmp_path / "cut.pem").write_bytes(pem(DEVICE, TECHNICIAN[:-1], FACTORY))
    record = verdict(status=1, file="cut.pem")
    assert (record["code"], record["position"]) == ("der_truncated", 1)
    assert [one["subject"] is None for one in record["path"]] == [False, True, False]
    assert record["mend"]
    assert record["section"]


@pytest.mark.services
def test_openssl_says_the_same_to_the_same_options(tmp_path: Path) -> None:
    (tmp_path / "leaf.pem").write_bytes(pem(DEVICE))
    late = str(int((AT + timedelta(days=365 * 40)).timestamp()))
    for moment, status in ((AT_SECONDS, 0), (late, 1)):
        words = ["-CAfile", "root.pem", "-untrusted", "chain.pem", "-purpose", "sslclient", "-x509_strict"]
        words += ["-attime", moment, "leaf.pem"]
        openssl = subprocess.run(["openssl", "verify", *words], capture_output=True, check=False)
        assert (openssl.returncode != 0, cert("verify", *words).exit_code) == (status != 0, status)


def test_the_command_itself_answers() -> None:
    words = ("verify", "-CAfile", "root.pem", "-attime", AT_SECONDS, "chain.pem")
    finished = subprocess.run([sys.executable, "-m", "holdfast", "cert", *words], capture_output=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, b"")
    assert finished.stdout.decode() == cert(*words).stdout
