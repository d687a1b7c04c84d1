//! Credentials and proxies of docker's client: `config.json` in `DOCKER_CONFIG` or `~/.docker`, and credential helpers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde::Deserialize;
use serde_json::json;
use xshell::cmd;

use crate::{graph::TaskId, regular, tool::Tools};

/// The name of Docker Hub in stored credentials.
const HUB: &str = "https://index.docker.io/v1/";
/// A credential helper may ask the user.
const HELPER_LIMIT: Duration = Duration::from_secs(60);

/// The credentials and proxies that docker's client would use on this machine.
#[derive(Clone)]
pub(crate) struct Login {
    path: Option<PathBuf>,
    tools: Tools,
    /// By registry; before those of the configuration.
    given: Arc<Mutex<BTreeMap<String, Auth>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    auths: BTreeMap<String, Auth>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    proxies: BTreeMap<String, Proxies>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "lowercase")]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

// Does not print secrets.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth")
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

/// The output of a credential helper.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    username: String,
    secret: String,
}

impl Login {
    /// Does not read any file yet.
    pub(crate) fn new(tools: Tools) -> Login {
        let set = std::env::var_os("DOCKER_CONFIG").filter(|it| !it.is_empty()).map(PathBuf::from);
        let folder = set.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
        Login { path: folder.map(|it| it.join("config.json")), tools, given: Arc::default() }
    }

    /// Credentials for one registry, in this run only: a cloud's, which expire soon. All clones of this value have them.
    pub(crate) fn give(&self, reference: &str, username: &str, password: &str) {
        let auth = Auth { username: username.to_owned(), password: password.to_owned(), ..Auth::default() };
        self.given.lock().unwrap_or_else(PoisonError::into_inner).insert(server(reference).to_owned(), auth);
    }

    /// The value of the header `X-Registry-Auth` for the reference's registry; `None` without credentials.
    pub(crate) fn header(&self, reference: &str) -> Result<Option<String>> {
        let Some(auth) = self.of(reference)? else { return Ok(None) };
        let server = server(reference);
        let value = json!({
            "username": auth.username, "password": auth.password, "serveraddress": server,
            "identitytoken": auth.identitytoken, "registrytoken": auth.registrytoken,
        });
        // Engines decode URL-safe base64 only, and treat anything else as no credentials.
        Ok(Some(URL_SAFE.encode(value.to_string())))
    }

    /// The stored credentials for the reference's registry.
    fn of(&self, reference: &str) -> Result<Option<Auth>> {
        let server = server(reference);
        if let Some(given) = self.given.lock().unwrap_or_else(PoisonError::into_inner).get(server) {
            return Ok(Some(given.clone()));
        }
        let file = self.file()?;
        match file.helpers.get(server).or(file.store.as_ref()) {
            Some(helper) => self.ask(helper, server),
            None => Ok(kept(&file.auths, server)),
        }
    }

    /// Build arguments for proxies: from docker's configuration for this engine, else from this process's environment. Engines know these
    /// names, and keep them out of the image's history.
    pub(crate) fn proxies(&self, host: &str) -> Result<BTreeMap<String, String>> {
        let mut file = self.file()?;
        let set = file.proxies.remove(host).or_else(|| file.proxies.remove("default"));
        Ok(match set {
            Some(it) => {
                let values = [it.http_proxy, it.https_proxy, it.no_proxy, it.ftp_proxy, it.all_proxy];
                proxy_arguments(|name| PROXIES.iter().position(|it| *it == name).map(|it| values[it].clone()))
            }
            None => proxy_arguments(|name| std::env::var(name).or_else(|_| std::env::var(name.to_lowercase())).ok()),
        })
    }

    fn file(&self) -> Result<File> {
        let Some(path) = self.path.as_deref().filter(|it| it.is_file()) else { return Ok(File::default()) };
        read(path)
    }

    /// Runs `docker-credential-NAME get`. Source of the protocol: github.com/docker/docker-credential-helpers.
    fn ask(&self, helper: &str, server: &str) -> Result<Option<Auth>> {
        self.ask_program(&format!("docker-credential-{helper}"), server)
    }

    fn ask_program(&self, program: &str, server: &str) -> Result<Option<Auth>> {
        let sh = self.tools.shell(Path::new("/"))?;
        let (good, said) = self.tools.converse(TaskId::Engine, cmd!(sh, "{program} get"), server.as_bytes(), HELPER_LIMIT)?;
        if !good {
            // The protocol's message for no credentials.
            anyhow::ensure!(said.contains("credentials not found"), "`{program} get` says for {server}: {}", said.trim());
            return Ok(None);
        }
        let told: Told =
            serde_json::from_str(&said).map_err(|_| anyhow::anyhow!("`{program} get` did not answer with credentials for {server}"))?;
        let token = told.username == "<token>";
        Ok(Some(if token {
            Auth { identitytoken: told.secret, ..Auth::default() }
        } else {
            Auth { username: told.username, password: told.secret, ..Auth::default() }
        }))
    }
}

const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "FTP_PROXY", "ALL_PROXY"];

/// Upper and lower case, since programs read one or the other.
fn proxy_arguments(value: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let set = PROXIES.iter().filter_map(|name| Some((*name, value(name).filter(|it| !it.is_empty())?)));
    set.flat_map(|(name, value)| [(name.to_owned(), value.clone()), (name.to_lowercase(), value)]).collect()
}

fn read(path: &Path) -> Result<File> {
    let text = regular::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    // serde's message may quote a part of the file.
    serde_json::from_str(&text).map_err(|error| {
        let what = format!("{}, line {}: docker's configuration is not valid", path.display(), error.line());
        crate::errors::Problem::requirement(what).hint("correct the file, or name another folder in DOCKER_CONFIG").into()
    })
}

/// The content of a Secret of type `kubernetes.io/dockerconfigjson` for nodes that pull from `pull`: the credentials for `pull`, or else
/// those for `push`. `None` without credentials, or with only an identity token, which kubelets cannot use.
pub fn credentials(tools: &Tools, push: &str, pull: &str) -> Result<Option<String>> {
    let login = Login::new(tools.clone());
    for place in [pull, push] {
        let Some(auth) = login.of(&format!("{place}/image"))? else { continue };
        if auth.username.is_empty() || auth.password.is_empty() {
            continue;
        }
        let entry = STANDARD.encode(format!("{}:{}", auth.username, auth.password));
        let host = server(&format!("{pull}/image")).to_owned();
        return Ok(Some(json!({ "auths": { host: { "username": auth.username, "password": auth.password, "auth": entry } } }).to_string()));
    }
    Ok(None)
}

/// The key of the reference's registry in the configuration.
pub(super) fn server(reference: &str) -> &str {
    let first = reference.split_once('/').map(|it| it.0).filter(|it| it.contains(['.', ':']) || *it == "localhost");
    match first {
        None | Some("docker.io" | "index.docker.io" | "registry-1.docker.io") => HUB,
        Some(host) => host,
    }
}

/// The entry of a registry: by its exact key, else by its host, since users also write URLs.
fn kept(auths: &BTreeMap<String, Auth>, server: &str) -> Option<Auth> {
    let host = |it: &str| it.trim_start_matches("https://").trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
    let entry = auths.get(server).or_else(|| auths.iter().find(|(name, _)| host(name) == host(server)).map(|it| it.1))?;
    let mut entry = entry.clone();
    let decoded = STANDARD.decode(entry.auth.trim()).ok().and_then(|it| String::from_utf8(it).ok());
    if let Some((name, password)) = decoded.as_deref().and_then(|it| it.split_once(':')) {
        entry.username = name.to_owned();
        entry.password = password.trim_end_matches('\0').to_owned();
    }
    let is_empty = entry.username.is_empty() && entry.identitytoken.is_empty() && entry.registrytoken.is_empty();
    (!is_empty).then_some(entry)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{interrupt::Interrupt, report::Recorder};

    fn login(dir: &Path, config: &str) -> Login {
        std::fs::write(dir.join("config.json"), config).unwrap();
        let tools = Tools::new(dir.join("log"), Interrupt::default(), Arc::new(Recorder::default()));
        Login { path: Some(dir.join("config.json")), tools, given: Arc::default() }
    }

    fn told(login: &Login, reference: &str) -> Option<serde_json::Value> {
        let header = login.header(reference).unwrap()?;
        Some(serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap())
    }

    #[test]
    fn a_reference_leads_to_the_entry_of_its_registry() {
        assert_eq!(server("python:3"), HUB);
        assert_eq!(server("docker.io/library/python"), HUB);
        assert_eq!(server("team/app:1"), HUB);
        assert_eq!(server("localhost/x"), "localhost");
        assert_eq!(server("127.0.0.1:5000/x/y:1"), "127.0.0.1:5000");
    }

    #[test]
    fn entries_of_the_file_are_read_as_docker_writes_them() {
        let dir = tempfile::tempdir().unwrap();
        let auth = STANDARD.encode("me:pass:word");
        let config = format!(
            r#"{{"auths": {{"r.example": {{"auth": "{auth}"}}, "https://s.example/v2/": {{"identitytoken": "t"}}, "e.example": {{}}}}, "more": 1}}"#
        );
        let login = login(dir.path(), &config);
        let found = told(&login, "r.example/x").unwrap();
        assert_eq!((&found["username"], &found["password"]), (&json!("me"), &json!("pass:word")));
        assert_eq!(told(&login, "s.example/x").unwrap()["identitytoken"], "t");
        assert!(told(&login, "e.example/x").is_none() && told(&login, "python:3").is_none());
        login.clone().give("r.example/x", "AWS", "soon over");
        assert_eq!(told(&login, "r.example/y:1").unwrap()["username"], "AWS");
    }

    #[test]
    fn the_header_is_of_the_alphabet_that_engines_read() {
        let dir = tempfile::tempdir().unwrap();
        for password in ["~~~", "a~~~", "ab~~~", "???", "a???", "ab???"] {
            let auth = STANDARD.encode(format!("me:{password}"));
            let login = login(dir.path(), &format!(r#"{{"auths": {{"r.example": {{"auth": "{auth}"}}}}}}"#));
            let header = login.header("r.example/x").unwrap().unwrap();
            assert!(!header.contains(['+', '/']), "{header}");
        }
    }

    #[test]
    fn helpers_are_asked_and_may_say_no() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("docker-credential-trial");
        let script = "#!/bin/sh\nread -r server\ncase $server in\nr.example) echo '{\"ServerURL\":\"r\",\"Username\":\"<token>\",\"Secret\":\"s\"}';;\n\
                      n.example) echo credentials not found in native keychain; exit 1;;\n*) echo locked; exit 1;;\nesac\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        // The helper's absolute path, since changing PATH would affect tests in other threads.
        let login = login(dir.path(), "{}");
        let ask = |server: &str| login.ask_program(program.to_str().unwrap(), server);
        assert_eq!(ask("r.example").unwrap().unwrap().identitytoken, "s");
        assert!(ask("n.example").unwrap().is_none());
        assert!(ask("x.example").unwrap_err().to_string().contains("locked"));
        let log = std::fs::read_to_string(dir.path().join("log/engine.log")).unwrap_or_default();
        assert!(!log.contains("Secret"), "{log}");
    }

    #[test]
    fn proxies_come_in_both_spellings_and_for_the_engine_that_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let config = r#"{"proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "x"}, "tcp://e:1": {"httpsProxy": "http://q:1"}}}"#;
        let login = login(dir.path(), config);
        let names =
            |host: &str| login.proxies(host).unwrap().into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        assert_eq!(names("unix:///x"), ["HTTP_PROXY=http://p:1", "NO_PROXY=x", "http_proxy=http://p:1", "no_proxy=x"]);
        assert_eq!(names("tcp://e:1"), ["HTTPS_PROXY=http://q:1", "https_proxy=http://q:1"]);
    }

    #[test]
    fn a_broken_file_is_named_without_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let error = login(dir.path(), "{\"auths\": {\"r\": {\"auth\": \n 7}}}").header("r.example/x").unwrap_err().to_string();
        assert!(error.contains("config.json, line 2: docker's configuration"), "{error}");
    }
}
