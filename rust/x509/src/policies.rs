//! Certificate policies along a path, in time linear in what the certificates say. RFC 5280 §6.1 as RFC 9618 rewrites it.
//!
//! RFC 5280's tree can be made to grow exponentially (P12); RFC 9618 keeps one node for each policy of a level and lets it have several
//! parents. Nothing but "is there an acceptable policy" is asked of the graph here, so its nodes are followed upward once, at the end.
//!
//! Deviation: qualifiers are not returned. Deviation: a trust anchor's policy constraints count, its policies do not (RFC 5937 §3 is
//! optional; an anchor that says less must not forbid more).

use crate::budget::{Budget, Counter};
use crate::certificate::Certificate;
use crate::der::{self, DerFault, Reader};
use crate::error::Error;
use crate::extension::Extensions;

/// anyPolicy, 2.5.29.32.0.
const ANY_POLICY: &[u8] = &[0x55, 0x1d, 0x20, 0x00];

/// The inputs of §6.1.1 (c), (e), (f), (g).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyInputs {
    /// user-initial-policy-set: contents of object identifiers; `None` is any-policy.
    pub acceptable: Option<Vec<Box<[u8]>>>,
    /// initial-explicit-policy: whether a path must be valid for one of them, or for any at all.
    pub explicit: Demand,
    /// initial-policy-mapping-inhibit: whether mappings are ignored.
    pub inhibit_mapping: Demand,
    /// initial-any-policy-inhibit: whether anyPolicy in a certificate counts for nothing.
    pub inhibit_any: Demand,
}

/// Whether something is asked of a path from its first certificate on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "asked or not")]
pub enum Demand {
    /// Only where a certificate asks for it.
    #[default]
    ByCertificates,
    /// From the start.
    Always,
}

/// issuerDomainPolicy and subjectDomainPolicy, §4.2.1.5.
type Mapping<'a> = (&'a [u8], &'a [u8]);

/// `policyConstraints`, §4.2.1.11.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Constraints {
    require_explicit_policy: Option<u32>,
    inhibit_policy_mapping: Option<u32>,
}

/// One level of the graph of RFC 9618 §5.1: what one certificate's policies mean.
#[derive(Debug, Default)]
struct Level<'a> {
    /// Whether there is a node for anyPolicy. Its parent is always the anyPolicy node above.
    any: bool,
    nodes: Vec<Node<'a>>,
    /// (policy, node): which node each policy of the next certificate would be a child of, in the order of policies.
    expected: Vec<(&'a [u8], usize)>,
}

/// A policy that is not anyPolicy.
#[derive(Debug)]
struct Node<'a> {
    policy: &'a [u8],
    parents: Parents,
}

#[derive(Debug)]
enum Parents {
    /// The anyPolicy node of the level above: this is where the policy enters the path.
    Any,
    /// Nodes of the level above: a range of its `expected`.
    Nodes(std::ops::Range<usize>),
}

/// The state variables (a), (d), (e), (f) of §6.1.2.
#[derive(Debug)]
pub(crate) struct PolicyState<'a> {
    /// The graph by levels; `None` is NULL.
    graph: Option<Vec<Level<'a>>>,
    explicit_policy: u32,
    inhibit_any_policy: u32,
    policy_mapping: u32,
}

impl<'a> PolicyState<'a> {
    /// §6.1.2 for a path of `length` certificates under `anchor`.
    pub(crate) fn new(inputs: &PolicyInputs, length: usize, anchor: &Extensions<'_>) -> Result<Self, Error> {
        let unlimited = u32::try_from(length).unwrap_or(u32::MAX).saturating_add(1);
        let initial = |demand| if demand == Demand::Always { 0 } else { unlimited };
        let mut state = Self {
            graph: Some(vec![Level { any: true, ..Level::default() }]),
            explicit_policy: initial(inputs.explicit),
            inhibit_any_policy: initial(inputs.inhibit_any),
            policy_mapping: initial(inputs.inhibit_mapping),
        };
        state.constrain(anchor)?;
        Ok(state)
    }

    /// §6.1.3 (d)–(f) for the next certificate; `last` says that it is the end entity.
    pub(crate) fn process(
        &mut self,
        certificate: &Certificate<'a>,
        last: bool,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        // Reading them anew for each path is paid as well.
        let octets = certificate.extensions.certificate_policies.map_or(0, <[u8]>::len);
        budget.spend(Counter::Comparisons, octets.div_euclid(4))?;
        // (e) Without the extension, the graph is NULL.
        let policies = certificate.extensions.policies()?;
        self.graph = match (self.graph.take(), policies) {
            (Some(graph), Some(policies)) => self.extend(graph, &policies, certificate, last, budget)?,
            _ => None,
        };
        // (f)
        if self.explicit_policy == 0 && self.graph.is_none() { Err(Error::PolicyNotValid) } else { Ok(()) }
    }

    /// (d) RFC 9618 §5.3.
    fn extend(
        &self,
        mut graph: Vec<Level<'a>>,
        policies: &[&'a [u8]],
        certificate: &Certificate<'a>,
        last: bool,
        budget: &mut Budget,
    ) -> Result<Option<Vec<Level<'a>>>, Error> {
        let Some(above) = graph.last() else { return Ok(None) };
        budget.spend(Counter::Comparisons, policies.len().saturating_add(above.expected.len()).saturating_mul(4))?;
        let mut level = Level::default();
        // (1) Each policy is a child of every node that expects it; else of anyPolicy, if that is there.
        for &policy in policies.iter().filter(|policy| **policy != ANY_POLICY) {
            let range = range_of(&above.expected, policy);
            if !range.is_empty() {
                level.nodes.push(Node { policy, parents: Parents::Nodes(range) });
            } else if above.any {
                level.nodes.push(Node { policy, parents: Parents::Any });
            }
        }
        // (2) anyPolicy stands for every expected policy that was not named, where it may.
        let any =
            policies.contains(&ANY_POLICY) && (self.inhibit_any_policy > 0 || (!last && certificate.self_issued()));
        if any {
            level.any = above.any;
            let mut named: Vec<&[u8]> = policies.to_vec();
            named.sort_unstable();
            let mut start = 0usize;
            while let Some(&(policy, _)) = above.expected.get(start) {
                let end = start.saturating_add(
                    above
                        .expected
                        .get(start..)
                        .map_or(1, |rest| rest.iter().take_while(|(other, _)| *other == policy).count()),
                );
                if named.binary_search(&policy).is_err() {
                    level.nodes.push(Node { policy, parents: Parents::Nodes(start..end) });
                }
                start = end;
            }
        }
        // (3) Every node here has a parent, so the graph is NULL exactly when this level is empty.
        if !level.any && level.nodes.is_empty() {
            return Ok(None);
        }
        level.expected = level.nodes.iter().enumerate().map(|(index, node)| (node.policy, index)).collect();
        level.expected.sort_unstable();
        graph.push(level);
        Ok(Some(graph))
    }

    /// §6.1.4 (a), (b), (h)–(j) after a certificate that is not the last.
    pub(crate) fn prepare(&mut self, certificate: &Certificate<'a>, budget: &mut Budget) -> Result<(), Error> {
        let octets = certificate.extensions.policy_mappings.map_or(0, <[u8]>::len);
        budget.spend(Counter::Comparisons, octets.div_euclid(4))?;
        let mut mappings = certificate.extensions.policy_mappings()?;
        // (a)
        if mappings.iter().any(|&(from, to)| from == ANY_POLICY || to == ANY_POLICY) {
            return Err(Error::PolicyMappingAnyPolicy);
        }
        // (b) RFC 9618 §5.4.
        if let Some(level) = self.graph.as_mut().and_then(|graph| graph.last_mut()).filter(|_| !mappings.is_empty()) {
            budget.spend(Counter::Comparisons, mappings.len().saturating_add(level.nodes.len()).saturating_mul(4))?;
            mappings.sort_unstable();
            mappings.dedup();
            let mapped = |policy: &[u8]| mappings.binary_search_by(|(from, _)| from.cmp(&policy)).is_ok();
            level.expected.retain(|(policy, _)| !mapped(policy));
            if self.policy_mapping > 0 {
                let mut at: Vec<(&[u8], usize)> =
                    level.nodes.iter().enumerate().map(|(index, node)| (node.policy, index)).collect();
                at.sort_unstable();
                let mut created: Option<(&[u8], usize)> = None;
                for &(from, to) in &mappings {
                    let found = at.binary_search_by(|(policy, _)| policy.cmp(&from));
                    let node = match (found.ok().and_then(|found| at.get(found)), created) {
                        (Some(&(_, node)), _) => node,
                        (None, Some((policy, node))) if policy == from => node,
                        // Not named, but anyPolicy stands for it.
                        (None, _) if level.any => {
                            level.nodes.push(Node { policy: from, parents: Parents::Any });
                            let node = level.nodes.len().saturating_sub(1);
                            created = Some((from, node));
                            node
                        }
                        (None, _) => continue,
                    };
                    level.expected.push((to, node));
                }
                level.expected.sort_unstable();
                level.expected.dedup();
            }
            // With mapping inhibited, the mapped nodes are deleted: nothing expects a child of theirs. A level left without any
            // makes the graph NULL.
            if level.expected.is_empty() && !level.any {
                self.graph = None;
            }
        }
        // (h)
        if !certificate.self_issued() {
            self.explicit_policy = self.explicit_policy.saturating_sub(1);
            self.policy_mapping = self.policy_mapping.saturating_sub(1);
            self.inhibit_any_policy = self.inhibit_any_policy.saturating_sub(1);
        }
        // (i), (j)
        self.constrain(&certificate.extensions)
    }

    fn constrain(&mut self, extensions: &Extensions<'_>) -> Result<(), Error> {
        let constraints = extensions.policy_constraints()?;
        let lower =
            |variable: &mut u32, limit: Option<u32>| *variable = limit.map_or(*variable, |limit| limit.min(*variable));
        lower(&mut self.explicit_policy, constraints.require_explicit_policy);
        lower(&mut self.policy_mapping, constraints.inhibit_policy_mapping);
        lower(&mut self.inhibit_any_policy, extensions.inhibit_any_policy()?);
        Ok(())
    }

    /// §6.1.5 (a), (b), (g) and the end of §6.1.5, after the end entity was processed.
    pub(crate) fn wrap_up(&mut self, end_entity: &Certificate<'_>, inputs: &PolicyInputs) -> Result<(), Error> {
        // (a)
        self.explicit_policy = self.explicit_policy.saturating_sub(1);
        // (b)
        if end_entity.extensions.policy_constraints()?.require_explicit_policy == Some(0) {
            self.explicit_policy = 0;
        }
        if self.explicit_policy > 0 || self.is_acceptable(inputs) { Ok(()) } else { Err(Error::PolicyNotValid) }
    }

    /// (g) Whether the intersection of the graph and the user-initial-policy-set is not NULL.
    fn is_acceptable(&self, inputs: &PolicyInputs) -> bool {
        let Some(graph) = &self.graph else { return false };
        let Some(acceptable) = &inputs.acceptable else { return true };
        // An anyPolicy node at the bottom leaves every policy valid. Levels hold it from the top without a gap.
        if graph.last().is_some_and(|level| level.any) {
            return !acceptable.is_empty();
        }
        // Which nodes lead to the bottom; where one of them entered the path, its policy is what the anchor's owner calls it.
        let mut alive: Vec<usize> = graph.last().map(|level| (0..level.nodes.len()).collect()).unwrap_or_default();
        for (level, above) in graph.iter().zip(graph.iter().skip(1)).rev() {
            let mut next = vec![false; level.nodes.len()];
            for node in alive.iter().filter_map(|&index| above.nodes.get(index)) {
                match &node.parents {
                    Parents::Any if acceptable.iter().any(|policy| **policy == *node.policy) => return true,
                    Parents::Any => {}
                    Parents::Nodes(range) => {
                        for &(_, parent) in level.expected.get(range.clone()).unwrap_or_default() {
                            if let Some(alive) = next.get_mut(parent) {
                                *alive = true;
                            }
                        }
                    }
                }
            }
            alive = next.iter().enumerate().filter_map(|(index, alive)| alive.then_some(index)).collect();
        }
        false
    }
}

/// The entries of `expected` for `policy`.
fn range_of(expected: &[(&[u8], usize)], policy: &[u8]) -> std::ops::Range<usize> {
    expected.partition_point(|(other, _)| *other < policy)..expected.partition_point(|(other, _)| *other <= policy)
}

impl<'a> Extensions<'a> {
    /// §4.2.1.4: the policies, in the order written, each once.
    pub(crate) fn policies(&self) -> Result<Option<Vec<&'a [u8]>>, Error> {
        let Some(value) = self.certificate_policies else { return Ok(None) };
        let mut list = Reader::only(value, der::SEQUENCE, "certificatePolicies")?;
        let mut policies = Vec::new();
        loop {
            let mut information = list.inside(der::SEQUENCE, "policyInformation")?;
            policies.push(information.oid()?);
            if !information.is_empty() {
                let qualifiers = information.inside(der::SEQUENCE, "policyQualifiers")?;
                if qualifiers.is_empty() {
                    return Err(qualifiers.fault(DerFault::BadValue).into());
                }
            }
            information.finish()?;
            if list.is_empty() {
                break;
            }
        }
        let mut sorted = policies.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() == policies.len() { Ok(Some(policies)) } else { Err(Error::DuplicatePolicy) }
    }

    /// §4.2.1.5: pairs of issuer's and subject's policy.
    fn policy_mappings(&self) -> Result<Vec<Mapping<'a>>, Error> {
        let Some(value) = self.policy_mappings else { return Ok(Vec::new()) };
        let mut list = Reader::only(value, der::SEQUENCE, "policyMappings")?;
        let mut mappings = Vec::new();
        loop {
            let mut pair = list.inside(der::SEQUENCE, "policyMapping")?;
            mappings.push((pair.oid()?, pair.oid()?));
            pair.finish()?;
            if list.is_empty() {
                return Ok(mappings);
            }
        }
    }

    /// §4.2.1.11: never an empty sequence.
    fn policy_constraints(&self) -> Result<Constraints, Error> {
        let Some(value) = self.policy_constraints else { return Ok(Constraints::default()) };
        let mut inside = Reader::only(value, der::SEQUENCE, "policyConstraints")?;
        if inside.is_empty() {
            return Err(inside.fault(DerFault::BadValue).into());
        }
        let mut count = |tag| if inside.next_is(tag) { inside.count_as(tag).map(Some) } else { Ok(None) };
        let require_explicit_policy = count(der::implicit(0))?;
        let inhibit_policy_mapping = count(der::implicit(1))?;
        inside.finish()?;
        Ok(Constraints { require_explicit_policy, inhibit_policy_mapping })
    }

    /// §4.2.1.14.
    fn inhibit_any_policy(&self) -> Result<Option<u32>, Error> {
        let Some(value) = self.inhibit_any_policy else { return Ok(None) };
        let mut outer = Reader::new(value, "inhibitAnyPolicy");
        let count = outer.count_as(der::INTEGER)?;
        outer.finish()?;
        Ok(Some(count))
    }

    /// Whether any extension here could make a policy matter to a path.
    pub(crate) fn has_policies(&self) -> bool {
        self.certificate_policies.is_some()
            || self.policy_mappings.is_some()
            || self.policy_constraints.is_some()
            || self.inhibit_any_policy.is_some()
    }
}
