//! The back end for AVX-512 IFMA: eight lanes of five 52-bit limbs, R = 2^260.
//!
//! `VPMADD52LUQ` and `VPMADD52HUQ` multiply the low 52 bits of each 64-bit lane and add the low or the high half of the product
//! to an accumulator. A limb that is to be multiplied must therefore be carried below 2^52; higher bits would be dropped
//! silently. Everything else may pile up in the 12 bits above.
//!
//! Notation: a *normal* value has its lower four limbs below 2^52 and stands for Σ `limb[i]`·2^(52·i). *Raw* columns may hold up
//! to 2^63. Every value that leaves a method of `Lanes` is normal; bounds in multiples of p are those of `lanes`.
//!
//! **Product.** Ten columns, below 10·2^52; `instructions` has them.
//!
//! **Reduction.** R > 16p, so for a·b ≤ 16p·p the result (a·b + Q·p) / R is below p + p. One round for each low column: the
//! multiple of the prime that clears its low 52 bits is added, what is above them is carried, the column is dropped.
//! p ≡ −1 modulo 2^96, so the multiplier q is the column's low 52 bits, and
//! q·p = −q + q·2^96 + q·2^192 + q·(2^48 − 2^16)·2^208: the first term clears, the next two are shifts by 44 bits at limb 1 and by
//! 36 bits at limb 3, each split at 52 bits into two columns, and the last is one multiplication at limb 4. A round adds
//! less than 2^52 + 2^12 + 2^44, 2^52, 2^52 + 2^36 and 2^52 to its columns; five rounds leave each below 2^57.
//!
//! **Subtraction.** Limbs must not go below zero, since shifts are unsigned. So a multiple of p is added in a form that has
//! 16·2^52 borrowed from each limb for the next lower one: larger than whatever is subtracted there.
//!
//! **Tightening.** The top column, shifted right by 48, estimates how often 2^256 fits; that multiple q of p is subtracted before
//! the carry, as q·2^256 − q·2^224 + q·2^192 + q·2^96 − q. What is left is below 2^256 + 2^217 (lower columns up to 2^61) plus
//! q·2^224, which is below p + 2^230 for q ≤ 31.

use core::arch::x86_64::{
    __m256i, __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_add_epi64, _mm512_and_si512, _mm512_castsi256_si512,
    _mm512_cmpeq_epi64_mask, _mm512_cmpgt_epu64_mask, _mm512_inserti64x4, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
    _mm512_mask_blend_epi64, _mm512_mask_sub_epi64, _mm512_permutex_epi64, _mm512_set1_epi64, _mm512_setzero_si512,
    _mm512_shrdi_epi64, _mm512_shuffle_i64x2, _mm512_slli_epi64, _mm512_sllv_epi64, _mm512_srli_epi64,
    _mm512_srlv_epi64, _mm512_sub_epi64, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};
use core::marker::PhantomData;

use crate::instructions::{Instructions, LIMB_BITS, LIMB_MASK, MultiplyAdd52};
use crate::inverse;
use crate::lanes::{LANES_MAX, LaneWords, Lanes, Mask, Packed};
use crate::montgomery::{Field, Modulus};
use crate::words::{self, P, Words};

type Vector = __m512i;
type Half = __m256i;
type Limbs = [Vector; 5];
type Columns = [Vector; 10];

/// Eight lanes. A value exists only where the instructions do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ifma(());

/// Eight residues modulo `M`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Residues<M>(pub(crate) Limbs, pub(crate) PhantomData<M>);

type Element = Residues<Field>;

impl Ifma {
    /// The back end, if this CPU and operating system have the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("avx512vbmi2");
        present.then_some(Self(()))
    }
}

/// Compiles `work`, and what is inlined into it, for the instructions.
#[target_feature(enable = "avx512f,avx512ifma,avx512vbmi2")]
fn with_instructions<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Asks for a point, by an instruction that every x86-64 has.
#[inline(always)]
pub(crate) fn prefetch(point: &Packed) {
    // SAFETY: a hint, which changes nothing that the program can see, whatever the address; and this one is a reference's.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(point).cast()) };
}

/// Methods that are one instruction each.
macro_rules! instructions {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty = $intrinsic:path;)*) => {
        impl Ifma { $(
            #[inline(always)]
            pub(crate) fn $name(self, $($argument: $type),*) -> $result {
                // SAFETY: these take and give registers only; all they need is that the CPU has the instruction, and `self` exists
                // only where `detect` found it so.
                unsafe { $intrinsic($($argument),*) }
            }
        )* }
    };
}

instructions! {
    zero() -> Vector = _mm512_setzero_si512;
    set(value: i64) -> Vector = _mm512_set1_epi64;
    add(a: Vector, b: Vector) -> Vector = _mm512_add_epi64;
    sub(a: Vector, b: Vector) -> Vector = _mm512_sub_epi64;
    sub_where(or: Vector, mask: Mask, a: Vector, b: Vector) -> Vector = _mm512_mask_sub_epi64;
    choose(mask: Mask, clear: Vector, set: Vector) -> Vector = _mm512_mask_blend_epi64;
    and(a: Vector, b: Vector) -> Vector = _mm512_and_si512;
    add_low_product(sum: Vector, a: Vector, b: Vector) -> Vector = _mm512_madd52lo_epu64;
    add_high_product(sum: Vector, a: Vector, b: Vector) -> Vector = _mm512_madd52hi_epu64;
    greater(a: Vector, b: Vector) -> Mask = _mm512_cmpgt_epu64_mask;
    equal(a: Vector, b: Vector) -> Mask = _mm512_cmpeq_epi64_mask;
    shift_right_8(a: Vector) -> Vector = _mm512_srli_epi64::<8>;
    shift_right_16(a: Vector) -> Vector = _mm512_srli_epi64::<16>;
    shift_right_48(a: Vector) -> Vector = _mm512_srli_epi64::<48>;
    shift_right_52(a: Vector) -> Vector = _mm512_srli_epi64::<52>;
    shift_left_2(a: Vector) -> Vector = _mm512_slli_epi64::<2>;
    shift_left_3(a: Vector) -> Vector = _mm512_slli_epi64::<3>;
    shift_left_16(a: Vector) -> Vector = _mm512_slli_epi64::<16>;
    shift_left_36(a: Vector) -> Vector = _mm512_slli_epi64::<36>;
    shift_left_44(a: Vector) -> Vector = _mm512_slli_epi64::<44>;
    shift_lanes_left(a: Vector, by: Vector) -> Vector = _mm512_sllv_epi64;
    shift_lanes_right(a: Vector, by: Vector) -> Vector = _mm512_srlv_epi64;
    // The low 64 bits of (high·2^64 + low) / 2^n.
    join_shift_right_52(low: Vector, high: Vector) -> Vector = _mm512_shrdi_epi64::<52>;
    join_shift_right_40(low: Vector, high: Vector) -> Vector = _mm512_shrdi_epi64::<40>;
    join_shift_right_28(low: Vector, high: Vector) -> Vector = _mm512_shrdi_epi64::<28>;
    // A vector with its lower half set, and one with its upper half replaced.
    widen(low: Half) -> Vector = _mm512_castsi256_si512;
    with_upper_half(a: Vector, high: Half) -> Vector = _mm512_inserti64x4::<1>;
    // The even lanes of a and b by turns; the odd ones.
    even_lanes(a: Vector, b: Vector) -> Vector = _mm512_unpacklo_epi64;
    odd_lanes(a: Vector, b: Vector) -> Vector = _mm512_unpackhi_epi64;
    // Pairs of lanes: the first two of a and b; the last two; the even ones; the odd ones.
    first_pairs(a: Vector, b: Vector) -> Vector = _mm512_shuffle_i64x2::<0b01_00_01_00>;
    last_pairs(a: Vector, b: Vector) -> Vector = _mm512_shuffle_i64x2::<0b11_10_11_10>;
    even_pairs(a: Vector, b: Vector) -> Vector = _mm512_shuffle_i64x2::<0b10_00_10_00>;
    odd_pairs(a: Vector, b: Vector) -> Vector = _mm512_shuffle_i64x2::<0b11_01_11_01>;
    // Lane i takes lane i XOR 1; pair i takes pair i XOR 1; pair i takes pair i XOR 2.
    exchange_lanes(a: Vector) -> Vector = _mm512_permutex_epi64::<0b10_11_00_01>;
    exchange_pairs(a: Vector, again: Vector) -> Vector = _mm512_shuffle_i64x2::<0b10_11_00_01>;
    exchange_halves(a: Vector, again: Vector) -> Vector = _mm512_shuffle_i64x2::<0b01_00_11_10>;
}

/// Words in and out.
impl Ifma {
    #[inline(always)]
    pub(crate) fn vector_of(lanes: [u64; 8]) -> Vector {
        // SAFETY: both are 64 bytes of integers, for which every pattern of bits is a value.
        unsafe { core::mem::transmute(lanes) }
    }

    #[inline(always)]
    fn half_of(lanes: [u64; 4]) -> Half {
        // SAFETY: both are 32 bytes of integers, for which every pattern of bits is a value.
        unsafe { core::mem::transmute(lanes) }
    }

    #[inline(always)]
    pub(crate) fn lanes_of(vector: Vector) -> [u64; 8] {
        // SAFETY: both are 64 bytes of integers, for which every pattern of bits is a value.
        unsafe { core::mem::transmute(vector) }
    }
}

/// Limbs.
impl Ifma {
    #[inline(always)]
    fn constants(self, limbs: [u64; 5]) -> Limbs {
        let [a, b, c, d, e] = limbs;
        [self.constant(a), self.constant(b), self.constant(c), self.constant(d), self.constant(e)]
    }

    /// Four 64-bit words, below 2^256, as limbs.
    #[inline(always)]
    fn split(self, words: [Vector; 4]) -> Limbs {
        let mask = self.constant(LIMB_MASK);
        [
            self.and(words[0], mask),
            self.and(self.join_shift_right_52(words[0], words[1]), mask),
            self.and(self.join_shift_right_40(words[1], words[2]), mask),
            self.and(self.join_shift_right_28(words[2], words[3]), mask),
            self.shift_right_16(words[3]),
        ]
    }

    /// The raw upper five columns after reduction.
    #[inline(always)]
    fn reduce<M: Modulus>(self, columns: Columns) -> Limbs {
        if const { M::IS_FIELD } { self.reduce_field(columns) } else { self.reduce_any::<M>(columns) }
    }

    #[inline(always)]
    fn reduce_field(self, mut t: Columns) -> Limbs {
        let top = self.constant((1 << 48) - (1 << 16));
        for i in 0..5 {
            // Multiplications read the low 52 bits by themselves; shifts to the right need them cut out.
            let q = self.and(t[i], self.constant(LIMB_MASK));
            let carry = self.shift_right_52(t[i]);
            let low_8_at_44 = self.and(self.shift_left_44(t[i]), self.constant(0xff << 44));
            let low_16_at_36 = self.and(self.shift_left_36(t[i]), self.constant(0xffff << 36));
            t[i + 1] = self.add(t[i + 1], self.add(low_8_at_44, carry));
            t[i + 2] = self.add(t[i + 2], self.shift_right_8(q));
            t[i + 3] = self.add(t[i + 3], low_16_at_36);
            t[i + 4] = self.add_low_product(t[i + 4], t[i], top);
            t[i + 4] = self.add(t[i + 4], self.shift_right_16(q));
            t[i + 5] = self.add_high_product(t[i + 5], t[i], top);
        }
        [t[5], t[6], t[7], t[8], t[9]]
    }

    /// The same with multiplications by 2^44 and 2^36 in place of shifts. The multiplier is what a multiplication waits for; a squaring
    /// has only half as many products of its own, and this way both kinds of unit are as busy.
    #[inline(always)]
    fn reduce_square(self, mut t: Columns) -> Limbs {
        let (at_44, at_36) = (self.constant(1 << 44), self.constant(1 << 36));
        let top = self.constant((1 << 48) - (1 << 16));
        for i in 0..5 {
            t[i + 1] = self.add(t[i + 1], self.shift_right_52(t[i]));
            t[i + 1] = self.add_low_product(t[i + 1], t[i], at_44);
            t[i + 2] = self.add_high_product(t[i + 2], t[i], at_44);
            t[i + 3] = self.add_low_product(t[i + 3], t[i], at_36);
            t[i + 4] = self.add_low_product(t[i + 4], t[i], top);
            t[i + 4] = self.add_high_product(t[i + 4], t[i], at_36);
            t[i + 5] = self.add_high_product(t[i + 5], t[i], top);
        }
        [t[5], t[6], t[7], t[8], t[9]]
    }

    /// As for p, but with a multiplier to be computed and a multiplication for every limb; ten more halves a column at most.
    #[inline(always)]
    fn reduce_any<M: Modulus>(self, mut t: Columns) -> Limbs {
        let modulus = const { limbs_of(M::M) };
        let negated_inverse = self.constant(const { M::NEGATED_INVERSE & LIMB_MASK });
        for i in 0..5 {
            let q = self.add_low_product(self.zero(), t[i], negated_inverse);
            for (j, limb) in modulus.into_iter().enumerate() {
                t[i + j] = self.add_low_product(t[i + j], q, self.constant(limb));
            }
            for (j, limb) in modulus.into_iter().enumerate() {
                t[i + j + 1] = self.add_high_product(t[i + j + 1], q, self.constant(limb));
            }
            t[i + 1] = self.add(t[i + 1], self.shift_right_52(t[i]));
        }
        [t[5], t[6], t[7], t[8], t[9]]
    }

    /// Raw to normal and tight, from below 31p.
    #[inline(always)]
    fn tighten(self, mut limbs: Limbs) -> Element {
        let q = self.shift_right_48(limbs[4]);
        limbs[0] = self.add(limbs[0], q);
        limbs[1] = self.sub(limbs[1], self.shift_left_44(q));
        limbs[3] = self.sub(limbs[3], self.shift_left_36(q));
        limbs[4] = self.add(self.and(limbs[4], self.constant((1 << 48) - 1)), self.shift_left_16(q));
        self.checked(self.carry(limbs), 1)
    }

    /// `K` times each limb, for `K` up to 8.
    #[inline(always)]
    fn times<const K: u64>(self, a: Vector) -> Vector {
        match K {
            1 => a,
            2 => self.add(a, a),
            3 => self.add(self.add(a, a), a),
            4 => self.shift_left_2(a),
            8 => self.shift_left_3(a),
            _ => unreachable!("no formula asks for it"),
        }
    }

    /// Debug builds look whether a value is normal and, in multiples of the modulus (and 2^230), below its bound.
    #[inline(always)]
    fn checked<M: Modulus>(self, limbs: Limbs, bound: u64) -> Residues<M> {
        if cfg!(debug_assertions) {
            let [lower @ .., upper] = limbs;
            let above = lower.map(|limb| self.greater(limb, self.constant(LIMB_MASK)));
            assert_eq!(above, [0; 4], "limbs are carried");
            let top = const { limbs_of(M::M) }[4] * bound + bound + (1 << (230 - 208));
            assert_eq!(self.greater(upper, self.constant(top)), 0, "the value is within its bound");
        }
        Residues(limbs, PhantomData)
    }
}

impl Instructions for Ifma {
    const LANES: usize = LANES_MAX;
    type Vector = Vector;

    #[inline(always)]
    fn run<T>(self, work: impl FnOnce() -> T) -> T {
        // SAFETY: the features that it is compiled for are those that `detect` found.
        unsafe { with_instructions(work) }
    }

    #[inline(always)]
    fn vector(self, numbers: [u64; LANES_MAX]) -> Vector {
        Self::vector_of(numbers)
    }

    #[inline(always)]
    fn numbers(self, vector: Vector) -> [u64; LANES_MAX] {
        Self::lanes_of(vector)
    }

    #[inline(always)]
    fn constant(self, number: u64) -> Vector {
        self.set(number.cast_signed())
    }

    #[inline(always)]
    fn add(self, a: Vector, b: Vector) -> Vector {
        self.add(a, b)
    }

    #[inline(always)]
    fn sub(self, a: Vector, b: Vector) -> Vector {
        self.sub(a, b)
    }

    #[inline(always)]
    fn and(self, a: Vector, b: Vector) -> Vector {
        self.and(a, b)
    }

    #[inline(always)]
    fn shift_left(self, a: Vector, by: u32) -> Vector {
        self.shift_lanes_left(a, self.constant(by.into()))
    }

    #[inline(always)]
    fn shift_right(self, a: Vector, by: u32) -> Vector {
        self.shift_lanes_right(a, self.constant(by.into()))
    }

    #[inline(always)]
    fn select(self, by: Vector, clear: Vector, set: Vector) -> Vector {
        self.choose(self.greater(by, self.constant(u64::MAX >> 1)), clear, set)
    }
}

impl MultiplyAdd52 for Ifma {
    #[inline(always)]
    fn add_low_product(self, sum: Vector, a: Vector, b: Vector) -> Vector {
        self.add_low_product(sum, a, b)
    }

    #[inline(always)]
    fn add_high_product(self, sum: Vector, a: Vector, b: Vector) -> Vector {
        self.add_high_product(sum, a, b)
    }
}

impl Lanes for Ifma {
    const COUNT: usize = LANES_MAX;
    const RADIX_BITS: u32 = 5 * LIMB_BITS;
    type Residue<M: Modulus> = Residues<M>;

    #[inline(always)]
    fn run<T>(self, work: impl FnOnce() -> T) -> T {
        Instructions::run(self, work)
    }

    #[inline(always)]
    fn splat<M: Modulus>(self, words: Words) -> Residues<M> {
        self.checked(self.constants(limbs_of(words)), 1)
    }

    #[inline(always)]
    fn load<M: Modulus>(self, words: &LaneWords) -> Residues<M> {
        let mut columns = [[0; LANES_MAX]; 4];
        for (lane, words) in words.iter().enumerate() {
            for (column, word) in columns.iter_mut().zip(words) {
                column[lane] = *word;
            }
        }
        let [a, b, c, d] = columns;
        self.checked(self.split([Self::vector_of(a), Self::vector_of(b), Self::vector_of(c), Self::vector_of(d)]), 2)
    }

    #[inline(always)]
    fn store<M: Modulus>(self, value: &Residues<M>) -> LaneWords {
        let [a, b, c, d, e] = value.0;
        let limbs = [Self::lanes_of(a), Self::lanes_of(b), Self::lanes_of(c), Self::lanes_of(d), Self::lanes_of(e)];
        let mut result = [[0; 4]; LANES_MAX];
        for (lane, result) in result.iter_mut().enumerate() {
            let [a, b, c, d, e] = [limbs[0][lane], limbs[1][lane], limbs[2][lane], limbs[3][lane], limbs[4][lane]];
            let words = [a | b << 52, b >> 12 | c << 40, c >> 24 | d << 28, d >> 36 | e << 16];
            // A product is below 2m < 2^257: bit 256 is in the top limb.
            let (difference, below) = words::sub(words, M::M);
            *result = if below && e >> 48 == 0 { words } else { difference };
        }
        result
    }

    #[inline(always)]
    fn mul<M: Modulus>(self, a: &Residues<M>, b: &Residues<M>) -> Residues<M> {
        self.checked(self.carry(self.reduce::<M>(self.product(&a.0, &b.0))), 2)
    }

    /// One division for all lanes: the lanes are multiplied together crosswise, and the inverse goes back the same way.
    #[inline(always)]
    fn invert<M: Modulus>(self, value: &Residues<M>) -> Residues<M> {
        let quarter = self.exchange(4, value);
        let half = self.mul(value, &quarter);
        let other_half = self.exchange(2, &half);
        let most = self.mul(&half, &other_half);
        let others = self.exchange(1, &most);
        let all = self.store(&self.mul(&most, &others))[0];
        // From the form of x, x·2^260, to that of 1/x: 2^520 / (x·2^260).
        let inverse = self.splat(inverse::divide::<M>(const { words::power_of_two(2 * Self::RADIX_BITS, M::M) }, all));
        self.mul(&self.mul(&self.mul(&inverse, &others), &other_half), &quarter)
    }

    #[inline(always)]
    fn select<M: Modulus>(self, mask: Mask, a: &Residues<M>, b: &Residues<M>) -> Residues<M> {
        let mut limbs = a.0;
        for (limb, other) in limbs.iter_mut().zip(b.0) {
            *limb = self.choose(mask, other, *limb);
        }
        Residues(limbs, PhantomData)
    }

    #[inline(always)]
    fn exchange<M: Modulus>(self, distance: usize, value: &Residues<M>) -> Residues<M> {
        let mut limbs = value.0;
        for limb in &mut limbs {
            *limb = match distance {
                1 => self.exchange_lanes(*limb),
                2 => self.exchange_pairs(*limb, *limb),
                _ => self.exchange_halves(*limb, *limb),
            };
        }
        Residues(limbs, PhantomData)
    }

    /// Eight lines of eight words are turned by 90 degrees: lanes by turns, then pairs of lanes.
    #[inline(always)]
    fn gather<'a>(self, point: impl Fn(usize) -> &'a Packed) -> [Element; 2] {
        let (a, b) = (self.load_two(point(0), point(1)), self.load_two(point(2), point(3)));
        let (c, d) = (self.load_two(point(4), point(5)), self.load_two(point(6), point(7)));
        let x = self.split_pairs(
            [self.first_pairs(a[0], b[0]), self.first_pairs(a[1], b[1])],
            [self.first_pairs(c[0], d[0]), self.first_pairs(c[1], d[1])],
        );
        let y = self.split_pairs(
            [self.last_pairs(a[0], b[0]), self.last_pairs(a[1], b[1])],
            [self.last_pairs(c[0], d[0]), self.last_pairs(c[1], d[1])],
        );
        [self.checked(x, 1), self.checked(y, 1)]
    }

    #[inline(always)]
    fn gather_x<'a>(self, point: impl Fn(usize) -> &'a Packed) -> Element {
        self.gather_coordinate::<false>(point)
    }

    #[inline(always)]
    fn gather_y<'a>(self, point: impl Fn(usize) -> &'a Packed) -> Element {
        self.gather_coordinate::<true>(point)
    }

    #[inline(always)]
    fn prefetch(self, point: &Packed) {
        prefetch(point);
    }

    #[inline(always)]
    fn square(self, a: &Element) -> Element {
        self.checked(self.carry(self.reduce_square(self.square_product(&a.0))), 2)
    }

    #[inline(always)]
    fn mul_sub<const K: u64>(self, a: &Element, b: &Element, c: &Element) -> Element {
        let mut raw = self.reduce_field(self.product(&a.0, &b.0));
        let enough = const { spread(2 * K + 1) };
        for i in 0..5 {
            raw[i] = self.add(raw[i], self.sub(self.constant(enough[i]), self.times::<K>(c.0[i])));
        }
        self.tighten(raw)
    }

    #[inline(always)]
    fn mul_sub_signed(self, negate: Mask, a: &Element, b: &Element, c: &Element) -> Element {
        let mut raw = self.reduce_field(self.product(&a.0, &b.0));
        let (enough, more) = const { (spread(3), spread_wide(6)) };
        for i in 0..5 {
            raw[i] = self.add(raw[i], self.sub(self.constant(enough[i]), c.0[i]));
            raw[i] = self.sub_where(raw[i], negate, self.constant(more[i]), raw[i]);
        }
        self.tighten(raw)
    }

    #[inline(always)]
    fn square_sub<const K: u64, const J: u64>(self, a: &Element, c: &Element, d: &Element) -> Element {
        let mut raw = self.reduce_square(self.square_product(&a.0));
        let enough = const { spread(2 * K + 4 * J + 1) };
        for i in 0..5 {
            let mut less = self.sub(self.constant(enough[i]), self.times::<K>(c.0[i]));
            if J == 1 {
                less = self.sub(less, d.0[i]);
            }
            raw[i] = self.add(raw[i], less);
        }
        self.tighten(raw)
    }

    #[inline(always)]
    fn sum(self, a: &Element, b: &Element) -> Element {
        let mut raw = a.0;
        for (limb, other) in raw.iter_mut().zip(b.0) {
            *limb = self.add(*limb, other);
        }
        self.checked(self.carry(raw), 4)
    }

    #[inline(always)]
    fn difference(self, a: &Element, b: &Element) -> Element {
        let mut raw = a.0;
        let enough = const { spread(2) };
        for i in 0..5 {
            raw[i] = self.add(raw[i], self.sub(self.constant(enough[i]), b.0[i]));
        }
        self.checked(self.carry(raw), 4)
    }

    #[inline(always)]
    fn difference_signed(self, negate: Mask, a: &Element, b: &Element) -> Element {
        let mut raw = a.0;
        let enough = const { spread(4) };
        for i in 0..5 {
            let less = self.sub(self.constant(enough[i]), b.0[i]);
            raw[i] = self.sub_where(self.add(less, a.0[i]), negate, less, a.0[i]);
        }
        self.tighten(raw)
    }

    #[inline(always)]
    fn scaled_difference<const J: u64, const K: u64>(self, a: &Element, b: &Element) -> Element {
        let mut raw = a.0;
        let enough = const { spread(2 * K + 1) };
        for i in 0..5 {
            let less = self.sub(self.constant(enough[i]), self.times::<K>(b.0[i]));
            raw[i] = self.add(self.times::<J>(a.0[i]), less);
        }
        self.tighten(raw)
    }

    /// A difference is between p − 2^230 and 4p, so it is zero modulo p where it is p, 2p or 3p. Their lowest limbs are 2^52 − 1,
    /// − 2 and − 3; other values hardly ever have one of these.
    #[inline(always)]
    fn is_zero_difference(self, difference: &Element) -> Mask {
        if self.greater(difference.0[0], self.constant((1 << LIMB_BITS) - 4)) == 0 {
            return 0;
        }
        let mut zero = 0;
        for multiple in const { [limbs_times(1), limbs_times(2), limbs_times(3)] } {
            let mut equal = Mask::MAX;
            for (limb, wanted) in difference.0.iter().zip(multiple) {
                equal &= self.equal(*limb, self.constant(wanted));
            }
            zero |= equal;
        }
        zero
    }
}

impl Ifma {
    /// Two points word by word: the even words of both, the odd words of both.
    #[inline(always)]
    fn load_two(self, a: &Packed, b: &Packed) -> [Vector; 2] {
        let (a, b) = (Self::vector_of(a.0), Self::vector_of(b.0));
        [self.even_lanes(a, b), self.odd_lanes(a, b)]
    }

    /// From pairs (even words, odd words) of the lower and the upper four lanes: words 0 and 2 by turns, words 1 and 3.
    #[inline(always)]
    fn split_pairs(self, low: [Vector; 2], high: [Vector; 2]) -> Limbs {
        self.split([
            self.even_pairs(low[0], high[0]),
            self.even_pairs(low[1], high[1]),
            self.odd_pairs(low[0], high[0]),
            self.odd_pairs(low[1], high[1]),
        ])
    }

    /// The same four words of two points: x, or with `Y`, y.
    #[inline(always)]
    fn load_halves<const Y: bool>(self, a: &Packed, b: &Packed) -> Vector {
        self.with_upper_half(self.widen(Self::half_of(*a.half::<Y>())), Self::half_of(*b.half::<Y>()))
    }

    /// As `gather`, for four of the eight words.
    #[inline(always)]
    fn gather_coordinate<'a, const Y: bool>(self, point: impl Fn(usize) -> &'a Packed) -> Element {
        let (a, b) = (self.load_halves::<Y>(point(0), point(2)), self.load_halves::<Y>(point(1), point(3)));
        let (c, d) = (self.load_halves::<Y>(point(4), point(6)), self.load_halves::<Y>(point(5), point(7)));
        let low = [self.even_lanes(a, b), self.odd_lanes(a, b)];
        let high = [self.even_lanes(c, d), self.odd_lanes(c, d)];
        self.checked(self.split_pairs(low, high), 1)
    }
}

/// 52-bit limbs.
const fn limbs_of(words: Words) -> [u64; 5] {
    [
        words[0] & LIMB_MASK,
        (words[0] >> 52 | words[1] << 12) & LIMB_MASK,
        (words[1] >> 40 | words[2] << 24) & LIMB_MASK,
        (words[2] >> 28 | words[3] << 36) & LIMB_MASK,
        words[3] >> 16,
    ]
}

/// `multiple`·p, carried.
const fn limbs_times(multiple: u64) -> [u64; 5] {
    let (mut limbs, mut carry, mut index) = (limbs_of(P), 0, 0);
    while index < 5 {
        let limb = limbs[index] * multiple + carry;
        limbs[index] = if index < 4 { limb & LIMB_MASK } else { limb };
        carry = limb >> LIMB_BITS;
        index += 1;
    }
    limbs
}

/// `multiple`·p with 2^56 borrowed for each limb from the next: nothing below 16·2^52 makes a limb negative.
const fn spread(multiple: u64) -> [u64; 5] {
    borrow(multiple, 1 << 4)
}

/// `multiple`·p with 2^60 borrowed for each limb from the next, for raw columns as subtrahends.
const fn spread_wide(multiple: u64) -> [u64; 5] {
    borrow(multiple, 1 << 8)
}

const fn borrow(multiple: u64, borrowed: u64) -> [u64; 5] {
    let [a, b, c, d, e] = limbs_of(P);
    let limb = borrowed << LIMB_BITS;
    [
        multiple * a + limb,
        multiple * b + limb - borrowed,
        multiple * c + limb - borrowed,
        multiple * d + limb - borrowed,
        multiple * e - borrowed,
    ]
}
