//! Writes `seeds/`: where each target begins, made by the forge and by hand, the same each time.

use std::path::Path;
use std::{env, fs, io};

use holdfast_fuzz::blocks;
use holdfast_fuzz::forge::{Template, attribute, constraints, dns_names, element, oid, p256, sequence};

fn main() -> io::Result<()> {
    let directory = env::args().nth(1).unwrap_or_else(|| "seeds".to_owned());
    for (target, name, bytes) in seeds() {
        let place = Path::new(&directory).join(target);
        fs::create_dir_all(&place)?;
        fs::write(place.join(format!("{name}.seed")), bytes)?;
    }
    Ok(())
}

type Seed = (&'static str, &'static str, Vec<u8>);

fn seeds() -> Vec<Seed> {
    [certificates(), lists(), keys(), curve(), packets(), streams(), texts()].concat()
}

fn certificates() -> Vec<Seed> {
    let (leaf, ca) = (Template::leaf("ca").encode(), Template::ca("ca", "root", 1));
    let names = sequence(&[
        dns_names(2, ".test").concat(),
        element(0x81, &[b"a@widget.test"]),
        element(0x86, &[b"https://widget.test/a"]),
        element(0x87, &[&[192, 0, 2, 1]]),
        element(0xa4, &[&sequence(&[attribute(10, "Company-X")])]),
    ]);
    let full = Template::leaf("ca")
        .with(17, false, names)
        .with(15, true, vec![3, 2, 7, 0x80])
        .with(37, false, sequence(&[vec![6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2]]))
        .with(32, false, sequence(&[sequence(&[oid(1, 1)])]))
        .with(35, false, sequence(&[element(0x80, &[b"key"])]))
        .with(14, false, element(4, &[b"own"]))
        .encode();
    let bound = ca
        .clone()
        .with(30, true, constraints(&dns_names(2, ".test"), &[element(0x81, &[b".elsewhere"])]))
        .with(32, false, sequence(&[sequence(&[oid(1, 1)])]))
        .with(33, true, sequence(&[sequence(&[oid(1, 1), oid(1, 2)])]))
        .with(36, true, element(0x30, &[&[0x80, 1, 0], &[0x81, 1, 1]]))
        .with(54, true, vec![2, 1, 0])
        .encode();
    let points = sequence(&[sequence(&[element(0xa0, &[&element(0xa0, &[&element(0x86, &[b"http://crl.test/"])])])])]);
    let pointed = Template::leaf("ca").with(31, false, points).encode();
    let ca = ca.encode();
    let chain = |flags: &[u8], parts: &[&Vec<u8>]| {
        [flags, &blocks(&parts.iter().map(|part| (*part).clone()).collect::<Vec<_>>())].concat()
    };
    vec![
        ("certificate", "leaf", leaf.clone()),
        ("certificate", "ca", ca.clone()),
        ("certificate", "full", full.clone()),
        ("certificate", "bound", bound.clone()),
        ("certificate", "pointed", pointed.clone()),
        ("chain", "two", chain(&[0, 0], &[&leaf, &ca])),
        ("chain", "full", chain(&[16, 0], &[&full, &bound])),
        ("chain", "server", chain(&[9, 0], &[&full, &ca, &ca])),
        ("chain", "bad-first", chain(&[0, 1], &[&leaf, &ca, &bound])),
        ("split", "two", [leaf.as_slice(), &ca].concat()),
        ("split", "cut", [full.as_slice(), &bound[..bound.len() / 2]].concat()),
        ("split", "small", vec![0x30, 0, 0x30, 3, 2, 1, 5, 0x30, 0x81, 0]),
        ("pem", "certificate", pem("CERTIFICATE", &leaf)),
        ("pem", "two", [pem("CERTIFICATE", &ca), b"text between\n".to_vec(), pem("CERTIFICATE", &bound)].concat()),
        ("pem", "list", pem("X509 CRL", &list("ca", &[1, 2], &[]))),
        // How many, and for each: subject, issuer, key, what it holds, and how much of it.
        ("cost", "names", vec![0xff, 1, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 2, 1, 0, 1, 0, 0, 0]),
        ("cost", "look-alikes", [vec![0, 9, 0, 1, 0, 0], [1, 1, 1, 0].repeat(8)].concat()),
        ("cost", "policies", vec![0xff, 1, 0, 1, 0, 4, 32, 1, 0, 1, 28, 32, 31, 31]),
    ]
}

/// A list of `issuer`'s with these serial numbers; unsigned.
fn list(issuer: &str, serials: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let ecdsa = element(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    let time = |text: &[u8]| element(0x17, &[text]);
    let entries: Vec<Vec<u8>> =
        serials.iter().map(|serial| sequence(&[vec![2, 1, *serial], time(b"250101000000Z")])).collect();
    let number = sequence(&[vec![6, 3, 0x55, 0x1d, 20], element(4, &[&[2, 1, 1]])]);
    let identifier = sequence(&[vec![6, 3, 0x55, 0x1d, 35], element(4, &[&sequence(&[element(0x80, &[b"key"])])])]);
    let extensions = sequence(&[&[number, identifier], extensions].concat());
    let tbs = sequence(&[
        vec![2, 1, 1],
        ecdsa.clone(),
        holdfast_fuzz::forge::name(issuer),
        time(b"260101000000Z"),
        time(b"490101000000Z"),
        sequence(&entries),
        element(0xa0, &[&extensions]),
    ]);
    sequence(&[tbs, ecdsa, vec![3, 2, 0, 9]])
}

fn lists() -> Vec<Seed> {
    let point = |inside: Vec<u8>| {
        sequence(&[vec![6, 3, 0x55, 0x1d, 28], vec![1, 1, 0xff], element(4, &[&sequence(&[inside])])])
    };
    let delta = sequence(&[vec![6, 3, 0x55, 0x1d, 27], vec![1, 1, 0xff], element(4, &[&[2, 1, 1]])]);
    vec![
        ("revocation", "both", blocks(&[list("ca", &[2, 3], &[]), list("root", &[2], &[])])),
        ("revocation", "revoked", blocks(&[list("ca", &[1], &[])])),
        ("revocation", "delta", blocks(&[list("ca", &[2], &[]), list("ca", &[3], &[delta])])),
        ("revocation", "indirect", blocks(&[list("ca", &[2, 3], &[point(vec![0x84, 1, 0xff])])])),
        ("revocation", "users", blocks(&[list("ca", &[2], &[point(vec![0x81, 1, 0xff])])])),
    ]
}

fn keys() -> Vec<Seed> {
    let ecdsa = |last: u8| element(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last]]);
    let rsa = |last: u8| element(0x30, &[&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last], &[5, 0]]);
    let modulus = [&[0][..], &[0xc5; 255], &[1]].concat();
    let rsa_key =
        element(0x30, &[&rsa(1), &element(3, &[&[0], &sequence(&[element(2, &[&modulus]), vec![2, 3, 1, 0, 1]])])]);
    let edwards =
        |parts: &[&[u8]]| element(0x30, &[&[&element(0x30, &[&[6, 3, 0x2b, 0x65, 0x70]])[..]], parts].concat());
    let pair = sequence(&[vec![2, 1, 1], vec![2, 1, 1]]);
    vec![
        ("public_key", "p256", blocks(&[p256(7), ecdsa(2), pair.clone()])),
        ("public_key", "rsa", blocks(&[rsa_key, rsa(11), vec![1; 256]])),
        (
            "public_key",
            "ed25519",
            blocks(&[
                edwards(&[&element(3, &[&[0], &[9; 32]])]),
                element(0x30, &[&[6, 3, 0x2b, 0x65, 0x70]]),
                vec![1; 64],
            ]),
        ),
    ]
}

/// Signatures and points of P-256: the example of RFC 6979 §A.2.5, the generator, numbers at the ends of their ranges.
fn curve() -> Vec<Seed> {
    let number = |text: &str| -> Vec<u8> {
        let digits = text.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
        digits.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
    };
    let point = |x: &str, y: &str| [vec![4], number(x), number(y)].concat();
    let r = number("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716");
    let s = number("f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
    let n = number("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let integer = |octets: &[u8]| element(2, &[&[0], octets]);
    let key = point(
        "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
    );
    let generator = point(
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    );
    vec![
        ("signature", "example", sequence(&[integer(&r), integer(&s)])),
        ("signature", "small", sequence(&[vec![2, 1, 1], vec![2, 1, 0x7f]])),
        ("signature", "order", sequence(&[integer(&n), integer(&n)])),
        ("signature", "scalars", [r, s].concat()),
        ("signature", "order-scalars", [n.clone(), n].concat()),
        ("point", "example", key.clone()),
        ("point", "generator", generator),
        ("point", "compressed", [&[3][..], &key[1..33]].concat()),
    ]
}

fn packets() -> Vec<Seed> {
    use holdfast_session::client::{ConnectPacket, DISCONNECT, PINGREQ, write_connect, write_packet, write_publish};
    let mut publish = Vec::new();
    write_publish("devices/w1/messages/events/$.mid=7&a=b&c", Some(1), b"hello", &mut publish);
    write_publish("devices/w1/messages/events/", None, b"", &mut publish);
    let mut subscribe = Vec::new();
    write_packet(0x82, &[&[0, 1, 0, 31], b"devices/w1/messages/devicebound/#"[..31].as_ref(), &[1]], &mut subscribe);
    let mut connect = Vec::new();
    let packet = ConnectPacket {
        client_id: "w1",
        user_name: Some("hub/w1/?api-version=x"),
        clean_session: true,
        keep_alive_seconds: 60,
    };
    write_connect(&packet, &mut connect);
    let behind = |mode: u8, bytes: &[u8]| [&[mode, 0], bytes].concat();
    vec![
        ("mqtt", "publish", behind(0, &publish)),
        ("mqtt", "publish-tls13", behind(1, &[publish.as_slice(), &PINGREQ, &DISCONNECT].concat())),
        ("mqtt", "subscribe", behind(1, &subscribe)),
        ("mqtt", "connect", behind(2, &connect)),
        ("mqtt", "connect-and-publish", behind(3, &[connect, publish].concat())),
        ("answer", "all", vec![0x20, 2, 0, 0, 0x40, 2, 0, 1, 0xd0, 0, 0x90, 3, 0, 1, 1]),
    ]
}

fn streams() -> Vec<Seed> {
    // A ClientHello of TLS 1.3 with a key share, as little as makes one.
    let extension = |kind: u8, body: &[u8]| [&[0, kind, 0, u8::try_from(body.len()).unwrap_or(0)], body].concat();
    let share = [&[0, 36, 0, 29, 0, 32][..], &[9; 32]].concat();
    let extensions = [
        extension(10, &[0, 2, 0, 29]),
        extension(13, &[0, 4, 4, 3, 8, 4]),
        extension(43, &[2, 3, 4]),
        extension(51, &share),
        extension(23, &[]),
    ]
    .concat();
    let inside = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, 4, 0x13, 1, 0xc0, 0x2b, 1, 0],
        &[0, u8::try_from(extensions.len()).unwrap_or(0)],
        &extensions,
    ]
    .concat();
    let length = u8::try_from(inside.len()).unwrap_or(0);
    let hello = [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &inside].concat();
    let whole = [&[0][..], &hello].concat();
    let moves = |hello: &[u8]| [&[0, 0, 2, 1][..], &blocks(&[hello.to_vec()]), &[2, 10, 0, 5, 2, 6]].concat();
    vec![
        ("session", "hello", whole),
        ("session", "hello-in-threes", [&[3][..], &hello].concat()),
        ("session", "alert", vec![0, 0x15, 3, 3, 0, 2, 2, 40]),
        ("session", "http", b"\0GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("gate", "hello", moves(&hello)),
        ("gate", "nothing", vec![0, 0, 2, 10, 40, 0, 0, 11]),
        ("handshake", "untouched", vec![0, 0]),
        ("handshake", "untouched-tls13", vec![1, 7]),
        ("handshake", "one-changed", vec![1, 0, 0, 90, 0, 1]),
        ("handshake", "one-removed", vec![0, 0, 2, 0, 2, 0]),
        ("records", "untouched", vec![0, 0, 0]),
        ("records", "updates", vec![1, 5, 0xff]),
        ("records", "one-changed", vec![1, 0, 0, 0, 60, 0, 1]),
        ("records", "repeated", vec![0, 0, 0, 0, 200, 3, 99]),
    ]
}

fn texts() -> Vec<Seed> {
    let texts: [(&str, &str); 7] = [
        ("device", "widget-1"),
        ("possession", "HFPOP1-ABC"),
        ("oid", "1.3.6.1.4.1.55738"),
        ("host", "widget.example.com"),
        ("ipv4", "192.0.2.1"),
        ("ipv6", "2001:db8::1"),
        ("wild", "*.example.com"),
    ];
    texts.into_iter().map(|(name, text)| ("text", name, text.as_bytes().to_vec())).collect()
}

/// RFC 7468, lines of 64.
fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n").into_bytes();
    let group = |three: &[u8]| {
        let octet = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        [18, 12, 6, 0].map(|shift| DIGITS[usize::try_from(bits >> shift & 63).unwrap_or(0)])
    };
    let mut digits: Vec<u8> = der.chunks(3).flat_map(group).collect();
    let padding = (3 - der.len() % 3) % 3;
    let length = digits.len();
    digits[length - padding..].fill(b'=');
    for line in digits.chunks(64) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    text
}
