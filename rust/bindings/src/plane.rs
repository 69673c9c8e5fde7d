//! The gate with its sockets and the two threads that serve it: one judges large batches, one stores messages. Here they meet,
//! outside of the interpreter; what is left for Python is claims, the inbox and the log.

use std::collections::VecDeque;
use std::sync::Arc;

use holdfast_front::{Front, guarded};
use holdfast_gate::{Gate, Judges, Now, Request, Verdict};
use holdfast_session::Telemetry;
use holdfast_stream::{AppendError, Message, Receipt, Writer};

use crate::backlog::Backlog;
use crate::convert::{json_object, round_trip_time};
use crate::lines::Lines;

/// Turns before the interpreter has its own: claims, the inbox and timers wait for a few milliseconds at the most.
const TURNS_AT_ONCE: usize = 16;
/// Verdicts that are delivered in one turn, each about 0.1 ms with all that follows: connected devices are heard in between.
const VERDICTS_A_TURN: usize = 2;

pub(crate) struct Plane {
    pub(crate) gate: Gate,
    pub(crate) front: Front,
    judges: Judges,
    /// Verdicts that have come, the first first.
    verdicts: VecDeque<Verdict>,
    store: Arc<Writer>,
    backlog: Backlog,
    lines: Lines,
}

impl Plane {
    pub(crate) fn new(gate: Gate, front: Front, judges: Judges, store: Arc<Writer>) -> Self {
        Self {
            gate,
            front,
            judges,
            verdicts: VecDeque::new(),
            store,
            backlog: Backlog::default(),
            lines: Lines::default(),
        }
    }

    pub(crate) fn judges(&self) -> &Judges {
        &self.judges
    }

    /// One step of the gate, and what follows from it here. `received_at_ms`: of the messages that it brings.
    pub(crate) fn step(
        &mut self,
        now: Now,
        received_at_ms: i64,
        step: impl FnOnce(&mut Gate, Now) -> Vec<Request>,
    ) -> Vec<Request> {
        let requests = step(&mut self.gate, now);
        self.follow(requests, now, received_at_ms)
    }

    /// A step for each of `rows`, and what follows from all; `whose` connection it is about, 0: nobody's. A panic costs that one (X03), and
    /// it is closed: what was to be done with it may have been its end.
    pub(crate) fn each<T>(
        &mut self,
        rows: impl IntoIterator<Item = T>,
        whose: impl Fn(&Gate, &T) -> u64,
        step: impl Fn(&mut Gate, T) -> Vec<Request>,
        now: Now,
        received_at_ms: i64,
    ) -> Vec<Request> {
        let asked = self.asked_for_each(rows, whose, step, now);
        self.follow(asked, now, received_at_ms)
    }

    fn asked_for_each<T>(
        &mut self,
        rows: impl IntoIterator<Item = T>,
        whose: impl Fn(&Gate, &T) -> u64,
        step: impl Fn(&mut Gate, T) -> Vec<Request>,
        now: Now,
    ) -> Vec<Request> {
        let mut asked = Vec::new();
        for row in rows {
            let handle = whose(&self.gate, &row);
            match guarded(|| step(&mut self.gate, row), handle, &mut asked) {
                Some(more) => asked.extend(more),
                None => self.front.lose(handle, &mut self.gate, now, &mut asked),
            }
        }
        asked
    }

    /// Whoever is ready is served, several times over while there is somebody: what comes after a turn of the interpreter's loop costs as
    /// much as half a handshake.
    pub(crate) fn turn(&mut self, now: Now, received_at_ms: i64) -> Vec<Request> {
        let mut left = Vec::new();
        for _ in 0..TURNS_AT_ONCE {
            // Acknowledgements leave before anybody else is heard.
            let acknowledged = self.acknowledge(now);
            left.extend(self.carry_out(acknowledged, now, received_at_ms));
            let heard = self.front.hear(&mut self.gate, now);
            left.extend(self.carry_out(heard, now, received_at_ms));
            if self.wants_turn(now) {
                self.let_the_store_on();
            }
            // A panic costs those that are delivered, not what others have asked for.
            let admitted = guarded(|| self.deliver(now), 0, &mut left).unwrap_or_default();
            left.extend(self.carry_out(admitted, now, received_at_ms));
            let asked = self.front.meet(&mut self.gate, now);
            left.extend(self.carry_out(asked, now, received_at_ms));
            if !self.wants_turn(now) {
                return left;
            }
            self.let_the_store_on();
        }
        left.push(Request::Turn);
        left
    }

    /// Whether somebody waits for the next turn of whom no descriptor says anything.
    fn wants_turn(&self, now: Now) -> bool {
        !self.verdicts.is_empty() || self.front.wants_turn(now)
    }

    /// A loop that always has something to do would make the store's thread wait for the end of its slice, 3 ms and more, at each of its
    /// steps; so the disk is at work while strangers are worked for.
    fn let_the_store_on(&self) {
        if self.store.queued() > 0 {
            std::thread::yield_now();
        }
    }

    /// Every connection that is left is lost.
    pub(crate) fn abort(&mut self, now: Now, received_at_ms: i64) -> Vec<Request> {
        let requests = self.front.abort(&mut self.gate, now);
        self.follow(requests, now, received_at_ms)
    }

    /// `carry_out`, and a turn asked for where somebody waits for one.
    fn follow(&mut self, asked: Vec<Request>, now: Now, received_at_ms: i64) -> Vec<Request> {
        let mut left = self.carry_out(asked, now, received_at_ms);
        if self.wants_turn(now) {
            left.push(Request::Turn);
        }
        left
    }

    /// Does what is asked for, and what comes of it; answers what is for Python.
    fn carry_out(&mut self, mut asked: Vec<Request>, now: Now, received_at_ms: i64) -> Vec<Request> {
        if self.verdicts.is_empty() && self.judges.is_idle() {
            let (batch, more) = self.gate.take_batch(now);
            asked.extend(more);
            if let Some(batch) = batch {
                self.judges.judge(batch);
            }
        }
        let mut left = Vec::new();
        loop {
            let mut others = Vec::new();
            self.front.perform(asked, &mut others);
            self.front.settle(&mut self.gate, now, &mut others);
            for other in others {
                self.do_or_leave(other, received_at_ms, &mut left);
            }
            asked = self.store_backlog(now);
            if asked.is_empty() {
                break;
            }
        }
        left
    }

    fn do_or_leave(&mut self, request: Request, received_at_ms: i64, left: &mut Vec<Request>) {
        if let Request::Store { handle, device_id, telemetry } = request {
            self.backlog.push(message(handle, device_id, telemetry, received_at_ms));
        } else if let Request::Note(note) = &request {
            self.lines.push(note, received_at_ms);
        } else {
            left.push(request);
        }
    }

    /// Whether it must be asked for the gate's lines to be taken. A question of its own, so that what a panic takes away is no answer to it.
    pub(crate) fn asks_for_lines(&mut self) -> bool {
        self.lines.ask()
    }

    /// What the gate has had to say since the last time.
    pub(crate) fn take_lines(&mut self) -> String {
        self.lines.take()
    }

    /// Verdicts have come.
    pub(crate) fn judged(&mut self, now: Now, received_at_ms: i64) -> Vec<Request> {
        let mut requests = Vec::new();
        let admitted = guarded(|| self.deliver(now), 0, &mut requests).unwrap_or_default();
        requests.extend(admitted);
        self.follow(requests, now, received_at_ms)
    }

    /// Delivers verdicts, as many as one turn has room for.
    fn deliver(&mut self, now: Now) -> Vec<Request> {
        self.verdicts.extend(self.judges.take_verdicts());
        let count = self.verdicts.len().min(VERDICTS_A_TURN);
        if count == 0 {
            return Vec::new();
        }
        self.gate.deliver(self.verdicts.drain(..count).collect(), now)
    }

    /// The store has something to say: messages are durable, and there may be room for more.
    pub(crate) fn stored(&mut self, now: Now, received_at_ms: i64) -> Vec<Request> {
        let requests = self.acknowledge(now);
        self.follow(requests, now, received_at_ms)
    }

    fn acknowledge(&mut self, now: Now) -> Vec<Request> {
        let receipt = |one: &Receipt| (one.handle, one.packet_id, usize::try_from(one.bytes).unwrap_or(usize::MAX));
        let mut receipts: Vec<_> = self.store.take_completed().iter().map(receipt).collect();
        // In their order, those of one connection together.
        receipts.sort_by_key(|(handle, ..)| *handle);
        let whose = |_: &Gate, own: &&[(u64, u16, usize)]| own.first().map_or(0, |(handle, ..)| *handle);
        let rows = receipts.chunk_by(|one, other| one.0 == other.0);
        self.asked_for_each(rows, whose, |gate, own| gate.stored(own, now), now)
    }

    /// Queues what waits. Whoever has messages left is not read from until there are none. A store that has failed takes
    /// nothing, says so by itself, and acknowledges nothing.
    fn store_backlog(&mut self, now: Now) -> Vec<Request> {
        let Self { gate, backlog, .. } = self;
        if backlog.messages.is_empty() {
            return Vec::new();
        }
        if self.store.append(&mut backlog.messages) == Err(AppendError::Full) {
            let held = backlog.hold(|handle| gate.is_awaited(handle));
            return held.into_iter().flat_map(|handle| gate.hold(handle, true, now)).collect();
        }
        backlog.release().into_iter().flat_map(|handle| gate.hold(handle, false, now)).collect()
    }
}

fn message(handle: u64, device_id: Arc<str>, telemetry: Telemetry, received_at_ms: i64) -> Message {
    let bytes = u32::try_from(telemetry.bytes()).unwrap_or(u32::MAX);
    let Telemetry { packet_id, redelivered, mut system_properties, properties, payload, expires_in_seconds, .. } =
        telemetry;
    if let Some(seconds) = expires_in_seconds {
        let expires_at_ms = received_at_ms.saturating_add(i64::from(seconds).saturating_mul(1_000));
        system_properties.push(("absolute-expiry-time".to_owned(), Some(round_trip_time(expires_at_ms))));
    }
    let message_id = system_properties.iter().rev().find(|(name, _)| name == "message-id");
    Message {
        receipt: Receipt { handle, packet_id, bytes },
        device_id,
        received_at_ms,
        redelivered,
        message_id: message_id.and_then(|(_, value)| value.clone()),
        system_properties: json_object(system_properties),
        properties: json_object(properties),
        payload,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_gate::{Limits, TlsConfig};
    use holdfast_x509::UnixSeconds;

    use super::*;

    #[test]
    fn x03_a_panic_of_one_step_costs_one_connection_and_its_line_is_asked_for() {
        let directory = std::env::temp_dir().join(format!("holdfast-plane-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let tls = TlsConfig::new(vec![own.cert.der().to_vec()], own.signing_key.serialize_der()).unwrap();
        let gate = Gate::new(tls, Limits::default());
        let store = Arc::new(Writer::open(&directory.join("worker-0.db"), 10).unwrap());
        let mut plane = Plane::new(gate, Front::new().unwrap(), Judges::start().unwrap(), store);
        let now = Now { monotonic_ms: 0, unix: UnixSeconds(1_780_272_000) };
        let handles: Vec<u64> = (0..3).map(|_| plane.gate.open(None, now).0.unwrap()).collect();
        let step = |_: &mut Gate, handle: u64| {
            assert_ne!(handle, handles[1], "a fault of ours");
            vec![Request::Tick { after_ms: handle }]
        };
        let left = plane.each(handles.clone(), |_, handle| *handle, step, now, 0);
        let wanted = [handles[0], handles[2]].map(|after_ms| Request::Tick { after_ms });
        assert_eq!(
            left.iter().filter(|request| matches!(request, Request::Tick { .. })).collect::<Vec<_>>(),
            wanted.iter().collect::<Vec<_>>()
        );
        assert_eq!(plane.gate.connections(), 2);
        assert!(plane.asks_for_lines() && !plane.asks_for_lines());
        assert!(plane.take_lines().contains(&format!("{:x}", handles[1])));
        let _removed = std::fs::remove_dir_all(&directory);
    }
}
