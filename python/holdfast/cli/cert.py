"""`holdfast cert`: look at certificates, judge chains, and be told why."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from holdfast.cli.bulk import bulk
from holdfast.cli.bundles import read_anchors, read_certificates, read_lists
from holdfast.cli.options import at_option, now
from holdfast.cli.output import json_option
from holdfast.cli.text import printable
from holdfast.errors import ConfigurationError, HoldfastError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from holdfast.verify import Policy

PATH: Final = click.Path(path_type=Path)
PURPOSES: Final = {
    "client": "client_auth",
    "server": "server_auth",
    "sslclient": "client_auth",
    "sslserver": "server_auth",
}
LENIENCIES: Final = {
    "v1-leaf": "lenient_v1_leaf",
    "ca-leaf": "lenient_ca_leaf",
    "issuance": "lenient_issuance",
    "unknown-revocation-status": "lenient_unknown_revocation_status",
    "stale-crls": "lenient_stale_crls",
}


@click.group()
def cert() -> None:
    """Look at certificates, judge chains, and be told why."""


cert.add_command(bulk)


@cert.command()
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE…")
@at_option
@json_option
def inspect(files: Sequence[Path], at: datetime | None, *, as_json: bool) -> None:
    """Show every certificate in FILE (PEM, DER, a bundle, PKCS #7; `-` for standard input).

    Each is read as strictly as in a chain; exit status 1 when one of them cannot be read, and the reason in its place;
    3 when a FILE holds none, after the others.
    """
    from holdfast.cli.shown import Sheet, certificate_record

    when, status = at or now(), 0
    sheet = Sheet()
    for file in files:
        if (found := _certificates(file, as_json=as_json)) is None:
            status = ConfigurationError.exit_status
            continue
        records = [certificate_record(der, when) for der in found]
        status = max(status, int(any(record["code"] for record in records)))
        if as_json:
            for place, record in enumerate(records):
                click.echo(json.dumps({"file": str(file), "place": place, **record}))
        else:
            sheet.certificates(str(file), records)
    sys.exit(status)


@cert.command()
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE…")
@click.option("--ca-file", "-CAfile", "ca_files", multiple=True, required=True, type=PATH, help="Trust these CAs.")
@click.option("--untrusted", "-untrusted", multiple=True, type=PATH, help="Certificates a path may go through.")
@click.option("--purpose", "-purpose", type=click.Choice(list(PURPOSES)), help="[default: client]")
@click.option(
    "--server-name",
    "-verify_hostname",
    "-verify_ip",
    metavar="NAME",
    help="The name or address that a server must show.",
)
@at_option
@click.option(
    "--crl-file", "-CRLfile", "crl_files", multiple=True, type=PATH, help="Revocation lists, for the whole path."
)
@click.option("--crl-check", "-crl_check", is_flag=True, help="Ask for the status of the end entity alone.")
@click.option("--crl-check-all", "-crl_check_all", is_flag=True, help="Ask for the status of the whole path.")
@click.option("--policy", "-policy", "policies", multiple=True, metavar="OID", help="One of these must be valid.")
@click.option("--explicit-policy", "-explicit_policy", is_flag=True, help="Some policy must be valid.")
@click.option("--inhibit-any", "-inhibit_any", is_flag=True, help="anyPolicy does not count.")
@click.option("--inhibit-map", "-inhibit_map", is_flag=True, help="Policies are not mapped.")
@click.option("--max-intermediates", "-verify_depth", type=click.IntRange(0, 64), default=8, show_default=True)
@click.option("--lenient", type=click.Choice(list(LENIENCIES)), multiple=True, help="Let this through; repeatable.")
@click.option("--ml-dsa", is_flag=True, help="Allow ML-DSA keys, too.")
@click.option("-x509_strict", "-partial_chain", "-show_chain", "-verbose", "always", is_flag=True, hidden=True)
@json_option
def verify(
    files: Sequence[Path],
    ca_files: Sequence[Path],
    at: datetime | None,
    *,
    as_json: bool,
    **asked: Any,  # noqa: ANN401
) -> None:
    """Judge the chain in each FILE (PEM, DER, a bundle, PKCS #7; `-` for standard input), and say why.

    A file is one chain: the end entity first, the others in any order, the root there or not. What openssl calls
    `-CAfile`, `-untrusted`, `-purpose`, `-attime` … is understood by those names as well; what it calls `-x509_strict`
    and `-partial_chain` is always so here. Exit status 1 when a chain is refused, 3 when a FILE holds none, after the
    others.
    """
    from holdfast.cli.shown import Sheet, verdict_record
    from holdfast.verify import Verifier

    store = read_anchors(ca_files)
    verifier, trusted = Verifier(store, _policy(**asked)), store.anchors
    untrusted = [der for file in asked["untrusted"] for der in read_certificates(file)]
    when, status = at or now(), 0
    sheet = Sheet()
    for file in files:
        if (found := _certificates(file, as_json=as_json)) is None:
            status = ConfigurationError.exit_status
            continue
        chain = [*found, *untrusted]
        record = verdict_record(verifier.explain(chain, when), chain, trusted)
        status = max(status, int(not record["accepted"]))
        if as_json:
            click.echo(json.dumps({"file": str(file), "at": when.isoformat(), **record}))
        else:
            sheet.verdict(str(file), record)
    sys.exit(status)


def _certificates(file: Path, *, as_json: bool) -> list[bytes] | None:
    """The certificates in one of several files; where there are none it is said, and the others have their turn."""
    try:
        return read_certificates(file)
    except HoldfastError as error:
        if as_json:
            said = {"error": error.code, "message": error.message, "hint": error.hint}
            click.echo(json.dumps({"file": str(file), **said}))
        else:
            click.echo(printable(f"holdfast: {error}"), err=True)
        return None


def _policy(
    *,
    purpose: str | None,
    server_name: str | None,
    crl_files: Sequence[Path],
    crl_check: bool,
    crl_check_all: bool,
    policies: Sequence[str],
    explicit_policy: bool,
    inhibit_any: bool,
    inhibit_map: bool,
    max_intermediates: int,
    lenient: Sequence[str],
    ml_dsa: bool,
    **_others: object,
) -> Policy:
    from holdfast.verify import Policy, Purpose, RevocationDepth

    meant = PURPOSES[purpose] if purpose else ("server_auth" if server_name else "client_auth")
    asks = bool(crl_files) or crl_check or crl_check_all
    only_end_entity = crl_check and not crl_check_all
    usual = Policy().key_algorithms
    leniencies: dict[str, Any] = {LENIENCIES[one]: True for one in lenient}
    return Policy(
        purpose=Purpose(meant),
        server_name=server_name,
        max_intermediates=max_intermediates,
        key_algorithms=usual | {"ml-dsa"} if ml_dsa else usual,
        crls=tuple(der for file in crl_files for der in read_lists(file)) if asks else None,
        revocation_depth=RevocationDepth.END_ENTITY if only_end_entity else RevocationDepth.PATH,
        certificate_policies=tuple(policies) or None,
        require_explicit_policy=explicit_policy,
        inhibit_policy_mapping=inhibit_map,
        inhibit_any_policy=inhibit_any,
        # What is said on the command line is one of the policy's own fields.
        **leniencies,
    )
