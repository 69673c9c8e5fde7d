//! What a device publishes: the topic's property bag taken apart. Wire contract §2.1.

use crate::error::Fault;
use crate::mqtt::Publish;

/// One message from a device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Telemetry {
    /// 0: QoS 0, nothing to acknowledge.
    pub packet_id: u16,
    /// Whether the device says that it sent this before (DUP).
    pub redelivered: bool,
    /// Properties with a meaning of their own, by the name that readers of the stream use.
    pub system_properties: Vec<Property>,
    /// The application's own.
    pub properties: Vec<Property>,
    /// The message.
    pub payload: Vec<u8>,
}

/// A name and, unless the bag held none, its value.
pub type Property = (String, Option<String>);

/// Names in the bag and in the stream.
const SYSTEM_PROPERTIES: &[(&str, &str)] = &[
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

/// Set by the hub alone: a device that sends them would speak for another.
const HUB_PROPERTIES: &[&str] = &["iothub-connection-device-id", "iothub-connection-module-id"];

/// Takes `publish` of `device_id` apart.
///
/// # Errors
/// `mqtt_topic_not_allowed` for any topic but the device's own `devices/{id}/messages/events/{bag}`.
pub(crate) fn parse_telemetry(publish: &Publish<'_>, device_id: &str) -> Result<Telemetry, Fault> {
    let not_allowed = || Fault::new("mqtt_topic_not_allowed", format!("publish to '{}'", publish.topic));
    let bag = own_events(publish.topic, device_id).ok_or_else(not_allowed)?;
    let mut telemetry = Telemetry {
        packet_id: publish.packet_id.unwrap_or(0),
        redelivered: publish.redelivered,
        system_properties: Vec::new(),
        properties: Vec::new(),
        payload: publish.payload.to_vec(),
    };
    for pair in bag.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        let decoded = |text| percent_decode(text).ok_or_else(not_allowed);
        let name = decoded(name)?;
        let value = value.map(decoded).transpose()?;
        match SYSTEM_PROPERTIES.iter().find(|(bag, _)| *bag == name) {
            Some((_, stream)) if HUB_PROPERTIES.contains(stream) => {}
            Some((_, stream)) => telemetry.system_properties.push(((*stream).to_owned(), value)),
            None => telemetry.properties.push((name, value)),
        }
    }
    if publish.retain {
        telemetry.properties.push(("mqtt-retain".to_owned(), Some("true".to_owned())));
    }
    Ok(telemetry)
}

/// The bag of `devices/{device_id}/messages/events/{bag}`, one trailing slash (which some SDKs add) taken off.
fn own_events<'a>(topic: &'a str, device_id: &str) -> Option<&'a str> {
    let bag = topic.strip_prefix("devices/")?.strip_prefix(device_id)?.strip_prefix("/messages/events")?;
    let bag = if bag.is_empty() { bag } else { bag.strip_prefix('/')? };
    let bag = bag.strip_suffix('/').unwrap_or(bag);
    (!bag.contains('/')).then_some(bag)
}

/// RFC 3986 §2.1; a plus sign is a plus sign. `None` for a broken escape or what is not UTF-8 afterwards.
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
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(topic: &str) -> Result<Telemetry, Fault> {
        let publish = Publish { topic, packet_id: Some(1), redelivered: false, retain: false, payload: b"x" };
        parse_telemetry(&publish, "w1")
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
    fn broken_escapes_are_refused() {
        for bag in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1", "a=%+1"] {
            assert!(parse(&format!("devices/w1/messages/events/{bag}")).is_err(), "{bag}");
        }
    }

    #[test]
    fn a_device_cannot_say_who_is_connected() {
        let telemetry = parse("devices/w1/messages/events/$.cdid=w2&$.cmid=m").unwrap();
        assert_eq!((telemetry.system_properties, telemetry.properties), (vec![], vec![]));
    }

    #[test]
    fn m07_a_topic_of_slashes_is_refused_without_recursion() {
        assert!(parse(&"/".repeat(65_400)).is_err());
    }
}
