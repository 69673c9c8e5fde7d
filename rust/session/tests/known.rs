//! What becomes of a proof that was checked by who knows the key (`trust.md` §6.2).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pair;

use std::sync::Arc;

use holdfast_session::{Event, KnownKeys, PresentedChain};
use pair::{own, pair_of, until_presented};
use rustls::{SupportedProtocolVersion, version};

/// Says so of every signature; `None` knows nobody.
#[derive(Debug)]
struct Says(Option<bool>);

impl KnownKeys for Says {
    fn verify(&self, _: &[u8], _: &[u8; 32], _: &[u8], _: &dyn Fn() -> bool) -> Option<bool> {
        self.0
    }
}

/// What a client shows that signs with its certificate's key, or with another.
fn shown(version: &'static SupportedProtocolVersion, says: Option<bool>, honest: bool) -> PresentedChain {
    let one = own();
    let key = if honest { one.1.clone() } else { own().1 };
    let (mut session, mut client) = pair_of(version, one, &key, Some(Arc::new(Says(says))));
    let Event::Presented(chain) = until_presented(&mut session, &mut client) else { panic!("nothing was shown") };
    chain
}

#[test]
fn a_proof_can_be_confirmed_by_the_library() {
    for version in [&version::TLS12, &version::TLS13] {
        let mut chain = shown(version, Some(true), true);
        assert!(chain.by_known_key() && chain.confirm());
        assert!(!chain.by_known_key(), "it is the library's now");
        let mut chain = shown(version, None, true);
        assert!(!chain.by_known_key() && chain.confirm());
    }
}

#[test]
fn whoever_believes_everything_is_found_out_when_the_library_is_asked() {
    for version in [&version::TLS12, &version::TLS13] {
        let mut chain = shown(version, Some(true), false);
        for _ in 0..2 {
            assert!(!chain.confirm());
            assert!(chain.by_known_key(), "it stays what it was");
        }
    }
}
