//! Wills: what is published in a device's name when its connection is lost. 5.0 §3.1.2.5, §3.1.3.2.2; 3.1.1 §3.1.2.5.
//!
//! ```text
//! DISCONNECT with reason 0, or of 3.1.1    never
//! DISCONNECT with any other reason         after its delay
//! the connection is lost or ended          after its delay
//! the device connects again meanwhile      never; with a clean start at once, for its session ends
//! trust has left the device                never (M06), nor if its owner has pinned it anew
//! ```
//!
//! Of each device one will at the most waits to be stored, the last: where a disk is full or slow for long, an earlier one is lost, as it is
//! where it is kept. What is beyond `wills_bytes_max` of them stays where it is kept, and is published by whoever comes after this process.
//!
//! 3.1.1 has no delay: there a will is published as soon as the connection is gone, a take-over included. A will is kept by whoever
//! keeps sessions from the CONNECT on, and forgotten when its message is durable: should this process die, another publishes it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use holdfast_engine::sha256;
use holdfast_roster::NO_KEY;
use holdfast_x509::UnixSeconds;

use crate::Now;
use crate::gate::Gate;
use crate::request::{KeptWill, Level, Note, Request, Value};
use crate::sessions::End;
use crate::slots::Handle;

/// A will that waits, of a device whose connection has ended.
#[derive(Debug)]
pub(crate) struct DelayedWill {
    pub(crate) will: Box<KeptWill>,
    /// The connection that has ended.
    pub(crate) handle: Handle,
    /// Whether its admission was placed among those of other workers: what is placed later is the device that is back.
    pub(crate) fenced: bool,
}

/// Wills that the store was given, by ticket, until they are durable: one of each device.
#[derive(Debug, Default)]
pub(crate) struct PublishedWills {
    last: u32,
    by_ticket: HashMap<u32, (Arc<str>, usize)>,
    tickets: HashMap<Arc<str>, u32>,
    bytes: usize,
}

impl PublishedWills {
    /// Takes a will of `bytes` in the place of the one that waits for the same device; `None`: of all there would be more than `bytes_max`.
    fn put(&mut self, device_id: &Arc<str>, bytes: usize, bytes_max: usize) -> Option<u32> {
        if let Some(before) = self.tickets.get(device_id).copied() {
            self.take(before);
        }
        let all = self.bytes.checked_add(bytes).filter(|all| *all <= bytes_max)?;
        self.last = self.last.wrapping_add(1).max(1);
        self.by_ticket.insert(self.last, (Arc::clone(device_id), bytes));
        self.tickets.insert(Arc::clone(device_id), self.last);
        self.bytes = all;
        Some(self.last)
    }

    /// Whose it is, unless another has taken its place.
    fn take(&mut self, ticket: u32) -> Option<Arc<str>> {
        let (device_id, bytes) = self.by_ticket.remove(&ticket)?;
        self.tickets.remove(&device_id);
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(device_id)
    }

    /// Whether it is still the last of its device.
    pub(crate) fn contains(&self, ticket: u32) -> bool {
        self.by_ticket.contains_key(&ticket)
    }
}

/// Those that wait, and in what order. Each tick asks who is due, and looks at nobody else.
#[derive(Debug, Default)]
pub(crate) struct DelayedWills {
    by_device: HashMap<Arc<str>, DelayedWill>,
    by_time: BTreeSet<(UnixSeconds, Arc<str>)>,
}

impl DelayedWills {
    fn insert(&mut self, device_id: Arc<str>, delayed: DelayedWill) {
        self.remove(&device_id);
        self.by_time.insert((due(&delayed.will), Arc::clone(&device_id)));
        self.by_device.insert(device_id, delayed);
    }

    fn remove(&mut self, device_id: &str) -> Option<(Arc<str>, DelayedWill)> {
        let (device_id, delayed) = self.by_device.remove_entry(device_id)?;
        self.by_time.remove(&(due(&delayed.will), Arc::clone(&device_id)));
        Some((device_id, delayed))
    }

    fn pop_due(&mut self, now: UnixSeconds) -> Option<(Arc<str>, DelayedWill)> {
        let device_id =
            self.by_time.first().filter(|(due, _)| *due <= now).map(|(_, device_id)| Arc::clone(device_id))?;
        self.remove(&device_id)
    }
}

/// A receipt with such a handle is a will's: no connection has a slot of number 0.
const TICKET_SHIFT: u32 = 32;

impl Gate {
    /// The connection of a device with a will has ended.
    pub(crate) fn end_will(
        &mut self,
        device_id: &Arc<str>,
        mut delayed: DelayedWill,
        end: End,
        now: Now,
        requests: &mut Vec<Request>,
    ) {
        let will = &mut delayed.will;
        match end {
            End::Goodbye(goodbye) if !goodbye.with_will => return forget(device_id, requests),
            End::Untrusted => return suppress(device_id, requests),
            End::TakenOver { clean_start: false } | End::TakenOverElsewhere { clean_start: false }
                if will.delay_seconds > 0 =>
            {
                return forget(device_id, requests);
            }
            End::TakenOver { .. } | End::TakenOverElsewhere { .. } => {
                return self.publish_will(device_id, *delayed.will, now, requests);
            }
            End::Goodbye(_) | End::Lost => {}
        }
        if will.delay_seconds == 0 {
            return self.publish_will(device_id, *delayed.will, now, requests);
        }
        will.due = Some(UnixSeconds(now.unix.0.saturating_add(will.delay_seconds.into())));
        requests.push(Request::KeepWill { device_id: Arc::clone(device_id), will: Some(will.clone()) });
        self.delayed_wills.insert(Arc::clone(device_id), delayed);
    }

    /// A device is back. What it left for the case that it stays away is moot, unless it wants to know nothing of its session.
    pub(crate) fn meet_delayed_will(
        &mut self,
        device_id: &str,
        clean_start: bool,
        now: Now,
        requests: &mut Vec<Request>,
    ) {
        match self.delayed_wills.remove(device_id) {
            None => {}
            Some((device_id, left)) if clean_start => self.publish_will(&device_id, *left.will, now, requests),
            Some((device_id, _)) => forget(&device_id, requests),
        }
    }

    /// A device that is not connected here was admitted, by us or by another worker: by whom it was later is known by the order.
    pub(crate) fn fence_delayed_will(
        &mut self,
        ours: bool,
        handle: Handle,
        device_id: &str,
        clean_start: bool,
        now: Now,
        requests: &mut Vec<Request>,
    ) {
        let Some(left) = self.delayed_wills.by_device.get_mut(device_id) else { return };
        if ours {
            left.fenced |= left.handle == handle;
        } else if left.fenced {
            self.meet_delayed_will(device_id, clean_start, now, requests);
        }
    }

    /// The will of a device whose connection ended with the process that had it. One without a delay was due at that moment, whether
    /// its device is back by now or not.
    pub fn inherit_will(&mut self, device_id: &str, will: KeptWill, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        let device_id: Arc<str> = device_id.into();
        if self.roster.pin(&device_id).is_some_and(|pin| pin.leaf == NO_KEY) {
            suppress(&device_id, &mut requests);
        } else if will.delay_seconds == 0 {
            self.publish_will(&device_id, will, now, &mut requests);
        } else if let Some(handle) = self.live.get(&device_id) {
            // The device is back already, with another will in the place of this one, or with none.
            if !self.wills.contains_key(handle) {
                forget(&device_id, &mut requests);
            }
        } else if due(&will) <= now.unix {
            self.publish_will(&device_id, will, now, &mut requests);
        } else {
            // Whoever had the connection had its place, and is gone.
            self.delayed_wills.insert(device_id, DelayedWill { will: Box::new(will), handle: 0, fenced: true });
        }
        requests
    }

    /// Whoever left a will is the device no more.
    pub(crate) fn suppress_delayed_will(&mut self, device_id: &str, requests: &mut Vec<Request>) {
        if let Some((device_id, _)) = self.delayed_wills.remove(device_id) {
            suppress(&device_id, requests);
        }
    }

    /// Publishes what has been waiting long enough.
    pub(crate) fn publish_due_wills(&mut self, now: Now, requests: &mut Vec<Request>) {
        while let Some((device_id, left)) = self.delayed_wills.pop_due(now.unix) {
            self.publish_will(&device_id, *left.will, now, requests);
        }
    }

    /// Whether whoever vouched for the device that has left it still does (M06).
    fn holds(&self, will: &KeptWill, now: Now) -> bool {
        let trust = self.roster.trust();
        let closed = |hash| trust.closures.keys.contains(hash) || trust.closures.certificates.contains(hash);
        now.unix <= will.not_after
            && trust.anchors.iter().any(|anchor| sha256(anchor.der()) == will.anchor_fingerprint)
            && !will.vouchers.iter().any(closed)
    }

    /// A will's message is durable: there is nothing left to do for it.
    pub(crate) fn will_stored(&mut self, handle: u64, requests: &mut Vec<Request>) -> bool {
        let ticket = ticket(handle);
        let device_id = ticket.and_then(|ticket| self.published_wills.take(ticket));
        if let Some(device_id) = &device_id {
            // Unless another will has taken its place.
            let replaced = self.live.get(device_id).is_some_and(|live| self.wills.contains_key(live));
            if !replaced && !self.delayed_wills.by_device.contains_key(device_id) {
                forget(device_id, requests);
            }
        }
        ticket.is_some()
    }

    fn publish_will(&mut self, device_id: &Arc<str>, will: KeptWill, now: Now, requests: &mut Vec<Request>) {
        if !self.holds(&will, now) {
            return suppress(device_id, requests);
        }
        let mut telemetry = will.telemetry;
        telemetry.packet_id = 1; // a receipt is wanted
        let bytes_max = self.limits.wills_bytes_max;
        let Some(ticket) = self.published_wills.put(device_id, telemetry.bytes(), bytes_max) else {
            self.count("wills_postponed");
            let fields = vec![("device", Value::peer(device_id))];
            return requests.push(Request::Note(Note { level: Level::Warning, event: "will_postponed", fields }));
        };
        let handle = u64::from(ticket) << TICKET_SHIFT;
        requests.push(Request::Store { handle, device_id: Arc::clone(device_id), telemetry });
        self.count("wills_published");
    }
}

/// When it is to be published.
fn due(will: &KeptWill) -> UnixSeconds {
    will.due.unwrap_or(UnixSeconds(i64::MIN))
}

/// The will that a handle stands for, if it is not a connection's.
pub(crate) fn ticket(handle: u64) -> Option<u32> {
    u32::try_from(handle >> TICKET_SHIFT).ok().filter(|_| handle & u64::from(u32::MAX) == 0)
}

fn suppress(device_id: &Arc<str>, requests: &mut Vec<Request>) {
    let fields = vec![("device", Value::peer(device_id))];
    requests.push(Request::Note(Note { level: Level::Info, event: "will_suppressed", fields }));
    forget(device_id, requests);
}

fn forget(device_id: &Arc<str>, requests: &mut Vec<Request>) {
    requests.push(Request::KeepWill { device_id: Arc::clone(device_id), will: None });
}
