//! AWS's APIs on this machine: MiniStack and the real AWS CLI, both from PyPI.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::programs;

/// The AWS CLI and MiniStack, with their releases.
const CLI: (&str, &str) = ("awscli", "1.46.3");
const EMULATOR: (&str, &str) = ("ministack", "1.5.33");

/// An account. Dropping the value ends it.
pub(crate) struct Emulator {
    child: Child,
    pub(crate) port: u16,
    pub(crate) aws: PathBuf,
    /// Name and secret of the user's access key.
    pub(crate) key: (String, String),
    is_strict: bool,
    folder: tempfile::TempDir,
}

impl Emulator {
    /// Takes every login.
    pub(crate) fn start() -> Emulator {
        Emulator::with(false)
    }

    /// Verifies signatures and permissions.
    pub(crate) fn strict() -> Emulator {
        let mut emulator = Emulator::with(true);
        emulator.makes("iam create-user --user-name dev --query User.Arn");
        emulator.makes("iam attach-user-policy --user-name dev --policy-arn arn:aws:iam::aws:policy/AdministratorAccess");
        let key = emulator.makes("iam create-access-key --user-name dev --query AccessKey.[AccessKeyId,SecretAccessKey]");
        let (name, secret) = key.split_once(char::is_whitespace).unwrap();
        emulator.key = (name.to_owned(), secret.to_owned());
        emulator
    }

    fn with(is_strict: bool) -> Emulator {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let child = serve(port, folder.path(), is_strict);
        let key = ("test".to_owned(), "test".to_owned());
        Emulator { child, port, aws: programs::python_program(CLI.0, CLI.1, "aws"), key, is_strict, folder }
    }

    /// Makes a cluster, and returns the part of the address at which its API server asks who a token's owner is. It is told to the cluster
    /// alone, and is in the state that MiniStack writes at its end.
    pub(crate) fn cluster(&mut self, name: &str) -> String {
        let trust = r#"'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"eks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'"#;
        let role =
            self.makes(&format!("iam create-role --role-name {name}-cluster --assume-role-policy-document {trust} --query Role.Arn"));
        let networks = "--resources-vpc-config subnetIds=subnet-1,subnet-2";
        self.makes(&format!("eks create-cluster --name {name} --role-arn {role} {networks} --query cluster.name"));
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap();
        let state = fs::read_to_string(self.folder.path().join("state/eks.json")).unwrap();
        self.child = serve(self.port, self.folder.path(), self.is_strict);
        let secret = find(&serde_json::from_str(&state).unwrap(), "_auth_token").expect("the state has no secret of the cluster");
        format!("_ministack/eks-auth/000000000000/eu-central-1/{name}/{secret}")
    }

    /// Lets a command see this AWS.
    pub(crate) fn over<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let own: Vec<_> =
            command.get_envs().filter(|it| it.0 == "PATH").filter_map(|it| it.1).map(|it| it.to_string_lossy().into_owned()).collect();
        let path = own.first().cloned().unwrap_or_else(|| std::env::var("PATH").unwrap());
        let folder = self.aws.parent().unwrap_or(Path::new("/"));
        command.env("PATH", format!("{}:{path}", folder.display())).env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port));
        command.env("AWS_ACCESS_KEY_ID", &self.key.0).env("AWS_SECRET_ACCESS_KEY", &self.key.1).env("AWS_DEFAULT_REGION", "eu-central-1")
    }

    pub(crate) fn shell(&self, line: &str) -> Output {
        self.over(Command::new("sh").args(["-c", line])).output().unwrap()
    }

    /// The last word of the answer.
    #[track_caller]
    pub(crate) fn makes(&self, line: &str) -> String {
        let ran = self.shell(&format!("aws {line} --output text"));
        assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

fn serve(port: u16, folder: &Path, is_strict: bool) -> Child {
    let mut command = Command::new(programs::python(EMULATOR.0, EMULATOR.1));
    for name in ["DOCKER_HOST", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"] {
        command.env_remove(name);
    }
    if is_strict {
        command.env("AUTH", "true").env("PERSIST_STATE", "1").env("STATE_DIR", folder.join("state"));
    }
    command.current_dir(folder).env("GATEWAY_PORT", port.to_string()).env("MINISTACK_HOST", "127.0.0.1");
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "the emulator does not start");
        std::thread::sleep(Duration::from_millis(100));
    }
    child
}

/// The first text of this name anywhere in a value.
fn find(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::Object(fields) => {
            fields.get(name).and_then(Value::as_str).map(str::to_owned).or_else(|| fields.values().find_map(|it| find(it, name)))
        }
        Value::Array(items) => items.iter().find_map(|it| find(it, name)),
        _ => None,
    }
}
