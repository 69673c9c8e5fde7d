//! An admitted device: the packets it may send, what each brings, and what it is sent. Sections are those of mqtt-v5.0-os.
//!
//! There are tens of thousands of these, most of them idle: whatever only some have stands in a box that exists while it is used.

use std::collections::VecDeque;
use std::sync::Arc;

use holdfast_x509::UnixSeconds;

use crate::device::Event;
use crate::error::Fault;
use crate::inbox::{Delivery, Message, is_inbox};
use crate::limits::Limits;
use crate::mqtt::{self, Connect, Frame, Outgoing, Publish, Reason, Version, protocol_error};
use crate::telemetry::{own_events, parse_telemetry};

/// How often a message may arrive (§4.3); `QoS` 2 is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the standard's own, less what is not granted")]
pub enum Qos {
    /// `QoS` 0.
    AtMostOnce,
    /// `QoS` 1.
    AtLeastOnce,
}

impl Qos {
    /// As packets write it.
    pub fn code(self) -> u8 {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
        }
    }
}

impl TryFrom<u8> for Qos {
    type Error = u8;

    fn try_from(code: u8) -> Result<Self, u8> {
        match code {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            other => Err(other),
        }
    }
}

/// How a device is let in.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever admits decides all of it")]
pub struct Admission {
    /// As whom.
    pub device_id: Arc<str>,
    /// Whether a session of an earlier connection goes on.
    pub session_present: bool,
    /// That session's subscription to the device's inbox.
    pub inbox: Option<Qos>,
    /// The keep-alive, where it is another than the device asked for.
    pub server_keep_alive_seconds: Option<u16>,
}

impl Admission {
    /// Of a device without an earlier session.
    pub fn new(device_id: Arc<str>) -> Self {
        Self { device_id, session_present: false, inbox: None, server_keep_alive_seconds: None }
    }
}

/// What of a CONNECT still counts once it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) version: Version,
    /// Whether the session ends with its connection.
    ends: bool,
    receive_maximum: u16,
    pub(crate) maximum_packet_size: u32,
}

impl Terms {
    pub(crate) fn of(connect: &Connect) -> Self {
        Self {
            version: connect.version,
            ends: connect.session_expiry_seconds == 0,
            receive_maximum: connect.receive_maximum,
            maximum_packet_size: connect.maximum_packet_size,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Open {
    device_id: Arc<str>,
    version: Version,
    /// The one subscription that there is.
    inbox: Option<Qos>,
    ends: bool,
    /// Whether an earlier connection may have been sent messages that are acknowledged only in this one.
    resumed: bool,
    /// Messages of the device that are not stored yet.
    unacknowledged: u16,
    more: Option<Box<More>>,
}

/// What only some sessions have.
#[derive(Debug, PartialEq, Eq)]
struct More {
    receive_maximum: u16,
    maximum_packet_size: u32,
    /// The bags of the topics that aliases stand for (§3.3.2.3.4).
    aliases: Vec<(u16, Box<str>)>,
    /// In the order in which they were sent.
    in_flight: VecDeque<InFlight>,
    /// The answer to a SUBSCRIBE or UNSUBSCRIBE that waits until it is kept, and the subscription that it brings.
    awaited: Option<(Vec<u8>, Option<Qos>)>,
}

/// A message that the device has not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InFlight {
    packet_id: u16,
    payload_length: u32,
    message: u64,
}

impl Default for More {
    fn default() -> Self {
        let (receive_maximum, maximum_packet_size) = (u16::MAX, u32::MAX);
        Self { receive_maximum, maximum_packet_size, aliases: vec![], in_flight: VecDeque::new(), awaited: None }
    }
}

impl Open {
    pub(crate) fn new(admission: Admission, terms: Terms) -> Self {
        let mut open = Self {
            device_id: admission.device_id,
            version: terms.version,
            inbox: admission.inbox,
            ends: terms.ends,
            resumed: admission.session_present,
            unacknowledged: 0,
            more: None,
        };
        let (receive_maximum, maximum_packet_size) = (terms.receive_maximum, terms.maximum_packet_size);
        open.more = Some(Box::new(More { receive_maximum, maximum_packet_size, ..More::default() }));
        open.tidy();
        open
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Whether a message of the device waits to be stored, or a packet for its answer.
    pub(crate) fn is_settled(&self) -> bool {
        self.unacknowledged == 0 && !self.is_waiting()
    }

    /// Whether the packet before must be answered first.
    pub(crate) fn is_waiting(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.awaited.is_some())
    }

    /// Whether reading should stop. In 5.0 the device itself stops at what it was told (§3.3.4).
    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        self.version == Version::V311 && usize::from(self.unacknowledged) >= limits.unacknowledged_count_max
    }

    /// Whether `frame` may be read now, rather than after an acknowledgement of ours.
    pub(crate) fn has_room_for(&self, frame: &Frame<'_>, limits: &Limits) -> Result<bool, Fault> {
        let full = usize::from(self.unacknowledged) >= limits.unacknowledged_count_max;
        match self.version {
            _ if !full || !mqtt::wants_acknowledgement(frame) => Ok(true),
            Version::V311 => Ok(false),
            Version::V5 => {
                let detail = format!("more than {} messages before an answer", limits.unacknowledged_count_max);
                Err(Fault::new("mqtt_receive_maximum_exceeded", detail))
            }
        }
    }

    /// What one packet brings: an answer in `output`, an event, or both.
    pub(crate) fn read(
        &mut self,
        frame: &Frame<'_>,
        limits: &Limits,
        output: &mut Vec<u8>,
    ) -> Result<Option<Event>, Fault> {
        match frame.kind {
            mqtt::PUBLISH => self.read_publish(&mqtt::parse_publish(frame, self.version, limits)?, limits).map(Some),
            mqtt::PUBACK => self.read_puback(mqtt::parse_puback(frame, self.version, limits)?),
            mqtt::SUBSCRIBE => {
                let (packet_id, filters) = mqtt::parse_filters(frame, self.version, limits)?;
                let mut inbox = self.inbox;
                let codes: Vec<u8> = filters
                    .iter()
                    .map(|(filter, qos)| {
                        if is_inbox(filter, &self.device_id) {
                            let granted = if *qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
                            inbox = Some(granted);
                            granted.code()
                        } else {
                            self.refusal(filter)
                        }
                    })
                    .collect();
                let mut answer = Vec::new();
                mqtt::write_suback(self.version, packet_id, &codes, &mut answer);
                Ok(self.change_subscription(inbox, answer, output))
            }
            mqtt::UNSUBSCRIBE => {
                let (packet_id, filters) = mqtt::parse_filters(frame, self.version, limits)?;
                let mut inbox = self.inbox;
                let codes: Vec<u8> = filters
                    .iter()
                    .map(|(filter, _)| {
                        let known = is_inbox(filter, &self.device_id) && inbox.take().is_some();
                        if known { 0x00 } else { NO_SUBSCRIPTION_EXISTED }
                    })
                    .collect();
                let mut answer = Vec::new();
                mqtt::write_unsuback(self.version, packet_id, &codes, &mut answer);
                Ok(self.change_subscription(inbox, answer, output))
            }
            mqtt::PINGREQ => {
                frame.expect_flags(0)?;
                frame.expect_empty()?;
                mqtt::write_packet(mqtt::PINGRESP << 4, &[], output);
                Ok(None)
            }
            mqtt::DISCONNECT => {
                let goodbye = mqtt::parse_disconnect(frame, self.version, limits)?;
                if self.ends && goodbye.session_expiry_seconds.is_some_and(|seconds| seconds != 0) {
                    // §3.14.2.2.2
                    return Err(protocol_error("a session that was to end with its connection, and now is not"));
                }
                Ok(Some(Event::Disconnect(goodbye)))
            }
            kind => Err(unexpected(kind, "in an open session")),
        }
    }

    fn read_publish(&mut self, publish: &Publish<'_>, limits: &Limits) -> Result<Event, Fault> {
        let telemetry = match (publish.properties.topic_alias, publish.topic) {
            (Some(alias), "") => parse_telemetry(publish, self.alias(alias)?, limits)?,
            (alias, topic) => {
                let bag = own_events(topic, &self.device_id, limits)?;
                if let Some(alias) = alias {
                    self.set_alias(alias, bag, limits)?;
                }
                parse_telemetry(publish, bag, limits)?
            }
        };
        if telemetry.packet_id != 0 {
            self.unacknowledged = self.unacknowledged.saturating_add(1);
        }
        Ok(Event::Telemetry(telemetry))
    }

    fn alias(&self, alias: u16) -> Result<&str, Fault> {
        let known = self.more.iter().flat_map(|more| &more.aliases).find(|(known, _)| *known == alias);
        let unknown =
            || Fault::new("mqtt_topic_alias_invalid", format!("topic alias {alias}, which stands for nothing"));
        known.map(|(_, bag)| bag.as_ref()).ok_or_else(unknown)
    }

    fn set_alias(&mut self, alias: u16, bag: &str, limits: &Limits) -> Result<(), Fault> {
        let max = limits.topic_aliases_count_max;
        if alias == 0 || usize::from(alias) > max {
            let detail = format!("topic alias {alias}, 1 to {max} are allowed");
            return Err(Fault::new("mqtt_topic_alias_invalid", detail));
        }
        let aliases = &mut self.more.get_or_insert_default().aliases;
        aliases.retain(|(known, _)| *known != alias);
        let held = aliases.iter().fold(bag.len(), |sum, (_, bag)| sum.saturating_add(bag.len()));
        if held > limits.topic_aliases_bytes_max {
            let detail =
                format!("topics of {held} bytes behind aliases, {} are allowed", limits.topic_aliases_bytes_max);
            return Err(Fault::new("mqtt_quota_exceeded", detail));
        }
        aliases.push((alias, bag.into()));
        Ok(())
    }

    fn read_puback(&mut self, (packet_id, reason): (u16, u8)) -> Result<Option<Event>, Fault> {
        let in_flight = self.more.as_mut().map(|more| &mut more.in_flight);
        let found = in_flight.and_then(|list| {
            let index = list.iter().position(|sent| sent.packet_id == packet_id)?;
            list.remove(index)
        });
        match found {
            Some(InFlight { message, .. }) => {
                self.tidy();
                Ok(Some(Event::Acknowledged { message, reason }))
            }
            // What the connection before was sent is sent again, and acknowledged again.
            None if self.resumed => Ok(None),
            None => Err(Fault::new("mqtt_unexpected_packet", format!("PUBACK of {packet_id}, which was never sent"))),
        }
    }

    /// Why `filter` is not granted. Twins and methods are refused until the hub has them, rather than granted and never served.
    fn refusal(&self, filter: &str) -> u8 {
        let reason = match filter {
            _ if self.version == Version::V311 => Reason::UnspecifiedError, // 3.1.1 §3.9.3 knows no other
            _ if filter.starts_with("$share/") => Reason::SharedSubscriptionsNotSupported,
            _ if filter.starts_with("$iothub/") => Reason::ImplementationSpecificError,
            _ => Reason::NotAuthorized,
        };
        reason.code()
    }

    /// A change is answered when it is kept; what changes nothing, at once.
    fn change_subscription(&mut self, inbox: Option<Qos>, answer: Vec<u8>, output: &mut Vec<u8>) -> Option<Event> {
        if inbox == self.inbox {
            output.extend(answer);
            return None;
        }
        self.more.get_or_insert_default().awaited = Some((answer, inbox));
        Some(Event::Subscription(inbox))
    }

    /// The change is kept: it counts, and is answered.
    pub(crate) fn subscription_kept(&mut self, output: &mut Vec<u8>) {
        if let Some((answer, inbox)) = self.more.as_mut().and_then(|more| more.awaited.take()) {
            self.inbox = inbox;
            output.extend(answer);
            self.tidy();
        }
    }

    /// A message of the device is stored for good.
    pub(crate) fn acknowledge(&mut self, packet_id: u16, output: &mut Vec<u8>) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        mqtt::write_puback(packet_id, output);
    }

    /// How many messages may be sent to the device now. While one is under way, no more of them than there is room for bytes.
    pub(crate) fn room(&self, limits: &Limits) -> usize {
        let more = self.more.as_deref();
        let (in_flight, theirs) = more.map_or((0, u16::MAX), |more| (more.in_flight.len(), more.receive_maximum));
        let lengths = more.iter().flat_map(|more| &more.in_flight).map(|sent| u64::from(sent.payload_length));
        let full = lengths.sum::<u64>() >= u64::try_from(limits.in_flight_bytes_max).unwrap_or(u64::MAX);
        match self.inbox {
            Some(Qos::AtMostOnce) => limits.in_flight_count_max,
            Some(Qos::AtLeastOnce) if !full => limits.in_flight_count_max.min(theirs.into()).saturating_sub(in_flight),
            Some(Qos::AtLeastOnce) | None => 0,
        }
    }

    /// Sends `message`.
    pub(crate) fn deliver(&mut self, message: &Message, at: UnixSeconds, output: &mut Vec<u8>) -> Delivery {
        let Some(qos) = self.inbox else { return Delivery::NotOpen };
        let acknowledged = qos == Qos::AtLeastOnce;
        let outgoing = Outgoing {
            topic: &message.topic(&self.device_id, self.version),
            packet_id: acknowledged.then_some(message.packet_id),
            // Redelivery is to one session; another begins with none.
            redelivered: message.redelivered && self.resumed,
            properties: &message.packet_properties(self.version, at),
            payload: &message.payload,
        };
        let bytes_max = self.more.as_ref().map_or(u32::MAX, |more| more.maximum_packet_size);
        if !mqtt::write_publish(&outgoing, usize::try_from(bytes_max).unwrap_or(usize::MAX), output) {
            return Delivery::TooLarge;
        }
        if !acknowledged {
            return Delivery::SentOnce;
        }
        self.more.get_or_insert_default().in_flight.push_back(InFlight {
            packet_id: message.packet_id,
            payload_length: u32::try_from(message.payload.len()).unwrap_or(u32::MAX),
            message: message.id,
        });
        Delivery::Sent
    }

    /// Gives back the box when there is nothing in it that must be known.
    fn tidy(&mut self) {
        if let Some(more) = &mut self.more {
            if more.in_flight.is_empty() {
                more.in_flight = VecDeque::new();
            }
            if **more == More::default() {
                self.more = None;
            }
        }
    }
}

/// §3.11.3
const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;

pub(crate) fn unexpected(kind: u8, when: &str) -> Fault {
    Fault::new("mqtt_unexpected_packet", format!("a packet of type {kind} {when}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutations::Mutations;

    fn open(terms: Terms) -> Open {
        let inbox = Some(Qos::AtLeastOnce);
        Open::new(Admission { inbox, ..Admission::new("w1".into()) }, terms)
    }

    fn read_one(open: &mut Open, bytes: &[u8]) -> Result<Option<Event>, Fault> {
        let limits = Limits::default();
        open.read(&Frame::read(bytes, 1_000)?.unwrap(), &limits, &mut Vec::new())
    }

    #[test]
    fn the_box_is_there_only_while_there_is_something_in_it() {
        for version in [Version::V311, Version::V5] {
            let plain = Terms { version, ends: true, receive_maximum: u16::MAX, maximum_packet_size: u32::MAX };
            let mut open = open(plain);
            assert_eq!(open.more, None);
            let message = Message {
                id: 1,
                packet_id: 7,
                redelivered: false,
                expires_at: None,
                system_properties: vec![],
                properties: vec![],
                payload: vec![],
            };
            assert_eq!(open.deliver(&message, UnixSeconds(0), &mut Vec::new()), Delivery::Sent);
            assert!(open.more.is_some());
            assert!(read_one(&mut open, &[0x40, 2, 0, 7]).unwrap().is_some());
            assert_eq!(open.more, None);
            open.change_subscription(None, vec![1], &mut Vec::new());
            assert!(open.more.is_some());
            open.subscription_kept(&mut Vec::new());
            assert_eq!((open.more.is_none(), open.inbox), (true, None));
        }
        let bounded = Terms { version: Version::V5, ends: true, receive_maximum: 20, maximum_packet_size: u32::MAX };
        assert!(open(bounded).more.is_some());
        assert!(size_of::<More>() <= 104, "{}", size_of::<More>());
    }

    #[test]
    fn m10_what_is_under_way_is_bounded_in_bytes_too() {
        let terms =
            Terms { version: Version::V5, ends: true, receive_maximum: u16::MAX, maximum_packet_size: u32::MAX };
        let (mut open, limits) = (open(terms), Limits::default());
        let message = |packet_id: u16| Message {
            id: packet_id.into(),
            packet_id,
            redelivered: false,
            expires_at: None,
            system_properties: vec![],
            properties: vec![],
            payload: vec![0; 40 * 1024],
        };
        for (packet_id, room) in [(1, 32), (2, 31), (3, 0)] {
            assert_eq!(open.room(&limits), room);
            if room > 0 {
                open.deliver(&message(packet_id), UnixSeconds(0), &mut Vec::new());
            }
        }
        read_one(&mut open, &[0x40, 2, 0, 1]).unwrap();
        assert_eq!(open.room(&limits), 31);
    }

    /// Packets of a device that does everything there is, for a mutation to begin with.
    fn packets(version: Version) -> Vec<Vec<u8>> {
        let v5 = version == Version::V5;
        let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
        let properties = |list: &[&[u8]]| {
            let all = list.concat();
            if v5 { [&[u8::try_from(all.len()).unwrap()], &all[..]].concat() } else { vec![] }
        };
        let packet = |first: u8, parts: &[&[u8]]| {
            let mut bytes = Vec::new();
            mqtt::write_packet(first, parts, &mut bytes);
            bytes
        };
        let topic = text("devices/w1/messages/events/$.mid=1&a=b%20c&d");
        let user = [&[0x26][..], &text("a"), &text("b")].concat();
        let said: &[&[u8]] = &[&[0x01, 1], &[0x02, 0, 0, 0, 9], &[0x23, 0, 1], &user, &user];
        let inbox = text("devices/w1/messages/devicebound/#");
        vec![
            packet(0x32, &[&topic, &[0, 7], &properties(said), b"hello"]),
            packet(0x30, &[&topic, &properties(&[&[0x03, 0, 1, b't'], &[0x09, 0, 1, 7], &[0x08, 0, 1, b'r']]), b"x"]),
            packet(0x32, &[&text(""), &[0, 8], &properties(&[&[0x23, 0, 1]]), b"{}"]),
            packet(0x82, &[&[0, 1], &properties(&[&user]), &inbox, &[1]]),
            packet(0xa2, &[&[0, 2], &properties(&[&user]), &inbox]),
            packet(0x40, &[&[0, 9], if v5 { &[0x10, 0] } else { &[] }]),
            packet(0xc0, &[]),
            packet(0xe0, &[if v5 { &[0x04, 5, 0x11, 0, 0, 0, 60] } else { &[] }]),
        ]
    }

    #[test]
    fn m09_whatever_comes_is_read_or_refused_within_the_bounds() {
        let limits = Limits { topic_aliases_bytes_max: 100, ..Limits::default() };
        let mut mutations = Mutations::new();
        let (mut read, mut refused) = (0, 0);
        for version in [Version::V311, Version::V5] {
            let terms = Terms { version, ends: false, receive_maximum: u16::MAX, maximum_packet_size: u32::MAX };
            let (seeds, mut session) = (packets(version), open(terms));
            for _ in 0..100_000 {
                let bytes = mutations.one_of(&seeds);
                let outcome = Frame::read(&bytes, limits.packet_bytes_max).and_then(|frame| {
                    let Some(frame) = frame else { return Ok(()) };
                    if session.has_room_for(&frame, &limits)? {
                        session.read(&frame, &limits, &mut Vec::new())?;
                    }
                    Ok(())
                });
                match outcome {
                    Ok(()) => read += 1,
                    Err(fault) => {
                        refused += 1;
                        assert!(Fault::CODES.contains(&fault.code()), "{fault}");
                        session = open(terms);
                    }
                }
                assert!(usize::from(session.unacknowledged) <= limits.unacknowledged_count_max);
                let aliases = session.more.iter().flat_map(|more| &more.aliases);
                assert!(aliases.map(|(_, bag)| bag.len()).sum::<usize>() <= limits.topic_aliases_bytes_max);
                session.subscription_kept(&mut Vec::new());
                if mutations.below(8) == 0 {
                    session.acknowledge(7, &mut Vec::new());
                }
            }
        }
        assert!(read > 20_000 && refused > 20_000, "{read} read, {refused} refused");
    }
}
