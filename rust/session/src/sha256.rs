//! SHA-256 and HMAC for the suites that use it (RFC 8446 §7.1, RFC 5246 §5): one state for a transcript and one for a key, copied where the
//! cryptographic library allocates a context, and works out an HKDF key anew for each of its outputs.

use std::sync::LazyLock;

use hmac::{Hmac, KeyInit, Mac};
use rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES;
use rustls::crypto::hash::{self, HashAlgorithm};
use rustls::crypto::hmac as tls_hmac;
use rustls::crypto::tls12::PrfUsingHmac;
use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::{CipherSuiteCommon, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};
use sha2::{Digest, Sha256};

/// The library's suites, each of those with SHA-256 with this one. They are made once and never freed.
pub(crate) fn suites() -> Vec<SupportedCipherSuite> {
    static SUITES: LazyLock<Vec<SupportedCipherSuite>> =
        LazyLock::new(|| DEFAULT_CIPHER_SUITES.iter().map(|suite| with_sha256(*suite)).collect());
    SUITES.clone()
}

fn with_sha256(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    match suite {
        SupportedCipherSuite::Tls13(suite) if is_sha256(&suite.common) => {
            let suite = Tls13CipherSuite { common: common(&suite.common), hkdf_provider: &HKDF, ..*suite };
            SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)))
        }
        SupportedCipherSuite::Tls12(suite) if is_sha256(&suite.common) => {
            let suite = Tls12CipherSuite { common: common(&suite.common), prf_provider: &PRF, ..*suite };
            SupportedCipherSuite::Tls12(Box::leak(Box::new(suite)))
        }
        other @ (SupportedCipherSuite::Tls13(_) | SupportedCipherSuite::Tls12(_)) => other,
    }
}

static HKDF: HkdfUsingHmac<'static> = HkdfUsingHmac(&Keyed);
static PRF: PrfUsingHmac<'static> = PrfUsingHmac(&Keyed);

fn is_sha256(common: &CipherSuiteCommon) -> bool {
    common.hash_provider.algorithm() == HashAlgorithm::SHA256
}

fn common(common: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon { hash_provider: &Hash, ..*common }
}

struct Hash;

impl hash::Hash for Hash {
    fn start(&self) -> Box<dyn hash::Context> {
        Box::new(Transcript(Sha256::new()))
    }

    fn hash(&self, data: &[u8]) -> hash::Output {
        output(Sha256::new_with_prefix(data))
    }

    fn output_len(&self) -> usize {
        Sha256::output_size()
    }

    fn algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }
}

fn output(state: Sha256) -> hash::Output {
    hash::Output::new(&state.finalize())
}

struct Transcript(Sha256);

impl hash::Context for Transcript {
    fn fork_finish(&self) -> hash::Output {
        output(self.0.clone())
    }

    fn fork(&self) -> Box<dyn hash::Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> hash::Output {
        output(self.0)
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

struct Keyed;

impl tls_hmac::Hmac for Keyed {
    fn with_key(&self, key: &[u8]) -> Box<dyn tls_hmac::Key> {
        Box::new(Key(Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))))
    }

    fn hash_output_len(&self) -> usize {
        Sha256::output_size()
    }
}

/// The states after both pads; wiped when dropped.
struct Key(Hmac<Sha256>);

impl tls_hmac::Key for Key {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> tls_hmac::Tag {
        let mut state = self.0.clone();
        state.update(first);
        for part in middle {
            state.update(part);
        }
        state.update(last);
        tls_hmac::Tag::new(&state.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        Sha256::output_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library's suite beside the same with this SHA-256.
    fn pairs() -> impl Iterator<Item = (SupportedCipherSuite, SupportedCipherSuite)> {
        DEFAULT_CIPHER_SUITES.iter().copied().zip(suites())
    }

    fn octets(length: usize) -> Vec<u8> {
        (0..length).map(|index| u8::try_from((index * 31 + length) % 251).unwrap()).collect()
    }

    #[test]
    fn every_suite_of_the_library_is_there_and_those_with_sha256_have_this_one() {
        let mut ours = 0;
        for (theirs, suite) in pairs() {
            assert_eq!(suite.suite(), theirs.suite());
            let (common, others) = match (suite, theirs) {
                (SupportedCipherSuite::Tls13(suite), SupportedCipherSuite::Tls13(other)) => {
                    (&suite.common, &other.common)
                }
                (SupportedCipherSuite::Tls12(suite), SupportedCipherSuite::Tls12(other)) => {
                    (&suite.common, &other.common)
                }
                _ => panic!("another version"),
            };
            assert_eq!(common.confidentiality_limit, others.confidentiality_limit);
            let replaced = !std::ptr::addr_eq(common.hash_provider, others.hash_provider);
            assert_eq!(replaced, is_sha256(others));
            ours += usize::from(replaced);
        }
        assert_eq!(ours, 6);
    }

    #[test]
    fn a_transcript_has_the_hashes_that_the_library_finds_however_it_is_cut_and_forked() {
        for (theirs, ours) in pairs().filter_map(|(theirs, ours)| Some((theirs.tls13()?, ours.tls13()?))) {
            let (theirs, ours) = (theirs.common.hash_provider, ours.common.hash_provider);
            for length in 0..=300 {
                let text = octets(length);
                let expected = theirs.hash(&text);
                assert_eq!(ours.hash(&text).as_ref(), expected.as_ref());
                let (head, tail) = text.split_at(length / 3);
                let mut state = ours.start();
                state.update(head);
                let mut fork = state.fork();
                assert_eq!(state.fork_finish().as_ref(), theirs.hash(head).as_ref());
                state.update(tail);
                fork.update(tail);
                assert_eq!([state.finish().as_ref(), fork.finish().as_ref()], [expected.as_ref(); 2]);
            }
        }
    }

    #[test]
    fn tls13_derives_the_secrets_that_the_library_derives() {
        for (theirs, ours) in pairs().filter_map(|(theirs, ours)| Some((theirs.tls13()?, ours.tls13()?))) {
            let length = theirs.common.hash_provider.output_len();
            for size in [0, 1, 31, 32, 33, 63, 64, 65, 200] {
                let (salt, secret, info) = (octets(length), octets(size), octets(size + 7));
                let expanders = [theirs, ours].map(|suite| {
                    let hkdf = suite.hkdf_provider;
                    let okm = hkdf.extract_from_secret(Some(&salt), &secret).expand_block(&[&info[..3], &info[3..]]);
                    let tag = hkdf.hmac_sign(&okm, &info).as_ref().to_vec();
                    let made = [
                        hkdf.extract_from_secret(None, &secret),
                        hkdf.extract_from_secret(Some(&salt), &secret),
                        hkdf.extract_from_zero_ikm(None),
                        hkdf.extract_from_zero_ikm(Some(&salt)),
                        hkdf.expander_for_okm(&okm),
                    ];
                    let blocks = made.each_ref().map(|expander| expander.expand_block(&[&info]).as_ref().to_vec());
                    let slices = [1, 12, 16, 32, 33, 100].map(|length| {
                        let mut slice = vec![0; length];
                        made[4].expand_slice(&[&info[..7], &[], &info[7..]], &mut slice).unwrap();
                        slice
                    });
                    (tag, blocks, slices)
                });
                assert_eq!(expanders[0], expanders[1], "{size}");
            }
        }
    }

    #[test]
    fn tls12_derives_the_secrets_that_the_library_derives() {
        let tls12 = |suite| if let SupportedCipherSuite::Tls12(suite) = suite { Some(suite) } else { None };
        for (theirs, ours) in pairs().filter_map(|(theirs, ours)| Some((tls12(theirs)?, tls12(ours)?))) {
            // 66 octets: the secret of P-521, longer than a block.
            for (secret, length) in [(32, 48), (48, 12), (48, 40), (48, 104), (66, 48)] {
                let made = [theirs, ours].map(|suite| {
                    let mut out = vec![0; length];
                    suite.prf_provider.for_secret(&mut out, &octets(secret), b"master secret", &octets(64));
                    out
                });
                assert_eq!(made[0], made[1]);
            }
        }
    }
}
