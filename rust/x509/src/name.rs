//! Distinguished names: their shape, their common names, and how they are shown. RFC 5280 §4.1.2.4, RFC 4514.
//!
//! Deviation: two names match when their DER is equal (RFC 5280 §7.1 would fold case and white space). Every public
//! validator does the same; folding could only let more in. Case: `rejects_issuer_that_differs_in_case`.

use std::fmt::{self, Write as _};

use crate::der::{self, Element, Reader};
use crate::error::Error;

/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

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
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let name = Self { der: reader.expect(der::SEQUENCE)?.der };
        name.visit(|_, _| ())?;
        Ok(name)
    }

    /// The whole element, as compared with other names.
    pub fn der(&self) -> &'a [u8] {
        self.der
    }

    /// Whether there is no attribute at all.
    pub fn is_empty(&self) -> bool {
        self.der.len() <= 2
    }

    /// The text of each common name that is a `PrintableString` or `UTF8String`, in order; others are left out.
    pub fn common_names(&self) -> Vec<&'a str> {
        let mut names = Vec::new();
        self.for_common_names(|attribute| names.extend(text(&attribute.value)));
        names
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

    /// Walks the RDNs, checking their structure; `each` is given the RDN's index and one attribute.
    fn visit(&self, mut each: impl FnMut(usize, Attribute<'a>)) -> Result<(), Error> {
        let mut outer = Reader::new(self.der, "name");
        let mut rdns = outer.inside(der::SEQUENCE, "name")?;
        outer.finish()?;
        let mut index = 0usize;
        while !rdns.is_empty() {
            let mut rdn = rdns.inside(der::SET, "relative distinguished name")?;
            let mut previous: Option<&[u8]> = None;
            loop {
                let pair = rdn.expect(der::SEQUENCE)?;
                // X.690 §11.6: the elements of a SET OF ascend.
                if previous.is_some_and(|previous| previous >= pair.der) {
                    return Err(rdn.fault(der::DerFault::BadValue));
                }
                let shares_rdn = previous.is_some() || !rdn.is_empty();
                previous = Some(pair.der);
                let mut inside = Reader::new(pair.value, "name attribute");
                let attribute = Attribute { oid: inside.oid()?, value: inside.element()?, shares_rdn };
                inside.finish()?;
                each(index, attribute);
                if rdn.is_empty() {
                    break;
                }
            }
            index = index.saturating_add(1);
        }
        Ok(())
    }
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

/// X.680 §41.4, table 10; `*`, `@`, `_` and `&` are refused there although seen in the wild.
fn is_printable_string(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&octet)
}

impl fmt::Display for Name<'_> {
    /// RFC 4514: last RDN first, special characters escaped, everything unprintable as `\XX` octets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rdns: Vec<String> = Vec::new();
        let _checked = self.visit(|index, attribute| match rdns.get_mut(index) {
            Some(rdn) => *rdn = format!("{rdn}+{}", Shown(attribute)),
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
        let last = text.chars().count().saturating_sub(1);
        for (index, character) in text.chars().enumerate() {
            let escaped = match character {
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => true,
                ' ' => index == 0 || index == last,
                '#' => index == 0,
                _ => false,
            };
            if escaped {
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
    fn d06_shows_nothing_that_could_deceive_a_terminal() {
        let evil = "a\u{0}\n\u{1b}[2J\u{202e}é";
        assert_eq!(shown(&[(COMMON_NAME, 0x0c, evil.as_bytes())]), "CN=a\\00\\0A\\1B[2J\\E2\\80\\AEé");
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
