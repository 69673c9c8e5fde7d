//! An immutable, indexed set of trust anchors; replaced whole, never edited.

use std::collections::HashMap;

use crate::certificate::Certificate;
use crate::error::{Error, Refusal};
use crate::name::Name;

/// Trust anchors by subject. Looking one up costs the same with one anchor and with a hundred thousand.
#[derive(Debug, Default)]
pub struct Anchors {
    all: Vec<Anchor>,
    by_subject: HashMap<Box<[u8]>, Vec<usize>>,
    /// The same by the folded subject, for issuers that write its name in another way (§7.1).
    by_folded_subject: HashMap<Box<[u8]>, Vec<usize>>,
}

/// One anchor: a certificate that somebody chose to trust.
#[derive(Debug)]
pub struct Anchor {
    der: Box<[u8]>,
}

impl Anchor {
    /// The anchor as a certificate. It parsed when the set was made, so this never fails; it borrows, so it is made anew.
    ///
    /// # Errors
    /// Those of [`Certificate::parse`], which the set's construction has excluded.
    pub fn certificate(&self) -> Result<Certificate<'_>, Error> {
        Certificate::parse(&self.der)
    }

    /// The bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl Anchors {
    /// Indexes `certificates`; one that stands there twice is kept once. Whether each is fit to be an anchor is judged with
    /// each path, since dates move: see [`crate::check_anchor`].
    ///
    /// # Errors
    /// The first certificate that does not parse, with its index as position.
    pub fn new(certificates: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, Refusal> {
        let mut set = Self::default();
        for (position, der) in certificates.into_iter().enumerate() {
            let certificate = Certificate::parse(&der).map_err(|error| Refusal::at(position, error))?;
            let index = set.all.len();
            let same_subject = set.by_subject.entry(certificate.subject.der().into()).or_default();
            if same_subject.iter().any(|&other| set.all.get(other).is_some_and(|anchor| *anchor.der == *der)) {
                continue;
            }
            same_subject.push(index);
            set.by_folded_subject.entry(certificate.subject.folded().into()).or_default().push(index);
            set.all.push(Anchor { der: der.into() });
        }
        Ok(set)
    }

    /// The anchors whose subject is `name`, byte for byte, by index.
    pub(crate) fn named(&self, name: &Name<'_>) -> &[usize] {
        self.by_subject.get(name.der()).map_or(&[], Vec::as_slice)
    }

    /// The anchors whose subject matches a name that folds to `folded`, by index.
    pub(crate) fn matching(&self, folded: &[u8]) -> &[usize] {
        self.by_folded_subject.get(folded).map_or(&[], Vec::as_slice)
    }

    /// One anchor.
    pub fn get(&self, index: usize) -> Option<&Anchor> {
        self.all.get(index)
    }

    /// All of them, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.all.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
