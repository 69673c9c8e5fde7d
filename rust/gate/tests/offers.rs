//! L15: what a client may do wrong with its certificate and its proof, by the families of tlsfuzzer's client-certificate set that concern a
//! server: `certificate-malformed`, `certificate-verify*`, `tls13-*-in-certificate-verify`, `ecdsa-sig-flexibility`. Resumption, key updates and
//! lengths of records have their own files. tlsfuzzer itself is in no package index.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a test fails by panicking")]

mod world;

use std::sync::Arc;

use rustls::crypto::{KeyProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion, version};
use world::{BOTH, Client, Device, World, client_config, client_config_of, connect_packet};

/// The order of P-256's base point. SEC 2 §2.4.2.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

type Sign = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;
type Change<T> = fn(&mut T);
type Distort = fn(&Sign, &[u8]) -> Vec<u8>;

/// Signs as it should, then distorts what came of it, and says what scheme that is.
#[derive(Clone, Copy)]
struct Distorted {
    scheme: SignatureScheme,
    distort: Distort,
}

impl std::fmt::Debug for Distorted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Distorted")
    }
}

impl KeyProvider for Distorted {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        let honest = aws_lc_rs::default_provider().key_provider.load_private_key(key)?;
        Ok(Arc::new(DistortedKey { honest, how: *self }))
    }
}

#[derive(Debug)]
struct DistortedKey {
    honest: Arc<dyn SigningKey>,
    how: Distorted,
}

impl SigningKey for DistortedKey {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let honest = self.honest.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])?;
        Some(Box::new(DistortedSigner { honest: honest.into(), how: self.how }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.honest.algorithm()
    }
}

#[derive(Debug)]
struct DistortedSigner {
    honest: Arc<dyn Signer>,
    how: Distorted,
}

impl Signer for DistortedSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let honest = Arc::clone(&self.honest);
        Ok((self.how.distort)(&move |message: &[u8]| honest.sign(message).unwrap(), message))
    }

    fn scheme(&self) -> SignatureScheme {
        self.how.scheme
    }
}

/// r and s, as DER has them.
fn integers(signature: &[u8]) -> [Vec<u8>; 2] {
    let r = 4 + usize::from(signature[3]);
    [signature[4..r].to_vec(), signature[r + 2..].to_vec()]
}

fn encoded(parts: [&[u8]; 2]) -> Vec<u8> {
    let inside: Vec<u8> =
        parts.iter().flat_map(|part| [&[2, u8::try_from(part.len()).unwrap()], *part].concat()).collect();
    [&[0x30, u8::try_from(inside.len()).unwrap()], inside.as_slice()].concat()
}

/// An honest signature of which `fits` holds: there is one in a few tries.
fn signed_so(sign: &Sign, message: &[u8], fits: impl Fn(&[Vec<u8>; 2]) -> bool) -> [Vec<u8>; 2] {
    (0..1_000).map(|_| integers(&sign(message))).find(fits).unwrap()
}

/// a + ORDER, or ORDER − a: 33 octets, the highest first.
fn by_order(number: &[u8], minus: bool) -> Vec<u8> {
    let mut wide = [vec![0; 33 - number.len()], number.to_vec()].concat();
    let mut carry = 0i16;
    for (index, digit) in wide.iter_mut().enumerate().rev() {
        let of_order = if index == 0 { 0 } else { i16::from(ORDER[index - 1]) };
        let sum = if minus { of_order - i16::from(*digit) } else { of_order + i16::from(*digit) } + carry;
        (*digit, carry) = (u8::try_from(sum.rem_euclid(256)).unwrap(), sum.div_euclid(256));
    }
    wide
}

/// Without octets that DER does not allow.
fn minimal(mut number: Vec<u8>) -> Vec<u8> {
    while number.len() > 1 && number[0] == 0 && number[1] < 0x80 {
        number.remove(0);
    }
    number
}

fn comes(world: &mut World, device: &Device, how: Distorted, version: &'static SupportedProtocolVersion) -> Client {
    let provider: &'static Distorted = Box::leak(Box::new(how));
    let config = client_config_of(Some(device), version, |all| all.key_provider = provider);
    let mut client = world.connect(&config);
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    client
}

/// The device is not known, or is, and its key with it; then somebody shows its chain and proves nothing.
fn assert_refused(name: &str, how: Distorted, version: &'static SupportedProtocolVersion) {
    for known in [false, true] {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        if known {
            let mut first = world.admit(&device, "widget-1", version);
            first.say(&[0xe0, 0]);
            world.run(&mut first);
        }
        let claims = world.claims();
        let client = comes(&mut world, &device, how, version);
        assert_eq!((client.read.as_slice(), world.gate.sessions()), (&[][..], 0), "{name}");
        assert_eq!(world.claims(), claims, "{name}");
        let codes = world.codes();
        assert!(
            matches!(codes.as_slice(), [code] if ["possession_failed", "tls_error"].contains(&code.as_str())),
            "{name}: {codes:?}"
        );
    }
}

const PROOFS: [(&str, Distort); 17] = [
    ("none", |_, _| Vec::new()),
    ("zeroes", |_, _| vec![0; 70]),
    ("no DER: r and s of 32 octets", |sign, message| {
        let [r, s] = signed_so(sign, message, |parts| parts.iter().all(|part| part.len() == 32));
        [r, s].concat()
    }),
    ("a trailing octet", |sign, message| [sign(message), vec![0]].concat()),
    ("the last octet is missing", |sign, message| {
        let mut signature = sign(message);
        signature.pop();
        signature
    }),
    ("a length in the long form", |sign, message| {
        let signature = sign(message);
        [&[0x30, 0x81], &signature[1..]].concat()
    }),
    ("an indefinite length", |sign, message| [&[0x30, 0x80], &sign(message)[2..], &[0, 0]].concat()),
    ("r with an octet too many before it", |sign, message| {
        let [r, s] = signed_so(sign, message, |[r, _]| r[0] < 0x80 && r[0] > 0);
        encoded([&[vec![0], r].concat(), &s])
    }),
    ("s with an octet too many before it", |sign, message| {
        let [r, s] = signed_so(sign, message, |[_, s]| s[0] < 0x80 && s[0] > 0);
        encoded([&r, &[vec![0], s].concat()])
    }),
    ("r below zero", |sign, message| {
        let [r, s] = signed_so(sign, message, |[r, _]| r[0] == 0);
        encoded([&r[1..], &s])
    }),
    ("s below zero", |sign, message| {
        let [r, s] = signed_so(sign, message, |[_, s]| s[0] == 0);
        encoded([&r, &s[1..]])
    }),
    ("r is zero", |sign, message| encoded([&[0], &integers(&sign(message))[1]])),
    ("s is zero", |sign, message| encoded([&integers(&sign(message))[0], &[0]])),
    ("integers of no octets", |_, _| vec![0x30, 4, 2, 0, 2, 0]),
    ("s beyond the order", |sign, message| {
        let [r, s] = integers(&sign(message));
        encoded([&r, &minimal(by_order(&s, false))])
    }),
    ("one bit of s", |sign, message| {
        let mut signature = sign(message);
        *signature.last_mut().unwrap() ^= 1;
        signature
    }),
    ("of another message", |sign, message| sign(&[message, &[0]].concat())),
];

#[test]
fn l15_a_proof_that_is_not_one_to_the_octet_lets_nobody_in_whether_the_key_is_known_or_not() {
    for version in BOTH {
        for (name, distort) in PROOFS {
            assert_refused(name, Distorted { scheme: SignatureScheme::ECDSA_NISTP256_SHA256, distort }, version);
        }
    }
}

/// ECDSA's own flexibility: (r, n − s) is a signature as good as (r, s), by every standard, and proves as much.
#[test]
fn l15_the_honest_proof_and_its_mirror_image_let_the_device_in() {
    let mirrored: Distort = |sign, message| {
        let [r, s] = integers(&sign(message));
        encoded([&r, &minimal(by_order(&s, true))])
    };
    let honest: Distort = |sign, message| sign(message);
    for version in BOTH {
        for distort in [honest, mirrored] {
            let mut world = World::new();
            let device = world.tech.device("widget-1");
            for _ in 0..2 {
                let how = Distorted { scheme: SignatureScheme::ECDSA_NISTP256_SHA256, distort };
                let mut client = comes(&mut world, &device, how, version);
                if world.claims() > 0 {
                    world.answer_claim(client.handle, None);
                    world.run(&mut client);
                }
                assert_eq!(client.read, [0x20, 2, 0, 0], "{:?}", world.codes());
            }
        }
    }
}

#[test]
fn l15_a_proof_under_another_name_or_for_another_purpose_lets_nobody_in() {
    let honest: Distort = |sign, message| sign(message);
    // TLS 1.3 binds the scheme to the curve and knows no PKCS #1 v1.5; SHA-1 was offered by nobody.
    for scheme in [
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::ECDSA_NISTP521_SHA512,
        SignatureScheme::ECDSA_SHA1_Legacy,
        SignatureScheme::ED25519,
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::RSA_PKCS1_SHA256,
        SignatureScheme::RSA_PKCS1_SHA1,
        SignatureScheme::Unknown(0),
    ] {
        for version in BOTH {
            assert_refused(&format!("{scheme:?}"), Distorted { scheme, distort: honest }, version);
        }
    }
    // RFC 8446 §4.4.3: what a server signs must not serve as a client's proof, nor what lacks the context.
    let servers: Distort = |sign, message| {
        let (client, server) = (b"TLS 1.3, client CertificateVerify", b"TLS 1.3, server CertificateVerify");
        assert_eq!(&message[64..64 + client.len()], client);
        sign(&[&message[..64], server, &message[64 + client.len()..]].concat())
    };
    let bare: Distort = |sign, message| sign(&message[98..]);
    for distort in [servers, bare] {
        assert_refused(
            "context",
            Distorted { scheme: SignatureScheme::ECDSA_NISTP256_SHA256, distort },
            &version::TLS13,
        );
    }
}

/// A number of 24 bits at `at`, changed.
fn renumber(message: &mut [u8], at: usize, change: impl FnOnce(u32) -> u32) {
    let [_, number @ ..] = change(u32::from_be_bytes([0, message[at], message[at + 1], message[at + 2]])).to_be_bytes();
    message[at..at + 3].copy_from_slice(&number);
}

/// What of the message there is in front: its type and length; the list's length; the first certificate's.
const CERTIFICATES: [(&str, Change<Vec<u8>>); 12] = [
    ("the list is longer than the message", |message| renumber(message, 4, |length| length + 1)),
    ("the list is shorter than what is there", |message| renumber(message, 4, |length| length - 1)),
    ("no list, and octets behind it", |message| renumber(message, 4, |_| 0)),
    ("the message is longer than it is", |message| renumber(message, 1, |length| length + 1)),
    ("the message is shorter than it is", |message| renumber(message, 1, |length| length - 1)),
    ("the message has 16 MiB", |message| renumber(message, 1, |_| 0x00ff_ffff)),
    ("the first certificate is longer", |message| renumber(message, 7, |length| length + 1)),
    ("the first certificate is shorter", |message| renumber(message, 7, |length| length - 1)),
    ("the first certificate has 16 MiB", |message| renumber(message, 7, |_| 0x00ff_ffff)),
    ("the first certificate has no octets, and they follow", |message| renumber(message, 7, |_| 0)),
    ("one certificate of no octets", |message| *message = vec![11, 0, 0, 6, 0, 0, 3, 0, 0, 0]),
    ("an octet behind the list", |message| {
        message.push(0);
        renumber(message, 1, |length| length + 1);
    }),
];

#[test]
fn l15_a_certificate_message_whose_lengths_do_not_fit_ends_the_handshake() {
    for (name, change) in CERTIFICATES {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), &version::TLS12));
        let hello = client.hello();
        let requests = world.gate.receive(client.handle, &hello, world.now);
        world.log.extend(requests);
        world.take_turns();
        world.deliver(&mut client);
        let flight = client.hello();
        let length = 5 + usize::from(u16::from_be_bytes([flight[3], flight[4]]));
        let (certificate, rest) = flight.split_at(length);
        assert_eq!([certificate[0], certificate[5]], [22, 11], "a record of its own, in the clear");
        let mut message = certificate[5..].to_vec();
        change(&mut message);
        let record = [&certificate[..3], &u16::try_from(message.len()).unwrap().to_be_bytes(), &message, rest].concat();
        let requests = world.gate.receive(client.handle, &record, world.now);
        world.log.extend(requests);
        world.take_turns();
        world.run(&mut client);
        assert_eq!(
            (world.codes().len(), world.claims(), world.gate.sessions()),
            (1, 0, 0),
            "{name}: {:?}",
            world.codes()
        );
    }
}

#[test]
fn l15_what_is_no_certificate_is_refused_in_tls_13_as_in_tls_12() {
    let cases: [(&str, Change<Vec<Vec<u8>>>); 6] = [
        ("no octets", |chain| chain[0] = Vec::new()),
        ("no DER", |chain| chain[0] = b"-----BEGIN CERTIFICATE-----".to_vec()),
        ("an octet behind it", |chain| chain[0].push(0)),
        ("its last octet is missing", |chain| chain[0].pop().map_or((), |_| ())),
        ("a key of no curve", |chain| {
            // The point's first octet, behind the end of the curve's object identifier and the head of the bit string.
            let curve = [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0, 4];
            let at = chain[0].windows(curve.len()).position(|window| window == curve).unwrap();
            chain[0][at + curve.len() + 5] ^= 1;
        }),
        ("the issuer's in its place", |chain| drop(chain.remove(0))),
    ];
    for version in BOTH {
        for (name, change) in cases {
            let mut world = World::new();
            let mut device = world.tech.device("widget-1");
            change(&mut device.chain);
            let mut client = world.connect(&client_config(Some(&device), version));
            client.say(&connect_packet("widget-1"));
            world.run(&mut client);
            assert!(!client.read.starts_with(&[0x20, 2, 0, 0]), "{name}");
            assert_eq!(
                (world.codes().len(), world.claims(), world.gate.sessions()),
                (1, 0, 0),
                "{name}: {:?}",
                world.codes()
            );
        }
    }
}
