//! Whose proof of possession the kernel checks, and whose never: `trust.md` §1.1, §6.1, §6.2. Real TLS clients, without tickets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod world;

use holdfast_gate::Limits;
use rustls::{AlertDescription, Error, SupportedProtocolVersion, version};
use world::{BOTH, Ca, Device, World, client_config, connect_packet};

const CONNACK_YES: [u8; 4] = [0x20, 2, 0, 0];

fn by_kernel(world: &World) -> u64 {
    world.gate.counters().get("possessions_by_kernel").copied().unwrap_or(0)
}

fn world_of(limits: &Limits) -> World {
    let world = World::with_limits(*limits);
    world.tickets.set_keys(vec![]);
    world
}

/// One connection by a full handshake, which then ends: what the device read.
fn visit(world: &mut World, device: &Device, id: &str, version: &'static SupportedProtocolVersion) -> Vec<u8> {
    world.log.clear();
    let mut client = world.connect(&client_config(Some(device), version));
    client.say(&connect_packet(id));
    world.run(&mut client);
    if world.claims() > 0 {
        world.answer_claim(client.handle, None);
        world.run(&mut client);
    }
    let requests = world.gate.lost(client.handle, world.now);
    world.log.extend(requests);
    client.read
}

#[test]
fn a_device_that_comes_back_has_its_proof_checked_by_the_kernel() {
    for version in BOTH {
        let mut world = world_of(&Limits::default());
        let (device, other) = (world.tech.device("widget-1"), world.tech.device("widget-2"));
        for contact in 0..4 {
            assert_eq!(visit(&mut world, &device, "widget-1", version), CONNACK_YES);
            assert_eq!(by_kernel(&world), contact);
        }
        assert_eq!(visit(&mut world, &other, "widget-2", version), CONNACK_YES);
        assert_eq!(by_kernel(&world), 3, "a first admission is aws-lc-rs's");
    }
}

#[test]
fn o16_a_thief_of_a_known_devices_chain_fails_the_handshake() {
    for version in BOTH {
        let mut world = world_of(&Limits::default());
        let genuine = world.tech.device("widget-1");
        visit(&mut world, &genuine, "widget-1", version);
        let forged = Device { chain: genuine.chain.clone(), key: world.tech.device("widget-2").key };
        for _ in 0..3 {
            let mut client = world.connect(&client_config(Some(&forged), version));
            client.say(&connect_packet("widget-1"));
            world.run(&mut client);
            assert_eq!(client.error, Some(Error::AlertReceived(AlertDescription::DecryptError)));
            assert!(client.read.is_empty());
        }
        assert_eq!((world.codes(), world.gate.sessions()), (vec!["possession_failed".to_owned(); 3], 0));
        assert_eq!(by_kernel(&world), 0);
        assert_eq!(visit(&mut world, &genuine, "widget-1", version), CONNACK_YES);
        assert_eq!(by_kernel(&world), 1);
    }
}

#[test]
fn who_is_refused_gets_no_strip_however_often_it_comes() {
    let mut world = world_of(&Limits::default());
    let stranger = Ca::root("Elsewhere").device("widget-1");
    let misnamed = world.tech.device("widget-1");
    for _ in 0..3 {
        assert_ne!(visit(&mut world, &stranger, "widget-1", &version::TLS13), CONNACK_YES);
        assert_ne!(visit(&mut world, &misnamed, "widget-2", &version::TLS13), CONNACK_YES);
    }
    assert_eq!(by_kernel(&world), 0);
}

/// Its old key has a strip, so the kernel checks the proof; what moves a pin is that aws-lc-rs has checked it, too.
#[test]
fn a_key_that_is_not_the_pinned_one_is_proven_to_aws_lc_rs_though_it_has_a_strip() {
    let mut world = world_of(&Limits::default());
    let (old, new) = (world.tech.device("widget-1"), world.tech.device("widget-1"));
    assert_eq!(visit(&mut world, &old, "widget-1", &version::TLS13), CONNACK_YES);
    assert_eq!(visit(&mut world, &new, "widget-1", &version::TLS13), CONNACK_YES);
    for version in BOTH {
        let before = by_kernel(&world);
        for device in [&old, &new] {
            assert_eq!(visit(&mut world, device, "widget-1", version), CONNACK_YES);
            assert_eq!(world.claims(), 1);
        }
        assert_eq!(by_kernel(&world), before + 2);
    }
}

#[test]
fn a_closed_branch_refuses_whom_the_kernel_believes() {
    let mut world = world_of(&Limits::default());
    let device = world.tech.device("widget-1");
    assert_eq!(visit(&mut world, &device, "widget-1", &version::TLS13), CONNACK_YES);
    world.trust(2, &[Ca::root("Elsewhere").der]);
    assert_ne!(visit(&mut world, &device, "widget-1", &version::TLS13), CONNACK_YES);
    assert_eq!((by_kernel(&world), world.codes()), (1, vec!["unknown_issuer".to_owned()]));
}

#[test]
fn strips_are_bounded_and_can_be_turned_off() {
    for (count_max, wanted) in [(0, 0), (2, 1)] {
        let mut limits = Limits::default();
        limits.strips_count_max = count_max;
        let mut world = world_of(&limits);
        let (first, last) = (world.tech.device("widget-0"), world.tech.device("widget-9"));
        visit(&mut world, &first, "widget-0", &version::TLS13);
        for number in 1..4 {
            let id = format!("widget-{number}");
            let device = world.tech.device(&id);
            visit(&mut world, &device, &id, &version::TLS13);
        }
        visit(&mut world, &last, "widget-9", &version::TLS13);
        assert_eq!(visit(&mut world, &last, "widget-9", &version::TLS13), CONNACK_YES);
        assert_eq!(by_kernel(&world), 0, "no room was left");
        assert_eq!(visit(&mut world, &first, "widget-0", &version::TLS13), CONNACK_YES);
        assert_eq!(by_kernel(&world), wanted);
    }
}
