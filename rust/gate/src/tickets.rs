//! An admission and its ticket, as the other workers are told of them.

use std::sync::Arc;

use holdfast_session::Reference;
use holdfast_x509::UnixSeconds;

/// What other workers are told of an admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what one worker writes another reads")]
pub struct ToldAdmission<Name = Arc<str>> {
    /// The connection.
    pub handle: u64,
    /// The device.
    pub device_id: Name,
    /// Whether it wants to know nothing of the session that it has had.
    pub clean_start: bool,
    /// The ticket by which it may come back.
    pub ticket: Option<LiveTicket>,
}

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
/// Of the octet behind the name.
const HAS_TICKET: u8 = 1;
const CLEAN_START: u8 = 2;

/// Admissions as they are told, one after another: for whoever only passes them on they are octets.
pub fn write_admissions(admissions: &[ToldAdmission]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(admissions.len().saturating_mul(HEAD_LENGTH + 1 + TICKET_LENGTH * 2));
    for ToldAdmission { handle, device_id, clean_start, ticket } in admissions {
        octets.extend(handle.to_be_bytes());
        // A name has 128 octets at the most (`trust.md` §3.1).
        octets.extend(u16::try_from(device_id.len()).unwrap_or(u16::MAX).to_be_bytes());
        octets.extend(device_id.as_bytes());
        octets.push(if ticket.is_some() { HAS_TICKET } else { 0 } | if *clean_start { CLEAN_START } else { 0 });
        if let Some(LiveTicket { reference, ends, epoch }) = ticket {
            octets.extend(reference.octets());
            octets.extend(ends.0.to_be_bytes());
            octets.extend(epoch.to_be_bytes());
        }
    }
    octets
}

/// Reads admissions that were told. `None`: these are no such octets.
pub fn read_admissions(mut octets: &[u8]) -> Option<Vec<ToldAdmission<&str>>> {
    let mut admissions = Vec::new();
    while !octets.is_empty() {
        let handle = u64::from_be_bytes(take(&mut octets)?);
        let length = usize::from(u16::from_be_bytes(take(&mut octets)?));
        let (device_id, rest) = octets.split_at_checked(length)?;
        octets = rest;
        let [flags] = take(&mut octets)?;
        if flags & !(HAS_TICKET | CLEAN_START) != 0 {
            return None;
        }
        let mut ticket = None;
        if flags & HAS_TICKET != 0 {
            ticket = Some(LiveTicket {
                reference: Reference::from_octets(take(&mut octets)?),
                ends: UnixSeconds(i64::from_be_bytes(take(&mut octets)?)),
                epoch: u64::from_be_bytes(take(&mut octets)?),
            });
        }
        let device_id = std::str::from_utf8(device_id).ok()?;
        admissions.push(ToldAdmission { handle, device_id, clean_start: flags & CLEAN_START != 0, ticket });
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
        let ticket = Some(LiveTicket { reference, ends, epoch: 3 });
        let last = Some(LiveTicket { reference, ends: UnixSeconds(-1), epoch: u64::MAX });
        let long = "w".repeat(128);
        let admissions = [
            ToldAdmission { handle: 1 << 33, device_id: "widget-1", clean_start: true, ticket },
            ToldAdmission { handle: 2, device_id: &long, clean_start: false, ticket: None },
            ToldAdmission { handle: 3, device_id: "widget-2", clean_start: true, ticket: None },
            ToldAdmission { handle: u64::MAX, device_id: "", clean_start: false, ticket: last },
        ];
        let owned = admissions.map(|told| ToldAdmission {
            handle: told.handle,
            device_id: Arc::from(told.device_id),
            clean_start: told.clean_start,
            ticket: told.ticket,
        });
        assert_eq!(read_admissions(&write_admissions(&owned)), Some(admissions.to_vec()));
        assert_eq!(read_admissions(&[]), Some(vec![]));
    }

    #[test]
    fn half_an_admission_is_none() {
        let ticket =
            LiveTicket { reference: Reference::from_octets([7; 16]), ends: UnixSeconds(1_780_272_000), epoch: 3 };
        let told = |ticket| ToldAdmission { handle: 1, device_id: "widget-1".into(), clean_start: false, ticket };
        let octets = write_admissions(&[told(Some(ticket))]);
        for length in 1..octets.len() {
            assert_eq!(read_admissions(&octets[..length]), None, "{length}");
        }
        assert_eq!(read_admissions(&[&octets[..], &[0]].concat()), None);
        let mut odd = write_admissions(&[told(None)]);
        *odd.last_mut().unwrap() = 4;
        assert_eq!(read_admissions(&odd), None);
    }
}
