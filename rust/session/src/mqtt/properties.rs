//! Properties (mqtt-v5.0-os §2.2.2): which may stand where, each at most once, each within its range. 3.1.1 has none.

use super::frame::{Body, malformed, protocol_error, write_binary, write_string, write_variable};
use crate::error::Fault;

/// Table 2-4.
const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
const SERVER_KEEP_ALIVE: u8 = 0x13;
const AUTHENTICATION_METHOD: u8 = 0x15;
const AUTHENTICATION_DATA: u8 = 0x16;
const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
const WILL_DELAY_INTERVAL: u8 = 0x18;
const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
const REASON_STRING: u8 = 0x1f;
const RECEIVE_MAXIMUM: u8 = 0x21;
const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
const TOPIC_ALIAS: u8 = 0x23;
const MAXIMUM_QOS: u8 = 0x24;
const RETAIN_AVAILABLE: u8 = 0x25;
const USER_PROPERTY: u8 = 0x26;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;
const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2a;

/// Where properties stand that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Connect,
    Will,
    Publish,
    Puback,
    Subscribe,
    Unsubscribe,
    Disconnect,
}

/// Table 2-4, as far as it is about what clients send.
fn belongs(identifier: u8, place: Place) -> bool {
    use Place::{Connect, Disconnect, Puback, Publish, Subscribe, Will};
    match identifier {
        PAYLOAD_FORMAT_INDICATOR | MESSAGE_EXPIRY_INTERVAL | CONTENT_TYPE | RESPONSE_TOPIC | CORRELATION_DATA => {
            matches!(place, Publish | Will)
        }
        SUBSCRIPTION_IDENTIFIER => matches!(place, Publish | Subscribe),
        SESSION_EXPIRY_INTERVAL => matches!(place, Connect | Disconnect),
        AUTHENTICATION_METHOD
        | AUTHENTICATION_DATA
        | REQUEST_PROBLEM_INFORMATION
        | REQUEST_RESPONSE_INFORMATION
        | RECEIVE_MAXIMUM
        | TOPIC_ALIAS_MAXIMUM
        | MAXIMUM_PACKET_SIZE => place == Connect,
        WILL_DELAY_INTERVAL => place == Will,
        REASON_STRING => matches!(place, Puback | Disconnect),
        TOPIC_ALIAS => place == Publish,
        USER_PROPERTY => true,
        _ => false,
    }
}

/// What was read. What is not kept here is of no consequence to this hub: it answers no request for response information, and
/// sends no problem information that could be asked away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties<'a> {
    pub(crate) payload_is_utf8: bool,
    pub(crate) message_expiry_seconds: Option<u32>,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) response_topic: Option<&'a str>,
    pub(crate) correlation_data: Option<&'a [u8]>,
    pub(crate) session_expiry_seconds: Option<u32>,
    pub(crate) will_delay_seconds: u32,
    pub(crate) receive_maximum: Option<u16>,
    pub(crate) topic_alias: Option<u16>,
    pub(crate) maximum_packet_size: Option<u32>,
    /// User properties, in their order; a name may come again.
    pub(crate) user: Vec<(&'a str, &'a str)>,
    /// One bit for each identifier that was there.
    pub(crate) seen: u64,
}

impl<'a> Properties<'a> {
    /// Reads the properties at the head of `body`, at most `count_max` of them.
    pub(crate) fn read(body: &mut Body<'a>, place: Place, count_max: usize) -> Result<Self, Fault> {
        let mut part = body.part()?;
        let mut properties = Self::default();
        let mut count = 0usize;
        while !part.is_empty() {
            count = count.saturating_add(1);
            if count > count_max {
                return Err(Fault::new("mqtt_quota_exceeded", format!("more than {count_max} properties")));
            }
            // A variable byte integer, of which one octet is enough for all that there are.
            let identifier = u8::try_from(part.variable()?).unwrap_or(u8::MAX);
            if !belongs(identifier, place) {
                return Err(malformed(&format!("property {identifier:#04x} where it has no place"))); // §2.2.2.2
            }
            if identifier != USER_PROPERTY && properties.has(identifier) {
                return Err(protocol_error(&format!("property {identifier:#04x} twice")));
            }
            properties.seen |= bit(identifier);
            properties.read_one(identifier, &mut part)?;
        }
        // §3.1.2.11.10
        if properties.has(AUTHENTICATION_DATA) && !properties.has_authentication_method() {
            return Err(protocol_error("authentication data without a method"));
        }
        // §3.3.2.3.5, §3.1.3.2.6
        if properties.response_topic.is_some_and(|topic| topic.is_empty() || topic.contains(['#', '+'])) {
            return Err(protocol_error("a response topic that is empty or holds a wildcard"));
        }
        Ok(properties)
    }

    pub(crate) fn has_authentication_method(&self) -> bool {
        self.has(AUTHENTICATION_METHOD)
    }

    pub(crate) fn has_subscription_identifier(&self) -> bool {
        self.has(SUBSCRIPTION_IDENTIFIER)
    }

    fn has(&self, identifier: u8) -> bool {
        self.seen & bit(identifier) != 0
    }

    /// One value of the type, and in the range, that its identifier wants.
    fn read_one(&mut self, identifier: u8, part: &mut Body<'a>) -> Result<(), Fault> {
        match identifier {
            PAYLOAD_FORMAT_INDICATOR => self.payload_is_utf8 = flag(part)?,
            MESSAGE_EXPIRY_INTERVAL => self.message_expiry_seconds = Some(part.u32()?),
            CONTENT_TYPE => self.content_type = Some(part.string()?),
            RESPONSE_TOPIC => self.response_topic = Some(part.string()?),
            CORRELATION_DATA => self.correlation_data = Some(part.binary()?),
            SUBSCRIPTION_IDENTIFIER => not_zero(part.variable()?).map(|_| ())?, // §3.8.2.1.2
            SESSION_EXPIRY_INTERVAL => self.session_expiry_seconds = Some(part.u32()?),
            AUTHENTICATION_DATA => part.binary().map(|_| ())?,
            REQUEST_PROBLEM_INFORMATION | REQUEST_RESPONSE_INFORMATION => flag(part).map(|_| ())?,
            WILL_DELAY_INTERVAL => self.will_delay_seconds = part.u32()?,
            AUTHENTICATION_METHOD | REASON_STRING => part.string().map(|_| ())?,
            // §3.1.2.11.3, §3.1.2.11.4
            RECEIVE_MAXIMUM => self.receive_maximum = Some(not_zero(part.u16()?)?),
            MAXIMUM_PACKET_SIZE => self.maximum_packet_size = Some(not_zero(part.u32()?)?),
            TOPIC_ALIAS_MAXIMUM => part.u16().map(|_| ())?,
            TOPIC_ALIAS => self.topic_alias = Some(part.u16()?),
            USER_PROPERTY => self.user.push((part.string()?, part.string()?)),
            _ => return Err(malformed("an unknown property")),
        }
        Ok(())
    }
}

fn bit(identifier: u8) -> u64 {
    1u64.checked_shl(identifier.into()).unwrap_or(0)
}

/// An octet that is 0 or 1.
fn flag(part: &mut Body<'_>) -> Result<bool, Fault> {
    match part.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(protocol_error("a property that is neither 0 nor 1")),
    }
}

fn not_zero<T: Default + PartialEq>(value: T) -> Result<T, Fault> {
    if value == T::default() { Err(protocol_error("a maximum or an identifier of 0")) } else { Ok(value) }
}

/// Properties as they are written: without their length, which is known at the end.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, identifier: u8, value: u8) {
        self.0.extend([identifier, value]);
    }

    fn u16(&mut self, identifier: u8, value: u16) {
        self.0.push(identifier);
        self.0.extend(value.to_be_bytes());
    }

    fn u32(&mut self, identifier: u8, value: u32) {
        self.0.push(identifier);
        self.0.extend(value.to_be_bytes());
    }

    fn string(&mut self, identifier: u8, value: &str) {
        self.0.push(identifier);
        write_string(value, &mut self.0);
    }

    /// §3.2.2.3: what this hub grants, and what it has not. Absent, each would be taken for a yes, or for no limit.
    pub(crate) fn announce(
        &mut self,
        receive_maximum: u16,
        maximum_packet_size: u32,
        topic_alias_maximum: u16,
        server_keep_alive_seconds: Option<u16>,
    ) {
        self.u16(RECEIVE_MAXIMUM, receive_maximum);
        self.u8(MAXIMUM_QOS, 1);
        self.u8(RETAIN_AVAILABLE, 0);
        self.u32(MAXIMUM_PACKET_SIZE, maximum_packet_size);
        self.u16(TOPIC_ALIAS_MAXIMUM, topic_alias_maximum);
        self.u8(SUBSCRIPTION_IDENTIFIERS_AVAILABLE, 0);
        self.u8(SHARED_SUBSCRIPTION_AVAILABLE, 0);
        if let Some(seconds) = server_keep_alive_seconds {
            self.u16(SERVER_KEEP_ALIVE, seconds);
        }
    }

    pub(crate) fn reason_string(&mut self, reason: &str) {
        self.string(REASON_STRING, reason);
    }

    pub(crate) fn message_expiry(&mut self, seconds: u32) {
        self.u32(MESSAGE_EXPIRY_INTERVAL, seconds);
    }

    pub(crate) fn content_type(&mut self, content_type: &str) {
        self.string(CONTENT_TYPE, content_type);
    }

    pub(crate) fn response_topic(&mut self, topic: &str) {
        self.string(RESPONSE_TOPIC, topic);
    }

    pub(crate) fn correlation_data(&mut self, data: &[u8]) {
        self.0.push(CORRELATION_DATA);
        write_binary(data, &mut self.0);
    }

    pub(crate) fn user(&mut self, name: &str, value: &str) {
        self.string(USER_PROPERTY, name);
        write_string(value, &mut self.0);
    }

    /// The properties behind their length.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut properties = Vec::with_capacity(self.0.len().saturating_add(1));
        write_variable(self.0.len(), &mut properties);
        properties.extend(self.0);
        properties
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: [Place; 7] = [
        Place::Connect,
        Place::Will,
        Place::Publish,
        Place::Puback,
        Place::Subscribe,
        Place::Unsubscribe,
        Place::Disconnect,
    ];

    /// A good value of every property that there is, with the places where a client may send it.
    fn every() -> Vec<(Vec<u8>, Vec<Place>)> {
        use Place::{Connect, Disconnect, Puback, Publish, Subscribe, Will};
        vec![
            (vec![0x01, 1], vec![Publish, Will]),
            (vec![0x02, 0, 0, 0, 0], vec![Publish, Will]),
            (vec![0x03, 0, 1, b'j'], vec![Publish, Will]),
            (vec![0x08, 0, 1, b't'], vec![Publish, Will]),
            (vec![0x09, 0, 1, 0xff], vec![Publish, Will]),
            (vec![0x0b, 1], vec![Publish, Subscribe]),
            (vec![0x11, 0, 0, 0, 9], vec![Connect, Disconnect]),
            (vec![0x12, 0, 1, b'c'], vec![]),
            (vec![0x13, 0, 1], vec![]),
            (vec![0x15, 0, 1, b'm'], vec![Connect]),
            (vec![0x17, 0], vec![Connect]),
            (vec![0x18, 0, 0, 0, 1], vec![Will]),
            (vec![0x19, 1], vec![Connect]),
            (vec![0x1a, 0, 1, b'r'], vec![]),
            (vec![0x1c, 0, 1, b's'], vec![]),
            (vec![0x1f, 0, 1, b'r'], vec![Puback, Disconnect]),
            (vec![0x21, 0, 1], vec![Connect]),
            (vec![0x22, 0, 0], vec![Connect]),
            (vec![0x23, 0, 1], vec![Publish]),
            (vec![0x24, 1], vec![]),
            (vec![0x25, 1], vec![]),
            (vec![0x26, 0, 1, b'n', 0, 0], PLACES.to_vec()),
            (vec![0x27, 0, 0, 0, 1], vec![Connect]),
            (vec![0x28, 1], vec![]),
            (vec![0x29, 1], vec![]),
            (vec![0x2a, 1], vec![]),
        ]
    }

    fn read(bytes: &[u8], place: Place) -> Result<(), &'static str> {
        let mut writer = Writer(bytes.to_vec());
        writer.0.shrink_to_fit();
        let bytes = writer.finish();
        let mut body = Body(&bytes);
        let read = Properties::read(&mut body, place, 8).map(|_| ()).map_err(|fault| fault.code());
        assert!(read.is_err() || body.is_empty());
        read
    }

    #[test]
    fn m09_a_property_stands_where_it_may_and_once() {
        for (bytes, places) in every() {
            for place in PLACES {
                let wanted = if places.contains(&place) { Ok(()) } else { Err("mqtt_malformed") };
                assert_eq!(read(&bytes, place), wanted, "{bytes:?} in {place:?}");
                let twice = if bytes[0] == 0x26 || wanted.is_err() { wanted } else { Err("mqtt_protocol_error") };
                assert_eq!(read(&[bytes.as_slice(), &bytes].concat(), place), twice, "{bytes:?} twice in {place:?}");
            }
        }
        for identifier in (0x2b..=0x7f).chain([0x00, 0x04, 0x0a, 0x10, 0x14, 0x1b, 0x1d, 0x20]) {
            assert_eq!(read(&[identifier, 0, 0, 0, 0], Place::Connect), Err("mqtt_malformed"));
        }
        assert_eq!(read(&[0x80, 0x01, 0, 0], Place::Connect), Err("mqtt_malformed"));
        assert_eq!(read(&[0xa6, 0x00, 0, 0, 0, 0], Place::Connect), Err("mqtt_bad_length"));
    }

    #[test]
    fn every_property_is_cut_off_nowhere() {
        for (bytes, places) in every() {
            for (end, place) in (1..bytes.len()).flat_map(|end| places.iter().map(move |place| (end, *place))) {
                assert!(read(&bytes[..end], place).is_err(), "{bytes:?} up to {end}");
            }
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let cases: [(&[u8], Place); 9] = [
            (&[0x01, 2], Place::Publish),
            (&[0x0b, 0], Place::Subscribe),
            (&[0x17, 2], Place::Connect),
            (&[0x19, 0xff], Place::Connect),
            (&[0x21, 0, 0], Place::Connect),
            (&[0x27, 0, 0, 0, 0], Place::Connect),
            (&[0x16, 0, 0], Place::Connect),
            (&[0x08, 0, 1, b'#'], Place::Publish),
            (&[0x08, 0, 0], Place::Will),
        ];
        for (bytes, place) in cases {
            assert_eq!(read(bytes, place), Err("mqtt_protocol_error"), "{bytes:?}");
        }
        assert_eq!(read(&[0x03, 0, 1, 0xff], Place::Publish), Err("mqtt_bad_string"));
        assert_eq!(read(&[0x15, 0, 1, b'm', 0x16, 0, 0], Place::Connect), Ok(()));
    }

    #[test]
    fn m10_properties_are_bounded_in_number() {
        let one = [0x26, 0, 1, b'n', 0, 1, b'v'];
        assert_eq!(read(&one.repeat(8), Place::Publish), Ok(()));
        assert_eq!(read(&one.repeat(9), Place::Publish), Err("mqtt_quota_exceeded"));
    }

    #[test]
    fn a_length_beyond_the_packet_is_malformed() {
        assert_eq!(Properties::read(&mut Body(&[5, 0x17, 0]), Place::Connect, 8).unwrap_err().code(), "mqtt_malformed");
        assert_eq!(Properties::read(&mut Body(&[]), Place::Connect, 8).unwrap_err().code(), "mqtt_malformed");
        assert_eq!(Properties::read(&mut Body(&[0]), Place::Connect, 8), Ok(Properties::default()));
    }
}
