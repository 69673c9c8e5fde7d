//! The doors: a kernel for one back end, tables of keys, jobs in, findings out.

use std::fmt;

use crate::batch::{self, BLOCK, Equation, Work};
use crate::comb::{Comb, Shape};
#[cfg(target_arch = "x86_64")]
use crate::ifma::Ifma;
use crate::key::PublicKey;
use crate::lanes::{LANES_MAX, Lanes};
use crate::portable::Portable;
use crate::signature::Signature;
use crate::strip::Strip;
use crate::words::{self, Words};

/// Windows of the generator's table: 20 rows of 4,096 points, 5.2 MB for all keys together. Measured: benches/.
const GENERATOR_SHAPE: Shape = Shape::new(13);
/// Windows of a key's table: 32 rows of 128 points. One bit less saves half of it for 4 % of the speed, one more adds half as much again
/// for 2 %. Measured: benches/.
const KEY_SHAPE: Shape = Shape::new(8);

/// The instructions that a kernel runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// AVX-512 with IFMA and VBMI2, eight signatures at once.
    Ifma,
    /// Any processor, one signature at a time.
    Portable,
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ifma => "ifma",
            Self::Portable => "portable",
        })
    }
}

/// Why there is no kernel, or no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelError {
    /// A known answer came out otherwise: this machine, or this build, computes wrongly. Nothing that a kernel says is to be used.
    SelfTestFailed {
        /// The back end that failed.
        backend: Backend,
    },
    /// The processor or the operating system does not have the instructions.
    Unavailable {
        /// The back end asked for.
        backend: Backend,
    },
}

impl fmt::Display for KernelError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelfTestFailed { backend } => write!(formatter, "the {backend} kernel failed its self-test"),
            Self::Unavailable { backend } => {
                write!(formatter, "this machine lacks the instructions of the {backend} kernel")
            }
        }
    }
}

impl std::error::Error for KernelError {}

/// The back end, with its proof of being available.
#[derive(Clone, Copy, Debug)]
enum Engine {
    #[cfg(target_arch = "x86_64")]
    Ifma(Ifma),
    Portable(Portable),
}

/// Runs the expression with `$lanes` bound to the back end.
macro_rules! with_lanes {
    ($engine:expr, $lanes:ident => $body:expr) => {
        match $engine {
            #[cfg(target_arch = "x86_64")]
            Engine::Ifma($lanes) => $body,
            Engine::Portable($lanes) => $body,
        }
    };
}

/// A verifier on one back end. Immutable, for any number of threads.
#[derive(Debug)]
pub struct Kernel {
    engine: Engine,
    generator: Comb,
}

/// The multiples of one public key, for one back end: 264 KB, about 0.5 ms to build, and six to nine times the speed.
#[derive(Debug)]
pub struct KeyTable {
    backend: Backend,
    key: PublicKey,
    comb: Comb,
}

impl KeyTable {
    /// The key it is of.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// How much memory it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.comb.points)
    }
}

/// A few multiples of one public key, for one back end: 1 KiB, made in less time than one signature takes a general verifier, and with
/// them a lone signature takes about a third of that.
#[derive(Clone, Debug)]
pub struct KeyStrip {
    backend: Backend,
    strip: Strip,
}

/// The key of a job.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a key has a table or it has none")]
pub enum Key<'a> {
    /// A key with a table. One made by a kernel on another back end is used as if there were none.
    Known(&'a KeyTable),
    /// A key without one.
    Unknown(&'a PublicKey),
}

/// One signature to be verified.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "these three are what ECDSA verification takes")]
pub struct Job<'a> {
    /// Under which key.
    pub key: Key<'a>,
    /// The message's digest; of a longer one, the first 32 bytes (SEC 1 §4.1.4 step 3).
    pub digest: [u8; 32],
    /// The signature.
    pub signature: Signature,
}

/// What the kernel says of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "whoever uses it must handle every case")]
pub enum Verdict {
    /// The signature holds.
    Valid,
    /// It does not.
    Invalid,
    /// The sums met equal or opposite points, or a scalar was zero, which happens only if someone chose key, digest or signature to
    /// that end. Ask a plain verifier.
    Undecided,
}

impl Verdict {
    fn of(outcome: Option<bool>) -> Self {
        match outcome {
            Some(true) => Self::Valid,
            Some(false) => Self::Invalid,
            None => Self::Undecided,
        }
    }
}

/// Verdict on one job, and where it was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What the kernel says.
    pub verdict: Verdict,
    /// In which lane, 0..8: a fault of the hardware may be in one of them only.
    pub lane: u8,
}

/// Room to work in: one for each thread, kept from batch to batch.
#[derive(Default)]
pub struct Scratch {
    #[cfg(target_arch = "x86_64")]
    ifma: Option<Box<Work<Ifma>>>,
    portable: Option<Box<Work<Portable>>>,
    findings: Vec<Finding>,
}

impl fmt::Debug for Scratch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scratch").finish_non_exhaustive()
    }
}

impl Kernel {
    /// A kernel on the fastest back end of this machine.
    ///
    /// # Errors
    /// `SelfTestFailed`.
    pub fn new() -> Result<Self, KernelError> {
        match Self::on(Backend::Ifma) {
            Err(KernelError::Unavailable { .. }) => Self::on(Backend::Portable),
            result => result,
        }
    }

    /// A kernel on a given back end, its generator table built and tested. Cost: some 10 ms.
    ///
    /// # Errors
    /// `Unavailable`, `SelfTestFailed`.
    pub fn on(backend: Backend) -> Result<Self, KernelError> {
        let engine = match backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Ifma => Ifma::detect().map(Engine::Ifma).ok_or(KernelError::Unavailable { backend })?,
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Ifma => return Err(KernelError::Unavailable { backend }),
            Backend::Portable => Engine::Portable(Portable),
        };
        let failed = KernelError::SelfTestFailed { backend };
        let generator = with_lanes!(engine, lanes => Comb::build(lanes, GENERATOR_SHAPE, words::G)).ok_or(failed)?;
        let kernel = Self { engine, generator };
        if known_answers(&kernel) { Ok(kernel) } else { Err(failed) }
    }

    /// What it runs on.
    pub fn backend(&self) -> Backend {
        match self.engine {
            #[cfg(target_arch = "x86_64")]
            Engine::Ifma(_) => Backend::Ifma,
            Engine::Portable(_) => Backend::Portable,
        }
    }

    /// Builds the table of a key and tests every point in it.
    ///
    /// # Errors
    /// `SelfTestFailed`: switch the kernel off.
    pub fn table(&self, key: &PublicKey) -> Result<KeyTable, KernelError> {
        let backend = self.backend();
        let comb = with_lanes!(self.engine, lanes => Comb::build(lanes, KEY_SHAPE, key.point))
            .ok_or(KernelError::SelfTestFailed { backend })?;
        Ok(KeyTable { backend, key: *key, comb })
    }

    /// Makes the strip of a key and tests every point in it.
    ///
    /// # Errors
    /// `SelfTestFailed`: switch the kernel off.
    pub fn strip(&self, key: &PublicKey) -> Result<KeyStrip, KernelError> {
        let backend = self.backend();
        let strip = with_lanes!(self.engine, lanes => Strip::build(lanes, key.point))
            .ok_or(KernelError::SelfTestFailed { backend })?;
        Ok(KeyStrip { backend, strip })
    }

    /// Verifies one signature alone under the key of a strip, of which all lanes do a part: the finding's lane is 0. A strip made by a
    /// kernel on another back end leaves it undecided.
    pub fn verify_alone(&self, strip: &KeyStrip, digest: &[u8; 32], signature: &Signature) -> Finding {
        let equation = [words::from_be_bytes(digest), signature.r, signature.s];
        let outcome = if strip.backend == self.backend() {
            with_lanes!(self.engine, lanes => strip.strip.verify(lanes, &self.generator, equation))
        } else {
            None
        };
        Finding { verdict: Verdict::of(outcome), lane: 0 }
    }

    /// Whether the kernel verifies `count` signatures of a kind faster than a good general verifier does. Measured: benches/.
    pub fn pays(&self, has_table: bool, count: usize) -> bool {
        let least = match (self.backend(), has_table) {
            (_, true) => 1,
            (Backend::Ifma, false) => 2,
            (Backend::Portable, false) => usize::MAX,
        };
        count >= least
    }

    /// Verifies a batch: one finding a job, in order.
    ///
    /// Keys with and without tables may be mixed; each kind is packed into lanes of its own. Cheapest from 64 jobs of a kind on, and
    /// with jobs under the same key next to each other, since its table is then in the cache.
    pub fn verify<'s>(&self, jobs: &[Job<'_>], scratch: &'s mut Scratch) -> &'s [Finding] {
        scratch.findings.clear();
        scratch.findings.resize(jobs.len(), Finding { verdict: Verdict::Undecided, lane: 0 });
        match self.engine {
            #[cfg(target_arch = "x86_64")]
            Engine::Ifma(lanes) => {
                let work = scratch.ifma.get_or_insert_with(|| Box::new(Work::new()));
                self.verify_on(lanes, work, jobs, &mut scratch.findings);
            }
            Engine::Portable(lanes) => {
                let work = scratch.portable.get_or_insert_with(|| Box::new(Work::new()));
                self.verify_on(lanes, work, jobs, &mut scratch.findings);
            }
        }
        &scratch.findings
    }

    fn verify_on<L: Lanes>(&self, lanes: L, work: &mut Work<L>, jobs: &[Job<'_>], findings: &mut [Finding]) {
        for has_table in [true, false] {
            let equations = jobs.iter().map(|job| self.equation(job)).enumerate();
            let mut waiting =
                equations.filter(|(_, equation)| matches!(equation.key, batch::Key::Table(_)) == has_table);
            let mut places = Vec::with_capacity(BLOCK.min(jobs.len()));
            let mut equations = Vec::with_capacity(BLOCK.min(jobs.len()));
            loop {
                places.clear();
                equations.clear();
                for (place, equation) in waiting.by_ref().take(BLOCK) {
                    places.push(place);
                    equations.push(equation);
                }
                if equations.is_empty() {
                    break;
                }
                work.verify(lanes, &self.generator, KEY_SHAPE, &equations, |index, lane, outcome| {
                    findings[places[index]] = Finding { verdict: Verdict::of(outcome), lane };
                });
            }
        }
    }

    fn equation<'a>(&self, job: &Job<'a>) -> Equation<'a> {
        let key = match job.key {
            Key::Known(table) if table.backend == self.backend() => batch::Key::Table(&table.comb),
            Key::Known(table) => batch::Key::Point(table.key.point),
            Key::Unknown(key) => batch::Key::Point(key.point),
        };
        Equation { e: words::from_be_bytes(&job.digest), r: job.signature.r, s: job.signature.s, key }
    }
}

/// The example of RFC 6979 §A.2.5 for P-256, SHA-256 and "sample": the key, the digest, r and s.
const KNOWN_KEY: [Words; 2] = [
    [0xe669_622e_60f2_9fb6, 0xc049_b892_3b61_fa6c, 0xc961_eb74_c635_6d68, 0x60fe_d4ba_255a_9d31],
    [0x77a3_c294_d446_2299, 0xf2f1_b20c_2d7e_9f51, 0xa41a_e9e9_5628_bc64, 0x7903_fe10_08b8_bc99],
];
const KNOWN_DIGEST: Words =
    [0x6211_3d8a_62ad_d1bf, 0x1a83_1d02_68e9_8915, 0xe2ad_e1d6_94f4_1fc7, 0xaf2b_dbe1_aa9b_6ec1];
const KNOWN_SIGNATURE: Signature = Signature {
    r: [0xc34d_0ea8_4eaf_3716, 0x9d2c_877b_56aa_f991, 0x1140_dd9c_d45e_81d6, 0xefd4_8b2a_acb6_a8fd],
    s: [0x4dc4_ab2f_843a_cda8, 0xf3e9_00db_b9af_f406, 0xd436_c7a1_b6e2_9f65, 0xf7cb_1c94_2d65_7c41],
};

/// Whether the kernel accepts a good signature and rejects a bad one, with and without a table, and with a strip.
fn known_answers(kernel: &Kernel) -> bool {
    let key = PublicKey { point: KNOWN_KEY };
    let (Ok(table), Ok(strip)) = (kernel.table(&key), kernel.strip(&key)) else { return false };
    let mut scratch = Scratch::default();
    let job = |key, good: bool| {
        let mut digest = words::to_be_bytes(KNOWN_DIGEST);
        digest[0] ^= u8::from(!good);
        Job { key, digest, signature: KNOWN_SIGNATURE }
    };
    // One job alone, each lane bad by itself, and every third place of a batch that is added up as a tree.
    let patterns = [(1, 0), (1, 1)].into_iter().chain((0..=LANES_MAX).map(|bad| (LANES_MAX, bad))).chain([(40, 40)]);
    let alone = [true, false].into_iter().all(|good| {
        let verdict = kernel.verify_alone(&strip, &job(Key::Unknown(&key), good).digest, &KNOWN_SIGNATURE).verdict;
        verdict == if good { Verdict::Valid } else { Verdict::Invalid }
    });
    alone
        && [Key::Known(&table), Key::Unknown(&key)].into_iter().all(|key| {
            patterns.clone().all(|(count, bad)| {
                let is_good = |place: usize| if count == 40 { !place.is_multiple_of(3) } else { place != bad };
                let jobs: Vec<_> = (0..count).map(|place| job(key, is_good(place))).collect();
                let verdict = |place| if is_good(place) { Verdict::Valid } else { Verdict::Invalid };
                kernel.verify(&jobs, &mut scratch).iter().map(|finding| finding.verdict).eq((0..count).map(verdict))
            })
        })
}
