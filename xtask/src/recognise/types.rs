//! What is known of an application, as data.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::recognise::{
    answers::{Open, Question},
    facts::Span,
    variables::Part,
};

/// What an application is built and run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    Python,
    Node,
    Go,
    Rust,
    /// Files that a web server hands out as they are.
    Site,
    /// A Dockerfile of the application's own says everything.
    Dockerfile,
}

/// A framework, or the plain interface that the application answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    Django,
    Flask,
    FastApi,
    Starlette,
    Wsgi,
    Asgi,
    Express,
    Fastify,
    Koa,
    Next,
    Nest,
    Node,
    /// Without a framework that is known: only a command says how it is started.
    Python,
    Go,
    Rust,
    Site,
    Dockerfile,
}

impl fmt::Display for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Framework::Django => "Django",
            Framework::Flask => "Flask",
            Framework::FastApi => "FastAPI",
            Framework::Starlette => "Starlette",
            Framework::Wsgi => "WSGI",
            Framework::Asgi => "ASGI",
            Framework::Express => "Express",
            Framework::Fastify => "Fastify",
            Framework::Koa => "Koa",
            Framework::Next => "Next.js",
            Framework::Nest => "NestJS",
            Framework::Node => "Node.js",
            Framework::Python => "Python",
            Framework::Go => "Go",
            Framework::Rust => "Rust",
            Framework::Site => "static files",
            Framework::Dockerfile => "Dockerfile",
        })
    }
}

/// A command, in the two forms that a Dockerfile's CMD has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments.
    Words(Vec<String>),
    /// A line for `sh -c`.
    Shell(String),
}

impl Command {
    pub(super) fn words(words: &[&str]) -> Command {
        Command::Words(words.iter().map(|it| (*it).to_owned()).collect())
    }

    /// A line that the user wrote for a shell: without a shell where it needs none.
    pub(super) fn line(line: &str) -> Command {
        let needs_shell = line.contains(['$', '|', '&', ';', '<', '>', '*', '`', '(', '"', '\'', '\\', '~', '#']);
        // A first word such as `A=1` sets a variable.
        let sets = line.split_whitespace().next().is_some_and(|it| it.contains('='));
        if needs_shell || sets {
            Command::Shell(line.trim().to_owned())
        } else {
            Command::Words(line.split_whitespace().map(str::to_owned).collect())
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Words(words) => f.write_str(&words.join(" ")),
            Command::Shell(line) => f.write_str(line),
        }
    }
}

/// Where the application gets its database from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Database {
    /// No sign of one.
    #[default]
    None,
    /// One variable with a URL, by its name.
    Url(String),
    /// libpq's own variables: PGHOST and the others.
    Libpq,
    /// Variables of the application's own: name and what it holds.
    Variables(BTreeMap<String, Part>),
    /// Nothing of the environment: the source says it. The file, the line, and what stands there.
    Fixed { file: String, line: usize, what: String },
}

/// The hosts that the application answers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// It does not look.
    #[default]
    Any,
    /// A variable with a list.
    Variable { name: String, separator: String },
    /// A list in the source, which lacks the deployment's host.
    Fixed { file: String, line: usize },
}

/// Static and uploaded files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Who serves static files in a deployment, if the framework needs a server for them.
    pub served_by: Option<String>,
    /// A step of the build collects them.
    pub is_collected: bool,
    /// The folder of uploads, relative to the application.
    pub media: Option<String>,
    /// Further folders whose content stays, by the volume's name.
    pub volumes: BTreeMap<String, String>,
    /// Services that are no process of the application and keep their data on a volume.
    pub kept: BTreeSet<String>,
}

/// A process beside the web server, or a service that the application needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    pub kind: ServiceKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// The application's own image with another command.
    Process(Command),
    /// A cache that speaks Redis' protocol, and the variables that name it.
    Cache(BTreeSet<String>),
    /// A program that catches mail.
    Mail,
}

/// The package manager, and the lock file where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packages {
    pub manager: String,
    pub lock: Option<String>,
}

/// How the packages of Node.js come into the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Install {
    /// A script of the application's own runs after the installation, and may need its source.
    pub with_source: bool,
    /// The package is what a build made, as it is published: its script `prepare` and what only development needs have no use.
    pub is_product: bool,
    /// What only development needs is removed after the build.
    pub is_pruned: bool,
}

/// One thing that was looked at and said something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Relative to the application's folder.
    pub file: String,
    /// From 1; 0 where the file itself is the signal.
    pub line: usize,
    pub says: String,
    pub follows: String,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.line == 0 { self.file.clone() } else { format!("{}:{}", self.file, self.line) };
        write!(f, "{place}: {} → {}", self.says, self.follows)
    }
}

/// What could not be found, and the lines that would say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub what: String,
    /// Lines of Pocdeploy.toml or a file to write; two or three.
    pub lines: String,
    /// The question that an answer, or another file, would close.
    pub question: Option<Question>,
}

/// A change of the source that the deployment needs, made as a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A settings module of Django that imports the application's own.
    DjangoSettings(DjangoSettings),
    /// A constant becomes what a variable says, with the constant as its default.
    FromVariable { file: String, span: Span, variable: String, is_imported: bool, import_after: usize },
    /// Alembic's env.py sets the address from a variable.
    Alembic { file: String, after: usize, variable: String, is_imported: bool, import_after: usize },
    /// Requirements that the deployment needs and the application does not name: lines behind those of its requirements.txt, or such a
    /// file where it has none.
    Requirements { file: String, text: String },
    /// The metadata that an installation of the application would leave, for code that asks for its own version.
    Metadata { file: String, text: String },
}

/// What a settings module of the deployment sets over that of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DjangoSettings {
    /// The application's module.
    pub base: String,
    /// The new one, and its file.
    pub module: String,
    pub file: String,
    pub database: bool,
    /// The database's engine is that of GeoDjango.
    pub postgis: bool,
    pub hosts: bool,
    pub secret_key: bool,
    pub debug: bool,
    /// WhiteNoise is put into MIDDLEWARE.
    pub whitenoise: bool,
    pub static_root: bool,
    pub media: Option<String>,
}

impl DjangoSettings {
    /// Whether the application's module itself gets the lines, since Pocdeploy.toml names it.
    pub fn is_in_place(&self) -> bool {
        self.module == self.base
    }
}

/// Everything that is known of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    pub stack: Stack,
    pub framework: Framework,
    /// As a lock file or a pin says it.
    pub version: Option<String>,
    /// The language's version as the application asks for it.
    pub language: Option<String>,
    pub packages: Option<Packages>,
    pub install: Install,
    /// The program that answers requests. Not there: `missing` says why.
    pub start: Option<Command>,
    /// The user said the start command: a later build has to read it in Pocdeploy.toml.
    pub is_start_said: bool,
    /// The name of the compiled program in the image.
    pub program: Option<String>,
    /// Where it listens.
    pub port: u16,
    /// A path that answers 200 without a login, for probes.
    pub health: Option<String>,
    /// The page to look at, where `/` is none.
    pub page: Option<String>,
    pub migrate: Option<Command>,
    /// What runs after the migration and before pods are replaced.
    pub release: Option<Command>,
    /// Steps of the image build, in order, beside the installation of packages.
    pub build: Vec<Command>,
    pub files: Files,
    pub database: Database,
    /// The extensions of PostgreSQL that it asks for.
    pub extensions: BTreeSet<String>,
    /// It connects without TLS, and cannot do otherwise.
    pub without_tls: bool,
    pub hosts: Hosts,
    /// The variable with the secret key.
    pub secret_key: Option<String>,
    /// Variables with a value: `$(NAME)` stands for another variable of the pod, as in Kubernetes.
    pub env: BTreeMap<String, String>,
    /// Folders that the application writes, relative to it.
    pub writable: BTreeSet<String>,
    /// The number of pods, where it must not be the default.
    pub replicas: Option<u16>,
    pub services: Vec<Service>,
    /// Requirements of Python that a deployment needs and the application does not name.
    pub extra: BTreeSet<String>,
    /// Extras of pyproject.toml that the deployment needs.
    pub groups: Vec<String>,
    /// Requirements of Python that only a setup.py or setup.cfg states, in pip's words.
    pub stated: Vec<String>,
    pub changes: Vec<Change>,
    /// What the stack needs to know of its own: Go's package, Next's standalone folder.
    pub target: Option<String>,
    pub signals: Vec<Signal>,
    /// What was chosen among several, or without a sign.
    pub assumed: Vec<String>,
    pub missing: Vec<Missing>,
    /// What only the user knows for sure; the defaults hold until then.
    pub open: Vec<Open>,
}
