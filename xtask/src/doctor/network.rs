//! The hosts that a run needs, by the configuration of image mirrors, pip, go and cargo; and whether they accept connections.
//!
//! Reads settings and opens connections; sends only a plain `HEAD` request for the clock.

use std::{
    fs,
    net::{TcpStream, ToSocketAddrs as _},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use crate::{
    config::{Config, Source},
    tool,
};

/// A host and port to download from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Place {
    /// From a URL, without credentials and path; `None` if the text is not a URL.
    pub(crate) fn of(name: &'static str, url: &str) -> Option<Place> {
        let url = url.trim().trim_start_matches("sparse+");
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
        let usual = if scheme == "http" { 80 } else { 443 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, usual),
        };
        (!host.is_empty()).then(|| Place { name, host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

/// The registries of upstream's images, or their mirrors. Empty if images are built from packages.
pub(crate) fn registries(config: &Config) -> Vec<Place> {
    if config.images.source == Source::Packages {
        return Vec::new();
    }
    let hosts = [("docker.io", "https://registry-1.docker.io"), ("ghcr.io", "https://ghcr.io")];
    hosts.into_iter().filter_map(|(name, url)| Place::of(name, config.images.mirrors.get(name).map_or(url, String::as_str))).collect()
}

/// pip's index: from its variable, else from pip's files, else the public one.
pub(crate) fn pip() -> Option<Place> {
    let variable = std::env::var("PIP_INDEX_URL").ok();
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let named = std::env::var_os("PIP_CONFIG_FILE").map(PathBuf::from);
    let usual = [home.join(".config/pip/pip.conf"), home.join(".pip/pip.conf"), PathBuf::from("/etc/pip.conf")];
    let from_file = || named.into_iter().chain(usual).find_map(|it| index_url(&fs::read_to_string(it).ok()?));
    Place::of("pip", &variable.or_else(from_file).unwrap_or_else(|| "https://pypi.org/simple".to_owned()))
}

fn index_url(text: &str) -> Option<String> {
    let value = |line: &str| Some(line.trim().strip_prefix("index-url")?.trim_start().strip_prefix(['=', ':'])?.trim().to_owned());
    text.lines().find_map(value).filter(|it| !it.is_empty())
}

/// go's first module proxy; `None` if there is none. Read from go's files, including its defaults (`go.env`), since running go would write
/// telemetry counters.
pub(crate) fn go() -> Option<Place> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let named = std::env::var_os("GOENV").map_or_else(|| home.join(".config/go/env"), PathBuf::from);
    let files = [Some(named), go_root().map(|it| it.join("go.env"))];
    let read = |path: PathBuf| fs::read_to_string(path).ok()?.lines().find_map(|it| it.strip_prefix("GOPROXY=").map(str::to_owned));
    let variable = std::env::var("GOPROXY").ok().filter(|it| !it.is_empty());
    let setting = variable.or_else(|| files.into_iter().flatten().find_map(read))?;
    setting.split([',', '|']).find_map(|it| Place::of("go", it))
}

/// The installation folder of the `go` on `PATH`.
pub(crate) fn go_root() -> Option<PathBuf> {
    Some(tool::find("go")?.canonicalize().ok()?.parent()?.parent()?.to_owned())
}

/// cargo's registry, or the source that replaces it.
pub(crate) fn cargo() -> Option<Place> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let dir = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let text = ["config.toml", "config"].iter().find_map(|it| fs::read_to_string(dir.join(it)).ok()).unwrap_or_default();
    Place::of("cargo", &cargo_registry(&text).unwrap_or_else(|| "https://index.crates.io".to_owned()))
}

fn cargo_registry(text: &str) -> Option<String> {
    let settings: toml::Table = text.parse().ok()?;
    let sources = settings.get("source")?.as_table()?;
    let mut name = "crates-io";
    // A replacement may itself be replaced.
    for _ in 0..5 {
        let source = sources.get(name)?.as_table()?;
        match source.get("replace-with").and_then(toml::Value::as_str) {
            Some(next) => name = next,
            None => return source.get("registry").and_then(toml::Value::as_str).map(str::to_owned),
        }
    }
    None
}

/// Opens a connection, through the environment's proxy if it applies.
pub(crate) fn connect(place: &Place, limit: Duration) -> Result<(), String> {
    let through = proxy(place, &|name| std::env::var(name).ok());
    let (host, port) = through.as_ref().map_or((place.host.as_str(), place.port), |it| (it.host.as_str(), it.port));
    let by = if through.is_some() { format!(" (proxy {host}:{port})") } else { String::new() };
    let addresses = (host, port).to_socket_addrs().map_err(|_| format!("the name {host} is not known{by}"))?;
    let mut last = format!("the name {host} has no address{by}");
    for address in addresses.take(2) {
        match TcpStream::connect_timeout(&address, limit / 2) {
            Ok(_) => return Ok(()),
            Err(error) => last = format!("{error}{by}"),
        }
    }
    Err(last)
}

fn proxy(place: &Place, variable: &dyn Fn(&str) -> Option<String>) -> Option<Place> {
    let get = |name: &str| variable(name).or_else(|| variable(&name.to_uppercase())).filter(|it| !it.is_empty());
    let direct = get("no_proxy").unwrap_or_default();
    let is_direct = direct
        .split(',')
        .map(|it| it.trim().trim_start_matches('.'))
        .any(|it| it == "*" || (!it.is_empty() && (place.host == it || place.host.ends_with(&format!(".{it}")))));
    if is_direct {
        return None;
    }
    let set = get(if place.port == 80 { "http_proxy" } else { "https_proxy" }).or_else(|| get("all_proxy"))?;
    Place::of(place.name, &set).or_else(|| Place::of(place.name, &format!("http://{set}")))
}

/// The difference between this machine's clock and the host's in seconds, from the `Date` header of its response over plain HTTP.
pub(crate) fn clock(place: &Place, limit: Duration) -> Option<i64> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(limit)).max_redirects(0).http_status_as_error(false).build().into();
    let answer = agent.head(format!("http://{}/", place.host)).call().ok()?;
    let date = httpdate::parse_http_date(answer.headers().get("date")?.to_str().ok()?).ok()?;
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok().and_then(|it| i64::try_from(it.as_secs()).ok());
    Some(seconds(SystemTime::now())? - seconds(date)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Option<(String, u16)> {
        Place::of("x", url).map(|it| (it.host, it.port))
    }

    #[test]
    fn a_place_is_host_and_port_without_credentials() {
        for (url, host, port) in [
            ("https://user:p%40ss@pypi.example.com/simple", "pypi.example.com", 443),
            ("http://10.0.0.5:5000", "10.0.0.5", 5000),
            ("sparse+https://index.crates.io/", "index.crates.io", 443),
            ("http://[::1]:3128", "::1", 3128),
            ("http://[::1]/x", "::1", 80),
        ] {
            assert_eq!(place(url), Some((host.to_owned(), port)), "{url}");
        }
        for url in ["direct", "off", "", "https://", "http://h:port/"] {
            assert_eq!(place(url), None, "{url}");
        }
    }

    #[test]
    fn pip_and_cargo_say_where_they_load_from() {
        assert_eq!(index_url("[global]\ncert = x\nindex-url = https://m/simple\n").as_deref(), Some("https://m/simple"));
        assert_eq!(index_url("[global]\nextra-index-url = https://m/simple\n"), None);
        let text =
            "[source.crates-io]\nreplace-with = \"a\"\n[source.a]\nreplace-with = \"b\"\n[source.b]\nregistry = \"sparse+https://m/\"\n";
        assert_eq!(cargo_registry(text).as_deref(), Some("sparse+https://m/"));
        assert_eq!(cargo_registry("[source.crates-io]\nreplace-with = \"crates-io\"\n"), None);
        assert_eq!(cargo_registry(""), None);
    }

    #[test]
    fn mirrors_stand_in_for_registries_and_packages_need_none() {
        let config = Config::parse("[images.mirrors]\n\"docker.io\" = \"http://10.0.0.5:5000\"\n").unwrap();
        let hosts: Vec<String> = registries(&config).into_iter().map(|it| format!("{}:{}", it.host, it.port)).collect();
        assert_eq!(hosts, ["10.0.0.5:5000", "ghcr.io:443"]);
        assert_eq!(registries(&Config::parse("[images]\nsource = \"packages\"\n").unwrap()), []);
    }

    #[test]
    fn a_proxy_is_used_unless_the_host_is_excepted() {
        let of = |host: &str, direct: &str| {
            let variable = |name: &str| match name {
                "https_proxy" => Some("http://proxy:3128".to_owned()),
                "NO_PROXY" => Some(direct.to_owned()),
                _ => None,
            };
            proxy(&Place { name: "x", host: host.to_owned(), port: 443 }, &variable).map(|it| it.port)
        };
        assert_eq!(of("pypi.org", "localhost,.example.com"), Some(3128));
        assert_eq!(of("pypi.example.com", "localhost,.example.com"), None);
        assert_eq!(of("notexample.com", ".example.com"), Some(3128));
        assert_eq!(of("pypi.org", "*"), None);
    }

    #[test]
    fn a_port_that_nobody_listens_on_is_told_in_words() {
        // Nothing listens there without the rights of root; a port that was free a moment ago may be another program's.
        let place = Place { name: "x", host: "127.0.0.1".to_owned(), port: 1 };
        assert!(connect(&place, Duration::from_secs(2)).unwrap_err().contains("refused"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = Place { port: listener.local_addr().unwrap().port(), ..place };
        assert_eq!(connect(&open, Duration::from_secs(2)), Ok(()));
    }
}
