//! An honest device's handshake, changed on its way: whoever is admitted is that device by its own chain, and when it is gone nothing
//! is left.
#![no_main]

use holdfast_fuzz::Input;
use holdfast_fuzz::edits::Edits;
use holdfast_fuzz::world::{BOTH, World, client_config, connect_packet};
use holdfast_gate::Request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut world = World::new();
    let device = world.tech.device("w1");
    let mut client = world.connect(&client_config(Some(&device), BOTH[input.below(2)]));
    let piece = input.piece();
    client.say(&connect_packet("w1"));
    let mut edits = Edits::read(&mut input);
    for _ in 0..16 {
        world.deliver(&mut client);
        let mut sent = Vec::new();
        while client.tls.wants_write() {
            client.tls.write_tls(&mut sent).expect("memory");
        }
        for piece in edits.apply(&sent).chunks(piece) {
            let requests = world.gate.receive(client.handle, piece, world.now);
            world.log.extend(requests);
            world.take_turns();
        }
        let (batch, requests) = world.gate.take_batch(world.now);
        world.log.extend(requests);
        if let Some(batch) = batch {
            let requests = world.gate.deliver(batch.judge(), world.now);
            world.log.extend(requests);
        }
        world.tick_after(1);
        if let Some(index) = world.log.iter().position(|request| matches!(request, Request::Claim(_)))
            && let Request::Claim(claim) = world.log.remove(index)
        {
            assert_eq!((claim.device_id.as_str(), claim.path.len()), ("w1", 3));
            world.answer_claim(claim.handle, None);
        }
    }
    let requests = world.gate.lost(client.handle, world.now);
    world.log.extend(requests);
    assert_eq!((world.gate.connections(), world.gate.sessions(), world.stores().len()), (0, 0, 0));
});
