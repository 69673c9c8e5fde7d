//! How devices misbehave: each kind by name, with the cases of the attack catalogue that it plays.
//!
//! A kind is a few independent choices: what is shown, how it is signed, how the octets travel, where the script breaks off, what is
//! said first and what afterwards. An honest device is the default of them all.

/// What a hub should do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a judgement is one of these")]
pub enum Expected {
    /// It is let in and served.
    Served,
    /// It is never let in: refused in whatever words, or its connection ended.
    Refused,
    /// Let in or not, its connection is ended by the hub.
    Ended,
    /// Nothing: the device leaves by itself. The hub has only to survive it.
    Survived,
}

/// One way to misbehave.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Kind {
    /// What it is called.
    pub name: &'static str,
    /// The catalogue's ids.
    pub catalogue: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What a hub should do about it.
    pub expected: Expected,
    pub(crate) behaviour: Behaviour,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    pub(crate) shown: Shown,
    pub(crate) wrong_signature: bool,
    pub(crate) wire: Wire,
    pub(crate) breaks_off: Option<(Point, Act)>,
    pub(crate) first: First,
    pub(crate) then: Then,
}

pub(crate) const HONEST: Behaviour = Behaviour {
    shown: Shown::Own,
    wrong_signature: false,
    wire: Wire::Plain,
    breaks_off: None,
    first: First::Connect,
    then: Then::Nothing,
};

/// Which certificates are presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Own,
    Nothing,
    /// From a chain with the same names and other keys.
    LookAlike,
    SelfSigned,
    /// By the right issuer, of a time that is over. Needs the issuer's key.
    Expired,
    /// The next device's, whose key this one does not have.
    Stolen,
    /// Its own, and above it this many CAs that lead nowhere.
    Filler(u16),
}

/// How octets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Plain,
    /// One octet at a time, so many milliseconds apart.
    Drip(u64),
    /// The first flight in records of one octet.
    TinyRecords,
}

/// Where the script breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// The socket is connected.
    Accepted,
    /// Half of the `ClientHello` was sent.
    ClientHello,
    /// The server's flight was read; the answer with the certificate is held back.
    Certificate,
    /// TLS is finished, nothing was said.
    Handshaken,
    /// Half of the CONNECT was sent.
    Connect,
    /// Let in.
    Connected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Say nothing more.
    Stall,
    /// Close with RST.
    Reset,
    /// Shut down writing without a word.
    Finish,
    /// Say `close_notify`, then shut down writing.
    CloseNotify,
    /// Send these octets past TLS, and stall.
    Raw(Raw),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    Garbage,
    Connect,
    HttpRequest,
    /// A `ClientHello` of 64 KiB and more.
    HugeClientHello,
    /// A Certificate message that says it is 16 MiB long. TLS 1.2: in clear.
    HugeCertificate,
}

/// The first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Connect,
    OtherClientId,
    EmptyClientId,
    OtherUserName,
    /// PUBLISH before CONNECT.
    Publish,
    /// A CONNECT of 256 MiB, of which the head is sent.
    Huge,
    /// A remaining length of five octets.
    OverlongLength,
    /// A client identifier that is not UTF-8.
    BadUtf8,
}

/// What is done once it is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    ConnectAgain,
    ForeignTopic,
    QualityTwo,
    EmptyTopic,
    SlashTopic,
    HugePublish,
    UnknownPacket,
    /// Publishes without end and reads nothing.
    NeverRead,
}

const fn kind(
    name: &'static str,
    catalogue: &'static str,
    expected: Expected,
    behaviour: Behaviour,
    about: &'static str,
) -> Kind {
    Kind { name, catalogue, about, expected, behaviour }
}

const fn breaks_off(point: Point, act: Act) -> Behaviour {
    Behaviour { breaks_off: Some((point, act)), ..HONEST }
}

const fn shows(shown: Shown) -> Behaviour {
    Behaviour { shown, ..HONEST }
}

const fn says(first: First) -> Behaviour {
    Behaviour { first, ..HONEST }
}

const fn then(then: Then) -> Behaviour {
    Behaviour { then, ..HONEST }
}

use Expected::{Ended, Refused, Served, Survived};

/// Every kind there is, in the order of a connection's life.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    kind("stall-accepted", "L17", Refused, breaks_off(Point::Accepted, Act::Stall), "connects and says nothing"),
    kind("garbage", "L01", Refused, breaks_off(Point::Accepted, Act::Raw(Raw::Garbage)), "sends octets that are not TLS"),
    kind("plaintext-mqtt", "L01", Refused, breaks_off(Point::Accepted, Act::Raw(Raw::Connect)), "sends its CONNECT without TLS"),
    kind("plaintext-http", "L01", Refused, breaks_off(Point::Accepted, Act::Raw(Raw::HttpRequest)), "sends an HTTP request without TLS"),
    kind("huge-client-hello", "L10", Refused, breaks_off(Point::Accepted, Act::Raw(Raw::HugeClientHello)), "sends a ClientHello of more than 64 KiB"),
    kind("tiny-records", "L10", Served, Behaviour { wire: Wire::TinyRecords, ..HONEST }, "sends its ClientHello in records of one octet"),
    kind("drip", "L17 P15", Refused, Behaviour { wire: Wire::Drip(1_000), ..HONEST }, "sends one octet a second"),
    kind("reset-accepted", "L11", Survived, breaks_off(Point::Accepted, Act::Reset), "connects and resets"),
    kind("finish-accepted", "L11", Ended, breaks_off(Point::Accepted, Act::Finish), "connects and closes"),
    kind("stall-client-hello", "L17", Refused, breaks_off(Point::ClientHello, Act::Stall), "sends half of its ClientHello"),
    kind("reset-client-hello", "L11", Survived, breaks_off(Point::ClientHello, Act::Reset), "sends half of its ClientHello and resets"),
    kind("finish-client-hello", "L11", Ended, breaks_off(Point::ClientHello, Act::Finish), "sends half of its ClientHello and closes"),
    kind("stall-certificate", "L17", Refused, breaks_off(Point::Certificate, Act::Stall), "holds its certificate back"),
    kind("reset-certificate", "L11", Survived, breaks_off(Point::Certificate, Act::Reset), "resets in place of its certificate"),
    kind("finish-certificate", "L11", Ended, breaks_off(Point::Certificate, Act::Finish), "closes in place of its certificate"),
    kind("huge-certificate", "P15", Refused, breaks_off(Point::Certificate, Act::Raw(Raw::HugeCertificate)), "claims a certificate message of 16 MiB (TLS 1.2)"),
    kind("no-certificate", "L08", Refused, shows(Shown::Nothing), "has no certificate"),
    kind("self-signed", "T07", Refused, shows(Shown::SelfSigned), "signed its certificate itself"),
    kind("unregistered-ca", "T07", Refused, shows(Shown::LookAlike), "comes from CAs of the same names with other keys"),
    kind("expired", "T10", Refused, shows(Shown::Expired), "shows a certificate that has expired"),
    kind("stolen-certificate", "O16", Refused, shows(Shown::Stolen), "shows another device's certificate and signs with its own key"),
    kind("wrong-signature", "O16", Refused, Behaviour { wrong_signature: true, ..HONEST }, "signs something else than the handshake"),
    kind("long-chain", "P09 P04", Refused, shows(Shown::Filler(20)), "shows 20 CAs that lead nowhere beside its own"),
    kind("filler-chain", "P01", Refused, shows(Shown::Filler(170)), "shows 170 CAs that lead nowhere beside its own"),
    kind("stall-handshaken", "L17", Refused, breaks_off(Point::Handshaken, Act::Stall), "finishes TLS and says nothing"),
    kind("reset-handshaken", "L11", Survived, breaks_off(Point::Handshaken, Act::Reset), "finishes TLS and resets"),
    kind("finish-handshaken", "L11", Ended, breaks_off(Point::Handshaken, Act::Finish), "finishes TLS and closes without close_notify"),
    kind("close-notify", "L11", Ended, breaks_off(Point::Handshaken, Act::CloseNotify), "finishes TLS and says good-bye"),
    kind("stall-connect", "L17", Refused, breaks_off(Point::Connect, Act::Stall), "sends half of its CONNECT"),
    kind("reset-connect", "L11", Survived, breaks_off(Point::Connect, Act::Reset), "sends half of its CONNECT and resets"),
    kind("not-connect", "M01", Refused, says(First::Publish), "publishes without CONNECT"),
    kind("huge-connect", "M01", Refused, says(First::Huge), "claims a CONNECT of 256 MiB"),
    kind("overlong-length", "M01", Refused, says(First::OverlongLength), "writes a length of five octets"),
    kind("wrong-client-id", "M02", Refused, says(First::OtherClientId), "claims another client id"),
    kind("empty-client-id", "M02", Refused, says(First::EmptyClientId), "claims no client id"),
    kind("wrong-user-name", "M02", Refused, says(First::OtherUserName), "claims another user name"),
    kind("bad-utf8", "M08", Refused, says(First::BadUtf8), "claims a client id that is not UTF-8"),
    kind("second-connect", "M09", Ended, then(Then::ConnectAgain), "connects twice over one connection"),
    kind("unknown-packet", "M09", Ended, then(Then::UnknownPacket), "sends a packet of type 0"),
    kind("foreign-topic", "M04", Ended, then(Then::ForeignTopic), "publishes as another device"),
    kind("empty-topic", "M07", Ended, then(Then::EmptyTopic), "publishes to a topic without a name"),
    kind("slash-topic", "M07", Ended, then(Then::SlashTopic), "publishes to a topic of 65,400 slashes"),
    kind("qos-2", "M10", Ended, then(Then::QualityTwo), "publishes with QoS 2"),
    kind("huge-publish", "M12", Ended, then(Then::HugePublish), "claims a message of 256 MiB"),
    kind("never-reads", "M10", Ended, then(Then::NeverRead), "publishes without end and reads nothing"),
    kind("reset-connected", "L11", Survived, breaks_off(Point::Connected, Act::Reset), "resets once it is let in"),
    kind("finish-connected", "L11", Ended, breaks_off(Point::Connected, Act::Finish), "closes without DISCONNECT once it is let in"),
];

/// The kind of this name.
pub(crate) fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
