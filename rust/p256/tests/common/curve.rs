//! The curve in plain big integers: slow, obvious, and written from the equations alone.

use num_bigint::BigUint;

/// x and y; `None` is infinity.
pub type Point = Option<[BigUint; 2]>;

/// A number in base 16.
pub fn number(hex: &str) -> BigUint {
    BigUint::parse_bytes(hex.as_bytes(), 16).expect("hexadecimal")
}

/// The field's prime. SEC 2 §2.4.2.
pub fn p() -> BigUint {
    number("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff")
}

/// The order of the group.
pub fn n() -> BigUint {
    number("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
}

/// The generator.
#[expect(clippy::unnecessary_wraps, reason = "a point like others")]
pub fn generator() -> Point {
    Some([
        number("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
        number("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
    ])
}

/// The y of a point with this x, if there is one: p ≡ 3 modulo 4, so a square's root is its power (p + 1) / 4.
pub fn y_of(x: &BigUint) -> Option<BigUint> {
    let p = p();
    let b = number("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b");
    let square = (x * x * x + (&p - 3u8) * x + b) % &p;
    let root = square.modpow(&((&p + 1u8) >> 2), &p);
    (&root * &root % p == square).then_some(root)
}

pub fn negate(point: &Point) -> Point {
    point.as_ref().map(|[x, y]| [x.clone(), p() - y])
}

pub fn add(a: &Point, b: &Point) -> Point {
    let p = p();
    let (Some([x1, y1]), Some([x2, y2])) = (a, b) else { return a.clone().or_else(|| b.clone()) };
    let slope = if x1 != x2 {
        (&p + y2 - y1) * (&p + x2 - x1).modinv(&p)?
    } else if y1 == y2 {
        (x1 * x1 * 3u8 + &p - 3u8) * (y1 * 2u8).modinv(&p)?
    } else {
        return None;
    };
    let x3 = (&slope * &slope + &p * 2u8 - x1 - x2) % &p;
    let y3 = (slope * (&p + x1 - &x3) + &p - y1) % &p;
    Some([x3, y3])
}

/// Double and add.
pub fn mul(scalar: &BigUint, point: &Point) -> Point {
    let (mut sum, mut power) = (None, point.clone());
    for bit in 0..scalar.bits() {
        if scalar.bit(bit) {
            sum = add(&sum, &power);
        }
        power = add(&power, &power);
    }
    sum
}
