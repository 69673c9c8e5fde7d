//! Many presented chains in, as many outcomes out.
#![forbid(unsafe_code)]
