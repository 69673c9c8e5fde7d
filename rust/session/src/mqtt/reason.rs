//! Reasons, in one table for both versions: mqtt-v5.0-os §2.4 has a number for each, mqtt-v3.1.1-os §3.2.2.3 five return codes in CONNACK.

/// What is said to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is done.
    Success,
    /// Something that the peer is not told.
    UnspecifiedError,
    /// The packet could not be read.
    MalformedPacket,
    /// The packet says what it must not, or comes when it must not.
    ProtocolError,
    /// Valid, but not to be had here.
    ImplementationSpecificError,
    /// Another protocol level.
    UnsupportedProtocolVersion,
    /// A client identifier that cannot be one.
    ClientIdentifierNotValid,
    /// Every failure to authenticate, and whatever is another's. Stock SDKs give up on 3.1.1's 5, and retry for ever after a TLS alert.
    NotAuthorized,
    /// Come back later.
    ServerUnavailable,
    /// The hub is stopping.
    ServerShuttingDown,
    /// Enhanced authentication: devices have certificates.
    BadAuthenticationMethod,
    /// The device was silent for one and a half keep-alives.
    KeepAliveTimeout,
    /// The same device has connected again.
    SessionTakenOver,
    /// A topic that may not be published to.
    TopicNameInvalid,
    /// More messages under way than was announced.
    ReceiveMaximumExceeded,
    /// A topic alias that stands for nothing, or is beyond what was announced.
    TopicAliasInvalid,
    /// Larger than was announced.
    PacketTooLarge,
    /// More of something than the limits allow.
    QuotaExceeded,
    /// Not UTF-8, though it was said to be.
    PayloadFormatInvalid,
    /// RETAIN.
    RetainNotSupported,
    /// `QoS` 2.
    QosNotSupported,
    /// `$share`.
    SharedSubscriptionsNotSupported,
    /// Reconnecting too often.
    ConnectionRateExceeded,
    /// Subscription identifiers.
    SubscriptionIdentifiersNotSupported,
}

impl Reason {
    /// 5.0's reason code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0x00,
            Self::UnspecifiedError => 0x80,
            Self::MalformedPacket => 0x81,
            Self::ProtocolError => 0x82,
            Self::ImplementationSpecificError => 0x83,
            Self::UnsupportedProtocolVersion => 0x84,
            Self::ClientIdentifierNotValid => 0x85,
            Self::NotAuthorized => 0x87,
            Self::ServerUnavailable => 0x88,
            Self::ServerShuttingDown => 0x8b,
            Self::BadAuthenticationMethod => 0x8c,
            Self::KeepAliveTimeout => 0x8d,
            Self::SessionTakenOver => 0x8e,
            Self::TopicNameInvalid => 0x90,
            Self::ReceiveMaximumExceeded => 0x93,
            Self::TopicAliasInvalid => 0x94,
            Self::PacketTooLarge => 0x95,
            Self::QuotaExceeded => 0x97,
            Self::PayloadFormatInvalid => 0x99,
            Self::RetainNotSupported => 0x9a,
            Self::QosNotSupported => 0x9b,
            Self::SharedSubscriptionsNotSupported => 0x9e,
            Self::ConnectionRateExceeded => 0x9f,
            Self::SubscriptionIdentifiersNotSupported => 0xa1,
        }
    }

    /// 3.1.1's return code, for those reasons that its CONNACK can say; all others are 5, which stock SDKs take for final.
    pub(crate) fn return_code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::ServerUnavailable | Self::ServerShuttingDown | Self::ConnectionRateExceeded => 3,
            Self::UnspecifiedError
            | Self::MalformedPacket
            | Self::ProtocolError
            | Self::ImplementationSpecificError
            | Self::NotAuthorized
            | Self::BadAuthenticationMethod
            | Self::KeepAliveTimeout
            | Self::SessionTakenOver
            | Self::TopicNameInvalid
            | Self::ReceiveMaximumExceeded
            | Self::TopicAliasInvalid
            | Self::PacketTooLarge
            | Self::QuotaExceeded
            | Self::PayloadFormatInvalid
            | Self::RetainNotSupported
            | Self::QosNotSupported
            | Self::SharedSubscriptionsNotSupported
            | Self::SubscriptionIdentifiersNotSupported => 5,
        }
    }

    /// What a peer is told that broke its protocol, by the code of the fault.
    pub fn of_fault(code: &str) -> Self {
        FAULTS.iter().find(|(known, _)| *known == code).map_or(Self::UnspecifiedError, |(_, reason)| *reason)
    }
}

/// Every fault of MQTT's, and what is said of it.
pub(crate) const FAULTS: &[(&str, Reason)] = &[
    ("mqtt_bad_flags", Reason::MalformedPacket),
    ("mqtt_bad_length", Reason::MalformedPacket),
    ("mqtt_bad_string", Reason::MalformedPacket),
    ("mqtt_malformed", Reason::MalformedPacket),
    ("mqtt_packet_too_large", Reason::PacketTooLarge),
    ("mqtt_payload_format_invalid", Reason::PayloadFormatInvalid),
    ("mqtt_protocol_error", Reason::ProtocolError),
    ("mqtt_qos_unsupported", Reason::QosNotSupported),
    ("mqtt_quota_exceeded", Reason::QuotaExceeded),
    ("mqtt_receive_maximum_exceeded", Reason::ReceiveMaximumExceeded),
    ("mqtt_retain_unsupported", Reason::RetainNotSupported),
    ("mqtt_subscription_identifier", Reason::SubscriptionIdentifiersNotSupported),
    ("mqtt_topic_alias_invalid", Reason::TopicAliasInvalid),
    ("mqtt_topic_not_allowed", Reason::TopicNameInvalid),
    ("mqtt_unexpected_packet", Reason::ProtocolError),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    #[test]
    fn every_fault_of_the_protocol_has_its_reason() {
        let known: Vec<&str> = FAULTS.iter().map(|(code, _)| *code).collect();
        let wanted: Vec<&str> = Fault::CODES.iter().copied().filter(|code| code.starts_with("mqtt_")).collect();
        assert_eq!(known, wanted);
        assert_eq!(Reason::of_fault("mqtt_qos_unsupported"), Reason::QosNotSupported);
        assert_eq!(Reason::of_fault("tls_error"), Reason::UnspecifiedError);
    }
}
