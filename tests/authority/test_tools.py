"""What others make of our files: OpenSSL, Python's ssl, mosquitto's client."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from holdfast.authority import (
    Issuer,
    KeyAlgorithm,
    Profile,
    generate_key,
    issue_devices,
    key_to_pem,
    load_issuer,
    make_request,
    make_root,
    prove_by_certificate,
    read_key,
    read_request,
    sign_intermediate,
    subject_named,
)

from .papers import PEM, refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime.now(UTC).replace(microsecond=0)


def openssl(*arguments: object, **options: Any) -> str:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made() -> dict[str, Issuer]:
    """RSA root, P-384 factory, P-256 technician; they are valid now, because these tools look at the clock."""
    company = make_root(subject=subject_named("Company-X Root"), key=generate_key(KeyAlgorithm.RSA_3072), at=NOW)
    tree = {"company": company}
    for name, above, algorithm, path_len in (
        ("factory", "company", KeyAlgorithm.ECDSA_P384, 1),
        ("technician", "factory", KeyAlgorithm.ECDSA_P256, 0),
    ):
        key = generate_key(algorithm)
        request = read_request(make_request(subject=subject_named(name), key=key, profile=Profile.CA))
        issued = sign_intermediate(tree[above], request, path_len=path_len, at=NOW)
        tree[name] = load_issuer(certificates=issued.pem, key=key, at=NOW)
    return tree


@pytest.fixture
def place(tmp_path: Path, made: dict[str, Issuer]) -> Path:
    """root.pem; widget.pem with its chain, widget.key and widget.csr."""
    key = generate_key()
    request = make_request(subject=subject_named("widget-1"), key=key, profile=Profile.DEVICE)
    (device,) = issue_devices(made["technician"], [read_request(request)], at=NOW)
    (tmp_path / "root.pem").write_bytes(made["company"].pem)
    (tmp_path / "widget.pem").write_bytes(device.pem)
    (tmp_path / "widget.key").write_bytes(key_to_pem(key))
    (tmp_path / "widget.csr").write_bytes(request)
    return tmp_path


# ── OpenSSL ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_openssl_verifies_a_chain_strictly_and_for_its_purpose(place: Path) -> None:
    shown = openssl(
        "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", place / "root.pem",
        "-untrusted", place / "widget.pem", place / "widget.pem",
    )  # fmt: skip
    assert shown.strip().endswith("OK")


def test_openssl_does_not_take_a_device_for_a_server_or_a_ca(place: Path) -> None:
    for purpose in ("sslserver", "crlsign", "smimesign"):
        done = subprocess.run(
            ["openssl", "verify", "-purpose", purpose, "-CAfile", place / "root.pem",
             "-untrusted", place / "widget.pem", place / "widget.pem"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode != 0, purpose
        assert "purpose" in done.stderr or "invalid CA" in done.stderr


def test_openssl_reads_what_a_person_wants_to_see(place: Path) -> None:
    shown = openssl("x509", "-in", place / "widget.pem", "-noout", "-text")
    for wanted in (
        "Subject: CN = widget-1",
        "Issuer: CN = technician",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Client Authentication",
        "X509v3 Authority Key Identifier",
    ):
        assert wanted in shown
    root = openssl("x509", "-in", place / "root.pem", "-noout", "-text")
    assert "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n" in root
    assert "CA:TRUE\n" in root


def test_openssl_reads_a_key_and_a_request(place: Path) -> None:
    assert "Key is valid" in openssl("pkey", "-in", place / "widget.key", "-noout", "-check")
    shown = openssl("req", "-in", place / "widget.csr", "-noout", "-verify", "-subject")
    assert "widget-1" in shown


def test_requests_by_openssl_are_signed(made: dict[str, Issuer], tmp_path: Path) -> None:
    """Plain, as most makers' scripts do it; and with SHA-1, which is refused."""
    key, request = tmp_path / "key", tmp_path / "csr"
    common = ("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-config", "/dev/null")
    openssl(*common, "-subj", "/CN=widget-7/O=Company-X")
    (device,) = issue_devices(made["technician"], [read_request(request.read_bytes())], at=NOW)
    assert device.certificate.device_id == "widget-7"
    openssl(*common, "-subj", "/CN=line-7", "-outform", "DER")
    issued = sign_intermediate(made["factory"], read_request(request.read_bytes()), at=NOW)
    assert issued.certificate.subject == "CN=line-7"
    openssl(*common, "-subj", "/CN=widget-7", "-sha1")
    refused("unsupported_signature_algorithm", lambda: read_request(request.read_bytes()))


def test_keys_by_openssl_are_read(tmp_path: Path) -> None:
    for arguments in (
        ("ecparam", "-genkey", "-name", "prime256v1"),
        ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
        ("genrsa", "2048"),
        ("genrsa", "-traditional", "2048"),
    ):
        openssl(arguments[0], "-out", tmp_path / "key", *arguments[1:])
        read_key((tmp_path / "key").read_bytes())
    openssl("genpkey", "-algorithm", "RSA", "-aes256", "-pass", "pass:hunter2", "-out", tmp_path / "key")
    read_key((tmp_path / "key").read_bytes(), b"hunter2")
    openssl("genpkey", "-algorithm", "ED25519", "-out", tmp_path / "key")
    refused("unsupported_private_key", lambda: read_key((tmp_path / "key").read_bytes()))


def test_openssl_verifies_below_a_bought_ca(tmp_path: Path) -> None:
    """A CA whose certificate openssl made, in another name order, and that is no root: devices below it verify."""
    provider, own, request = generate_key(KeyAlgorithm.RSA_2048), generate_key(), tmp_path / "csr"
    request.write_bytes(make_request(subject=subject_named("Company-X Issuing CA"), key=own, profile=Profile.CA))
    (tmp_path / "provider.key").write_bytes(key_to_pem(provider))
    openssl(
        "req", "-x509", "-new", "-key", tmp_path / "provider.key", "-subj", "/C=DE/O=Provider/CN=Provider Root",
        "-days", "30", "-out", tmp_path / "provider.pem", "-config", "/dev/null",
        "-addext", "basicConstraints=critical,CA:TRUE",
    )  # fmt: skip
    (tmp_path / "ext").write_text("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=keyCertSign\n")
    openssl(
        "x509", "-req", "-in", request, "-CA", tmp_path / "provider.pem", "-CAkey", tmp_path / "provider.key",
        "-CAcreateserial", "-days", "20", "-extfile", tmp_path / "ext", "-out", tmp_path / "company.pem",
    )  # fmt: skip
    soon = NOW + timedelta(minutes=1)
    company = load_issuer(certificates=(tmp_path / "company.pem").read_bytes(), key=own, at=soon)
    request.write_bytes(make_request(subject=subject_named("widget-1"), key=generate_key(), profile=Profile.DEVICE))
    (device,) = issue_devices(company, [read_request(request.read_bytes())], at=soon)
    (tmp_path / "widget.pem").write_bytes(device.pem)
    for trusted, more in (("provider.pem", []), ("company.pem", ["-partial_chain"])):
        openssl(
            "verify", *more, "-attime", int(soon.timestamp()), "-CAfile", tmp_path / trusted,
            "-untrusted", tmp_path / "widget.pem", tmp_path / "widget.pem",
        )  # fmt: skip


def test_openssl_verifies_a_verification_certificate(made: dict[str, Issuer], tmp_path: Path) -> None:
    code = "HFPOP1-" + "A" * 52
    proof = prove_by_certificate(made["company"], code=code, not_after=NOW + timedelta(hours=1), at=NOW)
    (tmp_path / "root.pem").write_bytes(made["company"].pem)
    (tmp_path / "proof.pem").write_bytes(proof.pem)
    openssl("verify", "-x509_strict", "-CAfile", tmp_path / "root.pem", tmp_path / "proof.pem")
    assert code in openssl("x509", "-in", tmp_path / "proof.pem", "-noout", "-subject")


# ── TLS clients ────────────────────────────────────────────────────────────────────────────────────────────────────


class Listener:
    """A TLS server by Python's ssl that knows only the root, wants a client certificate, and remembers who came."""

    def __init__(self, place: Path) -> None:
        name = "localhost"
        key = generate_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(minutes=5))
            .not_valid_after(NOW + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate = place / "server.pem"
        self.certificate.write_bytes(own.public_bytes(PEM))
        (place / "server.key").write_bytes(key_to_pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, place / "server.key")
        context.load_verify_locations(place / "root.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.came: str | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)
        self._socket.close()

    def _serve(self) -> None:
        self._socket.settimeout(20)
        accepted, _ = self._socket.accept()
        accepted.settimeout(20)
        with self._context.wrap_socket(accepted, server_side=True) as connection:
            shown = connection.getpeercert()
            connection.recv(1)  # in TLS 1.3 the client's certificate comes after the handshake of its own side
        assert shown is not None
        self.came = dict(pair for rdn in shown["subject"] for pair in rdn)["commonName"]  # type: ignore[misc]


@pytest.fixture
def listener(place: Path) -> Callable[[], Listener]:
    return lambda: Listener(place)


def test_pythons_ssl_presents_the_chain(place: Path, listener: Callable[[], Listener]) -> None:
    """As the device SDKs do: one file with the chain, one with the key."""
    with listener() as server:
        context = ssl.create_default_context(cafile=str(server.certificate))
        context.load_cert_chain(place / "widget.pem", place / "widget.key")
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(b"x")
    assert server.came == "widget-1"


@pytest.mark.services
@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed")
def test_mosquittos_client_presents_the_chain(place: Path, listener: Callable[[], Listener]) -> None:
    with listener() as server:
        subprocess.run(
            ["mosquitto_pub", "-h", "localhost", "-p", str(server.port), "--cafile", server.certificate,
             "--cert", place / "widget.pem", "--key", place / "widget.key", "-t", "t", "-m", "m"],
            capture_output=True, check=False, timeout=30,
        )  # fmt: skip
    assert server.came == "widget-1"
