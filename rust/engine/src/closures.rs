//! Hashes keys and certificates, where something is closed, to find what is.

use std::collections::HashMap;

use holdfast_x509::{Anchors, Certificate, Closed, Closures};

use crate::backend::sha256;

/// What is closed of each certificate; nothing, at no cost, while nothing is closed at all.
pub(crate) fn of_chain(chain: &[&Certificate<'_>], closures: &Closures) -> Vec<Option<Closed>> {
    if closures.is_empty() {
        return Vec::new();
    }
    chain.iter().map(|certificate| find(certificate, closures)).collect()
}

/// What is closed of which anchors, by index.
pub(crate) fn of_anchors(anchors: &Anchors, closures: &Closures) -> HashMap<usize, Closed> {
    if closures.is_empty() {
        return HashMap::new();
    }
    let closed = |(index, certificate): (usize, Certificate<'_>)| Some((index, find(&certificate, closures)?));
    // An anchor that cannot be read ends no path anyway.
    let readable = anchors.iter().enumerate().filter_map(|(index, anchor)| Some((index, anchor.certificate().ok()?)));
    readable.filter_map(closed).collect()
}

fn find(certificate: &Certificate<'_>, closures: &Closures) -> Option<Closed> {
    closures.find(&sha256(certificate.spki.der), &sha256(certificate.der))
}
