//! What a session holds in memory, as an allocator counts it: real handshakes in memory, then every client dropped. One figure a line.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a tool: it fails by panicking"
)]

#[path = "../tests/world/mod.rs"]
mod world;

use rustls::SupportedProtocolVersion;
use world::{BOTH, World};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SESSIONS: usize = 1_000;

fn main() {
    let _profiler = dhat::Profiler::builder().testing().build();
    println!("Session, the struct {}", size_of::<holdfast_session::Session>());
    for (version, name) in BOTH.into_iter().zip(["1.2", "1.3"]) {
        let (bytes, blocks) = idle(version);
        println!("heap of an idle session, struct included, TLS {name} {bytes:.0}");
        println!("blocks of it, TLS {name} {blocks:.1}");
    }
}

/// Bytes and blocks that stay for each session, everything else gone.
fn idle(version: &'static SupportedProtocolVersion) -> (f64, f64) {
    let mut world = World::new();
    let device = |world: &World, number: usize| (world.tech.device(&format!("w{number}")), format!("w{number}"));
    let (first, id) = device(&world, SESSIONS);
    drop(world.admit(&first, &id, version));
    let devices: Vec<_> = (0..SESSIONS).map(|number| device(&world, number)).collect();
    world.log = Vec::new();
    let before = dhat::HeapStats::get();
    for (device, id) in &devices {
        drop(world.admit(device, id, version));
        world.log = Vec::new();
    }
    let after = dhat::HeapStats::get();
    assert_eq!(world.gate.sessions(), SESSIONS + 1);
    let per_session = |after: usize, before: usize| (after - before) as f64 / SESSIONS as f64;
    (per_session(after.curr_bytes, before.curr_bytes), per_session(after.curr_blocks, before.curr_blocks))
}
