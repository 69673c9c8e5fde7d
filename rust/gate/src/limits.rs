//! Counts and times of a worker, each with its reason. Sizes of one connection are the session's.

use holdfast_session as session;

/// The longest `lease_ms`: what a command that shuts somebody out waits for before it says that it has (`trust.md` §5.2).
pub const LEASE_MS_MAX: u64 = 5_000;
/// The longest `handshake_deadline_ms` (I7).
pub const HANDSHAKE_DEADLINE_MS_MAX: u64 = 10_000;
/// The longest `drain_deadline_ms` (`trust.md` §1.4).
pub const DRAIN_DEADLINE_MS_MAX: u64 = 1_000;
/// The largest `drain_bytes_max` (`trust.md` §1.4).
pub const DRAIN_BYTES_MAX: usize = 64 * 1024;

/// Bounds on a worker and on each of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once. A process here has 20,000 descriptors; the loop, the registry and the store need theirs.
    pub connections_count_max: usize,
    /// Connections that are not admitted yet: what a crowd of strangers may hold (L17). With as many, whoever has kept still for
    /// longest, and for `shed_after_ms` at least, makes room for who comes. Three times the 2,000 that only stall and dial again at
    /// once: those would else have every place, and honest ones wait for one. Where sessions leave fewer of `connections_count_max`,
    /// those are what there is.
    pub half_open_count_max: usize,
    /// Of these, from one address, once half of them are taken: a fleet behind one address is not slowed down before that.
    pub half_open_per_source_max: usize,
    /// Newcomers whose first bytes wait for their turn, from known addresses and from unknown ones, each: work for some 50 ms, and for half
    /// a second of a slow core. Whoever comes beyond that waits in the system's queue. Where devices come among many that are none, the
    /// unknown wait here, until half of the half-open connections are taken: then whoever comes beyond is turned away at once.
    pub hellos_waiting_max: usize,
    /// See `half_open_count_max`. A round trip around the world takes 300 ms.
    pub shed_after_ms: u64,
    /// From accept to a finished handshake once half of the half-open connections are taken.
    pub pressed_deadline_ms: u64,
    /// Steps of handshakes that are worked on in one turn of the loop, about 0.1 ms each: what connected devices may have to wait for
    /// strangers, twice for each message: until it is read, and until it is durable.
    pub handshakes_a_turn: usize,
    /// How long somebody may be admitted after the last word of whoever knows what operators decide (`trust.md` §5.2).
    pub lease_ms: u64,
    /// From accept to an answered CONNECT (I7). EMQX gives 15 s.
    pub handshake_deadline_ms: u64,
    /// How long a refused or closing peer is still read from, so that no reset destroys the last answer (`trust.md` §1.4).
    pub drain_deadline_ms: u64,
    /// How much is read and dropped in that time.
    pub drain_bytes_max: usize,
    /// The longest silence that any keep-alive buys: the wire contract's 29.45 minutes.
    pub keep_alive_ms_max: u64,
    /// How often a device may take over its own session, or be closed for what it says, within `take_overs_ms`: two clones with one key push
    /// each other out for ever (M03; EMQX's default is 15 in a minute), and stock SDKs come back at once after a close.
    pub take_overs_count_max: usize,
    /// See `take_overs_count_max`.
    pub take_overs_ms: u64,
    /// Chains that are judged together without waiting for more: the lanes of the widest kernel (`design.md` §3).
    pub batch_count_enough: usize,
    /// How long the first of them waits for company while other handshakes are under way.
    pub batch_wait_ms: u64,
    /// Chains that are judged on the loop's thread at the most: beyond it another thread is worth waking.
    pub batch_inline_max: usize,
    /// Signatures remembered to be good, at about 40 bytes each: a device that comes back costs one check less.
    pub facts_count_max: usize,
    /// Devices whose key has a strip, at 1 KiB each: one that comes back has its proof checked in half the
    /// time or less. Twice as many as there are connections, since devices move between workers. 0: aws-lc-rs checks all.
    pub strips_count_max: usize,
    /// Tickets that are live in all workers together, at about 75 octets each in every worker: a device that comes back within an hour
    /// by one of its last two costs a third of a handshake. Beyond it the oldest half is forgotten, which costs full handshakes.
    pub tickets_count_max: usize,
    /// Bytes of packets that devices have begun and not ended, of all connections together (M10, M12): one may hold `packet_bytes_max`, and as
    /// many as `connections_count_max` did, were their CA's key in wrong hands, 3.8 GB. Five hundred largest packets on their way at once.
    pub half_packets_bytes_max: usize,
    /// Bytes of wills that are published and not durable yet, of all devices together: what a disk that is full leaves us with when all devices
    /// are lost at once, with wills of some 500 bytes each, several times over. Largest wills of 4,000 devices.
    pub wills_bytes_max: usize,
    /// Lines about refusals that may be written at once, and how many more each second. What is beyond is counted and told
    /// once a second: a crowd of strangers must not fill the disk (X07: 1 MiB a minute). Strangers have eight tenths, whoever has proven a
    /// key on a good path a tenth, and so has `identity_pinned`: nobody who has no such path can keep that out of the log.
    pub refusal_lines_burst: u64,
    /// See `refusal_lines_burst`.
    pub refusal_lines_per_second: u64,
    /// Bounds on one connection's bytes.
    pub session: session::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_count_max: 15_000,
            half_open_count_max: 6_000,
            half_open_per_source_max: 250,
            hellos_waiting_max: 256,
            shed_after_ms: 1_000,
            pressed_deadline_ms: 2_000,
            handshakes_a_turn: 1,
            lease_ms: LEASE_MS_MAX,
            handshake_deadline_ms: HANDSHAKE_DEADLINE_MS_MAX,
            drain_deadline_ms: DRAIN_DEADLINE_MS_MAX,
            drain_bytes_max: DRAIN_BYTES_MAX,
            keep_alive_ms_max: 1_767_000,
            take_overs_count_max: 15,
            take_overs_ms: 60_000,
            batch_count_enough: 8,
            batch_wait_ms: 1,
            batch_inline_max: 7,
            facts_count_max: 1 << 20,
            strips_count_max: 1 << 15,
            tickets_count_max: 1 << 18,
            half_packets_bytes_max: 128 * 1024 * 1024,
            wills_bytes_max: 64 * 1024 * 1024,
            refusal_lines_burst: 500,
            refusal_lines_per_second: 50,
            session: session::Limits::default(),
        }
    }
}
