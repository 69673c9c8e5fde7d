//! Sockets by the handles of their connections.

use crate::socket::Socket;

/// A table by the handles' lower halves, which are small and of one open connection each.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Vec<Option<Socket>>);

impl Sockets {
    pub(crate) fn insert(&mut self, socket: Socket) {
        let Some(place) = place(socket.handle) else { return };
        if self.0.len() <= place {
            self.0.resize_with(place.saturating_add(1), || None);
        }
        if let Some(slot) = self.0.get_mut(place) {
            *slot = Some(socket);
        }
    }

    pub(crate) fn get_mut(&mut self, handle: u64) -> Option<&mut Socket> {
        self.slot(handle)?.as_mut()
    }

    pub(crate) fn remove(&mut self, handle: u64) -> Option<Socket> {
        self.slot(handle)?.take()
    }

    pub(crate) fn handles(&self) -> Vec<u64> {
        self.0.iter().flatten().map(|socket| socket.handle).collect()
    }

    fn slot(&mut self, handle: u64) -> Option<&mut Option<Socket>> {
        let slot = self.0.get_mut(place(handle)?)?;
        slot.as_ref().is_some_and(|socket| socket.handle == handle).then_some(slot)
    }
}

fn place(handle: u64) -> Option<usize> {
    usize::try_from((handle & 0xffff_ffff).checked_sub(1)?).ok()
}
