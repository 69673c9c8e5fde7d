//! The record layer of a connection whose handshake is over: ours, so that an idle device costs its keys and nothing else.
//! RFC 8446 §4.6.3, §5, §6; RFC 5246 §6.2; the laws of `trust.md` §1.7.
//!
//! It takes over from the TLS library between two records, when nothing is queued on either side; its state is moved here,
//! never shared. What it does not know it refuses: renegotiation, tickets, certificate requests, anything fragmented.

use crate::cipher::{Aead, Key, Secret, TAG_LENGTH, Unprotected};
use crate::error::Fault;

/// §5.1: what a record carries.
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;

pub(crate) const HEADER_LENGTH: usize = 5;
/// RFC 8446 §5.1: of `legacy_record_version`, the same in all versions that there are.
pub(crate) const MAJOR_VERSION: u8 = 3;
/// §5.1: octets of plaintext in a record.
const PLAINTEXT_LENGTH_MAX: usize = 1 << 14;
/// §5.2: what protection may add in TLS 1.3 (a type, padding, a tag); TLS 1.2's 2,048 are never needed by an AEAD.
const EXPANSION_MAX: usize = 256;
/// Records without any data in a row, and in all before its device is admitted. OpenSSL and `BoringSSL` allow 32 in a row: a peer can keep
/// us busy with them for nothing.
pub(crate) const EMPTY_RECORDS_MAX: u8 = 32;
pub(crate) const TOO_MANY_EMPTIES: &str = "too many records without data";
/// Key updates in a row without data between them. `BoringSSL` allows 32; no client of a hub has a reason for more than a few.
const KEY_UPDATES_MAX: u8 = 8;
/// Key updates on one connection: each costs two derivations, and one follows 2^24 records.
const KEY_UPDATES_TOTAL_MAX: u16 = 1_024;

/// `HandshakeType` `key_update` and its two values (§4.6.3).
const KEY_UPDATE: u8 = 24;
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;
/// An alert's level, and descriptions (§6, §6.2).
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const UNEXPECTED_MESSAGE: u8 = 10;
const BAD_RECORD_MAC: u8 = 20;
const RECORD_OVERFLOW: u8 = 22;
const DECODE_ERROR: u8 = 50;
const INTERNAL_ERROR: u8 = 80;
const USER_CANCELED: u8 = 90;

/// Why the connection ends: what the log hears, and the alert that the peer hears (none, if it was the peer's own).
#[derive(Debug)]
pub(crate) struct Ended {
    alert: Option<u8>,
    reason: String,
}

impl Ended {
    fn new(alert: u8, reason: &str) -> Self {
        Self { alert: Some(alert), reason: reason.to_owned() }
    }
}

/// One direction: the key in use and how many records it has protected.
#[derive(Debug)]
pub(crate) struct Direction {
    pub(crate) key: Key,
    pub(crate) sequence: u64,
    /// TLS 1.3: what the next key is made from. TLS 1.2 has none.
    pub(crate) secret: Option<Secret>,
}

impl Direction {
    /// The number of the next record; each is used once, and a key not beyond its limit.
    fn count(&mut self) -> Result<u64, Ended> {
        let number = self.sequence;
        self.sequence =
            number.checked_add(1).ok_or_else(|| Ended::new(INTERNAL_ERROR, "the sequence numbers are used up"))?;
        Ok(number)
    }

    /// §7.2: the next key, from the next secret. The old ones are gone.
    fn update(&mut self) -> Result<(), Ended> {
        let impossible = || Ended::new(INTERNAL_ERROR, "a key update that cannot be made");
        let next = self.secret.as_ref().ok_or_else(impossible)?.next().map_err(|Unprotected| impossible())?;
        self.key = next.key(self.key.aead()).map_err(|Unprotected| impossible())?;
        self.secret = Some(next);
        self.sequence = 0;
        Ok(())
    }
}

/// An established connection.
#[derive(Debug)]
pub(crate) struct Records {
    receiving: Direction,
    sending: Direction,
    /// TLS 1.3: the peer asked for another key, and has not been answered.
    update_owed: bool,
    /// The peer has said that nothing more comes.
    peer_closed: bool,
    /// We have.
    closed: bool,
    empties: u8,
    key_updates: u8,
    key_updates_total: u16,
}

impl Records {
    /// Takes over. Both directions have secrets (TLS 1.3), or neither has (TLS 1.2).
    pub(crate) fn new(receiving: Direction, sending: Direction) -> Self {
        Self {
            receiving,
            sending,
            update_owed: false,
            peer_closed: false,
            closed: false,
            empties: 0,
            key_updates: 0,
            key_updates_total: 0,
        }
    }

    fn is_tls13(&self) -> bool {
        self.sending.secret.is_some()
    }

    /// Takes one whole record, as [`record_length`] cuts them, decrypts it in place, and appends its data to `plaintext`.
    /// After the peer's `close_notify` whatever comes is dropped (§6.1).
    ///
    /// # Errors
    /// The connection is over; the alert that says so is in `output`.
    pub(crate) fn receive(
        &mut self,
        record: &mut [u8],
        plaintext: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if self.peer_closed {
            return Ok(());
        }
        self.open(record, plaintext).or_else(|ended| self.end(ended, output))
    }

    fn open(&mut self, record: &mut [u8], plaintext: &mut Vec<u8>) -> Result<(), Ended> {
        let half = || Ended::new(DECODE_ERROR, "half a record");
        let (header, body) = record.split_at_mut_checked(HEADER_LENGTH).ok_or_else(half)?;
        let outer = header.first().copied().ok_or_else(half)?;
        let (kind, length) = if self.is_tls13() {
            self.open_tls13(outer, header, body)?
        } else {
            (outer, self.open_tls12(outer, header, body)?)
        };
        let content = body.get(..length).unwrap_or_default();
        match kind {
            APPLICATION_DATA if content.is_empty() => self.count_empty(),
            APPLICATION_DATA => {
                self.empties = 0;
                self.key_updates = 0;
                plaintext.extend_from_slice(content);
                Ok(())
            }
            ALERT => self.receive_alert(content),
            HANDSHAKE if self.is_tls13() => self.receive_key_update(content),
            HANDSHAKE => Err(Ended::new(UNEXPECTED_MESSAGE, "renegotiation")),
            CHANGE_CIPHER_SPEC => Err(Ended::new(UNEXPECTED_MESSAGE, "a change of cipher after the handshake")),
            _ => Err(Ended::new(UNEXPECTED_MESSAGE, "a record of unknown type")),
        }
    }

    fn count_empty(&mut self) -> Result<(), Ended> {
        self.empties = self.empties.saturating_add(1);
        let allowed = self.empties <= EMPTY_RECORDS_MAX;
        if allowed { Ok(()) } else { Err(Ended::new(UNEXPECTED_MESSAGE, TOO_MANY_EMPTIES)) }
    }

    /// Appends `data` to `output`, in as many records as it takes; first what is owed to the peer (§4.6.3).
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) fn send(&mut self, data: &[u8], output: &mut Vec<u8>) -> Result<(), Fault> {
        if self.closed { Ok(()) } else { self.seal_all(data, output).or_else(|ended| self.end(ended, output)) }
    }

    /// Says that nothing more comes (§6.1).
    pub(crate) fn close(&mut self, output: &mut Vec<u8>) {
        self.say([WARNING, CLOSE_NOTIFY], output);
    }

    fn end(&mut self, ended: Ended, output: &mut Vec<u8>) -> Result<(), Fault> {
        if let Some(description) = ended.alert {
            self.say([FATAL, description], output);
        }
        (self.peer_closed, self.closed) = (true, true);
        Err(Fault::new("tls_error", ended.reason))
    }

    /// The last thing that is said. An alert that cannot be sealed is not said; the connection ends all the same.
    fn say(&mut self, alert: [u8; 2], output: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.closed, true) {
            let _unsaid = self.seal(ALERT, &alert, output);
        }
    }

    fn seal_all(&mut self, data: &[u8], output: &mut Vec<u8>) -> Result<(), Ended> {
        if std::mem::take(&mut self.update_owed) {
            self.send_key_update(output)?;
        }
        for part in data.chunks(PLAINTEXT_LENGTH_MAX) {
            if self.sending.sequence >= self.sending.key.aead().confidentiality_limit() {
                if !self.is_tls13() {
                    return Err(Ended::new(INTERNAL_ERROR, "the key has protected as many records as it may"));
                }
                self.send_key_update(output)?;
            }
            self.seal(APPLICATION_DATA, part, output)?;
        }
        Ok(())
    }

    /// RFC 8446 §5.2, §5.4: what the record really is stands behind its content, before the padding.
    fn open_tls13(&mut self, outer: u8, header: &[u8], body: &mut [u8]) -> Result<(u8, usize), Ended> {
        if outer != APPLICATION_DATA {
            return Err(Ended::new(UNEXPECTED_MESSAGE, "a record that is not protected"));
        }
        let number = self.receiving.count()?;
        let nonce = self.receiving.key.nonce(number);
        let length = self.receiving.key.open(nonce, header, body).map_err(|Unprotected| bad_tag())?;
        let inner = body.get(..length).unwrap_or_default();
        let end = inner
            .iter()
            .rposition(|octet| *octet != 0)
            .ok_or_else(|| Ended::new(UNEXPECTED_MESSAGE, "a record without a type"))?;
        if end > PLAINTEXT_LENGTH_MAX {
            return Err(Ended::new(RECORD_OVERFLOW, "a record that is too long"));
        }
        Ok((inner.get(end).copied().unwrap_or(0), end))
    }

    /// RFC 5246 §6.2.3.3, RFC 5288 §3, RFC 7905 §2. The plaintext is moved to the front of `body`.
    fn open_tls12(&mut self, kind: u8, header: &[u8], body: &mut [u8]) -> Result<usize, Ended> {
        let number = self.receiving.count()?;
        let key = &self.receiving.key;
        let (nonce, explicit) = match key.aead() {
            Aead::Chacha20Poly1305 => (key.nonce(number), 0),
            Aead::Aes128Gcm | Aead::Aes256Gcm => {
                let explicit = body.first_chunk().copied().ok_or_else(bad_tag)?;
                (key.explicit_nonce(explicit), explicit.len())
            }
        };
        let text = body.get_mut(explicit..).unwrap_or_default();
        let length = text.len().checked_sub(TAG_LENGTH).ok_or_else(bad_tag)?;
        if length > PLAINTEXT_LENGTH_MAX {
            return Err(Ended::new(RECORD_OVERFLOW, "a record that is too long"));
        }
        let version = [header.get(1).copied().unwrap_or(0), header.get(2).copied().unwrap_or(0)];
        let aad = additional_data(number, kind, version, length);
        let opened = key.open(nonce, &aad, text).map_err(|Unprotected| bad_tag())?;
        body.copy_within(explicit..explicit.saturating_add(opened), 0);
        Ok(opened)
    }

    /// §6: alerts are exactly two octets, never cut and never joined.
    fn receive_alert(&mut self, content: &[u8]) -> Result<(), Ended> {
        match content {
            [_, CLOSE_NOTIFY] => {
                self.peer_closed = true;
                Ok(())
            }
            // §6.1: a warning of no consequence; it counts as an empty record.
            [_, USER_CANCELED] => self.count_empty(),
            [_, description] => Err(Ended { alert: None, reason: format!("the peer sent alert {description}") }),
            _ => Err(Ended::new(DECODE_ERROR, "an alert that is not two octets")),
        }
    }

    /// §4.6.3: alone in its record, so that it is the last thing under the old key (§5.1).
    fn receive_key_update(&mut self, content: &[u8]) -> Result<(), Ended> {
        let requested = match content {
            [KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED] => false,
            [KEY_UPDATE, 0, 0, 1, UPDATE_REQUESTED] => true,
            _ => return Err(Ended::new(UNEXPECTED_MESSAGE, "a handshake message that is not one key update")),
        };
        self.key_updates = self.key_updates.saturating_add(1);
        self.key_updates_total = self.key_updates_total.saturating_add(1);
        if self.key_updates > KEY_UPDATES_MAX || self.key_updates_total > KEY_UPDATES_TOTAL_MAX {
            return Err(Ended::new(UNEXPECTED_MESSAGE, "too many key updates"));
        }
        // Several requests before we say anything are answered once.
        self.update_owed |= requested;
        self.receiving.update()
    }

    pub(crate) fn send_key_update(&mut self, output: &mut Vec<u8>) -> Result<(), Ended> {
        self.seal(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED], output)?;
        self.sending.update()
    }

    /// Appends one record.
    pub(crate) fn seal(&mut self, kind: u8, content: &[u8], output: &mut Vec<u8>) -> Result<(), Ended> {
        let is_tls13 = self.is_tls13();
        let number = self.sending.count()?;
        let key = &self.sending.key;
        let nonce = key.nonce(number);
        // RFC 5288 §3: the part of the nonce that the peer cannot know.
        let explicit: &[u8] = match key.aead() {
            Aead::Aes128Gcm | Aead::Aes256Gcm if !is_tls13 => nonce.get(4..).unwrap_or_default(),
            Aead::Aes128Gcm | Aead::Aes256Gcm | Aead::Chacha20Poly1305 => &[],
        };
        let inner_length = content.len().saturating_add(usize::from(is_tls13));
        let length = explicit.len().saturating_add(inner_length).saturating_add(TAG_LENGTH);
        let impossible = || Ended::new(INTERNAL_ERROR, "a record that cannot be sealed");
        let [high, low] = u16::try_from(length).map_err(|_| impossible())?.to_be_bytes();
        let header = [if is_tls13 { APPLICATION_DATA } else { kind }, 3, 3, high, low];
        output.reserve(length.saturating_add(HEADER_LENGTH));
        output.extend_from_slice(&header);
        output.extend_from_slice(explicit);
        let from = output.len();
        output.extend_from_slice(content);
        let sealed = if is_tls13 {
            output.push(kind);
            key.seal(nonce, &header, output, from)
        } else {
            key.seal(nonce, &additional_data(number, kind, [3, 3], content.len()), output, from)
        };
        sealed.map_err(|Unprotected| impossible())
    }
}

/// Octets of the record at the head of `bytes`, header included; `None` when even its header is not whole yet.
///
/// # Errors
/// A length that no record may have: nothing of it is waited for (P15).
pub(crate) fn record_length(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(&[_, major, _, high, low]) = bytes.first_chunk::<HEADER_LENGTH>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if major != MAJOR_VERSION || length > PLAINTEXT_LENGTH_MAX.saturating_add(EXPANSION_MAX) {
        return Err(Fault::new("tls_error", "a record header that is none"));
    }
    Ok(Some(length.saturating_add(HEADER_LENGTH)))
}

/// RFC 5246 §6.2.3.3.
fn additional_data(number: u64, kind: u8, version: [u8; 2], length: usize) -> [u8; 13] {
    let mut data = [0; 13];
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let octets = number.to_be_bytes().into_iter().chain([kind]).chain(version).chain([high, low]);
    for (place, octet) in data.iter_mut().zip(octets) {
        *place = octet;
    }
    data
}

fn bad_tag() -> Ended {
    Ended::new(BAD_RECORD_MAC, "a record that is not the peer's")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AEADS: [Aead; 3] = [Aead::Aes128Gcm, Aead::Aes256Gcm, Aead::Chacha20Poly1305];

    fn direction(tls13: bool, aead: Aead, seed: u8) -> Direction {
        let secret = Secret::new(&[seed; 32]).unwrap();
        let key = secret.key(aead).unwrap();
        Direction { key, sequence: 0, secret: tls13.then_some(secret) }
    }

    /// A device and a hub that have just finished their handshake.
    fn pair(tls13: bool, aead: Aead) -> (Records, Records) {
        let device = Records::new(direction(tls13, aead, 1), direction(tls13, aead, 2));
        let hub = Records::new(direction(tls13, aead, 2), direction(tls13, aead, 1));
        (device, hub)
    }

    fn everywhere(test: impl Fn(bool, Aead)) {
        for aead in AEADS {
            test(true, aead);
            test(false, aead);
        }
    }

    /// What records said, or why they were refused, and what was answered.
    type Taken = Result<(Vec<u8>, Vec<u8>), (Fault, Vec<u8>)>;

    /// Takes every record of `bytes`.
    fn take(records: &mut Records, mut bytes: &[u8]) -> Taken {
        let (mut plaintext, mut output) = (Vec::new(), Vec::new());
        while let Some(length) = record_length(bytes).unwrap() {
            let (record, rest) = bytes.split_at(length);
            bytes = rest;
            match records.receive(&mut record.to_vec(), &mut plaintext, &mut output) {
                Ok(()) => {}
                Err(fault) => return Err((fault, output)),
            }
        }
        assert!(bytes.is_empty());
        Ok((plaintext, output))
    }

    fn sent(records: &mut Records, data: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        records.send(data, &mut output).unwrap();
        output
    }

    /// One record of whatever kind and contents, as only a broken or hostile peer would seal it.
    fn odd(records: &mut Records, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        records.seal(kind, content, &mut output).unwrap();
        output
    }

    /// The alert that a refusal leaves for the peer, as the peer reads it.
    fn refused(device: &mut Records, hub: &mut Records, bytes: &[u8]) -> (String, String) {
        let (fault, output) = take(hub, bytes).unwrap_err();
        assert_eq!(fault.code(), "tls_error");
        let (heard, _) = take(device, &output).unwrap_err();
        // Nothing is said or heard after it.
        assert_eq!((sent(hub, b"more"), take(hub, bytes).unwrap().0), (vec![], vec![]));
        (fault.detail().to_owned(), heard.detail().to_owned())
    }

    #[test]
    fn data_crosses_both_ways_in_as_many_records_as_it_takes() {
        everywhere(|tls13, aead| {
            let (mut device, mut hub) = pair(tls13, aead);
            for length in [1, 2, 100, PLAINTEXT_LENGTH_MAX, PLAINTEXT_LENGTH_MAX + 1, 3 * PLAINTEXT_LENGTH_MAX] {
                let data: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect();
                let up = sent(&mut device, &data);
                assert_eq!(take(&mut hub, &up).unwrap(), (data.clone(), vec![]));
                let down = sent(&mut hub, &data);
                assert_eq!(take(&mut device, &down).unwrap(), (data, vec![]));
            }
            assert_eq!(sent(&mut device, b""), []);
        });
    }

    #[test]
    fn a_flipped_bit_anywhere_a_replay_and_a_gap_end_the_connection() {
        everywhere(|tls13, aead| {
            let (mut device, _) = pair(tls13, aead);
            let record = sent(&mut device, b"temperature");
            let second = sent(&mut device, b"again");
            for index in 0..record.len() {
                let (mut device, mut hub) = pair(tls13, aead);
                let mut flipped = record.clone();
                flipped[index] ^= 1;
                if record_length(&flipped) == Ok(Some(flipped.len())) {
                    refused(&mut device, &mut hub, &flipped);
                } else {
                    // The length or the version: the record is not even cut.
                    assert!((1..5).contains(&index));
                }
            }
            let (mut device, mut hub) = pair(tls13, aead);
            take(&mut hub, &record).unwrap();
            assert_eq!(
                refused(&mut device, &mut hub, &record),
                ("a record that is not the peer's".into(), "the peer sent alert 20".into())
            );
            let (mut device, mut hub) = pair(tls13, aead);
            refused(&mut device, &mut hub, &second);
        });
    }

    #[test]
    fn every_cut_of_a_record_is_refused() {
        everywhere(|tls13, aead| {
            let (mut device, _) = pair(tls13, aead);
            let record = sent(&mut device, b"temperature");
            for length in 0..record.len() - HEADER_LENGTH {
                let (mut device, mut hub) = pair(tls13, aead);
                let mut cut = record[..HEADER_LENGTH + length].to_vec();
                cut[4] = u8::try_from(length).unwrap();
                refused(&mut device, &mut hub, &cut);
            }
        });
    }

    #[test]
    fn p15_a_length_that_no_record_has_is_not_waited_for() {
        let longest = u16::try_from(PLAINTEXT_LENGTH_MAX + EXPANSION_MAX).unwrap();
        for (length, accepted) in [(0, true), (longest, true), (longest + 1, false), (u16::MAX, false)] {
            let [high, low] = length.to_be_bytes();
            assert_eq!(record_length(&[23, 3, 3, high, low]).is_ok(), accepted, "{length}");
        }
        assert_eq!(record_length(&[23, 3, 3, 0]), Ok(None));
        assert!(record_length(b"GET / ").is_err());
    }

    #[test]
    fn plaintext_above_the_limit_is_refused_though_the_peer_sealed_it() {
        everywhere(|tls13, aead| {
            for (length, accepted) in [(PLAINTEXT_LENGTH_MAX, true), (PLAINTEXT_LENGTH_MAX + 1, false)] {
                let (mut device, mut hub) = pair(tls13, aead);
                let bytes = odd(&mut device, APPLICATION_DATA, &vec![7; length]);
                if accepted {
                    assert_eq!(take(&mut hub, &bytes).unwrap().0.len(), length);
                } else {
                    assert_eq!(refused(&mut device, &mut hub, &bytes).1, "the peer sent alert 22");
                }
            }
        });
    }

    #[test]
    fn tls_13_padding_is_taken_off_and_a_record_of_nothing_but_padding_has_no_type() {
        for aead in AEADS {
            let (mut device, mut hub) = pair(true, aead);
            // content, type, padding: sealed as if the padding's end were the type.
            let bytes = odd(&mut device, 0, &[b"data", &[APPLICATION_DATA][..], &[0; 40]].concat());
            assert_eq!(take(&mut hub, &bytes).unwrap().0, b"data");
            let bytes = odd(&mut device, 0, &[0; 40]);
            assert_eq!(refused(&mut device, &mut hub, &bytes).0, "a record without a type");
        }
    }

    #[test]
    fn l13_nothing_but_data_alerts_and_key_updates_is_understood() {
        everywhere(|tls13, aead| {
            let kinds: [(u8, &[u8]); 6] = [
                (HANDSHAKE, &[1, 0, 0, 0]),
                (HANDSHAKE, &[]),
                (HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 2]),
                (HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0, KEY_UPDATE, 0, 0, 1, 0]),
                (CHANGE_CIPHER_SPEC, &[1]),
                (99, b"x"),
            ];
            for (kind, content) in kinds {
                let (mut device, mut hub) = pair(tls13, aead);
                let bytes = odd(&mut device, kind, content);
                assert_eq!(refused(&mut device, &mut hub, &bytes).1, "the peer sent alert 10", "{kind} {content:?}");
            }
            let (mut device, mut hub) = pair(tls13, aead);
            // TLS 1.3 cut in two, TLS 1.2 at all.
            let bytes = odd(&mut device, HANDSHAKE, &[KEY_UPDATE, 0, 0]);
            refused(&mut device, &mut hub, &bytes);
        });
    }

    #[test]
    fn alerts_are_two_octets_and_close_notify_ends_what_is_heard() {
        everywhere(|tls13, aead| {
            for content in [&[1][..], &[1, 0, 1, 0], &[]] {
                let (mut device, mut hub) = pair(tls13, aead);
                let bytes = odd(&mut device, ALERT, content);
                assert_eq!(refused(&mut device, &mut hub, &bytes).1, "the peer sent alert 50");
            }
            let (mut device, mut hub) = pair(tls13, aead);
            let mut goodbye = sent(&mut device, b"last");
            device.close(&mut goodbye);
            assert_eq!(take(&mut hub, &goodbye).unwrap().0, b"last");
            assert_eq!(take(&mut hub, b"\x17\x03\x03\x00\x04more").unwrap().0, b"", "whatever follows is dropped");
            assert!(!sent(&mut hub, b"still talking").is_empty(), "the other direction is open");
            // A fatal alert is not answered.
            let (mut device, mut hub) = pair(tls13, aead);
            let bytes = odd(&mut device, ALERT, &[FATAL, 40]);
            let (fault, output) = take(&mut hub, &bytes).unwrap_err();
            assert_eq!((fault.detail(), output), ("the peer sent alert 40", vec![]));
        });
    }

    #[test]
    fn records_without_data_are_bounded_and_data_makes_room_again() {
        everywhere(|tls13, aead| {
            let (mut device, mut hub) = pair(tls13, aead);
            for _ in 0..3 {
                for _ in 0..EMPTY_RECORDS_MAX {
                    let bytes = odd(&mut device, APPLICATION_DATA, &[]);
                    take(&mut hub, &bytes).unwrap();
                }
                let bytes = sent(&mut device, b"x");
                take(&mut hub, &bytes).unwrap();
            }
            for _ in 0..EMPTY_RECORDS_MAX {
                let bytes = odd(&mut device, ALERT, &[WARNING, USER_CANCELED]);
                take(&mut hub, &bytes).unwrap();
            }
            let bytes = odd(&mut device, APPLICATION_DATA, &[]);
            refused(&mut device, &mut hub, &bytes);
        });
    }

    #[test]
    fn a_key_update_is_answered_once_under_the_old_key_before_the_next_data() {
        for aead in AEADS {
            let (mut device, mut hub) = pair(true, aead);
            let mut requests = Vec::new();
            for _ in 0..3 {
                requests.extend(odd(&mut device, HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, UPDATE_REQUESTED]));
                device.sending.update().unwrap();
            }
            requests.extend(sent(&mut device, b"under the fourth key"));
            let (plaintext, output) = take(&mut hub, &requests).unwrap();
            assert_eq!((plaintext.as_slice(), output), (&b"under the fourth key"[..], vec![]));
            let before = device.receiving.secret.as_ref().unwrap().next().unwrap().key(aead).unwrap();
            let bytes = sent(&mut hub, b"answer");
            assert_eq!(take(&mut device, &bytes).unwrap(), (b"answer".to_vec(), vec![]));
            assert_eq!(device.receiving.key, before, "one update, however many were asked for");
            assert_eq!(device.receiving.sequence, 1);
            assert!(!device.update_owed, "an answer asks for nothing");
        }
    }

    #[test]
    fn key_updates_are_bounded_in_a_row_and_in_all() {
        let (mut device, mut hub) = pair(true, Aead::Aes128Gcm);
        let update = |device: &mut Records| {
            let bytes = odd(device, HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED]);
            device.sending.update().unwrap();
            bytes
        };
        let mut total = 0;
        'connection: loop {
            for _ in 0..KEY_UPDATES_MAX {
                let bytes = update(&mut device);
                if take(&mut hub, &bytes).is_err() {
                    break 'connection;
                }
                total += 1;
            }
            let bytes = sent(&mut device, b"x");
            take(&mut hub, &bytes).unwrap();
        }
        assert_eq!(total, KEY_UPDATES_TOTAL_MAX);
        let (mut device, mut hub) = pair(true, Aead::Aes128Gcm);
        for _ in 0..KEY_UPDATES_MAX {
            let bytes = update(&mut device);
            take(&mut hub, &bytes).unwrap();
        }
        let bytes = update(&mut device);
        let (fault, _) = take(&mut hub, &bytes).unwrap_err();
        assert_eq!(fault.detail(), "too many key updates");
    }

    #[test]
    fn a_key_is_replaced_at_its_limit_and_where_there_is_no_other_the_connection_ends() {
        for aead in [Aead::Aes128Gcm, Aead::Aes256Gcm] {
            let (mut device, mut hub) = pair(true, aead);
            device.sending.sequence = aead.confidentiality_limit() - 1;
            hub.receiving.sequence = device.sending.sequence;
            let bytes = [sent(&mut device, b"last"), sent(&mut device, b"first")].concat();
            assert_eq!(take(&mut hub, &bytes).unwrap().0, b"lastfirst");
            assert_eq!((device.sending.sequence, hub.receiving.sequence), (1, 1));
            let (mut device, _) = pair(false, aead);
            device.sending.sequence = aead.confidentiality_limit();
            assert!(device.send(b"one too many", &mut Vec::new()).is_err());
        }
        let (mut device, _) = pair(false, Aead::Chacha20Poly1305);
        device.sending.sequence = u64::MAX;
        assert!(device.send(b"the numbers are used up", &mut Vec::new()).is_err());
    }

    #[test]
    fn random_bytes_are_refused_and_never_panic() {
        let mut state = 0x2026_1124_u64;
        let mut dice = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        for round in 0..20_000 {
            let tls13 = round % 2 == 0;
            let (_, mut hub) = pair(tls13, AEADS[round % 3]);
            let mut record: Vec<u8> = (0..dice() % 64).map(|_| u8::try_from(dice() & 0xff).unwrap()).collect();
            if let Some(first) = record.first_mut() {
                *first = [20, 21, 22, 23, 24][usize::try_from(dice() % 5).unwrap()];
            }
            let mut plaintext = Vec::new();
            assert!(hub.receive(&mut record, &mut plaintext, &mut Vec::new()).is_err());
            assert!(plaintext.is_empty());
        }
    }
}
