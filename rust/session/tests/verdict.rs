//! What leaves a session while its verdict is awaited, however long that takes (I1, `trust.md` §1.4).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pair;

use std::io::Write;

use holdfast_session::client::{write_packet, write_publish, write_string};
use holdfast_session::{Admission, Event, Reason};
use pair::{give, pair, until_presented};
use rustls::version;

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
