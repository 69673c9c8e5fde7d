//! One block of chains: their searches side by side, and the signatures that all of them wait for, each once.

use std::collections::HashMap;

use holdfast_x509::{
    Certificate, Context, Edge, Error, Limits, Refusal, Search, SignatureJob, Signed, Step, check_size,
};

use crate::backend;
use crate::lists::ListFacts;
use crate::verified::VerifiedPath;

type Outcome = Result<VerifiedPath, Refusal>;

/// Judges one chain; see `Verifier::verify_presented`.
pub(crate) fn verify_one(chain: &[&[u8]], context: &Context<'_>, lists: &ListFacts, units_spent: u32) -> Outcome {
    let certificates = parse(chain, &context.policy().limits)?;
    let mut search = Search::new(&certificates, context).with_units_spent(units_spent);
    loop {
        match search.next() {
            Step::Candidate(candidate) => {
                for (edge, job) in candidate.jobs {
                    search.report(edge, lists.check(edge, &job, backend::verify));
                }
            }
            Step::Accepted(path) => return VerifiedPath::new(&certificates, context.anchors(), &path),
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
    context: &Context<'_>,
    lists: &ListFacts,
) -> Vec<Outcome> {
    let parsed: Vec<_> = chains.iter().map(|chain| parse(chain.as_ref(), &context.policy().limits)).collect();
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    let mut open: Vec<(usize, Search<'_, '_>)> = Vec::new();
    for (index, certificates) in parsed.iter().enumerate() {
        match certificates {
            Ok(certificates) => {
                outcomes.push(None);
                open.push((index, Search::new(certificates, context)));
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
                    Ok(certificates) => VerifiedPath::new(certificates, context.anchors(), &path),
                    Err(refusal) => Err(refusal.clone()),
                },
                Step::Refused(refusal) => Err(refusal),
            };
            outcomes[index] = Some(outcome);
        }
        for (index, mut search, jobs) in waiting {
            for (edge, job) in jobs {
                search.report(edge, check(&mut shared, lists, edge, job));
            }
            open.push((index, search));
        }
    }
    // Every search ends in a verdict; a chain without one would be refused.
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err(Refusal::whole(Error::EmptyChain)))).collect()
}

/// Checks a signature. Those on CA certificates are remembered for the block: the key is the whole job, compared byte by byte.
fn check<'a>(
    shared: &mut HashMap<SignatureJob<'a>, bool>,
    lists: &ListFacts,
    edge: Edge,
    job: SignatureJob<'a>,
) -> bool {
    match edge.signed() {
        Signed::Certificate(0) => backend::verify(&job),
        Signed::Certificate(_) => *shared.entry(job).or_insert_with_key(backend::verify),
        Signed::List(_) => lists.check(edge, &job, backend::verify),
    }
}

/// Parses a chain, no larger than the limits allow.
pub(crate) fn parse<'a, D: AsRef<[u8]>>(chain: &'a [D], limits: &Limits) -> Result<Vec<Certificate<'a>>, Refusal> {
    let bytes = chain.iter().map(|der| der.as_ref().len()).sum();
    check_size(chain.len(), bytes, limits).map_err(Refusal::whole)?;
    let one = |(position, der): (usize, &'a D)| {
        Certificate::parse(der.as_ref()).map_err(|error| Refusal::at(position, error))
    };
    chain.iter().enumerate().map(one).collect()
}
