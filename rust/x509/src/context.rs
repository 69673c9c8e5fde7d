//! What the searches of one call share: anchors, policy, time, and each anchor read and judged once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::anchors::{Anchor, Anchors};
use crate::certificate::Certificate;
use crate::error::Error;
use crate::policy::{Closed, Policy};
use crate::time::UnixSeconds;
use crate::validate::{First, check_anchor_in_path};

/// Under what a call's chains are judged.
#[derive(Debug)]
pub struct Context<'a> {
    pub(crate) anchors: &'a Anchors,
    pub(crate) policy: &'a Policy,
    pub(crate) time: UnixSeconds,
    closed_anchors: Option<&'a HashMap<usize, Closed>>,
    opened: RefCell<HashMap<usize, Result<Rc<Certificate<'a>>, Error>>>,
}

impl<'a> Context<'a> {
    /// Judges by `policy` at `time`, under `anchors`.
    pub fn new(anchors: &'a Anchors, policy: &'a Policy, time: UnixSeconds) -> Self {
        Self { anchors, policy, time, closed_anchors: None, opened: RefCell::default() }
    }

    /// Says what is closed of which anchors, by index: no path ends at one of them.
    #[must_use]
    pub fn with_closed_anchors(self, closed: &'a HashMap<usize, Closed>) -> Self {
        Self { closed_anchors: Some(closed), ..self }
    }

    /// The anchors.
    pub fn anchors(&self) -> &'a Anchors {
        self.anchors
    }

    /// The policy.
    pub fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// The time.
    pub fn time(&self) -> UnixSeconds {
        self.time
    }

    /// An anchor that is fit to be one.
    ///
    /// # Errors
    /// The first reason why it is not.
    pub fn anchor(&self, index: usize) -> Result<Rc<Certificate<'a>>, Error> {
        let mut opened = self.opened.borrow_mut();
        opened
            .entry(index)
            .or_insert_with(|| {
                if let Some(closed) = self.closed_anchors.and_then(|closed| closed.get(&index)) {
                    return Err((*closed).into());
                }
                let certificate = self.anchors.get(index).map_or(Err(Error::EmptyChain), Anchor::certificate)?;
                check_anchor_in_path(&certificate, 0, self.policy, self.time, &mut First)?;
                Ok(Rc::new(certificate))
            })
            .clone()
    }
}
