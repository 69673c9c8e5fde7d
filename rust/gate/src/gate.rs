//! The gate itself: who is let in, as whom, and until when.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use holdfast_engine::{Facts, Strips, Verifier, hex, sha256};
use holdfast_roster::{KeyHash, NO_KEY, Pin, Placement, Roster, Trust};
use holdfast_session::{
    self as session, Admission, Connect, Event, Fault, LINEAGE_SECONDS, PresentedChain, Reason, Reference, Session,
    Tickets, TlsConfig, may_be_hello,
};
use holdfast_x509::{Policy, Refusal, UnixSeconds};

use crate::Now;
use crate::connection::{Admitted, Connection, Judged, Stage};
use crate::crowd::Crowd;
use crate::deadlines::{Deadline, Deadlines};
use crate::inbox::Fetching;
use crate::known::knowing;
use crate::limits::Limits;
use crate::paths::{Path, Paths};
use crate::quota::LineQuota;
use crate::request::{Claim, KeptWill, Level, Note, Request, Value};
use crate::sessions::{Asked, End, Why};
use crate::slots::{Handle, Slots};
use crate::tickets::{LiveTicket, ToldAdmission};
use crate::turns::{self, Standing};
use crate::verdicts::{Batch, Verdict};

/// All connections of one worker of one tenant.
#[derive(Debug)]
pub struct Gate {
    tls: TlsConfig,
    pub(crate) limits: Limits,
    /// The sessions' part of them, which all share.
    session_limits: Arc<session::Limits>,
    pub(crate) roster: Roster,
    verifier: Arc<Verifier>,
    /// Signatures known to be good: they are, whatever happens to trust.
    facts: Arc<Facts>,
    /// Keys of devices that were admitted, for their next proof.
    strips: Arc<Strips>,
    /// Whether it was seen that the kernel is off.
    kernel_doubted: bool,
    paths: Paths,
    pub(crate) slots: Slots,
    deadlines: Deadlines,
    crowd: Crowd,
    /// Handshakes under way: while there are any, a chain waits for company.
    handshaking: usize,
    /// Chains set aside, and since when the first of them waits.
    waiting: Vec<(Handle, PresentedChain)>,
    waiting_since_ms: u64,
    /// The live session of each identity: there is one at most.
    pub(crate) live: HashMap<Arc<str>, Handle>,
    /// How often, and since when, devices take over their own sessions; of those that have done so lately.
    take_overs: HashMap<Arc<str>, (usize, u64)>,
    /// Of the live sessions that have one.
    pub(crate) wills: HashMap<Handle, Box<KeptWill>>,
    /// Wills of devices that are gone, and those that are being stored, by ticket.
    pub(crate) delayed_wills: HashMap<Arc<str>, Box<KeptWill>>,
    pub(crate) published_wills: HashMap<u32, Arc<str>>,
    pub(crate) will_tickets: u32,
    /// Of the live sessions that were ever sent something.
    pub(crate) fetching: HashMap<Handle, Fetching>,
    /// Claims on their way to the writer; they outlive their connection.
    claims: HashMap<Handle, (Arc<str>, Pin, Placement)>,
    /// The latest time seen; a clock that goes back admits nobody.
    latest: UnixSeconds,
    draining: bool,
    /// When nobody is admitted any more, unless the lease is renewed before.
    lease_ends_ms: u64,
    /// Admissions that other workers must hear of, where there are others.
    admissions: Option<Vec<ToldAdmission>>,
    counters: BTreeMap<&'static str, u64>,
    /// Refusals by code, and ends of live sessions by reason; all of them words of ours.
    refused: BTreeMap<String, u64>,
    closed: BTreeMap<&'static str, u64>,
    batches: [u64; BATCH_SIZES],
    refusal_lines: LineQuota,
}

/// Sizes of batches that are counted apart: 1, 2, 3–4, 5–8, … and all that is larger.
pub const BATCH_SIZES: usize = 10;
/// How much of a packet that is still on its way counts as a sign of life. A large packet on a slow line has that much through in
/// time; whoever drips single bytes to hold a connection has not (M12).
const PROGRESS_BYTES: u32 = 16 * 1024;
/// How often a live session is looked at though nothing is due: its certificate may have ended (R06).
const LOOK_MS: u64 = 30_000;

/// Why somebody is not let in: a code, and what the log should say of it.
struct No {
    answer: Reason,
    code: String,
    fields: Vec<(&'static str, Value)>,
}

impl No {
    fn new(code: &str) -> Self {
        Self { answer: Reason::NotAuthorized, code: code.to_owned(), fields: Vec::new() }
    }

    fn answer(mut self, answer: Reason) -> Self {
        self.answer = answer;
        self
    }

    fn with(mut self, name: &'static str, value: Value) -> Self {
        self.fields.push((name, value));
        self
    }

    fn of(refusal: &Refusal) -> Self {
        let no = Self::new(refusal.code()).with("reason", Value::peer(&refusal.error.to_string()));
        match refusal.position {
            Some(position) => no.with("position", position.into()),
            None => no,
        }
    }
}

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
            handshaking: 0,
            waiting: Vec::new(),
            waiting_since_ms: 0,
            live: HashMap::new(),
            take_overs: HashMap::new(),
            wills: HashMap::new(),
            delayed_wills: HashMap::new(),
            published_wills: HashMap::new(),
            will_tickets: 0,
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

    /// Admissions of all workers in the order that one has put them in, each `(ours, connection, device, ticket)`: of two sessions of
    /// one identity the later stays (`trust.md` §3.5). Ours that is not placed yet will be placed later than all of these. Tickets of
    /// others are taken back here from now on, if they were given in the present epoch.
    pub fn fence<'a>(
        &mut self,
        placed: impl IntoIterator<Item = (bool, u64, &'a str, Option<LiveTicket>)>,
        now: Now,
    ) -> Vec<Request> {
        let mut requests = Vec::new();
        self.keep_tickets(now);
        for (ours, handle, device_id, ticket) in placed {
            let epoch = self.roster.trust().epoch;
            // Whoever doubts the kernel cannot know from which proofs the tickets of others come.
            let ticket = ticket.filter(|ticket| !ours && ticket.epoch == epoch && !self.kernel_doubted);
            if let (Some(tickets), Some(ticket)) = (self.live_tickets(), ticket) {
                tickets.admit(device_id, ticket.reference, ticket.ends);
            }
            let Some(live) = self.live.get(device_id).copied() else { continue };
            let Some(Connection { stage: Stage::Live { admitted, .. }, .. }) = self.slots.get_mut(live) else {
                continue;
            };
            if ours {
                admitted.fenced |= live == handle;
            } else if admitted.fenced {
                self.end_live(live, Why::TakenOverElsewhere, now, &mut requests);
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
        if let Some(tickets) = self.live_tickets() {
            tickets.forget_device(device_id);
        }
        let live = self.live.get(device_id).copied();
        if let Some(live) = live.filter(|_| self.is_live_with_other_key(device_id, pin.leaf)) {
            self.end_live(live, Why::Repinned, now, &mut requests);
        }
        if pin.leaf == NO_KEY {
            self.suppress_delayed_will(device_id, &mut requests);
        }
        requests
    }

    fn live_tickets(&self) -> Option<&Tickets> {
        self.tls.tickets().map(AsRef::as_ref)
    }

    /// Somebody who came by this ticket was turned away: next time it proves its key.
    fn forget_ticket(&self, reference: Option<Reference>) {
        if let (Some(tickets), Some(reference)) = (self.live_tickets(), reference) {
            tickets.forget(reference);
        }
    }

    /// Tells the tickets what time it is, and counts those that were shown in vain.
    fn keep_tickets(&mut self, now: Now) {
        let Some(refused) = self.live_tickets().map(|tickets| tickets.pass(now.unix, now.monotonic_ms)) else { return };
        self.count_many("tickets_unknown", refused.unknown);
        self.count_many("tickets_void", refused.void);
    }

    /// Whether to accept whoever waits in the system's queue, at no cost. Ours would only be longer.
    pub fn welcomes(&self) -> bool {
        self.crowd.has_room(self.limits.hellos_waiting_max)
    }

    /// Once the kernel is off, because it computes wrongly: whoever has come in by its word proves its key again, to aws-lc-rs
    /// (`trust.md` §6.2). Tickets are of such proofs, or may be.
    /// Cost: a look at every live session, once.
    fn heed_kernel(&mut self, now: Now, requests: &mut Vec<Request>) {
        if self.kernel_doubted || self.strips.is_on() {
            return;
        }
        self.kernel_doubted = true;
        self.strips.clear();
        if let Some(tickets) = self.live_tickets() {
            tickets.clear();
        }
        for (_, _, ticket) in self.admissions.iter_mut().flatten() {
            *ticket = None;
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
        let crowded = self.crowd.len() >= self.limits.half_open_count_max
            && !(standing == Standing::Known && self.shed_last(requests))
            && !self.shed(standing, now, requests);
        (crowded || self.slots.len() >= self.limits.connections_count_max).then_some("connection_limit")
    }

    /// Whether strangers of whose addresses nothing is known have all that there is for them.
    fn are_unknown_enough(&self) -> bool {
        let [_, unknown] = self.crowd.turns.new_ones();
        self.is_pressed() && unknown >= self.limits.hellos_waiting_max
    }

    /// Whether strangers have taken half of what there is for them.
    fn is_pressed(&self) -> bool {
        self.crowd.len() >= self.limits.half_open_count_max / 2
    }

    /// Ends the last to come of those who wait for their turn and of whose address nothing is known. False: there is none.
    fn shed_last(&mut self, requests: &mut Vec<Request>) -> bool {
        let Some(handle) = self.crowd.turns.take_last_unknown(|handle| self.slots.claim(handle)) else { return false };
        self.turn_away(handle, No::new("shed"), requests);
        true
    }

    /// Ends a stranger that has no turn, whatever it has said.
    fn turn_away(&mut self, handle: Handle, no: No, requests: &mut Vec<Request>) {
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
        while let Some(oldest) = self.crowd.oldest_step() {
            let connection = self.slots.get_mut(oldest.handle).filter(|connection| connection.step == oldest.number);
            let still = connection.filter(|connection| match &connection.stage {
                Stage::Handshake { queued, ended } => queued.is_empty() && !ended,
                Stage::Judged(_) | Stage::Refused => true,
                // These wait for us.
                Stage::Waiting | Stage::Claiming { .. } | Stage::Live { .. } | Stage::Draining { .. } => false,
            });
            if let Some(connection) = still {
                let goes_before = standing == Standing::Known && connection.claim.standing == Standing::Unknown;
                let still_ms = now.monotonic_ms.saturating_sub(oldest.at_ms);
                if still_ms < self.limits.shed_after_ms && !goes_before {
                    return false;
                }
                self.crowd.drop_oldest_step();
                self.turn_away(oldest.handle, No::new("shed"), requests);
                return true;
            }
            self.crowd.drop_oldest_step();
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

    /// The writer's answer to a claim: `None` when it is committed, else the code of the refusal.
    pub fn claimed(&mut self, handle: u64, code: Option<&str>, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        let claim = self.claims.remove(&handle);
        if let (None, Some((device_id, pin, placement))) = (code, claim) {
            requests.extend(self.amend_device(&device_id, pin, now));
            requests.extend(moved_note(handle, &device_id, pin, placement));
        }
        let Some(connection) = self.slots.get_mut(handle) else { return requests };
        // A verdict that nobody waits for (late, doubled, for a connection that went another way) does nothing.
        let Some((judged, asked)) = connection.take_claiming() else { return requests };
        let answer = match code {
            None => self
                .judge_again_if_moved(judged, handle, now)
                .and_then(|judged| self.admit(handle, &judged, *asked, now)),
            // Nobody has judged the device itself: it may come again, which stock clients do not after "not authorized".
            Some(code @ ("registry_unavailable" | "trust_moved")) => {
                Err(No::new(code).answer(Reason::ServerUnavailable))
            }
            Some(code) => Err(No::new(code).with("device", Value::peer(&judged.device_id))),
        };
        self.answer(handle, answer, now, &mut requests);
        self.pump(handle, now, &mut requests);
        requests
    }

    /// Messages (connection, packet) are durable: acknowledges them, those of one connection together.
    pub fn stored(&mut self, receipts: &[(u64, u16)], now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        let mut acknowledged: Vec<Handle> = Vec::new();
        for &(handle, packet_id) in receipts {
            self.count("messages_stored");
            if self.will_stored(handle, &mut requests) {
                continue;
            }
            if let Some(connection) = self.slots.get_mut(handle) {
                connection.session.acknowledge(packet_id);
                self.count("messages_acknowledged");
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
    pub fn hold(&mut self, handle: u64, held: bool) -> Vec<Request> {
        let mut requests = Vec::new();
        if let Some(connection) = self.slots.get_mut(handle) {
            connection.held = held;
            self.pause_or_resume(handle, &mut requests);
        }
        requests
    }

    /// What deadlines ask for.
    pub fn tick(&mut self, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        self.keep_tickets(now);
        self.heed_kernel(now, &mut requests);
        while let Some(entry) = self.deadlines.pop(now.monotonic_ms) {
            let Some(connection) = self.slots.get_mut(entry.handle) else { continue };
            if entry.counts(&mut connection.deadline) {
                self.look_at(entry.handle, now, &mut requests);
            }
        }
        self.publish_due_wills(now, &mut requests);
        let since_ms = now.monotonic_ms.saturating_sub(self.limits.take_overs_ms);
        self.take_overs.retain(|_, (_, began_ms)| *began_ms > since_ms);
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

    /// Live sessions.
    pub fn sessions(&self) -> usize {
        self.live.len()
    }

    /// Tickets by which devices may come back.
    pub fn tickets(&self) -> usize {
        self.live_tickets().map_or(0, Tickets::count)
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
                    let Stage::Live { admitted, .. } = &connection.stage else { continue };
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
        if self.slots.get_mut(handle).is_some_and(|connection| connection.session.take_heard()) {
            self.alive(handle, now);
        }
        if let Err(fault) = self.send(handle, requests) {
            return self.broken(handle, &fault, now, requests);
        }
        if finished {
            self.finish(handle, now, requests);
        }
        self.pause_or_resume(handle, requests);
        self.fetch(handle, requests);
    }

    /// A live device has said something: its keep-alive begins anew.
    fn alive(&mut self, handle: Handle, now: Now) {
        let longest_ms = self.limits.keep_alive_ms_max;
        let Some(connection) = self.slots.get_mut(handle) else { return };
        if let Stage::Live { keep_alive_ms, unheard_bytes, .. } = &mut connection.stage {
            *unheard_bytes = 0;
            let due_ms = now.monotonic_ms.saturating_add(keep_alive_ms.map_or(longest_ms, u64::from));
            self.deadlines.set(handle, &mut connection.deadline, due_ms);
        }
    }

    /// Asks the loop to read, or not to, where that has changed.
    fn pause_or_resume(&mut self, handle: Handle, requests: &mut Vec<Request>) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        let pause = connection.held || connection.session.is_blocked();
        if pause != connection.paused {
            connection.paused = pause;
            requests.push(if pause { Request::Pause { handle } } else { Request::Resume { handle } });
        }
    }

    /// Sets aside a chain whose key was proven.
    fn present(&mut self, handle: Handle, chain: PresentedChain, now: Now) {
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
        if self.waiting.is_empty() {
            self.waiting_since_ms = now.monotonic_ms;
        }
        self.waiting.push((handle, chain));
    }

    /// Judges what is set aside as soon as nobody else is to be waited for: enough wait, they have waited long enough, or
    /// no other handshake is under way. A few are judged here and now; more are for `take_batch`.
    fn judge_if_due(&mut self, now: Now, requests: &mut Vec<Request>) {
        let (count, limits) = (self.waiting.len(), &self.limits);
        if count == 0 || count > limits.batch_inline_max {
            return;
        }
        let waited_ms = now.monotonic_ms.saturating_sub(self.waiting_since_ms);
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

    /// Everything that is set aside. trust.md §5.3: whoever turns the clock back revives what has expired; all are refused.
    fn batch(&mut self, now: Now, requests: &mut Vec<Request>) -> Option<Batch> {
        let chains = std::mem::take(&mut self.waiting);
        let floor = self.roster.trust().clock_floor.max(self.latest);
        if now.unix < floor {
            for (handle, _) in chains {
                if !self.slots.get_mut(handle).is_some_and(|connection| matches!(connection.stage, Stage::Waiting)) {
                    continue;
                }
                let no = No::new("clock_behind").answer(Reason::ServerUnavailable);
                self.refuse(handle, no.with("floor", Value::Text(floor.to_string())), requests);
                self.pump(handle, now, requests);
            }
            return None;
        }
        self.latest = now.unix;
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
            let Some(connection) = self.slots.get_mut(handle) else { continue };
            if !matches!(connection.stage, Stage::Waiting) {
                continue;
            }
            if epoch != self.roster.trust().epoch {
                if self.waiting.is_empty() {
                    self.waiting_since_ms = now.monotonic_ms;
                }
                self.waiting.push((handle, chain));
                continue;
            }
            match outcome {
                Ok((path, device_id)) => {
                    connection.session.accept();
                    connection.stage = Stage::Judged(Box::new(Judged { chain, path, device_id, epoch }));
                }
                Err(refusal) => {
                    self.forget_ticket(chain.resumed());
                    self.refuse(handle, No::of(&refusal), &mut requests);
                }
            }
            self.pump(handle, now, &mut requests);
        }
        self.judge_if_due(now, &mut requests);
        requests
    }

    /// A verdict from before trust has moved is worth nothing: the chain is judged again, now.
    fn judge_again_if_moved(&mut self, judged: Box<Judged>, handle: Handle, now: Now) -> Result<Box<Judged>, No> {
        let epoch = self.roster.trust().epoch;
        if judged.epoch == epoch {
            return Ok(judged);
        }
        let batch = Batch::new(Arc::clone(&self.verifier), epoch, now.unix, vec![(handle, judged.chain)]);
        let verdict = batch.judge().pop().ok_or_else(|| No::new("clock_behind"))?;
        let (path, device_id) = verdict.outcome.map_err(|refusal| No::of(&refusal))?;
        Ok(Box::new(Judged { chain: verdict.chain, path, device_id, epoch }))
    }

    /// A CONNECT from a peer whose path is good: is it who it says, and may it be?
    fn connect(&mut self, handle: Handle, connect: &Connect, now: Now, requests: &mut Vec<Request>) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        let Some(judged) = connection.take_judged() else { return };
        let mut asked = Asked::of(connect, self.limits.keep_alive_ms_max);
        let resumed = judged.chain.resumed();
        let placed = self
            .judge_again_if_moved(judged, handle, now)
            .and_then(|judged| self.place(handle, connect, judged))
            .and_then(|(placement, judged)| {
                asked.will = self.will(connect, &judged)?;
                Ok((placement, judged))
            });
        let answer = match placed {
            Ok((Placement::Known, judged)) => self.admit(handle, &judged, asked, now),
            Ok((placement, judged)) => {
                let path = self.meet(&judged, requests);
                let before = self.roster.pin(&judged.device_id);
                requests.push(Request::Claim(claim(handle, &judged, path, before)));
                self.claims.insert(handle, (judged.device_id.clone(), judged.pin(), placement));
                if let Some(connection) = self.slots.get_mut(handle) {
                    connection.stage = Stage::Claiming { judged, asked: Box::new(asked) };
                }
                return;
            }
            Err(no) => Err(no),
        };
        if answer.is_err() {
            self.forget_ticket(resumed);
        }
        self.answer(handle, answer, now, requests);
    }

    /// The checks between a good path and an admission: names, then pins.
    fn place(
        &mut self,
        handle: Handle,
        connect: &Connect,
        mut judged: Box<Judged>,
    ) -> Result<(Placement, Box<Judged>), No> {
        let device_id = Arc::clone(&judged.device_id);
        let device = || Value::peer(&device_id);
        let named = |code, found: &str| No::new(code).with("device", device()).with("found", Value::peer(found));
        if self.draining {
            return Err(No::new("draining").answer(Reason::ServerUnavailable));
        }
        if connect.client_id.is_empty() {
            return Err(named("client_id_mismatch", "").answer(Reason::ClientIdentifierNotValid));
        }
        if connect.client_id != *judged.device_id {
            return Err(named("client_id_mismatch", &connect.client_id));
        }
        if let Some(user_name) = connect.user_name.as_deref().filter(|name| !names_device(name, &judged.device_id)) {
            return Err(named("user_name_mismatch", user_name));
        }
        if connect.has_authentication_method {
            let no = No::new("authentication_method").answer(Reason::BadAuthenticationMethod);
            return Err(no.with("device", device()));
        }
        match self.roster.place(&judged.device_id, judged.pin()) {
            Placement::CaseConflict => Err(No::new("identity_case_conflict").with("device", device())),
            // Whom the owner would have to name for this device to be let in.
            Placement::PinnedElsewhere => Err(No::new("identity_pinned")
                .with("device", device())
                .with("issuer_spki_sha256", Value::Text(hex(&judged.pin().issuer)))),
            // What moves a pin is a key that was proven now ...
            Placement::New | Placement::Rekeyed | Placement::Succeeded if judged.chain.resumed().is_some() => {
                Err(No::new("resumed_unpinned").answer(Reason::ServerUnavailable).with("device", device()))
            }
            // trust.md §3.2: a new key never pushes out a session that the old one holds.
            Placement::Rekeyed | Placement::Succeeded if self.live_with_other_key(handle, &judged) => {
                Err(No::new("rekeyed_while_live").with("device", device()))
            }
            // ... and to the library, whoever else believes it (trust.md §6.2).
            Placement::New | Placement::Rekeyed | Placement::Succeeded if !judged.chain.confirm() => {
                self.strips.doubt();
                // Who that is has not been proven.
                Err(No::new("kernel_doubted").answer(Reason::ServerUnavailable))
            }
            placement @ (Placement::Known | Placement::New | Placement::Rekeyed | Placement::Succeeded) => {
                Ok((placement, judged))
            }
        }
    }

    /// The will that the CONNECT brings, if the device may have it (M06).
    fn will(&self, connect: &Connect, judged: &Judged) -> Result<Option<Box<KeptWill>>, No> {
        let Some(will) = &connect.will else { return Ok(None) };
        let telemetry = will.telemetry(&judged.device_id, &self.session_limits).map_err(|fault| {
            No::new("will_not_allowed")
                .answer(Reason::of_fault(fault.code()))
                .with("device", Value::peer(&judged.device_id))
                .with("reason", fault.code().into())
                .with("detail", Value::peer(fault.detail()))
        })?;
        Ok(Some(Box::new(KeptWill {
            telemetry,
            delay_seconds: will.delay_seconds.min(connect.session_expiry_seconds),
            due: None,
            anchor_fingerprint: judged.path.anchor_fingerprint(),
            not_after: judged.path.not_after(),
        })))
    }

    /// Whether the device pushes itself out too often to be one device.
    fn flaps(&mut self, device_id: &Arc<str>, now: Now) -> bool {
        let count_max = self.limits.take_overs_count_max;
        let (count, began_ms) = self.take_overs.entry(Arc::clone(device_id)).or_insert((0, now.monotonic_ms));
        if now.monotonic_ms.saturating_sub(*began_ms) >= self.limits.take_overs_ms {
            (*count, *began_ms) = (0, now.monotonic_ms);
        }
        *count = count.saturating_add(1);
        *count > count_max
    }

    fn live_with_other_key(&mut self, handle: Handle, judged: &Judged) -> bool {
        let live = self.live.get(&judged.device_id).copied().filter(|live| *live != handle);
        let stage = live.and_then(|live| self.slots.get_mut(live)).map(|connection| &connection.stage);
        matches!(stage, Some(Stage::Live { admitted, .. }) if admitted.leaf != judged.path.leaf_spki_sha256())
    }

    /// The one place where somebody is let in. Returns what must be said of it, and how the session begins.
    fn admit(
        &mut self,
        handle: Handle,
        judged: &Judged,
        asked: Asked,
        now: Now,
    ) -> Result<(Vec<Request>, Admission), No> {
        if self.draining {
            return Err(No::new("draining").answer(Reason::ServerUnavailable));
        }
        if now.monotonic_ms > self.lease_ends_ms {
            return Err(No::new("lease_lapsed").answer(Reason::ServerUnavailable));
        }
        if judged.chain.by_known_key() && !self.strips.is_on() {
            let no = No::new("kernel_doubted").answer(Reason::ServerUnavailable);
            return Err(no.with("device", Value::peer(&judged.device_id)));
        }
        if self.live_with_other_key(handle, judged) {
            return Err(No::new("rekeyed_while_live").with("device", Value::peer(&judged.device_id)));
        }
        let lineage = self.lineage(judged, now).ok_or_else(|| {
            // It was live when the handshake began.
            let no = No::new("ticket_void").answer(Reason::ServerUnavailable);
            no.with("device", Value::peer(&judged.device_id))
        })?;
        let older = self.live.get(&judged.device_id).copied();
        if older.is_some() && self.flaps(&judged.device_id, now) {
            let no = No::new("taken_over_too_often").answer(Reason::ConnectionRateExceeded);
            return Err(no.with("device", Value::peer(&judged.device_id)));
        }
        let mut requests = Vec::new();
        let path = self.meet(judged, &mut requests);
        let (epoch, tickets) = (self.roster.trust().epoch, self.live_tickets());
        let admitted = path.and_then(|path| Admitted::when(judged, path, epoch, now.unix, tickets, lineage));
        let (admitted, ticket) =
            admitted.ok_or_else(|| No::new("expired").with("device", Value::peer(&judged.device_id)))?;
        let device_id = Arc::clone(&admitted.device_id);
        if let Some(older) = older {
            self.end_live(older, Why::TakenOver { clean_start: asked.clean_start }, now, &mut requests);
        }
        self.meet_delayed_will(&device_id, asked.clean_start, &mut requests);
        let admission = self.begin_session(&device_id, &asked, now, &mut requests);
        if let Some(will) = asked.will {
            requests.push(Request::KeepWill { device_id: Arc::clone(&device_id), will: Some(will.clone()) });
            self.wills.insert(handle, will);
        }
        let Some(connection) = self.slots.get_mut(handle) else { return Ok((requests, admission)) };
        let (keep_alive_ms, expiry_seconds) = (asked.keep_alive_ms, asked.expiry_seconds);
        let look_ms = now.monotonic_ms.saturating_add(now.until(admitted.not_after).saturating_add(1_000).min(LOOK_MS));
        connection.stage = Stage::Live { admitted, keep_alive_ms, expiry_seconds, unheard_bytes: 0 };
        self.alive(handle, now);
        let Some(connection) = self.slots.get_mut(handle) else { return Ok((requests, admission)) };
        self.deadlines.look_by(handle, &mut connection.deadline, look_ms);
        let source = Value::Text(connection.source());
        let from = connection.source;
        self.crowd.leave(from);
        self.crowd.vouch(from);
        let path = judged.path.fingerprints().iter().map(|hash| hex(hash)).collect::<Vec<_>>().join(",");
        let mut fields = vec![
            ("device", Value::Text(device_id.to_string())),
            ("source", source),
            ("connection", Value::Text(format!("{handle:x}"))),
            ("path", Value::Text(path)),
            ("anchor", Value::Text(hex(&judged.path.anchor_fingerprint()))),
        ];
        if judged.chain.resumed().is_some() {
            fields.push(("resumed", Value::Truth(true)));
        }
        requests.push(Request::Note(Note { level: Level::Info, event: "admitted", fields }));
        if let Some(admissions) = &mut self.admissions {
            admissions.push((handle, Arc::clone(&device_id), ticket));
        }
        self.live.insert(device_id, handle);
        self.verifier.remember_leaf(&judged.path);
        // A crowd at the door waits for no strip: who comes back is met again.
        if judged.chain.resumed().is_none() && !self.is_pressed() {
            self.strips.remember(&judged.path);
        }
        self.count("admitted");
        Ok((requests, admission))
    }

    /// When the lineage of the device's tickets ends: a new one begins with a proof, and coming back by a ticket does not extend it.
    /// `None`: its ticket has ended, or is not live any more.
    fn lineage(&self, judged: &Judged, now: Now) -> Option<UnixSeconds> {
        match judged.chain.resumed() {
            None => Some(UnixSeconds(now.unix.0.saturating_add(LINEAGE_SECONDS))),
            Some(reference) => self.live_tickets()?.ends(&judged.device_id, reference).filter(|ends| *ends > now.unix),
        }
    }

    /// The path of somebody who was found good; the registry hears of it when it is a new one.
    fn meet(&mut self, judged: &Judged, requests: &mut Vec<Request>) -> Option<Arc<Path>> {
        let (path, met) = self.paths.meet(judged, self.roster.trust())?;
        requests.extend(met.map(|chain| Request::Path { chain }));
        Some(path)
    }

    /// Says yes or no to a CONNECT.
    fn answer(
        &mut self,
        handle: Handle,
        answer: Result<(Vec<Request>, Admission), No>,
        now: Now,
        requests: &mut Vec<Request>,
    ) {
        let no = match answer {
            Ok((admitted, admission)) => {
                requests.extend(admitted);
                let Some(connection) = self.slots.get_mut(handle) else { return };
                if let Err(fault) = connection.session.admit(admission) {
                    self.broken(handle, &fault, now, requests);
                }
                return;
            }
            Err(no) => no,
        };
        let Some(connection) = self.slots.get_mut(handle) else { return };
        connection.session.answer(no.answer);
        connection.stage = Stage::Refused;
        let source = connection.source();
        requests.extend(self.refusal_note(handle, &source, no));
    }

    /// Turns somebody away before their CONNECT, which will be answered.
    fn refuse(&mut self, handle: Handle, no: No, requests: &mut Vec<Request>) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        if matches!(connection.stage, Stage::Handshake { .. }) {
            self.handshaking = self.handshaking.saturating_sub(1);
        }
        connection.session.refuse(no.answer);
        connection.stage = Stage::Refused;
        let source = connection.source();
        requests.extend(self.refusal_note(handle, &source, no));
    }

    /// The peer broke a protocol: what the session still has to say (a TLS alert) is sent, then it is drained.
    fn broken(&mut self, handle: Handle, fault: &Fault, now: Now, requests: &mut Vec<Request>) {
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
    fn finish(&mut self, handle: Handle, now: Now, requests: &mut Vec<Request>) {
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
    }

    fn send(&mut self, handle: Handle, requests: &mut Vec<Request>) -> Result<(), Fault> {
        let Some(connection) = self.slots.get_mut(handle) else { return Ok(()) };
        let data = connection.session.take_output()?;
        if !data.is_empty() {
            self.count_many("bytes_sent", data.len());
            requests.push(Request::Send { handle, data });
        }
        Ok(())
    }

    fn close(&mut self, handle: Handle, requests: &mut Vec<Request>) {
        if self.forget(handle) {
            requests.push(Request::Close { handle });
        }
    }

    fn forget(&mut self, handle: Handle) -> bool {
        self.leave_stage(handle);
        self.slots.remove(handle).is_some()
    }

    /// Undoes what the connection's stage counts for.
    fn leave_stage(&mut self, handle: Handle) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        match &connection.stage {
            Stage::Live { admitted, .. } => {
                if self.live.get(&admitted.device_id) == Some(&handle) {
                    self.live.remove(&admitted.device_id);
                }
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

    /// Why a live session ends. Of others nothing is said here: a refusal was noted when it was reached, and strangers who give up are only
    /// counted.
    fn note_end(&mut self, handle: Handle, reason: &'static str, requests: &mut Vec<Request>) {
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
    fn refusal_note(&mut self, handle: Handle, source: &str, no: No) -> Option<Request> {
        match self.refused.get_mut(&no.code) {
            Some(counter) => *counter = counter.saturating_add(1),
            None => drop(self.refused.insert(no.code.clone(), 1)),
        }
        if !self.refusal_lines.take(&no.code) {
            self.count("log_lines_suppressed");
            return None;
        }
        let mut fields = vec![
            ("code", Value::Text(no.code)),
            ("source", Value::peer(source)),
            ("connection", Value::Text(format!("{handle:x}"))),
        ];
        fields.extend(no.fields);
        Some(Request::Note(Note { level: Level::Warning, event: "refused", fields }))
    }

    fn fault_note(&mut self, handle: Handle, source: &str, fault: &Fault) -> Option<Request> {
        self.refusal_note(handle, source, No::new(fault.code()).with("reason", Value::peer(fault.detail())))
    }

    pub(crate) fn count(&mut self, name: &'static str) {
        self.count_many(name, 1);
    }

    fn count_many(&mut self, name: &'static str, more: usize) {
        let counter = self.counters.entry(name).or_default();
        *counter = counter.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
    }

    fn count_closed(&mut self, reason: &'static str) {
        let counter = self.closed.entry(reason).or_default();
        *counter = counter.saturating_add(1);
    }
}

fn verifier(trust: &Trust, facts: &Arc<Facts>) -> Arc<Verifier> {
    let mut policy = Policy::client_auth();
    policy.closures = Arc::clone(&trust.closures);
    Arc::new(Verifier::with_facts(Arc::clone(&trust.anchors), policy, Arc::clone(facts)))
}

fn claim(handle: Handle, judged: &Judged, path: Option<Arc<Path>>, before: Option<Pin>) -> Claim {
    Claim {
        handle,
        device_id: judged.device_id.to_string(),
        pin: judged.pin(),
        fingerprint: judged.path.fingerprints().first().copied().unwrap_or_default(),
        path: path.map(|path| path.fingerprints.clone()).unwrap_or_default(),
        before,
    }
}

/// What is said of an identity that has moved to other keys.
fn moved_note(handle: Handle, device_id: &str, pin: Pin, placement: Placement) -> Option<Request> {
    let event = match placement {
        Placement::Rekeyed => "rekeyed",
        Placement::Succeeded => "succeeded",
        Placement::Known | Placement::New | Placement::PinnedElsewhere | Placement::CaseConflict => return None,
    };
    let fields = vec![
        ("device", Value::peer(device_id)),
        ("connection", Value::Text(format!("{handle:x}"))),
        ("issuer_spki_sha256", Value::Text(hex(&pin.issuer))),
        ("leaf_spki_sha256", Value::Text(hex(&pin.leaf))),
    ];
    Some(Request::Note(Note { level: Level::Info, event, fields }))
}

/// Whether a user name is of this device: `{host}/{device}/?{query}`, as stock SDKs write it, or the device's id alone. What the host
/// is called is the client's affair.
fn names_device(user_name: &str, device_id: &str) -> bool {
    let after_host = user_name.split_once('/').map(|(_, rest)| rest);
    let exact = |rest: &str| {
        rest.strip_prefix(device_id).is_some_and(|rest| rest.is_empty() || rest == "/" || rest.starts_with("/?"))
    };
    user_name == device_id || after_host.is_some_and(exact)
}
