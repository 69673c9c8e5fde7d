//! Who is let in, who is turned away and how, over both TLS versions.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use std::collections::HashSet;
use std::sync::Arc;

use holdfast_engine::{agreements_at_once, hex};
use holdfast_gate::{Claim, Limits, Request};
use holdfast_roster::{NO_KEY, Pin};
use holdfast_session::client::write_publish;
use holdfast_x509::{Certificate, Closures};
use rustls::client::ClientConfig;
use rustls::{AlertDescription, Error, HandshakeKind, version};
use world::{
    BOTH, Ca, Client, Device, SOURCE, TODAY, World, client_config, connect_as, connect_packet, connect_v5, fact,
    packet, publish_packet, text,
};

const CONNACK_YES: [u8; 4] = [0x20, 2, 0, 0];
const CONNACK_NO: [u8; 4] = [0x20, 2, 0, 5];
const CONNACK_LATER: [u8; 4] = [0x20, 2, 0, 3];

#[test]
fn a_device_nobody_has_seen_is_claimed_then_admitted_then_heard() {
    for version in BOTH {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), version));
        client.say(&[connect_packet("widget-1"), publish_packet("widget-1", 7)].concat());
        world.run(&mut client);
        // Nothing is said before the claim is durable.
        assert_eq!((world.claims(), client.read.as_slice(), world.stores().len()), (1, &[][..], 0));
        world.answer_claim(client.handle, None);
        world.run(&mut client);
        assert_eq!((client.read.as_slice(), world.stores()), (&CONNACK_YES[..], vec![7]));
        let requests = world.gate.stored(&[(client.handle, 7, 0)], world.now);
        world.log.extend(requests);
        world.run(&mut client);
        assert_eq!(client.read[4..], [0x40, 2, 0, 7]);
        assert_eq!(fact(world.notes("admitted")[0], "device"), "widget-1");
        // The second time it is known: no claim, admitted at once; the older session ends.
        let again = world.admit(&device, "widget-1", version);
        assert_eq!((world.claims(), world.closed()), (1, vec!["taken_over".to_owned()]));
        assert_eq!(world.gate.sessions(), 1);
        assert_ne!(again.handle, client.handle);
    }
}

#[test]
fn l10_the_outcome_is_the_same_however_the_bytes_are_cut() {
    for version in BOTH {
        for size in [1, 2, 3, 5, 64, 1_000] {
            let mut world = World::new();
            let device = world.tech.device("widget-1");
            let mut client = world.connect(&client_config(Some(&device), version));
            client.say(&[connect_packet("widget-1"), publish_packet("widget-1", 7)].concat());
            world.run_in_pieces(&mut client, size);
            world.answer_claim(client.handle, None);
            world.run_in_pieces(&mut client, size);
            assert_eq!((client.read.as_slice(), world.stores()), (&CONNACK_YES[..], vec![7]), "{size}");
        }
    }
}

#[test]
fn a_refused_peer_reads_connack_5_and_a_clean_end() {
    for version in BOTH {
        let mut world = World::new();
        let stranger = Ca::root("Elsewhere").device("widget-1");
        let mut client = world.connect(&client_config(Some(&stranger), version));
        client.say(&[connect_packet("widget-1"), publish_packet("widget-1", 7)].concat());
        world.run(&mut client);
        assert_eq!(world.codes(), ["unknown_issuer"]);
        assert_eq!((client.read.as_slice(), client.error.clone()), (&CONNACK_NO[..], None));
        assert!(client.ended_cleanly() && client.finished && !client.closed);
        // I1: nothing of it was claimed, stored or admitted.
        assert_eq!((world.claims(), world.stores().len(), world.gate.sessions()), (0, 0, 0));
        // What it still sends is read and dropped, up to a bound, or for a second.
        let requests = world.gate.receive(client.handle, &[0; 1_000], world.now);
        assert_eq!(requests, []);
        world.tick_after(1_000);
        world.deliver(&mut client);
        assert!(client.closed);
        assert_eq!(world.gate.connections(), 0);
    }
}

#[test]
fn i15_what_is_counted_has_names_of_ours_and_every_event_counts_once() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let mut client = world.admit(&device, "widget-1", &version::TLS13);
    client.say(&publish_packet("widget-1", 7));
    world.run(&mut client);
    let requests = world.gate.stored(&[(client.handle, 7, 0), (client.handle + 1, 8, 0)], world.now);
    world.log.extend(requests);
    let stranger = Ca::root("Elsewhere").device("widget-1");
    let mut refused = world.connect(&client_config(Some(&stranger), &version::TLS13));
    assert_eq!((world.gate.half_open(), world.gate.connections(), world.gate.sessions()), (1, 2, 1));
    refused.say(&connect_packet("widget-1"));
    world.run(&mut refused);
    assert_eq!(world.gate.half_open(), 0);
    let again = world.admit(&device, "widget-1", &version::TLS13);
    let requests = world.gate.lost(again.handle, world.now);
    world.log.extend(requests);
    let counted = |name: &str| world.gate.counters()[name];
    assert_eq!((counted("connections_opened"), counted("handshakes_completed"), counted("chains_judged")), (3, 3, 3));
    assert_eq!(world.gate.batches().iter().sum::<u64>(), 3);
    // A message whose device is gone meanwhile is stored, and acknowledged to nobody.
    assert_eq!((counted("messages_received"), counted("messages_stored"), counted("messages_acknowledged")), (1, 2, 1));
    assert_eq!(counted("admitted"), 2);
    assert!(counted("bytes_received") > 1_000 && counted("bytes_sent") > 1_000);
    assert_eq!(world.gate.refused().iter().collect::<Vec<_>>(), [(&"unknown_issuer".to_owned(), &1)]);
    let closed: Vec<_> = world.gate.closed().iter().map(|(reason, count)| (*reason, *count)).collect();
    assert_eq!(closed, [("connection_lost", 1), ("taken_over", 1)]);
}

#[test]
fn i15_a_refusal_says_whether_what_it_says_of_a_chain_was_only_claimed() {
    let mut world = World::new();
    let (device, pinned) = (world.tech.device("widget-1"), world.root.intermediate("Factory-W").device("widget-1"));
    world.admit(&device, "widget-1", &version::TLS13);
    let thief = Device { key: pinned.key.clone(), ..device.clone() };
    let unnameable = world.tech.device("a/b");
    let stranger = Ca::root("Elsewhere").device("widget-1");
    for (device, code, claimed) in [
        (Some(&stranger), "unknown_issuer", "true"),
        (Some(&thief), "possession_failed", "true"),
        (Some(&pinned), "identity_pinned", ""),
        (Some(&unnameable), "common_name_invalid", ""),
        (None, "no_certificate", ""),
    ] {
        world.log.clear();
        let mut client = world.connect(&client_config(device, &version::TLS13));
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
        let [note] = world.notes("refused")[..] else { panic!("one line") };
        assert_eq!((fact(note, "code").as_str(), fact(note, "claimed").as_str()), (code, claimed));
        // Of whom nothing is known nothing is said under a name.
        assert_eq!(fact(note, "device"), if code == "identity_pinned" { "widget-1" } else { "" });
    }
}

#[test]
fn i15_a_refused_peer_of_5_0_is_told_where_to_find_its_line_and_nothing_else_whatever_the_reason() {
    let mut world = World::new();
    let (device, pinned) = (world.tech.device("widget-1"), world.root.intermediate("Factory-W").device("widget-1"));
    world.admit(&device, "widget-1", &version::TLS13);
    let elsewhere = Ca::root("Elsewhere").device("widget-1");
    let mut told = HashSet::new();
    for version in BOTH {
        for device in [None, Some(&elsewhere), Some(&pinned), Some(&pinned)] {
            // Whether the client asks for problem information, or not (§3.1.2.11.7).
            for properties in [&[][..], &[0x17, 0], &[0x17, 1], &[0x27, 0, 0, 0, 36]] {
                world.log.clear();
                let mut client = world.connect(&client_config(device, version));
                client.say(&connect_v5("widget-1", 2, properties));
                world.run(&mut client);
                let [note] = world.notes("refused")[..] else { panic!("one line") };
                let id = fact(note, "tracking_id");
                let text = format!("tracking id {id}");
                assert_eq!(client.read, [&[0x20, 34, 0, 0x87, 31, 0x1f, 0, 28][..], text.as_bytes()].concat());
                assert!(client.ended_cleanly() && told.insert(id));
            }
        }
    }
    // One that takes no packet so large is told its reason alone.
    let mut client = world.connect(&client_config(None, &version::TLS13));
    client.say(&connect_v5("widget-1", 2, &[0x27, 0, 0, 0, 35]));
    world.run(&mut client);
    assert_eq!(client.read, [0x20, 3, 0, 0x87, 0]);
}

#[test]
fn a_refused_peer_that_never_stops_sending_is_closed() {
    let mut world = World::new();
    let stranger = Ca::root("Elsewhere").device("widget-1");
    let mut client = world.connect(&client_config(Some(&stranger), &version::TLS13));
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    let requests = world.gate.receive(client.handle, &vec![0; 65_536], world.now);
    assert_eq!(requests, [Request::Close { handle: client.handle }]);
}

#[test]
fn whoever_waits_with_a_hello_has_its_key_agreement_worked_out_with_the_others() {
    let mut world = World::new();
    let devices = [0, 1, 2, 3, 4].map(|number| world.tech.device(&format!("w{number}")));
    let mut clients = Vec::new();
    for (number, device) in devices.iter().enumerate() {
        // The fourth speaks TLS 1.2, and says its share later.
        let version = if number == 3 { &version::TLS12 } else { &version::TLS13 };
        let mut client = world.connect(&client_config(Some(device), version));
        let hello = client.hello();
        // The last one's hello is not whole yet.
        let (first, rest) = hello.split_at(if number == 4 { 100 } else { hello.len() });
        let requests = world.gate.receive(client.handle, first, world.now);
        world.log.extend(requests);
        clients.push((client, rest.to_vec()));
    }
    world.take_turns();
    for (number, (client, rest)) in clients.iter_mut().enumerate() {
        for rest in rest.chunks(1_000) {
            let requests = world.gate.receive(client.handle, rest, world.now);
            world.log.extend(requests);
            world.take_turns();
        }
        world.carry(client);
        // What TLS 1.2 ends with waits for the verdict.
        assert_eq!((client.tls.is_handshaking(), client.error.clone()), (number == 3, None), "{number}");
    }
    let counted = |name| world.gate.counters().get(name).copied().unwrap_or_default();
    let wanted = if agreements_at_once() > 0 { (1, 3) } else { (0, 0) };
    assert_eq!((counted("key_agreement_batches"), counted("key_agreements_batched")), wanted);
}

#[test]
fn l08_no_certificate_is_refused_at_connect() {
    for version in BOTH {
        let mut world = World::new();
        let mut client = world.connect(&client_config(None, version));
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
        assert_eq!((world.codes(), client.read.as_slice()), (vec!["no_certificate".to_owned()], &CONNACK_NO[..]));
        assert!(client.ended_cleanly());
    }
}

#[test]
fn x08_who_showed_no_certificate_is_not_waited_for_afterwards() {
    let mut world = World::new();
    let mut client = world.connect(&client_config(None, &version::TLS13));
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    let device = world.tech.device("widget-1");
    let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
    world.carry(&mut client);
    // No other handshake is under way: its chain waits for nobody's company.
    assert!(!world.log.iter().any(|request| matches!(request, Request::Tick { .. })));
    assert_eq!(world.gate.counters()["chains_judged"], 1);
}

#[test]
fn o16_another_devices_chain_without_its_key_fails_the_handshake_and_resumes_nothing() {
    for version in BOTH {
        let mut world = World::new();
        let (genuine, thief) = (world.tech.device("widget-1"), world.tech.device("widget-2"));
        let forged = Device { chain: genuine.chain.clone(), key: thief.key };
        let config = client_config(Some(&forged), version);
        // trust.md §1.2: refused, then again with whatever the first try may have left behind.
        for _ in 0..3 {
            let mut client = world.connect(&config);
            client.say(&connect_packet("widget-1"));
            world.run(&mut client);
            assert_eq!(client.error, Some(Error::AlertReceived(AlertDescription::DecryptError)));
            assert_ne!(client.tls.handshake_kind(), Some(HandshakeKind::Resumed));
            assert_eq!(client.tls.tls13_tickets_received(), 0);
            assert!(client.read.is_empty());
        }
        assert_eq!(world.codes(), ["possession_failed"; 3]);
        assert_eq!((world.claims(), world.gate.sessions()), (0, 0));
        // I15: the name in the stolen chain moved nothing: its owner walks in.
        world.admit(&genuine, "widget-1", version);
    }
}

#[test]
fn l03_without_keys_nothing_is_ever_resumed_not_even_after_a_good_connection() {
    for version in BOTH {
        let mut world = World::new();
        world.tickets.set_keys(vec![]);
        let device = world.tech.device("widget-1");
        let config = client_config(Some(&device), version);
        for round in 0..3 {
            let mut client = world.connect(&config);
            client.say(&connect_packet("widget-1"));
            world.run(&mut client);
            if round == 0 {
                world.answer_claim(client.handle, None);
                world.run(&mut client);
            }
            assert_eq!(client.read, CONNACK_YES);
            assert_eq!(client.tls.handshake_kind(), Some(HandshakeKind::Full), "round {round}");
            assert_eq!(client.tls.tls13_tickets_received(), 0);
        }
        // And a CA that goes is gone at once.
        world.trust(2, &[]);
        assert_eq!(world.gate.sessions(), 0);
        let mut client = world.connect(&config);
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
        assert_eq!((client.read.as_slice(), world.codes()), (&CONNACK_NO[..], vec!["unknown_issuer".to_owned()]));
    }
}

#[test]
fn e04_an_identity_pinned_to_another_factory_is_refused() {
    let mut world = World::new();
    let other = world.root.intermediate("Factory-W").device("widget-1");
    let mine = world.tech.device("widget-1");
    world.admit(&mine, "widget-1", &version::TLS12);
    let mut client = world.connect(&client_config(Some(&other), &version::TLS12));
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    assert_eq!((client.read.as_slice(), world.codes()), (&CONNACK_NO[..], vec!["identity_pinned".to_owned()]));
    assert_eq!(world.gate.sessions(), 1, "the session of the rightful device goes on");
}

#[test]
fn e04_no_crowd_of_strangers_keeps_the_alarm_out_of_the_log() {
    let mut world = World::new();
    let (mine, other) = (world.tech.device("widget-1"), world.root.intermediate("Factory-W").device("widget-1"));
    world.admit(&mine, "widget-1", &version::TLS13);
    let elsewhere = client_config(Some(&Ca::root("Elsewhere").device("widget-1")), &version::TLS13);
    let misnamed = client_config(Some(&world.tech.device("widget-2")), &version::TLS13);
    for _ in 0..1_000 {
        let (handle, _) = world.gate.open(SOURCE.parse().ok(), world.now);
        let requests = world.gate.receive(handle.unwrap(), b"GET / HTTP/1.1", world.now);
        world.log.extend(requests);
    }
    // Nor do those who show chains that are not good; nor devices with a good one that call themselves something else.
    for config in [&elsewhere, &misnamed] {
        for _ in 0..60 {
            let mut client = world.connect(config);
            client.say(&connect_packet("widget-1"));
            world.run(&mut client);
        }
    }
    let pinned = client_config(Some(&other), &version::TLS13);
    for _ in 0..60 {
        let mut client = world.connect(&pinned);
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
    }
    let codes = world.codes();
    let lines = |code: &str| codes.iter().filter(|known| *known == code).count();
    assert_eq!([lines("tls_error"), lines("unknown_issuer")], [400, 0]);
    assert_eq!([lines("client_id_mismatch"), lines("identity_pinned")], [50, 50], "bounded as well");
    world.tick_after(1_000);
    assert_eq!(fact(world.notes("suppressed")[0], "lines"), (600 + 60 + 10 + 10).to_string());
}

/// What a device of `ca` would be pinned to, its own key left open.
fn issued_by(ca: &Ca) -> Pin {
    let der = &ca.der;
    Pin { issuer: sha256(Certificate::parse(der).unwrap().spki.der), leaf: NO_KEY }
}

#[test]
fn e04_a_declared_successor_takes_an_identity_over_and_the_old_issuer_does_not_get_it_back() {
    let mut world = World::new();
    let factory = world.root.intermediate("Factory-W");
    let (old, new) = (world.tech.device("widget-1"), factory.device("widget-1"));
    let config = client_config(Some(&new), &version::TLS12);
    let old_client = world.admit(&old, "widget-1", &version::TLS12);
    assert_eq!(visit(&mut world, &config).read, CONNACK_NO);
    let refused = fact(world.notes("refused")[0], "issuer_spki_sha256");
    assert_eq!((world.codes(), refused), (vec!["identity_pinned".to_owned()], hex(&issued_by(&factory).issuer)));
    let pair = (issued_by(&world.tech).issuer, issued_by(&factory).issuer);
    world.successions = Arc::new([pair].into());
    world.trust(1, &[world.root.der.clone()]);
    assert_eq!(visit(&mut world, &config).read, CONNACK_LATER, "stock clients do not come again after a no");
    assert_eq!(world.codes(), ["identity_pinned", "rekeyed_while_live"]);
    world.gate.lost(old_client.handle, world.now);
    let mut client = visit(&mut world, &config);
    assert!(matches!(world.log.iter().rev().find_map(claim_of), Some(claim) if claim.before.is_some()));
    world.answer_claim(client.handle, None);
    world.run(&mut client);
    assert_eq!((client.read.as_slice(), world.notes("succeeded").len()), (&CONNACK_YES[..], 1));
    assert_eq!(visit(&mut world, &client_config(Some(&old), &version::TLS12)).read, CONNACK_NO);
    assert_eq!(world.codes().last().unwrap(), "identity_pinned");
    assert_eq!(world.gate.sessions(), 1);
}

#[test]
fn e04_an_identity_that_its_owner_pins_anew_is_out_at_once_and_comes_back_by_the_named_issuer_alone() {
    let mut world = World::new();
    let factory = world.root.intermediate("Factory-W");
    let (old, new) = (world.tech.device("widget-1"), factory.device("widget-1"));
    let sibling = world.tech.device("widget-2");
    world.admit(&sibling, "widget-2", &version::TLS13);
    let mut old_client = world.admit(&old, "widget-1", &version::TLS13);
    world.pin("widget-1", issued_by(&factory));
    assert_eq!((world.closed(), world.gate.sessions()), (vec!["repinned".to_owned()], 1));
    world.run(&mut old_client);
    assert!(old_client.ended_cleanly());
    assert_eq!(visit(&mut world, &client_config(Some(&old), &version::TLS13)).read, CONNACK_NO);
    let mut client = visit(&mut world, &client_config(Some(&new), &version::TLS13));
    world.answer_claim(client.handle, None);
    world.run(&mut client);
    assert_eq!((client.read.as_slice(), world.notes("rekeyed").len()), (&CONNACK_YES[..], 1));
    // The same issuer: whoever is connected makes room for another key.
    world.pin("widget-1", issued_by(&factory));
    assert_eq!(world.gate.sessions(), 1);
    let mut client = visit(&mut world, &client_config(Some(&factory.device("widget-1")), &version::TLS13));
    world.answer_claim(client.handle, None);
    world.run(&mut client);
    assert_eq!(client.read, CONNACK_YES);
}

#[test]
fn e04_whoever_is_live_by_a_key_that_the_identity_has_moved_from_is_ended() {
    // Another worker has asked this one before the old key came, and its claim is committed.
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let _live = world.admit(&device, "widget-1", &version::TLS13);
    let pin = world.log.iter().find_map(claim_of).unwrap().pin;
    world.pin("widget-1", pin);
    assert_eq!(world.gate.sessions(), 1, "nothing has changed");
    world.pin("widget-1", Pin { issuer: [7; 32], ..pin });
    assert_eq!(world.gate.sessions(), 1, "its own key under a successor: it is placed among the others");
    world.pin("widget-1", pin);
    world.gate.share_identities();
    let _late = world.admit(&device, "widget-1", &version::TLS13);
    world.pin("widget-1", Pin { leaf: [7; 32], ..pin });
    assert_eq!((world.gate.sessions(), world.closed()), (0, vec!["taken_over".to_owned(); 2]));
    assert_eq!(world.gate.take_admissions(), [], "it is not told any more: it would be the later one");
}

fn visit(world: &mut World, config: &Arc<ClientConfig>) -> Client {
    let mut client = world.connect(config);
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    client
}

fn claim_of(request: &Request) -> Option<&Claim> {
    if let Request::Claim(claim) = request { Some(claim) } else { None }
}

#[test]
fn e02_two_spellings_of_one_id_are_not_two_devices() {
    let mut world = World::new();
    let (lower, upper) = (world.tech.device("widget-1"), world.tech.device("Widget-1"));
    world.admit(&lower, "widget-1", &version::TLS13);
    let mut client = world.connect(&client_config(Some(&upper), &version::TLS13));
    client.say(&connect_packet("Widget-1"));
    world.run(&mut client);
    assert_eq!(world.codes(), ["identity_case_conflict"]);
}

#[test]
fn a_new_key_of_the_same_issuer_is_claimed_anew_but_never_while_the_old_one_is_live() {
    let mut world = World::new();
    let (old, new) = (world.tech.device("widget-1"), world.tech.device("widget-1"));
    let old_client = world.admit(&old, "widget-1", &version::TLS13);
    let config = client_config(Some(&new), &version::TLS13);
    let mut client = world.connect(&config);
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    assert_eq!((client.read.as_slice(), world.codes()), (&CONNACK_LATER[..], vec!["rekeyed_while_live".to_owned()]));
    world.gate.lost(old_client.handle, world.now);
    let mut client = world.connect(&config);
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    match world.log.iter().rev().find(|request| matches!(request, Request::Claim(_))) {
        Some(Request::Claim(claim)) => assert!(claim.before.is_some() && claim.handle == client.handle),
        other => panic!("{other:?}"),
    }
    world.answer_claim(client.handle, None);
    world.run(&mut client);
    assert_eq!(client.read, CONNACK_YES);
}

#[test]
fn m01_what_is_no_connect_is_never_answered_and_never_waited_for() {
    let cases: [(&[u8], &str); 9] = [
        (&publish_packet("widget-1", 1), "mqtt_unexpected_packet"),
        (b"GET / HTTP/1.1\r\n\r\n", "mqtt_unexpected_packet"),
        (&[0x30], "mqtt_unexpected_packet"),
        (&[0xc0, 0], "mqtt_unexpected_packet"),
        (&[0x10, 0xff, 0xff, 0xff, 0x7f], "mqtt_packet_too_large"),
        (&[0x10, 0xff, 0xff, 0xff, 0xff, 0x01], "mqtt_bad_length"),
        (&[0x10, 0x80, 0x80, 0x00], "mqtt_bad_length"),
        (&[0x11, 0], "mqtt_bad_flags"),
        (&connect_packet("widget-\0"), "mqtt_bad_string"),
    ];
    for tls in BOTH {
        for (bytes, code) in cases {
            let mut world = World::new();
            let device = world.tech.device("widget-1");
            let mut client = world.connect(&client_config(Some(&device), tls));
            client.say(bytes);
            world.run(&mut client);
            assert_eq!((world.codes(), client.read.as_slice()), (vec![code.to_owned()], &[][..]), "{code}");
            assert_eq!((world.claims(), world.gate.sessions()), (0, 0));
        }
    }
}

#[test]
fn m02_client_id_and_user_name_must_be_the_certificates() {
    let cases: [(&[u8], &str, u8); 11] = [
        (&connect_packet("widget-1/#"), "client_id_mismatch", 5),
        (&connect_packet("+"), "client_id_mismatch", 5),
        (&connect_packet("#"), "client_id_mismatch", 5),
        (&connect_packet("widget-2"), "client_id_mismatch", 5),
        (&connect_packet("Widget-1"), "client_id_mismatch", 5),
        (&connect_packet("widget-1/module"), "client_id_mismatch", 5),
        (&connect_packet(""), "client_id_mismatch", 2),
        (&connect_as("widget-1", "hub.example/widget-2/?api-version=1"), "user_name_mismatch", 5),
        (&connect_as("widget-1", "widget-2"), "user_name_mismatch", 5),
        (&connect_as("widget-1", "hub.example/widget-1x"), "user_name_mismatch", 5),
        (&connect_as("widget-1", "hub/widget-1/module/?a=b"), "user_name_mismatch", 5),
    ];
    for (packet, code, answer) in cases {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), &version::TLS12));
        client.say(packet);
        world.run(&mut client);
        assert_eq!(
            (world.codes(), client.read.as_slice()),
            (vec![code.to_owned()], &[0x20, 2, 0, answer][..]),
            "{code}"
        );
        assert_eq!(world.claims(), 0);
    }
    for user_name in ["widget-1", "hub.example/widget-1/?api-version=2019-10-01&DeviceClientType=x", "h/widget-1"] {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), &version::TLS12));
        client.say(&connect_as("widget-1", user_name));
        world.run(&mut client);
        assert_eq!((world.codes().len(), world.claims()), (0, 1), "{user_name}");
    }
}

#[test]
fn other_protocol_levels_are_answered_in_their_own_form() {
    for (level, answer) in [(3, vec![0x20, 2, 0, 1]), (6, vec![0x20, 3, 0, 0x84, 0])] {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
        client.say(&packet(0x10, &[text("MQTT"), vec![level, 2, 0, 60, 0], text("widget-1")].concat()));
        world.run(&mut client);
        assert_eq!(client.read, answer);
        assert!(client.ended_cleanly());
    }
}

#[test]
fn t14_trust_that_moves_between_verdict_and_connect_is_asked_again() {
    for version in BOTH {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), version));
        world.run(&mut client);
        world.trust(2, &[]);
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
        assert_eq!((world.codes(), client.read.as_slice()), (vec!["unknown_issuer".to_owned()], &CONNACK_NO[..]));
        // And between the claim and its answer.
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), version));
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
        world.trust(2, &[]);
        world.answer_claim(client.handle, None);
        world.run(&mut client);
        assert_eq!((world.codes(), client.read.as_slice()), (vec!["unknown_issuer".to_owned()], &CONNACK_NO[..]));
        assert_eq!(world.gate.sessions(), 0);
    }
}

#[test]
fn l07_late_doubled_lost_and_recycled_verdicts_are_harmless() {
    let mut world = World::new();
    let (one, two) = (world.tech.device("widget-1"), world.tech.device("widget-2"));
    let mut client = world.connect(&client_config(Some(&one), &version::TLS13));
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    let old = client.handle;
    world.gate.lost(old, world.now);
    // The slot is used again; the verdict for the old handle comes late, twice.
    let mut second = world.connect(&client_config(Some(&two), &version::TLS13));
    assert_ne!(second.handle, old);
    second.say(&connect_packet("widget-2"));
    world.run(&mut second);
    world.answer_claim(old, None);
    world.answer_claim(old, None);
    world.run(&mut second);
    assert_eq!((second.read.len(), world.gate.sessions()), (0, 0));
    world.answer_claim(second.handle, Some("identity_pinned"));
    world.answer_claim(second.handle, None);
    world.run(&mut second);
    assert_eq!((second.read.as_slice(), world.gate.sessions()), (&CONNACK_NO[..], 0));
    for handle in [0, 1, old, u64::MAX] {
        assert_eq!(world.gate.receive(handle, b"x", world.now), []);
        assert_eq!(world.gate.stored(&[(handle, 1, 0)], world.now), []);
    }
}

#[test]
fn i08_a_registry_that_cannot_answer_admits_nobody_and_says_that_it_is_not_the_device() {
    for code in ["registry_unavailable", "trust_moved"] {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), &version::TLS12));
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
        world.answer_claim(client.handle, Some(code));
        world.run(&mut client);
        assert_eq!((client.read.as_slice(), world.gate.sessions()), (&[0x20, 2, 0, 3][..], 0));
    }
}

#[test]
fn r03_a_clock_that_goes_back_admits_nobody() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    world.admit(&device, "widget-1", &version::TLS13);
    world.now.unix.0 -= 3_600;
    let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    assert_eq!((world.codes(), client.read.as_slice()), (vec!["clock_behind".to_owned()], &[0x20, 2, 0, 3][..]));
}

#[test]
fn r03_a_clock_that_goes_back_after_the_verdict_admits_nobody_either() {
    let refused = (vec!["clock_behind".to_owned()], CONNACK_LATER.to_vec());
    for version in BOTH {
        // Known, with its path judged; then the clock goes back, and it says its CONNECT.
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        world.admit(&device, "widget-1", version);
        let mut client = world.connect(&client_config(Some(&device), version));
        world.run(&mut client);
        world.now.unix.0 -= 1;
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
        assert_eq!((world.codes(), client.read), refused.clone());
        assert_eq!((world.notes("admitted").len(), world.claims()), (1, 1));
        // New, with its claim on its way.
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), version));
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
        assert_eq!(world.claims(), 1);
        world.now.unix.0 -= 1;
        world.answer_claim(client.handle, None);
        world.run(&mut client);
        assert_eq!((world.codes(), client.read, world.gate.sessions()), (refused.0.clone(), refused.1.clone(), 0));
        // Nothing is claimed by a clock that has gone back.
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), version));
        world.run(&mut client);
        world.now.unix.0 -= 1;
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
        assert_eq!((world.codes(), world.claims()), (refused.0.clone(), 0));
    }
}

#[test]
fn r06_a_live_session_ends_with_its_certificate() {
    let mut world = World::new();
    let device = world.tech.device_until("widget-1", 2026);
    let mut client = world.admit(&device, "widget-1", &version::TLS13);
    world.now.unix.0 += 366 * 86_400;
    // However the calendar moves, each session is looked at twice a minute.
    world.tick_after(30_000);
    world.run(&mut client);
    assert!(client.ended_cleanly());
    assert_eq!(world.closed(), ["expired"]);
    let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    assert_eq!(world.codes(), ["expired"]);
}

#[test]
fn m12_silence_beyond_one_and_a_half_keep_alives_ends_the_session() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let mut client = world.admit(&device, "widget-1", &version::TLS13);
    world.tick_after(89_999);
    assert_eq!(world.closed(), [""; 0]);
    client.say(&[0xc0, 0]);
    world.run(&mut client);
    assert_eq!(client.read, [0xd0, 0]);
    world.tick_after(89_999);
    assert_eq!(world.closed(), [""; 0]);
    world.tick_after(1);
    assert_eq!(world.closed(), ["keep_alive"]);
}

fn hold(world: &mut World, client: &Client, held: bool) {
    let requests = world.gate.hold(client.handle, held, world.now);
    world.log.extend(requests);
}

#[test]
fn g03_whoever_is_not_read_from_is_not_silent_and_is_heard_for_its_whole_time_afterwards() {
    for speaks in [true, false] {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.admit(&device, "widget-1", &version::TLS13);
        hold(&mut world, &client, true);
        (0..300).for_each(|_| world.tick_after(29_999));
        // Now it would be due.
        hold(&mut world, &client, false);
        world.tick_after(89_999);
        assert_eq!(world.closed(), [""; 0]);
        if speaks {
            client.say(&[0xc0, 0]);
            world.run(&mut client);
        }
        // A peer that is gone without a word is found out.
        world.tick_after(1);
        assert_eq!(world.closed().is_empty(), speaks);
        world.tick_after(89_999);
        assert_eq!(world.closed(), ["keep_alive"]);
    }
}

#[test]
fn g03_whoever_is_not_read_from_ends_when_its_right_to_be_there_does() {
    type Act = fn(&mut World, &Device);
    let cases: [(&str, Act); 3] = [
        ("expired", |world, _| {
            world.now.unix.0 += 20 * 365 * 86_400;
            world.tick_after(30_000);
        }),
        ("untrusted", |world, _| world.trust(2, &[])),
        ("taken_over", |world, device| {
            let mut again = world.connect(&client_config(Some(device), &version::TLS13));
            again.say(&connect_packet("widget-1"));
            world.run(&mut again);
        }),
    ];
    for (reason, act) in cases {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let client = world.admit(&device, "widget-1", &version::TLS13);
        hold(&mut world, &client, true);
        assert!(world.gate.is_awaited(client.handle));
        act(&mut world, &device);
        assert_eq!(world.closed(), [reason]);
        assert!(!world.gate.is_awaited(client.handle));
    }
}

const EVENTS: &str = "devices/widget-1/messages/events/";

#[test]
fn what_may_pass_by_itself_is_no_last_word_and_the_log_says_of_which_device_it_is() {
    for (code, answer) in [
        ("identity_pinned", CONNACK_NO),
        ("rekeyed_while_live", CONNACK_LATER),
        ("clock_behind", CONNACK_LATER),
        ("path_unknown", CONNACK_LATER),
    ] {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
        world.answer_claim(client.handle, Some(code));
        world.run(&mut client);
        let [note] = world.notes("refused")[..] else { panic!("one line") };
        assert_eq!((client.read.as_slice(), fact(note, "code")), (&answer[..], code.to_owned()));
        assert_eq!(fact(note, "device"), "widget-1");
        assert_eq!(fact(note, "issuer_spki_sha256"), hex(&issued_by(&world.tech).issuer));
    }
}

#[test]
fn r03_time_passes_for_a_gate_to_which_nobody_comes() {
    let mut world = World::new();
    let device = world.tech.device_until("widget-1", 2026);
    // The year after; then somebody puts the clock back.
    world.now.unix.0 += 366 * 86_400;
    world.tick_after(100);
    world.now.unix = TODAY;
    let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    assert_eq!((client.read.as_slice(), world.codes()), (&CONNACK_LATER[..], vec!["clock_behind".to_owned()]));
}

#[test]
fn m12_a_packet_that_drips_keeps_nobody_alive_and_a_large_one_on_a_slow_line_does() {
    for (step, wanted) in [(1, &["keep_alive"][..]), (200, &[])] {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.admit(&device, "widget-1", &version::TLS13);
        let mut large = Vec::new();
        write_publish(EVENTS, Some(9), &vec![b'x'; 100_000], &mut large);
        for (second, piece) in large.chunks(step).take(600).enumerate() {
            client.say(piece);
            world.run(&mut client);
            world.tick_after(1_000);
            assert!(second >= 89 || world.closed().is_empty());
        }
        assert_eq!(world.closed(), wanted, "{step} bytes a second");
        assert_eq!(world.stores().len(), usize::from(wanted.is_empty()));
    }
}

#[test]
fn m12_a_packet_of_the_largest_size_is_taken_and_one_octet_more_is_not() {
    for (more, wanted) in [(0, &[][..]), (1, &["mqtt_packet_too_large"])] {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.admit(&device, "widget-1", &version::TLS13);
        // A fixed header of four octets, a topic behind its length, a packet identifier.
        let payload = vec![b'x'; 256 * 1024 - 4 - 2 - EVENTS.len() - 2 + more];
        let mut largest = Vec::new();
        write_publish(EVENTS, Some(9), &payload, &mut largest);
        assert_eq!(largest.len(), 256 * 1024 + more);
        for piece in largest.chunks(16_384) {
            if world.closed().is_empty() {
                client.say(piece);
                world.run(&mut client);
            }
        }
        assert_eq!(world.closed(), wanted);
        assert_eq!(world.stores().len(), 1 - more);
    }
}

#[test]
fn l17_a_peer_that_stalls_is_closed_at_the_deadline_whatever_it_drips() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let mut silent = world.connect(&client_config(Some(&device), &version::TLS13));
    let mut halfway = world.connect(&client_config(Some(&device), &version::TLS13));
    let mut late = world.connect(&client_config(Some(&device), &version::TLS13));
    world.run(&mut halfway);
    world.tick_after(9_000);
    // A key that is proven only now, whosever it is, does not begin the time anew (I7).
    world.run(&mut late);
    halfway.say(&connect_packet("widget-1")[..3]);
    world.run(&mut halfway);
    world.tick_after(1_000);
    world.deliver(&mut silent);
    world.deliver(&mut halfway);
    world.deliver(&mut late);
    assert!(silent.closed && halfway.closed && late.closed);
    assert_eq!((world.codes(), world.gate.connections()), (vec!["handshake_deadline".to_owned(); 3], 0));
}

#[test]
fn m10_reading_stops_while_too_much_is_unacknowledged_and_nothing_is_lost() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let mut client = world.admit(&device, "widget-1", &version::TLS12);
    for packet_id in 1..=100 {
        client.say(&publish_packet("widget-1", packet_id));
    }
    world.run(&mut client);
    assert_eq!(world.stores(), (1..=32).collect::<Vec<u16>>());
    assert!(world.log.contains(&Request::Pause { handle: client.handle }));
    for packet_id in 1..=100 {
        let requests = world.gate.stored(&[(client.handle, packet_id, 0)], world.now);
        world.log.extend(requests);
    }
    world.run(&mut client);
    assert_eq!(world.stores(), (1..=100).collect::<Vec<u16>>());
    assert!(world.log.contains(&Request::Resume { handle: client.handle }));
    let acknowledged: Vec<u16> =
        client.read.chunks(4).map(|puback| u16::from_be_bytes([puback[2], puback[3]])).collect();
    assert_eq!(acknowledged, (1..=100).collect::<Vec<u16>>());
}

#[test]
fn m10_x01_whoever_says_more_than_the_disk_takes_waits_alone_though_nothing_is_to_be_acknowledged() {
    let mut world = World::new();
    let [device, other] = ["widget-1", "widget-2"].map(|id| world.tech.device(id));
    let mut client = world.admit(&device, "widget-1", &version::TLS13);
    let mut other = world.admit(&other, "widget-2", &version::TLS13);
    world.log.clear();
    let once = packet(0x30, &[text("devices/widget-1/messages/events/"), vec![b'x'; 16_000]].concat());
    let mut receipts = Vec::new();
    for _ in 0..5 {
        assert!(!world.log.contains(&Request::Pause { handle: client.handle }), "{receipts:?}");
        client.say(&once);
        world.run(&mut client);
        receipts = world.log.iter().filter_map(receipt).collect();
    }
    assert_eq!((receipts.len(), receipts[0].1), (5, 0));
    assert!(world.log.contains(&Request::Pause { handle: client.handle }));
    other.say(&publish_packet("widget-2", 1));
    world.run(&mut other);
    assert!(!world.log.contains(&Request::Pause { handle: other.handle }));
    // Somebody else's are stored, then one of its own.
    assert_eq!(world.gate.stored(&[(other.handle, 0, 90_000)], world.now), []);
    let resumed = [Request::Resume { handle: client.handle }];
    assert_eq!(world.gate.stored(&receipts[..1], world.now), resumed);
    assert_eq!(world.gate.stored(&receipts[1..], world.now), []);
}

#[test]
fn m10_m12_of_half_packets_there_are_so_many_and_those_go_that_have_held_the_most_for_the_longest() {
    let mut limits = Limits::default();
    limits.half_packets_bytes_max = 80_000;
    let mut world = World::with_limits(limits);
    let ids = ["widget-1", "widget-2", "widget-3", "widget-4"];
    let devices = ids.map(|id| world.tech.device(id));
    let [mut idle, mut first, mut second, mut third] =
        [0, 1, 2, 3].map(|index| world.admit(&devices[index], ids[index], &version::TLS13));
    // Of 200,000 octets.
    let head = [&[0x32, 0xc0, 0x9a, 0x0c][..], &vec![0; 30_000]].concat();
    for client in [&mut first, &mut second] {
        world.now.monotonic_ms += 1_000;
        client.say(&head);
        world.run(client);
    }
    assert_eq!((world.gate.sessions(), world.closed().len()), (4, 0));
    assert!((60_000..80_000).contains(&world.gate.half_packets_bytes()));
    world.now.monotonic_ms += 1_000;
    third.say(&head);
    world.run(&mut third);
    world.run(&mut first);
    assert_eq!((world.gate.sessions(), world.closed()), (3, vec!["packet_unfinished".to_owned()]));
    assert!(first.ended_cleanly());
    assert!((60_000..80_000).contains(&world.gate.half_packets_bytes()));
    for client in [&mut idle, &mut second] {
        client.say(&[0xc0, 0]);
        world.run(client);
    }
    assert_eq!(idle.read, [0xd0, 0]);
    // Whoever comes to the end of its packet, or is gone, holds nothing.
    for client in [&second, &third] {
        let requests = world.gate.lost(client.handle, world.now);
        world.log.extend(requests);
    }
    assert_eq!(world.gate.half_packets_bytes(), 0);
}

/// What the store says once it has stored a message.
fn receipt(request: &Request) -> Option<(u64, u16, usize)> {
    let Request::Store { handle, telemetry, .. } = request else { return None };
    Some((*handle, telemetry.packet_id, telemetry.bytes()))
}

#[test]
fn m04_m09_what_is_not_allowed_ends_the_session_with_its_own_code() {
    let cases: [(&[u8], &str); 8] = [
        (&publish_packet("widget-2", 1), "mqtt_topic_not_allowed"),
        (&connect_packet("widget-1"), "mqtt_unexpected_packet"),
        (&[0xf0, 0], "mqtt_unexpected_packet"),
        (&[0x40, 2, 0, 1], "mqtt_unexpected_packet"),
        (&packet(0x34, &[text("devices/widget-1/messages/events/"), vec![0, 1]].concat()), "mqtt_qos_unsupported"),
        (&[0x30, 0xff, 0xff, 0xff, 0x7f], "mqtt_packet_too_large"),
        (&[0xc1, 0], "mqtt_bad_flags"),
        (&[0x30, 0xff, 0xff, 0xff, 0xff], "mqtt_bad_length"),
    ];
    for (bytes, code) in cases {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.admit(&device, "widget-1", &version::TLS13);
        client.say(bytes);
        world.run(&mut client);
        assert_eq!(
            (world.closed(), world.codes(), world.gate.sessions()),
            (vec![code.to_owned()], vec![], 0),
            "{code}"
        );
        assert!(client.finished);
        world.admit(&device, "widget-1", &version::TLS13);
    }
}

#[test]
fn m04_a_device_that_is_closed_again_and_again_for_what_it_says_is_told_to_wait() {
    let mut world = World::new();
    let (device, other) = (world.tech.device("widget-1"), world.tech.device("widget-2"));
    for _ in 0..=15 {
        let mut client = world.admit(&device, "widget-1", &version::TLS13);
        client.say(&publish_packet("widget-2", 1));
        world.run(&mut client);
        assert!(client.finished);
    }
    let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    assert_eq!((client.read.as_slice(), world.codes()), (&[0x20, 2, 0, 3][..], vec!["closed_too_often".to_owned()]));
    world.admit(&other, "widget-2", &version::TLS13);
    world.tick_after(60_000);
    world.admit(&device, "widget-1", &version::TLS13);
}

#[test]
fn m04_what_somebody_on_the_way_breaks_is_not_the_devices_doing() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    for _ in 0..=15 {
        let client = world.admit(&device, "widget-1", &version::TLS13);
        let requests = world.gate.receive(
            client.handle,
            &[23, 3, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            world.now,
        );
        world.log.extend(requests);
    }
    assert_eq!(world.closed(), ["tls_error"; 16]);
    world.admit(&device, "widget-1", &version::TLS13);
    assert_eq!(world.codes(), [""; 0]);
}

#[test]
fn m04_only_the_devices_own_inbox_is_granted() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let mut client = world.admit(&device, "widget-1", &version::TLS13);
    let filters = [
        "devices/widget-1/messages/devicebound/#",
        "devices/widget-2/messages/devicebound/#",
        "#",
        "$SYS/#",
        "$share/a/b",
    ];
    let body: Vec<u8> = filters.iter().flat_map(|filter| [text(filter), vec![2]].concat()).collect();
    client.say(&packet(0x82, &[vec![0, 9], body].concat()));
    client.say(&packet(0xa2, &[vec![0, 10], text("never/subscribed")].concat()));
    world.run(&mut client);
    assert_eq!(client.read, [&[0x90, 7, 0, 9, 1, 0x80, 0x80, 0x80, 0x80][..], &[0xb0, 2, 0, 10]].concat());
}

#[test]
fn l01_bytes_that_are_not_tls_reach_nobody() {
    for bytes in
        [&connect_packet("widget-1")[..], b"GET / HTTP/1.1\r\n\r\n", &[0; 100], &[0xff; 100], &[0x16, 3, 1, 0xff, 0xff]]
    {
        let mut world = World::new();
        let (handle, _) = world.gate.open(SOURCE.parse().ok(), world.now);
        let requests = world.gate.receive(handle.unwrap(), bytes, world.now);
        world.log.extend(requests);
        world.take_turns();
        assert!(world.log.iter().any(|request| matches!(request, Request::Finish { .. } | Request::Close { .. })));
        assert_eq!(world.codes(), ["tls_error"]);
        assert_eq!((world.claims(), world.stores().len(), world.gate.sessions()), (0, 0, 0));
        let device = world.tech.device("widget-1");
        world.admit(&device, "widget-1", &version::TLS12); // U6
    }
}

#[test]
fn i07_a_peer_may_feed_only_so_much_before_its_verdict() {
    let mut limits = Limits::default();
    limits.session.handshake_bytes_max = 1_000;
    let mut world = World::with_limits(limits);
    let device = world.tech.device("widget-1");
    let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
    world.run(&mut client);
    assert_eq!(world.codes(), ["handshake_too_large"]);
}

#[test]
fn l17_newcomers_beyond_the_limits_find_no_room_and_room_comes_back() {
    let mut limits = Limits::default();
    limits.half_open_count_max = 2;
    let mut world = World::with_limits(limits);
    let handles: Vec<u64> = (0..2).filter_map(|_| world.gate.open(SOURCE.parse().ok(), world.now).0).collect();
    assert_eq!(handles.len(), 2);
    let (handle, requests) = world.gate.open(SOURCE.parse().ok(), world.now);
    assert!(handle.is_none() && requests.len() == 1);
    world.gate.lost(handles[0], world.now);
    let device = world.tech.device("widget-1");
    let _client = world.admit(&device, "widget-1", &version::TLS13);
    assert!(world.gate.open(SOURCE.parse().ok(), world.now).0.is_some(), "an admitted device is not half open");
}

#[test]
fn draining_ends_idle_sessions_and_lets_unfinished_ones_finish() {
    let mut world = World::new();
    let (idle, busy) = (world.tech.device("widget-1"), world.tech.device("widget-2"));
    let mut idle = world.admit(&idle, "widget-1", &version::TLS13);
    world.log.clear();
    let mut busy = world.admit(&busy, "widget-2", &version::TLS13);
    busy.say(&publish_packet("widget-2", 1));
    world.run(&mut busy);
    let requests = world.gate.drain(usize::MAX, world.now);
    world.log.extend(requests);
    world.run(&mut idle);
    assert!(idle.ended_cleanly() && world.gate.sessions() == 1);
    let (handle, refused) = world.gate.open(SOURCE.parse().ok(), world.now);
    world.log.extend(refused);
    assert_eq!((handle, world.codes()), (None, vec!["draining".to_owned()]));
    let requests = world.gate.stored(&[(busy.handle, 1, 0)], world.now);
    world.log.extend(requests);
    let requests = world.gate.drain(usize::MAX, world.now);
    world.log.extend(requests);
    world.run(&mut busy);
    assert_eq!(busy.read, [0x40, 2, 0, 1]);
    assert!(busy.ended_cleanly() && world.gate.sessions() == 0);
}

#[test]
fn u05_names_in_the_log_are_escaped_and_cut() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
    client.say(&connect_packet(&"\u{202e}".repeat(2_000)));
    world.run(&mut client);
    let found = fact(world.notes("refused")[0], "found");
    assert!(found.len() <= 256 && found.is_ascii(), "{found}");
}

fn sha256(der: &[u8]) -> [u8; 32] {
    holdfast_engine::sha256(der)
}

fn spki_sha256(der: &[u8]) -> [u8; 32] {
    sha256(Certificate::parse(der).unwrap().spki.der)
}

#[test]
fn r01_a_closed_branch_is_shut_out_at_once_live_sessions_included_and_its_sibling_is_not() {
    let mut world = World::new();
    let (factory, sibling) = (world.root.intermediate("Factory-Y"), world.root.intermediate("Factory-S"));
    let (below, own) = (factory.intermediate("Technician-Z").device("below"), factory.device("own"));
    let beside = sibling.device("beside");
    for (device, id) in [(&below, "below"), (&own, "own"), (&beside, "beside")] {
        world.admit(device, id, &version::TLS13);
    }
    assert_eq!(world.paths(), [3, 2, 2], "each path is told once, its anchor included");
    let keys = [spki_sha256(&factory.der)].into();
    world.closures = Arc::new(Closures { keys, ..Closures::default() });
    let root = world.root.der.clone();
    world.trust(2, std::slice::from_ref(&root));
    assert_eq!((world.closed(), world.gate.sessions()), (vec!["untrusted".to_owned(); 2], 1));
    for version in BOTH {
        for (device, id) in [(&below, "below"), (&own, "own")] {
            let mut client = world.connect(&client_config(Some(device), version));
            client.say(&connect_packet(id));
            world.run(&mut client);
            assert_eq!(client.read, CONNACK_NO);
        }
        world.admit(&beside, "beside", version);
    }
    assert_eq!(world.codes(), ["key_closed"; 4]);
    // What was closed by mistake is opened again, and needs no claim.
    world.closures = Arc::default();
    world.trust(3, &[root]);
    world.admit(&below, "below", &version::TLS12);
}

#[test]
fn r01_a_device_s_own_key_or_certificate_is_closed() {
    for by_key in [true, false] {
        let mut world = World::new();
        let (lost, other) = (world.tech.device("lost"), world.tech.device("other"));
        world.admit(&lost, "lost", &version::TLS13);
        world.admit(&other, "other", &version::TLS13);
        let mut closures = Closures::default();
        if by_key {
            closures.keys.insert(spki_sha256(&lost.chain[0]));
        } else {
            closures.certificates.insert(sha256(&lost.chain[0]));
        }
        world.closures = Arc::new(closures);
        let root = world.root.der.clone();
        world.trust(2, &[root]);
        assert_eq!((world.closed(), world.gate.sessions()), (vec!["untrusted".to_owned()], 1));
        let mut client = world.connect(&client_config(Some(&lost), &version::TLS13));
        client.say(&connect_packet("lost"));
        world.run(&mut client);
        assert_eq!(world.codes(), [if by_key { "key_closed" } else { "certificate_closed" }]);
    }
}

#[test]
fn r01_what_is_closed_between_verdict_and_admission_is_not_admitted() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    world.closures = Arc::new(Closures { keys: [spki_sha256(&world.tech.der)].into(), ..Closures::default() });
    let root = world.root.der.clone();
    world.trust(2, &[root]);
    world.answer_claim(client.handle, None);
    world.run(&mut client);
    assert_eq!((client.read.as_slice(), world.gate.sessions()), (&CONNACK_NO[..], 0));
    assert_eq!(world.codes(), ["key_closed"]);
}

#[test]
fn g08_a_gate_whose_lease_has_lapsed_admits_nobody_and_keeps_whom_it_has() {
    let mut world = World::new();
    let (first, second) = (world.tech.device("widget-1"), world.tech.device("widget-2"));
    let live = world.admit(&first, "widget-1", &version::TLS13);
    world.supervised = false;
    world.tick_after(5_001);
    let mut client = world.connect(&client_config(Some(&second), &version::TLS13));
    client.say(&connect_packet("widget-2"));
    world.run(&mut client);
    world.answer_claim(client.handle, None);
    world.run(&mut client);
    assert_eq!(client.read, [0x20, 2, 0, 3]);
    assert_eq!((world.codes(), world.gate.sessions()), (vec!["lease_lapsed".to_owned()], 1));
    world.gate.renew_lease(world.now);
    world.admit(&second, "widget-2", &version::TLS13);
    assert!(!live.closed);
}

/// Two gates of one hub, and the one who puts their admissions in order.
#[test]
fn e06_of_two_sessions_on_two_workers_the_later_stays_in_whatever_order_the_news_come() {
    for a_first in [true, false] {
        let (mut a, mut b) = (World::new(), World::new());
        b.trust(2, &[a.root.der.clone()]);
        let device = a.tech.device("widget-1");
        a.gate.share_identities();
        b.gate.share_identities();
        a.admit(&device, "widget-1", &version::TLS13);
        b.admit(&device, "widget-1", &version::TLS13);
        let mut order = [(true, a.gate.take_admissions()), (false, b.gate.take_admissions())];
        if !a_first {
            order.reverse();
        }
        for (of_a, told) in order {
            assert_eq!(told.len(), 1);
            a.placed(of_a, &told);
            b.placed(!of_a, &told);
        }
        // The second in the order stays; the first is told that it was taken over, exactly once.
        let (stays, goes) = if a_first { (&b, &a) } else { (&a, &b) };
        assert_eq!((stays.gate.sessions(), goes.gate.sessions()), (1, 0));
        assert_eq!((stays.closed(), goes.closed()), (vec![], vec!["taken_over".to_owned()]));
        assert_eq!(a.gate.take_admissions(), []);
    }
}

#[test]
fn a_drain_ends_no_more_at_a_time_than_it_is_asked_to() {
    let mut world = World::new();
    for id in ["w-1", "w-2", "w-3"] {
        let device = world.tech.device(id);
        world.admit(&device, id, &version::TLS13);
    }
    for left in [2, 1, 0, 0] {
        world.gate.drain(1, world.now);
        assert_eq!(world.gate.sessions(), left);
    }
}

#[test]
fn l17_strangers_are_worked_for_in_turns_of_a_bounded_number_first_come_first_served() {
    let mut limits = Limits::default();
    limits.handshakes_a_turn = 2;
    let mut world = World::with_limits(limits);
    let live = world.tech.device("live");
    let mut live = world.admit(&live, "live", &version::TLS13);
    world.log.clear();
    let device = world.tech.device("widget-1");
    let config = client_config(Some(&device), &version::TLS13);
    let mut clients: Vec<_> = (0..5).map(|_| world.connect_from("127.0.0.77", &config)).collect();
    for client in &mut clients {
        let hello = client.hello();
        let requests = world.gate.receive(client.handle, &hello, world.now);
        world.log.extend(requests);
    }
    // Asked for once, however many wait; and a connected device waits for none of them.
    assert_eq!(world.log, [Request::Turn]);
    world.log.clear();
    live.say(&publish_packet("live", 1));
    world.carry(&mut live);
    assert_eq!(world.stores(), [1]);
    world.log.clear();
    for (served, more) in [(0..2, true), (2..4, true), (4..5, false)] {
        let requests = world.gate.turn(world.now);
        let answered: Vec<u64> = requests
            .iter()
            .filter_map(|request| if let Request::Send { handle, .. } = request { Some(*handle) } else { None })
            .collect();
        assert_eq!(answered, clients[served].iter().map(|client| client.handle).collect::<Vec<_>>());
        assert_eq!(requests.contains(&Request::Turn), more);
    }
    assert_eq!(world.gate.turn(world.now), []);
}

/// Sends a hello of each, whose turn has not come yet.
fn say_hello(world: &mut World, clients: &mut [Client]) {
    for client in clients {
        let hello = client.hello();
        let requests = world.gate.receive(client.handle, &hello, world.now);
        world.log.extend(requests);
    }
}

/// Whom a turn of the gate answers.
fn answered(requests: &[Request]) -> Vec<u64> {
    let answers = |request: &Request| if let Request::Send { handle, .. } = request { Some(*handle) } else { None };
    requests.iter().filter_map(answers).collect()
}

#[test]
fn x01_addresses_that_devices_came_from_have_turns_of_their_own() {
    let mut limits = Limits::default();
    limits.handshakes_a_turn = 4;
    let mut world = World::with_limits(limits);
    let device = world.tech.device("widget-1");
    for _ in 0..3 {
        let _client = world.admit(&device, "widget-1", &version::TLS13);
    }
    let config = client_config(Some(&device), &version::TLS13);
    let mut strangers: Vec<_> = (0..12).map(|_| world.connect_from("127.0.0.77", &config)).collect();
    say_hello(&mut world, &mut strangers);
    let mut known: Vec<_> = (0..3).map(|_| world.connect(&config)).collect();
    say_hello(&mut world, &mut known);
    let answered = answered(&world.gate.turn(world.now));
    assert!(known.iter().all(|client| answered.contains(&client.handle)), "before 12 that came before them");
    assert_eq!(answered.len(), 4);
}

/// Bytes of a record that never ends, one at a time, after a hello that was answered.
fn drip(world: &mut World, drippers: &[Client]) {
    for client in drippers {
        let requests = world.gate.receive(client.handle, &[0], world.now);
        world.log.extend(requests);
    }
}

#[test]
fn x01_strangers_that_drip_take_no_turns_from_devices() {
    let mut limits = Limits::default();
    limits.handshakes_a_turn = 4;
    let mut world = World::with_limits(limits);
    let device = world.tech.device("widget-1");
    for _ in 0..10 {
        let _client = world.admit(&device, "widget-1", &version::TLS13);
    }
    let config = client_config(Some(&device), &version::TLS13);
    let mut drippers: Vec<_> = (0..8).map(|_| world.connect_from("127.0.0.77", &config)).collect();
    say_hello(&mut world, &mut drippers);
    world.take_turns();
    for client in &drippers {
        let requests = world.gate.receive(client.handle, &[0x17, 3, 3, 0x40, 0], world.now);
        world.log.extend(requests);
    }
    let mut known: Vec<_> = (0..10).map(|_| world.connect(&config)).collect();
    say_hello(&mut world, &mut known);
    let mut turns = 0;
    let mut served = 0;
    while served < 10 {
        served += answered(&world.gate.turn(world.now)).len();
        drip(&mut world, &drippers);
        turns += 1;
        assert!(turns <= 10, "{served} of 10 after {turns} turns of four steps");
    }
    // They are not new, so nobody waits outside for their sake; nor does a byte keep one from being the one that kept still for longest.
    assert!(world.gate.welcomes());
}

#[test]
fn x01_a_byte_at_the_moment_at_which_room_is_made_keeps_no_place_for_long() {
    let mut limits = Limits::default();
    (limits.half_open_count_max, limits.half_open_per_source_max) = (8, 100);
    let mut world = World::with_limits(limits);
    let config = client_config(None, &version::TLS13);
    let drippers: Vec<_> = (0..8).map(|_| world.connect_from("127.0.0.77", &config)).collect();
    for client in &drippers {
        let requests = world.gate.receive(client.handle, &[0x16, 3, 1, 2, 0], world.now);
        world.log.extend(requests);
    }
    world.take_turns();
    world.tick_after(limits.shed_after_ms);
    drip(&mut world, &drippers);
    let newcomer = |world: &mut World| world.gate.open("127.0.0.78".parse().ok(), world.now).0;
    assert_eq!(newcomer(&mut world), None, "all of them wait for us");
    world.take_turns();
    for _ in 0..8 {
        assert!(newcomer(&mut world).is_some(), "what they have said was no step");
    }
    assert_eq!(newcomer(&mut world), None, "and these have just come");
}

#[test]
fn x01_whoever_was_answered_and_speaks_again_goes_before_everybody() {
    let mut limits = Limits::default();
    limits.handshakes_a_turn = 1;
    let mut world = World::with_limits(limits);
    let device = world.tech.device("widget-1");
    let config = client_config(Some(&device), &version::TLS13);
    let mut first = world.connect_from("127.0.0.77", &config);
    let hello = first.hello();
    let requests = world.gate.receive(first.handle, &hello, world.now);
    world.log.extend(requests);
    world.take_turns();
    world.deliver(&mut first);
    let mut others: Vec<_> = (0..3).map(|_| world.connect_from("127.0.0.78", &config)).collect();
    say_hello(&mut world, &mut others);
    world.log.clear();
    let flight = first.hello();
    let requests = world.gate.receive(first.handle, &flight, world.now);
    world.log.extend(requests);
    let handshakes = world.gate.counters().get("handshakes_completed").copied();
    assert_eq!(handshakes, None);
    for _ in 0..2 {
        world.gate.turn(world.now);
    }
    assert_eq!(world.gate.counters().get("handshakes_completed"), Some(&1), "one of four turns may be the others'");
}

#[test]
fn x01_the_unknown_wait_up_to_a_number_and_a_known_one_takes_the_place_of_the_last() {
    let mut limits = Limits::default();
    (limits.half_open_count_max, limits.hellos_waiting_max, limits.half_open_per_source_max) = (6, 3, 100);
    let mut world = World::with_limits(limits);
    let device = world.tech.device("widget-1");
    let _live = world.admit(&device, "widget-1", &version::TLS13);
    world.log.clear();
    let config = client_config(Some(&device), &version::TLS13);
    let mut strangers: Vec<_> = (0..3).map(|_| world.connect_from("127.0.0.77", &config)).collect();
    say_hello(&mut world, &mut strangers);
    let (refused, requests) = world.gate.open("127.0.0.78".parse().ok(), world.now);
    world.log.extend(requests);
    assert_eq!((refused, world.codes()), (None, vec!["unknown_source_limit".to_owned()]));
    let _known: Vec<_> = (0..3).map(|_| world.connect(&config)).collect();
    // All places are taken; the address has credit for one more.
    let _one_more = world.connect(&config);
    assert_eq!(world.codes(), ["unknown_source_limit", "shed"]);
    assert!(world.log.contains(&Request::Close { handle: strangers[2].handle }));
    // Whoever was shed makes no room among those that wait twice.
    world.gate.lost(strangers[0].handle, world.now);
    let mut more: Vec<_> = (0..1).map(|_| world.connect_from("127.0.0.77", &config)).collect();
    say_hello(&mut world, &mut more);
    world.gate.lost(more[0].handle, world.now);
    world.gate.lost(strangers[1].handle, world.now);
    world.take_turns();
    assert_eq!(world.gate.turn(world.now), [], "nobody waits any more");
}

#[test]
fn x01_nobody_is_to_be_accepted_while_there_is_enough_to_do() {
    let mut limits = Limits::default();
    (limits.half_open_count_max, limits.half_open_per_source_max) = (512, 1_000);
    let mut world = World::with_limits(limits);
    let device = world.tech.device("widget-1");
    let config = client_config(Some(&device), &version::TLS13);
    let mut strangers: Vec<_> = (0..256).map(|_| world.connect_from("127.0.0.77", &config)).collect();
    assert!(world.gate.welcomes());
    say_hello(&mut world, &mut strangers);
    assert!(!world.gate.welcomes(), "nobody would go before them");
    let (refused, requests) = world.gate.open("127.0.0.78".parse().ok(), world.now);
    world.log.extend(requests);
    assert_eq!((refused, world.codes()), (None, vec!["unknown_source_limit".to_owned()]));
    world.gate.lost(strangers[7].handle, world.now);
    assert!(world.gate.welcomes());
    let mut live = world.connect(&config);
    live.say(&connect_packet("widget-1"));
    world.run(&mut live);
    world.answer_claim(live.handle, None);
    world.run(&mut live);
    for stranger in &strangers {
        world.gate.lost(stranger.handle, world.now);
    }
    // Those that dialled and kept still, and speak when all have come.
    let mut again: Vec<_> = (0..300).map(|_| world.connect_from("127.0.0.77", &config)).collect();
    world.log.clear();
    say_hello(&mut world, &mut again);
    assert_eq!(world.codes(), vec!["unknown_source_limit"; 44]);
    assert!(!world.gate.welcomes(), "nobody has come lately who would go before them");
    let mut known = [world.connect(&config)];
    assert!(world.gate.welcomes());
    say_hello(&mut world, &mut known);
    assert!(answered(&world.gate.turn(world.now)).contains(&known[0].handle));
}

#[test]
fn x01_a_known_one_takes_the_place_of_an_unknown_one_that_keeps_still() {
    let mut limits = Limits::default();
    (limits.half_open_count_max, limits.half_open_per_source_max) = (2, 100);
    let mut world = World::with_limits(limits);
    let device = world.tech.device("widget-1");
    let _live = world.admit(&device, "widget-1", &version::TLS13);
    world.log.clear();
    let config = client_config(Some(&device), &version::TLS13);
    let silent: Vec<_> = (0..2).map(|_| world.connect_from("127.0.0.77", &config)).collect();
    assert_eq!(world.gate.open("127.0.0.78".parse().ok(), world.now).0, None, "they may still be on their way");
    let _known = [world.connect(&config), world.connect(&config)];
    assert_eq!(world.codes(), ["shed", "shed"]);
    assert!(silent.iter().all(|client| world.log.contains(&Request::Close { handle: client.handle })));
    assert_eq!(world.gate.open(SOURCE.parse().ok(), world.now).0, None, "nor does one known make room for another");
}

#[test]
fn l01_what_is_no_tls_has_no_turn_and_no_answer() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let config = client_config(Some(&device), &version::TLS13);
    // HTTP; a CONNECT in the clear; an alert; a record of another protocol version; a handshake that begins with something else.
    let said = [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &connect_packet("widget-1"),
        b"\x15\x03\x03\0\x02\x02\x28",
        b"\x16\x02\0",
        b"\x16\x03\x01\0\x05\x02",
    ];
    for said in said {
        let client = world.connect(&config);
        world.log = world.gate.receive(client.handle, said, world.now);
        assert_eq!(world.codes(), ["tls_error"]);
        assert!(matches!(world.log[..], [Request::Note(_), Request::Close { handle }] if handle == client.handle));
    }
    // What begins as a hello does, and goes on otherwise, is the library's to answer.
    let client = world.connect(&config);
    assert_eq!(world.gate.receive(client.handle, b"\x16", world.now), [Request::Turn]);
    assert_eq!(world.gate.receive(client.handle, b"\x03\x01\0\x05\x02\0\0\x01\0", world.now), []);
    let requests = world.gate.turn(world.now);
    assert!(matches!(&requests[..], [.., Request::Send { data, .. }, Request::Finish { .. }] if data[0] == 21));
    assert_eq!((world.gate.connections(), world.gate.half_open()), (1, 0));
}

#[test]
fn x01_chains_from_known_addresses_are_judged_before_a_crowd_of_others_and_some_of_these_beside_them() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let _live = world.admit(&device, "widget-1", &version::TLS13);
    world.log.clear();
    let config = client_config(Some(&device), &version::TLS13);
    let _silent = world.connect_from("127.0.0.78", &config);
    let foreign = Ca::root("Somebody").device("widget-2");
    let foreign = client_config(Some(&foreign), &version::TLS13);
    let present = |world: &mut World, source: &str, config: &Arc<ClientConfig>| {
        let mut client = world.connect_from(source, config);
        world.carry(&mut client);
        client.handle
    };
    let mut unknown: Vec<_> = (0..80).map(|_| present(&mut world, "127.0.0.77", &foreign)).collect();
    let gone = unknown.remove(0);
    world.gate.lost(gone, world.now);
    let known = present(&mut world, SOURCE, &config);
    let batch = world.gate.take_batch(world.now).0.unwrap();
    assert_eq!(batch.len(), 64);
    let requests = world.gate.deliver(batch.judge(), world.now);
    world.log.extend(requests);
    assert!(world.gate.is_proven(known), "though it came last");
    assert_eq!(world.codes().len(), 63);
    let rest = world.gate.take_batch(world.now).0.unwrap();
    assert_eq!(rest.len(), 79 - 63, "whoever is gone is not judged");
    world.gate.deliver(rest.judge(), world.now);
    assert_eq!(world.gate.take_batch(world.now).0.map(|batch| batch.len()), None);
}

#[test]
fn x01_one_that_waits_for_its_verdict_makes_room_for_a_known_one() {
    let mut limits = Limits::default();
    (limits.half_open_count_max, limits.half_open_per_source_max) = (3, 100);
    let mut world = World::with_limits(limits);
    let device = world.tech.device("widget-1");
    let _live = world.admit(&device, "widget-1", &version::TLS13);
    let config = client_config(Some(&device), &version::TLS13);
    let mut silent = world.connect(&config);
    let waiting = [(); 2].map(|()| {
        let mut client = world.connect_from("127.0.0.77", &config);
        world.carry(&mut client);
        client.handle
    });
    let open = |world: &mut World, source: &str| {
        let (handle, requests) = world.gate.open(source.parse().ok(), world.now);
        world.log.extend(requests);
        handle.is_some()
    };
    assert!(!open(&mut world, SOURCE), "it has just come");
    world.now.monotonic_ms += limits.shed_after_ms;
    say_hello(&mut world, std::slice::from_mut(&mut silent));
    assert!(!open(&mut world, "127.0.0.78"), "it is as good as they are");
    assert!(open(&mut world, SOURCE) && world.log.contains(&Request::Close { handle: waiting[0] }));
}

#[test]
fn x01_more_than_a_handshake_may_be_takes_no_place_from_anybody() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let config = client_config(Some(&device), &version::TLS13);
    for pieces in [1, 2] {
        let mut client = world.connect(&config);
        let mut said = client.hello();
        said.resize(33 * 1024, 0);
        world.log = said
            .chunks(said.len() / pieces)
            .flat_map(|piece| world.gate.receive(client.handle, piece, world.now))
            .filter(|request| *request != Request::Turn)
            .collect();
        assert_eq!(world.codes(), ["handshake_too_large"]);
        assert!(matches!(world.log[..], [Request::Note(_), Request::Close { handle }] if handle == client.handle));
        assert_eq!((world.gate.turn(world.now), world.gate.connections()), (vec![], 0));
    }
}

#[test]
fn a_stranger_that_is_shed_after_its_verdict_is_no_handshake_that_ends_once_more() {
    let mut limits = Limits::default();
    (limits.half_open_count_max, limits.shed_after_ms) = (2, 0);
    let mut world = World::with_limits(limits);
    let [first, last] = ["first", "last"].map(|id| world.tech.device(id));
    let mut judged = world.connect(&client_config(Some(&first), &version::TLS13));
    world.run(&mut judged);
    let config = client_config(Some(&last), &version::TLS13);
    let _silent = world.connect(&config);
    let mut client = world.connect(&config);
    assert_eq!((world.codes(), world.gate.half_open()), (vec!["shed".to_owned()], 2));
    world.log.clear();
    world.carry(&mut client);
    assert!(world.log.iter().any(|request| matches!(request, Request::Tick { .. })), "it waits for the silent one");
}

#[test]
fn x01_a_hello_behind_which_the_stream_has_ended_is_not_answered() {
    for version in BOTH {
        let mut world = World::new();
        let device = world.tech.device("widget-1");
        let mut client = world.connect(&client_config(Some(&device), version));
        let hello = client.hello();
        // An octet that has had a turn changes nothing.
        let (octet, rest) = hello.split_at(1);
        assert_eq!(world.gate.receive(client.handle, octet, world.now), [Request::Turn]);
        assert_eq!(world.gate.turn(world.now), []);
        assert_eq!(world.gate.receive(client.handle, rest, world.now), [Request::Turn]);
        assert_eq!(world.gate.end_of_stream(client.handle, world.now), [Request::Close { handle: client.handle }]);
        assert_eq!((world.gate.turn(world.now), world.gate.connections()), (vec![], 0));
        assert_eq!(world.gate.counters().get("handshakes_left"), Some(&1));
        assert_eq!(world.gate.counters().get("strangers_answered"), None);
    }
}

#[test]
fn l01_what_an_answered_peer_said_before_the_end_of_its_stream_is_worked_on_before_it_ends() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
    say_hello(&mut world, std::slice::from_mut(&mut client));
    world.take_turns();
    world.deliver(&mut client);
    let flight = client.hello();
    assert_eq!(world.gate.receive(client.handle, &flight, world.now), [Request::Turn]);
    assert_eq!(world.gate.end_of_stream(client.handle, world.now), []);
    let requests = world.gate.turn(world.now);
    assert_eq!(requests.last(), Some(&Request::Close { handle: client.handle }));
    let counters = world.gate.counters();
    let [begun, completed] = ["strangers_answered", "handshakes_completed"].map(|name| counters.get(name).copied());
    assert_eq!((begun, completed, world.gate.connections()), (Some(1), Some(1), 0));
}

#[test]
fn l17_who_keeps_still_for_longest_makes_room_and_nobody_who_gets_on_does() {
    let mut limits = Limits::default();
    limits.half_open_count_max = 4;
    let mut world = World::with_limits(limits);
    let live = world.tech.device("live");
    let live = world.admit(&live, "live", &version::TLS13);
    let device = world.tech.device("widget-1");
    let config = client_config(Some(&device), &version::TLS13);
    let silent: Vec<_> = (0..3).map(|_| world.connect(&config)).collect();
    world.tick_after(900);
    // One that has said something since; one whose chain is with the judge waits for us, however long.
    let mut slow = world.connect(&config);
    let hello = slow.hello();
    let requests = world.gate.receive(slow.handle, &hello, world.now);
    world.log.extend(requests);
    world.take_turns();
    let (refused, _) = world.gate.open(SOURCE.parse().ok(), world.now);
    assert_eq!(refused, None, "all of them may still be on their way");
    world.tick_after(150);
    for gone in &silent {
        let (handle, requests) = world.gate.open(SOURCE.parse().ok(), world.now);
        assert!(handle.is_some());
        assert_eq!(requests.last(), Some(&Request::Close { handle: gone.handle }));
        world.log.extend(requests);
    }
    let (refused, _) = world.gate.open(SOURCE.parse().ok(), world.now);
    assert_eq!((refused, world.codes()), (None, vec!["shed".to_owned(); 3]));
    assert_eq!(world.gate.sessions(), 1);
    assert!(!live.closed && !slow.closed);
}

#[test]
fn l17_where_sessions_leave_little_room_those_who_keep_still_make_it_as_well() {
    let mut limits = Limits::default();
    limits.connections_count_max = 6;
    let mut world = World::with_limits(limits);
    let devices = ["one", "two", "three"].map(|id| (id, world.tech.device(id)));
    let live = devices.each_ref().map(|(id, device)| world.admit(device, id, &version::TLS13));
    let open = |world: &mut World, source: &str| {
        let (handle, requests) = world.gate.open(source.parse().ok(), world.now);
        world.log.extend(requests);
        handle
    };
    let silent: Vec<_> = (0..3).filter_map(|_| open(&mut world, "127.0.0.77")).collect();
    assert_eq!((silent.len(), open(&mut world, "127.0.0.78")), (3, None), "whoever has just come may be on its way");
    // An address that devices come from goes before those.
    let known = open(&mut world, SOURCE);
    assert!(known.is_some() && world.log.contains(&Request::Close { handle: silent[0] }));
    world.tick_after(limits.shed_after_ms);
    assert!(open(&mut world, "127.0.0.78").is_some() && world.log.contains(&Request::Close { handle: silent[1] }));
    assert_eq!((world.gate.sessions(), world.gate.connections()), (3, 6));
    assert!(live.iter().all(|client| !world.log.contains(&Request::Close { handle: client.handle })));
}

#[test]
fn l17_whoever_is_only_read_from_gives_its_place_to_who_comes() {
    let mut limits = Limits::default();
    limits.connections_count_max = 2;
    let mut world = World::with_limits(limits);
    // They are told that this is no hello, and leave the connection open.
    let broken = [(); 2].map(|()| {
        let client = world.connect(&client_config(None, &version::TLS13));
        for octets in [&[0x16, 3, 1, 0, 4, 1][..], &[0, 0, 0]] {
            let requests = world.gate.receive(client.handle, octets, world.now);
            world.log.extend(requests);
            world.take_turns();
        }
        client.handle
    });
    assert!(broken.iter().all(|handle| world.log.contains(&Request::Finish { handle: *handle })));
    let (handle, requests) = world.gate.open(SOURCE.parse().ok(), world.now);
    assert!(handle.is_some() && requests == [Request::Close { handle: broken[0] }]);
    assert_eq!((world.gate.connections(), world.gate.half_open()), (2, 1));
}

#[test]
fn l17_one_source_has_a_share_of_the_room_once_half_of_it_is_taken() {
    let mut limits = Limits::default();
    (limits.half_open_count_max, limits.half_open_per_source_max) = (10, 2);
    let mut world = World::with_limits(limits);
    let mut open = |source: &str| {
        let (handle, requests) = world.gate.open(source.parse().ok(), world.now);
        world.log.extend(requests);
        handle
    };
    // Alone it may have more than its share, up to the half.
    let first: Vec<_> = (0..5).map(|_| open("127.0.0.1")).collect();
    assert!(first.iter().all(Option::is_some));
    assert_eq!(open("127.0.0.1"), None);
    let others = [open("127.0.0.2"), open("127.0.0.2"), open("127.0.0.2"), open("::1")];
    assert_eq!(others.map(|handle| handle.is_some()), [true, true, false, true]);
    assert_eq!(world.codes(), ["source_limit"; 2]);
    for handle in first.into_iter().flatten() {
        world.gate.lost(handle, world.now);
    }
    assert!(world.gate.open("127.0.0.1".parse().ok(), world.now).0.is_some());
}

#[test]
fn l17_under_pressure_a_handshake_has_less_time_and_a_proven_key_has_all_of_it() {
    let mut limits = Limits::default();
    limits.half_open_count_max = 4;
    let mut world = World::with_limits(limits);
    let device = world.tech.device("widget-1");
    let config = client_config(Some(&device), &version::TLS13);
    let calm = world.connect(&config);
    let _second = world.connect(&config);
    let pressed = world.connect(&config);
    let mut proven = world.connect(&config);
    world.run(&mut proven);
    world.tick_after(2_000);
    assert_eq!(world.codes(), ["handshake_deadline"]);
    let closed = |world: &World, handle| world.log.contains(&Request::Close { handle });
    assert!(closed(&world, pressed.handle) && !closed(&world, calm.handle) && !closed(&world, proven.handle));
    world.tick_after(8_000);
    assert!(closed(&world, calm.handle) && closed(&world, proven.handle));
}

#[test]
fn x08_what_strangers_did_is_forgotten_with_them() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    for _ in 0..20 {
        let client = world.admit(&device, "widget-1", &version::TLS13);
        world.gate.lost(client.handle, world.now);
    }
    let (_, _) = world.gate.open(SOURCE.parse().ok(), world.now);
    assert_eq!(world.gate.steps(), 1);
}
