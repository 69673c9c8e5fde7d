//! What devices show of themselves: their own certificates, and every false one.

use crate::chain::{Authority, Issuer, Subject, SupplyChain, Validity, authority_extensions};
use crate::crypto::{self, Key, KeyParts, Seed};
use crate::error::Error;
use crate::kinds::Shown;
use crate::pack::Devices;
use crate::tls;

/// One thread's view of a fleet's file, with what it needs to forge.
pub(crate) struct Wardrobe {
    devices: Devices,
    /// The key that signed the devices, PKCS #8, for those that need a new certificate of it.
    issuer_key: Option<Vec<u8>>,
    /// For keys of nobody.
    seed: Seed,
    look_alike: Option<SupplyChain>,
    filler: Vec<Vec<u8>>,
}

/// From 2020 to 2049, and a day in 2020.
const ALWAYS: Validity = Validity { not_before: 1_577_836_800, not_after: 2_524_607_999 };
const LONG_AGO: Validity = Validity { not_before: 1_577_836_800, not_after: 1_577_923_199 };

impl Wardrobe {
    pub(crate) fn new(devices: Devices, issuer_key: Option<Vec<u8>>) -> Result<Self, Error> {
        Ok(Self { devices, issuer_key, seed: crypto::random()?, look_alike: None, filler: Vec::new() })
    }

    pub(crate) fn id(&self, number: u64) -> String {
        self.devices.id(number)
    }

    pub(crate) fn count(&self) -> u64 {
        self.devices.count()
    }

    pub(crate) fn dress(
        &mut self,
        number: u64,
        shown: Shown,
        wrong_signature: bool,
    ) -> Result<Option<tls::Shown>, Error> {
        if shown == Shown::Nothing {
            return Ok(None);
        }
        let record = self.devices.record(number)?;
        let id = self.id(number);
        let mut chain: Vec<Vec<u8>> =
            std::iter::once(record.certificate).chain(self.devices.intermediates().cloned()).collect();
        match shown {
            Shown::Nothing | Shown::Own => {}
            Shown::LookAlike => {
                let false_chain = self.look_alike()?;
                let leaf = false_chain.device_certificate(&id, number, &record.parts)?;
                let above = false_chain.authorities().iter().skip(1).rev().map(Authority::certificate);
                chain = std::iter::once(leaf).chain(above.map(<[u8]>::to_vec)).collect();
            }
            Shown::SelfSigned => {
                let own = Issuer::new(&id, &record.parts, Key::new(&record.parts)?);
                chain = vec![own.sign_device(&id, &record.parts.point, [0x42; 16], ALWAYS)?];
            }
            Shown::Expired => {
                let name = self.devices.authority_names().last().cloned().unwrap_or_default();
                let missing = || Error::new("ca_key_missing", format!("the key of '{name}' is needed for that"));
                let issuer = Issuer::from_pkcs8(&name, self.issuer_key.as_deref().ok_or_else(missing)?)?;
                let leaf = issuer.sign_device(&id, &record.parts.point, [0x43; 16], LONG_AGO)?;
                chain.splice(..1, [leaf]);
            }
            Shown::Stolen => {
                let victim = (number + 1) % self.devices.count();
                chain.splice(..1, [self.devices.record(victim)?.certificate]);
            }
            Shown::Filler(count) => chain.extend(self.filler(count)?.iter().cloned()),
        }
        Ok(Some(tls::Shown { chain, key: Key::new(&record.parts)?, wrong_signature }))
    }

    fn look_alike(&mut self) -> Result<&SupplyChain, Error> {
        if self.look_alike.is_none() {
            self.look_alike = Some(SupplyChain::new(self.devices.authority_names(), Some(self.seed), ALWAYS)?);
        }
        self.look_alike.as_ref().ok_or_else(|| Error::new("key_failed", "no chain was made"))
    }

    /// CAs that all bear the name of the devices' issuer, each with another key, signed by a CA that nobody has.
    fn filler(&mut self, count: u16) -> Result<&[Vec<u8>], Error> {
        if self.filler.len() != usize::from(count) {
            let name = self.devices.authority_names().last().cloned().unwrap_or_default();
            let nobody = KeyParts::derive(&self.seed, "nobody", 0)?;
            let nobody = Issuer::new("Nobody", &nobody, Key::new(&nobody)?);
            let make = |number: u16| {
                let parts = KeyParts::derive(&self.seed, "filler", number.into())?;
                let subject = Subject { common_name: &name, point: &parts.point, serial: [0x44; 16] };
                nobody.sign(&subject, ALWAYS, &authority_extensions(&subject.key_id(), &[0; 20]))
            };
            self.filler = (0..count).map(make).collect::<Result<_, _>>()?;
        }
        Ok(&self.filler)
    }
}
