//! Whatever the text: what is taken as a server's name, an object identifier or a device's id is one, and means one thing.
#![no_main]

use holdfast_x509::{POSSESSION_PREFIX, ServerName, check_device_id, oid_from_text};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if check_device_id(text).is_ok() {
        assert!(!text.is_empty() && text.len() <= 64 && text.is_ascii());
        assert!(!text.contains(['#', '+', '/']) && !text.starts_with('$') && !text.starts_with(POSSESSION_PREFIX));
    }
    if let Some(oid) = oid_from_text(text) {
        assert!(!oid.is_empty() && oid.last().is_some_and(|last| last & 0x80 == 0));
        assert!(text.bytes().all(|octet| octet == b'.' || octet.is_ascii_digit()));
    }
    if ServerName::parse(text).is_some() {
        assert!(!text.contains(char::is_whitespace) && !text.contains(['*', '\0', '/']));
    }
});
