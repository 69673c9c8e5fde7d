//! Whether the kernel is still to be believed: samples, re-checks, and the switch. `trust.md` §6.2.
//!
//! A wrong accept of the kernel would be silent. So of what it accepts a part is verified again by a plain verifier, chosen after the
//! batch and unpredictably, so that nobody can place a forgery beside the sample: one in each run of at most 64 accepts, over all lanes by
//! turns. A batch with 64 accepts or more is cut into runs of its own; smaller ones share theirs. Whatever the sizes, no more than 63
//! accepts are handed out after the last one that was verified again, so that is all that a machine which begins to compute wrongly gives
//! away. What it rejects is verified again while the budget lasts, and what it leaves open always. At the first disagreement the switch is
//! off for good, and the plain verifier decides the whole batch.
//! This finds a machine that computes wrongly. It is a health check, not security: single forgeries pass between samples.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::kernel::{Finding, Verdict};
use crate::lanes::LANES_MAX;

/// One accept in so many is verified again.
const SAMPLE_EVERY: usize = 64;

/// What a batch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever uses it must handle every case")]
pub enum Health {
    /// Every comparison agreed.
    Sound,
    /// The kernel and the plain verifier differ over this job: the guard is off from now on. Whoever gets this drops what was concluded
    /// from earlier batches.
    Disagreement {
        /// Position of the job in its batch.
        job: usize,
    },
    /// The guard was off before: everything was decided by the plain verifier.
    Off,
}

/// How often which decision was taken. Since the guard was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Jobs that the kernel decided.
    pub decided: u64,
    /// Accepts verified again.
    pub sampled: u64,
    /// Rejects verified again.
    pub rejects_rechecked: u64,
    /// Jobs that the kernel left open.
    pub undecided: u64,
    /// Jobs decided by the plain verifier because the guard was off, or went off.
    pub plain: u64,
}

/// The switch of one process's kernel, and what was seen. For any number of threads.
#[derive(Debug)]
pub struct Guard {
    on: AtomicBool,
    run: Mutex<Run>,
    decided: AtomicU64,
    sampled: AtomicU64,
    rejects_rechecked: AtomicU64,
    undecided: AtomicU64,
    plain: AtomicU64,
}

/// The run that small batches share.
#[derive(Debug)]
struct Run {
    /// Accepts handed out since the last sample.
    unsampled: usize,
    /// Samples taken in small batches.
    turn: u64,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

impl Guard {
    /// A guard that is on.
    pub fn new() -> Self {
        Self {
            on: AtomicBool::new(true),
            // The first batch is sampled, whatever its size.
            run: Mutex::new(Run { unsampled: SAMPLE_EVERY - 1, turn: 0 }),
            decided: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
            rejects_rechecked: AtomicU64::new(0),
            undecided: AtomicU64::new(0),
            plain: AtomicU64::new(0),
        }
    }

    /// Whether the kernel may be used. While not, do not run it.
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Switches the kernel off, for good: another worker saw a disagreement, a table failed its test, or the operator says so.
    pub fn switch_off(&self) {
        self.on.store(false, Relaxed);
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        Counts {
            decided: self.decided.load(Relaxed),
            sampled: self.sampled.load(Relaxed),
            rejects_rechecked: self.rejects_rechecked.load(Relaxed),
            undecided: self.undecided.load(Relaxed),
            plain: self.plain.load(Relaxed),
        }
    }

    /// Turns findings into decisions, one a job: true is valid.
    ///
    /// `plain` is the plain verifier, asked by position. `random` gives words that nobody outside can foresee. `rejects_max` bounds how many
    /// rejects are verified again; beyond it a reject stays a reject.
    pub fn settle(
        &self,
        findings: &[Finding],
        mut random: impl FnMut() -> u64,
        rejects_max: usize,
        mut plain: impl FnMut(usize) -> bool,
    ) -> (Vec<bool>, Health) {
        if !self.is_on() {
            return (self.all_plain(findings.len(), &mut plain), Health::Off);
        }
        let mut decisions: Vec<bool> = findings.iter().map(|finding| finding.verdict == Verdict::Valid).collect();
        let samples = self.sample(findings, &mut random);
        let rejects = rejects(findings, rejects_max, &mut random);
        for &job in samples.iter().chain(&rejects) {
            if plain(job) != decisions[job] {
                self.switch_off();
                return (self.all_plain(findings.len(), &mut plain), Health::Disagreement { job });
            }
        }
        let mut undecided = 0;
        for (job, _) in findings.iter().enumerate().filter(|(_, finding)| finding.verdict == Verdict::Undecided) {
            decisions[job] = plain(job);
            undecided += 1;
        }
        self.decided.fetch_add(findings.len() as u64 - undecided, Relaxed);
        self.undecided.fetch_add(undecided, Relaxed);
        self.sampled.fetch_add(samples.len() as u64, Relaxed);
        self.rejects_rechecked.fetch_add(rejects.len() as u64, Relaxed);
        (decisions, Health::Sound)
    }

    /// One job of each run of accepts.
    fn sample(&self, findings: &[Finding], random: &mut impl FnMut() -> u64) -> Vec<usize> {
        let accepts = findings.iter().enumerate().filter(|(_, finding)| finding.verdict == Verdict::Valid);
        let accepts: Vec<Accept> = accepts.map(|(job, finding)| (job, finding.lane)).collect();
        if accepts.is_empty() {
            return Vec::new();
        }
        // No code panics while it holds this lock.
        let mut shared = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let places = if accepts.len() < SAMPLE_EVERY {
            shared.sample(&accepts, random).into_iter().collect()
        } else {
            of_large_batch(&accepts, random)
        };
        // What follows the last sample in this batch counts for the next ones.
        shared.unsampled = match places.last() {
            Some(last) => accepts.len() - last - 1,
            None => shared.unsampled + accepts.len(),
        };
        places.into_iter().map(|place| accepts[place].0).collect()
    }

    fn all_plain(&self, count: usize, plain: &mut impl FnMut(usize) -> bool) -> Vec<bool> {
        self.plain.fetch_add(count as u64, Relaxed);
        (0..count).map(plain).collect()
    }
}

impl Run {
    /// Which of the accepts of a small batch ends the run, if it ends here: each accept of a run is as likely to, and the batch with which
    /// `SAMPLE_EVERY` would be unsampled always has one.
    fn sample(&mut self, accepts: &[Accept], random: &mut impl FnMut() -> u64) -> Option<usize> {
        let left = SAMPLE_EVERY - self.unsampled;
        if left > accepts.len() && below(left, random()) >= accepts.len() {
            return None;
        }
        let lane = self.turn;
        self.turn = self.turn.wrapping_add(1);
        Some(one_of(accepts, lane, random))
    }
}

/// One accept of each run of a batch of `SAMPLE_EVERY` or more, as places in order: the runs are all about as long, and none is longer.
fn of_large_batch(accepts: &[Accept], random: &mut impl FnMut() -> u64) -> Vec<usize> {
    let run = accepts.len().div_ceil(accepts.len().div_ceil(SAMPLE_EVERY));
    let first_lane = random();
    let lanes = (0..).map(|turn| first_lane.wrapping_add(turn));
    let starts = (0..).step_by(run);
    accepts.chunks(run).zip(starts).zip(lanes).map(|((run, start), lane)| start + one_of(run, lane, random)).collect()
}

/// An accept: its position among the jobs, and its lane.
type Accept = (usize, u8);

/// The place of one of the accepts in the first lane from `wanted` on, cyclically, that has any. There is at least one accept.
fn one_of(accepts: &[Accept], wanted: u64, random: &mut impl FnMut() -> u64) -> usize {
    let distance = |lane: u8| u64::from(lane).wrapping_sub(wanted) % LANES_MAX as u64;
    let nearest = accepts.iter().map(|(_, lane)| distance(*lane)).min();
    let in_lane = accepts.iter().enumerate().filter(|(_, (_, lane))| Some(distance(*lane)) == nearest);
    let in_lane: Vec<usize> = in_lane.map(|(place, _)| place).collect();
    in_lane[below(in_lane.len(), random())]
}

/// All rejected jobs, or `max` of them from a random one on.
fn rejects(findings: &[Finding], max: usize, random: &mut impl FnMut() -> u64) -> Vec<usize> {
    let rejects = findings.iter().enumerate().filter(|(_, finding)| finding.verdict == Verdict::Invalid);
    let mut rejects: Vec<_> = rejects.map(|(job, _)| job).collect();
    if rejects.len() > max {
        let first = below(rejects.len(), random());
        rejects.rotate_left(first);
        rejects.truncate(max);
    }
    rejects
}

/// A number below `count`, which is not zero.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
fn below(count: usize, random: u64) -> usize {
    (random % count as u64) as usize
}
