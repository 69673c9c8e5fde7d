//! One device connection, stepped: TLS, records, MQTT framing.
#![forbid(unsafe_code)]
