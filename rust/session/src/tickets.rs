//! Tickets of TLS 1.3, and the list of those that are live (`trust.md` §1.3). No clock: whoever owns them says what time it is.
//!
//! A ticket is `nonce ‖ AEAD(reference ‖ what the TLS library wants back)` under a key that lives in memory alone, bound to one
//! tenant and listener. The reference is a random number that stands for nothing until `admit` puts it into the list: a ticket
//! goes out with the handshake, before anybody has judged the peer, and is void. Whatever is not in the list, for whatever
//! reason (never admitted, ended, pushed out, trust has moved, another process), costs a full handshake and nothing else.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_x509::UnixSeconds;
use zeroize::Zeroize;

use crate::cipher::{Aead, Key, NONCE_LENGTH, TAG_LENGTH, random};

/// How long after its first admission a device may come back without proving its key again.
pub const LINEAGE_SECONDS: i64 = 60 * 60;
/// Octets of a key: AES-256.
pub const TICKET_KEY_LENGTH: usize = 32;
/// Octets of a ticket. It holds the device's chain, about 600 octets a certificate, and must fit into the one record that holds
/// the ClientHello which brings it back, twice should that be asked for again. Whoever needs more does full handshakes.
const TICKET_BYTES_MAX: usize = 8 * 1024;
const REFERENCE_LENGTH: usize = 16;
/// Named in what is authenticated, so that another form of tickets is never mistaken for this one.
const FORM: &[u8] = b"holdfast ticket 1";

/// What a ticket stands for. By itself it gives nobody anything: whoever resumes proves the secret that is sealed beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reference([u8; REFERENCE_LENGTH]);

impl Reference {
    pub(crate) fn new() -> Option<Self> {
        random().map(Self)
    }

    /// Its octets, for whoever tells another worker.
    pub fn octets(&self) -> &[u8; REFERENCE_LENGTH] {
        &self.0
    }

    /// One that was told.
    pub fn from_octets(octets: [u8; REFERENCE_LENGTH]) -> Self {
        Self(octets)
    }
}

/// Keys and live tickets of one listener of one tenant.
pub struct Tickets {
    binding: Box<[u8]>,
    state: Mutex<State>,
}

struct State {
    /// The newest first: it seals, all of them open. None: nothing is sealed or opened.
    keys: Vec<Key>,
    /// What the newest has sealed here. Nonces are random, and strangers make us draw them: with as many as a key may seal records, 256
    /// workers stay below 2^32 (NIST SP 800-38D §8.3).
    sealed: u64,
    now: UnixSeconds,
    live: Live,
    refused: RefusedTickets,
}

/// Tickets that were shown and led to a full handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is no third way")]
pub struct RefusedTickets {
    /// No key of ours opens them: another hub's, listener's, key's, or no tickets.
    pub unknown: usize,
    /// Ours, and not live.
    pub void: usize,
}

impl Tickets {
    /// Tickets that only this `tenant`'s `listener` takes back, and none before it has keys. `count_max` bounds the live ones.
    pub fn new(tenant: &str, listener: &str, count_max: usize) -> Self {
        let mut binding = FORM.to_vec();
        for name in [tenant, listener] {
            // A length before each: no two pairs of names are written the same.
            binding.extend(u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes());
            binding.extend(name.as_bytes());
        }
        let state = State {
            keys: Vec::new(),
            sealed: 0,
            now: UnixSeconds(i64::MIN),
            live: Live::new(count_max),
            refused: RefusedTickets::default(),
        };
        Self { binding: binding.into(), state: Mutex::new(state) }
    }

    /// Seals with the first of `keys` from here on, and opens with all of them; those that were there before are wiped, and so are
    /// these where they came from. Without any there is no resumption, and what was live is forgotten.
    pub fn set_keys(&self, mut keys: Vec<[u8; TICKET_KEY_LENGTH]>) {
        let mut state = self.lock();
        let newest = keys.first().and_then(|key| Key::new(Aead::Aes256Gcm, key, &[0; NONCE_LENGTH]));
        if newest.as_ref() != state.keys.first() {
            state.sealed = 0;
        }
        state.keys = keys.iter().filter_map(|key| Key::new(Aead::Aes256Gcm, key, &[0; NONCE_LENGTH])).collect();
        keys.zeroize();
        if state.keys.is_empty() {
            state.live.clear();
        }
    }

    /// Bounds the live ones from here on.
    pub fn bound(&self, count_max: usize) {
        self.lock().live.count_max = count_max;
    }

    /// Says what time it is, and drops what has ended a while ago. `monotonic_ms` never goes back. Answers what was refused since
    /// it was last called.
    pub fn pass(&self, now: UnixSeconds, monotonic_ms: u64) -> RefusedTickets {
        let mut state = self.lock();
        // A lineage that has ended does not begin again because the clock is put back.
        state.now = state.now.max(now);
        state.live.pass(monotonic_ms);
        std::mem::take(&mut state.refused)
    }

    /// Makes a ticket of this device live until `ends`, or for a whole lineage at the most, whatever the clock was of whoever says so.
    /// A device's newest two are; the others of it are not any more.
    pub fn admit(&self, device_id: &str, reference: Reference, ends: UnixSeconds) {
        let mut state = self.lock();
        if !state.keys.is_empty() {
            let now = state.now;
            let ends = ends.min(UnixSeconds(now.0.saturating_add(LINEAGE_SECONDS)));
            state.live.admit(device_id, reference, ends, now);
        }
    }

    /// When the lineage of a live ticket of this device ends; `None`: it has no such ticket.
    pub fn ends(&self, device_id: &str, reference: Reference) -> Option<UnixSeconds> {
        let state = self.lock();
        state.live.ends_of(device_id, reference).filter(|ends| *ends > state.now)
    }

    /// The ticket is not live any more.
    pub fn forget(&self, reference: Reference) {
        self.lock().live.forget(reference);
    }

    /// The device's tickets are not live any more.
    pub fn forget_device(&self, device_id: &str) {
        self.lock().live.forget_device(device_id);
    }

    /// No ticket is live any more.
    pub fn clear(&self) {
        self.lock().live.clear();
    }

    /// How many are live, or have ended not long ago.
    pub fn count(&self) -> usize {
        self.lock().live.count()
    }

    pub(crate) fn has_keys(&self) -> bool {
        !self.lock().keys.is_empty()
    }

    /// Seconds for which a ticket of a lineage that ends then is worth keeping, by RFC 8446 §4.6.1 for the client to know.
    pub(crate) fn lifetime(&self, ends: Option<UnixSeconds>) -> u32 {
        let left = ends.map_or(LINEAGE_SECONDS, |ends| ends.0.saturating_sub(self.lock().now.0));
        u32::try_from(left.min(LINEAGE_SECONDS)).unwrap_or(0)
    }

    /// Seals `contents` as the ticket that `reference` stands for; `None`: there is no key, it has sealed enough, or it would be too large.
    pub(crate) fn seal(&self, reference: Reference, contents: &[u8]) -> Option<Vec<u8>> {
        let mut ticket = Vec::with_capacity(contents.len().saturating_add(OVERHEAD));
        let nonce = random()?;
        ticket.extend(nonce);
        ticket.extend(reference.0);
        ticket.extend(contents);
        let mut state = self.lock();
        let key = state.keys.first().filter(|key| state.sealed < key.aead().confidentiality_limit())?;
        key.seal(nonce, &self.binding, &mut ticket, NONCE_LENGTH).ok()?;
        state.sealed = state.sealed.saturating_add(1);
        (ticket.len() <= TICKET_BYTES_MAX).then_some(ticket)
    }

    /// What a live ticket stands for, when its lineage ends, and its contents.
    pub(crate) fn open(&self, ticket: &[u8]) -> Option<(Reference, UnixSeconds, Vec<u8>)> {
        let mut state = self.lock();
        let Some((reference, contents)) = state.unseal(ticket, &self.binding) else {
            state.refused.unknown = state.refused.unknown.saturating_add(1);
            return None;
        };
        let Some(ends) = state.live.ends(reference).filter(|ends| *ends > state.now) else {
            state.refused.void = state.refused.void.saturating_add(1);
            return None;
        };
        Some((reference, ends, contents))
    }

    /// No step of what is done under this lock leaves half of something behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What sealing adds.
const OVERHEAD: usize = NONCE_LENGTH + REFERENCE_LENGTH + TAG_LENGTH;

impl State {
    fn unseal(&self, ticket: &[u8], binding: &[u8]) -> Option<(Reference, Vec<u8>)> {
        if !(OVERHEAD..=TICKET_BYTES_MAX).contains(&ticket.len()) {
            return None;
        }
        let (nonce, sealed) = ticket.split_first_chunk()?;
        self.keys.iter().find_map(|key| {
            let mut text = sealed.to_vec();
            let length = key.open(*nonce, binding, &mut text).ok()?;
            text.truncate(length);
            let reference = Reference(*text.first_chunk()?);
            text.drain(..REFERENCE_LENGTH);
            Some((reference, text))
        })
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tickets").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// The list, in two generations: what was admitted lately, and what was before. A generation is dropped whole, once all in it has
/// ended or the list is full, so nothing is ever searched for what has ended. Whoever is admitted moves into the young one.
/// Memory: about 115 octets a device, 150 with two tickets.
struct Live {
    young: Generation,
    old: Generation,
    /// When the young generation began, and what time it is.
    began_ms: u64,
    at_ms: u64,
    count_max: usize,
    /// Keyed at random: nobody can make two devices share a place but by chance, which costs one of them a full handshake.
    places: RandomState,
}

#[derive(Default)]
struct Generation {
    ends: HashMap<Reference, UnixSeconds>,
    /// By the device's place.
    devices: HashMap<u64, Newest>,
}

/// A device's tickets: it may have missed the last one.
struct Newest {
    last: Reference,
    before: Option<Reference>,
}

impl Live {
    fn new(count_max: usize) -> Self {
        let (young, old) = (Generation::default(), Generation::default());
        Self { young, old, began_ms: 0, at_ms: 0, count_max, places: RandomState::new() }
    }

    fn ends(&self, reference: Reference) -> Option<UnixSeconds> {
        self.young.ends.get(&reference).or_else(|| self.old.ends.get(&reference)).copied()
    }

    /// The same, if the ticket is this device's: what a ticket says of whose it is counts for nothing.
    fn ends_of(&self, device_id: &str, reference: Reference) -> Option<UnixSeconds> {
        let place = self.places.hash_one(device_id);
        let owns = |newest: &Newest| newest.last == reference || newest.before == Some(reference);
        let owned = [&self.young, &self.old].into_iter().any(|one| one.devices.get(&place).is_some_and(owns));
        owned.then(|| self.ends(reference)).flatten()
    }

    fn admit(&mut self, device_id: &str, reference: Reference, ends: UnixSeconds, now: UnixSeconds) {
        if self.count_max == 0 || self.ends(reference).is_some() {
            return;
        }
        let place = self.places.hash_one(device_id);
        let before = self.take_last(place).filter(|(_, ends)| *ends > now);
        self.young.ends.extend(before);
        self.young.ends.insert(reference, ends);
        self.young.devices.insert(place, Newest { last: reference, before: before.map(|(before, _)| before) });
        if self.young.ends.len() >= self.count_max / 2 {
            self.age();
        }
    }

    /// Takes all of the device's tickets out, and answers the last of them.
    fn take_last(&mut self, place: u64) -> Option<(Reference, UnixSeconds)> {
        let mut last = None;
        for generation in [&mut self.young, &mut self.old] {
            if let Some(newest) = generation.devices.remove(&place) {
                newest.before.map(|before| generation.ends.remove(&before));
                last = generation.ends.remove_entry(&newest.last);
            }
        }
        last
    }

    fn forget(&mut self, reference: Reference) {
        for generation in [&mut self.young, &mut self.old] {
            generation.ends.remove(&reference);
        }
    }

    fn forget_device(&mut self, device_id: &str) {
        let place = self.places.hash_one(device_id);
        self.take_last(place);
    }

    fn clear(&mut self) {
        (self.young, self.old) = (Generation::default(), Generation::default());
    }

    fn pass(&mut self, monotonic_ms: u64) {
        let lineage_ms = u64::try_from(LINEAGE_SECONDS.saturating_mul(1_000)).unwrap_or(u64::MAX);
        self.at_ms = monotonic_ms;
        if monotonic_ms.saturating_sub(self.began_ms) >= lineage_ms {
            self.age();
        }
    }

    fn age(&mut self) {
        self.old = std::mem::take(&mut self.young);
        self.began_ms = self.at_ms;
    }

    fn count(&self) -> usize {
        self.young.ends.len().saturating_add(self.old.ends.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: UnixSeconds = UnixSeconds(1_000);

    fn tickets(count_max: usize) -> Tickets {
        let tickets = Tickets::new("company-x", "mqtt", count_max);
        tickets.set_keys(vec![[1; 32]]);
        tickets.pass(UnixSeconds(0), 0);
        tickets
    }

    fn reference(number: u8) -> Reference {
        Reference([number; REFERENCE_LENGTH])
    }

    #[test]
    fn a_ticket_opens_to_what_was_sealed_once_it_is_live_and_not_before() {
        let tickets = tickets(10);
        let reference = Reference::new().unwrap();
        let ticket = tickets.seal(reference, b"contents").unwrap();
        assert_ne!(tickets.seal(reference, b"contents").unwrap(), ticket, "no nonce comes twice");
        assert_eq!(tickets.open(&ticket), None);
        tickets.admit("w1", reference, ENDS);
        assert_eq!(tickets.open(&ticket), Some((reference, ENDS, b"contents".to_vec())));
        tickets.pass(UnixSeconds(999), 0);
        assert!(tickets.open(&ticket).is_some() && tickets.ends("w1", reference) == Some(ENDS));
        tickets.pass(ENDS, 0);
        assert_eq!((tickets.open(&ticket), tickets.ends("w1", reference)), (None, None), "ended");
        let refused = RefusedTickets { unknown: 0, void: 1 };
        assert_eq!((tickets.pass(ENDS, 0), tickets.pass(ENDS, 0)), (refused, RefusedTickets::default()));
    }

    #[test]
    fn l06_whatever_was_changed_cut_or_sealed_elsewhere_is_unknown() {
        let tickets = tickets(10);
        let reference = Reference::new().unwrap();
        let ticket = tickets.seal(reference, b"contents").unwrap();
        tickets.admit("w1", reference, ENDS);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 0x80;
            assert_eq!(tickets.open(&changed), None, "{at}");
            assert_eq!(tickets.open(&ticket[..at]), None, "{at}");
        }
        assert_eq!(tickets.open(&[&ticket[..], &[0]].concat()), None);
        assert_eq!(tickets.pass(UnixSeconds(0), 0).unknown, 2 * ticket.len() + 1);
        for (tenant, listener, key) in
            [("company-y", "mqtt", [1; 32]), ("company-x", "amqp", [1; 32]), ("company-x", "mqtt", [2; 32])]
        {
            let other = Tickets::new(tenant, listener, 10);
            other.set_keys(vec![key]);
            other.admit("w1", reference, ENDS);
            assert_eq!(other.open(&ticket), None, "{tenant} {listener}");
        }
    }

    #[test]
    fn a_ticket_too_large_for_a_hello_is_not_made() {
        let tickets = tickets(10);
        let reference = reference(1);
        let largest = vec![0; TICKET_BYTES_MAX - OVERHEAD];
        tickets.admit("w1", reference, ENDS);
        let ticket = tickets.seal(reference, &largest).unwrap();
        assert_eq!(tickets.open(&ticket), Some((reference, ENDS, largest.clone())));
        assert_eq!(tickets.seal(reference, &[&largest[..], &[0]].concat()), None);
    }

    #[test]
    fn a_device_has_its_newest_two() {
        let tickets = tickets(100);
        let live = |number| ["w1", "w2"].into_iter().any(|device| tickets.ends(device, reference(number)).is_some());
        for number in 1..=3 {
            tickets.admit("w1", reference(number), ENDS);
            tickets.admit("w1", reference(number), ENDS); // told twice
        }
        tickets.admit("w2", reference(9), ENDS);
        assert_eq!([live(1), live(2), live(3), live(9)], [false, true, true, true]);
        tickets.forget(reference(2));
        tickets.admit("w1", reference(4), ENDS);
        tickets.admit("w1", reference(5), ENDS);
        assert_eq!([live(3), live(4), live(5), live(9)], [false, true, true, true]);
        tickets.forget_device("w1");
        assert_eq!(([live(4), live(5), live(9)], tickets.count()), ([false, false, true], 1));
        tickets.clear();
        assert_eq!((live(9), tickets.count()), (false, 0));
    }

    #[test]
    fn a_device_that_comes_back_all_day_takes_no_more_room_than_any_other() {
        let tickets = tickets(1_000);
        for _ in 0..10_000 {
            tickets.admit("w1", Reference::new().unwrap(), ENDS);
        }
        tickets.admit("w2", reference(1), ENDS);
        assert_eq!(tickets.count(), 3);
    }

    #[test]
    fn the_oldest_go_when_the_list_is_full_and_when_their_time_is_over() {
        let tickets = tickets(8);
        let live = |number| tickets.ends(&format!("w{}", number % 10), reference(number)).is_some();
        for number in 1..=7 {
            tickets.admit(&format!("w{number}"), reference(number), ENDS);
        }
        assert!((1..=7).all(live));
        // Who comes back is not old any more.
        tickets.admit("w1", reference(11), ENDS);
        assert!(live(1) && live(11) && !live(2) && live(5));
        tickets.admit("w9", reference(9), ENDS);
        for hour in 1..=3 {
            tickets.pass(UnixSeconds(0), hour * 3_600_000);
            assert_eq!(tickets.count() > 0, hour < 2, "{hour}");
        }
    }

    #[test]
    fn l06_a_ticket_is_of_the_device_that_was_admitted_with_it() {
        let tickets = tickets(100);
        for number in [1, 2] {
            tickets.admit("w1", reference(number), ENDS);
        }
        tickets.admit("w2", reference(3), ENDS);
        let ends = |device, number| tickets.ends(device, reference(number));
        assert_eq!([ends("w1", 1), ends("w1", 2), ends("w2", 3)], [Some(ENDS); 3]);
        assert_eq!([ends("w2", 1), ends("w2", 2), ends("w1", 3), ends("w3", 3)], [None; 4]);
    }

    #[test]
    fn r03_a_lineage_is_an_hour_whatever_clocks_have_said() {
        let tickets = tickets(100);
        tickets.pass(UnixSeconds(1_000), 0);
        tickets.admit("w1", reference(1), UnixSeconds(1_000 + 86_400));
        assert_eq!(tickets.ends("w1", reference(1)), Some(UnixSeconds(1_000 + LINEAGE_SECONDS)));
        tickets.pass(UnixSeconds(1_000 + LINEAGE_SECONDS), 1);
        assert_eq!(tickets.ends("w1", reference(1)), None);
        tickets.pass(UnixSeconds(1_001), 2);
        assert_eq!(tickets.ends("w1", reference(1)), None, "the clock was put back");
    }

    #[test]
    fn a_key_seals_no_more_than_it_may_and_the_next_begins_anew() {
        let tickets = tickets(100);
        tickets.lock().sealed = (1 << 24) - 1;
        assert!(tickets.seal(reference(1), b"contents").is_some());
        assert_eq!(tickets.seal(reference(1), b"contents"), None);
        tickets.set_keys(vec![[1; 32], [2; 32]]);
        assert_eq!(tickets.seal(reference(1), b"contents"), None);
        tickets.set_keys(vec![[3; 32], [1; 32]]);
        assert!(tickets.seal(reference(1), b"contents").is_some());
    }

    #[test]
    fn a_list_without_room_holds_nobody() {
        let tickets = tickets(0);
        tickets.admit("w1", reference(1), ENDS);
        assert_eq!((tickets.count(), tickets.ends("w1", reference(1))), (0, None));
    }

    #[test]
    fn l06_no_key_is_ever_shown() {
        let tickets = Tickets::new("company-x", "mqtt", 10);
        tickets.set_keys(vec![[0xab; 32]]);
        assert_eq!(format!("{tickets:?}"), "Tickets { count: 0, .. }");
    }
}
