//! The one clock. Times are RFC 3339 in UTC with milliseconds.

use std::{fmt, sync::Arc};

use time::{
    Duration, OffsetDateTime, UtcOffset, format_description::StaticFormatDescription, macros::format_description,
};

const FORMAT: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Tells the time. Tests bring their own.
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

    /// What [`Clock::timestamp`] will be in so many seconds.
    pub fn after(&self, seconds: i64) -> String {
        format(self.now().saturating_add(Duration::seconds(seconds)))
    }

    /// The present as text, ready to store and to show.
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
    // Formatting a date into memory with a constant description has no way to fail.
    time.to_offset(UtcOffset::UTC).format(&FORMAT).unwrap_or_default()
}

/// The day of what [`Clock::timestamp`] wrote, as 2026-11-27.
pub fn day(timestamp: &str) -> &str {
    timestamp.split_once('T').map_or(timestamp, |(day, _)| day)
}

/// Reads what [`Clock::timestamp`] wrote.
pub fn parse(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()
}
