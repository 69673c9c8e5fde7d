//! What the CA/Browser Forum's Baseline Requirements add for servers, where RFC 5280 leaves a choice. BR §7.1.
//!
//! Only what a single certificate can show; the list of public suffixes, which changes weekly, is not carried.

use crate::certificate::Certificate;
use crate::error::Error;
use crate::extension::{ANY_EXTENDED_KEY_USAGE, AnyPurpose, Known};
use crate::policy::Purpose;
use crate::server_name;

/// BR §7.1.2.1: a root has no extended key usage, and its authority key identifier, if any, is its own key identifier alone.
pub(crate) fn check_anchor(anchor: &Certificate<'_>) -> Result<(), Error> {
    if anchor.extensions.extended_key_usage.is_some() && anchor.self_issued() {
        return Err(Error::AnchorExtendedKeyUsage);
    }
    let Some(authority) = anchor.extensions.authority_key_identifier()?.filter(|_| anchor.self_issued()) else {
        return Ok(());
    };
    let own = anchor.extensions.subject_key_identifier()?;
    if authority.issuer.is_some() || authority.serial_number.is_some() || authority.key_identifier != own {
        return Err(Error::AuthorityKeyIdentifierNotOwn);
    }
    Ok(())
}

/// BR §7.1.2.7: alternative names are critical only where there is no subject; extended key usage is there, is never critical, and does
/// not say "anything"; the common name copies an alternative name.
pub(crate) fn check_end_entity(certificate: &Certificate<'_>) -> Result<(), Error> {
    match certificate.extensions.allows_purpose(ANY_EXTENDED_KEY_USAGE, AnyPurpose::DoesNotCount)? {
        None => return Err(Error::ExtendedKeyUsageMissing),
        Some(true) => return Err(Error::ExtendedKeyUsageNotAllowed { wanted: Purpose::ServerAuth }),
        Some(false) => {}
    }
    if certificate.extensions.is_critical(Known::SUBJECT_ALT_NAME) && !certificate.subject.is_empty() {
        return Err(Error::ExtensionMustNotBeCritical { extension: "subjectAltName" });
    }
    if certificate.extensions.is_critical(Known::EXTENDED_KEY_USAGE) {
        return Err(Error::ExtensionMustNotBeCritical { extension: "extKeyUsage" });
    }
    server_name::check_common_name(certificate)
}
