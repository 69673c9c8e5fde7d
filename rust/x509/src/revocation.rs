//! Revocation lists: what one says, and of whom it may say it. RFC 5280 §5, §6.3.
//!
//! A list is read once, when it is given. What is kept is its bytes and four more for each entry, sorted by serial number (eight in an
//! indirect list): a million entries are about 40 MB, and a look-up is a binary search.

use std::collections::HashMap;
use std::fmt;

use crate::certificate::Certificate;
use crate::der::{self, DerFault, Malformed, Reader};
use crate::error::Error;
use crate::extension::{Extension, Extensions};
use crate::general_name::{GeneralName, GeneralNames};
use crate::name::{Name, Oid, folded_rdn};
use crate::policy::{Leniency, Policy, StaleLists};
use crate::signature::AlgorithmIdentifier;
use crate::time::{Time, UnixSeconds};

/// Why a certificate was revoked, §5.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationReason {
    /// No reason is given.
    Unspecified,
    /// The subject's key is known to others.
    KeyCompromise,
    /// The CA's key is known to others.
    CaCompromise,
    /// The subject's name or affiliation changed.
    AffiliationChanged,
    /// There is a newer certificate.
    Superseded,
    /// It is no longer needed.
    CessationOfOperation,
    /// It is on hold.
    CertificateHold,
    /// It is no longer on hold; only in deltas.
    RemoveFromCrl,
    /// A privilege was withdrawn.
    PrivilegeWithdrawn,
    /// The attribute authority's key is known to others.
    AaCompromise,
    /// A number that no reason has.
    Unknown(u8),
}

impl RevocationReason {
    fn of(number: u8) -> Self {
        match number {
            0 => Self::Unspecified,
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            8 => Self::RemoveFromCrl,
            9 => Self::PrivilegeWithdrawn,
            10 => Self::AaCompromise,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
            Self::Unknown(number) => return write!(formatter, "{number}"),
        })
    }
}

/// Revocation lists, indexed by issuer; immutable.
#[derive(Debug, Default)]
pub struct RevocationLists {
    lists: Vec<RevocationList>,
    by_issuer: HashMap<Box<[u8]>, Vec<usize>>,
}

/// One list: its bytes, and where its entries are.
#[derive(Debug)]
pub struct RevocationList {
    der: Box<[u8]>,
    /// Offsets of the entries inside `revokedCertificates`, in the order of their serial numbers.
    entries: Box<[u32]>,
    /// In an indirect list, for each of `entries` the issuer of its certificate: an index of `issuers`.
    entry_issuers: Box<[u32]>,
    /// Folded names; the list's own issuer first.
    issuers: Vec<Box<[u8]>>,
    /// What makes it useless whatever the certificate: an entry that is not understood.
    fault: Option<Error>,
}

impl RevocationLists {
    /// Reads and indexes `lists`, DER each.
    ///
    /// # Errors
    /// `Der`, `InvalidTime`, `SignatureAlgorithmMismatch`, `UnsupportedVersion`: the first list that is none, with its index.
    pub fn new(lists: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, (usize, Error)> {
        let mut set = Self::default();
        for (index, der) in lists.into_iter().enumerate() {
            let list = RevocationList::new(der.into()).map_err(|error| (index, error))?;
            let issuer = list.issuers.first().cloned().unwrap_or_default();
            set.by_issuer.entry(issuer).or_default().push(set.lists.len());
            set.lists.push(list);
        }
        Ok(set)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Entries of all lists.
    pub fn entries_count(&self) -> usize {
        self.lists.iter().map(|list| list.entries.len()).sum()
    }

    /// The lists that could speak for a certificate, with their indices: those of its issuer, and of the issuers of lists that its
    /// distribution points name.
    pub(crate) fn of(&self, certificate: &Certificate<'_>) -> Result<Vec<(usize, &RevocationList)>, Error> {
        let mut issuers = vec![certificate.issuer.folded()];
        for point in certificate.extensions.distribution_points()? {
            for name in point.crl_issuer.map(names_of).transpose()?.unwrap_or_default() {
                if let PointName::Directory(name) = name
                    && !issuers.contains(&name)
                {
                    issuers.push(name);
                }
            }
        }
        Ok(issuers.iter().flat_map(|issuer| self.of_issuer(issuer)).collect())
    }

    /// The lists of an issuer, given its folded name.
    fn of_issuer<'s>(&'s self, folded: &[u8]) -> impl Iterator<Item = (usize, &'s RevocationList)> + use<'s> {
        let indices = self.by_issuer.get(folded).map_or(&[][..], Vec::as_slice);
        indices.iter().filter_map(|&index| Some((index, self.lists.get(index)?)))
    }

    /// The deltas that go with a complete list: same issuer, same key, same scope (§5.2.4).
    pub(crate) fn deltas_of<'a>(
        &'a self,
        complete: &CertificateList<'a>,
    ) -> impl Iterator<Item = (usize, &'a RevocationList, CertificateList<'a>)> {
        let (key, scope) = (complete.authority_key_identifier, complete.scope);
        self.of_issuer(&complete.issuer.folded()).filter_map(move |(index, list)| {
            let read = list.read().ok()?;
            let fits = read.base_number.is_some() && read.authority_key_identifier == key && read.scope == scope;
            fits.then_some((index, list, read))
        })
    }
}

impl RevocationList {
    fn new(der: Box<[u8]>) -> Result<Self, Error> {
        let mut fault = None;
        let mut entries: Vec<(u32, u32)> = Vec::new();
        let mut issuers: Vec<Box<[u8]>> = Vec::new();
        let indirect;
        {
            let list = CertificateList::parse(&der)?;
            indirect = list.point.as_ref().is_some_and(|point| point.indirect);
            issuers.push(list.issuer.folded().into());
            let mut known: HashMap<Box<[u8]>, u32> = HashMap::new();
            let mut issuer = 0u32;
            let mut reader = Reader::new(list.revoked, "revokedCertificates");
            while !reader.is_empty() {
                let offset = list.revoked.len().saturating_sub(reader.rest().len());
                let too_large = reader.fault(DerFault::BadLength);
                let entry = Entry::parse(&mut reader)?;
                fault = fault.or(entry.fault);
                // §5.3.3: an entry without the extension is of the same issuer as the one before it.
                if let Some(name) = entry.issuer {
                    if !indirect {
                        fault = fault.or(Some(Error::CrlScopeMismatch));
                    }
                    let name: Box<[u8]> = name.into();
                    issuer = *known.entry(name).or_insert_with_key(|name| {
                        issuers.push(name.clone());
                        u32::try_from(issuers.len().saturating_sub(1)).unwrap_or(u32::MAX)
                    });
                }
                entries.push((u32::try_from(offset).map_err(|_| too_large)?, issuer));
            }
            entries.sort_by_cached_key(|(offset, _)| {
                Entry::at(list.revoked, *offset).map(|entry| (entry.serial_number.len(), entry.serial_number))
            });
        }
        let entry_issuers = if indirect { entries.iter().map(|(_, issuer)| *issuer).collect() } else { Box::default() };
        Ok(Self { entries: entries.iter().map(|(offset, _)| *offset).collect(), entry_issuers, issuers, fault, der })
    }

    /// The list without its entries; it was read when it was given, so this never fails.
    pub(crate) fn read(&self) -> Result<CertificateList<'_>, Error> {
        CertificateList::parse(&self.der)
    }

    /// The entry for a certificate.
    pub(crate) fn find(
        &self,
        list: &CertificateList<'_>,
        certificate: &Certificate<'_>,
    ) -> Option<(RevocationReason, UnixSeconds)> {
        let key = (certificate.serial_number.len(), certificate.serial_number);
        let serial_number = |offset: &u32| {
            let serial = Entry::at(list.revoked, *offset).map(|entry| entry.serial_number).unwrap_or_default();
            (serial.len(), serial)
        };
        let first = self.entries.partition_point(|offset| serial_number(offset) < key);
        let issuer = certificate.issuer.folded();
        for (place, offset) in self.entries.iter().enumerate().skip(first) {
            if serial_number(offset) != key {
                break;
            }
            let of = self.entry_issuers.get(place).and_then(|index| self.issuers.get(usize::try_from(*index).ok()?));
            if of.or(self.issuers.first()).is_some_and(|of| **of == *issuer) {
                return Entry::at(list.revoked, *offset).map(|entry| (entry.reason, entry.since));
            }
        }
        None
    }

    /// That the list can be used at `time` (§6.3.3 (a), and what §5 asks of every list).
    pub(crate) fn check_usable(
        &self,
        list: &CertificateList<'_>,
        policy: &Policy,
        stale: StaleLists,
        time: UnixSeconds,
    ) -> Result<(), Error> {
        list.check_profile(policy)?;
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if time < list.this_update {
            return Err(Error::CrlNotYetValid { time, this_update: list.this_update });
        }
        match list.next_update {
            None => Err(Error::CrlNextUpdateMissing),
            Some(next_update) if time > next_update && stale == StaleLists::Refuse => {
                Err(Error::CrlExpired { time, next_update })
            }
            Some(_) => Ok(()),
        }
    }
}

/// The reasons that a list covers, bits as in `ReasonFlags` (§4.2.1.13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reasons(u16);

impl Reasons {
    /// keyCompromise to aACompromise: bits 1–8. Bit 0 is unused.
    pub(crate) const ALL: Self = Self(0b1_1111_1110);

    /// `ReasonFlags` under an implicit tag; absent: all.
    fn parse(reader: &mut Reader<'_>, tag: der::Tag) -> Result<Self, Malformed> {
        if !reader.next_is(tag) {
            return Ok(Self::ALL);
        }
        let bits = reader.named_bits_as(tag)?;
        let bit = |octet: &u8, bit: u32| u16::from(octet.reverse_bits()).wrapping_shl(bit);
        let first = bits.first().map_or(0, |octet| bit(octet, 0));
        let second = bits.get(1).map_or(0, |octet| bit(octet, 8));
        Ok(Self((first | second) & Self::ALL.0))
    }

    pub(crate) fn is_all(self) -> bool {
        self == Self::ALL
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// A `CertificateList` as named slices, §5.1; its entries are one of them.
#[derive(Debug)]
pub(crate) struct CertificateList<'a> {
    pub(crate) tbs: &'a [u8],
    pub(crate) issuer: Name<'a>,
    pub(crate) signature_algorithm: AlgorithmIdentifier<'a>,
    pub(crate) signature: &'a [u8],
    this_update: UnixSeconds,
    next_update: Option<UnixSeconds>,
    early_generalized: bool,
    revoked: &'a [u8],
    /// The key identifier of the list's authority key identifier.
    pub(crate) authority_key_identifier: Option<&'a [u8]>,
    /// Contents of its number, and whether that is marked critical, §5.2.3.
    number: Option<(&'a [u8], bool)>,
    /// For a delta, the number of the list that it builds on, §5.2.4.
    base_number: Option<&'a [u8]>,
    /// The issuing distribution point, read and as it is written: what two lists must have alike to go together.
    point: Option<IssuingDistributionPoint<'a>>,
    scope: Option<&'a [u8]>,
    unknown_critical: Option<&'a [u8]>,
}

/// §5.2.5.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the standard's own fields, one each")]
struct IssuingDistributionPoint<'a> {
    name: Option<&'a [u8]>,
    only_user_certificates: bool,
    only_ca_certificates: bool,
    only_attribute_certificates: bool,
    indirect: bool,
    reasons: Option<Reasons>,
}

impl<'a> CertificateList<'a> {
    fn parse(der: &'a [u8]) -> Result<Self, Error> {
        let mut outer = Reader::only(der, der::SEQUENCE, "certificateList")?;
        let tbs = outer.expect(der::SEQUENCE)?;
        let signature_algorithm = AlgorithmIdentifier::parse(&mut outer)?;
        let signature = outer.bit_string_octets()?;
        outer.finish()?;

        let mut inside = Reader::new(tbs.value, "tbsCertList");
        let version = if inside.next_is(der::INTEGER) { Some(inside.integer()?) } else { None };
        // §5.1.2.1: absent is version 1, 1 is version 2, and there is no other.
        if version.is_some_and(|version| version != [1]) {
            return Err(Error::UnsupportedVersion);
        }
        if AlgorithmIdentifier::parse(&mut inside)? != signature_algorithm {
            return Err(Error::SignatureAlgorithmMismatch);
        }
        let issuer = Name::parse(&mut inside)?;
        let this_update = Time::parse(&mut inside)?;
        let is_time = inside.next_is(der::UTC_TIME) || inside.next_is(der::GENERALIZED_TIME);
        let next_update = if is_time { Some(Time::parse(&mut inside)?) } else { None };
        let revoked = inside.optional(der::SEQUENCE)?.unwrap_or_default();
        let mut list = Self {
            tbs: tbs.der,
            issuer,
            signature_algorithm,
            signature,
            this_update: this_update.at,
            next_update: next_update.map(|time| time.at),
            early_generalized: this_update.early_generalized || next_update.is_some_and(|time| time.early_generalized),
            revoked,
            authority_key_identifier: None,
            number: None,
            base_number: None,
            point: None,
            scope: None,
            unknown_critical: None,
        };
        if let Some(extensions) = inside.optional(der::context(0))? {
            if version.is_none() {
                return Err(Error::ExtensionsNotAllowed);
            }
            list.read_extensions(Reader::only(extensions, der::SEQUENCE, "crlExtensions")?)?;
        }
        inside.finish()?;
        Ok(list)
    }

    fn read_extensions(&mut self, mut extensions: Reader<'a>) -> Result<(), Error> {
        let mut seen: Vec<&[u8]> = Vec::new();
        while !extensions.is_empty() {
            let extension = Extension::parse(&mut extensions)?;
            if seen.contains(&extension.oid) {
                return Err(Error::DuplicateExtension);
            }
            seen.push(extension.oid);
            match extension.oid {
                // id-ce-authorityKeyIdentifier, -cRLNumber, -deltaCRLIndicator, -issuingDistributionPoint
                [0x55, 0x1d, 35] => {
                    let mut inside = Reader::only(extension.value, der::SEQUENCE, "authorityKeyIdentifier")?;
                    self.authority_key_identifier = inside.optional(der::implicit(0))?;
                }
                [0x55, 0x1d, 20] => self.number = Some((number_in(extension.value)?, extension.critical)),
                [0x55, 0x1d, 27] => self.base_number = Some(number_in(extension.value)?),
                [0x55, 0x1d, 28] => {
                    self.point = Some(IssuingDistributionPoint::parse(extension.value)?);
                    self.scope = Some(extension.value);
                }
                oid if extension.critical && self.unknown_critical.is_none() => self.unknown_critical = Some(oid),
                _ => {}
            }
        }
        Ok(())
    }

    /// What §5 asks of every list.
    fn check_profile(&self, policy: &Policy) -> Result<(), Error> {
        if let Some(oid) = self.unknown_critical {
            return Err(Error::CrlUnknownCriticalExtension { oid: Oid(oid).to_string() });
        }
        if policy.lenient_issuance == Leniency::Allow {
            return Ok(());
        }
        // §5.2.3
        match self.number {
            None => return Err(Error::CrlNumberMissing),
            Some((_, true)) => return Err(Error::CrlNumberCritical),
            Some((_, false)) => {}
        }
        if self.early_generalized { Err(Error::InvalidTime) } else { Ok(()) }
    }

    /// Whether it says only what has changed since another list.
    pub(crate) fn is_delta(&self) -> bool {
        self.base_number.is_some()
    }

    /// Its number, as numbers are compared.
    pub(crate) fn order(&self) -> Option<(usize, &'a [u8])> {
        self.number.map(|(number, _)| (number.len(), number))
    }

    /// Whether `delta` tells something that this list does not, and builds on no later one (§5.2.4 (c), (d)).
    ///
    /// # Errors
    /// `CrlDeltaBaseMissing` when it builds on a later one.
    pub(crate) fn is_amended_by(&self, delta: &CertificateList<'_>) -> Result<bool, Error> {
        let (Some(base), Some(own), Some(new)) = (delta.base_number, self.order(), delta.order()) else {
            return Err(Error::CrlDeltaBaseMissing);
        };
        if new <= own {
            return Ok(false);
        }
        if (base.len(), base) <= own { Ok(true) } else { Err(Error::CrlDeltaBaseMissing) }
    }

    /// §6.3.3 (b)–(e): the reasons for which the list speaks for `certificate`.
    pub(crate) fn reasons_for(&self, certificate: &Certificate<'_>) -> Result<Reasons, Error> {
        let none = IssuingDistributionPoint::default();
        let own = self.point.as_ref().unwrap_or(&none);
        // (b)(2)(ii)–(iv)
        let ca = certificate.extensions.basic_constraints()?.ca;
        if own.only_attribute_certificates || (own.only_user_certificates && ca) || (own.only_ca_certificates && !ca) {
            return Err(Error::CrlScopeMismatch);
        }
        let wanted = own.name.map(|name| distribution_point_names(name, &self.issuer)).transpose()?;
        let issued_here = self.issuer.matches(&certificate.issuer);
        let points = certificate.extensions.distribution_points()?;
        if points.is_empty() {
            // §6.3.3: a certificate without distribution points is looked up under its issuer's name.
            let under_issuer = PointName::Directory(certificate.issuer.folded());
            let speaks = issued_here && wanted.is_none_or(|wanted| wanted.contains(&under_issuer));
            return if speaks { Ok(own.reasons.unwrap_or(Reasons::ALL)) } else { Err(Error::CrlScopeMismatch) };
        }
        let mut reasons = Reasons::default();
        for point in points {
            let issuers = point.crl_issuer.map(names_of).transpose()?;
            // (b)(1): the list's issuer is the one that the point names, for which it must be indirect; else the certificate's.
            let right_issuer = match &issuers {
                Some(issuers) => {
                    issuers.contains(&PointName::Directory(self.issuer.folded())) && (own.indirect || issued_here)
                }
                None => issued_here,
            };
            // (b)(2)(i): the point and the list share a name; a point without one is known by its issuers.
            let same_point = match (&wanted, point.name, &issuers) {
                (None, _, _) => true,
                (Some(wanted), Some(name), _) => {
                    distribution_point_names(name, &self.issuer)?.iter().any(|name| wanted.contains(name))
                }
                (Some(wanted), None, Some(issuers)) => issuers.iter().any(|name| wanted.contains(name)),
                (Some(_), None, None) => false,
            };
            if right_issuer && same_point {
                reasons.add(own.reasons.unwrap_or(Reasons::ALL).and(point.reasons)); // (d), (e)
            }
        }
        if reasons.is_none() { Err(Error::CrlScopeMismatch) } else { Ok(reasons) }
    }
}

/// The contents of a number, not negative.
fn number_in(value: &[u8]) -> Result<&[u8], Malformed> {
    let mut outer = Reader::new(value, "cRLNumber");
    let number = outer.unsigned()?;
    outer.finish()?;
    Ok(number)
}

impl<'a> IssuingDistributionPoint<'a> {
    fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut inside = Reader::only(value, der::SEQUENCE, "issuingDistributionPoint")?;
        let name = inside.optional(der::context(0))?;
        let only_user_certificates = inside.default_false_as(der::implicit(1))?;
        let only_ca_certificates = inside.default_false_as(der::implicit(2))?;
        let some = inside.next_is(der::implicit(3));
        let reasons = Reasons::parse(&mut inside, der::implicit(3))?;
        let indirect = inside.default_false_as(der::implicit(4))?;
        let only_attribute_certificates = inside.default_false_as(der::implicit(5))?;
        inside.finish()?;
        Ok(Self {
            name,
            only_user_certificates,
            only_ca_certificates,
            only_attribute_certificates,
            indirect,
            reasons: some.then_some(reasons),
        })
    }
}

/// Where a certificate says that lists about it are found, §4.2.1.13.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DistributionPoint<'a> {
    name: Option<&'a [u8]>,
    reasons: Reasons,
    /// The contents of a `GeneralNames`.
    crl_issuer: Option<&'a [u8]>,
}

/// Certificates in use have one or two distribution points with one name each; the bound keeps comparing them short.
const DISTRIBUTION_POINTS_COUNT_MAX: usize = 64;

impl<'a> Extensions<'a> {
    /// §4.2.1.13; without the extension, none.
    pub(crate) fn distribution_points(&self) -> Result<Vec<DistributionPoint<'a>>, Error> {
        let Some(value) = self.crl_distribution_points else { return Ok(Vec::new()) };
        let mut list = Reader::only(value, der::SEQUENCE, "cRLDistributionPoints")?;
        let mut points = Vec::new();
        loop {
            let mut inside = list.inside(der::SEQUENCE, "distributionPoint")?;
            points.push(DistributionPoint {
                name: inside.optional(der::context(0))?,
                reasons: Reasons::parse(&mut inside, der::implicit(1))?,
                crl_issuer: inside.optional(der::context(2))?,
            });
            inside.finish()?;
            check_count(points.len())?;
            if list.is_empty() {
                return Ok(points);
            }
        }
    }
}

fn check_count(found: usize) -> Result<(), Error> {
    let limit = DISTRIBUTION_POINTS_COUNT_MAX;
    if found > limit { Err(Error::TooManyDistributionPoints { limit }) } else { Ok(()) }
}

/// One name of a distribution point, as compared.
#[derive(Debug, PartialEq, Eq)]
enum PointName<'a> {
    Directory(Vec<u8>),
    Other(GeneralName<'a>),
}

/// The names in a `DistributionPointName`: full ones, or one relative to the list's issuer (§4.2.1.13).
fn distribution_point_names<'a>(name: &'a [u8], issuer: &Name<'_>) -> Result<Vec<PointName<'a>>, Error> {
    let mut choice = Reader::new(name, "distributionPointName");
    if choice.next_is(der::context(1)) {
        let relative = folded_rdn(choice.value(der::context(1))?)?;
        return Ok(vec![PointName::Directory([issuer.folded(), relative].concat())]);
    }
    let names = choice.value(der::context(0))?;
    choice.finish()?;
    names_of(names)
}

fn names_of(names: &[u8]) -> Result<Vec<PointName<'_>>, Error> {
    let mut names = GeneralNames::of(names, "generalNames");
    let mut all = Vec::new();
    while let Some(name) = names.next()? {
        all.push(match name {
            GeneralName::Directory(name) => PointName::Directory(name.folded()),
            GeneralName::Rfc822(_)
            | GeneralName::Dns(_)
            | GeneralName::Uri(_)
            | GeneralName::Ip(_)
            | GeneralName::Other(..) => PointName::Other(name),
        });
        check_count(all.len())?;
    }
    Ok(all)
}

/// One revoked certificate, §5.1.2.6, §5.3.
#[derive(Debug)]
struct Entry<'a> {
    serial_number: &'a [u8],
    since: UnixSeconds,
    reason: RevocationReason,
    /// Whose certificate it is, folded, if the entry says.
    issuer: Option<Vec<u8>>,
    /// Why the whole list cannot be used, if this entry is not understood.
    fault: Option<Error>,
}

impl<'a> Entry<'a> {
    fn at(revoked: &'a [u8], offset: u32) -> Option<Self> {
        let rest = revoked.get(usize::try_from(offset).ok()?..)?;
        Self::parse(&mut Reader::new(rest, "revokedCertificates")).ok()
    }

    fn parse(list: &mut Reader<'a>) -> Result<Self, Error> {
        let mut inside = list.inside(der::SEQUENCE, "revokedCertificate")?;
        let serial_number = inside.integer()?;
        let since = Time::parse(&mut inside)?.at;
        let mut entry = Self { serial_number, since, reason: RevocationReason::Unspecified, issuer: None, fault: None };
        if !inside.is_empty() {
            let mut extensions = inside.inside(der::SEQUENCE, "crlEntryExtensions")?;
            while !extensions.is_empty() {
                entry.read_extension(&Extension::parse(&mut extensions)?)?;
            }
        }
        inside.finish()?;
        Ok(entry)
    }

    fn read_extension(&mut self, extension: &Extension<'_>) -> Result<(), Error> {
        match extension.oid {
            // id-ce-cRLReasons
            [0x55, 0x1d, 21] => {
                let mut outer = Reader::new(extension.value, "cRLReason");
                let reason = outer.value(der::ENUMERATED)?;
                outer.finish()?;
                self.reason = RevocationReason::of(match reason {
                    [number] => *number,
                    _ => u8::MAX,
                });
            }
            // id-ce-certificateIssuer: whose certificate it is, only in indirect lists.
            [0x55, 0x1d, 29] => {
                let names = names_of(Reader::only(extension.value, der::SEQUENCE, "certificateIssuer")?.rest())?;
                self.issuer = names.into_iter().find_map(|name| match name {
                    PointName::Directory(name) => Some(name),
                    PointName::Other(_) => None,
                });
                if self.issuer.is_none() {
                    self.fault = Some(Error::CrlScopeMismatch);
                }
            }
            // id-ce-invalidityDate, id-ce-instructionCode: they change nothing that is asked here.
            [0x55, 0x1d, 24 | 23] => {}
            // §5.3: with a critical entry extension that is not understood, the list must not be used to decide any status.
            oid if extension.critical => {
                self.fault = Some(Error::CrlUnknownCriticalExtension { oid: Oid(oid).to_string() });
            }
            _ => {}
        }
        Ok(())
    }
}
