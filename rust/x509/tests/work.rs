//! What the worst chains cost, in counted work (catalogue P): no signature before a path is right in everything else, and every
//! product that a peer could make large stops at its limit.

mod forge;

use forge::{Template, attribute, constraints, dns_names, element, name, oid, roomy, run, sequence};
use holdfast_x509::{Limits, Policy};

const SAN: u8 = 17;
const NAME_CONSTRAINTS: u8 = 30;
const POLICIES: u8 = 32;
const MAPPINGS: u8 = 33;
const POLICY_CONSTRAINTS: u8 = 36;

fn root() -> [Vec<u8>; 1] {
    [Template::ca("root", "root", 250).encode()]
}

#[test]
fn p02_ten_look_alikes_that_lead_nowhere_cost_nothing() {
    let mut chain = vec![Template::leaf("S").encode()];
    chain.extend((1..10).map(|key| Template::ca("S", "S", key).encode()));
    let end = run(&chain, &root(), &Policy::client_auth(), |_, _| true);
    assert_eq!((end.verdict, end.signatures_count), (Err(("unknown_issuer", Some(1))), 0));
    assert_eq!(end.spent.steps, 0);
}

#[test]
fn p04_a_hundred_cas_of_one_or_many_names_and_keys_stop_at_the_limits() {
    // Subjects alike or distinct, keys alike or distinct, rooted at the far end or not, all signatures good but the root's.
    for (same_subject, same_key, rooted) in
        [true, false].into_iter().flat_map(|a| [true, false].map(|b| [true, false].map(|c| (a, b, c)))).flatten()
    {
        let subject = |number: u8| if same_subject { "S".to_owned() } else { format!("S{number}") };
        let key = |number: u8| if same_key { 7 } else { number };
        let issuer = |number: u8| if number == 100 && rooted { "root".to_owned() } else { subject(number + 1) };
        let mut chain = vec![Template::leaf(&subject(1)).encode()];
        chain.extend((1..=100).map(|number| Template::ca(&subject(number), &issuer(number), key(number)).encode()));
        let end = run(&chain, &root(), &roomy(), |_, issuer| issuer != 250);
        let limits = Limits::default();
        assert!(end.verdict.is_err());
        assert!(end.signatures_count <= 16, "{end:?}");
        assert!(
            end.spent.steps <= limits.steps_count_max + 1 && end.spent.candidates <= limits.candidates_count_max + 1
        );
        if !rooted {
            assert_eq!(end.spent.steps, 0, "from nowhere an anchor is reached");
        }
    }
}

#[test]
fn p09_a_chain_of_two_hundred_and_fifty_five_is_followed_no_deeper_than_allowed() {
    let mut chain = vec![Template::leaf("ca0").encode()];
    let issuer = |level: u16| if level == 254 { "root".to_owned() } else { format!("ca{}", level + 1) };
    chain.extend(
        (0..255u16).map(|level| {
            Template::ca(&format!("ca{level}"), &issuer(level), u8::try_from(level).unwrap_or(7)).encode()
        }),
    );
    let end = run(&chain, &root(), &roomy(), |_, _| true);
    assert_eq!((end.verdict, end.signatures_count), (Err(("max_intermediates_exceeded", Some(1))), 0));
    assert!(end.spent.steps < 20, "{:?}", end.spent);
}

#[test]
fn p10_two_thousand_names_under_two_thousand_constraints_stop_at_the_comparisons() {
    let limit = Limits::default().comparisons_count_max;
    for (permitted, excluded) in [(2048, 0), (0, 2048), (1024, 1024)] {
        let ca = Template::ca("ca", "root", 1).with(
            NAME_CONSTRAINTS,
            true,
            constraints(&dns_names(permitted, ".test"), &dns_names(excluded, ".elsewhere")),
        );
        let leaf = |count| Template::leaf("ca").with(SAN, false, sequence(&dns_names(count, ".test")));
        let end = run(&[leaf(2048).encode(), ca.encode()], &root(), &roomy(), |_, _| true);
        assert_eq!((end.verdict, end.signatures_count), (Err(("budget_exceeded", None)), 0));
        assert!(end.spent.comparisons > limit && end.spent.comparisons < limit + 10_000, "{:?}", end.spent);
        // Beside it: as many constraints, and names as honest certificates have them.
        let end = run(&[leaf(20).encode(), ca.encode()], &root(), &roomy(), |_, _| true);
        assert_eq!(end.verdict, Ok(vec![0, 1]));
    }
}

#[test]
fn p10_mailboxes_and_directory_names_are_paid_by_their_length() {
    let mailbox = |text: &str| {
        let email: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
        element(0x31, &[&element(0x30, &[email, &element(0x16, &[text.as_bytes()])])])
    };
    let mailboxes: Vec<Vec<u8>> = (0..2048).map(|number| mailbox(&format!("t{number}@test"))).collect();
    let hosts: Vec<Vec<u8>> = (0..500).map(|number| element(0x81, &[format!("h{number}").as_bytes()])).collect();
    let ca = Template::ca("ca", "root", 1).with(NAME_CONSTRAINTS, true, constraints(&[], &hosts));
    let leaf = Template { subject: sequence(&[mailboxes.concat(), attribute(3, "w")]), ..Template::leaf("ca") };
    let end = run(&[leaf.encode(), ca.encode()], &root(), &roomy(), |_, _| true);
    assert_eq!((end.verdict, end.signatures_count), (Err(("budget_exceeded", None)), 0));

    // One mailbox of 30 kB, one URI of 30 kB, one subject of 30 kB: each under a thousand constraints of its kind.
    let long = "x".repeat(30_000);
    let directory = |text: &str| element(0xa4, &[&sequence(&[attribute(10, text)])]);
    let cases = [
        (name("w"), element(0x81, &[format!("{long}@h").as_bytes()]), hosts.clone()),
        (
            name("w"),
            element(0x86, &[format!("https://{long}/").as_bytes()]),
            (0..500).map(|number| element(0x86, &[format!("h{number}").as_bytes()])).collect(),
        ),
        (
            sequence(&[attribute(10, &long)]),
            element(0x82, &[b"a"]),
            (0..500).map(|n| directory(&format!("{n}"))).collect(),
        ),
    ];
    for (subject, alternative, subtrees) in cases {
        let ca = Template::ca("ca", "root", 1).with(NAME_CONSTRAINTS, true, constraints(&[], &subtrees));
        let leaf = Template { subject, ..Template::leaf("ca") }.with(SAN, false, sequence(&[alternative]));
        let end = run(&[leaf.encode(), ca.encode()], &root(), &roomy(), |_, _| true);
        // Taken apart once, not once for each constraint.
        assert!(end.spent.comparisons < 10_000, "{:?}", end.spent);
    }
}

#[test]
fn p10_every_path_pays_from_the_same_budget() {
    // Forty CAs of one name and one set of constraints: a candidate each, whose names are compared anew.
    let mut chain = vec![Template::leaf("S").with(SAN, false, sequence(&dns_names(100, ".test"))).encode()];
    let subtrees = constraints(&[], &dns_names(60, ".elsewhere"));
    chain.extend(
        (1..40).map(|key| Template::ca("S", "root", key).with(NAME_CONSTRAINTS, true, subtrees.clone()).encode()),
    );
    let end = run(&chain, &root(), &roomy(), |_, _| false);
    assert_eq!(end.verdict, Err(("budget_exceeded", None)));
    assert!(end.spent.candidates < 40 && end.signatures_count <= 16, "{end:?}");
}

#[test]
fn p12_policy_mappings_are_followed_in_linear_work() {
    // RFC 9618 §3: each CA maps each of 32 policies to all 32; a tree would have 32^8 nodes.
    let policies: Vec<Vec<u8>> = (0..32).map(|number| oid(1, number)).collect();
    let all = sequence(&policies.iter().map(|policy| sequence(std::slice::from_ref(policy))).collect::<Vec<_>>());
    let pairs: Vec<Vec<u8>> =
        policies.iter().flat_map(|from| policies.iter().map(|to| sequence(&[from.clone(), to.clone()]))).collect();
    let explicit = element(0x30, &[&[0x80, 1, 0]]);
    let depth = |levels: u8| {
        let issuer = |level: u8| if level == levels { "root".to_owned() } else { format!("ca{}", level + 1) };
        let mut chain = vec![Template::leaf("ca1").with(POLICIES, false, all.clone()).encode()];
        chain.extend((1..=levels).map(|level| {
            Template::ca(&format!("ca{level}"), &issuer(level), level)
                .with(POLICIES, false, all.clone())
                .with(MAPPINGS, true, sequence(&pairs))
                .with(POLICY_CONSTRAINTS, true, explicit.clone())
                .encode()
        }));
        run(&chain, &root(), &roomy(), |_, _| true)
    };
    let (one, two) = (depth(1), depth(2));
    assert_eq!(one.verdict, Ok(vec![0, 1]));
    assert_eq!(two.verdict, Ok(vec![0, 1, 2]));
    let (each, eight) = (two.spent.comparisons - one.spent.comparisons, depth(8));
    assert!(eight.spent.comparisons <= one.spent.comparisons + 7 * (each + each / 8), "{eight:?}");
    assert!(eight.spent.comparisons < Limits::default().comparisons_count_max + 20_000);
    assert!(eight.signatures_count <= 9);
}

#[test]
fn p13_absurd_keys_are_refused_before_any_arithmetic() {
    let rsa = |modulus: usize, exponent: usize| {
        let integer = |octets: usize| element(2, &[&vec![0x7f; octets]]);
        let algorithm = element(0x30, &[&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1], &[5, 0]]);
        element(0x30, &[&algorithm, &element(3, &[&[0], &sequence(&[integer(modulus), integer(exponent)])])])
    };
    for spki in [rsa(2048, 3), rsa(512, 1024)] {
        let leaf = Template { spki: Some(spki.clone()), ..Template::leaf("root") }.encode();
        let end = run(&[leaf], &root(), &roomy(), |_, _| true);
        assert_eq!((end.verdict, end.signatures_count), (Err(("public_key_too_large", Some(0))), 0));
        let ca = Template { spki: Some(spki), ..Template::ca("ca", "root", 1) }.encode();
        let end = run(&[Template::leaf("ca").encode(), ca], &root(), &roomy(), |_, _| true);
        assert_eq!((end.verdict, end.signatures_count), (Err(("public_key_too_large", Some(1))), 0));
    }
}

#[test]
fn names_that_need_folding_are_folded_once_each() {
    // Nobody's name is written as its issuer writes it: a hundred look-alikes, found by folding alone.
    let mut chain = vec![Template::leaf("S").encode()];
    chain.extend((1..100).map(|key| Template::ca("s", "S", key).encode()));
    let anchor = [Template::ca("s", "s", 250).encode()];
    let end = run(&chain, &anchor, &roomy(), |_, _| false);
    assert_eq!(end.verdict, Err(("budget_exceeded", None)));
    assert!(end.signatures_count <= 16, "{end:?}");
    let good = run(&[Template::leaf(" s ").encode()], &anchor, &roomy(), |_, _| true);
    assert_eq!(good.verdict, Ok(vec![0]));
    // Long names are joined by their bytes alone.
    let long = "S".repeat(2_000);
    let end = run(
        &[Template::leaf(&long).encode()],
        &[Template::ca(&long.to_lowercase(), "x", 250).encode()],
        &roomy(),
        |_, _| true,
    );
    assert_eq!(end.verdict, Err(("unknown_issuer", Some(0))));
}
