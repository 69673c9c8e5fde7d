//! What is known of a chain once its path was accepted.

use std::convert::Infallible;

use holdfast_x509::{AcceptedPath, Anchors, Certificate, Error, Refusal, UnixSeconds};

use crate::backend::sha256;
use crate::facts::Fact;
use crate::memo::Memo;

/// A judged path, signatures included. Only this crate makes one, and only from a path that the search accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPath {
    common_name: Option<Box<str>>,
    fingerprints: Box<[[u8; 32]]>,
    presented: Box<[usize]>,
    anchor: usize,
    anchor_fingerprint: [u8; 32],
    not_after: UnixSeconds,
    leaf_spki_sha256: [u8; 32],
    issuer_spki_sha256: [u8; 32],
    /// The signature on the end entity and the key that made it, where it may be remembered.
    pub(crate) leaf_fact: Option<(Fact, Box<[u8]>)>,
}

/// Hashes of the certificates and keys that a block's chains share.
pub(crate) struct Fingerprints<'a>(Memo<'a, [u8; 32]>);

impl<'a> Fingerprints<'a> {
    pub(crate) fn of_block(chains: usize) -> Self {
        Self(Memo::of_block(chains))
    }

    fn of(&mut self, octets: &'a [u8]) -> [u8; 32] {
        self.0.value(octets, || Ok::<_, Infallible>(sha256(octets))).unwrap_or_else(|never| match never {})
    }
}

impl VerifiedPath {
    pub(crate) fn new<'a>(
        chain: &[Certificate<'a>],
        anchors: &'a Anchors,
        path: &AcceptedPath,
        leaf_fact: Option<(Fact, &[u8])>,
        shared: &mut Fingerprints<'a>,
    ) -> Result<Self, Refusal> {
        let lost = || Refusal::whole(Error::EmptyChain);
        let anchor = anchors.get(path.anchor()).ok_or_else(lost)?;
        let anchor_certificate = anchor.certificate().map_err(Refusal::whole)?;
        let certificates: Vec<&Certificate<'_>> =
            path.presented().iter().filter_map(|&index| chain.get(index)).collect();
        let (leaf, above) = certificates.split_first().ok_or_else(lost)?;
        let issuer = above.first().map_or(&anchor_certificate, |issuer| issuer);
        let ends = certificates.iter().map(|certificate| certificate.validity.not_after);
        Ok(Self {
            common_name: match leaf.subject.common_names().as_slice() {
                [only] => Some((*only).into()),
                _ => None,
            },
            fingerprints: [sha256(leaf.der)].into_iter().chain(above.iter().map(|one| shared.of(one.der))).collect(),
            presented: path.presented().into(),
            anchor: path.anchor(),
            anchor_fingerprint: shared.of(anchor.der()),
            not_after: ends.fold(anchor_certificate.validity.not_after, Ord::min),
            leaf_spki_sha256: sha256(leaf.spki.der),
            issuer_spki_sha256: shared.of(issuer.spki.der),
            leaf_fact: leaf_fact.map(|(fact, issuer)| (fact, issuer.into())),
        })
    }

    /// The end entity's common name, if it has exactly one that is a `PrintableString` or `UTF8String`.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// SHA-256 of each certificate, end entity first, without the anchor.
    pub fn fingerprints(&self) -> &[[u8; 32]] {
        &self.fingerprints
    }

    /// Which of the presented certificates the path is of, end entity first.
    pub fn presented(&self) -> &[usize] {
        &self.presented
    }

    /// The anchor's index in the set judged under.
    pub fn anchor(&self) -> usize {
        self.anchor
    }

    /// SHA-256 of the anchor.
    pub fn anchor_fingerprint(&self) -> [u8; 32] {
        self.anchor_fingerprint
    }

    /// The earliest end of validity in the path, anchor included.
    pub fn not_after(&self) -> UnixSeconds {
        self.not_after
    }

    /// SHA-256 of the end entity's key.
    pub fn leaf_spki_sha256(&self) -> [u8; 32] {
        self.leaf_spki_sha256
    }

    /// SHA-256 of the key that signed the end entity.
    pub fn issuer_spki_sha256(&self) -> [u8; 32] {
        self.issuer_spki_sha256
    }
}

/// Lower-case hexadecimal, as hashes are shown everywhere.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('?');
    bytes.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect()
}
