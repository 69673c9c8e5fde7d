//! What an admitted device may say and is told, in both versions: whole, byte by byte, and cut at every place.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

mod pair;

use std::io::{Read, Write};
use std::sync::Arc;

use holdfast_session::client::{write_packet, write_string};
use holdfast_session::{
    Admission, Delivery, Event, Goodbye, Limits, Message, Qos, Reason, Session, Telemetry, TlsConfig, Version,
};
use holdfast_x509::UnixSeconds;
use rustls::RootCertStore;
use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};

const BOTH: [Version; 2] = [Version::V311, Version::V5];
const INBOX: &str = "devices/w1/messages/devicebound/#";
const EVENTS: &str = "devices/w1/messages/events/";
const TODAY: UnixSeconds = UnixSeconds(1_000);

fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_string(text, &mut bytes);
    bytes
}

fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_packet(first, parts, &mut bytes);
    bytes
}

/// Properties behind their length, where the version has any.
fn properties(version: Version, parts: &[&[u8]]) -> Vec<u8> {
    match version {
        Version::V311 => Vec::new(),
        Version::V5 => [&[u8::try_from(parts.concat().len()).unwrap()], parts.concat().as_slice()].concat(),
    }
}

fn connect(version: Version, flags: u8, asked: &[&[u8]]) -> Vec<u8> {
    let level = if version == Version::V311 { 4 } else { 5 };
    packet(0x10, &[&text("MQTT"), &[level, flags, 0, 60], &properties(version, asked), &text("w1")])
}

fn publish(version: Version, packet_id: u16, topic: &str, asked: &[&[u8]]) -> Vec<u8> {
    packet(0x32, &[&text(topic), &packet_id.to_be_bytes(), &properties(version, asked), b"hello"])
}

fn subscribe(version: Version, packet_id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let filters: Vec<u8> = filters.iter().flat_map(|(filter, qos)| [text(filter), vec![*qos]].concat()).collect();
    packet(0x82, &[&packet_id.to_be_bytes(), &properties(version, &[]), &filters])
}

fn unsubscribe(version: Version, packet_id: u16, filter: &str) -> Vec<u8> {
    packet(0xa2, &[&packet_id.to_be_bytes(), &properties(version, &[]), &text(filter)])
}

fn message(number: u16) -> Message {
    Message {
        id: 1_000 + u64::from(number),
        packet_id: number,
        redelivered: false,
        expires_at: None,
        system_properties: vec![],
        properties: vec![],
        payload: vec![b'x'; 10],
    }
}

/// A TLS client, and the session that it talks to.
struct Pair {
    client: ClientConnection,
    session: Session,
    piece: usize,
}

impl Pair {
    /// Accepted; the CONNECT is still to come.
    fn accepted(limits: Limits) -> Self {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (own.cert.der().clone(), own.signing_key.serialize_der());
        let config = TlsConfig::new(vec![certificate.to_vec()], key.clone()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], PrivateKeyDer::try_from(key).unwrap())
            .unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(client), name).unwrap();
        let session = Session::new(&config, limits);
        let mut pair = Self { client, session, piece: usize::MAX };
        for _ in 0..4 {
            if let [Event::Presented(_)] = pair.up().as_slice() {
                pair.session.accept();
            }
            pair.down();
        }
        pair
    }

    fn admitted(version: Version, limits: Limits) -> Self {
        Self::admitted_as(&connect(version, 2, &[]), Admission::new("w1".into()), limits)
    }

    fn admitted_as(connect: &[u8], admission: Admission, limits: Limits) -> Self {
        let mut pair = Self::accepted(limits);
        assert!(matches!(pair.say(connect).as_slice(), [Event::Connect(_)]));
        pair.session.admit(admission).unwrap();
        pair.down();
        pair
    }

    /// What comes of `bytes`.
    fn say(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.client.writer().write_all(bytes).unwrap();
        self.up()
    }

    fn up(&mut self) -> Vec<Event> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        let mut events = Vec::new();
        for piece in bytes.chunks(self.piece) {
            self.session.receive(piece).unwrap();
            events.extend(self.events());
        }
        events
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.session.next_event().unwrap() {
            let waits = matches!(event, Event::Presented(_) | Event::Connect(_) | Event::Subscription(_));
            events.push(event);
            if waits {
                break;
            }
        }
        events
    }

    /// Gives the session `bytes`, and asks it nothing.
    fn give(&mut self, bytes: &[u8]) {
        self.client.writer().write_all(bytes).unwrap();
        let mut records = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut records).unwrap();
        }
        self.session.receive(&records).unwrap();
    }

    /// The fault that `bytes` end the session with.
    fn fault(&mut self, bytes: &[u8]) -> &'static str {
        self.give(bytes);
        loop {
            match self.session.next_event() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("nothing is wrong"),
                Err(fault) => return fault.code(),
            }
        }
    }

    /// What the client hears.
    fn down(&mut self) -> Vec<u8> {
        pair::hear(&mut self.session, &mut self.client)
    }

    fn ended_cleanly(&mut self) -> bool {
        matches!(self.client.reader().read(&mut [0]), Ok(0))
    }
}

fn telemetry(events: &[Event]) -> Vec<&Telemetry> {
    events
        .iter()
        .map(|event| match event {
            Event::Telemetry(telemetry) => telemetry,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_session_takes_little_room_in_either_version() {
    // What only some have stands in a box that is there only while it is used (`open.rs` tests that); the rest is this.
    assert!(size_of::<Session>() <= 168, "{}", size_of::<Session>());
}

#[test]
fn a_connack_of_5_0_says_what_there_is_and_what_there_is_not() {
    let mut pair = Pair::accepted(Limits::default());
    assert!(matches!(pair.say(&connect(Version::V5, 2, &[])).as_slice(), [Event::Connect(_)]));
    let admission = Admission { server_keep_alive_seconds: Some(1_178), ..Admission::new("w1".into()) };
    pair.session.admit(Admission { session_present: true, ..admission }).unwrap();
    let heard = pair.down();
    assert_eq!(heard[..5], [0x20, 25, 1, 0, 22]);
    assert_eq!(heard[5..8], [0x21, 0, 32]);
    assert_eq!(heard[heard.len() - 3..], [0x13, 0x04, 0x9a]);
}

#[test]
fn every_exchange_is_the_same_however_its_bytes_are_cut() {
    for version in BOTH {
        let script = [
            publish(version, 1, EVENTS, &[]),
            packet(0xc0, &[]),
            subscribe(version, 2, &[(INBOX, 1)]),
            publish(version, 3, &format!("{EVENTS}a=b"), &[&[0x26], &text("n"), &text("v")]),
            unsubscribe(version, 4, INBOX),
            packet(0xe0, &[]),
        ]
        .concat();
        let run = |sizes: &mut dyn Iterator<Item = usize>| {
            let mut pair = Pair::admitted(version, Limits::default());
            let (mut events, mut heard, mut left) = (Vec::new(), Vec::new(), script.as_slice());
            while !left.is_empty() {
                let (piece, rest) = left.split_at(sizes.next().unwrap().min(left.len()));
                left = rest;
                pair.give(piece);
                while let Some(event) = pair.session.next_event().unwrap() {
                    // As the gate does: what is to be kept is kept, what is to be stored is stored.
                    match &event {
                        Event::Subscription(_) => pair.session.subscription_kept(),
                        Event::Telemetry(telemetry) => pair.session.acknowledge(telemetry.packet_id),
                        _ => {}
                    }
                    events.push(event);
                }
                heard.extend(pair.down());
            }
            assert!(pair.ended_cleanly());
            (events, heard)
        };
        let whole = run(&mut std::iter::repeat(usize::MAX));
        assert_eq!(whole.0.len(), 6, "two messages, two subscriptions, the good-bye, the end");
        assert_eq!(run(&mut std::iter::repeat(1)), whole);
        for cut in 1..script.len() {
            assert_eq!(run(&mut [cut, usize::MAX].into_iter()), whole, "cut at {cut}");
        }
    }
}

#[test]
fn i07_records_that_come_byte_by_byte_change_nothing() {
    for version in BOTH {
        let mut pair = Pair::admitted(version, Limits::default());
        pair.piece = 1;
        let events = pair.say(&[publish(version, 1, EVENTS, &[]), publish(version, 2, EVENTS, &[])].concat());
        assert_eq!(telemetry(&events).iter().map(|one| one.packet_id).collect::<Vec<_>>(), [1, 2]);
    }
}

#[test]
fn a_subscription_is_answered_when_it_is_kept_and_nothing_is_read_before() {
    for version in BOTH {
        let mut pair = Pair::admitted(version, Limits::default());
        let asked = [subscribe(version, 1, &[(INBOX, 2), ("#", 1)]), packet(0xc0, &[])].concat();
        assert_eq!(pair.say(&asked), [Event::Subscription(Some(Qos::AtLeastOnce))]);
        assert_eq!((pair.session.next_event(), pair.down(), pair.session.room()), (Ok(None), vec![], 0));
        assert!(!pair.session.is_settled());
        pair.session.subscription_kept();
        assert_eq!((pair.events(), pair.session.room()), (vec![], 32));
        let granted: &[u8] =
            if version == Version::V311 { &[0x90, 4, 0, 1, 1, 0x80] } else { &[0x90, 5, 0, 1, 0, 1, 0x87] };
        assert_eq!(pair.down(), [granted, &[0xd0, 0]].concat());
        // The same again changes nothing; a lower QoS does; so does its end.
        assert_eq!(pair.say(&subscribe(version, 2, &[(INBOX, 1)])), []);
        assert_eq!(pair.say(&subscribe(version, 3, &[(INBOX, 0)])), [Event::Subscription(Some(Qos::AtMostOnce))]);
        pair.session.subscription_kept();
        assert_eq!(pair.say(&unsubscribe(version, 4, INBOX)), [Event::Subscription(None)]);
        pair.session.subscription_kept();
        assert_eq!(pair.say(&unsubscribe(version, 5, INBOX)), []);
        assert_eq!(pair.session.room(), 0);
        let heard = pair.down();
        let last: &[u8] = if version == Version::V311 { &[0xb0, 2, 0, 5] } else { &[0xb0, 4, 0, 5, 0, 0x11] };
        assert!(heard.ends_with(last), "{heard:x?}");
    }
}

#[test]
fn m04_filters_of_others_are_refused_with_the_reason_that_the_version_has() {
    let filters =
        [("devices/w2/messages/devicebound/#", 1), ("$share/a/b", 1), ("$iothub/methods/POST/#", 0), ("$SYS/#", 0)];
    for (version, codes) in [(Version::V311, [0x80, 0x80, 0x80, 0x80]), (Version::V5, [0x87, 0x9e, 0x83, 0x87])] {
        let mut pair = Pair::admitted(version, Limits::default());
        assert_eq!(pair.say(&subscribe(version, 1, &filters)), []);
        assert!(pair.down().ends_with(&codes));
        assert_eq!(pair.session.room(), 0);
    }
}

#[test]
fn m10_messages_to_a_device_are_bounded_and_acknowledged_one_by_one() {
    for version in BOTH {
        let limits = || {
            let mut limits = Limits::default();
            limits.in_flight_count_max = 4;
            limits
        };
        let admission = || Admission { inbox: Some(Qos::AtLeastOnce), ..Admission::new("w1".into()) };
        let mut pair = Pair::admitted_as(&connect(version, 2, &[]), admission(), limits());
        for number in 1..=4 {
            assert_eq!(pair.session.room(), usize::from(5 - number));
            assert_eq!(pair.session.deliver(&message(number), TODAY), Delivery::Sent);
        }
        assert_eq!(pair.session.room(), 0);
        let heard = pair.down();
        assert_eq!((heard[0], heard.len() % 4), (0x32, 0));
        assert_eq!(
            pair.say(&[[0x40, 2, 0, 2], [0x40, 2, 0, 1]].concat()),
            [2, 1].map(|number| Event::Acknowledged { message: 1_000 + number, reason: 0 })
        );
        assert_eq!(pair.session.room(), 2);
        assert_eq!(pair.fault(&[0x40, 2, 0, 2]), "mqtt_unexpected_packet");
        // The device's own bound counts where it is the smaller one.
        if version == Version::V5 {
            let connect = connect(version, 2, &[&[0x21, 0, 3]]);
            let pair = Pair::admitted_as(&connect, admission(), limits());
            assert_eq!(pair.session.room(), 3);
        }
    }
}

#[test]
fn a_device_says_why_it_does_not_take_a_message() {
    let admission = Admission { inbox: Some(Qos::AtLeastOnce), ..Admission::new("w1".into()) };
    let mut pair = Pair::admitted_as(&connect(Version::V5, 2, &[]), admission, Limits::default());
    assert_eq!(pair.session.deliver(&message(7), TODAY), Delivery::Sent);
    let refused = pair.say(&[0x40, 3, 0, 7, 0x97]);
    assert_eq!(refused, [Event::Acknowledged { message: 1_007, reason: 0x97 }]);
}

#[test]
fn qos_0_is_sent_once_and_a_message_that_is_too_large_is_not_sent() {
    for version in BOTH {
        let admission = Admission { inbox: Some(Qos::AtMostOnce), ..Admission::new("w1".into()) };
        let asked = connect(version, 2, &[&[0x27, 0, 0, 0, 200]]);
        let mut pair = Pair::admitted_as(&asked, admission, Limits::default());
        assert_eq!(pair.session.deliver(&message(1), TODAY), Delivery::SentOnce);
        assert_eq!(pair.down()[0], 0x30);
        let large = Message { payload: vec![0; 200], ..message(2) };
        let wanted = if version == Version::V5 { Delivery::TooLarge } else { Delivery::SentOnce };
        assert_eq!(pair.session.deliver(&large, TODAY), wanted);
        assert_eq!(pair.down().is_empty(), version == Version::V5);
    }
    let mut nobody = Pair::admitted(Version::V5, Limits::default());
    assert_eq!(nobody.session.deliver(&message(1), TODAY), Delivery::NotOpen);
}

#[test]
fn a_redelivery_is_one_only_in_the_session_that_goes_on() {
    for version in BOTH {
        for session_present in [false, true] {
            let admission = Admission { inbox: Some(Qos::AtLeastOnce), session_present, ..Admission::new("w1".into()) };
            let mut pair = Pair::admitted_as(&connect(version, 0, &[]), admission, Limits::default());
            pair.session.deliver(&Message { redelivered: true, ..message(1) }, TODAY);
            assert_eq!(pair.down()[0], if session_present { 0x3a } else { 0x32 });
            // What the connection before was sent may be acknowledged in this one.
            if session_present {
                assert_eq!(pair.say(&[0x40, 2, 0, 9]), []);
            } else {
                assert_eq!(pair.fault(&[0x40, 2, 0, 9]), "mqtt_unexpected_packet");
            }
        }
    }
}

#[test]
fn topic_aliases_stand_for_topics_within_their_bounds() {
    let topic = format!("{EVENTS}a=b");
    let alias = |number: u8| vec![0x23, 0, number];
    let mut pair = Pair::admitted(Version::V5, Limits::default());
    let script = [
        publish(Version::V5, 1, &topic, &[&alias(1)]),
        publish(Version::V5, 2, "", &[&alias(1)]),
        publish(Version::V5, 3, EVENTS, &[&alias(1)]),
        publish(Version::V5, 4, "", &[&alias(1)]),
    ];
    let events = pair.say(&script.concat());
    let counts: Vec<usize> = telemetry(&events).iter().map(|one| one.properties.len()).collect();
    assert_eq!(counts, [1, 1, 0, 0]);
    let faults = |packets: &[Vec<u8>]| Pair::admitted(Version::V5, Limits::default()).fault(&packets.concat());
    assert_eq!(faults(&[publish(Version::V5, 1, "", &[&alias(2)])]), "mqtt_topic_alias_invalid");
    assert_eq!(faults(&[publish(Version::V5, 1, EVENTS, &[&alias(0)])]), "mqtt_topic_alias_invalid");
    assert_eq!(faults(&[publish(Version::V5, 1, EVENTS, &[&alias(9)])]), "mqtt_topic_alias_invalid");
    assert_eq!(
        faults(&[publish(Version::V5, 1, "devices/w2/messages/events/", &[&alias(1)])]),
        "mqtt_topic_not_allowed"
    );
    let long = format!("{EVENTS}a={}", "x".repeat(1_500));
    let three: Vec<Vec<u8>> = (1..=3).map(|number| publish(Version::V5, 1, &long, &[&alias(number)])).collect();
    assert_eq!(faults(&three), "mqtt_quota_exceeded");
}

#[test]
fn m10_more_than_was_announced_ends_5_0_and_waits_in_3_1_1() {
    for version in BOTH {
        let limits = || {
            let mut limits = Limits::default();
            limits.unacknowledged_count_max = 2;
            limits
        };
        let three: Vec<u8> = (1..=3).flat_map(|number| publish(version, number, EVENTS, &[])).collect();
        let mut pair = Pair::admitted(version, limits());
        if version == Version::V5 {
            assert_eq!(pair.fault(&three), "mqtt_receive_maximum_exceeded");
            assert_eq!(pair.down(), [0xe0, 1, 0x93]);
        } else {
            assert_eq!(telemetry(&pair.say(&three)).len(), 2);
            assert!(pair.session.is_blocked());
            pair.session.acknowledge(1);
            assert_eq!(telemetry(&pair.events()).len(), 1);
        }
        // QoS 0 is nobody's to count, and a ping is answered.
        let mut pair = Pair::admitted(version, limits());
        let full: Vec<u8> = (1..=2).flat_map(|number| publish(version, number, EVENTS, &[])).collect();
        let plain = packet(0x30, &[&text(EVENTS), &properties(version, &[]), b"x"]);
        assert_eq!(telemetry(&pair.say(&[full, plain, packet(0xc0, &[])].concat())).len(), 3);
        assert_eq!(pair.down(), [0xd0, 0]);
    }
}

#[test]
fn m09_5_0_is_told_why_it_is_hung_up_on() {
    let cases: [(Vec<u8>, &str, u8); 14] = [
        (connect(Version::V5, 2, &[]), "mqtt_unexpected_packet", 0x82),
        (packet(0xf0, &[]), "mqtt_unexpected_packet", 0x82),
        (packet(0xf0, &[&[0x18, 0]]), "mqtt_unexpected_packet", 0x82),
        (packet(0x00, &[]), "mqtt_unexpected_packet", 0x82),
        (vec![0xc1, 0], "mqtt_bad_flags", 0x81),
        (vec![0x30, 0xff, 0xff, 0xff, 0xff], "mqtt_bad_length", 0x81),
        (vec![0x30, 0xff, 0xff, 0xff, 0x7f], "mqtt_packet_too_large", 0x95),
        (packet(0x34, &[&text(EVENTS), &[0, 1, 0]]), "mqtt_qos_unsupported", 0x9b),
        (packet(0x33, &[&text(EVENTS), &[0, 1, 0]]), "mqtt_retain_unsupported", 0x9a),
        (publish(Version::V5, 1, "devices/w2/messages/events/", &[]), "mqtt_topic_not_allowed", 0x90),
        (publish(Version::V5, 1, EVENTS, &[&[0x01, 3]]), "mqtt_protocol_error", 0x82),
        (packet(0x82, &[&[0, 1, 2, 0x0b, 1], &text(INBOX), &[1]]), "mqtt_subscription_identifier", 0xa1),
        (packet(0x32, &[&text(EVENTS), &[0, 1, 2, 0x01, 1, 0xff]]), "mqtt_payload_format_invalid", 0x99),
        (packet(0xe0, &[&[0, 5, 0x11, 0, 0, 0, 9]]), "mqtt_protocol_error", 0x82),
    ];
    for (bytes, code, reason) in cases {
        let mut pair = Pair::admitted(Version::V5, Limits::default());
        assert_eq!(pair.fault(&[publish(Version::V5, 1, EVENTS, &[]), bytes].concat()), code);
        assert_eq!((pair.down(), pair.ended_cleanly()), (vec![0xe0, 1, reason], true), "{code}");
        assert_eq!((pair.session.next_event(), pair.session.take_output()), (Ok(None), Ok(vec![])));
    }
    // 3.1.1 has no word for it; the end is as clean.
    let mut pair = Pair::admitted(Version::V311, Limits::default());
    assert_eq!(pair.fault(&packet(0xf0, &[])), "mqtt_unexpected_packet");
    assert_eq!((pair.down(), pair.ended_cleanly()), (vec![], true));
}

#[test]
fn the_hub_says_why_it_ends_a_session() {
    for version in BOTH {
        for (reason, code) in [(Reason::SessionTakenOver, 0x8e), (Reason::ServerShuttingDown, 0x8b)] {
            let mut pair = Pair::admitted(version, Limits::default());
            pair.session.finish(reason);
            let wanted = if version == Version::V5 { vec![0xe0, 1, code] } else { vec![] };
            assert_eq!((pair.down(), pair.ended_cleanly()), (wanted, true));
            assert_eq!(pair.events(), [Event::Finish]);
        }
    }
}

#[test]
fn a_good_bye_is_the_last_word_and_says_what_becomes_of_the_will() {
    let with_expiry = connect(Version::V5, 2, &[&[0x11, 0, 0, 0, 60]]);
    let mut pair = Pair::admitted_as(&with_expiry, Admission::new("w1".into()), Limits::default());
    let goodbye = Goodbye { with_will: true, session_expiry_seconds: Some(9) };
    assert_eq!(pair.say(&packet(0xe0, &[&[4, 5, 0x11, 0, 0, 0, 9]])), [Event::Disconnect(goodbye), Event::Finish]);
    assert_eq!((pair.down(), pair.ended_cleanly()), (vec![], true));
}

#[test]
fn a_connect_of_5_0_that_cannot_be_read_is_answered_with_the_reason() {
    let authentication: &[&[u8]] = &[&[0x15], &text("SCRAM")];
    let cases = [
        (connect(Version::V5, 3, &[]), 0x81),
        (connect(Version::V5, 2, &[&[0x21, 0, 0]]), 0x82),
        (connect(Version::V5, 2, &[&[0x23, 0, 1]]), 0x81),
    ];
    for (bytes, reason) in cases {
        let mut pair = Pair::accepted(Limits::default());
        pair.fault(&bytes);
        assert_eq!((pair.down(), pair.ended_cleanly()), (vec![0x20, 3, 0, reason, 0], true));
    }
    // Nothing is said to whoever is refused but their one answer, and of 3.1.1 nothing at all.
    let mut pair = Pair::accepted(Limits::default());
    pair.session.refuse(Reason::NotAuthorized);
    pair.fault(&connect(Version::V5, 3, &[]));
    assert_eq!(pair.down(), []);
    let mut pair = Pair::accepted(Limits::default());
    pair.fault(&connect(Version::V311, 3, &[]));
    assert_eq!(pair.down(), []);
    let mut pair = Pair::accepted(Limits::default());
    let events = pair.say(&connect(Version::V5, 2, authentication));
    assert!(matches!(events.as_slice(), [Event::Connect(connect)] if connect.has_authentication_method));
}

#[test]
fn i01_a_refused_peer_is_answered_in_its_own_version() {
    for (bytes, version) in [
        (connect(Version::V311, 0, &[]), Version::V311),
        (connect(Version::V5, 2, &[]), Version::V5),
        (connect(Version::V5, 2, &[&[0x15], &text("SCRAM")]), Version::V5),
    ] {
        let mut pair = Pair::accepted(Limits::default());
        let id = pair.session.refuse(Reason::NotAuthorized);
        let answer = if version == Version::V311 {
            vec![0x20, 2, 0, 5]
        } else {
            [&[0x20, 34, 0, 0x87, 31, 0x1f, 0, 28][..], format!("tracking id {id}").as_bytes()].concat()
        };
        assert_eq!(pair.say(&[bytes, publish(Version::V5, 1, EVENTS, &[])].concat()), [Event::Finish]);
        assert_eq!((pair.down(), pair.ended_cleanly()), (answer, true));
    }
}
