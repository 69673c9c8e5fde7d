//! X25519 (RFC 7748 §6.1) for several handshakes at once, each with a key pair of its own.

use std::iter;
use std::sync::OnceLock;

use holdfast_p256::x25519::{BASE, Pair, X25519};
use zeroize::Zeroizing;

use crate::{backend, bulk};

/// So many public keys cost as much in the library as all lanes do together, where there are that many.
const PUBLIC_KEYS_FOR_LANES: usize = 6;

/// Our public key, and the secret that it has in common with the peer's.
pub type Agreed = ([u8; 32], Box<Zeroizing<[u8; 32]>>);

/// How many secrets cost no more together than two in the library. 0: none are worked out here, since this machine has no lanes, or was seen
/// to compute wrongly.
pub fn agreements_at_once() -> usize {
    lanes().map_or(0, X25519::lanes)
}

/// For each of the peers' public keys one of ours, made for it and for nothing else, and the secret; a secret of zero says that the
/// peer's key has a small order. Empty: there are no lanes, they compute wrongly, or there are no random numbers. Cost: see
/// `agreements_at_once`; public keys are worked out in lanes that would be empty, or fill some of their own; others are 10 µs each, and so is
/// one that is compared with the library's.
pub fn agree(theirs: &[[u8; 32]]) -> Vec<Agreed> {
    let Some(lanes) = lanes() else { return Vec::new() };
    let mut scalars = Zeroizing::new(vec![[0; 32]; theirs.len()]);
    let filled = scalars.iter_mut().all(|scalar| backend::fill_randomly(scalar));
    let (beside, beyond) = scalars.split_at(public_keys_in_lanes(theirs.len(), lanes.lanes()));
    let pairs = iter::zip(scalars.iter(), theirs).map(|(scalar, u)| Pair { scalar, u });
    let pairs: Vec<_> = pairs.chain(beside.iter().map(|scalar| Pair { scalar, u: &BASE })).collect();
    let beyond: Option<Vec<[u8; 32]>> = beyond.iter().map(backend::x25519_public).collect();
    let Some(beyond) = beyond.filter(|_| filled) else { return Vec::new() };
    let products = lanes.multiply(&pairs);
    let (secrets, ours) = products.split_at(theirs.len());
    // Lanes that lost the scalars would make keys and secrets that fit each other, and that anybody could work out.
    if beside.first().is_some_and(|scalar| backend::x25519_public(scalar).as_ref() != ours.first()) {
        return Vec::new();
    }
    let ours = ours.iter().copied().chain(beyond);
    iter::zip(ours, secrets).map(|(ours, secret)| (ours, Box::new(Zeroizing::new(*secret)))).collect()
}

/// How many of as many public keys as there are secrets are worked out in lanes beside these.
fn public_keys_in_lanes(secrets: usize, lanes: usize) -> usize {
    let empty = secrets.next_multiple_of(lanes).saturating_sub(secrets);
    let others = secrets.saturating_sub(empty);
    // In lanes of their own where they fill enough of them.
    let few = |rest: &usize| *rest < PUBLIC_KEYS_FOR_LANES;
    let alone = if few(&lanes) { others } else { others.checked_rem(lanes).filter(few).unwrap_or(0) };
    secrets.saturating_sub(alone)
}

/// The lanes of this machine, if it has any and computes rightly in each of them.
fn lanes() -> Option<&'static X25519> {
    static LANES: OnceLock<Option<X25519>> = OnceLock::new();
    LANES.get_or_init(X25519::detect).as_ref().filter(|_| bulk::process().is_on())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};

    use super::*;

    fn plain(key: &PrivateKey, theirs: &[u8]) -> Vec<u8> {
        let theirs = UnparsedPublicKey::new(&agreement::X25519, theirs);
        agreement::agree(key, theirs, (), |secret| Ok(secret.to_vec())).unwrap()
    }

    #[test]
    fn public_keys_have_lanes_that_are_empty_and_eight_of_their_own_where_that_is_cheaper() {
        let in_lanes = |lanes| (1..=16).map(|count| public_keys_in_lanes(count, lanes)).collect::<Vec<_>>();
        assert_eq!(in_lanes(4), [1, 2, 1, 0, 3, 2, 1, 0, 3, 2, 1, 0, 3, 2, 1, 0]);
        assert_eq!(in_lanes(8), [1, 2, 3, 4, 3, 2, 7, 8, 7, 6, 11, 12, 11, 10, 15, 16]);
    }

    #[test]
    fn both_sides_have_the_same_secret_and_no_key_is_used_twice_however_many_there_are() {
        if agreements_at_once() == 0 {
            assert!(agree(&[BASE]).is_empty());
            return;
        }
        let keys: Vec<_> = (0..20).map(|_| PrivateKey::generate(&agreement::X25519).unwrap()).collect();
        let theirs: Vec<[u8; 32]> =
            keys.iter().map(|key| key.compute_public_key().unwrap().as_ref().try_into().unwrap()).collect();
        let mut seen = Vec::new();
        // Some, all and none of the public keys find a lane that is empty.
        for count in 1..=keys.len() {
            let agreed = agree(&theirs[..count]);
            assert_eq!(agreed.len(), count);
            for ((ours, secret), key) in iter::zip(agreed, &keys) {
                assert_eq!(plain(key, &ours), **secret);
                assert!(!seen.contains(&ours));
                seen.push(ours);
            }
        }
        // A peer's key of small order, beside one that is none.
        let agreed = agree(&[[0; 32], theirs[0]]);
        assert_eq!(**agreed[0].1, [0; 32]);
        assert_ne!(**agreed[1].1, [0; 32]);
    }
}
