//! One thread's devices: begins their connections, and steps each one when its socket has something.

mod company;
mod ending;
mod sending;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::device::{Device, Event, Words};
use crate::error::Error;
use crate::kinds::{Act, Expected, Then, Wire};
use crate::plan::{Plan, Stay};
use crate::socket::{self, dial_ending, socket_ending};
use crate::stats::CrowdStats;
use crate::wardrobe::Wardrobe;
use company::Company;

/// What all threads of a run share.
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) began: Instant,
    pub(crate) stop: AtomicBool,
    /// Each thread's figures, as of a moment ago.
    pub(crate) stats: Vec<Mutex<Vec<CrowdStats>>>,
}

const EVENTS_COUNT_MAX: usize = 1_024;
const READ_BYTES: usize = 64 * 1024;
/// Connections begun between two looks at the sockets: an answer that waits is measured as slow.
const STARTS_IN_A_ROW_MAX: usize = 32;
const MESSAGES_IN_A_ROW_MAX: usize = 64;
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// How long a device that has said good-bye waits for the hub to close.
const LEAVING: Duration = Duration::from_secs(2);

/// One connection.
struct Live {
    socket: TcpStream,
    device: Device,
    generation: u32,
    crowd: usize,
    stage: Stage,
    began: Instant,
    dialled: Instant,
    asked: Instant,
    /// When the stage has lasted too long, or an open connection has something to do.
    due: Instant,
    /// Octets that the socket had no room for.
    pending: Vec<u8>,
    drips: Option<Duration>,
    reads: bool,
    last_sent: Instant,
    leaves_at: Option<Instant>,
    published: u32,
    packet_id: u16,
    in_flight: VecDeque<(u16, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Dialling,
    Asking,
    Open,
    /// It misbehaves; what the hub does about it is awaited.
    Watching,
    /// It has said good-bye.
    Leaving,
}
pub(crate) struct Worker {
    shared: Arc<Shared>,
    thread: usize,
    poll: Poll,
    wardrobe: Wardrobe,
    companies: Vec<Company>,
    lives: Vec<Option<Live>>,
    free: Vec<usize>,
    generation: u32,
    timers: BinaryHeap<Reverse<(Instant, usize, u32)>>,
    eager: Vec<(usize, u32)>,
    dialled: u32,
    output: Vec<u8>,
    read_buffer: Vec<u8>,
    payload: Vec<u8>,
    reported: Instant,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, thread: usize, wardrobe: Wardrobe) -> Result<Self, Error> {
        let poll = Poll::new().map_err(|error| Error::io("no_poll", &error))?;
        let threads = shared.stats.len();
        let companies = shared.plan.crowds.iter().map(|crowd| Company::new(crowd, &shared.plan, thread, threads));
        let companies = companies.collect::<Result<Vec<_>, _>>()?;
        let beyond = companies.iter().any(|company| company.crowd.first + company.crowd.count > wardrobe.count());
        if beyond {
            return Err(Error::new("no_such_device", format!("there are {} devices", wardrobe.count())));
        }
        Ok(Self {
            reported: shared.began,
            shared,
            thread,
            poll,
            wardrobe,
            companies,
            lives: Vec::new(),
            free: Vec::new(),
            generation: 0,
            timers: BinaryHeap::new(),
            eager: Vec::new(),
            dialled: 0,
            output: Vec::new(),
            read_buffer: vec![0; READ_BYTES],
            payload: Vec::new(),
        })
    }

    /// Runs until every crowd has finished, or the run is stopped.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(EVENTS_COUNT_MAX);
        loop {
            let now = Instant::now();
            if self.shared.stop.load(Ordering::Relaxed) {
                break;
            }
            self.start(now)?;
            self.publish_scheduled(now);
            self.look_at_timers(now);
            self.look_at_crowds(now);
            if now - self.reported >= REPORT_EVERY {
                self.report(now);
            }
            if self.companies.iter().all(|company| company.stats.finished) {
                break;
            }
            self.wait(&mut events, now)?;
        }
        self.stop(&mut events)?;
        self.report(Instant::now());
        Ok(())
    }

    fn wait(&mut self, events: &mut Events, now: Instant) -> Result<(), Error> {
        let mut timeout = REPORT_EVERY;
        if let Some(Reverse((at, ..))) = self.timers.peek() {
            timeout = timeout.min(at.saturating_duration_since(now));
        }
        for company in &self.companies {
            timeout = timeout.min(company.next_in(now));
        }
        if !self.eager.is_empty() {
            timeout = Duration::ZERO;
        }
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(Error::io("no_poll", &error)),
            _ => {}
        }
        for event in events.iter() {
            let Token(index) = event.token();
            if event.is_writable() || event.is_error() {
                self.writable(index);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.readable(index, event.is_read_closed() || event.is_error());
            }
        }
        for (index, generation) in std::mem::take(&mut self.eager) {
            if self.live(index).is_some_and(|live| live.generation == generation) {
                self.fill(index);
            }
        }
        Ok(())
    }

    // ── beginning ──────────────────────────────────────────────────────────────────────────────────────────────────

    fn start(&mut self, now: Instant) -> Result<(), Error> {
        for crowd in 0..self.companies.len() {
            for _ in 0..STARTS_IN_A_ROW_MAX {
                let company = &mut self.companies[crowd];
                let Some(due) = company.due(now) else { break };
                if due > now {
                    break;
                }
                if company.rate > 0.0 {
                    company.stats.lag.record(now - due);
                }
                let number = company.first + company.started * company.step;
                company.started += 1;
                company.round_began.get_or_insert(now);
                company.round_stats().started += 1;
                self.dial(crowd, number)?;
            }
        }
        Ok(())
    }

    fn dial(&mut self, crowd: usize, number: u64) -> Result<(), Error> {
        let company = &mut self.companies[crowd];
        company.live += 1;
        company.stats.under_way += 1;
        let shown = self.wardrobe.dress(number, company.behaviour.shown, company.behaviour.wrong_signature)?;
        let words = Words {
            id: self.wardrobe.id(number),
            host: self.shared.plan.server_name.clone(),
            clean_session: company.crowd.clean_session,
            keep_alive_seconds: company.crowd.keep_alive_seconds,
        };
        let tls = company.tls.connection(number, shown)?;
        let device = Device::new(tls, company.behaviour, company.crowd.application, words);
        let drips = match company.behaviour.wire {
            Wire::Drip(milliseconds) => Some(Duration::from_millis(milliseconds)),
            Wire::Plain | Wire::TinyRecords => None,
        };
        self.dialled = self.dialled.wrapping_add(1);
        let threads = u32::try_from(self.shared.stats.len()).unwrap_or(1);
        let source = u32::try_from(self.thread).unwrap_or(0).wrapping_add(self.dialled.wrapping_mul(threads));
        let began = Instant::now();
        let mut socket = match socket::connect(self.shared.plan.target, self.shared.plan.source_addresses, source) {
            Ok(socket) => socket,
            Err(error) => {
                self.count_outcome(crowd, dial_ending(&error));
                self.companies[crowd].live -= 1;
                return Ok(());
            }
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.lives.push(None);
            self.lives.len() - 1
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut socket, Token(index), interest)
            .map_err(|error| Error::io("no_poll", &error))?;
        self.generation = self.generation.wrapping_add(1);
        self.lives[index] = Some(Live {
            socket,
            device,
            generation: self.generation,
            crowd,
            stage: Stage::Dialling,
            began,
            dialled: began,
            asked: began,
            due: began + self.shared.plan.patience,
            pending: Vec::new(),
            drips,
            reads: true,
            last_sent: began,
            leaves_at: None,
            published: 0,
            packet_id: 0,
            in_flight: VecDeque::new(),
        });
        self.set_timer(index, began + self.shared.plan.patience);
        Ok(())
    }

    fn writable(&mut self, index: usize) {
        let Some(live) = self.live(index) else { return };
        if live.stage == Stage::Dialling {
            if let Some(error) = live.socket.take_error().ok().flatten() {
                let ending = dial_ending(&error);
                return self.conclude(index, ending);
            }
            if live.socket.peer_addr().is_err() {
                return; // not yet
            }
            let now = Instant::now();
            live.stage = Stage::Asking;
            live.dialled = now;
            let (crowd, took) = (live.crowd, now - live.began);
            self.companies[crowd].round_stats().dial.record(took);
            self.step(index, Device::begin);
        } else {
            self.flush(index);
            self.fill(index);
        }
    }

    fn readable(&mut self, index: usize, to_the_end: bool) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        while let Some(live) = self.live(index) {
            if live.stage == Stage::Dialling {
                break;
            }
            if !live.reads {
                // What it does not read it does not answer either; only the end is noticed.
                if to_the_end {
                    self.conclude(index, "closed");
                }
                break;
            }
            match live.socket.read(&mut buffer) {
                Ok(0) => {
                    self.conclude(index, "closed");
                    break;
                }
                Ok(length) => {
                    let input = &buffer[..length];
                    self.step(index, |device, output, events| device.receive(input, output, events));
                    // The notification is edge-triggered: a short read has emptied the socket, unless its end is behind it.
                    if length < buffer.len() && !to_the_end {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.conclude(index, socket_ending(&error));
                    break;
                }
            }
        }
        self.read_buffer = buffer;
    }

    /// One step of the device, and what follows from it.
    fn step(&mut self, index: usize, step: impl FnOnce(&mut Device, &mut Vec<u8>, &mut Vec<Event>)) {
        let mut output = std::mem::take(&mut self.output);
        let mut events = Vec::new();
        if let Some(live) = self.live(index) {
            step(&mut live.device, &mut output, &mut events);
        }
        self.send(index, &output);
        output.clear();
        self.output = output;
        for event in events {
            self.happened(index, event);
        }
    }

    fn happened(&mut self, index: usize, event: Event) {
        let now = Instant::now();
        let Some(live) = self.live(index) else { return };
        let crowd = live.crowd;
        match event {
            Event::Handshaken => {
                live.asked = now;
                let took = now - live.dialled;
                self.companies[crowd].round_stats().handshake.record(took);
                self.step(index, Device::ask);
            }
            Event::Connected => self.connected(index, now),
            Event::Acknowledged(packet_id) => {
                let Some(at) = live.in_flight.iter().position(|(id, _)| *id == packet_id) else { return };
                let Some((_, sent)) = live.in_flight.remove(at) else { return };
                let company = &mut self.companies[crowd];
                company.stats.acknowledgement.record(now - sent);
                company.stats.acknowledged += 1;
                self.second(crowd, now).acknowledged += 1;
                self.fill(index);
                self.leave_if_done(index, now);
            }
            Event::Act(act) => self.act(index, act, now),
            Event::Ended(ending) => self.conclude(index, &ending),
        }
    }

    fn connected(&mut self, index: usize, now: Instant) {
        let patience = self.shared.plan.patience;
        let Some(live) = self.live(index) else { return };
        let (crowd, asked, total) = (live.crowd, now - live.asked, now - live.began);
        let (number, generation, resumed) = (index, live.generation, live.device.is_resumed());
        let company = &mut self.companies[crowd];
        let elapsed = company.round_began.map_or(Duration::ZERO, |began| now - began);
        let round = company.round_stats();
        round.answer.record(asked);
        round.resumed += u64::from(resumed);
        round.total.record(total);
        round.elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        match company.expected {
            Expected::Served => {
                company.open.push((number, generation));
                let leaves_at = match company.crowd.stay {
                    Stay::Each(duration) => Some(now + duration),
                    Stay::All(_) => None,
                };
                self.count_outcome(crowd, "connected");
                let stats = &mut self.companies[crowd].stats;
                stats.open += 1;
                stats.open_max = stats.open_max.max(stats.open);
                self.second(crowd, now).connected += 1;
                let Some(live) = self.live(index) else { return };
                live.stage = Stage::Open;
                live.leaves_at = leaves_at;
                self.fill(index);
                self.set_due(index, now);
                self.leave_if_done(index, now);
            }
            Expected::Refused => self.conclude(index, "admitted"),
            Expected::Ended | Expected::Survived => {
                let floods = company.behaviour.then == Then::NeverRead;
                let Some(live) = self.live(index) else { return };
                live.stage = Stage::Watching;
                live.asked = now;
                live.reads = !floods;
                if floods {
                    socket::shrink(&live.socket);
                }
                live.due = now + patience;
                self.set_timer(index, now + patience);
                self.fill(index);
            }
        }
    }

    fn act(&mut self, index: usize, act: Act, now: Instant) {
        let patience = self.shared.plan.patience;
        let Some(live) = self.live(index) else { return };
        live.stage = Stage::Watching;
        live.asked = now;
        live.due = now + patience;
        match act {
            Act::Stall => {}
            Act::Reset => {
                socket::reset(&live.socket);
                return self.conclude(index, "left");
            }
            Act::Finish => {
                let _closing = live.socket.shutdown(Shutdown::Write);
            }
            Act::CloseNotify => {
                self.step(index, |device, output, _| device.close_notify(output));
                if let Some(live) = self.live(index) {
                    let _closing = live.socket.shutdown(Shutdown::Write);
                }
            }
            Act::Raw(raw) => {
                let octets = raw.octets(live.device.words());
                self.send(index, &octets);
            }
        }
        self.set_timer(index, now + patience);
    }
}
