//! What a worker does when the kernel was found to compute wrongly: `trust.md` §6.2. Alone in its process, whose kernel it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod world;

use holdfast_gate::Level;
use rustls::version;
use world::{World, client_config, connect_packet, fact};

#[test]
fn whoever_came_in_by_the_kernels_word_has_to_come_again_and_proves_its_key_to_aws_lc_rs() {
    let mut world = World::new();
    world.gate.share_identities();
    let (doubted, sound) = (world.tech.device("widget-1"), world.tech.device("widget-2"));
    let first = world.admit(&doubted, "widget-1", &version::TLS13);
    let requests = world.gate.lost(first.handle, world.now);
    world.log.extend(requests);
    let mut by_kernel = world.admit(&doubted, "widget-1", &version::TLS13);
    let by_library = world.admit(&sound, "widget-2", &version::TLS13);
    // One more has its proof behind it, and its CONNECT before it.
    let third = world.tech.device("widget-3");
    let gone = world.admit(&third, "widget-3", &version::TLS13);
    let requests = world.gate.lost(gone.handle, world.now);
    world.log.extend(requests);
    let mut half_way = world.connect(&client_config(Some(&third), &version::TLS13));
    world.run(&mut half_way);
    assert_eq!(world.gate.counters()["possessions_by_kernel"], 2);
    assert!(world.gate.tickets() > 0);
    let told = world.gate.take_admissions();
    assert!(told.iter().all(|(_, _, ticket)| ticket.is_some()));
    // One that the others have not heard of when the kernel goes off.
    let fourth = world.tech.device("widget-4");
    let _untold = world.admit(&fourth, "widget-4", &version::TLS13);

    holdfast_engine::switch_kernel_off();
    world.log.clear();
    world.tick_after(1);
    world.run(&mut by_kernel);
    assert_eq!((world.gate.sessions(), world.gate.tickets()), (2, 0));
    assert!(world.gate.take_admissions().iter().all(|(_, _, ticket)| ticket.is_none()), "nobody is told of a ticket");
    let from_others = told.iter().map(|(handle, id, ticket)| (false, *handle, &**id, *ticket));
    let requests = world.gate.fence(from_others.collect::<Vec<_>>(), world.now);
    world.log.extend(requests);
    assert_eq!(world.gate.tickets(), 0, "nor is one taken from anybody");
    assert!(by_library.error.is_none());
    assert_eq!(world.closed(), ["kernel_doubted"]);
    let notes = world.notes("kernel_doubted");
    assert_eq!((notes.len(), notes[0].level, fact(notes[0], "ended")), (1, Level::Critical, "1".to_owned()));
    half_way.say(&connect_packet("widget-3"));
    world.run(&mut half_way);
    assert_eq!((half_way.read.as_slice(), world.codes()), (&[0x20, 2, 0, 3][..], vec!["kernel_doubted".to_owned()]));

    for _ in 0..3 {
        let again = world.admit(&doubted, "widget-1", &version::TLS13);
        let requests = world.gate.lost(again.handle, world.now);
        world.log.extend(requests);
        world.tick_after(1);
    }
    assert_eq!(world.gate.counters()["possessions_by_kernel"], 2, "it is never asked again");
    assert_eq!(world.notes("kernel_doubted").len(), 1, "and it is said once");
}
