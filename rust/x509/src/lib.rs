//! Bytes, anchors, policy and a time in; candidate paths with the signatures they need, or one reason, out.
#![forbid(unsafe_code)]
