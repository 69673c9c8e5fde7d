//! Whatever strangers send, in whatever order, with whatever comes back late: nobody is claimed, stored or answered as a device, and
//! when all are gone nothing is left.
#![no_main]

use holdfast_fuzz::Input;
use holdfast_fuzz::world::{SOURCE, World};
use holdfast_gate::Request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut world = World::new();
    let mut handles: Vec<u64> = vec![0, u64::MAX];
    while !input.is_empty() {
        let handle = handles[usize::from(input.byte()) % handles.len()];
        let now = world.now;
        let requests = match input.byte() % 14 {
            0 => {
                let (opened, requests) = world.gate.open(SOURCE.parse().ok(), now);
                handles.extend(opened);
                requests
            }
            1..=4 => world.gate.receive(handle, input.block(), now),
            5 => world.gate.end_of_stream(handle, now),
            6 => world.gate.lost(handle, now),
            7 => world.gate.claimed(handle, [None, Some("identity_pinned"), Some("no such code")][input.below(3)], now),
            8 => world.gate.stored(&[(handle, u16::from(input.byte()), input.below(1 << 10))], now),
            9 => world.gate.hold(handle, input.flag(), now),
            10 => {
                world.now.monotonic_ms += u64::try_from(input.below(1 << 16)).unwrap_or(0);
                world.gate.tick(world.now)
            }
            11 | 12 => world.gate.turn(now),
            _ => {
                let (batch, requests) = world.gate.take_batch(now);
                assert!(batch.is_none(), "nobody has proven a key");
                requests
            }
        };
        world.log.extend(requests);
    }
    for handle in handles {
        let requests = world.gate.lost(handle, world.now);
        world.log.extend(requests);
    }
    assert_eq!((world.gate.connections(), world.gate.sessions()), (0, 0));
    assert!(!world.log.iter().any(|request| matches!(request, Request::Claim(_) | Request::Store { .. })));
});
