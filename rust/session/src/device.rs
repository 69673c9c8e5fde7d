//! The stepped connection: which phase it is in, what may happen there, and what leaves it.

use std::sync::Arc;

use crate::error::Fault;
use crate::handshake::{Peer, PresentedChain, TlsConfig};
use crate::limits::Limits;
use crate::mqtt::{self, Connect, ConnectAttempt, Frame, ReturnCode};
use crate::telemetry::{Telemetry, parse_telemetry};
use crate::tls::Tls;

/// Something the owner of the session must act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A chain was presented and its key proven: judge it, then call `accept` or `refuse`.
    Presented(PresentedChain),
    /// The handshake ended without a certificate: call `refuse`.
    Anonymous,
    /// An accepted peer asks to connect: call `admit` or `answer`.
    Connect(Connect),
    /// An admitted device published; `acknowledge` it unless its packet id is 0.
    Telemetry(Telemetry),
    /// An admitted device said DISCONNECT: no will is published.
    Disconnect,
    /// The last answer is in the output: shut down writing once it was sent, and read on until the peer has closed.
    Finish,
}

/// Where a connection stands. Only the calls that fit move it.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// TLS is not finished.
    Handshaking,
    /// The peer is known to the session and waits for a verdict. Nothing goes out, nothing decrypted is read.
    Presented,
    /// The verdict was good: the first packet is awaited.
    Connecting,
    /// The CONNECT was handed out and waits for its answer.
    Deciding,
    /// Admitted as this device.
    Open { device_id: Arc<str> },
    /// Refused: the one thing read is a CONNECT, to answer it in its own version.
    Refusing(ReturnCode),
    /// The answer was given; `Finish` is still to be said.
    Answered,
    /// Over. Input is dropped.
    Ended,
}

/// One connection of a device.
#[derive(Debug)]
pub struct Session {
    tls: Tls,
    limits: Limits,
    phase: Phase,
    /// Decrypted and not yet read, from `consumed` on.
    plaintext: Vec<u8>,
    consumed: usize,
    /// Packets to be sent: what is written together is sealed together.
    packets: Vec<u8>,
    /// Records to be sent.
    output: Vec<u8>,
    /// Bytes fed before the verdict.
    fed: usize,
    unacknowledged: usize,
}

impl Session {
    /// A connection that was just accepted.
    ///
    /// # Errors
    /// `tls_error` when the library cannot make one.
    pub fn new(config: &TlsConfig, limits: Limits) -> Result<Self, Fault> {
        let tls = Tls::new(config)?;
        Ok(Self {
            tls,
            limits,
            phase: Phase::Handshaking,
            plaintext: Vec::new(),
            consumed: 0,
            packets: Vec::new(),
            output: Vec::new(),
            fed: 0,
            unacknowledged: 0,
        })
    }

    /// Takes bytes from the peer. Ask `next_event` afterwards, then `take_output`.
    ///
    /// # Errors
    /// The connection is over; what `take_output` still holds (a TLS alert) is worth sending.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        match self.phase {
            Phase::Handshaking | Phase::Presented => {
                self.fed = self.fed.saturating_add(bytes.len());
                if self.fed > self.limits.handshake_bytes_max {
                    let detail = format!("more than {} bytes before the verdict", self.limits.handshake_bytes_max);
                    return self.end(Fault::new("handshake_too_large", detail));
                }
            }
            Phase::Answered | Phase::Ended => return Ok(()),
            Phase::Connecting | Phase::Deciding | Phase::Open { .. } | Phase::Refusing(_) => {}
        }
        self.tls.feed(bytes, &mut self.plaintext, &mut self.output).or_else(|fault| self.end(fault))
    }

    /// What happened, in order; `None` when more bytes, a call, or an acknowledgement is awaited.
    ///
    /// # Errors
    /// The peer broke its protocol: the connection is over.
    pub fn next_event(&mut self) -> Result<Option<Event>, Fault> {
        let stepped = match &self.phase {
            Phase::Handshaking => self.finish_handshake(),
            Phase::Connecting | Phase::Refusing(_) => self.read_connect(),
            Phase::Open { .. } => self.read_packets(),
            Phase::Answered => {
                self.phase = Phase::Ended;
                Ok(Some(Event::Finish))
            }
            Phase::Presented | Phase::Deciding | Phase::Ended => Ok(None),
        };
        stepped.or_else(|fault| self.end(fault))
    }

    /// The verdict is good: the peer may say what it wants.
    pub fn accept(&mut self) {
        if self.phase == Phase::Presented {
            self.phase = Phase::Connecting;
        }
    }

    /// The verdict is bad: the peer's CONNECT will be answered with `code` and nothing else of it is read.
    pub fn refuse(&mut self, code: ReturnCode) {
        if matches!(self.phase, Phase::Presented | Phase::Connecting) {
            self.phase = Phase::Refusing(code);
        }
    }

    /// Answers the CONNECT with yes; from here on the session reads and writes as `device_id`, and its records are ours:
    /// of the TLS library's connection, the chain and the handshake's buffers nothing is left.
    ///
    /// # Errors
    /// `tls_error` when the library refuses to write or to give out its keys.
    pub fn admit(&mut self, device_id: Arc<str>) -> Result<(), Fault> {
        if self.phase != Phase::Deciding {
            return Ok(());
        }
        self.phase = Phase::Open { device_id };
        self.send(&mqtt::connack(ReturnCode::Accepted, 4));
        self.flush().and_then(|()| self.tls.take_over(&mut self.output)).or_else(|fault| self.end(fault))
    }

    /// Answers the CONNECT with no.
    pub fn answer(&mut self, code: ReturnCode) {
        if self.phase == Phase::Deciding {
            self.answer_connect(code, 4);
        }
    }

    /// Acknowledges a message that is stored for good.
    pub fn acknowledge(&mut self, packet_id: u16) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        if matches!(self.phase, Phase::Open { .. }) {
            self.send(&mqtt::puback(packet_id));
        }
    }

    /// Ends an open session from our side: 3.1.1 has no packet for it, so `close_notify` is all.
    pub fn finish(&mut self) {
        if !matches!(self.phase, Phase::Answered | Phase::Ended) {
            self.close();
        }
    }

    /// What is to be sent now. While a peer waits for its verdict there is nothing: in TLS 1.2 our Finished is held back until then.
    ///
    /// # Errors
    /// `tls_error` when nothing more can be protected; what was sealed before is still there to be taken.
    pub fn take_output(&mut self) -> Result<Vec<u8>, Fault> {
        if self.phase != Phase::Presented {
            self.tls.drain(&mut self.output);
            self.flush().or_else(|fault| self.end(fault))?;
        }
        Ok(std::mem::take(&mut self.output))
    }

    /// Whether nothing is in hand: no message unacknowledged, no packet half read.
    pub fn is_settled(&self) -> bool {
        self.unacknowledged == 0 && self.unread().is_empty()
    }

    /// Whether reading should stop: too much is waiting for an acknowledgement or an answer.
    pub fn is_blocked(&self) -> bool {
        let waiting = matches!(self.phase, Phase::Deciding) && self.unread().len() > self.limits.connect_bytes_max;
        waiting || self.unacknowledged >= self.limits.unacknowledged_count_max
    }

    fn finish_handshake(&mut self) -> Result<Option<Event>, Fault> {
        let Some(peer) = self.tls.peer() else { return Ok(None) };
        self.phase = Phase::Presented;
        Ok(Some(match peer? {
            Peer::Presented(chain) => Event::Presented(chain),
            Peer::Anonymous => Event::Anonymous,
        }))
    }

    /// The first packet must be a CONNECT (§3.1). An accepted peer's is handed out, a refused peer's is answered.
    fn read_connect(&mut self) -> Result<Option<Event>, Fault> {
        let unread = self.plaintext.get(self.consumed..).unwrap_or_default();
        let Some(frame) = Frame::read(unread, self.limits.connect_bytes_max)? else { return Ok(None) };
        if frame.kind != mqtt::CONNECT {
            return Err(unexpected(frame.kind, "before CONNECT"));
        }
        let length = frame.length;
        let attempt = mqtt::parse_connect(&frame)?;
        self.consume(length);
        match (attempt, &self.phase) {
            (ConnectAttempt::OtherLevel(level), Phase::Refusing(code)) => self.answer_connect(*code, level),
            (ConnectAttempt::OtherLevel(level), _) => {
                self.answer_connect(ReturnCode::UnacceptableProtocolVersion, level);
            }
            (ConnectAttempt::Connect(_), Phase::Refusing(code)) => self.answer_connect(*code, 4),
            (ConnectAttempt::Connect(connect), _) => {
                self.phase = Phase::Deciding;
                return Ok(Some(Event::Connect(connect)));
            }
        }
        self.next_event()
    }

    fn read_packets(&mut self) -> Result<Option<Event>, Fault> {
        while self.unacknowledged < self.limits.unacknowledged_count_max {
            let unread = self.plaintext.get(self.consumed..).unwrap_or_default();
            let Some(frame) = Frame::read(unread, self.limits.packet_bytes_max)? else { break };
            let length = frame.length;
            let Phase::Open { device_id } = &self.phase else { break };
            let (answer, event) = read_packet(&frame, device_id, &self.limits)?;
            self.consume(length);
            self.send(&answer);
            match &event {
                Some(Event::Telemetry(telemetry)) if telemetry.packet_id != 0 => {
                    self.unacknowledged = self.unacknowledged.saturating_add(1);
                }
                // §3.14.4: after DISCONNECT nothing more is read.
                Some(Event::Disconnect) => self.finish(),
                _ => {}
            }
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn answer_connect(&mut self, code: ReturnCode, level: u8) {
        self.send(&mqtt::connack(code, level));
        self.close();
    }

    fn send(&mut self, packet: &[u8]) {
        self.packets.extend_from_slice(packet);
    }

    /// Seals what is to be sent.
    fn flush(&mut self) -> Result<(), Fault> {
        if self.packets.is_empty() {
            Ok(())
        } else {
            self.tls.send(&std::mem::take(&mut self.packets), &mut self.output)
        }
    }

    /// The last words: what is to be sent, then `close_notify`.
    fn close(&mut self) {
        // Where nothing can be protected any more there is nothing more to say.
        let _unsaid = self.flush();
        self.tls.close(&mut self.output);
        self.phase = Phase::Answered;
    }

    fn unread(&self) -> &[u8] {
        self.plaintext.get(self.consumed..).unwrap_or_default()
    }

    /// Moves past a packet. What is read is given back at once when nothing follows it, so that an idle session holds no buffer.
    fn consume(&mut self, length: usize) {
        self.consumed = self.consumed.saturating_add(length);
        if self.unread().is_empty() {
            self.plaintext = Vec::new();
            self.consumed = 0;
        } else if self.consumed > self.limits.packet_bytes_max {
            self.plaintext.drain(..self.consumed);
            self.consumed = 0;
        }
    }

    fn end<T>(&mut self, fault: Fault) -> Result<T, Fault> {
        self.phase = Phase::Ended;
        self.plaintext = Vec::new();
        self.packets = Vec::new();
        self.consumed = 0;
        Err(fault)
    }
}

/// What one packet of an admitted device brings: an answer, an event, or both.
fn read_packet(frame: &Frame<'_>, device_id: &str, limits: &Limits) -> Result<(Vec<u8>, Option<Event>), Fault> {
    Ok(match frame.kind {
        mqtt::PUBLISH => {
            let telemetry = parse_telemetry(&mqtt::parse_publish(frame)?, device_id)?;
            (Vec::new(), Some(Event::Telemetry(telemetry)))
        }
        mqtt::SUBSCRIBE => {
            let (packet_id, filters) = mqtt::parse_filters(frame, limits.filters_count_max)?;
            let codes: Vec<u8> = filters.iter().map(|(filter, qos)| granted(filter, *qos, device_id)).collect();
            (mqtt::suback(packet_id, &codes), None)
        }
        mqtt::UNSUBSCRIBE => {
            let (packet_id, _) = mqtt::parse_filters(frame, limits.filters_count_max)?;
            (mqtt::unsuback(packet_id).to_vec(), None)
        }
        mqtt::PINGREQ => {
            frame.expect_flags(0)?;
            frame.expect_empty()?;
            (mqtt::PINGRESP.to_vec(), None)
        }
        mqtt::DISCONNECT => {
            frame.expect_flags(0)?;
            frame.expect_empty()?;
            (Vec::new(), Some(Event::Disconnect))
        }
        mqtt::PUBACK => {
            frame.expect_flags(0)?;
            // Nothing was sent that could be acknowledged.
            let packet_id = frame.packet_id()?;
            return Err(Fault::new("mqtt_unexpected_packet", format!("PUBACK of {packet_id}, which was never sent")));
        }
        kind => return Err(unexpected(kind, "in an open session")),
    })
}

/// The QoS granted for `filter`, or 0x80. Only the device's own inbox: twins and methods are refused until the hub has them,
/// rather than granted and never served.
fn granted(filter: &str, qos: u8, device_id: &str) -> u8 {
    let inbox = filter.strip_prefix("devices/").and_then(|rest| rest.strip_prefix(device_id));
    if inbox == Some("/messages/devicebound/#") { qos.min(1) } else { 0x80 }
}

fn unexpected(kind: u8, when: &str) -> Fault {
    Fault::new("mqtt_unexpected_packet", format!("a packet of type {kind} {when}"))
}
