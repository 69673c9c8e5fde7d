//! Whatever the key, the algorithm and the signature: no signature that nobody made is good, and no arithmetic is started on an absurd
//! key.
#![no_main]

use holdfast_engine::check_signature;
use holdfast_fuzz::Input;
use holdfast_x509::{AlgorithmIdentifier, SignatureAlgorithm, SubjectPublicKeyInfo};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (key, algorithm, signature) = (input.block(), input.block(), input.block());
    let algorithm = AlgorithmIdentifier::parse_der(algorithm);
    let key = SubjectPublicKeyInfo::parse_der(key);
    if let Ok(algorithm) = &algorithm {
        let _shown = SignatureAlgorithm::of(algorithm).map(|algorithm| algorithm.to_string());
    }
    let (Ok(key), Ok(algorithm)) = (key, algorithm) else { return };
    if let Ok(kind) = key.public_key_algorithm() {
        assert!((1..=9).contains(&kind.cost_units()), "{kind}");
    }
    // RSA with a small exponent admits forgeries of chosen *messages* only; this one was chosen before the key.
    let good = check_signature(&key, &algorithm, b"holdfast fuzz: nobody has signed this", signature);
    assert!(good.is_err(), "a forgery");
});
