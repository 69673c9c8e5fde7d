//! What the sockets are for.

use std::net::IpAddr;

use holdfast_gate::{Gate, Now, Request};

/// Whoever decides about connections. Each call answers with what must be done, in order.
pub trait Behind {
    /// Whether to accept whoever waits.
    fn welcomes(&self) -> bool;
    /// A connection was accepted from `source`. No handle: it is closed at once. A handle is never given twice, and its lower half,
    /// above 0, is of no other connection that is open.
    fn open(&mut self, source: Option<IpAddr>, now: Now) -> (Option<u64>, Vec<Request>);
    /// Whether the peer is somebody: it is heard before others, and what it said before it broke off still counts.
    fn is_proven(&mut self, handle: u64) -> bool;
    /// Bytes came.
    fn receive(&mut self, handle: u64, bytes: &[u8], now: Now) -> Vec<Request>;
    /// The peer says nothing more. It may still be sent something, until `Request::Close`.
    fn end_of_stream(&mut self, handle: u64, now: Now) -> Vec<Request>;
    /// The socket is gone, and with it the handle.
    fn lost(&mut self, handle: u64, now: Now) -> Vec<Request>;
    /// The peer has stopped to read what it is sent, or reads again.
    fn set_writable(&mut self, handle: u64, writable: bool, now: Now) -> Vec<Request>;
    /// What `Request::Turn` has asked for.
    fn turn(&mut self, now: Now) -> Vec<Request>;
}

impl Behind for Gate {
    fn welcomes(&self) -> bool {
        self.welcomes()
    }

    fn is_proven(&mut self, handle: u64) -> bool {
        self.is_proven(handle)
    }

    fn open(&mut self, source: Option<IpAddr>, now: Now) -> (Option<u64>, Vec<Request>) {
        self.open(source, now)
    }

    fn receive(&mut self, handle: u64, bytes: &[u8], now: Now) -> Vec<Request> {
        self.receive(handle, bytes, now)
    }

    fn end_of_stream(&mut self, handle: u64, now: Now) -> Vec<Request> {
        self.end_of_stream(handle, now)
    }

    fn lost(&mut self, handle: u64, now: Now) -> Vec<Request> {
        self.lost(handle, now)
    }

    fn set_writable(&mut self, handle: u64, writable: bool, _: Now) -> Vec<Request> {
        self.set_writable(handle, writable)
    }

    fn turn(&mut self, now: Now) -> Vec<Request> {
        self.turn(now)
    }
}
