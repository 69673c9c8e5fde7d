//! Who is at the door: places, whose turn it is, and who makes room for whom.

use std::net::IpAddr;
use std::sync::Arc;

use holdfast_session::Session;

use crate::Now;
use crate::connection::{Connection, Stage};
use crate::deadlines::Deadline;
use crate::ends::No;
use crate::gate::Gate;
use crate::request::Request;
use crate::slots::Handle;
use crate::turns::{self, Standing};

/// How many strangers are looked at for one that may be shed, for each that comes: the others' time comes with those that come next.
const LOOKED_AT_MAX: usize = 64;

impl Gate {
    /// Whether to accept whoever waits in the system's queue, at no cost. Ours would only be longer.
    pub fn welcomes(&self) -> bool {
        self.crowd.has_room(self.limits.hellos_waiting_max)
    }

    /// A connection was accepted. No handle: there is no room for it.
    pub fn open(&mut self, source: Option<IpAddr>, now: Now) -> (Option<u64>, Vec<Request>) {
        let mut requests = Vec::new();
        let standing = self.crowd.meet(source);
        if let Some(code) = self.no_room(source, standing, now, &mut requests) {
            let source = source.map_or_else(String::new, |from| from.to_string());
            requests.extend(self.refusal_note(0, &source, No::new(code)));
            return (None, requests);
        }
        let handle = self.slots.insert(Connection {
            session: Session::new(&self.tls, Arc::clone(&self.session_limits)),
            source,
            opened_ms: now.monotonic_ms,
            stage: Stage::Handshake { queued: Vec::new(), ended: false },
            deadline: Deadline::default(),
            paused: false,
            held: false,
            unwritable: false,
            claim: turns::Claim::new(standing),
            step: 0,
        });
        if let Some(handle) = handle {
            let (usual, pressed) = (self.limits.handshake_deadline_ms, self.limits.pressed_deadline_ms);
            let patience_ms = if self.is_pressed() { usual.min(pressed) } else { usual };
            let deadline = self.deadlines.enter(handle, now.monotonic_ms.saturating_add(patience_ms));
            self.forget_old_steps();
            let step = self.crowd.step(handle, now.monotonic_ms);
            if let Some(connection) = self.slots.get_mut(handle) {
                (connection.deadline, connection.step) = (deadline, step);
            }
            self.crowd.enter(source);
            self.handshaking = self.handshaking.saturating_add(1);
            self.count("connections_opened");
        }
        (handle, requests)
    }

    /// Why somebody who comes now is not taken on. Room is made for them where somebody else only keeps still.
    fn no_room(
        &mut self,
        source: Option<IpAddr>,
        standing: Standing,
        now: Now,
        requests: &mut Vec<Request>,
    ) -> Option<&'static str> {
        if self.draining {
            return Some("draining");
        }
        if self.is_pressed() && self.crowd.of(source) >= self.limits.half_open_per_source_max {
            return Some("source_limit");
        }
        if standing == Standing::Unknown && self.are_unknown_enough() {
            return Some("unknown_source_limit");
        }
        let full = self.slots.len() >= self.limits.connections_count_max && !self.let_go_of_one(requests);
        let crowded = (full || self.crowd.len() >= self.places())
            && !(standing == Standing::Known && self.shed_last(requests))
            && !self.shed(standing, now, requests);
        crowded.then_some("connection_limit")
    }

    /// How many strangers there may be: sessions leave them no more.
    fn places(&self) -> usize {
        self.limits.half_open_count_max.min(self.limits.connections_count_max.saturating_sub(self.live.len()))
    }

    /// Closes the connection that has had the longest time to read its last words. False: there is none.
    fn let_go_of_one(&mut self, requests: &mut Vec<Request>) -> bool {
        while let Some(handle) = self.drains.pop_front() {
            if self.slots.is_draining(handle) {
                self.close(handle, requests);
                return true;
            }
        }
        false
    }

    /// Whether strangers of whose addresses nothing is known have all that there is for them.
    pub(crate) fn are_unknown_enough(&self) -> bool {
        let [_, unknown] = self.crowd.turns.new_ones();
        self.is_pressed() && unknown >= self.limits.hellos_waiting_max
    }

    /// Whether strangers have taken half of what there is for them.
    pub(crate) fn is_pressed(&self) -> bool {
        self.crowd.len() >= self.places() / 2
    }

    /// Ends the last to come of those who wait for their turn and of whose address nothing is known. False: there is none.
    fn shed_last(&mut self, requests: &mut Vec<Request>) -> bool {
        let Some(handle) = self.crowd.turns.take_last_unknown(|handle| self.slots.claim(handle)) else { return false };
        self.turn_away(handle, No::new("shed"), requests);
        true
    }

    /// Ends a stranger that has no turn, whatever it has said.
    pub(crate) fn turn_away(&mut self, handle: Handle, no: No, requests: &mut Vec<Request>) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        if let Stage::Handshake { queued, .. } = &mut connection.stage {
            *queued = Vec::new();
        }
        let source = connection.source();
        requests.extend(self.refusal_note(handle, &source, no));
        self.close(handle, requests);
    }

    /// Ends the stranger who has kept still for longest while it was its turn to speak, for somebody of this standing. False: all of them
    /// are getting on.
    fn shed(&mut self, standing: Standing, now: Now, requests: &mut Vec<Request>) -> bool {
        for _ in 0..LOOKED_AT_MAX {
            self.forget_old_steps();
            let Some(oldest) = self.crowd.oldest_step() else { return false };
            let Some(connection) = self.slots.get_mut(oldest.handle) else { return false };
            let still = match &connection.stage {
                Stage::Handshake { queued, ended } => queued.is_empty() && !ended,
                Stage::Judged(_) | Stage::Refused => true,
                // The unknown wait for longer than others do, and may be too many.
                Stage::Waiting => standing == Standing::Known && !connection.claim.known,
                // These wait for us.
                Stage::Claiming { .. } | Stage::Live { .. } | Stage::Draining { .. } => false,
            };
            if still {
                let goes_before = standing == Standing::Known && connection.claim.standing == Standing::Unknown;
                let still_ms = now.monotonic_ms.saturating_sub(oldest.at_ms);
                if still_ms < self.limits.shed_after_ms && !goes_before {
                    return false;
                }
                self.crowd.drop_oldest_step();
                self.turn_away(oldest.handle, No::new("shed"), requests);
                return true;
            }
            // It may keep still later, and has got no further by what it has said.
            connection.step = self.crowd.put_oldest_step_last().unwrap_or_default();
        }
        false
    }

    /// Works for strangers whose bytes have come, by their standing, as many as one turn of the loop has room for.
    pub fn turn(&mut self, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        self.keep_tickets(now);
        self.heed_kernel(now, &mut requests);
        for _ in 0..self.limits.handshakes_a_turn {
            let Some(handle) = self.crowd.turns.next(|handle| self.slots.claim(handle)) else { break };
            self.agree(handle);
            let Some(connection) = self.slots.get_mut(handle) else { continue };
            let Stage::Handshake { queued, ended } = &mut connection.stage else { continue };
            let (bytes, ended) = (std::mem::take(queued), std::mem::take(ended));
            let before = requests.len();
            match connection.session.receive(&bytes) {
                Ok(()) => self.pump(handle, now, &mut requests),
                Err(fault) => self.broken(handle, &fault, now, &mut requests),
            }
            let answered = requests.iter().skip(before).any(|request| matches!(request, Request::Send { .. }));
            self.got_further(handle, answered, now);
            if ended {
                requests.extend(self.end_of_stream(handle, now));
            }
        }
        if !self.crowd.turns.is_empty() {
            requests.push(Request::Turn);
        }
        self.judge_if_due(now, &mut requests);
        requests
    }

    /// Steps of whoever is gone, or got further since, count for nothing: the queue of them must not outgrow the crowd.
    fn forget_old_steps(&mut self) {
        while let Some(oldest) = self.crowd.oldest_step() {
            let counts = self.slots.get_mut(oldest.handle).is_some_and(|connection| {
                connection.step == oldest.number
                    && !matches!(connection.stage, Stage::Live { .. } | Stage::Draining { .. })
            });
            if counts {
                return;
            }
            self.crowd.drop_oldest_step();
        }
    }

    /// How many steps of strangers are remembered.
    pub fn steps(&self) -> usize {
        self.crowd.steps()
    }

    /// A stranger has had a turn. If its handshake has moved, it is not the one who has kept still for longest any more.
    fn got_further(&mut self, handle: Handle, answered: bool, now: Now) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        let first_answer = answered && !connection.claim.answered;
        connection.claim = connection.claim.after(answered);
        let moved = match connection.stage {
            Stage::Handshake { .. } => answered,
            Stage::Waiting | Stage::Judged(_) | Stage::Claiming { .. } | Stage::Refused => true,
            Stage::Live { .. } | Stage::Draining { .. } => false,
        };
        if moved {
            connection.step = self.crowd.step(handle, now.monotonic_ms);
        }
        if first_answer {
            self.count("strangers_answered");
        }
    }

    /// Whether what it said before it broke off still counts: of a device that has proven its key it does; of a stranger nobody is left
    /// to be answered.
    pub fn is_proven(&mut self, handle: u64) -> bool {
        let connection = self.slots.get_mut(handle);
        connection.is_some_and(|connection| matches!(connection.stage, Stage::Judged(_) | Stage::Live { .. }))
    }
}
