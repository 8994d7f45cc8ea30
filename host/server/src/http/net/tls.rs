//! TLS with the files of a certificate and its key. After they are renewed, new connections use them without a
//! restart.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use moxxy_types::error::{Error, Result};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject as _},
        },
    },
};

use crate::config::Server;

/// Minimum interval between checks of the files for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// TLS acceptor that reloads changed files.
pub(crate) struct Tls {
    server: Server,
    state: Mutex<State>,
}

struct State {
    acceptor: TlsAcceptor,
    changed: [Option<SystemTime>; 2],
    looked: Instant,
}

/// Checks that the configured files can be used.
pub fn check(server: &Server) -> Result<()> {
    if is_configured(server) { acceptor(server).map(drop) } else { Ok(()) }
}

pub fn is_configured(server: &Server) -> bool {
    !server.tls_certificate.as_os_str().is_empty()
}

impl Tls {
    /// Returns `None` if plain HTTP is configured.
    pub(crate) fn new(server: &Server) -> Result<Option<Self>> {
        if !is_configured(server) {
            return Ok(None);
        }
        let state = State { acceptor: acceptor(server)?, changed: changed(server), looked: Instant::now() };
        Ok(Some(Self { server: server.clone(), state: Mutex::new(state) }))
    }

    /// Returns the acceptor for a new connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= CHECK_INTERVAL {
            state.looked = Instant::now();
            let changed = changed(&self.server);
            if changed != state.changed {
                match acceptor(&self.server) {
                    Ok(acceptor) => {
                        tracing::info!("the certificate was renewed");
                        (state.acceptor, state.changed) = (acceptor, changed);
                    }
                    // One of the two files may not have been written yet, so the next check tries again.
                    Err(error) => tracing::error!(%error, "failed to load the changed certificate"),
                }
            }
        }
        state.acceptor.clone()
    }
}

fn changed(server: &Server) -> [Option<SystemTime>; 2] {
    let changed = |file: &Path| std::fs::metadata(file).and_then(|of| of.modified()).ok();
    [changed(&server.tls_certificate), changed(&server.tls_key)]
}

fn acceptor(server: &Server) -> Result<TlsAcceptor> {
    let wrong = |option: &str, file: &Path, error: &dyn std::fmt::Display| {
        let message = format!("`server.{option}` is {file:?}, which cannot be used: {error}");
        Error::invalid("invalid_configuration", message)
    };
    let wrong_chain = |error: &dyn std::fmt::Display| wrong("tls_certificate", &server.tls_certificate, error);
    let chain = CertificateDer::pem_file_iter(&server.tls_certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|e| wrong_chain(&e))?;
    if chain.is_empty() {
        return Err(wrong_chain(&"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&server.tls_key).map_err(|error| match error {
        pem::Error::NoItemsFound => wrong("tls_key", &server.tls_key, &"there is no private key in it"),
        other => wrong("tls_key", &server.tls_key, &other),
    })?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?;
    let config = config.with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.map_err(|e| wrong_chain(&e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
