//! Expiry of certificates: parses the one X.509 field that is needed, and CloudNativePG's timestamps, and reads certificates from Secrets
//! and from our kubeconfig.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    jiff::{Timestamp, civil::DateTime, tz::TimeZone},
};
use kube::{Api, config::Kubeconfig};

use crate::{cluster::Cluster, errors::Problem};

/// A certificate, with a name for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub name: String,
    pub ends: Timestamp,
}

impl Certificate {
    /// Whole days until it expires; negative after that.
    pub fn days(&self) -> i64 {
        self.days_left(Timestamp::now())
    }

    fn days_left(&self, now: Timestamp) -> i64 {
        (self.ends.as_second() - now.as_second()).div_euclid(24 * 3600)
    }
}

impl Cluster {
    /// The certificates in a key of a Secret; empty if it does not exist. Keeps nothing else of the Secret.
    pub fn certificates_of(&self, namespace: &str, name: &str, key: &str) -> Result<Vec<Certificate>> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = self.call(api.get_opt(name)).with_context(|| format!("read Secret {name}"))?;
        let entry = found.and_then(|it| it.data?.remove(key));
        entry.map_or(Ok(Vec::new()), |ByteString(text)| read(name, &text))
    }
}

/// The certificates in a kubeconfig: the client's and the CA's.
pub fn of_kubeconfig(path: &Path) -> Result<Vec<Certificate>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let file = Kubeconfig::from_yaml(&text).with_context(|| format!("read {}", path.display()))?;
    let users = file.auth_infos.into_iter().filter_map(|it| it.auth_info?.client_certificate_data);
    let authorities = file.clusters.into_iter().filter_map(|it| it.cluster?.certificate_authority_data);
    let mut out = Vec::new();
    for (name, encoded) in users.map(|it| ("kubeconfig's client", it)).chain(authorities.map(|it| ("kubeconfig's authority", it))) {
        let ByteString(text) = serde_json::from_value(encoded.into()).with_context(|| format!("read {name}"))?;
        out.extend(read(name, &text)?);
    }
    Ok(out)
}

/// All certificates in a PEM text; private keys are skipped.
pub fn read(name: &str, text: &[u8]) -> Result<Vec<Certificate>> {
    let blocks = pem::parse_many(text).with_context(|| format!("read {name}"))?;
    let certificates = blocks.iter().filter(|it| it.tag() == "CERTIFICATE");
    certificates
        .map(|it| Ok(Certificate { name: name.to_owned(), ends: end_of(it.contents()).with_context(|| format!("read {name}"))? }))
        .collect()
}

/// `2027-02-22 05:39:10 +0000 UTC`.
pub fn parse_time(text: &str) -> Result<Timestamp> {
    let date = text.get(..19).unwrap_or(text);
    let date = DateTime::strptime("%Y-%m-%d %H:%M:%S", date).with_context(|| format!("read the time {text:?}"))?;
    Ok(date.to_zoned(TimeZone::UTC)?.timestamp())
}

/// `Certificate ::= SEQUENCE { SEQUENCE { [0] version, serial, algorithm, issuer, SEQUENCE { notBefore, notAfter }, …`.
fn end_of(der: &[u8]) -> Result<Timestamp> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    // Version 1 certificates have no version field.
    if rest.first() == Some(&0xa0) {
        rest = element(rest)?.2;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, after) = element(validity)?;
    let (tag, time, _) = element(after)?;
    let text = std::str::from_utf8(time).context("read a time")?;
    let text = match tag {
        // A two-digit year: 50 to 99 are 1950 to 1999.
        0x17 if text >= "5" => format!("19{text}"),
        0x17 => format!("20{text}"),
        0x18 => text.to_owned(),
        other => return Err(Problem::new(format!("a time has the tag {other}")).into()),
    };
    let date = DateTime::strptime("%Y%m%d%H%M%SZ", &text).with_context(|| format!("read the time {text:?}"))?;
    Ok(date.to_zoned(TimeZone::UTC)?.timestamp())
}

/// Tag, content and remaining bytes of the first DER element.
fn element(der: &[u8]) -> Result<(u8, &[u8], &[u8])> {
    let short = || Problem::new("a certificate is truncated");
    let (&tag, rest) = der.split_first().ok_or_else(short)?;
    let (&first, mut rest) = rest.split_first().ok_or_else(short)?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count > 4 || rest.len() < count {
            return Err(short().into());
        }
        length = rest[..count].iter().fold(0, |sum, it| sum << 8 | usize::from(*it));
        rest = &rest[count..];
    }
    if rest.len() < length {
        return Err(short().into());
    }
    Ok((tag, &rest[..length], &rest[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match u8::try_from(content.len()) {
            Ok(length @ ..0x80) => out.push(length),
            _ => out.extend([0x82, (content.len() >> 8) as u8, content.len() as u8]),
        }
        out.extend(content);
        out
    }

    fn certificate(version: bool, tag: u8, end: &str) -> Vec<u8> {
        let times = [part(0x17, b"250101000000Z"), part(tag, end.as_bytes())].concat();
        let mut fields = if version { part(0xa0, &part(2, &[2])) } else { Vec::new() };
        for field in [part(2, &[7]), part(0x30, &[5, 0]), part(0x30, &[0; 200]), part(0x30, &times), part(0x30, &[])] {
            fields.extend(field);
        }
        part(0x30, &[part(0x30, &fields), part(0x30, &[]), part(3, &[0])].concat())
    }

    #[test]
    fn the_end_is_found_in_every_notation() {
        let end = |version, tag, text: &str| end_of(&certificate(version, tag, text)).unwrap().to_string();
        assert_eq!(end(true, 0x17, "270222053910Z"), "2027-02-22T05:39:10Z");
        assert_eq!(end(false, 0x17, "991231235959Z"), "1999-12-31T23:59:59Z");
        assert_eq!(end(true, 0x18, "20570101000000Z"), "2057-01-01T00:00:00Z");
        assert_eq!(parse_time("2027-02-22 05:39:10 +0000 UTC").unwrap().to_string(), "2027-02-22T05:39:10Z");
    }

    #[test]
    fn what_is_no_certificate_is_an_error_and_no_panic() {
        let whole = certificate(true, 0x17, "270222053910Z");
        for end in 0..whole.len() {
            assert!(end_of(&whole[..end]).is_err(), "{end}");
        }
        assert!(end_of(&certificate(true, 4, "x")).is_err());
        assert!(parse_time("soon").is_err());
    }

    #[test]
    fn keys_beside_certificates_are_passed_over() {
        let block = |tag: &str, content: Vec<u8>| pem::encode(&pem::Pem::new(tag, content));
        let text = block("PRIVATE KEY", vec![1]) + &block("CERTIFICATE", certificate(true, 0x17, "270222053910Z"));
        let found = read("x", text.as_bytes()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].days_left("2027-02-20T00:00:00Z".parse().unwrap()), 2);
        assert_eq!(found[0].days_left("2027-02-22T06:00:00Z".parse().unwrap()), -1);
    }
}
