//! How those are told that are not let in, or not any longer, and what the log says of them.

use std::sync::Arc;

use holdfast_session::{Fault, Reason};
use holdfast_x509::Refusal;

use crate::Now;
use crate::connection::Stage;
use crate::flaps::Flap;
use crate::gate::Gate;
use crate::quota::Share;
use crate::request::{Level, Note, Request, Value};
use crate::sessions::{End, Why};
use crate::slots::Handle;

/// Why somebody is not let in: a code, and what the log should say of it.
#[derive(Clone, Debug)]
pub(crate) struct No {
    pub(crate) answer: Reason,
    code: String,
    proven: Proven,
    fields: Vec<(&'static str, Value)>,
}

/// What was proven of whoever is turned away, when that was decided (I15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proven {
    /// Nothing; and no chain was looked at.
    Nothing,
    /// Not all: a signature did not hold, or was not asked for. What the line says of the chain is what the chain says.
    Claimed,
    /// Its key, and every signature up to an anchor.
    Path,
}

impl No {
    pub(crate) fn new(code: &str) -> Self {
        let proven = Proven::Nothing;
        Self { answer: Reason::NotAuthorized, code: code.to_owned(), proven, fields: Vec::new() }
    }

    /// What is known of its chain may be nothing but what the chain says.
    pub(crate) fn claimed(self) -> Self {
        Self { proven: Proven::Claimed, ..self }
    }

    /// Of somebody whose path was good, unless that is what is in doubt now.
    pub(crate) fn of_proven(self) -> Self {
        let proven = if self.proven == Proven::Claimed { Proven::Claimed } else { Proven::Path };
        Self { proven, ..self }
    }

    /// Which lines may keep this one out of the log.
    fn share(&self) -> Share {
        match self.proven {
            Proven::Nothing | Proven::Claimed => Share::Strangers,
            // trust.md §3.2: somebody under the same root vouches for another's device.
            Proven::Path if self.code == "identity_pinned" => Share::Alarms,
            Proven::Path => Share::Proven,
        }
    }

    pub(crate) fn answer(mut self, answer: Reason) -> Self {
        self.answer = answer;
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.fields.push((name, value));
        self
    }

    /// What the judge says of a chain. It may say so before a signature was checked.
    pub(crate) fn of(refusal: &Refusal) -> Self {
        Self { proven: Proven::Claimed, ..Self::of_path(refusal) }
    }

    /// What is wrong with whoever comes by a good path.
    pub(crate) fn of_path(refusal: &Refusal) -> Self {
        let no = Self::new(refusal.code()).of_proven().with("reason", Value::peer(&refusal.error.to_string()));
        match refusal.position {
            Some(position) => no.with("position", position.into()),
            None => no,
        }
    }
}

impl Gate {
    /// Turns somebody away before their CONNECT, which will be answered.
    pub(crate) fn refuse(&mut self, handle: Handle, no: No, requests: &mut Vec<Request>) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        if matches!(connection.stage, Stage::Handshake { .. }) {
            self.handshaking = self.handshaking.saturating_sub(1);
        }
        let tracking_id = connection.session.refuse(no.answer);
        connection.stage = Stage::Refused;
        let source = connection.source();
        let no = no.with("tracking_id", Value::Text(tracking_id));
        requests.extend(self.refusal_note(handle, &source, no));
    }

    /// The peer broke a protocol: what the session still has to say (a TLS alert) is sent, then it is drained.
    pub(crate) fn broken(&mut self, handle: Handle, fault: &Fault, now: Now, requests: &mut Vec<Request>) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        if let Stage::Live { admitted, .. } = &connection.stage {
            // It has proven who it is: what it did is said of the device.
            let fields = vec![
                ("device", Value::peer(&admitted.device_id)),
                ("connection", Value::Text(format!("{handle:x}"))),
                ("reason", fault.code().into()),
                ("detail", Value::peer(fault.detail())),
            ];
            requests.push(Request::Note(Note { level: Level::Warning, event: "closed", fields }));
            if fault.code().starts_with("mqtt_") {
                let device_id = Arc::clone(&admitted.device_id);
                self.flaps.count(&device_id, Flap::Broken, &self.limits, now.monotonic_ms);
            }
            self.count_closed(fault.code());
            self.end_session(handle, End::Lost, now, requests);
        } else {
            let source = connection.source();
            requests.extend(self.fault_note(handle, &source, fault));
        }
        let _unsaid = self.send(handle, requests);
        self.finish(handle, now, requests);
    }

    /// Ends a live session from our side.
    pub(crate) fn end_live(&mut self, handle: Handle, why: Why, now: Now, requests: &mut Vec<Request>) {
        let (reason, said, end) = why.told();
        self.note_end(handle, reason, requests);
        self.end_session(handle, end, now, requests);
        if let Some(connection) = self.slots.get_mut(handle) {
            connection.session.finish(said);
            let _unsaid = self.send(handle, requests);
            self.finish(handle, now, requests);
        }
    }

    /// From here on the peer is only read from, until it closes or the time is up.
    pub(crate) fn finish(&mut self, handle: Handle, now: Now, requests: &mut Vec<Request>) {
        self.leave_stage(handle);
        let Some(connection) = self.slots.get_mut(handle) else { return };
        if connection.paused {
            connection.paused = false;
            requests.push(Request::Resume { handle });
        }
        connection.stage = Stage::Draining { bytes_left: self.limits.drain_bytes_max };
        let due_ms = now.monotonic_ms.saturating_add(self.limits.drain_deadline_ms);
        self.deadlines.set(handle, &mut connection.deadline, due_ms);
        requests.push(Request::Finish { handle });
        self.drains.push_back(handle);
        // All have the same time, so that whoever is gone comes up soon.
        while self.drains.front().is_some_and(|first| !self.slots.is_draining(*first)) {
            self.drains.pop_front();
        }
    }

    /// Why a live session ends. Of others nothing is said here: a refusal was noted when it was reached, and strangers who give up are only
    /// counted.
    pub(crate) fn note_end(&mut self, handle: Handle, reason: &'static str, requests: &mut Vec<Request>) {
        let admitted = match self.slots.get_mut(handle).map(|connection| &connection.stage) {
            Some(Stage::Live { admitted, .. }) => admitted,
            Some(Stage::Handshake { .. }) => return self.count("handshakes_left"),
            _ => return,
        };
        let fields = vec![
            ("device", Value::peer(&admitted.device_id)),
            ("connection", Value::Text(format!("{handle:x}"))),
            ("reason", reason.into()),
        ];
        requests.push(Request::Note(Note { level: Level::Info, event: "closed", fields }));
        self.count_closed(reason);
    }

    /// The line about a refusal, if it may still be written; it is counted either way.
    pub(crate) fn refusal_note(&mut self, handle: Handle, source: &str, no: No) -> Option<Request> {
        match self.refused.get_mut(&no.code) {
            Some(counter) => *counter = counter.saturating_add(1),
            None => drop(self.refused.insert(no.code.clone(), 1)),
        }
        let stage = self.slots.get_mut(handle).map(|connection| &connection.stage);
        let no = if matches!(stage, Some(Stage::Judged(_) | Stage::Claiming { .. })) { no.of_proven() } else { no };
        if !self.refusal_lines.take(no.share(), &no.code) {
            self.count("log_lines_suppressed");
            return None;
        }
        let mut fields = vec![
            ("code", Value::Text(no.code)),
            ("source", Value::peer(source)),
            ("connection", Value::Text(format!("{handle:x}"))),
        ];
        if no.proven == Proven::Claimed {
            fields.push(("claimed", Value::Truth(true)));
        }
        fields.extend(no.fields);
        Some(Request::Note(Note { level: Level::Warning, event: "refused", fields }))
    }

    fn fault_note(&mut self, handle: Handle, source: &str, fault: &Fault) -> Option<Request> {
        let no = No::new(fault.code()).with("reason", Value::peer(fault.detail()));
        self.refusal_note(handle, source, if fault.code() == "possession_failed" { no.claimed() } else { no })
    }
}
