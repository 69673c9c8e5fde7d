//! What extensions say, for people. Nothing here decides anything: the rules read for themselves.

use std::fmt::{self, Write as _};

use crate::certificate::Certificate;
use crate::der::{self, Malformed, Reader};
use crate::error::Error;
use crate::general_name::{GeneralName, GeneralNames};
use crate::name::Oid;

/// One extension, shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShownExtension {
    /// Its name in RFC 5280, or its object identifier in dotted decimal.
    pub name: String,
    /// Whether it is marked critical.
    pub critical: bool,
    /// What it says; its octets where that is not known, or cannot be read.
    pub value: String,
}

/// Octets of a value that is not understood which are shown.
const OCTETS_SHOWN: usize = 32;

/// §4.2.1.3, bits from the first.
const KEY_USAGES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

impl Certificate<'_> {
    /// Its extensions in the order written.
    pub fn extensions_shown(&self) -> Vec<ShownExtension> {
        let show = |(oid, critical, value): (&[u8], bool, &[u8])| {
            let (name, known) = self.known(oid, value);
            let shown = known.and_then(Result::ok);
            ShownExtension {
                name: name.map_or_else(|| Oid(oid).to_string(), str::to_owned),
                critical,
                value: shown.unwrap_or_else(|| Octets(value).to_string()),
            }
        };
        self.extensions.iter().map(show).collect()
    }

    fn known(&self, oid: &[u8], value: &[u8]) -> (Option<&'static str>, Option<Result<String, Error>>) {
        let extensions = &self.extensions;
        match oid {
            [0x55, 0x1d, 14] => {
                let identifier = extensions.subject_key_identifier();
                (Some("subjectKeyIdentifier"), Some(identifier.map(|id| Hex(id.unwrap_or_default()).to_string())))
            }
            [0x55, 0x1d, 15] => (Some("keyUsage"), Some(key_usages(value).map_err(Error::from))),
            [0x55, 0x1d, 17] => {
                let names = extensions.subject_alt_names_shown();
                (Some("subjectAltName"), Some(names.map(|names| names.join(", "))))
            }
            [0x55, 0x1d, 19] => {
                let constraints = extensions.basic_constraints().map(|constraints| match constraints.path_len {
                    Some(path_len) => format!("CA:{}, pathlen:{path_len}", constraints.ca),
                    None => format!("CA:{}", constraints.ca),
                });
                (Some("basicConstraints"), Some(constraints))
            }
            [0x55, 0x1d, 30] => (Some("nameConstraints"), Some(subtrees(value).map_err(Error::from))),
            [0x55, 0x1d, 31] => (Some("cRLDistributionPoints"), None),
            [0x55, 0x1d, 32] => (Some("certificatePolicies"), Some(policies(value).map_err(Error::from))),
            [0x55, 0x1d, 33] => (Some("policyMappings"), None),
            [0x55, 0x1d, 35] => {
                let identifier = extensions.authority_key_identifier();
                let shown = |key: Option<&[u8]>| key.map_or_else(String::new, |key| Hex(key).to_string());
                (Some("authorityKeyIdentifier"), Some(identifier.map(|id| shown(id.and_then(|id| id.key_identifier)))))
            }
            [0x55, 0x1d, 36] => (Some("policyConstraints"), None),
            [0x55, 0x1d, 37] => (Some("extKeyUsage"), Some(purposes(value).map_err(Error::from))),
            [0x55, 0x1d, 54] => (Some("inhibitAnyPolicy"), None),
            [0x2b, 6, 1, 5, 5, 7, 1, 1] => (Some("authorityInfoAccess"), None),
            _ => (None, None),
        }
    }
}

fn key_usages(value: &[u8]) -> Result<String, Malformed> {
    let mut outer = Reader::new(value, "keyUsage");
    let bits = outer.named_bits()?;
    outer.finish()?;
    let octets = bits.iter().flat_map(|octet| (0..8u32).map(move |bit| octet.wrapping_shl(bit) & 0x80 != 0));
    let named = KEY_USAGES.iter().zip(octets).filter(|(_, set)| *set).map(|(name, _)| *name);
    Ok(named.collect::<Vec<_>>().join(", "))
}

fn purposes(value: &[u8]) -> Result<String, Malformed> {
    let mut list = Reader::only(value, der::SEQUENCE, "extKeyUsage")?;
    let mut shown = Vec::new();
    while !list.is_empty() {
        let oid = list.oid()?;
        shown.push(match oid {
            [0x2b, 6, 1, 5, 5, 7, 3, 1] => "serverAuth".to_owned(),
            [0x2b, 6, 1, 5, 5, 7, 3, 2] => "clientAuth".to_owned(),
            [0x2b, 6, 1, 5, 5, 7, 3, 3] => "codeSigning".to_owned(),
            [0x2b, 6, 1, 5, 5, 7, 3, 4] => "emailProtection".to_owned(),
            [0x2b, 6, 1, 5, 5, 7, 3, 8] => "timeStamping".to_owned(),
            [0x2b, 6, 1, 5, 5, 7, 3, 9] => "OCSPSigning".to_owned(),
            [0x55, 0x1d, 37, 0] => "anyExtendedKeyUsage".to_owned(),
            other => Oid(other).to_string(),
        });
    }
    Ok(shown.join(", "))
}

fn policies(value: &[u8]) -> Result<String, Malformed> {
    let mut list = Reader::only(value, der::SEQUENCE, "certificatePolicies")?;
    let mut shown = Vec::new();
    while !list.is_empty() {
        let mut inside = list.inside(der::SEQUENCE, "policyInformation")?;
        shown.push(match inside.oid()? {
            [0x55, 0x1d, 32, 0] => "anyPolicy".to_owned(),
            other => Oid(other).to_string(),
        });
    }
    Ok(shown.join(", "))
}

/// `permitted DNS:a, DNS:b; excluded email:c`.
fn subtrees(value: &[u8]) -> Result<String, Malformed> {
    let mut inside = Reader::only(value, der::SEQUENCE, "nameConstraints")?;
    let mut shown = String::new();
    for (number, word) in [(0, "permitted"), (1, "excluded")] {
        let Some(list) = inside.optional(der::context(number))? else { continue };
        let mut list = Reader::new(list, "generalSubtrees");
        let mut names = Vec::new();
        while !list.is_empty() {
            let subtree = list.inside(der::SEQUENCE, "generalSubtree")?;
            let base: Option<GeneralName<'_>> = GeneralNames::of(subtree.rest(), "base").next()?;
            names.extend(base.map(|base| base.to_string()));
        }
        let separator = if shown.is_empty() { "" } else { "; " };
        // Writing into a string cannot fail.
        let _written = write!(shown, "{separator}{word} {}", names.join(", "));
    }
    Ok(shown)
}

/// Two digits an octet.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(OCTETS_SHOWN).try_for_each(|octet| write!(formatter, "{octet:02x}"))?;
        formatter.write_str(if self.0.len() > OCTETS_SHOWN { "…" } else { "" })
    }
}

/// Octets that nothing is known about.
struct Octets<'a>(&'a [u8]);

impl fmt::Display for Octets<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} octets: {}", self.0.len(), Hex(self.0))
    }
}
