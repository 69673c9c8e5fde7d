//! What is known of a chain once its path was accepted.

use std::sync::Arc;

use holdfast_x509::{AcceptedPath, Certificate, Context, Error, Refusal, UnixSeconds, sole_common_name};

use crate::backend::sha256;
use crate::facts::Fact;

/// A judged path, signatures included. Only this crate makes one, and only from a path that the search accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPath {
    common_name: Option<Box<str>>,
    fingerprints: Box<[[u8; 32]]>,
    /// Hashed when that is asked for: whoever judges in bulk does not ask.
    leaf_spki: Box<[u8]>,
    not_after: UnixSeconds,
    above: Arc<Above>,
    /// The signature on the end entity and the key that made it, where it may be remembered.
    pub(crate) leaf_fact: Option<(Fact, Box<[u8]>)>,
}

/// What stands above the end entity of a path: the same for all that this issuer signed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Above {
    /// Indices of the whole path in the presented chain.
    presented: Box<[usize]>,
    anchor: usize,
    fingerprints: Box<[[u8; 32]]>,
    anchor_fingerprint: [u8; 32],
    not_after: UnixSeconds,
    issuer_spki: Box<[u8]>,
}

impl Above {
    pub(crate) fn new(chain: &[&Certificate<'_>], context: &Context<'_>, path: &AcceptedPath) -> Result<Self, Refusal> {
        let anchor = context.anchor(path.anchor()).map_err(Refusal::whole)?;
        let above: Vec<_> = path.presented().iter().skip(1).filter_map(|&index| chain.get(index).copied()).collect();
        let ends = above.iter().map(|certificate| certificate.validity.not_after);
        Ok(Self {
            presented: path.presented().into(),
            anchor: path.anchor(),
            fingerprints: above.iter().map(|certificate| sha256(certificate.der)).collect(),
            anchor_fingerprint: sha256(anchor.der),
            not_after: ends.fold(anchor.validity.not_after, Ord::min),
            issuer_spki: above.first().map_or(&*anchor, |issuer| issuer).spki.der.into(),
        })
    }

    pub(crate) fn is_of(&self, path: &AcceptedPath) -> bool {
        *self.presented == *path.presented() && self.anchor == path.anchor()
    }
}

impl VerifiedPath {
    /// `above` is what stands above `chain`'s end entity.
    pub(crate) fn new(
        chain: &[&Certificate<'_>],
        above: Arc<Above>,
        leaf_fact: Option<(Fact, &[u8])>,
    ) -> Result<Self, Refusal> {
        let leaf = chain.first().ok_or_else(|| Refusal::whole(Error::EmptyChain))?;
        Ok(Self {
            common_name: sole_common_name(leaf).ok().map(Into::into),
            fingerprints: [sha256(leaf.der)].into_iter().chain(above.fingerprints.iter().copied()).collect(),
            leaf_spki: leaf.spki.der.into(),
            not_after: above.not_after.min(leaf.validity.not_after),
            above,
            leaf_fact: leaf_fact.map(|(fact, issuer)| (fact, issuer.into())),
        })
    }

    /// The end entity's common name, as [`sole_common_name`]; not yet checked to be a device id.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// SHA-256 of each certificate, end entity first, without the anchor.
    pub fn fingerprints(&self) -> &[[u8; 32]] {
        &self.fingerprints
    }

    /// Which of the presented certificates the path is of, end entity first.
    pub fn presented(&self) -> &[usize] {
        &self.above.presented
    }

    /// The anchor's index in the set judged under.
    pub fn anchor(&self) -> usize {
        self.above.anchor
    }

    /// SHA-256 of the anchor.
    pub fn anchor_fingerprint(&self) -> [u8; 32] {
        self.above.anchor_fingerprint
    }

    /// The earliest end of validity in the path, anchor included.
    pub fn not_after(&self) -> UnixSeconds {
        self.not_after
    }

    /// SHA-256 of the end entity's key. Cost: that hash.
    pub fn leaf_spki_sha256(&self) -> [u8; 32] {
        sha256(&self.leaf_spki)
    }

    /// The end entity's key, `SubjectPublicKeyInfo` in DER.
    pub(crate) fn leaf_spki(&self) -> &[u8] {
        &self.leaf_spki
    }

    /// SHA-256 of the key that signed the end entity. Cost: that hash.
    pub fn issuer_spki_sha256(&self) -> [u8; 32] {
        sha256(&self.above.issuer_spki)
    }
}

/// Lower-case hexadecimal, as hashes are shown everywhere.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('?');
    bytes.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect()
}
