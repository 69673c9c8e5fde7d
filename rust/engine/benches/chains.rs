//! Chains from DER to outcome: many at once on one core and on two, one at a time beside rustls-webpki, under one anchor and under many.
//!
//! `cargo bench --package holdfast-engine --bench chains [WORD …]` measures the rows whose name has one of the words. A row and its peer
//! take turns, and the ratio is the median of the rounds' ratios, with quartiles. Every outcome is checked.
#![allow(
    clippy::pedantic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a program to be read for its output"
)]

#[path = "../../p256/benches/machine/mod.rs"]
mod machine;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_engine::{Facts, Verifier, kernel_report};
use holdfast_x509::{Anchors, Policy, UnixSeconds};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, UnixTime};

/// 2026-06-01.
const TODAY: UnixSeconds = UnixSeconds(1_780_272_000);
const DEVICES: usize = 20_000;
const ROUNDS: usize = 15;

type Chain = Vec<Vec<u8>>;

fn params(name: &str, ca: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2040, 1, 1));
    params.use_authority_key_identifier_extension = true;
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    } else {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    }
    params
}

struct Ca {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn root(name: &str) -> Self {
        let (params, key) = (params(name, true), KeyPair::generate().unwrap());
        Self { der: params.self_signed(&key).unwrap().der().to_vec(), issuer: Issuer::new(params, key) }
    }

    fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (params(name, true), KeyPair::generate().unwrap());
        Self { der: params.signed_by(&key, &self.issuer).unwrap().der().to_vec(), issuer: Issuer::new(params, key) }
    }

    fn device(&self, name: &str, key: &KeyPair) -> Vec<u8> {
        params(name, false).signed_by(key, &self.issuer).unwrap().der().to_vec()
    }
}

/// A root, and chains device ← Technician-Z ← Factory-Y; each with its own copy of what they share.
fn fleet(count: usize, technicians: usize) -> (Vec<u8>, Vec<Chain>) {
    let root = Ca::root("Company-X Root");
    let factory = root.intermediate("Factory-Y");
    let technicians: Vec<Ca> =
        (0..technicians).map(|number| factory.intermediate(&format!("Technician-{number}"))).collect();
    let chain = |number: usize| {
        let technician = &technicians[number % technicians.len()];
        let device = technician.device(&format!("widget-{number}"), &KeyPair::generate().unwrap());
        vec![device, technician.der.clone(), factory.der.clone()]
    };
    (root.der.clone(), (0..count).map(chain).collect())
}

fn verifier(roots: impl IntoIterator<Item = Vec<u8>>) -> Verifier {
    Verifier::new(Anchors::new(roots).unwrap().into(), Policy::client_auth())
}

fn all_good(verifier: &Verifier, chains: &[Chain], threads: usize) {
    assert!(verifier.verify_many(chains, TODAY, threads).iter().all(Result::is_ok));
}

fn seconds(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

/// Two things in turns: the first one's seconds, and its seconds over the second one's.
fn turns(mut ours: impl FnMut(), mut peer: impl FnMut()) -> ([f64; 3], [f64; 3]) {
    ours();
    peer();
    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = seconds(&mut peer);
        let time = seconds(&mut ours);
        times.push(time);
        ratios.push(2.0 * time / (before + seconds(&mut peer)));
    }
    (machine::quartiles(times), machine::quartiles(ratios))
}

fn print(name: &str, rate: f64, what: &str, [low, ratio, high]: [f64; 3]) {
    println!("{name:44} {rate:9.0} chains/s   {ratio:6.3} {what} ({low:.3} to {high:.3})");
}

/// One chain after another with rustls-webpki, parsing included.
fn webpki_one_by_one(root: &[u8], chains: &[Chain]) {
    let root = CertificateDer::from(root);
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    let at = UnixTime::since_unix_epoch(Duration::from_secs(TODAY.0.try_into().unwrap()));
    for chain in chains {
        let ders: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let device = webpki::EndEntityCert::try_from(&ders[0]).unwrap();
        let usage = webpki::KeyUsage::client_auth();
        let algorithms = [webpki::aws_lc_rs::ECDSA_P256_SHA256];
        black_box(device.verify_for_usage(&algorithms, &anchors, &ders[1..], at, usage, None, None).unwrap());
    }
}

fn one_by_one(verifier: &Verifier, chains: &[Chain]) {
    for chain in chains {
        let ders: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        black_box(verifier.verify(&ders, TODAY).unwrap());
    }
}

fn spin(count: u64) {
    let _sum = (0..count).fold(1, |state: u64, _| black_box(state.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
}

fn main() {
    machine::describe();
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let (root, chains) = fleet(DEVICES, 1);
    let ours = verifier([root.clone()]);
    let count = chains.len() as f64;

    if wanted("many") {
        let few = &chains[..500];
        let ([_, time, _], ratio) = turns(|| all_good(&ours, &chains, 1), || webpki_one_by_one(&root, few));
        let per_chain = ratio.map(|ratio| (few.len() as f64 / count * ratio).recip());
        print("many, one core", count / time, "times webpki", per_chain);
    }
    if wanted("profile") {
        (0..100).for_each(|_| all_good(&ours, &chains, 1));
    }
    if wanted("issuers") {
        let (root, chains) = fleet(DEVICES, 1_000);
        let many = verifier([root]);
        let ([_, time, _], ratio) = turns(|| all_good(&many, &chains, 1), || all_good(&ours, &chains[..0], 1));
        black_box(ratio);
        println!("{:44} {:9.0} chains/s", "many, one core, 1,000 issuers in turn", count / time);
    }
    if wanted("one by one") {
        let few = &chains[..500];
        let (anchors, no_facts) = (Arc::new(Anchors::new([root.clone()]).unwrap()), Arc::new(Facts::new(0)));
        // A verifier for each chain, and no room for facts: nothing is remembered from one to the next, tables of keys neither.
        let forgetful = || {
            for chain in few {
                let verifier = Verifier::with_facts(anchors.clone(), Policy::client_auth(), no_facts.clone());
                one_by_one(&verifier, std::slice::from_ref(chain));
            }
        };
        let show = |name, ours: &mut dyn FnMut()| {
            let ([_, time, _], ratio) = turns(ours, || webpki_one_by_one(&root, few));
            let speed = [ratio[2], ratio[1], ratio[0]].map(f64::recip);
            print(name, few.len() as f64 / time, "times webpki", speed);
        };
        show("one by one, nothing remembered", &mut || forgetful());
        show("one by one, by one verifier", &mut || one_by_one(&ours, few));
    }
    if wanted("cores") {
        let threads = rayon::current_num_threads() as f64;
        let spin_count = 20_000_000;
        let both =
            || rayon::scope(|scope| (0..rayon::current_num_threads()).for_each(|_| scope.spawn(|_| spin(spin_count))));
        // All four in each round, so that the loop had what our threads had.
        all_good(&ours, &chains, 0);
        let round = |_| {
            let ours_gain = seconds(|| all_good(&ours, &chains, 1)) / seconds(|| all_good(&ours, &chains, 0));
            let loops_gain = threads * seconds(|| spin(spin_count)) / seconds(both);
            [ours_gain, loops_gain, ours_gain / loops_gain]
        };
        let rounds: Vec<[f64; 3]> = (0..ROUNDS).map(round).collect();
        let [gain, loops, [low, ratio, high]] =
            [0, 1, 2].map(|which| machine::quartiles(rounds.iter().map(|round| round[which]).collect()));
        println!(
            "{threads} cores: verify_many {:.2} times one, an empty loop {:.2} times: {ratio:.2} ({low:.2} to {high:.2})",
            gain[1], loops[1]
        );
    }
    if wanted("anchors") {
        let roots: Vec<Vec<u8>> = (0..100_000).map(|number| Ca::root(&format!("root {number}")).der).collect();
        let many = verifier(roots.into_iter().chain([root.clone()]));
        let ([_, time, _], ratio) = turns(|| all_good(&many, &chains, 1), || all_good(&ours, &chains, 1));
        print("many, 100,000 anchors", count / time, "times the cost under one", ratio);
    }
    if wanted("size") {
        let few = &chains[..1_000];
        let ([_, time, _], ratio) = turns(|| all_good(&ours, few, 1), || all_good(&ours, &chains, 1));
        print(
            "1,000 at once",
            few.len() as f64 / time,
            "times the cost of 20,000",
            ratio.map(|ratio| ratio * count / 1_000.0),
        );
    }
    println!("{:?}", kernel_report());
}
