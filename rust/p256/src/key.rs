//! A P-256 public key that has passed validation. SEC 1 §3.2.2.1.
use crate::montgomery::{Field, Residue};
use crate::words::{self, B, P, Words};

/// Why bytes are no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// A coordinate is not below p.
    CoordinateTooLarge,
    /// The coordinates do not satisfy the curve's equation.
    NotOnCurve,
    /// Not 65 bytes that start with 04: compressed, hybrid and infinite points are no keys here (RFC 5480 §2.2).
    NotUncompressed,
}

/// A point on the curve, not at infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey {
    pub(crate) point: [Words; 2],
}

impl PublicKey {
    /// Reads an uncompressed point: 04, x, y.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, KeyError> {
        let (Some(&[0x04]), Some([x, y])) = (bytes.first_chunk::<1>(), bytes.get(1..).and_then(halves)) else {
            return Err(KeyError::NotUncompressed);
        };
        let [x, y] = [words::from_be_bytes(x), words::from_be_bytes(y)];
        if !words::less(x, P) || !words::less(y, P) {
            return Err(KeyError::CoordinateTooLarge);
        }
        let [fx, fy, b]: [Residue<Field>; 3] = [Residue::new(x), Residue::new(y), Residue::new(B)];
        if fy.square() != fx.square().mul(fx).sub(fx.times::<3>()).add(b) {
            return Err(KeyError::NotOnCurve);
        }
        Ok(Self { point: [x, y] })
    }

    /// The same form again.
    pub fn to_sec1(&self) -> [u8; 65] {
        let mut bytes = [0x04; 65];
        for (half, number) in bytes[1..].as_chunks_mut::<32>().0.iter_mut().zip(self.point) {
            *half = words::to_be_bytes(number);
        }
        bytes
    }
}

fn halves(bytes: &[u8]) -> Option<[&[u8; 32]; 2]> {
    match bytes.as_chunks::<32>() {
        ([x, y], []) => Some([x, y]),
        _ => None,
    }
}
