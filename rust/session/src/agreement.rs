//! A key agreement worked out before the handshake's step that asks for it, so that it can be done together with others' (RFC 7748 §6.1).

use zeroize::Zeroizing;

/// What came of the peer's share and a key pair made for this handshake alone. No two handshakes may have the same, so it is not to be cloned.
pub struct Agreement {
    theirs: [u8; 32],
    ours: [u8; 32],
    /// In one place, however often the rest is moved.
    secret: Box<Zeroizing<[u8; 32]>>,
}

impl Agreement {
    /// `theirs` and `ours`: u-coordinates of both sides' public keys. `secret`: that of the point which both sides compute.
    pub fn new(theirs: [u8; 32], ours: [u8; 32], secret: Box<Zeroizing<[u8; 32]>>) -> Self {
        Self { theirs, ours, secret }
    }

    /// Our share and the secret, if it was made for this share of the peer's. A share of small order has no secret but zero: what is wrong with
    /// it the library says itself (RFC 8446 §7.4.2).
    pub(crate) fn with(&self, theirs: &[u8]) -> Option<(&[u8; 32], &[u8; 32])> {
        (self.theirs == theirs && **self.secret != [0; 32]).then_some((&self.ours, &self.secret))
    }
}

impl std::fmt::Debug for Agreement {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Agreement").finish_non_exhaustive()
    }
}
