//! One turn after another: who has said something, who has come, what they are told.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use holdfast_gate::{Level, Note, Now, Request, Value};
use mio::net::TcpStream;
use mio::{Events, Poll};

use crate::behind::Behind;
use crate::listeners::{LISTENING, Listeners, Next};
use crate::socket::{Got, Mark, Socket};
use crate::sockets::Sockets;

/// Connections of devices that are read from in one turn, each once: whoever has something else to do with this thread comes in between.
const READS_A_TURN: usize = 256;
/// The same of strangers, behind those: they come and go in crowds.
const STRANGERS_A_TURN: usize = 16;
/// Connections that are accepted in one turn: more than the gate works off in one, at a step a turn and two a handshake, so that it
/// can choose whom to work for. Whoever it does not want to have yet waits in the system's queue, at no cost.
const ACCEPTS_A_TURN: usize = 2;
/// Connections that are taken out of the system's queue in one turn, with those that nobody is at the other end of any more: these cost
/// half as much, and whoever waits behind them waits for us.
const TRIES_A_TURN: usize = 4;
/// What is read at once. One buffer is enough for all: what was read is taken at once.
const READ_BYTES: usize = 64 * 1024;
/// How long a closed connection may take to read what it was told before, and how many there may be of them.
const LINGER_MS: u64 = 10_000;
const LINGERING_COUNT_MAX: usize = 256;
/// How often it is looked at whether that time is up, or that of a narrow door.
const LINGER_LOOK_MS: u64 = 100;

/// All sockets of one worker.
#[derive(Debug)]
pub struct Front {
    poll: Poll,
    events: Events,
    listeners: Listeners,
    sockets: Sockets,
    /// Closed connections whose last words the system had no room for, with the time at which these are given up.
    lingering: HashMap<u64, (Socket, u64)>,
    /// Those that may have something to say, the first to be heard first; and those of them that were found to be strangers.
    queue: VecDeque<u64>,
    stranger_queue: VecDeque<u64>,
    /// Those that there is something to be told, or that can be told more.
    unsettled: Vec<u64>,
    /// Whether strangers wait for their turn.
    strangers: bool,
    /// The latest time that was told, and when to look at those that linger.
    at_ms: u64,
    look_at_ms: u64,
    buffer: Box<[u8]>,
}

impl Front {
    /// # Errors
    /// The system has no descriptor for it.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(READS_A_TURN),
            listeners: Listeners::default(),
            sockets: Sockets::default(),
            lingering: HashMap::new(),
            queue: VecDeque::new(),
            stranger_queue: VecDeque::new(),
            unsettled: Vec::new(),
            strangers: false,
            at_ms: 0,
            look_at_ms: 0,
            buffer: vec![0; READ_BYTES].into(),
        })
    }

    /// The descriptor to watch for reading: when it is, `turn` has something to do.
    #[cfg(unix)]
    pub fn descriptor(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.poll)
    }

    /// Accepts connections from `listener`.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn listen(&mut self, listener: TcpListener) -> io::Result<()> {
        self.listeners.add(listener, self.poll.registry())
    }

    /// Accepts nobody any more.
    pub fn stop_listening(&mut self) {
        self.listeners.close(self.poll.registry());
    }

    /// Lets go of all connections, whatever was still to be said to them.
    pub fn abort(&mut self, behind: &mut impl Behind, now: Now) -> Vec<Request> {
        let mut left = Vec::new();
        for handle in self.sockets.handles() {
            self.lose(handle, behind, now, &mut left);
        }
        self.lingering = HashMap::new();
        (self.queue, self.stranger_queue) = (VecDeque::new(), VecDeque::new());
        (self.unsettled, self.strangers) = (Vec::new(), false);
        left
    }

    /// How often nobody could be accepted for want of a descriptor or of memory.
    pub fn accepts_failed(&self) -> u64 {
        self.listeners.failed()
    }

    /// How many were over before they were accepted.
    pub fn accepts_gone(&self) -> u64 {
        self.listeners.gone()
    }

    /// How often the system was asked to drop, for a while, what is no TLS before anybody is accepted.
    pub fn door_narrowed(&self) -> u64 {
        self.listeners.narrowed()
    }

    /// The first half of a turn: hears whoever has said something, all of them once before anybody twice, and of strangers no more than
    /// some. `settle` afterwards.
    pub fn hear(&mut self, behind: &mut impl Behind, now: Now) -> Vec<Request> {
        self.at_ms = now.monotonic_ms;
        self.look();
        let mut left = Vec::new();
        let mut reads = 0usize;
        for _ in 0..self.queue.len() {
            if reads >= READS_A_TURN {
                break;
            }
            let Some(handle) = self.queue.pop_front() else { break };
            if behind.is_proven(handle) {
                reads = reads.saturating_add(1);
                self.read(handle, behind, now, &mut left);
            } else {
                self.stranger_queue.push_back(handle);
            }
        }
        for _ in 0..self.stranger_queue.len().min(STRANGERS_A_TURN) {
            let Some(handle) = self.stranger_queue.pop_front() else { break };
            self.read(handle, behind, now, &mut left);
        }
        left
    }

    /// The second half: works for strangers, then takes on new ones. These have their turn after the next `hear`, which knows whether they
    /// are still there. `settle` afterwards.
    pub fn meet(&mut self, behind: &mut impl Behind, now: Now) -> Vec<Request> {
        let mut left = Vec::new();
        if std::mem::take(&mut self.strangers) {
            match guarded(|| behind.turn(now), 0, &mut left) {
                Some(asked) => self.perform(asked, &mut left),
                // Whoever it was has had a turn; the others still wait for theirs.
                None => self.strangers = true,
            }
        }
        self.accept(behind, now, &mut left);
        left
    }

    /// Does what concerns sockets; the rest goes to `left`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is or will be is no affair of sockets")]
    pub fn perform(&mut self, asked: Vec<Request>, left: &mut Vec<Request>) {
        for request in asked {
            match request {
                Request::Send { handle, data } => {
                    if let Some(socket) = self.sockets.get_mut(handle) {
                        socket.say(data);
                        unsettle(socket, &mut self.unsettled);
                    }
                }
                Request::Pause { handle } => {
                    if let Some(socket) = self.sockets.get_mut(handle) {
                        socket.mark(Mark::Held);
                    }
                }
                Request::Resume { handle } => {
                    if let Some(socket) = self.sockets.get_mut(handle) {
                        socket.unmark(Mark::Held);
                        enqueue(socket, &mut self.queue);
                    }
                }
                Request::Finish { handle } => {
                    if let Some(socket) = self.sockets.get_mut(handle) {
                        socket.mark(Mark::Finishing);
                        unsettle(socket, &mut self.unsettled);
                        enqueue(socket, &mut self.queue);
                    }
                }
                Request::Close { handle } => self.close(handle),
                Request::Turn => self.strangers = true,
                other => left.push(other),
            }
        }
    }

    /// Writes what is to be said, when everything was performed; what comes of it goes to `left`.
    pub fn settle(&mut self, behind: &mut impl Behind, now: Now, left: &mut Vec<Request>) {
        while !self.unsettled.is_empty() {
            for handle in std::mem::take(&mut self.unsettled) {
                let Some(socket) = self.sockets.get_mut(handle) else { continue };
                match socket.settle(self.poll.registry()) {
                    Ok(None) => {}
                    Ok(Some(writable)) => {
                        enqueue(socket, &mut self.queue);
                        let asked = guarded(|| behind.set_writable(handle, writable, now), handle, left);
                        self.perform_or_lose(asked, handle, behind, now, left);
                    }
                    Err(_) => self.lose(handle, behind, now, left),
                }
            }
        }
        self.at_ms = now.monotonic_ms;
        if now.monotonic_ms >= self.look_at_ms {
            self.look_at_ms = now.monotonic_ms.saturating_add(LINGER_LOOK_MS);
            self.lingering.retain(|_, (_, until_ms)| *until_ms > now.monotonic_ms);
            self.listeners.pass(now);
        }
    }

    /// Whether somebody waits for the next turn of whom the descriptor says nothing.
    pub fn wants_turn(&self, now: Now) -> bool {
        self.strangers || !self.queue.is_empty() || !self.stranger_queue.is_empty() || self.listeners.is_ready(now)
    }

    /// Asks the system who is ready.
    fn look(&mut self) {
        let Self { poll, events, listeners, sockets, lingering, queue, unsettled, .. } = self;
        if poll.poll(events, Some(Duration::ZERO)).is_err() {
            events.clear();
        }
        for event in events.iter() {
            if event.token() == LISTENING {
                listeners.wake();
                continue;
            }
            let Ok(handle) = u64::try_from(event.token().0) else { continue };
            let Some(socket) = sockets.get_mut(handle) else {
                let told = |(socket, _): &mut (Socket, u64)| socket.write().is_err() || !socket.has_unsent();
                if lingering.get_mut(&handle).is_some_and(told) {
                    lingering.remove(&handle);
                }
                continue;
            };
            if event.is_error() {
                socket.mark(Mark::Failed);
            } else if event.is_read_closed() {
                socket.mark(Mark::Closing);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                socket.mark(Mark::Readable);
                enqueue(socket, queue);
            }
            if event.is_writable() && socket.has_unsent() {
                unsettle(socket, unsettled);
            }
        }
    }

    fn read(&mut self, handle: u64, behind: &mut impl Behind, now: Now, left: &mut Vec<Request>) {
        let Some(socket) = self.sockets.get_mut(handle) else { return };
        socket.unmark(Mark::Queued);
        if !socket.is_to_be_read() {
            return;
        }
        // A stranger that has broken off cannot be answered: what it said is not worth a handshake.
        if socket.is(Mark::Failed) && !behind.is_proven(handle) {
            return self.lose(handle, behind, now, left);
        }
        match socket.read(&mut self.buffer) {
            Ok(Got::Bytes(length)) => {
                let bytes = self.buffer.get(..length).unwrap_or_default();
                let asked = guarded(|| behind.receive(handle, bytes, now), handle, left);
                self.perform_or_lose(asked, handle, behind, now, left);
            }
            Ok(Got::Nothing) => {}
            Err(_) => return self.lose(handle, behind, now, left),
        }
        let Some(socket) = self.sockets.get_mut(handle) else { return };
        if socket.has_ended() {
            let asked = guarded(|| behind.end_of_stream(handle, now), handle, left);
            self.perform_or_lose(asked, handle, behind, now, left);
        } else {
            enqueue(socket, &mut self.queue);
        }
    }

    fn accept(&mut self, behind: &mut impl Behind, now: Now, left: &mut Vec<Request>) {
        let mut accepted = 0usize;
        for _ in 0..TRIES_A_TURN {
            if accepted >= ACCEPTS_A_TURN || !behind.welcomes() {
                return;
            }
            match self.listeners.accept(now) {
                Ok(Next::Somebody(stream, source)) => {
                    accepted = accepted.saturating_add(1);
                    self.open(stream, source, behind, now, left);
                }
                Ok(Next::Gone) => {}
                Ok(Next::Nobody) => return,
                Err(note) => return left.extend(note.map(Request::Note)),
            }
        }
    }

    /// What somebody has said while it waited is heard at once: of most who are turned away the system need tell no more.
    fn open(&mut self, stream: TcpStream, source: IpAddr, behind: &mut impl Behind, now: Now, left: &mut Vec<Request>) {
        let mut handle = None;
        let opens = || {
            let (given, asked) = behind.open(Some(source), now);
            handle = given;
            asked
        };
        let asked = guarded(opens, 0, left).unwrap_or_default();
        // Whoever had to make room may have had the same place.
        self.perform(asked, left);
        let Some(handle) = handle else { return };
        self.sockets.insert(Socket::new(handle, stream));
        self.read(handle, behind, now, left);
        let Some(socket) = self.sockets.get_mut(handle) else { return };
        if let Err(error) = socket.watch(self.poll.registry()) {
            left.extend(self.listeners.fail(&error, now).map(Request::Note));
            self.lose(handle, behind, now, left);
        }
    }

    /// The connection is over: what is still to be said is said first.
    fn close(&mut self, handle: u64) {
        let Some(mut socket) = self.sockets.remove(handle) else { return };
        socket.mark(Mark::Finishing);
        if socket.write().is_err() || !socket.has_unsent() || socket.settle(self.poll.registry()).is_err() {
            return;
        }
        if self.lingering.len() >= LINGERING_COUNT_MAX {
            let oldest = self.lingering.iter().min_by_key(|(_, (_, until_ms))| *until_ms).map(|(handle, _)| *handle);
            self.lingering.retain(|handle, _| Some(*handle) != oldest);
        }
        self.lingering.insert(handle, (socket, self.at_ms.saturating_add(LINGER_MS)));
    }

    /// What a connection asks for; one that has failed in our hands is lost.
    fn perform_or_lose(
        &mut self,
        asked: Option<Vec<Request>>,
        handle: u64,
        behind: &mut impl Behind,
        now: Now,
        left: &mut Vec<Request>,
    ) {
        match asked {
            Some(asked) => self.perform(asked, left),
            None => self.lose(handle, behind, now, left),
        }
    }

    /// Nobody there can be told anything any more.
    pub fn lose(&mut self, handle: u64, behind: &mut impl Behind, now: Now, left: &mut Vec<Request>) {
        self.sockets.remove(handle);
        let asked = guarded(|| behind.lost(handle, now), handle, left).unwrap_or_default();
        self.perform(asked, left);
    }
}

/// One step for one connection, 0: for some. A panic costs those, and what the others ask for is not lost with it.
pub fn guarded(step: impl FnOnce() -> Vec<Request>, handle: u64, left: &mut Vec<Request>) -> Option<Vec<Request>> {
    let asked = catch_unwind(AssertUnwindSafe(step)).ok();
    if asked.is_none() {
        // The panic has written its own message; this says to whom it happened.
        let fields = vec![("where", "connection".into()), ("connection", Value::Text(format!("{handle:x}")))];
        left.push(Request::Note(Note::new(Level::Warning, "unhandled_exception", fields)));
    }
    asked
}

/// Has a socket read from, if there is something to read that may be read.
fn enqueue(socket: &mut Socket, queue: &mut VecDeque<u64>) {
    if socket.is_to_be_read() && socket.mark_first(Mark::Queued) {
        queue.push_back(socket.handle);
    }
}

/// Has a socket written to.
fn unsettle(socket: &mut Socket, unsettled: &mut Vec<u64>) {
    if socket.mark_first(Mark::Unsettled) {
        unsettled.push(socket.handle);
    }
}
