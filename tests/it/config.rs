//! Configuration: its layers, and the messages about mistakes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness;

pub(crate) fn moxxy(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moxxy"));
    command.env_clear().env("MOXXY_HOME", home).envs(variables.iter().copied()).args(arguments).output().unwrap()
}

/// Returns the standard output of a command that succeeds.
#[track_caller]
pub(crate) fn works(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the problems that a command ends with, with `~` for the data directory.
#[track_caller]
pub(crate) fn problems(home: &Path, output: Output) -> Vec<String> {
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap().replace(home.to_str().unwrap(), "~");
    text.strip_prefix("moxxy: The configuration is wrong:\n").unwrap().lines().map(|line| line.trim().into()).collect()
}

#[track_caller]
fn check(home: &TempDir, variables: &[(&str, &str)]) -> Vec<String> {
    problems(home.path(), moxxy(home.path(), &["config", "check"], variables))
}

#[track_caller]
pub(crate) fn print(home: &TempDir, variables: &[(&str, &str)]) -> Value {
    serde_json::from_str(&works(moxxy(home.path(), &["config", "print", "--json"], variables))).unwrap()
}

fn with_file(text: &str) -> TempDir {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("moxxy.toml"), text).unwrap();
    home
}

#[test]
fn each_layer_stands_above_the_one_before() {
    let home = with_file("[server]\nport = 1\nstreams = 2\n[runs]\nqueue = 3\n");
    let variables = [("MOXXY_PORT", "4"), ("MOXXY_RUNS_QUEUE", "5")];
    let printed = works(moxxy(home.path(), &["--port", "6", "config", "print"], &variables));
    let file = home.path().join("moxxy.toml").display().to_string();
    for line in [
        "port = 6 # --port".to_owned(),
        "queue = 5 # MOXXY_RUNS_QUEUE".to_owned(),
        format!("streams = 2 # {file}:3"),
        "connections = 1024 # default".to_owned(),
        format!("home = {:?} # MOXXY_HOME", home.path()),
        format!("cache = {:?} # default", home.path().join("cache")),
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}: {printed}");
    }
    let printed = print(&home, &[("MOXXY_SERVER_PORT", "4")]);
    assert_eq!(printed["server"]["port"], json!({ "value": 4, "source": "MOXXY_SERVER_PORT" }));

    let elsewhere = TempDir::new().unwrap();
    let arguments = ["--config", &file, "--home", elsewhere.path().to_str().unwrap(), "config", "print"];
    let printed = works(moxxy(home.path(), &arguments, &[]));
    assert!(printed.contains(&format!("home = {:?} # --home", elsewhere.path())) && printed.contains("port = 1 #"));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn what_is_printed_can_be_a_file() {
    let home = TempDir::new().unwrap();
    let variables = [("MOXXY_SERVER_ORIGINS", "https://a.example"), ("MOXXY_LOG_FILTER", "warn,moxxy=debug")];
    let printed = works(moxxy(home.path(), &["config", "print"], &variables));
    let kept = printed.lines().filter(|line| !line.starts_with("home = ")).collect::<Vec<_>>().join("\n");
    let copy = with_file(&kept);
    let values = |printed: Value| {
        let sections = printed.as_object().unwrap().clone().into_iter();
        let options = sections.flat_map(|(_, options)| options.as_object().unwrap().clone());
        options.map(|(key, option)| (key, option["value"].clone())).filter(|(key, _)| key != "home").collect::<Vec<_>>()
    };
    assert_eq!(values(print(&copy, &[])), values(print(&home, &variables)));
}

#[test]
fn a_variable_is_read_as_its_option_is() {
    let home = TempDir::new().unwrap();
    let digits = "1".repeat(64);
    let printed = print(
        &home,
        &[
            ("MOXXY_MASTER_KEY", &digits),
            ("MOXXY_LOOPBACK", "false"),
            ("MOXXY_SERVER_ORIGINS", "https://a.example, http://localhost:8080,"),
            ("MOXXY_PLUGINS_FOLDERS", r#"["/a,b", "c"]"#),
            ("MOXXY_SERVER_TRUSTED_PROXIES", "10.0.0.0/8"),
            ("MOXXY_DATA_CACHE", "7"),
        ],
    );
    let value = |section: &str, key: &str| printed[section][key]["value"].clone();
    assert_eq!(value("data", "master_key"), "hidden");
    assert_eq!(value("server", "loopback"), false);
    assert_eq!(value("server", "origins"), json!(["https://a.example", "http://localhost:8080"]));
    assert_eq!(value("plugins", "folders"), json!(["/a,b", "c"]));
    assert_eq!(value("server", "trusted_proxies"), json!(["10.0.0.0/8"]));
    assert_eq!(value("data", "cache"), "7");
}

#[test]
fn a_variable_may_name_a_file_with_the_value() {
    let home = TempDir::new().unwrap();
    let file = |name: &str, content: &[u8]| {
        fs::write(home.path().join(name), content).unwrap();
        home.path().join(name).to_str().unwrap().to_owned()
    };
    let (key, port) = (file("key", format!("{}\n", "5a".repeat(32)).as_bytes()), file("port", b"81\r\n"));
    let variables = [("MOXXY_MASTER_KEY_FILE", &*key), ("MOXXY_SERVER_PORT_FILE", &*port)];
    let printed = print(&home, &variables);
    assert_eq!(printed["server"]["port"], json!({ "value": 81, "source": format!("MOXXY_SERVER_PORT_FILE ({port})") }));
    assert_eq!(printed["data"]["master_key"]["value"], "hidden");
    let read = works(moxxy(home.path(), &["config", "check"], &variables));
    assert!(read.starts_with("The configuration is right. Read: ") && read.contains(&key), "{read}");

    let (large, binary) = (file("large", &[b'1'; 65_537]), file("binary", &[0xff]));
    let wrong = [
        ("MOXXY_LOG_FILTER_FILE", &*binary),
        ("MOXXY_PORT", "1"),
        ("MOXXY_PORT_FILE", &*port),
        ("MOXXY_RUNS_MAX_STEPS_FILE", "/nonexistent"),
        ("MOXXY_RUNS_QUEUE_FILE", &*large),
    ];
    assert_eq!(
        check(&home, &wrong),
        [
            "MOXXY_LOG_FILTER_FILE: the file ~/binary is not a text in UTF-8",
            "MOXXY_PORT and MOXXY_PORT_FILE both set `server.port`; keep one of them",
            "MOXXY_RUNS_MAX_STEPS_FILE: the file /nonexistent cannot be read: No such file or directory (os error 2)",
            "MOXXY_RUNS_QUEUE_FILE: the file ~/large has more than 65536 bytes",
        ]
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_place() {
    let home = with_file(
        r#"prot = 1
server.prot = 2
server.color = "red"
[servr]
port = 3
[runs]
queue = "3"
max_seconds = 99999999999999999999
memory = 4
[data]
home = "elsewhere"
master_key = 1111
[plugins]
folders = "one"
tick = 2.5
"#,
    );
    let variables = [
        ("MOXXY_SERVER_PROT", "1"),
        ("MOXXY_SERVER_COLOR", "red"),
        ("MOXXY_LISTEN_FILE", "x"),
        ("MOXXY_SERVER_PORT", "many"),
        ("MOXXY_LOOPBACK", "yes"),
        ("MOXXY_LOG_FILTER", "moxxy=loud"),
        ("MOXXY_TOKEN", "of the client"),
    ];
    let mut problems = check(&home, &variables);
    problems.sort();
    assert_eq!(
        problems,
        [
            "MOXXY_LISTEN_FILE: there is no such option; did you mean MOXXY_SERVER_LISTEN_FILE?",
            "MOXXY_LOG_FILTER: `log.filter` is \"moxxy=loud\", but has to be a log filter; error parsing \
             level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
            "MOXXY_LOOPBACK: `server.loopback` is \"yes\", but has to be true or false",
            "MOXXY_SERVER_COLOR: there is no such option; `moxxy config print` shows those that there are",
            "MOXXY_SERVER_PORT: `server.port` is \"many\", but has to be 0 to 65535 (a port number)",
            "MOXXY_SERVER_PROT: there is no such option; did you mean MOXXY_SERVER_PORT?",
            "~/moxxy.toml:11: `data.home` cannot be set in a file, which is found by it; use --home or MOXXY_HOME",
            "~/moxxy.toml:12: `data.master_key` has to be 64 hexadecimal digits, or empty; in quotes",
            "~/moxxy.toml:14: `plugins.folders` is \"one\", but has to be a list of folders; in square brackets",
            "~/moxxy.toml:15: `plugins.tick` is 2.5, but has to be 1 to 1000 milliseconds",
            "~/moxxy.toml:1: there is no option `prot`; did you mean `server.port`?",
            "~/moxxy.toml:2: there is no option `server.prot`; did you mean `server.port`?",
            "~/moxxy.toml:3: there is no option `server.color`; `moxxy config print` shows those that there are",
            "~/moxxy.toml:4: there is no section `[servr]`; did you mean `[server]`?",
            "~/moxxy.toml:7: `runs.queue` is \"3\", but has to be 1 to 1_000_000 runs; without quotes",
            "~/moxxy.toml:8: `runs.max_seconds` is \"99999999999999999999\", but has to be 1 to 31_536_000 seconds",
            "~/moxxy.toml:9: there is no option `runs.memory`; did you mean `plugins.memory`?",
        ]
    );
    let output = moxxy(home.path(), &["serve"], &variables);
    assert_eq!(self::problems(home.path(), output).len(), problems.len());
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_none_is_refused() {
    let home = with_file("[server]\nport = \nstreams = 1\nstreams = 2\n");
    let told = check(&home, &[]);
    assert!(told[0].starts_with("~/moxxy.toml:2: this is not TOML: "), "{told:?}");
    assert!(told[1].starts_with("~/moxxy.toml:4: this is not TOML: duplicate key"), "{told:?}");
    fs::write(home.path().join("moxxy.toml"), [0xff]).unwrap();
    assert_eq!(check(&home, &[]), ["The configuration file ~/moxxy.toml is not a text in UTF-8"]);
    let output = moxxy(home.path(), &["--config", "/nonexistent", "config", "check"], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn origins_are_as_browsers_send_them() {
    let home = TempDir::new().unwrap();
    let wrong = "*,null,https://a.example/,https://a.example:443,HTTPS://A.example,ftp://a.example,a.example";
    let told = check(&home, &[("MOXXY_SERVER_ORIGINS", wrong)]).join("");
    for reason in [
        "`*` would open the API to every page",
        "`null` is the origin of any page in a sandbox",
        "write `https://a.example/` as `https://a.example`",
        "write `https://a.example:443` as `https://a.example`",
        "write `HTTPS://A.example` as `https://a.example`",
        "`ftp://a.example` does not begin with http:// or https://",
        "`a.example` does not begin with http:// or https://",
    ] {
        assert!(told.contains(reason), "{reason}: {told}");
    }
}

#[test]
fn paths_in_a_file_start_at_its_folder() {
    let home = with_file("data.cache = 'warm'\nplugins.folders = ['a', '/b']\nserver.tls_key = ''\n");
    let printed = print(&home, &[]);
    assert_eq!(printed["data"]["cache"]["value"], json!(home.path().join("warm")));
    assert_eq!(printed["plugins"]["folders"]["value"], json!([home.path().join("a"), "/b"]));
    assert_eq!(printed["server"]["tls_key"]["value"], "");
}

#[test]
fn secrets_are_not_shown() {
    let key = "5a".repeat(32);
    let home = with_file(&format!("data.master_key = '{key}'\n"));
    let file = home.path().join("moxxy.toml");
    for arguments in [&["config", "print"][..], &["config", "print", "--json"]] {
        let printed = works(moxxy(home.path(), arguments, &[]));
        assert!(printed.contains("\"hidden\"") && !printed.contains("5a5a"), "{printed}");
    }
    assert!(!format!("{:?}", harness::config(home.path())).contains("5a5a"));
    // Nor is the content of a file that a variable names by mistake.
    let told = check(&home, &[("MOXXY_RUNS_QUEUE_FILE", file.to_str().unwrap())]);
    assert_eq!(told, ["MOXXY_RUNS_QUEUE_FILE (~/moxxy.toml): `runs.queue` has to be 1 to 1_000_000 runs"]);
    let wrong = check(&home, &[("MOXXY_MASTER_KEY", "5a5a")]);
    assert_eq!(wrong, ["MOXXY_MASTER_KEY: `data.master_key` has to be 64 hexadecimal digits, or empty"]);

    let warned = |mode: u32| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        String::from_utf8(moxxy(home.path(), &["config", "check"], &[]).stderr).unwrap()
    };
    assert!(warned(0o644).contains("holds `data.master_key`, and others can read it: chmod 600 "));
    assert_eq!(warned(0o600), "");
}

#[test]
fn other_machines_need_tokens_and_are_told_of_tls() {
    let home = TempDir::new().unwrap();
    let told = check(&home, &[("MOXXY_SERVER_LISTEN", "0.0.0.0")]);
    let reason = "MOXXY_SERVER_LISTEN: `server.listen` is 0.0.0.0, which other machines reach, while `server.loopback` \
                  is true (default): set MOXXY_LOOPBACK=false, or `loopback = false` in the file. Requests then need a \
                  token: `moxxy token create --offline --scope '*'` makes the first one";
    assert_eq!(told, [reason]);
    let output = moxxy(home.path(), &["serve", "--listen", "::"], &[]);
    assert!(problems(home.path(), output)[0].starts_with("--listen: `server.listen` is ::, which"));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);

    let public = [("MOXXY_SERVER_LISTEN", "0.0.0.0"), ("MOXXY_LOOPBACK", "false")];
    let output = moxxy(home.path(), &["config", "check"], &public);
    let warning = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(warning.starts_with("moxxy: warning: 0.0.0.0 is served without TLS"), "{warning}");
    works(output);
    works(moxxy(home.path(), &["config", "check"], &[("MOXXY_SERVER_LISTEN", "127.0.0.2")]));
}

#[test]
fn tls_takes_two_files_that_can_be_read() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("pem");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(
        check(&home, &[("MOXXY_SERVER_TLS_KEY", file)]),
        ["MOXXY_SERVER_TLS_KEY: `server.tls_key` is set, but `server.tls_certificate` is not; TLS needs both"]
    );
    let both =
        [("MOXXY_SERVER_TLS_KEY", "/nonexistent"), ("MOXXY_SERVER_TLS_CERTIFICATE", home.path().to_str().unwrap())];
    let told = check(&home, &both);
    assert!(told[0].contains("`server.tls_certificate` is \"~\", which cannot be read: it is a folder"), "{told:?}");
    assert!(told[1].contains("`server.tls_key` is \"/nonexistent\", which cannot be read: No such file"), "{told:?}");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/it/tls");
    let (certificate, key) = (format!("{folder}/server.pem"), format!("{folder}/server.key"));
    let used = |certificate: &str, key: &str| {
        let files = [("MOXXY_SERVER_TLS_CERTIFICATE", certificate), ("MOXXY_SERVER_TLS_KEY", key)];
        moxxy(home.path(), &["config", "check", "--json"], &files)
    };
    assert_eq!(works(used(&certificate, &key)), "{\"read\":[],\"warnings\":[]}\n");
    for (files, option, reason) in [
        ([&*certificate, file], "tls_key", "there is no private key in it"),
        ([file, &*key], "tls_certificate", "there is no certificate in it"),
    ] {
        let output = used(files[0], files[1]);
        let told: Value = serde_json::from_slice(&output.stderr).unwrap();
        let message = format!("`server.{option}` is {file:?}, which cannot be used: {reason}");
        assert_eq!((output.status.code(), told["error"].as_str()), (Some(1), Some(&*message)));
    }
}

#[test]
fn what_kubernetes_tells_of_services_is_no_mistake() {
    let home = TempDir::new().unwrap();
    let links = [
        ("MOXXY_SERVICE_HOST", "10.0.0.1"),
        ("MOXXY_SERVICE_PORT", "3000"),
        ("MOXXY_SERVICE_PORT_HTTP", "3000"),
        ("MOXXY_PORT", "tcp://10.0.0.1:3000"),
        ("MOXXY_PORT_3000_TCP", "tcp://10.0.0.1:3000"),
        ("MOXXY_PORT_3000_TCP_PROTO", "tcp"),
        ("MOXXY_PORT_3000_TCP_PORT", "3000"),
        ("MOXXY_PORT_3000_TCP_ADDR", "10.0.0.1"),
        ("MOXXY_WEB_PORT", "tcp://10.0.0.2:80"),
        ("MOXXY_SERVER_PORT", "3001"),
    ];
    assert_eq!(print(&home, &links)["server"]["port"]["value"], 3001);
    let warning = String::from_utf8(moxxy(home.path(), &["config", "check"], &links).stderr).unwrap();
    assert!(warning.starts_with("moxxy: warning: MOXXY_PORT is ignored: it is the address of a service"), "{warning}");
    assert_eq!(warning.lines().count(), 1);
    assert_eq!(check(&home, &[("MOXXY_PORT_X", "1"), ("MOXXY_PORT", "3000x")]).len(), 2);
}

#[test]
fn money_is_written_in_dollars() {
    let home = with_file("prices.models = ['a/b/c 1.25 0.125 10']\nruns.max_cost = 2.5\n");
    let printed = print(&home, &[("MOXXY_RUNS_MAX_COST_PER_DAY", "0.5"), ("MOXXY_PRICES_UNKNOWN", "warn")]);
    assert_eq!(printed["runs"]["max_cost"]["value"], 2.5);
    assert_eq!(printed["runs"]["max_cost_per_day"]["value"], 0.5);
    assert_eq!(printed["prices"]["models"]["value"], json!(["a/b/c 1.25 0.125 10"]));
    let wrong = [("MOXXY_PRICES_MODELS", "a/b 1 2, a 1 1 1, a/b 1 1 -1"), ("MOXXY_RUNS_MAX_COST", "much")];
    let told = check(&home, &wrong).join("");
    for reason in
        ["as in openai/gpt-5 1.25 0.125 10", "behind its provider and a slash", "a price is 0 to 1000000", "\"much\""]
    {
        assert!(told.contains(reason), "{reason}: {told}");
    }
}
