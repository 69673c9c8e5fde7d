//! What a worker does when the kernel was found to compute wrongly: `trust.md` §6.2. Alone in its process, whose kernel it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod world;

use holdfast_gate::Level;
use rustls::version;
use world::{Device, World, client_config, connect_packet, fact};

/// The device was here, and is gone.
fn visit(world: &mut World, device: &Device, id: &str) {
    let gone = world.admit(device, id, &version::TLS13);
    let requests = world.gate.lost(gone.handle, world.now);
    world.log.extend(requests);
}

#[test]
fn whoever_came_in_by_the_kernels_word_has_to_come_again_and_proves_its_key_to_aws_lc_rs() {
    let mut world = World::new();
    world.gate.share_identities();
    let (doubted, sound) = (world.tech.device("widget-1"), world.tech.device("widget-2"));
    visit(&mut world, &doubted, "widget-1");
    let mut by_kernel = world.admit(&doubted, "widget-1", &version::TLS13);
    let by_library = world.admit(&sound, "widget-2", &version::TLS13);
    // One more has its proof behind it, and its CONNECT before it.
    let third = world.tech.device("widget-3");
    visit(&mut world, &third, "widget-3");
    let mut half_way = world.connect(&client_config(Some(&third), &version::TLS13));
    world.run(&mut half_way);
    // Two keys of one device, both of which have a strip: where they take the pin from each other, aws-lc-rs has checked the proof.
    let (old, new) = (world.tech.device("widget-5"), world.tech.device("widget-5"));
    for key in [&old, &new] {
        visit(&mut world, key, "widget-5");
    }
    let mut confirmed = world.admit(&old, "widget-5", &version::TLS13);
    let (sixth, seventh) = (world.tech.device("widget-6"), world.tech.device("widget-6"));
    for key in [&sixth, &seventh] {
        visit(&mut world, key, "widget-6");
    }
    let mut half_way_to_a_pin = world.connect(&client_config(Some(&sixth), &version::TLS12));
    world.run(&mut half_way_to_a_pin);
    assert_eq!(world.gate.counters()["possessions_by_kernel"], 4);
    assert!(world.gate.tickets() > 0);
    let told = world.gate.take_admissions();
    assert!(told.iter().all(|told| told.ticket.is_some()));
    // One that the others have not heard of when the kernel goes off.
    let fourth = world.tech.device("widget-4");
    let _untold = world.admit(&fourth, "widget-4", &version::TLS13);

    holdfast_engine::switch_kernel_off();
    world.log.clear();
    world.tick_after(1);
    world.run(&mut by_kernel);
    world.run(&mut confirmed);
    assert!(confirmed.error.is_none());
    assert_eq!((world.gate.sessions(), world.gate.tickets()), (3, 0));
    assert!(world.gate.take_admissions().iter().all(|told| told.ticket.is_none()), "nobody is told of a ticket");
    world.placed(false, &told);
    assert_eq!(world.gate.tickets(), 0, "nor is one taken from anybody");
    assert!(by_library.error.is_none());
    assert_eq!(world.closed(), ["kernel_doubted"]);
    let notes = world.notes("kernel_doubted");
    assert_eq!((notes.len(), notes[0].level, fact(notes[0], "ended")), (1, Level::Critical, "1".to_owned()));
    half_way.say(&connect_packet("widget-3"));
    world.run(&mut half_way);
    assert_eq!((half_way.read.as_slice(), world.codes()), (&[0x20, 2, 0, 3][..], vec!["kernel_doubted".to_owned()]));
    world.log.clear();
    half_way_to_a_pin.say(&connect_packet("widget-6"));
    world.run(&mut half_way_to_a_pin);
    assert_eq!((world.codes().len(), world.claims()), (0, 1), "it is aws-lc-rs's word that counts");

    world.log.clear();
    for _ in 0..3 {
        visit(&mut world, &doubted, "widget-1");
        world.tick_after(1);
    }
    assert_eq!(world.gate.counters()["possessions_by_kernel"], 4, "it is never asked again");
    assert_eq!(world.notes("kernel_doubted").len(), 0, "and it was said once");
}
