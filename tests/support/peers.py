"""Three other verifiers, asked the same question: `cryptography`, rustls-webpki, and the `openssl` program."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cryptography
from cryptography import x509
from cryptography.x509 import verification

from holdfast import HoldfastError, Policy, Purpose, TrustStore, Verifier

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Question:
    """A chain in DER, end entity first; the roots it may end at; the time; a server's name."""

    chain: Sequence[bytes]
    roots: Sequence[bytes]
    at: datetime
    server_name: str | None = None
    max_intermediates: int | None = None
    crls: Sequence[bytes] = ()

    @property
    def purpose(self) -> Purpose:
        return Purpose.CLIENT_AUTH if self.server_name is None else Purpose.SERVER_AUTH


def ours(question: Question, **policy: object) -> str | None:
    """Our code, or None for yes; so do the others answer."""
    fields: dict[str, object] = {"purpose": question.purpose, "server_name": question.server_name}
    if question.max_intermediates is not None:
        fields["max_intermediates"] = question.max_intermediates
    if question.crls:
        fields["crls"] = tuple(question.crls)
    try:
        verifier = Verifier(TrustStore(question.roots), Policy(**{**fields, **policy}))  # type: ignore[arg-type]
        verifier.verify(question.chain, question.at)
    except HoldfastError as error:
        return error.code
    return None


# A device's certificate without alternative names: the one thing in which the web's profile would refuse all of ours.
DEVICE = verification.ExtensionPolicy.webpki_defaults_ee().may_be_present(
    x509.SubjectAlternativeName, verification.Criticality.AGNOSTIC, None
)


def pyca(question: Question, end_entity: verification.ExtensionPolicy | None = None) -> str | None:
    """`cryptography`, with its own demands on end entities or those in `end_entity`."""
    try:
        roots = [x509.load_der_x509_certificate(one) for one in question.roots]
        leaf, *others = (x509.load_der_x509_certificate(one) for one in question.chain)
        builder = verification.PolicyBuilder().store(verification.Store(roots)).time(question.at)
        if question.max_intermediates is not None:
            builder = builder.max_chain_depth(question.max_intermediates)
        if end_entity is not None:
            builder = builder.extension_policies(
                ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(), ee_policy=end_entity
            )
        if question.server_name is None:
            builder.build_client_verifier().verify(leaf, others)
        else:
            builder.build_server_verifier(_subject(question.server_name)).verify(leaf, others)
    except Exception as error:  # noqa: BLE001 (it has many ways to say no)
        return str(error) or type(error).__name__
    return None


def _subject(name: str) -> x509.verification.Subject:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(label: str, der: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"


def openssl(question: Question, *options: str) -> str | None:
    """`openssl verify`, strict, with more `options`."""
    arguments = ["openssl", "verify", "-x509_strict", *options, "-attime", str(int(question.at.timestamp()))]
    if question.server_name is None:
        arguments += ["-purpose", "sslclient"]
    else:
        kind = "-verify_ip" if isinstance(_subject(question.server_name), x509.IPAddress) else "-verify_hostname"
        arguments += ["-purpose", "sslserver", kind, question.server_name]
    if question.max_intermediates is not None:
        arguments += ["-verify_depth", str(question.max_intermediates)]
    with tempfile.TemporaryDirectory() as directory:
        files = {"-CAfile": question.roots, "-untrusted": question.chain[1:], "leaf": question.chain[:1]}
        for number, (option, certificates) in enumerate(files.items()):
            path = Path(directory, str(number))
            path.write_text("".join(_pem("CERTIFICATE", one) for one in certificates))
            if certificates and option != "leaf":
                arguments += [option, str(path)]
        if question.crls:
            path = Path(directory, "crls")
            path.write_text("".join(_pem("X509 CRL", one) for one in question.crls))
            arguments += ["-crl_check_all", "-CRLfile", str(path)]
        result = subprocess.run([*arguments, str(Path(directory, "2"))], capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return None
    said = [line for line in (result.stdout + result.stderr).splitlines() if "error" in line.lower()]
    return said[0] if said else "refused"


@cache
def webpki_program() -> str:
    """Where the program is that asks rustls-webpki, once it is built."""
    command = ["cargo", "build", "--quiet", "--locked", "--package", "holdfast-engine", "--example", "webpki"]
    said = subprocess.run(
        [*command, "--message-format=json"], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    ).stdout
    built = [json.loads(line).get("executable") for line in said.splitlines()]
    return next(path for path in built if path and Path(path).stem == "webpki")


class Webpki:
    """rustls-webpki, in a process of its own that stays."""

    def __init__(self) -> None:
        command = [webpki_program()]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, question: Question) -> str | None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        kind = "client" if question.server_name is None else "server"
        lists = (",".join(one.hex() for one in certificates) for certificates in (question.roots, question.chain))
        fields = (str(int(question.at.timestamp())), kind, question.server_name or "-", *lists)
        self._process.stdin.write(" ".join(fields) + "\n")
        self._process.stdin.flush()
        verdict = self._process.stdout.readline().rstrip("\n")
        assert verdict, "rustls-webpki's process has ended"
        return None if verdict == "yes" else verdict

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def versions() -> dict[str, str]:
    """Of all three."""
    webpki = re.search(r'name = "rustls-webpki"\nversion = "([^"]+)"', (ROOT / "Cargo.lock").read_text())
    program = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    return {
        "cryptography": cryptography.__version__,
        "OpenSSL": program.split()[1],
        "rustls-webpki": webpki[1] if webpki else "",
    }
