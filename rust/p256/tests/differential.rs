//! S12: random signatures, and signatures whose scalars or keys are made of zeros, ones and carries, through every back end and path,
//! against aws-lc. 10^6 of each in a release build; `HOLDFAST_KERNEL_CASES` and `HOLDFAST_KERNEL_SEED` ask for more and for others.
//!
//! What makes so many affordable: a signature is not signed but computed, from a pool of nonces whose points are known, or backwards
//! from the two scalars that its verification will use.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says how much it did"
)]

mod common;

use std::thread;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use common::curve::{self, Point};
use common::{Case, Prepared, Random, bytes, cases, judge_parsed, public, sec1};
use holdfast_p256::{Backend, Job, Kernel, Scratch, Signature, Verdict};
use num_bigint::BigUint;

const BATCH: usize = 256;

fn seed() -> u64 {
    std::env::var("HOLDFAST_KERNEL_SEED").map_or(0, |seed| seed.parse().expect("a number"))
}

/// Keys of one test, ready for each kernel.
struct Keys {
    kernels: Vec<Kernel>,
    judges: Vec<ParsedPublicKey>,
    /// For each kernel, each key.
    prepared: Vec<Vec<Prepared>>,
}

impl Keys {
    fn new(octets: &[Vec<u8>]) -> Self {
        let parse = |key: &Vec<u8>| ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).expect("a key");
        let kernels = common::kernels();
        let prepared =
            kernels.iter().map(|kernel| octets.iter().map(|key| Prepared::new(kernel, key)).collect()).collect();
        Self { kernels, judges: octets.iter().map(parse).collect(), prepared }
    }

    /// Makes batches of (key, digest, r, s) until `count` cases were judged by all, on as many threads as there are cores.
    fn judge_all(&self, count: usize, make: impl Fn(&mut Random) -> (usize, [u8; 32], BigUint, BigUint) + Sync) {
        let threads = thread::available_parallelism().map_or(1, |threads| threads.get().min(4));
        let tally: Vec<(usize, usize)> = thread::scope(|scope| {
            let worker = |thread: usize| {
                let make = &make;
                scope.spawn(move || {
                    let mut random = Random(seed() + ((thread as u64 + 1) << 48));
                    let mut scratch = Scratch::default();
                    let (mut done, mut valid) = (0, 0);
                    while done < count.div_ceil(threads) {
                        valid += self.judge_batch(done / BATCH, &mut scratch, || make(&mut random));
                        done += BATCH;
                    }
                    (done, valid)
                })
            };
            let workers: Vec<_> = (0..threads).map(worker).collect();
            workers.into_iter().map(|worker| worker.join().expect("no divergence")).collect()
        });
        let (done, valid) = tally.iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        // Both verdicts are well represented, else the comparison says little.
        assert!(valid > done / 4 && valid < done * 3 / 4, "{valid} of {done} valid");
        println!("{done} cases, {valid} valid, seed {}, no divergence", seed());
    }

    /// How many of the batch are valid.
    fn judge_batch(
        &self,
        number: usize,
        scratch: &mut Scratch,
        mut make: impl FnMut() -> (usize, [u8; 32], BigUint, BigUint),
    ) -> usize {
        let cases: Vec<_> = std::iter::repeat_with(&mut make)
            .filter_map(|(key, digest, r, s)| {
                let signature = Signature::from_scalars(&bytes(&r), &bytes(&s))?;
                Some((key, digest, r, s, signature))
            })
            .take(BATCH)
            .collect();
        let judged: Vec<_> = cases
            .iter()
            .map(|(key, digest, r, s, _)| judge_parsed(&self.judges[*key], digest, &common::der(r, s)))
            .collect();
        for (kernel, prepared) in self.kernels.iter().zip(&self.prepared) {
            for known in [true, false] {
                // The slow paths take one batch in four, and one in sixteen.
                let every = match (kernel.backend(), known) {
                    (Backend::Portable, true) => 4,
                    (Backend::Portable, false) => 16,
                    _ => 1,
                };
                if !number.is_multiple_of(every) {
                    continue;
                }
                let jobs: Vec<_> = cases
                    .iter()
                    .map(|(key, digest, _, _, signature)| Job {
                        key: prepared[*key].as_key(known),
                        digest: *digest,
                        signature: *signature,
                    })
                    .collect();
                for (place, finding) in kernel.verify(&jobs, scratch).iter().enumerate() {
                    let verdict = match finding.verdict {
                        Verdict::Valid => true,
                        Verdict::Invalid => false,
                        Verdict::Undecided => judged[place],
                    };
                    let (backend, case) = (kernel.backend(), &cases[place]);
                    assert_eq!(verdict, judged[place], "{backend}, known {known}, job {place}: {case:x?}");
                }
            }
        }
        // One after another, so by turns: one back end a batch, and the slow one seldom.
        let alone = self.kernels.iter().zip(&self.prepared).enumerate();
        for (_, (kernel, prepared)) in alone.filter(|(turn, _)| number % 8 == turn * 7) {
            for (place, (key, digest, _, _, signature)) in cases.iter().enumerate() {
                let finding = kernel.verify_alone(&prepared[*key].strip, digest, signature);
                let (backend, case) = (kernel.backend(), &cases[place]);
                let agrees =
                    finding.verdict == Verdict::Undecided || (finding.verdict == Verdict::Valid) == judged[place];
                assert!(agrees, "{backend}, alone, job {place}: {:?}, {case:x?}", finding.verdict);
            }
        }
        judged.iter().filter(|valid| **valid).count()
    }
}

/// Leaves a case as it is, or makes it wrong in one of its parts.
fn maybe_spoil(random: &mut Random, digest: &mut [u8; 32], r: &mut BigUint, s: &mut BigUint) {
    let bit = random.below(256) as u64;
    let flip = |number: &mut BigUint| number.set_bit(bit, !number.bit(bit));
    match random.below(8) {
        0 => digest[random.below(32)] ^= 1 << random.below(8),
        1 => flip(r),
        2 => flip(s),
        3 => *s = random.scalar(),
        _ => {}
    }
}

#[test]
fn random_signatures_get_the_verdict_of_the_plain_verifier() {
    let n = curve::n();
    let random = &mut Random(seed() + 31);
    let secrets: Vec<_> = (0..48).map(|_| random.scalar()).collect();
    let keys = Keys::new(&secrets.iter().map(public).collect::<Vec<_>>());
    let nonces: Vec<_> = (0..if cfg!(debug_assertions) { 64 } else { 4096 })
        .map(|_| {
            let k = random.scalar();
            let r = BigUint::from_bytes_be(&public(&k)[1..33]) % &n;
            (k.modinv(&n).expect("modulo a prime"), r)
        })
        .collect();
    keys.judge_all(cases(), |random| {
        let key = random.below(secrets.len());
        let (inverse, r) = &nonces[random.below(nonces.len())];
        let mut digest = [0; 32];
        digest.as_chunks_mut::<8>().0.fill_with(|| random.word().to_le_bytes());
        let mut s = inverse * (BigUint::from_bytes_be(&digest) + r * &secrets[key]) % &n;
        let mut r = r.clone();
        maybe_spoil(random, &mut digest, &mut r, &mut s);
        (key, digest, r, s)
    });
}

/// A scalar in 1..n of zeros and ones, of whole limbs or windows, or next to a bound.
fn structured(random: &mut Random) -> BigUint {
    let (n, one) = (curve::n(), BigUint::from(1u8));
    let of_pieces = |random: &mut Random, bits: usize| {
        (0..256usize.div_ceil(bits)).fold(BigUint::ZERO, |number, _| {
            let ones = (&one << bits) - 1u8;
            let piece = match random.below(4) {
                0 => BigUint::ZERO,
                1 => ones,
                2 => BigUint::from(random.word()) % (&ones + 1u8),
                _ => one.clone(),
            };
            (number << bits) | piece
        })
    };
    let number = match random.below(8) {
        0 | 1 => of_pieces(random, 52),
        2 => of_pieces(random, 64),
        3 => {
            let width = [5, 8, 13][random.below(3)];
            of_pieces(random, width)
        }
        4 => BigUint::from(random.below(1 << 20)),
        5 => &n - 1u8 - BigUint::from(random.below(1 << 20)),
        6 => (&one << random.below(256)) + BigUint::from(random.below(3)) + (&n - 1u8),
        _ => (&one << random.below(256)) - 1u8,
    };
    number % (&n - 1u8) + 1u8
}

#[test]
fn structured_scalars_get_the_verdict_of_the_plain_verifier() {
    let n = curve::n();
    let random = &mut Random(seed() + 32);
    let secrets: Vec<_> = (0..48).map(|_| structured(random)).collect();
    let keys = Keys::new(&secrets.iter().map(public).collect::<Vec<_>>());
    keys.judge_all(cases() * 9 / 10, |random| {
        loop {
            let key = random.below(secrets.len());
            let (u1, u2) = (structured(random), structured(random));
            let sum = (&u1 + &u2 * &secrets[key]) % &n;
            if sum == BigUint::ZERO {
                continue;
            }
            let x = BigUint::from_bytes_be(&public(&sum)[1..33]);
            let Some(case) = Case::of_scalars(Vec::new(), &u1, &u2, &x) else { continue };
            let Case { mut digest, mut r, mut s, .. } = case;
            maybe_spoil(random, &mut digest, &mut r, &mut s);
            return (key, digest, r, s);
        }
    });
}

/// Points whose x is made of zeros and ones, or next to 0 or p.
fn structured_points(random: &mut Random, count: usize) -> Vec<Point> {
    let p = curve::p();
    std::iter::repeat_with(|| {
        let near = BigUint::from(random.below(64));
        let x = match random.below(4) {
            0 => near,
            1 => &p - 1u8 - near,
            2 => structured(random) * ((BigUint::from(1u8) << 256) - &p) % &p,
            _ => structured(random) % &p,
        };
        curve::y_of(&x).map(|y| if random.below(2) == 0 { [x, y] } else { [x, curve::p() - y] })
    })
    .flatten()
    .map(Some)
    .take(count)
    .collect()
}

/// Nobody knows the secrets of such keys. A walk of known steps in both scalars gives, at the price of one slow addition, the next sum
/// under the same key, hence the next valid signature.
#[test]
fn structured_keys_get_the_verdict_of_the_plain_verifier() {
    struct Walk {
        /// Steps (a, b, a·G + b·Q).
        steps: Vec<(BigUint, BigUint, Point)>,
        start: (BigUint, BigUint, Point),
    }
    let n = curve::n();
    let random = &mut Random(seed() + 33);
    let points = structured_points(random, if cfg!(debug_assertions) { 4 } else { 32 });
    let walks: Vec<_> = points
        .iter()
        .map(|point| {
            let mut step = || {
                let (a, b) = (random.scalar(), structured(random));
                let sum = curve::add(&curve::mul(&a, &curve::generator()), &curve::mul(&b, point));
                (a, b, sum)
            };
            Walk { start: step(), steps: (0..4).map(|_| step()).collect() }
        })
        .collect();
    let keys = Keys::new(&points.iter().map(sec1).collect::<Vec<_>>());
    let positions: Vec<_> = walks.iter().map(|walk| std::sync::Mutex::new(walk.start.clone())).collect();
    keys.judge_all(cases() / 10, |random| {
        loop {
            let key = random.below(walks.len());
            let (u1, u2, sum) = {
                let mut position = positions[key].lock().expect("no thread panicked");
                let (a, b, step) = &walks[key].steps[random.below(4)];
                let (u1, u2, sum) = &*position;
                let next = ((u1 + a) % &n, (u2 + b) % &n, curve::add(sum, step));
                *position = next.clone();
                next
            };
            let Some([x, _]) = &sum else { continue };
            let Some(case) = Case::of_scalars(Vec::new(), &u1, &u2, x) else { continue };
            let Case { mut digest, mut r, mut s, .. } = case;
            maybe_spoil(random, &mut digest, &mut r, &mut s);
            return (key, digest, r, s);
        }
    });
}
