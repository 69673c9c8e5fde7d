//! What a run is to do: whom to dial, and the crowds of devices that do.

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::Error;
use crate::kinds::{self, Behaviour, Expected, HONEST};
use crate::tls::Version;

/// One process's share of a run.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "every caller writes all of it out")]
pub struct Plan {
    /// Whom to dial.
    pub target: SocketAddr,
    /// The name that is asked for in TLS and in the CONNECT's user name: a host name or an address.
    pub server_name: String,
    /// How many addresses of 127.0.0.0/8 to dial from; 0 leaves the choice to the system.
    pub source_addresses: u32,
    /// How long a connection may take from dialling to its answer, and a hub to end one that misbehaves.
    pub patience: Duration,
    /// How many threads share the work.
    pub threads: usize,
    /// Who dials.
    pub crowds: Vec<Crowd>,
}

/// Devices that do the same.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "every caller writes all of it out")]
pub struct Crowd {
    /// What the report calls it.
    pub name: String,
    /// How they misbehave: a kind's name, or nothing for honest devices.
    pub misbehaviour: Option<String>,
    /// TLS.
    pub version: Version,
    /// What is spoken inside it.
    pub application: Application,
    /// The first device's number.
    pub first: u64,
    /// How many devices.
    pub count: u64,
    /// How often each of them connects. A round begins when the one before has ended.
    pub rounds: u32,
    /// Connections begun a second; 0: as many as `concurrency` lets.
    pub rate: f64,
    /// Connections that wait for their answer at once.
    pub concurrency: usize,
    /// How long they stay.
    pub stay: Stay,
    /// What they send meanwhile.
    pub publish: Option<Publish>,
    /// What the CONNECT promises, and what is kept by pings.
    pub keep_alive_seconds: u16,
    /// Whether the CONNECT asks for a clean session; stock SDKs do not.
    pub clean_session: bool,
    /// Whether they come back by the ticket that they were given, where they were given one.
    pub resume: bool,
}

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "every caller names them all")]
pub enum Application {
    /// MQTT 3.1.1: CONNECT, CONNACK.
    Mqtt,
    /// HTTP/1.1: one GET, its answer, and the connection kept.
    Http,
}

/// How long an honest device stays once it was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "every caller names them all")]
pub enum Stay {
    /// So long after its own answer, and until all that it sent was acknowledged.
    Each(Duration),
    /// So long after the last device of the crowd was let in; without a limit until the run is stopped.
    All(Option<Duration>),
}

/// What a device that was let in sends.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "every caller writes all of it out")]
pub struct Publish {
    /// Messages a second, of all devices of the crowd together; 0: as many as `in_flight` lets.
    pub rate: f64,
    /// Messages of each connection; 0: no end.
    pub messages: u32,
    /// Messages that one device has sent and that were not acknowledged. QoS 0 knows no such limit but the socket's.
    pub in_flight: usize,
    /// QoS 1, or 0.
    pub acknowledged: bool,
    /// Bytes of each payload.
    pub payload_bytes: usize,
}

impl Crowd {
    pub(crate) fn behaviour(&self) -> Result<(Behaviour, Expected), Error> {
        let Some(name) = &self.misbehaviour else { return Ok((HONEST, Expected::Served)) };
        let unknown = || Error::new("unknown_misbehaviour", format!("no device misbehaves by '{name}'"));
        kinds::find(name).map(|kind| (kind.behaviour, kind.expected)).ok_or_else(unknown)
    }
}
