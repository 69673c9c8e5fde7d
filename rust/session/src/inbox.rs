//! What the hub sends to a device, in the form that its version wants. Wire contract §2.2; the way back of `telemetry.rs`.
//!
//! A device of 3.1.1 finds all properties in the bag of the topic. One of 5.0 finds there only those that its packet has no property
//! for; content type, correlation data, response topic and expiry are the packet's own, the application's are user properties.

use holdfast_x509::UnixSeconds;

use crate::mqtt::{Version, Writer};
use crate::telemetry::{Property, SYSTEM_PROPERTIES};

/// A message for a device, as it is kept for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "whoever keeps messages writes all of it out")]
pub struct Message {
    /// What whoever keeps it calls it.
    pub id: u64,
    /// Its packet identifier, the same in every delivery (3.1.1 §4.4, 5.0 §4.4); never 0.
    pub packet_id: u16,
    /// Whether it was sent before.
    pub redelivered: bool,
    /// From when on it is not to be delivered.
    pub expires_at: Option<UnixSeconds>,
    /// Properties with a meaning of their own, by their names in the stream.
    pub system_properties: Vec<Property>,
    /// The application's own.
    pub properties: Vec<Property>,
    /// The message.
    pub payload: Vec<u8>,
}

/// What became of a message that was given to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth way")]
pub enum Delivery {
    /// It is on its way; the device will acknowledge it.
    Sent,
    /// It is on its way, and nothing more will be heard of it (`QoS` 0).
    SentOnce,
    /// It is larger than the device takes: it counts as delivered (5.0 §3.1.2.11.4).
    TooLarge,
    /// There is nobody to send it to.
    NotOpen,
}

/// The one topic filter under which a device hears its inbox.
pub(crate) fn is_inbox(filter: &str, device_id: &str) -> bool {
    let rest = filter.strip_prefix("devices/").and_then(|rest| rest.strip_prefix(device_id));
    rest == Some("/messages/devicebound/#")
}

/// Those with a place in a packet of 5.0.
const NATIVE: [&str; 4] = ["content-type", "correlation-id", "reply-to", "absolute-expiry-time"];

impl Message {
    /// The topic. Its bag is never empty: stock SDKs stumble over one that is.
    pub(crate) fn topic(&self, device_id: &str, version: Version) -> String {
        let mut topic = format!("devices/{device_id}/messages/devicebound/");
        let to = format!("/devices/{device_id}/messages/deviceBound");
        push_pair("$.to", Some(&to), &mut topic);
        for (name, value) in &self.system_properties {
            let key = SYSTEM_PROPERTIES.iter().find(|(_, stream)| stream == name);
            let native = version == Version::V5 && NATIVE.contains(&name.as_str());
            if let (Some((key, _)), false) = (key, native || name == "to") {
                topic.push('&');
                push_pair(key, value.as_deref(), &mut topic);
            }
        }
        for (name, value) in self.properties.iter().filter(|_| version == Version::V311) {
            topic.push('&');
            push_pair(name, value.as_deref(), &mut topic);
        }
        topic
    }

    /// 5.0: the packet's properties behind their length. 3.1.1: nothing.
    pub(crate) fn packet_properties(&self, version: Version, at: UnixSeconds) -> Vec<u8> {
        if version == Version::V311 {
            return Vec::new();
        }
        let mut writer = Writer::default();
        if let Some(ends) = self.expires_at {
            writer.message_expiry(u32::try_from(ends.0.saturating_sub(at.0).max(0)).unwrap_or(u32::MAX));
        }
        for (name, value) in &self.system_properties {
            match (name.as_str(), value) {
                ("content-type", Some(value)) => writer.content_type(value),
                ("correlation-id", Some(value)) => writer.correlation_data(value.as_bytes()),
                ("reply-to", Some(value)) => writer.response_topic(value),
                _ => {}
            }
        }
        for (name, value) in &self.properties {
            writer.user(name, value.as_deref().unwrap_or_default());
        }
        writer.finish()
    }
}

/// Appends a pair of a bag; without a value there is no `=` either.
fn push_pair(name: &str, value: Option<&str>, bag: &mut String) {
    percent_encode(name, bag);
    if let Some(value) = value {
        bag.push('=');
        percent_encode(value, bag);
    }
}

/// RFC 3986 §2.3: everything but the unreserved characters is escaped.
fn percent_encode(text: &str, output: &mut String) {
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            output.push(char::from(octet));
        } else {
            output.push('%');
            for digit in [octet >> 4, octet & 0x0f] {
                output.extend(char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(name: &str, value: Option<&str>) -> Property {
        (name.to_owned(), value.map(str::to_owned))
    }

    fn message() -> Message {
        Message {
            id: 9,
            packet_id: 1,
            redelivered: false,
            expires_at: Some(UnixSeconds(100)),
            system_properties: vec![
                property("message-id", Some("m-1")),
                property("content-type", Some("application/json")),
                property("absolute-expiry-time", Some("2030-01-02T03:04:05.0000000Z")),
            ],
            properties: vec![property("text", Some("a b+c/é")), property("empty", Some("")), property("null", None)],
            payload: b"hello".to_vec(),
        }
    }

    #[test]
    fn a_device_of_3_1_1_finds_everything_in_the_bag() {
        assert_eq!(
            message().topic("w:1", Version::V311),
            "devices/w:1/messages/devicebound/%24.to=%2Fdevices%2Fw%3A1%2Fmessages%2FdeviceBound&%24.mid=m-1\
             &%24.ct=application%2Fjson&%24.exp=2030-01-02T03%3A04%3A05.0000000Z&text=a%20b%2Bc%2F%C3%A9&empty=&null"
        );
        assert_eq!(message().packet_properties(Version::V311, UnixSeconds(40)), []);
    }

    #[test]
    fn a_device_of_5_0_finds_in_the_bag_what_the_packet_has_no_property_for() {
        assert_eq!(
            message().topic("w1", Version::V5),
            "devices/w1/messages/devicebound/%24.to=%2Fdevices%2Fw1%2Fmessages%2FdeviceBound&%24.mid=m-1"
        );
        let text = |text: &str| [&[0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let pair = |name: &str, value: &str| [&[0x26][..], &text(name), &text(value)].concat();
        let wanted = [
            vec![0x02, 0, 0, 0, 60],
            [&[0x03][..], &text("application/json")].concat(),
            pair("text", "a b+c/é"),
            pair("empty", ""),
            pair("null", ""),
        ]
        .concat();
        let properties = message().packet_properties(Version::V5, UnixSeconds(40));
        assert_eq!(properties[0], u8::try_from(wanted.len()).unwrap());
        assert_eq!(properties[1..], wanted);
        assert_eq!(message().packet_properties(Version::V5, UnixSeconds(200))[1..6], [0x02, 0, 0, 0, 0]);
    }

    #[test]
    fn a_message_without_anything_still_has_a_bag() {
        let bare = Message { system_properties: vec![], properties: vec![], expires_at: None, ..message() };
        assert!(
            bare.topic("w1", Version::V311).ends_with("devicebound/%24.to=%2Fdevices%2Fw1%2Fmessages%2FdeviceBound")
        );
        assert_eq!(bare.packet_properties(Version::V5, UnixSeconds(0)), [0]);
    }

    #[test]
    fn m04_only_the_own_inbox_is_one() {
        assert!(is_inbox("devices/w1/messages/devicebound/#", "w1"));
        for filter in ["devices/w2/messages/devicebound/#", "#", "devices/w1/messages/devicebound/", "devices/w1/#"] {
            assert!(!is_inbox(filter, "w1"), "{filter}");
        }
    }
}
