//! Hints on what to do after a failure, chosen by the server's error code.

use moxxy_types::tokens::Scope;
use reqwest::StatusCode;

pub(crate) const ANOTHER_SERVER: &str = "Is that the address of a Moxxy server? Look at --url, --port and MOXXY_URL.";

/// Returns the hint for a server that cannot be reached. `reason` is the innermost error.
pub(crate) fn unreachable(reason: &str) -> &'static str {
    if reason.contains("UnknownIssuer") || reason.contains("CaUsedAsEndEntity") {
        return "Did an authority of your own sign the server's certificate? Then name its certificate: --ca FILE or MOXXY_CA.";
    }
    if reason.contains("certificate") {
        return "Is the address the one in the server's certificate? Look at --url and MOXXY_URL.";
    }
    if reason.contains("InvalidContentType") {
        return "Does that server speak plain HTTP? Then the address begins with http://.";
    }
    if reason.contains("invalid HTTP version") {
        return "Does that server speak TLS? Then the address begins with https://.";
    }
    "Is it running? `moxxy serve` starts it. Is it elsewhere? Look at --url, --port and MOXXY_URL."
}

/// Returns the hint for an error response. `token`: whether the request carried one.
pub(crate) fn for_response(
    status: StatusCode,
    code: &str,
    message: &str,
    retry_after: Option<u64>,
    token: bool,
) -> Option<String> {
    let advice = match (status, code) {
        (StatusCode::UNAUTHORIZED, _) => return Some(unauthenticated(token)),
        (StatusCode::FORBIDDEN, _) => return Some(forbidden(message)),
        // The message already says what to do first.
        (
            _,
            "disk_full" | "database_failed" | "not_activated" | "database_damaged" | "data_missing" | "compiler_failed"
            | "out_of_memory",
        ) => return None,
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _) => return Some(later(retry_after)),
        (StatusCode::PAYLOAD_TOO_LARGE, _) => {
            "The server's option `server.upload_limit` says how large a component is."
        }
        (StatusCode::BAD_REQUEST, "invalid_input") if message.starts_with("Invalid `provider`") => {
            "`moxxy provider list` shows those there are; `moxxy provider install offline` installs one."
        }
        (StatusCode::BAD_REQUEST, "invalid_input") if message.starts_with("Invalid `event_type`") => {
            "--type takes a type such as `run.completed`, or the beginning of some: 'run.*'."
        }
        (_, "wrong_world") if message.contains("is a provider") => {
            "`moxxy provider install NAME FILE` installs a provider, for all agents."
        }
        (_, "wrong_world") => "`moxxy skill install AGENT FILE` installs a skill, for an agent.",
        _ => return by_code(code).map(str::to_owned),
    };
    Some(advice.to_owned())
}

fn by_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "agent_not_found" => "`moxxy agent list` shows those there are; `moxxy agent create` makes one.",
        "installation_not_found" => "`moxxy component list` shows the installations with their ids.",
        "installed_for_server" => "`moxxy component` changes skills of the server.",
        "provider_not_found" => "`moxxy provider list` shows those there are; `moxxy provider install` installs one.",
        "skill_not_found" => "`moxxy skill list AGENT` shows those there are; `moxxy skill install` installs one.",
        "tool_not_found" => "`moxxy skill show AGENT SKILL` shows the tools there are.",
        "run_not_found" => "`moxxy run list AGENT` shows those there are.",
        "session_not_found" => "`moxxy agent sessions AGENT` shows those there are.",
        "token_not_found" => "`moxxy token list` shows those there are.",
        "secret_not_found" => "`moxxy secret list` shows those there are; `moxxy secret set NAME` keeps one.",
        "grant_not_found" => "`moxxy grant list` shows those there are.",
        "nothing_to_grant" => {
            "`--as NAME` says how the component calls the secret; `moxxy skill show` shows what it asks for."
        }
        "route_not_found" => ANOTHER_SERVER,
        "agent_exists" => "`moxxy agent update` changes it; `moxxy agent delete` removes it.",
        "provider_exists" => "`moxxy provider update` configures it; `moxxy provider remove` removes it.",
        "skill_exists" => {
            "`moxxy skill upgrade AGENT SKILL FILE` puts another version in its place; `moxxy skill remove` removes it."
        }
        "provider_in_use" => "`moxxy agent update NAME --provider ID --model MODEL` gives an agent another one.",
        "consent_required" => "Say yes with `--accept NAME`, once for each, or with `--accept all`.",
        "invalid_arguments" => "`moxxy skill show AGENT SKILL` shows what its tools take.",
        "run_ended" => "`moxxy run show AGENT RUN` shows how.",
        "already_done" => "It was made, but its text is lost. Remove it, and make another one.",
        "internal" => "The server's log says more.",
        _ => return None,
    })
}

fn unauthenticated(token: bool) -> String {
    let first = match token {
        true => "Was the token in MOXXY_TOKEN or --token-file revoked, or has it expired?",
        false => {
            "Set MOXXY_TOKEN, or name a file with --token-file. The server's first token needs no other; with \
             MOXXY_LOOPBACK=false it takes the one-time code that the server printed at its start, as MOXXY_TOKEN."
        }
    };
    format!("{first}\n{}", another_token(&[Scope::All.name()]))
}

/// Returns the hint for a missing scope. The message names the missing scope and those that the token has.
fn forbidden(message: &str) -> String {
    let mut scopes: Vec<_> = message.split('`').filter(|word| Scope::NAMES.contains(word)).collect();
    if scopes.is_empty() {
        scopes.push(Scope::All.name());
    }
    another_token(&scopes)
}

/// Explains how to create a token with these scopes.
pub(crate) fn another_token(scopes: &[&str]) -> String {
    let command = |offline: &str| {
        let scopes = scopes.iter().map(|scope| format!(" --scope {}", shell_quote(scope)));
        format!("moxxy token create{offline}{}", scopes.collect::<String>())
    };
    format!(
        "To make one, with a token that has `tokens:admin`:\n  {}\n\
         Without it, on the server's machine and while the server is stopped:\n  {}",
        command(""),
        command(" --offline")
    )
}

fn later(seconds: Option<u64>) -> String {
    match seconds {
        Some(seconds) => format!("Try again in {seconds} s."),
        None => "Try again later.".to_owned(),
    }
}

/// Quotes a scope for a shell.
pub(crate) fn shell_quote(scope: &str) -> String {
    if scope == "*" { "'*'".to_owned() } else { scope.to_owned() }
}
