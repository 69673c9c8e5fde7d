//! The only file that names rustls: a client that shows what it is told to show, and believes every server.
//!
//! A pretend device has no secret to keep from a false hub, so the server's chain is not judged; what is measured is the server.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientConfig, ClientConnection, ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{
    AlertDescription, DigitallySignedStruct, Error as TlsError, HandshakeKind, NamedGroup, SignatureAlgorithm,
    SignatureScheme, version,
};

use crate::crypto::Key;
use crate::error::Error;

/// Which version is spoken, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "older ones are dead, newer ones are new decisions")]
pub enum Version {
    /// RFC 5246 with RFC 7627.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// What is shown in the handshake.
pub(crate) struct Shown {
    /// End entity first, DER.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: Key,
    pub(crate) wrong_signature: bool,
}

/// What all connections of a crowd have in common.
#[derive(Debug)]
pub(crate) struct Tls {
    config: ClientConfig,
    name: ServerName<'static>,
    /// By device, where they come back by what they were given: the library wants the very same that was shown before.
    kept: Option<HashMap<u64, Kept>>,
}

/// What a device keeps between its connections.
#[derive(Clone, Debug)]
struct Kept {
    shows: Arc<Shows>,
    ticket: Arc<Ticket>,
}

impl Tls {
    pub(crate) fn new(version: Version, server_name: &str, resume: bool) -> Result<Self, Error> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| Error::new("bad_fleet", format!("'{server_name}' is no name of a server")))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions = match version {
            Version::Tls12 => &[&version::TLS12],
            Version::Tls13 => &[&version::TLS13],
        };
        let verifier = Arc::new(AnyServer(Arc::clone(&provider)));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| Error::new("bad_fleet", error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        // Unless devices keep tickets, every connection is a full handshake, whatever the server hands out.
        config.resumption = Resumption::disabled();
        Ok(Self { config, name, kept: resume.then(HashMap::new) })
    }

    /// A connection of the device of this number.
    pub(crate) fn connection(&mut self, number: u64, shown: Option<Shown>) -> Result<Connection, Error> {
        let mut config = self.config.clone();
        let shows = || Arc::new(Shows::of(shown));
        if let Some(kept) = &mut self.kept {
            let fresh = || Kept { shows: shows(), ticket: Arc::default() };
            let Kept { shows, ticket } = kept.entry(number).or_insert_with(fresh).clone();
            config.client_auth_cert_resolver = shows;
            config.resumption = Resumption::store(ticket);
        } else {
            config.client_auth_cert_resolver = shows();
        }
        let mut connection = ClientConnection::new(Arc::new(config), self.name.clone())
            .map_err(|error| Error::new("bad_fleet", error.to_string()))?;
        connection.set_buffer_limit(None);
        Ok(Connection(connection))
    }
}

/// Presents a chain with whatever key it is given: the library's own helper would compare the two.
#[derive(Debug)]
struct Shows(Option<Arc<CertifiedKey>>);

impl Shows {
    fn of(shown: Option<Shown>) -> Self {
        Self(shown.map(|shown| {
            let chain = shown.chain.into_iter().map(CertificateDer::from).collect();
            let key = Arc::new(DeviceKey(Arc::new(shown.key), shown.wrong_signature));
            Arc::new(CertifiedKey::new(chain, key))
        }))
    }
}

/// The last ticket of TLS 1.3, used once: the store of a device that talks to one server.
#[derive(Debug, Default)]
struct Ticket(Mutex<Option<Tls13ClientSessionValue>>);

impl ClientSessionStore for Ticket {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// A key, and whether it signs something else than it is asked to.
#[derive(Clone, Debug)]
struct DeviceKey(Arc<Key>, bool);

impl SigningKey for DeviceKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let fits = offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256);
        fits.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for DeviceKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TlsError> {
        let Self(key, wrong) = self;
        let signature = key.sign(if *wrong { b"something else" } else { message });
        signature.map_err(|error| TlsError::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// One client connection; it reads from memory and writes into it.
#[derive(Debug)]
pub(crate) struct Connection(ClientConnection);

impl Connection {
    /// Takes `input` in and appends what it decrypts to `plaintext`.
    ///
    /// # Errors
    /// The name of the ending: `tls_alert_…` is the server's word, `tls_error` is ours about the server.
    pub(crate) fn feed(&mut self, mut input: &[u8], plaintext: &mut Vec<u8>) -> Result<(), String> {
        while !input.is_empty() {
            match self.0.read_tls(&mut input) {
                Ok(1..) => {}
                Ok(0) => return Ok(()), // after close_notify
                Err(_) => return Err("tls_error".to_owned()),
            }
            let state = self.0.process_new_packets().map_err(|error| ending(&error))?;
            let before = plaintext.len();
            plaintext.resize(before + state.plaintext_bytes_to_read(), 0);
            self.0.reader().read_exact(&mut plaintext[before..]).map_err(|_| "tls_error".to_owned())?;
            if state.peer_has_closed() {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Whether the server has taken a ticket instead of a proof.
    pub(crate) fn is_resumed(&self) -> bool {
        self.0.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    pub(crate) fn send(&mut self, plaintext: &[u8]) {
        // Into memory without a limit: it cannot fall short.
        let _written = self.0.writer().write_all(plaintext);
    }

    pub(crate) fn close_notify(&mut self) {
        self.0.send_close_notify();
    }

    /// Appends what is to be sent to `output`.
    pub(crate) fn drain(&mut self, output: &mut Vec<u8>) {
        while self.0.wants_write() {
            if !matches!(self.0.write_tls(output), Ok(1..)) {
                return;
            }
        }
    }
}

fn ending(error: &TlsError) -> String {
    if let TlsError::AlertReceived(alert) = error {
        return format!("tls_alert_{}", alert_name(*alert));
    }
    "tls_error".to_owned()
}

/// `BadCertificate` as RFC 8446 §6 writes it: `bad_certificate`.
fn alert_name(alert: AlertDescription) -> String {
    let mut name = String::new();
    for character in format!("{alert:?}").chars() {
        if character.is_ascii_uppercase() && !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        name.push(if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '_' });
    }
    // Spelt as one word, not as two letters.
    name.replace("unknown_c_a", "unknown_ca")
}
