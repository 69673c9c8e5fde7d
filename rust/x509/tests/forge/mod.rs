//! Certificates without real signatures, and a search driven by hand: the test is the one that checks signatures, and counts them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "a test's tool box: it fails by panicking, and each test uses its part"
)]

use holdfast_x509::{Anchors, Certificate, Context, Policy, Search, Spent, Step, UnixSeconds};

pub const NOW: UnixSeconds = UnixSeconds(1_790_000_000);

pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let inside = parts.concat();
    let octets = u32::try_from(inside.len()).unwrap().to_be_bytes();
    let significant = &octets[octets.iter().position(|octet| *octet != 0).unwrap_or(3)..];
    let length = match inside.len() {
        0..=0x7f => significant.to_vec(),
        _ => [&[0x80 | u8::try_from(significant.len()).unwrap()], significant].concat(),
    };
    [&[tag], length.as_slice(), &inside].concat()
}

pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

pub fn attribute(arc: u8, text: &str) -> Vec<u8> {
    element(0x31, &[&element(0x30, &[&[6, 3, 0x55, 4, arc], &element(0x0c, &[text.as_bytes()])])])
}

pub fn name(common_name: &str) -> Vec<u8> {
    element(0x30, &[&attribute(3, common_name)])
}

/// What a certificate says; its key is `key` repeated, so a signature can be told by one byte.
#[derive(Clone)]
pub struct Template {
    pub subject: Vec<u8>,
    pub issuer: Vec<u8>,
    pub key: u8,
    pub spki: Option<Vec<u8>>,
    pub ca: bool,
    pub path_len: Option<u8>,
    /// id-ce arcs with criticality and value.
    pub extensions: Vec<(u8, bool, Vec<u8>)>,
}

impl Template {
    pub fn leaf(issuer: &str) -> Self {
        Self::of("widget", issuer, 0, false)
    }

    pub fn ca(subject: &str, issuer: &str, key: u8) -> Self {
        Self::of(subject, issuer, key, true)
    }

    fn of(subject: &str, issuer: &str, key: u8, ca: bool) -> Self {
        let (subject, issuer) = (name(subject), name(issuer));
        Self { subject, issuer, key, spki: None, ca, path_len: None, extensions: Vec::new() }
    }

    pub fn with(mut self, arc: u8, critical: bool, value: Vec<u8>) -> Self {
        self.extensions.push((arc, critical, value));
        self
    }

    pub fn encode(&self) -> Vec<u8> {
        let ecdsa = element(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
        let validity = element(0x30, &[&element(0x17, &[b"200101000000Z"]), &element(0x17, &[b"491231235959Z"])]);
        let path_len = self.path_len.map_or(Vec::new(), |path_len| vec![2, 1, path_len]);
        let basic = if self.ca { element(0x30, &[&[1, 1, 0xff], &path_len]) } else { element(0x30, &[]) };
        let mut extensions = vec![(19, true, basic)];
        extensions.extend(self.extensions.clone());
        let encode = |(arc, critical, value): &(u8, bool, Vec<u8>)| {
            let critical: &[u8] = if *critical { &[1, 1, 0xff] } else { &[] };
            element(0x30, &[&[6, 3, 0x55, 0x1d, *arc], critical, &element(4, &[value])])
        };
        let extensions = element(0xa3, &[&sequence(&extensions.iter().map(encode).collect::<Vec<_>>())]);
        let spki = self.spki.clone().unwrap_or_else(|| p256(self.key));
        let tbs = element(
            0x30,
            &[&[0xa0, 3, 2, 1, 2], &[2, 1, 1], &ecdsa, &self.issuer, &validity, &self.subject, &spki, &extensions],
        );
        element(0x30, &[&tbs, &ecdsa, &[3, 2, 0, self.key]])
    }
}

pub fn p256(key: u8) -> Vec<u8> {
    let algorithm =
        element(0x30, &[&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]]);
    element(0x30, &[&algorithm, &element(3, &[&[0, 4], &[key; 64]])])
}

/// A version 3 P-256 certificate whose key is `key` repeated; a CA when `ca`, with `path_len` when given.
pub fn certificate(subject: &str, issuer: &str, key: u8, ca: bool, path_len: Option<u8>) -> Vec<u8> {
    Template { path_len, ..Template::of(subject, issuer, key, ca) }.encode()
}

/// DNS names `0.suffix` … as `GeneralName`s.
pub fn dns_names(count: usize, suffix: &str) -> Vec<Vec<u8>> {
    (0..count).map(|number| element(0x82, &[format!("{number}{suffix}").as_bytes()])).collect()
}

/// The value of name constraints.
pub fn constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Vec<u8> {
    let list = |tag: u8, names: &[Vec<u8>]| {
        let subtrees: Vec<Vec<u8>> = names.iter().map(|name| sequence(std::slice::from_ref(name))).collect();
        if names.is_empty() { Vec::new() } else { element(tag, &[&subtrees.concat()]) }
    };
    element(0x30, &[&list(0xa0, permitted), &list(0xa1, excluded)])
}

/// The object identifier 1.3.6.1.4.1.`a`.`b`.
pub fn oid(a: u8, b: u8) -> Vec<u8> {
    vec![6, 7, 0x2b, 6, 1, 4, 1, a & 0x7f, b & 0x7f]
}

#[derive(Debug, PartialEq)]
pub struct End {
    pub verdict: Result<Vec<usize>, (&'static str, Option<usize>)>,
    pub signatures_count: usize,
    pub spent: Spent,
}

/// Runs a search to its end; `good` decides each signature by the child's and issuer's key bytes.
pub fn run(chain: &[Vec<u8>], anchors: &[Vec<u8>], policy: &Policy, good: impl Fn(u8, u8) -> bool) -> End {
    let anchors = Anchors::new(anchors.iter().cloned()).unwrap();
    let certificates: Vec<Certificate<'_>> = chain.iter().map(|der| Certificate::parse(der).unwrap()).collect();
    let chain: Vec<&Certificate<'_>> = certificates.iter().collect();
    let context = Context::new(&anchors, policy, NOW);
    let mut search = Search::new(&chain, &context);
    let mut signatures_count = 0;
    for _ in 0..1_000 {
        let verdict = match search.next() {
            Step::Candidate(candidate) => {
                for (edge, job) in candidate.jobs {
                    signatures_count += 1;
                    search.report(edge, good(job.signature[0], job.public_key[1]));
                }
                continue;
            }
            Step::Accepted(path) => Ok(path.presented().to_vec()),
            Step::Refused(refusal) => Err((refusal.code(), refusal.position)),
        };
        return End { verdict, signatures_count, spent: search.spent() };
    }
    panic!("the search does not end");
}

/// Policy for bags of any size, so that a test reaches what lies behind the size limits.
pub fn roomy() -> Policy {
    let mut policy = Policy::client_auth();
    policy.limits.certificates_count_max = 1_000;
    policy.limits.chain_bytes_max = 1 << 20;
    policy
}
