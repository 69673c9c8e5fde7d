//! Whatever the text: the certificates and lists in it, or an error; what was read from PEM is judged like DER.
#![no_main]

use holdfast_x509::{Anchors, RevocationLists};
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::{PemObject, SectionKind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let sections: Result<Vec<(SectionKind, Vec<u8>)>, _> = PemObject::pem_slice_iter(data).collect();
    if let Ok(sections) = sections {
        let count = sections.iter().filter(|(kind, _)| *kind == SectionKind::Certificate).count();
        let ders = sections.into_iter().filter(|(kind, _)| *kind == SectionKind::Certificate).map(|(_, der)| der);
        assert!(Anchors::new(ders).map_or(true, |anchors| anchors.len() <= count));
    }
    let lists = CertificateRevocationListDer::pem_slice_iter(data).filter_map(Result::ok).map(|list| list.to_vec());
    let _ = RevocationLists::new(lists);
});
