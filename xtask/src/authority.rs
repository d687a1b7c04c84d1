//! A certificate authority of this machine, for HTTPS at names under `.localhost`.
//!
//! It is made once, in the user's cache, and no browser trusts it until the user says so: `trust` prints how. Its name constraints (RFC
//! 5280, section 4.2.1.10) allow `localhost` and names below it only, so that a stolen key is worth nothing elsewhere.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};

use crate::{config::Secret, env::Env, errors::Problem, graph::TaskId, lock, record};

/// The only domain that the authority certifies.
pub const DOMAIN: &str = "localhost";
/// Whole days of a certificate. Apple accepts 825 of an authority that the user has installed; public ones have at most 398.
const DAYS: i64 = 397;
/// `create` and `update` renew a certificate that is valid for fewer days.
pub const RENEWED: i64 = DAYS / 3;
/// Years of the authority.
const YEARS: i64 = 10;
/// For another run that makes it, which takes milliseconds.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

/// The authority with its key.
pub struct Authority {
    certificate: Vec<u8>,
    key: KeyPair,
}

/// A certificate with its key, in PEM.
pub struct Issued {
    pub certificate: String,
    pub key: Secret,
}

/// The path of the authority's certificate, whether it exists or not.
pub fn certificate_path(env: &Env) -> PathBuf {
    folder(env).join("pocdeploy-ca.crt")
}

fn folder(env: &Env) -> PathBuf {
    env.cache("authority")
}

impl Authority {
    /// The authority of this machine, if it has been made.
    pub fn read(env: &Env) -> Result<Option<Authority>> {
        let path = folder(env).join("authority.pem");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        parse(&text).map(Some).map_err(|why| damaged(&path, &format!("{why:#}")))
    }

    /// The authority of this machine, which is made if it does not exist.
    pub fn ensure(env: &Env, task: TaskId) -> Result<Authority> {
        if let Some(found) = Authority::read(env)? {
            return Ok(found);
        }
        let folder = folder(env);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).with_context(|| format!("create {}", folder.display()))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).with_context(|| format!("protect {}", folder.display()))?;
        let what = "another run that makes the certificate authority";
        let guard = lock::acquire(&folder.join(".lock"), what, LOCK_LIMIT, &env.interrupt, |it| env.waiting(task, it))?;
        if let Some(found) = Authority::read(env)? {
            return Ok(found);
        }
        let made = make()?;
        let certificate = text("CERTIFICATE", &made.certificate);
        let both = format!("{certificate}{}", text("PRIVATE KEY", &made.key.serialize_der()));
        record::write_file(&certificate_path(env), certificate.as_bytes())?;
        record::write_file(&folder.join("authority.pem"), both.as_bytes())?;
        drop(guard);
        env.note(task, "made a certificate authority for this machine; no browser trusts it yet: `trust` says how");
        Ok(made)
    }

    /// The authority's certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// A certificate for these hosts, with a new key.
    pub fn issue(&self, hosts: impl IntoIterator<Item = String>) -> Result<Issued> {
        let mut wanted = CertificateParams::new(hosts.into_iter().collect::<Vec<_>>())?;
        wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        wanted.use_authority_key_identifier_extension = true;
        last(&mut wanted, DAYS.days())?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let parameters = parameters()?;
        let issuer = Issuer::from_params(&parameters, &self.key);
        let made = wanted.signed_by(&key, &issuer)?;
        let key = Secret::new(text("PRIVATE KEY", &key.serialize_der()));
        Ok(Issued { certificate: text("CERTIFICATE", made.der()), key })
    }
}

/// What the authority is; its name is that of every authority of the tool's.
fn parameters() -> Result<CertificateParams> {
    let mut out = CertificateParams::new(Vec::new())?;
    out.distinguished_name = rcgen::DistinguishedName::new();
    out.distinguished_name.push(DnType::CommonName, "pocdeploy, this machine's own");
    out.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    out.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Names of other kinds than DNS are not constrained by a constraint of DNS names.
    let no_address = [CidrSubnet::V4([0; 4], [0; 4]), CidrSubnet::V6([0; 16], [0; 16])];
    out.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(DOMAIN.to_owned())],
        excluded_subtrees: no_address.map(GeneralSubtree::IpAddress).to_vec(),
    });
    last(&mut out, YEARS.years())?;
    Ok(out)
}

fn make() -> Result<Authority> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = parameters()?.self_signed(&key)?.der().to_vec();
    Ok(Authority { certificate, key })
}

/// From yesterday, since clocks differ.
fn last(certificate: &mut CertificateParams, span: jiff::Span) -> Result<()> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let time = |date: jiff::civil::Date| -> Result<_> {
        Ok(date_time_ymd(date.year().into(), u8::try_from(date.month())?, u8::try_from(date.day())?))
    };
    certificate.not_before = time(today.checked_sub(1.day())?)?;
    certificate.not_after = time(today.checked_add(span)?)?;
    Ok(())
}

fn parse(text: &[u8]) -> Result<Authority> {
    let blocks = pem::parse_many(text)?;
    let block = |tag: &str| blocks.iter().find(|it| it.tag() == tag).with_context(|| format!("it has no {tag}"));
    let key = KeyPair::try_from(block("PRIVATE KEY")?.contents())?;
    Ok(Authority { certificate: block("CERTIFICATE")?.contents().to_vec(), key })
}

fn text(tag: &str, content: &[u8]) -> String {
    pem::encode_config(&Pem::new(tag, content), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

fn damaged(path: &Path, why: &str) -> anyhow::Error {
    Problem::new(format!("the certificate authority in {} cannot be read: {why}", path.display()))
        .hint("remove its folder, then run `create`: a new authority is made, which browsers must be told to trust again")
        .into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
        crypto::ring::default_provider,
        pki_types::{CertificateDer, ServerName, UnixTime},
    };

    use super::*;

    /// What a client that trusts the authority says to a certificate that it issued for `host`.
    fn judged(authority: &Authority, host: &str) -> Result<(), rustls::Error> {
        let issued = authority.issue([host.to_owned()]).unwrap();
        let leaf = CertificateDer::from(pem::parse(&issued.certificate).unwrap().into_contents());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.certificate().to_vec())).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider())).build().unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        verifier.verify_server_cert(&leaf, &[], &name, &[], UnixTime::now()).map(drop)
    }

    #[test]
    fn clients_accept_names_of_this_machine_and_no_others() {
        let authority = make().unwrap();
        for host in ["localhost", "polls.localhost", "a.b.polls.localhost"] {
            judged(&authority, host).unwrap();
        }
        for host in ["example.com", "localhost.example.com", "evillocalhost", "127.0.0.1", "10.0.0.1"] {
            let why = judged(&authority, host).unwrap_err().to_string();
            assert!(why.contains("NameConstraintViolation"), "{host}: {why}");
        }
    }

    #[test]
    fn an_authority_is_read_as_it_was_written() {
        let made = make().unwrap();
        let both = format!("{}{}", text("CERTIFICATE", &made.certificate), text("PRIVATE KEY", &made.key.serialize_der()));
        let read = parse(both.as_bytes()).unwrap();
        assert_eq!((read.certificate(), read.key.serialize_der()), (made.certificate(), made.key.serialize_der()));
        assert!(parse(b"nonsense").is_err() && parse(text("CERTIFICATE", &made.certificate).as_bytes()).is_err());
    }
}
