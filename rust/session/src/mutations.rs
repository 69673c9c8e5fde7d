//! Packets gone wrong, the same ones in every run: for tests that whatever comes is read or refused.

pub(crate) struct Mutations(u64);

impl Mutations {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `bound` (Marsaglia's xorshift).
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    /// One of `packets` with up to three octets changed, added or taken away; often with a length that fits what is inside.
    pub(crate) fn one_of(&mut self, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = packets[self.below(packets.len())].clone();
        for _ in 0..self.below(4) {
            let (at, octet) = (self.below(bytes.len()), u8::try_from(self.below(256)).unwrap());
            match self.below(4) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = octet,
                2 => bytes.insert(at, octet),
                _ if bytes.len() > 2 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        if self.below(2) == 0 && (2..=129).contains(&bytes.len()) {
            bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
        }
        bytes
    }
}
