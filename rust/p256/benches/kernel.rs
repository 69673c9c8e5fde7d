//! The kernel against aws-lc, interleaved: signatures from DER to verdict, one core.
//!
//! `cargo bench --package holdfast-p256 --bench kernel [WORD …]` measures the rows whose name has one of the words. A round measures the
//! peer, then one row, then the peer again; the row's ratio is the time of the two peers' slices over its own, so a disturbance that lasts
//! longer than a millisecond hits both. Each row has its quartiles over the rounds. No signature is seen twice within a round, keys take
//! turns in lanes, every verdict is checked.
#![allow(
    clippy::pedantic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a program to be read for its output"
)]

mod machine;

use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Digest, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey, UnparsedPublicKey,
};
use holdfast_p256::{
    Backend, Guard, Health, Job, Kernel, Key, KeyStrip, KeyTable, PublicKey, Scratch, Signature, Verdict,
};

const SIGNATURES: usize = 16_384;
const KEYS: usize = 64;
const ROUNDS: usize = 301;
/// A slice takes about this long, or one batch.
const SLICE: Duration = Duration::from_micros(600);

struct Signed {
    key: usize,
    message: [u8; 8],
    digest: Digest,
    signature: Vec<u8>,
}

/// One row of the table.
struct Row {
    name: &'static str,
    backend: Backend,
    known: bool,
    batch: usize,
    /// Keys among which the signatures are distributed.
    keys: usize,
    guarded: bool,
    /// Whether the keys have strips instead of tables.
    strips: bool,
}

const fn row(name: &'static str, backend: Backend, known: bool, batch: usize, keys: usize) -> Row {
    Row { name, backend, known, batch, keys, guarded: false, strips: false }
}

const ROWS: [Row; 25] = [
    Row { strips: true, ..row("ifma strip", Backend::Ifma, true, 1, 64) },
    row("ifma known 1", Backend::Ifma, true, 1, 4),
    row("ifma known 2", Backend::Ifma, true, 2, 4),
    row("ifma known 4", Backend::Ifma, true, 4, 4),
    row("ifma known 8", Backend::Ifma, true, 8, 4),
    row("ifma known 16", Backend::Ifma, true, 16, 4),
    row("ifma known 32", Backend::Ifma, true, 32, 4),
    row("ifma known 64", Backend::Ifma, true, 64, 4),
    row("ifma known 128", Backend::Ifma, true, 128, 4),
    row("ifma known 1024", Backend::Ifma, true, 1024, 4),
    row("ifma known 128, one key", Backend::Ifma, true, 128, 1),
    row("ifma known 128, 64 keys", Backend::Ifma, true, 128, 64),
    Row { guarded: true, ..row("ifma known 8, guarded", Backend::Ifma, true, 8, 4) },
    Row { guarded: true, ..row("ifma known 128, guarded", Backend::Ifma, true, 128, 4) },
    row("ifma unknown 1", Backend::Ifma, false, 1, 64),
    row("ifma unknown 2", Backend::Ifma, false, 2, 64),
    row("ifma unknown 8", Backend::Ifma, false, 8, 64),
    row("ifma unknown 64", Backend::Ifma, false, 64, 64),
    row("ifma unknown 128", Backend::Ifma, false, 128, 64),
    Row { strips: true, ..row("portable strip", Backend::Portable, true, 1, 64) },
    row("portable known 1", Backend::Portable, true, 1, 4),
    row("portable known 8", Backend::Portable, true, 8, 4),
    row("portable known 128", Backend::Portable, true, 128, 4),
    row("portable unknown 1", Backend::Portable, false, 1, 64),
    row("portable unknown 128", Backend::Portable, false, 128, 64),
];

struct World {
    /// The octets of each key, and what the peer and the kernel make of it.
    octets: Vec<Vec<u8>>,
    parsed: Vec<ParsedPublicKey>,
    signed: Vec<Signed>,
}

impl World {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pairs: Vec<_> =
            (0..KEYS).map(|_| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()).collect();
        let octets: Vec<_> = pairs.iter().map(|pair| pair.public_key().as_ref().to_vec()).collect();
        let sign = |number: usize| {
            let (key, message) = (number % KEYS, (number as u64).to_le_bytes());
            let signature = pairs[key].sign(&random, &message).unwrap().as_ref().to_vec();
            Signed { key, message, digest: digest(&SHA256, &message), signature }
        };
        let parsed = octets.iter().map(|key| ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).unwrap()).collect();
        Self { octets, parsed, signed: (0..SIGNATURES).map(sign).collect() }
    }

    /// The signatures under the first `keys` keys.
    fn under(&self, keys: usize) -> Vec<&Signed> {
        self.signed.iter().filter(|signed| signed.key < keys).collect()
    }
}

/// Seconds that one signature takes.
fn time(count: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() / count as f64
}

struct Bench<'a> {
    world: &'a World,
    kernel: &'a Kernel,
    tables: &'a [KeyTable],
    strips: &'a [KeyStrip],
    scratch: Scratch,
    guard: Guard,
}

impl Bench<'_> {
    /// The peer does the same work: a known key is parsed before, an unknown one each time; the digest is there; the signature is DER.
    fn peer(&self, known: bool, slice: &[&Signed]) {
        for signed in slice {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.world.octets[signed.key]);
            if known {
                self.world.parsed[signed.key].verify_digest_sig(&signed.digest, &signed.signature).unwrap();
            } else {
                key.verify_digest(&signed.digest, &signed.signature).unwrap();
            }
        }
    }

    fn alone(&self, slice: &[&Signed]) {
        for signed in slice {
            let signature = Signature::from_der(&signed.signature).unwrap();
            let digest = signed.digest.as_ref().try_into().unwrap();
            let finding = self.kernel.verify_alone(&self.strips[signed.key], &digest, &signature);
            assert_eq!(finding.verdict, Verdict::Valid);
        }
    }

    fn ours(&mut self, row: &Row, slice: &[&Signed]) {
        if row.strips {
            return self.alone(slice);
        }
        let mut keys = Vec::with_capacity(row.batch);
        let mut jobs = Vec::with_capacity(row.batch);
        for batch in slice.chunks(row.batch) {
            keys.clear();
            if !row.known {
                keys.extend(batch.iter().map(|signed| PublicKey::from_sec1(&self.world.octets[signed.key]).unwrap()));
            }
            jobs.clear();
            jobs.extend(batch.iter().enumerate().map(|(place, signed)| Job {
                key: if row.known { Key::Known(&self.tables[signed.key]) } else { Key::Unknown(&keys[place]) },
                digest: signed.digest.as_ref().try_into().unwrap(),
                signature: Signature::from_der(&signed.signature).unwrap(),
            }));
            let findings = self.kernel.verify(&jobs, &mut self.scratch);
            if row.guarded {
                let mut word = batch.len() as u64;
                let random = || {
                    word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
                    word >> 8
                };
                let plain = |place: usize| {
                    let signed = batch[place];
                    self.world.parsed[signed.key].verify_digest_sig(&signed.digest, &signed.signature).is_ok()
                };
                let (decisions, health) = self.guard.settle(findings, random, 8, plain);
                assert!(health == Health::Sound && decisions.iter().all(|valid| *valid));
            } else {
                assert!(findings.iter().all(|finding| finding.verdict == Verdict::Valid));
            }
            // The borrow of `keys` ends with the batch.
            jobs = Vec::with_capacity(row.batch);
        }
    }

    fn measure(&mut self, row: &Row) {
        let signed = self.world.under(row.keys);
        let few = &signed[..(2 * row.batch).max(64).min(signed.len())];
        let (ours, peer) = (time(few.len(), || self.ours(row, few)), time(16, || self.peer(row.known, &signed[..16])));
        let slice = |seconds: f64| ((SLICE.as_secs_f64() / seconds) as usize).max(1);
        let our_slice = slice(ours).next_multiple_of(row.batch).min(signed.len() / row.batch * row.batch);
        let peer_slice = slice(peer).min(signed.len());
        let (mut ratios, mut times) = (Vec::new(), Vec::new());
        let (mut at, mut peer_at) = (0, 0);
        for _ in 0..ROUNDS {
            let mut peers = [0.0; 2];
            let mut ours = 0.0;
            for (turn, peer) in peers.iter_mut().enumerate() {
                *peer = time(peer_slice, || self.peer(row.known, &signed[peer_at..peer_at + peer_slice]));
                peer_at = (peer_at + peer_slice) % (signed.len() - peer_slice);
                if turn == 0 {
                    let batch = &signed[at..at + our_slice];
                    ours = time(our_slice, || self.ours(row, batch));
                    at = if at + 2 * our_slice <= signed.len() { at + our_slice } else { 0 };
                }
            }
            times.push(ours * 1e6);
            ratios.push((peers[0] + peers[1]) / 2.0 / ours);
        }
        let ([_, time, _], [low, ratio, high]) = (machine::quartiles(times), machine::quartiles(ratios));
        println!(
            "{:26} {time:8.2} us {:9.0} /s   {ratio:5.1} times the peer ({low:.1} to {high:.1})",
            row.name,
            1e6 / time
        );
    }
}

/// How much of the peer is parsing and hashing: its three doors.
fn doors(world: &World) {
    let signed = world.under(4);
    let mut times = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        let slice = &signed[round % 64 * 12..][..12];
        times[0].push(time(12, || {
            for signed in slice {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &world.octets[signed.key]);
                key.verify(&signed.message, &signed.signature).unwrap();
            }
        }));
        times[1].push(time(12, || {
            for signed in slice {
                world.parsed[signed.key].verify_sig(&signed.message, &signed.signature).unwrap();
            }
        }));
        times[2].push(time(12, || {
            for signed in slice {
                world.parsed[signed.key].verify_digest_sig(&signed.digest, &signed.signature).unwrap();
            }
        }));
    }
    let doors = ["peer, key and message", "peer, parsed key, message", "peer, parsed key, digest"];
    for (door, times) in doors.into_iter().zip(times) {
        let [low, median, high] = machine::quartiles(times).map(|seconds| seconds * 1e6);
        println!("{door:26} {median:8.2} us {:9.0} /s   ({low:.2} to {high:.2} us)", 1e6 / median);
    }
    println!();
}

fn main() {
    machine::describe();
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let world = World::new();
    doors(&world);
    for backend in [Backend::Ifma, Backend::Portable] {
        let mut kernel = None;
        let start = time(1, || kernel = Kernel::on(backend).ok());
        let Some(kernel) = kernel else { continue };
        let keys: Vec<_> = world.octets.iter().map(|key| PublicKey::from_sec1(key).unwrap()).collect();
        let mut tables = Vec::new();
        let built = time(KEYS, || tables = keys.iter().map(|key| kernel.table(key).unwrap()).collect());
        let mut strips = Vec::new();
        let cut = time(KEYS, || strips = keys.iter().map(|key| kernel.strip(key).unwrap()).collect());
        println!(
            "{backend}: kernel made in {:.1} ms, a table of {} bytes in {:.2} ms, a strip in {:.0} us",
            start * 1e3,
            tables[0].bytes(),
            built * 1e3,
            cut * 1e6
        );
        let (scratch, guard) = (Scratch::default(), Guard::new());
        let mut bench = Bench { world: &world, kernel: &kernel, tables: &tables, strips: &strips, scratch, guard };
        for row in ROWS.iter().filter(|row| row.backend == backend) {
            if words.is_empty() || words.iter().any(|word| row.name.contains(word.as_str())) {
                bench.measure(row);
            }
        }
        println!();
    }
}
