//! CONNECT and CONNACK: mqtt-v5.0-os §3.1, §3.2; mqtt-v3.1.1-os §3.1, §3.2.

use super::frame::{Body, Frame, malformed, write_packet};
use super::properties::{Place, Properties, Writer};
use super::publish::check_topic;
use super::{CONNACK, Reason, Version};
use crate::error::Fault;
use crate::limits::Limits;

/// What a CONNECT asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connect {
    /// Its version, which all answers have from here on.
    pub version: Version,
    /// The client identifier; may be empty.
    pub client_id: String,
    /// The user name, if given.
    pub user_name: Option<String>,
    /// Whether earlier session state is to be dropped.
    pub clean_start: bool,
    /// How long the session is to outlive its connection: 0 not at all, `u32::MAX` for ever. 3.1.1 knows these two.
    pub session_expiry_seconds: u32,
    /// Seconds between packets that the client promises; 0 promises nothing.
    pub keep_alive_seconds: u16,
    /// Whether the client wants to authenticate by other means than its certificate (§4.12).
    pub has_authentication_method: bool,
    /// How many messages the client takes before it has acknowledged the first of them.
    pub receive_maximum: u16,
    /// Octets of the largest packet that the client takes.
    pub maximum_packet_size: u32,
    /// What is to be published in its name when its connection is lost.
    pub will: Option<Box<Will>>,
}

/// A will as it was asked for (§3.1.2.5, §3.1.3.2–4); whether it may be is for whoever knows the device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Will {
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) payload: Vec<u8>,
    /// Seconds between the end of the connection and its publication.
    pub delay_seconds: u32,
    pub(crate) payload_is_utf8: bool,
    pub(crate) message_expiry_seconds: Option<u32>,
    pub(crate) content_type: Option<String>,
    pub(crate) response_topic: Option<String>,
    pub(crate) correlation_data: Option<Vec<u8>>,
    pub(crate) user: Vec<(String, String)>,
    pub(crate) version: Version,
}

/// A CONNECT as far as its version lets it be read.
#[derive(Debug)]
pub(crate) enum ConnectAttempt {
    Connect(Connect),
    /// Another protocol level, which decides the form of the answer.
    OtherLevel(u8),
}

/// The level of a CONNECT that may be wrong behind it: what its refusal has to look like.
pub(crate) fn connect_level(frame: &Frame<'_>) -> Option<u8> {
    let mut body = Body(frame.body);
    body.string().and_then(|_| body.u8()).ok()
}

/// Parses a CONNECT.
pub(crate) fn parse_connect(frame: &Frame<'_>, limits: &Limits) -> Result<ConnectAttempt, Fault> {
    frame.expect_flags(0)?;
    let mut body = Body(frame.body);
    let version = match (body.string()?, body.u8()?) {
        ("MQTT", 4) => Version::V311,
        ("MQTT", 5) => Version::V5,
        ("MQTT" | "MQIsdp", level) => return Ok(ConnectAttempt::OtherLevel(level)),
        _ => return Err(malformed("the protocol is not MQTT")), // §3.1.2.1
    };
    let flags = ConnectFlags::read(body.u8()?, version)?;
    let keep_alive_seconds = body.u16()?;
    let asked = match version {
        Version::V311 => Properties::default(),
        Version::V5 => Properties::read(&mut body, Place::Connect, limits.properties_count_max)?,
    };
    let client_id = body.string()?.to_owned();
    let will = if flags.will { Some(Box::new(read_will(&mut body, flags, version, limits)?)) } else { None };
    let user_name = if flags.user_name { Some(body.string()?.to_owned()) } else { None };
    // Of a password nothing is kept.
    if flags.password {
        body.binary()?;
    }
    body.finish()?;
    let session_expiry_seconds = match version {
        Version::V311 if flags.clean_start => 0,
        Version::V311 => u32::MAX,
        Version::V5 => asked.session_expiry_seconds.unwrap_or(0),
    };
    Ok(ConnectAttempt::Connect(Connect {
        version,
        client_id,
        user_name,
        clean_start: flags.clean_start,
        session_expiry_seconds,
        keep_alive_seconds,
        has_authentication_method: asked.has_authentication_method(),
        receive_maximum: asked.receive_maximum.unwrap_or(u16::MAX),
        maximum_packet_size: asked.maximum_packet_size.unwrap_or(u32::MAX),
        will,
    }))
}

/// §3.1.2.3
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one octet of flags is what it is")]
struct ConnectFlags {
    clean_start: bool,
    will: bool,
    will_qos: u8,
    will_retain: bool,
    password: bool,
    user_name: bool,
}

impl ConnectFlags {
    fn read(octet: u8, version: Version) -> Result<Self, Fault> {
        let flags = Self {
            clean_start: octet & 0x02 != 0,
            will: octet & 0x04 != 0,
            will_qos: (octet >> 3) & 3,
            will_retain: octet & 0x20 != 0,
            password: octet & 0x40 != 0,
            user_name: octet & 0x80 != 0,
        };
        let reserved = octet & 0x01 != 0;
        let of_no_will = !flags.will && (flags.will_qos != 0 || flags.will_retain);
        // 3.1.1 §3.1.2.9; 5.0 lets a password stand alone.
        let of_nobody = version == Version::V311 && flags.password && !flags.user_name;
        // §3.1.2.3, §3.1.2.6, §3.1.2.7
        if reserved || flags.will_qos == 3 || of_no_will || of_nobody {
            return Err(malformed("connect flags that exclude each other"));
        }
        Ok(flags)
    }
}

fn read_will(body: &mut Body<'_>, flags: ConnectFlags, version: Version, limits: &Limits) -> Result<Will, Fault> {
    let properties = match version {
        Version::V311 => Properties::default(),
        Version::V5 => Properties::read(body, Place::Will, limits.properties_count_max)?,
    };
    let topic = body.string()?;
    check_topic(topic)?;
    Ok(Will {
        topic: topic.to_owned(),
        qos: flags.will_qos,
        retain: flags.will_retain,
        payload: body.binary()?.to_vec(),
        delay_seconds: properties.will_delay_seconds,
        payload_is_utf8: properties.payload_is_utf8,
        message_expiry_seconds: properties.message_expiry_seconds,
        content_type: properties.content_type.map(str::to_owned),
        response_topic: properties.response_topic.map(str::to_owned),
        correlation_data: properties.correlation_data.map(<[u8]>::to_vec),
        user: properties.user.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        version,
    })
}

/// Appends the CONNACK that lets a device in (§3.2).
pub(crate) fn write_connack(
    version: Version,
    session_present: bool,
    server_keep_alive_seconds: Option<u16>,
    limits: &Limits,
    output: &mut Vec<u8>,
) {
    let head = [u8::from(session_present), Reason::Success.code()];
    match version {
        Version::V311 => write_packet(CONNACK << 4, &[&head], output),
        Version::V5 => {
            let mut properties = Writer::default();
            properties.announce(
                u16::try_from(limits.unacknowledged_count_max).unwrap_or(u16::MAX),
                u32::try_from(limits.packet_bytes_max).unwrap_or(u32::MAX),
                u16::try_from(limits.topic_aliases_count_max).unwrap_or(u16::MAX),
                server_keep_alive_seconds,
            );
            write_packet(CONNACK << 4, &[&head, &properties.finish()], output);
        }
    }
}

/// Appends the CONNACK that turns somebody away, in the form of the protocol `level` that the CONNECT asked for.
pub(crate) fn write_refusal(level: u8, reason: Reason, output: &mut Vec<u8>) {
    if level >= 5 {
        write_packet(CONNACK << 4, &[&[0, reason.code(), 0]], output);
    } else {
        write_packet(CONNACK << 4, &[&[0, reason.return_code()]], output);
    }
}

/// The same for 5.0, with `tracking_id` as its reason string, if the client takes a packet so large (§3.2.2.3.9). Whether it has asked for problem
/// information does not matter here (§3.1.2.11.7).
pub(crate) fn write_tracked_refusal(reason: Reason, tracking_id: &str, packet_bytes_max: u32, output: &mut Vec<u8>) {
    let (mut properties, mut packet) = (Writer::default(), Vec::new());
    properties.reason_string(&format!("tracking id {tracking_id}"));
    write_packet(CONNACK << 4, &[&[0, reason.code()], &properties.finish()], &mut packet);
    if u32::try_from(packet.len()).is_ok_and(|length| length <= packet_bytes_max) {
        output.extend(packet);
    } else {
        write_refusal(Version::V5.level(), reason, output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutations::Mutations;

    const CONNECT_V311: &[u8] = &[0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 2, b'w', b'1'];
    const CONNECT_V5: &[u8] = &[0x10, 15, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 2, b'w', b'1'];

    fn attempt(bytes: &[u8]) -> Result<ConnectAttempt, Fault> {
        parse_connect(&Frame::read(bytes, 1_000)?.unwrap(), &Limits::default())
    }

    fn connect(bytes: &[u8]) -> Result<Connect, &'static str> {
        match attempt(bytes).map_err(|fault| fault.code())? {
            ConnectAttempt::Connect(connect) => Ok(connect),
            ConnectAttempt::OtherLevel(level) => panic!("{level}"),
        }
    }

    fn of(level: u8, flags: u8, rest: &[&[u8]]) -> Vec<u8> {
        let mut packet = Vec::new();
        let head = [0, 4, b'M', b'Q', b'T', b'T', level, flags, 0, 60];
        write_packet(0x10, &[&head, &rest.concat()], &mut packet);
        packet
    }

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        super::super::frame::write_string(text, &mut bytes);
        bytes
    }

    #[test]
    fn reads_a_connect_of_either_version_whole_and_asks_for_more_before() {
        for (bytes, version) in [(CONNECT_V311, Version::V311), (CONNECT_V5, Version::V5)] {
            for end in 0..bytes.len() {
                assert_eq!(Frame::read(&bytes[..end], 1_000), Ok(None), "{end}");
            }
            let connect = connect(bytes).unwrap();
            assert_eq!((connect.client_id.as_str(), connect.keep_alive_seconds), ("w1", 60));
            assert_eq!((connect.version, connect.clean_start, connect.session_expiry_seconds), (version, true, 0));
        }
        let durable = connect(&of(4, 0, &[&text("w1")])).unwrap();
        assert_eq!((durable.clean_start, durable.session_expiry_seconds), (false, u32::MAX));
    }

    #[test]
    fn a_connect_of_5_0_says_what_it_wants() {
        let properties: &[&[u8]] = &[
            &[0x11, 0, 0, 0x0e, 0x10],
            &[0x21, 0, 20],
            &[0x27, 0, 1, 0, 0],
            &[0x22, 0, 5],
            &[0x17, 0],
            &[0x19, 1],
            &[0x26, 0, 1, b'a', 0, 1, b'b'],
        ];
        let length = [u8::try_from(properties.concat().len()).unwrap()];
        let connect = connect(&of(5, 0, &[&length, &properties.concat(), &text("w1")])).unwrap();
        assert_eq!((connect.clean_start, connect.session_expiry_seconds), (false, 3_600));
        assert_eq!((connect.receive_maximum, connect.maximum_packet_size), (20, 65_536));
        assert!(!connect.has_authentication_method);
    }

    #[test]
    fn defaults_of_5_0_are_those_of_the_standard() {
        let connect = connect(&of(5, 0, &[&[0], &text("w1")])).unwrap();
        assert_eq!((connect.session_expiry_seconds, connect.receive_maximum), (0, 65_535));
        assert_eq!((connect.maximum_packet_size, connect.will), (u32::MAX, None));
    }

    #[test]
    fn other_levels_are_told_apart_from_other_protocols() {
        for level in [0, 3, 6, 0x84, 255] {
            let mut bytes = CONNECT_V311.to_vec();
            bytes[8] = level;
            assert!(matches!(attempt(&bytes), Ok(ConnectAttempt::OtherLevel(found)) if found == level));
        }
        let mut bytes = CONNECT_V311.to_vec();
        bytes[4] = b'X';
        assert_eq!(connect(&bytes), Err("mqtt_malformed"));
    }

    #[test]
    fn m09_connect_flags_must_agree() {
        for (level, properties) in [(4, &[][..]), (5, &[0][..])] {
            for flags in [1, 0x08, 0x20, 0x04 | 0x18] {
                let packet = of(level, flags, &[properties, &text("w1"), properties, &text("t"), &text("x")]);
                assert_eq!(connect(&packet), Err("mqtt_malformed"), "{flags:#x}");
            }
        }
        assert_eq!(connect(&of(4, 0x40, &[&text("w1"), &text("secret")])), Err("mqtt_malformed"));
        assert!(connect(&of(5, 0x40, &[&[0], &text("w1"), &text("secret")])).is_ok());
        let mut bytes = CONNECT_V311.to_vec();
        bytes[0] = 0x11;
        assert_eq!(connect(&bytes), Err("mqtt_bad_flags"));
    }

    #[test]
    fn m06_a_will_is_read_with_all_that_belongs_to_it() {
        let plain = connect(&of(4, 0x2c, &[&text("w1"), &text("a/b"), &text("gone")])).unwrap().will.unwrap();
        assert_eq!((plain.topic.as_str(), plain.qos, plain.retain), ("a/b", 1, true));
        assert_eq!((plain.payload.as_slice(), plain.delay_seconds), (&b"gone"[..], 0));
        let properties: &[&[u8]] = &[&[0x18, 0, 0, 0, 9], &[0x01, 1], &text("\u{3}")];
        let asked = [properties[0], properties[1], &[0x03, 0, 1, b'j'], &[0x26, 0, 1, b'a', 0, 1, b'b']].concat();
        let length = [u8::try_from(asked.len()).unwrap()];
        let rest: &[&[u8]] = &[&[0], &text("w1"), &length, &asked, &text("a/b"), &text("gone")];
        let will = connect(&of(5, 0x04, rest)).unwrap().will.unwrap();
        assert_eq!((will.delay_seconds, will.payload_is_utf8), (9, true));
        assert_eq!(will.content_type.as_deref(), Some("j"));
        assert_eq!(will.user, [("a".to_owned(), "b".to_owned())]);
        for topic in ["", "a/#", "+"] {
            assert_eq!(connect(&of(4, 0x04, &[&text("w1"), &text(topic), &text("x")])), Err("mqtt_malformed"));
        }
    }

    #[test]
    fn m01_whatever_comes_first_is_read_or_refused() {
        let will = [&[0x18, 0, 0, 0, 9][..], &[0x01, 1], &[0x03, 0, 1, b'j'], &[0x26, 0, 1, b'a', 0, 1, b'b']].concat();
        let asked = [&[0x11, 0, 0, 0, 60][..], &[0x21, 0, 20], &[0x27, 0, 1, 0, 0], &[0x22, 0, 5]].concat();
        let (asked_length, will_length) = ([u8::try_from(asked.len()).unwrap()], [u8::try_from(will.len()).unwrap()]);
        let (id, topic, payload, name) = (text("w1"), text("devices/w1/messages/events/a=b"), text("x"), text("h/w1/"));
        let packets = [
            CONNECT_V311.to_vec(),
            of(4, 0x84, &[&id, &topic, &payload, &name]),
            of(5, 0x84, &[&asked_length, &asked, &id, &will_length, &will, &topic, &payload, &name]),
        ];
        let (mut mutations, mut read, mut refused) = (Mutations::new(), 0, 0);
        for _ in 0..200_000 {
            let bytes = mutations.one_of(&packets);
            let attempt = Frame::read(&bytes, 1_000)
                .and_then(|frame| frame.map(|frame| parse_connect(&frame, &Limits::default())).transpose());
            match attempt {
                Ok(Some(ConnectAttempt::Connect(connect))) => {
                    read += 1;
                    // A will that is none is refused by whoever admits, by the codes of a PUBLISH.
                    if let Some(Err(fault)) = connect.will.map(|will| will.telemetry("w1", &Limits::default())) {
                        assert!(Fault::CODES.contains(&fault.code()), "{fault}");
                    }
                }
                Ok(_) => {}
                Err(fault) => {
                    refused += 1;
                    assert!(Fault::CODES.contains(&fault.code()), "{fault}");
                }
            }
        }
        assert!(read > 20_000 && refused > 20_000, "{read} read, {refused} refused");
    }

    #[test]
    fn every_connect_is_cut_off_nowhere() {
        let will = of(5, 0xc6, &[&[0], &text("w1"), &[0], &text("t"), &text("x"), &text("u"), &text("p")]);
        assert!(connect(&will).is_ok());
        for whole in [CONNECT_V311, CONNECT_V5, &will] {
            for end in 2..whole.len() {
                let mut cut = Vec::new();
                write_packet(0x10, &[&whole[2..end]], &mut cut);
                assert!(attempt(&cut).is_err(), "{end}");
            }
            let mut longer = Vec::new();
            write_packet(0x10, &[&whole[2..], &[0]], &mut longer);
            assert_eq!(connect(&longer), Err("mqtt_malformed"));
        }
    }

    #[test]
    fn a_refusal_of_5_0_says_its_tracking_id_where_the_client_takes_it() {
        let bare = [0x20, 3, 0, 0x87, 0];
        let tracked = [&[0x20, 34, 0, 0x87, 31, 0x1f, 0, 28][..], b"tracking id 00ff00ff00ff00ff"].concat();
        for (packet_bytes_max, wanted) in [(0, &bare[..]), (35, &bare), (36, &tracked), (u32::MAX, &tracked)] {
            let mut output = vec![0xff];
            write_tracked_refusal(Reason::NotAuthorized, "00ff00ff00ff00ff", packet_bytes_max, &mut output);
            assert_eq!(output[1..], *wanted, "{packet_bytes_max}");
        }
    }

    #[test]
    fn answers_have_the_form_of_the_version_asked_for() {
        let refusal = |level, reason| {
            let mut output = Vec::new();
            write_refusal(level, reason, &mut output);
            output
        };
        assert_eq!(refusal(4, Reason::NotAuthorized), [0x20, 2, 0, 5]);
        assert_eq!(refusal(3, Reason::UnsupportedProtocolVersion), [0x20, 2, 0, 1]);
        assert_eq!(refusal(5, Reason::NotAuthorized), [0x20, 3, 0, 0x87, 0]);
        assert_eq!(refusal(6, Reason::UnsupportedProtocolVersion), [0x20, 3, 0, 0x84, 0]);
        assert_eq!(refusal(5, Reason::ServerUnavailable), [0x20, 3, 0, 0x88, 0]);
        let mut output = Vec::new();
        write_connack(Version::V311, true, Some(9), &Limits::default(), &mut output);
        assert_eq!(output, [0x20, 2, 1, 0]);
        output.clear();
        write_connack(Version::V5, false, Some(1_178), &Limits::default(), &mut output);
        let wanted: &[&[u8]] = &[
            &[0x20, 25, 0, 0, 22],
            &[0x21, 0, 32],
            &[0x24, 1],
            &[0x25, 0],
            &[0x27, 0, 4, 0, 0],
            &[0x22, 0, 8],
            &[0x29, 0],
            &[0x2a, 0],
            &[0x13, 0x04, 0x9a],
        ];
        assert_eq!(output, wanted.concat());
    }
}
