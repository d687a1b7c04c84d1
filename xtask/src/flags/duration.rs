//! Durations on the command line: `90s`, `10m`, `1h30m`.

use std::time::Duration;

/// Numbers, each with its unit `s`, `m` or `h`; the sum of all. Never zero.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; examples: 90s, 10m, 1h30m");
    let mut seconds: u64 = 0;
    let mut rest = text;
    while let Some(at) = rest.find(|it: char| !it.is_ascii_digit()) {
        let number: u64 = rest[..at].parse().map_err(|_| wrong())?;
        let unit = match rest.as_bytes()[at] {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            _ => return Err(wrong()),
        };
        seconds = number.checked_mul(unit).and_then(|it| seconds.checked_add(it)).ok_or_else(wrong)?;
        rest = &rest[at + 1..];
    }
    if rest.is_empty() && seconds > 0 { Ok(Duration::from_secs(seconds)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units_and_nothing_else_is() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1h0m5s", 3605)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "s", "0s", "-1s", "1.5h", "5 m", "1d", "5ü", "99999999999999999999s", "9999999999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
