//! Questions to a ClientHello before the TLS library reads it: can it be one, does it offer TLS 1.3, and a share of which key agreement?
//! (RFC 8446 §4.1.2, §4.2.1, §4.2.8)
//!
//! The library asks one and the same ticketer for both versions and does not say for which; tickets are for TLS 1.3 alone
//! (`trust.md` §1.3). It takes 1.3 whenever that is offered, so the hello decides. A hello that is not whole in the first record,
//! or is no hello, answers no, which costs a full handshake, or a key agreement that is worked out alone.

use crate::record::{HANDSHAKE, HEADER_LENGTH, MAJOR_VERSION, record_length};

/// §4
const CLIENT_HELLO: u8 = 1;
/// §4.2
const SUPPORTED_VERSIONS: u16 = 43;
/// §4.2
const KEY_SHARE: u16 = 51;
/// §4.2.1
const TLS13: u16 = 0x0304;
/// That are looked at: stacks send twenty, and a stranger may send as many as it likes.
const EXTENSIONS_COUNT_MAX: usize = 64;
/// §4.2.7
const X25519: usize = 0x001d;

/// Whether `octets`, the first of a connection and perhaps not all that come, can begin a ClientHello. What cannot is no TLS, and worth
/// neither a handshake nor an answer.
pub fn may_be_hello(octets: &[u8]) -> bool {
    let [kind, major, message] = [0, 1, 5].map(|at: usize| octets.get(at).copied());
    kind.is_none_or(|kind| kind == HANDSHAKE)
        && major.is_none_or(|major| major == MAJOR_VERSION)
        && message.is_none_or(|message| message == CLIENT_HELLO)
}

/// Whether `record`, the first of a connection, holds a whole ClientHello that offers TLS 1.3.
pub(crate) fn offers_tls13(record: &[u8]) -> bool {
    let versions = extension(record, SUPPORTED_VERSIONS).and_then(|body| Reader(body).vector(1));
    versions.is_some_and(|list| list.chunks_exact(2).any(|version| version == TLS13.to_be_bytes()))
}

/// The share for X25519 of the ClientHello that `record`, the first of a connection, holds whole, if that is what the peer likes best: of
/// the groups that it offers the library takes the first.
pub(crate) fn x25519_share(record: &[u8]) -> Option<[u8; 32]> {
    let mut shares = Reader(Reader(extension(record, KEY_SHARE)?).vector(2)?);
    let (group, share) = (shares.number(2)?, shares.vector(2)?);
    if group == X25519 { share.try_into().ok() } else { None }
}

/// The body of the first extension of this kind.
fn extension(record: &[u8], wanted: u16) -> Option<&[u8]> {
    let record = record.get(..record_length(record).ok()??)?;
    let (header, fragment) = record.split_at_checked(HEADER_LENGTH)?;
    if header.first() != Some(&HANDSHAKE) {
        return None;
    }
    let mut message = Reader(fragment);
    if message.number(1)? != usize::from(CLIENT_HELLO) {
        return None;
    }
    let mut hello = Reader(message.vector(3)?);
    hello.take(2 + 32)?; // legacy_version, random
    hello.vector(1)?; // legacy_session_id
    hello.vector(2)?; // cipher_suites
    hello.vector(1)?; // legacy_compression_methods
    let mut extensions = Reader(hello.vector(2)?);
    for _ in 0..EXTENSIONS_COUNT_MAX {
        let kind = extensions.number(2)?;
        let body = extensions.vector(2)?;
        if kind == usize::from(wanted) {
            return Some(body);
        }
    }
    None
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many octets, big-endian.
    fn number(&mut self, octets: usize) -> Option<usize> {
        self.take(octets)?.iter().try_fold(0usize, |sum, octet| sum.checked_mul(256)?.checked_add(usize::from(*octet)))
    }

    /// What follows a length of so many octets.
    fn vector(&mut self, octets: usize) -> Option<&'a [u8]> {
        let length = self.number(octets)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutations::Mutations;

    fn hello(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut list = Vec::new();
        for (kind, body) in extensions {
            list.extend(kind.to_be_bytes());
            list.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
            list.extend(*body);
        }
        let mut hello = vec![3, 3];
        hello.extend([7; 32]);
        hello.extend([2, 8, 8]);
        hello.extend([0, 2, 0x13, 0x01]);
        hello.extend([1, 0]);
        hello.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
        hello.extend(list);
        let length = u16::try_from(hello.len()).unwrap();
        let mut record = vec![22, 3, 1];
        record.extend((length + 4).to_be_bytes());
        record.extend([1, 0]);
        record.extend(length.to_be_bytes());
        record.extend(hello);
        record
    }

    #[test]
    fn it_is_the_list_of_versions_that_counts() {
        for (extensions, offers) in [
            (&[(0, &b"name"[..]), (43, &[4, 3, 4, 3, 3])][..], true),
            (&[(43, &[4, 3, 3, 3, 4])], true),
            (&[(43, &[4, 0x7f, 0x1c, 3, 3])], false),
            // Octets that are no entry of the list.
            (&[(43, &[4, 0, 3, 4, 0])], false),
            (&[(43, &[2, 3, 3, 3, 4])], false),
            (&[(35, &[4, 3, 4, 3, 3])], false),
            (&[], false),
        ] {
            assert_eq!(offers_tls13(&hello(extensions)), offers, "{extensions:?}");
        }
    }

    #[test]
    fn it_is_the_share_of_its_own_group_that_is_found() {
        let length = |octets: &[u8]| u16::try_from(octets.len()).unwrap().to_be_bytes();
        let entry = |group: u16, share: &[u8]| [&group.to_be_bytes()[..], &length(share), share].concat();
        let list = |entries: &[Vec<u8>]| {
            let entries = entries.concat();
            [&length(&entries)[..], &entries].concat()
        };
        let (p256, x25519) = (entry(0x17, &[4; 65]), entry(0x1d, &[9; 32]));
        for (body, share) in [
            (list(std::slice::from_ref(&x25519)), Some([9; 32])),
            (list(&[x25519.clone(), p256.clone(), entry(0x1d, &[8; 32])]), Some([9; 32])),
            (list(&[p256.clone(), x25519.clone()]), None),
            (list(std::slice::from_ref(&p256)), None),
            (list(&[entry(0x1d, &[9; 31])]), None),
            (list(&[entry(0x1d, &[9; 33])]), None),
            (list(&[]), None),
            (vec![], None),
            (x25519, None),
        ] {
            assert_eq!(x25519_share(&hello(&[(10, &[0, 2, 0, 0x1d]), (51, &body)])), share, "{body:?}");
            assert_eq!(x25519_share(&hello(&[(52, &body)])), None);
        }
    }

    #[test]
    fn l10_no_more_extensions_are_looked_at_than_stacks_send() {
        let share = [&[0, 36, 0, 0x1d, 0, 32][..], &[9; 32]].concat();
        for (before, found) in [(EXTENSIONS_COUNT_MAX - 1, Some([9; 32])), (EXTENSIONS_COUNT_MAX, None)] {
            let extensions = [vec![(0x2a2a, &[][..]); before], vec![(KEY_SHARE, &share[..])]].concat();
            assert_eq!(x25519_share(&hello(&extensions)), found, "{before}");
        }
        // Nor what stands behind the record.
        let whole = hello(&[(KEY_SHARE, &share)]);
        let mut short = whole.clone();
        short[4] -= 1;
        assert_eq!((x25519_share(&[whole, vec![0; 9]].concat()), x25519_share(&short)), (Some([9; 32]), None));
    }

    #[test]
    fn l10_what_begins_otherwise_is_no_hello() {
        let whole = hello(&[(43, &[2, 3, 4])]);
        for end in 0..whole.len() {
            assert!(may_be_hello(&whole[..end]), "{end}");
        }
        for (at, octet) in [(0, 21), (0, 23), (1, 2), (1, 4), (5, 0), (5, 2)] {
            let mut other = whole.clone();
            other[at] = octet;
            assert!(may_be_hello(&other[..at]) && !may_be_hello(&other[..=at]) && !may_be_hello(&other), "{at}");
        }
        // A request of HTTP, a CONNECT of MQTT in the clear, and the hello of SSL 2.0.
        for said in [&b"GET / HTTP/1.1"[..], &[0x10, 0x1a, 0, 4], &[0x80, 0x2e, 1, 3, 1]] {
            assert!(!may_be_hello(said));
        }
    }

    #[test]
    fn l10_a_hello_that_is_cut_or_something_else_offers_nothing() {
        let share = [&[0, 36, 0, 0x1d, 0, 32][..], &[9; 32]].concat();
        let whole = hello(&[(43, &[2, 3, 4]), (51, &share)]);
        let finds = |record: &[u8]| (offers_tls13(record), x25519_share(record));
        assert_eq!(finds(&whole), (true, Some([9; 32])));
        for end in 0..whole.len() {
            assert_eq!(finds(&whole[..end]), (false, None), "{end}");
        }
        assert_eq!(finds(&[&[23], &whole[1..]].concat()), (false, None));
        let mut mutations = Mutations::new();
        for _ in 0..100_000 {
            finds(&mutations.one_of(std::slice::from_ref(&whole)));
        }
    }
}
