//! The table of all error codes: what each means, its usual causes, what to do.
//!
//! A code never changes its meaning, and a removed code is never reused. Its first digits name the group that can fix the error.

use std::fmt;

/// Where an error can be fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// In the tool, or nowhere (an interrupted run): `E00xx`.
    Tool,
    /// On this machine: its engine, disk, network, installed programs: `E01xx`.
    Machine,
    /// In the project: its configuration, patches, manifests: `E02xx`.
    Project,
    /// In the cluster: `E03xx`.
    Cluster,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Tool => "the tool",
            Group::Machine => "this machine",
            Group::Project => "the project",
            Group::Cluster => "the cluster",
        })
    }
}

/// The text of `explain CODE`.
#[derive(Debug)]
pub struct Entry {
    /// `E0101`.
    pub number: &'static str,
    /// One phrase.
    pub means: &'static str,
    pub causes: &'static [&'static str],
    /// Commands and changes that help, most likely first.
    pub steps: &'static [&'static str],
}

macro_rules! codes {
    ($($name:ident $number:literal $means:literal causes [$($cause:literal)*] steps [$($step:literal)*])*) => {
        /// The kind of an error. Stable; `cargo xtask explain CODE` explains it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $means] $name),*
        }

        impl Code {
            /// All codes, by number.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The variant's name in the source.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => stringify!($name)),* }
            }

            pub fn entry(self) -> &'static Entry {
                match self {
                    $(Code::$name => &Entry { number: $number, means: $means, causes: &[$($cause),*], steps: &[$($step),*] }),*
                }
            }
        }
    };
}

codes! {
    Unexpected "E0001" "an error without a code of its own"
        causes ["the file system or a program gave an answer that the tool does not know" "a bug in the tool"]
        steps ["read the causes below the error line, from top to bottom" "run the same command again with -v"]
    Interrupted "E0002" "Ctrl-C or SIGTERM stopped the run"
        causes ["you, or the program that started the run, stopped it"]
        steps ["run the same command again: finished tasks are not repeated"]
    RunTimedOut "E0003" "the whole run took longer than --timeout allows"
        causes ["a first run needs more time than the limit" "the run waits for something that never happens: the error names it"]
        steps ["run the same command again: finished tasks are not repeated" "give a longer --timeout"]
    Usage "E0004" "the command does not accept this combination of flags and arguments"
        causes ["a flag that the command does not support" "two flags that exclude each other"]
        steps ["cargo xtask help COMMAND"]
    NoProduct "E0005" "a task ended without an error, but its product is missing"
        causes ["another program removed or changed the product meanwhile" "a bug in the tool"]
        steps ["run the same command again" "cargo xtask explain TASK"]

    NoEngine "E0101" "no container engine answers"
        causes ["Docker is not running" "DOCKER_HOST names an engine that no longer exists" "your user has no access to the engine's socket"
            "the tool can start its own engine on Linux as root only"]
        steps ["cargo xtask doctor" "start Docker, or unset DOCKER_HOST" "add yourself to the group `docker` and log in again"]
    EngineFailed "E0102" "the container engine answered with an error, or stopped answering"
        causes ["the engine was stopped during the run" "the engine's disk is full" "the host is out of memory and kills processes"]
        steps ["cargo xtask doctor" "docker info" "read the engine's log"]
    EngineNotStarted "E0103" "the tool's own engine did not start"
        causes ["the host grants too few capabilities, or allows no mounts" "too little memory or disk" "another daemon uses the same folder"]
        steps ["read the log that the error names" "cargo xtask doctor" "start an engine yourself and set DOCKER_HOST"]
    Missing "E0104" "a required program is missing on this machine, or too old"
        causes ["the program is not installed, or not on PATH" "its version is too old"]
        steps ["install what the error names" "cargo xtask doctor"]
    NoConsent "E0105" "the tool installs, starts and removes nothing without consent"
        causes ["there is no terminal to ask on, for example in CI" "the answer was no"]
        steps ["run the same command with --yes"]
    PortTaken "E0106" "another program uses a port that the tool needs"
        causes ["a program or container listens on the port"]
        steps ["end the program that the error names" "remove `cluster.port` from Pocdeploy.toml: the tool then takes the next free port"]
    CommandFailed "E0107" "a program that the tool ran failed"
        causes ["a registry or package mirror is not reachable" "the disk is full" "see the program's last lines below the error line"]
        steps ["read the log that the error names" "run the command line by hand" "cargo xtask doctor"]
    CommandHung "E0108" "a program that the tool ran did not end in time; the tool stopped it"
        causes ["a mirror or proxy does not answer" "the machine is overloaded"]
        steps ["run the same command again" "cargo xtask doctor"]
    Locked "E0109" "another command of this instance is still running"
        causes ["a command in another terminal" "that command waits for something"]
        steps ["wait for the process that the error names, or end it" "use a second, independent instance: --name NAME"]
    DiskFull "E0110" "the disk is full"
        causes ["images, packages and the engine's data need about 15 GB"]
        steps ["df -h" "docker system df" "set POCDEPLOY_CACHE_DIR to a folder on a larger disk" "cargo xtask delete --purge"]
    WatchersUsedUp "E0111" "the kernel has too few inotify instances left for another cluster"
        causes ["other clusters on this machine use them" "the default limit of 128 is enough for four clusters"]
        steps ["list the instances with cargo xtask ls, and delete those that you do not need" "sysctl -w fs.inotify.max_user_instances=1024"]
    NotOurs "E0112" "the tool would overwrite a file that it did not write"
        causes ["another program named pocdeploy" "shell completions written by hand"]
        steps ["look at the file that the error names, and move it away" "install elsewhere: cargo xtask install --root DIR"]
    Unfit "E0113" "this machine does not meet the requirements of a run"
        causes ["each failed line of `doctor` names one"]
        steps ["cargo xtask doctor" "follow the advice beside each failed line"]
    CloudLogin "E0114" "the cloud's program has no valid login, or one to another account"
        causes ["the login has expired" "nobody has logged in on this machine" "another account, subscription or project is selected"]
        steps ["log in with the command in the error" "with the type of the cluster: cargo xtask doctor --type eks"]
    CloudRefused "E0115" "the cloud's program gave an answer that the tool does not understand"
        causes ["a very old or very new version of the program" "an alias or wrapper of the same name on PATH"]
        steps ["run the command in the error by hand" "update the program"]
    NotAllowed "E0116" "the system refuses the tool access"
        causes ["the folder is mounted read-only" "the file or folder is another user's, for example after a run as root" "a socket, a port below 1024 or a program is another user's"]
        steps ["cargo xtask doctor" "ls -ld with the path in the error" "use the project as the user who owns it, or copy it to a folder of your own"]
    LimitReached "E0117" "a limit of the user or the system is used up: open files or processes"
        causes ["a low limit of the shell or the container" "other programs of this user have many open files or processes"]
        steps ["raise the limit in this shell, and run the same command again: ulimit -n 4096" "see all limits: ulimit -a" "cargo xtask doctor"]
    Download "E0118" "a download failed, or brought other bytes than the pinned ones"
        causes ["the registry, the mirror or the proxy does not answer, or sends a page of its own" "a certificate that this machine does not trust, or a clock that is wrong" "the file was changed on its way, or at the place that it comes from" "the server, or what is before it, brought fewer than 480 kB in four minutes, so that the tool stopped the download"]
        steps ["open the address in the error in a browser" "cargo xtask doctor" "run the same command again: what was downloaded stays, and nothing of a file with wrong bytes"]

    Config "E0201" "the configuration is not valid"
        causes ["Pocdeploy.toml has an unknown key, or a value of the wrong type or out of range" "an environment variable POCDEPLOY_… has such a value"]
        steps ["correct the line that the error points at" "cargo xtask config show --origin" "cargo xtask config schema"]
    NoProject "E0202" "no project was found"
        causes ["the command was run outside the project's folder" "--project or --config names a path that does not exist"]
        steps ["change into the folder that holds Pocdeploy.toml, or name it with --project"]
    SourceMissing "E0204" "a file or folder that the configuration names does not exist"
        causes ["the application's source was not fetched" "a wrong path in Pocdeploy.toml"]
        steps ["cargo xtask config show --origin" "fetch the source, or correct the path"]
    PatchMismatch "E0205" "a patch does not apply to the source"
        causes ["the source has changed in the lines that the patch changes" "an earlier patch changed these lines"]
        steps ["compare the lines of the patch with those of the source, which the error shows" "make the patch again with git format-patch" "cargo xtask patch"]
    PatchRefused "E0206" "a patch would change files outside the application, or changes nothing"
        causes ["a path with `..`, `.git` or a symbolic link" "an empty or truncated patch file"]
        steps ["correct the patch; nothing was changed"]
    Requirements "E0207" "the application's requirements could not be found or pinned"
        causes ["the source has no requirements file and no imports" "two packages need versions that exclude each other" "a package has no wheel for the image's Python" "the package of an import is only a guess"]
        steps ["add a requirements.txt to the application with a patch" "name the packages of imports under [frontend.packages]" "cargo xtask requirements --refresh"]
    ImageBuild "E0208" "the image build failed"
        causes ["a step of the Dockerfile failed: the last lines show which" "a RUN step needs a network, but the build has none"
            "a COPY names a file that does not exist, or that .dockerignore excludes"
            "the engine does not support an instruction of the Dockerfile" "a base image is private, or its registry does not answer"]
        steps ["read the log that the error names" "cargo xtask image -v" "for a private base image: docker login"]
    Manifest "E0209" "a manifest in deploy/ is not valid"
        causes ["the file is not valid YAML" "an object has no kind or no name" "a required object is missing"]
        steps ["correct the file that the error names"]
    Recipe "E0210" "a recipe in build/images is not valid"
        causes ["a recipe uses a name that no file defines" "a version was changed in one file but not in the others"]
        steps ["correct the file that the error names" "git diff build/images"]
    ChecksFailed "E0211" "some of the project's own checks failed"
        causes ["the error names each failed check; its output is above"]
        steps ["run the failed check alone"]
    PlanChanged "E0212" "the saved plan is out of date"
        causes ["a file, the configuration or the cluster has changed since `plan --out`"]
        steps ["cargo xtask plan --out FILE, then create --plan FILE"]
    PlanFile "E0213" "the file is not a plan, or not one that this version can apply"
        causes ["the file was not written by `plan --out`" "another version of the tool wrote it" "the file is truncated"]
        steps ["cargo xtask plan --out FILE"]
    NeedsOther "E0214" "--only or --from excludes a task whose product is missing"
        causes ["a task that was left out has work to do"]
        steps ["cargo xtask graph" "run the same command without that flag"]
    WouldOverwrite "E0215" "`eject` or `export` would overwrite changed files of the project"
        causes ["the files were written earlier and edited since"]
        steps ["name only the files that you want: eject PATH; or another folder: export --to DIR" "overwrite them with --force"]
    Kubeconfig "E0216" "the kubeconfig or its context is not valid"
        causes ["the kubeconfig has no context with the name in `cluster.context`" "kubectl reads another kubeconfig than the tool" "the kubeconfig names certificate files that do not exist"]
        steps ["kubectl config get-contexts" "set `cluster.kubeconfig` and `cluster.context` in Pocdeploy.toml"]
    Unrecognised "E0217" "the tool cannot tell what application the folder contains, or how to start it"
        causes ["the application is in another folder" "the tool does not know this kind of application" "several programs could answer requests, and no file says which one does"]
        steps ["cargo xtask init --explain" "write a Dockerfile: the tool reads its EXPOSE, USER and CMD" "write the lines of the hint into Pocdeploy.toml, and run the same command again"]
    SecretUnreadable "E0218" "the value of a secret in Pocdeploy.toml cannot be read"
        causes ["a variable of the environment is not set" "a file does not exist, is in git, or can be read by every user"
            "the key with which a file was encrypted is not yours, or sops and age do not find it" "a SOPS file has no such key"]
        steps ["correct what the error names under [….secrets]" "for SOPS with age: export SOPS_AGE_KEY_FILE=FILE" "run `sops decrypt FILE` by hand"]
    StagedChanged "E0219" "the staged application has changes made by hand"
        causes ["a person or a program changed files in target/pocdeploy/app, which the next run would overwrite"]
        steps ["make a patch of the changes: cargo xtask patch new" "discard them: cargo xtask patch --discard"]
    QueueOpen "E0220" "the folder of `patch edit` has work that is not in the patches"
        causes ["commits or changes in this folder were not written to the patches" "the source or the patches changed since `patch edit`"]
        steps ["write the work to the patches: cargo xtask patch refresh" "discard it: cargo xtask patch edit --discard"]
    QueueConflict "E0221" "a patch conflicts with the new source"
        causes ["the new source changes the same lines, or removes the file"]
        steps ["resolve the marked lines in the folder that the error names, and go on with --continue" "leave the patch out: --skip" "undo everything: --abort"]
    Upstream "E0222" "the upstream source cannot be fetched, or is not what UPSTREAM.md says"
        causes ["the version does not exist" "the package index or the repository does not answer" "the content has another hash than the one in UPSTREAM.md" "the folder was changed by hand"]
        steps ["cargo xtask upstream status" "correct the section of the folder in UPSTREAM.md"]

    NotReady "E0301" "a wait timed out"
        causes ["the machine is slow or overloaded" "see the last state in the error, after `last seen`"]
        steps ["run the same command again: it continues the wait" "cargo xtask support-bundle"]
    NeverReady "E0302" "an object in the cluster has failed, and more waiting will not help"
        causes ["the error names the probable cause, and the evidence below it"]
        steps ["run the command beside the probable cause" "then run the same command again"]
    NameTaken "E0303" "a container or network with the instance's name exists, and the tool did not create it"
        causes ["a kind cluster has the same name" "the project was copied, and its copy has the same `name`"]
        steps ["set another `name` in Pocdeploy.toml" "remove the other cluster yourself"]
    Api "E0304" "the Kubernetes API server refused a request, or does not answer"
        causes ["the cluster's node is stopped or restarting" "the API server or an admission webhook rejects an object"]
        steps ["see what answers: cargo xtask status" "if the node runs: cargo xtask logs node, cargo xtask shell node" "start a stopped node: cargo xtask resume"]
    NotFound "E0305" "the Kubernetes API server does not have the object, or not its kind"
        causes ["the object was deleted by hand" "the CRD of its kind is not installed yet"]
        steps ["cargo xtask create"]
    PodCommand "E0306" "a command inside a pod failed"
        causes ["the program in the pod failed: see its output in the error" "the pod was deleted meanwhile"]
        steps ["run the same command again"]
    Leftovers "E0307" "`delete` could not remove everything"
        causes ["the engine stopped answering" "another program still uses a container"]
        steps ["run it again, it continues: cargo xtask delete"]
    ClusterFailed "E0308" "the cluster could not be created, or does not work"
        causes ["kind failed: see its last lines" "the host has too little memory, too few inotify watches or capabilities"]
        steps ["read the node's logs, kubelet.log first, in the folder that the error names: target/pocdeploy/evidence"
            "look into the unfinished cluster: cargo xtask logs node, cargo xtask shell node, cargo xtask kubectl"
            "cargo xtask doctor" "create the cluster again, which keeps these logs: cargo xtask create" "pack all of it for another person: cargo xtask support-bundle"]
    NoInstance "E0309" "the instance does not run"
        causes ["the instance was not created yet, or was deleted" "it belongs to another checkout or --name: see cargo xtask ls"]
        steps ["cargo xtask create"]
    Unhealthy "E0310" "the deployment is not healthy, or differs from the configuration"
        causes ["an object was changed or deleted by hand" "pods crash or do not become ready" "the source changed since the last deployment"]
        steps ["cargo xtask validate" "apply the tool's objects again: cargo xtask create" "cargo xtask logs"]
    NotRestorable "E0311" "a snapshot of the database cannot be restored"
        causes ["a generated column, index or check calls a function that calls other functions without their schema" "existing rows violate a constraint" "an extension is not available any more"]
        steps ["fix what the error names: cargo xtask psql" "ALTER FUNCTION … SET search_path = public, pg_temp" "write the file without this check: cargo xtask db snapshot --no-verify"]
    OperatorUnfit "E0312" "the cluster's CloudNativePG operator cannot run this instance's database"
        causes ["the operator's release is too old" "the operator watches other namespaces only"]
        steps ["ask the cluster's administrator to update the operator, or to let it watch the application's namespace"]
    NoConnection "E0313" "the database server has no free connection"
        causes ["sessions that an application keeps open, or that were forgotten" "`max_connections` is low for what uses the server"]
        steps ["restart the application's pods: cargo xtask kubectl -- -n NAMESPACE rollout restart deployment" "raise `max_connections` under `postgresql.parameters` of the `Cluster`"]
    DatabaseFull "E0314" "the volume of the database has no room"
        causes ["a snapshot is proven, and restored, beside the database: that takes its size a second time, and the log of writing it" "on kind the volume is part of the engine's disk, which other files fill too"]
        steps ["df -h" "docker system df" "a larger `database.storage`" "cargo xtask db snapshot --no-verify needs no second copy"]

    CloudFailed "E0315" "OpenTofu or Terraform could not create, change or remove something in the cloud"
        causes ["a missing permission" "a quota or a limit of requests" "something of the same name exists" "a load balancer or disk still holds the network"]
        steps ["read what the cloud said in the error" "run the same command again: it goes on where it stopped" "with the type of the cluster: cargo xtask doctor --type eks"]
    WritesLost "E0316" "a drill found that the database lost what it had acknowledged"
        causes ["a replica without the last transactions became the primary: `database.profile = \"fast\"` allows that if there are replicas" "`synchronous_commit = off` for the server, a database or a role"]
        steps ["set `database.profile = \"durable\"`" "cargo xtask validate" "cargo xtask drill failover"]

    PodRefused "E0321" "the API server rejects the pods of a Deployment or Job"
        causes ["the pod violates the namespace's Pod Security standard" "a ResourceQuota is used up" "the ServiceAccount does not exist"]
        steps ["correct the manifest in deploy/ as the message says" "cargo xtask kubectl get events -n NAMESPACE"]
    ImageAbsent "E0322" "the node does not have the image and cannot pull it"
        causes ["the image was removed from the node" "the registry does not answer, or denies access" "the image's name has a typo"]
        steps ["load the image again: cargo xtask create" "cargo xtask config show --origin"]
    SettingAbsent "E0323" "a pod needs a Secret, a ConfigMap or a key that does not exist"
        causes ["it was deleted by hand" "the manifest has a wrong name or key"]
        steps ["cargo xtask kubectl get secrets,configmaps -n NAMESPACE" "apply missing objects: cargo xtask create"]
    NodePressure "E0324" "the node has too little disk, memory or process ids"
        causes ["the disk with the engine's data is nearly full" "other programs on this machine use much memory"]
        steps ["cargo xtask doctor" "df -h"]
    NoVolume "E0325" "a PVC cannot be bound, or its volume cannot be mounted"
        causes ["no StorageClass provisions the PVC" "the volume belongs to another node" "`database.storage` is larger than the free space"]
        steps ["cargo xtask kubectl get persistentvolumeclaims,storageclasses -A" "cargo xtask kubectl describe persistentvolumeclaims -n NAMESPACE"]
    NoRoom "E0326" "no node has enough free CPU or memory for the pod"
        causes ["the requests of all pods exceed the node's capacity" "`frontend.replicas` or `database.instances` is too large for this machine"]
        steps ["cargo xtask kubectl describe nodes" "lower the requests in deploy/, or the numbers in Pocdeploy.toml"]
    OutOfMemory "E0327" "a container used more memory than its limit allows"
        causes ["the limit is too low for the number of workers" "a memory leak"]
        steps ["raise resources.limits.memory in deploy/"]
    DatabaseRefused "E0328" "the database rejects the application's login"
        causes ["the password was changed in the Secret or in the database, but not in both" "the database or user has another name than in the configuration"]
        steps ["compare the Secret with Pocdeploy.toml" "cargo xtask config show --origin"]
    DatabaseAway "E0329" "the application cannot connect to the database"
        causes ["the database is starting or has failed" "a NetworkPolicy blocks the connection" "a wrong host name"]
        steps ["cargo xtask kubectl get clusters.postgresql.cnpg.io,pods -n NAMESPACE" "run the same command again once the database is ready"]
    MigrationFailed "E0330" "a migration ended with an exception"
        causes ["a mistake in a migration, or in the settings that it imports" "existing rows that violate the new schema"]
        steps ["read the exception in the error" "correct the migration with a patch, then run the same command again"]
    Crash "E0331" "a container crashes again and again"
        causes ["an exception at start: see its last lines in the error" "a missing setting or file" "a liveness probe that is too strict"]
        steps ["cargo xtask logs" "cargo xtask kubectl logs --previous POD -n NAMESPACE" "correct the source with a patch, or the manifest in deploy/"]
    ProbeFails "E0332" "a container runs but fails its probe"
        causes ["the application waits for something, most often the database" "the probe has a wrong path, port or host name"]
        steps ["cargo xtask logs app" "compare the probe in deploy/ with the application's port and paths"]
    NotStarted "E0333" "a container cannot be started"
        causes ["the command does not exist in the image, or is not executable" "the pod's securityContext forbids the image's user"]
        steps ["cargo xtask kubectl describe pods -n NAMESPACE" "correct command, image or securityContext in deploy/"]
    DatabaseSetting "E0334" "PostgreSQL rejects a setting, or cannot start with it"
        causes ["a wrong name, value or unit in spec.postgresql.parameters of the Cluster" "a wrong line in spec.postgresql.pg_hba"]
        steps ["correct deploy/database/cluster.yaml; or, if another program set it: cargo xtask kubectl edit clusters.postgresql.cnpg.io -n NAMESPACE" "replace a pod that could not start: cargo xtask create"]
    DatabaseHeld "E0335" "the database is hibernated or fenced"
        causes ["the Cluster has the annotation cnpg.io/hibernation or cnpg.io/fencedInstances"]
        steps ["remove the annotation with the command in the error; the data stays"]
}

impl Code {
    /// The code with this number, in upper or lower case.
    pub fn of(number: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|it| it.entry().number.eq_ignore_ascii_case(number))
    }

    pub fn group(self) -> Group {
        match &self.entry().number[..3] {
            "E01" => Group::Machine,
            "E02" => Group::Project,
            "E03" => Group::Cluster,
            _ => Group::Tool,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry().number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_well_formed_and_rise_so_that_none_is_given_twice() {
        for pair in Code::ALL.windows(2) {
            assert!(pair[0].entry().number < pair[1].entry().number, "{} {}", pair[0], pair[1]);
        }
        for code in Code::ALL {
            let number = code.entry().number;
            assert!(number.len() == 5 && number[1..].parse::<u16>().is_ok(), "{number}");
            assert!(!code.entry().causes.is_empty() && !code.entry().steps.is_empty(), "{number}");
            assert_eq!(Code::of(&number.to_lowercase()), Some(*code));
        }
        assert_eq!(Code::of("E9999"), None);
    }

    #[test]
    fn no_advice_uses_the_users_own_context() {
        for code in Code::ALL {
            let entry = code.entry();
            for text in entry.steps {
                // `cluster.context` names a context of the user's kubeconfig, and this command lists them.
                let rest = text.replace("cargo xtask kubectl", "").replace("kubectl config get-contexts", "");
                assert!(!rest.contains("kubectl "), "{code}: {text}");
            }
        }
        let steps = Code::ClusterFailed.entry().steps.join(" ");
        assert!(steps.contains("evidence") && steps.contains("cargo xtask shell node"), "{steps}");
    }

    #[test]
    fn the_number_says_where_an_error_can_be_fixed() {
        let groups = [Code::Unexpected, Code::NoEngine, Code::Config, Code::NotReady].map(Code::group);
        assert_eq!(groups, [Group::Tool, Group::Machine, Group::Project, Group::Cluster]);
    }
}
