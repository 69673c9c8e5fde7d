//! SUBSCRIBE, UNSUBSCRIBE and their answers: mqtt-v5.0-os §3.8–§3.11; mqtt-v3.1.1-os §3.8–§3.11.

use super::frame::{Body, Frame, malformed, protocol_error, write_packet};
use super::properties::{Place, Properties};
use super::{SUBACK, SUBSCRIBE, UNSUBACK, Version};
use crate::error::Fault;
use crate::limits::Limits;

/// A topic filter and the `QoS` asked for.
pub(crate) type Filter<'a> = (&'a str, u8);

/// Topic filters of a SUBSCRIBE (§3.8), each with the `QoS` asked for, or of an UNSUBSCRIBE (§3.10), with `QoS` 0.
pub(crate) fn parse_filters<'a>(
    frame: &Frame<'a>,
    version: Version,
    limits: &Limits,
) -> Result<(u16, Vec<Filter<'a>>), Fault> {
    frame.expect_flags(0b0010)?;
    let mut body = Body(frame.body);
    let packet_id = body.packet_id()?;
    if version == Version::V5 {
        let place = if frame.kind == SUBSCRIBE { Place::Subscribe } else { Place::Unsubscribe };
        if Properties::read(&mut body, place, limits.properties_count_max)?.has_subscription_identifier() {
            let detail = "a subscription identifier, though CONNACK has said that there are none"; // §3.2.2.3.12
            return Err(Fault::new("mqtt_subscription_identifier", detail));
        }
    }
    let mut filters = Vec::new();
    while !body.is_empty() {
        if filters.len() >= limits.filters_count_max {
            let detail = format!("more than {} topic filters", limits.filters_count_max);
            return Err(Fault::new("mqtt_quota_exceeded", detail));
        }
        let filter = body.string()?;
        if filter.is_empty() {
            return Err(malformed("an empty topic filter")); // §4.7.3
        }
        let qos = if frame.kind == SUBSCRIBE { qos_of(body.u8()?, filter, version)? } else { 0 };
        filters.push((filter, qos));
    }
    if filters.is_empty() {
        return Err(protocol_error("no topic filter")); // §3.8.3, §3.10.3
    }
    Ok((packet_id, filters))
}

/// The `QoS` in the octet behind a filter (§3.8.3.1). Retain handling and its like are about what this hub does not keep.
fn qos_of(octet: u8, filter: &str, version: Version) -> Result<u8, Fault> {
    let (qos, no_local, retain_handling) = (octet & 3, octet & 4 != 0, (octet >> 4) & 3);
    match version {
        Version::V311 if octet > 2 => Err(malformed("a QoS above 2")), // 3.1.1 §3.8.3.1
        Version::V5 if octet & 0xc0 != 0 => Err(malformed("reserved subscription options")),
        Version::V5 if qos == 3 || retain_handling == 3 || (no_local && filter.starts_with("$share/")) => {
            Err(protocol_error("subscription options that there are not"))
        }
        Version::V311 | Version::V5 => Ok(qos),
    }
}

/// Appends a SUBACK (§3.9): one code for each filter.
pub(crate) fn write_suback(version: Version, packet_id: u16, codes: &[u8], output: &mut Vec<u8>) {
    let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    write_packet(SUBACK << 4, &[&packet_id.to_be_bytes(), properties, codes], output);
}

/// Appends an UNSUBACK (§3.11): in 5.0 with one code for each filter, in 3.1.1 without.
pub(crate) fn write_unsuback(version: Version, packet_id: u16, codes: &[u8], output: &mut Vec<u8>) {
    let packet_id = packet_id.to_be_bytes();
    match version {
        Version::V311 => write_packet(UNSUBACK << 4, &[&packet_id], output),
        Version::V5 => write_packet(UNSUBACK << 4, &[&packet_id, &[0], codes], output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Version; 2] = [Version::V311, Version::V5];

    type Read = (u16, Vec<(String, u8)>);

    fn filters(first: u8, version: Version, body: &[u8]) -> Result<Read, &'static str> {
        let limits = Limits { filters_count_max: 2, ..Limits::default() };
        let (head, tail) = body.split_at(2);
        let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        let mut packet = Vec::new();
        write_packet(first, &[head, properties, tail], &mut packet);
        let frame = Frame::read(&packet, 1_000).unwrap().unwrap();
        let read = parse_filters(&frame, version, &limits).map_err(|fault| fault.code())?;
        Ok((read.0, read.1.into_iter().map(|(filter, qos)| (filter.to_owned(), qos)).collect()))
    }

    #[test]
    fn filters_are_bounded_and_never_none() {
        for version in BOTH {
            let read = |first, body: &[u8]| filters(first, version, body);
            assert_eq!(read(0x82, &[0, 1, 0, 1, b't', 1]), Ok((1, vec![("t".to_owned(), 1)])));
            assert_eq!(read(0xa2, &[0, 1, 0, 1, b't']), Ok((1, vec![("t".to_owned(), 0)])));
            assert_eq!(read(0x80, &[0, 1, 0, 1, b't', 1]), Err("mqtt_bad_flags"));
            assert_eq!(read(0x82, &[0, 0, 0, 1, b't', 1]), Err("mqtt_malformed"));
            assert_eq!(read(0x82, &[0, 1]), Err("mqtt_protocol_error"));
            assert_eq!(read(0x82, &[0, 1, 0, 0, 1]), Err("mqtt_malformed"));
            assert_eq!(read(0x82, &[0, 1, 0, 1, b't']), Err("mqtt_malformed"));
            assert_eq!(read(0x82, &[0, 1, 0, 1, 0xff, 1]), Err("mqtt_bad_string"));
            let three = [&[0, 1][..], &[0, 1, b't', 1].repeat(3)].concat();
            assert_eq!(read(0x82, &three), Err("mqtt_quota_exceeded"));
        }
    }

    #[test]
    fn options_are_those_of_the_version() {
        let one = |version, options| filters(0x82, version, &[0, 1, 0, 1, b't', options]).map(|(_, list)| list[0].1);
        assert_eq!(one(Version::V311, 2), Ok(2));
        assert_eq!(one(Version::V311, 3), Err("mqtt_malformed"));
        assert_eq!(one(Version::V311, 4), Err("mqtt_malformed"));
        assert_eq!(one(Version::V5, 0x2d), Ok(1));
        assert_eq!(one(Version::V5, 3), Err("mqtt_protocol_error"));
        assert_eq!(one(Version::V5, 0x31), Err("mqtt_protocol_error"));
        assert_eq!(one(Version::V5, 0x41), Err("mqtt_malformed"));
        let shared = [&[0, 1, 0, 10][..], b"$share/a/b", &[5]].concat();
        assert_eq!(filters(0x82, Version::V5, &shared), Err("mqtt_protocol_error"));
    }

    #[test]
    fn identifiers_are_refused_as_announced() {
        let packet = [0x82, 9, 0, 1, 2, 0x0b, 7, 0, 1, b't', 1];
        let frame = Frame::read(&packet, 100).unwrap().unwrap();
        let fault = parse_filters(&frame, Version::V5, &Limits::default()).unwrap_err();
        assert_eq!(fault.code(), "mqtt_subscription_identifier");
    }

    #[test]
    fn answers_have_the_form_of_their_version() {
        let mut output = Vec::new();
        write_suback(Version::V311, 1, &[1, 0x80], &mut output);
        write_suback(Version::V5, 1, &[1, 0x87], &mut output);
        write_unsuback(Version::V311, 9, &[0, 0x11], &mut output);
        write_unsuback(Version::V5, 9, &[0, 0x11], &mut output);
        let wanted: &[&[u8]] =
            &[&[0x90, 4, 0, 1, 1, 0x80], &[0x90, 5, 0, 1, 0, 1, 0x87], &[0xb0, 2, 0, 9], &[0xb0, 5, 0, 9, 0, 0, 0x11]];
        assert_eq!(output, wanted.concat());
        let mut output = Vec::new();
        write_suback(Version::V311, 1, &[0; 200], &mut output);
        assert_eq!(output.len(), 1 + 2 + 2 + 200);
    }
}
