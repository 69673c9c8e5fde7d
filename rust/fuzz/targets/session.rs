//! Whatever a stranger sends, however it is cut: nothing comes out but TLS's own answers, a bounded amount of them, and no event.
#![no_main]

use std::sync::OnceLock;

use holdfast_fuzz::Input;
use holdfast_session::{Limits, Session, TlsConfig};

fn config() -> &'static TlsConfig {
    static CONFIG: OnceLock<TlsConfig> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        TlsConfig::new(vec![own.cert.der().to_vec()], own.signing_key.serialize_der()).expect("a configuration")
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut session = Session::new(config(), Limits::default());
    let piece = input.piece();
    let mut said = 0;
    for piece in input.0.chunks(piece) {
        let over = session.receive(piece).is_err();
        // Without the peer's Finished, which nobody can guess, there is nothing to tell.
        assert!(matches!(session.next_event(), Ok(None) | Err(_)));
        said += session.take_output().map_or(0, |output| output.len());
        if over {
            break;
        }
    }
    assert!(said <= 16 * 1024, "{said} bytes to a stranger");
});
