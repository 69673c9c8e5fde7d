//! One crowd, as far as it is one thread's: what is next and when, and what came of it.

use std::time::{Duration, Instant};

use super::REPORT_EVERY;
use crate::error::Error;
use crate::kinds::{Behaviour, Expected};
use crate::plan::{Crowd, Plan, Stay};
use crate::stats::{CrowdStats, RoundStats};
use crate::tls::Tls;

/// One crowd, as far as it is this thread's.
pub(super) struct Company {
    pub(super) crowd: Crowd,
    pub(super) behaviour: Behaviour,
    pub(super) expected: Expected,
    pub(super) tls: Tls,
    pub(super) first: u64,
    pub(super) step: u64,
    pub(super) count: u64,
    pub(super) rate: f64,
    pub(super) concurrency: usize,
    pub(super) round: usize,
    pub(super) round_began: Option<Instant>,
    pub(super) started: u64,
    pub(super) live: usize,
    pub(super) open: Vec<(usize, u32)>,
    pub(super) turn: usize,
    pub(super) publishing: Option<(Instant, u64)>,
    pub(super) leaves_at: Option<Instant>,
    pub(super) stats: CrowdStats,
}

impl Company {
    pub(super) fn new(crowd: &Crowd, plan: &Plan, thread: usize, threads: usize) -> Result<Self, Error> {
        let (behaviour, expected) = crowd.behaviour()?;
        let (thread, step) = (thread as u64, threads as u64);
        let count = (crowd.count + step - 1).saturating_sub(thread) / step;
        Ok(Self {
            behaviour,
            expected,
            tls: Tls::new(crowd.version, &plan.server_name, crowd.resume)?,
            first: crowd.first + thread,
            step,
            count,
            rate: crowd.rate / as_f64(step),
            concurrency: crowd.concurrency.div_ceil(threads),
            round: 0,
            round_began: None,
            started: 0,
            live: 0,
            open: Vec::new(),
            turn: 0,
            publishing: None,
            leaves_at: None,
            stats: CrowdStats { finished: count == 0 || crowd.rounds == 0, ..CrowdStats::default() },
            crowd: crowd.clone(),
        })
    }

    pub(super) fn round_stats(&mut self) -> &mut RoundStats {
        if self.stats.rounds.len() <= self.round {
            self.stats.rounds.resize_with(self.round + 1, RoundStats::default);
        }
        &mut self.stats.rounds[self.round]
    }

    /// When the next connection of this round is due; `None` while none may begin.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let room = self.stats.under_way < u64::try_from(self.concurrency).unwrap_or(u64::MAX);
        if self.stats.finished || self.started >= self.count || !room {
            return None;
        }
        let began = self.round_began.unwrap_or(now);
        let after = if self.rate > 0.0 { as_f64(self.started) / self.rate } else { 0.0 };
        Some(began + Duration::from_secs_f64(after))
    }

    pub(super) fn next_in(&self, now: Instant) -> Duration {
        let starts = self.due(now).map_or(REPORT_EVERY, |due| due.saturating_duration_since(now));
        let publishes = self.crowd.publish.filter(|publish| publish.rate > 0.0 && !self.open.is_empty());
        let next_message = self.publishing.zip(publishes).map_or(REPORT_EVERY, |((began, sent), publish)| {
            let after = as_f64(sent + 1) * as_f64(self.step) / publish.rate;
            (began + Duration::from_secs_f64(after)).saturating_duration_since(now)
        });
        starts.min(next_message)
    }

    pub(super) fn is_all_up(&self) -> bool {
        self.started == self.count && self.stats.under_way == 0
    }

    /// A crowd that stays together publishes together.
    pub(super) fn publishes_now(&self) -> bool {
        match self.crowd.stay {
            Stay::Each(_) => true,
            Stay::All(_) => self.leaves_at.is_some(),
        }
    }

    pub(super) fn ping_every(&self) -> Option<Duration> {
        let seconds = u64::from(self.crowd.keep_alive_seconds);
        (seconds > 0).then(|| Duration::from_millis(seconds * 750))
    }

    pub(super) fn next_round(&mut self) {
        self.round += 1;
        self.started = 0;
        self.round_began = None;
        self.open.clear();
        self.leaves_at = None;
        self.publishing = None;
        self.stats.finished = self.round >= usize::try_from(self.crowd.rounds).unwrap_or(usize::MAX);
    }
}

/// Whether a hub that does so does what it should.
pub(super) fn is_expected(expected: Expected, ending: &str) -> bool {
    match expected {
        Expected::Served => ending == "connected",
        Expected::Refused | Expected::Ended => {
            !["admitted", "tolerated", "interrupted", "connect_timeout"].contains(&ending)
        }
        Expected::Survived => ending == "left",
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2⁵²")]
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count that is due: not negative, and small"
)]
pub(super) fn as_count(due: f64) -> u64 {
    due as u64
}
