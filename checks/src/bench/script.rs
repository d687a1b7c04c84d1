//! The plain script: kind, docker and kubectl, step by step.
//!
//! It uses the same node image, the same application image (already built), operator and database images in the engine, and the same
//! manifests. In the operator's release manifest only the image's name is changed.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use pocdeploy::{
    deploy::manifests,
    env::Env,
    errors::Problem,
    images::{self, Role, packages},
    port,
    provider::kind,
    record,
    setup::Need,
    tasks::desired,
    tool::BUILD_LIMIT,
};
use serde_json::{Value, json};
use xshell::cmd;

use crate::bench::{
    TASK,
    fixture::{Fixture, check_page, copy},
};

/// The programs that the script needs in addition to the tool's.
pub(super) const NEEDS: [Need; 1] = [Need { program: "docker", package: "docker.io" }];

pub(super) struct Script<'a> {
    env: &'a Env,
    fixture: &'a Fixture<'a>,
    /// The environment of a cluster with this name.
    inside: Env,
    kind: PathBuf,
    kubectl: PathBuf,
    folder: PathBuf,
    // Names of its own, so that the script loads what others would have to load.
    app: String,
    operator: String,
    postgresql: String,
}

impl<'a> Script<'a> {
    /// Creates the images that the script expects in the engine.
    pub(super) fn new(env: &'a Env, fixture: &'a Fixture<'a>) -> Result<Script<'a>> {
        let versions = packages::versions(env)?;
        let (app, operator) = (fixture.image("polls:1"), fixture.image("cloudnative-pg:1"));
        let postgresql = fixture.image(&format!("postgresql:{}", versions.postgresql));
        packages::inside_as_image(env, Role::Operator, &operator)?;
        packages::inside_as_image(env, Role::Postgresql, &postgresql)?;
        let kubectl =
            packages::kubectl(env).ok_or_else(|| Problem::requirement("the plain script needs kubectl as the node image has it"))?;
        let folder = env.work("bench/script");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let script = Script {
            env,
            fixture,
            inside: fixture.surroundings()?,
            kind: images::kind_binary(env, TASK)?,
            kubectl,
            folder,
            app,
            operator,
            postgresql,
        };
        // The leftover of an interrupted run.
        script.delete()?;
        Ok(script)
    }

    /// Runs all steps; returns the total time and that of each step.
    pub(super) fn run(&self) -> Result<(Duration, Vec<(&'static str, Duration)>)> {
        // On a network with our labels, `ls` and `delete` find the leftovers of an interrupted run. kind would create a network, too.
        kind::ensure_network(&self.inside, self.env.engine()?)?;
        let choice = port::choose(self.env.config.cluster.port, self.env.engine()?, &[])?;
        let config = self.folder.join("kind.json");
        record::write_file(&config, kind::configuration(&self.inside, choice.port, false)?.as_bytes())?;
        let context = self.context()?;
        let began = Instant::now();
        let mut steps = Vec::new();
        let mut step = |name: &'static str, work: &dyn Fn() -> Result<()>| -> Result<()> {
            self.fixture.say(&format!("the script: {name}"));
            let began = Instant::now();
            work().with_context(|| format!("the script: {name}"))?;
            steps.push((name, began.elapsed()));
            Ok(())
        };
        let (name, kubeconfig) = (&self.fixture.instance, self.folder.join("kubeconfig"));
        let image = images::reference(self.env, TASK, Role::Node)?;
        step("kind create cluster", &|| {
            self.call(
                "kind",
                &[
                    "create",
                    "cluster",
                    "--name",
                    name,
                    "--image",
                    &image,
                    "--config",
                    &text(&config),
                    "--kubeconfig",
                    &text(&kubeconfig),
                    "--wait",
                    "180s",
                ],
            )
        })?;
        step("docker build", &|| {
            self.call("docker", &["build", "--quiet", "--tag", &self.app, "--build-arg", &self.base()?, &text(&context)])
        })?;
        step("kind load docker-image", &|| {
            self.call("kind", &["load", "docker-image", "--name", name, &self.app, &self.operator, &self.postgresql])
        })?;
        let files = self.manifests()?;
        step("kubectl apply of the operator", &|| self.kubectl(&["apply", "--server-side", "-f", &text(&files.operator)]))?;
        step("kubectl rollout status of the operator", &|| {
            self.kubectl(&["-n", "cnpg-system", "rollout", "status", "deployment/cnpg-controller-manager", "--timeout=240s"])
        })?;
        step("kubectl apply and wait of the database", &|| {
            self.kubectl(&["apply", "-f", &text(&files.database)])?;
            self.kubectl(&[
                "-n",
                &self.env.config.namespace,
                "wait",
                "--for=condition=Ready",
                "clusters.postgresql.cnpg.io",
                "--all",
                "--timeout=300s",
            ])
        })?;
        step("kubectl apply and rollout status of the application", &|| {
            self.kubectl(&["apply", "-f", &text(&files.app)])?;
            let namespace = &self.env.config.namespace;
            self.kubectl(&["-n", namespace, "wait", "--for=condition=Complete", "jobs", "--all", "--timeout=240s"])?;
            self.kubectl(&["-n", namespace, "rollout", "status", "deployment", "--timeout=240s"])
        })?;
        step("curl", &|| self.curl(&format!("http://localhost:{}{}", choice.port, self.env.config.frontend.page)))?;
        Ok((began.elapsed(), steps))
    }

    pub(super) fn delete(&self) -> Result<Duration> {
        let began = Instant::now();
        self.call(
            "kind",
            &["delete", "cluster", "--name", &self.fixture.instance, "--kubeconfig", &text(&self.folder.join("kubeconfig"))],
        )?;
        Ok(began.elapsed())
    }

    /// `kind load docker-image` for one image and a cluster of the bench.
    pub(super) fn load(&self, image: &str) -> Result<Duration> {
        let began = Instant::now();
        self.call("kind", &["load", "docker-image", "--name", &self.fixture.instance, image])?;
        Ok(began.elapsed())
    }

    fn call(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let sh = self.env.tools.shell(&self.env.project)?;
        let program = if program == "kind" { self.kind.clone() } else { PathBuf::from(program) };
        let command = cmd!(sh, "{program} {arguments...}")
            .env("DOCKER_HOST", &self.env.engine()?.host)
            .env("KIND_EXPERIMENTAL_PROVIDER", "docker")
            .env("KIND_EXPERIMENTAL_DOCKER_NETWORK", kind::network(&self.inside))
            // Without its plugin, docker would refuse to build.
            .env("DOCKER_BUILDKIT", "0");
        self.env.tools.run_watched(TASK, command, BUILD_LIMIT, |_| ())
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<()> {
        let sh = self.env.tools.shell(&self.env.project)?;
        let (kubectl, kubeconfig) = (&self.kubectl, self.folder.join("kubeconfig"));
        self.env.tools.run(TASK, cmd!(sh, "{kubectl} --kubeconfig {kubeconfig} {arguments...}"))
    }

    fn base(&self) -> Result<String> {
        Ok(format!("BASE_IMAGE={}", images::reference(self.env, TASK, Role::Python)?))
    }

    /// A folder for `docker build`: the patched application, its wheels, and the Dockerfile.
    fn context(&self) -> Result<PathBuf> {
        let context = self.folder.join("context");
        copy(&self.env.scope(pocdeploy::graph::TaskId::Image).stage(), &context)?;
        copy(&self.env.scope(pocdeploy::graph::TaskId::Image).wheels(), &context.join("wheels"))?;
        let dockerfile = self.env.files.file(&self.env.config.frontend.dockerfile)?;
        fs::copy(&dockerfile, context.join("Dockerfile")).context("copy the Dockerfile")?;
        Ok(context)
    }

    fn manifests(&self) -> Result<Files> {
        let release = images::operator_manifest(self.env, TASK)?;
        let mut operator = manifests::parse(&release)?;
        for object in operator.iter_mut().filter(|it| it["kind"] == "Deployment") {
            let container = &mut object["spec"]["template"]["spec"]["containers"][0];
            container["image"] = json!(self.operator);
            container["imagePullPolicy"] = json!("IfNotPresent");
            container["env"][0]["value"] = json!(self.operator);
        }
        let (database, app) = desired::plain(&self.inside, &self.app, &self.postgresql)?;
        Ok(Files {
            operator: self.write("operator", &operator)?,
            database: self.write("database", &database)?,
            app: self.write("app", &app)?,
        })
    }

    fn write(&self, name: &str, objects: &[Value]) -> Result<PathBuf> {
        let path = self.folder.join(format!("{name}.json"));
        record::write_json(&path, &json!({ "apiVersion": "v1", "kind": "List", "items": objects }))?;
        Ok(path)
    }

    /// Waits until the page shows a row of the database.
    fn curl(&self, url: &str) -> Result<()> {
        let began = Instant::now();
        while let Err(error) = check_page(url) {
            if began.elapsed() > Duration::from_secs(60) {
                return Err(error);
            }
            self.env.interrupt.sleep(Duration::from_millis(100))?;
        }
        Ok(())
    }
}

struct Files {
    operator: PathBuf,
    database: PathBuf,
    app: PathBuf,
}

fn text(path: &std::path::Path) -> String {
    path.display().to_string()
}
