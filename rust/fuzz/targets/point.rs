//! Whatever the octets: what is read as a P-256 key is one uncompressed point that aws-lc takes for a key as well, and is written as it
//! was read.
#![no_main]

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use holdfast_p256::PublicKey;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let key = PublicKey::from_sec1(data);
    // aws-lc-rs also takes compressed points and whole keys in DER; none of them has this form.
    let is_uncompressed = data.len() == 65 && data[0] == 4;
    let theirs = is_uncompressed && ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, data).is_ok();
    assert_eq!(key.is_ok(), theirs, "{key:?}");
    if let Ok(key) = key {
        assert_eq!(key.to_sec1()[..], *data);
    }
});
