//! Messages on their way to devices. They are asked for only as far as a device takes them: nothing here grows with what is kept.

use std::sync::Arc;

use holdfast_session::{Delivery, Message};

use crate::Now;
use crate::connection::{Connection, Stage};
use crate::gate::Gate;
use crate::request::{Level, Note, Request, Value};
use crate::slots::Handle;

/// How far a connection has come with its inbox.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fetching {
    /// The last message that was delivered.
    after: u64,
    /// Messages were asked for.
    pub(crate) under_way: bool,
    /// Messages that were sent and not acknowledged. Counted here: of a session that is over nobody could ask them.
    pub(crate) in_flight: usize,
}

impl Gate {
    /// Messages are kept for these devices that nobody has asked for.
    pub fn waiting<'a>(&mut self, devices: impl IntoIterator<Item = &'a str>) -> Vec<Request> {
        let mut requests = Vec::new();
        for device_id in devices {
            self.roster.set_waiting(device_id, true);
            if let Some(handle) = self.live.get(device_id).copied() {
                self.fetch(handle, &mut requests);
            }
        }
        requests
    }

    /// Messages that `Request::Fetch` has asked for, in their order; `more`: others are kept behind them. A connection that is gone
    /// takes none: they are asked for again by the next.
    pub fn deliver_messages(&mut self, handle: u64, messages: &[Message], more: bool, now: Now) -> Vec<Request> {
        let mut requests = Vec::new();
        let Some(fetching) = self.fetching.get_mut(&handle) else { return requests };
        fetching.under_way = false;
        // A device that has unsubscribed meanwhile may come to subscribe again.
        let taken =
            messages.iter().take_while(|message| self.deliver_message(handle, message, now, &mut requests)).count();
        let left = more || taken < messages.len();
        if let Some(Connection { stage: Stage::Live { admitted, .. }, .. }) = self.slots.get_mut(handle) {
            self.roster.set_waiting(&admitted.device_id, left);
        }
        self.pump(handle, now, &mut requests);
        requests
    }

    /// The peer reads again what it is sent, or has stopped to.
    pub fn set_writable(&mut self, handle: u64, writable: bool) -> Vec<Request> {
        let mut requests = Vec::new();
        if let Some(connection) = self.slots.get_mut(handle) {
            connection.unwritable = !writable;
            self.fetch(handle, &mut requests);
        }
        requests
    }

    /// Asks for messages, where some wait and the device takes them.
    pub(crate) fn fetch(&mut self, handle: Handle, requests: &mut Vec<Request>) {
        let Some(Connection { session, stage: Stage::Live { admitted, .. }, unwritable: false, .. }) =
            self.slots.get_mut(handle)
        else {
            return;
        };
        let count_max = session.room();
        if count_max == 0 || !self.roster.is_waiting(&admitted.device_id) {
            return;
        }
        let fetching = self.fetching.entry(handle).or_default();
        if !std::mem::replace(&mut fetching.under_way, true) {
            requests.push(Request::Fetch {
                handle,
                device_id: Arc::clone(&admitted.device_id),
                after: fetching.after,
                count_max,
                bytes_max: self.limits.session.in_flight_bytes_max,
            });
        }
    }

    /// The device has answered a message.
    pub(crate) fn acknowledged(&mut self, handle: Handle, message: u64, reason: u8, requests: &mut Vec<Request>) {
        let Some(Connection { stage: Stage::Live { admitted, .. }, .. }) = self.slots.get_mut(handle) else { return };
        let device_id = Arc::clone(&admitted.device_id);
        if let Some(fetching) = self.fetching.get_mut(&handle) {
            fetching.in_flight = fetching.in_flight.saturating_sub(1);
        }
        if reason < 0x80 {
            self.count("messages_delivered");
        } else {
            // 5.0 §4.3.2: it is done with all the same, and must not be sent again.
            requests.push(undelivered("message_refused", &device_id, message, Some(reason)));
        }
        requests.push(Request::Complete { device_id, message });
    }

    /// Sends one message, or finds that there is no use in it; answers whether the device still takes any.
    fn deliver_message(&mut self, handle: Handle, message: &Message, now: Now, requests: &mut Vec<Request>) -> bool {
        let Some(Connection { session, stage: Stage::Live { admitted, .. }, .. }) = self.slots.get_mut(handle) else {
            return false;
        };
        let device_id = Arc::clone(&admitted.device_id);
        let expired = message.expires_at.is_some_and(|ends| ends <= now.unix);
        let delivery = if expired { None } else { Some(session.deliver(message, now.unix)) };
        let left_over = match delivery {
            Some(Delivery::NotOpen) => return false,
            Some(Delivery::Sent | Delivery::SentOnce) => None,
            Some(Delivery::TooLarge) => Some("message_too_large"),
            None => Some("message_expired"),
        };
        requests.extend(left_over.map(|event| undelivered(event, &device_id, message.id, None)));
        if delivery == Some(Delivery::SentOnce) {
            self.count("messages_delivered");
        }
        if delivery != Some(Delivery::Sent) {
            requests.push(Request::Complete { device_id, message: message.id });
        }
        if let Some(fetching) = self.fetching.get_mut(&handle) {
            fetching.after = message.id;
            fetching.in_flight = fetching.in_flight.saturating_add(usize::from(delivery == Some(Delivery::Sent)));
        }
        true
    }
}

fn undelivered(event: &'static str, device_id: &str, message: u64, reason: Option<u8>) -> Request {
    let number = Value::Number(i64::try_from(message).unwrap_or(i64::MAX));
    let mut fields = vec![("device", Value::peer(device_id)), ("message", number)];
    fields.extend(reason.map(|reason| ("reason", Value::Number(reason.into()))));
    Request::Note(Note { level: Level::Warning, event, fields })
}
