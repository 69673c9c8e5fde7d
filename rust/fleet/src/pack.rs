//! Devices in one file: every record of the same size, so that the millionth is found as quickly as the first.
//!
//! ```text
//! head   magic · record size u32 · devices u64 · digits u8 · prefix · authorities u8 · each: name, certificate (root first)
//! record scalar [32] · point [65] · certificate, padded to the record's size        numbers big-endian, texts behind u32 lengths
//! ```

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::chain::SupplyChain;
use crate::crypto::KeyParts;
use crate::error::Error;

const MAGIC: &[u8; 8] = b"hf-fleet";
/// A device's certificate: 64 octets of name twice over, and the signature's greatest length.
const CERTIFICATE_BYTES_MAX: usize = 768;
const PARTS_BYTES: usize = 32 + 65 + 2;
const HEAD_BYTES_MAX: usize = 64 * 1024;
const DEVICES_COUNT_MAX: u64 = 100_000_000;
/// Room for `-` and digits behind it in an id of 64 characters.
const PREFIX_BYTES_MAX: usize = 48;
/// Records made between two writes.
const BLOCK: u64 = 1_024;

/// Ids of devices: a prefix and a number with leading zeros, so that all are of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    prefix: String,
    digits: u8,
}

impl Ids {
    fn new(prefix: &str, count: u64) -> Result<Self, Error> {
        let fit = prefix.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet));
        if prefix.is_empty() || prefix.len() > PREFIX_BYTES_MAX || !fit {
            let detail = format!("a prefix has 1 to {PREFIX_BYTES_MAX} letters, digits, '-', '_' or '.'");
            return Err(Error::new("bad_fleet", detail));
        }
        if count == 0 || count > DEVICES_COUNT_MAX {
            return Err(Error::new("bad_fleet", format!("a fleet has 1 to {DEVICES_COUNT_MAX} devices")));
        }
        let digits = u8::try_from(count.saturating_sub(1).to_string().len()).unwrap_or(9);
        Ok(Self { prefix: prefix.to_owned(), digits })
    }

    pub(crate) fn id(&self, number: u64) -> String {
        format!("{}-{number:0width$}", self.prefix, width = self.digits.into())
    }
}

/// Makes `count` devices under `chain` and writes them to the new file `path`, readable by its owner alone.
///
/// The work is spread over `threads`. Cost: two multiplications by the base point and a signature each.
///
/// # Errors
/// `bad_fleet` for a prefix or count that cannot be; `fleet_file_failed`.
pub fn make_devices(path: &Path, chain: &SupplyChain, prefix: &str, count: u64, threads: usize) -> Result<(), Error> {
    let failed = |error: &std::io::Error| Error::io("fleet_file_failed", error);
    let ids = Ids::new(prefix, count)?;
    let mut file = create(path).map_err(|error| failed(&error))?;
    let head = head(chain, &ids, count);
    let records_at = u64::try_from(head.len()).unwrap_or(u64::MAX);
    file.write_all(&head).map_err(|error| failed(&error))?;
    let (file, next) = (Mutex::new(file), AtomicU64::new(0));
    let make = || -> Result<(), Error> {
        loop {
            let first = next.fetch_add(BLOCK, Ordering::Relaxed);
            if first >= count {
                return Ok(());
            }
            let mut block = Vec::with_capacity(PARTS_BYTES + CERTIFICATE_BYTES_MAX);
            for number in first..count.min(first + BLOCK) {
                write_record(chain, &ids.id(number), number, &mut block)?;
            }
            let at = records_at + first * u64::try_from(RECORD_BYTES).unwrap_or(0);
            let mut file = file.lock().map_err(|_| Error::new("fleet_file_failed", "another thread has failed"))?;
            file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&block)).map_err(|error| failed(&error))?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(make)).collect();
        let results = workers.into_iter().map(|worker| {
            worker.join().unwrap_or_else(|_| Err(Error::new("fleet_file_failed", "a thread has panicked")))
        });
        results.collect()
    })
}

const RECORD_BYTES: usize = PARTS_BYTES + CERTIFICATE_BYTES_MAX;

fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn head(chain: &SupplyChain, ids: &Ids, count: u64) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend(count.to_be_bytes());
    head.push(ids.digits);
    write_bytes(ids.prefix.as_bytes(), &mut head);
    head.push(u8::try_from(chain.authorities().len()).unwrap_or(u8::MAX));
    for authority in chain.authorities() {
        write_bytes(authority.name().as_bytes(), &mut head);
        write_bytes(authority.certificate(), &mut head);
    }
    head
}

fn write_bytes(bytes: &[u8], output: &mut Vec<u8>) {
    output.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    output.extend_from_slice(bytes);
}

fn write_record(chain: &SupplyChain, id: &str, number: u64, block: &mut Vec<u8>) -> Result<(), Error> {
    let parts = chain.device_key(number)?;
    let certificate = chain.device_certificate(id, number, &parts)?;
    let length = u16::try_from(certificate.len()).ok().filter(|length| usize::from(*length) <= CERTIFICATE_BYTES_MAX);
    let length = length.ok_or_else(|| Error::new("bad_fleet", "the names make certificates too long"))?;
    let end = block.len() + RECORD_BYTES;
    block.extend_from_slice(&parts.scalar);
    block.extend_from_slice(&parts.point);
    block.extend(length.to_be_bytes());
    block.extend_from_slice(&certificate);
    block.resize(end, 0);
    Ok(())
}

/// A device as the file has it.
pub(crate) struct Record {
    pub(crate) parts: KeyParts,
    pub(crate) certificate: Vec<u8>,
}

/// The devices of a file, opened for reading.
#[derive(Debug)]
pub struct Devices {
    file: File,
    records_at: u64,
    count: u64,
    ids: Ids,
    names: Vec<String>,
    /// Root first.
    certificates: Vec<Vec<u8>>,
}

impl Devices {
    /// # Errors
    /// `fleet_file_failed`, `bad_fleet_file`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::io("fleet_file_failed", &error);
        let file = File::open(path).map_err(failed)?;
        let mut head = Vec::new();
        (&file).take(HEAD_BYTES_MAX as u64).read_to_end(&mut head).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let bad = || Error::new("bad_fleet_file", "the file holds no devices of a fleet, or not all of them");
        let mut reader = Reader(&head);
        let read = |reader: &mut Reader<'_>| {
            reader.take(MAGIC.len()).filter(|magic| magic == MAGIC)?;
            let count = u64::from_be_bytes(reader.take(8)?.try_into().ok()?);
            let digits = reader.octet()?;
            let ids = Ids { digits, prefix: reader.text()? };
            let (mut names, mut certificates) = (Vec::new(), Vec::new());
            for _ in 0..reader.octet()? {
                names.push(reader.text()?);
                certificates.push(reader.bytes()?.to_vec());
            }
            (Ids::new(&ids.prefix, count).ok()? == ids && !names.is_empty()).then_some((
                count,
                ids,
                names,
                certificates,
            ))
        };
        let (count, ids, names, certificates) = read(&mut reader).ok_or_else(bad)?;
        let records_at = u64::try_from(head.len() - reader.0.len()).unwrap_or(u64::MAX);
        if size != records_at + count * RECORD_BYTES as u64 {
            return Err(bad());
        }
        Ok(Self { file, records_at, count, ids, names, certificates })
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The id of device `number`, counted from 0.
    pub fn id(&self, number: u64) -> String {
        self.ids.id(number)
    }

    /// Names of the CAs, the root first.
    pub fn authority_names(&self) -> &[String] {
        &self.names
    }

    /// Certificates of the CAs, DER, the root first.
    pub fn authority_certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// What device `number` presents, DER: its certificate and those above it, without the root.
    ///
    /// # Errors
    /// `no_such_device`, `fleet_file_failed`.
    pub fn chain(&mut self, number: u64) -> Result<Vec<Vec<u8>>, Error> {
        let record = self.record(number)?;
        Ok(std::iter::once(record.certificate).chain(self.intermediates().cloned()).collect())
    }

    /// The key of device `number`, PKCS #8 DER.
    ///
    /// # Errors
    /// As `chain`.
    pub fn private_key(&mut self, number: u64) -> Result<Vec<u8>, Error> {
        self.record(number).map(|record| record.parts.pkcs8())
    }

    /// Certificates between a device's and the root, from the device's issuer upward.
    pub(crate) fn intermediates(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.certificates.iter().skip(1).rev()
    }

    pub(crate) fn record(&mut self, number: u64) -> Result<Record, Error> {
        if number >= self.count {
            let detail = format!("device {number} of {}, counted from 0", self.count);
            return Err(Error::new("no_such_device", detail));
        }
        let mut record = [0; RECORD_BYTES];
        let at = self.records_at + number * RECORD_BYTES as u64;
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut record));
        read.map_err(|error| Error::io("fleet_file_failed", &error))?;
        let mut reader = Reader(&record);
        let parse = |reader: &mut Reader<'_>| -> Option<Record> {
            let parts =
                KeyParts { scalar: reader.take(32)?.try_into().ok()?, point: reader.take(65)?.try_into().ok()? };
            let length = u16::from_be_bytes(reader.take(2)?.try_into().ok()?);
            Some(Record { parts, certificate: reader.take(length.into())?.to_vec() })
        };
        parse(&mut reader).ok_or_else(|| Error::new("bad_fleet_file", "a device's certificate is cut off"))
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn octet(&mut self) -> Option<u8> {
        self.take(1).and_then(|octets| octets.first().copied())
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}
