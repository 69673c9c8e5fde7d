//! The instructions of AVX2 and FMA: four lanes. Beside `ifma` the one file with `unsafe`.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_add_pd, _mm256_and_si256, _mm256_blendv_pd, _mm256_castpd_si256 as bits,
    _mm256_castsi256_pd as floats, _mm256_fmadd_pd, _mm256_set1_epi64x, _mm256_sllv_epi64, _mm256_srlv_epi64,
    _mm256_sub_epi64, _mm256_sub_pd,
};

use crate::instructions::{Floating, Instructions};
use crate::lanes::LANES_MAX;

type Vector = __m256i;

/// Four lanes. A value exists only where the instructions do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The instructions, if this CPU and operating system have them.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

/// Compiles `work`, and what is inlined into it, for the instructions.
#[target_feature(enable = "avx2,fma")]
fn with_instructions<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Methods that are one instruction each.
macro_rules! instructions {
    ($($name:ident($($argument:ident: $type:ty),*) = $intrinsic:expr;)*) => { $(
        #[inline(always)]
        fn $name(self, $($argument: $type),*) -> Vector {
            // SAFETY: these take and give registers only; all they need is that the CPU has the instruction, and `self` exists only
            // where `detect` found it so.
            unsafe { $intrinsic }
        }
    )* };
}

impl Instructions for Avx2 {
    const LANES: usize = 4;
    type Vector = Vector;

    #[inline(always)]
    fn run<T>(self, work: impl FnOnce() -> T) -> T {
        // SAFETY: the features that it is compiled for are those that `detect` found.
        unsafe { with_instructions(work) }
    }

    #[inline(always)]
    fn vector(self, [a, b, c, d, ..]: [u64; LANES_MAX]) -> Vector {
        // SAFETY: both are 32 bytes of integers, for which every pattern of bits is a value.
        unsafe { core::mem::transmute([a, b, c, d]) }
    }

    #[inline(always)]
    fn numbers(self, vector: Vector) -> [u64; LANES_MAX] {
        // SAFETY: both are 32 bytes of integers, for which every pattern of bits is a value.
        let [a, b, c, d]: [u64; 4] = unsafe { core::mem::transmute(vector) };
        [a, b, c, d, 0, 0, 0, 0]
    }

    #[inline(always)]
    fn constant(self, number: u64) -> Vector {
        self.vector([number; LANES_MAX])
    }

    instructions! {
        add(a: Vector, b: Vector) = _mm256_add_epi64(a, b);
        sub(a: Vector, b: Vector) = _mm256_sub_epi64(a, b);
        and(a: Vector, b: Vector) = _mm256_and_si256(a, b);
        shift_left(a: Vector, by: u32) = _mm256_sllv_epi64(a, _mm256_set1_epi64x(by.into()));
        shift_right(a: Vector, by: u32) = _mm256_srlv_epi64(a, _mm256_set1_epi64x(by.into()));
        // The blend of floating-point numbers looks at a bit and moves bits: it does not compute.
        select(by: Vector, clear: Vector, set: Vector) = bits(_mm256_blendv_pd(floats(clear), floats(set), floats(by)));
    }
}

impl Floating for Avx2 {
    instructions! {
        float_add(a: Vector, b: Vector) = bits(_mm256_add_pd(floats(a), floats(b)));
        float_sub(a: Vector, b: Vector) = bits(_mm256_sub_pd(floats(a), floats(b)));
        float_mul_add(a: Vector, b: Vector, c: Vector) = bits(_mm256_fmadd_pd(floats(a), floats(b), floats(c)));
    }
}
