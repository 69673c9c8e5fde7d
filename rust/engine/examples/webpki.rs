//! What rustls-webpki says of chains, for the differential tests: a question a line in, a verdict a line out.
//!
//! A question is `SECONDS client|server NAME ROOTS CHAIN`, certificates in hexadecimal with commas between, the end entity first,
//! `-` for no name. A verdict is `yes`, or why not.

use std::io::{BufRead, Write};
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

fn main() -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    for question in std::io::stdin().lock().lines() {
        let verdict = answer(&question?).map_or_else(|error| error.replace('\n', " "), |()| "yes".to_owned());
        writeln!(output, "{verdict}")?;
        output.flush()?;
    }
    Ok(())
}

fn answer(question: &str) -> Result<(), String> {
    let mut fields = question.split(' ');
    let mut next = || fields.next().ok_or("five fields are wanted".to_owned());
    let (seconds, usage, name, roots, chain) = (next()?, next()?, next()?, next()?, next()?);
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds.parse().map_err(|_| "bad time")?));
    let usage = if usage == "server" { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
    let (roots, chain) = (certificates(roots)?, certificates(chain)?);
    let anchors = roots.iter().map(anchor_from_trusted_cert).collect::<Result<Vec<TrustAnchor<'_>>, _>>();
    let anchors = anchors.map_err(|error| format!("anchor: {error:?}"))?;
    let (end_entity, intermediates) = chain.split_first().ok_or("no chain")?;
    let end_entity = EndEntityCert::try_from(end_entity).map_err(|error| format!("end entity: {error:?}"))?;
    end_entity
        .verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, intermediates, time, usage, None, None)
        .map_err(|error| format!("{error:?}"))?;
    if name == "-" {
        return Ok(());
    }
    let name = ServerName::try_from(name).map_err(|error| format!("name: {error:?}"))?;
    end_entity.verify_is_valid_for_subject_name(&name).map_err(|error| format!("{error:?}"))
}

fn certificates(list: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let octets = |hex: &str| {
        let pairs = (0..hex.len()).step_by(2).map(|at| hex.get(at..at + 2).unwrap_or_default());
        pairs.map(|pair| u8::from_str_radix(pair, 16)).collect::<Result<Vec<u8>, _>>()
    };
    list.split(',').map(|hex| octets(hex).map(CertificateDer::from).map_err(|_| "bad hexadecimal".to_owned())).collect()
}
