//! Connections by handle. A handle names one connection for ever: a slot that is used again has another generation.

use crate::connection::Connection;

/// Generation in the upper half, index + 1 in the lower; never 0.
pub(crate) type Handle = u64;

#[derive(Debug, Default)]
pub(crate) struct Slots {
    all: Vec<Slot>,
    free: Vec<u32>,
    used: usize,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

impl Slots {
    pub(crate) fn insert(&mut self, connection: Connection) -> Option<Handle> {
        let index = if let Some(index) = self.free.pop() {
            index
        } else {
            let index = u32::try_from(self.all.len()).ok().filter(|index| *index < u32::MAX)?;
            self.all.push(Slot { generation: 0, connection: None });
            index
        };
        let slot = self.all.get_mut(usize::try_from(index).ok()?)?;
        slot.connection = Some(Box::new(connection));
        self.used = self.used.saturating_add(1);
        Some(handle(slot.generation, index))
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut Connection> {
        let (generation, index) = parts(handle)?;
        let slot = self.all.get_mut(index)?;
        if slot.generation == generation { slot.connection.as_deref_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Box<Connection>> {
        let (generation, index) = parts(handle)?;
        let slot = self.all.get_mut(index).filter(|slot| slot.generation == generation)?;
        let connection = slot.connection.take()?;
        self.used = self.used.saturating_sub(1);
        // A slot whose generations are used up is retired rather than let an old handle come true again.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.extend(u32::try_from(index));
        }
        Some(connection)
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    pub(crate) fn handles(&self) -> Vec<Handle> {
        let live = |(index, slot): (usize, &Slot)| {
            slot.connection.as_ref().and(u32::try_from(index).ok()).map(|index| handle(slot.generation, index))
        };
        self.all.iter().enumerate().filter_map(live).collect()
    }
}

fn handle(generation: u32, index: u32) -> Handle {
    (u64::from(generation) << 32) | (u64::from(index) + 1)
}

fn parts(handle: Handle) -> Option<(u32, usize)> {
    let index = (handle & 0xffff_ffff).checked_sub(1)?;
    Some((u32::try_from(handle >> 32).ok()?, usize::try_from(index).ok()?))
}
