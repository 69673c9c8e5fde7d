//! The stepped connection: which phase it is in, what may happen there, and what leaves it.

use std::sync::Arc;

use holdfast_x509::UnixSeconds;

use crate::agreement::Agreement;
use crate::cipher::random;
use crate::error::Fault;
use crate::handshake::{Peer, PresentedChain, TlsConfig};
use crate::inbox::{Delivery, Message};
use crate::limits::Limits;
use crate::mqtt::{self, Connect, ConnectAttempt, Frame, Goodbye, Reason, Version};
use crate::open::{Admission, Open, Qos, Terms, unexpected};
use crate::telemetry::Telemetry;
use crate::tls::Tls;

/// Something the owner of the session must act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A chain was presented and its key proven: judge it, then call `accept` or `refuse`.
    Presented(PresentedChain),
    /// A live ticket was taken and its secret proven: judge the chain as any other, its verdict of then counts for nothing; then call
    /// `accept` or `refuse`.
    Resumed(PresentedChain),
    /// The handshake ended without a certificate: call `refuse`.
    Anonymous,
    /// An accepted peer asks to connect: call `admit` or `answer`.
    Connect(Connect),
    /// An admitted device published; `acknowledge` it unless its packet id is 0.
    Telemetry(Telemetry),
    /// What the device has subscribed to of its inbox is to become this: keep it where the session is kept, then call
    /// `subscription_kept`. Nothing more is read before.
    Subscription(Option<Qos>),
    /// The device has taken a message that was delivered, or says with 5.0's reason code (0x80 and above) why it has not.
    Acknowledged {
        /// What `Message::id` called it.
        message: u64,
        /// 0 in 3.1.1.
        reason: u8,
    },
    /// An admitted device said DISCONNECT.
    Disconnect(Goodbye),
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
    Deciding(Terms),
    /// Admitted.
    Open(Open),
    /// Refused: the one thing read is a CONNECT, to answer it in its own version.
    Refusing(Refusal),
    /// The answer was given; `Finish` is still to be said.
    Answered,
    /// Over. Input is dropped.
    Ended,
}

/// What a refused peer is told: the reason, and beside it a random number, which says nothing of either side, but lets whoever runs the hub find
/// the line about it (`trust.md` §1.10). Only 5.0 has a place for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    reason: Reason,
    tracking: u64,
}

impl Refusal {
    fn new(reason: Reason) -> Self {
        // Without randomness it is a number that leads nowhere.
        Self { reason, tracking: random().map_or(0, u64::from_be_bytes) }
    }

    fn tracking_id(self) -> String {
        format!("{:016x}", self.tracking)
    }
}

/// One connection of a device.
#[derive(Debug)]
pub struct Session {
    tls: Tls,
    limits: Arc<Limits>,
    phase: Phase,
    /// Decrypted and not yet read, from `consumed` on.
    plaintext: Vec<u8>,
    consumed: usize,
    /// Packets to be sent: what is written together is sealed together.
    packets: Vec<u8>,
    /// Records to be sent.
    output: Vec<u8>,
    /// Bytes fed: what a stranger may still make us work for.
    fed: u32,
    /// Whether a whole packet was read since somebody asked.
    heard: bool,
}

impl Session {
    /// A connection that was just accepted. Its limits are everybody's: share them.
    pub fn new(config: &TlsConfig, limits: impl Into<Arc<Limits>>) -> Self {
        Self {
            tls: Tls::new(config),
            limits: limits.into(),
            phase: Phase::Handshaking,
            plaintext: Vec::new(),
            consumed: 0,
            packets: Vec::new(),
            output: Vec::new(),
            fed: 0,
            heard: false,
        }
    }

    /// The share for X25519 of the peer's hello in `bytes`, the first of the connection and not received yet, if no agreement was
    /// given for it (RFC 8446 §4.2.8).
    pub fn x25519_share(&self, bytes: &[u8]) -> Option<[u8; 32]> {
        self.tls.x25519_share(bytes)
    }

    /// What came of that share. Without it, or if the handshake turns out to ask for something else, the TLS library works out its own.
    pub fn provide(&mut self, agreement: Agreement) {
        self.tls.provide(agreement);
    }

    /// Takes bytes from the peer. Ask `next_event` afterwards, then `take_output`.
    ///
    /// # Errors
    /// The connection is over; what `take_output` still holds (a TLS alert) is worth sending.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let before = usize::try_from(self.fed).unwrap_or(usize::MAX);
        self.fed = self.fed.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        match self.phase {
            Phase::Handshaking | Phase::Presented => {
                if before.saturating_add(bytes.len()) > self.limits.handshake_bytes_max {
                    let detail = format!("more than {} bytes before the verdict", self.limits.handshake_bytes_max);
                    return self.end(Fault::new("handshake_too_large", detail));
                }
            }
            // What comes along with the end of a CONNECT may be as much as it likes.
            Phase::Connecting | Phase::Refusing(_) => {
                let max = self.limits.before_connect_bytes_max();
                if before > max {
                    let detail = format!("more than {max} bytes before the end of a CONNECT");
                    return self.end(Fault::new("tls_error", detail));
                }
            }
            Phase::Answered | Phase::Ended => return Ok(()),
            Phase::Deciding(_) | Phase::Open(_) => {}
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
            Phase::Open(_) => self.read_packets(),
            Phase::Answered => {
                self.phase = Phase::Ended;
                Ok(Some(Event::Finish))
            }
            Phase::Presented | Phase::Deciding(_) | Phase::Ended => Ok(None),
        };
        stepped.or_else(|fault| {
            self.say_why(&fault);
            self.end(fault)
        })
    }

    /// The verdict is good: the peer may say what it wants.
    pub fn accept(&mut self) {
        if self.phase == Phase::Presented {
            self.phase = Phase::Connecting;
        }
    }

    /// The verdict is bad: the peer's CONNECT will be answered with `reason`, and in 5.0 with the tracking id that is returned here, and
    /// nothing else of it is read.
    pub fn refuse(&mut self, reason: Reason) -> String {
        let refusal = Refusal::new(reason);
        if matches!(self.phase, Phase::Presented | Phase::Connecting) {
            self.phase = Phase::Refusing(refusal);
        }
        refusal.tracking_id()
    }

    /// Answers the CONNECT with yes; from here on the session reads and writes as that device, and its records are ours:
    /// of the TLS library's connection, the chain and the handshake's buffers nothing is left.
    ///
    /// # Errors
    /// `tls_error` when the library refuses to write or to give out its keys.
    pub fn admit(&mut self, admission: Admission) -> Result<(), Fault> {
        let Phase::Deciding(terms) = self.phase else { return Ok(()) };
        let (present, keep_alive) = (admission.session_present, admission.server_keep_alive_seconds);
        mqtt::write_connack(terms.version, present, keep_alive, &self.limits, &mut self.packets);
        self.phase = Phase::Open(Open::new(admission, terms));
        self.flush().and_then(|()| self.tls.take_over(&mut self.output)).or_else(|fault| self.end(fault))
    }

    /// Answers the CONNECT with no, and in 5.0 with the tracking id that is returned here.
    pub fn answer(&mut self, reason: Reason) -> String {
        let refusal = Refusal::new(reason);
        if let Phase::Deciding(terms) = self.phase {
            self.answer_connect(refusal, terms);
        }
        refusal.tracking_id()
    }

    /// Acknowledges a message that is stored for good.
    pub fn acknowledge(&mut self, packet_id: u16) {
        if let Phase::Open(open) = &mut self.phase {
            open.acknowledge(packet_id, &mut self.packets);
        }
    }

    /// The subscription is kept as `Event::Subscription` said: it counts from here on, and the device is told.
    pub fn subscription_kept(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            open.subscription_kept(&mut self.packets);
        }
    }

    /// How many messages may be delivered now.
    pub fn room(&self) -> usize {
        if let Phase::Open(open) = &self.phase { open.room(&self.limits) } else { 0 }
    }

    /// Sends a message to the device. The caller asks for `room` before; `at` is for its expiry.
    pub fn deliver(&mut self, message: &Message, at: UnixSeconds) -> Delivery {
        let Phase::Open(open) = &mut self.phase else { return Delivery::NotOpen };
        open.deliver(message, at, &mut self.packets)
    }

    /// Ends an open session from our side: 5.0 is told why; 3.1.1 has no packet for it, so `close_notify` is all.
    pub fn finish(&mut self, reason: Reason) {
        if let Phase::Open(open) = &self.phase {
            mqtt::write_disconnect(open.version(), reason, &mut self.packets);
        }
        if !matches!(self.phase, Phase::Answered | Phase::Ended) {
            self.close();
        }
    }

    /// What is to be sent now. While a peer waits for its verdict there is nothing: in TLS 1.2 our Finished is held back until then.
    /// TLS 1.3's ticket waits for the answer to the CONNECT, and shares its write.
    ///
    /// # Errors
    /// `tls_error` when nothing more can be protected; what was sealed before is still there to be taken.
    pub fn take_output(&mut self) -> Result<Vec<u8>, Fault> {
        let held = match &self.phase {
            Phase::Presented => true,
            Phase::Handshaking => self.tls.has_last_flight(),
            Phase::Connecting | Phase::Deciding(_) | Phase::Refusing(_) => self.tls.can_wait(),
            Phase::Open(_) | Phase::Answered | Phase::Ended => false,
        };
        if !held {
            self.tls.drain(&mut self.output);
            self.flush().or_else(|fault| self.end(fault))?;
        }
        Ok(std::mem::take(&mut self.output))
    }

    /// Whether nothing is in hand: no message unacknowledged, no packet unanswered or half read.
    pub fn is_settled(&self) -> bool {
        let settled = if let Phase::Open(open) = &self.phase { open.is_settled() } else { true };
        settled && self.unread().is_empty()
    }

    /// The memory that takes what came and could not be read yet: the head of a packet, or of a record.
    pub fn held_bytes(&self) -> usize {
        self.plaintext.capacity().saturating_add(self.tls.held_bytes())
    }

    /// Whether a whole packet of an admitted device was read since the last call: only that keeps it alive (§3.1.2.10).
    pub fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Whether reading should stop: too much is waiting for an acknowledgement or an answer.
    pub fn is_blocked(&self) -> bool {
        let much_unread = self.unread().len() > self.limits.connect_bytes_max;
        match &self.phase {
            Phase::Deciding(_) => much_unread,
            Phase::Open(open) => open.is_full(&self.limits) || (open.is_waiting() && much_unread),
            Phase::Handshaking
            | Phase::Presented
            | Phase::Connecting
            | Phase::Refusing(_)
            | Phase::Answered
            | Phase::Ended => false,
        }
    }

    fn finish_handshake(&mut self) -> Result<Option<Event>, Fault> {
        let Some(peer) = self.tls.peer() else { return Ok(None) };
        self.phase = Phase::Presented;
        Ok(Some(match peer? {
            Peer::Presented(chain) => Event::Presented(chain),
            Peer::Resumed(chain) => Event::Resumed(chain),
            Peer::Anonymous => Event::Anonymous,
        }))
    }

    /// The first packet must be a CONNECT (§3.1). An accepted peer's is handed out, a refused peer's is answered.
    fn read_connect(&mut self) -> Result<Option<Event>, Fault> {
        let unread = self.plaintext.get(self.consumed..).unwrap_or_default();
        // Whoever speaks another protocol is not waited for: its first octet tells.
        if let Some(kind) = unread.first().map(|first| first >> 4).filter(|kind| *kind != mqtt::CONNECT) {
            return Err(unexpected(kind, "before CONNECT"));
        }
        let Some(frame) = Frame::read(unread, self.limits.connect_bytes_max)? else { return Ok(None) };
        let length = frame.length;
        let attempt = mqtt::parse_connect(&frame, &self.limits)?;
        self.consume(length);
        match (attempt, &self.phase) {
            (ConnectAttempt::OtherLevel(level), Phase::Refusing(refusal)) => self.answer_level(refusal.reason, level),
            (ConnectAttempt::OtherLevel(level), _) => self.answer_level(Reason::UnsupportedProtocolVersion, level),
            (ConnectAttempt::Connect(connect), Phase::Refusing(refusal)) => {
                self.answer_connect(*refusal, Terms::of(&connect));
            }
            (ConnectAttempt::Connect(connect), _) => {
                self.phase = Phase::Deciding(Terms::of(&connect));
                return Ok(Some(Event::Connect(connect)));
            }
        }
        self.next_event()
    }

    fn read_packets(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            let Phase::Open(open) = &mut self.phase else { return Ok(None) };
            if open.is_waiting() {
                return Ok(None);
            }
            let unread = self.plaintext.get(self.consumed..).unwrap_or_default();
            let Some(frame) = Frame::read(unread, self.limits.packet_bytes_max)? else { return Ok(None) };
            if !open.has_room_for(&frame, &self.limits)? {
                return Ok(None);
            }
            self.heard = true;
            let length = frame.length;
            let event = open.read(&frame, &self.limits, &mut self.packets)?;
            self.consume(length);
            if let Some(Event::Disconnect(_)) = &event {
                self.close(); // §3.14.4: after DISCONNECT nothing more is read, nor said.
            }
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn answer_connect(&mut self, refusal: Refusal, terms: Terms) {
        if terms.version != Version::V5 {
            return self.answer_level(refusal.reason, terms.version.level());
        }
        let (id, packet_bytes_max) = (refusal.tracking_id(), terms.maximum_packet_size);
        mqtt::write_tracked_refusal(refusal.reason, &id, packet_bytes_max, &mut self.packets);
        self.close();
    }

    fn answer_level(&mut self, reason: Reason, level: u8) {
        mqtt::write_refusal(level, reason, &mut self.packets);
        self.close();
    }

    /// What a peer hears that broke its protocol, where it is known well enough to be spoken to: what it was owed, in 5.0 the reason
    /// (§4.13), and a clean end. A refused peer's CONNECT has one answer, or none.
    fn say_why(&mut self, fault: &Fault) {
        let reason = Reason::of_fault(fault.code());
        match &self.phase {
            Phase::Open(open) => mqtt::write_disconnect(open.version(), reason, &mut self.packets),
            Phase::Connecting => {
                let frame = Frame::read(self.unread(), self.limits.connect_bytes_max).ok().flatten();
                let connect = frame.filter(|frame| frame.kind == mqtt::CONNECT);
                match connect.and_then(|frame| mqtt::connect_level(&frame)) {
                    Some(level) if level == Version::V5.level() => {
                        mqtt::write_refusal(level, reason, &mut self.packets);
                    }
                    _ => return,
                }
            }
            Phase::Handshaking
            | Phase::Presented
            | Phase::Deciding(_)
            | Phase::Refusing(_)
            | Phase::Answered
            | Phase::Ended => return,
        }
        self.close();
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
        self.withhold();
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

    /// A connection that ends without a verdict has heard nothing that waits for one; nor an alert, if it was sealed behind that: the peer
    /// could not open it.
    fn withhold(&mut self) {
        if matches!(self.phase, Phase::Handshaking | Phase::Presented) && self.tls.has_last_flight() {
            self.tls.hang_up();
        }
    }

    fn end<T>(&mut self, fault: Fault) -> Result<T, Fault> {
        self.withhold();
        self.phase = Phase::Ended;
        self.plaintext = Vec::new();
        self.packets = Vec::new();
        self.consumed = 0;
        Err(fault)
    }
}
