//! Sizes and counts of one connection, each with its reason.

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
    /// Messages taken but not yet acknowledged; reading stops there (M10; EMQX's default).
    pub unacknowledged_count_max: usize,
    /// Topic filters in one SUBSCRIBE or UNSUBSCRIBE. The wire contract names five.
    pub filters_count_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_bytes_max: 32 * 1024,
            connect_bytes_max: 16 * 1024,
            packet_bytes_max: 256 * 1024,
            unacknowledged_count_max: 32,
            filters_count_max: 32,
        }
    }
}
