//! Whatever the bytes: one certificate, or one reason; one that was read is read to its last byte, and every question about it ends.
#![no_main]

use holdfast_engine::check_issued_by;
use holdfast_fuzz::forge::NOW;
use holdfast_x509::{Certificate, Policy, check_anchor, check_in_date, device_id, sole_common_name};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(certificate) = Certificate::parse(data) else { return };
    assert_eq!(certificate.der, data);
    assert!(Certificate::parse(&[data, &[0]].concat()).is_err(), "something follows");
    assert!(Certificate::parse(&data[..data.len() - 1]).is_err(), "something is missing");
    assert!(certificate.subject == certificate.subject && certificate.issuer == certificate.issuer);
    assert_eq!(certificate.self_issued(), certificate.subject == certificate.issuer);
    let _shown = format!("{} {} {:?}", certificate.subject, certificate.issuer, sole_common_name(&certificate));
    if let Ok(id) = device_id(&certificate) {
        assert_eq!(sole_common_name(&certificate), Ok(id));
        assert!(!id.is_empty() && id.len() <= 64 && id.is_ascii() && !id.contains(['#', '+', '/']));
    }
    let extensions = &certificate.extensions;
    assert!(extensions.iter().map(|(oid, _, value)| oid.len() + value.len()).sum::<usize>() <= data.len());
    let shown = certificate.extensions_shown();
    assert_eq!(shown.len(), extensions.iter().count());
    assert!(shown.iter().all(|one| !one.value.contains(char::is_control)), "{shown:?}");
    let _ = (extensions.basic_constraints(), extensions.key_usage(), extensions.subject_alt_names_shown());
    let _ = (check_anchor(&certificate, &Policy::client_auth(), NOW), check_in_date(&certificate, NOW));
    let _ = check_issued_by(&certificate, &certificate);
});
