//! Eight lanes on every machine, for the tests of what only lanes do: eight times the portable arithmetic.

use crate::lanes::{Element, LANES_MAX, LaneWords, Lanes, Mask, Packed};
use crate::montgomery::{Field, Modulus, Residue};
use crate::portable::Portable;
use crate::words::Words;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Eight;

type Eights<M> = [Residue<M>; LANES_MAX];

/// Whether a lane's bit is set, as the mask of a lane alone.
fn alone(mask: Mask, lane: usize) -> Mask {
    mask >> lane & 1
}

fn each<T>(lane: impl FnMut(usize) -> T) -> [T; LANES_MAX] {
    core::array::from_fn(lane)
}

impl Lanes for Eight {
    const COUNT: usize = LANES_MAX;
    const RADIX_BITS: u32 = Portable::RADIX_BITS;
    type Residue<M: Modulus> = Eights<M>;

    fn run<T>(self, work: impl FnOnce() -> T) -> T {
        work()
    }

    fn splat<M: Modulus>(self, words: Words) -> Eights<M> {
        [Portable.splat(words); LANES_MAX]
    }

    fn load<M: Modulus>(self, words: &LaneWords) -> Eights<M> {
        words.map(|words| Portable.load(&[words; LANES_MAX]))
    }

    fn store<M: Modulus>(self, value: &Eights<M>) -> LaneWords {
        value.map(|value| Portable.store(&value)[0])
    }

    fn mul<M: Modulus>(self, a: &Eights<M>, b: &Eights<M>) -> Eights<M> {
        each(|lane| Portable.mul(&a[lane], &b[lane]))
    }

    fn invert<M: Modulus>(self, value: &Eights<M>) -> Eights<M> {
        value.map(|value| Portable.invert(&value))
    }

    fn select<M: Modulus>(self, mask: Mask, a: &Eights<M>, b: &Eights<M>) -> Eights<M> {
        each(|lane| Portable.select(alone(mask, lane), &a[lane], &b[lane]))
    }

    fn exchange<M: Modulus>(self, distance: usize, value: &Eights<M>) -> Eights<M> {
        each(|lane| value[lane ^ distance])
    }

    fn gather<'a>(self, point: impl Fn(usize) -> &'a Packed) -> [Element<Self>; 2] {
        [self.gather_x(&point), self.gather_y(&point)]
    }

    fn gather_x<'a>(self, point: impl Fn(usize) -> &'a Packed) -> Element<Self> {
        each(|lane| Portable.gather_x(|_| point(lane)))
    }

    fn gather_y<'a>(self, point: impl Fn(usize) -> &'a Packed) -> Element<Self> {
        each(|lane| Portable.gather_y(|_| point(lane)))
    }

    fn square(self, a: &Element<Self>) -> Element<Self> {
        a.map(|a| Portable.square(&a))
    }

    fn mul_sub<const K: u64>(self, a: &Element<Self>, b: &Element<Self>, c: &Element<Self>) -> Element<Self> {
        each(|lane| Portable.mul_sub::<K>(&a[lane], &b[lane], &c[lane]))
    }

    fn mul_sub_signed(self, negate: Mask, a: &Element<Self>, b: &Element<Self>, c: &Element<Self>) -> Element<Self> {
        each(|lane| Portable.mul_sub_signed(alone(negate, lane), &a[lane], &b[lane], &c[lane]))
    }

    fn square_sub<const K: u64, const J: u64>(
        self,
        a: &Element<Self>,
        c: &Element<Self>,
        d: &Element<Self>,
    ) -> Element<Self> {
        each(|lane| Portable.square_sub::<K, J>(&a[lane], &c[lane], &d[lane]))
    }

    fn sum(self, a: &Element<Self>, b: &Element<Self>) -> Element<Self> {
        each(|lane| Portable.sum(&a[lane], &b[lane]))
    }

    fn difference(self, a: &Element<Self>, b: &Element<Self>) -> Element<Self> {
        each(|lane| Portable.difference(&a[lane], &b[lane]))
    }

    fn difference_signed(self, negate: Mask, a: &Element<Self>, b: &Element<Self>) -> Element<Self> {
        each(|lane| Portable.difference_signed(alone(negate, lane), &a[lane], &b[lane]))
    }

    fn scaled_difference<const J: u64, const K: u64>(self, a: &Element<Self>, b: &Element<Self>) -> Element<Self> {
        each(|lane| Portable.scaled_difference::<J, K>(&a[lane], &b[lane]))
    }

    fn is_zero_difference(self, difference: &Element<Self>) -> Mask {
        let zero = |lane: usize| Portable.is_zero_difference(&difference[lane]) << lane;
        (0..LANES_MAX).fold(0, |mask, lane| mask | zero(lane))
    }
}

/// Eight lanes agree with the field's own idea of them; all else is made of the portable arithmetic.
#[test]
fn lanes_are_exchanged_and_masked_each_by_itself() {
    let numbers: Eights<Field> = each(|lane| Residue::new([lane as u64, 0, 0, 0]));
    for distance in [1, 2, 4] {
        let exchanged = Eight.exchange(distance, &numbers).map(Residue::number);
        assert_eq!(exchanged, each(|lane| [(lane ^ distance) as u64, 0, 0, 0]));
    }
    assert_eq!(Eight.is_zero_difference(&numbers), 1);
    let chosen = Eight.select(0b1010_0101, &numbers, &[Residue::ZERO; LANES_MAX]);
    assert_eq!(Eight.is_zero_difference(&chosen), 0b0101_1011);
}
