//! Two questions to a ClientHello before the TLS library reads it: can it be one, and does it offer TLS 1.3? (RFC 8446 §4.1.2, §4.2.1)
//!
//! The library asks one and the same ticketer for both versions and does not say for which; tickets are for TLS 1.3 alone
//! (`trust.md` §1.3). It takes 1.3 whenever that is offered, so the hello decides. A hello that is not whole in the first record,
//! or is no hello, answers no, which costs a full handshake.

use crate::record::{HANDSHAKE, HEADER_LENGTH, MAJOR_VERSION};

/// §4
const CLIENT_HELLO: u8 = 1;
/// §4.2
const SUPPORTED_VERSIONS: u16 = 43;
/// §4.2.1
const TLS13: u16 = 0x0304;

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
    versions(record).is_some_and(|list| list.chunks_exact(2).any(|version| version == TLS13.to_be_bytes()))
}

/// The list in `supported_versions`.
fn versions(record: &[u8]) -> Option<&[u8]> {
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
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let mut body = Reader(extensions.vector(2)?);
        if kind == usize::from(SUPPORTED_VERSIONS) {
            return body.vector(1);
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
        let whole = hello(&[(43, &[2, 3, 4])]);
        assert!(offers_tls13(&whole));
        for end in 0..whole.len() {
            assert!(!offers_tls13(&whole[..end]), "{end}");
        }
        assert!(!offers_tls13(&[&[23], &whole[1..]].concat()));
        let mut mutations = Mutations::new();
        for _ in 0..100_000 {
            offers_tls13(&mutations.one_of(std::slice::from_ref(&whole)));
        }
    }
}
