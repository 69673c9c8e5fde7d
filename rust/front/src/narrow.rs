//! A door that a crowd dials and leaves is made narrow: the system drops what is no TLS before anybody is accepted.

use std::ops::RangeInclusive;

use mio::net::TcpStream;
use socket2::SockRef;

/// Of connections that were over before they were accepted, those that had spoken no TLS: so many within a second are a flood.
const FLOOD_COUNT: u64 = 100;
const COUNTED_MS: u64 = 1_000;
/// How long the door stays narrow; then a flood is let through for less than a second, to see whether it is over.
const NARROW_MS: u64 = 10_000;
/// What a record of TLS begins with (RFC 8446 §5.1): a change of cipher, an alert, a handshake, or application data. The last are of
/// connections that are over, whose peers must hear that they are.
const RECORDS: RangeInclusive<u8> = 20..=23;

/// Whether the door is narrow.
#[derive(Debug, Default)]
pub(crate) struct Narrowing {
    gone: u64,
    counted_until_ms: u64,
    narrow_until_ms: Option<u64>,
    /// How often it was made narrow.
    times: u64,
}

impl Narrowing {
    /// Somebody who spoke no TLS was gone before it was accepted, at a wide door. Whether that is to be made narrow.
    pub(crate) fn count(&mut self, now_ms: u64) -> bool {
        if now_ms >= self.counted_until_ms {
            (self.gone, self.counted_until_ms) = (0, now_ms.saturating_add(COUNTED_MS));
        }
        self.gone = self.gone.saturating_add(1);
        let narrows = self.gone >= FLOOD_COUNT;
        if narrows {
            self.narrow_until_ms = Some(now_ms.saturating_add(NARROW_MS));
            self.times = self.times.saturating_add(1);
        }
        narrows
    }

    /// Time has passed. Whether the door is to be opened again.
    pub(crate) fn pass(&mut self, now_ms: u64) -> bool {
        self.narrow_until_ms.take_if(|until_ms| now_ms >= *until_ms).is_some()
    }

    pub(crate) fn is_narrow(&self) -> bool {
        self.narrow_until_ms.is_some()
    }

    pub(crate) fn times(&self) -> u64 {
        self.times
    }
}

/// Whether a connection has said something that is no TLS, and nobody has read it yet.
pub(crate) fn spoke_no_tls(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first), Ok(1..)) && !RECORDS.contains(&first[0])
}

/// What arrives at this socket, and at those that come of it, is dropped unless it is empty or begins as a record of TLS does. With
/// `TCP_DEFER_ACCEPT` whoever says anything else comes to nothing; who stays is handed over a second later, and heard when it repeats
/// itself. Where the system has no such thing, the door stays as it is.
pub(crate) fn narrow(listener: &SockRef<'_>) {
    #[cfg(target_os = "linux")]
    {
        use socket2::SockFilter;

        let (first, more) = (u32::from(*RECORDS.start()), u32::from(RECORDS.end().abs_diff(*RECORDS.start())));
        // Classic BPF, which sees the segment from its TCP header on (RFC 9293 §3.1): the upper half of octet 12 is the header's length
        // in words of four octets.
        let program = [
            SockFilter::new(0x30, 0, 0, 12),       // A = octet 12
            SockFilter::new(0x54, 0, 0, 0xf0),     // A &= 0xf0
            SockFilter::new(0x74, 0, 0, 2),        // A >>= 2
            SockFilter::new(0x07, 0, 0, 0),        // X = A
            SockFilter::new(0x80, 0, 0, 0),        // A = length
            SockFilter::new(0x1c, 0, 0, 0),        // A -= X
            SockFilter::new(0x15, 3, 0, 0),        // nothing but a header: take it
            SockFilter::new(0x50, 0, 0, 0),        // A = octet X
            SockFilter::new(0x14, 0, 0, first),    // A -= first
            SockFilter::new(0x25, 1, 0, more),     // more than the last: drop it
            SockFilter::new(0x06, 0, 0, u32::MAX), // take it whole
            SockFilter::new(0x06, 0, 0, 0),        // drop it
        ];
        // It costs more to be without, and harms nobody.
        let _wide_still = listener.attach_filter(&program);
    }
    #[cfg(not(target_os = "linux"))]
    let _wide_still = listener;
}

/// What arrives is taken again, whatever it is. Whoever is accepted needs this, too: its listener may have been narrow when it came to be,
/// by whomever, and what follows its first record begins otherwise.
pub(crate) fn widen(socket: &SockRef<'_>) {
    #[cfg(target_os = "linux")]
    let _wide_already = socket.detach_filter();
    #[cfg(not(target_os = "linux"))]
    let _wide_already = socket;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_within_a_second_make_it_narrow_for_ten() {
        let mut narrowing = Narrowing::default();
        // A hundred in a second and a bit are none.
        for number in 0..1_000 {
            assert!(!narrowing.count(number * 11));
        }
        let now_ms = 20_000;
        assert!((0..99).all(|_| !narrowing.count(now_ms)));
        assert!(narrowing.count(now_ms + 999) && narrowing.is_narrow());
        assert!(!narrowing.pass(now_ms + 10_998));
        assert!(narrowing.pass(now_ms + 10_999) && !narrowing.pass(now_ms + 10_999));
        assert!((0..100).any(|_| narrowing.count(now_ms + 11_000)));
        assert_eq!(narrowing.times(), 2);
    }
}
