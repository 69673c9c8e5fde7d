//! What the tests of the kernel share: the kernels of this machine, the judge, and signatures that are cheap to make.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    unused_imports,
    reason = "a test's tool box: it fails by panicking, and each test uses its part"
)]

pub mod curve;
pub mod random;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey, UnparsedPublicKey};
use holdfast_p256::{Backend, Job, Kernel, Key, KeyStrip, KeyTable, PublicKey, Scratch, Signature, Verdict};
use num_bigint::BigUint;
pub use random::Random;

/// Cases of each kind: 10^6 in a release build, fewer where every operation is checked. `HOLDFAST_KERNEL_CASES` asks for another number.
pub fn cases() -> usize {
    let asked = std::env::var("HOLDFAST_KERNEL_CASES").ok().map(|count| count.parse().expect("a number"));
    asked.unwrap_or(if cfg!(debug_assertions) { 2_000 } else { 1_000_000 })
}

/// Whether Linux lists what the IFMA kernel needs: asked of the kernel's own list, so that a broken detection does not hide itself.
pub fn machine_has_ifma() -> bool {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    ["avx512f", "avx512ifma", "avx512_vbmi2"].iter().all(|flag| flags.split_whitespace().any(|found| found == *flag))
}

/// Every kernel of this machine. Where there should be an IFMA kernel, there is one (S13).
pub fn kernels() -> Vec<Kernel> {
    let kernels: Vec<_> =
        [Backend::Ifma, Backend::Portable].into_iter().filter_map(|backend| Kernel::on(backend).ok()).collect();
    let has_ifma = kernels.iter().any(|kernel| kernel.backend() == Backend::Ifma);
    assert_eq!(has_ifma, machine_has_ifma() && cfg!(target_arch = "x86_64"), "the IFMA kernel runs where it can");
    assert!(kernels.iter().any(|kernel| kernel.backend() == Backend::Portable));
    kernels
}

/// One signature with all that the kernel and the judge want to know.
#[derive(Clone, Debug)]
pub struct Case {
    pub key: Vec<u8>,
    pub digest: [u8; 32],
    pub r: BigUint,
    pub s: BigUint,
}

pub fn bytes(number: &BigUint) -> [u8; 32] {
    let mut bytes = [0; 32];
    let digits = number.to_bytes_be();
    bytes[32 - digits.len()..].copy_from_slice(&digits);
    bytes
}

/// 04, x, y.
pub fn sec1(point: &curve::Point) -> Vec<u8> {
    let [x, y] = point.as_ref().expect("not infinity");
    [&[0x04][..], &bytes(x), &bytes(y)].concat()
}

/// `scalar` · G by the judge's library.
pub fn public(scalar: &BigUint) -> Vec<u8> {
    let key = PrivateKey::from_private_key(&ECDH_P256, &bytes(scalar)).expect("in 1..n");
    key.compute_public_key().expect("a point").as_ref().to_vec()
}

/// DER of r and s, whatever their size.
pub fn der(r: &BigUint, s: &BigUint) -> Vec<u8> {
    let integer = |number: &BigUint| {
        let mut octets = number.to_bytes_be();
        if octets[0] >= 0x80 {
            octets.insert(0, 0);
        }
        [&[0x02, u8::try_from(octets.len()).unwrap()][..], &octets].concat()
    };
    let inside = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(inside.len()).unwrap()][..], &inside].concat()
}

impl Case {
    pub fn signature(&self) -> Option<Signature> {
        Signature::from_der(&der(&self.r, &self.s))
    }

    /// What aws-lc says.
    pub fn judged(&self) -> bool {
        judge(&self.key, &self.digest, &der(&self.r, &self.s))
    }

    /// The signature under `key`, a point, that is verified with the scalars u1 and u2, given their sum's x.
    pub fn of_scalars(key: Vec<u8>, u1: &BigUint, u2: &BigUint, x: &BigUint) -> Option<Self> {
        let n = curve::n();
        let r = x % &n;
        let s = &r * u2.modinv(&n)? % &n;
        let digest = bytes(&(u1 * &s % &n));
        (r != BigUint::ZERO).then_some(Self { key, digest, r, s })
    }
}

/// The plain verifier with a key that it has parsed: nothing but the verification itself is left to pay for.
pub fn judge_parsed(key: &ParsedPublicKey, digest: &[u8; 32], der: &[u8]) -> bool {
    let digest = Digest::import_less_safe(digest, &SHA256).expect("32 bytes");
    key.verify_digest_sig(&digest, der).is_ok()
}

/// The plain verifier.
pub fn judge(key: &[u8], digest: &[u8; 32], der: &[u8]) -> bool {
    let digest = Digest::import_less_safe(digest, &SHA256).expect("32 bytes");
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify_digest(&digest, der).is_ok()
}

/// A key ready for one kernel.
pub struct Prepared {
    pub key: PublicKey,
    pub table: KeyTable,
    pub strip: KeyStrip,
}

impl Prepared {
    pub fn new(kernel: &Kernel, key: &[u8]) -> Self {
        let key = PublicKey::from_sec1(key).expect("a key");
        Self { key, table: kernel.table(&key).expect("a table"), strip: kernel.strip(&key).expect("a strip") }
    }

    pub fn as_key(&self, known: bool) -> Key<'_> {
        if known { Key::Known(&self.table) } else { Key::Unknown(&self.key) }
    }
}

/// The kernel's verdicts on `cases`, each under its own key.
pub fn verdicts(kernel: &Kernel, known: bool, cases: &[Case], scratch: &mut Scratch) -> Vec<Verdict> {
    let keys: Vec<_> = cases.iter().map(|case| Prepared::new(kernel, &case.key)).collect();
    let jobs: Vec<_> = cases
        .iter()
        .zip(&keys)
        .map(|(case, key)| Job {
            key: key.as_key(known),
            digest: case.digest,
            signature: case.signature().expect("in range"),
        })
        .collect();
    kernel.verify(&jobs, scratch).iter().map(|finding| finding.verdict).collect()
}
