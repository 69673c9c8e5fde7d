//! Whatever an admitted device says, or one that is about to be: its packets are answered, or the session ends; messages are its own,
//! and never more of them unacknowledged than allowed.
#![no_main]

use holdfast_fuzz::Input;
use holdfast_fuzz::world::{BOTH, World, client_config};
use holdfast_gate::{Limits, Request};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut limits = Limits::default();
    limits.session.unacknowledged_count_max = 4;
    limits.session.packet_bytes_max = 4_096;
    let mut world = World::with_limits(limits);
    let device = world.tech.device("w1");
    let mode = input.byte();
    let version = BOTH[usize::from(mode & 1)];
    let mut client = if mode & 2 == 0 {
        world.admit(&device, "w1", version)
    } else {
        world.connect(&client_config(Some(&device), version))
    };
    let piece = input.piece();
    client.say(input.0);
    world.run_in_pieces(&mut client, piece);
    let mut unacknowledged = 0;
    for request in &world.log {
        match request {
            Request::Store { device_id, telemetry, .. } => {
                assert_eq!(&**device_id, "w1");
                unacknowledged += usize::from(telemetry.packet_id != 0);
            }
            Request::Claim(claim) => assert_eq!(claim.device_id, "w1"),
            _ => {}
        }
    }
    assert!(unacknowledged <= 4, "{unacknowledged} messages in hand");
    let requests = world.gate.lost(client.handle, world.now);
    world.log.extend(requests);
    assert_eq!((world.gate.connections(), world.gate.sessions()), (0, 0));
});
