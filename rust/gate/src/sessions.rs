//! What outlives a connection: the session that is kept for a device between its connections. 5.0 §4.1; wire contract §1.4.
//!
//! The roster says at once what is kept, so that a CONNECT waits for nobody; what changes is written behind it, in order. Only a
//! SUBSCRIBE or UNSUBSCRIBE is answered when its change is durable: stock SDKs say it once, and never again.

use std::sync::Arc;

use holdfast_roster::{KeptSession, NEVER};
use holdfast_session::{Admission, Connect, Goodbye, Qos, Reason};
use holdfast_x509::UnixSeconds;

use crate::Now;
use crate::connection::{Connection, Stage};
use crate::gate::Gate;
use crate::request::{KeptWill, Request};
use crate::slots::Handle;
use crate::wills::DelayedWill;

/// What a CONNECT asks for, beside being let in.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) keep_alive_ms: Option<u32>,
    /// What the keep-alive is to be, where it is not what was asked for (5.0 §3.2.2.3.14).
    pub(crate) server_keep_alive_seconds: Option<u16>,
    pub(crate) clean_start: bool,
    pub(crate) expiry_seconds: u32,
    pub(crate) will: Option<Box<KeptWill>>,
}

impl Asked {
    pub(crate) fn of(connect: &Connect, keep_alive_ms_max: u64) -> Self {
        // 3.1.1 §3.1.2.10, 5.0 §3.1.2.10: one and a half times what the client promises.
        let longest_ms = u32::try_from(keep_alive_ms_max).unwrap_or(u32::MAX);
        let longest_seconds = u16::try_from(longest_ms / 1_500).unwrap_or(u16::MAX);
        let promised = connect.keep_alive_seconds;
        let promised_ms = u32::from(promised).saturating_mul(1_500);
        Self {
            keep_alive_ms: (promised != 0).then_some(promised_ms.min(longest_ms)),
            server_keep_alive_seconds: (promised == 0 || promised > longest_seconds).then_some(longest_seconds),
            clean_start: connect.clean_start,
            expiry_seconds: connect.session_expiry_seconds,
            will: None,
        }
    }
}

/// How a live session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The device has said DISCONNECT.
    Goodbye(Goodbye),
    /// The connection is gone, or we have ended it.
    Lost,
    /// The device has connected again, and goes on with its session, or begins another.
    TakenOver { clean_start: bool },
    /// The device has connected again to another worker, and what is kept for it is that one's affair.
    TakenOverElsewhere { clean_start: bool },
    /// Whoever vouched for it does no more.
    Untrusted,
}

/// Why the hub ends a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Draining,
    /// It came in by a word of the kernel, which computes wrongly.
    Doubted,
    Expired,
    InboxUnavailable,
    KeepAlive,
    /// It has held the head of a packet for long, and there is no more memory for such.
    PacketUnfinished,
    /// Its owner has pinned its identity anew.
    Repinned,
    TakenOver {
        clean_start: bool,
    },
    TakenOverElsewhere {
        clean_start: bool,
    },
    Untrusted,
}

impl Why {
    /// What the log calls it, what a device of 5.0 is told, and what becomes of what outlives the connection.
    pub(crate) fn told(self) -> (&'static str, Reason, End) {
        match self {
            Self::Draining => ("draining", Reason::ServerShuttingDown, End::Lost),
            Self::Doubted => ("kernel_doubted", Reason::ImplementationSpecificError, End::Untrusted),
            Self::Expired => ("expired", Reason::NotAuthorized, End::Untrusted),
            Self::InboxUnavailable => ("inbox_unavailable", Reason::ImplementationSpecificError, End::Lost),
            Self::KeepAlive => ("keep_alive", Reason::KeepAliveTimeout, End::Lost),
            Self::PacketUnfinished => ("packet_unfinished", Reason::QuotaExceeded, End::Lost),
            Self::Repinned => ("repinned", Reason::NotAuthorized, End::Untrusted),
            Self::TakenOver { clean_start } => ("taken_over", Reason::SessionTakenOver, End::TakenOver { clean_start }),
            Self::TakenOverElsewhere { clean_start } => {
                ("taken_over", Reason::SessionTakenOver, End::TakenOverElsewhere { clean_start })
            }
            Self::Untrusted => ("untrusted", Reason::NotAuthorized, End::Untrusted),
        }
    }
}

impl Gate {
    /// Begins the session of a device that is admitted, or goes on with the one that is kept for it.
    pub(crate) fn begin_session(
        &mut self,
        device_id: &Arc<str>,
        asked: &Asked,
        now: Now,
        requests: &mut Vec<Request>,
    ) -> Admission {
        let kept = self.roster.session(device_id, now.unix);
        let resumed = kept.filter(|_| !asked.clean_start);
        let inbox_qos = resumed.and_then(|session| session.inbox_qos);
        // A session that ends with its connection is kept only where it has to be taken away then.
        let outlives = asked.expiry_seconds > 0 || resumed.is_some();
        let session = outlives.then_some(KeptSession { inbox_qos, expiry_seconds: asked.expiry_seconds, ends: NEVER });
        // Whoever has had the connection of a session that goes on may be another worker: then it is said whose it is from here on,
        // else it would run out with that worker.
        let had_by_another = kept.is_some_and(|kept| kept.ends == NEVER && kept.expiry_seconds != u32::MAX);
        if session != kept || had_by_another {
            self.keep(0, device_id, session, requests);
        }
        Admission {
            device_id: Arc::clone(device_id),
            session_present: resumed.is_some(),
            inbox: inbox_qos.and_then(|qos| Qos::try_from(qos).ok()),
            server_keep_alive_seconds: asked.server_keep_alive_seconds,
        }
    }

    /// The device's subscription is to become `inbox`. Of a session that ends with its connection nothing is kept.
    pub(crate) fn subscribe(&mut self, handle: Handle, inbox: Option<Qos>, now: Now, requests: &mut Vec<Request>) {
        let Some(Connection { session, stage: Stage::Live { admitted, .. }, .. }) = self.slots.get_mut(handle) else {
            return;
        };
        let device_id = Arc::clone(&admitted.device_id);
        let Some(kept) = self.roster.session(&device_id, now.unix) else { return session.subscription_kept() };
        let session = KeptSession { inbox_qos: inbox.map(Qos::code), ..kept };
        self.keep(handle, &device_id, Some(session), requests);
    }

    /// What a connection waits for is durable, or cannot be made so: then the connection ends, and the device may try again.
    pub fn kept(&mut self, handle: u64, code: Option<&str>, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        match (self.slots.get_mut(handle), code) {
            (None, _) => {}
            (Some(connection), None) => {
                connection.session.subscription_kept();
                self.pump(handle, now, &mut requests);
            }
            (Some(connection), Some(_)) => {
                if let Stage::Live { admitted, .. } = &connection.stage {
                    // What was refused may be kept when the inbox can be written again, and would have no end: the device is told that
                    // it has no session when it comes back, so whoever keeps sessions is told the same.
                    let device_id = Arc::clone(&admitted.device_id);
                    self.keep(0, &device_id, None, &mut requests);
                }
                self.end_live(handle, Why::InboxUnavailable, now, &mut requests);
            }
        }
        requests
    }

    /// What another worker has kept. Of a device that is connected here it can only be a late word about an older connection, for a
    /// newer one would have been placed first, and have ended ours: what is kept is said again (M03).
    pub fn amend_session(&mut self, device_id: &str, session: Option<KeptSession>) -> Vec<Request> {
        let mut requests = Vec::new();
        let Some((device_id, _)) = self.live.get_key_value(device_id) else {
            self.roster.keep(device_id, session);
            return requests;
        };
        let device_id = Arc::clone(device_id);
        let ours = self.roster.session(&device_id, UnixSeconds(i64::MIN));
        if session != ours {
            self.keep(0, &device_id, ours, &mut requests);
        }
        requests
    }

    /// Leaves what outlives the connection of a live session as `end` wants it. The session itself goes on until its stage is left.
    pub(crate) fn end_session(&mut self, handle: Handle, end: End, now: Now, requests: &mut Vec<Request>) {
        let Some(Connection { stage: Stage::Live { admitted, expiry_seconds, .. }, .. }) = self.slots.get_mut(handle)
        else {
            return;
        };
        let (device_id, fenced) = (Arc::clone(&admitted.device_id), admitted.fenced);
        let said = if let End::Goodbye(goodbye) = end { goodbye.session_expiry_seconds } else { None };
        let expiry_seconds = said.unwrap_or(*expiry_seconds);
        if let Some(mut will) = self.wills.remove(&handle) {
            // 5.0 §3.1.3.2.2: or until the session ends, if that is earlier.
            will.delay_seconds = will.delay_seconds.min(expiry_seconds);
            self.end_will(&device_id, DelayedWill { will, handle, fenced }, end, now, requests);
        }
        // What was sent and not acknowledged is sent again.
        if self.fetching.remove(&handle).is_some_and(|fetching| fetching.in_flight > 0) {
            self.roster.set_waiting(&device_id, true);
        }
        if matches!(end, End::TakenOverElsewhere { .. }) {
            return;
        }
        let Some(kept) = self.roster.session(&device_id, now.unix) else { return };
        let left = match expiry_seconds {
            0 => None,
            u32::MAX => Some(KeptSession { expiry_seconds, ends: NEVER, ..kept }),
            seconds => {
                let ends = UnixSeconds(now.unix.0.saturating_add(seconds.into()));
                Some(KeptSession { expiry_seconds, ends, ..kept })
            }
        };
        if left != Some(kept) {
            self.keep(0, &device_id, left, requests);
        }
    }

    fn keep(
        &mut self,
        handle: Handle,
        device_id: &Arc<str>,
        session: Option<KeptSession>,
        requests: &mut Vec<Request>,
    ) {
        self.roster.keep(device_id, session);
        requests.push(Request::Keep { handle, device_id: Arc::clone(device_id), session });
    }
}
