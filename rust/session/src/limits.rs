//! Sizes and counts of one connection, each with its reason.

/// The largest `handshake_bytes_max` (`trust.md` §1.8, I7), as long as there is no `lenient_large_chain`.
pub const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;
/// The largest `connect_bytes_max`: whoever is refused says a CONNECT as well, so that it is work before authentication. The largest will that
/// MQTT has, and as much again for all else.
pub const CONNECT_BYTES_MAX: usize = 128 * 1024;

/// Bounds on one connection. Times are the gate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes fed to TLS before the verdict: `trust.md` §1.8. A chain of ten certificates fits three times over.
    pub handshake_bytes_max: usize,
    /// Bytes of a CONNECT packet. The SDKs' need under 1 KiB; a will may carry a payload.
    pub connect_bytes_max: usize,
    /// Bytes of any other packet: the wire contract's 256 KiB for telemetry.
    pub packet_bytes_max: usize,
    /// Bytes of a topic, property bag included (M07): twice what HTTP servers allow for all headers together.
    pub topic_bytes_max: usize,
    /// Properties of one packet, and pairs in one bag. Stock SDKs send a handful.
    pub properties_count_max: usize,
    /// Messages taken but not yet acknowledged; reading stops there (M10; EMQX's default).
    pub unacknowledged_count_max: usize,
    /// Bytes of messages taken but not yet stored, those of `QoS` 0 included; reading stops beyond it (M10). The queue to the disk is
    /// everybody's: with so little of it a thousand who flood it are needed to fill it, and whoever comes behind one waits for a moment.
    pub unstored_bytes_max: usize,
    /// Messages sent and not yet acknowledged by the device (M10; EMQX's default).
    pub in_flight_count_max: usize,
    /// Their payload bytes, once there is more than one of them: what a device that does not read makes us keep.
    pub in_flight_bytes_max: usize,
    /// Topic aliases that a device may set (mosquitto's default is 10), and the bytes of all they stand for together.
    pub topic_aliases_count_max: usize,
    /// See `topic_aliases_count_max`.
    pub topic_aliases_bytes_max: usize,
    /// Topic filters in one SUBSCRIBE or UNSUBSCRIBE. The wire contract names five.
    pub filters_count_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_bytes_max: HANDSHAKE_BYTES_MAX,
            connect_bytes_max: 16 * 1024,
            packet_bytes_max: 256 * 1024,
            topic_bytes_max: 16 * 1024,
            properties_count_max: 128,
            unacknowledged_count_max: 32,
            unstored_bytes_max: 64 * 1024,
            in_flight_count_max: 32,
            in_flight_bytes_max: 64 * 1024,
            topic_aliases_count_max: 8,
            topic_aliases_bytes_max: 4 * 1024,
            filters_count_max: 32,
        }
    }
}

impl Limits {
    /// Bytes fed to TLS before a CONNECT is whole, 64 KiB by default: a CONNECT may come in records that take as much as they bring.
    pub(crate) fn before_connect_bytes_max(&self) -> usize {
        self.handshake_bytes_max.saturating_add(self.connect_bytes_max.saturating_mul(2))
    }
}
