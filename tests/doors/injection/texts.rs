//! The texts, the settings, and which setting takes which text.

use pocdeploy::config::Config;

/// Each means something to one of the languages that files, requests and commands are written in.
pub(super) const TEXTS: &[&str] = &[
    // YAML
    "a: b",
    "- a",
    "a # b",
    "a\n---\nkind: Secret",
    "a\n...\n",
    "a\n  b: c\n",
    "&a [*a]",
    "!!binary YQ==",
    "{a: [b]}",
    "yes",
    "0123",
    "1e3",
    "~",
    "|",
    "%YAML 1.1",
    " a ",
    "\ta",
    "a\r\nb",
    "\u{feff}a\u{2028}b\u{85}c",
    // SQL
    "'; DROP TABLE polls; --",
    "\"; DROP ROLE polls; --",
    "a'' \\",
    // A shell
    "$(touch INJECTED)",
    "`touch INJECTED`",
    "; touch INJECTED",
    "'; touch INJECTED; '",
    "\"; touch INJECTED; \"",
    "a && touch INJECTED",
    "a\ntouch INJECTED",
    "\\\ntouch INJECTED",
    "$HOME",
    "*",
    "~/a",
    "a\\",
    "--help",
    "%s%n",
    // HCL
    "${file(\"/etc/passwd\")}",
    "%{ if true }a%{ endif }",
    "\"\n}\nresource \"a\" \"b\" {",
    // A Dockerfile
    "a\nRUN touch INJECTED",
    "# syntax=a",
    // Templates of Go and Helm
    "{{ .Values.host }}",
    "a {{- end -}} b",
    "{{ \"{{\" }}",
    "{{/* a",
    "}}",
    "helmvalue.0.end",
    "a\nhelmvalueline.0.end: 0",
    "a\nhelmvalueline.99.end: 0",
    // Compose and its environment files
    "$$",
    "$$$A",
    "${A:-b}",
    "${A?b}",
    "a:b",
    "a:ro,b=c",
    // TOML
    "a\"\n[database]\nname = \"b",
    "\"\"\"",
    "'''",
    // JSON, HTML, a table of Markdown, a terminal
    "\", \"a\": \"",
    "<script>a</script>",
    "| a | b |\n| --- | --- |",
    "\u{1b}[31ma\u{7}",
    "a\0b",
];

/// A setting and what is known of it: `§` is the text as a string of TOML, which begins with `prefix`.
pub(super) struct Setting {
    /// The key that a refusal names.
    pub(super) key: &'static str,
    pub(super) toml: &'static str,
    pub(super) prefix: &'static str,
    /// Whether it may take more than a name.
    pub(super) is_free: bool,
}

const fn name(key: &'static str, toml: &'static str) -> Setting {
    Setting { key, toml, prefix: "", is_free: false }
}

const fn free(key: &'static str, toml: &'static str, prefix: &'static str) -> Setting {
    Setting { key, toml, prefix, is_free: true }
}

const CLOUD: &str = "[cluster]\ntype = \"eks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\n";

pub(super) const SETTINGS: &[Setting] = &[
    name("name", "name = §"),
    name("namespace", "namespace = §"),
    name("frontend.image", "[frontend]\nimage = §"),
    name("frontend.version", "[frontend]\nversion = §"),
    name("frontend.host", "[frontend]\nhost = §"),
    name("frontend.memory", "[frontend]\nmemory = §"),
    name("frontend.groups", "[frontend]\ngroups = [§]"),
    name("frontend.packages", "[frontend.packages]\na = §"),
    name("frontend.env", "[frontend.env]\n§ = \"a\""),
    name("frontend.secrets", "[frontend.secrets]\n§ = { generate = 48 }"),
    name("frontend.volumes", "[frontend.volumes.§]\npath = \"/a\""),
    name("frontend.volumes", "[frontend.volumes.a]\npath = \"/a\"\nsize = §"),
    name("services.", "[services.§]\nuses = \"frontend\""),
    name("services.a.uses", "[services.a]\nuses = §"),
    name("services.a.kind", "[services.a]\nkind = §"),
    name("services.a.route", "[services.a]\nuses = \"frontend\"\nroute = §"),
    name("services.a.image", "[services.a]\nimage = §"),
    name("services.a.host", "[services.a]\nhost = §"),
    name("cluster.type", "[cluster]\ntype = §"),
    name("cluster.registry", "[cluster]\ntype = \"existing\"\ncontext = \"c\"\nregistry = §"),
    name("cluster.pull_registry", "[cluster]\ntype = \"existing\"\ncontext = \"c\"\nregistry = \"r\"\npull_registry = §"),
    name("cluster.expose", "[cluster]\ntype = \"existing\"\nexpose = §"),
    name("cluster.region", "CLOUDregion = §"),
    name("cluster.account", "CLOUDaccount = §"),
    name("cluster.allowed_cidrs", "[cluster]\ntype = \"eks\"\nallowed_cidrs = [§]"),
    name("ingress.controller", "[ingress]\ncontroller = §"),
    name("ingress.api", "[ingress]\napi = §"),
    name("ingress.tls", "[ingress]\ntls = §"),
    name("ingress.class", "CLOUDexpose = \"ingress\"\n[frontend]\nhost = \"a.example.com\"\n[ingress]\nclass = §"),
    name("ingress.gateway", "CLOUDexpose = \"ingress\"\n[frontend]\nhost = \"a.example.com\"\n[ingress]\napi = \"gateway\"\ngateway = §"),
    name(
        "ingress.issuer",
        "CLOUDexpose = \"ingress\"\n[frontend]\nhost = \"a.example.com\"\n[ingress]\ntls = \"cert-manager\"\nclass = \"a\"\nissuer = §",
    ),
    name(
        "ingress.certificate",
        "CLOUDexpose = \"ingress\"\n[frontend]\nhost = \"a.example.com\"\n[ingress]\ntls = \"external\"\ncertificate = §",
    ),
    name("database.name", "[database]\nname = §"),
    name("database.user", "[database]\nuser = §"),
    name("database.profile", "[database]\nprofile = §"),
    name("database.extensions", "[database]\nextensions = [§]"),
    name("database.extensions", "[database]\nextensions = [§]\n[images]\npostgresql = \"a:17\""),
    name("database.storage", "[database]\nstorage = §"),
    name("images.source", "[images]\nsource = §"),
    name("images.python", "[images]\npython = §"),
    name("images.node", "[images]\nnode = §"),
    name("images.operator", "[images]\noperator = §"),
    name("images.postgresql", "[images]\npostgresql = §"),
    name("images.valkey", "[images]\nvalkey = §"),
    name("images.mailpit", "[images]\nmailpit = §"),
    name("images.traefik", "[images]\ntraefik = §"),
    name("images.mirrors", "[images.mirrors]\n§ = \"http://a\""),
    name("images.mirrors", "[images.mirrors]\n\"docker.io\" = §"),
    name("images.mirrors", "[images.mirrors]\n\"docker.io\" = HTTP§"),
    free("cluster.backend", "CLOUD[cluster.backend]\ntype = \"s3\"\nbucket = §", ""),
    free("frontend.env", "[frontend.env]\nA = §", ""),
    free("frontend.command", "[frontend]\ncommand = [§]", ""),
    free("frontend.migrate", "[frontend]\nmigrate = [\"a\", §]", ""),
    free("frontend.page", "[frontend]\npage = §", "/"),
    free("frontend.text", "[frontend]\ntext = §", ""),
    free("frontend.health", "[frontend]\nhealth = §", "/"),
    free("frontend.writable", "[frontend]\nwritable = [§]", "/"),
    free("frontend.volumes", "[frontend.volumes.a]\npath = §", "/"),
    free("frontend.path", "[frontend]\npath = §", "a"),
    free("frontend.patch_dir", "[frontend]\npatch_dir = §", "a"),
    free("frontend.dockerfile", "[frontend]\ndockerfile = §", "a"),
    free("frontend.requirements", "[frontend]\nrequirements = §", "a"),
    free("frontend.secret_key", "[frontend]\nsecret_key = §", "0123456789012345678901234567890123456789012345678"),
    free("frontend.secrets", "[frontend.secrets]\nA = { env = § }", ""),
    free("frontend.secrets", "[frontend.secrets]\nA = { file = § }", ""),
    free("frontend.secrets", "[frontend.secrets]\nA = { sops = \"a.yaml\", key = § }", ""),
    free("services.a.schedule", "[services.a]\nuses = \"frontend\"\nschedule = §", "@"),
    free("database.password", "[database]\npassword = §", ""),
    free("database.backup.to", "[database.backup]\nto = §", ""),
    free("cluster.context", "[cluster]\ntype = \"existing\"\nregistry = \"r\"\ncontext = §", ""),
    free("cluster.kubeconfig", "[cluster]\ntype = \"existing\"\nregistry = \"r\"\ncontext = \"c\"\nkubeconfig = §", ""),
];

/// The text as a string of TOML: JSON escapes in the same way, but for one character.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

impl Setting {
    /// The file with this text.
    pub(super) fn file(&self, text: &str) -> String {
        let url = quoted(&format!("http://{text}"));
        let toml = self.toml.replace("CLOUD", CLOUD).replace("HTTP§", &url);
        toml.replace('§', &quoted(&format!("{}{text}", self.prefix)))
    }

    /// Whether the text is taken; if not, what is said.
    pub(super) fn refusal(&self, text: &str) -> Option<String> {
        Config::parse(&self.file(text)).err().map(|it| it.to_string())
    }

    /// The numbers of the texts that it takes.
    pub(super) fn taken(key: &str, toml: &str) -> Vec<usize> {
        let setting = SETTINGS.iter().find(|it| it.key == key && it.toml.contains(toml)).unwrap();
        (0..TEXTS.len()).filter(|it| setting.refusal(TEXTS[*it]).is_none()).collect()
    }
}
