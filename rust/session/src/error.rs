//! What ends a connection: theirs, by code. What makes a configuration unusable: ours.

use std::fmt;

/// Why a connection ends without an answer in its own protocol. `code` is stable; `detail` is for the log and may hold the peer's bytes,
/// escaped by whoever writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    code: &'static str,
    detail: String,
}

impl Fault {
    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The stable slug.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What was found.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Every code there is: those of TLS, then those of MQTT.
    pub const CODES: &'static [&'static str] = &[
        "handshake_too_large",
        "possession_failed",
        "tls_error",
        "mqtt_bad_flags",
        "mqtt_bad_length",
        "mqtt_bad_string",
        "mqtt_malformed",
        "mqtt_packet_too_large",
        "mqtt_payload_format_invalid",
        "mqtt_protocol_error",
        "mqtt_qos_unsupported",
        "mqtt_quota_exceeded",
        "mqtt_receive_maximum_exceeded",
        "mqtt_retain_unsupported",
        "mqtt_subscription_identifier",
        "mqtt_topic_alias_invalid",
        "mqtt_topic_not_allowed",
        "mqtt_unexpected_packet",
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Fault {}

/// A certificate or key that cannot serve TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationFault(pub(crate) String);

impl fmt::Display for ConfigurationFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ConfigurationFault {}
