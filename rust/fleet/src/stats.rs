//! What was counted and measured, by crowd; adds up over threads.

use std::collections::BTreeMap;

use crate::histogram::Histogram;

/// Endings by name.
pub type Endings = BTreeMap<String, u64>;

/// One crowd.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CrowdStats {
    /// Each round that has begun.
    pub rounds: Vec<RoundStats>,
    /// From a message to its acknowledgement.
    pub acknowledgement: Histogram,
    /// How far behind its schedule this client began connections: large, and the client is what was measured.
    pub lag: Histogram,
    /// From a misbehaviour to what the hub did about it.
    pub reaction: Histogram,
    /// Connections that were let in and later lost, by ending.
    pub lost: Endings,
    /// Connections that misbehaved and ended as they should.
    pub as_expected: u64,
    /// Messages sent.
    pub published: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Connections that wait for their answer.
    pub under_way: u64,
    /// Connections that are open.
    pub open: u64,
    /// The most that were.
    pub open_max: u64,
    /// What happened in each second since the start.
    pub seconds: Vec<Second>,
    /// Whether it has done all it was to do.
    pub finished: bool,
}

/// One round of contacts.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RoundStats {
    /// Connections begun.
    pub started: u64,
    /// How they ended up, `connected` included.
    pub outcomes: Endings,
    /// Of those that were let in, how many came by a ticket.
    pub resumed: u64,
    /// Until the socket was connected.
    pub dial: Histogram,
    /// From there until TLS was finished on the device's side.
    pub handshake: Histogram,
    /// From the first packet to its answer.
    pub answer: Histogram,
    /// From dialling to the answer.
    pub total: Histogram,
    /// From the first dialling to the last answer.
    pub elapsed_us: u64,
}

/// One second of a crowd.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Second {
    /// Connections let in.
    pub connected: u64,
    /// Connections that failed or were refused.
    pub failed: u64,
    /// Connections open at its end.
    pub open: u64,
    /// Messages sent.
    pub published: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
}

impl CrowdStats {
    /// Adds another thread's part of the same crowd.
    pub(crate) fn add(&mut self, other: &Self) {
        self.rounds.resize_with(self.rounds.len().max(other.rounds.len()), RoundStats::default);
        for (round, more) in self.rounds.iter_mut().zip(&other.rounds) {
            round.add(more);
        }
        self.acknowledgement.add(&other.acknowledgement);
        self.lag.add(&other.lag);
        self.reaction.add(&other.reaction);
        add_endings(&mut self.lost, &other.lost);
        self.as_expected += other.as_expected;
        self.published += other.published;
        self.acknowledged += other.acknowledged;
        self.under_way += other.under_way;
        self.open += other.open;
        self.open_max += other.open_max;
        self.seconds.resize_with(self.seconds.len().max(other.seconds.len()), Second::default);
        for (second, more) in self.seconds.iter_mut().zip(&other.seconds) {
            second.connected += more.connected;
            second.failed += more.failed;
            second.open += more.open;
            second.published += more.published;
            second.acknowledged += more.acknowledged;
        }
        self.finished &= other.finished;
    }
}

impl RoundStats {
    fn add(&mut self, other: &Self) {
        self.started += other.started;
        add_endings(&mut self.outcomes, &other.outcomes);
        self.resumed += other.resumed;
        self.dial.add(&other.dial);
        self.handshake.add(&other.handshake);
        self.answer.add(&other.answer);
        self.total.add(&other.total);
        self.elapsed_us = self.elapsed_us.max(other.elapsed_us);
    }
}

pub(crate) fn count(endings: &mut Endings, ending: &str) {
    match endings.get_mut(ending) {
        Some(count) => *count += 1,
        None => _ = endings.insert(ending.to_owned(), 1),
    }
}

fn add_endings(endings: &mut Endings, more: &Endings) {
    for (ending, count) in more {
        *endings.entry(ending.clone()).or_default() += count;
    }
}
