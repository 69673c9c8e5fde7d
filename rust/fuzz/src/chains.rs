//! A search with the target in place of the signatures, and what must hold of every one.

use holdfast_x509::{
    AcceptedPath, Anchors, Certificate, Context, Limits, Policy, Refusal, Search, Signed, Spent, Step,
};

use crate::forge::NOW;

/// How a search ended, and what it cost.
#[derive(Debug)]
pub struct Ended {
    pub verdict: Result<AcceptedPath, Refusal>,
    pub spent: Spent,
}

/// Searches `chain` for a path; `good` is the verdict on each signature, by its octets and the key's.
pub fn search(
    chain: &[Certificate<'_>],
    anchors: &Anchors,
    policy: &Policy,
    mut good: impl FnMut(&[u8], &[u8]) -> bool,
) -> Ended {
    let context = Context::new(anchors, policy, NOW);
    let chain: Vec<&Certificate<'_>> = chain.iter().collect();
    let mut search = Search::new(&chain, &context);
    let (mut units, mut found_good) = (0, Vec::new());
    let verdict = loop {
        match search.next() {
            Step::Candidate(candidate) => {
                for (edge, job) in candidate.jobs {
                    units += job.key_algorithm.cost_units();
                    let holds = good(job.signature, job.public_key);
                    if let (true, Signed::Certificate(index)) = (holds, edge.signed()) {
                        found_good.push(index);
                    }
                    search.report(edge, holds);
                }
            }
            Step::Accepted(path) => break Ok(path),
            Step::Refused(refusal) => break Err(refusal),
        }
    };
    let spent = search.spent();
    check_spent(&spent, &policy.limits);
    assert!(
        units <= policy.limits.signature_units_max + policy.limits.revocation_units_max,
        "{units} units of signatures were asked for"
    );
    if let Ok(path) = &verdict {
        check_path(path, &found_good);
    }
    Ended { verdict, spent }
}

/// What is counted ends at its limit; the one payment that goes beyond it is not larger than what the peer's bytes can hold.
fn check_spent(spent: &Spent, limits: &Limits) {
    let bytes = u32::try_from(limits.chain_bytes_max).unwrap_or(u32::MAX);
    assert!(spent.steps <= limits.steps_count_max + 1, "{spent:?}");
    assert!(spent.candidates <= limits.candidates_count_max + 1, "{spent:?}");
    assert!(spent.signature_units <= limits.signature_units_max + 9, "{spent:?}");
    assert!(spent.revocation_units <= limits.revocation_units_max + 9, "{spent:?}");
    assert!(spent.comparisons <= limits.comparisons_count_max + bytes, "{spent:?}");
}

/// The path begins with the end entity, none stands in it twice, and every signature in it was asked for and reported good.
fn check_path(path: &AcceptedPath, good: &[usize]) {
    let presented = path.presented();
    assert_eq!(presented.first(), Some(&0));
    for index in presented {
        assert!(good.contains(index), "a signature that nobody has checked");
        assert!(presented.iter().filter(|other| *other == index).count() == 1, "a loop");
    }
}
