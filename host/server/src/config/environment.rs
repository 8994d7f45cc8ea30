//! Options from environment variables: `MOXXY_SERVER_PORT` sets `server.port`, and `MOXXY_SERVER_PORT_FILE` names a
//! file that contains its value.

use std::{ffi::OsString, fs::File, io::Read as _, path::PathBuf};

use super::layers::{Layers, Source};
use crate::config::suggest::suggest;

/// Short variable names and their options.
const SHORT: [(&str, &str); 4] = [
    ("MOXXY_PORT", "server.port"),
    ("MOXXY_HOME", "data.home"),
    ("MOXXY_MASTER_KEY", "data.master_key"),
    ("MOXXY_LOOPBACK", "server.loopback"),
];
/// Variables that the client commands read. They are not options.
const CLIENT: [&str; 4] = ["MOXXY_URL", "MOXXY_TOKEN", "MOXXY_TOKEN_FILE", "MOXXY_CA"];
/// Size limit of a file that contains a value, in bytes.
const LARGEST_FILE: u64 = 64 * 1024;

/// Value of an option from an environment variable.
pub(super) struct Given {
    pub option: String,
    pub text: String,
    pub source: Source,
}

/// Returns the values that the environment sets, and reports unknown `MOXXY_` variables as problems.
pub(super) fn read(layers: &mut Layers) -> Vec<Given> {
    let mut variables: Vec<(String, OsString)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("MOXXY_") && !CLIENT.contains(&&**name))
        .collect();
    variables.sort();
    let names = names(layers);
    let mut given: Vec<(String, Given)> = Vec::new();
    for (name, value) in variables {
        let Some((option, in_file)) = option(&names, &name) else {
            if !is_service_link(&name, &value.to_string_lossy()) {
                unknown(layers, &names, &name);
            }
            continue;
        };
        if is_service_link(&name, &value.to_string_lossy()) {
            layers.warnings.push(format!(
                "{name} is ignored: it is the address of a service, as Kubernetes (unless `enableServiceLinks: false`) \
                 and Docker's links set it; to set `{option}` use another way"
            ));
        } else if let Some((other, _)) = given.iter().find(|(_, given)| given.option == option) {
            layers.problem(&option, format!("{other} and {name} both set `{option}`; keep one of them"));
        } else {
            match text(&name, value, in_file) {
                Ok((text, source)) => given.push((name, Given { option, text, source })),
                Err(reason) => layers.problem(&option, reason),
            }
        }
    }
    given.into_iter().map(|(_, given)| given).collect()
}

/// Returns the known variables with their options.
fn names(layers: &Layers) -> Vec<(String, String)> {
    let short = SHORT.map(|(name, option)| (name.to_owned(), option.to_owned()));
    let long = layers.settings.iter().map(|setting| (setting.row.variable(), setting.row.name()));
    short.into_iter().chain(long).collect()
}

/// Returns the option of a variable, and whether the variable names a file with the value.
fn option(names: &[(String, String)], variable: &str) -> Option<(String, bool)> {
    let find = |name: &str| names.iter().find(|(known, _)| known == name).map(|(_, option)| option.clone());
    let contents = || find(variable.strip_suffix("_FILE")?).map(|option| (option, true));
    find(variable).map(|option| (option, false)).or_else(contents)
}

fn text(name: &str, value: OsString, in_file: bool) -> Result<(String, Source), String> {
    let unreadable = || format!("{name}: its value is not a text in UTF-8");
    if !in_file {
        return Ok((value.into_string().map_err(|_| unreadable())?, Source::Variable(name.to_owned())));
    }
    let path = PathBuf::from(value);
    let wrong = |reason: &str| format!("{name}: the file {} {reason}", path.display());
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(wrong(&format!("has more than {LARGEST_FILE} bytes")));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| wrong("is not a text in UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        text.truncate(text.strip_suffix('\r').unwrap_or(&text).len());
    }
    Ok((text, Source::Contents(name.to_owned(), path)))
}

fn unknown(layers: &mut Layers, names: &[(String, String)], variable: &str) {
    let (stem, suffix) = variable.strip_suffix("_FILE").map_or((variable, ""), |stem| (stem, "_FILE"));
    let options = names.iter().map(|(name, option)| (name.clone(), option.replace('.', "_").to_ascii_uppercase()));
    // Keys are compared without their section too: `MOXXY_LISTEN` suggests `MOXXY_SERVER_LISTEN`.
    let ends = layers.settings.iter().map(|setting| (setting.row.variable(), setting.row.key.to_ascii_uppercase()));
    let client = CLIENT.map(|name| (name.to_owned(), name.to_owned()));
    let end = stem.strip_prefix("MOXXY_").unwrap_or(stem);
    let advice = match suggest((stem, end), options.chain(ends).chain(client)) {
        Some(name) => format!("did you mean {name}{suffix}?"),
        None => "`moxxy config print` shows those that there are".into(),
    };
    layers.problem(variable, format!("{variable}: there is no such option; {advice}"));
}

/// Returns whether a variable has a form in which Kubernetes and Docker links announce services named `moxxy` or
/// `moxxy-…`, such as `MOXXY_PORT=tcp://10.0.0.1:3000`.
fn is_service_link(name: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let protocol = value.split_once("://").map(|(protocol, _)| protocol.to_ascii_uppercase());
    let address = protocol.is_some_and(|protocol| PROTOCOLS.contains(&&*protocol));
    let of_port = |rest: &str| {
        let mut words = rest.split('_');
        words.next().is_some_and(|port| port.parse::<u16>().is_ok())
            && words.next().is_some_and(|protocol| PROTOCOLS.contains(&protocol))
            && words.next().is_none_or(|detail| ["PROTO", "PORT", "ADDR"].contains(&detail))
            && words.next().is_none()
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && address)
        || name.split_once("_PORT_").is_some_and(|(_, rest)| of_port(rest))
}
