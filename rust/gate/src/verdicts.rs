//! Chains that were set aside, judged together: on whatever thread, whenever, in whatever order the verdicts come back.
//!
//! A batch takes with it all that judging needs and comes back as verdicts, each with the handle and the epoch that it
//! is for. Nobody else can make one, so whatever is late, lost, doubled or for a connection that is gone does no harm.

use std::sync::Arc;

use holdfast_engine::{VerifiedPath, Verifier};
use holdfast_session::PresentedChain;
use holdfast_x509::{Certificate, Refusal, UnixSeconds, device_id};

use crate::ends::No;
use crate::slots::Handle;

/// Chains to be judged under one epoch's trust.
#[derive(Debug)]
pub struct Batch {
    verifier: Arc<Verifier>,
    epoch: u64,
    at: UnixSeconds,
    chains: Vec<(Handle, PresentedChain)>,
}

impl Batch {
    pub(crate) fn new(
        verifier: Arc<Verifier>,
        epoch: u64,
        at: UnixSeconds,
        chains: Vec<(Handle, PresentedChain)>,
    ) -> Self {
        Self { verifier, epoch, at, chains }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.chains.len()
    }

    /// Whether there is nothing to judge.
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    /// Judges all of them. Cost: at most `Limits::signature_units_max` verifications for each chain.
    pub fn judge(self) -> Vec<Verdict> {
        let Self { verifier, epoch, at, chains } = self;
        let presented: Vec<_> =
            chains.iter().map(|(_, chain)| (chain.certificates(), chain.handshake_units())).collect();
        let paths = verifier.verify_presented(&presented, at);
        let verdict = |((handle, chain), path): ((Handle, PresentedChain), Result<VerifiedPath, Refusal>)| {
            let outcome = path.map_err(|refusal| No::of(&refusal)).and_then(|path| {
                let leaf = chain.certificates().first().map_or(&[][..], Vec::as_slice);
                let identity = Certificate::parse(leaf).and_then(|leaf| device_id(&leaf).map(Arc::from));
                // Here all signatures have held.
                identity.map(|device_id| (path, device_id)).map_err(|error| No::of_path(&Refusal::at(0, error)))
            });
            Verdict { handle, epoch, chain, outcome }
        };
        chains.into_iter().zip(paths).map(verdict).collect()
    }
}

/// What came of one chain.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub(crate) handle: Handle,
    pub(crate) epoch: u64,
    /// To judge again, should trust have moved.
    pub(crate) chain: PresentedChain,
    pub(crate) outcome: Result<(VerifiedPath, Arc<str>), No>,
}
