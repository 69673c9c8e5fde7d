//! Keys of an established TLS connection, and the one record that each opens or seals. RFC 8446 §5, §7; RFC 5288; RFC 7905.
//! Tickets are sealed with the same.
//!
//! Beside `handshake.rs`, which takes the keys out of the TLS library, and `sha256.rs` this is the only file here that knows
//! a cryptographic library. A key is expanded when it is used (about 0.1 µs) and kept as its octets: an idle connection
//! costs two of them, not two expanded ciphers.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, HKDF_SHA384, KeyType, Prk};
use aws_lc_rs::rand;
use zeroize::Zeroize;

/// Octets of a tag, whatever the AEAD.
pub(crate) const TAG_LENGTH: usize = 16;
/// Octets of a nonce, whatever the AEAD.
pub(crate) const NONCE_LENGTH: usize = 12;
/// Octets of the longest secret: SHA-384's.
const SECRET_LENGTH_MAX: usize = 48;

/// Octets that nobody can guess; `None` when the system has none to give.
pub(crate) fn random<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
    let mut octets = [0; LENGTH];
    rand::fill(&mut octets).ok()?;
    Some(octets)
}

/// What the suite protects records with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aead {
    Aes128Gcm,
    Aes256Gcm,
    Chacha20Poly1305,
}

impl Aead {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128Gcm => &AES_128_GCM,
            Self::Aes256Gcm => &AES_256_GCM,
            Self::Chacha20Poly1305 => &CHACHA20_POLY1305,
        }
    }

    /// Records that one key may seal. GCM: 2^24 full-sized ones keep an attacker's advantage below 2^-57 (RFC 8446 §5.5
    /// allows 2^24.5). ChaCha20-Poly1305 outlives its sequence numbers.
    pub(crate) fn confidentiality_limit(self) -> u64 {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 1 << 24,
            Self::Chacha20Poly1305 => u64::MAX,
        }
    }
}

/// The key of one direction.
#[derive(PartialEq, Eq)]
pub(crate) struct Key {
    aead: Aead,
    octets: [u8; 32],
    iv: [u8; NONCE_LENGTH],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Key").field("aead", &self.aead).finish_non_exhaustive()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.octets.zeroize();
        self.iv.zeroize();
    }
}

/// Something is wrong with a record, and nobody may know what: its tag, its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unprotected;

impl Key {
    /// `None` when the lengths are not those of `aead`.
    pub(crate) fn new(aead: Aead, key: &[u8], iv: &[u8]) -> Option<Self> {
        let mut octets = [0; 32];
        octets.get_mut(..aead.algorithm().key_len())?.copy_from_slice_checked(key)?;
        Some(Self { aead, octets, iv: iv.try_into().ok()? })
    }

    pub(crate) fn aead(&self) -> Aead {
        self.aead
    }

    /// The per-record nonce of RFC 8446 §5.3, which RFC 7905 §2 has too, and which serves as TLS 1.2's explicit nonce
    /// because it never comes twice (RFC 5288 §3).
    pub(crate) fn nonce(&self, sequence: u64) -> [u8; NONCE_LENGTH] {
        let mut nonce = self.iv;
        for (octet, number) in nonce.iter_mut().rev().zip(sequence.to_le_bytes()) {
            *octet ^= number;
        }
        nonce
    }

    /// The nonce of a record of TLS 1.2 with GCM: the salt, then what the record says (RFC 5288 §3).
    pub(crate) fn explicit_nonce(&self, explicit: [u8; 8]) -> [u8; NONCE_LENGTH] {
        let mut nonce = self.iv;
        for (octet, given) in nonce.iter_mut().rev().zip(explicit.iter().rev()) {
            *octet = *given;
        }
        nonce
    }

    /// Decrypts in place; answers how many octets of plaintext stand at the front of `text` then.
    pub(crate) fn open(&self, nonce: [u8; NONCE_LENGTH], aad: &[u8], text: &mut [u8]) -> Result<usize, Unprotected> {
        let opened = self.expanded()?.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), text);
        opened.map(|plaintext| plaintext.len()).map_err(|_| Unprotected)
    }

    /// Encrypts what stands in `text` from `from` on, and appends the tag.
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_LENGTH],
        aad: &[u8],
        text: &mut Vec<u8>,
        from: usize,
    ) -> Result<(), Unprotected> {
        let key = self.expanded()?;
        let plaintext = text.get_mut(from..).ok_or(Unprotected)?;
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), plaintext)
            .map_err(|_| Unprotected)?;
        text.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn expanded(&self) -> Result<LessSafeKey, Unprotected> {
        let algorithm = self.aead.algorithm();
        let octets = self.octets.get(..algorithm.key_len()).ok_or(Unprotected)?;
        UnboundKey::new(algorithm, octets).map(LessSafeKey::new).map_err(|_| Unprotected)
    }
}

/// `copy_from_slice` that refuses another length instead of panicking.
trait CopyChecked {
    fn copy_from_slice_checked(&mut self, from: &[u8]) -> Option<()>;
}

impl CopyChecked for [u8] {
    fn copy_from_slice_checked(&mut self, from: &[u8]) -> Option<()> {
        (self.len() == from.len()).then(|| self.copy_from_slice(from))
    }
}

/// An application traffic secret of TLS 1.3: what the next key is made from (RFC 8446 §7.2).
pub(crate) struct Secret {
    octets: [u8; SECRET_LENGTH_MAX],
    length: u8,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

impl Secret {
    /// `None` when it is neither SHA-256's nor SHA-384's length.
    pub(crate) fn new(octets: &[u8]) -> Option<Self> {
        let length = u8::try_from(octets.len()).ok().filter(|length| [32, 48].contains(length))?;
        let mut own = [0; SECRET_LENGTH_MAX];
        own.get_mut(..octets.len())?.copy_from_slice_checked(octets)?;
        Some(Self { octets: own, length })
    }

    /// `application_traffic_secret_N+1`, §7.2.
    pub(crate) fn next(&self) -> Result<Self, Unprotected> {
        let mut octets = [0; SECRET_LENGTH_MAX];
        let length = usize::from(self.length);
        self.expand(b"traffic upd", octets.get_mut(..length).ok_or(Unprotected)?)?;
        Ok(Self { octets, length: self.length })
    }

    /// The key that this secret stands for, §7.3.
    pub(crate) fn key(&self, aead: Aead) -> Result<Key, Unprotected> {
        let mut key = Key { aead, octets: [0; 32], iv: [0; NONCE_LENGTH] };
        let length = aead.algorithm().key_len();
        self.expand(b"key", key.octets.get_mut(..length).ok_or(Unprotected)?)?;
        let mut iv = [0; NONCE_LENGTH];
        self.expand(b"iv", &mut iv)?;
        key.iv = iv;
        Ok(key)
    }

    /// HKDF-Expand-Label with an empty context, §7.1.
    fn expand(&self, label: &[u8], out: &mut [u8]) -> Result<(), Unprotected> {
        struct Length(usize);
        impl KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let octets = self.octets.get(..usize::from(self.length)).ok_or(Unprotected)?;
        let hash = if self.length == 32 { HKDF_SHA256 } else { HKDF_SHA384 };
        let length = u16::try_from(out.len()).map_err(|_| Unprotected)?.to_be_bytes();
        let label_length = [u8::try_from(label.len().saturating_add(6)).map_err(|_| Unprotected)?];
        let info = [&length[..], &label_length, b"tls13 ", label, &[0]];
        let expanded = Prk::new_less_safe(hash, octets);
        let okm = expanded.expand(&info, Length(out.len())).map_err(|_| Unprotected)?;
        okm.fill(out).map_err(|_| Unprotected)
    }
}
