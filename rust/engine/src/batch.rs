//! One block of chains: their searches side by side, and the signatures that all of them wait for, each once.

use std::collections::HashMap;

use holdfast_x509::{Anchors, Certificate, Edge, Policy, Refusal, Search, SignatureJob, Step, UnixSeconds};

use crate::backend;
use crate::verified::VerifiedPath;

type Outcome = Result<VerifiedPath, Refusal>;

/// Judges one chain; see `Verifier::verify_presented`.
pub(crate) fn verify_one(
    chain: &[&[u8]],
    anchors: &Anchors,
    policy: &Policy,
    at: UnixSeconds,
    units_spent: u32,
) -> Outcome {
    let certificates = parse(chain, policy)?;
    let mut search = Search::new(&certificates, anchors, policy, at).with_units_spent(units_spent);
    loop {
        match search.next() {
            Step::Candidate(candidate) => {
                for (edge, job) in candidate.jobs {
                    search.report(edge, backend::verify(&job));
                }
            }
            Step::Accepted(path) => return VerifiedPath::new(&certificates, anchors, &path),
            Step::Refused(refusal) => return Err(refusal),
        }
    }
}

/// Judges a block of chains, one outcome each, in order.
///
/// Every search that is still open offers its next candidate; the signatures of all candidates are checked together, those that
/// several chains share only once; a chain whose candidate failed offers its next one in the following round.
pub(crate) fn verify_block<C: AsRef<[D]>, D: AsRef<[u8]>>(
    chains: &[C],
    anchors: &Anchors,
    policy: &Policy,
    at: UnixSeconds,
) -> Vec<Outcome> {
    let parsed: Vec<_> = chains.iter().map(|chain| parse(chain.as_ref(), policy)).collect();
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    let mut open: Vec<(usize, Search<'_>)> = Vec::new();
    for (index, certificates) in parsed.iter().enumerate() {
        match certificates {
            Ok(certificates) => {
                outcomes.push(None);
                open.push((index, Search::new(certificates, anchors, policy, at)));
            }
            Err(refusal) => outcomes.push(Some(Err(refusal.clone()))),
        }
    }
    let mut shared = HashMap::new();
    while !open.is_empty() {
        let mut waiting = Vec::with_capacity(open.len());
        for (index, mut search) in open.drain(..) {
            let outcome = match search.next() {
                Step::Candidate(candidate) => {
                    waiting.push((index, search, candidate.jobs));
                    continue;
                }
                Step::Accepted(path) => match &parsed[index] {
                    Ok(certificates) => VerifiedPath::new(certificates, anchors, &path),
                    Err(refusal) => Err(refusal.clone()),
                },
                Step::Refused(refusal) => Err(refusal),
            };
            outcomes[index] = Some(outcome);
        }
        for (index, mut search, jobs) in waiting {
            for (edge, job) in jobs {
                search.report(edge, check(&mut shared, edge, job));
            }
            open.push((index, search));
        }
    }
    // Every search ends in a verdict; a chain without one would be refused.
    outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or_else(|| Err(Refusal::whole(holdfast_x509::Error::EmptyChain))))
        .collect()
}

/// Checks a signature. Those on CA certificates are remembered for the block: the key is the whole job, compared byte by byte.
fn check<'a>(shared: &mut HashMap<SignatureJob<'a>, bool>, edge: Edge, job: SignatureJob<'a>) -> bool {
    if edge.is_end_entity() { backend::verify(&job) } else { *shared.entry(job).or_insert_with_key(backend::verify) }
}

/// Parses a chain, no more certificates than the policy allows.
fn parse<'a, D: AsRef<[u8]>>(chain: &'a [D], policy: &Policy) -> Result<Vec<Certificate<'a>>, Refusal> {
    let limits = &policy.limits;
    let found = chain.len();
    if found > limits.certificates_count_max {
        let limit = limits.certificates_count_max;
        return Err(Refusal::whole(holdfast_x509::Error::TooManyCertificates { found, limit }));
    }
    let found = chain.iter().map(|der| der.as_ref().len()).sum();
    if found > limits.chain_bytes_max {
        return Err(Refusal::whole(holdfast_x509::Error::ChainTooLarge { found, limit: limits.chain_bytes_max }));
    }
    let one = |(position, der): (usize, &'a D)| {
        Certificate::parse(der.as_ref()).map_err(|error| Refusal::at(position, error))
    };
    chain.iter().enumerate().map(one).collect()
}
