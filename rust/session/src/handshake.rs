//! The file that names the TLS library, with `sha256.rs`: its settings, the slot that carries a chain out of its callbacks, the stepping,
//! and the keys that it leaves behind.
//!
//! The peer's possession of its key is checked inside the handshake, in the library's own callback (`trust.md` §1.1); the chain is only
//! set aside there and judged later. What the library's verifier would have done is done here (§1.5): the scheme was offered,
//! TLS 1.3 binds it to the curve and knows no PKCS #1 v1.5 and no SHA-1, TLS 1.2 does not bind the curve.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::sync::Arc;

use ::aws_lc_rs::digest::{self, Digest, SHA256, SHA256_OUTPUT_LEN};
use ::aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use holdfast_x509::{Certificate, PublicKeyAlgorithm, UnixSeconds};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup, WebPkiSupportedAlgorithms,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig, ServerConnection};
use rustls::{
    CertificateError, CipherSuite, ConnectionTrafficSecrets, DigitallySignedStruct, DistinguishedName, Error,
    ExtractedSecrets, HandshakeKind, KeyLog, NamedGroup, PeerMisbehaved, ProtocolVersion, SignatureScheme, version,
};

use crate::agreement::Agreement;
use crate::cipher::{Aead, Key, Secret};
use crate::error::{ConfigurationFault, Fault};
use crate::hello::offers_tls13;
use crate::record::{Direction, EMPTY_RECORDS_MAX, Records, TOO_MANY_EMPTIES};
use crate::sha256;
use crate::tickets::{Reference, Tickets};

/// Whoever knows keys on P-256, and checks what they have signed faster than the library does.
pub trait KnownKeys: std::fmt::Debug + Send + Sync {
    /// Whether `key`, an uncompressed point, has signed what has this SHA-256; `signature` is DER. `None`: let the library decide. `plain` is
    /// what the library says, for whoever wants to compare.
    fn verify(&self, key: &[u8], digest: &[u8; 32], signature: &[u8], plain: &dyn Fn() -> bool) -> Option<bool>;
}

/// What the listener shows and how it speaks; one for all its connections.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    config: Arc<ServerConfig>,
    ticketing: Option<Ticketing>,
    known_keys: Option<Arc<dyn KnownKeys>>,
}

/// What the listener is while there are keys for tickets. Without them the library would make most of a ticket before it hears that.
#[derive(Clone, Debug)]
struct Ticketing {
    config: Arc<ServerConfig>,
    tickets: Arc<Tickets>,
}

impl TlsConfig {
    /// `certificate_chain`: DER, end entity first. `private_key`: PKCS #8, SEC 1 or PKCS #1 DER.
    ///
    /// # Errors
    /// A key that cannot be read, or that does not belong to the certificate.
    pub fn new(certificate_chain: Vec<Vec<u8>>, private_key: Vec<u8>) -> Result<Self, ConfigurationFault> {
        let key = PrivateKeyDer::try_from(private_key).map_err(|reason| ConfigurationFault(reason.to_owned()))?;
        let chain = certificate_chain.into_iter().map(CertificateDer::from).collect();
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = sha256::suites();
        provider.cipher_suites.sort_by_key(|suite| !is_preferred(suite.suite()));
        for group in &mut provider.kx_groups {
            if group.name() == NamedGroup::X25519 {
                *group = &Provided;
            }
        }
        let provider = Arc::new(provider);
        let verifier = Arc::new(SetAside { algorithms: provider.signature_verification_algorithms });
        let build = |provider: Arc<CryptoProvider>| {
            ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
                .with_client_cert_verifier(verifier)
                .with_single_cert(chain, key)
        };
        let mut config = build(provider).map_err(|error| ConfigurationFault(error.to_string()))?;
        // trust.md §1.2: nothing given to a peer can be resumed but a ticket that `with_tickets` knows of, and nothing is said
        // before its Finished. Most of these are the library's defaults; they are written down because the design rests on them,
        // and a test reads them back.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.send_half_rtt_data = false;
        config.require_ems = true;
        // Ours is the order that counts: see `is_preferred`.
        config.ignore_client_order = true;
        // §1.7: once the device is admitted its records are ours.
        config.enable_secret_extraction = true;
        config.key_log = Arc::new(TrafficSecrets);
        Ok(Self { config: Arc::new(config), ticketing: None, known_keys: None })
    }

    /// The same listener, which gives each peer of TLS 1.3 that proves a key one ticket, void until `tickets` is told otherwise, and
    /// takes back those that are live (`trust.md` §1.3).
    #[must_use]
    pub fn with_tickets(&self, tickets: Arc<Tickets>) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.ticketer = Arc::new(Ticketer(Arc::clone(&tickets)));
        config.send_tls13_tickets = 1;
        Self { ticketing: Some(Ticketing { config: Arc::new(config), tickets }), ..self.clone() }
    }

    /// The same listener, which asks `known_keys` first whether a peer's signature in a handshake holds. All else is checked as before, and
    /// at the same point of the handshake (`trust.md` §1.1).
    #[must_use]
    pub fn with_known_keys(self, known_keys: Arc<dyn KnownKeys>) -> Self {
        Self { known_keys: Some(known_keys), ..self }
    }

    /// What knows which tickets are live, where there are any.
    pub fn tickets(&self) -> Option<&Arc<Tickets>> {
        self.ticketing.as_ref().map(|ticketing| &ticketing.tickets)
    }
}

/// The certificates that a peer showed, end entity first, whose key it has proven to hold: in this handshake, or in the one that its
/// ticket comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedChain {
    certificates: Vec<Vec<u8>>,
    handshake_units: u32,
    by_known_key: Option<Signed>,
    ticket: Option<Reference>,
    resumed: Option<Reference>,
}

/// What the peer has signed in its handshake, by ECDSA with SHA-256 on P-256. In TLS 1.2 the message is all that was said so far.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signed {
    digest: [u8; SHA256_OUTPUT_LEN],
    signature: Vec<u8>,
}

impl Signed {
    fn new(message: &[u8], signature: &[u8]) -> Self {
        let mut digest = [0; SHA256_OUTPUT_LEN];
        digest.copy_from_slice(digest::digest(&SHA256, message).as_ref());
        Self { digest, signature: signature.to_vec() }
    }

    fn is_by(&self, key: &[u8]) -> bool {
        Digest::import_less_safe(&self.digest, &SHA256).is_ok_and(|digest| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify_digest(&digest, &self.signature).is_ok()
        })
    }
}

impl PresentedChain {
    /// DER, end entity first.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// What checking the handshake's signature has cost, in verifications on P-256.
    pub fn handshake_units(&self) -> u32 {
        self.handshake_units
    }

    /// Whether the proof was checked by who knows the key, and not by the library.
    pub fn by_known_key(&self) -> bool {
        self.by_known_key.is_some()
    }

    /// Has the library check the proof, too, where it was checked by who knows the key; if it holds, it is the library's from here on.
    /// Cost: one verification on P-256.
    #[must_use]
    pub fn confirm(&mut self) -> bool {
        let Some(signed) = &self.by_known_key else { return true };
        let leaf = self.certificates.first().and_then(|leaf| Certificate::parse(leaf).ok());
        let holds = leaf.is_some_and(|leaf| signed.is_by(leaf.spki.key));
        if holds {
            self.by_known_key = None;
        }
        holds
    }

    /// The ticket that the peer is given with this handshake: void, until it is put into the list.
    pub fn ticket(&self) -> Option<Reference> {
        self.ticket
    }

    /// The ticket that was taken instead of a proof.
    pub fn resumed(&self) -> Option<Reference> {
        self.resumed
    }
}

/// Who is at the other end of a finished handshake.
#[derive(Debug)]
pub(crate) enum Peer {
    /// It has shown a chain and proven its key.
    Presented(PresentedChain),
    /// It has proven the secret of a ticket that was live when it was shown; the chain is that of the ticket's handshake.
    Resumed(PresentedChain),
    /// It has shown nothing.
    Anonymous,
}

thread_local! {
    /// Tells the callbacks whose connection is asking: they are given none.
    static SLOT: RefCell<Option<Slot>> = const { RefCell::new(None) };
}

/// What the callbacks find, and what they leave behind; each field is written once.
#[derive(Debug, Default)]
struct Slot {
    presented: Option<Vec<Vec<u8>>>,
    possession: Option<Possession>,
    /// Who may know the peer's key.
    known_keys: Option<Arc<dyn KnownKeys>>,
    /// What was worked out for the share of its hello.
    agreement: Option<Agreement>,
    /// Whether the ClientHello offers TLS 1.3, which is then taken; tickets are for nothing else.
    offers_tls13: bool,
    /// What the ticket of this connection will stand for, if it gets one.
    reference: Option<Reference>,
    /// What the ticket stands for that this connection got.
    minted: Option<Reference>,
    /// The last ticket that was shown and is live, and when its lineage ends. It says nothing yet of how the handshake goes on.
    opened: Option<(Reference, UnixSeconds)>,
    /// Tickets that were tried.
    tried: usize,
    /// TLS 1.3's first application secrets.
    client_secret: Option<Secret>,
    server_secret: Option<Secret>,
}

#[derive(Clone, Debug)]
enum Possession {
    Proven(Proof),
    Failed(String),
}

#[derive(Clone, Debug)]
struct Proof {
    units: u32,
    by_known_key: Option<Signed>,
}

/// Puts a slot in place for one step of one connection; taken away again even when the step panics.
struct SlotGuard;

impl SlotGuard {
    fn set(slot: Slot) -> Self {
        SLOT.set(Some(slot));
        Self
    }

    fn take(guard: Self) -> Slot {
        let slot = SLOT.take().unwrap_or_default();
        drop(guard);
        slot
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        SLOT.set(None);
    }
}

/// Runs `write` on the slot of the connection being stepped; without one there is nobody to answer for, which is an error.
fn with_slot<T>(write: impl FnOnce(&mut Slot) -> Result<T, Error>) -> Result<T, Error> {
    SLOT.with_borrow_mut(|slot| write(slot.as_mut().ok_or(Error::General("no connection is being stepped".into()))?))
}

/// Keeps TLS 1.3's application secrets for the connection that is being stepped: the keys that the library gives out at
/// the end say nothing of the keys that come after them.
#[derive(Debug)]
struct TrafficSecrets;

impl KeyLog for TrafficSecrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        // Without a slot, or with a secret of unknown length, nothing is kept, and the records stay the library's.
        let _kept = with_slot(|slot| {
            match label {
                "CLIENT_TRAFFIC_SECRET_0" => slot.client_secret = Secret::new(secret),
                "SERVER_TRAFFIC_SECRET_0" => slot.server_secret = Secret::new(secret),
                _ => {}
            }
            Ok(())
        });
    }

    fn will_log(&self, label: &str) -> bool {
        matches!(label, "CLIENT_TRAFFIC_SECRET_0" | "SERVER_TRAFFIC_SECRET_0")
    }
}

/// X25519 as the library has it, but for what was worked out before for the connection that is being stepped.
#[derive(Debug)]
struct Provided;

impl SupportedKxGroup for Provided {
    /// TLS 1.2's: the peer's share comes later.
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        kx_group::X25519.start()
    }

    /// TLS 1.3's. Nothing is used twice.
    fn start_and_complete(&self, theirs: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let provided = with_slot(|slot| Ok(slot.agreement.take()))?;
        if let Some((ours, secret)) = provided.as_ref().and_then(|agreement| agreement.with(theirs)) {
            let (pub_key, secret) = (ours.to_vec(), SharedSecret::from(&secret[..]));
            return Ok(CompletedKeyExchange { group: self.name(), pub_key, secret });
        }
        kx_group::X25519.start_and_complete(theirs)
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// Tickets that are tried in one handshake, its second hello included (`trust.md` §1.8): a device has two.
const TICKETS_TRIED_MAX: usize = 4;

/// Seals and opens tickets for the connection that is being stepped. A ticket that is not taken means a full handshake.
#[derive(Debug)]
struct Ticketer(Arc<Tickets>);

impl ProducesTickets for Ticketer {
    /// Asked at each use. TLS 1.2 hears no: its peers are not even told that there are tickets.
    fn enabled(&self) -> bool {
        let offered = SLOT.with_borrow(|slot| slot.as_ref().is_some_and(|slot| slot.offers_tls13));
        offered && self.0.has_keys()
    }

    fn lifetime(&self) -> u32 {
        let opened = SLOT.with_borrow(|slot| slot.as_ref().and_then(|slot| slot.opened));
        self.0.lifetime(opened.map(|(_, ends)| ends))
    }

    /// Called while the client's Finished is consumed, before any verdict.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let sealed = with_slot(|slot| {
            // TLS 1.3 has made its secrets by then; and whoever has neither proven a key nor shown a live ticket is given nothing.
            let proven = slot.presented.is_some() && matches!(slot.possession, Some(Possession::Proven(_)));
            let eligible = slot.offers_tls13 && slot.client_secret.is_some() && (proven || slot.opened.is_some());
            let Some(reference) = slot.reference.take().filter(|_| eligible) else { return Ok(None) };
            let sealed = self.0.seal(reference, plain);
            slot.minted = sealed.is_some().then_some(reference);
            Ok(sealed)
        });
        sealed.ok().flatten()
    }

    /// Called for each ticket in a ClientHello, until one fits.
    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let opened = with_slot(|slot| {
            slot.opened = None;
            slot.tried = slot.tried.saturating_add(1);
            let eligible = slot.offers_tls13 && slot.tried <= TICKETS_TRIED_MAX;
            let Some((reference, ends, plain)) = eligible.then(|| self.0.open(ticket)).flatten() else {
                return Ok(None);
            };
            slot.opened = Some((reference, ends));
            Ok(Some(plain))
        });
        opened.ok().flatten()
    }
}

/// Sets the chain aside, and checks possession of its key.
#[derive(Debug)]
struct SetAside {
    algorithms: WebPkiSupportedAlgorithms,
}

impl SetAside {
    fn check(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        version: &rustls::SupportedProtocolVersion,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known_keys = with_slot(|slot| Ok(slot.known_keys.clone()))?;
        let checked = self.check_possession(message, certificate, signed, version, known_keys.as_deref());
        with_slot(|slot| {
            if slot.possession.is_some() {
                return Err(Error::General("possession was decided before".into()));
            }
            match checked {
                Ok(proof) => {
                    slot.possession = Some(Possession::Proven(proof));
                    Ok(HandshakeSignatureValid::assertion())
                }
                Err((reason, error)) => {
                    slot.possession = Some(Possession::Failed(reason));
                    Err(error)
                }
            }
        })
    }

    /// The proof, or what is wrong and what the library must be told.
    fn check_possession(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        version: &rustls::SupportedProtocolVersion,
        known_keys: Option<&dyn KnownKeys>,
    ) -> Result<Proof, (String, Error)> {
        let unadvertised = || {
            let error = PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into();
            (format!("signature scheme {:?} was not offered", signed.scheme), error)
        };
        let malformed = |reason: String| (reason, Error::InvalidCertificate(CertificateError::BadEncoding));
        if !SCHEMES.contains(&signed.scheme) || (version == &version::TLS13 && !allowed_in_tls13(signed.scheme)) {
            return Err(unadvertised());
        }
        // Key and name come from one parse of the same bytes by x509 (§1.5): the judge will read this certificate again.
        let leaf = Certificate::parse(certificate).map_err(|error| malformed(format!("end entity: {error}")))?;
        // Sizes are bounded before any arithmetic is started (P13).
        let key = leaf.spki.public_key_algorithm().map_err(|error| malformed(format!("end entity: {error}")))?;
        let mapped = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let (_, algorithms) = mapped.ok_or_else(unadvertised)?;
        // TLS 1.3: the scheme names the curve, which is the mapping's first entry. TLS 1.2: any of them.
        let candidates = if version == &version::TLS13 { algorithms.get(..1).unwrap_or_default() } else { algorithms };
        let fits = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
            algorithm.public_key_alg_id().as_ref() == leaf.spki.algorithm
        };
        let bad = |reason: &str| (reason.to_owned(), Error::InvalidCertificate(CertificateError::BadSignature));
        let algorithm = candidates.iter().find(fits).ok_or_else(|| bad("the scheme does not fit the key"))?;
        let plain = || algorithm.verify_signature(leaf.spki.key, message, signed.signature()).is_ok();
        // The scheme fits the key, so that in TLS 1.2, too, this is SHA-256.
        let may_be_known =
            key == PublicKeyAlgorithm::EcdsaP256 && signed.scheme == SignatureScheme::ECDSA_NISTP256_SHA256;
        let known = known_keys.filter(|_| may_be_known).and_then(|keys| {
            let signed = Signed::new(message, signed.signature());
            Some((keys.verify(leaf.spki.key, &signed.digest, &signed.signature, &plain)?, signed))
        });
        let (holds, by_known_key) = known.map_or_else(|| (plain(), None), |(holds, signed)| (holds, Some(signed)));
        if holds {
            Ok(Proof { units: key.cost_units(), by_known_key })
        } else {
            Err(bad("the handshake is not signed by the certificate's key"))
        }
    }
}

/// AES-128 with SHA-256 where the client has it: as strong as the P-256 keys beside it, and both are in the processor, where
/// SHA-384 costs several times as much.
fn is_preferred(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

/// What is offered, in order of preference: cheapest first, and none that costs more units than a handshake has (`trust.md` §1.8).
const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// RFC 8446 §4.2.3: PKCS #1 v1.5 signs certificates there, never handshakes.
fn allowed_in_tls13(scheme: SignatureScheme) -> bool {
    let pkcs1 =
        [SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::RSA_PKCS1_SHA384, SignatureScheme::RSA_PKCS1_SHA512];
    !pkcs1.contains(&scheme)
}

impl ClientCertVerifier for SetAside {
    /// Requested, never required: an anonymous peer is answered in its own protocol.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Empty: with hints, some stacks withhold certificates that no listed CA issued.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        with_slot(|slot| {
            if slot.presented.is_some() {
                return Err(Error::General("a chain was presented before".into()));
            }
            let chain = std::iter::once(end_entity).chain(intermediates);
            slot.presented = Some(chain.map(|certificate| certificate.to_vec()).collect());
            // "Set aside", not "verified": only the verdict decides, and until then nothing leaves the session.
            Ok(ClientCertVerified::assertion())
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, certificate, signed, &version::TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, certificate, signed, &version::TLS13)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// One TLS connection, in the library's hands.
#[derive(Debug)]
pub(crate) struct Handshake {
    connection: ServerConnection,
    slot: Slot,
    /// Whether it may deal in tickets, and its first record has not come.
    awaits_hello: bool,
    /// Records without data since the handshake.
    empties: u8,
}

impl Handshake {
    pub(crate) fn new(config: &TlsConfig, agreement: Option<Agreement>) -> Result<Self, Fault> {
        let ticketing = config.ticketing.as_ref().filter(|ticketing| ticketing.tickets.has_keys());
        let library = ticketing.map_or(&config.config, |ticketing| &ticketing.config);
        let connection = ServerConnection::new(Arc::clone(library)).map_err(|error| fault(&error))?;
        let slot = Slot { known_keys: config.known_keys.clone(), agreement, ..Slot::default() };
        Ok(Self { connection, slot, awaits_hello: ticketing.is_some(), empties: 0 })
    }

    /// Looks at the first record. What the ticket of this connection will stand for is known to the library from here on: the one
    /// who brings the ticket back is asked for it, by the connection that it resumes.
    fn look_at_hello(&mut self, record: &[u8]) {
        if std::mem::take(&mut self.awaits_hello)
            && offers_tls13(record)
            && let Some(reference) = Reference::new()
        {
            self.slot.offers_tls13 = true;
            self.slot.reference = Some(reference);
            self.connection.set_resumption_data(reference.octets());
        }
    }

    /// Steps the connection with `input`, one record, and appends what it decrypts to `plaintext`.
    pub(crate) fn feed(&mut self, mut input: &[u8], plaintext: &mut Vec<u8>) -> Result<(), Fault> {
        self.look_at_hello(input);
        let (established, data_before) = (!self.connection.is_handshaking(), plaintext.len());
        while !input.is_empty() {
            // `read_tls` reads from memory here: it fails only when the peer's plaintext was not taken, and it always is.
            let read =
                self.connection.read_tls(&mut input).map_err(|error| Fault::new("tls_error", error.to_string()))?;
            if read == 0 {
                return Ok(()); // after close_notify: whatever follows it is not TLS (RFC 8446 §6.1)
            }
            let guard = SlotGuard::set(std::mem::take(&mut self.slot));
            let stepped = self.connection.process_new_packets();
            self.slot = SlotGuard::take(guard);
            let state = stepped.map_err(|error| self.explain(&error))?;
            let before = plaintext.len();
            plaintext.resize(before.saturating_add(state.plaintext_bytes_to_read()), 0);
            let room = plaintext.get_mut(before..).unwrap_or_default();
            self.connection.reader().read_exact(room).map_err(|error| Fault::new("tls_error", error.to_string()))?;
        }
        if established && plaintext.len() == data_before {
            // In all, not in a row: the library counts key updates from one data record to the next, and takes an empty one for that.
            self.empties = self.empties.saturating_add(1);
            if self.empties > EMPTY_RECORDS_MAX {
                return Err(Fault::new("tls_error", TOO_MANY_EMPTIES));
            }
        }
        Ok(())
    }

    /// The peer, once the handshake is finished.
    pub(crate) fn peer(&mut self) -> Option<Result<Peer, Fault>> {
        if self.connection.is_handshaking() {
            return None;
        }
        let shown = (self.slot.presented.take(), self.slot.possession.take());
        let brought = self.connection.received_resumption_data();
        // What the library says of the handshake, what it says of the ticket, and what the callbacks have left must be one story.
        Some(match (self.connection.handshake_kind(), shown, brought) {
            (Some(HandshakeKind::Resumed), (None, None), Some(brought)) => self.resumed(brought).map(Peer::Resumed),
            (Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest), shown, None) => match shown {
                (None, None) => Ok(Peer::Anonymous),
                (Some(certificates), Some(Possession::Proven(Proof { units: handshake_units, by_known_key }))) => {
                    let ticket = self.slot.minted;
                    let chain = PresentedChain { certificates, handshake_units, by_known_key, ticket, resumed: None };
                    Ok(Peer::Presented(chain))
                }
                // The library ends such handshakes itself; should it ever not, they end here.
                (_, Some(Possession::Failed(reason))) => Err(Fault::new("possession_failed", reason)),
                (Some(_), None) | (None, Some(Possession::Proven(_))) => {
                    Err(Fault::new("possession_failed", "the key was never proven"))
                }
            },
            _ => Err(Fault::new("possession_failed", "neither a proof nor a resumption")),
        })
    }

    /// The chain of a ticket that was taken and whose secret the peer has proven with its Finished.
    fn resumed(&self, brought: &[u8]) -> Result<PresentedChain, Fault> {
        let opened = self.slot.opened.map(|(reference, _)| reference).filter(|opened| opened.octets() == brought);
        let chain = self.connection.peer_certificates().filter(|chain| !chain.is_empty());
        match (opened, chain, self.connection.protocol_version()) {
            (Some(reference), Some(chain), Some(ProtocolVersion::TLSv1_3)) => Ok(PresentedChain {
                certificates: chain.iter().map(|certificate| certificate.to_vec()).collect(),
                handshake_units: 0,
                by_known_key: None,
                ticket: self.slot.minted,
                resumed: Some(reference),
            }),
            _ => Err(Fault::new("possession_failed", "the ticket is not the one that was opened")),
        }
    }

    /// Whether the peer's Finished was answered with what waits for the verdict: TLS 1.2's Finished, TLS 1.3's ticket.
    pub(crate) fn has_last_flight(&self) -> bool {
        let finishes_last = self.connection.protocol_version() != Some(ProtocolVersion::TLSv1_3);
        self.slot.minted.is_some() || (finishes_last && !self.connection.is_handshaking())
    }

    /// Whether the peer has all that it needs to speak: what is still to be said can go out with the answer.
    pub(crate) fn can_wait(&self) -> bool {
        // TLS 1.2's Finished is awaited; TLS 1.3's ticket is not.
        self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) && !self.connection.is_handshaking()
    }

    pub(crate) fn send(&mut self, plaintext: &[u8]) -> Result<(), Fault> {
        self.connection.writer().write_all(plaintext).map_err(|error| Fault::new("tls_error", error.to_string()))
    }

    pub(crate) fn close_notify(&mut self) {
        self.connection.send_close_notify();
    }

    /// Appends what is to be sent to `output`.
    pub(crate) fn drain(&mut self, output: &mut Vec<u8>) {
        while self.connection.wants_write() {
            // Writing into memory cannot fail; were it to, there is nothing left to send.
            if !matches!(self.connection.write_tls(output), Ok(1..)) {
                return;
            }
        }
    }

    /// Takes the keys of a finished handshake out; the library's connection is gone. Everything that was fed must have
    /// been whole records, and everything to be sent must have been drained: what is queued inside would be lost.
    pub(crate) fn into_records(self) -> Result<Records, Fault> {
        let failed = |reason: &str| Fault::new("tls_error", format!("the keys cannot be taken over: {reason}"));
        if self.connection.is_handshaking() || self.connection.wants_write() {
            return Err(failed("something is queued"));
        }
        let Slot { client_secret, server_secret, .. } = self.slot;
        let secrets = match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => match (client_secret, server_secret) {
                (Some(client), Some(server)) => [Some(client), Some(server)],
                (None, _) | (_, None) => return Err(failed("no secrets were kept")),
            },
            _ => [None, None],
        };
        let ExtractedSecrets { rx, tx } =
            self.connection.dangerous_extract_secrets().map_err(|error| failed(&error.to_string()))?;
        let [client, server] = secrets;
        let receiving = direction(rx, client).ok_or_else(|| failed("the peer's key is not of its secret"))?;
        let sending = direction(tx, server).ok_or_else(|| failed("our key is not of its secret"))?;
        Ok(Records::new(receiving, sending))
    }

    fn explain(&self, error: &Error) -> Fault {
        match &self.slot.possession {
            Some(Possession::Failed(reason)) => Fault::new("possession_failed", reason.clone()),
            Some(Possession::Proven(_)) | None => fault(error),
        }
    }
}

/// Key updates that a peer may have made before its device was admitted.
const UPDATES_BEFORE_MAX: usize = 4;

/// One direction as the library left it. A secret must be the one that the key was made from, else the next key would be
/// another than the peer's.
fn direction((sequence, keys): (u64, ConnectionTrafficSecrets), secret: Option<Secret>) -> Option<Direction> {
    let (aead, key, iv) = match &keys {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Aead::Aes128Gcm, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Aead::Aes256Gcm, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (Aead::Chacha20Poly1305, key, iv),
        _ => return None,
    };
    let key = Key::new(aead, key.as_ref(), iv.as_ref())?;
    let Some(mut secret) = secret else { return Some(Direction { key, sequence, secret: None }) };
    for _ in 0..=UPDATES_BEFORE_MAX {
        if secret.key(aead).ok()? == key {
            return Some(Direction { key, sequence, secret: Some(secret) });
        }
        secret = secret.next().ok()?;
    }
    None
}

fn fault(error: &Error) -> Fault {
    Fault::new("tls_error", error.to_string())
}

#[cfg(test)]
mod tests {
    use rustls::{RootCertStore, SupportedProtocolVersion, client};

    use super::*;
    use crate::record::APPLICATION_DATA;
    use crate::{Event, Limits, Reason, Session};

    fn config() -> TlsConfig {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        TlsConfig::new(vec![own.cert.der().to_vec()], own.signing_key.serialize_der()).unwrap()
    }

    /// What `trust.md` §1.2 wants of every listener, whether it knows tickets or not.
    fn assert_nothing_is_said_early_and_no_session_is_stored(config: &ServerConfig) {
        assert!(!config.session_storage.can_cache());
        assert!(!config.session_storage.put(vec![1], vec![1]) && config.session_storage.get(&[1]).is_none());
        assert_eq!(config.max_early_data_size, 0);
        assert!(!config.send_half_rtt_data);
        assert!(config.require_ems);
        assert!(config.cert_decompressors.is_empty() && config.cert_compressors.is_empty());
        assert!(config.alpn_protocols.is_empty());
        // Whatever a client asks for (RFC 9149).
        assert_eq!(config.max_tls13_tickets, 0);
    }

    #[test]
    fn nothing_can_be_resumed_and_nothing_is_said_early() {
        let TlsConfig { config, ticketing, .. } = config();
        assert_nothing_is_said_early_and_no_session_is_stored(&config);
        assert!(!config.ticketer.enabled());
        assert_eq!((config.send_tls13_tickets, ticketing.is_none()), (0, true));
    }

    #[test]
    fn with_tickets_there_is_one_for_tls_13_alone_and_all_else_is_as_before() {
        let tickets = Arc::new(Tickets::new("t", "l", 10));
        tickets.set_keys(vec![[1; 32]]);
        let tls = config().with_tickets(Arc::clone(&tickets));
        let with = Handshake::new(&tls, None).unwrap();
        assert!(with.awaits_hello && with.slot.reference.is_none());
        let config = tls.ticketing.as_ref().map(|ticketing| Arc::clone(&ticketing.config)).unwrap();
        assert_nothing_is_said_early_and_no_session_is_stored(&config);
        assert_eq!(config.send_tls13_tickets, 1);
        // Asked on behalf of nobody, of a peer that does not offer TLS 1.3, and of one that does.
        assert!(!config.ticketer.enabled());
        for offers_tls13 in [false, true] {
            let _guard = SlotGuard::set(Slot { offers_tls13, ..Slot::default() });
            assert_eq!(config.ticketer.enabled(), offers_tls13);
        }
        let _guard = SlotGuard::set(Slot { offers_tls13: true, ..Slot::default() });
        tickets.set_keys(vec![]);
        assert!(!config.ticketer.enabled());
        // Nobody is given or asked for one from here on, and nothing is made for it.
        assert!(!Handshake::new(&tls, None).unwrap().awaits_hello);
    }

    /// A slot of a peer that has proven a key in TLS 1.3: what a ticket is minted for.
    fn proven() -> Slot {
        Slot {
            offers_tls13: true,
            presented: Some(vec![vec![0x30, 0]]),
            possession: Some(Possession::Proven(Proof { units: 1, by_known_key: None })),
            reference: Reference::new(),
            client_secret: Secret::new(&[1; 32]),
            ..Slot::default()
        }
    }

    fn ticketer() -> (Ticketer, Arc<Tickets>) {
        let tickets = Arc::new(Tickets::new("t", "l", 10));
        tickets.set_keys(vec![[1; 32]]);
        tickets.pass(UnixSeconds(0), 0);
        (Ticketer(Arc::clone(&tickets)), tickets)
    }

    #[test]
    fn l07_a_ticket_is_minted_once_and_only_for_tls_13_and_a_proven_key() {
        let (ticketer, tickets) = ticketer();
        assert_eq!(ticketer.encrypt(b"plain"), None, "on behalf of nobody");
        let slots = [
            (true, proven()),
            (false, Slot { offers_tls13: false, ..proven() }),
            (false, Slot { client_secret: None, ..proven() }),
            (false, Slot { presented: None, possession: None, ..proven() }),
            (false, Slot { presented: None, ..proven() }),
            (false, Slot { possession: None, ..proven() }),
            (false, Slot { possession: Some(Possession::Failed(String::new())), ..proven() }),
            (false, Slot { reference: None, ..proven() }),
        ];
        for (number, (minted, slot)) in slots.into_iter().enumerate() {
            let reference = slot.reference;
            let guard = SlotGuard::set(slot);
            assert_eq!(ticketer.encrypt(b"plain").is_some(), minted, "{number}");
            assert_eq!(ticketer.encrypt(b"plain"), None);
            let slot = SlotGuard::take(guard);
            assert_eq!(slot.minted, reference.filter(|_| minted), "{number}");
        }
        assert_eq!(tickets.count(), 0, "none of them is live");
    }

    #[test]
    fn the_slot_knows_the_last_live_ticket_that_was_shown_and_no_other() {
        let (ticketer, tickets) = ticketer();
        let mut minted = Vec::new();
        for _ in 0..2 {
            let guard = SlotGuard::set(proven());
            let ticket = ticketer.encrypt(b"plain").unwrap();
            minted.push((ticket, SlotGuard::take(guard).minted.unwrap()));
        }
        let guard = SlotGuard::set(Slot { offers_tls13: true, ..Slot::default() });
        let opened = |ticketer: &Ticketer, ticket: &[u8]| {
            let plain = ticketer.decrypt(ticket);
            (plain, SLOT.with_borrow(|slot| slot.as_ref().unwrap().opened))
        };
        assert_eq!(opened(&ticketer, &minted[0].0), (None, None), "void");
        for (number, (_, reference)) in minted.iter().enumerate() {
            tickets.admit(&format!("w{number}"), *reference, UnixSeconds(100));
        }
        for (ticket, reference) in &minted {
            let wanted = (Some(b"plain".to_vec()), Some((*reference, UnixSeconds(100))));
            assert_eq!(opened(&ticketer, ticket), wanted);
        }
        assert_eq!(ticketer.lifetime(), 100);
        tickets.pass(UnixSeconds(40), 0);
        assert_eq!(ticketer.lifetime(), 60, "what is left of the lineage that was resumed");
        assert_eq!(opened(&ticketer, b"something else"), (None, None));
        // Four were tried: the fifth is not, however good it is.
        assert_eq!(opened(&ticketer, &minted[0].0), (None, None));
        drop(guard);
        // TLS 1.2 hands whatever it is shown to the same callback.
        let _guard = SlotGuard::set(Slot::default());
        assert_eq!(opened(&ticketer, &minted[0].0), (None, None));
    }

    #[test]
    fn certificates_are_requested_not_required_without_hints_or_raw_keys() {
        let verifier = SetAside { algorithms: aws_lc_rs::default_provider().signature_verification_algorithms };
        assert!(verifier.offer_client_auth() && !verifier.client_auth_mandatory());
        assert!(verifier.root_hint_subjects().is_empty() && !verifier.requires_raw_public_keys());
        let mapped = |scheme: &SignatureScheme| verifier.algorithms.mapping.iter().any(|(known, _)| known == scheme);
        assert!(verifier.supported_verify_schemes().iter().all(mapped), "everything offered can be checked");
    }

    #[test]
    fn a_callback_without_a_connection_is_an_error() {
        let verifier = SetAside { algorithms: aws_lc_rs::default_provider().signature_verification_algorithms };
        let certificate = CertificateDer::from(vec![0x30, 0]);
        assert!(
            verifier
                .verify_client_cert(&certificate, &[], UnixTime::since_unix_epoch(std::time::Duration::ZERO))
                .is_err()
        );
    }

    #[test]
    fn the_slot_is_written_once_and_survives_no_panic() {
        let verifier = SetAside { algorithms: aws_lc_rs::default_provider().signature_verification_algorithms };
        let certificate = CertificateDer::from(vec![0x30, 0]);
        let now = UnixTime::since_unix_epoch(std::time::Duration::ZERO);
        let guard = SlotGuard::set(Slot::default());
        assert!(verifier.verify_client_cert(&certificate, &[], now).is_ok());
        assert!(verifier.verify_client_cert(&certificate, &[], now).is_err());
        assert_eq!(SlotGuard::take(guard).presented, Some(vec![vec![0x30, 0]]));
        let panicked = std::panic::catch_unwind(|| {
            let _guard = SlotGuard::set(Slot::default());
            panic!("in the middle of a step");
        });
        assert!(panicked.is_err());
        assert!(SLOT.with_borrow(Option::is_none));
    }

    #[test]
    fn a_key_that_is_not_the_certificates_is_refused() {
        let (one, other) = (config_parts(), config_parts());
        assert!(TlsConfig::new(vec![one.0], other.1).is_err());
        assert!(TlsConfig::new(vec![config_parts().0], vec![1, 2, 3]).is_err());
        assert!(TlsConfig::new(vec![], config_parts().1).is_err());
    }

    /// A session whose peer has shown no certificate, up to where it is refused, and the records that the peer can seal from here on.
    fn stranger(version: &'static SupportedProtocolVersion) -> (Session, Records) {
        let (certificate, key) = config_parts();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(certificate.clone())).unwrap();
        let mut peer = client::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        peer.enable_secret_extraction = true;
        peer.key_log = Arc::new(TrafficSecrets);
        let mut peer = client::ClientConnection::new(Arc::new(peer), "localhost".try_into().unwrap()).unwrap();
        let config = TlsConfig::new(vec![certificate], key).unwrap();
        let (mut session, mut slot) = (Session::new(&config, Limits::default()), Slot::default());
        while peer.is_handshaking() || peer.wants_write() {
            let mut bytes = Vec::new();
            while peer.wants_write() {
                peer.write_tls(&mut bytes).unwrap();
            }
            session.receive(&bytes).unwrap();
            if let Some(event) = session.next_event().unwrap() {
                assert_eq!(event, Event::Anonymous);
                session.refuse(Reason::NotAuthorized);
            }
            peer.read_tls(&mut session.take_output().unwrap().as_slice()).unwrap();
            let guard = SlotGuard::set(slot);
            peer.process_new_packets().unwrap();
            slot = SlotGuard::take(guard);
        }
        let ExtractedSecrets { rx, tx } = peer.dangerous_extract_secrets().unwrap();
        let receiving = direction(rx, slot.server_secret).unwrap();
        (session, Records::new(receiving, direction(tx, slot.client_secret).unwrap()))
    }

    #[test]
    fn l17_a_stranger_that_is_refused_has_few_records_without_data_and_64_kib() {
        let connect = [0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 2, b'w', b'1'];
        let seal = |peer: &mut Records, content: &[u8]| {
            let mut record = Vec::new();
            peer.seal(APPLICATION_DATA, content, &mut record).unwrap();
            record
        };
        for version in [&version::TLS12, &version::TLS13] {
            for (count, refused) in [(EMPTY_RECORDS_MAX, false), (EMPTY_RECORDS_MAX + 1, true)] {
                // Half of the CONNECT; key updates, where there are such, and in between an empty record, after which the library counts
                // from 0; its other half.
                let (mut session, mut peer) = stranger(version);
                let mut bytes = seal(&mut peer, &connect[..8]);
                for number in 0..count {
                    if version.version == ProtocolVersion::TLSv1_3 && number != 20 {
                        peer.send_key_update(&mut bytes).unwrap();
                    } else {
                        bytes.extend(seal(&mut peer, &[]));
                    }
                }
                bytes.extend(seal(&mut peer, &connect[8..]));
                let fault = session.receive(&bytes).err();
                let event = session.next_event().unwrap();
                assert_eq!(fault.map(|fault| fault.code()), refused.then_some("tls_error"));
                assert_eq!(event, (!refused).then_some(Event::Finish));
            }
            // A CONNECT of 16 KiB, an octet a record.
            let (mut session, mut peer) = stranger(version);
            let mut fed = 0;
            for octet in [0x10, 0xfc, 0x7f].into_iter().chain([0; 16 * 1024]) {
                let record = seal(&mut peer, &[octet]);
                match session.receive(&record) {
                    Ok(()) => assert_eq!(session.next_event(), Ok(None)),
                    Err(fault) => {
                        assert_eq!(fault.detail(), "more than 65536 bytes before the end of a CONNECT");
                        break;
                    }
                }
                fed += record.len();
            }
            assert!((60 * 1024..=64 * 1024 + 50).contains(&fed), "{fed}");
        }
    }

    fn config_parts() -> (Vec<u8>, Vec<u8>) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (own.cert.der().to_vec(), own.signing_key.serialize_der())
    }
}
