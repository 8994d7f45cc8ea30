//! A skill about time: what time it is, in which zone, and how far one day is from another. The
//! zones are IANA's, in the version that the component was built with.

mod time;

use jiff::{Span, SpanRound, Timestamp, Unit, ZonedDateTime, tz};
use moxxy_sdk::{
    skill::{Error, Json},
    tool,
};
use serde::Serialize;

moxxy_sdk::skill!(tools: [now, convert, add, between, zones]);

/// The most zones that are listed.
const ZONES: usize = 50;

/// A moment as it is told.
#[derive(Debug, PartialEq, Serialize)]
struct Moment {
    /// RFC 9557: RFC 3339 with the zone behind it.
    time: String,
    weekday: String,
    zone: String,
    daylight_saving: bool,
    unix_seconds: i64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Distance {
    /// In years, months, days, and so on, ISO 8601.
    duration: String,
    /// The same in words.
    text: String,
    days: i64,
    seconds: i64,
}

/// Tell the current date and time.
#[tool(read_only)]
fn now(
    /// The time zone, such as Europe/Berlin or UTC+2; UTC unless told.
    zone: Option<String>,
) -> Result<Json<Moment>, Error> {
    let zone = time::zone(zone.as_deref())?;
    Ok(Json(moment(&Timestamp::now().to_zoned_datetime(zone))))
}

/// Convert a time to another time zone.
#[tool(read_only, idempotent)]
fn convert(
    /// The time: 2026-03-29T12:00:00+02:00, 2026-03-29T12:00:00[Europe/Berlin], or without a zone.
    time: String,
    /// The time zone to convert to, such as Asia/Tokyo.
    to: String,
    /// The time zone of a time that names none; UTC unless told.
    from: Option<String>,
) -> Result<Json<Moment>, Error> {
    let time = time::moment("time", &time, from.as_deref())?;
    Ok(Json(moment(&time.with_time_zone(time::zone(Some(&to))?))))
}

/// Add a duration to a date or time, or take it away. Months and days are those of the calendar,
/// and summer time is respected.
#[tool(read_only, idempotent)]
fn add(
    /// The date or time to begin with: 2026-01-31, 2026-01-31T12:00:00Z, ….
    time: String,
    /// The duration: "1 month 2 days", "-3 hours", or ISO 8601 such as P1M2D.
    duration: String,
    /// The time zone of a time that names none; UTC unless told.
    zone: Option<String>,
) -> Result<Json<Moment>, Error> {
    let time = time::moment("time", &time, zone.as_deref())?;
    let duration: Span = duration.parse().map_err(|error| Error::invalid(format!("`duration`: {error}")))?;
    let sum = time.checked_add(duration).map_err(|error| Error::invalid(format!("`duration`: {error}")))?;
    Ok(Json(moment(&sum)))
}

/// Say how much time lies between two dates or times.
#[tool(read_only, idempotent)]
fn between(
    /// The earlier date or time: 2026-01-31, 2026-01-31T12:00:00Z, ….
    start: String,
    /// The later one; if it is earlier, the result is negative.
    end: String,
    /// The time zone of times that name none; UTC unless told.
    zone: Option<String>,
) -> Result<Json<Distance>, Error> {
    let start = time::moment("start", &start, zone.as_deref())?;
    let end = time::moment("end", &end, zone.as_deref())?.with_time_zone(start.time_zone().clone());
    let span = start.until((Unit::Year, &end))?;
    let in_days = span.round(SpanRound::new().largest(Unit::Day).relative(&start))?;
    Ok(Json(Distance {
        duration: span.to_string(),
        text: format!("{span:#}"),
        days: in_days.get_days().into(),
        seconds: end.timestamp().as_second() - start.timestamp().as_second(),
    }))
}

/// Find time zones by a part of their names, such as "europe" or "york".
#[tool(read_only, idempotent)]
fn zones(
    /// The part of the name.
    contains: String,
) -> Json<Vec<String>> {
    let wanted = contains.trim().replace(' ', "_").to_lowercase();
    let names = tz::db().available().map(|name| name.to_string());
    // The signs in the names of `Etc` are inverted, which misleads.
    let names = names.filter(|name| !name.starts_with("Etc/"));
    Json(names.filter(|name| name.to_lowercase().contains(&wanted)).take(ZONES).collect())
}

fn moment(time: &ZonedDateTime) -> Moment {
    Moment {
        time: time.to_string(),
        weekday: time.strftime("%A").to_string(),
        zone: time.time_zone().iana_name().map_or_else(|| time.offset().to_string(), str::to_owned),
        daylight_saving: time.time_zone().to_offset_info(time.timestamp()).dst().is_dst(),
        unix_seconds: time.timestamp().as_second(),
    }
}

#[cfg(test)]
mod tests {
    use moxxy_sdk::testing::Host;
    use serde_json::{Value, json};

    use super::*;

    fn value(output: moxxy_sdk::skill::Output) -> Value {
        serde_json::from_str(&output.content).unwrap()
    }

    #[test]
    fn now_is_now_in_every_zone() {
        let mut host = Host::new();
        let utc = value(host.call::<now>(json!({})).unwrap());
        let tokyo = value(host.call::<now>(json!({ "zone": "Asia/Tokyo" })).unwrap());
        assert!(utc["time"].as_str().unwrap().ends_with("[UTC]"), "{utc}");
        assert!(tokyo["time"].as_str().unwrap().ends_with("+09:00[Asia/Tokyo]"), "{tokyo}");
        let apart = tokyo["unix_seconds"].as_i64().unwrap() - utc["unix_seconds"].as_i64().unwrap();
        assert!((0..60).contains(&apart), "{utc} {tokyo}");
    }

    #[test]
    fn times_are_converted_with_their_summer_time() {
        let Json(winter) = convert("2026-03-29T00:30:00Z".into(), "Europe/Berlin".into(), None).unwrap();
        assert_eq!((&*winter.time, winter.daylight_saving), ("2026-03-29T01:30:00+01:00[Europe/Berlin]", false));
        let Json(summer) = convert("2026-03-29T01:30:00Z".into(), "Europe/Berlin".into(), None).unwrap();
        assert_eq!((&*summer.time, summer.daylight_saving), ("2026-03-29T03:30:00+02:00[Europe/Berlin]", true));
        let from = Some("America/New_York".into());
        let Json(moment) = convert("2026-07-04 12:00".into(), "UTC".into(), from).unwrap();
        assert_eq!((&*moment.time, &*moment.weekday), ("2026-07-04T16:00:00+00:00[UTC]", "Saturday"));
    }

    #[test]
    fn durations_follow_the_calendar() {
        let Json(sum) = add("2024-01-31".into(), "1 month".into(), None).unwrap();
        assert_eq!(sum.time, "2024-02-29T00:00:00+00:00[UTC]");
        let Json(sum) = add("2026-03-28T12:00[Europe/Berlin]".into(), "P1D".into(), None).unwrap();
        assert_eq!(sum.time, "2026-03-29T12:00:00+02:00[Europe/Berlin]");
        let Json(sum) = add("2026-01-01".into(), "-90 minutes".into(), None).unwrap();
        assert_eq!(sum.time, "2025-12-31T22:30:00+00:00[UTC]");
    }

    #[test]
    fn distances_are_told_in_several_ways() {
        let Json(distance) = between("2024-02-28".into(), "2026-03-01T06:00".into(), None).unwrap();
        assert_eq!((&*distance.duration, distance.days, distance.seconds), ("P2Y1DT6H", 732, 63_266_400));
        let Json(back) = between("2026-01-02".into(), "2026-01-01".into(), None).unwrap();
        assert_eq!((&*back.duration, back.days), ("-P1D", -1));
    }

    #[test]
    fn zones_are_found_by_a_part_of_the_name() {
        assert_eq!(zones("new york".into()).0, ["America/New_York"]);
        assert_eq!(zones("".into()).0.len(), ZONES);
    }

    #[test]
    fn offsets_are_zones_and_ambiguous_abbreviations_are_none() {
        let zones = [
            ("UTC+2", "14:00:00+02:00"),
            ("utc-03:30", "08:30:00-03:30"),
            ("+05:30", "17:30:00+05:30"),
            ("GMT +1", "13:00:00+01:00"),
            ("-0800", "04:00:00-08:00"),
        ];
        for (zone, time) in zones {
            let Json(moment) = convert("2026-07-04T12:00:00Z".into(), zone.into(), None).unwrap();
            assert!(moment.time.contains(time), "{zone}: {}", moment.time);
        }
        for (zone, part) in [("IST", "Asia/Kolkata"), ("cst", "Asia/Shanghai"), ("UTC+99", "there is no time zone")] {
            let error = convert("2026-07-04T12:00:00Z".into(), zone.into(), None).unwrap_err().to_string();
            assert!(error.contains(part), "{zone}: {error}");
        }
        assert!(super::zones("gmt".into()).0.iter().all(|zone| !zone.starts_with("Etc/")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut host = Host::new();
        let wrong = [
            host.call::<now>(json!({ "zone": "Mars/Olympus" })).unwrap_err(),
            host.call::<convert>(json!({ "time": "yesterday", "to": "UTC" })).unwrap_err(),
            host.call::<add>(json!({ "time": "2026-01-01", "duration": "soon" })).unwrap_err(),
            host.call::<add>(json!({ "time": "2026-01-01", "duration": "9000 years" })).unwrap_err(),
        ];
        for (error, named) in wrong.into_iter().zip(["Mars/Olympus", "`time`", "`duration`", "`duration`"]) {
            assert!(matches!(&error, Error::Invalid(message) if message.contains(named)), "{error:?}");
        }
    }
}
