//! The gate itself: what it holds, what it is told, and what becomes of the bytes, the time and the end of each connection.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use holdfast_engine::{Facts, Strips, Verifier, sha256};
use holdfast_roster::{KeyHash, NO_KEY, Pin, Placement, Roster, Trust};
use holdfast_session::{self as session, Event, Fault, Reference, Tickets, TlsConfig, may_be_hello};
use holdfast_x509::{Policy, UnixSeconds};

use crate::Now;
use crate::connection::{Connection, Stage};
use crate::crowd::Crowd;
use crate::deadlines::Deadlines;
use crate::ends::No;
use crate::flaps::{Flap, Flaps};
use crate::halves::Halves;
use crate::inbox::Fetching;
use crate::judging::{BATCH_SIZES, Waiting};
use crate::known::knowing;
use crate::limits::Limits;
use crate::paths::Paths;
use crate::quota::LineQuota;
use crate::request::{KeptWill, Level, Note, Request, Value};
use crate::sessions::{End, Why};
use crate::slots::{Handle, Slots};
use crate::tickets::ToldAdmission;
use crate::turns::Standing;
use crate::wills::{DelayedWills, PublishedWills, ticket};

/// All connections of one worker of one tenant.
#[derive(Debug)]
pub struct Gate {
    pub(crate) tls: TlsConfig,
    pub(crate) limits: Limits,
    /// The sessions' part of them, which all share.
    pub(crate) session_limits: Arc<session::Limits>,
    pub(crate) roster: Roster,
    pub(crate) verifier: Arc<Verifier>,
    /// Signatures known to be good: they are, whatever happens to trust.
    facts: Arc<Facts>,
    /// Keys of devices that were admitted, for their next proof.
    pub(crate) strips: Arc<Strips>,
    /// Whether it was seen that the kernel is off.
    kernel_doubted: bool,
    pub(crate) paths: Paths,
    pub(crate) slots: Slots,
    pub(crate) deadlines: Deadlines,
    pub(crate) crowd: Crowd,
    /// Those that are read from until they close, or their time is up, in order; and some that were.
    pub(crate) drains: VecDeque<Handle>,
    /// Handshakes under way: while there are any, a chain waits for company.
    pub(crate) handshaking: usize,
    /// Chains set aside.
    pub(crate) waiting: Waiting,
    /// The live session of each identity: there is one at most.
    pub(crate) live: HashMap<Arc<str>, Handle>,
    pub(crate) flaps: Flaps,
    /// Of the live sessions that have one.
    pub(crate) wills: HashMap<Handle, Box<KeptWill>>,
    /// Wills of devices that are gone, and those that are being stored, by ticket.
    pub(crate) delayed_wills: DelayedWills,
    pub(crate) published_wills: PublishedWills,
    /// Of the live sessions that have begun a packet.
    pub(crate) halves: Halves,
    /// Of the live sessions that were ever sent something.
    pub(crate) fetching: HashMap<Handle, Fetching>,
    /// Claims on their way to the writer; they outlive their connection.
    pub(crate) claims: HashMap<Handle, (Arc<str>, Pin, Placement)>,
    /// The latest time seen; a clock that goes back admits nobody.
    pub(crate) latest: UnixSeconds,
    pub(crate) draining: bool,
    /// When nobody is admitted any more, unless the lease is renewed before.
    pub(crate) lease_ends_ms: u64,
    /// Admissions that other workers must hear of, where there are others.
    pub(crate) admissions: Option<Vec<ToldAdmission>>,
    counters: BTreeMap<&'static str, u64>,
    /// Refusals by code, and ends of live sessions by reason; all of them words of ours.
    pub(crate) refused: BTreeMap<String, u64>,
    closed: BTreeMap<&'static str, u64>,
    pub(crate) batches: [u64; BATCH_SIZES],
    pub(crate) refusal_lines: LineQuota,
}

/// How much of a packet that is still on its way counts as a sign of life. A large packet on a slow line has that much through in
/// time; whoever drips single bytes to hold a connection has not (M12).
const PROGRESS_BYTES: u32 = 16 * 1024;
/// How often a live session is looked at though nothing is due: its certificate may have ended (R06).
pub(crate) const LOOK_MS: u64 = 30_000;

impl Gate {
    /// A gate that lets nobody in until trust is given.
    pub fn new(tls: TlsConfig, limits: Limits) -> Self {
        let (roster, facts) = (Roster::new(), Arc::new(Facts::new(limits.facts_count_max)));
        let strips = Arc::new(Strips::new(limits.strips_count_max));
        Self {
            tls: knowing(tls, &strips),
            limits,
            session_limits: Arc::new(limits.session),
            verifier: verifier(roster.trust(), &facts),
            facts,
            strips,
            kernel_doubted: false,
            roster,
            paths: Paths::new(),
            slots: Slots::default(),
            deadlines: Deadlines::default(),
            crowd: Crowd::default(),
            drains: VecDeque::new(),
            handshaking: 0,
            waiting: Waiting::default(),
            live: HashMap::new(),
            flaps: Flaps::default(),
            wills: HashMap::new(),
            delayed_wills: DelayedWills::default(),
            published_wills: PublishedWills::default(),
            halves: Halves::default(),
            fetching: HashMap::new(),
            claims: HashMap::new(),
            latest: UnixSeconds(i64::MIN),
            draining: false,
            lease_ends_ms: 0,
            admissions: None,
            counters: BTreeMap::new(),
            refused: BTreeMap::new(),
            closed: BTreeMap::new(),
            batches: [0; BATCH_SIZES],
            refusal_lines: LineQuota::new(limits.refusal_lines_burst, limits.refusal_lines_per_second),
        }
    }

    /// Replaces trust whole, and ends live sessions that would not be let in any more. Handshakes judged before are judged again, and
    /// tickets given before are void: whoever comes back proves its key.
    /// Cost: a look at every live session when the epoch moves.
    pub fn replace_trust(&mut self, trust: Trust, now: Now) -> Vec<Request> {
        let (moved, closures) = (trust.epoch != self.roster.trust().epoch, Arc::clone(&trust.closures));
        let kept: HashSet<[u8; 32]> = trust.anchors.iter().map(|anchor| sha256(anchor.der())).collect();
        self.verifier = verifier(&trust, &self.facts);
        self.roster.replace_trust(trust);
        self.renew_lease(now);
        if let Some(tickets) = self.live_tickets().filter(|_| moved) {
            tickets.clear();
        }
        let mut requests = Vec::new();
        let lives: Vec<Handle> = if moved { self.live.values().copied().collect() } else { Vec::new() };
        for handle in lives {
            let gone = matches!(self.slots.get_mut(handle), Some(Connection { stage: Stage::Live { admitted, .. }, .. })
                if admitted.is_shut_out(&kept, &closures));
            if gone {
                self.end_live(handle, Why::Untrusted, now, &mut requests);
            }
        }
        requests
    }

    /// Whoever knows what operators decide is there: admissions are good for another `lease_ms`.
    pub fn renew_lease(&mut self, now: Now) {
        self.lease_ends_ms = now.monotonic_ms.saturating_add(self.limits.lease_ms);
    }

    /// Shows `tls` to new connections and holds them to `limits`; those that are there keep what they began with.
    pub fn reconfigure(&mut self, tls: TlsConfig, limits: Limits) {
        self.tls = knowing(tls, &self.strips);
        self.facts.bound(limits.facts_count_max);
        self.strips.bound(limits.strips_count_max);
        self.session_limits = Arc::new(limits.session);
        self.refusal_lines = LineQuota::new(limits.refusal_lines_burst, limits.refusal_lines_per_second);
        self.limits = limits;
        if let Some(tickets) = self.live_tickets() {
            tickets.bound(limits.tickets_count_max);
        }
    }

    /// Other workers serve the same identities: from here on `take_admissions` says who is admitted, and `fence` decides.
    pub fn share_identities(&mut self) {
        self.admissions.get_or_insert_default();
    }

    /// Who was admitted since the last call, in order, and by which ticket they may come back.
    pub fn take_admissions(&mut self) -> Vec<ToldAdmission> {
        self.admissions.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Admissions of all workers in the order that one has put them in, each with whether it is ours: of two sessions of one identity
    /// the later stays (`trust.md` §3.5), and what the earlier has left to be said in time is said no more. Ours that is not placed
    /// yet will be placed later than all of these. Tickets of others are taken back here from now on, if they were given in the
    /// present epoch.
    pub fn fence<'a>(
        &mut self,
        placed: impl IntoIterator<Item = (bool, ToldAdmission<&'a str>)>,
        now: Now,
    ) -> Vec<Request> {
        let mut requests = Vec::new();
        self.keep_tickets(now);
        for (ours, ToldAdmission { handle, device_id, clean_start, ticket }) in placed {
            let epoch = self.roster.trust().epoch;
            // Whoever doubts the kernel cannot know from which proofs the tickets of others come.
            let ticket = ticket.filter(|ticket| !ours && ticket.epoch == epoch && !self.kernel_doubted);
            if let (Some(tickets), Some(ticket)) = (self.live_tickets(), ticket) {
                tickets.admit(device_id, ticket.reference, ticket.ends);
            }
            let live = self.live.get(device_id).copied();
            let Some((live, connection)) = live.and_then(|live| Some((live, self.slots.get_mut(live)?))) else {
                self.fence_delayed_will(ours, handle, device_id, clean_start, now, &mut requests);
                continue;
            };
            let Stage::Live { admitted, .. } = &mut connection.stage else { continue };
            if ours {
                admitted.fenced |= live == handle;
            } else if admitted.fenced {
                let device_id = Arc::clone(&admitted.device_id);
                self.flaps.count(&device_id, Flap::TakenOver, &self.limits, now.monotonic_ms);
                self.end_live(live, Why::TakenOverElsewhere { clean_start }, now, &mut requests);
            }
        }
        requests
    }

    /// Whether the device is live with another key than `leaf`.
    pub fn is_live_with_other_key(&mut self, device_id: &str, leaf: KeyHash) -> bool {
        let live = self.live.get(device_id).copied().and_then(|handle| self.slots.get_mut(handle));
        matches!(live, Some(Connection { stage: Stage::Live { admitted, .. }, .. }) if admitted.leaf != leaf)
    }

    /// Amends the pins. Whoever is pinned to other keys than before has no tickets, and no session by those; what it has left to be said for
    /// it is not, if its owner has pinned it anew.
    pub fn amend_device(&mut self, device_id: &str, pin: Pin, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        if self.roster.amend(device_id, pin).is_none_or(|before| before == pin) {
            return requests;
        }
        self.flaps.forget(device_id);
        if let Some(tickets) = self.live_tickets() {
            tickets.forget_device(device_id);
        }
        let by_owner = pin.leaf == NO_KEY;
        let live = self.live.get(device_id).copied();
        if let Some(live) = live.filter(|_| self.is_live_with_other_key(device_id, pin.leaf)) {
            let why = if by_owner { Why::Repinned } else { Why::TakenOverElsewhere { clean_start: false } };
            self.end_live(live, why, now, &mut requests);
            // Told now, it would push out whoever has come by the new key.
            if let Some(admissions) = &mut self.admissions {
                admissions.retain(|told| told.handle != live);
            }
        }
        if by_owner {
            self.suppress_delayed_will(device_id, &mut requests);
        }
        requests
    }

    pub(crate) fn live_tickets(&self) -> Option<&Tickets> {
        self.tls.tickets().map(AsRef::as_ref)
    }

    /// Somebody who came by this ticket was turned away: next time it proves its key.
    pub(crate) fn forget_ticket(&self, reference: Option<Reference>) {
        if let (Some(tickets), Some(reference)) = (self.live_tickets(), reference) {
            tickets.forget(reference);
        }
    }

    /// Tells the tickets what time it is, and counts those that were shown in vain.
    pub(crate) fn keep_tickets(&mut self, now: Now) {
        let Some(refused) = self.live_tickets().map(|tickets| tickets.pass(now.unix, now.monotonic_ms)) else { return };
        self.count_many("tickets_unknown", refused.unknown);
        self.count_many("tickets_void", refused.void);
    }

    /// Once the kernel is off, because it computes wrongly: whoever has come in by its word proves its key again, to aws-lc-rs
    /// (`trust.md` §6.2). Tickets are of such proofs, or may be.
    /// Cost: a look at every live session, once.
    pub(crate) fn heed_kernel(&mut self, now: Now, requests: &mut Vec<Request>) {
        if self.kernel_doubted || self.strips.is_on() {
            return;
        }
        self.kernel_doubted = true;
        self.strips.clear();
        if let Some(tickets) = self.live_tickets() {
            tickets.clear();
        }
        for told in self.admissions.iter_mut().flatten() {
            told.ticket = None;
        }
        let lives: Vec<Handle> = self.live.values().copied().collect();
        let mut ended = 0usize;
        for handle in lives {
            let doubted = matches!(self.slots.get_mut(handle), Some(Connection { stage: Stage::Live { admitted, .. }, .. })
                if admitted.by_kernel);
            if doubted {
                self.end_live(handle, Why::Doubted, now, requests);
                ended = ended.saturating_add(1);
            }
        }
        self.count("kernel_doubted");
        let fields = vec![("ended", ended.into())];
        requests.push(Request::Note(Note { level: Level::Critical, event: "kernel_doubted", fields }));
    }

    /// Bytes came.
    pub fn receive(&mut self, handle: u64, bytes: &[u8], now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        self.count_many("bytes_received", bytes.len());
        let Some(connection) = self.slots.get_mut(handle) else { return requests };
        let mut progress = false;
        match &mut connection.stage {
            Stage::Draining { bytes_left } => {
                *bytes_left = bytes_left.saturating_sub(bytes.len());
                if *bytes_left == 0 {
                    self.close(handle, &mut requests);
                }
                return requests;
            }
            Stage::Live { unheard_bytes, .. } => {
                *unheard_bytes = unheard_bytes.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                progress = *unheard_bytes >= PROGRESS_BYTES;
            }
            Stage::Handshake { queued, .. } => {
                let (first, claim) = (queued.is_empty(), connection.claim);
                queued.extend_from_slice(bytes);
                // More than a handshake may be is refused by the session, and costs nothing; and no place to whoever had no answer.
                if queued.len() > self.limits.session.handshake_bytes_max {
                    let queued = std::mem::take(queued);
                    if !first {
                        self.crowd.turns.leave(claim);
                    }
                    if !claim.answered {
                        self.turn_away(handle, No::new("handshake_too_large"), &mut requests);
                    } else if let Err(fault) = connection.session.receive(&queued) {
                        self.broken(handle, &fault, now, &mut requests);
                    }
                } else if first {
                    if claim.is_new() && !may_be_hello(bytes) {
                        self.turn_away(
                            handle,
                            No::new("tls_error").with("reason", "no ClientHello".into()),
                            &mut requests,
                        );
                    } else if claim.is_new() && claim.standing == Standing::Unknown && self.are_unknown_enough() {
                        self.turn_away(handle, No::new("unknown_source_limit"), &mut requests);
                    } else if self.crowd.turns.enter(handle, claim, |handle| self.slots.claim(handle)) {
                        requests.push(Request::Turn);
                    }
                }
                return requests;
            }
            Stage::Waiting | Stage::Judged(_) | Stage::Claiming { .. } | Stage::Refused => {}
        }
        match connection.session.receive(bytes) {
            Ok(()) => {
                if progress {
                    self.alive(handle, now);
                }
                self.pump(handle, now, &mut requests);
            }
            Err(fault) => self.broken(handle, &fault, now, &mut requests),
        }
        self.judge_if_due(now, &mut requests);
        requests
    }

    /// The peer shut down its side. An end without DISCONNECT or `close_notify` is not a good-bye, but it is an end.
    pub fn end_of_stream(&mut self, handle: u64, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        if let Some(Connection { stage: Stage::Handshake { queued, ended }, claim, .. }) = self.slots.get_mut(handle)
            && !queued.is_empty()
            // Whoever was told nothing yet cannot finish a handshake any more: its hello is not worth an answer.
            && claim.answered
        {
            *ended = true;
            return requests;
        }
        self.note_end(handle, "peer_closed", &mut requests);
        self.end_session(handle, End::Lost, now, &mut requests);
        self.close(handle, &mut requests);
        requests
    }

    /// The transport is gone.
    pub fn lost(&mut self, handle: u64, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        self.note_end(handle, "connection_lost", &mut requests);
        self.end_session(handle, End::Lost, now, &mut requests);
        self.forget(handle);
        requests
    }

    /// Messages (connection, packet, `Telemetry::bytes`) are durable: acknowledges those that have a packet's number, those of one connection
    /// together.
    pub fn stored(&mut self, receipts: &[(u64, u16, usize)], now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        let mut acknowledged: Vec<Handle> = Vec::new();
        for &(handle, packet_id, bytes) in receipts {
            self.count("messages_stored");
            if self.will_stored(handle, &mut requests) {
                continue;
            }
            let Some(connection) = self.slots.get_mut(handle) else { continue };
            if let Stage::Live { admitted, .. } = &mut connection.stage {
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                admitted.unstored_bytes = admitted.unstored_bytes.saturating_sub(bytes);
            }
            if packet_id != 0 {
                connection.session.acknowledge(packet_id);
                acknowledged.push(handle);
                self.count("messages_acknowledged");
            } else if connection.paused {
                acknowledged.push(handle);
            }
        }
        acknowledged.sort_unstable();
        acknowledged.dedup();
        for handle in acknowledged {
            self.pump(handle, now, &mut requests);
        }
        requests
    }

    /// The store is full: nothing more is read from this connection until it has room again.
    pub fn hold(&mut self, handle: u64, held: bool, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        if let Some(connection) = self.slots.get_mut(handle) {
            connection.held = held;
            self.pause_or_resume(handle, now, &mut requests);
        }
        requests
    }

    /// Whether anybody waits for what came from there to be durable: a device that is connected, or one that is gone, if it is its last will.
    pub fn is_awaited(&mut self, handle: u64) -> bool {
        if let Some(ticket) = ticket(handle) {
            return self.published_wills.contains(ticket);
        }
        let stage = self.slots.get_mut(handle).map(|connection| &connection.stage);
        matches!(stage, Some(Stage::Live { .. }))
    }

    /// What deadlines ask for.
    pub fn tick(&mut self, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        self.latest = self.latest.max(now.unix);
        self.keep_tickets(now);
        self.heed_kernel(now, &mut requests);
        while let Some(entry) = self.deadlines.pop(now.monotonic_ms) {
            let Some(connection) = self.slots.get_mut(entry.handle) else { continue };
            if entry.counts(&mut connection.deadline) {
                self.look_at(entry.handle, now, &mut requests);
            }
        }
        self.publish_due_wills(now, &mut requests);
        self.flaps.forget_old(&self.limits, now.monotonic_ms);
        self.judge_if_due(now, &mut requests);
        if let Some(codes) = self.refusal_lines.pass(now.monotonic_ms) {
            let lines =
                codes.values().fold(0usize, |sum, count| sum.saturating_add(usize::try_from(*count).unwrap_or(0)));
            let codes: Vec<String> = codes.iter().map(|(code, count)| format!("{code}={count}")).collect();
            let fields = vec![("lines", lines.into()), ("codes", Value::Text(codes.join(" ")))];
            requests.push(Request::Note(Note { level: Level::Warning, event: "suppressed", fields }));
        }
        requests
    }

    /// A connection's time has come, or may have.
    fn look_at(&mut self, handle: Handle, now: Now, requests: &mut Vec<Request>) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        if connection.paused && now.monotonic_ms >= connection.deadline.due_ms {
            // Whoever is not read from is not silent.
            self.alive(handle, now);
        }
        let Some(connection) = self.slots.get_mut(handle) else { return };
        let overdue = now.monotonic_ms >= connection.deadline.due_ms;
        match &connection.stage {
            Stage::Live { admitted, .. } if now.unix > admitted.not_after => {
                self.end_live(handle, Why::Expired, now, requests);
            }
            Stage::Live { .. } if overdue => self.end_live(handle, Why::KeepAlive, now, requests),
            Stage::Draining { .. } if overdue => self.close(handle, requests),
            stage if overdue => {
                if !matches!(stage, Stage::Refused) {
                    let source = connection.source();
                    requests.extend(self.refusal_note(handle, &source, No::new("handshake_deadline")));
                }
                self.close(handle, requests);
            }
            Stage::Live { admitted, .. } => {
                let ends_ms = now.until(admitted.not_after).saturating_add(1_000);
                let look_ms = now.monotonic_ms.saturating_add(LOOK_MS.min(ends_ms)).min(connection.deadline.due_ms);
                self.deadlines.look_by(handle, &mut connection.deadline, look_ms);
            }
            Stage::Handshake { .. }
            | Stage::Waiting
            | Stage::Judged(_)
            | Stage::Claiming { .. }
            | Stage::Refused
            | Stage::Draining { .. } => {
                let due_ms = connection.deadline.due_ms;
                self.deadlines.look_by(handle, &mut connection.deadline, due_ms);
            }
        }
    }

    /// Admits nobody any more, and ends live sessions that have nothing in hand, `count_max` at the most. Call again until
    /// `connections` is 0; spread over some time it spreads whoever comes back elsewhere.
    pub fn drain(&mut self, count_max: usize, now: Now) -> Vec<Request> {
        self.draining = true;
        let mut requests = Vec::new();
        let lives: Vec<Handle> = self.live.values().copied().collect();
        let mut left = count_max;
        for handle in lives {
            if left == 0 {
                break;
            }
            if self.slots.get_mut(handle).is_some_and(|connection| connection.session.is_settled()) {
                self.end_live(handle, Why::Draining, now, &mut requests);
                left = left.saturating_sub(1);
            }
        }
        requests
    }

    /// Connections that have a handle.
    pub fn connections(&self) -> usize {
        self.slots.len()
    }

    /// The connection of a device that is live; 0: there is none.
    pub fn handle_of(&self, device_id: &str) -> u64 {
        self.live.get(device_id).copied().unwrap_or_default()
    }

    /// Live sessions.
    pub fn sessions(&self) -> usize {
        self.live.len()
    }

    /// Tickets by which devices may come back.
    pub fn tickets(&self) -> usize {
        self.live_tickets().map_or(0, Tickets::count)
    }

    /// Bytes of packets that live devices have begun and not ended.
    pub fn half_packets_bytes(&self) -> usize {
        self.halves.bytes()
    }

    /// Connections that are not admitted yet.
    pub fn half_open(&self) -> usize {
        self.crowd.len()
    }

    /// How many batches of each size were judged: of 1, 2, 3–4, 5–8, and so on; the last counts all that were larger.
    pub fn batches(&self) -> &[u64; BATCH_SIZES] {
        &self.batches
    }

    /// What was counted, by name; never by anything a peer claims (I15).
    pub fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.counters
    }

    /// How many were turned away, by code.
    pub fn refused(&self) -> &BTreeMap<String, u64> {
        &self.refused
    }

    /// How many live sessions have ended, by reason.
    pub fn closed(&self) -> &BTreeMap<&'static str, u64> {
        &self.closed
    }

    /// Takes the session's events until it waits, then sends what it has to say.
    pub(crate) fn pump(&mut self, handle: Handle, now: Now, requests: &mut Vec<Request>) {
        let mut finished = false;
        while let Some(connection) = self.slots.get_mut(handle) {
            match connection.session.next_event() {
                Ok(Some(Event::Presented(chain) | Event::Resumed(chain))) => self.present(handle, chain, now),
                Ok(Some(Event::Anonymous)) => self.refuse(handle, No::new("no_certificate"), requests),
                Ok(Some(Event::Connect(connect))) => self.connect(handle, &connect, now, requests),
                Ok(Some(Event::Telemetry(telemetry))) => {
                    let Stage::Live { admitted, .. } = &mut connection.stage else { continue };
                    let bytes = u32::try_from(telemetry.bytes()).unwrap_or(u32::MAX);
                    admitted.unstored_bytes = admitted.unstored_bytes.saturating_add(bytes);
                    requests.push(Request::Store { handle, device_id: Arc::clone(&admitted.device_id), telemetry });
                    self.count("messages_received");
                }
                Ok(Some(Event::Subscription(inbox))) => self.subscribe(handle, inbox, now, requests),
                Ok(Some(Event::Acknowledged { message, reason })) => {
                    self.acknowledged(handle, message, reason, requests);
                }
                Ok(Some(Event::Disconnect(goodbye))) => {
                    self.note_end(handle, "disconnect", requests);
                    self.end_session(handle, End::Goodbye(goodbye), now, requests);
                }
                Ok(Some(Event::Finish)) => finished = true,
                Ok(None) => break,
                Ok(Some(_)) => {}
                Err(fault) => return self.broken(handle, &fault, now, requests),
            }
        }
        self.heed_halves(handle, now, requests);
        if let Err(fault) = self.send(handle, requests) {
            return self.broken(handle, &fault, now, requests);
        }
        if finished {
            self.finish(handle, now, requests);
        }
        self.pause_or_resume(handle, now, requests);
        self.fetch(handle, requests);
    }

    /// What has come is read as far as it can be: a whole packet keeps its device alive, and what is left of another takes memory.
    fn heed_halves(&mut self, handle: Handle, now: Now, requests: &mut Vec<Request>) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        let heard = connection.session.take_heard();
        let live = matches!(connection.stage, Stage::Live { .. });
        let held = if live { connection.session.held_bytes() } else { 0 };
        self.halves.note(handle, held, heard, now.monotonic_ms);
        if heard {
            self.alive(handle, now);
        }
        for holder in self.halves.beyond(self.limits.half_packets_bytes_max, now.monotonic_ms) {
            self.end_live(holder, Why::PacketUnfinished, now, requests);
        }
    }

    /// A live device has said something: its keep-alive begins anew.
    pub(crate) fn alive(&mut self, handle: Handle, now: Now) {
        let longest_ms = self.limits.keep_alive_ms_max;
        let Some(connection) = self.slots.get_mut(handle) else { return };
        if let Stage::Live { keep_alive_ms, unheard_bytes, .. } = &mut connection.stage {
            *unheard_bytes = 0;
            let due_ms = now.monotonic_ms.saturating_add(keep_alive_ms.map_or(longest_ms, u64::from));
            self.deadlines.set(handle, &mut connection.deadline, due_ms);
        }
    }

    /// Asks the loop to read, or not to, where that has changed. Whoever is read from again has its whole time for what it said meanwhile.
    fn pause_or_resume(&mut self, handle: Handle, now: Now, requests: &mut Vec<Request>) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        // A device that says more than the disk takes waits by itself; what others say is not behind it (M10, X01).
        let floods = matches!(&connection.stage, Stage::Live { admitted, .. }
            if usize::try_from(admitted.unstored_bytes).unwrap_or(usize::MAX) > self.limits.session.unstored_bytes_max);
        let pause = connection.held || floods || connection.session.is_blocked();
        if pause != connection.paused {
            connection.paused = pause;
            requests.push(if pause { Request::Pause { handle } } else { Request::Resume { handle } });
            if !pause {
                self.alive(handle, now);
            }
        }
    }

    pub(crate) fn send(&mut self, handle: Handle, requests: &mut Vec<Request>) -> Result<(), Fault> {
        let Some(connection) = self.slots.get_mut(handle) else { return Ok(()) };
        let data = connection.session.take_output()?;
        if !data.is_empty() {
            self.count_many("bytes_sent", data.len());
            requests.push(Request::Send { handle, data });
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, handle: Handle, requests: &mut Vec<Request>) {
        if self.forget(handle) {
            requests.push(Request::Close { handle });
        }
    }

    fn forget(&mut self, handle: Handle) -> bool {
        self.leave_stage(handle);
        self.slots.remove(handle).is_some()
    }

    /// Undoes what the connection's stage counts for.
    pub(crate) fn leave_stage(&mut self, handle: Handle) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        match &connection.stage {
            Stage::Live { admitted, .. } => {
                if self.live.get(&admitted.device_id) == Some(&handle) {
                    self.live.remove(&admitted.device_id);
                }
                self.halves.forget(handle);
            }
            Stage::Draining { .. } => {}
            Stage::Handshake { queued, .. } => {
                if !queued.is_empty() {
                    self.crowd.turns.leave(connection.claim);
                }
                self.crowd.leave(connection.source);
                self.handshaking = self.handshaking.saturating_sub(1);
            }
            Stage::Waiting | Stage::Judged(_) | Stage::Claiming { .. } | Stage::Refused => {
                self.crowd.leave(connection.source);
            }
        }
        connection.stage = Stage::Draining { bytes_left: 0 };
    }

    pub(crate) fn count(&mut self, name: &'static str) {
        self.count_many(name, 1);
    }

    pub(crate) fn count_many(&mut self, name: &'static str, more: usize) {
        let counter = self.counters.entry(name).or_default();
        *counter = counter.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
    }

    pub(crate) fn count_closed(&mut self, reason: &'static str) {
        let counter = self.closed.entry(reason).or_default();
        *counter = counter.saturating_add(1);
    }
}

fn verifier(trust: &Trust, facts: &Arc<Facts>) -> Arc<Verifier> {
    let mut policy = Policy::client_auth();
    policy.closures = Arc::clone(&trust.closures);
    Arc::new(Verifier::with_facts(Arc::clone(&trust.anchors), policy, Arc::clone(facts)))
}
