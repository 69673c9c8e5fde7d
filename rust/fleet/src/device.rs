//! One connection of one pretend device, stepped: no socket, no clock. Fed with what the hub sent, it says what to send and what happened.

use std::fmt::Write as _;

use holdfast_session::client::{self, Answer, ConnectPacket};

use crate::kinds::{Act, Behaviour, First, Point, Raw, Then, Wire};
use crate::plan::Application;
use crate::tls::Connection;

/// What the loop must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// TLS is finished on this side: send what there is, then `ask`. Of version 1.3 the server may still say no.
    Handshaken,
    /// The hub said yes.
    Connected,
    /// The hub has this message.
    Acknowledged(u16),
    /// The script breaks off here.
    Act(Act),
    /// The hub, or what it sent, ended it: the name of the ending.
    Ended(String),
}

/// What a device says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) id: String,
    /// The hub's name in user names and requests.
    pub(crate) host: String,
    pub(crate) clean_session: bool,
    pub(crate) keep_alive_seconds: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshaking,
    /// Finished, and nothing said: the first packet is a write of its own, as with stock clients.
    Handshaken,
    /// The first packet is said, its answer awaited.
    Asking,
    Open,
    /// The script broke off: what the hub does about it is awaited.
    Watching,
    Ended,
}

#[derive(Debug)]
pub(crate) struct Device {
    tls: Connection,
    behaviour: Behaviour,
    application: Application,
    words: Words,
    phase: Phase,
    /// Decrypted, not yet a whole packet.
    plaintext: Vec<u8>,
}

/// Larger than anything a hub has to say to a device that asked nothing.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

impl Device {
    pub(crate) fn new(tls: Connection, behaviour: Behaviour, application: Application, words: Words) -> Self {
        Self { tls, behaviour, application, words, phase: Phase::Handshaking, plaintext: Vec::new() }
    }

    /// The socket is connected.
    pub(crate) fn begin(&mut self, output: &mut Vec<u8>, events: &mut Vec<Event>) {
        if self.breaks_off(Point::Accepted, events) {
            return;
        }
        let from = output.len();
        self.tls.drain(output);
        if self.behaviour.wire == Wire::TinyRecords {
            let flight = output.split_off(from);
            write_tiny_records(&flight, output);
        }
        if self.breaks_off(Point::ClientHello, events) {
            output.truncate(from + (output.len() - from) / 2);
        }
    }

    /// The hub sent `input`.
    pub(crate) fn receive(&mut self, input: &[u8], output: &mut Vec<u8>, events: &mut Vec<Event>) {
        if self.phase == Phase::Ended {
            return;
        }
        if let Err(ending) = self.tls.feed(input, &mut self.plaintext) {
            self.tls.drain(output); // our alert
            return self.end(ending, events);
        }
        if self.phase == Phase::Handshaking {
            self.shake_hands(output, events);
        }
        match self.phase {
            Phase::Asking | Phase::Open | Phase::Watching => self.read_answers(output, events),
            Phase::Handshaking | Phase::Handshaken | Phase::Ended => {}
        }
    }

    /// Says one message; 0 is QoS 0.
    pub(crate) fn publish(&mut self, packet_id: u16, payload: &[u8], output: &mut Vec<u8>) {
        let mut packet = Vec::with_capacity(payload.len() + 64);
        let topic = events_topic(&self.words.id);
        client::write_publish(&topic, (packet_id > 0).then_some(packet_id), payload, &mut packet);
        self.say(&packet, output);
    }

    /// Keeps the promise of the CONNECT.
    pub(crate) fn ping(&mut self, output: &mut Vec<u8>) {
        if self.application == Application::Mqtt {
            self.say(&client::PINGREQ, output);
        }
    }

    /// Leaves as a well-behaved client does.
    pub(crate) fn leave(&mut self, output: &mut Vec<u8>) {
        if self.phase == Phase::Open && self.application == Application::Mqtt {
            self.say(&client::DISCONNECT, output);
        }
        self.close_notify(output);
        self.phase = Phase::Ended;
    }

    pub(crate) fn close_notify(&mut self, output: &mut Vec<u8>) {
        self.tls.close_notify();
        self.tls.drain(output);
    }

    /// What the name of the phase says about where it got stuck.
    pub(crate) fn timeout(&self) -> &'static str {
        match self.phase {
            Phase::Handshaking => "handshake_timeout",
            Phase::Handshaken | Phase::Asking => "answer_timeout",
            Phase::Open | Phase::Watching | Phase::Ended => "tolerated",
        }
    }

    pub(crate) fn say(&mut self, packet: &[u8], output: &mut Vec<u8>) {
        self.tls.send(packet);
        self.tls.drain(output);
    }

    fn shake_hands(&mut self, output: &mut Vec<u8>, events: &mut Vec<Event>) {
        if self.tls.wants_write() && self.breaks_off(Point::Certificate, events) {
            return;
        }
        self.tls.drain(output);
        if !self.tls.is_handshaking() {
            self.phase = Phase::Handshaken;
            events.push(Event::Handshaken);
        }
    }

    /// Says the first packet.
    pub(crate) fn ask(&mut self, output: &mut Vec<u8>, events: &mut Vec<Event>) {
        if self.phase != Phase::Handshaken || self.breaks_off(Point::Handshaken, events) {
            return;
        }
        self.phase = Phase::Asking;
        let mut packet = Vec::new();
        match self.application {
            Application::Mqtt => self.write_first(&mut packet),
            Application::Http => packet.extend(http_request(&self.words.host)),
        }
        if self.breaks_off(Point::Connect, events) {
            packet.truncate(packet.len() / 2);
        }
        self.say(&packet, output);
    }

    fn read_answers(&mut self, output: &mut Vec<u8>, events: &mut Vec<Event>) {
        match self.application {
            Application::Mqtt => self.read_packets(output, events),
            Application::Http => self.read_response(events),
        }
    }

    fn read_packets(&mut self, output: &mut Vec<u8>, events: &mut Vec<Event>) {
        let mut consumed = 0;
        while self.phase != Phase::Ended {
            match client::read_answer(&self.plaintext[consumed..], ANSWER_BYTES_MAX) {
                Ok(Some((answer, length))) => {
                    consumed += length;
                    self.take_answer(answer, output, events);
                }
                Ok(None) => break,
                Err(fault) => self.end(fault.code().to_owned(), events),
            }
        }
        self.plaintext.drain(..consumed);
        if self.plaintext.is_empty() {
            self.plaintext = Vec::new(); // an idle device keeps nothing
        }
    }

    fn take_answer(&mut self, answer: Answer, output: &mut Vec<u8>, events: &mut Vec<Event>) {
        match answer {
            Answer::Connack(0) if self.phase == Phase::Asking => self.connected(output, events),
            Answer::Connack(code) => self.end(format!("connack_{code}"), events),
            Answer::Puback(packet_id) => events.push(Event::Acknowledged(packet_id)),
            Answer::Pingresp | Answer::Other(_) => {}
        }
    }

    fn read_response(&mut self, events: &mut Vec<Event>) {
        if self.phase != Phase::Asking {
            self.plaintext = Vec::new();
            return;
        }
        let Some(head) = self.plaintext.windows(4).position(|window| window == b"\r\n\r\n") else { return };
        let head = String::from_utf8_lossy(&self.plaintext[..head]).to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<usize>().ok());
        if self.plaintext.len() < head.len() + 4 + field("content-length:").unwrap_or(0) {
            return;
        }
        self.plaintext = Vec::new();
        let status = head.split(' ').nth(1).unwrap_or("unknown").to_owned();
        if status.starts_with('2') {
            self.connected(&mut Vec::new(), events);
        } else {
            self.end(format!("http_{status}"), events);
        }
    }

    fn connected(&mut self, output: &mut Vec<u8>, events: &mut Vec<Event>) {
        events.push(Event::Connected);
        self.phase = Phase::Open;
        if self.breaks_off(Point::Connected, events) {
            return;
        }
        let packet = self.afterwards();
        if !packet.is_empty() {
            self.phase = Phase::Watching;
            self.say(&packet, output);
        }
    }

    /// Whether the script breaks off here; if so, the act was announced.
    fn breaks_off(&mut self, point: Point, events: &mut Vec<Event>) -> bool {
        let act = self.behaviour.breaks_off.filter(|(at, _)| *at == point).map(|(_, act)| act);
        if let Some(act) = act {
            self.phase = Phase::Watching;
            events.push(Event::Act(act));
        }
        act.is_some()
    }

    fn end(&mut self, ending: String, events: &mut Vec<Event>) {
        self.phase = Phase::Ended;
        events.push(Event::Ended(ending));
    }

    fn write_first(&self, packet: &mut Vec<u8>) {
        let Words { id, host, clean_session, keep_alive_seconds } = &self.words;
        let other = format!("{id}-other");
        let (client_id, user) = match self.behaviour.first {
            First::OtherClientId => (other.as_str(), id.as_str()),
            First::EmptyClientId => ("", id.as_str()),
            First::OtherUserName => (id.as_str(), other.as_str()),
            First::Publish => return client::write_publish(&events_topic(id), Some(1), b"{}", packet),
            First::Huge => return packet.extend([0x10, 0xff, 0xff, 0xff, 0x7f, 0, 4, b'M', b'Q', b'T', b'T', 4, 2]),
            First::OverlongLength => return packet.extend([0x10, 0xff, 0xff, 0xff, 0xff, 1]),
            First::BadUtf8 => {
                let body = [0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 3, 0xed, 0xa0, 0x80];
                return client::write_packet(0x10, &[&body], packet);
            }
            First::Connect => (id.as_str(), id.as_str()),
        };
        let user_name = user_name(host, user);
        let connect = ConnectPacket {
            client_id,
            user_name: Some(&user_name),
            clean_session: *clean_session,
            keep_alive_seconds: *keep_alive_seconds,
        };
        client::write_connect(&connect, packet);
    }

    /// What a device that misbehaves once it is in says next; nothing from others.
    fn afterwards(&self) -> Vec<u8> {
        let mut packet = Vec::new();
        let own = events_topic(&self.words.id);
        match self.behaviour.then {
            Then::Nothing | Then::NeverRead => {}
            Then::ConnectAgain => self.write_first(&mut packet),
            Then::ForeignTopic => client::write_publish(&events_topic("somebody-else"), Some(1), b"{}", &mut packet),
            Then::EmptyTopic => client::write_publish("", Some(1), b"{}", &mut packet),
            Then::SlashTopic => client::write_publish(&"/".repeat(65_400), Some(1), b"{}", &mut packet),
            Then::QualityTwo => {
                let mut body = Vec::new();
                client::write_string(&own, &mut body);
                body.extend([0, 1]);
                client::write_packet(0x34, &[&body], &mut packet);
            }
            Then::HugePublish => {
                packet.extend([0x32, 0xff, 0xff, 0xff, 0x7f]);
                client::write_string(&own, &mut packet);
                packet.extend([0, 1]);
            }
            Then::UnknownPacket => packet.extend([0x00, 0]),
        }
        packet
    }
}

impl Raw {
    /// The octets that go past TLS.
    pub(crate) fn octets(self, words: &Words) -> Vec<u8> {
        match self {
            Self::Garbage => (0u8..=255).map(|octet| octet.wrapping_mul(167) | 0x80).collect(),
            Self::Connect => {
                let mut packet = Vec::new();
                let connect = ConnectPacket {
                    client_id: &words.id,
                    user_name: None,
                    clean_session: true,
                    keep_alive_seconds: words.keep_alive_seconds,
                };
                client::write_connect(&connect, &mut packet);
                packet
            }
            Self::HttpRequest => http_request(&words.host),
            Self::HugeClientHello => {
                // RFC 8446 §5.1: records of handshake octets; §4: type 1, a length of three octets.
                let mut octets = Vec::new();
                for number in 0..5 {
                    octets.extend([22, 3, 1, 0x40, 0]);
                    let from = octets.len();
                    if number == 0 {
                        octets.extend([1, 1, 0x3f, 0xfc, 3, 3]);
                    }
                    octets.resize(from + 0x4000, 0);
                }
                octets
            }
            Self::HugeCertificate => vec![22, 3, 3, 0, 10, 11, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc, 0xff, 0xff, 0xf9],
        }
    }
}

impl Device {
    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    /// Whether it came back by a ticket.
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.is_resumed()
    }
}

fn events_topic(id: &str) -> String {
    format!("devices/{id}/messages/events/")
}

/// As the stock Python SDK writes it.
fn user_name(host: &str, id: &str) -> String {
    let mut name = String::with_capacity(128);
    // Into a string: it cannot fail.
    let _written = write!(name, "{host}/{id}/?api-version=2019-10-01&DeviceClientType=holdfast-fleet");
    name
}

fn http_request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// The handshake octets of plaintext records, each in a record of its own.
fn write_tiny_records(flight: &[u8], output: &mut Vec<u8>) {
    let mut rest = flight;
    while let [kind, major, minor, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (body, after) = tail.split_at(length.min(tail.len()));
        for octet in body {
            output.extend([*kind, *major, *minor, 0, 1, *octet]);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdfast_session::{Admission, Event as Heard, Limits, Reason, Session, TlsConfig};

    use super::*;
    use crate::chain::{SupplyChain, Validity};
    use crate::crypto::Key;
    use crate::kinds::{Behaviour, Expected, HONEST, KINDS};
    use crate::tls::{Shown, Tls, Version};

    const VALIDITY: Validity = Validity { not_before: 1_577_836_800, not_after: 2_524_607_999 };
    const STEPS_COUNT_MAX: usize = 10_000;

    /// A device and a hub's session in one memory; the hub lets everyone in who proves a key, and acknowledges.
    struct Pair {
        device: Device,
        session: Session,
        events: Vec<Event>,
        heard: Vec<String>,
    }

    impl Pair {
        fn new(version: Version, behaviour: Behaviour, shows: bool) -> Self {
            let chain = SupplyChain::new(&["Root".to_owned()], Some([1; 32]), VALIDITY).unwrap();
            let dressed = |number| {
                let parts = chain.device_key(number).unwrap();
                (chain.device_certificate("w1", number, &parts).unwrap(), parts)
            };
            let (hub, hub_parts) = dressed(0);
            let config = TlsConfig::new(vec![hub], hub_parts.pkcs8()).unwrap();
            let (certificate, parts) = dressed(1);
            let shown = Shown {
                chain: vec![certificate],
                key: Key::new(&parts).unwrap(),
                wrong_signature: behaviour.wrong_signature,
            };
            let tls = Tls::new(version, "hub.test", false).unwrap().connection(1, shows.then_some(shown)).unwrap();
            let words =
                Words { id: "w1".into(), host: "hub.test".into(), clean_session: false, keep_alive_seconds: 60 };
            Self {
                device: Device::new(tls, behaviour, Application::Mqtt, words),
                session: Session::new(&config, Arc::new(Limits::default())),
                events: Vec::new(),
                heard: Vec::new(),
            }
        }

        /// Carries octets both ways, cut into pieces of `size`, until nothing moves.
        fn run(&mut self, size: usize) {
            let (mut to_hub, mut asked) = (Vec::new(), false);
            self.device.begin(&mut to_hub, &mut self.events);
            for _ in 0..STEPS_COUNT_MAX {
                for piece in std::mem::take(&mut to_hub).chunks(size) {
                    if let Err(fault) = self.session.receive(piece).and_then(|()| self.serve()) {
                        self.heard.push(fault.code().to_owned());
                    }
                }
                let to_device = self.session.take_output().unwrap();
                for piece in to_device.chunks(size) {
                    self.device.receive(piece, &mut to_hub, &mut self.events);
                    if self.events.contains(&Event::Handshaken) && !asked {
                        asked = true;
                        self.device.ask(&mut to_hub, &mut self.events);
                    }
                }
                if to_hub.is_empty() && to_device.is_empty() {
                    return;
                }
            }
            panic!("it goes on for ever");
        }

        fn serve(&mut self) -> Result<(), holdfast_session::Fault> {
            while let Some(event) = self.session.next_event()? {
                #[expect(clippy::wildcard_enum_match_arm, reason = "the others ask nothing of a hub this small")]
                match event {
                    Heard::Presented(_) => self.session.accept(),
                    Heard::Anonymous => drop(self.session.refuse(Reason::NotAuthorized)),
                    Heard::Connect(connect) => {
                        self.heard.push(connect.user_name.unwrap_or_default());
                        self.session.admit(Admission::new(connect.client_id.into()))?;
                    }
                    Heard::Telemetry(telemetry) if telemetry.packet_id == 0 => {}
                    Heard::Telemetry(telemetry) => self.session.acknowledge(telemetry.packet_id),
                    Heard::Disconnect(_) => self.heard.push("disconnect".to_owned()),
                    _ => {}
                }
            }
            Ok(())
        }
    }

    #[test]
    fn a_device_is_let_in_however_its_octets_are_cut() {
        for version in [Version::Tls12, Version::Tls13] {
            for size in [1, 2, 7, 100, usize::MAX] {
                let mut pair = Pair::new(version, HONEST, true);
                pair.run(size);
                assert_eq!(pair.events, [Event::Handshaken, Event::Connected], "{version:?} in pieces of {size}");
                assert_eq!(pair.heard, ["hub.test/w1/?api-version=2019-10-01&DeviceClientType=holdfast-fleet"]);
            }
        }
    }

    #[test]
    fn each_message_is_acknowledged_once() {
        let mut pair = Pair::new(Version::Tls13, HONEST, true);
        pair.run(usize::MAX);
        pair.events.clear();
        let mut octets = Vec::new();
        pair.device.publish(1, b"{}", &mut octets);
        pair.device.publish(0, b"{}", &mut octets);
        pair.device.publish(2, b"{}", &mut octets);
        pair.device.ping(&mut octets);
        pair.session.receive(&octets).unwrap();
        pair.serve().unwrap();
        let answers = pair.session.take_output().unwrap();
        pair.device.receive(&answers, &mut Vec::new(), &mut pair.events);
        assert_eq!(pair.events, [Event::Acknowledged(1), Event::Acknowledged(2)]);
        octets.clear();
        pair.device.leave(&mut octets);
        pair.session.receive(&octets).unwrap();
        pair.serve().unwrap();
        assert!(pair.heard.contains(&"disconnect".to_owned()));
    }

    #[test]
    fn a_refusal_is_named_as_the_hub_says_it() {
        for version in [Version::Tls12, Version::Tls13] {
            let mut pair = Pair::new(version, HONEST, false);
            pair.run(usize::MAX);
            assert_eq!(pair.events, [Event::Handshaken, Event::Ended("connack_5".into())]);
            let mut pair = Pair::new(version, Behaviour { wrong_signature: true, ..HONEST }, true);
            pair.run(usize::MAX);
            assert_eq!(pair.events.last(), Some(&Event::Ended("tls_alert_decrypt_error".into())));
        }
    }

    #[test]
    fn every_kind_that_breaks_off_says_so_once_and_then_is_silent() {
        for kind in KINDS.iter().filter(|kind| kind.behaviour.breaks_off.is_some()) {
            let mut pair = Pair::new(Version::Tls12, kind.behaviour, true);
            pair.run(usize::MAX);
            let acts = pair.events.iter().filter(|event| matches!(event, Event::Act(_))).count();
            assert_eq!(acts, 1, "{}", kind.name);
            let admitted = kind.behaviour.breaks_off.is_some_and(|(point, _)| point == Point::Connected);
            assert_eq!(pair.events.contains(&Event::Connected), admitted, "{}", kind.name);
        }
    }

    #[test]
    fn kinds_that_must_be_refused_say_something_that_a_hub_can_tell_from_an_honest_device() {
        let honest = |kind: &&crate::kinds::Kind| {
            let Behaviour { shown, wrong_signature, wire, breaks_off, first, then } = kind.behaviour;
            shown == crate::kinds::Shown::Own
                && !wrong_signature
                && wire == Wire::Plain
                && breaks_off.is_none()
                && first == First::Connect
                && then == Then::Nothing
        };
        assert_eq!(KINDS.iter().filter(honest).count(), 0);
        assert_eq!(KINDS.iter().filter(|kind| kind.expected == Expected::Served).count(), 1);
    }

    #[test]
    fn tiny_records_hold_the_same_octets() {
        let mut output = Vec::new();
        write_tiny_records(&[22, 3, 1, 0, 3, 7, 8, 9], &mut output);
        assert_eq!(output, [22, 3, 1, 0, 1, 7, 22, 3, 1, 0, 1, 8, 22, 3, 1, 0, 1, 9]);
    }
}
