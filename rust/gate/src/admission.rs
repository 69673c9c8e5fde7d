//! From a good path to a session: is it who it says, is it the one that the identity is pinned to, and may it come in now?

use std::sync::Arc;

use holdfast_engine::hex;
use holdfast_roster::{Pin, Placement};
use holdfast_session::{Admission, Connect, LINEAGE_SECONDS, Reason};
use holdfast_x509::UnixSeconds;

use crate::Now;
use crate::connection::{Admitted, Judged, Stage};
use crate::ends::No;
use crate::flaps::Flap;
use crate::gate::{Gate, LOOK_MS};
use crate::paths::Path;
use crate::request::{Claim, KeptWill, Level, Note, Request, Value};
use crate::sessions::{Asked, Why};
use crate::slots::Handle;
use crate::tickets::ToldAdmission;

impl Gate {
    /// A CONNECT from a peer whose path is good: is it who it says, and may it be?
    pub(crate) fn connect(&mut self, handle: Handle, connect: &Connect, now: Now, requests: &mut Vec<Request>) {
        let Some(connection) = self.slots.get_mut(handle) else { return };
        let Some(judged) = connection.take_judged() else { return };
        let mut asked = Asked::of(connect, self.limits.keep_alive_ms_max);
        let resumed = judged.chain.resumed();
        let placed = self
            .judge_again_if_moved(judged, handle, now)
            .and_then(|judged| self.place(connect, judged))
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
            Some(code @ ("registry_unavailable" | "trust_moved" | "claim_lost")) => {
                Err(No::new(code).answer(Reason::ServerUnavailable))
            }
            Some(code) => {
                let issuer = Value::Text(hex(&judged.pin().issuer));
                let no = No::new(code).with("device", Value::peer(&judged.device_id));
                let no = no.with("issuer_spki_sha256", issuer);
                // Nor is this the device's fault, or for ever.
                let passes = matches!(code, "clock_behind" | "path_unknown" | "rekeyed_while_live");
                Err(if passes { no.answer(Reason::ServerUnavailable) } else { no })
            }
        };
        self.answer(handle, answer, now, &mut requests);
        self.pump(handle, now, &mut requests);
        requests
    }

    /// The checks between a good path and an admission: names, then pins.
    fn place(&mut self, connect: &Connect, mut judged: Box<Judged>) -> Result<(Placement, Box<Judged>), No> {
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
            Placement::Rekeyed | Placement::Succeeded
                if self.is_live_with_other_key(&judged.device_id, judged.path.leaf_spki_sha256()) =>
            {
                Err(rekeyed_while_live(&device_id))
            }
            // ... and to the library, whoever else believes it (trust.md §6.2).
            Placement::New | Placement::Rekeyed | Placement::Succeeded if !judged.chain.confirm() => {
                self.strips.doubt();
                // Who that is has not been proven.
                Err(No::new("kernel_doubted").answer(Reason::ServerUnavailable).claimed())
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
            vouchers: Box::default(), // known when it is let in
            not_after: judged.path.not_after(),
        })))
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
        self.check_clock(now)?;
        if judged.chain.by_known_key() && !self.strips.is_on() {
            let no = No::new("kernel_doubted").answer(Reason::ServerUnavailable).claimed();
            return Err(no.with("device", Value::peer(&judged.device_id)));
        }
        if self.is_live_with_other_key(&judged.device_id, judged.path.leaf_spki_sha256()) {
            return Err(rekeyed_while_live(&judged.device_id));
        }
        let lineage = self.lineage(judged, now).ok_or_else(|| {
            // It was live when the handshake began.
            let no = No::new("ticket_void").answer(Reason::ServerUnavailable);
            no.with("device", Value::peer(&judged.device_id))
        })?;
        let older = self.live.get(&judged.device_id).copied();
        if older.is_some() {
            self.flaps.count(&judged.device_id, Flap::TakenOver, &self.limits, now.monotonic_ms);
        }
        // Whom it would push out may be with another worker.
        let pushes_out = older.is_some() || self.admissions.is_some();
        if let Some(flap) = self.flaps.of(&judged.device_id, pushes_out, &self.limits, now.monotonic_ms) {
            let no = No::new(flap.code()).answer(Reason::ConnectionRateExceeded);
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
        self.meet_delayed_will(&device_id, asked.clean_start, now, &mut requests);
        let admission = self.begin_session(&device_id, &asked, now, &mut requests);
        if let Some(mut will) = asked.will {
            let own = judged.path.fingerprints().first().into_iter().chain([&admitted.leaf]);
            will.vouchers = own.chain(admitted.path.vouchers()).copied().collect();
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
            let clean_start = asked.clean_start;
            admissions.push(ToldAdmission { handle, device_id: Arc::clone(&device_id), clean_start, ticket });
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
        let tracking_id = connection.session.answer(no.answer);
        connection.stage = Stage::Refused;
        let source = connection.source();
        let no = no.of_proven().with("tracking_id", Value::Text(tracking_id));
        requests.extend(self.refusal_note(handle, &source, no));
    }
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

/// It may come again: the older session ends by itself, if its device is gone.
fn rekeyed_while_live(device_id: &str) -> No {
    No::new("rekeyed_while_live").answer(Reason::ServerUnavailable).with("device", Value::peer(device_id))
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
