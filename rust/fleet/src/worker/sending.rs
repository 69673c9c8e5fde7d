//! What leaves: octets that sockets have no room for yet, octets one at a time, messages by schedule or as many as may be.

use std::io::Read;
use std::time::Instant;

use super::company::{as_count, as_f64};
use super::{MESSAGES_IN_A_ROW_MAX, READ_BYTES, Stage, Worker};
use crate::device::Event;
use crate::plan::Publish;
use crate::socket::{self, socket_ending};

impl Worker {
    pub(super) fn send(&mut self, index: usize, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        let Some(live) = self.live(index) else { return };
        if !live.pending.is_empty() || live.drips.is_some() {
            live.pending.extend_from_slice(octets);
            if live.drips.is_some() {
                self.drip(index);
            }
            return;
        }
        match socket::write(&mut live.socket, octets) {
            Ok(written) => {
                live.pending.extend_from_slice(&octets[written..]);
                live.last_sent = Instant::now();
            }
            Err(error) => self.broken(index, &error),
        }
    }

    pub(super) fn flush(&mut self, index: usize) {
        let Some(live) = self.live(index) else { return };
        if live.pending.is_empty() || live.drips.is_some() {
            return;
        }
        match socket::write(&mut live.socket, &live.pending) {
            Ok(written) => {
                live.pending.drain(..written);
                if live.pending.is_empty() {
                    live.pending = Vec::new();
                }
                if written > 0 {
                    live.last_sent = Instant::now();
                }
            }
            Err(error) => self.broken(index, &error),
        }
    }

    pub(super) fn drip(&mut self, index: usize) {
        let now = Instant::now();
        let Some(live) = self.live(index) else { return };
        let Some(every) = live.drips else { return };
        if live.pending.is_empty() || (now - live.last_sent < every && live.last_sent != live.began) {
            return;
        }
        match socket::write(&mut live.socket, &live.pending[..1]) {
            Ok(written) => {
                live.pending.drain(..written);
                live.last_sent = now;
                self.set_timer(index, now + every);
            }
            Err(error) => self.broken(index, &error),
        }
    }

    /// The socket takes nothing more. What the hub said before it closed may still be there to read.
    pub(super) fn broken(&mut self, index: usize, error: &std::io::Error) {
        let mut rest = vec![0; READ_BYTES];
        if let Some(live) = self.live(index).filter(|live| live.reads)
            && let Ok(length @ 1..) = live.socket.read(&mut rest)
        {
            let (mut output, mut events) = (Vec::new(), Vec::new());
            live.device.receive(&rest[..length], &mut output, &mut events);
            if let Some(Event::Ended(ending)) = events.into_iter().find(|event| matches!(event, Event::Ended(_))) {
                return self.conclude(index, &ending);
            }
        }
        self.conclude(index, socket_ending(error));
    }

    /// Sends as much as this device may when nobody paces it.
    pub(super) fn fill(&mut self, index: usize) {
        let Some(live) = self.live(index) else { return };
        let (crowd, generation, stage, reads) = (live.crowd, live.generation, live.stage, live.reads);
        if stage == Stage::Watching && !reads {
            return self.flood(index);
        }
        let company = &self.companies[crowd];
        let Some(publish) = company.crowd.publish else { return };
        if stage != Stage::Open || publish.rate > 0.0 || !company.publishes_now() {
            return;
        }
        for _ in 0..MESSAGES_IN_A_ROW_MAX {
            if !self.publish_one(index, publish) {
                return;
            }
        }
        self.eager.push((index, generation));
    }

    /// Never reads, and publishes until the socket is full.
    pub(super) fn flood(&mut self, index: usize) {
        let payload = [b'x'; 1_024];
        for _ in 0..MESSAGES_IN_A_ROW_MAX {
            let Some(live) = self.live(index).filter(|live| live.pending.is_empty()) else { return };
            live.packet_id = live.packet_id.checked_add(1).unwrap_or(1);
            let packet_id = live.packet_id;
            self.step(index, |device, output, _| device.publish(packet_id, &payload, output));
        }
        if let Some(generation) = self.live(index).map(|live| live.generation) {
            self.eager.push((index, generation));
        }
    }

    /// Whether a message was sent: the device is open, has one left, and room for it.
    pub(super) fn publish_one(&mut self, index: usize, publish: Publish) -> bool {
        let now = Instant::now();
        let mut payload = std::mem::take(&mut self.payload);
        let Some(live) = self.live(index) else { return false };
        let done = publish.messages > 0 && live.published >= publish.messages;
        let full = publish.acknowledged && live.in_flight.len() >= publish.in_flight;
        let leaving = live.leaves_at.is_some_and(|at| at <= now) && publish.messages == 0;
        if live.stage != Stage::Open || done || full || leaving || !live.pending.is_empty() {
            self.payload = payload;
            return false;
        }
        live.published += 1;
        let packet_id = if publish.acknowledged {
            live.packet_id = live.packet_id.checked_add(1).unwrap_or(1);
            live.in_flight.push_back((live.packet_id, now));
            live.packet_id
        } else {
            0
        };
        let crowd = live.crowd;
        payload.clear();
        payload.extend_from_slice(format!("{{\"n\":{}}}", live.published).as_bytes());
        payload.resize(payload.len().max(publish.payload_bytes), b' ');
        self.step(index, |device, output, _| device.publish(packet_id, &payload, output));
        self.payload = payload;
        self.companies[crowd].stats.published += 1;
        self.second(crowd, now).published += 1;
        if !publish.acknowledged {
            self.leave_if_done(index, now);
        }
        true
    }

    /// Sends what schedules ask for, each message through the next device in turn.
    pub(super) fn publish_scheduled(&mut self, now: Instant) {
        for crowd in 0..self.companies.len() {
            let company = &mut self.companies[crowd];
            let Some(publish) = company.crowd.publish.filter(|publish| publish.rate > 0.0) else { continue };
            if company.open.is_empty() || !company.publishes_now() {
                continue;
            }
            let rate = publish.rate / as_f64(company.step);
            let (began, sent) = *company.publishing.get_or_insert((now, 0));
            let owed = as_count((now - began).as_secs_f64() * rate).saturating_sub(sent);
            let mut passed = 0;
            for _ in 0..owed.min(u64::try_from(MESSAGES_IN_A_ROW_MAX).unwrap_or(0)) {
                while let Some(index) = self.next_in_turn(crowd) {
                    if self.publish_one(index, publish) {
                        passed = 0;
                        break;
                    }
                    passed += 1;
                    if passed > self.companies[crowd].open.len() {
                        break;
                    }
                }
                if let Some((_, sent)) = &mut self.companies[crowd].publishing {
                    *sent += 1;
                }
            }
        }
    }

    pub(super) fn next_in_turn(&mut self, crowd: usize) -> Option<usize> {
        loop {
            let company = &mut self.companies[crowd];
            if company.open.is_empty() {
                return None;
            }
            company.turn = (company.turn + 1) % company.open.len();
            let (index, generation) = company.open[company.turn];
            if self.live(index).is_some_and(|live| live.generation == generation && live.stage == Stage::Open) {
                return Some(index);
            }
            let company = &mut self.companies[crowd];
            company.open.swap_remove(company.turn);
        }
    }
}
