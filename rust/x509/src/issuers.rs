//! Who could have issued whom, by name, and what was found of each possible issuer by itself.
//!
//! Neither depends on an end entity but by the name of its issuer: chains that present the same certificates above end entities of one
//! issuer share both.

use std::cell::RefCell;
use std::ops::Range;
use std::ptr;

use crate::certificate::Certificate;
use crate::context::Context;
use crate::error::Error;
use crate::name::Name;
use crate::path::Node;
use crate::validate::{First, check_ca};

/// The possible issuers of a chain's certificates.
///
/// An issuer is looked for by the very bytes of its name; only where nobody bears it so, by the folded name (RFC 5280 §7.1).
#[derive(Debug)]
pub struct Issuers<'a, 'c> {
    chain: &'a [&'a Certificate<'a>],
    context: &'a Context<'c>,
    /// Presented certificates but the end entity, in the order of their subjects' bytes.
    by_subject: Vec<usize>,
    /// The same in the order of their folded subjects; made when first needed.
    by_folded: Vec<usize>,
    links: Vec<Link<'a>>,
    /// The verdict of `check_ca` on each presented certificate, once it was asked for.
    ca_checks: RefCell<Vec<Option<Result<(), Error>>>>,
}

/// The possible issuers of one certificate.
#[derive(Debug, Default)]
struct Link<'a> {
    anchors: &'a [usize],
    presented: Range<usize>,
    /// Whether `presented` is a range of `by_folded`.
    folded: bool,
    reaches_anchor: bool,
}

impl<'a, 'c> Issuers<'a, 'c> {
    /// Those of `chain`, whose size is bounded ([`crate::check_size`]), under `context`.
    pub fn of(chain: &'a [&'a Certificate<'a>], context: &'a Context<'c>) -> Self {
        let subject = |index: &usize| chain.get(*index).map_or(&[][..], |one| one.subject.der());
        let mut by_subject: Vec<usize> = (1..chain.len()).collect();
        by_subject.sort_by(|left, right| subject(left).cmp(subject(right)));
        let mut issuers = Self {
            chain,
            context,
            by_subject,
            by_folded: Vec::new(),
            links: Vec::with_capacity(chain.len()),
            ca_checks: RefCell::new(vec![None; chain.len()]),
        };
        let mut folded_subjects: Vec<Option<Vec<u8>>> = Vec::new();
        for certificate in chain {
            let name = certificate.issuer.der();
            let anchors = context.anchors.named(&certificate.issuer);
            let presented = equal_range(&issuers.by_subject, |index| subject(index).cmp(name));
            let mut link = Link { anchors, presented, ..Link::default() };
            if link.anchors.is_empty() && link.presented.is_empty() && certificate.issuer.is_foldable() {
                if folded_subjects.is_empty() {
                    let fold = |name: &Name<'_>| name.is_foldable().then(|| name.folded());
                    folded_subjects = chain.iter().map(|one| fold(&one.subject)).collect();
                    issuers.by_folded.clone_from(&issuers.by_subject);
                    issuers.by_folded.sort_by_key(|index| folded_subjects.get(*index));
                }
                let folded = Some(certificate.issuer.folded());
                link.anchors = folded.as_deref().map_or(&[], |folded| context.anchors.matching(folded));
                link.presented =
                    equal_range(&issuers.by_folded, |index| folded_subjects.get(*index).cmp(&Some(&folded)));
                link.folded = true;
            }
            issuers.links.push(link);
        }
        issuers.mark_reachable();
        issuers
    }

    /// Whether they are those of `chain` under `context` too: the very same certificates stand above an end entity of the same issuer.
    pub fn are_of(&self, chain: &[&Certificate<'_>], context: &Context<'c>) -> bool {
        let (Some((own, above)), Some((other, others))) = (self.chain.split_first(), chain.split_first()) else {
            return false;
        };
        // Both are borrowed here, so one address is one certificate, read and judged alike.
        let same = above.len() == others.len() && above.iter().zip(others).all(|(one, other)| ptr::eq(*one, *other));
        same && own.issuer == other.issuer && ptr::eq(self.context, context)
    }

    /// What is wrong with a presented certificate as an issuer, whatever its place in a path.
    pub(crate) fn check_ca(&self, index: usize) -> Result<(), Error> {
        let mut checks = self.ca_checks.borrow_mut();
        let (Some(certificate), Some(check)) = (self.chain.get(index), checks.get_mut(index)) else {
            return Err(Error::EmptyChain);
        };
        let judge = || check_ca(certificate, 0, self.context.policy, self.context.time, &mut First);
        check.get_or_insert_with(judge).clone()
    }

    /// From the anchors down: each certificate is taken once, and looked for among the possible issuers of every other.
    fn mark_reachable(&mut self) {
        let mut places = vec![(usize::MAX, usize::MAX); self.links.len()];
        for (place, &index) in self.by_subject.iter().enumerate() {
            if let Some(places) = places.get_mut(index) {
                places.0 = place;
            }
        }
        for (place, &index) in self.by_folded.iter().enumerate() {
            if let Some(places) = places.get_mut(index) {
                places.1 = place;
            }
        }
        let mut queue: Vec<usize> = Vec::with_capacity(self.links.len());
        for (index, link) in self.links.iter_mut().enumerate().filter(|(_, link)| !link.anchors.is_empty()) {
            link.reaches_anchor = true;
            queue.push(index);
        }
        while let Some(&(plain, folded)) = queue.pop().and_then(|index| places.get(index)) {
            for (index, link) in self.links.iter_mut().enumerate().filter(|(_, link)| !link.reaches_anchor) {
                if link.presented.contains(if link.folded { &folded } else { &plain }) {
                    link.reaches_anchor = true;
                    queue.push(index);
                }
            }
        }
    }

    /// Whether names lead from a presented certificate to an anchor.
    pub(crate) fn reach_anchor(&self, index: usize) -> bool {
        self.links.get(index).is_some_and(|link| link.reaches_anchor)
    }

    /// The presented certificates that bear the name of `child`'s issuer.
    pub(crate) fn presented(&self, child: usize) -> impl Iterator<Item = usize> {
        let indices = self.links.get(child).and_then(|link| {
            let all = if link.folded { &self.by_folded } else { &self.by_subject };
            all.get(link.presented.clone())
        });
        indices.unwrap_or_default().iter().copied()
    }

    /// The `option`th possible issuer of `child` from which an anchor can be reached: anchors first.
    pub(crate) fn option(&self, child: usize, option: usize) -> Option<Node> {
        let anchors = self.links.get(child)?.anchors;
        if let Some(&anchor) = anchors.get(option) {
            return Some(Node::Anchor(anchor));
        }
        let option = option.saturating_sub(anchors.len());
        self.presented(child).filter(|index| self.reach_anchor(*index)).nth(option).map(Node::Presented)
    }
}

/// The range of a sorted slice in which `compare` says equal.
fn equal_range(sorted: &[usize], compare: impl Fn(&usize) -> std::cmp::Ordering) -> Range<usize> {
    sorted.partition_point(|index| compare(index).is_lt())..sorted.partition_point(|index| compare(index).is_le())
}
