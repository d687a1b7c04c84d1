//! Ages, from the API server's timestamps.

use k8s_openapi::jiff::Timestamp;

/// Seconds since an RFC 3339 time; `None` if the text is not a time.
pub fn seconds(time: &str) -> Option<u64> {
    let then: Timestamp = time.parse().ok()?;
    u64::try_from(Timestamp::now().as_second() - then.as_second()).ok()
}

/// `40 s`, `12 min`, `3 h`, `2 d`.
pub fn words(seconds: Option<u64>) -> String {
    match seconds {
        None => "?".to_owned(),
        Some(it @ ..60) => format!("{it} s"),
        Some(it @ ..3600) => format!("{} min", it / 60),
        Some(it @ ..86_400) => format!("{} h", it / 3600),
        Some(it) => format!("{} d", it / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_in_the_largest_unit_that_fits() {
        let said: Vec<String> = [0, 59, 60, 3599, 7200, 200_000].map(|it| words(Some(it))).into();
        assert_eq!(said, ["0 s", "59 s", "1 min", "59 min", "2 h", "2 d"]);
        assert_eq!(seconds("soon"), None);
        assert!(seconds("2026-01-01T00:00:00Z").is_some());
    }
}
