//! Our record layer against the TLS library's, over every suite and both versions: the differential of `trust.md` §1.7.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

mod pair;

use std::io::{Read, Write};
use std::sync::Arc;

use holdfast_session::{Admission, Event, Goodbye, Limits, Session, TlsConfig};
use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{Error, RootCertStore, SupportedCipherSuite, version};

fn text(value: &str) -> Vec<u8> {
    [&u16::try_from(value.len()).unwrap().to_be_bytes(), value.as_bytes()].concat()
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let seven = u8::try_from(length % 128).unwrap();
        length /= 128;
        packet.push(if length > 0 { seven | 0x80 } else { seven });
        if length == 0 {
            break;
        }
    }
    [packet, body.to_vec()].concat()
}

fn connect() -> Vec<u8> {
    packet(0x10, &[text("MQTT"), vec![4, 2, 0, 60], text("w1")].concat())
}

fn publish(id: u16, payload: &[u8]) -> Vec<u8> {
    packet(0x32, &[text("devices/w1/messages/events/"), id.to_be_bytes().to_vec(), payload.to_vec()].concat())
}

/// A client of the library's that speaks one suite, and a session of ours that has admitted it.
struct Pair {
    client: ClientConnection,
    session: Session,
    heard: Vec<u8>,
}

impl Pair {
    fn new(suite: SupportedCipherSuite) -> Self {
        let algorithm = match suite {
            SupportedCipherSuite::Tls12(suite) if format!("{suite:?}").contains("RSA") => &rcgen::PKCS_RSA_SHA256,
            _ => &rcgen::PKCS_ECDSA_P256_SHA256,
        };
        let signing_key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let own = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&signing_key).unwrap();
        let (certificate, key) = (own.der().clone(), signing_key.serialize_der());
        let config = TlsConfig::new(vec![certificate.to_vec()], key.clone()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = vec![suite];
        let version = match suite {
            SupportedCipherSuite::Tls12(_) => &version::TLS12,
            SupportedCipherSuite::Tls13(_) => &version::TLS13,
        };
        let client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], PrivateKeyDer::try_from(key).unwrap())
            .unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut pair = Self {
            client: ClientConnection::new(Arc::new(client), name).unwrap(),
            session: Session::new(&config, Limits::default()),
            heard: Vec::new(),
        };
        pair.client.writer().write_all(&connect()).unwrap();
        for _ in 0..8 {
            for event in pair.up() {
                match event {
                    Event::Presented(_) => pair.session.accept(),
                    Event::Connect(_) => pair.session.admit(Admission::new("w1".into())).unwrap(),
                    other => panic!("{other:?}"),
                }
            }
            pair.down();
        }
        assert_eq!(pair.heard, [0x20, 2, 0, 0]);
        pair.heard.clear();
        pair
    }

    /// Everything that the client has to say, one byte at a time where that is asked for.
    fn up_in(&mut self, size: usize) -> Vec<Event> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        let mut events = Vec::new();
        for piece in bytes.chunks(size) {
            self.session.receive(piece).unwrap();
            while let Some(event) = self.session.next_event().unwrap() {
                let stop = matches!(event, Event::Presented(_) | Event::Connect(_));
                events.push(event);
                if stop {
                    break;
                }
            }
        }
        // What was held back by a call that the test will make only now.
        if let Some(event) = self.session.next_event().unwrap() {
            events.push(event);
        }
        events
    }

    fn up(&mut self) -> Vec<Event> {
        self.up_in(usize::MAX)
    }

    fn down(&mut self) {
        self.heard.extend(pair::hear(&mut self.session, &mut self.client));
    }

    /// Publishes `count` messages and reads the acknowledgements; with `piece` octets at a time.
    fn exchange(&mut self, ids: std::ops::Range<u16>, length: usize, piece: usize) {
        for id in ids.clone() {
            self.client.writer().write_all(&publish(id, &vec![u8::try_from(id % 256).unwrap(); length])).unwrap();
        }
        let events = self.up_in(piece);
        let received: Vec<(u16, usize)> = events
            .iter()
            .map(|event| match event {
                Event::Telemetry(telemetry) => (telemetry.packet_id, telemetry.payload.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(received, ids.clone().map(|id| (id, length)).collect::<Vec<_>>());
        ids.clone().for_each(|id| self.session.acknowledge(id));
        self.down();
        let wanted: Vec<u8> = ids.flat_map(|id| [0x40, 2, id.to_be_bytes()[0], id.to_be_bytes()[1]]).collect();
        assert_eq!(std::mem::take(&mut self.heard), wanted);
    }
}

fn suites() -> Vec<SupportedCipherSuite> {
    let all = aws_lc_rs::default_provider().cipher_suites;
    assert_eq!(all.len(), 9, "three of TLS 1.3, six of TLS 1.2");
    all
}

#[test]
fn every_suite_carries_data_both_ways_however_it_is_cut() {
    for suite in suites() {
        let mut pair = Pair::new(suite);
        pair.exchange(1..4, 10, 1);
        pair.exchange(4..10, 1_000, 7);
        pair.exchange(10..20, 0, usize::MAX);
        pair.exchange(20..23, 20_000, 4_096);
    }
}

#[test]
fn both_sides_change_their_keys_and_go_on() {
    for suite in suites().into_iter().filter(|suite| matches!(suite, SupportedCipherSuite::Tls13(_))) {
        let mut pair = Pair::new(suite);
        for round in 0..5u16 {
            // The library asks for an answer with each of its updates.
            pair.client.refresh_traffic_keys().unwrap();
            pair.exchange(10 * round + 1..10 * round + 4, 100, 11);
        }
    }
}

#[test]
fn a_key_update_before_the_connect_is_followed() {
    // The updates stand between Finished and CONNECT, when the library still has the connection.
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (own.cert.der().clone(), own.signing_key.serialize_der());
    let config = TlsConfig::new(vec![certificate.to_vec()], key.clone()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], PrivateKeyDer::try_from(key).unwrap())
        .unwrap();
    let mut pair = Pair {
        client: ClientConnection::new(Arc::new(client), ServerName::try_from("localhost").unwrap()).unwrap(),
        session: Session::new(&config, Limits::default()),
        heard: Vec::new(),
    };
    let mut said = false;
    for _ in 0..8 {
        for event in pair.up() {
            match event {
                Event::Presented(_) => pair.session.accept(),
                Event::Connect(_) => pair.session.admit(Admission::new("w1".into())).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        pair.down();
        if !pair.client.is_handshaking() && !std::mem::replace(&mut said, true) {
            pair.client.refresh_traffic_keys().unwrap();
            pair.client.refresh_traffic_keys().unwrap();
            pair.client.writer().write_all(&connect()).unwrap();
        }
    }
    assert_eq!(pair.heard, [0x20, 2, 0, 0]);
    pair.heard.clear();
    pair.exchange(1..20, 300, 64);
}

#[test]
fn a_disconnect_is_answered_by_close_notify() {
    for suite in suites() {
        let mut pair = Pair::new(suite);
        pair.client.writer().write_all(&[0xe0, 0]).unwrap();
        let goodbye = Goodbye { with_will: false, session_expiry_seconds: None };
        assert_eq!(pair.up(), [Event::Disconnect(goodbye), Event::Finish]);
        pair.down();
        let mut nothing = Vec::new();
        assert_eq!(pair.client.reader().read_to_end(&mut nothing).unwrap(), 0, "a clean end, not a missing one");
    }
}

#[test]
fn a_record_that_was_tampered_with_is_answered_by_an_alert() {
    for suite in suites() {
        let mut pair = Pair::new(suite);
        pair.client.writer().write_all(&publish(1, b"x")).unwrap();
        let mut bytes = Vec::new();
        pair.client.write_tls(&mut bytes).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(pair.session.receive(&bytes).unwrap_err().code(), "tls_error");
        assert_eq!(pair.session.next_event(), Ok(None));
        let output = pair.session.take_output().unwrap();
        pair.client.read_tls(&mut output.as_slice()).unwrap();
        let heard = pair.client.process_new_packets().unwrap_err();
        assert_eq!(heard, Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
    }
}
