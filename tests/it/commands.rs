//! Commands that call a server, as used by people and by programs.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cli::{self, moxxy, text},
    harness::{Server, test_component},
};

const README: &str = include_str!("../../README.md");

/// Runs commands against a running server.
pub(crate) struct Shell<'s>(pub &'s Server);

impl Shell<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = moxxy(self.0.home.path());
        command.env("MOXXY_URL", &self.0.url).args(arguments);
        command
    }

    /// Runs a command without blocking the server's own runtime.
    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Returns the output of a command that succeeds.
    pub(crate) async fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        text(&output.stdout).to_owned()
    }

    async fn answers(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(&[arguments, &["--json"]].concat()).await).unwrap()
    }

    /// Returns the message of a command that exits with this code and prints nothing on stdout.
    pub(crate) async fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments).await;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        text(&output.stderr).to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_gets_from_nothing_to_an_answer() {
    let server = Server::start().await;
    let shell = Shell(&server);
    let nothing = shell.run(&["agent", "list"]).await;
    assert_eq!(text(&nothing.stdout), "");
    assert!(text(&nothing.stderr).contains("Make one: moxxy agent create"), "{nothing:?}");
    assert!(shell.prints(&["provider", "install", "offline"]).await.starts_with("Installed the provider `offline`"));
    assert!(shell.prints(&["provider", "models", "offline"]).await.contains("\nplanner "));
    let made = ["agent", "create", "ada", "--provider", "offline", "--model", "planner", "--max-steps", "5"];
    assert_eq!(shell.prints(&made).await, "Made the agent `ada`.\n");
    assert!(shell.prints(&["skill", "install", "ada", "text"]).await.starts_with("Installed `text` 0.1.0 (sha256:"));
    let run = shell.run(&["run", "ada", "Count the words in \"a b c\""]).await;
    assert_eq!(text(&run.stdout), "The result of word_count: words 3, characters 5, lines 1.\n");
    assert_eq!(text(&run.stderr), "[text word_count]\n");

    let agents = shell.prints(&["agent", "list"]).await;
    let columns: Vec<_> = agents.lines().map(|line| line.find("idle").or(line.find("STATUS")).unwrap()).collect();
    assert!(columns.len() == 2 && columns[0] == columns[1], "{agents}");
    let runs = shell.answers(&["run", "list", "ada"]).await;
    let id = runs[0]["run_id"].as_str().unwrap();
    assert!(shell.prints(&["run", "list", "ada"]).await.contains(id));
    assert!(shell.prints(&["run", "show", "ada", id]).await.contains("text__word_count"));
    assert_eq!(shell.answers(&["agent", "show", "ada"]).await, server.get("/v1/agents/ada").await.expect(200));
    assert!(shell.prints(&["agent", "history", "ada"]).await.starts_with("user  "));
    assert!(shell.prints(&["agent", "sessions", "ada"]).await.contains("\ndefault  ses_"));
    assert!(shell.prints(&["agent", "usage", "ada"]).await.contains("MODEL CALLS"));
    let events = shell.prints(&["events", "--after", "0", "--type", "run.*", "--limit", "3"]).await;
    let placed = |line: &&str| line.contains(id) && line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    assert_eq!(events.lines().filter(placed).count(), 3, "{events}");
    assert_eq!(shell.prints(&["health"]).await.lines().nth(1), Some("Status      ok"));
    assert_eq!(shell.prints(&["agent", "delete", "ada"]).await, "Deleted the agent `ada`.\n");
    assert_eq!(shell.answers(&["agent", "list"]).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_streamed_or_left_alone_and_its_end_is_the_exit_code() {
    let server = Server::start().await;
    let shell = Shell(&server);
    server.offline("ada", "echo").await;
    assert_eq!(shell.prints(&["run", "ada", "hello there"]).await, "hello there\n");
    let lines = shell.prints(&["run", "ada", "hello", "--json"]).await;
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.last().unwrap()["event_type"], "run.completed");
    let id = shell.prints(&["run", "start", "ada", "hello", "--detach", "--session", "aside"]).await;
    let run = shell.answers(&["run", "show", "ada", id.trim()]).await;
    assert_eq!((&run["run_id"], &run["task"]), (&json!(id.trim()), &json!("hello")));

    server.scripted("bob", json!([{ "error": { "kind": "refused", "message": "I would rather not." } }])).await;
    assert!(shell.fails(&["run", "bob", "hello"], 6).await.contains("I would rather not."));
    assert!(shell.fails(&["run", "--json", "list", "bob"], 2).await.contains("Options stand behind the command"));

    let error = json!({ "kind": "refused", "message": "No more." });
    let broken = json!([{ "text": "one two three", "stream": true, "error": error, "error_after": 1 }]);
    server.scripted("cyd", broken).await;
    let output = shell.run(&["run", "cyd", "hello"]).await;
    let (answer, said) = (text(&output.stdout), text(&output.stderr));
    assert!(answer.starts_with("one") && answer.ends_with('\n') && said.contains("moxxy: "), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_watching_a_run_is_told_how_to_stop_it() {
    let server = Server::start().await;
    server.scripted("ada", json!([{ "text": "late", "delay_ms": 60_000 }])).await;
    let shell = Shell(&server);
    let mut events = server.events("agent_id=ada").await;
    let watching =
        shell.command(&["run", "ada", "hello"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let run = events.until("model.request").await[0].data["run_id"].clone();
    let interrupted = Command::new("kill").args(["-INT", &watching.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = tokio::task::spawn_blocking(move || watching.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let stop = format!("moxxy run stop ada {}", run.as_str().unwrap());
    assert!(text(&output.stderr).contains(&stop), "{output:?}");
    let arguments: Vec<_> = stop.split(' ').skip(1).collect();
    assert!(shell.prints(&arguments).await.starts_with("The run was told to stop; it ends with its step."));
    let told = shell.prints(&["agent", "stop", "ada"]).await;
    assert!(told.starts_with("Runs that were told to stop, and end with their step: 1. --now"), "{told}");
    assert_eq!(shell.prints(&[&arguments[..], &["--now"]].concat()).await, "The run is cancelled.\n");
    assert_eq!(shell.prints(&["agent", "stop", "ada"]).await, "There was no run to stop.\n");
    events.until("run.cancelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skills_are_installed_shown_called_upgraded_and_removed() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    let shell = Shell(&server);
    let file = |name: &str| test_component(name).to_str().unwrap().to_owned();
    shell.prints(&["skill", "install", "ada", &file("plain")]).await;
    let upgrade = ["skill", "upgrade", "ada", "plain", &file("plain_wider")];
    let refused = shell.fails(&upgrade, 1).await;
    assert!(refused.contains("host:api.example.com GET+POST") && refused.contains("--accept"), "{refused}");
    let upgraded = shell.run(&[&upgrade[..], &["--accept", "all"]].concat()).await;
    assert!(text(&upgraded.stdout).starts_with("Upgraded `plain` 2.0.0"), "{upgraded:?}");
    assert!(text(&upgraded.stderr).contains("secret:key header:Authorization api.example.com (missing)"));
    let shown = shell.prints(&["skill", "show", "ada", "plain"]).await;
    assert!(shown.contains("host:api.example.com GET+POST (granted)"), "{shown}");
    assert!(shell.prints(&["skill", "rollback", "ada", "plain"]).await.starts_with("Went back to `plain` 1.0.0"));
    assert_eq!(shell.prints(&["skill", "invoke", "ada", "plain", "version"]).await, "1\n");
    assert!(shell.prints(&["skill", "list", "ada"]).await.ends_with("version\n"));
    assert_eq!(shell.prints(&["skill", "remove", "ada", "plain"]).await, "Removed `plain` from `ada`.\n");

    shell.prints(&["skill", "install", "ada", "text"]).await;
    assert!(shell.prints(&["skill", "show", "ada", "text"]).await.contains("text (string)  The text to count."));
    let counted = shell.answers(&["skill", "invoke", "ada", "text", "word_count", "--arg", "text=a b"]).await;
    assert_eq!(counted["words"], 2);
    let missing = shell.fails(&["skill", "invoke", "ada", "text", "word_count"], 1).await;
    assert!(missing.contains("moxxy skill show"), "{missing}");
    let wrong = format!("sha256:{}", "0".repeat(64));
    shell.fails(&["skill", "install", "ada", "notes", "--digest", &wrong], 1).await;
    assert!(shell.fails(&["skill", "install", "ada", "/none.wasm"], 2).await.contains("Cannot read the component"));
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_are_configured_option_by_option_and_agents_changed() {
    let server = Server::start().await;
    let shell = Shell(&server);
    let settings = r#"{"steps": [{"text": "hi"}], "repeat": true}"#;
    shell.prints(&["provider", "install", "one", "script", "--settings", settings]).await;
    let set = ["provider", "update", "one", "--set", "steps=[]", "--set", "per_task=true", "--unset", "repeat"];
    let config = shell.answers(&set).await["config"].clone();
    assert_eq!(config, json!({ "steps": [], "per_task": true }));
    assert!(shell.prints(&["provider", "show", "one"]).await.contains("per_task = true"));
    shell.prints(&["agent", "create", "ada", "--provider", "one", "--model", "script", "--max-steps", "3"]).await;
    let changed = shell.answers(&["agent", "update", "ada", "--max-cost", "0.5", "--persona", "Brief."]).await;
    assert_eq!((&changed["limits"]["max_steps"], &changed["limits"]["max_cost"]), (&json!(3), &json!(0.5)));
    assert_eq!(shell.answers(&["agent", "update", "ada", "--no-persona"]).await["persona"], Value::Null);
    assert!(shell.fails(&["provider", "remove", "one"], 1).await.contains("moxxy agent update"));
    shell.prints(&["agent", "delete", "ada"]).await;
    assert_eq!(shell.prints(&["provider", "remove", "one"]).await, "Removed the provider `one`.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_exit_codes_and_say_what_to_do() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let shell = Shell(&server);
    let run = "run_01a20abc-1955-74d4-abd7-df99a22c1056";
    let cases: [(&[&str], i32, &str); 19] = [
        (&["run", "nobody", "hello"], 5, "moxxy: Agent 'nobody' not found\n`moxxy agent list` shows"),
        (&["run", "stop", "ada", run], 5, "`moxxy run list AGENT`"),
        (&["skill", "show", "ada", "none"], 5, "`moxxy skill install`"),
        (&["provider", "models", "none"], 5, "`moxxy provider list`"),
        (&["agent", "create", "ada", "--provider", "offline", "--model", "echo"], 1, "`moxxy agent update`"),
        (&["agent", "create", "bob", "--provider", "none", "--model", "echo"], 1, "`moxxy provider list`"),
        (&["skill", "install", "ada", "none"], 1, "there are: clock, fetch, github, notes, text\n"),
        (&["provider", "install", "none"], 1, "there are: anthropic, offline, ollama, openai, script\n"),
        (&["skill", "install", "ada", "offline"], 1, "`moxxy provider install NAME FILE`"),
        (&["provider", "install", "text"], 1, "`moxxy skill install AGENT FILE`"),
        (&["--config", "/none.toml", "agent", "list"], 2, "--config: cannot read /none.toml"),
        (&["--token-file", "/none", "agent", "list"], 2, "Cannot read the token in /none"),
        (&["--ca", "/none.pem", "agent", "list"], 2, "/none.pem"),
        (&["inspect", "/none.wasm"], 2, "Cannot read /none.wasm"),
        (&["build", "/none"], 2, "Cannot build /none"),
        (&["agent", "show", "../etc"], 2, "1 to 64"),
        (&["token", "create", "--scope", "everything"], 2, "agents:read"),
        (&["--url", "http://127.0.0.1:1", "agent", "list"], 3, "`moxxy serve` starts it"),
        (&["--url", "ftp://example.com", "agent", "list"], 2, "http:// or https://"),
    ];
    for (arguments, code, advice) in cases {
        let said = shell.fails(arguments, code).await;
        assert!(said.contains(advice), "{arguments:?}: {said}");
    }
    let mut refused = shell.command(&["agent", "list"]);
    let refused = refused.env("MOXXY_TOKEN", "mox_unknown");
    let output = std::thread::scope(|scope| scope.spawn(|| refused.output().unwrap()).join().unwrap());
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("moxxy token create") && !text(&output.stderr).contains("mox_unknown"));
    let advised = text(&output.stderr).ends_with("\n  moxxy token create --offline --scope '*'\n");
    assert!(advised, "{output:?}");
    let (wrong, incomplete) = (&["agent", "show", "B", "--json"], &["--json", "agent", "show"]);
    for (arguments, exit, code, about) in [
        (&["agent", "show", "bob", "--json"][..], 5, "agent_not_found", "'bob'"),
        (wrong, 2, "usage", "1 to 64"),
        (incomplete, 2, "usage", "<AGENT>"),
        (&["--json"], 2, "usage", "--help"),
    ] {
        let document: Value = serde_json::from_str(&shell.fails(arguments, exit).await).unwrap();
        assert_eq!(document["code"], code);
        let message = document["error"].as_str().unwrap();
        assert!(message.contains(about) && !message.contains("Usage"), "{message}");
    }
    assert_eq!(shell.answers(&["agent", "delete", "ada"]).await, json!({}));
    let help = shell.prints(&["--help"]).await;
    let codes: Vec<_> = help.split_once("\nExit codes:\n").unwrap().1.lines().collect();
    assert_eq!(codes.len(), 8);
    for (code, meaning) in codes.iter().map(|line| line.trim().split_once(' ').unwrap()) {
        assert!(README.contains(&format!("\n| {code} | {} |\n", meaning.trim())), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_work_in_their_order() {
    let (_, section) = README.split_once("\n### Command line\n\n```sh\n").unwrap();
    // The server runs already, and `moxxy new` and `moxxy build` have their own test.
    let (_, rest) = section.split_once("\nmoxxy serve ").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let (commands, _) = rest.split_once("\nmoxxy new ").unwrap();
    let script = format!("set -eo pipefail\n{}", commands.replace("--limit 20", "--limit 5"));
    let server = Server::start().await;
    let mut bash = Command::new("bash");
    let folder = Path::new(env!("CARGO_BIN_EXE_moxxy")).parent().unwrap();
    bash.env_clear().env("PATH", format!("{}:/usr/bin:/bin", folder.display())).env("MOXXY_URL", &server.url);
    bash.env("MOXXY_HOME", server.home.path()).args(["-c", &script]);
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap();
    assert!(output.status.success() && text(&output.stderr).contains("Made tok_"), "{output:?}");
}

#[test]
fn a_guided_start_makes_what_a_server_starts_with() {
    let home = TempDir::new().unwrap();
    let init = |folder: &Path, arguments: &[&str]| {
        moxxy(folder).arg("init").args(arguments).stdin(Stdio::null()).output().unwrap()
    };
    let folder = home.path().join("new");
    let asked = init(&folder, &[]);
    assert_eq!(asked.status.code(), Some(2), "{asked:?}");
    assert!(text(&asked.stderr).contains("--yes"), "{asked:?}");
    assert!(!folder.exists());
    let made = init(&folder, &["--yes", "--port", "0"]);
    assert!(made.status.success() && text(&made.stdout).contains("\n  moxxy serve --demo\n"), "{made:?}");
    let file = folder.join("moxxy.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("\nport = 0\n") && written.contains("\nloopback = true\n"), "{written}");
    let again = init(&folder, &["--yes"]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    let deep = moxxy(&folder).env("HOME", home.path()).args(["init", "--yes", "--home=~/a/b"]).output().unwrap();
    let export = format!("\n  export MOXXY_HOME='{}'\n", home.path().join("a/b").canonicalize().unwrap().display());
    assert_eq!(text(&deep.stdout).matches(&export).count(), 2, "{deep:?}");
    let (mut server, url) = cli::serve(&folder, &[]);
    let health = moxxy(&folder).args(["--url", &url, "health"]).output().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(health.status.success(), "{health:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_used_and_revoked() {
    let server = Server::start().await;
    let shell = Shell(&server);
    let admin = shell.prints(&["token", "create", "--scope", "*"]).await;
    let with = |token: &str, arguments: &[&str]| {
        let output = shell.command(arguments).env("MOXXY_TOKEN", token.trim()).output().unwrap();
        (output.status.code().unwrap(), [output.stdout, output.stderr].map(|bytes| text(&bytes).to_owned()))
    };
    // From now on, even a local program needs a token to create one.
    assert!(shell.fails(&["token", "list"], 4).await.contains("MOXXY_TOKEN"));
    let said = shell.fails(&["token", "create", "--scope", "*", "--scope", "runs:write"], 4).await;
    assert!(said.ends_with("\n  moxxy token create --offline --scope '*' --scope runs:write\n"), "{said}");
    let scopes = "agents:read,events:read";
    let reader = ["token", "create", "--scope", scopes, "--expires", "30d", "--description", "A page"];
    let (code, [reader, _]) = with(&admin, &reader);
    assert_eq!((code, with(&reader, &["agent", "list"]).0), (0, 0));
    let (code, [_, said]) = with(&reader, &["agent", "delete", "ada"]);
    let another = "--scope agents:write --scope agents:read --scope events:read\n";
    for command in ["moxxy token create ", "moxxy token create --offline "] {
        assert!(code == 4 && said.contains(&format!("\n  {command}{another}")), "{said}");
    }
    let (_, [listed, _]) = with(&admin, &["token", "list"]);
    let line = listed.lines().find(|line| line.ends_with("A page")).unwrap();
    let id = line.split(' ').next().unwrap();
    assert_eq!(with(&admin, &["token", "revoke", id]).1[0], format!("Revoked {id}.\n"));
    assert_eq!(with(&reader, &["agent", "list"]).0, 4);
    assert!(with(&admin, &["token", "list"]).1[0].contains("revoked "));
}

#[test]
fn a_token_is_made_without_a_server_and_by_a_guided_start_that_needs_one() {
    let home = TempDir::new().unwrap();
    let run = |arguments: &[&str]| moxxy(home.path()).args(arguments).output().unwrap();
    let started = run(&["init", "--yes", "--no-loopback", "--port", "0", "--no-demo"]);
    let (token, next) = text(&started.stdout).split_once("\n\nNext:\n").unwrap();
    let first = token.lines().last().unwrap().to_owned();
    let (_, elsewhere) = next.split_once("in another terminal:\n").unwrap();
    assert!(elsewhere.contains(&format!("\n  export MOXXY_TOKEN={first}\n")), "{next}");
    assert!(started.status.success() && first.starts_with("mox_"), "{started:?}");
    let second = run(&["token", "create", "--offline", "--scope", "agents:read"]);
    let (mut server, url) = cli::serve(home.path(), &[]);
    let list = |token: &str| {
        let mut command = moxxy(home.path());
        command.args(["--url", &url, "agent", "list"]).env("MOXXY_TOKEN", token.trim()).output().unwrap().status.code()
    };
    let answers = [list(&first), list(text(&second.stdout)), list("")];
    let third = run(&["token", "create", "--offline", "--scope", "agents:read"]);
    assert!(text(&third.stderr).contains("Stop that server first"), "{third:?}");
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(answers, [Some(0), Some(0), Some(4)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_a_first_token_that_makes_no_others_is_warned() {
    let server = Server::start().await;
    let made = Shell(&server).run(&["token", "create", "--scope", "agents:read"]).await;
    assert!(made.status.success() && text(&made.stdout).starts_with("mox_"), "{made:?}");
    let warning = "nobody can make another token with this one, which lacks `tokens:admin`";
    assert!(text(&made.stderr).contains(warning), "{made:?}");
    let server = Server::start().await;
    let made = Shell(&server).run(&["token", "create", "--scope", "agents:read,tokens:admin"]).await;
    assert!(made.status.success() && !text(&made.stderr).contains("warning"), "{made:?}");
}

/// Returns what bash inserts in place of the last word.
fn completed(script: &Path, line: &str, words: &str) -> String {
    let mut bash = Command::new("bash");
    let complete = r#"source "$0"; COMP_LINE=$1; COMP_POINT=${#1}; COMP_WORDS=($2); last=$((${#COMP_WORDS[@]} - 1))
        COMP_CWORD=$last; how=($(complete -p moxxy)); for i in "${!how[@]}"; do
        [[ ${how[i]} == -F ]] && ${how[i + 1]} moxxy "${COMP_WORDS[last]#:}" "${COMP_WORDS[last - 1]}"; done
        echo "${COMPREPLY[@]}""#;
    let output = bash.args(["--norc", "-c", complete]).arg(script).args([line, words]).output().unwrap();
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).trim().to_owned()
}

#[test]
fn completions_are_scripts_of_their_shell() {
    let home = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = moxxy(home.path()).args(["completions", shell]).output().unwrap();
        assert!(script.status.success() && text(&script.stdout).contains("provider"), "{shell}");
        if shell == "bash" {
            let file = home.path().join("completions");
            std::fs::write(&file, &script.stdout).unwrap();
            let completed = |line: &str, words: &str| completed(&file, line, words);
            assert_eq!(completed("moxxy tok", "moxxy tok"), "token");
            // The words are split as bash does.
            let create = "moxxy token create --scope";
            assert_eq!(completed(&format!("{create} ag"), &format!("{create} ag")), "agents:read agents:write");
            assert_eq!(completed(&format!("{create} agents:"), &format!("{create} agents :")), "read write");
            assert_eq!(completed(&format!("{create} agents:r"), &format!("{create} agents : r")), "read");
            assert_eq!(completed(&format!("{create}=agents:r"), &format!("{create} = agents : r")), "read");
        }
    }
    let version = moxxy(home.path()).arg("version").output().unwrap();
    assert_eq!(text(&version.stdout), "moxxy 0.1.0\n");
}
