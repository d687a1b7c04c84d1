//! Scalars of YAML 1.1 as go.yaml.in/yaml/v2 resolves them.

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use granit_parser::{ScalarStyle, Tag};
use serde_json::{Number, Value};

pub(super) fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let plain = |tag| resolve(text, tag);
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { plain(true) } else { Ok(text.into()) };
    };
    let wrong = |kind: &str| Err(format!("{} is no {kind}", short(text)));
    match tag.suffix_in_namespace("tag:yaml.org,2002:").as_deref() {
        Some("int") => match plain(false)? {
            it @ Value::Number(_) if !it.is_f64() => Ok(it),
            _ => wrong("!!int"),
        },
        Some("float") => match plain(false)? {
            it @ Value::Number(_) => Ok(it),
            _ => wrong("!!float"),
        },
        Some("bool") => match plain(false)? {
            it @ Value::Bool(_) => Ok(it),
            _ => wrong("!!bool"),
        },
        Some("null") => match plain(false)? {
            Value::Null => Ok(Value::Null),
            _ if text.is_empty() => Ok(Value::Null),
            _ => wrong("!!null"),
        },
        Some("binary") => {
            let packed: String = text.split_whitespace().collect();
            let bytes = BASE64_STANDARD.decode(packed).map_err(|_| "!!binary takes base64".to_owned())?;
            Ok(String::from_utf8_lossy(&bytes).into_owned().into())
        }
        _ => Ok(text.into()),
    }
}

/// The value of a plain scalar.
fn resolve(text: &str, untagged: bool) -> Result<Value, String> {
    Ok(match text {
        "" if untagged => Value::Null,
        "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan" | ".NaN" | ".NAN" => {
            return Err(format!("{text} is no number that Kubernetes knows"));
        }
        _ => number(text).unwrap_or_else(|| text.into()),
    })
}

/// A number: decimal, `0x`, `0b`, `0o`, octal with a leading zero as in YAML 1.1, with underscores.
pub(super) fn number(text: &str) -> Option<Value> {
    let first = text.bytes().next()?;
    if first == b'.' {
        return float(text);
    }
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-')) {
        return None;
    }
    let plain: Cow<'_, str> = if text.contains('_') { text.replace('_', "").into() } else { text.into() };
    integer(&plain).or_else(|| float(&plain))
}

fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // Rust would accept a second sign.
    if !digits.starts_with(|it: char| it.is_ascii_alphanumeric()) {
        return None;
    }
    let size = u64::from_str_radix(digits, base).ok()?;
    if negative {
        return Some(i64::try_from(-i128::from(size)).ok()?.into());
    }
    // Go accepts a sign only for numbers that fit a signed integer.
    if text.starts_with('+') && i64::try_from(size).is_err() {
        return None;
    }
    Some(size.into())
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, within the range of a double.
fn float(text: &str) -> Option<Value> {
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let is_mantissa = match mantissa.split_once('.') {
        Some(("", rest)) => digits(rest),
        Some((whole, rest)) => digits(whole) && (rest.is_empty() || digits(rest)),
        None => digits(mantissa),
    };
    if !is_mantissa || exponent.is_some_and(|it| !digits(it)) {
        return None;
    }
    let value: f64 = text.parse().ok().filter(|it: &f64| it.is_finite())?;
    // Go writes a whole number without a point, since the API server does not accept one as an integer.
    if value.fract() == 0.0 && value.abs() < 9e15 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
        return Some((value as i64).into());
    }
    Number::from_f64(value).map(Value::Number)
}

/// The start of a text, for a message.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= 40 {
        return format!("`{text}`");
    }
    format!("`{}…`", text.chars().take(40).collect::<String>())
}
