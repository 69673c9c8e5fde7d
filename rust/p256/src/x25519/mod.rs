//! X25519 (RFC 7748), several multiplications at once: for a server that has several handshakes waiting.
//!
//! ```text
//! pairs ──► ladder ── over any field: floating (AVX2, four lanes), integers (AVX-512 IFMA, eight) ──► products
//! ```
//!
//! Unlike the rest of the crate this has secrets. Everything takes constant time: no branch and no address depends on a scalar or a
//! coordinate. There is no back end for every machine: where there is none, the caller's library does one at a time as well.

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "SIMD instructions")]
mod avx2;
mod field;
mod floating;
mod integers;
mod ladder;

#[cfg(test)]
mod emulated;
#[cfg(test)]
mod tests;

use std::fmt;

use zeroize::Zeroizing;

use crate::lanes::LANES_MAX;
use crate::words::{self, Words};
use field::Field;
#[cfg(target_arch = "x86_64")]
use {crate::ifma::Ifma, avx2::Avx2, floating::Floats, integers::Integers};

/// The u-coordinate of the base point: its multiple is the scalar's public key. RFC 7748 §6.1.
pub const BASE: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[0] = 9;
    bytes
};

/// One multiplication. Not to be printed, as it has a secret.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it has a secret")]
pub struct Pair<'a> {
    /// The secret scalar: any 32 octets. RFC 7748 §5 says which bits count.
    pub scalar: &'a [u8; 32],
    /// The u-coordinate of the point: any 32 octets. The highest bit does not count, and a number of p or more is taken modulo p (§5).
    pub u: &'a [u8; 32],
}

/// The instructions that a machine has, with the proof, and the arithmetic for them.
#[derive(Clone, Copy, Debug)]
enum Engine {
    #[cfg(target_arch = "x86_64")]
    Avx2(Floats<Avx2>),
    #[cfg(target_arch = "x86_64")]
    Ifma(Integers<Ifma>),
}

/// Runs the expression with `$field` bound to the arithmetic.
macro_rules! with_field {
    ($engine:expr, $field:ident => $body:expr) => {
        match $engine {
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2($field) => $body,
            #[cfg(target_arch = "x86_64")]
            Engine::Ifma($field) => $body,
        }
    };
}

/// A multiplier that has passed its test. For any number of threads.
#[derive(Clone, Copy, Debug)]
pub struct X25519(Engine);

/// The name of the instructions.
impl fmt::Display for X25519 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Engine::Ifma(_) => "ifma",
        })
    }
}

impl X25519 {
    /// The best that this machine has, if it has any, and if known answers come out of each lane: a machine that gives others is not tried
    /// with other instructions. Cost: eight multiplications of all lanes, half a millisecond. Keep it.
    pub fn detect() -> Option<Self> {
        engines().next().map(Self).filter(|multiplier| multiplier.is_sound())
    }

    /// How many multiplications cost as much as one.
    pub fn lanes(&self) -> usize {
        with_field!(self.0, field => lanes(field))
    }

    /// The products, one a pair, in order; wiped when dropped. In groups of `lanes`, each of which costs the same whether full or not.
    ///
    /// A product is zero exactly if the point's order divides 8, and then says nothing of the scalar's owner: whoever agrees on a key
    /// refuses it (RFC 7748 §6.1, RFC 8446 §7.4.2). It is not refused here.
    pub fn multiply(&self, pairs: &[Pair<'_>]) -> Zeroizing<Vec<[u8; 32]>> {
        with_field!(self.0, field => multiply(field, pairs))
    }

    /// Whether each lane gives each known answer, beside lanes that are to give others.
    fn is_sound(self) -> bool {
        let known = KNOWN.map(|numbers| numbers.map(words::to_le_bytes));
        (0..self.lanes()).all(|first| {
            let mut known = known;
            known.rotate_left(first);
            let pairs = known.each_ref().map(|[scalar, u, _]| Pair { scalar, u });
            let products = known.map(|[_, _, product]| product);
            products
                .chunks(self.lanes())
                .zip(pairs.chunks(self.lanes()))
                .all(|(products, pairs)| *self.multiply(pairs) == products)
        })
    }
}

/// What this machine has, best first.
fn engines() -> impl Iterator<Item = Engine> {
    #[cfg(target_arch = "x86_64")]
    let engines = [
        Ifma::detect().map(|ifma| Engine::Ifma(Integers(ifma))),
        Avx2::detect().map(|avx2| Engine::Avx2(Floats(avx2))),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let engines: [Option<Engine>; 0] = [];
    engines.into_iter().flatten()
}

fn lanes<F: Field>(_: F) -> usize {
    F::LANES
}

fn multiply<F: Field>(field: F, pairs: &[Pair<'_>]) -> Zeroizing<Vec<[u8; 32]>> {
    // Never longer than that, so nothing is left where it was before.
    let mut products = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for pairs in pairs.chunks(F::LANES) {
        let (mut swaps, mut us) = (Zeroizing::new([[0; 4]; LANES_MAX]), [[0; 4]; LANES_MAX]);
        for (lane, pair) in pairs.iter().enumerate() {
            swaps[lane] = ladder::swaps(words::from_le_bytes(pair.scalar));
            us[lane] = words::from_le_bytes(pair.u);
            us[lane][3] &= u64::MAX >> 1;
        }
        let multiples = Zeroizing::new(ladder::multiply(field, &swaps, &us));
        products.extend(multiples.iter().take(pairs.len()).map(|multiple| words::to_le_bytes(*multiple)));
    }
    products
}

/// Scalar, u-coordinate and product, all of RFC 7748.
const KNOWN: [[Words; 3]; 8] = [
    // §5.2, the first.
    [
        [0x9d7c_52f0_6be3_46a5, 0xdd5e_4682_4b15_163b, 0x185a_fcc1_0a4c_1462, 0xc49a_44ba_4422_6a50],
        [0xdb30_3058_6768_dbe6, 0x7c5f_b124_a4c1_9435, 0x3b35_b326_ec24_6672, 0x4c1c_abd0_a603_a910],
        [0x90c6_e99d_3755_dac3, 0x4f08_8df2_4dea_948e, 0xf771_1c49_03cf_ec32, 0x5285_a277_5507_b454],
    ],
    // §5.2, the second.
    [
        [0x3c67_b4d1_d4e9_664b, 0xf56a_7d95_9126_d25a, 0xd401_eae0_2164_1bc1, 0x0dba_1879_9e16_a42c],
        [0xd311_6878_120f_21e5, 0x2cae_3805_9d95_b7f4, 0x3e3c_c06f_10e7_db31, 0x93a4_15c7_49d5_4cfc],
        [0x7d90_e876_94de_cb95, 0xf873_b8b4_5ce4_ad7a, 0x52a1_9f79_685a_598b, 0x5779_ac7a_64f7_f8e6],
    ],
    // §5.2, once iterated.
    [
        [9, 0, 0, 0],
        [9, 0, 0, 0],
        [0xbcd7_2762_7a8e_2c42, 0x9f27_b72b_3e0b_35a1, 0x784b_85b6_7bb8_9778, 0x7930_ae11_03e8_603c],
    ],
    // §6.1: Alice's public key.
    [
        [0x7da5_1873_0a6d_0777, 0x4566_b251_72c1_163c, 0x2a99_c0eb_872f_4cdf, 0x2a2c_b91d_a5fb_77b1],
        [9, 0, 0, 0],
        [0x54a7_3089_09f0_2085, 0x5af7_3eb4_dc7d_8b74, 0xf41a_3826_0d3a_bf0d, 0x6a4e_9baa_8ea9_a4eb],
    ],
    // Bob's.
    [
        [0x4b8a_4a62_7e08_ab5d, 0xe60e_8083_8b7f_e179, 0xfdb6_1826_29b1_3b6f, 0xebe0_88ff_278b_2f1c],
        [9, 0, 0, 0],
        [0xb4c1_7d7b_7ddb_9ede, 0x3735_e4ec_c261_5bd3, 0x4d67_785b_c843_833f, 0x4f2b_886f_147e_fcad],
    ],
    // What Alice computes.
    [
        [0x7da5_1873_0a6d_0777, 0x4566_b251_72c1_163c, 0x2a99_c0eb_872f_4cdf, 0x2a2c_b91d_a5fb_77b1],
        [0xb4c1_7d7b_7ddb_9ede, 0x3735_e4ec_c261_5bd3, 0x4d67_785b_c843_833f, 0x4f2b_886f_147e_fcad],
        [0xe12d_cea4_5b9d_5d4a, 0x250f_3580_f43b_8e72, 0x339e_d147_c921_7ee0, 0x4217_161e_3c9b_f076],
    ],
    // What Bob computes.
    [
        [0x4b8a_4a62_7e08_ab5d, 0xe60e_8083_8b7f_e179, 0xfdb6_1826_29b1_3b6f, 0xebe0_88ff_278b_2f1c],
        [0x54a7_3089_09f0_2085, 0x5af7_3eb4_dc7d_8b74, 0xf41a_3826_0d3a_bf0d, 0x6a4e_9baa_8ea9_a4eb],
        [0xe12d_cea4_5b9d_5d4a, 0x250f_3580_f43b_8e72, 0x339e_d147_c921_7ee0, 0x4217_161e_3c9b_f076],
    ],
    // §6.1: a point of small order gives zero.
    [
        [0x9d7c_52f0_6be3_46a5, 0xdd5e_4682_4b15_163b, 0x185a_fcc1_0a4c_1462, 0xc49a_44ba_4422_6a50],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ],
];
