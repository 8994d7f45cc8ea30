//! The date of a header (RFC 9110): of its three forms the one that senders may write, such as
//! `Sun, 06 Nov 1994 08:49:37 GMT`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The moment that a date names. The day of the week is not held against it.
pub fn parse(text: &str) -> Option<SystemTime> {
    let (_, text) = text.trim().split_once(", ")?;
    let mut words = text.split(' ');
    let day = number(words.next()?, 2)?;
    let named = words.next()?;
    let month = (1_u64..).zip(MONTHS).find(|(_, name)| *name == named)?.0;
    let year = number(words.next()?, 4)?;
    let mut time = words.next()?.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let whole = words.eq(["GMT"]) && time.next().is_none();
    let within = (1..=31).contains(&day) && year >= 1970 && hour < 24 && minute < 60 && second <= 60;
    let seconds = || ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    (whole && within).then(|| UNIX_EPOCH + Duration::from_secs(seconds()))
}

/// How many days a date of the Gregorian calendar is after 1 January 1970. Years begin in March here, so
/// that the day that a leap year has more is their last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap = year / 4 - year / 100 + year / 400;
    (year * 365 + leap + (month * 153 + 2) / 5 + day - 1).saturating_sub(719_468)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_moment() {
        let seconds = |text| parse(text).map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_secs());
        let cases = [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Tue, 29 Feb 2000 12:00:00 GMT", Some(951_825_600)),
            ("Wed, 01 Mar 2000 00:00:00 GMT", Some(951_868_800)),
            ("Mon, 01 Mar 2100 00:00:00 GMT", Some(4_107_542_400)),
            ("Fri, 31 Dec 9999 23:59:60 GMT", Some(253_402_300_800)),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 06 Nov 1969 08:49:37 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("120", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
