//! S09: a lane's verdict is its own, whatever stands in the other lanes, or stood there before.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Case, Prepared, Random, curve, public};
use holdfast_p256::{Job, Kernel, Scratch, Verdict};
use num_bigint::BigUint;

/// A valid signature under a key of its own.
fn good(random: &mut Random) -> Case {
    let (d, u1, u2) = (random.scalar(), random.scalar(), random.scalar());
    let x = BigUint::from_bytes_be(&public(&((&u1 + &u2 * &d) % curve::n()))[1..33]);
    Case::of_scalars(public(&d), &u1, &u2, &x).expect("r is not zero")
}

struct Jobs {
    keys: Vec<Prepared>,
    cases: Vec<Case>,
}

impl Jobs {
    fn new(kernel: &Kernel, count: usize, seed: u64) -> Self {
        let cases: Vec<_> = (0..count).map(|_| good(&mut Random(seed + 1 + (seed << 8)))).collect();
        let mut random = Random(seed);
        let cases: Vec<_> = cases.into_iter().map(|_| good(&mut random)).collect();
        Self { keys: cases.iter().map(|case| Prepared::new(kernel, &case.key)).collect(), cases }
    }

    /// The job at a place, made bad in one of the ways that differ in where the fault enters.
    fn job(&self, place: usize, known: bool, is_good: bool) -> Job<'_> {
        let mut case = self.cases[place].clone();
        match (is_good, place % 3) {
            (true, _) => {}
            (false, 0) => case.digest[place % 32] ^= 0x10,
            (false, 1) => case.r = case.r % (curve::n() - 1u8) + 1u8,
            (false, _) => case.s = curve::n() / 2u8 + &case.r / 4u8,
        }
        Job { key: self.keys[place].as_key(known), digest: case.digest, signature: case.signature().expect("in range") }
    }

    fn check(
        &self,
        kernel: &Kernel,
        known: bool,
        scratch: &mut Scratch,
        is_good: impl Fn(usize) -> bool,
        count: usize,
    ) {
        let jobs: Vec<_> = (0..count).map(|place| self.job(place, known, is_good(place))).collect();
        for (place, finding) in kernel.verify(&jobs, scratch).iter().enumerate() {
            let wanted = if is_good(place) { Verdict::Valid } else { Verdict::Invalid };
            assert_eq!(finding.verdict, wanted, "{}, known {known}, {place} of {count}", kernel.backend());
        }
    }
}

#[test]
fn exactly_the_bad_lanes_fail_in_every_pattern() {
    for kernel in common::kernels() {
        let jobs = Jobs::new(&kernel, 40, 21);
        let mut scratch = Scratch::default();
        for known in [true, false] {
            for pattern in 0u64..256 {
                let is_good = |place: usize| pattern >> (place % 8) & 1 == 1;
                // One vector alone, and the same in each vector of a batch that is added up as a tree.
                jobs.check(&kernel, known, &mut scratch, is_good, 8);
                if known || pattern % 16 == 7 {
                    jobs.check(&kernel, known, &mut scratch, |place| is_good(place) ^ (place / 8 == 2), 40);
                }
            }
        }
    }
}

#[test]
fn a_batch_that_is_not_full_reads_nothing_that_was_left_there() {
    for kernel in common::kernels() {
        let (jobs, poison) = (Jobs::new(&kernel, 40, 22), Jobs::new(&kernel, 40, 23));
        let mut scratch = Scratch::default();
        for known in [true, false] {
            for count in (1..=17).chain([31, 33, 39]) {
                for left_behind in [true, false] {
                    for poison_known in [true, false] {
                        // A full batch before, of other keys, all good or all bad: then the rest of the lanes would give the opposite.
                        poison.check(&kernel, poison_known, &mut scratch, |_| left_behind, if known { 40 } else { 16 });
                        jobs.check(&kernel, known, &mut scratch, |_| !left_behind, count);
                        jobs.check(&kernel, known, &mut scratch, |place| place % 2 == 0, count);
                    }
                }
            }
        }
    }
}

#[test]
fn keys_with_and_without_tables_may_be_mixed_in_any_order() {
    for kernel in common::kernels() {
        let jobs = Jobs::new(&kernel, 40, 24);
        let mut scratch = Scratch::default();
        for pattern in 0u64..64 {
            let mut random = Random(pattern);
            let known: Vec<_> = (0..40).map(|_| random.below(2) == 0).collect();
            let is_good: Vec<_> = (0..40).map(|_| random.below(3) != 0).collect();
            let batch: Vec<_> = (0..40).map(|place| jobs.job(place, known[place], is_good[place])).collect();
            for (place, finding) in kernel.verify(&batch, &mut scratch).iter().enumerate() {
                assert_eq!(finding.verdict == Verdict::Valid, is_good[place], "{}, {place}", kernel.backend());
                assert_ne!(finding.verdict, Verdict::Undecided);
            }
        }
    }
}

#[test]
fn a_table_of_another_back_end_is_used_as_if_there_were_none() {
    let kernels = common::kernels();
    for kernel in &kernels {
        for other in &kernels {
            let jobs = Jobs::new(other, 10, 25);
            jobs.check(kernel, true, &mut Scratch::default(), |place| place % 2 == 0, 10);
        }
    }
}

#[test]
fn an_empty_batch_has_no_findings() {
    for kernel in common::kernels() {
        assert!(kernel.verify(&[], &mut Scratch::default()).is_empty());
    }
}
