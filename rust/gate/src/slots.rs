//! Connections by handle. A handle names one connection for ever: a slot that is used again has another generation.
//!
//! Slots stand in chunks that are never moved, so that what lives long lies together and the garbage of handshakes
//! elsewhere (a connection that was admitted keeps nothing on the heap but its name).

use crate::connection::{Connection, Stage};
use crate::turns::Claim;

/// Generation in the upper half, index + 1 in the lower; never 0.
pub(crate) type Handle = u64;

/// Slots that are made at a time: large enough to be a mapping of its own, small enough to cost nothing when unused.
const CHUNK_SLOTS: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Slots {
    chunks: Vec<Box<[Slot]>>,
    free: Vec<u32>,
    used: usize,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

impl Slots {
    pub(crate) fn insert(&mut self, connection: Connection) -> Option<Handle> {
        if self.free.is_empty() {
            self.grow();
        }
        let index = self.free.pop()?;
        let slot = self.slot(usize::try_from(index).ok()?)?;
        slot.connection = Some(connection);
        let handle = handle(slot.generation, index);
        self.used = self.used.saturating_add(1);
        Some(handle)
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut Connection> {
        let (generation, index) = parts(handle)?;
        let slot = self.slot(index)?;
        if slot.generation == generation { slot.connection.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Connection> {
        let (generation, index) = parts(handle)?;
        let slot = self.slot(index).filter(|slot| slot.generation == generation)?;
        let connection = slot.connection.take()?;
        // A slot whose generations are used up is retired rather than let an old handle come true again.
        let next = slot.generation.checked_add(1);
        slot.generation = next.unwrap_or(u32::MAX);
        self.used = self.used.saturating_sub(1);
        self.free.extend(next.and(u32::try_from(index).ok()));
        Some(connection)
    }

    /// The claim to a turn of a connection that waits for one.
    pub(crate) fn claim(&mut self, handle: Handle) -> Option<Claim> {
        self.get_mut(handle)?.claims_turn()
    }

    /// The share in the hello of a connection whose first bytes wait to be worked on, if nobody has done anything with it.
    pub(crate) fn x25519_share(&mut self, handle: Handle) -> Option<[u8; 32]> {
        let connection = self.get_mut(handle)?;
        let Stage::Handshake { queued, .. } = &connection.stage else { return None };
        connection.session.x25519_share(queued)
    }

    /// Whether it waits for its verdict.
    pub(crate) fn is_waiting(&mut self, handle: Handle) -> bool {
        self.get_mut(handle).is_some_and(|connection| matches!(connection.stage, Stage::Waiting))
    }

    /// Whether it is only read from, until it closes.
    pub(crate) fn is_draining(&mut self, handle: Handle) -> bool {
        self.get_mut(handle).is_some_and(|connection| matches!(connection.stage, Stage::Draining { .. }))
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    fn slot(&mut self, index: usize) -> Option<&mut Slot> {
        self.chunks.get_mut(index.checked_div(CHUNK_SLOTS)?)?.get_mut(index.checked_rem(CHUNK_SLOTS)?)
    }

    /// Makes a chunk; its slots are used from the first on.
    fn grow(&mut self) {
        let first = self.chunks.len().saturating_mul(CHUNK_SLOTS);
        let last = first.saturating_add(CHUNK_SLOTS);
        let (Ok(first), Ok(last)) = (u32::try_from(first), u32::try_from(last)) else { return };
        self.chunks.push(std::iter::repeat_with(Slot::default).take(CHUNK_SLOTS).collect());
        self.free.extend((first..last).rev());
    }
}

fn handle(generation: u32, index: u32) -> Handle {
    (u64::from(generation) << 32) | u64::from(index).saturating_add(1)
}

fn parts(handle: Handle) -> Option<(u32, usize)> {
    let index = (handle & 0xffff_ffff).checked_sub(1)?;
    Some((u32::try_from(handle >> 32).ok()?, usize::try_from(index).ok()?))
}
