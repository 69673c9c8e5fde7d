//! What chains share that present the same certificates above end entities of one issuer: nearly all chains of a fleet.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use holdfast_x509::{AcceptedPath, Certificate, Context, Issuers, Refusal};

use crate::memo::Memo;
use crate::verified::Above;

/// Chains whose issuers are the same.
pub(crate) struct Family<'a, 'c> {
    pub(crate) issuers: Rc<Issuers<'a, 'c>>,
    /// Of the path that was accepted last, what stands above its end entity.
    above: RefCell<Option<Arc<Above>>>,
}

/// The families of a block.
pub(crate) struct Families<'a, 'c>(Memo<'a, Rc<Family<'a, 'c>>>);

impl<'a, 'c> Families<'a, 'c> {
    pub(crate) fn of_block(chains: usize) -> Self {
        Self(Memo::of_block(chains))
    }

    /// The family of a chain whose size is bounded.
    pub(crate) fn of(&mut self, chain: &'a [&'a Certificate<'a>], context: &'a Context<'c>) -> Rc<Family<'a, 'c>> {
        let issuer = chain.get(1).or(chain.first()).map_or(&[][..], |one| one.der);
        let fits = |family: &Rc<Family<'a, 'c>>| family.issuers.are_of(chain, context);
        let make = || {
            let issuers = Rc::new(Issuers::of(chain, context));
            Ok::<_, Infallible>(Rc::new(Family { issuers, above: RefCell::default() }))
        };
        self.0.value_if(issuer, fits, make).unwrap_or_else(|never| match never {})
    }
}

impl<'a> Family<'a, '_> {
    /// What stands above the end entity in an accepted path of one of these chains.
    pub(crate) fn above(
        &self,
        chain: &[&Certificate<'a>],
        context: &Context<'_>,
        path: &AcceptedPath,
    ) -> Result<Arc<Above>, Refusal> {
        let mut above = self.above.borrow_mut();
        if let Some(above) = above.as_ref().filter(|above| above.is_of(path)) {
            return Ok(Arc::clone(above));
        }
        let made = Arc::new(Above::new(chain, context, path)?);
        *above = Some(Arc::clone(&made));
        Ok(made)
    }
}
