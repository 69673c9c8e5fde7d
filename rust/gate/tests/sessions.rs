//! What outlives a connection: sessions, messages, wills. Over real TLS, on a clock that the test moves.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

mod world;

use std::sync::Arc;

use holdfast_engine::sha256;
use holdfast_gate::{KeptWill, Limits, Message, Request};
use holdfast_roster::{KeptSession, NEVER, NO_KEY, Pin};
use holdfast_x509::{Certificate, Closures, UnixSeconds};
use rustls::version;
use world::{Client, Device, TODAY, World, client_config, connect_packet, connect_v5, fact, packet, text, untracked};

const ID: &str = "widget-1";
const INBOX: &str = "devices/widget-1/messages/devicebound/#";
const EVENTS: &str = "devices/widget-1/messages/events/";
/// Flags of CONNECT: nothing is to be dropped.
const DURABLE: u8 = 0;
const CLEAN: u8 = 2;

fn connect_v311(flags: u8) -> Vec<u8> {
    packet(0x10, &[text("MQTT"), vec![4, flags, 0, 60], text(ID)].concat())
}

/// A CONNECT with a will of `QoS` 1; `properties` are the CONNECT's, `delay` the will's. 3.1.1 has neither.
fn connect_with_will(level: u8, flags: u8, properties: &[u8], delay: Option<u8>, topic: &str) -> Vec<u8> {
    let counted = |bytes: &[u8]| [&[u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let will = delay.map_or(vec![], |seconds| vec![0x18, 0, 0, 0, seconds]);
    let (asked, of_will) = if level == 5 { (counted(properties), counted(&will)) } else { (vec![], vec![]) };
    let parts = [text("MQTT"), vec![level, flags | 0x0c, 0, 60], asked, text(ID), of_will, text(topic), text("gone")];
    packet(0x10, &parts.concat())
}

fn subscribe(version: u8) -> Vec<u8> {
    let properties: &[u8] = if version == 5 { &[0] } else { &[] };
    packet(0x82, &[&[0, 9], properties, &text(INBOX), &[1]].concat())
}

/// Connects `device`, its claim committed where there is one; the CONNACK is what it has read.
fn enter(world: &mut World, device: &Device, connect: &[u8]) -> Client {
    world.log.clear();
    let mut client = world.connect(&client_config(Some(device), &version::TLS13));
    client.say(connect);
    world.run(&mut client);
    if world.claims() > 0 {
        world.answer_claim(client.handle, None);
        world.run(&mut client);
    }
    client
}

fn kept(world: &mut World, client: &mut Client, code: Option<&str>) {
    let requests = world.gate.kept(client.handle, code, world.now);
    world.log.extend(requests);
    world.run(client);
}

/// A device with a durable session that is subscribed to its inbox.
fn subscribed(world: &mut World, device: &Device) -> Client {
    let mut client = enter(world, device, &connect_v311(DURABLE));
    client.say(&subscribe(4));
    world.run(&mut client);
    kept(world, &mut client, None);
    assert!(client.read.ends_with(&[0x90, 3, 0, 9, 1]));
    client.read.clear();
    world.log.clear();
    client
}

fn lose(world: &mut World, client: &Client) {
    let requests = world.gate.lost(client.handle, world.now);
    world.log.extend(requests);
}

/// What was to be kept of sessions, in order, with whoever waits for it.
fn keeps(world: &World) -> Vec<(u64, Option<KeptSession>)> {
    let keep = |request: &Request| match request {
        Request::Keep { handle, device_id, session } => {
            assert_eq!(&**device_id, ID);
            Some((*handle, *session))
        }
        _ => None,
    };
    world.log.iter().filter_map(keep).collect()
}

fn session(inbox_qos: Option<u8>, expiry_seconds: u32, ends: UnixSeconds) -> KeptSession {
    KeptSession { inbox_qos, expiry_seconds, ends }
}

fn after(seconds: i64) -> UnixSeconds {
    UnixSeconds(TODAY.0 + seconds)
}

fn pass(world: &mut World, seconds: u32) {
    world.now.unix.0 += i64::from(seconds);
    world.tick_after(u64::from(seconds) * 1_000);
}

fn fetches(world: &World) -> Vec<(u64, u64, usize)> {
    let fetch = |request: &Request| match request {
        Request::Fetch { handle, after, count_max, .. } => Some((*handle, *after, *count_max)),
        _ => None,
    };
    world.log.iter().filter_map(fetch).collect()
}

fn completed(world: &World) -> Vec<u64> {
    let complete = |request: &Request| match request {
        Request::Complete { message, .. } => Some(*message),
        _ => None,
    };
    world.log.iter().filter_map(complete).collect()
}

fn messages(numbers: std::ops::RangeInclusive<u16>) -> Vec<Message> {
    let message = |number| Message {
        id: 100 + u64::from(number),
        packet_id: number,
        redelivered: false,
        expires_at: None,
        system_properties: vec![],
        properties: vec![],
        payload: number.to_be_bytes().to_vec(),
    };
    numbers.map(message).collect()
}

fn wait_in_inbox(world: &mut World) {
    let requests = world.gate.waiting([ID]);
    world.log.extend(requests);
}

fn deliver(world: &mut World, client: &mut Client, messages: &[Message], more: bool) {
    let requests = world.gate.deliver_messages(client.handle, messages, more, world.now);
    world.log.extend(requests);
    world.run(client);
}

/// Flags and packet identifiers of the PUBLISH packets that a device of 3.1.1 has read.
fn published(read: &[u8]) -> Vec<(u8, u16)> {
    let (mut found, mut rest) = (Vec::new(), read);
    while let [first, length, tail @ ..] = rest {
        assert!(first >> 4 == 3 && *length < 0x80, "{read:x?}");
        let (body, behind) = tail.split_at(usize::from(*length));
        let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
        found.push((first & 0x0f, u16::from_be_bytes([body[2 + topic], body[3 + topic]])));
        rest = behind;
    }
    found
}

fn puback(packet_id: u16) -> Vec<u8> {
    packet(0x40, &packet_id.to_be_bytes())
}

// ── sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_durable_subscription_is_answered_when_it_is_kept_and_is_there_again() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let mut client = enter(&mut world, &device, &connect_v311(DURABLE));
    assert_eq!(client.read, [0x20, 2, 0, 0]);
    assert_eq!(keeps(&world), [(0, Some(session(None, u32::MAX, NEVER)))]);
    world.log.clear();
    client.read.clear();
    client.say(&[subscribe(4), vec![0xc0, 0]].concat());
    world.run(&mut client);
    assert_eq!(keeps(&world), [(client.handle, Some(session(Some(1), u32::MAX, NEVER)))]);
    assert_eq!(client.read, [], "neither the SUBSCRIBE nor what came behind it is answered");
    kept(&mut world, &mut client, None);
    assert_eq!(client.read, [&[0x90, 3, 0, 9, 1][..], &[0xd0, 0]].concat());
    world.log.clear();
    lose(&mut world, &client);
    assert_eq!(keeps(&world), [], "nothing has changed");
    // Session present, and messages come without another word.
    let mut client = enter(&mut world, &device, &connect_v311(DURABLE));
    assert_eq!((client.read.as_slice(), keeps(&world)), (&[0x20, 2, 1, 0][..], vec![]));
    wait_in_inbox(&mut world);
    assert_eq!(fetches(&world), [(client.handle, 0, 32)]);
    // As a worker that has just been started knows it.
    lose(&mut world, &client);
    assert_eq!(world.gate.amend_session(ID, None), []);
    client = enter(&mut world, &device, &connect_v311(DURABLE));
    assert_eq!(client.read, [0x20, 2, 0, 0]);
    lose(&mut world, &client);
    assert_eq!(world.gate.amend_session(ID, Some(session(Some(1), u32::MAX, NEVER))), []);
    client = enter(&mut world, &device, &connect_v311(DURABLE));
    assert_eq!(client.read, [0x20, 2, 1, 0]);
}

#[test]
fn m03_a_late_word_of_another_worker_ends_no_session_whose_device_is_connected_here() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    drop(enter(&mut world, &device, &connect_v5(ID, 2, &[0x11, 0, 0, 0, 60])));
    let mut client = enter(&mut world, &device, &connect_v5(ID, 0, &[0x11, 0, 0, 0, 60]));
    client.say(&subscribe(5));
    world.run(&mut client);
    kept(&mut world, &mut client, None);
    world.log.clear();
    let ours = session(Some(1), 60, NEVER);
    assert_eq!(world.gate.amend_session(ID, Some(ours)), []);
    for late in [None, Some(session(None, 60, after(60))), Some(session(None, 60, NEVER))] {
        let requests = world.gate.amend_session(ID, late);
        world.log.extend(requests);
        assert_eq!(keeps(&world), [(0, Some(ours))]);
        world.log.clear();
    }
    for _ in 0..2 {
        pass(&mut world, 60);
        client.say(&[0xc0, 0]);
        world.run(&mut client);
    }
    assert_eq!(keeps(&world), []);
    lose(&mut world, &client);
    assert_eq!(keeps(&world), [(0, Some(session(Some(1), 60, after(180))))]);
    // Nobody is connected here: now it is the others' word that counts.
    assert_eq!(world.gate.amend_session(ID, None), []);
    let client = enter(&mut world, &device, &connect_v5(ID, 0, &[0x11, 0, 0, 0, 60]));
    assert_eq!(keeps(&world), [(0, Some(session(None, 60, NEVER)))]);
    drop(client);
}

#[test]
fn m03_a_session_that_another_worker_had_is_said_to_be_ours() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let client = enter(&mut world, &device, &connect_v5(ID, 2, &[0x11, 0, 0, 0, 60]));
    lose(&mut world, &client);
    for (expiry, said) in [(60, true), (u32::MAX, false)] {
        let elsewhere = session(Some(1), expiry, NEVER);
        assert_eq!(world.gate.amend_session(ID, Some(elsewhere)), []);
        let client = enter(&mut world, &device, &connect_v5(ID, 0, &[&[0x11][..], &expiry.to_be_bytes()].concat()));
        let expected = if said { vec![(0, Some(elsewhere))] } else { vec![] };
        assert_eq!(keeps(&world), expected, "a session that nothing ends is nobody's");
        lose(&mut world, &client);
    }
}

#[test]
fn a_clean_session_drops_what_was_kept_and_keeps_nothing() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    subscribed(&mut world, &device);
    let mut client = enter(&mut world, &device, &connect_v311(CLEAN));
    assert_eq!((client.read.as_slice(), keeps(&world)), (&[0x20, 2, 0, 0][..], vec![(0, None)]));
    world.log.clear();
    client.read.clear();
    client.say(&subscribe(4));
    world.run(&mut client);
    assert_eq!((client.read.as_slice(), keeps(&world)), (&[0x90, 3, 0, 9, 1][..], vec![]));
    lose(&mut world, &client);
    assert_eq!(keeps(&world), []);
    let client = enter(&mut world, &device, &connect_v311(DURABLE));
    assert_eq!(client.read, [0x20, 2, 0, 0]);
}

#[test]
fn a_subscription_that_cannot_be_kept_is_not_granted() {
    for (level, said) in [(4, vec![]), (5, vec![0xe0, 1, 0x83])] {
        let mut world = World::new();
        let device = world.tech.device(ID);
        let connect = if level == 4 { connect_v311(DURABLE) } else { connect_v5(ID, DURABLE, &[0x11, 0, 0, 0, 60]) };
        let mut client = enter(&mut world, &device, &connect);
        client.read.clear();
        client.say(&subscribe(level));
        world.run(&mut client);
        world.log.clear();
        kept(&mut world, &mut client, Some("inbox_failed"));
        assert_eq!(keeps(&world), [(0, None)], "nor kept later, for it would have no end");
        assert!(client.ended_cleanly());
        assert_eq!(client.read, said);
        assert_eq!(world.closed(), ["inbox_unavailable"]);
        // Nor when it asks again: what was refused once is not taken to be there.
        let mut again = enter(&mut world, &device, &connect);
        again.read.clear();
        again.say(&subscribe(level));
        world.run(&mut again);
        assert_eq!(again.read, []);
        kept(&mut world, &mut again, None);
        assert_eq!(again.read.first(), Some(&0x90));
    }
}

#[test]
fn a_session_of_5_0_ends_when_its_time_is_up() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let connect = connect_v5(ID, DURABLE, &[0x11, 0, 0, 0, 60]);
    let mut client = enter(&mut world, &device, &connect);
    assert_eq!(keeps(&world), [(0, Some(session(None, 60, NEVER)))]);
    client.say(&subscribe(5));
    world.run(&mut client);
    kept(&mut world, &mut client, None);
    world.log.clear();
    lose(&mut world, &client);
    assert_eq!(keeps(&world), [(0, Some(session(Some(1), 60, after(60))))]);
    pass(&mut world, 59);
    let client = enter(&mut world, &device, &connect);
    assert_eq!((client.read[2], keeps(&world)), (1, vec![(0, Some(session(Some(1), 60, NEVER)))]));
    lose(&mut world, &client);
    pass(&mut world, 60);
    let client = enter(&mut world, &device, &connect);
    assert_eq!(client.read[2], 0);
    // DISCONNECT may shorten it, down to nothing.
    let mut client = enter(&mut world, &device, &connect);
    world.log.clear();
    client.say(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 9]));
    world.run(&mut client);
    assert_eq!(keeps(&world), [(0, Some(session(None, 9, after(128))))]);
    let mut client = enter(&mut world, &device, &connect);
    world.log.clear();
    client.say(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 0]));
    world.run(&mut client);
    assert_eq!(keeps(&world), [(0, None)]);
}

#[test]
fn a_session_that_goes_on_only_for_its_connection_is_dropped_with_it() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    subscribed(&mut world, &device);
    let client = enter(&mut world, &device, &connect_v5(ID, DURABLE, &[]));
    // It is kept as one that ends, so that it does so even if this process dies.
    assert_eq!((client.read[2], keeps(&world)), (1, vec![(0, Some(session(Some(1), 0, NEVER)))]));
    world.log.clear();
    lose(&mut world, &client);
    assert_eq!(keeps(&world), [(0, None)]);
}

#[test]
fn the_keep_alive_is_the_hubs_where_it_is_longer() {
    for (seconds, wanted) in
        [(0u16, Some(1_178u16)), (60, None), (1_178, None), (1_179, Some(1_178)), (65_535, Some(1_178))]
    {
        let mut world = World::new();
        let device = world.tech.device(ID);
        let mut connect = connect_v5(ID, CLEAN, &[]);
        connect[10..12].copy_from_slice(&seconds.to_be_bytes());
        let client = enter(&mut world, &device, &connect);
        // It is the last of the properties.
        let last = client.read.last_chunk::<3>().unwrap();
        let said = (last[0] == 0x13).then(|| u16::from_be_bytes([last[1], last[2]]));
        assert_eq!(said, wanted, "{seconds}");
    }
}

#[test]
fn enhanced_authentication_is_refused() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let client = enter(&mut world, &device, &connect_v5(ID, CLEAN, &[0x15, 0, 1, b'x']));
    assert_eq!(
        (untracked(&client.read).as_slice(), world.codes()),
        (&[0x20, 3, 0, 0x8c, 0][..], vec!["authentication_method".to_owned()])
    );
}

#[test]
fn m03_a_device_of_5_0_is_told_that_it_was_taken_over_and_clones_are_stopped() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let mut first = enter(&mut world, &device, &connect_v5(ID, CLEAN, &[]));
    first.read.clear();
    for _ in 0..15 {
        let client = enter(&mut world, &device, &connect_packet(ID));
        assert_eq!(client.read, [0x20, 2, 0, 0]);
        world.run(&mut first);
    }
    assert_eq!(first.read, [0xe0, 1, 0x8e]);
    let client = enter(&mut world, &device, &connect_packet(ID));
    assert_eq!(
        (client.read.as_slice(), world.codes()),
        (&[0x20, 2, 0, 3][..], vec!["taken_over_too_often".to_owned()])
    );
    let client = enter(&mut world, &device, &connect_v5(ID, CLEAN, &[]));
    assert_eq!(untracked(&client.read), [0x20, 3, 0, 0x9f, 0]);
    assert_eq!(world.gate.sessions(), 1, "the one that is connected goes on");
    pass(&mut world, 60);
    let client = enter(&mut world, &device, &connect_packet(ID));
    assert_eq!(client.read, [0x20, 2, 0, 0]);
}

// ── messages ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn messages_are_asked_for_as_far_as_the_device_takes_them_and_done_with_when_it_says_so() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let mut client = subscribed(&mut world, &device);
    wait_in_inbox(&mut world);
    wait_in_inbox(&mut world);
    assert_eq!(fetches(&world), [(client.handle, 0, 32)], "once, however often one is told");
    world.log.clear();
    deliver(&mut world, &mut client, &messages(1..=30), true);
    assert_eq!(published(&client.read), (1..=30).map(|number| (2, number)).collect::<Vec<_>>());
    assert_eq!(fetches(&world), [(client.handle, 130, 2)]);
    world.log.clear();
    client.read.clear();
    deliver(&mut world, &mut client, &messages(31..=32), true);
    assert_eq!(fetches(&world), [], "M10: it has 32 in hand");
    client.say(&[puback(1), puback(2), puback(3)].concat());
    world.run(&mut client);
    assert_eq!((completed(&world), fetches(&world)), (vec![101, 102, 103], vec![(client.handle, 132, 3)]));
    world.log.clear();
    deliver(&mut world, &mut client, &messages(33..=33), false);
    client.say(&puback(4));
    world.run(&mut client);
    assert_eq!((completed(&world), fetches(&world)), (vec![104], vec![]), "nothing is left to ask for");
}

#[test]
fn what_was_not_acknowledged_is_asked_for_again_by_the_next_connection() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let mut client = subscribed(&mut world, &device);
    wait_in_inbox(&mut world);
    deliver(&mut world, &mut client, &messages(1..=3), false);
    client.say(&puback(2));
    world.run(&mut client);
    lose(&mut world, &client);
    // What was asked for by a connection that is gone goes nowhere.
    let requests = world.gate.deliver_messages(client.handle, &messages(1..=3), false, world.now);
    assert_eq!(requests, []);
    let mut client = enter(&mut world, &device, &connect_v311(DURABLE));
    assert_eq!(fetches(&world), [(client.handle, 0, 32)]);
    client.read.clear();
    let again: Vec<Message> = messages(1..=3)
        .into_iter()
        .filter(|one| one.packet_id != 2)
        .map(|one| Message { redelivered: true, ..one })
        .collect();
    deliver(&mut world, &mut client, &again, false);
    assert_eq!(published(&client.read), [(0x0a, 1), (0x0a, 3)]);
}

#[test]
fn what_crosses_the_end_of_a_session_is_asked_for_again_and_what_was_acknowledged_before_it_is_not() {
    // DISCONNECT; a second CONNECT, which breaks the protocol.
    for last in [vec![0xe0, 0], connect_v311(DURABLE)] {
        for (acknowledged, again) in [(vec![], true), (vec![1], true), (vec![1, 2], false)] {
            let mut world = World::new();
            let device = world.tech.device(ID);
            let mut client = subscribed(&mut world, &device);
            wait_in_inbox(&mut world);
            deliver(&mut world, &mut client, &messages(1..=2), false);
            client.say(&[acknowledged.iter().flat_map(|id| puback(*id)).collect(), last.clone()].concat());
            world.run(&mut client);
            assert_eq!(world.closed().len(), 1);
            let client = enter(&mut world, &device, &connect_v311(DURABLE));
            assert_eq!(client.read, [0x20, 2, 1, 0], "the session goes on");
            let wanted = if again { vec![(client.handle, 0, 32)] } else { vec![] };
            assert_eq!(fetches(&world), wanted, "{last:?} after PUBACK of {acknowledged:?}");
        }
    }
}

#[test]
fn m10_a_device_that_does_not_read_is_sent_no_more_until_it_does() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let client = subscribed(&mut world, &device);
    let requests = world.gate.set_writable(client.handle, false);
    world.log.extend(requests);
    wait_in_inbox(&mut world);
    assert_eq!(fetches(&world), []);
    let requests = world.gate.set_writable(client.handle, true);
    world.log.extend(requests);
    assert_eq!(fetches(&world), [(client.handle, 0, 32)]);
}

#[test]
fn messages_that_are_of_no_use_are_done_with_and_said_so() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let mut client = enter(&mut world, &device, &connect_v5(ID, CLEAN, &[0x27, 0, 0, 0, 200]));
    client.say(&subscribe(5));
    world.run(&mut client);
    wait_in_inbox(&mut world);
    client.read.clear();
    let mut sent = messages(1..=4);
    sent[0].expires_at = Some(TODAY);
    sent[1].payload = vec![0; 200];
    deliver(&mut world, &mut client, &sent, false);
    assert_eq!(completed(&world), [101, 102]);
    assert_eq!(fact(world.notes("message_expired")[0], "message"), "101");
    assert_eq!(fact(world.notes("message_too_large")[0], "message"), "102");
    client.say(&[packet(0x40, &[0, 3, 0x97]), puback(4)].concat());
    world.run(&mut client);
    assert_eq!(completed(&world), [101, 102, 103, 104]);
    assert_eq!(fact(world.notes("message_refused")[0], "reason"), "151");
}

#[test]
fn a_device_that_has_unsubscribed_meanwhile_is_sent_nothing_and_misses_nothing() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let mut client = subscribed(&mut world, &device);
    wait_in_inbox(&mut world);
    client.say(&packet(0xa2, &[vec![0, 5], text(INBOX)].concat()));
    world.run(&mut client);
    kept(&mut world, &mut client, None);
    client.read.clear();
    world.log.clear();
    deliver(&mut world, &mut client, &messages(1..=2), false);
    assert_eq!((client.read.as_slice(), completed(&world), fetches(&world)), (&[][..], vec![], vec![]));
    client.say(&subscribe(4));
    world.run(&mut client);
    kept(&mut world, &mut client, None);
    assert_eq!(fetches(&world), [(client.handle, 0, 32)]);
}

#[test]
fn calls_for_nobody_do_nothing() {
    let mut world = World::new();
    for handle in [0, 1, 1 << 32, u64::MAX] {
        assert_eq!(world.gate.deliver_messages(handle, &messages(1..=2), true, world.now), []);
        assert_eq!(world.gate.kept(handle, None, world.now), []);
        assert_eq!(world.gate.kept(handle, Some("inbox_failed"), world.now), []);
        assert_eq!(world.gate.set_writable(handle, false), []);
        assert_eq!(world.gate.stored(&[(handle, 1, 0)], world.now), []);
    }
    assert_eq!(world.gate.waiting(["nobody"]), []);
}

// ── wills ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Wills that were published so far, by their tickets.
fn wills(world: &World) -> Vec<u64> {
    let store = |request: &Request| match request {
        Request::Store { handle, device_id, telemetry } if telemetry.payload == b"gone" => {
            assert_eq!((&**device_id, telemetry.packet_id), (ID, 1));
            assert!(telemetry.properties.contains(&("iothub-MessageType".to_owned(), Some("Will".to_owned()))));
            Some(*handle)
        }
        _ => None,
    };
    world.log.iter().filter_map(store).collect()
}

/// The first will that was to be kept.
fn a_kept_will(world: &World) -> KeptWill {
    let kept = world.log.iter().find_map(|request| match request {
        Request::KeepWill { will: Some(will), .. } => Some(will.clone()),
        _ => None,
    });
    *kept.unwrap()
}

/// What is to be kept of wills, in order: none, or when it is due ([`NEVER`]: its device is connected).
fn kept_wills(world: &World) -> Vec<Option<UnixSeconds>> {
    let keep = |request: &Request| match request {
        Request::KeepWill { will, .. } => Some(will.as_ref().map(|will| will.due.unwrap_or(NEVER))),
        _ => None,
    };
    world.log.iter().filter_map(keep).collect()
}

#[test]
fn m06_a_will_is_published_when_its_device_is_lost_and_forgotten_when_that_is_durable() {
    for level in [4, 5] {
        let mut world = World::new();
        let device = world.tech.device(ID);
        let client = enter(&mut world, &device, &connect_with_will(level, CLEAN, &[], None, EVENTS));
        assert_eq!(kept_wills(&world), [Some(NEVER)]);
        world.log.clear();
        lose(&mut world, &client);
        let [ticket] = wills(&world)[..] else { panic!("one will") };
        assert_eq!(kept_wills(&world), []);
        let requests = world.gate.stored(&[(ticket, 1, 0)], world.now);
        world.log.extend(requests);
        assert_eq!(kept_wills(&world), [None]);
        assert_eq!(world.gate.stored(&[(ticket, 1, 0)], world.now), []);
    }
}

#[test]
fn g03_of_a_device_that_is_lost_again_and_again_while_nothing_can_be_stored_one_will_waits() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let mut tickets = Vec::new();
    for _ in 0..3 {
        let client = enter(&mut world, &device, &connect_with_will(4, CLEAN, &[], None, EVENTS));
        lose(&mut world, &client);
        tickets.extend(wills(&world));
    }
    let [first, second, last] = tickets[..] else { panic!("three wills") };
    assert_eq!([first, second, last].map(|ticket| world.gate.is_awaited(ticket)), [false, false, true]);
    assert_eq!(world.gate.stored(&[(first, 1, 0), (second, 1, 0)], world.now), [], "what is kept is the last");
    world.log = world.gate.stored(&[(last, 1, 0)], world.now);
    assert_eq!(kept_wills(&world), [None]);
    assert!(!world.gate.is_awaited(last));
}

#[test]
fn g03_wills_that_there_is_no_memory_for_stay_where_they_are_kept() {
    let mut limits = Limits::default();
    limits.wills_bytes_max = 500;
    let mut world = World::with_limits(limits);
    let [device, other] = [ID, "widget-2"].map(|id| world.tech.device(id));
    let client = enter(&mut world, &device, &connect_with_will(4, CLEAN, &[], None, EVENTS));
    lose(&mut world, &client);
    let [ticket] = wills(&world)[..] else { panic!("one will") };
    let connect = packet(
        0x10,
        &[
            text("MQTT"),
            vec![4, CLEAN | 0x0c, 0, 60],
            text("widget-2"),
            text("devices/widget-2/messages/events/"),
            text(&"x".repeat(300)),
        ]
        .concat(),
    );
    for round in 1..=2 {
        let client = enter(&mut world, &other, &connect);
        assert_eq!(kept_wills(&world), [Some(NEVER)]);
        world.log.clear();
        lose(&mut world, &client);
        assert_eq!((kept_wills(&world), world.notes("will_postponed").len()), (vec![], 2 - round));
        world.log = world.gate.stored(&[(ticket, 1, 0)], world.now);
    }
}

#[test]
fn m06_a_good_bye_takes_the_will_back_unless_it_says_otherwise() {
    for (goodbye, published) in
        [(vec![0xe0, 0], 0), (vec![0xe0, 1, 0], 0), (vec![0xe0, 1, 4], 1), (vec![0xe0, 1, 0x80], 1)]
    {
        let mut world = World::new();
        let device = world.tech.device(ID);
        let mut client = enter(&mut world, &device, &connect_with_will(5, CLEAN, &[], None, EVENTS));
        world.log.clear();
        client.say(&goodbye);
        world.run(&mut client);
        assert_eq!((wills(&world).len(), world.closed()), (published, vec!["disconnect".to_owned()]), "{goodbye:x?}");
        assert_eq!(kept_wills(&world).len(), 1 - published);
    }
}

#[test]
fn m06_every_end_but_a_good_bye_publishes_it() {
    type Ends = fn(&mut World, &mut Client);
    let ends: [(&str, Ends); 4] = [
        ("peer_closed", |world, client| {
            let requests = world.gate.end_of_stream(client.handle, world.now);
            world.log.extend(requests);
        }),
        ("mqtt_unexpected_packet", |world, client| {
            client.say(&[0xf0, 0]);
            world.run(client);
        }),
        ("keep_alive", |world, _| world.tick_after(90_000)),
        ("draining", |world, _| {
            let requests = world.gate.drain(usize::MAX, world.now);
            world.log.extend(requests);
        }),
    ];
    for (reason, end) in ends {
        let mut world = World::new();
        let device = world.tech.device(ID);
        let mut client = enter(&mut world, &device, &connect_with_will(4, CLEAN, &[], None, EVENTS));
        end(&mut world, &mut client);
        assert_eq!((wills(&world).len(), world.closed()), (1, vec![reason.to_owned()]));
        lose(&mut world, &client);
        assert_eq!(wills(&world).len(), 1, "and once");
    }
}

#[test]
fn m06_trust_that_has_left_the_device_suppresses_its_will() {
    // The CA goes.
    let mut world = World::new();
    let device = world.tech.device(ID);
    enter(&mut world, &device, &connect_with_will(4, CLEAN, &[], None, EVENTS));
    world.log.clear();
    world.trust(2, &[]);
    assert_eq!((wills(&world), kept_wills(&world)), (vec![], vec![None]));
    assert_eq!(world.notes("will_suppressed").len(), 1);
    // The certificate ends.
    let mut world = World::new();
    let device = world.tech.device_until(ID, 2026);
    enter(&mut world, &device, &connect_with_will(4, CLEAN, &[], None, EVENTS));
    world.log.clear();
    world.now.unix.0 += 366 * 86_400;
    world.tick_after(30_000);
    assert_eq!((wills(&world), kept_wills(&world)), (vec![], vec![None]));
    // The CA goes while the will waits.
    let mut world = World::new();
    let device = world.tech.device(ID);
    let client = enter(&mut world, &device, &connect_with_will(5, CLEAN, &[0x11, 0, 0, 0, 60], Some(30), EVENTS));
    lose(&mut world, &client);
    world.trust(2, &[]);
    world.log.clear();
    pass(&mut world, 30);
    assert_eq!((wills(&world), kept_wills(&world)), (vec![], vec![None]));
}

#[test]
fn m06_whoever_the_owner_has_put_out_leaves_no_will() {
    let open = Pin { issuer: [7; 32], leaf: NO_KEY };
    let connect = connect_with_will(5, CLEAN, &[0x11, 0, 0, 0, 60], Some(30), EVENTS);
    for connected in [true, false] {
        let mut world = World::new();
        let device = world.tech.device(ID);
        let client = enter(&mut world, &device, &connect);
        if !connected {
            lose(&mut world, &client);
        }
        world.log.clear();
        world.pin(ID, open);
        assert_eq!((kept_wills(&world), world.notes("will_suppressed").len()), (vec![None], 1));
        pass(&mut world, 60);
        assert_eq!(wills(&world), []);
    }
    // And where another has had the connection.
    let mut world = World::new();
    let device = world.tech.device(ID);
    let client = enter(&mut world, &device, &connect);
    lose(&mut world, &client);
    let will = world.log.iter().find_map(|request| match request {
        Request::KeepWill { will, .. } => will.clone(),
        _ => None,
    });
    let mut next = World::new();
    next.pin(ID, open);
    let requests = next.gate.inherit_will(ID, *will.unwrap(), next.now);
    next.log.extend(requests);
    assert_eq!(kept_wills(&next), [None]);
}

#[test]
fn m06_a_closed_branch_says_nothing_more_in_time() {
    let connect = connect_with_will(5, CLEAN, &[0x11, 0, 0, 0, 60], Some(30), EVENTS);
    let key_of = |der: &[u8]| sha256(Certificate::parse(der).unwrap().spki.der);
    for (above, by_key) in [(0, true), (0, false), (1, true), (1, false), (2, true), (2, false)] {
        let mut world = World::new();
        let device = world.tech.device(ID);
        let client = enter(&mut world, &device, &connect);
        lose(&mut world, &client);
        let will = world.log.iter().rev().find_map(|request| match request {
            Request::KeepWill { will, .. } => will.clone(),
            _ => None,
        });
        let mut closures = Closures::default();
        let closed = &device.chain[above];
        if by_key {
            closures.keys.insert(key_of(closed))
        } else {
            closures.certificates.insert(sha256(closed))
        };
        // The next process closes it as well, and has no more than what was kept.
        let mut next = World::new();
        for world in [&mut world, &mut next] {
            world.closures = Arc::new(closures.clone());
        }
        let anchor = world.root.der.clone();
        world.trust(2, std::slice::from_ref(&anchor));
        next.trust(2, &[anchor]);
        let requests = next.gate.inherit_will(ID, *will.unwrap(), next.now);
        next.log.extend(requests);
        for mut world in [world, next] {
            world.log.clear();
            pass(&mut world, 30);
            assert_eq!((wills(&world), kept_wills(&world)), (vec![], vec![None]), "{above} {by_key}");
            assert_eq!(world.notes("will_suppressed").len(), 1);
        }
    }
}

/// A device leaves a will with one worker, and is let in by another; what each of the two was told.
fn moved_to_another(flags: u8, newer_first: bool) -> (World, World) {
    let (mut a, mut b) = (World::new(), World::new());
    b.trust(1, &[a.root.der.clone()]);
    a.gate.share_identities();
    b.gate.share_identities();
    let device = a.tech.device(ID);
    let client = enter(&mut a, &device, &connect_with_will(5, DURABLE, &[0x11, 0, 0, 0, 60], Some(30), EVENTS));
    enter(&mut b, &device, &connect_v5(ID, flags, &[0x11, 0, 0, 0, 60]));
    lose(&mut a, &client);
    a.log.clear();
    let mut order = [(true, a.gate.take_admissions()), (false, b.gate.take_admissions())];
    if newer_first {
        order.reverse();
    }
    for (of_a, told) in order {
        a.placed(of_a, &told);
        b.placed(!of_a, &told);
    }
    (a, b)
}

#[test]
fn m06_a_delayed_will_is_moot_when_its_device_is_back_with_another_worker() {
    // As with the same worker: a session that ends is over for its will, too.
    for (flags, published) in [(DURABLE, 0), (CLEAN, 1)] {
        let (mut a, b) = moved_to_another(flags, false);
        assert_eq!((wills(&a).len(), kept_wills(&a).len(), b.gate.sessions()), (published, 1 - published, 1));
        pass(&mut a, 60);
        assert_eq!(wills(&a).len(), published);
    }
    // What was placed before is an older connection's: it was lost by b, and the device was here last.
    let (mut a, b) = moved_to_another(DURABLE, true);
    assert_eq!((wills(&a), kept_wills(&a), b.gate.sessions()), (vec![], vec![], 0));
    pass(&mut a, 30);
    assert_eq!(wills(&a).len(), 1);
}

#[test]
fn m06_a_take_over_by_another_worker_forgets_a_delayed_will_and_publishes_any_other() {
    let cases = [(Some(30), DURABLE, 0), (Some(30), CLEAN, 1), (None, DURABLE, 1), (None, CLEAN, 1)];
    for (delay, flags, published) in cases {
        let (mut a, mut b) = (World::new(), World::new());
        b.trust(1, &[a.root.der.clone()]);
        a.gate.share_identities();
        b.gate.share_identities();
        let device = a.tech.device(ID);
        enter(&mut a, &device, &connect_with_will(5, DURABLE, &[0x11, 0, 0, 0, 60], delay, EVENTS));
        enter(&mut b, &device, &connect_v5(ID, flags, &[0x11, 0, 0, 0, 60]));
        a.log.clear();
        let told = a.gate.take_admissions();
        a.placed(true, &told);
        let told = b.gate.take_admissions();
        a.placed(false, &told);
        assert_eq!(a.closed(), ["taken_over"]);
        assert_eq!((wills(&a).len(), kept_wills(&a).len()), (published, 1 - published), "{delay:?} {flags}");
        pass(&mut a, 60);
        assert_eq!(wills(&a).len(), published);
    }
}

#[test]
fn m03_take_overs_by_other_workers_count_as_well() {
    let mut limits = Limits::default();
    limits.take_overs_count_max = 3;
    let (mut a, mut b) = (World::with_limits(limits), World::new());
    b.trust(1, &[a.root.der.clone()]);
    a.gate.share_identities();
    b.gate.share_identities();
    let device = a.tech.device(ID);
    for round in 0..5 {
        let client = enter(&mut a, &device, &connect_v5(ID, CLEAN, &[]));
        let refused = round == 4;
        assert_eq!(
            (client.read.get(3), a.gate.sessions()),
            (Some(&if refused { 0x9f } else { 0 }), usize::from(!refused))
        );
        let told = a.gate.take_admissions();
        a.placed(true, &told);
        b.placed(false, &told);
        enter(&mut b, &device, &connect_v5(ID, CLEAN, &[]));
        let told = b.gate.take_admissions();
        a.placed(false, &told);
        b.placed(true, &told);
    }
    assert_eq!(a.codes(), ["taken_over_too_often"]);
    a.tick_after(limits.take_overs_ms);
    enter(&mut a, &device, &connect_v5(ID, CLEAN, &[]));
    assert_eq!(a.gate.sessions(), 1);
}

#[test]
fn m06_a_will_waits_for_its_delay_or_the_end_of_the_session() {
    for (expiry, delay, waits) in [(60, 30, 30), (30, 60, 30), (0, 60, 0)] {
        let mut world = World::new();
        let device = world.tech.device(ID);
        let connect = connect_with_will(5, CLEAN, &[0x11, 0, 0, 0, expiry], Some(delay), EVENTS);
        let client = enter(&mut world, &device, &connect);
        world.log.clear();
        lose(&mut world, &client);
        if waits > 0 {
            assert_eq!((wills(&world).len(), kept_wills(&world)), (0, vec![Some(after(waits))]));
            pass(&mut world, 29);
            assert_eq!(wills(&world).len(), 0);
            pass(&mut world, 1);
        }
        assert_eq!(wills(&world).len(), 1);
        pass(&mut world, 60);
        assert_eq!(wills(&world).len(), 1);
    }
}

#[test]
fn m06_a_device_that_is_back_in_time_takes_its_will_back_unless_its_session_ends() {
    for (flags, published) in [(DURABLE, 0), (CLEAN, 1)] {
        let mut world = World::new();
        let device = world.tech.device(ID);
        let connect = connect_with_will(5, DURABLE, &[0x11, 0, 0, 0, 60], Some(30), EVENTS);
        let client = enter(&mut world, &device, &connect);
        lose(&mut world, &client);
        pass(&mut world, 10);
        enter(&mut world, &device, &connect_v5(ID, flags, &[0x11, 0, 0, 0, 60]));
        assert_eq!(wills(&world).len(), published);
        assert_eq!(kept_wills(&world).len(), 1 - published);
        pass(&mut world, 60);
        assert_eq!(wills(&world).len(), published);
    }
}

#[test]
fn m06_a_take_over_publishes_the_older_will_as_each_version_says() {
    // 3.1.1: always. 5.0: unless it is delayed and the session goes on.
    let cases = [
        (connect_with_will(4, DURABLE, &[], None, EVENTS), DURABLE, 1),
        (connect_with_will(4, DURABLE, &[], None, EVENTS), CLEAN, 1),
        (connect_with_will(5, DURABLE, &[0x11, 0, 0, 0, 60], None, EVENTS), DURABLE, 1),
        (connect_with_will(5, DURABLE, &[0x11, 0, 0, 0, 60], Some(30), EVENTS), DURABLE, 0),
        (connect_with_will(5, DURABLE, &[0x11, 0, 0, 0, 60], Some(30), EVENTS), CLEAN, 1),
        (connect_with_will(5, DURABLE, &[], Some(30), EVENTS), DURABLE, 1),
    ];
    for (older, flags, published) in cases {
        let mut world = World::new();
        let device = world.tech.device(ID);
        enter(&mut world, &device, &older);
        let newer = connect_with_will(5, flags, &[0x11, 0, 0, 0, 60], None, EVENTS);
        enter(&mut world, &device, &newer);
        assert_eq!((wills(&world).len(), world.closed()), (published, vec!["taken_over".to_owned()]));
        // The receipt of the older will does not take the newer one's place.
        let tickets: Vec<(u64, u16, usize)> = wills(&world).iter().map(|ticket| (*ticket, 1, 0)).collect();
        let requests = world.gate.stored(&tickets, world.now);
        world.log.extend(requests);
        assert_eq!(kept_wills(&world).last(), Some(&Some(NEVER)));
    }
}

#[test]
fn m06_a_will_outside_of_the_devices_rights_is_refused_at_connect() {
    let cases = [
        (connect_with_will(4, CLEAN, &[], None, "devices/widget-2/messages/events/"), vec![0x20, 2, 0, 5]),
        (connect_with_will(5, CLEAN, &[], None, "devices/widget-2/messages/events/"), vec![0x20, 3, 0, 0x90, 0]),
        (connect_with_will(5, CLEAN, &[], None, "$SYS/x"), vec![0x20, 3, 0, 0x90, 0]),
        (connect_with_will(4, CLEAN | 0x10, &[], None, EVENTS), vec![]),
        (connect_with_will(5, CLEAN | 0x20, &[], None, EVENTS), vec![0x20, 3, 0, 0x9a, 0]),
    ];
    for (connect, answer) in cases {
        let mut world = World::new();
        let device = world.tech.device(ID);
        let client = enter(&mut world, &device, &connect);
        assert_eq!(untracked(&client.read), answer);
        if !answer.is_empty() {
            assert_eq!(world.codes(), ["will_not_allowed"]);
        }
        assert_eq!((world.claims(), world.gate.sessions(), wills(&world).len()), (0, 0, 0));
    }
    // QoS 2, which no flag above says.
    for (level, answer) in [(4, vec![0x20, 2, 0, 5]), (5, vec![0x20, 3, 0, 0x9b, 0])] {
        let mut world = World::new();
        let device = world.tech.device(ID);
        let mut connect = connect_with_will(level, CLEAN, &[], None, EVENTS);
        connect[9] = CLEAN | 0x04 | 0x10;
        let client = enter(&mut world, &device, &connect);
        assert_eq!((untracked(&client.read), world.codes()), (answer, vec!["will_not_allowed".to_owned()]));
    }
}

#[test]
fn m06_a_refused_device_has_no_will() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
    client.say(&connect_with_will(4, CLEAN, &[], None, EVENTS));
    world.run(&mut client);
    world.answer_claim(client.handle, Some("identity_pinned"));
    world.run(&mut client);
    lose(&mut world, &client);
    assert_eq!(
        (wills(&world), kept_wills(&world), world.codes()),
        (vec![], vec![], vec!["identity_pinned".to_owned()])
    );
}

#[test]
fn m06_a_will_of_a_process_that_died_is_published_by_the_next_if_trust_still_holds() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    enter(&mut world, &device, &connect_with_will(5, DURABLE, &[0x11, 0, 0, 0, 60], Some(30), EVENTS));
    let left = |world: &World| {
        let found = world.log.iter().find_map(|request| match request {
            Request::KeepWill { will: Some(will), .. } => Some(will.clone()),
            _ => None,
        });
        KeptWill { due: Some(after(30)), ..*found.unwrap() }
    };
    let will = left(&world);
    for (anchors, back, published) in [(1, false, 1), (0, false, 0), (1, true, 0)] {
        let mut next = World::new();
        let trusted: Vec<Vec<u8>> = vec![world.root.der.clone(); anchors];
        next.trust(2, &trusted);
        let requests = next.gate.inherit_will(ID, will.clone(), next.now);
        assert_eq!(requests, []);
        if back {
            enter(&mut next, &device, &connect_v5(ID, DURABLE, &[0x11, 0, 0, 0, 60]));
            assert_eq!(kept_wills(&next), [None]);
        }
        pass(&mut next, 29);
        assert_eq!(wills(&next).len(), 0);
        pass(&mut next, 1);
        assert_eq!(wills(&next).len(), published);
    }
    // One that is due already does not wait.
    let mut next = World::new();
    next.trust(2, &[world.root.der.clone()]);
    let requests = next.gate.inherit_will(ID, KeptWill { due: Some(TODAY), ..will }, next.now);
    next.log.extend(requests);
    assert_eq!(wills(&next).len(), 1);
}

#[test]
fn m06_a_will_without_delay_of_a_process_that_died_is_published_although_its_device_is_back() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    enter(&mut world, &device, &connect_with_will(5, DURABLE, &[0x11, 0, 0, 0, 60], Some(30), EVENTS));
    let will = a_kept_will(&world);
    for (delay_seconds, with_another, published) in [(0, true, 1), (0, false, 1), (30, true, 0), (30, false, 0)] {
        let mut next = World::new();
        next.trust(1, &[world.root.der.clone()]);
        let delay = with_another.then_some(30);
        let connect = match delay {
            Some(_) => connect_with_will(5, DURABLE, &[0x11, 0, 0, 0, 60], delay, EVENTS),
            None => connect_v5(ID, DURABLE, &[0x11, 0, 0, 0, 60]),
        };
        enter(&mut next, &device, &connect);
        next.log.clear();
        let requests =
            next.gate.inherit_will(ID, KeptWill { delay_seconds, due: Some(TODAY), ..will.clone() }, next.now);
        next.log.extend(requests);
        assert_eq!(wills(&next).len(), published, "{delay_seconds} {with_another}");
        // The one that is there has taken its place already.
        assert_eq!(kept_wills(&next), if published == 0 && !with_another { vec![None] } else { vec![] });
    }
}

#[test]
fn m06_each_inherited_will_has_its_time_and_that_of_whoever_is_back_has_none() {
    let mut world = World::new();
    let device = world.tech.device(ID);
    enter(&mut world, &device, &connect_with_will(5, DURABLE, &[0x11, 0, 0, 0, 60], Some(30), EVENTS));
    let will = a_kept_will(&world);
    let mut next = World::new();
    next.trust(1, &[world.root.der.clone()]);
    for (device_id, seconds) in [("w-30", 30), (ID, 20), ("w-10", 10), ("w-10", 15)] {
        let will = KeptWill { due: Some(after(seconds)), ..will.clone() };
        assert_eq!(next.gate.inherit_will(device_id, will, next.now), []);
    }
    enter(&mut next, &device, &connect_v5(ID, DURABLE, &[0x11, 0, 0, 0, 60]));
    next.log.clear();
    for (seconds, published) in [(14, 0), (1, 1), (14, 1), (1, 2), (60, 2)] {
        pass(&mut next, seconds);
        let stored = next.log.iter().filter(|request| matches!(request, Request::Store { .. }));
        assert_eq!(stored.count(), published);
    }
}

// ── bounds ────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn l10_the_outcome_is_the_same_in_5_0_however_the_bytes_are_cut() {
    for version in world::BOTH {
        for size in [1, 2, 3, 5, 64, 1_000] {
            let mut world = World::new();
            let device = world.tech.device(ID);
            let mut client = world.connect(&client_config(Some(&device), version));
            let publish = packet(0x32, &[text(EVENTS), vec![0, 7, 3, 0x23, 0, 1], b"hello".to_vec()].concat());
            client.say(&[connect_with_will(5, CLEAN, &[0x11, 0, 0, 0, 60], Some(1), EVENTS), publish].concat());
            world.run_in_pieces(&mut client, size);
            world.answer_claim(client.handle, None);
            world.run_in_pieces(&mut client, size);
            assert_eq!((client.read[..4].to_vec(), world.stores()), (vec![0x20, 22, 0, 0], vec![7]), "{size}");
        }
    }
}

#[test]
fn a_connection_that_is_gone_leaves_nothing_in_the_gate() {
    let mut limits = Limits::default();
    limits.connections_count_max = 1;
    let mut world = World::with_limits(limits);
    let device = world.tech.device(ID);
    for _ in 0..3 {
        let client = enter(&mut world, &device, &connect_with_will(4, DURABLE, &[], None, EVENTS));
        wait_in_inbox(&mut world);
        lose(&mut world, &client);
        assert_eq!((world.gate.connections(), world.gate.sessions()), (0, 0));
        pass(&mut world, 60);
    }
}
