//! MQTT packets of both versions, as a server reads and writes them. Sections in this folder are those of OASIS mqtt-v5.0-os
//! ("5.0"); where mqtt-v3.1.1-os says another thing, its section is named with the version. Nothing here keeps state.

mod connect;
mod disconnect;
mod frame;
mod properties;
mod publish;
mod reason;
mod subscribe;

pub use connect::{Connect, Will};
pub(crate) use connect::{
    ConnectAttempt, connect_level, parse_connect, write_connack, write_refusal, write_tracked_refusal,
};
pub use disconnect::Goodbye;
pub(crate) use disconnect::{parse_disconnect, write_disconnect};
pub(crate) use frame::{Frame, protocol_error};
pub use frame::{write_packet, write_string};
pub(crate) use properties::{Properties, Writer};
pub(crate) use publish::{
    Outgoing, Publish, parse_puback, parse_publish, wants_acknowledgement, write_puback, write_publish,
};
pub use reason::Reason;
pub(crate) use subscribe::{parse_filters, write_suback, write_unsuback};

/// The versions that a device may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a third version is another codec")]
pub enum Version {
    /// 3.1.1: protocol level 4.
    V311,
    /// 5.0: protocol level 5.
    V5,
}

impl Version {
    /// The protocol level in CONNECT (§3.1.2.2).
    pub(crate) fn level(self) -> u8 {
        match self {
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }
}

/// §2.1.2
pub(crate) const CONNECT: u8 = 1;
pub(crate) const CONNACK: u8 = 2;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const SUBACK: u8 = 9;
pub(crate) const UNSUBSCRIBE: u8 = 10;
pub(crate) const UNSUBACK: u8 = 11;
pub(crate) const PINGREQ: u8 = 12;
pub(crate) const PINGRESP: u8 = 13;
pub(crate) const DISCONNECT: u8 = 14;
