//! Whatever is presented: a path whose names chain to an anchor and whose signatures were all reported good, or one reason; within the
//! budget; the same twice; and the engine, which checks the signatures, accepts nothing that this refuses, and explains what it says.
#![no_main]

use std::cell::Cell;
use std::sync::Arc;

use holdfast_engine::Verifier;
use holdfast_fuzz::Input;
use holdfast_fuzz::chains::search;
use holdfast_fuzz::forge::{NOW, Template};
use holdfast_x509::{Anchors, Certificate, Demand, Leniency, Policy, ServerName};

fn policy(flags: u8) -> Policy {
    let mut policy = match ServerName::parse("widget.test") {
        Some(name) if flags & 1 == 1 => Policy::server_auth(name),
        _ => Policy::client_auth(),
    };
    let leniency = |bit: u8| if flags & bit == 0 { Leniency::Refuse } else { Leniency::Allow };
    policy.lenient_v1_leaf = leniency(2);
    policy.lenient_ca_leaf = leniency(4);
    policy.lenient_issuance = leniency(8);
    if flags & 16 != 0 {
        policy.policies.explicit = Demand::Always;
    }
    policy
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (policy, verdicts) = (policy(input.byte()), input.byte());
    let mut ders = Vec::new();
    while !input.is_empty() && ders.len() < 70 {
        ders.push(input.block());
    }
    let anchors = Arc::new(Anchors::new([Template::ca("root", "root", 250).encode()]).expect("a root"));
    let chain: Vec<Certificate<'_>> = ders.iter().filter_map(|der| Certificate::parse(der).ok()).collect();
    let asked = Cell::new(0u32);
    let verdict = |_: &[u8], _: &[u8]| {
        let bad = verdicts.checked_shr(asked.replace(asked.get() + 1)).unwrap_or(0) & 1 == 1;
        !bad
    };
    let once = search(&chain, &anchors, &policy, verdict);
    asked.set(0);
    let twice = search(&chain, &anchors, &policy, verdict);
    assert_eq!((&once.verdict, once.spent), (&twice.verdict, twice.spent));
    let verifier = Verifier::new(Arc::clone(&anchors), policy.clone());
    let verdict = verifier.verify(&ders, NOW);
    let explained = verifier.explain(&ders, NOW);
    assert_eq!(verdict.as_ref().err(), explained.verdict.as_ref().err());
    assert!(explained.findings.iter().all(|one| one.position <= explained.path.presented.len()));
    assert!(verdict.is_err() || search(&chain, &anchors, &policy, |_, _| true).verdict.is_ok());
});
