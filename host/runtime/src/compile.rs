//! Compilation in a child process, because the engine cannot limit compile time and memory. The process limits
//! itself, reads one file, writes one file, and reports the outcome on standard output.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use moxxy_types::error::{self, Error, Result};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::{process::Command, time::timeout};

use super::{engine, inspect};
use crate::Options;

/// What the compiling process is told.
#[derive(Debug, clap::Args)]
pub struct Task {
    /// The upload.
    pub input: PathBuf,
    /// Where to write the compiled component.
    pub output: PathBuf,
    /// The most address space, in bytes.
    #[arg(long)]
    pub memory: u64,
    /// The most processor time, in seconds.
    #[arg(long)]
    pub cpu: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Compiled,
    Rejected {
        message: String,
    },
    /// The disk is too full for the compiled code.
    Full,
    /// The compiler could not do its work, whatever the upload.
    Failed {
        message: String,
    },
}

/// Compiles `input` into `output` in a child process.
pub async fn compile(config: &Options, input: &Path, output: &Path) -> Result<()> {
    let program = match &config.compiler {
        Some(program) => program.clone(),
        // The running program, even if its file was replaced.
        None => PathBuf::from("/proc/self/exe"),
    };
    let child = Command::new(program)
        .arg("compile")
        .arg(input)
        .arg(output)
        .arg(format!("--memory={}", config.compile_memory))
        .arg(format!("--cpu={}", config.compile_cpu))
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    // Two cores use at most twice as much processor time as wall time. The rest allows for the disk and other
    // work.
    let wall_limit = Duration::from_secs(config.compile_cpu.saturating_mul(2).saturating_add(10));
    let ended = timeout(wall_limit, child).await.map_err(|_| limit_exceeded(config))?.map_err(Error::internal)?;
    match serde_json::from_slice(&ended.stdout) {
        Ok(Outcome::Compiled) if ended.status.success() => Ok(()),
        Ok(Outcome::Rejected { message }) => Err(rejected(message)),
        Ok(Outcome::Full) => Err(Error::disk_full()),
        Ok(Outcome::Failed { message }) => Err(Error::unavailable("compiler_failed", message)),
        _ if own_memory_limit() < config.compile_memory => Err(Error::unavailable(
            "compiler_failed",
            format!(
                "The compiler failed with {} bytes of address space (ulimit -v), which is less than \
                 `plugins.compile_memory`: raise the limit",
                own_memory_limit()
            ),
        )),
        _ => {
            let stderr = String::from_utf8_lossy(&ended.stderr);
            tracing::warn!(status = %ended.status, %stderr, "compilation failed");
            Err(limit_exceeded(config))
        }
    }
}

/// Entry point of the compiling process.
pub fn run(task: &Task) -> ExitCode {
    let outcome = compile_upload(task).err().unwrap_or(Outcome::Compiled);
    let written = serde_json::to_writer(std::io::stdout(), &outcome);
    if written.is_ok() && matches!(outcome, Outcome::Compiled) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn compile_upload(task: &Task) -> Result<(), Outcome> {
    let failed = |message| Outcome::Failed { message };
    limit_process(task).map_err(|e| failed(format!("The compiler could not limit itself: {e}")))?;
    let upload = std::fs::read(&task.input).map_err(|e| failed(format!("The upload could not be read: {e}")))?;
    let component = inspect::component(upload)?;
    let engine = engine::for_compilation().map_err(|e| failed(format!("The compiler could not start: {e:?}")))?;
    let compiled =
        engine.precompile_component(&component).map_err(|e| format!("It does not compile: {}", e.root_cause()))?;
    // Open only the existing file: if the server has crashed, nobody would remove a new one.
    let output = OpenOptions::new().write(true).truncate(true).open(&task.output);
    output.and_then(|mut file| file.write_all(&compiled)).map_err(|e| match error::is_full(&e) {
        true => Outcome::Full,
        false => failed(format!("The compiled code could not be written: {e}")),
    })
}

impl From<String> for Outcome {
    fn from(message: String) -> Self {
        Self::Rejected { message }
    }
}

fn limit_process(task: &Task) -> rustix::io::Result<()> {
    // Stop if the server was killed. The signal is sent when the thread that started this process ends: a
    // worker of the server's runtime, which lives as long as the runtime.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let bound = |value| Rlimit { current: Some(value), maximum: Some(value) };
    // The server itself may be limited to less.
    setrlimit(Resource::As, bound(task.memory.min(own_memory_limit())))?;
    setrlimit(Resource::Cpu, bound(task.cpu))?;
    setrlimit(Resource::Core, bound(0))
}

/// Returns the limit on this process's address space, in bytes.
fn own_memory_limit() -> u64 {
    getrlimit(Resource::As).maximum.unwrap_or(u64::MAX)
}

fn rejected(message: String) -> Error {
    Error::invalid("invalid_component", message)
}

fn limit_exceeded(config: &Options) -> Error {
    rejected(format!(
        "Compiling it takes more than {} s of processor time or {} bytes of memory",
        config.compile_cpu, config.compile_memory
    ))
}
