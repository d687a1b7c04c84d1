//! Values of Kubernetes as Compose writes them.

/// A text in which Compose replaces no variable.
pub(super) fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// A quantity of Kubernetes in bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] =
        [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("", 1)];
    let (number, unit) = UNITS.iter().find_map(|(name, factor)| Some((text.strip_suffix(name)?, factor)))?;
    let number: f64 = number.parse().ok()?;
    // Whole bytes, far below the numbers that a float cannot hold.
    Some((number * *unit as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        assert_eq!(
            ["384Mi", "1Gi", "1G", "500", "x"].map(bytes),
            [Some(402_653_184), Some(1_073_741_824), Some(1_000_000_000), Some(500), None]
        );
    }
}
