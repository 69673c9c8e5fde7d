//! Framing and the data types of §1.5, both ways. Sections are those of OASIS mqtt-v5.0-os; 3.1.1 has the same types under the
//! same numbers, less the variable byte integer, which it knows as the remaining length alone (§2.2.3 there).
//!
//! A packet's length is checked before any of its body is waited for, so a peer's claim never decides how much is buffered.

use crate::error::Fault;

/// A whole packet: its type, its flags, its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) body: &'a [u8],
    /// Octets of the whole packet.
    pub(crate) length: usize,
}

impl<'a> Frame<'a> {
    /// The packet at the head of `bytes`; `None` when more is needed. `max` bounds the whole packet.
    pub(crate) fn read(bytes: &'a [u8], max: usize) -> Result<Option<Self>, Fault> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let Some((body_length, length_octets)) = variable(rest)? else { return Ok(None) };
        let header_length = length_octets.saturating_add(1);
        let length = usize::try_from(body_length).unwrap_or(usize::MAX).saturating_add(header_length);
        if length > max {
            let detail = format!("a packet of {length} bytes, {max} are allowed");
            return Err(Fault::new("mqtt_packet_too_large", detail));
        }
        let body = bytes.get(header_length..length);
        Ok(body.map(|body| Self { kind: first >> 4, flags: first & 0x0f, body, length }))
    }

    /// §2.1.3: the flags of every packet but PUBLISH are fixed.
    pub(crate) fn expect_flags(&self, flags: u8) -> Result<(), Fault> {
        if self.flags == flags {
            return Ok(());
        }
        Err(Fault::new("mqtt_bad_flags", format!("flags {:04b} in a packet of type {}", self.flags, self.kind)))
    }

    pub(crate) fn expect_empty(&self) -> Result<(), Fault> {
        Body(self.body).finish()
    }
}

/// §1.5.5: one to four octets, seven bits each, and no more octets than needed. The value and how many octets it took.
fn variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Fault> {
    let mut value = 0u32;
    for (index, &octet) in bytes.iter().take(4).enumerate() {
        let shift = u32::try_from(index).unwrap_or(0).saturating_mul(7);
        value |= u32::from(octet & 0x7f).checked_shl(shift).unwrap_or(0);
        if octet & 0x80 == 0 {
            let padded = index > 0 && octet == 0;
            return if padded { Err(bad_length()) } else { Ok(Some((value, index.saturating_add(1)))) };
        }
    }
    if bytes.len() >= 4 { Err(bad_length()) } else { Ok(None) }
}

fn bad_length() -> Fault {
    Fault::new("mqtt_bad_length", "a length of more octets than it needs, or than four")
}

/// §1.2: a packet that cannot be read as what it claims to be.
pub(crate) fn malformed(what: &str) -> Fault {
    Fault::new("mqtt_malformed", what)
}

/// §1.2: a packet that can be read, and says what it must not.
pub(crate) fn protocol_error(what: &str) -> Fault {
    Fault::new("mqtt_protocol_error", what)
}

/// What is left of a packet's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl<'a> Body<'a> {
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self.0.split_at_checked(count).ok_or_else(|| malformed("the body ends too early"))?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Fault> {
        self.take(1).map(|octets| octets.first().copied().unwrap_or(0))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Fault> {
        self.take(2).map(|octets| octets.iter().fold(0, |value, &octet| (value << 8) | u16::from(octet)))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Fault> {
        self.take(4).map(|octets| octets.iter().fold(0, |value, &octet| (value << 8) | u32::from(octet)))
    }

    pub(crate) fn variable(&mut self) -> Result<u32, Fault> {
        let (value, octets) = variable(self.0)?.ok_or_else(|| malformed("the body ends too early"))?;
        self.take(octets).map(|_| value)
    }

    /// What a variable byte integer says of the length of.
    pub(crate) fn part(&mut self) -> Result<Self, Fault> {
        let length = self.variable()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX)).map(Self)
    }

    /// §2.2.1: never zero.
    pub(crate) fn packet_id(&mut self) -> Result<u16, Fault> {
        match self.u16()? {
            0 => Err(malformed("packet identifier 0")),
            id => Ok(id),
        }
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// §1.5.4: well-formed UTF-8 without U+0000. Control characters and noncharacters, which may be refused, are (M08).
    /// Deviation: so is U+FEFF, which may not be stripped, and which readers of the stream would take for a byte order mark.
    pub(crate) fn string(&mut self) -> Result<&'a str, Fault> {
        let text = std::str::from_utf8(self.binary()?).ok();
        let forbidden = |c: char| {
            let code = u32::from(c);
            c.is_control() || code == 0xfeff || code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code)
        };
        text.filter(|text| !text.contains(forbidden))
            .ok_or_else(|| Fault::new("mqtt_bad_string", "a string that is not UTF-8, or holds a control character"))
    }

    pub(crate) fn finish(self) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed("bytes are left over after the body")) }
    }
}

/// Appends a packet of `parts` behind the first octet `first` (type and flags) and their length.
pub fn write_packet(first: u8, parts: &[&[u8]], output: &mut Vec<u8>) {
    output.push(first);
    write_variable(parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len())), output);
    for part in parts {
        output.extend_from_slice(part);
    }
}

/// Appends a variable byte integer (§1.5.5).
pub(crate) fn write_variable(value: usize, output: &mut Vec<u8>) {
    let mut left = value;
    loop {
        let seven = u8::try_from(left & 0x7f).unwrap_or(0);
        left >>= 7;
        output.push(if left > 0 { seven | 0x80 } else { seven });
        if left == 0 {
            return;
        }
    }
}

/// Octets that `write_variable` appends.
pub(crate) fn variable_length(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Appends a string behind its length (§1.5.4), cut off at what two octets can count: whoever writes a longer one has bounded it.
pub fn write_string(text: &str, output: &mut Vec<u8>) {
    write_binary(text.as_bytes(), output);
}

/// Appends binary data behind its length (§1.5.6), cut off likewise.
pub(crate) fn write_binary(data: &[u8], output: &mut Vec<u8>) {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    output.extend(length.to_be_bytes());
    output.extend(data.iter().take(length.into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T: std::fmt::Debug>(result: Result<T, Fault>) -> &'static str {
        result.unwrap_err().code()
    }

    #[test]
    fn m01_lengths_are_checked_before_the_body_is_waited_for() {
        assert_eq!(code(Frame::read(&[0x10, 0xff, 0xff, 0xff, 0x7f], 1_000)), "mqtt_packet_too_large");
        assert_eq!(code(Frame::read(&[0x10, 0xff, 0xff, 0xff, 0xff], 1_000)), "mqtt_bad_length");
        assert_eq!(code(Frame::read(&[0x10, 0x80, 0x00], 1_000)), "mqtt_bad_length");
        assert_eq!(Frame::read(&[0x10, 0xff, 0xff, 0xff], 1_000), Ok(None));
        assert_eq!(code(Frame::read(&[0x30, 99], 100)), "mqtt_packet_too_large");
        assert_eq!(Frame::read(&[0x30, 98], 100), Ok(None));
    }

    #[test]
    fn m08_strings_are_clean_utf_8() {
        let bad: [&[u8]; 8] = [
            &[0xff],
            &[0],
            &[0x1b],
            &[0xed, 0xa0, 0x80],
            "\u{ffff}".as_bytes(),
            &[0xc0, 0x80],
            "\u{feff}w1".as_bytes(),
            "w\u{fdd0}".as_bytes(),
        ];
        for text in bad {
            let body = [&[0, u8::try_from(text.len()).unwrap()], text].concat();
            assert_eq!(code(Body(&body).string()), "mqtt_bad_string", "{text:?}");
        }
        assert_eq!(Body(&[0, 2, 0xc3, 0xa9]).string(), Ok("é"));
        assert_eq!(code(Body(&[0, 3, b'a']).string()), "mqtt_malformed");
    }

    #[test]
    fn variable_integers_come_back_as_they_were_written() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455] {
            let mut bytes = Vec::new();
            write_variable(value, &mut bytes);
            assert_eq!(bytes.len(), variable_length(value));
            let mut body = Body(&bytes);
            assert_eq!(body.variable().map(|read| usize::try_from(read).unwrap()), Ok(value));
            assert!(body.is_empty());
        }
        assert_eq!(code(Body(&[0x80]).variable()), "mqtt_malformed");
        assert_eq!(code(Body(&[0x80, 0]).variable()), "mqtt_bad_length");
        assert_eq!(code(Body(&[0xff; 5]).variable()), "mqtt_bad_length");
    }

    #[test]
    fn m14_what_two_octets_cannot_count_is_cut_and_never_wraps() {
        let mut bytes = Vec::new();
        write_string(&"x".repeat(65_536), &mut bytes);
        assert_eq!((bytes.len(), &bytes[..2]), (65_537, &[0xff, 0xff][..]));
        assert_eq!(Body(&bytes).string().unwrap().len(), 65_535);
    }
}
