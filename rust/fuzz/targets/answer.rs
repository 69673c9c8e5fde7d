//! Whatever a hub answers: a packet that lies inside the bytes, more of them wanted, or one fault.
#![no_main]

use holdfast_session::client::read_answer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some((_, length))) = read_answer(rest, 4_096) {
        assert!(length > 0 && length <= rest.len().min(4_096));
        rest = &rest[length..];
    }
});
