//! PUBLISH and PUBACK, both ways: mqtt-v5.0-os §3.3, §3.4; mqtt-v3.1.1-os §3.3, §3.4.

use super::frame::{Body, Frame, malformed, protocol_error, variable_length, write_packet, write_string};
use super::properties::{Place, Properties};
use super::{PUBACK, PUBLISH, Version};
use crate::error::Fault;
use crate::limits::Limits;

/// A PUBLISH from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish<'a> {
    /// Empty where a topic alias stands for it.
    pub(crate) topic: &'a str,
    /// `None` for `QoS` 0.
    pub(crate) packet_id: Option<u16>,
    pub(crate) redelivered: bool,
    pub(crate) retain: bool,
    pub(crate) properties: Properties<'a>,
    pub(crate) payload: &'a [u8],
}

pub(crate) fn parse_publish<'a>(frame: &Frame<'a>, version: Version, limits: &Limits) -> Result<Publish<'a>, Fault> {
    let (redelivered, qos, retain) = (frame.flags & 8 != 0, (frame.flags >> 1) & 3, frame.flags & 1 != 0);
    match qos {
        0 if redelivered => return Err(Fault::new("mqtt_bad_flags", "DUP on QoS 0")), // §3.3.1.1
        0 | 1 => {}
        2 => return Err(Fault::new("mqtt_qos_unsupported", "QoS 2")), // §3.2.2.3.4: CONNACK has said so
        _ => return Err(Fault::new("mqtt_bad_flags", "QoS 3")),       // §3.3.1.2
    }
    let mut body = Body(frame.body);
    let topic = body.string()?;
    let packet_id = if qos == 1 { Some(body.packet_id()?) } else { None };
    let properties = match version {
        Version::V311 => Properties::default(),
        Version::V5 => Properties::read(&mut body, Place::Publish, limits.properties_count_max)?,
    };
    // §3.3.2.3.4: only an alias makes an empty topic mean something.
    if !topic.is_empty() || properties.topic_alias.is_none() {
        check_topic(topic)?;
    }
    if properties.has_subscription_identifier() {
        return Err(protocol_error("a subscription identifier from a client")); // §3.3.4
    }
    // §3.2.2.3.5. In 3.1.1, which cannot be told, the flag becomes a property of the message (wire contract §1.4).
    if retain && version == Version::V5 {
        return Err(Fault::new("mqtt_retain_unsupported", "RETAIN, though CONNACK has said that there is none"));
    }
    Ok(Publish { topic, packet_id, redelivered, retain, properties, payload: body.0 })
}

/// §3.3.2.1, §4.7.3: the name of a topic.
pub(crate) fn check_topic(topic: &str) -> Result<(), Fault> {
    if topic.is_empty() || topic.contains(['#', '+']) {
        return Err(malformed("a topic name that is empty or holds a wildcard"));
    }
    Ok(())
}

/// Whether the packet is a PUBLISH that will want an acknowledgement: what Receive Maximum counts (§3.3.4).
pub(crate) fn wants_acknowledgement(frame: &Frame<'_>) -> bool {
    frame.kind == PUBLISH && (frame.flags >> 1) & 3 != 0
}

/// A PUBLISH to a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    /// `None` for `QoS` 0.
    pub(crate) packet_id: Option<u16>,
    pub(crate) redelivered: bool,
    /// 5.0: the properties behind their length. 3.1.1: nothing.
    pub(crate) properties: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// Appends a PUBLISH, unless it would have more than `bytes_max` octets or a topic that cannot be written; answers whether it did.
pub(crate) fn write_publish(publish: &Outgoing<'_>, bytes_max: usize, output: &mut Vec<u8>) -> bool {
    let mut head = Vec::with_capacity(publish.topic.len().saturating_add(4));
    write_string(publish.topic, &mut head);
    let mut flags = 0;
    if let Some(packet_id) = publish.packet_id {
        head.extend(packet_id.to_be_bytes());
        flags = 0b0010 | (u8::from(publish.redelivered) << 3);
    }
    let parts = [head.as_slice(), publish.properties, publish.payload];
    let body = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
    let length = body.saturating_add(variable_length(body)).saturating_add(1);
    let fits = u16::try_from(publish.topic.len()).is_ok() && length <= bytes_max;
    if fits {
        write_packet((PUBLISH << 4) | flags, &parts, output);
    }
    fits
}

/// Appends a PUBACK; a good one needs no reason code in either version (§3.4.2.1).
pub(crate) fn write_puback(packet_id: u16, output: &mut Vec<u8>) {
    write_packet(PUBACK << 4, &[&packet_id.to_be_bytes()], output);
}

/// What a client says of a message that it was sent: its packet identifier, and its reason code (0 in 3.1.1).
pub(crate) fn parse_puback(frame: &Frame<'_>, version: Version, limits: &Limits) -> Result<(u16, u8), Fault> {
    frame.expect_flags(0)?;
    let mut body = Body(frame.body);
    let packet_id = body.packet_id()?;
    if version == Version::V311 || body.is_empty() {
        return body.finish().map(|()| (packet_id, 0));
    }
    let reason = body.u8()?;
    if !PUBACK_REASONS.contains(&reason) {
        return Err(protocol_error("a reason code that PUBACK does not have"));
    }
    if !body.is_empty() {
        Properties::read(&mut body, Place::Puback, limits.properties_count_max)?;
    }
    body.finish().map(|()| (packet_id, reason))
}

/// §3.4.2.1, table 3-4.
const PUBACK_REASONS: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Version; 2] = [Version::V311, Version::V5];

    fn publish(bytes: &[u8], version: Version) -> Result<Publish<'_>, &'static str> {
        let frame = Frame::read(bytes, 1_000).map_err(|fault| fault.code())?.unwrap();
        parse_publish(&frame, version, &Limits::default()).map_err(|fault| fault.code())
    }

    /// A packet, with empty properties at `at` in its body where the version has some.
    fn packet(first: u8, body: &[u8], at: usize, version: Version) -> Vec<u8> {
        let (head, tail) = body.split_at(at);
        let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        let mut packet = Vec::new();
        write_packet(first, &[head, properties, tail], &mut packet);
        packet
    }

    #[test]
    fn publish_checks_qos_topic_and_packet_id() {
        for version in BOTH {
            let code = |first, body: &[u8], at| publish(&packet(first, body, at, version), version).unwrap_err();
            let acknowledged = packet(0x3a, &[0, 1, b't', 0, 7, 9], 5, version);
            let read = publish(&acknowledged, version).unwrap();
            assert_eq!((read.packet_id, read.payload, read.redelivered), (Some(7), &[9][..], true));
            let plain = packet(0x30, &[0, 1, b't', 9], 3, version);
            assert_eq!(publish(&plain, version).unwrap().packet_id, None);
            assert_eq!(code(0x34, &[0, 1, b't', 0, 7, 9], 5), "mqtt_qos_unsupported");
            assert_eq!(code(0x36, &[0, 1, b't', 0, 7, 9], 5), "mqtt_bad_flags");
            assert_eq!(code(0x38, &[0, 1, b't', 9], 3), "mqtt_bad_flags");
            assert_eq!(code(0x32, &[0, 1, b't', 0, 0], 5), "mqtt_malformed");
            assert_eq!(code(0x30, &[0, 1, b'#'], 3), "mqtt_malformed");
            assert_eq!(code(0x30, &[0, 0], 2), "mqtt_malformed");
            assert_eq!(code(0x30, &[0, 9, b't'], 3), "mqtt_malformed");
        }
    }

    #[test]
    fn retain_is_a_property_in_3_1_1_and_refused_in_5_0() {
        assert!(publish(&packet(0x31, &[0, 1, b't'], 3, Version::V311), Version::V311).unwrap().retain);
        let refused = packet(0x31, &[0, 1, b't'], 3, Version::V5);
        assert_eq!(publish(&refused, Version::V5), Err("mqtt_retain_unsupported"));
    }

    #[test]
    fn an_empty_topic_needs_its_alias() {
        let aliased = [0x30, 6, 0, 0, 3, 0x23, 0, 1];
        assert_eq!(publish(&aliased, Version::V5).unwrap().properties.topic_alias, Some(1));
        assert_eq!(publish(&[0x30, 3, 0, 0, 0], Version::V5), Err("mqtt_malformed"));
        let identified = [0x30, 6, 0, 1, b't', 2, 0x0b, 1];
        assert_eq!(publish(&identified, Version::V5), Err("mqtt_protocol_error"));
    }

    #[test]
    fn a_publish_is_written_as_it_is_read_and_never_beyond_its_bound() {
        for version in BOTH {
            let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
            let outgoing =
                Outgoing { topic: "a/b", packet_id: Some(0x0102), redelivered: true, properties, payload: b"hello" };
            let mut bytes = Vec::new();
            assert!(write_publish(&outgoing, 1_000, &mut bytes));
            let read = publish(&bytes, version).unwrap();
            assert_eq!((read.topic, read.packet_id, read.redelivered), ("a/b", Some(0x0102), true));
            assert_eq!((read.payload, read.retain), (&b"hello"[..], false));
            let length = bytes.len();
            assert!(write_publish(&outgoing, length, &mut bytes));
            assert!(!write_publish(&outgoing, length - 1, &mut bytes));
            assert_eq!(bytes.len(), 2 * length);
            let plain = Outgoing { packet_id: None, ..outgoing };
            bytes.clear();
            assert!(write_publish(&plain, 1_000, &mut bytes));
            assert_eq!(bytes[0], 0x30);
            let long = "x".repeat(65_536);
            assert!(!write_publish(&Outgoing { topic: &long, ..outgoing }, usize::MAX, &mut bytes));
        }
    }

    #[test]
    fn a_puback_says_what_its_version_lets_it() {
        let puback = |bytes: &[u8], version| {
            let frame = Frame::read(bytes, 1_000).unwrap().unwrap();
            parse_puback(&frame, version, &Limits::default()).map_err(|fault| fault.code())
        };
        for version in BOTH {
            assert_eq!(puback(&[0x40, 2, 0, 7], version), Ok((7, 0)));
            assert_eq!(puback(&[0x40, 2, 0, 0], version), Err("mqtt_malformed"));
            assert_eq!(puback(&[0x40, 1, 0], version), Err("mqtt_malformed"));
            assert_eq!(puback(&[0x41, 2, 0, 7], version), Err("mqtt_bad_flags"));
        }
        assert_eq!(puback(&[0x40, 3, 0, 7, 0x97], Version::V311), Err("mqtt_malformed"));
        assert_eq!(puback(&[0x40, 3, 0, 7, 0x97], Version::V5), Ok((7, 0x97)));
        assert_eq!(puback(&[0x40, 4, 0, 7, 0x10, 0], Version::V5), Ok((7, 0x10)));
        let explained = [0x40, 8, 0, 7, 0x80, 4, 0x1f, 0, 1, b'x'];
        assert_eq!(puback(&explained, Version::V5), Ok((7, 0x80)));
        assert_eq!(puback(&[0x40, 3, 0, 7, 0x92], Version::V5), Err("mqtt_protocol_error"));
        assert_eq!(puback(&[0x40, 5, 0, 7, 0, 0, 0], Version::V5), Err("mqtt_malformed"));
        let mut bytes = Vec::new();
        write_puback(0x0102, &mut bytes);
        assert_eq!(bytes, [0x40, 2, 1, 2]);
    }
}
