//! The health check of `trust.md` §6.2: samples, re-checks, and the switch.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;

use common::{Case, Prepared, Random, curve, public};
use holdfast_p256::{Finding, Guard, Health, Job, Scratch, Verdict};
use num_bigint::BigUint;

fn good(random: &mut Random) -> Case {
    let (d, u1, u2) = (random.scalar(), random.scalar(), random.scalar());
    let x = BigUint::from_bytes_be(&public(&((&u1 + &u2 * &d) % curve::n()))[1..33]);
    Case::of_scalars(public(&d), &u1, &u2, &x).expect("r is not zero")
}

/// Findings of a real kernel over `count` jobs, of which those that `is_good` says are valid; and the plain verifier's verdicts.
struct Batch {
    findings: Vec<Finding>,
    plain: Vec<bool>,
}

fn batch(count: usize, is_good: impl Fn(usize) -> bool) -> Batch {
    let kernel = &common::kernels()[0];
    let random = &mut Random(51);
    let mut cases: Vec<_> = (0..count.min(16)).map(|_| good(random)).collect();
    for (place, case) in cases.iter_mut().enumerate() {
        case.digest[7] ^= u8::from(!is_good(place));
    }
    let keys: Vec<_> = cases.iter().map(|case| Prepared::new(kernel, &case.key)).collect();
    let jobs: Vec<_> = (0..count)
        .map(|place| {
            let (case, key) = (&cases[place % 16], &keys[place % 16]);
            Job { key: key.as_key(true), digest: case.digest, signature: case.signature().unwrap() }
        })
        .collect();
    let findings = kernel.verify(&jobs, &mut Scratch::default()).to_vec();
    let judged: Vec<_> = cases.iter().map(Case::judged).collect();
    Batch { findings, plain: (0..count).map(|place| judged[place % 16]).collect() }
}

/// What was asked of the plain verifier.
fn settle(guard: &Guard, batch: &Batch, random: &mut Random, rejects_max: usize) -> (Vec<bool>, Health, Vec<usize>) {
    let asked = RefCell::new(Vec::new());
    let (decisions, health) = guard.settle(
        &batch.findings,
        || random.word(),
        rejects_max,
        |job| {
            asked.borrow_mut().push(job);
            batch.plain[job]
        },
    );
    (decisions, health, asked.into_inner())
}

#[test]
fn a_sound_kernel_is_sampled_once_in_sixty_four_in_every_lane() {
    let mut random = Random(52);
    for (count, samples) in [(64, 1), (65, 2), (640, 10), (1000, 16)] {
        let batch = batch(count, |_| true);
        let lanes_count = batch.findings.iter().map(|finding| finding.lane).max().unwrap() + 1;
        let guard = Guard::new();
        let mut hits = vec![0; count];
        let mut lane_hits = [0; 8];
        for _ in 0..400 {
            let (decisions, health, asked) = settle(&guard, &batch, &mut random, 8);
            assert_eq!((decisions, health), (vec![true; count], Health::Sound));
            assert_eq!(asked.len(), samples, "of {count}");
            for job in asked {
                hits[job] += 1;
                lane_hits[usize::from(batch.findings[job].lane)] += 1;
            }
        }
        // Every lane, and every place of a batch, has its turn; none is spared.
        let expected = 400 * samples / usize::from(lanes_count);
        for hits in &lane_hits[..usize::from(lanes_count)] {
            assert!((expected / 2..=expected * 2).contains(hits), "{lane_hits:?} of {count}");
        }
        assert!(count > 64 || hits.iter().all(|hits| *hits > 0), "{hits:?}");
        assert_eq!(guard.counts().sampled, 400 * samples as u64);
        assert_eq!(guard.counts().decided, 400 * count as u64);
    }
}

/// Small batches of any sizes: 64 accepts without a sample are never handed out, the first batch has one, every lane and every place
/// of a batch has its turn, and which accept it is cannot be told from those before.
#[test]
fn small_batches_never_hand_out_sixty_four_accepts_without_a_sample() {
    let mut random = Random(57);
    let batches: Vec<Batch> = [1, 2, 5, 8, 8, 8, 31, 63].map(|count| batch(count, |_| true)).into();
    let lanes_count = batches[7].findings.iter().map(|finding| finding.lane).max().unwrap() + 1;
    let (guard, mut unsampled, mut gaps) = (Guard::new(), 63, vec![0; 64]);
    let (mut hits, mut lane_hits) = (vec![vec![0; 63]; batches.len()], [0; 8]);
    for number in 1..=40_000 {
        let which = random.below(if number < 20_000 { 6 } else { batches.len() });
        let batch = &batches[which];
        let (decisions, health, asked) = settle(&guard, batch, &mut random, 8);
        assert_eq!((decisions, health), (batch.plain.clone(), Health::Sound));
        assert!(asked.len() <= 1);
        match asked.first() {
            Some(&job) => {
                gaps[unsampled] += 1;
                unsampled = batch.findings.len() - 1 - job;
                hits[which][job] += 1;
                lane_hits[usize::from(batch.findings[job].lane)] += 1;
            }
            None => unsampled += batch.findings.len(),
        }
        assert!(unsampled < 64, "{unsampled} accepts without a sample");
    }
    assert!(gaps[..56].iter().filter(|count| **count > 0).count() > 50, "{gaps:?}");
    assert!(hits.iter().zip(&batches).all(|(hits, batch)| hits[..batch.findings.len()].iter().all(|hits| *hits > 0)));
    assert!(lane_hits[..usize::from(lanes_count)].iter().all(|hits| *hits > 200), "{lane_hits:?}");
}

/// The fault: from one accept on, amid batches of any sizes, the machine computes wrongly.
#[test]
fn a_machine_that_begins_to_compute_wrongly_gives_away_fewer_than_sixty_four_accepts() {
    let mut random = Random(58);
    let batches: Vec<Batch> = [1, 2, 5, 8, 31, 63, 64, 200].map(|count| batch(count, |_| true)).into();
    let broken = |batch: &Batch, from: usize| Batch {
        findings: batch.findings.clone(),
        plain: (0..batch.plain.len()).map(|place| place < from).collect(),
    };
    let mut most = 0;
    for _ in 0..4_000 {
        let guard = Guard::new();
        for _ in 0..random.below(4) {
            settle(&guard, &batches[random.below(batches.len())], &mut random, 0);
        }
        let first = &batches[random.below(batches.len())];
        let mut from = random.below(first.plain.len());
        let (mut batch, mut given_away) = (broken(first, from), 0);
        while settle(&guard, &batch, &mut random, 0).1 == Health::Sound {
            given_away += batch.plain.len() - from;
            from = 0;
            batch = broken(&batches[random.below(batches.len())], from);
        }
        assert!(given_away < 64, "{given_away}");
        most = most.max(given_away);
    }
    assert!(most > 56, "{most} at most: the bound is not tried");
}

/// The fault: in batches of eight one lane says yes to everything. By turns each lane is sampled, so eight runs of 64 accepts show it.
#[test]
fn a_bad_lane_is_found_within_eight_runs_of_small_batches() {
    for (lane, seed) in (0..8_usize).zip(60..) {
        let mut random = Random(seed);
        let mut batch = batch(8, |place| place != lane);
        let bad = batch.findings.iter_mut().filter(|finding| finding.verdict == Verdict::Invalid);
        bad.for_each(|finding| finding.verdict = Verdict::Valid);
        let guard = Guard::new();
        let one_lane = batch.findings.iter().all(|finding| finding.lane == 0);
        // Lanes by turns where there are eight; else any of the eight, and chance has to be given more time.
        let batches_max = if one_lane { 8 * 64 } else { 8 * 64 / 8 };
        let found = (0..batches_max).any(|_| settle(&guard, &batch, &mut random, 0).1 != Health::Sound);
        assert!(found, "lane {lane}");
        assert!(!guard.is_on());
    }
}

#[test]
fn rejects_are_verified_again_within_the_budget() {
    let mut random = Random(53);
    let batch = batch(64, |place| place % 4 != 0);
    let guard = Guard::new();
    let mut hits = [0; 64];
    for _ in 0..200 {
        let (decisions, health, asked) = settle(&guard, &batch, &mut random, 5);
        assert_eq!((decisions, health), (batch.plain.clone(), Health::Sound));
        let rejects: Vec<_> = asked.iter().filter(|job| *job % 4 == 0).collect();
        assert_eq!(rejects.len(), 5);
        for job in rejects {
            hits[*job] += 1;
        }
    }
    assert!(hits.iter().enumerate().all(|(job, hits)| (*hits > 0) == (job % 4 == 0)), "{hits:?}");
    assert_eq!(guard.counts().rejects_rechecked, 1000);
    let (_, _, asked) = settle(&guard, &batch, &mut random, usize::MAX);
    assert_eq!(asked.iter().filter(|job| *job % 4 == 0).count(), 16);
}

#[test]
fn what_is_undecided_is_decided_by_the_plain_verifier() {
    let mut random = Random(54);
    let mut batch = batch(16, |place| place < 8);
    for place in [2, 3, 12] {
        batch.findings[place].verdict = Verdict::Undecided;
    }
    let guard = Guard::new();
    let (decisions, health, asked) = settle(&guard, &batch, &mut random, 0);
    assert_eq!((decisions, health), (batch.plain.clone(), Health::Sound));
    assert!([2, 3, 12].iter().all(|job| asked.contains(job)));
    assert_eq!((guard.counts().undecided, guard.counts().decided), (3, 13));
}

/// The fault: one lane says yes to everything. It is found within a few batches, the switch goes off, and from then on, and for the whole
/// of that batch, the plain verifier decides.
#[test]
fn a_lane_that_accepts_everything_is_found_and_the_kernel_goes_off() {
    for lane in 0..8 {
        let mut random = Random(55 + u64::from(lane));
        let mut batch = batch(64, |place| place % 2 == 0);
        for finding in batch.findings.iter_mut().filter(|finding| finding.lane == lane) {
            finding.verdict = Verdict::Valid;
        }
        let wrong = batch
            .findings
            .iter()
            .zip(&batch.plain)
            .filter(|(finding, plain)| (finding.verdict == Verdict::Valid) != **plain);
        if wrong.count() == 0 {
            continue; // this lane's jobs were all good, or the back end has no such lane
        }
        let guard = Guard::new();
        let batches = (1..=100).find(|_| {
            let (decisions, health, _) = settle(&guard, &batch, &mut random, 0);
            match health {
                Health::Disagreement { job } => {
                    assert!(!batch.plain[job]);
                    assert_eq!(decisions, batch.plain, "the whole batch is decided again");
                    true
                }
                Health::Sound => false,
                Health::Off => panic!("nobody switched it off"),
            }
        });
        assert!(batches.is_some());
        assert!(!guard.is_on());
        let (decisions, health, asked) = settle(&guard, &batch, &mut random, 0);
        assert_eq!((decisions, health, asked.len()), (batch.plain.clone(), Health::Off, 64));
        assert_eq!(guard.counts().plain, 128);
    }
}

#[test]
fn a_kernel_that_rejects_what_is_good_goes_off_too() {
    let mut random = Random(56);
    let mut batch = batch(32, |_| true);
    batch.findings[9].verdict = Verdict::Invalid;
    let guard = Guard::new();
    let (decisions, health, _) = settle(&guard, &batch, &mut random, 4);
    assert_eq!((decisions, health), (vec![true; 32], Health::Disagreement { job: 9 }));
    assert!(!guard.is_on());
}

#[test]
fn an_empty_batch_asks_nothing() {
    let guard = Guard::new();
    let (decisions, health) = guard.settle(&[], || panic!("no randomness"), 9, |_| panic!("no job"));
    assert_eq!((decisions, health), (vec![], Health::Sound));
    guard.switch_off();
    assert_eq!(guard.settle(&[], || panic!("no randomness"), 9, |_| panic!("no job")).1, Health::Off);
}
