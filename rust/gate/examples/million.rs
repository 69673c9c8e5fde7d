//! `million [COUNT]`: so many sessions in one process, without sockets: real handshakes in memory, then every client dropped. What the
//! process holds for them, as the system counts it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a tool: it fails by panicking"
)]

#[path = "../tests/world/mod.rs"]
mod world;

use holdfast_gate::Limits;
use world::{BOTH, World};

const STEPS: usize = 10;

fn main() {
    let count: usize = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().unwrap());
    let mut limits = Limits::default();
    limits.connections_count_max = count + 1;
    // A device answers within its keep-alive; here nobody ever speaks again.
    limits.keep_alive_ms_max = u64::MAX / 2;
    let mut world = World::with_limits(limits);
    drop(world.admit(&world.tech.device("w"), "w", BOTH[1]));
    let before = resident_bytes();
    for number in 0..count {
        let id = format!("widget-{number:07}");
        let device = world.tech.device(&id);
        drop(world.admit(&device, &id, BOTH[1]));
        world.log = Vec::new();
        if (number + 1) % (count / STEPS).max(1) == 0 {
            let held = resident_bytes() - before;
            println!(
                "{} sessions, TLS 1.3: {held} bytes resident, {:.0} each",
                number + 1,
                held as f64 / (number + 1) as f64
            );
        }
    }
    assert_eq!(world.gate.sessions(), count + 1);
}

/// The second field of `/proc/self/statm` is in pages of 4 KiB where this is run.
fn resident_bytes() -> usize {
    let line = std::fs::read_to_string("/proc/self/statm").unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
