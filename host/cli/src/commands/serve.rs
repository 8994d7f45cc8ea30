//! `moxxy serve`: starts the server.

use std::{
    io::{ErrorKind, Write as _},
    net::{IpAddr, SocketAddr},
};

use moxxy_server::{
    app::App,
    config::{Config, Flags, Server},
    http, run as serve,
    services::{bootstrap, demo},
};
use moxxy_system::{
    tasks::{Policy, Tasks},
    telemetry,
};
use moxxy_types::{
    clock::Clock,
    error::{Error, Result},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{commands::init::shell_quote, connect::reachable_address};
use std::sync::Arc;

/// Maximum number of connections that wait to be accepted; the system may allow fewer. If the queue is full, a
/// client retries after a second.
const BACKLOG: u32 = 4096;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// On an empty data directory, make an agent `demo` that works without a network.
    #[arg(long)]
    demo: bool,
    /// The address to listen on (default: 127.0.0.1).
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<IpAddr>,
}

pub(crate) async fn run(flags: Flags, args: Args) -> Result<()> {
    let mut config = Config::load(&Flags { listen: args.listen, ..flags })?;
    telemetry::start(&config.log.filter)?;
    http::check_tls(&config.server)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    // Bind the port first: a second server must not touch the first one's data.
    config.fit_open_files()?;
    let listener = listen(&config)?;
    let tasks = Tasks::default();
    let config = Arc::new(config);
    let app = App::start(&config, Clock::system(), tasks.clone()).await?;
    if !config.server.listen.is_loopback() && app.access.bootstrap_code().is_some() {
        let message = format!(
            "`server.listen` is open to other machines, and there is no token yet: make the first one with \
             `moxxy --home {} token create --offline --scope '*'`",
            shell_quote(&config.data.home)
        );
        return Err(Error::conflict("no_token", message));
    }
    let made = args.demo && demo::make(&app.runs).await?;
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("signals", Policy::Vital, async move { stop_on_signal(shutdown).await });
    let address = listener.local_addr().map_err(Error::internal)?;
    announce(&config.server, address, made, app.access.bootstrap_code());
    if let Err(waits) = app.runs.activation().check() {
        tracing::warn!("{waits}");
    }
    tokio::select! {
        ended = serve(app, config, listener) => ended,
        code = second_signal(tasks.shutdown()) => {
            tracing::warn!("stopped at once by a second signal; runs go on at the next start");
            std::process::exit(code)
        }
    }
}

fn listen(config: &Config) -> Result<TcpListener> {
    let (address, port) = (config.server.listen, config.server.port);
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Allows the port of a server that has just ended.
        socket.set_reuseaddr(true)?;
        socket.bind((address, port).into())?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "; is another Moxxy running? Choose another port with --port or MOXXY_PORT",
            _ => "",
        };
        Error::conflict("cannot_listen", format!("Cannot listen on {address}:{port}: {error}{advice}"))
    })
}

/// Shuts the server down on SIGINT or SIGTERM.
async fn stop_on_signal(shutdown: CancellationToken) {
    tokio::select! {
        _ = next_signal() => {}
        () = shutdown.cancelled() => {}
    }
    shutdown.cancel();
}

/// Returns the exit status for a signal during the shutdown.
async fn second_signal(shutdown: &CancellationToken) -> i32 {
    shutdown.cancelled().await;
    next_signal().await
}

/// Waits for SIGINT or SIGTERM. Returns the exit status that a shell gives to a program that it ends.
async fn next_signal() -> i32 {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("failed to install the signal handlers; the server ends only when it is killed");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => 128 + SignalKind::interrupt().as_raw_value(),
        _ = terminate.recv() => 128 + SignalKind::terminate().as_raw_value(),
    }
}

fn announce(server: &Server, address: SocketAddr, demo: bool, code: Option<&str>) {
    let mut out = std::io::stdout().lock();
    let scheme = if http::has_tls(server) { "https" } else { "http" };
    let mut lines = vec![format!("Moxxy {} listens on {scheme}://{address}", env!("CARGO_PKG_VERSION"))];
    let known = http::owners_are_known();
    let trusts = server.loopback && server.listen.is_loopback() && known;
    if !known {
        lines.push("The owners of local sockets cannot be read here, so no request will be trusted.".into());
    }
    // `-k`, because no certificate names this machine's local address.
    let curl = if http::has_tls(server) { "curl -sk" } else { "curl -s" };
    let url = format!("{scheme}://{}", SocketAddr::new(reachable_address(address.ip()), address.port()));
    if let Some(code) = code {
        let whose = match trusts {
            true => {
                "needs none if a program of this server's user, on this machine, makes it; others, and what comes \
                 through a proxy, show this code"
            }
            false => "takes this code",
        };
        let minutes = bootstrap::LIFE.whole_minutes();
        lines.push(format!("There is no token yet. The first one {whose}, within {minutes} minutes:"));
        lines.push(format!(
            "{curl} {url}/v1/auth/tokens -H 'Authorization: Bearer {code}' -H 'Content-Type: application/json' \
             -d '{{\"scopes\": [\"*\"]}}'"
        ));
    }
    if demo {
        let (token, first) = match trusts {
            true => ("", "Made the agent `demo`. Try it:"),
            false => (
                " -H \"Authorization: Bearer $MOXXY_TOKEN\"",
                "Made the agent `demo`. Try it, with a token in MOXXY_TOKEN:",
            ),
        };
        lines.extend([first.into(), String::new()]);
        lines.extend(examples(curl, &url, token));
    }
    // Stdout may be closed.
    drop(writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush()));
}

fn examples(curl: &str, url: &str, token: &str) -> [String; 3] {
    [
        format!(
            "{curl} {url}/v1/agents/demo/runs{token} -H 'Content-Type: application/json' -H 'Prefer: wait=30' \
             -d '{{\"task\": \"Count the words in \\\"the quick brown fox\\\"\"}}'"
        ),
        format!("{curl} {url}/v1/agents/demo/history{token}"),
        format!("{curl}N '{url}/v1/events/stream?agent_id=demo&after=0'{token}"),
    ]
}
