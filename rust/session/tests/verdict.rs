//! What leaves a session while its verdict is awaited, however long that takes (I1, `trust.md` §1.4).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pair;

use std::io::Write;

use holdfast_session::client::{write_packet, write_publish, write_string};
use holdfast_session::{Admission, Event, Reason, Session};
use pair::{give, pair, pair_with_tickets, until_presented};
use rustls::client::ClientConnection;
use rustls::{AlertDescription, Error, version};

const EVENTS: &str = "devices/w1/messages/events/";
const CONNECT: &[u8] = &[0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 2, b'w', b'1'];

#[test]
fn i01_tls_12_hears_our_finished_only_after_the_verdict() {
    let (mut session, mut client) = pair(&version::TLS12);
    assert!(matches!(until_presented(&mut session, &mut client), Event::Presented(_)));
    assert_eq!(session.take_output().unwrap(), []);
    assert_eq!(session.next_event(), Ok(None));
    assert!(client.is_handshaking());
    session.refuse(Reason::NotAuthorized);
    give(&mut client, &session.take_output().unwrap());
    assert!(!client.is_handshaking());
}

fn said(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// A record of application data that no key has sealed.
fn garbage() -> Vec<u8> {
    [&[0x17, 3, 3, 0, 40][..], &[0; 40]].concat()
}

/// One handshake whose peer breaks off from TLS before the verdict; what leaves the session then. `None`: what breaks comes in one piece with
/// the last of the handshake.
fn said_to_whoever_breaks(mut session: Session, client: &mut ClientConnection, broken: Option<&[u8]>) -> Vec<u8> {
    let code = if let Some(broken) = broken {
        assert!(matches!(until_presented(&mut session, client), Event::Presented(_)));
        session.receive(broken).unwrap_err().code()
    } else {
        // The second flight of the client is its last.
        session.receive(&said(client)).unwrap();
        assert_eq!(session.next_event(), Ok(None));
        give(client, &session.take_output().unwrap());
        session.receive(&[said(client), garbage()].concat()).unwrap_err().code()
    };
    assert_eq!(
        code,
        if broken.is_some_and(|broken| broken.len() > 30_000) { "handshake_too_large" } else { "tls_error" }
    );
    assert_eq!(session.next_event(), Ok(None));
    session.take_output().unwrap()
}

#[test]
fn i01_whoever_breaks_the_protocol_before_the_verdict_hears_nothing_that_waits_for_it() {
    // A record of its own, more than the limit, and one that comes along with the Finished.
    let (own, large) = (garbage(), garbage().repeat(1_000));
    for broken in [Some(own.as_slice()), Some(large.as_slice()), None] {
        for (pair, version) in [
            (pair as fn(_) -> _, &version::TLS12),
            (pair_with_tickets, &version::TLS12),
            (pair_with_tickets, &version::TLS13),
        ] {
            let (session, mut client) = pair(version);
            assert_eq!(said_to_whoever_breaks(session, &mut client, broken), []);
        }
        // Nothing waits: the alert goes out, and can be read. Of too many bytes the library knows nothing.
        let (session, mut client) = pair(&version::TLS13);
        let heard = said_to_whoever_breaks(session, &mut client, broken);
        if broken == Some(&large) {
            assert_eq!(heard, []);
        } else {
            client.read_tls(&mut heard.as_slice()).unwrap();
            assert!(matches!(client.process_new_packets(), Err(Error::AlertReceived(AlertDescription::BadRecordMac))));
        }
    }
}

#[test]
fn i01_a_session_that_is_asked_before_it_was_looked_at_says_nothing_more_than_afterwards() {
    for version in [&version::TLS12, &version::TLS13] {
        let (mut session, mut client) = pair_with_tickets(version);
        for _ in 0..2 {
            session.receive(&said(&mut client)).unwrap();
            let heard = session.take_output().unwrap();
            give(&mut client, &heard);
        }
        assert_eq!(session.take_output().unwrap(), []);
        assert!(matches!(session.next_event(), Ok(Some(Event::Presented(_)))));
        assert_eq!(session.take_output().unwrap(), []);
        // Nor does an end from our side.
        session.finish(Reason::ServerShuttingDown);
        assert_eq!(session.take_output().unwrap(), []);
    }
}

#[test]
fn an_alert_in_the_middle_of_a_handshake_goes_out() {
    for version in [&version::TLS12, &version::TLS13] {
        let (mut session, mut client) = pair_with_tickets(version);
        session.receive(&said(&mut client)).unwrap();
        give(&mut client, &session.take_output().unwrap());
        assert_eq!(session.receive(&[0x16, 3, 3, 0, 4, 9, 0, 0, 0]).unwrap_err().code(), "tls_error");
        assert!(!session.take_output().unwrap().is_empty());
    }
}

#[test]
fn l07_pipelined_bytes_wait_inside_until_the_verdict_and_a_refusal_never_hands_them_out() {
    let (mut session, mut client) = pair(&version::TLS13);
    client.writer().write_all(CONNECT).unwrap();
    client.writer().write_all(&[0x30, 4, 0, 1, b't', b'x']).unwrap();
    assert!(matches!(until_presented(&mut session, &mut client), Event::Presented(_)));
    for _ in 0..3 {
        assert_eq!((session.next_event(), session.take_output().unwrap()), (Ok(None), vec![]));
    }
    session.refuse(Reason::NotAuthorized);
    assert_eq!(session.next_event(), Ok(Some(Event::Finish)));
    assert_eq!(session.next_event(), Ok(None));
    give(&mut client, &session.take_output().unwrap());
    // A verdict that comes again, or the other way, moves nothing.
    session.accept();
    session.admit(Admission::new("w1".into())).unwrap();
    assert_eq!((session.next_event(), session.take_output().unwrap()), (Ok(None), vec![]));
}

#[test]
fn l07_nothing_but_accept_leads_to_connect_and_nothing_but_admit_to_an_open_session() {
    let (mut session, mut client) = pair(&version::TLS13);
    // Before anybody was presented.
    session.accept();
    session.admit(Admission::new("w1".into())).unwrap();
    client.writer().write_all(CONNECT).unwrap();
    assert!(matches!(until_presented(&mut session, &mut client), Event::Presented(_)));
    session.admit(Admission::new("w1".into())).unwrap();
    assert_eq!(session.next_event(), Ok(None));
    session.accept();
    assert!(matches!(session.next_event(), Ok(Some(Event::Connect(_)))));
    assert_eq!(session.next_event(), Ok(None));
    session.admit(Admission::new("w1".into())).unwrap();
    assert!(!session.take_output().unwrap().is_empty());
}

#[test]
fn a_large_connect_in_small_records_is_read_with_all_that_comes_behind_it() {
    for version in [&version::TLS12, &version::TLS13] {
        let (mut session, mut client) = pair(version);
        assert!(matches!(until_presented(&mut session, &mut client), Event::Presented(_)));
        session.accept();
        give(&mut client, &session.take_output().unwrap());
        // A will of 16,000 octets, and 200 KiB of messages that wait for no answer.
        let (mut body, mut said) = (CONNECT[2..].to_vec(), Vec::new());
        body[7] |= 4;
        write_string(EVENTS, &mut body);
        body.extend(16_000_u16.to_be_bytes());
        write_packet(CONNECT[0], &[&body, &[b'x'; 16_000]], &mut said);
        for _ in 0..100 {
            write_publish(EVENTS, None, &[b'x'; 2_016], &mut said);
        }
        client.set_buffer_limit(None);
        said.chunks(64).for_each(|piece| client.writer().write_all(piece).unwrap());
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let (mut admitted, mut received) = (false, 0);
        for read in bytes.chunks(64 * 1024) {
            session.receive(read).unwrap();
            while let Some(event) = session.next_event().unwrap() {
                admitted |= matches!(event, Event::Connect(_));
                received += usize::from(matches!(event, Event::Telemetry(_)));
                session.admit(Admission::new("w1".into())).unwrap();
            }
        }
        assert_eq!((admitted, received), (true, 100));
    }
}
