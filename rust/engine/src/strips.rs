//! The keys of devices that come back: with a few points of each at hand the kernel checks what they sign faster. `trust.md` §6.1, §6.2.
//!
//! A strip says nothing of its key but its multiples: whether the key is anybody's, and whose, is judged every time. It is kept by the
//! key's exact octets, and only when the caller says that its device was admitted; what the kernel says of a signature is settled as in
//! `bulk`, with the same switch: rejects and open cases are decided by the plain verifier, accepts are sampled.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use holdfast_p256::{Health, Kernel, KeyStrip, PublicKey, Signature};
use holdfast_x509::{PublicKeyAlgorithm, SubjectPublicKeyInfo};

use crate::bulk::{self, Service};
use crate::verified::VerifiedPath;

/// Strips of one worker's devices, at 1 KiB each.
#[derive(Debug)]
pub struct Strips {
    /// The process's, once there is room for strips.
    service: OnceLock<Arc<Service>>,
    state: Mutex<State>,
}

/// When all room is taken, one in so many newcomers is kept: a fleet larger than the room would else pay for each of its strips and use
/// none of them.
const KEPT_OF_NEWCOMERS: u32 = 8;

/// Two generations: a strip that was used moves to the young one; when that is full, the old one is forgotten whole.
#[derive(Debug, Default)]
struct State {
    generation_count_max: usize,
    /// Since there was no room for one.
    newcomers: u32,
    young: HashMap<Point, KeyStrip>,
    old: HashMap<Point, KeyStrip>,
}

/// An uncompressed point.
type Point = [u8; 65];

impl Strips {
    /// Room for `count_max` strips at most. Cost: the process's kernel, some 10 to 100 ms, if it was not needed yet and there is room.
    pub fn new(count_max: usize) -> Self {
        let strips = Self { service: OnceLock::new(), state: Mutex::default() };
        strips.bound(count_max);
        strips
    }

    /// Another bound from here on; what is beyond it is forgotten.
    pub fn bound(&self, count_max: usize) {
        if count_max > 0 {
            self.service.get_or_init(|| Arc::clone(bulk::process()));
        }
        let mut state = self.lock();
        state.generation_count_max = count_max / 2;
        if state.young.len() > state.generation_count_max {
            state.young.clear();
        }
        if state.old.len() > state.generation_count_max {
            state.old.clear();
        }
    }

    /// Whether the kernel may decide. Once it may not, what it has decided before is in doubt.
    pub fn is_on(&self) -> bool {
        self.service.get().is_none_or(|service| service.is_on())
    }

    /// The device of this path was admitted, and will come back. Cost: some 50 µs, where its key has no strip and is one on P-256.
    pub fn remember(&self, path: &VerifiedPath) {
        if let Some(point) = point_of(path) {
            self.remember_key(point);
        }
    }

    fn remember_key(&self, point: Point) {
        let Some((service, kernel)) = self.kernel() else { return };
        let is_wanted = self.lock().wants(&point);
        let Some(key) = PublicKey::from_sec1(&point).ok().filter(|_| is_wanted) else { return };
        match kernel.strip(&key) {
            Ok(strip) => self.lock().keep(point, strip),
            // A strip that fails its test says that this machine computes wrongly.
            Err(_) => service.switch_off(),
        }
    }

    /// The kernel has believed what the plain verifier does not.
    pub fn doubt(&self) {
        if let Some(service) = self.service.get() {
            service.switch_off();
        }
        self.clear();
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.young = HashMap::new();
        state.old = HashMap::new();
    }

    /// Whether `key`, an uncompressed point on P-256, has signed what has this SHA-256; `signature` is DER. `None` is for the plain verifier,
    /// because there is no strip of the key, the kernel is off, or the signature is none that could hold. `plain` is that verifier.
    pub fn verify(&self, key: &[u8], digest: &[u8; 32], signature: &[u8], plain: &dyn Fn() -> bool) -> Option<bool> {
        let (service, kernel) = self.kernel()?;
        let signature = Signature::from_der(signature)?;
        let mut state = self.lock();
        let (strip, is_old) = state.find(key)?;
        let finding = kernel.verify_alone(strip, digest, &signature);
        let (held, health) = service.settle_one(finding, plain);
        match health {
            Health::Sound if held && is_old => state.renew(key),
            Health::Sound => {}
            Health::Disagreement { .. } | Health::Off => {
                state.young = HashMap::new();
                state.old = HashMap::new();
            }
        }
        Some(held)
    }

    fn kernel(&self) -> Option<(&Service, &Kernel)> {
        let service = self.service.get()?;
        Some((service, service.kernel()?))
    }

    /// No code panics while it holds this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, key: &[u8]) -> Option<(&KeyStrip, bool)> {
        let young = self.young.get(key).map(|strip| (strip, false));
        young.or_else(|| self.old.get(key).map(|strip| (strip, true)))
    }

    fn wants(&mut self, point: &Point) -> bool {
        let is_there = self.young.contains_key(point) || self.old.contains_key(point);
        if is_there || self.generation_count_max == 0 {
            return false;
        }
        let count = self.young.len().saturating_add(self.old.len());
        if count < self.generation_count_max.saturating_mul(2) {
            return true;
        }
        self.newcomers = self.newcomers.wrapping_add(1);
        self.newcomers.is_multiple_of(KEPT_OF_NEWCOMERS)
    }

    fn renew(&mut self, key: &[u8]) {
        if let Some((point, strip)) = self.old.remove_entry(key) {
            self.keep(point, strip);
        }
    }

    fn keep(&mut self, point: Point, strip: KeyStrip) {
        if self.young.len() >= self.generation_count_max {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(point, strip);
    }
}

/// The end entity's key, if it is one on P-256.
fn point_of(path: &VerifiedPath) -> Option<Point> {
    let spki = SubjectPublicKeyInfo::parse_der(path.leaf_spki()).ok()?;
    let is_p256 = matches!(spki.public_key_algorithm(), Ok(PublicKeyAlgorithm::EcdsaP256));
    Point::try_from(spki.key).ok().filter(|_| is_p256)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::UnparsedPublicKey;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    use holdfast_p256::{Finding, Verdict};

    use super::*;
    use crate::backend::sha256;

    struct Device(EcdsaKeyPair);

    impl Device {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
        }

        fn point(&self) -> Point {
            self.0.public_key().as_ref().try_into().unwrap()
        }

        fn sign(&self, message: &[u8]) -> Vec<u8> {
            self.0.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        }
    }

    fn strips(service: Service, count_max: usize) -> Strips {
        let strips = Strips { service: Arc::new(service).into(), state: Mutex::default() };
        strips.bound(count_max);
        strips
    }

    /// What is said of a signature under the key of `device`, and whether it is what aws-lc-rs says.
    fn said(strips: &Strips, device: &Device, message: &[u8], signature: &[u8]) -> Option<bool> {
        let point = device.point();
        let plain = || UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point).verify(message, signature).is_ok();
        strips.verify(&point, &sha256(message), signature, &plain)
    }

    fn len(strips: &Strips) -> usize {
        let state = strips.lock();
        state.young.len() + state.old.len()
    }

    fn counts(strips: &Strips) -> holdfast_p256::Counts {
        strips.service.get().unwrap().report().counts
    }

    #[test]
    fn a_remembered_key_is_the_kernels_and_no_other() {
        let (strips, known, other) = (strips(Service::new(), 8), Device::new(), Device::new());
        strips.remember_key(known.point());
        for number in 0..200u8 {
            let message = [number; 9];
            assert_eq!(said(&strips, &known, &message, &known.sign(&message)), Some(true));
        }
        let seen = counts(&strips);
        assert_eq!(seen.decided, 200);
        assert!((3..=200).contains(&seen.sampled), "the first, and one in 64: {}", seen.sampled);
        assert_eq!(said(&strips, &other, b"m", &other.sign(b"m")), None, "no strip");
        assert_eq!(said(&strips, &known, b"m", &other.sign(b"m")), Some(false), "another's signature");
        assert_eq!(said(&strips, &known, b"n", &known.sign(b"m")), Some(false), "over something else");
        assert_eq!(counts(&strips).rejects_rechecked, 2);
        for odd in [&known.sign(b"m")[1..], b"", &[&known.sign(b"m")[..], &[0]].concat()] {
            assert_eq!(said(&strips, &known, b"m", odd), None, "no signature that could hold");
        }
        strips.service.get().unwrap().switch_off();
        assert_eq!(said(&strips, &known, b"m", &known.sign(b"m")), None);
        assert!(!strips.is_on());
    }

    #[test]
    fn strips_are_bounded_and_whoever_comes_back_stays() {
        let strips = strips(Service::new(), 4);
        let regular = Device::new();
        strips.remember_key(regular.point());
        for number in 0..9u8 {
            strips.remember_key(Device::new().point());
            assert_eq!(said(&strips, &regular, &[number], &regular.sign(&[number])), Some(true));
            // Whoever has not its key keeps nobody's strip.
            assert_eq!(said(&strips, &regular, &[number], &regular.sign(b"something else")), Some(false));
            assert!(len(&strips) <= 4);
        }
        let late = Device::new();
        let kept = (1..=KEPT_OF_NEWCOMERS).find(|_| {
            strips.remember_key(late.point());
            said(&strips, &late, b"m", &late.sign(b"m")).is_some()
        });
        assert!(kept.is_some(), "one of so many newcomers");
        for _ in 0..4 * KEPT_OF_NEWCOMERS {
            strips.remember_key(Device::new().point());
        }
        assert_eq!(said(&strips, &late, b"m", &late.sign(b"m")), None, "pushed out");
        strips.bound(0);
        strips.remember_key(late.point());
        assert_eq!(len(&strips), 0);
        let mut no_point = late.point();
        no_point[40] ^= 1;
        strips.bound(4);
        strips.remember_key(no_point);
        assert_eq!(len(&strips), 0);
    }

    #[test]
    fn a_kernel_that_accepts_everything_is_found_within_sixty_four_forgeries() {
        let fault: fn(&mut [Finding]) =
            |findings| findings.iter_mut().for_each(|finding| finding.verdict = Verdict::Valid);
        let strips = strips(Service::broken(fault), 8);
        let (known, thief) = (Device::new(), Device::new());
        strips.remember_key(known.point());
        assert_eq!(said(&strips, &known, b"m", &known.sign(b"m")), Some(true), "the first sample finds nothing wrong");
        let accepted =
            (0..64u8).take_while(|number| said(&strips, &known, &[*number], &thief.sign(b"m")) == Some(true));
        assert!(accepted.count() < 64);
        assert!(!strips.is_on() && len(&strips) == 0);
        assert_eq!(said(&strips, &known, b"m", &thief.sign(b"m")), None, "it is never asked again");
    }

    #[test]
    fn a_kernel_that_is_doubted_is_never_asked_again() {
        let (strips, known) = (strips(Service::new(), 8), Device::new());
        strips.remember_key(known.point());
        strips.doubt();
        assert!(!strips.is_on() && len(&strips) == 0);
        strips.remember_key(known.point());
        assert_eq!(said(&strips, &known, b"m", &known.sign(b"m")), None);
    }

    #[test]
    fn a_kernel_that_rejects_or_leaves_open_what_is_good_is_overruled() {
        for (verdict, stays_on) in [(Verdict::Invalid, false), (Verdict::Undecided, true)] {
            let fault: fn(&mut [Finding]) = match verdict {
                Verdict::Invalid => |findings| findings[0].verdict = Verdict::Invalid,
                Verdict::Valid | Verdict::Undecided => |findings| findings[0].verdict = Verdict::Undecided,
            };
            let (strips, known) = (strips(Service::broken(fault), 8), Device::new());
            strips.remember_key(known.point());
            assert_eq!(said(&strips, &known, b"m", &known.sign(b"m")), Some(true));
            assert_eq!(strips.is_on(), stays_on);
        }
    }
}
