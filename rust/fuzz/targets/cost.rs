//! No chain of at most 32 KiB costs more counted work than `Limits` says. The input builds chains that are right where it costs
//! nothing to be, and the ladder tells the fuzzer that a dearer one is something new.
#![no_main]

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use holdfast_fuzz::Input;
use holdfast_fuzz::chains::search;
use holdfast_fuzz::forge::{Template, attribute, constraints, dns_names, element, oid, sequence};
use holdfast_x509::{Anchors, Certificate, Policy, Spent};

const NAMES: [&str; 5] = ["root", "a", "b", "c", "A"];

fn names(input: &mut Input<'_>, count: usize, text: &str) -> Vec<Vec<u8>> {
    match input.byte() % 4 {
        0 => dns_names(count, text),
        1 => (0..count).map(|number| element(0x81, &[format!("{number}@{text}").as_bytes()])).collect(),
        2 => (0..count).map(|number| element(0x86, &[format!("https://{number}.{text}/").as_bytes()])).collect(),
        _ => (0..count).map(|n| element(0xa4, &[&sequence(&[attribute(10, &format!("{n}{text}"))])])).collect(),
    }
}

fn certificate(input: &mut Input<'_>, place: usize) -> Vec<u8> {
    let (subject, issuer) = (NAMES[input.below(NAMES.len())], NAMES[input.below(NAMES.len())]);
    let key = input.byte() % 8;
    let mut template = if place == 0 { Template::leaf(issuer) } else { Template::ca(subject, issuer, key) };
    let marks = input.byte();
    if marks & 1 != 0 {
        let count = input.below(1_024);
        template = template.with(17, false, sequence(&names(input, count.max(1), ".test")));
    }
    if marks & 2 != 0 && place > 0 {
        let (permitted, excluded) = (input.below(1_024), input.below(1_024).max(1));
        let (permitted, excluded) = (names(input, permitted, ".test"), names(input, excluded, ".elsewhere"));
        template = template.with(30, true, constraints(&permitted, &excluded));
    }
    if marks & 4 != 0 {
        let count = input.byte().max(1);
        let policies = (0..count).map(|number| sequence(&[oid(number >> 7, number)])).collect::<Vec<_>>();
        template = template.with(32, false, sequence(&policies));
    }
    if marks & 8 != 0 && place > 0 {
        let (from, to) = (input.byte() % 64 + 1, input.byte() % 64 + 1);
        let pairs = (0..from).flat_map(|one| (0..to).map(move |two| sequence(&[oid(0, one), oid(0, two)])));
        template = template.with(33, true, sequence(&pairs.collect::<Vec<_>>()));
    }
    if marks & 16 != 0 && place > 0 {
        template = template.with(36, true, element(0x30, &[&[0x80, 1, 0]]));
    }
    if marks & 32 != 0 {
        let many = (0..input.below(512).max(1)).map(|number| attribute(11, &number.to_string())).collect::<Vec<_>>();
        template.subject = if place == 0 { sequence(&many) } else { template.subject };
    }
    template.encode()
}

/// A branch for each rung: dearer inputs are kept, and built upon.
macro_rules! ladder {
    ($value:expr; $($rung:literal)*) => { $(if $value >= $rung { black_box($rung); })* };
}

fn climb(spent: &Spent) {
    ladder!(spent.comparisons; 1 64 256 1024 2048 4096 8192 12288 16384 20480 24576 28672 32768 36864 40960 45056 49152 53248
        57344 61440 65536 66000 67000 68000 70000 75000 80000 90000);
    ladder!(spent.steps; 1 2 4 8 16 32 64 96 128 160 192 224 256 288 320 352 384 416 448 480 512);
    ladder!(spent.candidates; 1 2 4 8 16 24 32 40 48 56 64);
    ladder!(spent.signature_units; 1 2 4 8 12 16 17);
}

/// The worst so far, for whoever reads the log.
static WORST: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

fn tell(spent: &Spent) {
    let now = [spent.comparisons, spent.steps, spent.candidates, spent.signature_units];
    let beaten = WORST.iter().zip(now).filter(|(worst, now)| worst.fetch_max(*now, Ordering::Relaxed) < *now).count();
    if beaten > 0 {
        let [comparisons, steps, candidates, units] =
            [0, 1, 2, 3].map(|index: usize| WORST[index].load(Ordering::Relaxed));
        eprintln!("worst: {comparisons} comparisons, {steps} steps, {candidates} candidates, {units} signature units");
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let good = input.byte();
    let ders: Vec<Vec<u8>> = (0..input.below(10) + 1).map(|place| certificate(&mut input, place)).collect();
    let policy = Policy::client_auth();
    if ders.iter().map(Vec::len).sum::<usize>() > policy.limits.chain_bytes_max {
        return;
    }
    let roots = [Template::ca("root", "root", 250).encode(), Template::ca("a", "a", 251).encode()];
    let anchors = Anchors::new(roots).expect("roots");
    let chain: Vec<Certificate<'_>> = ders.iter().filter_map(|der| Certificate::parse(der).ok()).collect();
    assert_eq!(chain.len(), ders.len(), "what the forge makes is well-formed");
    let ended = search(&chain, &anchors, &policy, |signature, key| {
        good >> ((signature.first().unwrap_or(&0) ^ key.get(1).unwrap_or(&0)) & 7) & 1 == 1
    });
    climb(&ended.spent);
    tell(&ended.spent);
});
