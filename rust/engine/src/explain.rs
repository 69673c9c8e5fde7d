//! A verdict with everything that led to it, for people: the path that it is about, and what each rule says of each certificate.

use holdfast_x509::{
    Certificate, Context, Error, Finding, Refusal, Rule, Search, SignatureJob, Step, Tried, UnixSeconds, examine,
    follow,
};

use crate::read::Read;
use crate::verified::{Above, VerifiedPath};
use crate::{Verifier, backend, closures};

/// What came of a chain, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The verdict, the same that [`Verifier::verify`] gives.
    pub verdict: Result<VerifiedPath, Refusal>,
    /// The path that it is about, completed by names where the judgement ended before its top. Where a certificate cannot be read
    /// there is none: all that was presented, in that order.
    pub path: Tried,
    /// What each rule says of each certificate, in the order of positions and rules; nothing where a certificate cannot be read.
    pub findings: Vec<Finding>,
}

impl Explanation {
    /// Which of the findings is the one that refused.
    pub fn refusing(&self) -> Option<usize> {
        let refusal = self.verdict.as_ref().err()?;
        let same = |one: &Finding| Some(one.position) == refusal.position && one.found.as_ref() == Err(&refusal.error);
        self.findings.iter().position(same)
    }
}

impl Verifier {
    /// Judges one chain as [`Verifier::verify`] does, and says what each rule found.
    ///
    /// Cost: that of the verdict, and once more all rules and signatures of one path.
    pub fn explain(&self, chain: &[&[u8]], at: UnixSeconds) -> Explanation {
        let presented = Tried { presented: (0..chain.len()).collect(), anchor: None };
        let mut read = Read::of_block(1);
        if let Err(refusal) = read.chain(chain, &self.policy.limits) {
            return Explanation { verdict: Err(refusal), path: presented, findings: Vec::new() };
        }
        let certificates = read.chains();
        let context = Context::new(&self.anchors, &self.policy, at).with_closed_anchors(&self.closed_anchors);
        let closed = closures::of_chain(&certificates, &self.policy.closures);
        let mut search = Search::new(&certificates, &context).with_closed(closed);
        let (verdict, mut path) = loop {
            match search.next() {
                Step::Candidate(candidate) => {
                    for (edge, job) in candidate.jobs {
                        search.report(edge, self.lists.check(edge, &job, backend::verify));
                    }
                }
                Step::Accepted(path) => {
                    let tried = Tried { presented: path.presented().to_vec(), anchor: Some(path.anchor()) };
                    let above = Above::new(&certificates, &context, &path);
                    break (above.and_then(|above| VerifiedPath::new(&certificates, above.into(), None)), tried);
                }
                Step::Refused(refusal) => break (Err(refusal), search.tried()),
            }
        };
        // A refusal that is about no path at all is about the end entity.
        if path.presented.is_empty() {
            path.presented.extend((!chain.is_empty()).then_some(0));
        }
        if !matches!(&verdict, Err(Refusal { error: Error::UnknownIssuer { .. }, .. })) {
            path = follow(&certificates, path, &context);
        }
        let mut findings = examine(&certificates, &path, &context);
        findings.extend(self.signatures(&certificates, &path));
        let mut explanation = Explanation { verdict, path, findings };
        explanation.complete(self);
        explanation
    }

    /// What each signature of a path is worth: all of them, for the search stops at the first that is bad.
    fn signatures(&self, chain: &[&Certificate<'_>], path: &Tried) -> Vec<Finding> {
        let anchor = path.anchor.and_then(|index| self.anchors.get(index)?.certificate().ok());
        let presented = path.presented.iter().filter_map(|&index| chain.get(index).copied());
        let issuers = presented.clone().skip(1).chain(&anchor);
        let check = |(position, (child, issuer))| {
            let job = SignatureJob::of(child, issuer);
            let found = job.and_then(|job| if backend::verify(&job) { Ok(()) } else { Err(Error::BadSignature) });
            Finding { position, rule: Rule::Signature, found }
        };
        presented.zip(issuers).enumerate().map(check).collect()
    }
}

impl Explanation {
    /// Adds what the search alone knows: the reason that no rule of a single path gives, and who was asked about.
    fn complete(&mut self, verifier: &Verifier) {
        let asked = verifier.policy.revocation.is_some();
        match &self.verdict {
            Ok(_) if asked => {
                let depth = verifier.policy.revocation.as_ref().map(|revocation| revocation.depth);
                let count = if depth == Some(holdfast_x509::RevocationDepth::EndEntity) {
                    1
                } else {
                    self.path.presented.len()
                };
                self.findings.extend((0..count).map(|position| Finding {
                    position,
                    rule: Rule::Revocation,
                    found: Ok(()),
                }));
            }
            Err(Refusal { position: Some(position), error }) if self.refusing().is_none() => {
                let rule = if matches!(error, Error::UnknownIssuer { .. }) {
                    Some(Rule::IssuerName)
                } else if matches!(error, Error::MaxIntermediatesExceeded { .. }) {
                    Some(Rule::PathLength)
                } else if matches!(error, Error::KeyClosed | Error::CertificateClosed) {
                    Some(Rule::Open)
                } else {
                    asked.then_some(Rule::Revocation)
                };
                let (position, found) = (*position, Err(error.clone()));
                self.findings.extend(rule.map(|rule| Finding { position, rule, found }));
            }
            Ok(_) | Err(_) => {}
        }
        self.findings.sort_by_key(|finding| (finding.position, finding.rule, finding.found.is_ok()));
        self.findings.dedup_by_key(|finding| (finding.position, finding.rule));
    }
}
