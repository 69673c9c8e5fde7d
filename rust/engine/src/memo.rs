//! What was computed of octets that come again, within one block: the certificates that its chains share.

use std::ptr;

/// As many as a block has issuers, when a fleet has a few.
const SLOTS_COUNT: usize = 64;

/// Each octet string has one slot; the one that came last is in it. A value is given back only for octets that are the same, all of
/// them; whoever makes slots collide makes only his own block slower.
#[derive(Debug)]
pub(crate) struct Memo<'a, T>(Vec<Option<(&'a [u8], T)>>);

impl<'a, T: Clone> Memo<'a, T> {
    /// For a block of `chains`: one alone shares nothing with others, and pays for no slots.
    pub(crate) fn of_block(chains: usize) -> Self {
        Self(if chains > 1 { vec![None; SLOTS_COUNT] } else { Vec::new() })
    }

    /// Whether nothing is kept.
    pub(crate) fn is_off(&self) -> bool {
        self.0.is_empty()
    }

    /// What `make` gives for `octets`, or gave for the same ones before. It must depend on nothing else.
    pub(crate) fn value<E>(&mut self, octets: &'a [u8], make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.value_if(octets, |_| true, make)
    }

    /// The same, where what was kept must also fit: `make` may depend on what `fits` compares.
    pub(crate) fn value_if<E>(
        &mut self,
        octets: &'a [u8],
        fits: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(slot) = self.0.get_mut(slot(octets)) else { return make() };
        match slot {
            Some((known, value)) if same(known, octets) && fits(value) => Ok(value.clone()),
            _ => {
                let value = make()?;
                *slot = Some((octets, value.clone()));
                Ok(value)
            }
        }
    }
}

/// Whether two octet strings are equal; most that are asked about here are one and the same.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    ptr::eq(one, other) || one == other
}

/// By the last octets: of a certificate they are its signature's, of a key its coordinate's, of hashes they are as good as random.
fn slot(octets: &[u8]) -> usize {
    let last = octets.last_chunk::<8>().map_or(0, |last| u64::from_le_bytes(*last));
    let mixed = last.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    usize::try_from(mixed).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_that_of_the_octets_whatever_came_before() {
        let mut memo = Memo::of_block(2);
        let all: Vec<Vec<u8>> =
            (0..1_000_u32).map(|number| vec![u8::try_from(number % 3).unwrap(); (number % 40) as usize]).collect();
        for octets in &all {
            let value = memo.value(octets, || Ok::<_, ()>((octets.len(), octets.first().copied())));
            assert_eq!(value, Ok((octets.len(), octets.first().copied())));
        }
        let mut made = 0;
        for _ in 0..3 {
            assert_eq!(
                memo.value(b"the same octets", || {
                    made += 1;
                    Ok::<_, ()>((1, None))
                }),
                Ok((1, None))
            );
        }
        assert_eq!(made, 1);
        assert_eq!(memo.value(b"others", || Err("failed")), Err("failed"));
        assert_eq!(memo.value(b"others", || Ok::<_, ()>((2, None))), Ok((2, None)), "failures are not kept");
    }
}
