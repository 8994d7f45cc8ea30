//! The server's only clock. Timestamps are RFC 3339 in UTC with milliseconds.

use std::{fmt, sync::Arc};

use time::{
    Duration, OffsetDateTime, UtcOffset, format_description::StaticFormatDescription, macros::format_description,
};

const TIMESTAMP_FORMAT: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Source of the current time. Tests inject their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> OffsetDateTime + Send + Sync>);

impl Clock {
    pub fn system() -> Self {
        Self(Arc::new(OffsetDateTime::now_utc))
    }

    pub fn new(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub fn now(&self) -> OffsetDateTime {
        (self.0)()
    }

    /// Returns the timestamp of the time `seconds` from now.
    pub fn after(&self, seconds: i64) -> String {
        format(self.now().saturating_add(Duration::seconds(seconds)))
    }

    /// Returns the current time as text, in the form that is stored and displayed.
    pub fn timestamp(&self) -> String {
        format(self.now())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.timestamp())
    }
}

pub fn format(time: OffsetDateTime) -> String {
    // Formatting a date into memory with a constant description cannot fail.
    time.to_offset(UtcOffset::UTC).format(&TIMESTAMP_FORMAT).unwrap_or_default()
}

/// Returns the date of a timestamp, such as `2026-11-27`.
pub fn day(timestamp: &str) -> &str {
    timestamp.split_once('T').map_or(timestamp, |(day, _)| day)
}

/// Parses a timestamp written by [`Clock::timestamp`].
pub fn parse(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()
}
