//! A certificate as named slices of its own bytes; interprets nothing. RFC 5280 §4.1.

use crate::der::{self, DerFault, Malformed, Reader};
use crate::error::Error;
use crate::extension::Extensions;
use crate::name::Name;
use crate::signature::{AlgorithmIdentifier, PublicKeyAlgorithm};
use crate::time::Validity;

/// One certificate. Parsing checks structure only: whether it may do anything is the judge's question.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    /// The whole certificate.
    pub der: &'a [u8],
    /// What the signature covers.
    pub tbs: &'a [u8],
    /// The syntax version.
    pub version: Version,
    /// Contents of the serial number's INTEGER, minimal; may be negative or long (the judge refuses those).
    pub serial_number: &'a [u8],
    /// Who signed it, as it claims.
    pub issuer: Name<'a>,
    /// From when to when.
    pub validity: Validity,
    /// Whose key it carries.
    pub subject: Name<'a>,
    /// The key.
    pub spki: SubjectPublicKeyInfo<'a>,
    /// Whether it carries issuerUniqueID or subjectUniqueID, §4.1.2.8.
    pub unique_identifiers: bool,
    /// Its extensions, if any.
    pub extensions: Extensions<'a>,
    /// How it was signed; the same inside and outside of the signed part (§4.1.1.2).
    pub signature_algorithm: AlgorithmIdentifier<'a>,
    /// The signature's octets.
    pub signature: &'a [u8],
}

/// The syntax version, §4.1.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Version {
    /// No extensions, no unique identifiers.
    V1,
    /// Unique identifiers, no extensions.
    V2,
    /// Extensions.
    V3,
}

/// A public key with its algorithm, §4.1.2.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectPublicKeyInfo<'a> {
    /// The whole element: what key hashes are taken over.
    pub der: &'a [u8],
    /// Contents of its `AlgorithmIdentifier`, parameters included.
    pub algorithm: &'a [u8],
    /// Octets of its BIT STRING.
    pub key: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Parses exactly one certificate; nothing may follow it.
    ///
    /// # Errors
    /// `Der` with what was being read and what is wrong; `DuplicateExtension`, `ExtensionsNotAllowed`, `InvalidTime`,
    /// `SignatureAlgorithmMismatch`, `TooManyExtensions`, `UnsupportedVersion`.
    pub fn parse(der: &'a [u8]) -> Result<Self, Error> {
        let mut certificate = Reader::only(der, der::SEQUENCE, "certificate")?;
        let tbs = certificate.expect(der::SEQUENCE)?;
        let signature_algorithm = AlgorithmIdentifier::parse(&mut certificate)?;
        let signature = certificate.bit_string_octets()?;
        certificate.finish()?;

        let mut inside = Reader::new(tbs.value, "tbsCertificate");
        let version = parse_version(&mut inside)?;
        let serial_number = inside.integer()?;
        // §4.1.1.2: this field must be the same as the outer one, parameters included.
        if AlgorithmIdentifier::parse(&mut inside)? != signature_algorithm {
            return Err(Error::SignatureAlgorithmMismatch);
        }
        let issuer = Name::parse(&mut inside)?;
        let validity = Validity::parse(&mut inside)?;
        let subject = Name::parse(&mut inside)?;
        let spki = SubjectPublicKeyInfo::parse(&mut inside)?;
        let issuer_unique_id = inside.optional_bit_string(der::implicit(1))?;
        let subject_unique_id = inside.optional_bit_string(der::implicit(2))?;
        let extensions = match inside.optional(der::context(3))? {
            None => Extensions::default(),
            Some(_) if version != Version::V3 => return Err(Error::ExtensionsNotAllowed),
            Some(value) => Extensions::parse(Reader::new(value, "extensions"))?,
        };
        inside.finish()?;
        Ok(Self {
            der,
            tbs: tbs.der,
            version,
            serial_number,
            issuer,
            validity,
            subject,
            spki,
            unique_identifiers: issuer_unique_id.is_some() || subject_unique_id.is_some(),
            extensions,
            signature_algorithm,
            signature,
        })
    }

    /// Whether subject and issuer are the same name. Not the same as signed by its own key.
    pub fn self_issued(&self) -> bool {
        self.subject == self.issuer
    }
}

/// `[0] EXPLICIT INTEGER DEFAULT v1`: v1 is never written (X.690 §11.5).
fn parse_version(reader: &mut Reader<'_>) -> Result<Version, Error> {
    let Some(value) = reader.optional(der::context(0))? else { return Ok(Version::V1) };
    let mut inside = Reader::new(value, "version");
    let version = match inside.integer()? {
        [0] => return Err(inside.fault(DerFault::BadValue).into()),
        [1] => Version::V2,
        [2] => Version::V3,
        _ => return Err(Error::UnsupportedVersion),
    };
    inside.finish()?;
    Ok(version)
}

impl<'a> SubjectPublicKeyInfo<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let element = reader.expect(der::SEQUENCE)?;
        let mut inside = Reader::new(element.value, "subjectPublicKeyInfo");
        let algorithm = AlgorithmIdentifier::parse(&mut inside)?.contents();
        let key = inside.bit_string_octets()?;
        inside.finish()?;
        Ok(Self { der: element.der, algorithm, key })
    }

    /// Parses exactly one `SubjectPublicKeyInfo`; nothing may follow it.
    ///
    /// # Errors
    /// `Der` with what is wrong.
    pub fn parse_der(der: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(der, "subjectPublicKeyInfo");
        let spki = Self::parse(&mut reader)?;
        reader.finish()?;
        Ok(spki)
    }

    /// What kind of key it is.
    ///
    /// # Errors
    /// `ExplicitCurveParameters`, `PointFormNotSupported`, `PublicKeyTooLarge`, `UnsupportedPublicKey`, `WeakPublicKey`.
    pub fn public_key_algorithm(&self) -> Result<PublicKeyAlgorithm, Error> {
        PublicKeyAlgorithm::of(self)
    }
}
