//! What one operation of a back end costs in cycles, beside what the instruction alone would.
//!
//! `cargo bench --package holdfast-p256 --bench arithmetic`. The crate's own modules are compiled into this program, since none of this
//! is public. Each figure is the best of many runs: the cost when nobody disturbs.
#![allow(
    dead_code,
    clippy::pedantic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    unsafe_code
)]

#[path = "../src/affine.rs"]
mod affine;
#[cfg(target_arch = "x86_64")]
#[path = "../src/ifma.rs"]
mod ifma;
#[path = "../src/instructions.rs"]
mod instructions;
#[path = "../src/inverse.rs"]
mod inverse;
#[path = "../src/jacobian.rs"]
mod jacobian;
#[path = "../src/lanes.rs"]
mod lanes;
mod machine;
#[path = "../src/montgomery.rs"]
mod montgomery;
#[path = "../src/portable.rs"]
mod portable;
#[path = "../src/words.rs"]
mod words;

use std::hint::black_box;
use std::time::Instant;

use jacobian::Point;
use lanes::{Element, Lanes};
use montgomery::{Field, Order};
use portable::Portable;

/// As many as a block has additions in its first level.
const STEPS: usize = 416;

/// Cycles for one of `STEPS` steps.
fn cycles(clock: f64, mut run: impl FnMut()) -> f64 {
    let one = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64() / STEPS as f64 * 1e9 * clock
    };
    (0..2_000).map(|_| one(&mut run)).fold(f64::INFINITY, f64::min)
}

fn operations<L: Lanes>(name: &str, lanes: L) {
    let clock = machine::gigahertz();
    let count = L::COUNT as f64;
    let print =
        |what: &str, cycles: f64| println!("{name:9} {what:46} {cycles:8.1} cycles {:8.1} a lane", cycles / count);
    let many: Vec<Element<L>> = (1..=16).map(|seed| lanes.coordinates(&[[seed, 5, 7, 9]; 8])).collect();

    let mut value = many[0];
    print(
        "multiplication, each after the last",
        cycles(clock, || {
            lanes.run(
                #[inline(always)]
                || {
                    let mut product = value;
                    for _ in 0..STEPS {
                        product = lanes.mul(&product, &many[1]);
                    }
                    value = product;
                },
            );
        }),
    );
    let mut values = many.clone();
    print(
        "multiplication, independent",
        cycles(clock, || {
            lanes.run(
                #[inline(always)]
                || {
                    for index in 0..STEPS {
                        let value = &mut values[index % 16];
                        *value = lanes.mul(value, &many[index % 16]);
                    }
                },
            );
        }),
    );
    print(
        "squaring, independent",
        cycles(clock, || {
            lanes.run(
                #[inline(always)]
                || {
                    for index in 0..STEPS {
                        let value = &mut values[index % 16];
                        *value = lanes.square(value);
                    }
                },
            );
        }),
    );
    print(
        "difference, independent",
        cycles(clock, || {
            lanes.run(
                #[inline(always)]
                || {
                    for index in 0..STEPS {
                        values[index % 16] = lanes.difference(&many[index % 16], &many[(index + 1) % 16]);
                    }
                },
            );
        }),
    );
    let mut points = [Point::<L> { x: many[0], y: many[1], z: many[2] }; 4];
    print(
        "doubling",
        cycles(clock, || {
            lanes.run(
                #[inline(always)]
                || {
                    for index in 0..STEPS {
                        points[index % 4] = points[index % 4].double(lanes);
                    }
                },
            );
        }),
    );
    print(
        "mixed addition",
        cycles(clock, || {
            lanes.run(
                #[inline(always)]
                || {
                    for index in 0..STEPS {
                        points[index % 4] = points[index % 4].add_affine(lanes, &[many[3], many[4]]);
                    }
                },
            );
        }),
    );
    let mut sums =
        Sums::<L> { points: (0..2 * STEPS).map(|index| [many[index % 16], many[(index + 5) % 16]]).collect() };
    let mut memory = affine::Memory::new();
    print("affine addition, inversion shared", cycles(clock, || affine::add_all(lanes, STEPS, &mut sums, &mut memory)));
    let scalar = lanes.load::<Order>(&[[3, 1, 4, 1]; 8]);
    let (mut x, mut s) = (many[0], scalar);
    print(
        "inversion modulo p",
        cycles(clock, || {
            lanes.run(
                #[inline(always)]
                || {
                    for _ in 0..STEPS {
                        x = lanes.invert::<Field>(&x);
                    }
                },
            );
        }),
    );
    print(
        "inversion modulo n",
        cycles(clock, || {
            lanes.run(
                #[inline(always)]
                || {
                    for _ in 0..STEPS {
                        s = lanes.invert::<Order>(&s);
                    }
                },
            );
        }),
    );
    black_box((value, values, points, x, s));
}

/// Sums of neighbouring points, put back where the first one was, which then differ from all others again.
struct Sums<L: Lanes> {
    points: Vec<jacobian::Affine<L>>,
}

impl<L: Lanes> affine::Additions<L> for Sums<L> {
    const SIGNED: bool = false;

    #[inline(always)]
    fn x(&self, index: usize) -> [Element<L>; 2] {
        [self.points[2 * index][0], self.points[2 * index + 1][0]]
    }

    #[inline(always)]
    fn rest(&self, index: usize) -> [Element<L>; 3] {
        [self.points[2 * index][0], self.points[2 * index][1], self.points[2 * index + 1][1]]
    }

    fn report(&mut self, _index: usize, _lanes: lanes::Mask) {}

    #[inline(always)]
    fn store(&mut self, index: usize, sum: jacobian::Affine<L>) {
        self.points[2 * index] = sum;
    }
}

/// The multiplier alone: independent chains of what the whole multiplication is made of, as fast as the processor starts them.
#[cfg(target_arch = "x86_64")]
fn instruction(lanes: ifma::Ifma) {
    let clock = machine::gigahertz();
    let [a, b, ..] = lanes.one::<Field>().0;
    let mut sums = [a; 8];
    let cycles = cycles(clock, || {
        lanes.run(
            #[inline(always)]
            || {
                let mut chains = sums;
                for _ in 0..STEPS / 8 {
                    for chain in &mut chains {
                        *chain = lanes.add_low_product(*chain, a, b);
                    }
                }
                sums = chains;
            },
        );
    });
    black_box(sums);
    println!("ifma      one VPMADD52LUQ of 512 bits {cycles:32.2} cycles; a multiplication has 60, a squaring 60");
}

fn main() {
    machine::describe();
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = ifma::Ifma::detect() {
        instruction(lanes);
        operations("ifma", lanes);
    }
    operations("portable", Portable);
}
