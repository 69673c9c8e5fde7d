//! A session and a TLS client at its other end, in memory.
#![allow(
    dead_code,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test's tool box: it fails by panicking, and each test uses its part"
)]

use std::io::{ErrorKind, Read};
use std::sync::Arc;

use holdfast_session::{Event, KnownKeys, Limits, Session, Tickets, TlsConfig};
use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, SupportedProtocolVersion};

/// A certificate of its own issue, and its key.
pub fn own() -> (CertificateDer<'static>, Vec<u8>) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (own.cert.der().clone(), own.signing_key.serialize_der())
}

pub fn pair(version: &'static SupportedProtocolVersion) -> (Session, ClientConnection) {
    let own = own();
    let key = own.1.clone();
    pair_of(version, own, &key, None)
}

/// The same with a listener that gives tickets.
pub fn pair_with_tickets(version: &'static SupportedProtocolVersion) -> (Session, ClientConnection) {
    let (certificate, key) = own();
    let tickets = Arc::new(Tickets::new("t", "l", 10));
    tickets.set_keys(vec![[1; 32]]);
    let config = TlsConfig::new(vec![certificate.to_vec()], key.clone()).unwrap().with_tickets(tickets);
    client_of(version, certificate, &key, &config)
}

/// The client shows the listener's own certificate and signs with `key`, whether that is the certificate's or not.
pub fn pair_of(
    version: &'static SupportedProtocolVersion,
    (certificate, own_key): (CertificateDer<'static>, Vec<u8>),
    key: &[u8],
    known_keys: Option<Arc<dyn KnownKeys>>,
) -> (Session, ClientConnection) {
    let mut config = TlsConfig::new(vec![certificate.to_vec()], own_key).unwrap();
    if let Some(known_keys) = known_keys {
        config = config.with_known_keys(known_keys);
    }
    client_of(version, certificate, key, &config)
}

fn client_of(
    version: &'static SupportedProtocolVersion,
    certificate: CertificateDer<'static>,
    key: &[u8],
    config: &TlsConfig,
) -> (Session, ClientConnection) {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::try_from(key.to_vec()).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key))));
    let name = ServerName::try_from("localhost").unwrap();
    (Session::new(config, Limits::default()), ClientConnection::new(Arc::new(client), name).unwrap())
}

/// Carries bytes both ways until the session has something to say of its peer.
pub fn until_presented(session: &mut Session, client: &mut ClientConnection) -> Event {
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

/// What the client reads of all that the session has to say.
pub fn hear(session: &mut Session, client: &mut ClientConnection) -> Vec<u8> {
    give(client, &session.take_output().unwrap());
    let mut heard = Vec::new();
    match client.reader().read_to_end(&mut heard) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
    heard
}

pub fn give(client: &mut ClientConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
    }
}
