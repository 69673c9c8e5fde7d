//! Asks the status of every certificate of a path, and for the signatures that the answers rest on. RFC 5280 §6.3.3.
//!
//! Asked only of paths whose own signatures hold, so that nobody without a certified key can make a list be hashed.

use crate::certificate::Certificate;
use crate::error::{Error, Refusal};
use crate::extension::KeyUsage;
use crate::name::brief;
use crate::path::{Edge, EdgeState, Node, Signed};
use crate::policy::{Policy, Revocation, RevocationDepth, UnknownStatus};
use crate::revocation::{CertificateList, Reasons, RevocationList, RevocationReason};
use crate::signature::SignatureJob;
use crate::time::UnixSeconds;
use crate::validate::check_in_date;

/// A certificate with its place in the search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) node: Node,
    pub(crate) certificate: Certificate<'a>,
}

/// What is known and what there is to look at.
pub(crate) struct Inquiry<'s, 'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) time: UnixSeconds,
    pub(crate) revocation: &'a Revocation,
    /// The path, end entity first, anchor last.
    pub(crate) path: &'s [Placed<'a>],
    /// Everything presented: a separate key for revocation lists may be among it.
    pub(crate) chain: &'a [&'a Certificate<'a>],
    /// The signatures already asked for.
    pub(crate) edges: &'s [(Edge, EdgeState)],
}

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Status<'a> {
    /// Nothing stands against the path.
    Good,
    /// These signatures have to be known first.
    Needs(Vec<(Edge, SignatureJob<'a>)>),
    /// A certificate is revoked, or its status unknown.
    Refused(Refusal),
}

/// Why one certificate's status cannot be told yet, or is bad.
enum Pause<'a> {
    Needs(Vec<(Edge, SignatureJob<'a>)>),
    Refused(Error),
}

impl<'a> Inquiry<'_, 'a> {
    /// Asks for each certificate, from the anchor down; signatures that several certificates wait for are gathered.
    pub(crate) fn status(&self) -> Status<'a> {
        let mut needs: Vec<(Edge, SignatureJob<'a>)> = Vec::new();
        let below_anchor = self.path.split_last().map(|(_, below)| below).unwrap_or_default();
        for (position, subject) in below_anchor.iter().enumerate().rev() {
            if position > 0 && self.revocation.depth == RevocationDepth::EndEntity {
                continue;
            }
            match self.status_of(&subject.certificate, position.saturating_add(1), Signers::All) {
                Ok(()) => {}
                Err(Pause::Needs(more)) => {
                    for job in more {
                        if !needs.iter().any(|(known, _)| *known == job.0) {
                            needs.push(job);
                        }
                    }
                }
                Err(Pause::Refused(error)) => return Status::Refused(Refusal::at(position, error)),
            }
        }
        if needs.is_empty() { Status::Good } else { Status::Needs(needs) }
    }

    /// The status of one certificate whose issuer stands at `issuer_position` of the path.
    fn status_of(
        &self,
        certificate: &Certificate<'_>,
        issuer_position: usize,
        signers: Signers,
    ) -> Result<(), Pause<'a>> {
        let mut covered = Reasons::default();
        let mut unknown: Option<Error> = None;
        let lists = self.revocation.lists.of(certificate).map_err(Pause::Refused)?;
        for (index, entry) in lists {
            let list = entry.read().map_err(Pause::Refused)?;
            if list.is_delta() {
                unknown.get_or_insert(Error::CrlDeltaBaseMissing);
                continue;
            }
            let usable = self.check_usable(entry, &list).and_then(|()| list.reasons_for(certificate));
            let told = usable.map_err(Pause::Refused).and_then(|reasons| {
                self.check_signature(index, &list, issuer_position, signers)?;
                self.ask(entry, &list, certificate, issuer_position, signers).map(|()| reasons)
            });
            match told {
                Ok(reasons) => covered.add(reasons),
                Err(Pause::Refused(error @ Error::CertificateRevoked { .. })) => return Err(Pause::Refused(error)),
                Err(Pause::Refused(error)) => {
                    if unknown.as_ref().is_none_or(|known| tells_more(&error, known)) {
                        unknown = Some(error);
                    }
                }
                Err(needs @ Pause::Needs(_)) => return Err(needs),
            }
        }
        if covered.is_all() || self.revocation.unknown_status == UnknownStatus::Allow {
            return Ok(());
        }
        Err(Pause::Refused(match unknown {
            Some(error) if covered.is_none() => error,
            _ if covered.is_none() => Error::CrlMissing { issuer: brief(&certificate.issuer) },
            _ => Error::CrlReasonsIncomplete,
        }))
    }

    fn check_usable(&self, entry: &RevocationList, list: &CertificateList<'_>) -> Result<(), Error> {
        entry.check_usable(list, self.policy, self.revocation.stale_lists, self.time)
    }

    /// What a complete list, whose signature holds, says of a certificate together with its deltas (§6.3.3 (h)–(k)).
    fn ask(
        &self,
        entry: &'a RevocationList,
        list: &CertificateList<'a>,
        certificate: &Certificate<'_>,
        issuer_position: usize,
        signers: Signers,
    ) -> Result<(), Pause<'a>> {
        let mut found = entry.find(list, certificate);
        // Each tells all that has changed since its base: the last one counts (§5.2.4).
        let mut deltas: Vec<_> = self.revocation.lists.deltas_of(list).collect();
        deltas.sort_by_key(|(_, _, changes)| changes.order());
        for (index, delta, changes) in deltas {
            let usable = list.is_amended_by(&changes).map_err(Pause::Refused).and_then(|amended| {
                if amended {
                    self.check_usable(delta, &changes).map_err(Pause::Refused)?;
                    self.check_signature(index, &changes, issuer_position, signers)?;
                }
                Ok(amended)
            });
            match usable {
                Ok(true) => {}
                Ok(false) => continue,
                // What the complete list says stands, where nobody can say that it has changed.
                Err(Pause::Refused(_)) if found.is_some() => continue,
                // A delta that was given and cannot be used may hold what the complete list does not know yet.
                Err(pause) => return Err(pause),
            }
            found = match delta.find(&changes, certificate) {
                Some((RevocationReason::RemoveFromCrl, _)) => None,
                Some(newer) => Some(newer),
                None => found,
            };
        }
        match found {
            Some((reason, since)) => Err(Pause::Refused(Error::CertificateRevoked { reason, since })),
            None => Ok(()),
        }
    }

    /// §6.3.3 (f), (g): whether one of the keys that may sign lists of this issuer signed this one.
    fn check_signature(
        &self,
        index: usize,
        list: &CertificateList<'a>,
        issuer_position: usize,
        signers: Signers,
    ) -> Result<(), Pause<'a>> {
        let mut verdict = Error::CrlBadSignature;
        // The certificate's own issuer first; then keys above it that bear the list's name, as after a roll-over. One below could be
        // anybody's who was given a CA certificate and chose the name.
        let above = self.path.get(issuer_position..).unwrap_or_default();
        for signer in above.iter().filter(|signer| signer.certificate.subject.matches(&list.issuer)) {
            match self.check_signer(index, list, signer) {
                Ok(()) => return Ok(()),
                Err(Pause::Refused(error)) => verdict = more_telling(verdict, error),
                Err(needs) => return Err(needs),
            }
        }
        if signers == Signers::OnPath {
            return Err(Pause::Refused(verdict));
        }
        // A separate key, or another issuer that a distribution point names: its certificate was presented, may sign lists, and was
        // signed by the certificate's issuer or by a CA above that.
        for (at, signer) in self.chain.iter().enumerate() {
            let node = Node::Presented(at);
            let may_sign = signer.extensions.key_usage().is_ok_and(|usage| usage.is_some_and(KeyUsage::crl_sign));
            let separate =
                may_sign && !self.path.iter().any(|other| other.node == node) && signer.subject.matches(&list.issuer);
            if !separate {
                continue;
            }
            let placed = Placed { node, certificate: **signer };
            for (offset, over) in above.iter().enumerate() {
                if !signer.issuer.matches(&over.certificate.subject) {
                    continue;
                }
                let trusted = self.check_separate(at, signer, over, issuer_position.saturating_add(offset));
                match trusted.and_then(|()| self.check_signer(index, list, &placed)) {
                    Ok(()) => return Ok(()),
                    Err(Pause::Refused(error)) => verdict = more_telling(verdict, error),
                    Err(needs) => return Err(needs),
                }
            }
        }
        Err(Pause::Refused(verdict))
    }

    /// Whether the certificate of a separate key holds: in date, understood, signed by the CA `above`, not revoked.
    fn check_separate(
        &self,
        at: usize,
        signer: &Certificate<'a>,
        above: &Placed<'a>,
        above_position: usize,
    ) -> Result<(), Pause<'a>> {
        let not_trusted = |_: Error| Pause::Refused(Error::CrlSignerNotTrusted);
        check_in_date(signer, self.time).map_err(not_trusted)?;
        if signer.extensions.unknown_critical.is_some() {
            return Err(not_trusted(Error::CrlSignerNotTrusted));
        }
        let key = signer.spki.public_key_algorithm();
        key.and_then(|found| self.policy.key_algorithms.check(found)).map_err(not_trusted)?;
        let edge = Edge { signed: Signed::Certificate(at), issuer: above.node };
        self.known(edge, || SignatureJob::of(signer, &above.certificate), Error::CrlSignerNotTrusted)?;
        match self.status_of(signer, above_position, Signers::OnPath) {
            Err(Pause::Refused(error)) => Err(not_trusted(error)),
            told => told,
        }
    }

    /// Whether `signer` may sign lists, and signed this one.
    fn check_signer(&self, index: usize, list: &CertificateList<'a>, signer: &Placed<'a>) -> Result<(), Pause<'a>> {
        let certificate = &signer.certificate;
        // A list that names its key by identifier is not checked under another.
        if let (Some(wanted), Ok(Some(found))) =
            (list.authority_key_identifier, certificate.extensions.subject_key_identifier())
            && wanted != found
        {
            return Err(Pause::Refused(Error::CrlBadSignature));
        }
        let usage = certificate.extensions.key_usage().map_err(Pause::Refused)?;
        if usage.is_some_and(|usage| !usage.crl_sign()) {
            return Err(Pause::Refused(Error::CrlSignerNotAllowed));
        }
        let edge = Edge { signed: Signed::List(index), issuer: signer.node };
        let job = || SignatureJob::new(&certificate.spki, &list.signature_algorithm, list.tbs, list.signature);
        self.known(edge, job, Error::CrlBadSignature)
    }

    /// Whether a signature is known to hold; else `bad`, or what has to be checked.
    fn known(
        &self,
        edge: Edge,
        job: impl FnOnce() -> Result<SignatureJob<'a>, Error>,
        bad: Error,
    ) -> Result<(), Pause<'a>> {
        match self.edges.iter().find(|(known, _)| *known == edge).map(|(_, state)| state) {
            Some(EdgeState::Good) => Ok(()),
            Some(EdgeState::Bad | EdgeState::Asked) => Err(Pause::Refused(bad)),
            None => Err(match job() {
                Ok(job) => Pause::Needs(vec![(edge, job)]),
                Err(error) => Pause::Refused(error),
            }),
        }
    }
}

/// Whose keys may have signed a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signers {
    /// Those on the path, and separate ones that were presented.
    All,
    /// Those on the path: asked for the status of a separate key, so that the question cannot go on for ever.
    OnPath,
}

/// Of several lists that do not help, the one that is nearest to helping is named.
fn tells_more(new: &Error, known: &Error) -> bool {
    let far = |error: &Error| matches!(error, Error::CrlScopeMismatch | Error::CrlDeltaBaseMissing);
    far(known) && !far(new)
}

/// Of several keys that did not sign a list, one that may not sign is more telling than one that did not.
fn more_telling(known: Error, new: Error) -> Error {
    if matches!(known, Error::CrlBadSignature) { new } else { known }
}
