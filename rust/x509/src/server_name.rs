//! The name a client wants to reach, and the certificates that show it. RFC 9525.
//!
//! Only subject alternative names count, DNS names and addresses; a common name never does (§2). A wildcard is the whole left-most
//! label and stands for exactly one (§6.3). Deviation: below it at least two labels are wanted, so that nobody shows `*.com`.

use std::fmt;
use std::net::IpAddr;

use crate::certificate::Certificate;
use crate::error::Error;
use crate::general_name::{GeneralName, Underscores, address, is_host_name};
use crate::name::text;

/// The reference identity of RFC 9525 §6.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName(Reference);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reference {
    Dns(Box<str>),
    Ip(IpAddr),
}

impl ServerName {
    /// Reads a DNS name (in its ASCII form, with or without the root's dot) or an address.
    pub fn parse(name: &str) -> Option<Self> {
        if let Ok(address) = name.parse() {
            return Some(Self(Reference::Ip(address)));
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        is_host_name(name.as_bytes(), Underscores::Allow).then(|| Self(Reference::Dns(name.into())))
    }

    /// That one of the alternative names of `certificate` shows this name.
    pub(crate) fn check(&self, certificate: &Certificate<'_>) -> Result<(), Error> {
        let mut names = certificate.extensions.subject_alt_names()?;
        while let Some(name) = names.next()? {
            let shown = match (&self.0, name) {
                (Reference::Dns(wanted), GeneralName::Dns(name)) => dns_shows(name, wanted.as_bytes()),
                (Reference::Ip(wanted), GeneralName::Ip(octets)) => address(octets) == Some(*wanted),
                _ => false,
            };
            if shown {
                return Ok(());
            }
        }
        Err(Error::ServerNameMismatch { wanted: self.to_string() })
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reference::Dns(name) => write!(formatter, "DNS:{name}"),
            Reference::Ip(address) => write!(formatter, "IP:{address}"),
        }
    }
}

/// Whether the presented `name` shows `wanted`; case does not matter (§6.2).
fn dns_shows(name: &[u8], wanted: &[u8]) -> bool {
    let Some(parent) = name.strip_prefix(b"*.") else {
        return is_host_name(name, Underscores::Refuse) && name.eq_ignore_ascii_case(wanted);
    };
    let first_dot = wanted.iter().position(|octet| *octet == b'.').filter(|dot| *dot > 0);
    let after_first_label = first_dot.and_then(|dot| wanted.get(dot..)?.get(1..));
    is_host_name(parent, Underscores::Refuse)
        && parent.contains(&b'.')
        && after_first_label.is_some_and(|rest| rest.eq_ignore_ascii_case(parent))
}

/// BR §7.1.4.3: there is at most one common name, and if it means one of the alternative names, it is a letter-for-letter copy of it.
///
/// Deviation: the Baseline Requirements ask a copy of every common name; one that means something else is left alone here, as it plays
/// no part in matching.
pub(crate) fn check_common_name(certificate: &Certificate<'_>) -> Result<(), Error> {
    let mut only = None;
    let mut several = false;
    certificate.subject.for_common_names(|attribute| several |= only.replace(attribute.value).is_some());
    if several {
        return Err(Error::CommonNameAmbiguous);
    }
    let Some(common_name) = only.as_ref().and_then(text) else { return Ok(()) };
    let common_address = lenient_address(common_name);
    let (mut means, mut copies) = (false, false);
    let mut names = certificate.extensions.subject_alt_names()?;
    while let Some(name) = names.next()? {
        match name {
            GeneralName::Dns(name) => {
                means |= name.eq_ignore_ascii_case(common_name.as_bytes());
                copies |= name == common_name.as_bytes();
            }
            GeneralName::Ip(octets) => {
                let same = common_address.is_some() && address(octets) == common_address;
                means |= same;
                copies |= same && common_address.is_some_and(|address| address.to_string() == common_name);
            }
            GeneralName::Rfc822(_) | GeneralName::Directory(_) | GeneralName::Uri(_) | GeneralName::Other(..) => {}
        }
    }
    if means && !copies { Err(Error::CommonNameNotInSubjectAltName) } else { Ok(()) }
}

/// An address in any spelling that somebody's resolver takes: four numbers, or one, each decimal, octal or hexadecimal; and the many
/// forms of IPv6.
fn lenient_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let number = |digits: &str| match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
        None => digits.parse().ok(),
    };
    match text.split('.').collect::<Vec<_>>().as_slice() {
        [whole] => number(whole).map(|whole| IpAddr::from(whole.to_be_bytes())),
        [a, b, c, d] => {
            let octet = |digits: &str| number(digits).and_then(|number| u8::try_from(number).ok());
            Some(IpAddr::from([octet(a)?, octet(b)?, octet(c)?, octet(d)?]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_names_are_host_names_or_addresses() {
        assert_eq!(ServerName::parse("example.com").unwrap().to_string(), "DNS:example.com");
        assert_eq!(ServerName::parse("example.com."), ServerName::parse("example.com"));
        assert_eq!(ServerName::parse("192.0.2.1").unwrap().to_string(), "IP:192.0.2.1");
        assert_eq!(ServerName::parse("2001:db8::1").unwrap().to_string(), "IP:2001:db8::1");
        for bad in ["", ".", "*.example.com", "a b", "é.example", "a..b", "https://a.b"] {
            assert_eq!(ServerName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn wildcards_are_one_whole_left_most_label() {
        let shows = |name: &str, wanted: &str| dns_shows(name.as_bytes(), wanted.as_bytes());
        assert!(shows("example.com", "EXAMPLE.com"));
        assert!(shows("*.example.com", "host.example.com"));
        assert!(!shows("*.example.com", "example.com"));
        assert!(!shows("*.example.com", "a.host.example.com"));
        assert!(!shows("*.example.com", ".example.com"));
        assert!(!shows("h*.example.com", "host.example.com"));
        assert!(!shows("host.*.com", "host.example.com"));
        assert!(!shows("*.com", "example.com"));
        assert!(!shows("*", "localhost"));
        assert!(!shows("*.*.com", "a.b.com"));
        assert!(!shows("a_b.example.com", "a_b.example.com"), "underscores are no host name");
    }

    #[test]
    fn addresses_are_recognised_in_every_spelling() {
        let wanted = Some(IpAddr::from([192, 168, 1, 1]));
        for text in ["192.168.1.1", "0xC0A80101", "192.168.001.001", "0xc0.0xa8.1.1", "3232235777"] {
            assert_eq!(lenient_address(text), wanted, "{text}");
        }
        assert_eq!(lenient_address("2001:DB8:0:0::1"), "2001:db8::1".parse().ok());
        for text in ["example.com", "1.2.3", "256.1.1.1", "a.b.c.d", ""] {
            assert_eq!(lenient_address(text), None, "{text}");
        }
    }
}
