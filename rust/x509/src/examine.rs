//! Every rule that is asked of a path, one by one, for people: where the judgement ends at the first that is broken, this goes on.

use crate::budget::Budget;
use crate::certificate::Certificate;
use crate::context::Context;
use crate::error::{Error, Refusal};
use crate::path::Tried;
use crate::validate::{Rule, Sink, check_anchor_in_path, check_ca, check_end_entity, check_path};

/// What one rule says of one certificate of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "whoever checks signatures adds findings of its own")]
pub struct Finding {
    /// Place in the path, 0 the end entity; the anchor's is the number of those presented.
    pub position: usize,
    /// What was asked.
    pub rule: Rule,
    /// Whether it is kept.
    pub found: Result<(), Error>,
}

/// Takes everything, ends nothing.
struct All(Vec<Finding>);

impl All {
    /// Notes what broke off the judgement itself: a value that no rule could read.
    fn broke_off(&mut self, position: usize, rule: Rule, judged: Result<(), Error>) {
        if let Err(error) = judged {
            self.0.push(Finding { position, rule, found: Err(error) });
        }
    }
}

impl Sink for All {
    fn take(&mut self, position: usize, rule: Rule, found: Result<(), Error>) -> Result<(), Error> {
        self.0.push(Finding { position, rule, found });
        Ok(())
    }
}

/// `tried`, and from its top on by names alone as far as they lead: what the search had no need to look at.
pub fn follow(chain: &[&Certificate<'_>], mut tried: Tried, context: &Context<'_>) -> Tried {
    while tried.anchor.is_none() {
        let Some(top) = tried.presented.last().and_then(|&index| chain.get(index)) else { break };
        let issued_by = |other: &Certificate<'_>| top.issuer.matches(&other.subject);
        tried.anchor =
            context.anchors().iter().position(|anchor| anchor.certificate().is_ok_and(|one| issued_by(&one)));
        let above = |(index, other): (usize, &&Certificate<'_>)| {
            let fits = issued_by(other) && !tried.presented.contains(&index);
            fits.then_some(index)
        };
        match chain.iter().enumerate().find_map(above) {
            Some(index) if tried.anchor.is_none() => tried.presented.push(index),
            _ => break,
        }
    }
    tried
}

/// What each rule says of each certificate of `tried`, in the order of positions and rules: all but signatures and revocation, which
/// are not this crate's to check. A rule that is broken once is broken, whatever it says elsewhere of the same certificate.
///
/// Cost: that of judging one path, whatever was found.
pub fn examine(chain: &[&Certificate<'_>], tried: &Tried, context: &Context<'_>) -> Vec<Finding> {
    let (policy, time) = (context.policy(), context.time());
    let path: Vec<&Certificate<'_>> = tried.presented.iter().filter_map(|&index| chain.get(index).copied()).collect();
    let mut all = All(Vec::new());
    for (position, certificate) in path.iter().enumerate() {
        let judged = match position {
            0 => check_end_entity(certificate, policy, time, &mut all),
            _ => check_ca(certificate, position, policy, time, &mut all),
        };
        all.broke_off(position, Rule::CriticalExtensions, judged);
    }
    let anchor = tried.anchor.and_then(|index| context.anchors().get(index)).map(crate::Anchor::certificate);
    if let Some(Ok(anchor)) = anchor {
        let judged = check_anchor_in_path(&anchor, path.len(), policy, time, &mut all);
        all.broke_off(path.len(), Rule::CriticalExtensions, judged);
        let judged = check_path(&path, &anchor, policy, &mut Budget::new(policy.limits), &mut all);
        if let Err(Refusal { position, error }) = judged {
            all.broke_off(position.unwrap_or(0), Rule::BasicConstraints, Err(error));
        }
    }
    let mut findings = all.0;
    findings.sort_by_key(|finding| (finding.position, finding.rule, finding.found.is_ok()));
    findings.dedup_by_key(|finding| (finding.position, finding.rule));
    findings
}
