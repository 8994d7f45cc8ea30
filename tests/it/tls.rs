//! TLS with the files of a certificate and its key.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    cli::{moxxy, text},
    harness::Server,
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/tls").join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_certificate_speaks_tls_and_nothing_else() {
    let server = Server::with(|config| {
        config.server.tls_certificate = file("server.pem");
        config.server.tls_key = file("server.key");
        (config.server.header_time, config.server.shutdown_grace) = (300, 300);
    })
    .await;
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let silent = TcpStream::connect(&address).await.unwrap();
    let home = server.home.path().to_owned();
    let listed = tokio::task::spawn_blocking(move || {
        let list = |scheme: &str, options: &[&str]| {
            let mut command = moxxy(&home);
            command.args(["--url", &format!("{scheme}://{address}"), "agent", "list"]).args(options).arg("--ca");
            command.arg(file("authority.pem")).output().unwrap()
        };
        [list("https", &["--json"]), list("http", &[])]
    });
    let [output, plain] = listed.await.unwrap();
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("[]\n", ""));
    let advised = text(&plain.stderr).contains("Does that server speak TLS? Then the address begins with https://.");
    assert!(plain.status.code() == Some(3) && advised, "{plain:?}");
    assert!(server.request(reqwest::Method::GET, "/v1/health").send().await.is_err());
    // A silent client does not delay a shutdown.
    server.stop().await;
    drop(silent);
}

#[test]
fn files_that_cannot_be_used_are_named_before_anything_listens() {
    let home = TempDir::new().unwrap();
    let cases = [
        (file("server.pem"), file("authority.pem"), "server.tls_key"),
        (file("server.key"), file("server.key"), "server.tls_certificate"),
        (file("authority.pem"), file("server.key"), "server.tls_certificate"),
    ];
    for (certificate, key, option) in cases {
        let mut serve = moxxy(home.path());
        serve.env("MOXXY_SERVER_TLS_CERTIFICATE", certificate).env("MOXXY_SERVER_TLS_KEY", key);
        let output = serve.args(["--port", "0", "serve"]).output().unwrap();
        assert!(text(&output.stderr).contains(option), "{output:?}");
        assert_eq!(output.status.code(), Some(1));
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}
