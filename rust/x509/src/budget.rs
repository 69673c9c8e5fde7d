//! What one chain may cost: counters that only grow, and the first limit that is passed.

use crate::error::Error;
use crate::policy::Limits;

/// Work done for one chain so far. Every loop whose length a peer chooses spends from here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spent {
    /// Complete paths tried.
    pub candidates: u32,
    /// Names compared with constraints, policies followed: everything whose product a peer could make large.
    pub comparisons: u32,
    /// Signatures over revocation lists and over the certificates of those who sign them, in verifications on P-256.
    pub revocation_units: u32,
    /// Signatures on the path, in verifications on P-256.
    pub signature_units: u32,
    /// Steps of the search.
    pub steps: u32,
}

/// One of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    Candidates,
    Comparisons,
    RevocationUnits,
    SignatureUnits,
    Steps,
}

/// The counters with their limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    limits: Limits,
    spent: Spent,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, spent: Spent::default() }
    }

    pub(crate) fn spent(&self) -> Spent {
        self.spent
    }

    /// Adds `units` to a counter.
    pub(crate) fn spend(&mut self, counter: Counter, units: usize) -> Result<(), Error> {
        let (spent, limit, what) = match counter {
            Counter::Candidates => (&mut self.spent.candidates, self.limits.candidates_count_max, "candidates"),
            Counter::Comparisons => (&mut self.spent.comparisons, self.limits.comparisons_count_max, "comparisons"),
            Counter::RevocationUnits => {
                (&mut self.spent.revocation_units, self.limits.revocation_units_max, "revocation units")
            }
            Counter::SignatureUnits => {
                (&mut self.spent.signature_units, self.limits.signature_units_max, "signature units")
            }
            Counter::Steps => (&mut self.spent.steps, self.limits.steps_count_max, "steps"),
        };
        *spent = spent.saturating_add(u32::try_from(units).unwrap_or(u32::MAX));
        if *spent > limit { Err(Error::BudgetExceeded { what, limit }) } else { Ok(()) }
    }
}
