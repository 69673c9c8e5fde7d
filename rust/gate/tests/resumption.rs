//! Tickets: whom they let back in, when, and whom never (`trust.md` §1.3). Real TLS clients that resume wherever they can.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod world;

use std::sync::{Arc, Mutex};

use holdfast_gate::{Limits, Request, Tickets};
use holdfast_roster::Pin;
use holdfast_x509::{Certificate, Closures, UnixSeconds};
use rustls::client::{ClientConfig, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, NamedGroup, version};
use world::{BOTH, Ca, TICKET_KEY, World, client_config, connect_packet, fact};

const CONNACK_YES: [u8; 4] = [0x20, 2, 0, 0];
const CONNACK_NO: [u8; 4] = [0x20, 2, 0, 5];
const CONNACK_LATER: [u8; 4] = [0x20, 2, 0, 3];
const RESUMED: Option<HandshakeKind> = Some(HandshakeKind::Resumed);
const FULL: Option<HandshakeKind> = Some(HandshakeKind::Full);

/// One connection of a device that says its CONNECT as `id` and then goes: how the handshake went, and what it read.
fn visit(world: &mut World, config: &Arc<ClientConfig>, id: &str) -> (Option<HandshakeKind>, Vec<u8>) {
    let mut client = world.connect(config);
    client.say(&connect_packet(id));
    world.run(&mut client);
    if world.log.iter().any(|request| matches!(request, Request::Claim(claim) if claim.handle == client.handle)) {
        world.answer_claim(client.handle, None);
        world.run(&mut client);
    }
    let requests = world.gate.lost(client.handle, world.now);
    world.log.extend(requests);
    (client.tls.handshake_kind(), client.read)
}

fn counted(world: &World, name: &str) -> u64 {
    world.gate.counters().get(name).copied().unwrap_or(0)
}

fn pass_seconds(world: &mut World, seconds: i64) {
    world.now.unix.0 += seconds;
    world.tick_after(u64::try_from(seconds).unwrap() * 1_000);
}

/// The keys that the one device here was pinned to.
fn claimed_pin(world: &World) -> Pin {
    let mut claims =
        world.log.iter().filter_map(|request| if let Request::Claim(claim) = request { Some(claim.pin) } else { None });
    claims.next_back().unwrap()
}

fn spki_sha256(der: &[u8]) -> [u8; 32] {
    holdfast_engine::sha256(Certificate::parse(der).unwrap().spki.der)
}

#[test]
fn a_device_comes_back_by_its_ticket_is_judged_anew_and_gets_another() {
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    assert_eq!(visit(&mut world, &config, "widget-1"), (FULL, CONNACK_YES.to_vec()));
    for round in 2..5 {
        assert_eq!(visit(&mut world, &config, "widget-1"), (RESUMED, CONNACK_YES.to_vec()), "{:?}", world.codes());
        assert_eq!(counted(&world, "chains_judged"), round);
    }
    assert_eq!((counted(&world, "handshakes_completed"), counted(&world, "handshakes_resumed")), (1, 3));
    assert_eq!((counted(&world, "admitted"), world.claims()), (4, 1));
    let resumed: Vec<String> = world.notes("admitted").into_iter().map(|note| fact(note, "resumed")).collect();
    assert_eq!(resumed, ["", "true", "true", "true"]);
    let mut paths: Vec<String> = world.notes("admitted").into_iter().map(|note| fact(note, "path")).collect();
    paths.dedup();
    assert_eq!((paths.len(), paths[0].is_empty()), (1, false));
    assert_eq!(world.gate.tickets(), 2, "a device has two at the most");
}

#[test]
fn the_ticket_shares_a_write_with_the_answer_whether_that_is_yes_or_no() {
    for trusted in [true, false] {
        let mut world = World::new();
        let device = if trusted { world.tech.device("widget-1") } else { Ca::root("Elsewhere").device("widget-1") };
        let mut client = world.connect(&client_config(Some(&device), &version::TLS13));
        // The handshake alone, as by a client that speaks only when it is finished; the verdict is there by then.
        world.run(&mut client);
        assert!(!client.tls.is_handshaking());
        assert_eq!(client.tls.tls13_tickets_received(), 0);
        client.say(&connect_packet("widget-1"));
        let before = world.log.len();
        let bytes = client.hello();
        let requests = world.gate.receive(client.handle, &bytes, world.now);
        world.log.extend(requests);
        if trusted {
            world.answer_claim(client.handle, None);
        }
        let sent = world.log[before..].iter().filter(|request| matches!(request, Request::Send { .. })).count();
        assert_eq!(sent, 1);
        world.run(&mut client);
        assert_eq!(client.read, if trusted { CONNACK_YES } else { CONNACK_NO });
        assert_eq!(client.tls.tls13_tickets_received(), 1);
    }
}

#[test]
fn a_hello_that_brings_a_ticket_with_a_chain_of_three_is_small() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    assert_eq!(device.chain.len(), 3);
    let config = client_config(Some(&device), &version::TLS13);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    let (chain, hello) = (device.chain.concat().len(), world.connect(&config).hello().len());
    assert!((chain..chain + 600).contains(&hello), "{hello} octets for a chain of {chain}");
}

#[test]
fn l02_no_ticket_allows_early_data() {
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    let mut eager = ClientConfig::clone(&config);
    eager.enable_early_data = true;
    let eager = Arc::new(eager);
    assert_eq!(visit(&mut world, &eager, "widget-1").0, FULL);
    let mut client = world.connect(&eager);
    assert!(client.tls.early_data().is_none(), "the ticket says that none is taken");
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    assert_eq!((client.tls.handshake_kind(), client.read.as_slice()), (RESUMED, &CONNACK_YES[..]));
}

#[test]
fn l03_tls_12_has_no_tickets_and_no_session_ids() {
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS12);
    for _ in 0..3 {
        assert_eq!(visit(&mut world, &config, "widget-1"), (FULL, CONNACK_YES.to_vec()));
    }
    assert_eq!((world.gate.tickets(), counted(&world, "handshakes_resumed")), (0, 0));
}

#[test]
fn l07_a_ticket_that_went_out_before_a_bad_verdict_is_void() {
    for version in BOTH {
        let mut world = World::new();
        let stranger = Ca::root("Elsewhere").device("widget-1");
        let elsewhere = client_config(Some(&stranger), version);
        let misnamed = client_config(Some(&world.tech.device("widget-1")), version);
        for _ in 0..3 {
            assert_eq!(visit(&mut world, &elsewhere, "widget-1"), (FULL, CONNACK_NO.to_vec()));
            assert_eq!(visit(&mut world, &misnamed, "widget-2"), (FULL, CONNACK_NO.to_vec()));
        }
        let shown = if version == &version::TLS13 { 4 } else { 0 };
        assert_eq!((counted(&world, "tickets_void"), counted(&world, "tickets_unknown")), (shown, 0));
        assert_eq!((world.gate.tickets(), world.claims(), world.gate.sessions()), (0, 0, 0));
    }
}

#[test]
fn l07_a_ticket_is_live_only_once_its_device_is_admitted() {
    let mut limits = Limits::default();
    limits.batch_inline_max = 0;
    let mut world = World::with_limits(limits);
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    let mut client = world.connect(&config);
    client.say(&connect_packet("widget-1"));
    world.carry(&mut client);
    assert_eq!(world.gate.tickets(), 0, "the verdict is awaited");
    world.run(&mut client);
    assert_eq!((world.claims(), world.gate.tickets()), (1, 0), "the claim is awaited");
    world.answer_claim(client.handle, Some("registry_unavailable"));
    world.run(&mut client);
    assert_eq!((client.read.as_slice(), client.tls.tls13_tickets_received()), (&CONNACK_LATER[..], 1));
    assert_eq!(world.gate.tickets(), 0);
    assert_eq!(visit(&mut world, &config, "widget-1"), (FULL, CONNACK_YES.to_vec()));
    assert_eq!((world.gate.tickets(), visit(&mut world, &config, "widget-1").0), (1, RESUMED));
}

#[test]
fn l08_who_shows_no_certificate_gets_no_ticket() {
    let mut world = World::new();
    let mut client = world.connect(&client_config(None, &version::TLS13));
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    assert_eq!((client.read.as_slice(), client.tls.tls13_tickets_received()), (&CONNACK_NO[..], 0));
}

#[test]
fn l03_r01_a_ticket_of_somebody_who_is_shut_out_is_void_and_stays_so() {
    let mut world = World::new();
    let sibling = world.root.intermediate("Factory-Y").intermediate("Technician-S");
    let (shut, kept) = (world.tech.device("widget-1"), sibling.device("widget-2"));
    let configs = [
        (client_config(Some(&shut), &version::TLS13), "widget-1"),
        (client_config(Some(&kept), &version::TLS13), "widget-2"),
    ];
    for (config, id) in &configs {
        assert_eq!(visit(&mut world, config, id), (FULL, CONNACK_YES.to_vec()));
    }
    let anchors = [world.root.der.clone()];
    let closed = Closures { keys: [spki_sha256(&world.tech.der)].into(), ..Closures::default() };
    world.closures = Arc::new(closed);
    world.trust(2, &anchors);
    assert_eq!(world.gate.tickets(), 0);
    for _ in 0..10 {
        assert_eq!(visit(&mut world, &configs[0].0, "widget-1"), (FULL, CONNACK_NO.to_vec()));
    }
    assert_eq!(visit(&mut world, &configs[1].0, "widget-2"), (FULL, CONNACK_YES.to_vec()));
    assert_eq!(visit(&mut world, &configs[1].0, "widget-2"), (RESUMED, CONNACK_YES.to_vec()));
    // Opened again: what it was given before stays void.
    world.closures = Arc::default();
    world.trust(3, &anchors);
    assert_eq!(visit(&mut world, &configs[0].0, "widget-1"), (FULL, CONNACK_YES.to_vec()));
    assert_eq!(visit(&mut world, &configs[0].0, "widget-1"), (RESUMED, CONNACK_YES.to_vec()));
    // And a CA that goes.
    world.trust(4, &[]);
    assert_eq!(visit(&mut world, &configs[0].0, "widget-1"), (FULL, CONNACK_NO.to_vec()));
    assert!(world.codes().iter().all(|code| ["key_closed", "unknown_issuer"].contains(&code.as_str())));
}

#[test]
fn l03_trust_that_moves_while_a_resumption_waits_for_its_verdict_is_asked_again() {
    for (trusted, answer, code) in [(false, CONNACK_NO, "unknown_issuer"), (true, CONNACK_LATER, "ticket_void")] {
        let mut limits = Limits::default();
        limits.batch_inline_max = 0;
        let mut world = World::with_limits(limits);
        let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
        assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
        let mut client = world.connect(&config);
        client.say(&connect_packet("widget-1"));
        world.carry(&mut client);
        assert_eq!(client.tls.handshake_kind(), RESUMED);
        let anchors = if trusted { vec![world.root.der.clone()] } else { vec![] };
        world.trust(2, &anchors);
        world.run(&mut client);
        assert_eq!((client.read.as_slice(), world.codes()), (&answer[..], vec![code.to_owned()]));
        assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    }
}

#[test]
fn l04_a_ticket_of_another_tenant_or_listener_is_taken_back_by_nobody() {
    for (tenant, listener, taken) in [
        ("company-x", "mqtt", true),
        ("company-q", "mqtt", false),
        ("company-x", "mqtts", false),
        ("company-xm", "qtt", false),
    ] {
        let mut a = World::new();
        let tickets = Tickets::new(tenant, listener, 1_000);
        // The keys are the same: by mistake, or on purpose of somebody who runs both.
        tickets.set_keys(vec![TICKET_KEY]);
        let mut b = World::with_tickets(Limits::default(), tickets);
        b.trust(2, &[a.root.der.clone()]);
        a.trust(2, &[a.root.der.clone()]);
        let config = client_config(Some(&a.tech.device("widget-1")), &version::TLS13);
        a.gate.share_identities();
        assert_eq!(visit(&mut a, &config, "widget-1").0, FULL);
        let told = a.gate.take_admissions();
        assert!(told.first().unwrap().ticket.is_some());
        b.log.clear();
        // b knows the device, and is told that the ticket is live: only what it is bound to stands in the way.
        b.pin("widget-1", claimed_pin(&a));
        b.placed(false, &told);
        assert_eq!(b.log, []);
        let kind = visit(&mut b, &config, "widget-1").0;
        assert_eq!(kind, if taken { RESUMED } else { FULL }, "{tenant} {listener}");
        assert_eq!(counted(&b, "tickets_unknown"), u64::from(!taken));
    }
}

#[test]
fn l04_a_ticket_is_for_the_server_name_that_it_was_given_under() {
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    let shared = Arc::new(Box::<Pocket>::default());
    let mut careless = ClientConfig::clone(&config);
    careless.resumption = Resumption::store(Arc::clone(&shared) as Arc<dyn ClientSessionStore>);
    let careless = Arc::new(careless);
    assert_eq!(visit(&mut world, &careless, "widget-1").0, FULL);
    let mut client = world.connect(&careless);
    client.tls = rustls::client::ClientConnection::new(careless, ServerName::try_from("other.test").unwrap()).unwrap();
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    assert_eq!((client.tls.handshake_kind(), client.read.as_slice()), (FULL, &CONNACK_YES[..]));
}

/// Keeps the last ticket, whatever server it is of, and advises no key exchange.
#[derive(Debug, Default)]
struct Pocket(Mutex<Option<Tls13ClientSessionValue>>);

impl ClientSessionStore for Box<Pocket> {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        *self.0.lock().unwrap() = Some(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap().take()
    }
}

#[test]
fn a_ticket_is_taken_after_a_hello_retry_request_too() {
    let mut world = World::new();
    let device = world.tech.device("widget-1");
    let config = world::client_config_of(Some(&device), &version::TLS13, |provider| {
        // Its share is of a group that the gate does not have.
        provider.kx_groups = vec![aws_lc_rs::kx_group::MLKEM1024, aws_lc_rs::kx_group::X25519];
    });
    let mut config = ClientConfig::clone(&config);
    config.resumption = Resumption::store(Arc::new(Box::<Pocket>::default()));
    let config = Arc::new(config);
    assert_eq!(visit(&mut world, &config, "widget-1").0, Some(HandshakeKind::FullWithHelloRetryRequest));
    for _ in 0..2 {
        assert_eq!(visit(&mut world, &config, "widget-1"), (RESUMED, CONNACK_YES.to_vec()));
    }
}

#[test]
fn l06_tickets_outlive_one_change_of_keys_and_neither_two_nor_a_restart() {
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    world.tickets.set_keys(vec![[8; 32], TICKET_KEY]);
    assert_eq!(visit(&mut world, &config, "widget-1").0, RESUMED);
    world.tickets.set_keys(vec![[8; 32]]);
    assert_eq!(visit(&mut world, &config, "widget-1").0, RESUMED, "it was sealed with the new key");
    world.tickets.set_keys(vec![[9; 32]]);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    assert_eq!(counted(&world, "tickets_unknown"), 1);
    // Another life of the worker: the key is told again, the list is empty.
    let root = world.root.der.clone();
    let again = Tickets::new("company-x", "mqtt", 1_000);
    again.set_keys(vec![[9; 32]]);
    let mut restarted = World::with_tickets(Limits::default(), again);
    restarted.trust(2, &[root]);
    restarted.pin("widget-1", claimed_pin(&world));
    assert_eq!(visit(&mut restarted, &config, "widget-1"), (FULL, CONNACK_YES.to_vec()));
    assert_eq!((counted(&restarted, "tickets_void"), counted(&restarted, "tickets_unknown")), (1, 0));
}

#[test]
fn without_keys_nobody_is_given_a_ticket_and_none_is_taken() {
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    world.tickets.set_keys(vec![]);
    assert_eq!(world.gate.tickets(), 0);
    let mut client = world.connect(&config);
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    assert_eq!((client.tls.handshake_kind(), client.tls.tls13_tickets_received()), (FULL, 0));
    // With the key it had: what was live is not any more.
    world.tickets.set_keys(vec![TICKET_KEY]);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
}

#[test]
fn a_lineage_ends_an_hour_after_the_proof_however_often_its_device_comes_back() {
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    for _ in 0..3 {
        pass_seconds(&mut world, 1_190);
        assert_eq!(visit(&mut world, &config, "widget-1").0, RESUMED);
    }
    pass_seconds(&mut world, 29);
    assert_eq!(visit(&mut world, &config, "widget-1").0, RESUMED);
    pass_seconds(&mut world, 1);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    assert_eq!(counted(&world, "tickets_void"), 1);
    pass_seconds(&mut world, 3_599);
    assert_eq!(visit(&mut world, &config, "widget-1").0, RESUMED);
}

#[test]
fn a_lineage_that_ends_between_finished_and_connect_is_over() {
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    pass_seconds(&mut world, 3_599);
    let mut client = world.connect(&config);
    world.run(&mut client);
    assert_eq!(client.tls.handshake_kind(), RESUMED);
    world.now.unix.0 += 1;
    client.say(&connect_packet("widget-1"));
    world.run(&mut client);
    assert_eq!((client.read.as_slice(), world.codes()), (&CONNACK_LATER[..], vec!["ticket_void".to_owned()]));
    assert_eq!(visit(&mut world, &config, "widget-1"), (FULL, CONNACK_YES.to_vec()));
}

#[test]
fn a_lineage_ends_with_the_path_of_its_device() {
    let mut world = World::new();
    // 2026-12-31T00:00:00Z, when the device's certificate ends.
    let not_after = UnixSeconds(1_798_675_200);
    world.now.unix = UnixSeconds(not_after.0 - 600);
    world.gate.share_identities();
    let config = client_config(Some(&world.tech.device_until("widget-1", 2026)), &version::TLS13);
    for kind in [FULL, RESUMED] {
        assert_eq!(visit(&mut world, &config, "widget-1"), (kind, CONNACK_YES.to_vec()), "{:?}", world.codes());
        let ends: Vec<_> = world.gate.take_admissions().iter().map(|told| told.ticket.unwrap().ends).collect();
        assert_eq!(ends, [not_after]);
    }
    pass_seconds(&mut world, 601);
    assert_eq!(visit(&mut world, &config, "widget-1"), (FULL, CONNACK_NO.to_vec()));
    assert_eq!(world.codes(), ["expired"]);
}

#[test]
fn e04_a_resumed_connection_moves_no_pin() {
    let mut world = World::new();
    let (old, new) = (world.tech.device("widget-1"), world.tech.device("widget-1"));
    let before = client_config(Some(&old), &version::TLS13);
    assert_eq!(visit(&mut world, &before, "widget-1").0, FULL);
    let old_pin = claimed_pin(&world);
    // A new key of the same issuer: what the old key was given is void.
    assert_eq!(visit(&mut world, &client_config(Some(&new), &version::TLS13), "widget-1").0, FULL);
    assert_eq!(world.claims(), 2);
    assert_eq!(visit(&mut world, &before, "widget-1"), (FULL, CONNACK_YES.to_vec()));
    assert_eq!(world.claims(), 3);
    assert_eq!(visit(&mut world, &before, "widget-1").0, RESUMED);
    world.pin("widget-1", old_pin);
    assert_eq!(visit(&mut world, &before, "widget-1").0, RESUMED, "nothing has changed");
    // And so it is where another worker, or an operator, has moved the pin.
    world.pin("widget-1", Pin { leaf: [1; 32], ..old_pin });
    assert_eq!(visit(&mut world, &before, "widget-1").0, FULL);
}

#[test]
fn e04_a_ticket_of_another_key_than_the_pinned_one_or_of_nobody_s_lets_nobody_in() {
    for known in [true, false] {
        let (mut a, mut b) = (World::new(), World::new());
        b.trust(1, &[a.root.der.clone()]);
        a.gate.share_identities();
        let config = client_config(Some(&a.tech.device("widget-1")), &version::TLS13);
        assert_eq!(visit(&mut a, &config, "widget-1").0, FULL);
        let told = a.gate.take_admissions();
        if known {
            b.pin("widget-1", Pin { leaf: [1; 32], ..claimed_pin(&a) });
        }
        b.placed(false, &told);
        assert_eq!(visit(&mut b, &config, "widget-1"), (RESUMED, CONNACK_LATER.to_vec()));
        assert_eq!((b.codes(), b.claims()), (vec!["resumed_unpinned".to_owned()], 0));
        // It comes back as one that proves its key.
        assert_eq!(visit(&mut b, &config, "widget-1"), (FULL, CONNACK_YES.to_vec()));
        assert_eq!(b.claims(), 1);
    }
}

#[test]
fn m02_a_ticket_lets_its_device_in_and_nobody_by_another_name() {
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    assert_eq!(visit(&mut world, &config, "widget-2"), (RESUMED, CONNACK_NO.to_vec()));
    assert_eq!(world.codes(), ["client_id_mismatch"]);
    // Whoever is turned away proves the key again.
    assert_eq!(visit(&mut world, &config, "widget-1"), (FULL, CONNACK_YES.to_vec()));
}

#[test]
fn a_worker_takes_back_what_another_has_given_once_it_is_told_and_only_in_the_same_epoch() {
    for epoch in [1, 2] {
        let (mut a, mut b) = (World::new(), World::new());
        b.trust(epoch, &[a.root.der.clone()]);
        a.gate.share_identities();
        b.gate.share_identities();
        let config = client_config(Some(&a.tech.device("widget-1")), &version::TLS13);
        assert_eq!(visit(&mut a, &config, "widget-1").0, FULL);
        let told = a.gate.take_admissions();
        let ticket = told[0].ticket;
        b.pin("widget-1", claimed_pin(&a));
        // Its own come back to it too, and change nothing.
        b.placed(false, &told);
        a.placed(true, &told);
        assert_eq!((a.gate.tickets(), b.gate.tickets()), (1, usize::from(epoch == 1)));
        let kind = if epoch == 1 { RESUMED } else { FULL };
        assert_eq!(visit(&mut b, &config, "widget-1"), (kind, CONNACK_YES.to_vec()));
        if epoch == 1 {
            let resumed = b.gate.take_admissions();
            assert_eq!(resumed[0].ticket.unwrap().ends, ticket.unwrap().ends, "told on, not extended");
        }
    }
}

#[test]
fn o16_whoever_has_a_ticket_and_not_its_secret_gets_nowhere_and_its_owner_does() {
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    let mut owner = world.connect(&config);
    let hello = owner.hello();
    // Word for word: the binder is right, and the server's answer cannot be read. Then anything.
    let replayed = world.connect(&config);
    let requests = world.gate.receive(replayed.handle, &hello, world.now);
    world.log.extend(requests);
    world.take_turns();
    for garbage in [vec![20, 3, 3, 0, 1, 1], [vec![23, 3, 3, 0, 53], vec![9; 53]].concat()] {
        let requests = world.gate.receive(replayed.handle, &garbage, world.now);
        world.log.extend(requests);
        world.take_turns();
    }
    assert_eq!((world.codes(), counted(&world, "handshakes_resumed")), (vec!["tls_error".to_owned()], 0));
    // With one octet changed, wherever: the binder is wrong, or the ticket is not taken.
    for at in (11..hello.len()).step_by(97) {
        let mut changed = hello.clone();
        changed[at] ^= 1;
        let forger = world.connect(&config);
        let requests = world.gate.receive(forger.handle, &changed, world.now);
        world.log.extend(requests);
        world.take_turns();
        let requests = world.gate.lost(forger.handle, world.now);
        world.log.extend(requests);
    }
    assert_eq!((counted(&world, "handshakes_resumed"), counted(&world, "admitted")), (0, 1));
    // None of it has moved anything of the owner's.
    let requests = world.gate.receive(owner.handle, &hello, world.now);
    world.log.extend(requests);
    world.take_turns();
    owner.say(&connect_packet("widget-1"));
    world.run(&mut owner);
    assert_eq!((owner.tls.handshake_kind(), owner.read.as_slice()), (RESUMED, &CONNACK_YES[..]));
}

#[test]
fn the_list_is_bounded_and_who_is_pushed_out_proves_its_key() {
    let mut limits = Limits::default();
    limits.tickets_count_max = 8;
    let mut world = World::with_limits(limits);
    let configs: Vec<_> = (0..12)
        .map(|number| {
            let id = format!("widget-{number}");
            (client_config(Some(&world.tech.device(&id)), &version::TLS13), id)
        })
        .collect();
    for (config, id) in &configs {
        assert_eq!(visit(&mut world, config, id).0, FULL);
        assert!(world.gate.tickets() <= 8);
    }
    assert_eq!(visit(&mut world, &configs[0].0, &configs[0].1), (FULL, CONNACK_YES.to_vec()));
    assert_eq!(visit(&mut world, &configs[11].0, &configs[11].1), (RESUMED, CONNACK_YES.to_vec()));
}

#[test]
fn m03_a_device_that_pushes_itself_out_too_often_is_told_so_by_a_ticket_too() {
    let mut limits = Limits::default();
    limits.take_overs_count_max = 3;
    let mut world = World::with_limits(limits);
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    for round in 0..5 {
        let mut client = world.connect(&config);
        client.say(&connect_packet("widget-1"));
        world.run(&mut client);
        assert_eq!(client.read, if round < 4 { CONNACK_YES } else { CONNACK_LATER }, "round {round}");
    }
    assert_eq!((world.codes(), world.gate.sessions()), (vec!["taken_over_too_often".to_owned()], 1));
}

#[test]
fn l06_a_ticket_whose_reference_is_anothers_lets_nobody_in() {
    // As somebody could make one who has a key of tickets, and one live ticket of their own.
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-2")), &version::TLS13);
    world.gate.share_identities();
    assert_eq!(visit(&mut world, &config, "widget-2").0, FULL);
    let ticket = world.gate.take_admissions()[0].ticket.unwrap();
    world.tickets.clear();
    world.tickets.admit("widget-1", ticket.reference, ticket.ends);
    assert_eq!(visit(&mut world, &config, "widget-2"), (RESUMED, CONNACK_LATER.to_vec()));
    assert_eq!(world.codes(), ["ticket_void"]);
}

#[test]
fn r03_a_clock_that_was_ahead_for_a_moment_in_another_worker_makes_no_longer_lineage() {
    let (mut a, mut b) = (World::new(), World::new());
    b.trust(1, &[a.root.der.clone()]);
    a.gate.share_identities();
    let config = client_config(Some(&a.tech.device("widget-1")), &version::TLS13);
    a.now.unix.0 += 86_400;
    a.tick_after(10);
    assert_eq!(visit(&mut a, &config, "widget-1").0, FULL);
    let told = a.gate.take_admissions();
    b.pin("widget-1", claimed_pin(&a));
    b.placed(false, &told);
    assert_eq!(visit(&mut b, &config, "widget-1").0, RESUMED);
    pass_seconds(&mut b, 3_300);
    assert_eq!(visit(&mut b, &config, "widget-1").0, RESUMED);
    pass_seconds(&mut b, 3_300);
    assert_eq!(visit(&mut b, &config, "widget-1").0, FULL);
}

#[test]
fn r03_a_clock_that_is_put_back_revives_no_lineage() {
    let mut world = World::new();
    let config = client_config(Some(&world.tech.device("widget-1")), &version::TLS13);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
    let before = world.now.unix;
    pass_seconds(&mut world, 3_601);
    world.now.unix.0 = before.0 + 1;
    world.tick_after(10);
    assert_eq!(visit(&mut world, &config, "widget-1").0, FULL);
}
