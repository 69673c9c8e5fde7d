//! One socket: what is known of it, and what waits to be written to it.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

/// What a peer that does not read may make us keep; nothing more is read from it until it has.
const UNSENT_BYTES_MAX: usize = 16 * 1024;
/// How little of it must be left before it counts as reading again.
const UNSENT_BYTES_LOW: usize = 4 * 1024;

/// `MSG_NOSIGNAL` and `MSG_MORE` where there are such; elsewhere whoever embeds this ignores SIGPIPE, as Python does.
const NO_SIGNAL: i32 = if cfg!(target_os = "linux") { 0x4000 } else { 0 };
const MORE: i32 = if cfg!(target_os = "linux") { 0x8000 } else { 0 };

/// There are tens of thousands: keep it small.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) handle: u64,
    stream: TcpStream,
    unsent: Vec<u8>,
    marks: u16,
}

/// What is true of a socket.
#[derive(Clone, Copy, Debug)]
#[repr(u16)]
pub(crate) enum Mark {
    /// There may be something to read. The system says so once, so whoever cannot read now must remember it.
    Readable = 1,
    /// The peer has shut down its side; what it said before may not have been read.
    Closing = 1 << 1,
    /// Everything was read.
    Drained = 1 << 2,
    /// The end of the stream was told.
    Ended = 1 << 3,
    /// It stands in the queue of those that are read from.
    Queued = 1 << 4,
    /// It stands in the list of those that are written to.
    Unsettled = 1 << 5,
    /// It was asked not to be read from.
    Held = 1 << 6,
    /// Its peer does not read.
    Deaf = 1 << 7,
    /// Writing is to be shut down once everything is sent.
    Finishing = 1 << 8,
    /// Writing was shut down.
    Finished = 1 << 9,
    /// The system says when there is room to write: asked for once there was none.
    WatchesWriting = 1 << 10,
    /// Something is wrong with it: reading on tells what.
    Failed = 1 << 11,
}

/// What a read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes.
    Bytes(usize),
    /// Nothing: there is none for now, or never again.
    Nothing,
}

impl Socket {
    /// A connection that was accepted. It may have said something already; from `watch` on the system tells of more.
    pub(crate) fn new(handle: u64, stream: TcpStream) -> Self {
        Self { handle, stream, unsent: Vec::new(), marks: Mark::Readable.bit() }
    }

    pub(crate) fn watch(&mut self, registry: &Registry) -> io::Result<()> {
        // Room to write is there from the first on, and no news.
        registry.register(&mut self.stream, token(self.handle)?, Interest::READABLE)
    }

    pub(crate) fn is(&self, mark: Mark) -> bool {
        self.marks & mark.bit() != 0
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks |= mark.bit();
    }

    pub(crate) fn unmark(&mut self, mark: Mark) {
        self.marks &= !mark.bit();
    }

    /// Marks it; whether it was not before.
    pub(crate) fn mark_first(&mut self, mark: Mark) -> bool {
        let first = !self.is(mark);
        self.mark(mark);
        first
    }

    /// Whether there may be something to read that may be read. Of a peer that was told everything what still comes is read
    /// and dropped whether it reads or not: unread it would make closing a reset, which destroys what it was told.
    pub(crate) fn is_to_be_read(&self) -> bool {
        let held = (self.is(Mark::Deaf) || self.is(Mark::Held)) && !self.is(Mark::Finishing);
        self.is(Mark::Readable) && !self.is(Mark::Ended) && !held
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Whether the end of the stream is to be told; it is once.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.is(Mark::Drained) && self.is_to_be_read() && self.mark_first(Mark::Ended)
    }

    /// Reads once. Less than the buffer holds is all that there is: the system says when more has come, and says with it when the
    /// peer has shut down its side. The exception is TCP's urgent data, before which a read stops short: neither TLS nor anything
    /// here has a use for it, and who sends it waits for what it sends next, or ends with what came before.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Got> {
        match self.stream.read(buffer) {
            Ok(0) => {
                self.mark(Mark::Drained);
                Ok(Got::Nothing)
            }
            Ok(length) => {
                if length < buffer.len() {
                    self.mark_drained();
                }
                Ok(Got::Bytes(length))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.unmark(Mark::Readable);
                Ok(Got::Nothing)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Got::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Nothing is there: more will be told of, unless the peer has shut down its side.
    fn mark_drained(&mut self) {
        if self.is(Mark::Closing) {
            self.mark(Mark::Drained);
        } else if !self.is(Mark::Failed) {
            self.unmark(Mark::Readable);
        }
    }

    /// Says nothing yet: what one turn brings is written together.
    pub(crate) fn say(&mut self, data: Vec<u8>) {
        if self.unsent.is_empty() {
            self.unsent = data;
        } else {
            self.unsent.extend_from_slice(&data);
        }
    }

    /// Writes what there is room for, and shuts down writing after the last of it where that is asked for. `Some`: the peer has
    /// stopped to read, or reads again.
    pub(crate) fn settle(&mut self, registry: &Registry) -> io::Result<Option<bool>> {
        self.unmark(Mark::Unsettled);
        self.write()?;
        if self.has_unsent() {
            if self.mark_first(Mark::WatchesWriting) {
                // Asking anew tells of room that has come meanwhile.
                registry.reregister(&mut self.stream, token(self.handle)?, Interest::READABLE | Interest::WRITABLE)?;
            }
        } else if self.is(Mark::Finishing) && self.mark_first(Mark::Finished) {
            // Of a connection that is gone already, reading tells.
            let _gone = self.stream.shutdown(Shutdown::Write);
        }
        if self.unsent.len() > UNSENT_BYTES_MAX {
            return Ok(self.mark_first(Mark::Deaf).then_some(false));
        }
        let hears = self.is(Mark::Deaf) && self.unsent.len() <= UNSENT_BYTES_LOW;
        if hears {
            self.unmark(Mark::Deaf);
        }
        Ok(hears.then_some(true))
    }

    /// Writes until all is sent or there is no room. Last words leave together with the end of the stream, in one packet.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let flags = if self.is(Mark::Finishing) { NO_SIGNAL | MORE } else { NO_SIGNAL };
        let mut sent = 0usize;
        while let Some(rest) = self.unsent.get(sent..).filter(|rest| !rest.is_empty()) {
            match SockRef::from(&self.stream).send_with_flags(rest, flags) {
                Ok(length) => sent = sent.saturating_add(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if sent >= self.unsent.len() {
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..sent);
        }
        Ok(())
    }
}

impl Mark {
    #[expect(clippy::as_conversions, reason = "the discriminant is the bit")]
    fn bit(self) -> u16 {
        self as u16
    }
}

/// What the system calls a connection: its handle.
fn token(handle: u64) -> io::Result<Token> {
    usize::try_from(handle).map(Token).map_err(io::Error::other)
}
