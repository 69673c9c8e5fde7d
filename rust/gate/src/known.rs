//! What the engine knows of devices' keys, as the session asks for it.

use std::sync::Arc;

use holdfast_engine::Strips;
use holdfast_session::{KnownKeys, TlsConfig};

#[derive(Debug)]
struct Known(Arc<Strips>);

impl KnownKeys for Known {
    fn verify(&self, key: &[u8], digest: &[u8; 32], signature: &[u8], plain: &dyn Fn() -> bool) -> Option<bool> {
        self.0.verify(key, digest, signature, plain)
    }
}

/// The same listener, which knows the keys that there are strips of.
pub(crate) fn knowing(tls: TlsConfig, strips: &Arc<Strips>) -> TlsConfig {
    tls.with_known_keys(Arc::new(Known(Arc::clone(strips))))
}
