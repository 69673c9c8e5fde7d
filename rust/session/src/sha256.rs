//! SHA-256, and HMAC (RFC 2104) and HKDF (RFC 5869) over it, for the suites that use it (RFC 8446 §7.1, RFC 5246 §5): one state for a
//! transcript and two for a key, copied where the cryptographic library allocates a context, and extracts an HKDF key anew for each output.
//!
//! States and what comes out of them are wiped when dropped; what is moved or spilled on the stack is not.

use std::sync::LazyLock;

use rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES;
use rustls::crypto::hash::{self, HashAlgorithm};
use rustls::crypto::hmac::{self, Key as _, Tag};
use rustls::crypto::tls12::PrfUsingHmac;
use rustls::crypto::tls13::{self, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::{CipherSuiteCommon, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

const HASH_LENGTH: usize = 32;
const BLOCK_LENGTH: usize = 64;

/// The library's suites, each of those with SHA-256 with this one. They are made once and never freed.
pub(crate) fn suites() -> Vec<SupportedCipherSuite> {
    static SUITES: LazyLock<Vec<SupportedCipherSuite>> =
        LazyLock::new(|| DEFAULT_CIPHER_SUITES.iter().map(|suite| with_sha256(*suite)).collect());
    SUITES.clone()
}

fn with_sha256(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    match suite {
        SupportedCipherSuite::Tls13(suite) if is_sha256(&suite.common) => {
            let suite = Tls13CipherSuite { common: common(&suite.common), hkdf_provider: &Hkdf, ..*suite };
            SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)))
        }
        SupportedCipherSuite::Tls12(suite) if is_sha256(&suite.common) => {
            let suite = Tls12CipherSuite { common: common(&suite.common), prf_provider: &PRF, ..*suite };
            SupportedCipherSuite::Tls12(Box::leak(Box::new(suite)))
        }
        other @ (SupportedCipherSuite::Tls13(_) | SupportedCipherSuite::Tls12(_)) => other,
    }
}

static PRF: PrfUsingHmac<'static> = PrfUsingHmac(&Hmac);

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
        HASH_LENGTH
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

struct Hmac;

impl hmac::Hmac for Hmac {
    fn with_key(&self, key: &[u8]) -> Box<dyn hmac::Key> {
        Box::new(Key::new(key))
    }

    fn hash_output_len(&self) -> usize {
        HASH_LENGTH
    }
}

/// The states after the inner and the outer pad.
struct Key {
    inner: Sha256,
    outer: Sha256,
}

impl Key {
    fn new(key: &[u8]) -> Self {
        let mut block = Zeroizing::new([0; BLOCK_LENGTH]);
        if let Some(front) = block.get_mut(..key.len()) {
            front.copy_from_slice(key);
        } else {
            let mut hash = Sha256::digest(key);
            block.iter_mut().zip(&hash).for_each(|(octet, of_hash)| *octet = *of_hash);
            hash.as_mut_slice().zeroize();
        }
        block.iter_mut().for_each(|octet| *octet ^= 0x36);
        let inner = Sha256::new_with_prefix(block.as_slice());
        block.iter_mut().for_each(|octet| *octet ^= 0x36 ^ 0x5c);
        Self { inner, outer: Sha256::new_with_prefix(block.as_slice()) }
    }
}

impl hmac::Key for Key {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Tag {
        let mut inner = self.inner.clone();
        inner.update(first);
        for part in middle {
            inner.update(part);
        }
        inner.update(last);
        let mut hash = inner.finalize();
        let mut outer = self.outer.clone();
        outer.update(hash.as_slice());
        hash.as_mut_slice().zeroize();
        let mut hash = outer.finalize();
        let tag = Tag::new(&hash);
        hash.as_mut_slice().zeroize();
        tag
    }

    fn tag_len(&self) -> usize {
        HASH_LENGTH
    }
}

/// As rustls's own over an HMAC, which leaves what it extracts on the heap.
struct Hkdf;

impl tls13::Hkdf for Hkdf {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.extract_from_secret(salt, &[0; HASH_LENGTH])
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        let key = Key::new(salt.unwrap_or_default()).sign(&[secret]);
        Box::new(Expander(Key::new(key.as_ref())))
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        Box::new(Expander(Key::new(okm.as_ref())))
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> Tag {
        Key::new(key.as_ref()).sign(&[message])
    }
}

struct Expander(Key);

impl HkdfExpander for Expander {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        let mut block = Tag::new(&[]);
        let mut chunks = output.chunks_mut(HASH_LENGTH);
        for (number, chunk) in (1..=u8::MAX).zip(&mut chunks) {
            block = self.0.sign_concat(block.as_ref(), info, &[number]);
            chunk.iter_mut().zip(block.as_ref()).for_each(|(octet, of_block)| *octet = *of_block);
        }
        chunks.next().map_or(Ok(()), |_| Err(OutputLengthError))
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        OkmBlock::new(self.0.sign_concat(&[], info, &[1]).as_ref())
    }

    fn hash_len(&self) -> usize {
        HASH_LENGTH
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
            for length in 0..=2 * BLOCK_LENGTH + 2 {
                let text = octets(length);
                let expected = theirs.hash(&text);
                assert_eq!(ours.hash(&text).as_ref(), expected.as_ref());
                for cut in 0..=length {
                    let (head, tail) = text.split_at(cut);
                    let mut state = ours.start();
                    state.update(head);
                    let mut fork = state.fork();
                    assert_eq!(state.fork_finish().as_ref(), ours.hash(head).as_ref());
                    for part in tail.chunks(length / 3 + 1) {
                        state.update(part);
                    }
                    fork.update(tail);
                    assert_eq!([state.finish().as_ref(), fork.finish().as_ref()], [expected.as_ref(); 2]);
                }
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
                    let too_long = made[4].expand_slice(&[&info], &mut vec![0; 255 * length + 1]).is_err();
                    let slices = [0, 1, 12, 16, 32, 33, 100, 255 * 32].map(|length| {
                        let mut slice = vec![0; length];
                        made[4].expand_slice(&[&info[..7], &[], &info[7..]], &mut slice).unwrap();
                        slice
                    });
                    assert!(too_long);
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
