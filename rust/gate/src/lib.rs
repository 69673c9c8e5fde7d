//! All connections of one worker: handles, budgets, deadlines, verdicts.
#![forbid(unsafe_code)]
