//! Who a device is: one string from one field of its certificate. `trust.md` §3.1.

use crate::certificate::Certificate;
use crate::error::Error;
use crate::name::text;

/// Longest id, RFC 5280 appendix A's ub-common-name.
const DEVICE_ID_LENGTH_MAX: usize = 64;
/// Common names that answer a possession challenge are never device ids (`trust.md` §4.1).
pub const POSSESSION_PREFIX: &str = "HFPOP1-";

/// The only common name of a certificate's subject, exactly as written.
///
/// # Errors
/// `CommonNameMissing`, `CommonNameAmbiguous` (several, or one in a multi-valued RDN), `CommonNameInvalid` (neither a
/// `PrintableString` nor a `UTF8String`).
pub fn sole_common_name<'a>(certificate: &Certificate<'a>) -> Result<&'a str, Error> {
    let mut only = None;
    let mut ambiguous = false;
    certificate.subject.for_common_names(|attribute| {
        ambiguous |= attribute.shares_rdn || only.is_some();
        only = Some(attribute);
    });
    let attribute = only.ok_or(Error::CommonNameMissing)?;
    if ambiguous {
        return Err(Error::CommonNameAmbiguous);
    }
    text(&attribute.value).ok_or(Error::CommonNameInvalid)
}

/// The identity in `leaf`: its only common name.
///
/// # Errors
/// Those of [`sole_common_name`]; `CommonNameInvalid` (not printable ASCII, a space, `#`, `+`, `/`, or a leading `$`),
/// `CommonNameTooLong`, `CommonNameReserved`.
pub fn device_id<'a>(leaf: &Certificate<'a>) -> Result<&'a str, Error> {
    let id = sole_common_name(leaf)?;
    check_device_id(id).map(|()| id)
}

/// Whether `id` may be a device's identity.
///
/// # Errors
/// `CommonNameInvalid`, `CommonNameTooLong`, `CommonNameReserved`: as for [`device_id`].
pub fn check_device_id(id: &str) -> Result<(), Error> {
    // MQTT topics are built from the id: the wildcards and the separator would reach other devices' topics.
    let allowed = |octet: u8| octet.is_ascii_graphic() && !b"#+/".contains(&octet);
    if id.is_empty() || id.starts_with('$') || !id.bytes().all(allowed) {
        return Err(Error::CommonNameInvalid);
    }
    if id.len() > DEVICE_ID_LENGTH_MAX {
        return Err(Error::CommonNameTooLong { found: id.len(), limit: DEVICE_ID_LENGTH_MAX });
    }
    if id.get(..POSSESSION_PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(POSSESSION_PREFIX)) {
        return Err(Error::CommonNameReserved);
    }
    Ok(())
}
