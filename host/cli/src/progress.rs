//! Spinner on a terminal, with the elapsed time.

use std::{
    io::{self, Write as _},
    pin::pin,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::terminal;

const FRAMES: [&str; 4] = ["|", "/", "-", "\\"];
const PAUSE: Duration = Duration::from_millis(120);
/// Work that takes less time shows no spinner.
const SPINNER_DELAY: Duration = Duration::from_millis(400);
/// Maximum width of the text, in columns.
const WIDTH: usize = 70;

/// Spinner line on stderr, redrawn periodically if stderr is a terminal.
pub(crate) struct Progress {
    text: String,
    since: Instant,
    frame: usize,
    /// Whether the spinner is drawn: by default if stderr is a terminal.
    pub visible: bool,
    /// Set while the cursor is not at the start of a line.
    paused: bool,
}

impl Progress {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), since: Instant::now(), frame: 0, visible: terminal::is_watched(), paused: false }
    }

    pub(crate) fn set_text(&mut self, text: impl Into<String>) {
        self.text = text.into();
    }

    /// Suspends or resumes the drawing.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Draws the spinner while `work` runs, then erases it.
    pub(crate) async fn with_spinner<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut drawn = false;
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    if drawn {
                        draw("\r\x1b[K");
                    }
                    return done;
                }
                () = sleep(PAUSE), if self.visible && !self.paused => {
                    if self.since.elapsed() > SPINNER_DELAY {
                        self.draw_line();
                        drawn = true;
                    }
                }
            }
        }
    }

    fn draw_line(&mut self) {
        self.frame = (self.frame + 1) % FRAMES.len();
        let frame = FRAMES.get(self.frame).copied().unwrap_or_default();
        let text = terminal::line(&self.text, WIDTH);
        draw(&format!("\r\x1b[K{frame} {text} {} s", self.since.elapsed().as_secs()));
    }
}

fn draw(text: &str) {
    let mut out = io::stderr().lock();
    // A spinner that cannot be drawn is not worth an error.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Runs `work` with a spinner.
pub(crate) async fn with_spinner<T>(text: impl Into<String>, work: impl Future<Output = T>) -> T {
    Progress::new(text).with_spinner(work).await
}
