//! An admission and its ticket, as the other workers are told of them.

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

/// Octets before a name: of the connection, and how many the name has; and octets of a ticket, where there is one.
const HEAD_LENGTH: usize = 10;
const TICKET_LENGTH: usize = 32;

/// Admissions as they are told, one after another: for whoever only passes them on they are octets.
pub fn write_admissions(admissions: &[ToldAdmission]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(admissions.len().saturating_mul(HEAD_LENGTH + 1 + TICKET_LENGTH * 2));
    for (handle, device_id, ticket) in admissions {
        octets.extend(handle.to_be_bytes());
        // A name has 128 octets at the most (`trust.md` §3.1).
        octets.extend(u16::try_from(device_id.len()).unwrap_or(u16::MAX).to_be_bytes());
        octets.extend(device_id.as_bytes());
        octets.push(u8::from(ticket.is_some()));
        if let Some(LiveTicket { reference, ends, epoch }) = ticket {
            octets.extend(reference.octets());
            octets.extend(ends.0.to_be_bytes());
            octets.extend(epoch.to_be_bytes());
        }
    }
    octets
}

/// Reads admissions that were told: connection, device, ticket. `None`: these are no such octets.
pub fn read_admissions(mut octets: &[u8]) -> Option<Vec<(u64, &str, Option<LiveTicket>)>> {
    let mut admissions = Vec::new();
    while !octets.is_empty() {
        let handle = u64::from_be_bytes(take(&mut octets)?);
        let length = usize::from(u16::from_be_bytes(take(&mut octets)?));
        let (device_id, rest) = octets.split_at_checked(length)?;
        octets = rest;
        let ticket = match take(&mut octets)? {
            [0] => None,
            [1] => Some(LiveTicket {
                reference: Reference::from_octets(take(&mut octets)?),
                ends: UnixSeconds(i64::from_be_bytes(take(&mut octets)?)),
                epoch: u64::from_be_bytes(take(&mut octets)?),
            }),
            _ => return None,
        };
        admissions.push((handle, std::str::from_utf8(device_id).ok()?, ticket));
    }
    Some(admissions)
}

fn take<const LENGTH: usize>(octets: &mut &[u8]) -> Option<[u8; LENGTH]> {
    let (taken, rest) = octets.split_first_chunk()?;
    *octets = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_was_written() {
        let (reference, ends) = (Reference::from_octets([7; 16]), UnixSeconds(1_780_272_000));
        let admissions: [ToldAdmission; 3] = [
            (1 << 33, "widget-1".into(), Some(LiveTicket { reference, ends, epoch: 3 })),
            (2, "w".repeat(128).into(), None),
            (u64::MAX, "".into(), Some(LiveTicket { reference, ends: UnixSeconds(-1), epoch: u64::MAX })),
        ];
        let octets = write_admissions(&admissions);
        let expected: Vec<_> = admissions.iter().map(|(handle, id, ticket)| (*handle, &**id, *ticket)).collect();
        assert_eq!(read_admissions(&octets), Some(expected));
        assert_eq!(read_admissions(&[]), Some(vec![]));
    }

    #[test]
    fn half_an_admission_is_none() {
        let ticket =
            LiveTicket { reference: Reference::from_octets([7; 16]), ends: UnixSeconds(1_780_272_000), epoch: 3 };
        let octets = write_admissions(&[(1, "widget-1".into(), Some(ticket))]);
        for length in 1..octets.len() {
            assert_eq!(read_admissions(&octets[..length]), None, "{length}");
        }
        assert_eq!(read_admissions(&[&octets[..], &[0]].concat()), None);
        let mut odd = write_admissions(&[(1, "w".into(), None)]);
        *odd.last_mut().unwrap() = 2;
        assert_eq!(read_admissions(&odd), None);
    }
}
