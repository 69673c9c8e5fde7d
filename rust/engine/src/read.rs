//! Reads the chains of a block: what stands above end entities is read once for all chains that present it.

use std::ops::Range;

use holdfast_x509::{Certificate, Error, Limits, Refusal, check_size};

use crate::memo::Memo;

/// The certificates of a block's chains.
pub(crate) struct Read<'a> {
    certificates: Vec<Certificate<'a>>,
    /// Of each certificate of each chain, where it is among `certificates`.
    places: Vec<usize>,
    known: Memo<'a, usize>,
}

impl<'a> Read<'a> {
    pub(crate) fn of_block(chains: usize) -> Self {
        Self { certificates: Vec::with_capacity(chains), places: Vec::new(), known: Memo::of_block(chains) }
    }

    /// Reads a chain, no larger than the limits allow: where it is among those of [`Read::chains`].
    pub(crate) fn chain<D: AsRef<[u8]>>(&mut self, chain: &'a [D], limits: &Limits) -> Result<Range<usize>, Refusal> {
        let bytes = chain.iter().map(|der| der.as_ref().len()).sum();
        check_size(chain.len(), bytes, limits).map_err(Refusal::whole)?;
        let first = self.places.len();
        for (position, der) in chain.iter().enumerate() {
            match self.certificate(position, der.as_ref()) {
                Ok(place) => self.places.push(place),
                Err(error) => {
                    self.places.truncate(first);
                    return Err(Refusal::at(position, error));
                }
            }
        }
        Ok(first..self.places.len())
    }

    fn certificate(&mut self, position: usize, der: &'a [u8]) -> Result<usize, Error> {
        let Self { certificates, known, .. } = self;
        let mut parse = || {
            certificates.push(Certificate::parse(der)?);
            Ok(certificates.len().saturating_sub(1))
        };
        if position == 0 { parse() } else { known.value(der, parse) }
    }

    /// All chains, one after another.
    pub(crate) fn chains(&self) -> Vec<&Certificate<'a>> {
        self.places.iter().filter_map(|&place| self.certificates.get(place)).collect()
    }
}
