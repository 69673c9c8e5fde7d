//! L07: verdicts and claims that come late, doubled, never, negative, of another epoch, or for a handle whose connection
//! is gone and whose slot another has. Seeded schedules over real TLS on a virtual clock.
//!
//! The invariant, after every step: whoever reads CONNACK 0 stands under an anchor of the trust that was in force when it
//! was said, was judged good under it, and has its identity committed; nobody else ever does. At the end of each
//! schedule nothing is left but who is live.
//!
//! `HOLDFAST_SCHEDULES=n` asks for more of them (`make deep` for a million); `HOLDFAST_SEED=n` repeats one.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::wildcard_enum_match_arm, reason = "a test")]

mod world;

use std::collections::HashMap;
use std::sync::Arc;

use holdfast_gate::{Batch, Limits, Request, Verdict};
use rustls::client::ClientConfig;
use rustls::version;
use world::{Ca, Client, World, client_config, connect_packet};

const SCHEDULES: u64 = 4_000;
const STEPS: usize = 40;

/// A linear congruential generator: the schedule is its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }

    fn pick<T>(&mut self, from: &mut Vec<T>) -> Option<T> {
        if from.is_empty() { None } else { Some(from.swap_remove(self.roll(from.len()))) }
    }
}

/// A client with what it is: the anchor that it stands under (none: nobody's), and its id.
struct Player {
    client: Client,
    anchor: Option<usize>,
    id: &'static str,
    admitted: bool,
}

struct Play {
    world: World,
    anchors: [Vec<u8>; 2],
    trusted: [bool; 2],
    epoch: u64,
    kinds: Vec<(Arc<ClientConfig>, Option<usize>, &'static str)>,
    players: Vec<Player>,
    batches: Vec<Batch>,
    verdicts: Vec<Verdict>,
    /// Claims that nobody has answered; and, by handle, those that were answered with yes.
    claims: Vec<(u64, String)>,
    committed: HashMap<u64, u64>,
}

impl Play {
    fn new() -> Self {
        let mut limits = Limits::default();
        // Every chain goes by the other thread's way, the one whose time nobody knows.
        limits.batch_inline_max = 0;
        let world = World::with_limits(limits);
        let other = Ca::root("Company-Q");
        let stranger = Ca::root("Company-X");
        let kind = |device: &world::Device, anchor, id, tls| (client_config(Some(device), tls), anchor, id);
        let kinds = vec![
            kind(&world.tech.device("a"), Some(0), "a", &version::TLS13),
            kind(&world.tech.device("b"), Some(0), "b", &version::TLS12),
            kind(&other.device("c"), Some(1), "c", &version::TLS13),
            kind(&stranger.device("a"), None, "a", &version::TLS13),
            kind(&stranger.device("d"), None, "d", &version::TLS12),
            kind(&world.tech.device_until("e", 2024), None, "e", &version::TLS13),
        ];
        let anchors = [world.root.der.clone(), other.der];
        Self {
            world,
            anchors,
            trusted: [true, true],
            epoch: 1,
            kinds,
            players: Vec::new(),
            batches: Vec::new(),
            verdicts: Vec::new(),
            claims: Vec::new(),
            committed: HashMap::new(),
        }
    }

    fn trust(&mut self, trusted: [bool; 2]) {
        // The epoch rises when somebody might be out, as the registry's does.
        let shrunk = (0..2).any(|index| self.trusted[index] && !trusted[index]);
        self.epoch += u64::from(shrunk);
        self.trusted = trusted;
        let anchors: Vec<Vec<u8>> = (0..2).filter(|i| trusted[*i]).map(|i| self.anchors[i].clone()).collect();
        self.world.trust(self.epoch, &anchors);
    }

    /// One move, whatever the dice say.
    fn step(&mut self, dice: &mut Dice) {
        match dice.roll(24) {
            0..=3 if self.players.len() < 5 => {
                let (config, anchor, id) = self.kinds[dice.roll(self.kinds.len())].clone();
                let mut client = self.world.connect(&config);
                client.say(&connect_packet(id));
                self.players.push(Player { client, anchor, id, admitted: false });
            }
            4..=6 => {
                let (batch, requests) = self.world.gate.take_batch(self.world.now);
                self.world.log.extend(requests);
                self.batches.extend(batch);
            }
            7..=9 => self.verdicts.extend(dice.pick(&mut self.batches).map(Batch::judge).unwrap_or_default()),
            10..=13 => {
                let verdicts: Vec<Verdict> = dice.pick(&mut self.verdicts).into_iter().collect();
                let requests = self.world.gate.deliver(verdicts, self.world.now);
                self.world.log.extend(requests);
            }
            14 => {
                // The same one twice at once, and once more later.
                if let Some(verdict) = dice.pick(&mut self.verdicts) {
                    let requests = self.world.gate.deliver(vec![verdict.clone(), verdict.clone()], self.world.now);
                    self.world.log.extend(requests);
                    self.verdicts.push(verdict);
                }
            }
            // Lost.
            15 => drop(dice.pick(&mut self.verdicts)),
            16 => {
                let trusted = [dice.roll(4) > 0, dice.roll(4) > 0];
                self.trust(trusted);
            }
            17..=19 => {
                if let Some((handle, _)) = dice.pick(&mut self.claims) {
                    let yes = dice.roll(3) > 0;
                    if yes {
                        self.committed.insert(handle, self.epoch);
                    }
                    self.world.answer_claim(handle, if yes { None } else { Some("claim_lost") });
                    if dice.roll(4) == 0 {
                        self.world.answer_claim(handle, None);
                    }
                }
            }
            20 => {
                if let Some(mut player) = dice.pick(&mut self.players) {
                    // What it may already have been told still counts.
                    self.world.deliver(&mut player.client);
                    self.check(&mut player);
                    let requests = match dice.roll(2) {
                        0 => self.world.gate.lost(player.client.handle, self.world.now),
                        _ => self.world.gate.end_of_stream(player.client.handle, self.world.now),
                    };
                    self.world.log.extend(requests);
                }
            }
            21 => self.world.tick_after([0, 1, 500, 4_000][dice.roll(4)]),
            _ => {}
        }
        self.carry();
    }

    /// Lets bytes flow, and looks at everybody.
    fn carry(&mut self) {
        let mut players = std::mem::take(&mut self.players);
        for player in &mut players {
            if !player.client.closed {
                self.world.carry(&mut player.client);
            }
            self.check(player);
        }
        self.players = players;
        for request in self.world.log.drain(..) {
            if let Request::Claim(claim) = request {
                self.claims.push((claim.handle, claim.device_id));
            }
        }
    }

    fn check(&self, player: &mut Player) {
        let read = &player.client.read;
        assert!(
            read.is_empty()
                || read[..] == [0x20, 2, 0, 5]
                || read[..] == [0x20, 2, 0, 0]
                || read[..] == [0x20, 2, 0, 3]
        );
        if !player.admitted && read[..] == [0x20, 2, 0, 0] {
            player.admitted = true;
            let anchor = player.anchor.unwrap_or_else(|| panic!("an impostor as '{}' was let in", player.id));
            assert!(self.trusted[anchor], "'{}' was let in under an anchor that is none", player.id);
        }
    }

    /// Everything runs out: nothing is left but who is live.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.world.tick_after(12_000);
            self.carry();
        }
        assert_eq!(self.world.gate.connections(), self.world.gate.sessions());
        for player in std::mem::take(&mut self.players) {
            let requests = self.world.gate.lost(player.client.handle, self.world.now);
            self.world.log.extend(requests);
        }
        self.world.log.clear();
        assert_eq!((self.world.gate.connections(), self.world.gate.sessions()), (0, 0));
        // What is still under way belongs to nobody any more; it comes back in the next schedule, for other people's slots.
        self.claims.clear();
        self.committed.clear();
        self.verdicts.truncate(8);
    }
}

#[test]
fn l07_verdicts_and_claims_of_any_schedule_let_in_only_whom_trust_vouches_for() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("HOLDFAST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HOLDFAST_SCHEDULES").unwrap_or(SCHEDULES),
    };
    let mut play = Play::new();
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        play.trust([true, true]);
        for _ in 0..STEPS {
            play.step(&mut dice);
        }
        play.settle();
    }
    // The schedules reach what they are about.
    let counted = |name| play.world.gate.counters().get(name).copied().unwrap_or(0);
    let (admitted, resumed, void) = (counted("admitted"), counted("handshakes_resumed"), counted("tickets_void"));
    assert!(count < 100 || admitted > count / 4, "{admitted} admissions in {count} schedules");
    assert!(count < 100 || resumed.min(void) > count / 100, "{resumed} resumed, {void} void in {count} schedules");
}
