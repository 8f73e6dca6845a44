//! Quantities for people: times, durations, bytes, counts.

/// `2025-10-09 08:53:20 UTC` of seconds since 1970. The calendar is computed
/// in eras of 400 years that begin in March, so that leap days end a year.
pub fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// `12.5 s`, `3 min 20 s`, `2 h 20 min`.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    if whole < 3_600 {
        format!("{} min {} s", whole / 60, whole % 60)
    } else {
        // Minutes are rounded before they are split, or 59.9 would be 60.
        let minutes = (whole + 30) / 60;
        format!("{} h {} min", minutes / 60, minutes % 60)
    }
}

/// `3.40 GB`, decimal units.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.2} {}", UNITS[unit]) }
}

/// Digits in groups of three, by thin spaces: `9 870 000`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A score in 0..1 as percent with two decimals.
pub(super) fn percent(score: f64) -> String {
    if score.is_finite() { format!("{:.2}", score * 100.0) } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }

    #[test]
    fn durations() {
        assert_eq!(duration(12.5), "12.5 s");
        assert_eq!(duration(59.99), "1 min 0 s");
        assert_eq!(duration(8_412.0), "2 h 20 min");
        assert_eq!(duration(3_600.0 * 3.0 - 1.0), "3 h 0 min");
        assert_eq!(duration(f64::NAN), "unknown");
    }

    #[test]
    fn amounts() {
        assert_eq!((bytes(999), bytes(3_400_000_000)), ("999 B".to_owned(), "3.40 GB".to_owned()));
        assert_eq!(count(9_870_000), "9\u{202f}870\u{202f}000");
        assert_eq!(count(12), "12");
    }
}
