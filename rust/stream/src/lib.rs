//! The telemetry log of one worker: appended by a thread, synced in groups, read back.
#![forbid(unsafe_code)]
