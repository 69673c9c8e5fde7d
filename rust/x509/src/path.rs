//! Proposes ordered paths within a budget, and takes the verdict on their signatures. RFC 4158, `design.md` §3.
//!
//! The search is a value: whoever checks signatures calls [`Search::next`], checks the jobs of the candidate, reports each edge,
//! and calls again. That is what lets a thousand searches share one batch of signatures.
//!
//! It stays small whatever is presented: certificates from which no anchor can be reached by name are never visited; checks of one
//! certificate are made once; a signature is asked for once; every step and every signature is paid from the budget.

use crate::anchors::Anchors;
use crate::certificate::Certificate;
use crate::error::{Error, Refusal};
use crate::policy::Policy;
use crate::signature::SignatureJob;
use crate::time::UnixSeconds;
use crate::validate::{check_ca, check_end_entity, validate_path};

/// A certificate in the search: an index in the presented chain, or in the anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a certificate is presented or trusted; there is no third")]
pub enum Node {
    /// Index in the presented chain; 0 is the end entity.
    Presented(usize),
    /// Index in the anchors.
    Anchor(usize),
}

/// "This certificate was signed by that one."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    child: usize,
    issuer: Node,
}

impl Edge {
    /// Whether the signature is the one on the end entity, which no other chain shares.
    pub fn is_end_entity(self) -> bool {
        self.child == 0
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

/// One chain's search for a path.
#[derive(Debug)]
pub struct Search<'a> {
    chain: &'a [Certificate<'a>],
    anchors: &'a Anchors,
    policy: &'a Policy,
    time: UnixSeconds,
    /// Whether an anchor can be reached by name from each presented certificate.
    reachable: Vec<bool>,
    /// The verdict of `check_ca` on each presented certificate, once it was asked for.
    ca_checks: Vec<Option<Result<(), Error>>>,
    /// Edges whose signature was asked for, and what was reported.
    edges: Vec<(Edge, EdgeState)>,
    /// The path being built, each certificate with the next of its possible issuers to try.
    frames: Vec<Frame>,
    pending: Option<AcceptedPath>,
    best: Option<Refusal>,
    started: bool,
    steps: u32,
    candidates: u32,
    signature_units: u32,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    certificate: usize,
    next_option: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EdgeState {
    Asked,
    Good,
    Bad,
}

impl<'a> Search<'a> {
    /// A search over `chain` (end entity first, the rest in any order) for a path to one of `anchors` at `time`.
    pub fn new(chain: &'a [Certificate<'a>], anchors: &'a Anchors, policy: &'a Policy, time: UnixSeconds) -> Self {
        Self {
            chain,
            anchors,
            policy,
            time,
            reachable: Vec::new(),
            ca_checks: Vec::new(),
            edges: Vec::new(),
            frames: Vec::new(),
            pending: None,
            best: None,
            started: false,
            steps: 0,
            candidates: 0,
            signature_units: 0,
        }
    }

    /// Takes the verdict on one signature. What is never reported counts as bad.
    pub fn report(&mut self, edge: Edge, good: bool) {
        if let Some((_, state)) = self.edges.iter_mut().find(|(known, _)| *known == edge) {
            *state = if good { EdgeState::Good } else { EdgeState::Bad };
        }
    }

    /// Counts `units` as spent before the search begins: the peer's own handshake signature (`trust.md` §1.8).
    #[must_use]
    pub fn with_units_spent(mut self, units: u32) -> Self {
        self.signature_units = units;
        self
    }

    /// Signature units asked for so far, for tests and metrics.
    pub fn signature_units(&self) -> u32 {
        self.signature_units
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
        {
            return Ok(Step::Accepted(path));
        }
        while let Some(frame) = self.frames.last_mut() {
            let (child, option) = (frame.certificate, frame.next_option);
            frame.next_option = option.saturating_add(1);
            Self::spend(&mut self.steps, 1, self.policy.limits.steps_count_max, "steps")?;
            match self.option(child, option) {
                Some(issuer) if self.edge_state(Edge { child, issuer }) == Some(EdgeState::Bad) => {}
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
        Err(self.best.take().unwrap_or_else(|| self.unknown_issuer()))
    }

    /// The checks that need no path, and the pass that marks from where an anchor can be reached by name.
    fn start(&mut self) -> Result<(), Refusal> {
        self.started = true;
        let limit = self.policy.limits.certificates_count_max;
        if self.chain.len() > limit {
            return Err(Refusal::whole(Error::TooManyCertificates { found: self.chain.len(), limit }));
        }
        let (limit, found) = (self.policy.limits.chain_bytes_max, self.chain.iter().map(|one| one.der.len()).sum());
        if found > limit {
            return Err(Refusal::whole(Error::ChainTooLarge { found, limit }));
        }
        let end_entity = self.chain.first().ok_or(Refusal::whole(Error::EmptyChain))?;
        self.mark_reachable();
        if self.reachable.first() != Some(&true) {
            return Err(self.unknown_issuer());
        }
        check_end_entity(end_entity, self.policy, self.time).map_err(|error| Refusal::at(0, error))?;
        self.ca_checks = vec![None; self.chain.len()];
        self.frames.push(Frame { certificate: 0, next_option: 0 });
        Ok(())
    }

    /// From the anchors down: at most one pass for each level, each comparing every pair of names once.
    fn mark_reachable(&mut self) {
        self.reachable = self.chain.iter().map(|one| !self.anchors.named(one.issuer.der()).is_empty()).collect();
        loop {
            let found: Vec<bool> = (self.chain.iter().zip(&self.reachable))
                .map(|(one, &reachable)| {
                    reachable
                        || (self.chain.iter().zip(&self.reachable))
                            .any(|(other, &up)| up && other.subject == one.issuer)
                })
                .collect();
            if found == self.reachable {
                return;
            }
            self.reachable = found;
        }
    }

    /// The `option`th possible issuer of `child`: the anchors of that name, then the presented certificates.
    fn option(&self, child: usize, option: usize) -> Option<Node> {
        let issuer = self.chain.get(child)?.issuer;
        let anchors = self.anchors.named(issuer.der());
        if let Some(&anchor) = anchors.get(option) {
            return Some(Node::Anchor(anchor));
        }
        let fits = |index: &usize| {
            self.reachable.get(*index) == Some(&true) && self.chain.get(*index).is_some_and(|one| one.subject == issuer)
        };
        (1..self.chain.len()).filter(fits).nth(option.saturating_sub(anchors.len())).map(Node::Presented)
    }

    /// Puts a presented certificate on top of the path, unless it stands there already or is no CA.
    fn extend(&mut self, issuer: usize) {
        let Some(certificate) = self.chain.get(issuer) else { return };
        // RFC 4158 §5.2: the same name with the same key twice is a loop, whatever else differs.
        let on_path = |frame: &Frame| {
            let below = self.chain.get(frame.certificate);
            below.is_some_and(|below| below.subject == certificate.subject && below.spki == certificate.spki)
        };
        if self.frames.iter().any(on_path) {
            return;
        }
        let (policy, time) = (self.policy, self.time);
        let Some(slot) = self.ca_checks.get_mut(issuer) else { return };
        if let Err(error) = slot.get_or_insert_with(|| check_ca(certificate, policy, time)).clone() {
            return self.note(Refusal::at(self.frames.len(), error));
        }
        self.frames.push(Frame { certificate: issuer, next_option: 0 });
    }

    /// Judges the path built so far under `anchor`; a candidate when only signatures are left to check.
    fn complete(&mut self, anchor: usize) -> Result<Option<Candidate<'a>>, Refusal> {
        Self::spend(&mut self.candidates, 1, self.policy.limits.candidates_count_max, "candidates")?;
        let Some(Ok(anchor_certificate)) = self.anchors.get(anchor).map(super::anchors::Anchor::certificate) else {
            return Ok(None);
        };
        let presented: Vec<usize> = self.frames.iter().map(|frame| frame.certificate).collect();
        let path: Vec<&Certificate<'a>> = presented.iter().filter_map(|&index| self.chain.get(index)).collect();
        if let Err(refusal) = validate_path(&path, &anchor_certificate, self.policy, self.time) {
            self.note(refusal);
            return Ok(None);
        }
        let mut jobs = Vec::with_capacity(path.len());
        let issuers = path.iter().skip(1).copied().chain(std::iter::once(&anchor_certificate));
        let path = AcceptedPath { presented, anchor };
        for (position, (edge, issuer)) in path.edges().zip(issuers).enumerate() {
            match self.edge_state(edge) {
                Some(EdgeState::Good) => continue,
                Some(EdgeState::Asked | EdgeState::Bad) => return Ok(None),
                None => {}
            }
            let Some(child) = self.chain.get(edge.child) else { return Ok(None) };
            match SignatureJob::of(child, issuer) {
                Ok(job) => jobs.push((edge, job)),
                Err(error) => {
                    self.note(Refusal::at(position, error));
                    return Ok(None);
                }
            }
        }
        for (edge, job) in &jobs {
            let limit = self.policy.limits.signature_units_max;
            Self::spend(&mut self.signature_units, job.key_algorithm.cost_units(), limit, "signature units")?;
            self.edges.push((*edge, EdgeState::Asked));
        }
        self.pending = Some(path);
        Ok(Some(Candidate { jobs }))
    }

    /// Whether every signature of `path` was reported good; notes the first that was not.
    fn all_good(&mut self, path: &AcceptedPath) -> bool {
        let bad = path.edges().position(|edge| self.edge_state(edge) != Some(EdgeState::Good));
        let Some(position) = bad else { return true };
        // Silence is a no: what was asked and not answered is never asked again.
        for (_, state) in self.edges.iter_mut().filter(|(_, state)| *state == EdgeState::Asked) {
            *state = EdgeState::Bad;
        }
        self.note(Refusal::at(position, Error::BadSignature));
        false
    }

    fn edge_state(&self, edge: Edge) -> Option<EdgeState> {
        self.edges.iter().find(|(known, _)| *known == edge).map(|(_, state)| *state)
    }

    fn note(&mut self, refusal: Refusal) {
        if self.best.as_ref().is_none_or(|best| best.error.rank() < refusal.error.rank()) {
            self.best = Some(refusal);
        }
    }

    /// Follows names upward from the end entity as far as they lead, to say whose issuer is missing.
    fn unknown_issuer(&self) -> Refusal {
        let mut path = vec![0usize];
        loop {
            let Some(last) = path.last().and_then(|&index| self.chain.get(index)) else {
                return Refusal::whole(Error::EmptyChain);
            };
            // A self-issued certificate is the top of its hierarchy: its own name is the one that is not known.
            let above = (0..if last.self_issued() { 0 } else { self.chain.len() }).find(|index| {
                !path.contains(index) && self.chain.get(*index).is_some_and(|one| one.subject == last.issuer)
            });
            if let Some(index) = above {
                path.push(index);
            } else {
                let issuer = last.issuer.to_string();
                return Refusal::at(path.len().saturating_sub(1), Error::UnknownIssuer { issuer });
            }
        }
    }

    fn spend(counter: &mut u32, units: u32, limit: u32, what: &'static str) -> Result<(), Refusal> {
        *counter = counter.saturating_add(units);
        if *counter > limit { Err(Refusal::whole(Error::BudgetExceeded { what, limit })) } else { Ok(()) }
    }
}

impl AcceptedPath {
    /// Who signed whom, end entity first.
    fn edges(&self) -> impl Iterator<Item = Edge> {
        let issuers =
            self.presented.iter().skip(1).map(|&index| Node::Presented(index)).chain([Node::Anchor(self.anchor)]);
        self.presented.iter().zip(issuers).map(|(&child, issuer)| Edge { child, issuer })
    }
}
