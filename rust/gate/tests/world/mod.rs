//! A gate and real TLS clients in one memory: certificates by rcgen, clients by rustls, a clock that the test moves.
#![allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::large_types_passed_by_value,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "a test's tool box: it fails by panicking, and each test uses its part"
)]

use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::Arc;

use holdfast_gate::{
    Gate, Limits, Note, Now, Request, Tickets, TlsConfig, ToldAdmission, Value, read_admissions, write_admissions,
};
use holdfast_roster::{KeyHash, Pin, Trust};
use holdfast_x509::{Anchors, Closures, UnixSeconds};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection, ResolvesClientCert};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion, version};

/// 2026-06-01: inside of rcgen's default validity.
pub const TODAY: UnixSeconds = UnixSeconds(1_780_272_000);
pub const SOURCE: &str = "127.0.0.9";
pub const BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

pub struct Ca {
    pub der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
    /// Intermediates from this CA upward, without the root.
    chain: Vec<Vec<u8>>,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

impl Ca {
    pub fn root(name: &str) -> Self {
        let (mut params, key) = (params(name), key());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key), chain: Vec::new() }
    }

    pub fn intermediate(&self, name: &str) -> Self {
        let (mut params, key) = (params(name), key());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        let chain = std::iter::once(der.clone()).chain(self.chain.iter().cloned()).collect();
        Self { der, issuer: Issuer::new(params, key), chain }
    }

    pub fn device(&self, id: &str) -> Device {
        self.device_until(id, 2030)
    }

    /// A device whose certificate ends with the given year.
    pub fn device_until(&self, id: &str, year: i32) -> Device {
        let (mut params, key) = (params(id), key());
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Device { chain: std::iter::once(der).chain(self.chain.iter().cloned()).collect(), key: key.serialize_der() }
    }
}

#[derive(Clone)]
pub struct Device {
    pub chain: Vec<Vec<u8>>,
    pub key: Vec<u8>,
}

/// Presents a chain with whatever key it is given: the library's own helper would compare the two.
#[derive(Debug)]
struct Shows(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// The gate's certificate is not what these tests are about.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub fn client_config(device: Option<&Device>, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    client_config_of(device, version, |_| {})
}

/// The same, with a provider that was changed.
pub fn client_config_of(
    device: Option<&Device>,
    version: &'static SupportedProtocolVersion,
    change: impl FnOnce(&mut CryptoProvider),
) -> Arc<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    change(&mut provider);
    let shown = device.map(|device| {
        let key = PrivateKeyDer::try_from(device.key.clone()).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        Arc::new(CertifiedKey::new(device.chain.iter().cloned().map(CertificateDer::from).collect(), key))
    });
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_client_cert_resolver(Arc::new(Shows(shown)));
    Arc::new(config)
}

pub const TICKET_KEY: [u8; 32] = [7; 32];

/// A certificate of a gate, and its key.
fn own_certificate() -> (Vec<u8>, Vec<u8>) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (own.cert.der().to_vec(), own.signing_key.serialize_der())
}

pub struct World {
    pub gate: Gate,
    pub tickets: Arc<Tickets>,
    pub now: Now,
    pub root: Ca,
    pub tech: Ca,
    pub closures: Arc<Closures>,
    pub successions: Arc<HashSet<(KeyHash, KeyHash)>>,
    /// Whether somebody renews the gate's lease as time passes.
    pub supervised: bool,
    /// Everything the gate asked for, in order.
    pub log: Vec<Request>,
}

impl World {
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub fn with_limits(limits: Limits) -> Self {
        let tickets = Tickets::new("company-x", "mqtt", limits.tickets_count_max);
        tickets.set_keys(vec![TICKET_KEY]);
        Self::with_tickets(limits, tickets)
    }

    pub fn with_tickets(limits: Limits, tickets: Tickets) -> Self {
        let (own, tickets) = (own_certificate(), Arc::new(tickets));
        let tls = TlsConfig::new(vec![own.0], own.1).unwrap().with_tickets(Arc::clone(&tickets));
        let root = Ca::root("Company-X");
        let tech = root.intermediate("Factory-Y").intermediate("Technician-Z");
        let mut world = Self {
            gate: Gate::new(tls, limits),
            tickets,
            now: Now { monotonic_ms: 0, unix: TODAY },
            root,
            tech,
            closures: Arc::default(),
            successions: Arc::default(),
            supervised: true,
            log: Vec::new(),
        };
        world.trust(1, &[world.root.der.clone()]);
        world
    }

    pub fn trust(&mut self, epoch: u64, anchors: &[Vec<u8>]) {
        let anchors = Arc::new(Anchors::new(anchors.iter().cloned()).unwrap());
        let trust = Trust {
            epoch,
            anchors,
            closures: Arc::clone(&self.closures),
            successions: Arc::clone(&self.successions),
            clock_floor: UnixSeconds(0),
        };
        let requests = self.gate.replace_trust(trust, self.now);
        self.log.extend(requests);
    }

    /// What another worker has told of whom it has let in (or this one, if `ours`) comes back in its order.
    pub fn placed(&mut self, ours: bool, told: &[ToldAdmission]) {
        let octets = write_admissions(told);
        let placed: Vec<_> = read_admissions(&octets).unwrap().into_iter().map(|told| (ours, told)).collect();
        let requests = self.gate.fence(placed, self.now);
        self.log.extend(requests);
    }

    pub fn pin(&mut self, device_id: &str, pin: Pin) {
        let requests = self.gate.amend_device(device_id, pin, self.now);
        self.log.extend(requests);
    }

    pub fn connect(&mut self, config: &Arc<ClientConfig>) -> Client {
        self.connect_from(SOURCE, config)
    }

    pub fn connect_from(&mut self, source: &str, config: &Arc<ClientConfig>) -> Client {
        let (handle, requests) = self.gate.open(source.parse().ok(), self.now);
        self.log.extend(requests);
        let tls = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap();
        Client {
            handle: handle.expect("room for a connection"),
            tls,
            error: None,
            finished: false,
            closed: false,
            read: Vec::new(),
        }
    }

    /// A device that connects and is admitted, its claim committed where there is one.
    pub fn admit(&mut self, device: &Device, id: &str, version: &'static SupportedProtocolVersion) -> Client {
        let mut client = self.connect(&client_config(Some(device), version));
        client.say(&connect_packet(id));
        self.run(&mut client);
        if self.claims() > 0 {
            self.answer_claim(client.handle, None);
            self.run(&mut client);
        }
        assert_eq!(client.read, [0x20, 2, 0, 0], "{:?}", self.codes());
        client.read.clear();
        client
    }

    pub fn answer_claim(&mut self, handle: u64, code: Option<&str>) {
        let requests = self.gate.claimed(handle, code, self.now);
        self.log.extend(requests);
    }

    /// Carries bytes both ways until nothing moves.
    pub fn run(&mut self, client: &mut Client) {
        self.run_in_pieces(client, usize::MAX);
    }

    /// Carries bytes both ways until nothing moves; time stands still, and no batch is judged.
    pub fn carry(&mut self, client: &mut Client) {
        while self.carry_once(client, usize::MAX) {}
    }

    fn carry_once(&mut self, client: &mut Client, size: usize) -> bool {
        let mut moved = self.deliver(client);
        let bytes = client.hello();
        for piece in bytes.chunks(size) {
            moved = true;
            let requests = self.gate.receive(client.handle, piece, self.now);
            self.log.extend(requests);
            self.take_turns();
        }
        moved
    }

    /// What the loop does in its next turns, until nobody waits for one.
    pub fn take_turns(&mut self) {
        while let Some(index) = self.log.iter().position(|request| *request == Request::Turn) {
            self.log.remove(index);
            let requests = self.gate.turn(self.now);
            self.log.extend(requests);
        }
    }

    /// As `run`, the client's bytes cut into pieces of `size`.
    pub fn run_in_pieces(&mut self, client: &mut Client, size: usize) {
        while self.carry_once(client, size) || self.keep_time() {}
    }

    /// Gives the client what the gate has sent it, and takes what it reads.
    pub fn deliver(&mut self, client: &mut Client) -> bool {
        let mut moved = false;
        for request in &mut self.log {
            match request {
                Request::Send { handle, data } if *handle == client.handle && !data.is_empty() => {
                    moved = true;
                    client.take(&std::mem::take(data));
                }
                Request::Finish { handle } if *handle == client.handle => client.finished = true,
                Request::Close { handle } if *handle == client.handle => client.closed = true,
                _ => {}
            }
        }
        moved
    }

    /// Does what the loop does between two reads: judges a batch that is large, ticks where that was asked for.
    fn keep_time(&mut self) -> bool {
        let (batch, requests) = self.gate.take_batch(self.now);
        self.log.extend(requests);
        let judged = batch.is_some_and(|batch| {
            let requests = self.gate.deliver(batch.judge(), self.now);
            self.log.extend(requests);
            true
        });
        let asked = self.log.iter().position(|request| matches!(request, Request::Tick { .. }));
        if let Some(Request::Tick { after_ms }) = asked.map(|index| self.log.remove(index)) {
            self.tick_after(after_ms);
        }
        judged || asked.is_some()
    }

    pub fn tick_after(&mut self, milliseconds: u64) {
        self.now.monotonic_ms += milliseconds;
        if self.supervised {
            self.gate.renew_lease(self.now);
        }
        let requests = self.gate.tick(self.now);
        self.log.extend(requests);
    }

    pub fn claims(&self) -> usize {
        self.log.iter().filter(|request| matches!(request, Request::Claim(_))).count()
    }

    /// How many CA certificates each path has that was told.
    pub fn paths(&self) -> Vec<usize> {
        let length = |request: &Request| match request {
            Request::Path { chain } => Some(chain.len()),
            _ => None,
        };
        self.log.iter().filter_map(length).collect()
    }

    pub fn stores(&self) -> Vec<u16> {
        let packet_id = |request: &Request| match request {
            Request::Store { telemetry, .. } => Some(telemetry.packet_id),
            _ => None,
        };
        self.log.iter().filter_map(packet_id).collect()
    }

    pub fn notes(&self, event: &str) -> Vec<&Note> {
        self.log
            .iter()
            .filter_map(|request| match request {
                Request::Note(note) if note.event == event => Some(note),
                _ => None,
            })
            .collect()
    }

    /// Codes of refusals so far.
    pub fn codes(&self) -> Vec<String> {
        self.notes("refused").into_iter().map(|note| fact(note, "code")).collect()
    }

    /// Reasons for which sessions were closed so far.
    pub fn closed(&self) -> Vec<String> {
        self.notes("closed").into_iter().map(|note| fact(note, "reason")).collect()
    }
}

pub fn fact(note: &Note, name: &str) -> String {
    match note.fields.iter().find(|(known, _)| *known == name) {
        Some((_, Value::Text(text))) => text.clone(),
        Some((_, Value::Number(number))) => number.to_string(),
        Some((_, Value::Truth(truth))) => truth.to_string(),
        None => String::new(),
    }
}

pub struct Client {
    pub handle: u64,
    pub tls: ClientConnection,
    pub error: Option<Error>,
    pub finished: bool,
    pub closed: bool,
    pub read: Vec<u8>,
}

impl Client {
    pub fn say(&mut self, packet: &[u8]) {
        self.tls.writer().write_all(packet).unwrap();
    }

    /// What the client wants to send now.
    pub fn hello(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.error.is_none() {
            if self.tls.read_tls(&mut bytes).unwrap() == 0 {
                return;
            }
            match self.tls.process_new_packets() {
                Ok(state) => {
                    let mut room = vec![0; state.plaintext_bytes_to_read()];
                    self.tls.reader().read_exact(&mut room).unwrap();
                    self.read.extend(room);
                }
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Whether the peer said `close_notify`: the clean end that lets a stock client read the answer before it.
    pub fn ended_cleanly(&mut self) -> bool {
        matches!(self.tls.reader().read(&mut [0]), Ok(0))
    }
}

pub fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 16_384);
    let length = u16::try_from(body.len()).unwrap();
    let length =
        if length < 128 { vec![length as u8] } else { vec![(length % 128) as u8 | 0x80, (length / 128) as u8] };
    [&[kind], length.as_slice(), body].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

pub fn connect_packet(id: &str) -> Vec<u8> {
    packet(0x10, &[text("MQTT"), vec![4, 2, 0, 60], text(id)].concat())
}

pub fn connect_as(id: &str, user_name: &str) -> Vec<u8> {
    packet(0x10, &[text("MQTT"), vec![4, 0x82, 0, 60], text(id), text(user_name)].concat())
}

/// A CONNECT of 5.0 with these flags and properties.
pub fn connect_v5(id: &str, flags: u8, properties: &[u8]) -> Vec<u8> {
    let head = [text("MQTT"), vec![5, flags, 0, 60, properties.len() as u8], properties.to_vec()].concat();
    packet(0x10, &[head, text(id)].concat())
}

/// A CONNACK of 5.0 that says no, without its tracking id; anything else as it is.
pub fn untracked(read: &[u8]) -> Vec<u8> {
    match read {
        [0x20, 34, 0, reason, 31, 0x1f, 0, 28, text @ ..] if text.starts_with(b"tracking id ") => {
            [&[0x20, 3, 0, *reason, 0], &text[28..]].concat()
        }
        _ => read.to_vec(),
    }
}

pub fn publish_packet(id: &str, packet_id: u16) -> Vec<u8> {
    let topic = text(&format!("devices/{id}/messages/events/a=b"));
    packet(0x32, &[topic, packet_id.to_be_bytes().to_vec(), b"hello".to_vec()].concat())
}
