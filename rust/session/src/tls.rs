//! One TLS connection: in the library's hands until its device is admitted, in ours afterwards. Input is cut into whole
//! records before either sees it, so that nothing is half read when it changes hands (`trust.md` §1.7).

use crate::agreement::Agreement;
use crate::error::Fault;
use crate::handshake::{Handshake, Peer, TlsConfig};
use crate::hello::x25519_share;
use crate::record::{Records, record_length};

#[derive(Debug)]
pub(crate) struct Tls {
    layer: Layer,
    /// The head of a record whose rest has not come.
    partial: Vec<u8>,
}

#[derive(Debug)]
enum Layer {
    /// Nothing was said: most of what dials never says anything, and what the library needs for a handshake is made for who does.
    Silent(Box<(TlsConfig, Option<Agreement>)>),
    Library(Box<Handshake>),
    Own(Box<Records>),
    /// A take-over failed, or nothing more is to be said; the connection is over.
    Gone,
}

impl Tls {
    pub(crate) fn new(config: &TlsConfig) -> Self {
        Self { layer: Layer::Silent(Box::new((config.clone(), None))), partial: Vec::new() }
    }

    /// The peer's share for X25519, if `bytes` begin with its whole hello and no agreement was given yet.
    pub(crate) fn x25519_share(&self, bytes: &[u8]) -> Option<[u8; 32]> {
        let waits = matches!(&self.layer, Layer::Silent(silent) if silent.1.is_none()) && self.partial.is_empty();
        if waits { x25519_share(bytes) } else { None }
    }

    /// What came of that share.
    pub(crate) fn provide(&mut self, agreement: Agreement) {
        if let Layer::Silent(silent) = &mut self.layer {
            silent.1 = Some(agreement);
        }
    }

    /// The memory that the head of a record takes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Takes what came, appends what it says to `plaintext` and what must be answered at once to `output`.
    pub(crate) fn feed(
        &mut self,
        mut input: &[u8],
        plaintext: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        while !input.is_empty() {
            let joined = !self.partial.is_empty();
            if joined {
                let missing = match record_length(&self.partial)? {
                    Some(length) => length.saturating_sub(self.partial.len()),
                    None => crate::record::HEADER_LENGTH.saturating_sub(self.partial.len()),
                };
                let (head, rest) = input.split_at(missing.min(input.len()));
                self.partial.extend_from_slice(head);
                input = rest;
            }
            let whole = if joined { self.partial.as_slice() } else { input };
            match record_length(whole) {
                // The library says better than we what is wrong with something that is no record.
                Err(fault) => {
                    let whole = whole.to_vec();
                    return self.feed_record(&whole, plaintext, output).and(Err(fault));
                }
                Ok(Some(length)) if whole.len() >= length => {
                    if joined {
                        let record = std::mem::take(&mut self.partial);
                        self.feed_record(&record, plaintext, output)?;
                    } else {
                        let (record, rest) = input.split_at(length);
                        input = rest;
                        self.feed_record(record, plaintext, output)?;
                    }
                }
                Ok(_) if joined => {}
                Ok(_) => {
                    self.partial.extend_from_slice(input);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn feed_record(&mut self, record: &[u8], plaintext: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<(), Fault> {
        if let Layer::Silent(silent) = &mut self.layer {
            let (config, agreement) = &mut **silent;
            self.layer = Layer::Library(Box::new(Handshake::new(config, agreement.take())?));
        }
        match &mut self.layer {
            Layer::Library(handshake) => handshake.feed(record, plaintext),
            Layer::Own(records) => records.receive(&mut record.to_vec(), plaintext, output),
            Layer::Silent(_) | Layer::Gone => Ok(()),
        }
    }

    /// The peer, once the handshake is finished; nobody after that was asked.
    pub(crate) fn peer(&mut self) -> Option<Result<Peer, Fault>> {
        match &mut self.layer {
            Layer::Library(handshake) => handshake.peer(),
            Layer::Silent(_) | Layer::Own(_) | Layer::Gone => None,
        }
    }

    /// Appends `plaintext`, protected, to `output`.
    pub(crate) fn send(&mut self, plaintext: &[u8], output: &mut Vec<u8>) -> Result<(), Fault> {
        match &mut self.layer {
            Layer::Library(handshake) => {
                handshake.send(plaintext)?;
                handshake.drain(output);
                Ok(())
            }
            Layer::Own(records) => records.send(plaintext, output),
            Layer::Silent(_) | Layer::Gone => Ok(()),
        }
    }

    /// Says that nothing more comes.
    pub(crate) fn close(&mut self, output: &mut Vec<u8>) {
        match &mut self.layer {
            Layer::Library(handshake) => {
                handshake.close_notify();
                handshake.drain(output);
            }
            Layer::Own(records) => records.close(output),
            Layer::Silent(_) | Layer::Gone => {}
        }
    }

    /// Appends what the library has to say by itself to `output`.
    pub(crate) fn drain(&mut self, output: &mut Vec<u8>) {
        if let Layer::Library(handshake) = &mut self.layer {
            handshake.drain(output);
        }
    }

    /// Whether the library has said, if only to us, what a handshake ends with.
    pub(crate) fn has_last_flight(&self) -> bool {
        matches!(&self.layer, Layer::Library(handshake) if handshake.has_last_flight())
    }

    /// Drops the connection with all that it still had to say.
    pub(crate) fn hang_up(&mut self) {
        self.layer = Layer::Gone;
    }

    /// Whether what the library has to say by itself can go out with the next answer.
    pub(crate) fn can_wait(&self) -> bool {
        matches!(&self.layer, Layer::Library(handshake) if handshake.can_wait())
    }

    /// Takes the connection over from the library, of which nothing is left. What it had to say goes to `output` first.
    pub(crate) fn take_over(&mut self, output: &mut Vec<u8>) -> Result<(), Fault> {
        self.drain(output);
        match std::mem::replace(&mut self.layer, Layer::Gone) {
            Layer::Library(handshake) => self.layer = Layer::Own(Box::new(handshake.into_records()?)),
            other @ (Layer::Silent(_) | Layer::Own(_) | Layer::Gone) => self.layer = other,
        }
        self.partial.shrink_to_fit();
        Ok(())
    }
}
