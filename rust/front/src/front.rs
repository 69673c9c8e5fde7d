//! One turn after another: who is ready, what they say, what they are told.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use holdfast_gate::{Now, Request};
use mio::net::TcpStream;
use mio::{Events, Poll};

use crate::behind::Behind;
use crate::listeners::{LISTENING, Listeners};
use crate::socket::{Got, Mark, Socket};
use crate::sockets::Sockets;

/// Connections that are read from in one turn, each once: whoever has something else to do with this thread comes in between.
const READS_A_TURN: usize = 256;
/// Connections that are accepted in one turn: as many as the gate works off in one, at two steps a handshake. Whoever comes faster
/// waits in the system's queue, at no cost.
const ACCEPTS_A_TURN: usize = 4;
/// What is read at once. One buffer is enough for all: what was read is taken at once.
const READ_BYTES: usize = 64 * 1024;
/// How long a closed connection may take to read what it was told before, and how many there may be of them.
const LINGER_MS: u64 = 10_000;
const LINGERING_COUNT_MAX: usize = 1_000;

/// All sockets of one worker.
#[derive(Debug)]
pub struct Front {
    poll: Poll,
    events: Events,
    listeners: Listeners,
    sockets: Sockets,
    /// Closed connections whose last words the system had no room for, with the time at which these are given up.
    lingering: HashMap<u64, (Socket, u64)>,
    /// Those that may have something to say, the first to be heard first.
    queue: VecDeque<u64>,
    /// Those that there is something to be told, or that can be told more.
    unsettled: Vec<u64>,
    /// Whether strangers wait for their turn.
    strangers: bool,
    /// Whether `Request::Turn` was handed out, and no turn was taken since.
    turn_asked: bool,
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
            unsettled: Vec::new(),
            strangers: false,
            turn_asked: false,
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
        self.listeners.close();
    }

    /// Lets go of all connections, whatever was still to be said.
    pub fn abort(&mut self) {
        self.sockets.clear();
        self.lingering = HashMap::new();
    }

    /// How often nobody could be accepted for want of a descriptor or of memory.
    pub fn accepts_failed(&self) -> u64 {
        self.listeners.failed()
    }

    /// Serves whoever is ready: connected devices before strangers, and all of them once before anybody twice. `settle` afterwards.
    pub fn turn(&mut self, behind: &mut impl Behind, now: Now) -> Vec<Request> {
        self.turn_asked = false;
        self.look();
        let mut left = Vec::new();
        for _ in 0..self.queue.len().min(READS_A_TURN) {
            let Some(handle) = self.queue.pop_front() else { break };
            self.read(handle, behind, now, &mut left);
        }
        for _ in 0..ACCEPTS_A_TURN {
            match self.listeners.accept(now) {
                Ok(Some((stream, source))) => self.open(stream, source, behind, now, &mut left),
                Ok(None) => break,
                Err(note) => {
                    left.extend(note.map(Request::Note));
                    break;
                }
            }
        }
        if std::mem::take(&mut self.strangers) {
            let asked = behind.turn(now);
            self.perform(asked, &mut left);
        }
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
                        let asked = behind.set_writable(handle, writable, now);
                        self.perform(asked, left);
                    }
                    Err(_) => self.lose(handle, behind, now, left),
                }
            }
        }
        if !self.lingering.is_empty() {
            self.let_go(now);
        }
    }

    /// Whether somebody waits for the next turn of whom the descriptor says nothing: said once, until that turn is taken.
    pub fn wants_turn(&mut self, now: Now) -> bool {
        let waits = self.strangers || !self.queue.is_empty() || self.listeners.is_ready(now);
        waits && !std::mem::replace(&mut self.turn_asked, waits)
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
                if let Some((socket, until_ms)) = lingering.get_mut(&handle)
                    && (socket.write().is_err() || !socket.has_unsent())
                {
                    *until_ms = 0;
                }
                continue;
            };
            if event.is_read_closed() {
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
        match socket.read(&mut self.buffer) {
            Ok(Got::Bytes(length)) => {
                let bytes = self.buffer.get(..length).unwrap_or_default();
                let asked = behind.receive(handle, bytes, now);
                self.perform(asked, left);
            }
            Ok(Got::Nothing) => {}
            Err(_) => return self.lose(handle, behind, now, left),
        }
        let Some(socket) = self.sockets.get_mut(handle) else { return };
        if socket.has_ended() {
            let asked = behind.end_of_stream(handle, now);
            self.perform(asked, left);
        } else {
            enqueue(socket, &mut self.queue);
        }
    }

    fn open(&mut self, stream: TcpStream, source: IpAddr, behind: &mut impl Behind, now: Now, left: &mut Vec<Request>) {
        let (handle, asked) = behind.open(Some(source), now);
        if let Some(handle) = handle {
            match Socket::new(handle, stream, self.poll.registry()) {
                Ok(socket) => self.sockets.insert(socket),
                Err(error) => {
                    left.extend(self.listeners.fail(&error, now).map(Request::Note));
                    self.lose(handle, behind, now, left);
                }
            }
        }
        self.perform(asked, left);
    }

    /// The connection is over: what is still to be said is said first.
    fn close(&mut self, handle: u64) {
        let Some(mut socket) = self.sockets.remove(handle) else { return };
        socket.mark(Mark::Finishing);
        if socket.write().is_ok() && socket.has_unsent() && socket.settle(self.poll.registry()).is_ok() {
            self.lingering.insert(handle, (socket, u64::MAX));
        }
    }

    /// Nobody can be told anything any more.
    fn lose(&mut self, handle: u64, behind: &mut impl Behind, now: Now, left: &mut Vec<Request>) {
        self.sockets.remove(handle);
        let asked = behind.lost(handle, now);
        self.perform(asked, left);
    }

    /// Gives up on those that have read their last words, or have not for too long.
    fn let_go(&mut self, now: Now) {
        let until_ms = now.monotonic_ms.saturating_add(LINGER_MS);
        let mut room = LINGERING_COUNT_MAX;
        self.lingering.retain(|_, (_, at_ms)| {
            *at_ms = until_ms.min(*at_ms);
            let stays = *at_ms > now.monotonic_ms && room > 0;
            room = room.saturating_sub(usize::from(stays));
            stays
        });
    }
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
