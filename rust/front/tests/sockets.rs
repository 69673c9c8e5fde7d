//! Real sockets, and behind them a script instead of the gate.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use holdfast_front::{Behind, Front};
use holdfast_gate::{Now, Request};
use holdfast_x509::UnixSeconds;

/// What the front has told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Opened(u64),
    Received(u64, usize),
    Ended(u64),
    Lost(u64),
    Writable(u64, bool),
    Turn,
}

/// Answers as it is told to.
#[derive(Default)]
struct Script {
    told: Vec<Told>,
    /// Answers to what is received, the first to the first.
    answers: VecDeque<fn(u64) -> Vec<Request>>,
    /// Handles to give out; 1, 2, 3 … when there are none left.
    handles: VecDeque<u64>,
    opened: u64,
    full: bool,
    /// Nobody is to be accepted for now.
    unwelcoming: bool,
    proven: Option<fn(u64) -> bool>,
    /// Who makes room for the next.
    sheds: Option<u64>,
}

impl Behind for Script {
    fn welcomes(&self) -> bool {
        !self.unwelcoming
    }

    fn is_proven(&mut self, handle: u64) -> bool {
        self.proven.is_some_and(|proven| proven(handle))
    }

    fn open(&mut self, source: Option<IpAddr>, _: Now) -> (Option<u64>, Vec<Request>) {
        assert!(source.unwrap().is_loopback());
        if self.full {
            return (None, Vec::new());
        }
        self.opened += 1;
        let handle = self.handles.pop_front().unwrap_or(self.opened);
        self.told.push(Told::Opened(handle));
        (Some(handle), self.sheds.take().map(|handle| Request::Close { handle }).into_iter().collect())
    }

    fn receive(&mut self, handle: u64, bytes: &[u8], _: Now) -> Vec<Request> {
        self.told.push(Told::Received(handle, bytes.len()));
        self.answers.pop_front().map_or_else(Vec::new, |answer| answer(handle))
    }

    fn end_of_stream(&mut self, handle: u64, _: Now) -> Vec<Request> {
        self.told.push(Told::Ended(handle));
        vec![Request::Close { handle }]
    }

    fn lost(&mut self, handle: u64, _: Now) -> Vec<Request> {
        self.told.push(Told::Lost(handle));
        Vec::new()
    }

    fn set_writable(&mut self, handle: u64, writable: bool, _: Now) -> Vec<Request> {
        self.told.push(Told::Writable(handle, writable));
        Vec::new()
    }

    fn turn(&mut self, _: Now) -> Vec<Request> {
        self.told.push(Told::Turn);
        Vec::new()
    }
}

struct World {
    front: Front,
    script: Script,
    address: SocketAddr,
    now: Now,
}

impl World {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let buffers = socket2::SockRef::from(&listener);
        buffers.set_send_buffer_size(8 * 1024).unwrap();
        let address = listener.local_addr().unwrap();
        let mut front = Front::new().unwrap();
        front.listen(listener).unwrap();
        let now = Now { monotonic_ms: 0, unix: UnixSeconds(0) };
        Self { front, script: Script::default(), address, now }
    }

    fn turn(&mut self) -> Vec<Request> {
        let mut left = self.front.hear(&mut self.script, self.now);
        left.extend(self.front.meet(&mut self.script, self.now));
        self.front.settle(&mut self.script, self.now, &mut left);
        left
    }

    /// Takes turns until `told` is what has come; a little time passes between them, for loopback is not at once.
    fn until(&mut self, enough: impl Fn(&[Told]) -> bool) {
        for _ in 0..20_000 {
            self.turn();
            if enough(&self.script.told) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{:?}", self.script.told);
    }

    /// Takes turns for a while.
    fn rest(&mut self) {
        for _ in 0..20 {
            self.turn();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn does(&mut self, requests: Vec<Request>) {
        let mut left = Vec::new();
        self.front.perform(requests, &mut left);
        self.front.settle(&mut self.script, self.now, &mut left);
        assert_eq!(left, []);
    }

    /// A peer that has said hello and waits to be accepted.
    fn newcomer(&self) -> TcpStream {
        let mut peer = TcpStream::connect(self.address).unwrap();
        peer.write_all(b"hello").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        peer
    }

    /// A peer, accepted.
    fn peer(&mut self) -> TcpStream {
        let (peer, opened) = (TcpStream::connect(self.address).unwrap(), self.script.opened);
        peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        while self.script.opened == opened {
            self.turn();
        }
        peer
    }
}

fn send(handle: u64, length: usize) -> Request {
    Request::Send { handle, data: pattern(length) }
}

/// Octets that tell where they stand.
fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

#[test]
fn what_is_said_in_one_turn_leaves_together_and_an_end_with_it() {
    let mut world = World::new();
    let mut peer = world.peer();
    world.script.answers.push_back(|handle| {
        vec![send(handle, 1), send(handle, 2), Request::Finish { handle }, Request::Tick { after_ms: 7 }]
    });
    peer.write_all(b"hello").unwrap();
    let mut left = Vec::new();
    while left.is_empty() {
        left = world.turn();
    }
    // What is no affair of sockets is handed on.
    assert_eq!(left, [Request::Tick { after_ms: 7 }]);
    let mut read = Vec::new();
    peer.read_to_end(&mut read).unwrap();
    assert_eq!(read, [0, 0, 1]);
    // It is still read from.
    peer.write_all(b"more").unwrap();
    drop(peer);
    world.until(|told| told.ends_with(&[Told::Received(1, 4), Told::Ended(1)]));
    assert_eq!(world.script.told, [Told::Opened(1), Told::Received(1, 5), Told::Received(1, 4), Told::Ended(1)]);
}

#[test]
fn bytes_and_the_end_behind_them_are_told_in_order_and_once() {
    let mut world = World::new();
    for length in [1, 1_000, 64 * 1024, 64 * 1024 + 1] {
        let mut peer = world.peer();
        let handle = world.script.opened;
        world.script.told.clear();
        peer.write_all(&vec![0; length]).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        world.until(|told| told.contains(&Told::Ended(handle)));
        world.rest();
        let bytes = |told: &Told| if let Told::Received(_, length) = told { *length } else { 0 };
        assert_eq!(world.script.told.iter().map(bytes).sum::<usize>(), length);
        assert_eq!(world.script.told.last(), Some(&Told::Ended(handle)));
        assert_eq!(world.script.told.iter().filter(|told| **told == Told::Ended(handle)).count(), 1);
    }
}

#[test]
fn what_comes_while_reading_is_held_is_there_when_it_is_resumed() {
    let mut world = World::new();
    let mut peer = world.peer();
    world.does(vec![Request::Pause { handle: 1 }]);
    peer.write_all(b"hello").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    world.rest();
    assert_eq!(world.script.told, [Told::Opened(1)]);
    world.does(vec![Request::Resume { handle: 1 }]);
    assert!(world.front.wants_turn(world.now));
    world.until(|told| told == [Told::Opened(1), Told::Received(1, 5), Told::Ended(1)]);
}

#[test]
fn an_end_that_comes_with_bytes_that_hold_it_waits_for_them() {
    let mut world = World::new();
    let mut peer = world.peer();
    world.script.answers.push_back(|handle| vec![Request::Pause { handle }]);
    world.does(vec![Request::Pause { handle: 1 }]);
    peer.write_all(b"hello").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    world.rest();
    world.does(vec![Request::Resume { handle: 1 }]);
    world.rest();
    assert_eq!(world.script.told, [Told::Opened(1), Told::Received(1, 5)]);
    world.does(vec![Request::Resume { handle: 1 }]);
    world.until(|told| told.ends_with(&[Told::Ended(1)]));
}

#[test]
fn m10_a_peer_that_does_not_read_is_not_read_from_until_it_does() {
    const LENGTH: usize = 1 << 20;
    let mut world = World::new();
    let mut peer = world.peer();
    world.does(vec![send(1, LENGTH)]);
    peer.write_all(b"hello").unwrap();
    world.rest();
    assert_eq!(world.script.told, [Told::Opened(1), Told::Writable(1, false)]);
    let reader = std::thread::spawn(move || {
        let mut read = vec![0; LENGTH];
        peer.read_exact(&mut read).unwrap();
        assert!(read == pattern(LENGTH));
        peer
    });
    world.until(|told| told.contains(&Told::Received(1, 5)));
    assert_eq!(world.script.told[2..], [Told::Writable(1, true), Told::Received(1, 5)]);
    drop(reader.join().unwrap());
}

#[test]
fn last_words_reach_a_peer_that_reads_them_late_and_the_handle_is_free_meanwhile() {
    const LENGTH: usize = 1 << 20;
    let again = 1 | (1 << 32);
    let mut world = World::new();
    world.script.handles = VecDeque::from([1, again]);
    let mut deaf = world.peer();
    world.does(vec![send(1, LENGTH), Request::Finish { handle: 1 }, Request::Close { handle: 1 }]);
    let mut other = world.peer();
    world.does(vec![send(again, 3), send(1, 5)]);
    let mut read = [0; 3];
    other.read_exact(&mut read).unwrap();
    let reader = std::thread::spawn(move || {
        let mut read = Vec::new();
        deaf.read_to_end(&mut read).unwrap();
        read
    });
    while !reader.is_finished() {
        world.rest();
    }
    assert!(reader.join().unwrap() == pattern(LENGTH));
    other.write_all(b"hello").unwrap();
    world.until(|told| told.ends_with(&[Told::Received(again, 5)]));
    assert_eq!(world.script.told, [Told::Opened(1), Told::Opened(again), Told::Received(again, 5)]);
}

#[test]
fn whoever_never_reads_its_last_words_is_let_go() {
    let mut world = World::new();
    let mut deaf = world.peer();
    world.does(vec![send(1, 8 << 20), Request::Finish { handle: 1 }, Request::Close { handle: 1 }]);
    assert!(!is_over(&mut deaf));
    world.now.monotonic_ms = 9_999;
    world.rest();
    assert!(!is_over(&mut deaf));
    world.now.monotonic_ms = 10_200;
    world.rest();
    assert!(is_over(&mut deaf));
}

/// Reads what there is; whether the other side has ended the connection.
fn is_over(peer: &mut TcpStream) -> bool {
    peer.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    match peer.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[test]
fn of_those_that_never_read_their_last_words_256_are_kept_and_the_oldest_goes_first() {
    let mut world = World::new();
    let mut deaf = Vec::new();
    for handle in 1..=257 {
        world.now.monotonic_ms = handle;
        deaf.push(world.peer());
        world.does(vec![send(handle, 4 << 20), Request::Close { handle }]);
    }
    assert!(is_over(&mut deaf[0]));
    assert!(!is_over(&mut deaf[1]) && !is_over(&mut deaf[256]));
}

#[test]
fn after_its_last_words_a_deaf_peer_is_read_from_so_that_no_reset_destroys_them() {
    let mut world = World::new();
    let mut peer = world.peer();
    world.does(vec![send(1, 1 << 20)]);
    assert_eq!(world.script.told[1..], [Told::Writable(1, false)]);
    world.does(vec![Request::Finish { handle: 1 }]);
    peer.write_all(b"hello").unwrap();
    world.until(|told| told.ends_with(&[Told::Received(1, 5)]));
}

#[test]
fn everybody_is_heard_once_before_anybody_twice() {
    let mut world = World::new();
    let mut flood = world.peer();
    let writer = std::thread::spawn(move || {
        // Until the front lets go of it.
        let bytes = vec![0; 256 * 1024];
        while flood.write_all(&bytes).is_ok() {}
    });
    world.until(|told| told.contains(&Told::Received(1, 64 * 1024)));
    let mut quiet: Vec<_> = (0..20).map(|_| world.peer()).collect();
    for peer in &mut quiet {
        peer.write_all(b"!").unwrap();
    }
    let (mut floods, mut others) = (0, 0);
    for _ in 0..2_000 {
        world.script.told.clear();
        world.turn();
        let heard = |wanted: fn(&Told) -> bool| world.script.told.iter().filter(|told| wanted(told)).count();
        let flood = heard(|told| matches!(told, Told::Received(1, _)));
        assert!(flood <= 1, "{:?}", world.script.told);
        floods += flood;
        others += heard(|told| matches!(told, Told::Received(_, 1)));
        if floods > 50 && others == 20 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(floods > 50 && others == 20, "{floods} {others}");
    let _told = world.front.abort(&mut world.script, world.now);
    writer.join().unwrap();
}

#[test]
fn a_turn_hears_256_and_the_others_are_next() {
    let mut world = World::new();
    let mut peers: Vec<_> = (0..300).map(|_| world.peer()).collect();
    for peer in &mut peers {
        peer.write_all(b"!").unwrap();
    }
    std::thread::sleep(Duration::from_millis(100));
    world.script.told.clear();
    world.script.proven = Some(|_| true);
    world.turn();
    assert_eq!(world.script.told.len(), 256);
    world.turn();
    assert_eq!(world.script.told.len(), 300);
}

#[test]
fn x01_a_turn_hears_16_strangers_and_whoever_is_proven_before_the_others() {
    let mut world = World::new();
    let mut peers: Vec<_> = (0..50).map(|_| world.peer()).collect();
    for peer in &mut peers {
        peer.write_all(b"!").unwrap();
    }
    std::thread::sleep(Duration::from_millis(100));
    world.script.told.clear();
    world.script.proven = Some(|handle| handle == 50);
    let mut heard = Vec::new();
    for round in 0..4 {
        world.turn();
        let told = std::mem::take(&mut world.script.told);
        assert_eq!(told.contains(&Told::Received(50, 1)), round == 0);
        heard.push(told.len());
    }
    assert_eq!(heard, [17, 16, 16, 1]);
    assert!(!world.front.wants_turn(world.now));
}

#[test]
fn strangers_have_their_turn_after_whoever_was_ready_and_only_when_asked_for() {
    let mut world = World::new();
    let (mut one, mut other) = (world.peer(), world.peer());
    world.script.told.clear();
    world.script.answers.push_back(|_| vec![Request::Turn]);
    one.write_all(b"!").unwrap();
    other.write_all(b"!").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    world.turn();
    world.turn();
    assert_eq!(world.script.told, [Told::Received(1, 1), Told::Received(2, 1), Told::Turn]);
}

#[test]
fn a_reset_is_told_once_and_ends_the_handle() {
    let mut world = World::new();
    let peer = world.peer();
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    world.until(|told| told == [Told::Opened(1), Told::Lost(1)]);
    world.does(vec![send(1, 5), Request::Close { handle: 1 }, Request::Resume { handle: 1 }]);
    world.rest();
    assert_eq!(world.script.told, [Told::Opened(1), Told::Lost(1)]);
}

#[test]
fn whoever_finds_no_room_is_closed_and_after_the_last_accept_nobody_is_taken_on() {
    let mut world = World::new();
    world.script.full = true;
    let mut late = TcpStream::connect(world.address).unwrap();
    world.rest();
    assert_eq!(late.read(&mut [0]).unwrap(), 0);
    world.script.full = false;
    let mut peer = world.peer();
    world.front.stop_listening();
    assert_eq!(TcpStream::connect(world.address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    world.does(vec![send(1, 1)]);
    peer.read_exact(&mut [0]).unwrap();
    assert_eq!(world.front.abort(&mut world.script, world.now), []);
    assert_eq!(world.script.told.last(), Some(&Told::Lost(1)));
    assert!(is_over(&mut peer));
}

#[test]
fn a_turn_takes_on_two_and_the_others_wait_in_the_systems_queue() {
    let mut world = World::new();
    let _waiting: Vec<_> = (0..9).map(|_| TcpStream::connect(world.address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(50));
    for opened in [2, 4, 6, 8, 9] {
        assert!(opened == 2 || world.front.wants_turn(world.now));
        world.turn();
        assert_eq!(world.script.opened, opened);
    }
    assert!(!world.front.wants_turn(world.now));
}

/// Dials, says something and resets.
fn dial_and_reset(address: SocketAddr, said: &[u8]) {
    let mut peer = TcpStream::connect(address).unwrap();
    peer.write_all(said).unwrap();
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn x01_whoever_has_reset_before_it_was_accepted_is_passed_over() {
    let mut world = World::new();
    (0..18).for_each(|_| dial_and_reset(world.address, b"hello"));
    let _peer = TcpStream::connect(world.address).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    for gone in [4, 8, 12, 16] {
        world.turn();
        assert_eq!((world.front.accepts_gone(), &world.script.told), (gone, &Vec::new()));
        assert!(world.front.wants_turn(world.now));
    }
    world.turn();
    assert_eq!((world.front.accepts_gone(), &world.script.told), (18, &vec![Told::Opened(1)]));
}

/// A crowd dials and leaves, and is passed over.
fn flood(world: &mut World, count: u64, said: &[u8]) {
    let gone = world.front.accepts_gone();
    (0..count).for_each(|_| dial_and_reset(world.address, said));
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..count {
        world.turn();
    }
    assert_eq!(world.front.accepts_gone(), gone + count);
}

#[cfg(target_os = "linux")]
#[test]
fn x01_a_crowd_at_the_door_makes_it_narrow_for_whoever_speaks_no_tls() {
    const HELLO: &[u8] = &[22, 3, 1, 0, 1];
    let mut world = World::new();
    flood(&mut world, 99, b"hello");
    for record in 20..=23 {
        flood(&mut world, 100, &[record]);
    }
    flood(&mut world, 100, b"");
    assert_eq!(world.front.door_narrowed(), 0);
    let mut polite = world.newcomer();
    world.turn();
    assert_eq!(world.script.told, [Told::Opened(1), Told::Received(1, 5)]);
    flood(&mut world, 1, b"hello");
    assert_eq!(world.front.door_narrowed(), 1);
    // Those who were there before are heard.
    polite.write_all(b"more").unwrap();
    world.until(|told| told.ends_with(&[Told::Received(1, 4)]));
    let dial = |world: &World, said: &[u8]| {
        let mut peer = TcpStream::connect(world.address).unwrap();
        peer.write_all(said).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        peer
    };
    let mut plain = dial(&world, b"GET");
    world.turn();
    assert_eq!(world.script.told.last(), Some(&Told::Opened(2)));
    let mut secure = dial(&world, HELLO);
    world.turn();
    assert_eq!(world.script.told.last(), Some(&Told::Received(3, HELLO.len())));
    // Whoever was accepted may say what it likes, and repeats what was dropped.
    secure.write_all(b"finished").unwrap();
    world.until(|told| told.contains(&Told::Received(3, 8)));
    plain.write_all(b" /").unwrap();
    let of = |handle: u64, one: &Told| {
        if let Told::Received(own, length) = *one
            && own == handle
        {
            length
        } else {
            0
        }
    };
    world.until(|told| told.iter().map(|one| of(2, one)).sum::<usize>() == 5);
    // A hello in two pieces loses the second until it is accepted, and repeats it.
    let mut large = dial(&world, HELLO);
    large.write_all(b"tail").unwrap();
    world.until(|told| told.ends_with(&[Told::Opened(4), Told::Received(4, HELLO.len()), Told::Received(4, 4)]));
    // It is not narrow for ever.
    world.now.monotonic_ms += 10_000;
    world.turn();
    let _plain = dial(&world, b"GET");
    world.turn();
    assert_eq!(world.script.told.last(), Some(&Told::Received(5, 3)));
}

/// Its packet reaches a listener that knows of no connection.
#[cfg(target_os = "linux")]
#[test]
fn x01_a_device_whose_connection_is_forgotten_hears_so_at_a_narrow_door() {
    let mut world = World::new();
    flood(&mut world, 100, b"hello");
    let mut device = world.peer();
    device.write_all(b"unread").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    // It sleeps while the connection is reset.
    socket2::SockRef::from(&device).attach_filter(&[socket2::SockFilter::new(0x06, 0, 0, 0)]).unwrap();
    world.front.abort(&mut world.script, world.now);
    std::thread::sleep(Duration::from_millis(200));
    socket2::SockRef::from(&device).detach_filter().unwrap();
    assert!(!is_over(&mut device));
    device.write_all(&[23, 3, 3]).unwrap();
    assert!(is_over(&mut device));
}

#[cfg(target_os = "linux")]
#[test]
fn x01_who_takes_over_a_narrow_door_opens_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::new();
    world.address = listener.local_addr().unwrap();
    world.front.listen(listener.try_clone().unwrap()).unwrap();
    flood(&mut world, 100, b"hello");
    let mut early = TcpStream::connect(world.address).unwrap();
    early.write_all(&[22]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    // A worker dies without a word.
    world.front = Front::new().unwrap();
    world.front.listen(listener).unwrap();
    let mut plain = TcpStream::connect(world.address).unwrap();
    plain.write_all(b"GET").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    world.turn();
    assert!(world.script.told.contains(&Told::Received(2, 3)), "{:?}", world.script.told);
    early.write_all(b"more").unwrap();
    world.until(|told| told.ends_with(&[Told::Received(1, 4)]));
}

#[test]
fn what_a_newcomer_said_while_it_waited_is_heard_with_it_and_what_it_says_then_as_well() {
    let mut world = World::new();
    let mut peer = world.newcomer();
    world.turn();
    assert_eq!(world.script.told, [Told::Opened(1), Told::Received(1, 5)]);
    peer.write_all(b"more").unwrap();
    world.until(|told| told.ends_with(&[Told::Received(1, 4)]));
    assert_eq!(world.script.told.len(), 3);
}

#[test]
fn more_than_is_read_at_once_waits_with_a_newcomer_and_the_end_behind_it_as_well() {
    for ends in [false, true] {
        let mut world = World::new();
        let mut peer = TcpStream::connect(world.address).unwrap();
        peer.set_nonblocking(true).unwrap();
        let said = peer.write(&vec![7; 100 * 1024]).unwrap();
        assert!(said > 65_536, "{said}");
        if ends {
            peer.shutdown(Shutdown::Write).unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
        world.rest();
        let end = if ends { vec![Told::Ended(1)] } else { vec![] };
        let told = [vec![Told::Opened(1), Told::Received(1, 65_536), Told::Received(1, said - 65_536)], end].concat();
        assert_eq!(world.script.told, told);
    }
}

#[test]
fn a_newcomer_that_is_turned_away_for_what_it_said_is_closed_at_once() {
    let mut world = World::new();
    let mut peer = world.newcomer();
    world.script.answers.push_back(|handle| vec![Request::Close { handle }]);
    world.turn();
    assert!(is_over(&mut peer));
    world.rest();
    assert_eq!(world.script.told, [Told::Opened(1), Told::Received(1, 5)]);
}

#[test]
fn x01_strangers_have_their_turn_after_it_was_looked_whether_they_are_still_there() {
    let mut world = World::new();
    let peer = world.newcomer();
    peer.shutdown(Shutdown::Write).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    world.script.answers.push_back(|_| vec![Request::Turn]);
    world.until(|told| told.contains(&Told::Turn));
    assert_eq!(world.script.told, [Told::Opened(1), Told::Received(1, 5), Told::Ended(1), Told::Turn]);
}

#[test]
fn x01_nobody_is_taken_on_while_there_is_enough_to_do() {
    let mut world = World::new();
    world.script.unwelcoming = true;
    let _waiting = TcpStream::connect(world.address).unwrap();
    world.rest();
    assert_eq!(world.script.told, []);
    world.script.unwelcoming = false;
    world.until(|told| told == [Told::Opened(1)]);
}

#[test]
fn x01_what_a_stranger_said_before_it_broke_off_is_not_heard_and_what_a_device_said_is() {
    for proven in [false, true] {
        let mut world = World::new();
        world.script.proven = proven.then_some(|_| true);
        let mut peer = world.peer();
        world.script.told.clear();
        peer.write_all(b"hello").unwrap();
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        std::thread::sleep(Duration::from_millis(50));
        world.until(|told| told.contains(&Told::Lost(1)));
        assert_eq!(world.script.told.contains(&Told::Received(1, 5)), proven, "{:?}", world.script.told);
    }
}

#[test]
fn a_reset_behind_bytes_is_a_reset() {
    let mut world = World::new();
    let mut peer = world.peer();
    peer.write_all(b"hello").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    world.until(|told| told.ends_with(&[Told::Lost(1)]));
}

#[test]
#[cfg(target_os = "linux")]
fn a_listener_that_others_hold_is_no_longer_watched() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _supervisors = listener.try_clone().unwrap();
    let mut front = Front::new().unwrap();
    let watched = |front: &Front| {
        std::fs::read_to_string(format!("/proc/self/fdinfo/{}", front.descriptor())).unwrap().contains("tfd:")
    };
    front.listen(listener).unwrap();
    assert!(watched(&front));
    front.stop_listening();
    assert!(!watched(&front));
}

#[test]
fn whoever_is_shed_for_the_next_in_its_place_is_still_told_its_last_words() {
    const LENGTH: usize = 1 << 20;
    let mut world = World::new();
    world.script.handles = VecDeque::from([1, 1 | (1 << 32)]);
    let mut first = world.peer();
    world.does(vec![send(1, LENGTH)]);
    world.script.sheds = Some(1);
    let _second = world.peer();
    let reader = std::thread::spawn(move || {
        let mut read = Vec::new();
        first.read_to_end(&mut read).unwrap();
        read
    });
    while !reader.is_finished() {
        world.rest();
    }
    assert!(reader.join().unwrap() == pattern(LENGTH));
}

#[test]
fn x03_a_panic_costs_one_connection_and_nothing_that_others_ask_for() {
    let mut world = World::new();
    let (mut good, mut bad) = (world.peer(), world.peer());
    world.script.answers.push_back(|_| vec![Request::Tick { after_ms: 7 }]);
    world.script.answers.push_back(|_| panic!("a step panics"));
    good.write_all(b"a").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    bad.write_all(b"b").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let left = world.turn();
    assert_eq!(left.first(), Some(&Request::Tick { after_ms: 7 }));
    assert!(matches!(&left[1..], [Request::Note(note)] if note.event == "unhandled_exception"), "{left:?}");
    assert_eq!(world.script.told.last(), Some(&Told::Lost(2)));
    assert!(is_over(&mut bad) && !is_over(&mut good));
}
