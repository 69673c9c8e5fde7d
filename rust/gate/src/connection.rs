//! One connection as the gate sees it: its session, and how far it has come.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use holdfast_engine::VerifiedPath;
use holdfast_roster::{KeyHash, Pin};
use holdfast_session::{PresentedChain, Session, Tickets};
use holdfast_x509::{Closures, UnixSeconds};

use crate::deadlines::Deadline;
use crate::paths::Path;
use crate::sessions::Asked;
use crate::tickets::LiveTicket;
use crate::turns::Claim;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) session: Session,
    pub(crate) source: Option<IpAddr>,
    pub(crate) opened_ms: u64,
    pub(crate) stage: Stage,
    /// When the present stage has lasted too long.
    pub(crate) deadline: Deadline,
    /// Whether the loop was asked to stop reading.
    pub(crate) paused: bool,
    /// Whether the store has no room for more of its messages.
    pub(crate) held: bool,
    /// Whether the peer does not read what it was sent: nothing more is delivered to it.
    pub(crate) unwritable: bool,
    /// Among strangers: to turns.
    pub(crate) claim: Claim,
    /// The number of its last step among strangers.
    pub(crate) step: u64,
}

impl Connection {
    /// Its claim to a turn, if it is a stranger whose bytes wait to be worked on.
    pub(crate) fn claims_turn(&self) -> Option<Claim> {
        matches!(&self.stage, Stage::Handshake { queued, .. } if !queued.is_empty()).then_some(self.claim)
    }

    /// Takes the verdict out, if the connection is at that stage; it is refused unless something better is put in its place.
    pub(crate) fn take_judged(&mut self) -> Option<Box<Judged>> {
        if !matches!(self.stage, Stage::Judged(_)) {
            return None;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Refused);
        if let Stage::Judged(judged) = stage { Some(judged) } else { None }
    }

    /// The same for a claim on its way, with what was asked for.
    pub(crate) fn take_claiming(&mut self) -> Option<(Box<Judged>, Box<Asked>)> {
        if !matches!(self.stage, Stage::Claiming { .. }) {
            return None;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Refused);
        if let Stage::Claiming { judged, asked } = stage { Some((judged, asked)) } else { None }
    }

    /// Where it comes from, for the log.
    pub(crate) fn source(&self) -> String {
        self.source.map_or_else(String::new, |address| address.to_string())
    }
}

#[derive(Debug)]
pub(crate) enum Stage {
    /// TLS, up to the chain. What has come waits for its turn, and so does the end of the stream behind it.
    Handshake { queued: Vec<u8>, ended: bool },
    /// Its chain was set aside; the verdict is awaited.
    Waiting,
    /// Its path is good; its CONNECT is awaited. The chain is kept until it is admitted: trust may move before.
    Judged(Box<Judged>),
    /// Its claim is being committed.
    Claiming { judged: Box<Judged>, asked: Box<Asked> },
    /// Admitted; what is kept of its session ends so long after its connection. `unheard_bytes` came since its last whole packet.
    Live { admitted: Admitted, keep_alive_ms: Option<u32>, expiry_seconds: u32, unheard_bytes: u32 },
    /// Refused; only its CONNECT is awaited, to answer it.
    Refused,
    /// Answered, or broken: read from and dropped until the peer closes.
    Draining { bytes_left: usize },
}

/// A good path, as of one epoch, with the identity it gives.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) chain: PresentedChain,
    pub(crate) path: VerifiedPath,
    pub(crate) device_id: Arc<str>,
    pub(crate) epoch: u64,
}

impl Judged {
    pub(crate) fn pin(&self) -> Pin {
        Pin { issuer: self.path.issuer_spki_sha256(), leaf: self.path.leaf_spki_sha256() }
    }
}

/// The right to be connected as a device. Only `Admitted::when` makes one, and only in the epoch of the verdict.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) device_id: Arc<str>,
    pub(crate) leaf: KeyHash,
    /// The first octets of its certificate's SHA-256: enough to find it should that one be closed. Whoever shares them by chance
    /// connects again.
    pub(crate) certificate: [u8; 8],
    pub(crate) path: Arc<Path>,
    /// Whether the one who orders admissions of all workers has placed this one (`trust.md` §3.5).
    pub(crate) fenced: bool,
    /// Whether its proof rests, or may rest, on the kernel's word: it was checked by it, or stands behind the ticket.
    pub(crate) by_kernel: bool,
    /// Of its messages that the store was given and has not stored. It stands here because it takes no room here.
    pub(crate) unstored_bytes: u32,
    pub(crate) not_after: UnixSeconds,
}

impl Admitted {
    /// `None` when trust has moved since the verdict, or the path has run out: judge again. The ticket that the device was given with
    /// its handshake becomes live here and nowhere else; `lineage` is when that of its tickets ends.
    pub(crate) fn when(
        judged: &Judged,
        path: Arc<Path>,
        epoch: u64,
        at: UnixSeconds,
        tickets: Option<&Tickets>,
        lineage: UnixSeconds,
    ) -> Option<(Self, Option<LiveTicket>)> {
        if judged.epoch != epoch || at > judged.path.not_after() {
            return None;
        }
        let ends = lineage.min(judged.path.not_after());
        let ticket = judged.chain.ticket().map(|reference| LiveTicket { reference, ends, epoch });
        let admitted = Self {
            device_id: Arc::clone(&judged.device_id),
            leaf: judged.path.leaf_spki_sha256(),
            certificate: judged.path.fingerprints().first().and_then(|hash| hash.first_chunk().copied())?,
            path,
            fenced: false,
            unstored_bytes: 0,
            by_kernel: judged.chain.by_known_key() || judged.chain.resumed().is_some(),
            not_after: judged.path.not_after(),
        };
        if let (Some(tickets), Some(ticket)) = (tickets, &ticket) {
            tickets.admit(&judged.device_id, ticket.reference, ticket.ends);
        }
        Some((admitted, ticket))
    }

    /// Whether it would not be let in any more: its anchor is gone, or something on its path is closed.
    pub(crate) fn is_shut_out(&self, anchors: &HashSet<[u8; 32]>, closures: &Closures) -> bool {
        let closed = || {
            self.path.is_closed(closures)
                || closures.keys.contains(&self.leaf)
                || closures.certificates.iter().any(|hash| hash.starts_with(&self.certificate))
        };
        !self.path.anchor().is_some_and(|anchor| anchors.contains(anchor)) || !closures.is_empty() && closed()
    }
}
