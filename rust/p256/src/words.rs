//! 256-bit integers as four 64-bit words, least significant first, and the curve's numbers. SEC 2 §2.4.2.

/// An integer below 2^256.
pub(crate) type Words = [u64; 4];

/// The field's prime, 2^256 − 2^224 + 2^192 + 2^96 − 1.
pub(crate) const P: Words = [0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_ffff, 0, 0xffff_ffff_0000_0001];
/// The prime order of the group.
pub(crate) const N: Words =
    [0xf3b9_cac2_fc63_2551, 0xbce6_faad_a717_9e84, 0xffff_ffff_ffff_ffff, 0xffff_ffff_0000_0000];
/// The curve is y² = x³ − 3x + `B`.
pub(crate) const B: Words =
    [0x3bce_3c3e_27d2_604b, 0x651d_06b0_cc53_b0f6, 0xb3eb_bd55_7698_86bc, 0x5ac6_35d8_aa3a_93e7];
/// The generator's coordinates.
pub(crate) const G: [Words; 2] = [
    [0xf4a1_3945_d898_c296, 0x7703_7d81_2deb_33a0, 0xf8bc_e6e5_63a4_40f2, 0x6b17_d1f2_e12c_4247],
    [0xcbb6_4068_37bf_51f5, 0x2bce_3357_6b31_5ece, 0x8ee7_eb4a_7c0f_9e16, 0x4fe3_42e2_fe1a_7f9b],
];

/// `a + b`, and whether it overflowed.
#[inline(always)]
pub(crate) const fn add(a: Words, b: Words) -> (Words, bool) {
    let (mut sum, mut carry, mut index) = ([0; 4], false, 0);
    while index < 4 {
        let (low, first) = a[index].overflowing_add(b[index]);
        let (low, second) = low.overflowing_add(carry as u64);
        sum[index] = low;
        carry = first | second;
        index += 1;
    }
    (sum, carry)
}

/// `a − b` modulo 2^256, and whether `a < b`.
#[inline(always)]
pub(crate) const fn sub(a: Words, b: Words) -> (Words, bool) {
    let (mut difference, mut borrow, mut index) = ([0; 4], false, 0);
    while index < 4 {
        let (low, first) = a[index].overflowing_sub(b[index]);
        let (low, second) = low.overflowing_sub(borrow as u64);
        difference[index] = low;
        borrow = first | second;
        index += 1;
    }
    (difference, borrow)
}

/// Whether `a < b`.
#[inline(always)]
pub(crate) const fn less(a: Words, b: Words) -> bool {
    sub(a, b).1
}

/// `a` modulo `modulus`, for `a < 2 · modulus`.
#[inline(always)]
pub(crate) const fn reduce_once(a: Words, modulus: Words) -> Words {
    let (difference, below) = sub(a, modulus);
    if below { a } else { difference }
}

/// 2^`exponent` modulo `modulus`, which must exceed 2^255. For constants: it takes a step a bit.
pub(crate) const fn power_of_two(exponent: u32, modulus: Words) -> Words {
    let (mut power, mut done) = ([1, 0, 0, 0], 0);
    while done < exponent {
        let (double, overflowed) = add(power, power);
        // 2^256 exceeds the modulus and twice anything below it does not reach 2^257, so one subtraction suffices.
        power = if overflowed { sub(double, modulus).0 } else { reduce_once(double, modulus) };
        done += 1;
    }
    power
}

/// Reads 32 bytes, most significant first.
#[inline]
pub(crate) fn from_be_bytes(bytes: &[u8; 32]) -> Words {
    let (chunks, _) = bytes.as_chunks::<8>();
    [3, 2, 1, 0].map(|index| u64::from_be_bytes(chunks[index]))
}

/// Writes 32 bytes, most significant first.
pub(crate) fn to_be_bytes(words: Words) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words.iter().rev()) {
        *chunk = word.to_be_bytes();
    }
    bytes
}

/// Reads 32 bytes, least significant first.
pub(crate) fn from_le_bytes(bytes: &[u8; 32]) -> Words {
    let (chunks, _) = bytes.as_chunks::<8>();
    [0, 1, 2, 3].map(|index| u64::from_le_bytes(chunks[index]))
}

/// Writes 32 bytes, least significant first.
pub(crate) fn to_le_bytes(words: Words) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    bytes
}
