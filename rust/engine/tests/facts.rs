//! What is remembered of signatures, and that nothing else is: by the number of facts, and by verdicts that must still fall.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs, reason = "tests fail by panicking")]

use std::sync::Arc;

use holdfast_engine::{Facts, Verifier};
use holdfast_x509::{Anchors, Policy, Refusal, UnixSeconds};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// 2026-06-01, and a day on which everything here has ended.
const TODAY: UnixSeconds = UnixSeconds(1_780_272_000);
const LATER: UnixSeconds = UnixSeconds(1_990_000_000);

type Outcome = Result<holdfast_engine::VerifiedPath, Refusal>;

struct Ca {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn params(name: &str, ca: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    params.use_authority_key_identifier_extension = true;
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

impl Ca {
    fn root() -> Self {
        let (params, key) = (params("root", true), KeyPair::generate().unwrap());
        Self { der: params.self_signed(&key).unwrap().der().to_vec(), issuer: Issuer::new(params, key) }
    }

    fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (params(name, true), KeyPair::generate().unwrap());
        Self { der: params.signed_by(&key, &self.issuer).unwrap().der().to_vec(), issuer: Issuer::new(params, key) }
    }

    fn chain(&self, device: &str) -> Vec<Vec<u8>> {
        let key = KeyPair::generate().unwrap();
        vec![params(device, false).signed_by(&key, &self.issuer).unwrap().der().to_vec(), self.der.clone()]
    }
}

fn verifier(roots: &[&Ca], facts: &Arc<Facts>) -> Verifier {
    let anchors = Anchors::new(roots.iter().map(|root| root.der.clone())).unwrap();
    Verifier::with_facts(Arc::new(anchors), Policy::client_auth(), Arc::clone(facts))
}

fn judge(verifier: &Verifier, chain: &[Vec<u8>], at: UnixSeconds) -> Outcome {
    verifier.verify_presented(&[(chain, 1)], at).pop().unwrap()
}

fn code(outcome: &Outcome) -> String {
    outcome.as_ref().map_or_else(|refusal| refusal.code().to_owned(), |_| "accepted".to_owned())
}

#[test]
fn a_link_is_remembered_when_it_is_met_again_and_a_leaf_when_its_device_is_known() {
    let (root, facts) = (Ca::root(), Arc::new(Facts::new(100)));
    let factory = root.intermediate("factory");
    let verifier = verifier(&[&root], &facts);
    let chain = factory.chain("widget");
    let path = judge(&verifier, &chain, TODAY).unwrap();
    assert_eq!(facts.len(), 0, "met once");
    judge(&verifier, &factory.chain("other"), TODAY).unwrap();
    assert_eq!(facts.len(), 1, "the link to the root");
    verifier.remember_leaf(&path);
    verifier.remember_leaf(&path);
    assert_eq!(facts.len(), 2);
    assert_eq!(judge(&verifier, &chain, TODAY), Ok(path.clone()));
    verifier.remember_leaf(&verifier.verify(&[&chain[0], &chain[1]], TODAY).unwrap());
    verifier.verify_many(&[chain.clone(), factory.chain("third")], TODAY, 1).into_iter().for_each(|path| {
        verifier.remember_leaf(&path.unwrap());
    });
    assert_eq!(facts.len(), 2, "in bulk, leaves come once");
    facts.clear();
    assert!(facts.is_empty());
    assert_eq!(judge(&verifier, &chain, TODAY), Ok(path));
}

#[test]
fn r04_known_signatures_save_nobody_from_dates_anchors_or_another_signature() {
    let (root, stranger, facts) = (Ca::root(), Ca::root(), Arc::new(Facts::new(100)));
    let factory = root.intermediate("factory");
    let ours = verifier(&[&root], &facts);
    let chain = factory.chain("widget");
    for _ in 0..3 {
        ours.remember_leaf(&judge(&ours, &chain, TODAY).unwrap());
    }
    assert_eq!(facts.len(), 2);
    assert_eq!(code(&judge(&ours, &chain, LATER)), "expired");
    assert_eq!(code(&judge(&verifier(&[], &facts), &chain, TODAY)), "unknown_issuer");
    // Same names, other keys.
    assert_eq!(code(&judge(&verifier(&[&stranger], &facts), &chain, TODAY)), "bad_signature");
    let impostor = vec![chain[0].clone(), root.intermediate("factory").der];
    assert_ne!(code(&judge(&ours, &impostor, TODAY)), "accepted");
    for position in 0..chain[0].len() {
        let mut damaged = chain.clone();
        damaged[0][position] ^= 1;
        assert_ne!(code(&judge(&ours, &damaged, TODAY)), "accepted", "octet {position} of the leaf");
    }
    for position in 0..chain[1].len() {
        let mut damaged = chain.clone();
        damaged[1][position] ^= 1;
        assert_ne!(code(&judge(&ours, &damaged, TODAY)), "accepted", "octet {position} of the factory");
    }
    assert_eq!(facts.len(), 2, "refused chains leave nothing");
}

#[test]
fn nothing_is_remembered_of_a_path_that_was_refused() {
    let (root, facts) = (Ca::root(), Arc::new(Facts::new(100)));
    let factory = root.intermediate("factory");
    let verifier = verifier(&[&root], &facts);
    for number in 0..20 {
        let mut chain = factory.chain(&format!("widget-{number}"));
        *chain[0].last_mut().unwrap() ^= 1;
        assert_eq!(code(&judge(&verifier, &chain, TODAY)), "bad_signature");
    }
    assert!(facts.is_empty());
}

#[test]
fn one_key_cannot_crowd_the_others_out_and_memory_has_an_end() {
    let (root, facts) = (Ca::root(), Arc::new(Facts::new(32)));
    let (loud, quiet) = (root.intermediate("loud"), root.intermediate("quiet"));
    let verifier = verifier(&[&root], &facts);
    let chain = quiet.chain("quiet-widget");
    for _ in 0..2 {
        verifier.remember_leaf(&judge(&verifier, &chain, TODAY).unwrap());
    }
    assert_eq!(facts.len(), 2);
    for number in 0..100 {
        verifier.remember_leaf(&judge(&verifier, &loud.chain(&format!("loud-{number}")), TODAY).unwrap());
    }
    assert_eq!(facts.len(), 2 + 1 + 8, "the quiet leaf, two links, and the loud key's quota");
    for number in 0..40 {
        let other = root.intermediate(&format!("other-{number}"));
        for device in 0..2 {
            verifier.remember_leaf(&judge(&verifier, &other.chain(&format!("{number}-{device}")), TODAY).unwrap());
        }
        assert!(facts.len() <= 32, "{}", facts.len());
    }
    facts.bound(8);
    for device in 0..10 {
        verifier
            .remember_leaf(&judge(&verifier, &root.intermediate("new").chain(&format!("{device}")), TODAY).unwrap());
    }
    assert!(facts.len() <= 8, "{}", facts.len());
}

#[test]
fn what_a_key_has_kept_of_the_last_generation_counts_for_its_quota() {
    let (root, facts) = (Ca::root(), Arc::new(Facts::new(32)));
    let (loud, quiet) = (root.intermediate("loud"), root.intermediate("quiet"));
    let verifier = verifier(&[&root], &facts);
    let chains = |ca: &Ca, count: usize| -> Vec<_> { (0..count).map(|number| ca.chain(&number.to_string())).collect() };
    let come = |chains: &[Vec<Vec<u8>>]| {
        for chain in chains {
            verifier.remember_leaf(&judge(&verifier, chain, TODAY).unwrap());
        }
    };
    let (regulars, others) = (chains(&loud, 8), chains(&quiet, 6));
    come(&regulars);
    come(&others);
    assert_eq!(facts.len(), 16, "a generation: two links, the loud key's quota, and others");
    come(&chains(&loud, 1));
    assert_eq!(facts.len(), 17, "the next one has begun");
    come(&regulars);
    come(&chains(&loud, 4));
    assert_eq!(facts.len(), 17, "its quota is what came back");
    come(&regulars);
    come(&others);
    assert_eq!(facts.len(), 17, "all of them are known");
}
