//! Sockets that connect from many addresses and never block, and the names of what becomes of them.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

/// A kernel keeps 28,000 ports for one address; ours are 127.x.y.z for as many x, y, z as are wanted.
const SOURCE_BASE: u32 = 0x7f10_0001;

/// Begins to connect; with `sources`, from the address that `number` falls to.
pub(crate) fn connect(target: SocketAddr, sources: u32, number: u32) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let (SocketAddr::V4(_), Some(number)) = (target, number.checked_rem(sources)) {
        let source = SocketAddr::from((Ipv4Addr::from(SOURCE_BASE + number), 0));
        socket.set_reuse_address(true)?;
        socket.bind(&source.into())?;
    }
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(IN_PROGRESS) && error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// EINPROGRESS, which std has no name for.
const IN_PROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };

/// Makes closing say RST.
pub(crate) fn reset(socket: &TcpStream) {
    // A socket that has gone already needs none.
    let _reset = socket2::SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO));
}

/// Leaves little room for what is not read, so that the other side soon notices.
pub(crate) fn shrink(socket: &TcpStream) {
    // Where the system does not do it, noticing takes longer.
    let _shrunk = socket2::SockRef::from(socket).set_recv_buffer_size(4_096);
}

/// How much was written before the socket was full.
pub(crate) fn write(socket: &mut TcpStream, octets: &[u8]) -> std::io::Result<usize> {
    let mut written = 0;
    while written < octets.len() {
        match socket.write(&octets[written..]) {
            Ok(length) => written += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

pub(crate) fn dial_ending(error: &std::io::Error) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the standard library's list has no end")]
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection_refused",
        ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => "no_source_port",
        ErrorKind::TimedOut => "connect_timeout",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "unreachable",
        ErrorKind::ConnectionReset => "reset",
        _ if error.raw_os_error() == Some(TOO_MANY_FILES) => "no_descriptor",
        _ => "connect_failed",
    }
}

/// EMFILE, on every Unix.
const TOO_MANY_FILES: i32 = 24;

pub(crate) fn socket_ending(error: &std::io::Error) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the standard library's list has no end")]
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => "reset",
        ErrorKind::TimedOut => "connection_timeout",
        _ => "socket_failed",
    }
}
