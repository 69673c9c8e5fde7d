//! From a proven key to a verdict: chains are set aside, and judged together as soon as there is nobody to wait for.

use std::collections::VecDeque;
use std::sync::Arc;

use holdfast_session::{PresentedChain, Reason};

use crate::Now;
use crate::connection::{Judged, Stage};
use crate::ends::No;
use crate::gate::Gate;
use crate::request::{Request, Value};
use crate::slots::Handle;
use crate::verdicts::{Batch, Verdict};

/// Sizes of batches that are counted apart: 1, 2, 3–4, 5–8, … and all that is larger.
pub const BATCH_SIZES: usize = 10;
/// Chains that are judged in one batch: whoever comes meanwhile and goes before the others waits for no more.
const BATCH_COUNT_MAX: usize = 64;
/// One of so many is of an unknown address, if any waits.
const ONE_UNKNOWN_IN: usize = 4;
/// Chains of those who are gone that may lie among the others before they are swept out.
const GONE_COUNT_MAX: usize = 64;

/// Chains that were set aside: of whoever comes from where devices come from, and of the others.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    known: VecDeque<(Handle, PresentedChain)>,
    unknown: VecDeque<(Handle, PresentedChain)>,
    since_ms: u64,
}

impl Waiting {
    fn len(&self) -> usize {
        self.known.len().saturating_add(self.unknown.len())
    }

    fn push(&mut self, handle: Handle, chain: PresentedChain, known: bool, now: Now) {
        if self.len() == 0 {
            self.since_ms = now.monotonic_ms;
        }
        if known { self.known.push_back((handle, chain)) } else { self.unknown.push_back((handle, chain)) }
    }

    /// Takes those whose turn it is, who are still there: known ones first, but others as well.
    fn take(&mut self, mut is_there: impl FnMut(Handle) -> bool) -> Vec<(Handle, PresentedChain)> {
        let mut taken = Vec::new();
        while taken.len() < BATCH_COUNT_MAX {
            let turn_of_unknown = taken.len() % ONE_UNKNOWN_IN == ONE_UNKNOWN_IN.saturating_sub(1);
            let (first, then) = if turn_of_unknown {
                (&mut self.unknown, &mut self.known)
            } else {
                (&mut self.known, &mut self.unknown)
            };
            let Some(next) = first.pop_front().or_else(|| then.pop_front()) else { break };
            if is_there(next.0) {
                taken.push(next);
            }
        }
        taken
    }

    fn sweep(&mut self, mut is_there: impl FnMut(Handle) -> bool) {
        for queue in [&mut self.known, &mut self.unknown] {
            queue.retain(|(handle, _)| is_there(*handle));
        }
    }
}

impl Gate {
    /// Sets aside a chain whose key was proven.
    pub(crate) fn present(&mut self, handle: Handle, chain: PresentedChain, now: Now) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        connection.stage = Stage::Waiting;
        // It has proven that it holds a key: a crowd at the door does not hurry it any more.
        let due_ms = connection.opened_ms.saturating_add(self.limits.handshake_deadline_ms);
        self.deadlines.set(handle, &mut connection.deadline, due_ms);
        match chain.resumed() {
            Some(_) => self.count("handshakes_resumed"),
            None => self.count("handshakes_completed"),
        }
        if chain.by_known_key() {
            self.count("possessions_by_kernel");
        }
        self.handshaking = self.handshaking.saturating_sub(1);
        self.set_aside(handle, chain, now);
    }

    fn set_aside(&mut self, handle: Handle, chain: PresentedChain, now: Now) {
        if self.waiting.len() >= self.crowd.len().saturating_add(GONE_COUNT_MAX) {
            let slots = &mut self.slots;
            self.waiting.sweep(|handle| slots.is_waiting(handle));
        }
        let known = self.slots.get_mut(handle).is_some_and(|connection| connection.claim.known);
        self.waiting.push(handle, chain, known, now);
    }

    /// Judges what is set aside as soon as nobody else is to be waited for: enough wait, they have waited long enough, or
    /// no other handshake is under way. A few are judged here and now; more are for `take_batch`.
    pub(crate) fn judge_if_due(&mut self, now: Now, requests: &mut Vec<Request>) {
        let (count, limits) = (self.waiting.len(), &self.limits);
        if count == 0 || count > limits.batch_inline_max {
            return;
        }
        let waited_ms = now.monotonic_ms.saturating_sub(self.waiting.since_ms);
        if self.handshaking > 0 && count < limits.batch_count_enough && waited_ms < limits.batch_wait_ms {
            if count == 1 {
                requests.push(Request::Tick { after_ms: limits.batch_wait_ms.saturating_sub(waited_ms) });
            }
            return;
        }
        if let Some(batch) = self.batch(now, requests) {
            let verdicts = batch.judge();
            requests.extend(self.deliver(verdicts, now));
        }
    }

    /// Chains to be judged on another thread: more wait than are judged at once. `deliver` what comes of them.
    pub fn take_batch(&mut self, now: Now) -> (Option<Batch>, Vec<Request>) {
        let mut requests = Vec::new();
        let many = self.waiting.len() > self.limits.batch_inline_max;
        (many.then(|| self.batch(now, &mut requests)).flatten(), requests)
    }

    /// trust.md §5.3: whoever turns the clock back revives what has expired; nobody is let in.
    pub(crate) fn check_clock(&self, now: Now) -> Result<(), No> {
        let floor = self.roster.trust().clock_floor.max(self.latest);
        if now.unix >= floor {
            return Ok(());
        }
        Err(No::new("clock_behind").answer(Reason::ServerUnavailable).with("floor", Value::Text(floor.to_string())))
    }

    /// Of those that are set aside.
    fn batch(&mut self, now: Now, requests: &mut Vec<Request>) -> Option<Batch> {
        let slots = &mut self.slots;
        let chains = self.waiting.take(|handle| slots.is_waiting(handle));
        if let Err(no) = self.check_clock(now) {
            for (handle, _) in chains {
                self.refuse(handle, no.clone(), requests);
                self.pump(handle, now, requests);
            }
            return None;
        }
        self.latest = now.unix;
        if chains.is_empty() {
            return None;
        }
        let size = usize::try_from(chains.len().next_power_of_two().trailing_zeros()).unwrap_or(BATCH_SIZES);
        if let Some(counter) = self.batches.get_mut(size.min(BATCH_SIZES.saturating_sub(1))) {
            *counter = counter.saturating_add(1);
        }
        self.count_many("chains_judged", chains.len());
        Some(Batch::new(Arc::clone(&self.verifier), self.roster.trust().epoch, now.unix, chains))
    }

    /// What came of chains that were judged. A verdict that nobody waits for does nothing; one of another epoch is asked again.
    pub fn deliver(&mut self, verdicts: Vec<Verdict>, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        for Verdict { handle, epoch, chain, outcome } in verdicts {
            if !self.slots.is_waiting(handle) {
                continue;
            }
            if epoch != self.roster.trust().epoch {
                self.set_aside(handle, chain, now);
                continue;
            }
            let Some(connection) = self.slots.get_mut(handle) else { continue };
            match outcome {
                Ok((path, device_id)) => {
                    connection.session.accept();
                    connection.stage = Stage::Judged(Box::new(Judged { chain, path, device_id, epoch }));
                }
                Err(no) => {
                    self.forget_ticket(chain.resumed());
                    self.refuse(handle, no, &mut requests);
                }
            }
            self.pump(handle, now, &mut requests);
        }
        self.judge_if_due(now, &mut requests);
        requests
    }

    /// A verdict from before trust has moved is worth nothing: the chain is judged again, now. One from before the clock went back is
    /// not worth more.
    pub(crate) fn judge_again_if_moved(
        &mut self,
        judged: Box<Judged>,
        handle: Handle,
        now: Now,
    ) -> Result<Box<Judged>, No> {
        self.check_clock(now)?;
        let epoch = self.roster.trust().epoch;
        if judged.epoch == epoch {
            return Ok(judged);
        }
        let batch = Batch::new(Arc::clone(&self.verifier), epoch, now.unix, vec![(handle, judged.chain)]);
        let verdict = batch.judge().pop().ok_or_else(|| No::new("clock_behind"))?;
        let (path, device_id) = verdict.outcome?;
        Ok(Box::new(Judged { chain: verdict.chain, path, device_id, epoch }))
    }
}
