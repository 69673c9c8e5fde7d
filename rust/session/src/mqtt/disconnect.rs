//! DISCONNECT: mqtt-v5.0-os §3.14; mqtt-v3.1.1-os §3.14, where only a client can say it, and nothing more with it.

use super::frame::{Body, Frame, protocol_error, write_packet};
use super::properties::{Place, Properties};
use super::{DISCONNECT, Reason, Version};
use crate::error::Fault;
use crate::limits::Limits;

/// A client's good-bye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "all that a good-bye can say")]
pub struct Goodbye {
    /// Whether the will is to be published all the same: every reason but 0 (§3.1.2.5).
    pub with_will: bool,
    /// What the session's expiry becomes, where that was said.
    pub session_expiry_seconds: Option<u32>,
}

pub(crate) fn parse_disconnect(frame: &Frame<'_>, version: Version, limits: &Limits) -> Result<Goodbye, Fault> {
    frame.expect_flags(0)?;
    let mut body = Body(frame.body);
    if version == Version::V311 || body.is_empty() {
        return body.finish().map(|()| Goodbye { with_will: false, session_expiry_seconds: None });
    }
    let reason = body.u8()?;
    if !CLIENT_REASONS.contains(&reason) {
        return Err(protocol_error("a reason code that a client's DISCONNECT does not have"));
    }
    let mut session_expiry_seconds = None;
    if !body.is_empty() {
        session_expiry_seconds =
            Properties::read(&mut body, Place::Disconnect, limits.properties_count_max)?.session_expiry_seconds;
    }
    body.finish().map(|()| Goodbye { with_will: reason != 0, session_expiry_seconds })
}

/// §3.14.2.1, table 3-10: those that a client may send.
const CLIENT_REASONS: [u8; 14] = [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];

/// Appends what the hub says before it hangs up: nothing in 3.1.1, which has no word for it.
pub(crate) fn write_disconnect(version: Version, reason: Reason, output: &mut Vec<u8>) {
    if version == Version::V5 {
        write_packet(DISCONNECT << 4, &[&[reason.code()]], output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goodbye(bytes: &[u8], version: Version) -> Result<(bool, Option<u32>), &'static str> {
        let frame = Frame::read(bytes, 100).unwrap().unwrap();
        let read = parse_disconnect(&frame, version, &Limits::default()).map_err(|fault| fault.code())?;
        Ok((read.with_will, read.session_expiry_seconds))
    }

    #[test]
    fn a_good_bye_says_what_its_version_lets_it() {
        for version in [Version::V311, Version::V5] {
            assert_eq!(goodbye(&[0xe0, 0], version), Ok((false, None)));
            assert_eq!(goodbye(&[0xe1, 0], version), Err("mqtt_bad_flags"));
        }
        assert_eq!(goodbye(&[0xe0, 1, 0], Version::V311), Err("mqtt_malformed"));
        assert_eq!(goodbye(&[0xe0, 1, 0], Version::V5), Ok((false, None)));
        assert_eq!(goodbye(&[0xe0, 2, 4, 0], Version::V5), Ok((true, None)));
        assert_eq!(goodbye(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 9], Version::V5), Ok((false, Some(9))));
        assert_eq!(goodbye(&[0xe0, 1, 0x8e], Version::V5), Err("mqtt_protocol_error"));
        assert_eq!(goodbye(&[0xe0, 3, 0, 0, 0], Version::V5), Err("mqtt_malformed"));
        assert_eq!(goodbye(&[0xe0, 6, 0, 4, 0x1c, 0, 1, b's'], Version::V5), Err("mqtt_malformed"));
    }

    #[test]
    fn only_5_0_hears_why_the_hub_hangs_up() {
        let mut output = Vec::new();
        write_disconnect(Version::V311, Reason::SessionTakenOver, &mut output);
        assert_eq!(output, []);
        write_disconnect(Version::V5, Reason::SessionTakenOver, &mut output);
        assert_eq!(output, [0xe0, 1, 0x8e]);
    }
}
