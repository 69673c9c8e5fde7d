//! An immutable, indexed set of trust anchors; replaced whole, never edited.

use std::collections::HashMap;

use crate::certificate::Certificate;
use crate::error::Refusal;

/// Trust anchors by subject. Looking one up costs the same with one anchor and with a hundred thousand.
#[derive(Debug, Default)]
pub struct Anchors {
    anchors: Vec<Anchor>,
    by_subject: HashMap<Box<[u8]>, Vec<usize>>,
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
    pub fn certificate(&self) -> Result<Certificate<'_>, crate::error::Error> {
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
            let index = set.anchors.len();
            let same_subject = set.by_subject.entry(certificate.subject.der().into()).or_default();
            if same_subject.iter().any(|&other| set.anchors.get(other).is_some_and(|anchor| *anchor.der == *der)) {
                continue;
            }
            same_subject.push(index);
            set.anchors.push(Anchor { der: der.into() });
        }
        Ok(set)
    }

    /// The anchors whose subject is `name` (DER), by index.
    pub(crate) fn named(&self, name: &[u8]) -> &[usize] {
        self.by_subject.get(name).map_or(&[], Vec::as_slice)
    }

    /// One anchor.
    pub fn get(&self, index: usize) -> Option<&Anchor> {
        self.anchors.get(index)
    }

    /// All of them, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.anchors.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }
}
