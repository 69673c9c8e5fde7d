//! Fleets as they are made: every chain holds, the same seed gives the same keys, and a file that is not whole is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use holdfast_engine::Verifier;
use holdfast_fleet::{Devices, SupplyChain, Validity, make_devices};
use holdfast_x509::{Anchors, Policy, UnixSeconds, device_id};

const VALIDITY: Validity = Validity { not_before: 1_767_225_600, not_after: 1_798_761_599 };
const INSIDE: UnixSeconds = UnixSeconds(1_780_272_000);

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn chain(seed: u8, of: &[&str]) -> SupplyChain {
    SupplyChain::new(&names(of), Some([seed; 32]), VALIDITY).unwrap()
}

/// A place of its own for each test, gone when it ends well.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("holdfast-fleet-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn devices(&self, seed: u8, of: &[&str], count: u64) -> Devices {
        let path = self.0.join(format!("{seed}-{count}-{}", of.len()));
        make_devices(&path, &chain(seed, of), "widget", count, 2).unwrap();
        Devices::open(&path).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_device_has_a_path_to_the_root_at_any_depth() {
    let place = Place::new("depth");
    for of in [&["Root"][..], &["Root", "Factory"], &["Root", "Factory", "Technician"], &["1", "2", "3", "4", "5", "6"]]
    {
        let mut devices = place.devices(1, of, 1_030);
        let anchors = Anchors::new([devices.authority_certificates()[0].clone()]).unwrap();
        let verifier = Verifier::new(anchors.into(), Policy::client_auth());
        for number in [0, 1, 1_023, 1_024, 1_029] {
            let chain = devices.chain(number).unwrap();
            assert_eq!(chain.len(), of.len());
            let presented: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
            let path = verifier.verify(&presented, INSIDE).unwrap();
            assert_eq!(path.common_name(), Some(format!("widget-{number:04}").as_str()));
            assert_eq!(path.not_after(), UnixSeconds(VALIDITY.not_after));
            let leaf = holdfast_x509::Certificate::parse(&chain[0]).unwrap();
            assert_eq!(device_id(&leaf).unwrap(), devices.id(number));
        }
        let beyond = UnixSeconds(VALIDITY.not_after + 1);
        let chain = devices.chain(0).unwrap();
        let presented: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        assert_eq!(verifier.verify(&presented, beyond).unwrap_err().code(), "expired");
    }
}

#[test]
fn a_seed_gives_the_same_keys_and_another_one_others() {
    let place = Place::new("seed");
    let key = |devices: &mut Devices, number| devices.private_key(number).unwrap();
    let (mut one, mut more, mut other) =
        (place.devices(1, &["R", "F"], 3), place.devices(1, &["R", "F"], 5), place.devices(2, &["R", "F"], 3));
    assert_eq!(key(&mut one, 2), key(&mut more, 2));
    assert_ne!(key(&mut one, 2), key(&mut one, 1));
    assert_ne!(key(&mut one, 2), key(&mut other, 2));
    let keys = |seed| {
        chain(seed, &["R", "F"]).authorities().iter().map(holdfast_fleet::Authority::private_key).collect::<Vec<_>>()
    };
    assert_eq!(keys(1), keys(1));
    assert_ne!(keys(1), keys(2));
    let unseeded = || SupplyChain::new(&names(&["R"]), None, VALIDITY).unwrap().authorities()[0].private_key();
    assert_ne!(unseeded(), unseeded());
}

#[test]
fn what_cannot_be_a_fleet_is_refused() {
    let place = Place::new("refused");
    let code = |result: Result<(), holdfast_fleet::Error>| result.unwrap_err().code();
    let long = "x".repeat(65);
    let many = vec!["CA"; 17];
    for bad in [&[][..], &[""], &[long.as_str()], &["line\nbreak"], &many] {
        assert_eq!(code(SupplyChain::new(&names(bad), None, VALIDITY).map(drop)), "bad_fleet");
    }
    let backwards = Validity { not_before: VALIDITY.not_after, not_after: VALIDITY.not_before };
    assert_eq!(code(SupplyChain::new(&names(&["R"]), None, backwards).map(drop)), "bad_fleet");
    let path = place.0.join("file");
    let make = |prefix: &str, count| make_devices(&path, &chain(1, &["R"]), prefix, count, 1);
    for prefix in ["", "a/b", "a b", "é", &"x".repeat(49)] {
        assert_eq!(code(make(prefix, 1)), "bad_fleet", "{prefix}");
    }
    assert_eq!(code(make("x", 0)), "bad_fleet");
    assert_eq!(code(make("x", 1_000_000_000)), "bad_fleet");
    make(&"x".repeat(48), 1).unwrap();
    assert_eq!(code(make("x", 1)), "fleet_file_failed", "what is there is not written over");
}

#[test]
fn a_file_that_is_not_whole_is_refused() {
    let place = Place::new("whole");
    drop(place.devices(1, &["R", "F"], 3));
    let path = place.0.join("1-3-2");
    let whole = std::fs::read(&path).unwrap();
    let code = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Devices::open(&path).map(drop).map_err(|error| error.code())
    };
    assert_eq!(code(&whole), Ok(()));
    for end in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        assert_eq!(code(&whole[..end]), Err("bad_fleet_file"), "{end}");
    }
    assert_eq!(code(&[whole.as_slice(), b"x"].concat()), Err("bad_fleet_file"));
    let huge = [&whole[..8], &[0xff; 8], &whole[16..]].concat();
    assert_eq!(code(&huge), Err("bad_fleet_file"));
    assert_eq!(code(b""), Err("bad_fleet_file"));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Devices::open(&path).unwrap_err().code(), "fleet_file_failed");
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let place = Place::new("absent");
    let mut devices = place.devices(1, &["R"], 2);
    assert!(devices.chain(1).is_ok());
    assert_eq!(devices.chain(2).unwrap_err().code(), "no_such_device");
    assert_eq!(devices.private_key(u64::MAX).unwrap_err().code(), "no_such_device");
}
