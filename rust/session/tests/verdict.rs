//! What leaves a session while its verdict is awaited, however long that takes (I1, `trust.md` §1.4).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::sync::Arc;

use holdfast_session::{Admission, Event, Limits, Reason, Session, TlsConfig};
use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{RootCertStore, SupportedProtocolVersion, version};

const CONNECT: &[u8] = &[0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 2, b'w', b'1'];

fn pair(version: &'static SupportedProtocolVersion) -> (Session, ClientConnection) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (own.cert.der().clone(), own.signing_key.serialize_der());
    let config = TlsConfig::new(vec![certificate.to_vec()], key.clone()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], PrivateKeyDer::try_from(key).unwrap())
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    (Session::new(&config, Limits::default()), ClientConnection::new(Arc::new(client), name).unwrap())
}

/// Carries bytes both ways until the session has something to say of its peer.
fn until_presented(session: &mut Session, client: &mut ClientConnection) -> Event {
    for _ in 0..10 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        session.receive(&bytes).unwrap();
        if let Some(event) = session.next_event().unwrap() {
            return event;
        }
        give(client, &session.take_output().unwrap());
    }
    panic!("the handshake does not end");
}

fn give(client: &mut ClientConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
    }
}

#[test]
fn i01_tls_12_hears_our_finished_only_after_the_verdict() {
    let (mut session, mut client) = pair(&version::TLS12);
    assert!(matches!(until_presented(&mut session, &mut client), Event::Presented(_)));
    assert_eq!(session.take_output().unwrap(), []);
    assert_eq!(session.next_event(), Ok(None));
    assert!(client.is_handshaking());
    session.refuse(Reason::NotAuthorized);
    give(&mut client, &session.take_output().unwrap());
    assert!(!client.is_handshaking());
}

#[test]
fn l07_pipelined_bytes_wait_inside_until_the_verdict_and_a_refusal_never_hands_them_out() {
    let (mut session, mut client) = pair(&version::TLS13);
    client.writer().write_all(CONNECT).unwrap();
    client.writer().write_all(&[0x30, 4, 0, 1, b't', b'x']).unwrap();
    assert!(matches!(until_presented(&mut session, &mut client), Event::Presented(_)));
    for _ in 0..3 {
        assert_eq!((session.next_event(), session.take_output().unwrap()), (Ok(None), vec![]));
    }
    session.refuse(Reason::NotAuthorized);
    assert_eq!(session.next_event(), Ok(Some(Event::Finish)));
    assert_eq!(session.next_event(), Ok(None));
    give(&mut client, &session.take_output().unwrap());
    // A verdict that comes again, or the other way, moves nothing.
    session.accept();
    session.admit(Admission::new("w1".into())).unwrap();
    assert_eq!((session.next_event(), session.take_output().unwrap()), (Ok(None), vec![]));
}

#[test]
fn l07_nothing_but_accept_leads_to_connect_and_nothing_but_admit_to_an_open_session() {
    let (mut session, mut client) = pair(&version::TLS13);
    // Before anybody was presented.
    session.accept();
    session.admit(Admission::new("w1".into())).unwrap();
    client.writer().write_all(CONNECT).unwrap();
    assert!(matches!(until_presented(&mut session, &mut client), Event::Presented(_)));
    session.admit(Admission::new("w1".into())).unwrap();
    assert_eq!(session.next_event(), Ok(None));
    session.accept();
    assert!(matches!(session.next_event(), Ok(Some(Event::Connect(_)))));
    assert_eq!(session.next_event(), Ok(None));
    session.admit(Admission::new("w1".into())).unwrap();
    assert!(!session.take_output().unwrap().is_empty());
}
