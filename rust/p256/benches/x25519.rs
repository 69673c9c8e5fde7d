//! X25519 in lanes against aws-lc, interleaved: from octets to octets, one core.
//!
//! `cargo bench --package holdfast-p256 --bench x25519`. A round measures the peer, then one row, then the peer again; the row's ratio is the
//! time of the two peers' slices over its own. Each row has its quartiles over the rounds. Scalars and points change with each
//! multiplication, and every slice's last products are compared with the peer's.
#![allow(
    clippy::pedantic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a program to be read for its output"
)]

mod machine;

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519 as PEER, agree};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use holdfast_p256::x25519::{BASE, Pair, X25519};

const ROUNDS: usize = 601;
/// Multiplications of the peer in a slice.
const PEERS: usize = 8;
/// Groups of ours in a slice.
const GROUPS: usize = 4;

fn octets() -> [u8; 32] {
    let mut octets = [0; 32];
    SystemRandom::new().fill(&mut octets).unwrap();
    octets
}

/// One multiplication. For an agreement the peer has its key pair made before; a public key it makes of the scalar, as it would of a random one.
struct Input {
    scalar: [u8; 32],
    parsed: PrivateKey,
    u: [u8; 32],
}

impl Input {
    fn new() -> Self {
        let scalar = octets();
        Self { scalar, parsed: PrivateKey::from_private_key(&PEER, &scalar).unwrap(), u: octets() }
    }

    fn agreed(&self) -> [u8; 32] {
        agree(&self.parsed, UnparsedPublicKey::new(&PEER, &self.u), (), |key| Ok(key.try_into().unwrap())).unwrap()
    }

    fn public(&self) -> [u8; 32] {
        let key = PrivateKey::from_private_key(&PEER, &self.scalar).unwrap();
        key.compute_public_key().unwrap().as_ref().try_into().unwrap()
    }
}

/// Microseconds that one of `count` takes.
fn time(count: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() / count as f64 * 1e6
}

/// `count` pairs at a time, whether all lanes have one or not.
fn measure(multiplier: X25519, inputs: &[Input], name: &str, count: usize, base: bool) {
    let peer = |input: &Input| if base { input.public() } else { input.agreed() };
    let (mut times, mut peers, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut inputs = inputs.iter().cycle();
    for _ in 0..ROUNDS {
        let slices: [Vec<&Input>; 2] = [(); 2].map(|()| inputs.by_ref().take(PEERS).collect());
        let peer_slice = |slice: &[&Input]| time(PEERS, || slice.iter().for_each(|input| _ = black_box(peer(input))));
        let groups: Vec<Vec<&Input>> = (0..GROUPS).map(|_| inputs.by_ref().take(count).collect()).collect();
        let mut last = None;
        let before = peer_slice(&slices[0]);
        let ours = time(GROUPS * count, || {
            for group in &groups {
                let u = |input: &'_ Input| if base { BASE } else { input.u };
                let us: Vec<_> = group.iter().map(|input| u(input)).collect();
                let pairs: Vec<_> = group.iter().zip(&us).map(|(input, u)| Pair { scalar: &input.scalar, u }).collect();
                last = Some(multiplier.multiply(&pairs));
            }
        });
        let after = peer_slice(&slices[1]);
        let wanted: Vec<_> = groups[GROUPS - 1].iter().map(|input| peer(input)).collect();
        assert_eq!(**last.as_ref().unwrap(), wanted);
        times.push(ours);
        peers.push((before + after) / 2.0);
        ratios.push((before + after) / 2.0 / ours);
    }
    let ([_, ours, _], [_, theirs, _]) = (machine::quartiles(times), machine::quartiles(peers));
    let [low, ratio, high] = machine::quartiles(ratios);
    println!(
        "{name:24} {ours:7.2} us each, the peer {theirs:7.2} us: {ratio:5.2} times the peer ({low:.2} to {high:.2})"
    );
}

fn main() {
    machine::describe();
    let mut multiplier = None;
    let detected = time(1, || multiplier = X25519::detect());
    let Some(multiplier) = multiplier else { return println!("no back end for this machine") };
    println!("{multiplier}: {} lanes, detected and tested in {detected:.0} us", multiplier.lanes());
    let inputs: Vec<_> = (0..1_024).map(|_| Input::new()).collect();
    for count in [1, 2, 4, 8] {
        measure(multiplier, &inputs, &format!("agreements, {count}"), count, false);
    }
    measure(multiplier, &inputs, &format!("public keys, {}", multiplier.lanes()), multiplier.lanes(), true);
}
