//! Division modulo a prime by 2-adic division steps. Bernstein and Yang, "Fast constant-time gcd computation and modular
//! inversion", TCHES 2019(3), §8 and §11; here in variable time, since a verifier has no secrets.
//!
//! One step takes (δ, f, g), f odd, to
//!   (1 − δ, g, (g − f) / 2)              if δ > 0 and g is odd,
//!   (1 + δ, f, (g + (g mod 2)·f) / 2)    otherwise.
//! From f = m and g = x < m < 2^256 it reaches g = 0, f = ±gcd = ±1, after at most ⌊(49·256 + 57) / 17⌋ = 741 steps (§11).
//! What a step does depends on the low bits only. So 62 steps are first run on the low words, which gives a matrix of small
//! integers with 2^62·(f', g') = (u v; q r)·(f, g), and the matrix is then applied to the long numbers. The same matrix,
//! divided by 2^62 modulo m, is applied to (d, e), which keeps f ≡ d·x/c and g ≡ e·x/c from d = 0 and e = c on.
//!
//! Bounds. |u| + |v| ≤ 2^62 and |q| + |r| ≤ 2^62, since a step at most doubles a row's norm; so |f|, |g| ≤ m always. Making
//! u·d + v·e divisible adds at most 2^61·m before the division, so after k rounds |d|, |e| ≤ (1 + k/2)·m: at most 7m < 2^259
//! after the last of 12, which fits in five signed limbs of 62 bits. A sum of products is below 2·2^62·2^62 in magnitude.

use crate::montgomery::Modulus;
use crate::words::{self, Words};

const LIMB_BITS: u32 = 62;
const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;
/// 12 rounds of 62 steps are 744.
const ROUNDS_MAX: u32 = 12;

/// Σ `limb[i]`·2^(62·i): all limbs but the last in 0..2^62, the last one with the sign.
type Long = [i64; 5];

/// `c / x` modulo `M`; zero if `x` is zero. Both are below `M`.
pub(crate) fn divide<M: Modulus>(c: Words, x: Words) -> Words {
    let modulus = const { to_long(M::M) };
    let inverse = const { M::NEGATED_INVERSE.wrapping_neg() & LIMB_MASK };
    let (mut delta, mut f, mut g) = (1, modulus, to_long(x));
    let (mut d, mut e) = ([0; 5], to_long(c));
    let mut rounds = 0;
    while g != [0; 5] && rounds < ROUNDS_MAX {
        let matrix;
        (delta, matrix) = steps(delta, low(f), low(g));
        (f, g) = (combine(matrix[0], f, g), combine(matrix[1], f, g));
        (d, e) = (combine_modulo(matrix[0], d, e, modulus, inverse), combine_modulo(matrix[1], d, e, modulus, inverse));
        rounds += 1;
    }
    debug_assert!(g == [0; 5] && (f == [1, 0, 0, 0, 0] || f[4] < 0 || f == modulus), "the bound on steps holds");
    reduce(if f[4] < 0 { negate(d) } else { d }, M::M)
}

/// The lowest 64 bits.
#[expect(clippy::cast_sign_loss, reason = "two's complement is wanted")]
fn low(long: Long) -> u64 {
    (long[0] as u64) | ((long[1] as u64) << LIMB_BITS)
}

/// 62 steps on the low words: the new δ, and the matrix by rows.
#[expect(clippy::cast_possible_wrap, reason = "entries are signed, words are not: arithmetic modulo 2^64 agrees")]
fn steps(mut delta: i64, mut f: u64, mut g: u64) -> (i64, [[i64; 2]; 2]) {
    // The entries as words modulo 2^64; they are within ±2^62.
    let (mut u, mut v, mut q, mut r) = (1u64, 0u64, 0u64, 1u64);
    let mut left = LIMB_BITS;
    loop {
        // Even g: halve it as often as it can be. Instead of dividing a row by two, the other row is doubled.
        let zeros = (g | (1 << left)).trailing_zeros();
        (g, u, v) = (g >> zeros, u << zeros, v << zeros);
        delta += i64::from(zeros);
        left -= zeros;
        if left == 0 {
            return (delta, [[u as i64, v as i64], [q as i64, r as i64]]);
        }
        // Odd g, δ > 0: the rows change places. The halving that belongs to the step comes with the next zeros.
        if delta > 0 {
            delta = -delta;
            (f, g) = (g, f.wrapping_neg());
            (u, q) = (q, u.wrapping_neg());
            (v, r) = (r, v.wrapping_neg());
        }
        // f stays for the next 1 − δ steps, so one multiple of it can clear that many bits of g, here at most 6:
        // f·(2 − f²) is the inverse of f modulo 2^6, because f² ≡ 1 modulo 8.
        let bits = left.min(6).min(u32::try_from(1 - delta).unwrap_or(6));
        let negated_inverse = f.wrapping_mul(f.wrapping_mul(f).wrapping_sub(2));
        let multiple = g.wrapping_mul(negated_inverse) & ((1 << bits) - 1);
        g = g.wrapping_add(multiple.wrapping_mul(f));
        q = q.wrapping_add(multiple.wrapping_mul(u));
        r = r.wrapping_add(multiple.wrapping_mul(v));
    }
}

/// `(row · (a, b)) / 2^62`, which divides.
fn combine(row: [i64; 2], a: Long, b: Long) -> Long {
    let mut sum = product(row[0], a[0]).wrapping_add(product(row[1], b[0]));
    debug_assert!(sum.trailing_zeros() >= LIMB_BITS, "the steps cleared 62 bits");
    let mut result = [0; 5];
    for index in 1..5 {
        sum = (sum >> LIMB_BITS).wrapping_add(product(row[0], a[index])).wrapping_add(product(row[1], b[index]));
        result[index - 1] = limb(sum);
    }
    result[4] = top(sum);
    result
}

/// `(row · (a, b)) / 2^62` modulo `modulus`, of which a multiple in ±2^61 is added first so that it divides.
fn combine_modulo(row: [i64; 2], a: Long, b: Long, modulus: Long, inverse: u64) -> Long {
    let mut sum = product(row[0], a[0]).wrapping_add(product(row[1], b[0]));
    let multiple = centred(inverse.wrapping_mul(limb(sum).cast_unsigned()));
    sum = sum.wrapping_sub(product(multiple, modulus[0]));
    debug_assert!(sum.trailing_zeros() >= LIMB_BITS, "the multiple clears 62 bits");
    let mut result = [0; 5];
    for index in 1..5 {
        sum = (sum >> LIMB_BITS).wrapping_add(product(row[0], a[index])).wrapping_add(product(row[1], b[index]));
        sum = sum.wrapping_sub(product(multiple, modulus[index]));
        result[index - 1] = limb(sum);
    }
    result[4] = top(sum);
    result
}

fn product(a: i64, b: i64) -> i128 {
    i128::from(a).wrapping_mul(i128::from(b))
}

/// The lowest 62 bits.
#[expect(clippy::cast_possible_truncation, reason = "the low limb is wanted")]
fn limb(sum: i128) -> i64 {
    (sum as i64) & LIMB_MASK.cast_signed()
}

/// What is left above the lowest 62 bits.
#[expect(clippy::cast_possible_truncation, reason = "the numbers are below 2^259, so their top limb is below 2^12")]
fn top(sum: i128) -> i64 {
    (sum >> LIMB_BITS) as i64
}

/// The lowest 62 bits, read as a number in −2^61..2^61.
fn centred(word: u64) -> i64 {
    (word << 2).cast_signed() >> 2
}

const fn to_long(words: Words) -> Long {
    [
        (words[0] & LIMB_MASK).cast_signed(),
        ((words[0] >> 62 | words[1] << 2) & LIMB_MASK).cast_signed(),
        ((words[1] >> 60 | words[2] << 4) & LIMB_MASK).cast_signed(),
        ((words[2] >> 58 | words[3] << 6) & LIMB_MASK).cast_signed(),
        (words[3] >> 56).cast_signed(),
    ]
}

fn negate(long: Long) -> Long {
    let mut carry = 0;
    let mut result = [0; 5];
    for index in 0..4 {
        let limb = carry - long[index];
        result[index] = limb & LIMB_MASK.cast_signed();
        carry = limb >> LIMB_BITS;
    }
    result[4] = carry - long[4];
    result
}

/// Into 0..`modulus`, from within seven times it.
fn reduce(long: Long, modulus: Words) -> Words {
    // Two's complement on five words.
    let [a, b, c, d, e] = long.map(i64::cast_unsigned);
    let mut words = [a | b << 62, b >> 2 | c << 60, c >> 4 | d << 58, d >> 6 | e << 56];
    let mut top = e.cast_signed() >> 8;
    while top < 0 {
        let (sum, carry) = words::add(words, modulus);
        (words, top) = (sum, top + i64::from(carry));
    }
    loop {
        let (difference, borrow) = words::sub(words, modulus);
        if top == 0 && borrow {
            return words;
        }
        (words, top) = (difference, top - i64::from(borrow));
    }
}
