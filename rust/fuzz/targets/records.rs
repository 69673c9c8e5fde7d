//! An admitted device's records, changed on their way: what is stored is what it sent, from the first on and without a gap.
#![no_main]

use holdfast_fuzz::Input;
use holdfast_fuzz::edits::Edits;
use holdfast_fuzz::world::{BOTH, World, publish_packet};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut world = World::new();
    let device = world.tech.device("w1");
    let mut client = world.admit(&device, "w1", BOTH[input.below(2)]);
    let (piece, updates) = (input.piece(), input.byte());
    let mut edits = Edits::read(&mut input);
    let mut sent = Vec::new();
    for id in 1..=8 {
        if updates >> (id - 1) & 1 == 1 {
            // TLS 1.2 has no key updates, and says so.
            let _ = client.tls.refresh_traffic_keys();
        }
        client.say(&publish_packet("w1", id));
        while client.tls.wants_write() {
            client.tls.write_tls(&mut sent).expect("memory");
        }
    }
    let arrived = edits.apply(&sent);
    for piece in arrived.chunks(piece) {
        let requests = world.gate.receive(client.handle, piece, world.now);
        world.log.extend(requests);
    }
    let stored = world.stores();
    assert_eq!(stored, (1..=8).take(stored.len()).collect::<Vec<u16>>());
    assert!(arrived != sent || stored.len() == 8, "all of what was not changed is stored");
    let requests = world.gate.lost(client.handle, world.now);
    world.log.extend(requests);
    assert_eq!((world.gate.connections(), world.gate.sessions()), (0, 0));
});
