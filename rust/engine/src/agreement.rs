//! X25519 (RFC 7748 §6.1) for several handshakes at once, each with a key pair of its own.

use std::iter;
use std::sync::OnceLock;

use holdfast_p256::x25519::{Pair, X25519};
use zeroize::Zeroizing;

use crate::{backend, bulk};

/// Our public key, and the secret that it has in common with the peer's.
pub type Agreed = ([u8; 32], Box<Zeroizing<[u8; 32]>>);

/// How many secrets cost no more together than two in the library. 0: none are worked out here, since this machine has no lanes, or was seen
/// to compute wrongly.
pub fn agreements_at_once() -> usize {
    lanes().map_or(0, X25519::lanes)
}

/// For each of the peers' public keys one of ours, made for it and for nothing else, and the secret; a secret of zero says that the
/// peer's key has a small order. Empty: there are no lanes, or no random numbers. Cost: 10 µs each for the public key, and see
/// `agreements_at_once`.
pub fn agree(theirs: &[[u8; 32]]) -> Vec<Agreed> {
    let Some(lanes) = lanes() else { return Vec::new() };
    let mut scalars = Zeroizing::new(vec![[0; 32]; theirs.len()]);
    let filled = scalars.iter_mut().all(|scalar| backend::fill_randomly(scalar));
    let ours: Option<Vec<[u8; 32]>> = scalars.iter().map(backend::x25519_public).collect();
    let Some(ours) = ours.filter(|_| filled) else { return Vec::new() };
    let pairs: Vec<_> = iter::zip(scalars.iter(), theirs).map(|(scalar, u)| Pair { scalar, u }).collect();
    let secrets = lanes.multiply(&pairs);
    iter::zip(ours, secrets.iter()).map(|(ours, secret)| (ours, Box::new(Zeroizing::new(*secret)))).collect()
}

/// The lanes of this machine, if it has any and computes rightly in each of them.
fn lanes() -> Option<&'static X25519> {
    static LANES: OnceLock<Option<X25519>> = OnceLock::new();
    LANES.get_or_init(X25519::detect).as_ref().filter(|_| bulk::process().is_on())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
    use aws_lc_rs::rand::SystemRandom;

    use holdfast_p256::x25519::BASE;

    use super::*;

    fn plain(key: EphemeralPrivateKey, theirs: &[u8]) -> Vec<u8> {
        let theirs = UnparsedPublicKey::new(&agreement::X25519, theirs);
        agreement::agree_ephemeral(key, theirs, (), |secret| Ok(secret.to_vec())).unwrap()
    }

    #[test]
    fn both_sides_have_the_same_secret_and_no_key_is_used_twice() {
        if agreements_at_once() == 0 {
            assert!(agree(&[BASE]).is_empty());
            return;
        }
        let key = |_| EphemeralPrivateKey::generate(&agreement::X25519, &SystemRandom::new()).unwrap();
        let keys: Vec<_> = (0..9).map(key).collect();
        let theirs: Vec<[u8; 32]> =
            keys.iter().map(|key| key.compute_public_key().unwrap().as_ref().try_into().unwrap()).collect();
        let mut seen = Vec::new();
        for ((ours, secret), key) in iter::zip(agree(&theirs), keys) {
            assert_eq!(plain(key, &ours), **secret);
            assert!(!seen.contains(&ours));
            seen.push(ours);
        }
        assert_eq!(seen.len(), 9);
        // A peer's key of small order, beside one that is none.
        let agreed = agree(&[[0; 32], theirs[0]]);
        assert_eq!(**agreed[0].1, [0; 32]);
        assert_ne!(**agreed[1].1, [0; 32]);
    }
}
