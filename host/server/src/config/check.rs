//! Checks of options that depend on each other.

use std::{fs::File, net::IpAddr};

use toml::Value;

use super::layers::Layers;

pub(super) fn check_combinations(layers: &mut Layers) {
    tls(layers);
    check_public_address(layers);
}

/// Checks that certificate and key are both set or both empty, and that their files can be read.
fn tls(layers: &mut Layers) {
    const OPTIONS: [&str; 2] = ["server.tls_certificate", "server.tls_key"];
    let files =
        OPTIONS.map(|option| layers.valid_value(option).and_then(|(value, _)| value.as_str()).map(str::to_owned));
    let [Some(certificate), Some(key)] = files else { return };
    if certificate.is_empty() != key.is_empty() {
        let [first, second] = OPTIONS;
        let (there, missing) = if key.is_empty() { (first, second) } else { (second, first) };
        let source = layers.setting(there).map(|setting| setting.source.to_string()).unwrap_or_default();
        layers.problem(missing, format!("{source}: `{there}` is set, but `{missing}` is not; TLS needs both"));
    }
    for (option, path) in OPTIONS.into_iter().zip([certificate, key]).filter(|(_, path)| !path.is_empty()) {
        let readable = File::open(&path).and_then(|file| file.metadata());
        let reason = match readable {
            Ok(metadata) if metadata.is_dir() => "it is a folder".to_owned(),
            Ok(_) => continue,
            Err(error) => error.to_string(),
        };
        let source = layers.setting(option).map(|setting| setting.source.to_string()).unwrap_or_default();
        layers.problem(option, format!("{source}: `{option}` is {path:?}, which cannot be read: {reason}"));
    }
}

/// Checks that a server that other machines can reach requires a token, and warns if it has no TLS.
fn check_public_address(layers: &mut Layers) {
    let (Some((listen, place)), Some((loopback, trust))) =
        (layers.valid_value("server.listen"), layers.valid_value("server.loopback"))
    else {
        return;
    };
    let address = listen.as_str().and_then(|listen| listen.parse::<IpAddr>().ok());
    let Some(address) = address.filter(|address| !address.to_canonical().is_loopback()) else { return };
    if loopback == &Value::Boolean(true) {
        let reason = format!(
            "{place}: `server.listen` is {address}, which other machines reach, while `server.loopback` is true \
             ({trust}): set MOXXY_LOOPBACK=false, or `loopback = false` in the file. Requests then need a token: \
             `moxxy token create --offline --scope '*'` makes the first one"
        );
        layers.problem("server.listen", reason);
    }
    let plain = layers.valid_value("server.tls_certificate").is_some_and(|(value, _)| value.as_str() == Some(""));
    if plain {
        layers.warnings.push(format!(
            "{address} is served without TLS, so tokens can be read on the way: set `server.tls_certificate` and \
             `server.tls_key`, unless a proxy in front of it brings TLS"
        ));
    }
}
