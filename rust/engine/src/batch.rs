//! One block of chains: their searches side by side, and the signatures that all of them wait for, each once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::rc::Rc;

use holdfast_x509::{Certificate, Context, Edge, Error, Refusal, Search, SignatureJob, Signed, Step};

use crate::backend;
use crate::bulk::Bulk;
use crate::closures;
use crate::facts::{Fact, Facts};
use crate::family::{Families, Family};
use crate::lists::ListFacts;
use crate::memo::{Memo, same};
use crate::read::Read;
use crate::verified::VerifiedPath;

type Outcome = Result<VerifiedPath, Refusal>;

/// A chain on the way to its verdict.
struct Open<'a, 'c> {
    index: usize,
    certificates: &'a [&'a Certificate<'a>],
    family: Rc<Family<'a, 'c>>,
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
    let mut read = Read::of_block(chains.len());
    let limits = &context.policy().limits;
    let places: Vec<_> = chains.iter().map(|(chain, _)| read.chain(chain.as_ref(), limits)).collect();
    let certificates = read.chains();
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(chains.len());
    let mut open = Vec::with_capacity(chains.len());
    let (mut families, mut links) = (Families::of_block(chains.len()), Links::of_block(chains.len()));
    for (index, (place, &(_, units_spent))) in places.into_iter().zip(chains).enumerate() {
        let certificates = match place {
            Ok(place) => certificates.get(place).unwrap_or_default(),
            Err(refusal) => {
                outcomes.push(Some(Err(refusal)));
                continue;
            }
        };
        outcomes.push(None);
        let family = families.of(certificates, context);
        let closed = closures::of_chain(certificates, &context.policy().closures);
        let search = Search::new(certificates, context).with_issuers(&family.issuers);
        let search = search.with_units_spent(units_spent).with_closed(closed);
        open.push(Open { index, certificates, family, search, leaf: None, links: Vec::new(), bulk_key: None });
    }
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
                    let above = chain.family.above(chain.certificates, context, &path);
                    above.and_then(|above| VerifiedPath::new(chain.certificates, above, chain.leaf))
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
    recent: Memo<'a, (SignatureJob<'a>, Fact, Link)>,
    all: HashMap<Fact, Link>,
}

impl<'a> Links<'a> {
    fn of_block(chains: usize) -> Self {
        Self { recent: Memo::of_block(chains), all: HashMap::new() }
    }

    /// What is known of a signature; it is checked if that is nothing.
    fn meet(&mut self, job: &SignatureJob<'a>, facts: &Facts) -> (Fact, Link) {
        let Self { recent, all } = self;
        let is_same = |(known, ..): &(SignatureJob<'a>, Fact, Link)| {
            (known.algorithm, known.key_algorithm) == (job.algorithm, job.key_algorithm)
                && same(known.public_key, job.public_key)
                && same(known.signature, job.signature)
        };
        let make = || {
            let fact = Fact::of(job);
            let check =
                || if facts.knows(fact, job.public_key) { Link::Known } else { Link::Checked(backend::verify(job)) };
            Ok::<_, Infallible>((*job, fact, *all.entry(fact).or_insert_with(check)))
        };
        let (_, fact, link) = recent.value_if(job.message, is_same, make).unwrap_or_else(|never| match never {});
        (fact, link)
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
            let holds = memory.facts.knows(fact, job.public_key) || backend::verify(job);
            if holds {
                chain.leaf = Some((fact, job.public_key));
            }
            holds
        }
        // One chain alone, and nothing that could be known of it.
        Signed::Certificate(_) if links.recent.is_off() && memory.facts.have_no_room() => backend::verify(job),
        Signed::Certificate(_) => match links.meet(job, memory.facts) {
            (_, Link::Known) => true,
            (fact, Link::Checked(holds)) => {
                if holds {
                    chain.links.push((fact, job.public_key));
                }
                holds
            }
        },
    }
}
