//! What a device publishes: the topic's property bag and, in 5.0, the packet's properties taken apart. Wire contract §2.1.
//!
//! Readers of the stream see one vocabulary, whichever version and whichever of the two ways a device has used:
//!
//! ```text
//! 5.0                        in the stream
//! user property              as the pair `name=value` of a bag: a system property by its bag name, else the application's own
//! content type               content-type
//! correlation data           correlation-id if it is UTF-8, else correlation-data-hex
//! response topic             reply-to
//! message expiry interval    absolute-expiry-time (from the moment of arrival)
//! payload format indicator   content-encoding utf-8, unless the device names another
//! ```

use std::fmt::Write as _;

use crate::error::Fault;
use crate::limits::Limits;
use crate::mqtt::{Properties, Publish, Version, Will};

/// One message from a device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Telemetry {
    /// 0: `QoS` 0, nothing to acknowledge.
    pub packet_id: u16,
    /// Whether the device says that it sent this before (DUP).
    pub redelivered: bool,
    /// Properties with a meaning of their own, by the name that readers of the stream use.
    pub system_properties: Vec<Property>,
    /// The application's own.
    pub properties: Vec<Property>,
    /// For how long it is good, from its arrival on.
    pub expires_in_seconds: Option<u32>,
    /// The message.
    pub payload: Vec<u8>,
}

/// A name and, unless the bag held none, its value.
pub type Property = (String, Option<String>);

/// Names in the bag and in the stream, both ways.
pub(crate) const SYSTEM_PROPERTIES: &[(&str, &str)] = &[
    ("$.mid", "message-id"),
    ("$.cid", "correlation-id"),
    ("$.uid", "user-id"),
    ("$.to", "to"),
    ("$.ct", "content-type"),
    ("$.ce", "content-encoding"),
    ("$.exp", "absolute-expiry-time"),
    ("$.on", "iothub-output-name"),
    ("$.sub", "dt-subject"),
    ("$.ifid", "iothub-interface-id"),
    ("$.schema", "iothub-message-schema"),
    ("$.ctime", "iothub-creation-time-utc"),
    ("$.cdid", "iothub-connection-device-id"),
    ("$.cmid", "iothub-connection-module-id"),
    ("$.diagid", "iothub-diagnostics-id"),
    ("$.diagctx", "iothub-diagnostics-context"),
    ("iothub-ack", "iothub-ack"),
    ("iothub-operation", "iothub-operation"),
];

/// Set by the hub alone: a device that sends them would speak for another, or for the hub.
const HUB_PROPERTIES: &[&str] =
    &["iothub-connection-device-id", "iothub-connection-module-id", RETAIN_PROPERTY, TYPE_PROPERTY];
/// Wire contract §1.4.
const RETAIN_PROPERTY: &str = "mqtt-retain";
const TYPE_PROPERTY: &str = "iothub-MessageType";

/// The bag of `topic`, which must be `devices/{device_id}/messages/events/{bag}`.
///
/// # Errors
/// `mqtt_topic_not_allowed` for any other topic, and for one that is too long.
pub(crate) fn own_events<'a>(topic: &'a str, device_id: &str, limits: &Limits) -> Result<&'a str, Fault> {
    if topic.len() > limits.topic_bytes_max {
        let detail = format!("a topic of {} bytes, {} are allowed", topic.len(), limits.topic_bytes_max);
        return Err(Fault::new("mqtt_topic_not_allowed", detail));
    }
    let rest = topic.strip_prefix("devices/").and_then(|rest| rest.strip_prefix(device_id));
    let bag = rest.and_then(|rest| rest.strip_prefix("/messages/events"));
    let bag = bag.and_then(|bag| if bag.is_empty() { Some(bag) } else { bag.strip_prefix('/') });
    // Some SDKs end it with a slash.
    let bag = bag.map(|bag| bag.strip_suffix('/').unwrap_or(bag)).filter(|bag| !bag.contains('/'));
    bag.ok_or_else(|| not_allowed(topic))
}

fn not_allowed(topic: &str) -> Fault {
    Fault::new("mqtt_topic_not_allowed", format!("publish to '{topic}'"))
}

/// Takes `publish` apart, whose topic holds `bag`.
///
/// # Errors
/// `mqtt_topic_not_allowed` for a bag that is none, `mqtt_quota_exceeded`, `mqtt_payload_format_invalid`.
pub(crate) fn parse_telemetry(publish: &Publish<'_>, bag: &str, limits: &Limits) -> Result<Telemetry, Fault> {
    let mut telemetry = read_message(bag, &publish.properties, publish.payload, publish.retain, limits)?;
    telemetry.packet_id = publish.packet_id.unwrap_or(0);
    telemetry.redelivered = publish.redelivered;
    Ok(telemetry)
}

impl Will {
    /// The message that is to be published for `device_id`.
    ///
    /// # Errors
    /// What this hub does not publish for a device, by the code of the same fault in a PUBLISH: another's topic, `QoS` 2, in 5.0
    /// RETAIN, a bag or a payload that is not what it claims to be.
    pub fn telemetry(&self, device_id: &str, limits: &Limits) -> Result<Telemetry, Fault> {
        if self.qos > 1 {
            return Err(Fault::new("mqtt_qos_unsupported", "a will of QoS 2")); // §3.2.2.3.4
        }
        if self.retain && self.version == Version::V5 {
            return Err(Fault::new("mqtt_retain_unsupported", "a will with RETAIN")); // §3.2.2.3.5
        }
        let bag = own_events(&self.topic, device_id, limits)?;
        let properties = Properties {
            payload_is_utf8: self.payload_is_utf8,
            message_expiry_seconds: self.message_expiry_seconds,
            content_type: self.content_type.as_deref(),
            response_topic: self.response_topic.as_deref(),
            correlation_data: self.correlation_data.as_deref(),
            user: self.user.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            ..Properties::default()
        };
        let mut telemetry = read_message(bag, &properties, &self.payload, self.retain, limits)?;
        telemetry.properties.push((TYPE_PROPERTY.to_owned(), Some("Will".to_owned())));
        Ok(telemetry)
    }
}

fn read_message(
    bag: &str,
    properties: &Properties<'_>,
    payload: &[u8],
    retain: bool,
    limits: &Limits,
) -> Result<Telemetry, Fault> {
    let mut telemetry = Telemetry::new(payload.to_vec());
    telemetry.expires_in_seconds = properties.message_expiry_seconds;
    for (index, pair) in bag.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if index >= limits.properties_count_max {
            let detail = format!("more than {} pairs in the bag of a topic", limits.properties_count_max);
            return Err(Fault::new("mqtt_quota_exceeded", detail));
        }
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        let decoded = |text| percent_decode(text).ok_or_else(|| not_allowed(bag));
        telemetry.add(decoded(name)?, value.map(decoded).transpose()?);
    }
    for (name, value) in &properties.user {
        telemetry.add((*name).to_owned(), Some((*value).to_owned()));
    }
    telemetry.add_native(properties)?;
    if retain {
        telemetry.properties.push((RETAIN_PROPERTY.to_owned(), Some("true".to_owned())));
    }
    Ok(telemetry)
}

impl Telemetry {
    /// A message without any properties.
    pub fn new(payload: Vec<u8>) -> Self {
        Self {
            packet_id: 0,
            redelivered: false,
            system_properties: Vec::new(),
            properties: Vec::new(),
            expires_in_seconds: None,
            payload,
        }
    }

    /// The memory that it takes until it is stored, about.
    pub fn bytes(&self) -> usize {
        let pairs = self.system_properties.iter().chain(&self.properties);
        let lengths = pairs.map(|(name, value)| name.len().saturating_add(value.as_ref().map_or(0, String::len)));
        lengths.fold(size_of::<Self>().saturating_add(self.payload.len()), usize::saturating_add)
    }

    /// A pair of a bag, or a user property.
    fn add(&mut self, name: String, value: Option<String>) {
        match SYSTEM_PROPERTIES.iter().find(|(bag, _)| *bag == name) {
            Some((_, stream)) if HUB_PROPERTIES.contains(stream) => {}
            Some((_, stream)) => self.system_properties.push(((*stream).to_owned(), value)),
            None if HUB_PROPERTIES.contains(&name.as_str()) => {}
            None => self.properties.push((name, value)),
        }
    }

    /// What 5.0 has properties of its own for.
    fn add_native(&mut self, properties: &Properties<'_>) -> Result<(), Fault> {
        let system = &mut self.system_properties;
        let mut add = |name: &str, value: String| system.push((name.to_owned(), Some(value)));
        if let Some(content_type) = properties.content_type {
            add("content-type", content_type.to_owned());
        }
        if let Some(topic) = properties.response_topic {
            add("reply-to", topic.to_owned());
        }
        match properties.correlation_data.map(|data| (data, std::str::from_utf8(data))) {
            Some((_, Ok(text))) => add("correlation-id", text.to_owned()),
            Some((data, Err(_))) => add("correlation-data-hex", hex(data)),
            None => {}
        }
        if properties.payload_is_utf8 {
            // §3.3.2.3.2: readers of the stream will take the device's word for it.
            if std::str::from_utf8(&self.payload).is_err() {
                return Err(Fault::new(
                    "mqtt_payload_format_invalid",
                    "a payload that is not the UTF-8 it claims to be",
                ));
            }
            if !self.system_properties.iter().any(|(name, _)| name == "content-encoding") {
                self.system_properties.push(("content-encoding".to_owned(), Some("utf-8".to_owned())));
            }
        }
        Ok(())
    }
}

fn hex(data: &[u8]) -> String {
    data.iter().fold(String::with_capacity(data.len().saturating_mul(2)), |mut text, octet| {
        let _always_fits = write!(text, "{octet:02x}");
        text
    })
}

/// RFC 3986 §2.1; a plus sign is a plus sign. `None` for a broken escape, and for what no string of MQTT may hold: bytes that are
/// not UTF-8, U+0000 (§1.5.4). Other control characters stay, for a value may have lines.
fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            decoded.push(octet);
            continue;
        }
        let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (high, low) = (digit(octets.next()?)?, digit(octets.next()?)?);
        decoded.push((high << 4) | low);
    }
    String::from_utf8(decoded).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(properties: Properties<'_>) -> Publish<'_> {
        Publish { topic: "", packet_id: Some(1), redelivered: false, retain: false, properties, payload: b"x" }
    }

    fn parse(topic: &str) -> Result<Telemetry, Fault> {
        let limits = Limits::default();
        let bag = own_events(topic, "w1", &limits)?;
        parse_telemetry(&publish(Properties::default()), bag, &limits)
    }

    fn property(name: &str, value: Option<&str>) -> Property {
        (name.to_owned(), value.map(str::to_owned))
    }

    #[test]
    fn takes_the_bag_apart() {
        let telemetry =
            parse("devices/w1/messages/events/%24.mid=7&$.ct=application%2Fjson&a=1%202&b=&c&d+e=f+g/").unwrap();
        assert_eq!(
            telemetry.system_properties,
            [property("message-id", Some("7")), property("content-type", Some("application/json"))]
        );
        let wanted =
            [property("a", Some("1 2")), property("b", Some("")), property("c", None), property("d+e", Some("f+g"))];
        assert_eq!(telemetry.properties, wanted);
    }

    #[test]
    fn properties_of_5_0_say_the_same_as_a_bag() {
        let properties = Properties {
            payload_is_utf8: true,
            message_expiry_seconds: Some(60),
            content_type: Some("application/json"),
            response_topic: Some("answers"),
            correlation_data: Some(b"c-1"),
            user: vec![("$.mid", "7"), ("a", "1"), ("a", "2")],
            ..Properties::default()
        };
        let telemetry = parse_telemetry(&publish(properties), "b=3", &Limits::default()).unwrap();
        let wanted = [
            ("message-id", "7"),
            ("content-type", "application/json"),
            ("reply-to", "answers"),
            ("correlation-id", "c-1"),
            ("content-encoding", "utf-8"),
        ];
        assert_eq!(telemetry.system_properties, wanted.map(|(name, value)| property(name, Some(value))));
        assert_eq!(telemetry.properties, [("b", "3"), ("a", "1"), ("a", "2")].map(|(n, v)| property(n, Some(v))));
        assert_eq!(telemetry.expires_in_seconds, Some(60));
        let binary = Properties { correlation_data: Some(&[0xff, 0x0a]), ..Properties::default() };
        let telemetry = parse_telemetry(&publish(binary), "", &Limits::default()).unwrap();
        assert_eq!(telemetry.system_properties, [property("correlation-data-hex", Some("ff0a"))]);
    }

    #[test]
    fn a_payload_that_is_said_to_be_utf_8_is_or_is_refused() {
        let properties = Properties { payload_is_utf8: true, ..Properties::default() };
        let mut publish = publish(properties);
        let named = parse_telemetry(&publish, "$.ce=utf-16", &Limits::default()).unwrap();
        assert_eq!(named.system_properties, [property("content-encoding", Some("utf-16"))]);
        publish.payload = &[0xff];
        let fault = parse_telemetry(&publish, "", &Limits::default()).unwrap_err();
        assert_eq!(fault.code(), "mqtt_payload_format_invalid");
    }

    #[test]
    fn an_empty_bag_is_fine() {
        for topic in ["devices/w1/messages/events/", "devices/w1/messages/events"] {
            assert_eq!(parse(topic).unwrap().properties, []);
        }
    }

    #[test]
    fn m04_other_topics_are_refused() {
        for topic in [
            "devices/w2/messages/events/",
            "devices/w1x/messages/events/",
            "devices/w1/messages/eventsx",
            "devices/w1/messages/events/a/b",
            "devices/w1/messages/devicebound/",
            "devices/w1/modules/m/messages/events/",
            "$SYS/broker",
            "$iothub/twin/GET/?$rid=1",
            "/devices/w1/messages/events/",
            "w1",
        ] {
            assert_eq!(parse(topic).unwrap_err().code(), "mqtt_topic_not_allowed", "{topic}");
        }
    }

    #[test]
    fn m08_broken_escapes_and_what_no_string_may_hold_are_refused() {
        for bag in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1", "a=%+1", "a=%00", "%00=1", "a=x%00y", "a=%ed%a0%80"] {
            let fault = parse(&format!("devices/w1/messages/events/{bag}")).unwrap_err();
            assert_eq!(fault.code(), "mqtt_topic_not_allowed", "{bag}");
        }
        let lines = parse("devices/w1/messages/events/a=x%0ay").unwrap();
        assert_eq!(lines.properties, [("a".to_owned(), Some("x\ny".to_owned()))]);
    }

    #[test]
    fn a_device_cannot_say_who_is_connected_nor_what_the_hub_says_of_a_message() {
        let bag = "$.cdid=w2&$.cmid=m&iothub-MessageType=Will&mqtt-retain=true";
        let telemetry = parse(&format!("devices/w1/messages/events/{bag}")).unwrap();
        assert_eq!((telemetry.system_properties, telemetry.properties), (vec![], vec![]));
    }

    #[test]
    fn m07_a_topic_of_slashes_or_without_end_is_refused_without_recursion() {
        assert!(parse(&"/".repeat(65_400)).is_err());
        let long = format!("devices/w1/messages/events/a={}", "x".repeat(65_500));
        assert_eq!(parse(&long).unwrap_err().code(), "mqtt_topic_not_allowed");
        let many = format!("devices/w1/messages/events/{}", "a&".repeat(129));
        assert_eq!(parse(&many).unwrap_err().code(), "mqtt_quota_exceeded");
        assert_eq!(parse(&many[..many.len() - 2]).unwrap().properties.len(), 128);
    }

    fn will(version: Version) -> Will {
        Will {
            topic: "devices/w1/messages/events/a=b".to_owned(),
            qos: 1,
            retain: false,
            payload: b"gone".to_vec(),
            delay_seconds: 0,
            payload_is_utf8: false,
            message_expiry_seconds: None,
            content_type: Some("text/plain".to_owned()),
            response_topic: None,
            correlation_data: None,
            user: Vec::new(),
            version,
        }
    }

    #[test]
    fn m06_a_will_is_telemetry_that_says_what_it_is() {
        let telemetry = will(Version::V5).telemetry("w1", &Limits::default()).unwrap();
        assert_eq!(telemetry.system_properties, [property("content-type", Some("text/plain"))]);
        assert_eq!(telemetry.properties, [property("a", Some("b")), property("iothub-MessageType", Some("Will"))]);
        assert_eq!((telemetry.packet_id, telemetry.payload.as_slice()), (0, &b"gone"[..]));
        let retained = Will { retain: true, ..will(Version::V311) };
        let telemetry = retained.telemetry("w1", &Limits::default()).unwrap();
        assert!(telemetry.properties.contains(&property("mqtt-retain", Some("true"))));
    }

    #[test]
    fn m06_a_will_that_could_not_be_published_is_refused_as_its_publish_would_be() {
        let code = |will: Will| will.telemetry("w1", &Limits::default()).unwrap_err().code();
        assert_eq!(code(Will { qos: 2, ..will(Version::V5) }), "mqtt_qos_unsupported");
        assert_eq!(code(Will { retain: true, ..will(Version::V5) }), "mqtt_retain_unsupported");
        for topic in ["devices/w2/messages/events/", "$SYS/w1", "devices/w1/messages/devicebound/"] {
            assert_eq!(code(Will { topic: topic.to_owned(), ..will(Version::V311) }), "mqtt_topic_not_allowed");
        }
        let binary = Will { payload_is_utf8: true, payload: vec![0xff], ..will(Version::V5) };
        assert_eq!(code(binary), "mqtt_payload_format_invalid");
    }
}
