//! The search and its budget, driven by hand: certificates carry no real signatures, the test is the one that checks them.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

use holdfast_x509::{Anchors, Certificate, Context, Policy, Search, Step, UnixSeconds};

const NOW: UnixSeconds = UnixSeconds(1_790_000_000);

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let inside = parts.concat();
    let length = match inside.len() {
        short @ 0..=0x7f => vec![u8::try_from(short).unwrap()],
        long => [&[0x82], u16::try_from(long).unwrap().to_be_bytes().as_slice()].concat(),
    };
    // Lengths from 128 to 255 have their own form.
    let length = if (0x80..0x100).contains(&inside.len()) { vec![0x81, length[2]] } else { length };
    [&[tag], length.as_slice(), &inside].concat()
}

fn name(common_name: &str) -> Vec<u8> {
    let attribute = element(0x30, &[&[6, 3, 0x55, 4, 3], &element(0x0c, &[common_name.as_bytes()])]);
    element(0x30, &[&element(0x31, &[&attribute])])
}

/// A version 3 P-256 certificate whose key is `key` repeated; a CA when `ca`, with `path_len` when given.
fn certificate(subject: &str, issuer: &str, key: u8, ca: bool, path_len: Option<u8>) -> Vec<u8> {
    let ecdsa = element(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    let algorithm =
        element(0x30, &[&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]]);
    let spki = element(0x30, &[&algorithm, &element(3, &[&[0, 4], &[key; 64]])]);
    let validity = element(0x30, &[&element(0x17, &[b"200101000000Z"]), &element(0x17, &[b"491231235959Z"])]);
    let path_len = path_len.map_or(Vec::new(), |path_len| vec![2, 1, path_len]);
    let basic = if ca { element(0x30, &[&[1, 1, 0xff], &path_len]) } else { element(0x30, &[]) };
    let extension = element(0x30, &[&[6, 3, 0x55, 0x1d, 19, 1, 1, 0xff], &element(4, &[&basic])]);
    let extensions = element(0xa3, &[&element(0x30, &[&extension])]);
    let tbs = element(
        0x30,
        &[&[0xa0, 3, 2, 1, 2], &[2, 1, 1], &ecdsa, &name(issuer), &validity, &name(subject), &spki, &extensions],
    );
    element(0x30, &[&tbs, &ecdsa, &[3, 2, 0, key]])
}

#[derive(Debug, PartialEq)]
struct End {
    verdict: Result<Vec<usize>, (&'static str, Option<usize>)>,
    signatures_count: usize,
}

/// Runs a search to its end; `good` decides each signature by the child's and issuer's key bytes.
fn run(chain: &[Vec<u8>], anchors: &[Vec<u8>], policy: &Policy, good: impl Fn(u8, u8) -> bool) -> End {
    let anchors = Anchors::new(anchors.iter().cloned()).unwrap();
    let chain: Vec<Certificate<'_>> = chain.iter().map(|der| Certificate::parse(der).unwrap()).collect();
    let context = Context::new(&anchors, policy, NOW);
    let mut search = Search::new(&chain, &context);
    let mut signatures_count = 0;
    for _ in 0..1_000 {
        match search.next() {
            Step::Candidate(candidate) => {
                for (edge, job) in candidate.jobs {
                    signatures_count += 1;
                    search.report(edge, good(job.signature[0], job.public_key[1]));
                }
            }
            Step::Accepted(path) => return End { verdict: Ok(path.presented().to_vec()), signatures_count },
            Step::Refused(refusal) => {
                return End { verdict: Err((refusal.code(), refusal.position)), signatures_count };
            }
        }
    }
    panic!("the search does not end");
}

/// Policy for bags of any size, so that a test reaches what lies behind the size limits.
fn roomy() -> Policy {
    let mut policy = Policy::client_auth();
    policy.limits.certificates_count_max = 1_000;
    policy.limits.chain_bytes_max = 1 << 20;
    policy
}

#[test]
fn finds_the_path_among_reordered_duplicate_and_unrelated_certificates_p16() {
    let leaf = certificate("widget", "tech", 1, false, None);
    let tech = certificate("tech", "factory", 2, true, None);
    let factory = certificate("factory", "root", 3, true, None);
    let root = certificate("root", "root", 4, true, None);
    let other = certificate("other", "else", 5, true, None);
    let chain = [leaf, root.clone(), other, factory.clone(), tech, factory];
    let end = run(&chain, &[root], &Policy::client_auth(), |_, _| true);
    assert_eq!(end, End { verdict: Ok(vec![0, 4, 3]), signatures_count: 3 });
}

#[test]
fn p01_filler_costs_no_signature() {
    let mut chain = vec![certificate("widget", "S", 0, false, None)];
    chain.extend((1..10).map(|key| certificate("S", "S", key, true, None)));
    chain.extend((0..440).map(|_| certificate("N", "M", 9, true, None)));
    let root = [certificate("root", "root", 4, true, None)];
    let refused = |code| End { verdict: Err((code, Some(1))), signatures_count: 0 };
    assert_eq!(run(&chain, &root, &roomy(), |_, _| true), refused("unknown_issuer"));
    // With the limits of a handshake it does not even get that far.
    let end = run(&chain, &root, &Policy::client_auth(), |_, _| true);
    assert_eq!(end, End { verdict: Err(("too_many_certificates", None)), signatures_count: 0 });
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
    assert_eq!(end, End { verdict: Ok(vec![0, 1]), signatures_count: 11 });
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
    assert_eq!(end, End { verdict: Ok(vec![0, 1]), signatures_count: 3 });
}

#[test]
fn path_len_counts_intermediates_that_are_not_self_issued_t03() {
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
    let chain: Vec<Certificate<'_>> = chain.iter().map(|der| Certificate::parse(der).unwrap()).collect();
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
    let chain: Vec<Certificate<'_>> = chain.iter().map(|der| Certificate::parse(der).unwrap()).collect();
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
