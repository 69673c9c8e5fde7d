//! MQTT 3.1.1 packets as a device writes them and reads the answers: for programs that play devices. Sections of mqtt-v3.1.1-os.
//!
//! The same framing as a hub's, looked at from the other end; what is written here may be as wrong as its caller wants it.

use crate::error::Fault;
use crate::limits::Limits;
use crate::mqtt::{self, Frame, Version};

pub use crate::mqtt::{write_packet, write_string};

/// What a CONNECT says. No password and no will: stock SDKs with a certificate send neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "every caller writes all of it out")]
pub struct ConnectPacket<'a> {
    /// The client identifier.
    pub client_id: &'a str,
    /// The user name, if one is sent.
    pub user_name: Option<&'a str>,
    /// Whether earlier session state is to be dropped.
    pub clean_session: bool,
    /// Seconds between packets that the device promises.
    pub keep_alive_seconds: u16,
}

/// §3.12
pub const PINGREQ: [u8; 2] = [0xc0, 0];
/// §3.14
pub const DISCONNECT: [u8; 2] = [0xe0, 0];

/// Appends a CONNECT (§3.1).
pub fn write_connect(connect: &ConnectPacket<'_>, output: &mut Vec<u8>) {
    let flags = u8::from(connect.clean_session) << 1 | u8::from(connect.user_name.is_some()) << 7;
    let mut body = Vec::new();
    write_string("MQTT", &mut body);
    body.extend([4, flags]);
    body.extend(connect.keep_alive_seconds.to_be_bytes());
    write_string(connect.client_id, &mut body);
    if let Some(user_name) = connect.user_name {
        write_string(user_name, &mut body);
    }
    write_packet(mqtt::CONNECT << 4, &[&body], output);
}

/// Appends a PUBLISH (§3.3); without a packet identifier it is one of QoS 0, otherwise of QoS 1.
pub fn write_publish(topic: &str, packet_id: Option<u16>, payload: &[u8], output: &mut Vec<u8>) {
    let mut head = Vec::with_capacity(topic.len().saturating_add(4));
    write_string(topic, &mut head);
    if let Some(packet_id) = packet_id {
        head.extend(packet_id.to_be_bytes());
    }
    let flags = u8::from(packet_id.is_some()) << 1;
    write_packet(mqtt::PUBLISH << 4 | flags, &[&head, payload], output);
}

/// What a hub says to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what is not named is `Other`")]
pub enum Answer {
    /// §3.2: the return code; 0 is yes. Version 5 has reason codes in its place.
    Connack(u8),
    /// §3.4: the message with this identifier is the hub's.
    Puback(u16),
    /// §3.13
    Pingresp,
    /// Any other packet, by its type.
    Other(u8),
}

/// The packet at the head of `bytes`, and how many of them it takes; `None` when more are needed.
///
/// # Errors
/// `mqtt_bad_length`, `mqtt_malformed`; `mqtt_packet_too_large` above `max` bytes.
pub fn read_answer(bytes: &[u8], max: usize) -> Result<Option<(Answer, usize)>, Fault> {
    let Some(frame) = Frame::read(bytes, max)? else { return Ok(None) };
    let answer = match (frame.kind, frame.body) {
        (mqtt::CONNACK, [_, code, ..]) => Answer::Connack(*code),
        (mqtt::CONNACK, _) => return Err(Fault::new("mqtt_malformed", "a CONNACK without a return code")),
        (mqtt::PUBACK, _) => Answer::Puback(
            mqtt::parse_puback(&frame, Version::V311, &Limits::default()).map(|(packet_id, _)| packet_id)?,
        ),
        (mqtt::PINGRESP, _) => Answer::Pingresp,
        (kind, _) => Answer::Other(kind),
    };
    Ok(Some((answer, frame.length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::{ConnectAttempt, Reason, parse_connect, parse_publish};

    fn frame(bytes: &[u8]) -> Frame<'_> {
        let frame = Frame::read(bytes, 1 << 20).unwrap().unwrap();
        assert_eq!(frame.length, bytes.len());
        frame
    }

    #[test]
    fn a_hub_reads_what_a_device_writes() {
        let mut bytes = Vec::new();
        let asked =
            ConnectPacket { client_id: "w1", user_name: Some("h/w1/"), clean_session: false, keep_alive_seconds: 60 };
        write_connect(&asked, &mut bytes);
        let Ok(ConnectAttempt::Connect(connect)) = parse_connect(&frame(&bytes), &Limits::default()) else {
            panic!("no CONNECT")
        };
        assert_eq!((connect.client_id.as_str(), connect.user_name.as_deref()), ("w1", Some("h/w1/")));
        assert_eq!((connect.keep_alive_seconds, connect.clean_start), (60, false));
        for size in [0, 1, 127, 128, 16_383, 16_384, 200_000] {
            bytes.clear();
            write_publish("devices/w1/messages/events/", Some(7), &vec![b'x'; size], &mut bytes);
            let frame = frame(&bytes);
            let publish = parse_publish(&frame, Version::V311, &Limits::default()).unwrap();
            assert_eq!((publish.packet_id, publish.payload.len()), (Some(7), size));
        }
        bytes.clear();
        write_publish("t", None, b"", &mut bytes);
        assert_eq!(parse_publish(&frame(&bytes), Version::V311, &Limits::default()).unwrap().packet_id, None);
    }

    #[test]
    fn a_device_reads_what_a_hub_writes() {
        let (mut accepted, mut refused, mut acknowledged) = (Vec::new(), Vec::new(), Vec::new());
        mqtt::write_connack(Version::V311, false, None, &Limits::default(), &mut accepted);
        mqtt::write_refusal(5, Reason::NotAuthorized, &mut refused);
        mqtt::write_puback(258, &mut acknowledged);
        let cases: [(&[u8], Answer); 5] = [
            (&accepted, Answer::Connack(0)),
            (&refused, Answer::Connack(0x87)),
            (&acknowledged, Answer::Puback(258)),
            (&[0xd0, 0], Answer::Pingresp),
            (&[0x90, 3, 0, 1, 0], Answer::Other(9)),
        ];
        for (bytes, answer) in cases {
            for end in 0..bytes.len() {
                assert_eq!(read_answer(&bytes[..end], 100), Ok(None));
            }
            assert_eq!(read_answer(bytes, 100), Ok(Some((answer, bytes.len()))));
        }
    }

    #[test]
    fn a_hub_that_answers_nonsense_is_an_error() {
        assert_eq!(read_answer(&[0x20, 1, 0], 100).unwrap_err().code(), "mqtt_malformed");
        assert_eq!(read_answer(&[0x40, 2, 0, 0], 100).unwrap_err().code(), "mqtt_malformed");
        assert_eq!(read_answer(&[0x30, 0x7f], 100).unwrap_err().code(), "mqtt_packet_too_large");
    }
}
