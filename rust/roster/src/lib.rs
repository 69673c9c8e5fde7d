//! What is kept of one tenant, as a worker holds it: trust, replaced whole; device pins and sessions, amended.
//!
//! Trust is small and immutable; its epoch rises only when something that was admitted might no longer be. Devices are an index:
//! adding one never moves the epoch. Beside its pin stands what outlives a device's connection, so that a CONNECT is answered
//! without asking anybody.
#![forbid(unsafe_code)]

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use holdfast_x509::{Anchors, Closures, UnixSeconds};

/// SHA-256 of a `SubjectPublicKeyInfo`: what "the same key" means everywhere.
pub type KeyHash = [u8; 32];

/// What no key has for its hash: stands for the device's own in the pin of an identity that its owner has pinned to another issuer,
/// until a device comes by that.
pub const NO_KEY: KeyHash = [0; 32];

/// Who may vouch for devices, as of one epoch.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Rises with every change after which an admitted device might no longer be.
    pub epoch: u64,
    /// Proven, enabled CAs. None: nobody is admitted.
    pub anchors: Arc<Anchors>,
    /// Keys and certificates that may stand in no path (`trust.md` §5.1).
    pub closures: Arc<Closures>,
    /// Pairs of issuing keys: whoever is pinned to the first may come by the second (`trust.md` §3.2).
    pub successions: Arc<HashSet<(KeyHash, KeyHash)>>,
    /// The highest time that the registry has seen; an earlier clock admits nobody (`trust.md` §5.3).
    pub clock_floor: UnixSeconds,
}

/// The keys that an identity is pinned to (`trust.md` §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a pin is these two keys")]
pub struct Pin {
    /// The key that signed the device's certificate.
    pub issuer: KeyHash,
    /// The device's own key.
    pub leaf: KeyHash,
}

/// What the pins say of an identity that shows `issuer` and `leaf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever admits must handle every case")]
pub enum Placement {
    /// Both keys are the pinned ones.
    Known,
    /// Nobody has claimed this identity.
    New,
    /// The pinned issuer vouches for another leaf key.
    Rekeyed,
    /// Another issuer key is pinned, and the owner has declared this one its successor.
    Succeeded,
    /// Another issuer key is pinned.
    PinnedElsewhere,
    /// The identity differs only in case from one that is claimed (`trust.md` §3.1).
    CaseConflict,
}

/// What is kept of a device's session between its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row of the inbox")]
pub struct KeptSession {
    /// The `QoS` of its subscription to its inbox.
    pub inbox_qos: Option<u8>,
    /// How long it outlives a connection; `u32::MAX`: for ever.
    pub expiry_seconds: u32,
    /// When it ends; [`NEVER`] while its device is connected, or when nothing ends it.
    pub ends: UnixSeconds,
}

/// No time at all.
pub const NEVER: UnixSeconds = UnixSeconds(i64::MAX);

/// One tenant's trust and devices.
#[derive(Debug)]
pub struct Roster {
    trust: Trust,
    /// By case-folded id, so that one look-up answers for both spellings; the exact spelling is kept where it differs.
    devices: HashMap<Box<str>, Device>,
}

#[derive(Debug)]
struct Device {
    exact: Option<Box<str>>,
    pin: Pin,
    session: Option<KeptSession>,
    /// Whether messages are kept for it that nobody has asked for yet.
    waiting: bool,
}

impl Roster {
    /// A roster that admits nobody until trust is given.
    pub fn new() -> Self {
        let trust = Trust {
            epoch: 0,
            anchors: Arc::default(),
            closures: Arc::default(),
            successions: Arc::default(),
            clock_floor: UnixSeconds(i64::MIN),
        };
        Self { trust, devices: HashMap::new() }
    }

    /// The trust of the present epoch.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Replaces trust whole.
    pub fn replace_trust(&mut self, trust: Trust) {
        self.trust = trust;
    }

    /// Pins `device_id`, or replaces its pin, which is answered.
    pub fn amend(&mut self, device_id: &str, pin: Pin) -> Option<Pin> {
        let folded = device_id.to_ascii_lowercase();
        let exact = (folded != device_id).then(|| device_id.into());
        match self.devices.entry(folded.into()) {
            Entry::Occupied(mut device) => {
                let device = device.get_mut();
                device.exact = exact;
                Some(std::mem::replace(&mut device.pin, pin))
            }
            Entry::Vacant(place) => {
                place.insert(Device { exact, pin, session: None, waiting: false });
                None
            }
        }
    }

    /// The session that is kept for `device_id`, unless it has ended before `at`.
    pub fn session(&self, device_id: &str, at: UnixSeconds) -> Option<KeptSession> {
        self.device(device_id)?.session.filter(|session| session.ends > at)
    }

    /// Keeps `session` for `device_id`, or none. Whoever has no pin has no session.
    pub fn keep(&mut self, device_id: &str, session: Option<KeptSession>) {
        if let Some(device) = self.device_mut(device_id) {
            device.session = session;
        }
    }

    /// Whether messages wait for `device_id`.
    pub fn is_waiting(&self, device_id: &str) -> bool {
        self.device(device_id).is_some_and(|device| device.waiting)
    }

    /// Remembers whether messages wait for `device_id`.
    pub fn set_waiting(&mut self, device_id: &str, waiting: bool) {
        if let Some(device) = self.device_mut(device_id) {
            device.waiting = waiting;
        }
    }

    /// What the pins say of `device_id` showing `pin`.
    pub fn place(&self, device_id: &str, pin: Pin) -> Placement {
        let folded = device_id.to_ascii_lowercase();
        let Some(device) = self.devices.get(folded.as_str()) else { return Placement::New };
        if device.exact.as_deref().unwrap_or(&folded) != device_id {
            return Placement::CaseConflict;
        }
        match (device.pin.issuer == pin.issuer, device.pin.leaf == pin.leaf) {
            (true, true) => Placement::Known,
            (true, false) => Placement::Rekeyed,
            (false, _) if self.trust.successions.contains(&(device.pin.issuer, pin.issuer)) => Placement::Succeeded,
            (false, _) => Placement::PinnedElsewhere,
        }
    }

    /// What `device_id` is pinned to.
    pub fn pin(&self, device_id: &str) -> Option<Pin> {
        Some(self.device(device_id)?.pin)
    }

    fn device(&self, device_id: &str) -> Option<&Device> {
        let folded = device_id.to_ascii_lowercase();
        let device = self.devices.get(folded.as_str())?;
        (device.exact.as_deref().unwrap_or(&folded) == device_id).then_some(device)
    }

    fn device_mut(&mut self, device_id: &str) -> Option<&mut Device> {
        let folded = device_id.to_ascii_lowercase();
        let device = self.devices.get_mut(folded.as_str())?;
        (device.exact.as_deref().unwrap_or(&folded) == device_id).then_some(device)
    }
}

impl Default for Roster {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: Pin = Pin { issuer: [1; 32], leaf: [2; 32] };

    #[test]
    fn e04_an_identity_stays_with_the_key_that_first_vouched_for_it() {
        let mut roster = Roster::new();
        assert_eq!(roster.place("Widget-1", PIN), Placement::New);
        assert_eq!(roster.amend("Widget-1", PIN), None);
        assert_eq!(roster.place("Widget-1", PIN), Placement::Known);
        assert_eq!(roster.place("Widget-1", Pin { leaf: [3; 32], ..PIN }), Placement::Rekeyed);
        assert_eq!(roster.place("Widget-1", Pin { issuer: [3; 32], ..PIN }), Placement::PinnedElsewhere);
        assert_eq!(roster.place("Widget-1", Pin { issuer: [3; 32], leaf: [3; 32] }), Placement::PinnedElsewhere);
        assert_eq!(roster.amend("Widget-1", Pin { leaf: [3; 32], ..PIN }), Some(PIN));
        assert_eq!(roster.place("Widget-1", PIN), Placement::Rekeyed);
        assert_eq!(roster.pin("Widget-1"), Some(Pin { leaf: [3; 32], ..PIN }));
    }

    #[test]
    fn a_declared_successor_takes_over_what_its_predecessor_vouched_for_and_nothing_else() {
        let (mut roster, new) = (Roster::new(), Pin { issuer: [7; 32], leaf: [8; 32] });
        roster.amend("widget-1", PIN);
        roster.amend("widget-2", Pin { issuer: [9; 32], ..PIN });
        let successions = Arc::new(HashSet::from([(PIN.issuer, new.issuer)]));
        roster.replace_trust(Trust { successions, ..roster.trust().clone() });
        assert_eq!(roster.place("widget-1", new), Placement::Succeeded);
        assert_eq!(roster.place("widget-1", Pin { leaf: PIN.leaf, ..new }), Placement::Succeeded);
        assert_eq!(roster.place("widget-1", Pin { issuer: [9; 32], ..new }), Placement::PinnedElsewhere);
        assert_eq!(roster.place("widget-2", new), Placement::PinnedElsewhere);
        roster.amend("widget-1", new);
        assert_eq!(roster.place("widget-1", PIN), Placement::PinnedElsewhere, "there is no way back");
    }

    #[test]
    fn an_identity_without_a_key_of_its_own_is_its_issuer_s_to_give() {
        let mut roster = Roster::new();
        roster.amend("widget-1", Pin { leaf: NO_KEY, ..PIN });
        assert_eq!(roster.place("widget-1", PIN), Placement::Rekeyed);
        assert_eq!(roster.place("widget-1", Pin { issuer: [3; 32], ..PIN }), Placement::PinnedElsewhere);
    }

    #[test]
    fn e02_two_spellings_are_one_identity() {
        let mut roster = Roster::new();
        roster.amend("Widget-1", PIN);
        assert_eq!(roster.place("widget-1", PIN), Placement::CaseConflict);
        assert_eq!(roster.place("WIDGET-1", PIN), Placement::CaseConflict);
        roster.amend("lower", PIN);
        assert_eq!(roster.place("lower", PIN), Placement::Known);
        assert_eq!(roster.place("Lower", PIN), Placement::CaseConflict);
    }

    #[test]
    fn a_session_is_kept_beside_the_pin_and_outlives_a_new_key() {
        let mut roster = Roster::new();
        let session = KeptSession { inbox_qos: Some(1), expiry_seconds: 60, ends: UnixSeconds(100) };
        // Whoever is nobody has nothing.
        roster.keep("Widget-1", Some(session));
        roster.set_waiting("Widget-1", true);
        assert_eq!((roster.session("Widget-1", UnixSeconds(0)), roster.is_waiting("Widget-1")), (None, false));
        roster.amend("Widget-1", PIN);
        roster.keep("Widget-1", Some(session));
        roster.set_waiting("Widget-1", true);
        roster.amend("Widget-1", Pin { leaf: [3; 32], ..PIN });
        assert_eq!(roster.session("Widget-1", UnixSeconds(99)), Some(session));
        assert!(roster.is_waiting("Widget-1"));
        assert_eq!(roster.session("Widget-1", UnixSeconds(100)), None, "it has ended");
        // Another spelling is not this device.
        assert_eq!((roster.session("widget-1", UnixSeconds(0)), roster.is_waiting("widget-1")), (None, false));
        roster.keep("Widget-1", Some(KeptSession { ends: NEVER, ..session }));
        assert!(roster.session("Widget-1", UnixSeconds(i64::MAX - 1)).is_some());
        roster.keep("Widget-1", None);
        assert_eq!(roster.session("Widget-1", UnixSeconds(0)), None);
    }
}
