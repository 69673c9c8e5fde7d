//! Messages that the store had no room for, in order, and whose they are: these are not read from until all are stored.

use std::collections::{HashSet, VecDeque};

use holdfast_stream::Message;

/// What must have come, at least, before it is looked for what nobody waits for any more.
const LOOK_BYTES: usize = 1024 * 1024;

#[derive(Default)]
pub(crate) struct Backlog {
    pub(crate) messages: VecDeque<Message>,
    held: HashSet<u64>,
    /// The last so many messages may be of connections that are not held yet.
    unheld: usize,
    /// What has come since the last look, and what was left by it.
    new_bytes: usize,
    kept_bytes: usize,
}

impl Backlog {
    pub(crate) fn push(&mut self, message: Message) {
        self.unheld += 1;
        self.new_bytes += message.bytes();
        self.messages.push_back(message);
    }

    /// Whom not to read from any more, besides those of before, for there is no room. A full disk may last for hours, in which devices come and
    /// go with the same messages: what came from those that are gone was never acknowledged, and is dropped each time that as much has come
    /// as there was.
    pub(crate) fn hold(&mut self, mut is_awaited: impl FnMut(u64) -> bool) -> Vec<u64> {
        if self.new_bytes >= self.kept_bytes.max(LOOK_BYTES) {
            self.messages.retain(|message| is_awaited(message.receipt.handle));
            self.held.retain(|handle| is_awaited(*handle));
            (self.new_bytes, self.kept_bytes) = (0, self.messages.iter().map(Message::bytes).sum());
        }
        let last = self.messages.iter().rev().take(std::mem::take(&mut self.unheld));
        last.map(|message| message.receipt.handle).filter(|handle| self.held.insert(*handle)).collect()
    }

    /// There is room for all: who may be read from again.
    pub(crate) fn release(&mut self) -> HashSet<u64> {
        std::mem::take(self).held
    }
}

#[cfg(test)]
mod tests {
    use holdfast_stream::Receipt;

    use super::*;

    fn message(handle: u64, length: usize) -> Message {
        Message {
            receipt: Receipt { handle, packet_id: 1, bytes: 0 },
            device_id: "w1".into(),
            received_at_ms: 0,
            redelivered: false,
            message_id: None,
            system_properties: String::new(),
            properties: String::new(),
            payload: vec![0; length],
        }
    }

    #[test]
    fn everybody_is_held_once_and_released_once() {
        let mut backlog = Backlog::default();
        for handle in [1, 2, 1] {
            backlog.push(message(handle, 10));
        }
        let mut held = backlog.hold(|_| true);
        held.sort_unstable();
        assert_eq!(held, [1, 2]);
        assert_eq!(backlog.hold(|_| true), [0; 0]);
        // The store takes two, and another comes.
        backlog.messages.drain(..2);
        backlog.push(message(3, 10));
        assert_eq!(backlog.hold(|_| true), [3]);
        assert_eq!(backlog.release(), HashSet::from([1, 2, 3]));
        assert!(backlog.messages.is_empty() && backlog.release().is_empty());
    }

    #[test]
    fn g03_devices_that_come_and_go_with_the_same_messages_take_no_more_and_more_memory() {
        let mut backlog = Backlog::default();
        let (wills, mut looks) = (1 << 32, 0);
        backlog.push(message(wills, 10));
        let mut most = 0;
        for handle in 1..=1_000 {
            backlog.push(message(handle, 100_000));
            // Ten are there at a time; nobody else but a will, which is no connection's.
            let held = backlog.hold(|awaited| {
                looks += 1;
                awaited == wills || awaited + 10 > handle
            });
            assert!(held.contains(&handle));
            most = most.max(backlog.messages.len());
        }
        assert!(most <= 33, "{most}");
        assert!(looks < 10_000, "{looks}");
        assert_eq!(backlog.messages[0].receipt.handle, wills);
        assert!(backlog.held.len() <= 33);
    }
}
