//! TLS, by the files of a certificate and its key.

use std::sync::Arc;

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::{
    config::Server,
    error::{Error, Result},
};

/// Whether the configured files can be used.
pub fn check(server: &Server) -> Result<()> {
    acceptor(server).map(drop)
}

/// `None` where plain HTTP is configured.
pub fn acceptor(server: &Server) -> Result<Option<TlsAcceptor>> {
    let (certificate, key) = (&server.tls_certificate, &server.tls_key);
    if certificate.as_os_str().is_empty() && key.as_os_str().is_empty() {
        return Ok(None);
    }
    let wrong = |option: &str, error: &dyn std::fmt::Display| {
        Error::invalid("invalid_configuration", format!("`server.{option}` cannot be used: {error}"))
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|e| wrong("tls_certificate", &e))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong("tls_key", &e))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?;
    let config = config.with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.map_err(|e| wrong("tls_certificate", &e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
