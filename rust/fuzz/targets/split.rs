//! Whatever the octets: the pieces are those octets, in order and without gaps; each but the last is one element and is cut no
//! further; and whoever asks whether one piece continues another's chain gets an answer.
#![no_main]

use holdfast_x509::{continues_chain, split_certificates};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let pieces: Vec<&[u8]> = split_certificates(data).collect();
    assert_eq!(pieces.concat(), data);
    for piece in &pieces {
        assert!(!piece.is_empty());
        assert!(split_certificates(piece).eq([*piece]));
    }
    // Putting more behind it moves no boundary of a whole element.
    if let Some((_, whole)) = pieces.split_last() {
        let longer = [data, &[0x30, 0]].concat();
        assert!(split_certificates(&longer).take(whole.len()).eq(whole.iter().copied()));
    }
    for pair in pieces.windows(2).take(16) {
        if let [below, above] = pair {
            let _answer = continues_chain(below, above);
        }
    }
});
