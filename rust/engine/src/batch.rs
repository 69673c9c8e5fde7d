//! One block of chains: their searches side by side, and the signatures that all of them wait for, each once.

use std::collections::HashMap;
use std::convert::Infallible;

use holdfast_x509::{
    Certificate, Context, Edge, Error, Limits, Refusal, Search, SignatureJob, Signed, Step, check_size,
};

use crate::backend;
use crate::bulk::Bulk;
use crate::closures;
use crate::facts::{Fact, Facts};
use crate::lists::ListFacts;
use crate::memo::Memo;
use crate::verified::{Fingerprints, VerifiedPath};

type Outcome = Result<VerifiedPath, Refusal>;

/// A chain on the way to its verdict.
struct Open<'a, 'c> {
    index: usize,
    certificates: &'a [Certificate<'a>],
    search: Search<'a, 'c>,
    /// The signature on the end entity, and those between CAs that were checked and held, each with the key that made it.
    leaf: Option<(Fact, &'a [u8])>,
    links: Vec<(Fact, &'a [u8])>,
    /// The key that made the signature on the end entity, if the kernel's batch decided it.
    bulk_key: Option<&'a [u8]>,
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
    /// Who decides them if not: what becomes a fact, and what admits anybody, is aws-lc-rs's (`trust.md` §6).
    pub(crate) bulk: &'a Bulk,
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
    let mut read = Memo::of_block(chains.len());
    let parsed: Vec<_> =
        chains.iter().map(|(chain, _)| parse(chain.as_ref(), &context.policy().limits, &mut read)).collect();
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(parsed.len());
    let mut open = Vec::with_capacity(parsed.len());
    for (index, (certificates, &(_, units_spent))) in parsed.iter().zip(chains).enumerate() {
        match certificates {
            Ok(certificates) => {
                outcomes.push(None);
                let closed = closures::of_chain(certificates, &context.policy().closures);
                let search = Search::new(certificates, context).with_units_spent(units_spent).with_closed(closed);
                open.push(Open { index, certificates, search, leaf: None, links: Vec::new(), bulk_key: None });
            }
            Err(refusal) => outcomes.push(Some(Err(refusal.clone()))),
        }
    }
    let (mut links, mut fingerprints) = (Links::of_block(chains.len()), Fingerprints::of_block(chains.len()));
    let mut bulk_keys = Vec::new();
    while !open.is_empty() {
        let mut waiting = Vec::with_capacity(open.len());
        open.retain_mut(|chain| {
            let outcome = match chain.search.next() {
                Step::Candidate(candidate) => {
                    waiting.push(candidate.jobs);
                    return true;
                }
                Step::Accepted(path) => {
                    for (fact, issuer) in chain.links.drain(..) {
                        memory.facts.meet(fact, issuer);
                    }
                    bulk_keys.extend(chain.bulk_key);
                    VerifiedPath::new(chain.certificates, context.anchors(), &path, chain.leaf, &mut fingerprints)
                }
                Step::Refused(refusal) => Err(refusal),
            };
            if let Some(place) = outcomes.get_mut(chain.index) {
                *place = Some(outcome);
            }
            false
        });
        let (mut in_bulk, mut bulk_jobs) = (Vec::with_capacity(open.len()), Vec::with_capacity(open.len()));
        for (place, (chain, jobs)) in open.iter_mut().zip(waiting).enumerate() {
            for (edge, job) in jobs {
                if edge.is_end_entity() && !memory.known_leaves && Bulk::takes(&job) {
                    in_bulk.push((place, edge));
                    bulk_jobs.push(job);
                } else {
                    let holds = check(&mut links, memory, chain, edge, &job);
                    chain.search.report(edge, holds);
                }
            }
        }
        let held = memory.bulk.verify(&bulk_jobs);
        for (((place, edge), job), holds) in in_bulk.into_iter().zip(bulk_jobs).zip(held) {
            if let Some(chain) = open.get_mut(place) {
                chain.search.report(edge, holds);
                chain.bulk_key = holds.then_some(job.public_key);
            }
        }
    }
    memory.bulk.met(bulk_keys);
    // Every search ends in a verdict; a chain without one would be refused.
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err(Refusal::whole(Error::EmptyChain)))).collect()
}

/// The signatures between CAs that this block has met.
struct Links<'a> {
    /// By what was signed; the rest of the job is compared.
    facts: Memo<'a, (SignatureJob<'a>, Fact)>,
    states: HashMap<Fact, Link>,
}

impl<'a> Links<'a> {
    fn of_block(chains: usize) -> Self {
        Self { facts: Memo::of_block(chains), states: HashMap::new() }
    }

    fn fact(&mut self, job: &SignatureJob<'a>) -> Fact {
        match self.facts.value(job.message, || Ok::<_, Infallible>((*job, Fact::of(job)))) {
            Ok((known, fact)) if known == *job => fact,
            // The same octets, signed by another key or otherwise.
            _ => Fact::of(job),
        }
    }
}

/// Checks a signature, if it is not known to be good.
fn check<'a>(
    links: &mut Links<'a>,
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
            let fact = links.fact(job);
            let met = || if memory.facts.knows(fact) { Link::Known } else { Link::Checked(backend::verify(job)) };
            match *links.states.entry(fact).or_insert_with(met) {
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

/// Parses a chain, no larger than the limits allow. Certificates above the end entity are read once for all chains that present them.
pub(crate) fn parse<'a, D: AsRef<[u8]>>(
    chain: &'a [D],
    limits: &Limits,
    read: &mut Memo<'a, Certificate<'a>>,
) -> Result<Vec<Certificate<'a>>, Refusal> {
    let bytes = chain.iter().map(|der| der.as_ref().len()).sum();
    check_size(chain.len(), bytes, limits).map_err(Refusal::whole)?;
    let one = |(position, der): (usize, &'a D)| {
        let parse = || Certificate::parse(der.as_ref());
        let certificate = if position == 0 { parse() } else { read.value(der.as_ref(), parse) };
        certificate.map_err(|error| Refusal::at(position, error))
    };
    chain.iter().enumerate().map(one).collect()
}
