//! MQTT 3.1.1 packets, as a server reads and writes them. OASIS mqtt-v3.1.1-os; sections are that document's.
//!
//! A packet's length is checked before any of its body is waited for (§2.2.3), so a peer's claim never decides how much is buffered.

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

/// §2.2.1
pub(crate) const CONNECT: u8 = 1;
pub(crate) const CONNACK: u8 = 2;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const UNSUBSCRIBE: u8 = 10;
pub(crate) const PINGREQ: u8 = 12;
/// Named apart from the packet itself, which is `PINGRESP`.
pub(crate) const PINGRESP_KIND: u8 = 13;
pub(crate) const DISCONNECT: u8 = 14;

impl<'a> Frame<'a> {
    /// The packet at the head of `bytes`; `None` when more is needed. `max` bounds the whole packet.
    pub(crate) fn read(bytes: &'a [u8], max: usize) -> Result<Option<Self>, Fault> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let Some((body_length, header_length)) = remaining_length(rest)? else { return Ok(None) };
        let header_length = header_length.saturating_add(1);
        let length = body_length.saturating_add(header_length);
        if length > max {
            let detail = format!("a packet of {length} bytes, {max} are allowed");
            return Err(Fault::new("mqtt_packet_too_large", detail));
        }
        let body = bytes.get(header_length..length);
        Ok(body.map(|body| Self { kind: first >> 4, flags: first & 0x0f, body, length }))
    }

    /// §2.2.2: the flags of every packet but PUBLISH are fixed.
    pub(crate) fn expect_flags(&self, flags: u8) -> Result<(), Fault> {
        if self.flags == flags {
            return Ok(());
        }
        Err(Fault::new("mqtt_bad_flags", format!("flags {:04b} in a packet of type {}", self.flags, self.kind)))
    }

    /// A body that is nothing but a packet identifier.
    pub(crate) fn packet_id(&self) -> Result<u16, Fault> {
        let mut body = Body(self.body);
        let id = body.packet_id()?;
        body.finish().map(|()| id)
    }

    pub(crate) fn expect_empty(&self) -> Result<(), Fault> {
        Body(self.body).finish()
    }
}

/// §2.2.3: one to four octets, seven bits each, and no more octets than needed. The value and how many octets it took.
fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut value = 0usize;
    for (index, &octet) in bytes.iter().take(4).enumerate() {
        let shift = u32::try_from(index).unwrap_or(0).saturating_mul(7);
        value |= usize::from(octet & 0x7f).checked_shl(shift).unwrap_or(0);
        if octet & 0x80 == 0 {
            let padded = index > 0 && octet == 0;
            return if padded { Err(bad_length()) } else { Ok(Some((value, index.saturating_add(1)))) };
        }
    }
    if bytes.len() >= 4 { Err(bad_length()) } else { Ok(None) }
}

fn bad_length() -> Fault {
    Fault::new("mqtt_bad_length", "a remaining length of more octets than it needs, or than four")
}

fn malformed(what: &str) -> Fault {
    Fault::new("mqtt_malformed", what)
}

/// What is left of a packet's body.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self.0.split_at_checked(count).ok_or_else(|| malformed("the body ends too early"))?;
        self.0 = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        self.take(1).map(|octets| octets.first().copied().unwrap_or(0))
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.take(2).map(|octets| octets.iter().fold(0u16, |value, &octet| (value << 8) | u16::from(octet)))
    }

    /// §2.3.1: never zero.
    fn packet_id(&mut self) -> Result<u16, Fault> {
        match self.u16()? {
            0 => Err(malformed("packet identifier 0")),
            id => Ok(id),
        }
    }

    fn binary(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// §1.5.3: well-formed UTF-8 without U+0000; control characters and noncharacters, which may be refused, are (M08).
    fn string(&mut self) -> Result<&'a str, Fault> {
        let text = std::str::from_utf8(self.binary()?).ok();
        let forbidden = |c: char| {
            let code = u32::from(c);
            c.is_control() || code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code)
        };
        text.filter(|text| !text.contains(forbidden))
            .ok_or_else(|| Fault::new("mqtt_bad_string", "a string that is not UTF-8, or holds a control character"))
    }

    fn finish(self) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed("bytes are left over after the body")) }
    }
}

/// What a CONNECT asks for (§3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connect {
    /// The client identifier; may be empty.
    pub client_id: String,
    /// The user name, if given.
    pub user_name: Option<String>,
    /// Whether there is a password; its bytes are never kept.
    pub has_password: bool,
    /// Whether earlier session state is to be dropped.
    pub clean_session: bool,
    /// Seconds between packets that the client promises; 0 promises nothing.
    pub keep_alive_seconds: u16,
    /// Whether there is a will; what it says is not kept.
    pub has_will: bool,
}

/// A CONNECT as far as its version lets it be read.
#[derive(Debug)]
pub(crate) enum ConnectAttempt {
    Connect(Connect),
    /// Another protocol level, which decides the form of the answer.
    OtherLevel(u8),
}

/// Parses the body of a CONNECT.
pub(crate) fn parse_connect(frame: &Frame<'_>) -> Result<ConnectAttempt, Fault> {
    frame.expect_flags(0)?;
    let mut body = Body(frame.body);
    let name = body.string()?;
    let level = body.u8()?;
    match (name, level) {
        ("MQTT", 4) => {}
        ("MQTT" | "MQIsdp", level) => return Ok(ConnectAttempt::OtherLevel(level)),
        _ => return Err(malformed("the protocol is not MQTT")), // §3.1.2.1
    }
    let flags = body.u8()?;
    let (reserved, clean_session, will) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
    let (will_qos, will_retain) = ((flags >> 3) & 3, flags & 0x20 != 0);
    let (has_password, has_user_name) = (flags & 0x40 != 0, flags & 0x80 != 0);
    // §3.1.2.3, §3.1.2.6, §3.1.2.7, §3.1.2.9
    if reserved || will_qos == 3 || (!will && (will_qos != 0 || will_retain)) || (has_password && !has_user_name) {
        return Err(malformed("connect flags that exclude each other"));
    }
    let keep_alive_seconds = body.u16()?;
    let client_id = body.string()?.to_owned();
    if will {
        body.string()?;
        body.binary()?;
    }
    let user_name = if has_user_name { Some(body.string()?.to_owned()) } else { None };
    if has_password {
        body.binary()?;
    }
    body.finish()?;
    Ok(ConnectAttempt::Connect(Connect {
        client_id,
        user_name,
        has_password,
        clean_session,
        keep_alive_seconds,
        has_will: will,
    }))
}

/// A PUBLISH (§3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Publish<'a> {
    pub(crate) topic: &'a str,
    /// `None` for QoS 0.
    pub(crate) packet_id: Option<u16>,
    pub(crate) redelivered: bool,
    pub(crate) retain: bool,
    pub(crate) payload: &'a [u8],
}

pub(crate) fn parse_publish<'a>(frame: &Frame<'a>) -> Result<Publish<'a>, Fault> {
    let (redelivered, qos, retain) = (frame.flags & 8 != 0, (frame.flags >> 1) & 3, frame.flags & 1 != 0);
    match qos {
        0 if redelivered => return Err(Fault::new("mqtt_bad_flags", "DUP on QoS 0")), // §3.3.1.1
        0 | 1 => {}
        2 => return Err(Fault::new("mqtt_qos_unsupported", "QoS 2")),
        _ => return Err(Fault::new("mqtt_bad_flags", "QoS 3")), // §3.3.1.2
    }
    let mut body = Body(frame.body);
    let topic = body.string()?;
    if topic.is_empty() || topic.contains(['#', '+']) {
        return Err(malformed("a topic name that is empty or holds a wildcard")); // §3.3.2.1, §4.7.3
    }
    let packet_id = if qos == 1 { Some(body.packet_id()?) } else { None };
    Ok(Publish { topic, packet_id, redelivered, retain, payload: body.0 })
}

/// A topic filter and the QoS asked for.
pub(crate) type Filter<'a> = (&'a str, u8);

/// Topic filters of a SUBSCRIBE (§3.8), each with the QoS asked for, or of an UNSUBSCRIBE (§3.10), with QoS 0.
pub(crate) fn parse_filters<'a>(frame: &Frame<'a>, count_max: usize) -> Result<(u16, Vec<Filter<'a>>), Fault> {
    frame.expect_flags(0b0010)?;
    let mut body = Body(frame.body);
    let packet_id = body.packet_id()?;
    let mut filters = Vec::new();
    while !body.0.is_empty() {
        if filters.len() >= count_max {
            return Err(malformed("too many topic filters"));
        }
        let filter = body.string()?;
        let qos = if frame.kind == SUBSCRIBE { body.u8()? } else { 0 };
        if filter.is_empty() || qos > 2 {
            return Err(malformed("an empty topic filter, or a QoS above 2")); // §4.7.3, §3.8.3.1
        }
        filters.push((filter, qos));
    }
    if filters.is_empty() {
        return Err(malformed("no topic filter")); // §3.8.3, §3.10.3
    }
    Ok((packet_id, filters))
}

/// What a CONNACK says (§3.2.2.3). The numbers are those of 3.1.1; version 5 has its own for the same causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReturnCode {
    /// 0: connected.
    Accepted,
    /// 1: another protocol level.
    UnacceptableProtocolVersion,
    /// 2: a client identifier that cannot be one.
    IdentifierRejected,
    /// 3: come back later.
    ServerUnavailable,
    /// 5: every failure to authenticate. Stock SDKs give up on it, and retry for ever after a TLS alert.
    NotAuthorized,
}

/// §3.2. `level` is the one the CONNECT asked for: version 5 reads another form.
pub(crate) fn connack(code: ReturnCode, level: u8) -> Vec<u8> {
    let (v3, v5) = match code {
        ReturnCode::Accepted => (0, 0x00),
        ReturnCode::UnacceptableProtocolVersion => (1, 0x84),
        ReturnCode::IdentifierRejected => (2, 0x85),
        ReturnCode::ServerUnavailable => (3, 0x88),
        ReturnCode::NotAuthorized => (5, 0x87),
    };
    // Session present is 0: subscriptions do not outlive a connection yet, and the flag tells the truth.
    if level >= 5 { vec![0x20, 3, 0, v5, 0] } else { vec![0x20, 2, 0, v3] }
}

/// §3.4
pub(crate) fn puback(packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [0x40, 2, high, low]
}

/// §3.9; one code for each filter, at most `filters_count_max` of them, so that one octet of length is enough.
pub(crate) fn suback(packet_id: u16, codes: &[u8]) -> Vec<u8> {
    let [high, low] = packet_id.to_be_bytes();
    let length = u8::try_from(codes.len()).unwrap_or(u8::MAX).saturating_add(2).min(0x7f);
    [&[0x90, length, high, low], codes].concat()
}

/// §3.11
pub(crate) fn unsuback(packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [0xb0, 2, high, low]
}

/// §3.13
pub(crate) const PINGRESP: [u8; 2] = [0xd0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECT_V4: &[u8] = &[0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 2, b'w', b'1'];

    fn connect(bytes: &[u8]) -> Result<ConnectAttempt, Fault> {
        parse_connect(&Frame::read(bytes, 1_000)?.unwrap())
    }

    fn code<T: std::fmt::Debug>(result: Result<T, Fault>) -> &'static str {
        result.unwrap_err().code()
    }

    #[test]
    fn reads_a_connect_whole_and_asks_for_more_before() {
        for end in 0..CONNECT_V4.len() {
            assert_eq!(Frame::read(&CONNECT_V4[..end], 1_000), Ok(None), "{end}");
        }
        match connect(CONNECT_V4).unwrap() {
            ConnectAttempt::Connect(connect) => {
                assert_eq!(
                    (connect.client_id.as_str(), connect.keep_alive_seconds, connect.clean_session),
                    ("w1", 60, true)
                );
            }
            ConnectAttempt::OtherLevel(level) => panic!("{level}"),
        }
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
    fn other_levels_are_told_apart_from_other_protocols() {
        let mut bytes = CONNECT_V4.to_vec();
        bytes[8] = 5;
        assert!(matches!(connect(&bytes), Ok(ConnectAttempt::OtherLevel(5))));
        bytes[4] = b'X';
        assert_eq!(code(connect(&bytes)), "mqtt_malformed");
    }

    #[test]
    fn m09_connect_flags_must_agree() {
        for flags in [1, 0x08, 0x20, 0x40, 0x04 | 0x18] {
            let mut bytes = CONNECT_V4.to_vec();
            bytes[9] = flags;
            assert_eq!(code(connect(&bytes)), "mqtt_malformed", "{flags:#x}");
        }
        let mut bytes = CONNECT_V4.to_vec();
        bytes[0] = 0x11;
        assert_eq!(code(connect(&bytes)), "mqtt_bad_flags");
    }

    #[test]
    fn m08_strings_are_clean_utf_8() {
        for bad in [&[0xff][..], &[0], &[0x1b], &[0xed, 0xa0, 0x80], "\u{ffff}".as_bytes(), &[0xc0, 0x80]] {
            let body = [&[0, u8::try_from(bad.len()).unwrap()], bad].concat();
            assert_eq!(code(Body(&body).string()), "mqtt_bad_string", "{bad:?}");
        }
        assert_eq!(Body(&[0, 2, 0xc3, 0xa9]).string(), Ok("é"));
    }

    #[test]
    fn publish_checks_qos_topic_and_packet_id() {
        let publish = |bytes: &[u8]| {
            Frame::read(bytes, 1_000)
                .and_then(|frame| parse_publish(&frame.unwrap()).map(|p| (p.packet_id, p.payload.len())))
        };
        assert_eq!(publish(&[0x32, 6, 0, 1, b't', 0, 7, 9]), Ok((Some(7), 1)));
        assert_eq!(publish(&[0x30, 4, 0, 1, b't', 9]), Ok((None, 1)));
        assert_eq!(code(publish(&[0x34, 6, 0, 1, b't', 0, 7, 9])), "mqtt_qos_unsupported");
        assert_eq!(code(publish(&[0x36, 6, 0, 1, b't', 0, 7, 9])), "mqtt_bad_flags");
        assert_eq!(code(publish(&[0x38, 4, 0, 1, b't', 9])), "mqtt_bad_flags");
        assert_eq!(code(publish(&[0x32, 5, 0, 1, b't', 0, 0])), "mqtt_malformed");
        assert_eq!(code(publish(&[0x30, 3, 0, 1, b'#'])), "mqtt_malformed");
        assert_eq!(code(publish(&[0x30, 2, 0, 0])), "mqtt_malformed");
        assert_eq!(code(publish(&[0x30, 3, 0, 9, b't'])), "mqtt_malformed");
    }

    #[test]
    fn filters_are_bounded_and_never_none() {
        let filters = |bytes: &[u8]| {
            Frame::read(bytes, 1_000)
                .and_then(|frame| parse_filters(&frame.unwrap(), 2).map(|(id, list)| (id, list.len())))
        };
        assert_eq!(filters(&[0x82, 6, 0, 1, 0, 1, b't', 1]), Ok((1, 1)));
        assert_eq!(code(filters(&[0x80, 6, 0, 1, 0, 1, b't', 1])), "mqtt_bad_flags");
        assert_eq!(code(filters(&[0x82, 2, 0, 1])), "mqtt_malformed");
        assert_eq!(code(filters(&[0x82, 6, 0, 1, 0, 1, b't', 3])), "mqtt_malformed");
        assert_eq!(code(filters(&[0x82, 14, 0, 1, 0, 1, b't', 1, 0, 1, b't', 1, 0, 1, b't', 1])), "mqtt_malformed");
        assert_eq!(filters(&[0xa2, 5, 0, 1, 0, 1, b't']), Ok((1, 1)));
    }

    #[test]
    fn answers_have_the_form_of_the_version_asked_for() {
        assert_eq!(connack(ReturnCode::NotAuthorized, 4), [0x20, 2, 0, 5]);
        assert_eq!(connack(ReturnCode::UnacceptableProtocolVersion, 5), [0x20, 3, 0, 0x84, 0]);
        assert_eq!(puback(0x0102), [0x40, 2, 1, 2]);
        assert_eq!(suback(1, &[1, 0x80]), [0x90, 4, 0, 1, 1, 0x80]);
        assert_eq!(unsuback(9), [0xb0, 2, 0, 9]);
    }
}
