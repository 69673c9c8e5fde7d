//! A key agreement that was worked out before its handshake asks for it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pair;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use holdfast_session::{Agreement, Event, Session};
use pair::{give, pair, until_presented};
use rustls::client::ClientConnection;
use rustls::version;

/// What the client says first.
fn hello(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn multiple(scalar: [u8; 32], theirs: &[u8; 32]) -> [u8; 32] {
    let key = PrivateKey::from_private_key(&agreement::X25519, &scalar).unwrap();
    let theirs = UnparsedPublicKey::new(&agreement::X25519, theirs);
    agreement::agree(&key, theirs, (), |secret| Ok(secret.try_into().unwrap())).unwrap()
}

/// With the public key that belongs to `scalar`.
fn agreement(theirs: [u8; 32], scalar: [u8; 32]) -> Agreement {
    let key = PrivateKey::from_private_key(&agreement::X25519, &scalar).unwrap();
    let ours = key.compute_public_key().unwrap().as_ref().try_into().unwrap();
    Agreement::new(theirs, ours, Box::new(multiple(scalar, &theirs).into()))
}

fn holds(bytes: &[u8], part: &[u8; 32]) -> bool {
    bytes.windows(32).any(|window| window == part)
}

/// The session's answer to its hello.
fn answer(session: &mut Session, hello: &[u8]) -> Vec<u8> {
    session.receive(hello).unwrap();
    session.take_output().unwrap()
}

#[test]
fn what_was_worked_out_is_what_tls_13_answers_with() {
    let (mut session, mut client) = pair(&version::TLS13);
    let hello = hello(&mut client);
    let theirs = session.x25519_share(&hello).unwrap();
    let agreement = agreement(theirs, [7; 32]);
    let ours = PrivateKey::from_private_key(&agreement::X25519, &[7; 32]).unwrap().compute_public_key().unwrap();
    session.provide(agreement);
    assert_eq!(session.x25519_share(&hello), None, "once is enough");
    let answer = answer(&mut session, &hello);
    assert!(holds(&answer, ours.as_ref().try_into().unwrap()));
    give(&mut client, &answer);
    assert!(matches!(until_presented(&mut session, &mut client), Event::Presented(_)));
    assert!(!client.is_handshaking());
}

#[test]
fn an_agreement_with_another_share_is_not_used() {
    let (mut session, mut client) = pair(&version::TLS13);
    let hello = hello(&mut client);
    let theirs = session.x25519_share(&hello).unwrap();
    let of_another = agreement(multiple([9; 32], &theirs), [7; 32]);
    let ours = PrivateKey::from_private_key(&agreement::X25519, &[7; 32]).unwrap().compute_public_key().unwrap();
    session.provide(of_another);
    let answer = answer(&mut session, &hello);
    assert!(!holds(&answer, ours.as_ref().try_into().unwrap()));
    give(&mut client, &answer);
    assert!(matches!(until_presented(&mut session, &mut client), Event::Presented(_)));
}

#[test]
fn a_share_of_small_order_is_refused_by_the_library_and_not_worked_on_again() {
    let (mut session, mut client) = pair(&version::TLS13);
    let hello = hello(&mut client);
    let theirs = session.x25519_share(&hello).unwrap();
    let at = hello.windows(32).position(|window| window == theirs).unwrap();
    let hello = [&hello[..at], &[0; 32], &hello[at + 32..]].concat();
    session.provide(Agreement::new([0; 32], [7; 32], Box::new([0; 32].into())));
    assert_eq!(session.x25519_share(&hello), None);
    let fault = session.receive(&hello).unwrap_err();
    assert!(fault.detail().contains("InvalidKeyShare"), "{fault:?}");
}

#[test]
fn a_hello_that_is_not_whole_or_not_the_first_has_no_share_to_work_on() {
    let (mut session, mut client) = pair(&version::TLS13);
    let hello = hello(&mut client);
    for end in 0..hello.len() {
        assert_eq!(session.x25519_share(&hello[..end]), None, "{end}");
    }
    let (first, rest) = hello.split_at(40);
    session.receive(first).unwrap();
    assert_eq!((session.x25519_share(rest), session.x25519_share(&hello)), (None, None));
    // Given all the same, it is used for what it is: the share decides.
    let answer = answer(&mut session, rest);
    give(&mut client, &answer);
    assert_eq!(session.x25519_share(&hello), None);
    session.provide(agreement([9; 32], [7; 32]));
    assert!(matches!(until_presented(&mut session, &mut client), Event::Presented(_)));
}

#[test]
fn tls_12_brings_no_share_with_its_hello() {
    let (mut session, mut client) = pair(&version::TLS12);
    let hello = hello(&mut client);
    assert_eq!(session.x25519_share(&hello), None);
    session.provide(agreement([9; 32], [7; 32]));
    let answer = answer(&mut session, &hello);
    give(&mut client, &answer);
    assert!(matches!(until_presented(&mut session, &mut client), Event::Presented(_)));
}
