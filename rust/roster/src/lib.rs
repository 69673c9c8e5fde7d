//! Anchors, closed keys, pins and devices of a tenant, in memory.
#![forbid(unsafe_code)]
