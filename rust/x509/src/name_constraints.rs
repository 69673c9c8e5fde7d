//! Which names a CA may vouch for. RFC 5280 §4.2.1.10, §6.1.3 (b), (c), §6.1.4 (g).
//!
//! The judge asks each certificate's names against the constraints of every CA above it, which is the same as intersecting what they
//! permit and joining what they exclude. Every pair compared is paid for.
//!
//! Deviation: a wildcard is excluded when it *could* stand for an excluded name, and permitted only when everything it could stand
//! for is (RFC 9525 is silent; CVE-2025-61727). Deviation: mailboxes in the subject are constrained whether or not there are
//! alternative names, as OpenSSL does. Deviation: a client's common name that looks like a host name or an address is constrained as one,
//! whatever alternative names there are, because it is the client's identity (T12); a server's is nothing (RFC 9525 §2).

use std::net::IpAddr;

use crate::budget::{Budget, Counter};
use crate::certificate::Certificate;
use crate::der::{self, Malformed, Reader};
use crate::error::Error;
use crate::general_name::{GeneralName, Underscores, address, is_host_name};
use crate::name::{ComparableName, Within, brief, text};

/// The two lists of subtrees of one CA, read once for all names that they are asked about.
#[derive(Debug)]
pub(crate) struct NameConstraints<'a> {
    permitted: Vec<GeneralName<'a>>,
    excluded: Vec<GeneralName<'a>>,
    length: usize,
}

/// What a certificate's common name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommonName {
    /// It is part of the directory name, no more.
    Label,
    /// It says who the subject is.
    Identity,
}

impl<'a> NameConstraints<'a> {
    /// Reads and checks the extension's value.
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, Error> {
        let mut inside = Reader::only(value, der::SEQUENCE, "nameConstraints")?;
        let permitted = inside.optional(der::context(0))?;
        let excluded = inside.optional(der::context(1))?;
        inside.finish()?;
        // §4.2.1.10: not an empty sequence; and a list that is there holds at least one subtree.
        if (permitted, excluded) == (None, None) || permitted == Some(&[]) || excluded == Some(&[]) {
            return Err(Error::NameConstraintsEmpty);
        }
        let (permitted, excluded) = (permitted.unwrap_or_default(), excluded.unwrap_or_default());
        let length = permitted.len().saturating_add(excluded.len());
        Ok(Self { permitted: subtrees(permitted)?, excluded: subtrees(excluded)?, length })
    }

    /// How many octets it takes to go through all subtrees once.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Whether every name of `certificate` is permitted and none is excluded.
    pub(crate) fn check(
        &self,
        certificate: &Certificate<'_>,
        common_name: CommonName,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let mut verdict = Ok(());
        for_names(certificate, common_name, |name| {
            if verdict.is_ok() {
                verdict = self.check_name(name, budget);
            }
        })?;
        verdict
    }

    fn check_name(&self, name: &GeneralName<'_>, budget: &mut Budget) -> Result<(), Error> {
        let mut taken_apart = None;
        for base in &self.excluded {
            if compare(name, base, &mut taken_apart, budget)?.is_some_and(|within| within != Within::No) {
                return Err(Error::NameExcluded { name: brief(name) });
            }
        }
        let (mut constrained, mut inside) = (false, false);
        for base in &self.permitted {
            if let Some(within) = compare(name, base, &mut taken_apart, budget)? {
                constrained = true;
                inside = within == Within::Yes;
            }
            if inside {
                break;
            }
        }
        // A kind of name that is not constrained at all is permitted.
        if constrained && !inside { Err(Error::NameNotPermitted { name: brief(name) }) } else { Ok(()) }
    }
}

/// Where `name` lies, seen from `base`; `None` when they are of different kinds. `taken_apart` keeps the name's parts from one base to
/// the next.
fn compare<'a>(
    name: &GeneralName<'a>,
    base: &GeneralName<'_>,
    taken_apart: &mut Option<Parts<'a>>,
    budget: &mut Budget,
) -> Result<Option<Within>, Error> {
    budget.spend(Counter::Comparisons, 1)?;
    if !name.is_like(base) {
        return Ok(None);
    }
    if taken_apart.is_none() {
        // Looking at a name is paid by its length. Where a name that is no name lies, nobody can say.
        budget.spend(Counter::Comparisons, name.octets().len().div_euclid(8))?;
        *taken_apart = Parts::of(name);
    }
    let Some(parts) = taken_apart else { return Err(Error::GeneralNameInvalid { name: brief(name) }) };
    Ok(Some(match (parts, base) {
        (Parts::Dns { host, wildcard }, GeneralName::Dns(base)) => dns_within(host, *wildcard, base),
        (Parts::Ip(octets), GeneralName::Ip(base)) => ip_within(octets, base),
        (Parts::Mailbox { local, host }, GeneralName::Rfc822(base)) => mailbox_within(local, host, base),
        (Parts::Uri { host }, GeneralName::Uri(base)) => yes_if(host_within(host, base)),
        (Parts::Directory(name), GeneralName::Directory(base)) => {
            budget.spend(Counter::Comparisons, base.der().len().div_euclid(2))?;
            name.within(base)
        }
        // §4.2.1.10: a constraint that is not understood is obeyed by refusing every name of its kind.
        _ => return Err(Error::NameConstraintUnsupported { form: name.kind() }),
    }))
}

/// A name as it is compared.
#[derive(Debug)]
enum Parts<'a> {
    /// A wildcard's `*` stands for one label in front of `host` (RFC 9525 §6.3).
    Dns {
        host: &'a [u8],
        wildcard: bool,
    },
    Ip(&'a [u8]),
    Mailbox {
        local: &'a [u8],
        host: &'a [u8],
    },
    Uri {
        host: &'a [u8],
    },
    Directory(ComparableName<'a>),
    NotUnderstood,
}

impl<'a> Parts<'a> {
    /// `None` for a name in no form that its kind allows.
    fn of(name: &GeneralName<'a>) -> Option<Self> {
        Some(match name {
            GeneralName::Dns(name) => {
                let (host, wildcard) = name.strip_prefix(b"*.").map_or((*name, false), |host| (host, true));
                Self::Dns { host: is_host_name(host, Underscores::Allow).then_some(host)?, wildcard }
            }
            GeneralName::Ip(octets) => address(octets).map(|_| Self::Ip(octets))?,
            GeneralName::Rfc822(name) => {
                let (local, host) = split_mailbox(name)?;
                let well_formed = is_local_part(local) && is_host_name(host, Underscores::Allow);
                well_formed.then_some(Self::Mailbox { local, host })?
            }
            GeneralName::Uri(name) => Self::Uri { host: uri_host(name)? },
            GeneralName::Directory(name) => Self::Directory(name.comparable()),
            GeneralName::Other(..) => Self::NotUnderstood,
        })
    }
}

fn subtrees(list: &[u8]) -> Result<Vec<GeneralName<'_>>, Error> {
    let mut list = Reader::new(list, "generalSubtrees");
    let mut bases = Vec::new();
    while !list.is_empty() {
        let base = subtree(&mut list)?;
        if !is_well_formed(&base) {
            return Err(Error::NameConstraintInvalid { constraint: brief(&base) });
        }
        bases.push(base);
    }
    Ok(bases)
}

/// One `GeneralSubtree`: minimum is its default, so not written, and maximum absent (§4.2.1.10).
fn subtree<'a>(list: &mut Reader<'a>) -> Result<GeneralName<'a>, Malformed> {
    let mut inside = list.inside(der::SEQUENCE, "generalSubtree")?;
    let base = GeneralName::parse(&mut inside)?;
    inside.finish()?;
    Ok(base)
}

/// Whether a constraint has the form of its kind; kinds that are not understood are of any form.
fn is_well_formed(base: &GeneralName<'_>) -> bool {
    let host = |name: &[u8]| is_host_name(name, Underscores::Allow);
    let host_or_domain = |name: &[u8]| host(name.strip_prefix(b".").unwrap_or(name));
    match base {
        // The empty name is the root: everything lies below it.
        GeneralName::Dns(name) => name.is_empty() || host(name),
        GeneralName::Rfc822(name) => match split_mailbox(name) {
            Some((local, domain)) => is_local_part(local) && host(domain),
            None => host_or_domain(name),
        },
        GeneralName::Uri(name) => host_or_domain(name),
        GeneralName::Ip(octets) => network(octets).is_some(),
        GeneralName::Directory(_) | GeneralName::Other(..) => true,
    }
}

/// Calls `each` for every name that constraints apply to.
fn for_names(
    certificate: &Certificate<'_>,
    common_name: CommonName,
    mut each: impl FnMut(&GeneralName<'_>),
) -> Result<(), Error> {
    if !certificate.subject.is_empty() {
        each(&GeneralName::Directory(certificate.subject));
    }
    certificate.subject.for_email_addresses(|address| each(&GeneralName::Rfc822(address)));
    let mut names = certificate.extensions.subject_alt_names()?;
    while let Some(name) = names.next()? {
        each(&name);
    }
    if common_name == CommonName::Label {
        return Ok(());
    }
    certificate.subject.for_common_names(|attribute| {
        let name = text(&attribute.value).unwrap_or_default();
        match name.parse() {
            Ok(IpAddr::V4(address)) => each(&GeneralName::Ip(&address.octets())),
            Ok(IpAddr::V6(address)) => each(&GeneralName::Ip(&address.octets())),
            Err(_) if name.contains('.') && is_host_name(name.as_bytes(), Underscores::Allow) => {
                each(&GeneralName::Dns(name.as_bytes()));
            }
            Err(_) => {}
        }
    });
    Ok(())
}

fn yes_if(inside: bool) -> Within {
    if inside { Within::Yes } else { Within::No }
}

/// `base` with zero or more labels to the left.
fn dns_within(host: &[u8], wildcard: bool, base: &[u8]) -> Within {
    if is_below(host, base) {
        return Within::Yes;
    }
    // Of the names that `*.example.com` could be, exactly one may lie inside: `base` itself, if it is one label below `example.com`.
    let above = base.iter().position(|octet| *octet == b'.').and_then(|dot| base.get(dot.saturating_add(1)..));
    if wildcard && above.is_some_and(|above| above.eq_ignore_ascii_case(host)) { Within::Unknown } else { Within::No }
}

/// Whether `host` is `base`, or lies below it; case does not matter. Everything lies below the empty name.
fn is_below(host: &[u8], base: &[u8]) -> bool {
    let Some((below, tail)) = host.len().checked_sub(base.len()).and_then(|at| host.split_at_checked(at)) else {
        return false;
    };
    tail.eq_ignore_ascii_case(base) && (base.is_empty() || below.is_empty() || below.last() == Some(&b'.'))
}

/// Address and mask of one family, contiguous (§4.2.1.10, RFC 4632).
fn network(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (network, mask) = match octets.len() {
        8 => octets.split_at_checked(4)?,
        32 => octets.split_at_checked(16)?,
        _ => return None,
    };
    let mut bits = mask.iter().flat_map(|octet| (0..8).rev().map(move |bit| (octet >> bit) & 1));
    let contiguous = bits.by_ref().find(|bit| *bit == 0).is_none() || bits.all(|bit| bit == 0);
    contiguous.then_some((network, mask))
}

fn ip_within(octets: &[u8], base: &[u8]) -> Within {
    let Some((network, mask)) = network(base) else { return Within::Unknown };
    let same = |((octet, network), mask): ((&u8, &u8), &u8)| octet & mask == network & mask;
    yes_if(octets.len() == network.len() && octets.iter().zip(network).zip(mask).all(same))
}

/// Local part and host of a mailbox: the host begins after the last `@`, since a quoted local part may hold one (RFC 5321 §4.1.2).
fn split_mailbox(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = name.iter().rposition(|octet| *octet == b'@')?;
    Some((name.get(..at)?, name.get(at.saturating_add(1)..)?))
}

/// A dot-string or a quoted string (RFC 5321 §4.1.2). Of `a@b@c` nobody could say which host it is at.
fn is_local_part(local: &[u8]) -> bool {
    if let Some(quoted) = local.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        let mut escaped = false;
        let closed_nowhere = quoted.iter().all(|octet| {
            let plain = escaped || *octet != b'"';
            escaped = !escaped && *octet == b'\\';
            plain && matches!(octet, b' '..=b'~')
        });
        return closed_nowhere && !escaped;
    }
    let atom = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(octet);
    local.split(|octet| *octet == b'.').all(|part| !part.is_empty() && part.iter().all(atom))
}

/// A constraint is one mailbox, all mailboxes at one host, or, with a leading period, all those at hosts of a domain. The local part is
/// compared exactly.
fn mailbox_within(local: &[u8], host: &[u8], base: &[u8]) -> Within {
    yes_if(match split_mailbox(base) {
        Some((base_local, base_host)) => local == base_local && host.eq_ignore_ascii_case(base_host),
        None => host_within(host, base),
    })
}

/// The host of a mailbox or URI against a constraint: equal, or below it when the constraint begins with a period.
fn host_within(host: &[u8], base: &[u8]) -> bool {
    match base.strip_prefix(b".") {
        Some(domain) => is_below(host, domain) && host.len() > domain.len(),
        None => host.eq_ignore_ascii_case(base),
    }
}

/// The host of a URI. §4.2.1.10: one that is constrained must have an authority whose host is a fully qualified domain name.
fn uri_host(name: &[u8]) -> Option<&[u8]> {
    let scheme_end = name.iter().position(|octet| *octet == b':')?;
    let (scheme, rest) = name.split_at_checked(scheme_end)?;
    let scheme_octet = |octet: &u8| octet.is_ascii_alphanumeric() || b"+-.".contains(octet);
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scheme.iter().all(scheme_octet) {
        return None;
    }
    let authority = rest.strip_prefix(b"://")?.split(|octet| b"/?#".contains(octet)).next()?;
    let after_user = authority.rsplit(|octet| *octet == b'@').next()?;
    let host = match after_user.iter().position(|octet| *octet == b':') {
        Some(port) if after_user.get(port.saturating_add(1)..)?.iter().all(u8::is_ascii_digit) => {
            after_user.get(..port)?
        }
        Some(_) => return None,
        None => after_user,
    };
    is_host_name(host, Underscores::Allow).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    use Within::{No, Unknown, Yes};

    /// `None` where the name is in no form that its kind allows.
    fn within(name: &GeneralName<'_>, base: &GeneralName<'_>) -> Option<Within> {
        let mut budget = Budget::new(crate::policy::Limits::default());
        match compare(name, base, &mut None, &mut budget) {
            Ok(within) => within,
            Err(Error::GeneralNameInvalid { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn dns(name: &str, base: &str) -> Option<Within> {
        within(&GeneralName::Dns(name.as_bytes()), &GeneralName::Dns(base.as_bytes()))
    }

    #[test]
    fn dns_constraints_reach_below_and_ignore_case() {
        assert_eq!(dns("host.example.com", "example.com"), Some(Yes));
        assert_eq!(dns("EXAMPLE.com", "example.COM"), Some(Yes));
        assert_eq!(dns("notexample.com", "example.com"), Some(No));
        assert_eq!(dns("example.com", "host.example.com"), Some(No));
        assert_eq!(dns("anything.example", ""), Some(Yes));
        assert_eq!(dns(".example.com", "example.com"), None);
        assert_eq!(dns("a..example.com", "example.com"), None);
        assert_eq!(dns("example.com.", "example.com"), None);
        assert_eq!(dns("192.0.2.1", ""), None, "an address that says it is a name");
    }

    #[test]
    fn t12_a_wildcard_is_permitted_by_what_holds_all_of_it_and_excluded_by_what_holds_any() {
        assert_eq!(dns("*.example.com", "example.com"), Some(Yes));
        assert_eq!(dns("*.host.example.com", "example.com"), Some(Yes));
        assert_eq!(dns("*.example.com", "HOST.example.com"), Some(Unknown));
        assert_eq!(dns("*.example.com", "deep.host.example.com"), Some(No), "one label only");
        assert_eq!(dns("*.example.com", "host.example.org"), Some(No));
        assert_eq!(dns("*", "example.com"), None);
        assert_eq!(dns("a*.example.com", "example.com"), None);
    }

    #[test]
    fn address_constraints_have_contiguous_masks_and_one_family() {
        let v4 = |address: [u8; 4], mask: [u8; 4]| [address, mask].concat();
        let ip_within = |name: &[u8], base: &[u8]| within(&GeneralName::Ip(name), &GeneralName::Ip(base));
        assert_eq!(ip_within(&[192, 0, 2, 9], &v4([192, 0, 2, 0], [255, 255, 255, 0])), Some(Yes));
        assert_eq!(ip_within(&[192, 0, 3, 9], &v4([192, 0, 2, 0], [255, 255, 255, 0])), Some(No));
        assert_eq!(ip_within(&[192, 0, 3, 9], &v4([0, 0, 0, 0], [0, 0, 0, 0])), Some(Yes));
        assert_eq!(ip_within(&[192, 0, 2, 9], &v4([192, 0, 2, 9], [255, 255, 255, 255])), Some(Yes));
        assert_eq!(ip_within(&[0; 16], &v4([0, 0, 0, 0], [0, 0, 0, 0])), Some(No), "another family");
        assert_eq!(ip_within(&[1, 2, 3], &v4([0, 0, 0, 0], [0, 0, 0, 0])), None);
        for mask in [[255, 0, 255, 0], [0, 255, 255, 255], [255, 255, 253, 0]] {
            assert!(!is_well_formed(&GeneralName::Ip(&v4([10, 0, 0, 0], mask))), "{mask:?}");
        }
        assert!(is_well_formed(&GeneralName::Ip(&v4([10, 0, 0, 0], [255, 240, 0, 0]))));
        assert!(!is_well_formed(&GeneralName::Ip(&[10, 0, 0, 0])));
    }

    #[test]
    fn mailbox_constraints_are_a_mailbox_a_host_or_a_domain() {
        let mail = |name: &str, base: &str| {
            within(&GeneralName::Rfc822(name.as_bytes()), &GeneralName::Rfc822(base.as_bytes()))
        };
        assert_eq!(mail("a@example.com", "a@EXAMPLE.com"), Some(Yes));
        assert_eq!(mail("A@example.com", "a@example.com"), Some(No), "local parts are exact");
        assert_eq!(mail("*@example.com", "*@example.com"), Some(Yes), "an asterisk is a character");
        assert_eq!(mail("b@example.com", "*@example.com"), Some(No));
        assert_eq!(mail("a@example.com", "example.com"), Some(Yes));
        assert_eq!(mail("a@host.example.com", "example.com"), Some(No));
        assert_eq!(mail("a@host.example.com", ".example.com"), Some(Yes));
        assert_eq!(mail("a@example.com", ".example.com"), Some(No));
        assert_eq!(mail("\"x@y\"@example.com", "example.com"), Some(Yes));
        assert_eq!(mail(r#""a\"@\\"@example.com"#, "example.com"), Some(Yes));
        assert_eq!(mail("a.b+c@example.com", "example.com"), Some(Yes));
        for bad in [
            "example.com",
            "@example.com",
            "a@",
            "a@.example.com",
            "a@ex ample",
            "é@example.com",
            "a@b@example.com",
            "a..b@example.com",
            ".a@example.com",
            "a b@example.com",
            r#""a"b"@example.com"#,
            r#""a\"@example.com"#,
            r#""@example.com"#,
        ] {
            assert_eq!(mail(bad, "example.com"), None, "{bad}");
        }
    }

    #[test]
    fn uri_constraints_ask_for_a_host_name() {
        let uri =
            |name: &str, base: &str| within(&GeneralName::Uri(name.as_bytes()), &GeneralName::Uri(base.as_bytes()));
        assert_eq!(uri("https://host.example.com/x", "host.example.com"), Some(Yes));
        assert_eq!(uri("spiffe://user@host.example.com:8443/x?y#z", ".example.com"), Some(Yes));
        assert_eq!(uri("https://host.example.com", "example.com"), Some(No));
        assert_eq!(uri("https://example.com", ".example.com"), Some(No));
        assert_eq!(uri("https://good.example@evil.example/", "good.example"), Some(No));
        for bad in [
            "urn:uuid:1",
            "https:///x",
            "https://[::1]/",
            "https://192.0.2.1/",
            "//host.example",
            "host",
            "https://a:b/",
            "1x://a.b/",
        ] {
            assert_eq!(uri(bad, "example.com"), None, "{bad}");
        }
    }

    #[test]
    fn malformed_constraints_are_refused() {
        for base in ["*.example.com", ".example.com", "example.com.", "a b"] {
            assert!(!is_well_formed(&GeneralName::Dns(base.as_bytes())), "{base}");
        }
        assert!(is_well_formed(&GeneralName::Dns(b"")));
        assert!(is_well_formed(&GeneralName::Uri(b".example.com")));
        assert!(!is_well_formed(&GeneralName::Uri(b"https://example.com")));
        assert!(!is_well_formed(&GeneralName::Rfc822(b"@example.com")));
    }

    #[test]
    fn constraints_hold_something_and_nothing_but_bases() {
        let parse = |value: &[u8]| NameConstraints::parse(value).map(|_| ());
        let dns = [0x30, 3, 0x82, 1, b'a'];
        assert_eq!(parse(&[&[0x30, 7, 0xa0, 5][..], &dns].concat()), Ok(()));
        assert_eq!(parse(&[&[0x30, 7, 0xa1, 5][..], &dns].concat()), Ok(()));
        assert_eq!(parse(&[0x30, 0]), Err(Error::NameConstraintsEmpty));
        assert_eq!(parse(&[0x30, 2, 0xa0, 0]), Err(Error::NameConstraintsEmpty));
        assert_eq!(parse(&[0x30, 4, 0xa0, 0, 0xa1, 0]), Err(Error::NameConstraintsEmpty));
        let with_minimum = [0x30, 10, 0xa0, 8, 0x30, 6, 0x82, 1, b'a', 0x80, 1, 1];
        assert!(matches!(parse(&with_minimum), Err(Error::Der { .. })));
    }
}
