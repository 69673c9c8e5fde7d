//! The search and its budget, driven by hand: certificates carry no real signatures, the test is the one that checks them.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

mod forge;

use std::rc::Rc;

use forge::{NOW, certificate, roomy, run};
use holdfast_x509::{Anchors, Certificate, Context, Issuers, Policy, Search, Step, UnixSeconds};

#[test]
fn p16_finds_the_path_among_reordered_duplicate_and_unrelated_certificates() {
    let leaf = certificate("widget", "tech", 1, false, None);
    let tech = certificate("tech", "factory", 2, true, None);
    let factory = certificate("factory", "root", 3, true, None);
    let root = certificate("root", "root", 4, true, None);
    let other = certificate("other", "else", 5, true, None);
    let chain = [leaf, root.clone(), other, factory.clone(), tech, factory];
    let end = run(&chain, &[root], &Policy::client_auth(), |_, _| true);
    assert_eq!((end.verdict, end.signatures_count), (Ok(vec![0, 4, 3]), 3));
}

#[test]
fn p01_filler_costs_no_signature() {
    let mut chain = vec![certificate("widget", "S", 0, false, None)];
    chain.extend((1..10).map(|key| certificate("S", "S", key, true, None)));
    chain.extend((0..440).map(|_| certificate("N", "M", 9, true, None)));
    let root = [certificate("root", "root", 4, true, None)];
    let end = run(&chain, &root, &roomy(), |_, _| true);
    assert_eq!((end.verdict, end.signatures_count), (Err(("unknown_issuer", Some(1))), 0));
    assert_eq!(end.spent, holdfast_x509::Spent::default(), "not one step");
    // With the limits of a handshake it does not even get that far.
    let end = run(&chain, &root, &Policy::client_auth(), |_, _| true);
    assert_eq!((end.verdict, end.signatures_count), (Err(("too_many_certificates", None)), 0));
}

#[test]
fn p04_rooted_look_alikes_stop_at_the_signature_budget() {
    // Every CA is named S, signs S, and S is also the anchor's name: paths multiply, signatures never hold.
    let mut chain = vec![certificate("widget", "S", 0, false, None)];
    chain.extend((1..100).map(|key| certificate("S", "S", key, true, None)));
    let anchor = [certificate("S", "S", 200, true, None)];
    let end = run(&chain, &anchor, &roomy(), |_, _| false);
    assert_eq!(end.verdict, Err(("budget_exceeded", None)));
    assert!(end.signatures_count <= 16, "{end:?}");
}

#[test]
fn p04_valid_signatures_that_lead_nowhere_stop_at_the_budget() {
    // Everything verifies but the links to the anchor.
    let mut chain = vec![certificate("widget", "S", 0, false, None)];
    chain.extend((1..100).map(|key| certificate("S", "S", key, true, None)));
    let anchor = [certificate("S", "S", 200, true, None)];
    let end = run(&chain, &anchor, &roomy(), |_, issuer| issuer != 200);
    assert_eq!(end.verdict, Err(("budget_exceeded", None)));
    assert!(end.signatures_count <= 16, "{end:?}");
}

#[test]
fn p07_honest_rollover_of_ten_anchors_with_one_name_is_accepted() {
    let anchors: Vec<_> = (100..110).map(|key| certificate("root", "root", key, true, None)).collect();
    let chain = [certificate("widget", "tech", 1, false, None), certificate("tech", "root", 2, true, None)];
    let newest = |child: u8, issuer: u8| child == 1 || issuer == 109;
    let end = run(&chain, &anchors, &Policy::client_auth(), newest);
    assert_eq!((end.verdict, end.signatures_count), (Ok(vec![0, 1]), 11));
}

#[test]
fn p08_cycles_end() {
    // A is signed by B, B by A, and a third B by the anchor that nobody can reach with a good signature.
    let chain = [
        certificate("widget", "A", 1, false, None),
        certificate("A", "B", 2, true, None),
        certificate("B", "A", 3, true, None),
        certificate("A", "A", 2, true, None),
        certificate("B", "root", 4, true, None),
    ];
    let root = [certificate("root", "root", 9, true, None)];
    let end = run(&chain, &root, &Policy::client_auth(), |_, issuer| issuer != 9);
    assert_eq!(end.verdict, Err(("bad_signature", Some(2))));
    let end = run(&chain, &root, &Policy::client_auth(), |_, _| true);
    assert_eq!(end.verdict, Ok(vec![0, 1, 4]));
}

#[test]
fn p09_depth_is_bounded_by_the_policy() {
    let chain_of = |intermediates: u8| -> Vec<Vec<u8>> {
        let issuer = |level: u8| if level == intermediates { "root".into() } else { format!("ca{level}") };
        let mut chain = vec![certificate("widget", &issuer(0), 0, false, None)];
        chain.extend(
            (0..intermediates)
                .map(|level| certificate(&format!("ca{level}"), &issuer(level + 1), level + 1, true, None)),
        );
        chain
    };
    let root = [certificate("root", "root", 250, true, None)];
    assert_eq!(run(&chain_of(8), &root, &roomy(), |_, _| true).verdict, Ok((0..9).collect()));
    assert_eq!(run(&chain_of(9), &root, &roomy(), |_, _| true).verdict, Err(("max_intermediates_exceeded", Some(1))));
    assert_eq!(run(&chain_of(200), &root, &roomy(), |_, _| true).signatures_count, 0);
}

#[test]
fn an_edge_is_checked_once_however_many_paths_share_it() {
    // Two anchors of one name: the leaf's own signature is common to both candidates.
    let chain = [certificate("widget", "tech", 1, false, None), certificate("tech", "root", 2, true, None)];
    let anchors = [certificate("root", "root", 3, true, None), certificate("root", "root", 4, true, None)];
    let end = run(&chain, &anchors, &Policy::client_auth(), |child, issuer| child == 1 || issuer == 4);
    assert_eq!((end.verdict, end.signatures_count), (Ok(vec![0, 1]), 3));
}

#[test]
fn t03_path_len_counts_intermediates_that_are_not_self_issued() {
    let chain = |path_len| {
        [
            certificate("widget", "tech", 1, false, None),
            certificate("tech", "factory", 2, true, None),
            certificate("factory", "factory", 3, true, None),
            certificate("factory", "root", 4, true, Some(path_len)),
        ]
    };
    let root = [certificate("root", "root", 9, true, None)];
    // Through the self-issued rollover certificate: only tech counts below factory.
    let rollover = |child: u8, issuer: u8| !(child == 2 && issuer == 4);
    assert_eq!(run(&chain(1), &root, &Policy::client_auth(), rollover).verdict, Ok(vec![0, 1, 2, 3]));
    assert_eq!(run(&chain(0), &root, &Policy::client_auth(), rollover).verdict, Err(("path_len_exceeded", Some(1))));
}

#[test]
fn i08_silence_about_a_signature_is_a_refusal() {
    let chain = [certificate("widget", "root", 1, false, None)];
    let certificates: Vec<Certificate<'_>> = chain.iter().map(|der| Certificate::parse(der).unwrap()).collect();
    let chain: Vec<&Certificate<'_>> = certificates.iter().collect();
    let anchors = Anchors::new([certificate("root", "root", 2, true, None)]).unwrap();
    let policy = Policy::client_auth();
    let context = Context::new(&anchors, &policy, NOW);
    let mut search = Search::new(&chain, &context);
    assert!(matches!(search.next(), Step::Candidate(_)));
    match search.next() {
        Step::Refused(refusal) => assert_eq!((refusal.code(), refusal.position), ("bad_signature", Some(0))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_handshake_signature_is_paid_from_the_same_budget() {
    let chain = [certificate("widget", "root", 1, false, None)];
    let certificates: Vec<Certificate<'_>> = chain.iter().map(|der| Certificate::parse(der).unwrap()).collect();
    let chain: Vec<&Certificate<'_>> = certificates.iter().collect();
    let anchors = Anchors::new([certificate("root", "root", 2, true, None)]).unwrap();
    let policy = Policy::client_auth();
    let context = Context::new(&anchors, &policy, NOW);
    let mut search = Search::new(&chain, &context).with_units_spent(15);
    assert!(matches!(search.next(), Step::Candidate(_)));
    let mut search = Search::new(&chain, &context).with_units_spent(16);
    match search.next() {
        Step::Refused(refusal) => assert_eq!(refusal.code(), "budget_exceeded"),
        other => panic!("{other:?}"),
    }
}

/// widget-1, widget-2 ← tech ← root share issuers. widget-1 beside a tech that is no CA, widget-1 alone, another issuer's widget, and the
/// same chain at another time do not, whatever they are given.
#[test]
fn issuers_serve_chains_that_present_the_same_certificates_under_the_same_context_and_no_others() {
    let ders = [
        certificate("widget-1", "tech", 1, false, None),
        certificate("widget-2", "tech", 2, false, None),
        certificate("tech", "root", 3, true, None),
        certificate("tech", "root", 4, false, None),
        certificate("widget-3", "root", 5, false, None),
    ];
    let all: Vec<Certificate<'_>> = ders.iter().map(|der| Certificate::parse(der).unwrap()).collect();
    let chains = [&[0, 2][..], &[1, 2], &[0, 3], &[0], &[4, 2]];
    let chains = chains.map(|places| places.iter().map(|&place| &all[place]).collect::<Vec<_>>());
    let anchors = Anchors::new([certificate("root", "root", 9, true, None)]).unwrap();
    let policy = Policy::client_auth();
    let contexts = [NOW, UnixSeconds(NOW.0 + 200 * 365 * 86_400)].map(|at| Context::new(&anchors, &policy, at));
    let issuers = Rc::new(Issuers::of(&chains[0], &contexts[0]));
    let outcome = |mut search: Search<'_, '_>| match search.next() {
        Step::Candidate(candidate) => Ok(candidate.jobs.len()),
        Step::Refused(refusal) => Err((refusal.code(), refusal.position)),
        Step::Accepted(_) => panic!("no signature was checked"),
    };
    for context in &contexts {
        for (number, chain) in chains.iter().enumerate() {
            let fits = number < 2 && std::ptr::eq(context, &raw const contexts[0]);
            assert_eq!(issuers.are_of(chain, context), fits, "chain {number}");
            let alone = outcome(Search::new(chain, context));
            assert_eq!(outcome(Search::new(chain, context).with_issuers(&issuers)), alone, "chain {number}");
            assert_eq!(alone.is_ok(), [0, 1, 4].contains(&number) && std::ptr::eq(context, &raw const contexts[0]));
        }
    }
}

#[test]
fn every_prefix_of_a_certificate_is_refused_without_a_panic() {
    let der = certificate("widget", "root", 1, false, None);
    assert!(Certificate::parse(&der).is_ok());
    for end in 0..der.len() {
        assert!(Certificate::parse(&der[..end]).is_err(), "{end}");
    }
    for index in 0..der.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = der.clone();
            bytes[index] = value;
            // Parsed or refused, never a panic; what parses shows itself.
            if let Ok(certificate) = Certificate::parse(&bytes) {
                let _shown = format!(
                    "{} {} {:?}",
                    certificate.subject,
                    certificate.issuer,
                    certificate.spki.public_key_algorithm()
                );
            }
        }
    }
}
