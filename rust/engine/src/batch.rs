//! One block of chains: their searches side by side, and the signatures that all of them wait for, each once.

use std::collections::HashMap;

use holdfast_x509::{
    Certificate, Context, Edge, Error, Limits, Refusal, Search, SignatureJob, Signed, Step, check_size,
};

use crate::backend;
use crate::closures;
use crate::facts::{Fact, Facts};
use crate::lists::ListFacts;
use crate::verified::VerifiedPath;

type Outcome = Result<VerifiedPath, Refusal>;

/// A chain on the way to its verdict.
struct Open<'a, 'c> {
    index: usize,
    certificates: &'a [Certificate<'a>],
    search: Search<'a, 'c>,
    /// The signature on the end entity, and those between CAs that were checked and held, each with the key that made it.
    leaf: Option<(Fact, &'a [u8])>,
    links: Vec<(Fact, &'a [u8])>,
}

/// What became of a signature between CAs in this block.
#[derive(Clone, Copy)]
enum Link {
    Known,
    Checked(bool),
}

/// What is remembered of signatures, while a block is judged.
pub(crate) struct Memory<'a> {
    pub(crate) lists: &'a ListFacts,
    pub(crate) facts: &'a Facts,
    /// Whether signatures on end entities are looked for among the facts: some come back, most are met once.
    pub(crate) known_leaves: bool,
}

/// Judges a block of chains, one outcome each, in order. Beside each chain: the signature units that its peer has used up.
///
/// Every search that is still open offers its next candidate; the signatures of all candidates are checked together, those that
/// several chains share only once; a chain whose candidate failed offers its next one in the following round.
pub(crate) fn verify_block<C: AsRef<[D]>, D: AsRef<[u8]>>(
    chains: &[(C, u32)],
    context: &Context<'_>,
    memory: &Memory<'_>,
) -> Vec<Outcome> {
    let parsed: Vec<_> = chains.iter().map(|(chain, _)| parse(chain.as_ref(), &context.policy().limits)).collect();
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(parsed.len());
    let mut open = Vec::with_capacity(parsed.len());
    for (index, (certificates, &(_, units_spent))) in parsed.iter().zip(chains).enumerate() {
        match certificates {
            Ok(certificates) => {
                outcomes.push(None);
                let closed = closures::of_chain(certificates, &context.policy().closures);
                let search = Search::new(certificates, context).with_units_spent(units_spent).with_closed(closed);
                open.push(Open { index, certificates, search, leaf: None, links: Vec::new() });
            }
            Err(refusal) => outcomes.push(Some(Err(refusal.clone()))),
        }
    }
    let mut shared = HashMap::new();
    while !open.is_empty() {
        let mut waiting = Vec::with_capacity(open.len());
        for mut chain in open.drain(..) {
            let outcome = match chain.search.next() {
                Step::Candidate(candidate) => {
                    waiting.push((chain, candidate.jobs));
                    continue;
                }
                Step::Accepted(path) => {
                    for (fact, issuer) in chain.links {
                        memory.facts.meet(fact, issuer);
                    }
                    VerifiedPath::new(chain.certificates, context.anchors(), &path, chain.leaf)
                }
                Step::Refused(refusal) => Err(refusal),
            };
            outcomes[chain.index] = Some(outcome);
        }
        for (mut chain, jobs) in waiting {
            for (edge, job) in jobs {
                let holds = check(&mut shared, memory, &mut chain, edge, &job);
                chain.search.report(edge, holds);
            }
            open.push(chain);
        }
    }
    // Every search ends in a verdict; a chain without one would be refused.
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err(Refusal::whole(Error::EmptyChain)))).collect()
}
/// Checks a signature, if it is not known to be good.
fn check<'a>(
    shared: &mut HashMap<Fact, Link>,
    memory: &Memory<'_>,
    chain: &mut Open<'a, '_>,
    edge: Edge,
    job: &SignatureJob<'a>,
) -> bool {
    match edge.signed() {
        Signed::List(_) => memory.lists.check(edge, job, backend::verify),
        Signed::Certificate(0) if !memory.known_leaves => backend::verify(job),
        Signed::Certificate(0) => {
            let fact = Fact::of(job);
            let holds = memory.facts.knows(fact) || backend::verify(job);
            if holds {
                chain.leaf = Some((fact, job.public_key));
            }
            holds
        }
        Signed::Certificate(_) => {
            let fact = Fact::of(job);
            let met = || if memory.facts.knows(fact) { Link::Known } else { Link::Checked(backend::verify(job)) };
            match *shared.entry(fact).or_insert_with(met) {
                Link::Known => true,
                Link::Checked(holds) => {
                    if holds {
                        chain.links.push((fact, job.public_key));
                    }
                    holds
                }
            }
        }
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
