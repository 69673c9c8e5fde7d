//! Addresses that devices have come from: whoever comes from there is worked for first when not all can be.
//!
//! An address earns credit by each admission and spends it by each connection, so that whoever dials from behind the same address
//! without being let in uses up its standing, and no more: without any it stands where everybody stands of whom nothing is known.
//! Only admissions put an address here, so strangers can drive none out.

use std::collections::HashMap;
use std::net::IpAddr;

/// What a connection costs is one; at this price one that is let in, among four, keeps their common address in good standing.
const EARNED: u16 = 4;
/// As much as a region behind one address spends in the first moments after its power is back.
const CREDIT_MAX: u16 = 4_096;
/// Addresses of one generation, at some 40 bytes each.
const SOURCES_COUNT_MAX: usize = 16_384;

/// Where a connection comes from: an address, or of IPv6 its network of 64 bits (RFC 4291 §2.5.4), in which whoever has one address has
/// all. An address of IPv4 that was translated (RFC 6052 §2.1) counts as itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(six) => match six.segments() {
                [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
                    let [.., a, b, c, d] = six.octets();
                    Self([a, b, c, d].into())
                }
                [a, b, c, d, ..] => Self([a, b, c, d, 0, 0, 0, 0].into()),
            },
            four @ IpAddr::V4(_) => Self(four),
        }
    }
}

/// The latest generation of addresses and the one before: whoever earns nothing during one is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    recent: HashMap<Source, u16>,
    older: HashMap<Source, u16>,
}

impl Sources {
    /// A device came from `source` and was let in.
    pub(crate) fn earn(&mut self, source: Source) {
        let before = self.older.remove(&source).or_else(|| self.recent.get(&source).copied()).unwrap_or(0);
        if self.recent.len() >= SOURCES_COUNT_MAX && !self.recent.contains_key(&source) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(source, before.saturating_add(EARNED).min(CREDIT_MAX));
    }

    /// Somebody comes from `source`: whether devices do.
    pub(crate) fn spend(&mut self, source: Source) -> bool {
        let Some(credit) = self.recent.get_mut(&source).or_else(|| self.older.get_mut(&source)) else { return false };
        let left = credit.checked_sub(1);
        *credit = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u32) -> Source {
        IpAddr::V4(number.into()).into()
    }

    #[test]
    fn an_address_stands_well_as_long_as_one_in_four_is_let_in() {
        let mut sources = Sources::default();
        assert!(!sources.spend(source(1)));
        for _ in 0..100 {
            sources.earn(source(1));
            assert!((0..4).all(|_| sources.spend(source(1))));
        }
        assert!(!sources.spend(source(1)), "the fifth of each four has nothing left");
        sources.earn(source(1));
        assert!(sources.spend(source(1)) && !sources.spend(source(2)));
        for _ in 0..10_000 {
            sources.earn(source(1));
        }
        let spent = (0..10_000).take_while(|_| sources.spend(source(1))).count();
        assert_eq!(spent, usize::from(CREDIT_MAX));
    }

    #[test]
    fn there_are_two_generations_of_addresses_and_no_more() {
        let mut sources = Sources::default();
        let count = u32::try_from(SOURCES_COUNT_MAX).unwrap();
        for number in 0..count * 3 {
            sources.earn(source(number));
            sources.earn(source(0));
        }
        assert!(sources.recent.len() + sources.older.len() <= 2 * SOURCES_COUNT_MAX);
        assert!(sources.spend(source(0)) && sources.spend(source(count * 3 - 1)) && !sources.spend(source(1)));
    }

    #[test]
    fn of_ipv6_a_network_is_one_source_and_a_mapped_address_is_the_one_it_maps() {
        let of = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!([of("::ffff:127.0.0.1"), of("64:ff9b::127.0.0.1")], [of("127.0.0.1"); 2]);
        assert_ne!(of("127.0.0.1"), of("127.0.0.2"));
    }
}
