//! Distinguished names: their shape, how they compare, their common names, how they are shown. RFC 5280 §4.1.2.4, §7.1, RFC 4514.
//!
//! Names are compared byte by byte first; §7.1's folding of case and white space is asked only where that fails.
//! Deviation: characters outside of ASCII, and strings of other types than those §7.1 names, are not folded. Chaining then needs equal
//! bytes; a constraint that excludes treats such a pair as equal, one that permits as different. Nothing is let in by either.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use crate::der::{self, DerFault, Element, Malformed, Reader};

/// Names in use have a hundred or two; upper bounds of RFC 5280 appendix A add up to about this.
const FOLDED_NAME_BYTES_MAX: usize = 1024;
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// emailAddress, 1.2.840.113549.1.9.1.
const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];

/// A Name whose structure has been checked; its strings are judged by the rule that needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a> {
    der: &'a [u8],
}

/// One `AttributeTypeAndValue` and whether it shares its RDN with others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) oid: &'a [u8],
    pub(crate) value: Element<'a>,
    pub(crate) shares_rdn: bool,
}

impl<'a> Name<'a> {
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let name = Self { der: reader.expect(der::SEQUENCE)?.der };
        let mut readable = true;
        name.visit(|_, attribute| readable &= is_readable(&attribute.value))?;
        // Two who read such a string would each read something else.
        if readable { Ok(name) } else { Err(reader.fault(DerFault::BadValue)) }
    }

    /// The whole element, as compared with other names.
    pub fn der(&self) -> &'a [u8] {
        self.der
    }

    /// Whether there is no attribute at all.
    pub fn is_empty(&self) -> bool {
        self.der.len() <= 2
    }

    /// Calls `each` for every common name, whatever its type.
    pub(crate) fn for_common_names(&self, mut each: impl FnMut(Attribute<'a>)) {
        // The structure was checked when the name was parsed: the visit cannot fail again.
        let _checked = self.visit(|_, attribute| {
            if attribute.oid == COMMON_NAME {
                each(attribute);
            }
        });
    }

    /// Calls `each` for every e-mail address among the attributes, as written.
    pub(crate) fn for_email_addresses(&self, mut each: impl FnMut(&'a [u8])) {
        let _checked = self.visit(|_, attribute| {
            if attribute.oid == EMAIL_ADDRESS {
                each(attribute.value.value);
            }
        });
    }

    /// Whether both are the same name under §7.1. Deviation: long names are compared byte by byte alone.
    pub(crate) fn matches(&self, other: &Name<'_>) -> bool {
        let foldable = self.is_foldable() && other.is_foldable();
        self == other || (foldable && self.folded() == other.folded())
    }

    /// Whether the name is short enough to be taken apart for a comparison whose number nobody counts.
    pub(crate) fn is_foldable(&self) -> bool {
        self.der.len() <= FOLDED_NAME_BYTES_MAX
    }

    /// The name as bytes that are equal exactly when two names match: one part after another for each RDN.
    pub(crate) fn folded(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.der.len());
        for rdn in self.comparable().0 {
            rdn.append_to(&mut bytes);
        }
        bytes
    }

    /// The name taken apart for comparison.
    pub(crate) fn comparable(&self) -> ComparableName<'a> {
        let mut rdns: Vec<ComparableRdn<'a>> = Vec::new();
        let _checked = self.visit(|index, attribute| {
            if index >= rdns.len() {
                rdns.push(ComparableRdn::default());
            }
            if let Some(rdn) = rdns.last_mut() {
                rdn.0.push((attribute.oid, Comparable::of(attribute.value)));
            }
        });
        for rdn in &mut rdns {
            rdn.0.sort_unstable();
        }
        ComparableName(rdns)
    }

    /// Walks the RDNs, checking their structure; `each` is given the RDN's index and one attribute.
    fn visit(&self, mut each: impl FnMut(usize, Attribute<'a>)) -> Result<(), Malformed> {
        let mut rdns = Reader::only(self.der, der::SEQUENCE, "name")?;
        let mut index = 0usize;
        while !rdns.is_empty() {
            visit_rdn(rdns.inside(der::SET, "relative distinguished name")?, |attribute| each(index, attribute))?;
            index = index.saturating_add(1);
        }
        Ok(())
    }
}

/// Walks the attributes of one RDN, checking their structure: SET SIZE (1..MAX) OF `AttributeTypeAndValue`.
fn visit_rdn<'a>(mut rdn: Reader<'a>, mut each: impl FnMut(Attribute<'a>)) -> Result<(), Malformed> {
    let mut previous: Option<&[u8]> = None;
    loop {
        let pair = rdn.expect(der::SEQUENCE)?;
        // X.690 §11.6: the elements of a SET OF ascend.
        if previous.is_some_and(|previous| previous >= pair.der) {
            return Err(rdn.fault(DerFault::BadValue));
        }
        let shares_rdn = previous.is_some() || !rdn.is_empty();
        previous = Some(pair.der);
        let mut inside = Reader::new(pair.value, "name attribute");
        let attribute = Attribute { oid: inside.oid()?, value: inside.element()?, shares_rdn };
        inside.finish()?;
        each(attribute);
        if rdn.is_empty() {
            return Ok(());
        }
    }
}

/// One RDN, given the contents of its SET, as it would stand in [`Name::folded`].
pub(crate) fn folded_rdn(contents: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut rdn = ComparableRdn::default();
    visit_rdn(Reader::new(contents, "relative distinguished name"), |attribute| {
        rdn.0.push((attribute.oid, Comparable::of(attribute.value)));
    })?;
    rdn.0.sort_unstable();
    let mut bytes = Vec::new();
    rdn.append_to(&mut bytes);
    Ok(bytes)
}

/// Whether a name lies inside a subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    Yes,
    No,
    /// It would take folding beyond ASCII to say.
    Unknown,
}

/// An attribute's value as §7.1 compares it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Comparable<'a> {
    /// ASCII text: case folded, outer white space removed, inner white space one space; the string's type does not matter.
    Text(Vec<u8>),
    /// Text that is not folded.
    Unfolded(Element<'a>),
    /// Not text: compared byte by byte.
    Other(Element<'a>),
}

impl<'a> Comparable<'a> {
    fn of(value: Element<'a>) -> Self {
        match value.tag {
            // Printable, UTF8, IA5, Numeric and Visible strings of ASCII characters
            0x0c | 0x12 | 0x13 | 0x16 | 0x1a if value.value.is_ascii() => {
                let words = value.value.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
                Self::Text(words.collect::<Vec<_>>().join(&b' ').to_ascii_lowercase())
            }
            // The others that a DirectoryString may be: Teletex, Universal, BMP
            0x0c | 0x12 | 0x13 | 0x14 | 0x16 | 0x1a | 0x1c | 0x1e => Self::Unfolded(value),
            _ => Self::Other(value),
        }
    }
}

/// A name as §7.1 compares it.
#[derive(Debug)]
pub(crate) struct ComparableName<'a>(Vec<ComparableRdn<'a>>);

impl ComparableName<'_> {
    /// Whether the name lies inside the subtree of `base`: its first RDNs are those of `base` (§4.2.1.10, §7.1).
    pub(crate) fn within(&self, base: &Name<'_>) -> Within {
        let base = base.comparable();
        let Some(head) = self.0.get(..base.0.len()) else { return Within::No };
        let mut verdict = Within::Yes;
        for (found, wanted) in head.iter().zip(&base.0) {
            match found.compare(wanted) {
                Within::Yes => {}
                Within::No => return Within::No,
                Within::Unknown => verdict = Within::Unknown,
            }
        }
        verdict
    }
}

/// The attributes of one RDN, in an order that does not depend on how their strings are encoded.
#[derive(Debug, Default, PartialEq, Eq)]
struct ComparableRdn<'a>(Vec<(&'a [u8], Comparable<'a>)>);

impl ComparableRdn<'_> {
    /// Whether both are the same set of attributes.
    fn compare(&self, other: &ComparableRdn<'_>) -> Within {
        if self.0.len() != other.0.len() {
            return Within::No;
        }
        let mut verdict = Within::Yes;
        let mut unfolded = None;
        for ((oid, value), (other_oid, other_value)) in self.0.iter().zip(&other.0) {
            if oid != other_oid {
                return Within::No;
            } else if value != other_value {
                // With several of one type, which belongs to which depends on the folding too.
                let unfolded: &HashSet<&[u8]> =
                    unfolded.get_or_insert_with(|| self.unfolded_types().chain(other.unfolded_types()).collect());
                if !unfolded.contains(oid) {
                    return Within::No;
                }
                verdict = Within::Unknown;
            }
        }
        verdict
    }

    /// Types of which there is a value that could not be folded.
    fn unfolded_types(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(|(_, value)| matches!(value, Comparable::Unfolded(_))).map(|(oid, _)| *oid)
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        append(bytes, &self.0.len().to_be_bytes());
        for (oid, value) in &self.0 {
            append(bytes, oid);
            let (kind, value) = match value {
                Comparable::Text(text) => (0, text.as_slice()),
                Comparable::Unfolded(element) | Comparable::Other(element) => (1, element.der),
            };
            bytes.push(kind);
            append(bytes, value);
        }
    }
}

/// Appends `part` with its length, so that parts cannot run into each other.
fn append(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&part.len().to_be_bytes());
    bytes.extend_from_slice(part);
}

/// The text of a `PrintableString` or `UTF8String`; `None` for other types and for invalid contents.
pub(crate) fn text<'a>(value: &Element<'a>) -> Option<&'a str> {
    let text = std::str::from_utf8(value.value).ok()?;
    match value.tag {
        der::UTF8_STRING => Some(text),
        der::PRINTABLE_STRING if text.bytes().all(is_printable_string) => Some(text),
        _ => None,
    }
}

/// Whether a string is encoded as its type says (X.690 §8.23); what is no string of a name's is anything.
fn is_readable(value: &Element<'_>) -> bool {
    let octets = value.value;
    match value.tag {
        der::UTF8_STRING => octets.is_ascii() || std::str::from_utf8(octets).is_ok(),
        // Numeric, Printable, IA5 and Visible strings
        0x12 | 0x13 | 0x16 | 0x1a => octets.is_ascii(),
        // UniversalString is UTF-32, BMPString is UTF-16 without surrogates.
        0x1c => octets
            .chunks(4)
            .all(|four| four.try_into().is_ok_and(|four| char::from_u32(u32::from_be_bytes(four)).is_some())),
        0x1e => octets
            .chunks(2)
            .all(|two| two.try_into().is_ok_and(|two| char::from_u32(u16::from_be_bytes(two).into()).is_some())),
        // Every type that a name's value could have is universal (X.520).
        tag => tag & 0xc0 == 0,
    }
}

/// X.680 §41.4, table 10; `*`, `@`, `_` and `&` are refused there although seen in the wild.
fn is_printable_string(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&octet)
}

impl fmt::Display for Name<'_> {
    /// RFC 4514: last RDN first, special characters escaped, everything unprintable as `\XX` octets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rdns: Vec<String> = Vec::new();
        let _checked = self.visit(|index, attribute| match rdns.get_mut(index) {
            // Writing to a string cannot fail; appending keeps a long RDN linear.
            Some(rdn) => drop(write!(rdn, "+{}", Shown(attribute))),
            None => rdns.push(Shown(attribute).to_string()),
        });
        for (index, rdn) in rdns.iter().rev().enumerate() {
            write!(formatter, "{}{rdn}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

struct Shown<'a>(Attribute<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attribute { oid, value, .. } = self.0;
        match short_name(oid) {
            Some(name) => formatter.write_str(name)?,
            None => write!(formatter, "{}", Oid(oid))?,
        }
        formatter.write_char('=')?;
        // Printable, UTF8, IA5, Numeric and Visible strings are shown as text; any other type as RFC 4514 §2.4 `#hex`.
        let text = matches!(value.tag, 0x0c | 0x12 | 0x13 | 0x16 | 0x1a).then(|| std::str::from_utf8(value.value).ok());
        let Some(text) = text.flatten() else {
            formatter.write_char('#')?;
            return value.der.iter().try_for_each(|octet| write!(formatter, "{octet:02x}"));
        };
        write_escaped(formatter, text, |character, index, last| match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => true,
            ' ' => index == 0 || index == last,
            '#' => index == 0,
            _ => false,
        })
    }
}

/// `value` as text, cut off after `BRIEF_CHARACTERS_MAX`: what a peer wrote goes into reasons, and those into logs.
pub(crate) fn brief(value: &impl fmt::Display) -> String {
    struct Cut(String);
    impl fmt::Write for Cut {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.chars().try_for_each(|character| self.write_char(character))
        }
        fn write_char(&mut self, character: char) -> fmt::Result {
            if self.0.len() >= BRIEF_CHARACTERS_MAX {
                self.0.push('…');
                return Err(fmt::Error);
            }
            self.0.push(character);
            Ok(())
        }
    }
    let mut cut = Cut(String::new());
    let _cut_off = write!(cut, "{value}");
    cut.0
}

/// The catalogue's U5: attacker's bytes are escaped and cut to 256.
const BRIEF_CHARACTERS_MAX: usize = 256;

/// Octets that should be text, shown: what is not, or could deceive a terminal, as `\XX`.
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            write_escaped(formatter, chunk.valid(), |character, _, _| character == '\\')?;
            chunk.invalid().iter().try_for_each(|octet| write!(formatter, "\\{octet:02X}"))?;
        }
        Ok(())
    }
}

/// Writes `text`, a backslash before every character that `special` picks (given its index and the last one), and everything that
/// is not to be shown as octets.
fn write_escaped(
    formatter: &mut fmt::Formatter<'_>,
    text: &str,
    special: impl Fn(char, usize, usize) -> bool,
) -> fmt::Result {
    let last = text.chars().count().saturating_sub(1);
    for (index, character) in text.chars().enumerate() {
        if special(character, index, last) {
            write!(formatter, "\\{character}")?;
        } else if is_shown(character) {
            formatter.write_char(character)?;
        } else {
            let mut buffer = [0; 4];
            character.encode_utf8(&mut buffer).bytes().try_for_each(|octet| write!(formatter, "\\{octet:02X}"))?;
        }
    }
    Ok(())
}

/// Letters and marks of any script, but nothing that moves a cursor, hides, or turns the direction of a line (D06).
fn is_shown(character: char) -> bool {
    let hidden = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !character.is_control() && !hidden
}

fn short_name(oid: &[u8]) -> Option<&'static str> {
    Some(match oid {
        COMMON_NAME => "CN",
        [0x55, 0x04, 0x05] => "serialNumber",
        [0x55, 0x04, 0x06] => "C",
        [0x55, 0x04, 0x07] => "L",
        [0x55, 0x04, 0x08] => "ST",
        [0x55, 0x04, 0x09] => "STREET",
        [0x55, 0x04, 0x0a] => "O",
        [0x55, 0x04, 0x0b] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01] => "UID",
        _ => return None,
    })
}

/// An object identifier's contents, shown in dotted decimal. Arcs beyond 128 bits are shown as `?`.
pub(crate) struct Oid<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Oid<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arc = Some(0u128);
        let mut first = true;
        for &octet in self.0 {
            arc = arc.and_then(|arc| arc.checked_mul(128)?.checked_add(u128::from(octet & 0x7f)));
            if octet & 0x80 != 0 {
                continue;
            }
            match (arc, first) {
                (Some(arc), true) if arc < 80 => write!(formatter, "{}.{}", arc / 40, arc % 40)?,
                (Some(arc), true) => write!(formatter, "2.{}", arc.saturating_sub(80))?,
                (Some(arc), false) => write!(formatter, ".{arc}")?,
                (None, _) => formatter.write_str(".?")?,
            }
            (arc, first) = (Some(0), false);
        }
        Ok(())
    }
}

/// The contents of the object identifier that `text` writes in dotted decimal; `None` if it writes none, or one with an arc beyond 64
/// bits.
pub fn oid_from_text(text: &str) -> Option<Box<[u8]>> {
    let mut arcs = text.split('.').map(|arc| {
        let plain = arc.bytes().all(|octet| octet.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'));
        if plain { arc.parse::<u64>().ok() } else { None }
    });
    let (root, second) = (arcs.next()??, arcs.next()??);
    // X.690 §8.19.4: the first two arcs share one number.
    if root > 2 || (root < 2 && second > 39) {
        return None;
    }
    let mut contents = Vec::new();
    append_arc(&mut contents, root.checked_mul(40)?.checked_add(second)?);
    for arc in arcs {
        append_arc(&mut contents, arc?);
    }
    Some(contents.into())
}

/// Base 128, most significant first, the top bit on all but the last (X.690 §8.19.2).
fn append_arc(contents: &mut Vec<u8>, arc: u64) {
    let groups = (0..10u32).rev().map(|group| (arc >> group.saturating_mul(7)) & 0x7f);
    let significant = groups.skip_while(|group| *group == 0).collect::<Vec<_>>();
    let count = significant.len().max(1);
    for index in 0..count {
        let group = significant.get(index).and_then(|group| u8::try_from(*group).ok()).unwrap_or_default();
        contents.push(if index.saturating_add(1) == count { group } else { group | 0x80 });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `SEQUENCE { SET { SEQUENCE { OID, tag value } } … }`, one attribute an RDN.
    pub(crate) fn name(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        let element = |tag: u8, parts: &[&[u8]]| {
            let inside = parts.concat();
            [&[tag, u8::try_from(inside.len()).unwrap()], inside.as_slice()].concat()
        };
        let rdns: Vec<Vec<u8>> = attributes
            .iter()
            .map(|(oid, tag, value)| element(0x31, &[&element(0x30, &[&element(6, &[oid]), &element(*tag, &[value])])]))
            .collect();
        element(0x30, &rdns.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    const ORGANIZATION: &[u8] = &[0x55, 4, 10];

    #[test]
    fn names_match_whatever_their_case_white_space_and_string_type() {
        let parse = |attributes: &[(&[u8], u8, &[u8])]| name(attributes);
        let as_name = |der: &[u8]| Name::parse(&mut Reader::new(der, "test")).map(|name| name.folded()).unwrap();
        let one = as_name(&parse(&[(ORGANIZATION, 0x13, b"Company X"), (COMMON_NAME, 0x0c, b"Root")]));
        assert_eq!(one, as_name(&parse(&[(ORGANIZATION, 0x0c, b"  company  x "), (COMMON_NAME, 0x13, b"ROOT")])));
        for other in [
            parse(&[(ORGANIZATION, 0x13, b"CompanyX"), (COMMON_NAME, 0x0c, b"Root")]),
            parse(&[(COMMON_NAME, 0x0c, b"Root"), (ORGANIZATION, 0x13, b"Company X")]),
            parse(&[(ORGANIZATION, 0x13, b"Company X")]),
            parse(&[(ORGANIZATION, 0x1e, b"\0C\0X"), (COMMON_NAME, 0x0c, b"Root")]),
        ] {
            assert_ne!(one, as_name(&other));
        }
    }

    #[test]
    fn t12_a_subtree_is_a_prefix_and_what_cannot_be_folded_is_unknown() {
        let within = |found: &[(&[u8], u8, &[u8])], base: &[(&[u8], u8, &[u8])]| {
            let (found, base) = (name(found), name(base));
            let parse = |der| Name::parse(&mut Reader::new(der, "test")).unwrap();
            parse(&found).comparable().within(&parse(&base))
        };
        let widget: &[(&[u8], u8, &[u8])] = &[(ORGANIZATION, 0x0c, b"Factory-Y"), (COMMON_NAME, 0x0c, b"w1")];
        assert_eq!(within(widget, &[(ORGANIZATION, 0x13, b"FACTORY-Y")]), Within::Yes);
        assert_eq!(within(widget, widget), Within::Yes);
        assert_eq!(within(widget, &[]), Within::Yes);
        assert_eq!(within(widget, &[(ORGANIZATION, 0x13, b"Factory-Z")]), Within::No);
        assert_eq!(within(widget, &[(COMMON_NAME, 0x0c, b"w1")]), Within::No);
        assert_eq!(within(&widget[..1], widget), Within::No);
        assert_eq!(within(widget, &[(ORGANIZATION, 0x1e, b"\0F")]), Within::Unknown);
        let accented: &[(&[u8], u8, &[u8])] = &[(ORGANIZATION, 0x0c, "Usine-É".as_bytes())];
        assert_eq!(within(accented, &[(ORGANIZATION, 0x0c, "Usine-é".as_bytes())]), Within::Unknown);
        assert_eq!(within(accented, accented), Within::Yes);
    }

    fn shown(attributes: &[(&[u8], u8, &[u8])]) -> String {
        Name::parse(&mut Reader::new(&name(attributes), "test")).unwrap().to_string()
    }

    #[test]
    fn shows_rfc_4514_last_rdn_first() {
        let organization: (&[u8], u8, &[u8]) = (&[0x55, 4, 10], 0x0c, b"Company, X");
        assert_eq!(shown(&[organization, (COMMON_NAME, 0x13, b"Root")]), "CN=Root,O=Company\\, X");
        assert_eq!(shown(&[(&[0x2a, 3, 4], 0x0c, b"#a ")]), "1.2.3.4=\\#a\\ ");
        assert_eq!(shown(&[(COMMON_NAME, 0x1e, &[0, 65])]), "CN=#1e020041");
        assert_eq!(shown(&[]), "");
    }

    #[test]
    fn object_identifiers_are_written_and_read_alike() {
        for text in ["1.2.840.113549.1.1.11", "2.5.29.32.0", "0.9.2342.19200300.100.1.25", "2.999.18446744073709551615"]
        {
            assert_eq!(Oid(&oid_from_text(text).unwrap()).to_string(), text);
        }
        for bad in ["", "1", "3.1", "1.40", "1.2.", ".1.2", "1.02", "1.-2", "1.a", "1.2.18446744073709551616"] {
            assert_eq!(oid_from_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn d06_shows_nothing_that_could_deceive_a_terminal() {
        let evil = "a\u{0}\n\u{1b}[2J\u{202e}é";
        assert_eq!(shown(&[(COMMON_NAME, 0x0c, evil.as_bytes())]), "CN=a\\00\\0A\\1B[2J\\E2\\80\\AEé");
    }

    #[test]
    fn what_goes_into_reasons_is_cut() {
        assert_eq!(brief(&Text(b"short")), "short");
        let long = brief(&Text(&[b'a'; 10_000]));
        assert_eq!(long, format!("{}…", "a".repeat(BRIEF_CHARACTERS_MAX)));
    }

    #[test]
    fn d06_strings_are_encoded_as_their_types_say() {
        let parse = |tag, value: &[u8]| {
            Name::parse(&mut Reader::new(&name(&[(COMMON_NAME, tag, value)]), "test")).map(|_| ()).is_ok()
        };
        for (tag, value) in
            [(0x0c, "é".as_bytes()), (0x13, b"*_@"), (0x14, &[0xe9]), (0x1e, b"\0A"), (0x1c, b"\0\0\0A")]
        {
            assert!(parse(tag, value), "{tag:#x} {value:x?}");
        }
        let bad: [(u8, &[u8]); 8] = [
            (0x8c, b"tagged by nobody"),
            (0x0c, &[0xe9]),
            (0x0c, &[0xed, 0xa0, 0x80]),
            (0x13, &[0xe9]),
            (0x16, "é".as_bytes()),
            (0x1e, b"\0A\0"),
            (0x1e, &[0xd8, 0x00]),
            (0x1c, &[0x00, 0x43, 0x00, 0x41]),
        ];
        for (tag, value) in bad {
            assert!(!parse(tag, value), "{tag:#x} {value:x?}");
        }
    }

    #[test]
    fn rejects_empty_and_unordered_sets() {
        let parse = |bytes: &[u8]| Name::parse(&mut Reader::new(bytes, "test")).map(|_| ());
        assert!(parse(&[0x30, 2, 0x31, 0]).is_err());
        let one = [0x30, 7, 6, 1, 1, 0x0c, 2, b'a', b'a'];
        let two = [0x30, 7, 6, 1, 1, 0x0c, 2, b'b', b'b'];
        let set = |first: &[u8], second: &[u8]| [&[0x30, 20, 0x31, 18], first, second].concat();
        assert_eq!(parse(&set(&one, &two)), Ok(()));
        assert!(parse(&set(&two, &one)).is_err());
        assert!(parse(&set(&one, &one)).is_err());
    }
}
