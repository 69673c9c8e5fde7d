//! Proposes ordered paths within a budget, and takes the verdict on their signatures. RFC 4158, `design.md` §3.
//!
//! The search is a value: whoever checks signatures calls [`Search::next`], checks the jobs of the candidate, reports each edge,
//! and calls again. That is what lets a thousand searches share one batch of signatures.
//!
//! It stays small whatever is presented: who could have issued whom is looked up once, in sorted order; certificates from which no anchor
//! can be reached by name are never visited; checks of one certificate are made once; a signature is asked for once; every step and
//! every signature is paid from the budget.

use std::rc::Rc;

use crate::budget::{Budget, Counter, Spent};
use crate::certificate::Certificate;
use crate::context::Context;
use crate::error::{Error, Refusal};
use crate::issuers::Issuers;
use crate::name::brief;
use crate::policy::Closed;
use crate::signature::SignatureJob;
use crate::status::{Inquiry, Placed, Status};
use crate::validate::{First, check_end_entity, check_path};

/// A certificate in the search: an index in the presented chain, or in the anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a certificate is presented or trusted; there is no third")]
pub enum Node {
    /// Index in the presented chain; 0 is the end entity.
    Presented(usize),
    /// Index in the anchors.
    Anchor(usize),
}

/// What carries a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "certificates and revocation lists are all there is")]
pub enum Signed {
    /// Index in the presented chain.
    Certificate(usize),
    /// Index in the policy's revocation lists.
    List(usize),
}

/// "This was signed by that certificate's key."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edge {
    pub(crate) signed: Signed,
    pub(crate) issuer: Node,
}

impl Edge {
    /// What carries the signature.
    pub fn signed(self) -> Signed {
        self.signed
    }

    /// Whether the signature is the one on the end entity, which no other chain shares.
    pub fn is_end_entity(self) -> bool {
        self.signed == Signed::Certificate(0)
    }
}

/// A path that is right in everything but the signatures not yet checked.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// What must hold. Each is asked for once in a search.
    pub jobs: Vec<(Edge, SignatureJob<'a>)>,
}

/// A path all of whose rules and signatures hold. Only the search makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedPath {
    presented: Vec<usize>,
    anchor: usize,
}

impl AcceptedPath {
    /// Indices in the presented chain, end entity first.
    pub fn presented(&self) -> &[usize] {
        &self.presented
    }

    /// Index in the anchors.
    pub fn anchor(&self) -> usize {
        self.anchor
    }

    /// Who signed whom, end entity first.
    pub(crate) fn edges(&self) -> impl Iterator<Item = Edge> {
        let issuers =
            self.presented.iter().skip(1).map(|&index| Node::Presented(index)).chain([Node::Anchor(self.anchor)]);
        self.presented.iter().zip(issuers).map(|(&child, issuer)| Edge { signed: Signed::Certificate(child), issuer })
    }
}

/// What the search wants next.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle every step")]
pub enum Step<'a> {
    /// Check these signatures, report them, and call again.
    Candidate(Candidate<'a>),
    /// The end: a good path.
    Accepted(AcceptedPath),
    /// The end: the most telling of the reasons found.
    Refused(Refusal),
}

/// The path that a refusal is about: what was presented, end entity first, and the anchor if it got that far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Indices in the presented chain.
    pub presented: Vec<usize>,
    /// Index in the anchors.
    pub anchor: Option<usize>,
}

/// One chain's search for a path.
#[derive(Debug)]
pub struct Search<'a, 'c> {
    chain: &'a [&'a Certificate<'a>],
    context: &'a Context<'c>,
    /// Made when the search begins, unless they were given.
    issuers: Option<Rc<Issuers<'a, 'c>>>,
    /// What is closed of each presented certificate, as far as the caller has said.
    closed: Vec<Option<Closed>>,
    /// Edges whose signature was asked for, and what was reported.
    edges: Vec<(Edge, EdgeState)>,
    /// The path being built, each certificate with the next of its possible issuers to try.
    frames: Vec<Frame>,
    pending: Option<AcceptedPath>,
    best: Option<(Refusal, Tried)>,
    started: bool,
    budget: Budget,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    certificate: usize,
    next_option: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EdgeState {
    Asked,
    Good,
    Bad,
}

impl<'a, 'c> Search<'a, 'c> {
    /// A search over `chain` (end entity first, the rest in any order) for a path under `context`.
    pub fn new(chain: &'a [&'a Certificate<'a>], context: &'a Context<'c>) -> Self {
        Self {
            chain,
            context,
            issuers: None,
            closed: Vec::new(),
            edges: Vec::new(),
            frames: Vec::new(),
            pending: None,
            best: None,
            started: false,
            budget: Budget::new(context.policy.limits),
        }
    }

    /// Takes the verdict on one signature. What is never reported counts as bad.
    pub fn report(&mut self, edge: Edge, good: bool) {
        if let Some((_, state)) = self.edges.iter_mut().find(|(known, _)| *known == edge) {
            *state = if good { EdgeState::Good } else { EdgeState::Bad };
        }
    }

    /// Uses issuers that are known of another chain; of no avail unless they are those of this chain too.
    #[must_use]
    pub fn with_issuers(mut self, issuers: &Rc<Issuers<'a, 'c>>) -> Self {
        self.issuers = issuers.are_of(self.chain, self.context).then(|| Rc::clone(issuers));
        self
    }

    /// Counts `units` as spent before the search begins: the peer's own handshake signature (`trust.md` §1.8).
    #[must_use]
    pub fn with_units_spent(mut self, units: u32) -> Self {
        // Too many are noticed at the first signature that has to be paid.
        let _noticed_later = self.budget.spend(Counter::SignatureUnits, usize::try_from(units).unwrap_or(usize::MAX));
        self
    }

    /// Says what is closed of each presented certificate: it may then stand in no path.
    #[must_use]
    pub fn with_closed(mut self, closed: Vec<Option<Closed>>) -> Self {
        self.closed = closed;
        self
    }

    /// Work done so far, for tests and metrics.
    pub fn spent(&self) -> Spent {
        self.budget.spent()
    }

    /// The path that the refusal was about, once there was one.
    pub fn tried(&self) -> Tried {
        self.best.as_ref().map(|(_, tried)| tried.clone()).unwrap_or_default()
    }

    /// The next candidate, or the end.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not be told what its last item was worth")]
    pub fn next(&mut self) -> Step<'a> {
        self.advance().unwrap_or_else(Step::Refused)
    }

    /// `Err` ends the search; a candidate that failed is only noted.
    fn advance(&mut self) -> Result<Step<'a>, Refusal> {
        if !self.started {
            self.start()?;
        }
        if let Some(path) = self.pending.take()
            && self.all_good(&path)
            && let Some(step) = self.ask_status(path)?
        {
            return Ok(step);
        }
        while let Some(frame) = self.frames.last_mut() {
            let (child, option) = (frame.certificate, frame.next_option);
            frame.next_option = option.saturating_add(1);
            self.budget.spend(Counter::Steps, 1).map_err(Refusal::whole)?;
            match self.issuers.as_ref().and_then(|issuers| issuers.option(child, option)) {
                Some(issuer)
                    if self.edge_state(Edge { signed: Signed::Certificate(child), issuer }) == Some(EdgeState::Bad) => {
                }
                Some(Node::Anchor(anchor)) => {
                    if let Some(candidate) = self.complete(anchor)? {
                        return Ok(Step::Candidate(candidate));
                    }
                }
                Some(Node::Presented(issuer)) => self.extend(issuer),
                None => {
                    self.frames.pop();
                }
            }
        }
        Err(match &self.best {
            Some((refusal, _)) => refusal.clone(),
            None => self.unknown_issuer(),
        })
    }

    /// The checks that need no path, and the pass that marks from where an anchor can be reached by name.
    fn start(&mut self) -> Result<(), Refusal> {
        self.started = true;
        let limits = &self.context.policy.limits;
        check_size(self.chain.len(), self.chain.iter().map(|one| one.der.len()).sum(), limits)
            .map_err(Refusal::whole)?;
        let end_entity = self.chain.first().ok_or_else(|| Refusal::whole(Error::EmptyChain))?;
        let issuers = self.issuers.get_or_insert_with(|| Rc::new(Issuers::of(self.chain, self.context)));
        if !issuers.reach_anchor(0) {
            return Err(self.unknown_issuer());
        }
        self.frames.reserve(self.chain.len());
        self.frames.push(Frame { certificate: 0, next_option: 0 });
        let (policy, time) = (self.context.policy, self.context.time);
        let checked = self.check_open(0).and_then(|()| check_end_entity(end_entity, policy, time, &mut First));
        if let Err(error) = checked {
            return Err(self.note(Refusal::at(0, error), None));
        }
        Ok(())
    }

    /// Puts a presented certificate on top of the path, unless it stands there already, is no CA, or there is no room.
    fn extend(&mut self, issuer: usize) {
        let Some(&certificate) = self.chain.get(issuer) else { return };
        // RFC 4158 §5.2: the same name with the same key twice is a loop, whatever else differs.
        let on_path = |frame: &Frame| {
            let below = self.chain.get(frame.certificate);
            below.is_some_and(|below| below.subject == certificate.subject && below.spki == certificate.spki)
        };
        if self.frames.iter().any(on_path) {
            return;
        }
        let check = |issuers: &Rc<Issuers<'a, 'c>>| issuers.check_ca(issuer);
        let checked =
            self.check_open(issuer).and_then(|()| self.issuers.as_ref().map_or(Err(Error::EmptyChain), check));
        let position = self.frames.len();
        let refusal = match checked {
            Err(error) => Some(Refusal::at(position, error)),
            // Counted from the anchor, as §6.1.4 (l) counts, the one too many is the one nearest to the end entity.
            Ok(()) => self.check_depth(certificate).err().map(|error| Refusal::at(1, error)),
        };
        self.frames.push(Frame { certificate: issuer, next_option: 0 });
        if let Some(refusal) = refusal {
            self.note(refusal, None);
            self.frames.pop();
        }
    }

    /// That a presented certificate is not closed.
    fn check_open(&self, index: usize) -> Result<(), Error> {
        self.closed.get(index).copied().flatten().map_or(Ok(()), |closed| Err(closed.into()))
    }

    /// Whether one more intermediate has room: self-issued ones are not counted.
    fn check_depth(&self, certificate: &Certificate<'_>) -> Result<(), Error> {
        let limit = self.context.policy.max_intermediates;
        let counted = |frame: &&Frame| self.chain.get(frame.certificate).is_some_and(|one| !one.self_issued());
        let count = self.frames.iter().skip(1).filter(counted).count();
        if certificate.self_issued() || u32::try_from(count).is_ok_and(|count| count < limit) {
            Ok(())
        } else {
            Err(Error::MaxIntermediatesExceeded { limit })
        }
    }

    /// Judges the path built so far under `anchor`; a candidate when only signatures are left to check.
    fn complete(&mut self, anchor: usize) -> Result<Option<Candidate<'a>>, Refusal> {
        self.budget.spend(Counter::Candidates, 1).map_err(Refusal::whole)?;
        let presented: Vec<usize> = self.frames.iter().map(|frame| frame.certificate).collect();
        let path: Vec<&Certificate<'a>> =
            presented.iter().filter_map(|&index| self.chain.get(index).copied()).collect();
        let anchor_certificate: Rc<Certificate<'a>> = match self.context.anchor(anchor) {
            Ok(certificate) => certificate,
            Err(error) => {
                self.note(Refusal::at(path.len(), error), Some(anchor));
                return Ok(None);
            }
        };
        let judged = check_path(&path, &anchor_certificate, self.context.policy, &mut self.budget, &mut First);
        if let Err(refusal) = judged {
            let ends = refusal.error.is_final();
            let refusal = self.note(refusal, Some(anchor));
            return if ends { Err(refusal) } else { Ok(None) };
        }
        let mut jobs = Vec::with_capacity(path.len());
        let issuers = path.iter().skip(1).copied().chain(std::iter::once(&*anchor_certificate));
        let accepted = AcceptedPath { presented, anchor };
        for (position, (edge, (child, issuer))) in accepted.edges().zip(path.iter().zip(issuers)).enumerate() {
            match self.edge_state(edge) {
                Some(EdgeState::Good) => continue,
                Some(EdgeState::Asked | EdgeState::Bad) => return Ok(None),
                None => {}
            }
            match SignatureJob::of(child, issuer) {
                Ok(job) => jobs.push((edge, job)),
                Err(error) => {
                    self.note(Refusal::at(position, error), Some(anchor));
                    return Ok(None);
                }
            }
        }
        self.ask(&jobs, Counter::SignatureUnits)?;
        self.pending = Some(accepted);
        Ok(Some(Candidate { jobs }))
    }

    /// Pays for signatures and remembers that they were asked for.
    fn ask(&mut self, jobs: &[(Edge, SignatureJob<'a>)], counter: Counter) -> Result<(), Refusal> {
        for (edge, job) in jobs {
            let units = usize::try_from(job.key_algorithm.cost_units()).unwrap_or(usize::MAX);
            self.budget.spend(counter, units).map_err(Refusal::whole)?;
            self.edges.push((*edge, EdgeState::Asked));
        }
        Ok(())
    }

    /// Whether every signature of `path` was reported good; notes the first that was not.
    fn all_good(&mut self, path: &AcceptedPath) -> bool {
        // Silence is a no: what was asked and not answered is never asked again.
        for (_, state) in self.edges.iter_mut().filter(|(_, state)| *state == EdgeState::Asked) {
            *state = EdgeState::Bad;
        }
        let bad = path.edges().position(|edge| self.edge_state(edge) != Some(EdgeState::Good));
        let Some(position) = bad else { return true };
        self.note(Refusal::at(position, Error::BadSignature), Some(path.anchor));
        false
    }

    /// What a path whose own signatures hold comes to: accepted, more signatures wanted, or `None` when a certificate is revoked.
    fn ask_status(&mut self, path: AcceptedPath) -> Result<Option<Step<'a>>, Refusal> {
        let Some(revocation) = &self.context.policy.revocation else { return Ok(Some(Step::Accepted(path))) };
        let presented = path
            .presented
            .iter()
            .filter_map(|&index| Some(Placed { node: Node::Presented(index), certificate: **self.chain.get(index)? }));
        let anchor = self.context.anchor(path.anchor).map_err(Refusal::whole)?;
        let placed: Vec<Placed<'a>> =
            presented.chain([Placed { node: Node::Anchor(path.anchor), certificate: *anchor }]).collect();
        let inquiry = Inquiry {
            policy: self.context.policy,
            time: self.context.time,
            revocation,
            path: &placed,
            chain: self.chain,
            edges: &self.edges,
        };
        match inquiry.status() {
            Status::Good => Ok(Some(Step::Accepted(path))),
            Status::Needs(jobs) => {
                self.ask(&jobs, Counter::RevocationUnits)?;
                self.pending = Some(path);
                Ok(Some(Step::Candidate(Candidate { jobs })))
            }
            Status::Refused(refusal) => {
                self.note(refusal, Some(path.anchor));
                Ok(None)
            }
        }
    }

    fn edge_state(&self, edge: Edge) -> Option<EdgeState> {
        self.edges.iter().find(|(known, _)| *known == edge).map(|(_, state)| *state)
    }

    /// Keeps the refusal of the path as it stands if it tells more than what is kept; gives it back.
    fn note(&mut self, refusal: Refusal, anchor: Option<usize>) -> Refusal {
        if self.best.as_ref().is_none_or(|(best, _)| best.error.rank() < refusal.error.rank()) {
            let presented = self.frames.iter().map(|frame| frame.certificate).collect();
            self.best = Some((refusal.clone(), Tried { presented, anchor }));
        }
        refusal
    }

    /// Follows names upward from the end entity as far as they lead, to say whose issuer is missing.
    fn unknown_issuer(&mut self) -> Refusal {
        let mut path = vec![0usize];
        loop {
            let Some(last) = path.last().and_then(|&index| self.chain.get(index)) else {
                return Refusal::whole(Error::EmptyChain);
            };
            // A self-issued certificate is the top of its hierarchy: its own name is the one that is not known.
            let above = path
                .last()
                .filter(|_| !last.self_issued())
                .zip(self.issuers.as_ref())
                .and_then(|(&index, issuers)| issuers.presented(index).find(|above| !path.contains(above)));
            if let Some(index) = above {
                path.push(index);
            } else {
                let refusal =
                    Refusal::at(path.len().saturating_sub(1), Error::UnknownIssuer { issuer: brief(&last.issuer) });
                self.best = Some((refusal.clone(), Tried { presented: path, anchor: None }));
                return refusal;
            }
        }
    }
}

/// That a chain is no larger than the limits allow.
///
/// # Errors
/// `TooManyCertificates`, `ChainTooLarge`.
pub fn check_size(certificates: usize, bytes: usize, limits: &crate::policy::Limits) -> Result<(), Error> {
    if certificates > limits.certificates_count_max {
        return Err(Error::TooManyCertificates { found: certificates, limit: limits.certificates_count_max });
    }
    if bytes > limits.chain_bytes_max {
        return Err(Error::ChainTooLarge { found: bytes, limit: limits.chain_bytes_max });
    }
    Ok(())
}
