//! Sockets that listen: whom they have for us, and what happens when there is no room for them.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, TcpListener as StdListener};

use holdfast_gate::{Level, Note, Now, Value};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::narrow::{Narrowing, narrow, spoke_no_tls, widen};

/// Handles begin above it.
pub(crate) const LISTENING: Token = Token(0);
/// How long nobody is accepted after the system had no descriptor or no memory for one: it has them no sooner for being asked again.
const PAUSE_MS: u64 = 100;
/// A line about that is written so often at the most.
const LINE_MS: u64 = 10_000;

/// What the system's queue has held.
#[derive(Debug)]
pub(crate) enum Next {
    Somebody(TcpStream, IpAddr),
    /// Somebody who has broken off meanwhile.
    Gone,
    Nobody,
}

#[derive(Debug, Default)]
pub(crate) struct Listeners {
    listening: Vec<Listener>,
    resume_at_ms: u64,
    /// Connections that were over before they were accepted.
    gone: u64,
    narrowing: Narrowing,
    /// Connections that could not be accepted, and since which of them nothing was written.
    failed: u64,
    told: u64,
    tell_at_ms: u64,
}

#[derive(Debug)]
struct Listener {
    listener: TcpListener,
    /// Somebody may wait there. The system says so once.
    ready: bool,
}

impl Listeners {
    pub(crate) fn add(&mut self, listener: StdListener, registry: &Registry) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        registry.register(&mut listener, LISTENING, Interest::READABLE)?;
        // Whoever had it before may have left it narrow.
        widen(&SockRef::from(&listener));
        self.listening.push(Listener { listener, ready: true });
        Ok(())
    }

    /// Another process may hold the same sockets, so that closing ours would not end the watching.
    pub(crate) fn close(&mut self, registry: &Registry) {
        for mut one in std::mem::take(&mut self.listening) {
            // What cannot be unwatched was not watched.
            let _unwatched = registry.deregister(&mut one.listener);
            widen(&SockRef::from(&one.listener));
        }
    }

    /// Somebody waits at one of them.
    pub(crate) fn wake(&mut self) {
        for one in &mut self.listening {
            one.ready = true;
        }
    }

    /// Whether somebody may wait who may be accepted now.
    pub(crate) fn is_ready(&self, now: Now) -> bool {
        now.monotonic_ms >= self.resume_at_ms && self.listening.iter().any(|one| one.ready)
    }

    /// How many could not be accepted for want of a descriptor or of memory.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// The next who waits, with their address; a line for the log where that fails.
    pub(crate) fn accept(&mut self, now: Now) -> Result<Next, Option<Note>> {
        while self.is_ready(now) {
            let Some(one) = self.listening.iter_mut().find(|one| one.ready) else { break };
            match one.listener.accept() {
                Ok((stream, address)) => {
                    self.listening.rotate_left(1);
                    // Linux hands over those, too, who have reset the connection while they waited.
                    let gone = stream.take_error().ok().flatten().is_some_and(|error| is_end(error.kind()));
                    if gone {
                        self.narrow_if_flooded(&stream, now);
                        return Ok(self.pass_over());
                    }
                    widen(&SockRef::from(&stream));
                    return Ok(Next::Somebody(stream, address.ip()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => one.ready = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Whoever it was has gone again, or the way to them has.
                Err(error) if is_of_peer(error.kind()) => return Ok(self.pass_over()),
                // For want of something; or for a reason that does not pass by asking again at once.
                Err(error) => return Err(self.fail(&error, now)),
            }
        }
        Ok(Next::Nobody)
    }

    fn pass_over(&mut self) -> Next {
        self.gone = self.gone.saturating_add(1);
        Next::Gone
    }

    /// Somebody has reset the connection while it waited.
    fn narrow_if_flooded(&mut self, gone: &TcpStream, now: Now) {
        if !self.narrowing.is_narrow() && spoke_no_tls(gone) && self.narrowing.count(now.monotonic_ms) {
            for one in &self.listening {
                narrow(&SockRef::from(&one.listener));
            }
        }
    }

    /// Time has passed: the door is not narrow for ever.
    pub(crate) fn pass(&mut self, now: Now) {
        if self.narrowing.pass(now.monotonic_ms) {
            for one in &self.listening {
                widen(&SockRef::from(&one.listener));
            }
        }
    }

    /// How many were over before they were accepted.
    pub(crate) fn gone(&self) -> u64 {
        self.gone
    }

    /// How often the door was made narrow.
    pub(crate) fn narrowed(&self) -> u64 {
        self.narrowing.times()
    }

    /// Nobody can be taken on, for now. Whoever waits goes on waiting in the system's queue.
    pub(crate) fn fail(&mut self, error: &io::Error, now: Now) -> Option<Note> {
        self.failed = self.failed.saturating_add(1);
        self.resume_at_ms = now.monotonic_ms.saturating_add(PAUSE_MS);
        if now.monotonic_ms < self.tell_at_ms {
            return None;
        }
        self.tell_at_ms = now.monotonic_ms.saturating_add(LINE_MS);
        let times = usize::try_from(self.failed.saturating_sub(self.told)).unwrap_or(usize::MAX);
        self.told = self.failed;
        let fields = vec![("reason", Value::Text(error.to_string())), ("times", times.into())];
        Some(Note::new(Level::Warning, "accept_failed", fields))
    }
}

/// Whether a connection with this error is over. Of a way that is lost for a moment the system speaks as well, and it comes back.
fn is_end(kind: ErrorKind) -> bool {
    // Who resets after it has shut down its side is a broken pipe.
    matches!(
        kind,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::TimedOut
    )
}

/// accept(2): what is wrong with the connection that waits, which is not in the queue any more.
fn is_of_peer(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
    )
}
