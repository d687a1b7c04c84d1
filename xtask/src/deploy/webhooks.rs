//! Creates the certificates of the operator's webhooks before the operator starts.
//!
//! Without them the operator creates them itself, and then waits until the kubelet updates the files in its pod: half a second at best, a
//! minute at worst. It renews existing ones.

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    date_time_ymd,
};
use serde_json::{Value, json};

use crate::{deploy::operator::NAMESPACE, errors::Problem};

/// The Secrets that the operator reads (`CaSecretName` and `WebhookSecretName` in its controller).
pub const AUTHORITY: &str = "cnpg-ca-secret";
pub const CERTIFICATE: &str = "cnpg-webhook-cert";
/// The name in the API server's calls: the webhooks' Service.
const HOST: &str = "cnpg-webhook-service.cnpg-system.svc";
/// The validity of the operator's own certificates. It renews them a week before they expire.
const DAYS: i64 = 90;

/// Both Secrets, with new keys.
pub fn secrets() -> Result<[Value; 2]> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, AUTHORITY);
    authority.distinguished_name.push(DnType::OrganizationalUnitName, NAMESPACE);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    last(&mut authority, today)?;
    let mut webhook = CertificateParams::new(vec![HOST.to_owned()])?;
    webhook.distinguished_name.push(DnType::CommonName, HOST);
    webhook.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement, KeyUsagePurpose::KeyEncipherment];
    webhook.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    last(&mut webhook, today)?;
    let (first, second) = (KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?);
    let certificates = [authority.self_signed(&first)?, webhook.signed_by(&second, &Issuer::from_params(&authority, &first))?];
    let [authority, webhook] = certificates.map(|it| pem("CERTIFICATE", it.der().to_vec()));
    Ok([
        secret(AUTHORITY, "Opaque", json!({ "ca.crt": authority, "ca.key": private(&first)? })),
        secret(CERTIFICATE, "kubernetes.io/tls", json!({ "tls.crt": webhook, "tls.key": private(&second)? })),
    ])
}

fn last(certificate: &mut CertificateParams, today: Date) -> Result<()> {
    let time = |date: Date| -> Result<_> { Ok(date_time_ymd(date.year().into(), u8::try_from(date.month())?, u8::try_from(date.day())?)) };
    certificate.not_before = time(today.checked_sub(1.day())?)?;
    certificate.not_after = time(today.checked_add(DAYS.days())?)?;
    Ok(())
}

fn secret(name: &str, kind: &str, data: Value) -> Value {
    let labels = json!({ "app.kubernetes.io/managed-by": "cloudnative-pg" });
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels },
        "type": kind,
        "data": data,
    })
}

/// The key in the only format that the operator reads (RFC 5915): version, curve, point.
fn private(key: &KeyPair) -> Result<String> {
    const BEFORE: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];
    const CURVE: [u8; 12] = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const POINT: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];
    let (der, point) = (key.serialized_der(), key.public_key_raw());
    let number = der.windows(BEFORE.len()).position(|it| it == BEFORE).and_then(|at| der[at + BEFORE.len()..].get(..32));
    let number = number.filter(|_| point.len() == 65).ok_or_else(|| Problem::new("a new key has an unknown notation"))?;
    let content = [BEFORE.as_slice(), number, &CURVE, &POINT, point].concat();
    let length = u8::try_from(content.len()).context("write a key")?;
    Ok(pem("EC PRIVATE KEY", [&[0x30, length], content.as_slice()].concat()))
}

/// The value for a Secret.
fn pem(tag: &str, content: Vec<u8>) -> String {
    let text = pem::encode_config(&Pem::new(tag, content), EncodeConfig::new().set_line_ending(LineEnding::LF));
    BASE64_STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(secret: &Value, key: &str) -> Pem {
        let text = BASE64_STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap();
        pem::parse(text).unwrap()
    }

    #[test]
    fn keys_are_in_the_operators_notation_and_new_each_time() {
        let ([authority, webhook], [other, _]) = (secrets().unwrap(), secrets().unwrap());
        for (secret, key) in [(&authority, "ca.key"), (&webhook, "tls.key")] {
            let key = decoded(secret, key);
            assert_eq!(key.tag(), "EC PRIVATE KEY");
            // The length in the first element is that of the rest.
            assert_eq!((key.contents()[0], usize::from(key.contents()[1])), (0x30, key.contents().len() - 2));
            assert_eq!(key.contents().len(), 121);
        }
        assert_ne!(authority["data"]["ca.key"], other["data"]["ca.key"]);
    }

    #[test]
    fn certificates_last_as_long_as_the_operators_own() {
        for (secret, key) in secrets().unwrap().iter().zip(["ca.crt", "tls.crt"]) {
            let text = BASE64_STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap();
            let found = crate::cluster::certificate::read(key, &text).unwrap();
            assert!((DAYS - 1..=DAYS).contains(&found[0].days()), "{}", found[0].days());
        }
    }
}
