//! Whatever the list: it is read or refused, and the status that is asked of it costs no more than the budget. A list whose signature
//! does not hold, or that is not its issuer's, never lets anybody in.
#![no_main]

use std::sync::Arc;

use holdfast_fuzz::Input;
use holdfast_fuzz::chains::search;
use holdfast_fuzz::forge::Template;
use holdfast_x509::{Anchors, Certificate, Policy, Revocation, RevocationLists};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut ders = Vec::new();
    while !input.is_empty() && ders.len() < 8 {
        ders.push(input.block().to_vec());
    }
    let Ok(lists) = RevocationLists::new(ders.iter().cloned()) else { return };
    assert_eq!(lists.len(), ders.len());
    assert!(lists.entries_count() <= data.len());
    let mut policy = Policy::client_auth();
    policy.revocation = Some(Revocation::new(Arc::new(lists)));
    let anchors = Anchors::new([Template::ca("root", "root", 250).encode()]).expect("a root");
    let presented = [Template::leaf("ca").encode(), Template::ca("ca", "root", 1).encode()];
    let chain: Vec<Certificate<'_>> = presented.iter().filter_map(|der| Certificate::parse(der).ok()).collect();
    let _ = search(&chain, &anchors, &policy, |_, _| true);
    // The forge writes the key into the signature of certificates, and nothing that is so short into lists.
    let doubted = search(&chain, &anchors, &policy, |signature, _| signature.len() == 1 && signature[0] < 2);
    let only_certificates = doubted.verdict.is_ok()
        && ders.iter().all(|der| !der.ends_with(&[3, 2, 0, 0]) && !der.ends_with(&[3, 2, 0, 1]));
    assert!(!only_certificates, "a status out of lists that nobody signed");
});
