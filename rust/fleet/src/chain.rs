//! A supply chain: a root, whoever it signed, whoever they signed, and at its end the devices. All keys P-256.
//!
//! The certificates are what a manufacturer's CA would write (RFC 5280 §4.2): basic constraints, key usage, key identifiers; devices
//! also an extended key usage for clients and their name once more as an alternative one, so that every verifier takes them.

use crate::crypto::{self, Key, KeyParts, Seed};
use crate::der::{self, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};
use crate::error::Error;

/// The time inside of which certificates are valid: seconds since 1970, UTC, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: i64,
    /// The last second.
    pub not_after: i64,
}

impl Validity {
    fn der(&self) -> Vec<u8> {
        der::value(SEQUENCE, &[&der::time(self.not_before), &der::time(self.not_after)])
    }
}

/// One CA of the chain.
#[derive(Clone)]
pub struct Authority {
    name: String,
    certificate: Vec<u8>,
    parts: KeyParts,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Authority {
    /// Its common name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// PKCS #8 DER.
    pub fn private_key(&self) -> Vec<u8> {
        self.parts.pkcs8()
    }
}

/// The CAs, the root first. Each one signed the next; the last signs devices.
#[derive(Debug)]
pub struct SupplyChain {
    seed: Seed,
    validity: Validity,
    authorities: Vec<Authority>,
    issuer: Issuer,
}

/// Names are in certificates, file names and logs.
const NAME_BYTES_MAX: usize = 64;
const AUTHORITIES_COUNT_MAX: usize = 16;

impl SupplyChain {
    /// A new chain of CAs with these common names, the root's first. The same `seed` gives the same keys.
    ///
    /// # Errors
    /// `bad_fleet`: no name, more than 16, an empty or long one, or a validity that ends before it begins.
    pub fn new(names: &[String], seed: Option<[u8; 32]>, validity: Validity) -> Result<Self, Error> {
        let bad = |detail: &str| Err(Error::new("bad_fleet", detail));
        if names.is_empty() || names.len() > AUTHORITIES_COUNT_MAX {
            return bad("a chain has 1 to 16 authorities");
        }
        if names.iter().any(|name| name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control)) {
            return bad("an authority's name has 1 to 64 bytes, none of them a control character");
        }
        if validity.not_after < validity.not_before {
            return bad("the validity ends before it begins");
        }
        let seed = seed.map_or_else(crypto::random, Ok)?;
        let mut authorities: Vec<Authority> = Vec::new();
        let mut issuer = None;
        for (number, name) in (0..).zip(names) {
            let parts = KeyParts::derive(&seed, "authority", number)?;
            let key = Key::new(&parts)?;
            let above =
                issuer.take().map_or_else(|| Ok(Issuer::new(name, &parts, Key::new(&parts)?)), Ok::<_, Error>)?;
            let subject =
                Subject { common_name: name, point: &parts.point, serial: serial(&seed, "authority", number) };
            let certificate =
                above.sign(&subject, validity, &authority_extensions(&subject.key_id(), &above.key_id))?;
            authorities.push(Authority { name: name.clone(), certificate, parts: parts.clone() });
            issuer = Some(Issuer::new(name, &parts, key));
        }
        let issuer = issuer.ok_or_else(|| Error::new("bad_fleet", "a chain has 1 to 16 authorities"))?;
        Ok(Self { seed, validity, authorities, issuer })
    }

    /// The CAs, the root first.
    pub fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    pub(crate) fn device_key(&self, number: u64) -> Result<KeyParts, Error> {
        KeyParts::derive(&self.seed, "device", number)
    }

    /// The certificate of device `number` for `parts`.
    pub(crate) fn device_certificate(&self, id: &str, number: u64, parts: &KeyParts) -> Result<Vec<u8>, Error> {
        self.issuer.sign_device(id, &parts.point, serial(&self.seed, "device", number), self.validity)
    }
}

/// Positive, 16 octets, the same size for everyone: RFC 5280 §4.1.2.2.
fn serial(seed: &Seed, label: &str, number: u64) -> [u8; 16] {
    let hash = crypto::sha256(&[b"holdfast fleet serial", seed, label.as_bytes(), &number.to_be_bytes()]);
    let mut serial = [0; 16];
    serial.copy_from_slice(&hash[..16]);
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

/// RFC 7093 §2, method 1.
type KeyId = [u8; 20];

fn key_id(point: &crypto::Point) -> KeyId {
    let mut id = [0; 20];
    id.copy_from_slice(&crypto::sha256(&[point])[..20]);
    id
}

pub(crate) struct Subject<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) point: &'a crypto::Point,
    pub(crate) serial: [u8; 16],
}

impl Subject<'_> {
    pub(crate) fn key_id(&self) -> KeyId {
        key_id(self.point)
    }
}

/// Whoever signs, with what is the same in everything it signs.
#[derive(Debug)]
pub(crate) struct Issuer {
    name: Vec<u8>,
    key_id: KeyId,
    key: Key,
}

impl Issuer {
    pub(crate) fn new(common_name: &str, parts: &KeyParts, key: Key) -> Self {
        Self { name: name(common_name), key_id: key_id(&parts.point), key }
    }

    /// An issuer whose key comes from a file: its identifier matters to nobody who only fails to be let in.
    pub(crate) fn from_pkcs8(common_name: &str, der: &[u8]) -> Result<Self, Error> {
        Ok(Self { name: name(common_name), key_id: [0; 20], key: Key::from_pkcs8(der)? })
    }

    pub(crate) fn sign_device(
        &self,
        id: &str,
        point: &crypto::Point,
        serial: [u8; 16],
        validity: Validity,
    ) -> Result<Vec<u8>, Error> {
        let subject = Subject { common_name: id, point, serial };
        self.sign(&subject, validity, &device_extensions(id, &self.key_id))
    }

    pub(crate) fn sign(&self, subject: &Subject<'_>, validity: Validity, extensions: &[u8]) -> Result<Vec<u8>, Error> {
        let to_be_signed = der::value(
            SEQUENCE,
            &[
                &[der::context(0), 3, der::INTEGER, 1, 2], // v3
                &der::value(der::INTEGER, &[&subject.serial]),
                ECDSA_WITH_SHA256,
                &self.name,
                &validity.der(),
                &name(subject.common_name),
                &der::value(SEQUENCE, &[crypto::ALGORITHM, &der::bit_string(subject.point)]),
                extensions,
            ],
        );
        let signature = der::bit_string(&self.key.sign(&to_be_signed)?);
        Ok(der::value(SEQUENCE, &[&to_be_signed, ECDSA_WITH_SHA256, &signature]))
    }
}

/// RFC 5758 §3.2
const ECDSA_WITH_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

fn name(common_name: &str) -> Vec<u8> {
    let value = der::value(der::UTF8_STRING, &[common_name.as_bytes()]);
    let attribute = der::value(SEQUENCE, &[&der::value(OBJECT_IDENTIFIER, &[&[0x55, 0x04, 0x03]]), &value]);
    der::value(SEQUENCE, &[&der::value(der::SET, &[&attribute])])
}

/// The last arc of the extensions below 2.5.29.
const KEY_IDENTIFIER: u8 = 14;
const KEY_USAGE: u8 = 15;
const ALTERNATIVE_NAME: u8 = 17;
const BASIC_CONSTRAINTS: u8 = 19;
const AUTHORITY_KEY_IDENTIFIER: u8 = 35;
const EXTENDED_KEY_USAGE: u8 = 37;
const CRITICAL: bool = true;

fn extension(arc: u8, critical: bool, contents: &[u8]) -> Vec<u8> {
    let marked: &[u8] = if critical { &[der::BOOLEAN, 1, 0xff] } else { &[] };
    let contents = der::value(OCTET_STRING, &[contents]);
    der::value(SEQUENCE, &[&der::value(OBJECT_IDENTIFIER, &[&[0x55, 0x1d, arc]]), marked, &contents])
}

fn extensions(all: &[Vec<u8>]) -> Vec<u8> {
    let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    der::value(der::context(3), &[&der::value(SEQUENCE, &all)])
}

fn authority_key_identifier(issuer: &KeyId) -> Vec<u8> {
    let contents = der::value(SEQUENCE, &[&der::value(der::primitive(0), &[issuer])]);
    extension(AUTHORITY_KEY_IDENTIFIER, !CRITICAL, &contents)
}

pub(crate) fn authority_extensions(own: &KeyId, issuer: &KeyId) -> Vec<u8> {
    extensions(&[
        extension(BASIC_CONSTRAINTS, CRITICAL, &[SEQUENCE, 3, der::BOOLEAN, 1, 0xff]),
        extension(KEY_USAGE, CRITICAL, &[der::BIT_STRING, 2, 1, 0x06]), // keyCertSign, cRLSign
        extension(KEY_IDENTIFIER, !CRITICAL, &der::value(OCTET_STRING, &[own])),
        authority_key_identifier(issuer),
    ])
}

fn device_extensions(id: &str, issuer: &KeyId) -> Vec<u8> {
    // id-kp-clientAuth, 1.3.6.1.5.5.7.3.2
    let client = der::value(OBJECT_IDENTIFIER, &[&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02]]);
    let alternative = der::value(der::primitive(2), &[id.as_bytes(), b".test"]);
    extensions(&[
        extension(BASIC_CONSTRAINTS, CRITICAL, &[SEQUENCE, 0]),
        extension(KEY_USAGE, CRITICAL, &[der::BIT_STRING, 2, 7, 0x80]), // digitalSignature
        extension(EXTENDED_KEY_USAGE, !CRITICAL, &der::value(SEQUENCE, &[&client])),
        authority_key_identifier(issuer),
        extension(ALTERNATIVE_NAME, !CRITICAL, &der::value(SEQUENCE, &[&alternative])),
    ])
}
