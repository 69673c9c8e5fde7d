//! A live ticket, as the other workers are told of it.

use std::sync::Arc;

use holdfast_session::Reference;
use holdfast_x509::UnixSeconds;

/// What other workers are told of an admission: the connection, the device, and the ticket by which it may come back.
pub type ToldAdmission = (u64, Arc<str>, Option<LiveTicket>);

/// What another worker must know to take a ticket back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveTicket {
    /// What the ticket stands for.
    pub reference: Reference,
    /// When its lineage ends.
    pub ends: UnixSeconds,
    /// The epoch in which its device was admitted: for another one the ticket is void.
    pub epoch: u64,
}

impl LiveTicket {
    /// Octets of one that is written down.
    pub const LENGTH: usize = 32;

    /// As it is told.
    pub fn to_octets(&self) -> [u8; Self::LENGTH] {
        let mut octets = [0; Self::LENGTH];
        let (reference, rest) = octets.split_at_mut(16);
        let (ends, epoch) = rest.split_at_mut(8);
        reference.copy_from_slice(self.reference.octets());
        ends.copy_from_slice(&self.ends.0.to_be_bytes());
        epoch.copy_from_slice(&self.epoch.to_be_bytes());
        octets
    }

    /// As it was told; `None` is no ticket.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let (reference, rest) = octets.split_first_chunk()?;
        let (ends, rest) = rest.split_first_chunk()?;
        let epoch = u64::from_be_bytes(rest.try_into().ok()?);
        Some(Self {
            reference: Reference::from_octets(*reference),
            ends: UnixSeconds(i64::from_be_bytes(*ends)),
            epoch,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_was_written() {
        let ticket =
            LiveTicket { reference: Reference::from_octets([7; 16]), ends: UnixSeconds(1_780_272_000), epoch: 3 };
        let octets = ticket.to_octets();
        assert_eq!(LiveTicket::from_octets(&octets), Some(ticket));
        assert_eq!(LiveTicket::from_octets(&octets[1..]), None);
        assert_eq!(LiveTicket::from_octets(&[]), None);
        assert_eq!(LiveTicket::from_octets(&[&octets[..], &[0]].concat()), None);
    }
}
