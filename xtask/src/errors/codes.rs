//! Every error code: what it means, what usually causes it, what to do. The one table of them.
//!
//! A code never changes its meaning and is never used again for another. Its first digits say who can mend it.

use std::fmt;

/// Who can mend an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Nobody needs to, or the tool itself: `E00xx`.
    Tool,
    /// Whoever looks after this machine: `E01xx`.
    Machine,
    /// Whoever writes the project: its configuration, patches, manifests: `E02xx`.
    Project,
    /// Whoever looks into the cluster: `E03xx`.
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

/// What `explain` tells of a code.
#[derive(Debug)]
pub struct Entry {
    /// `E0101`.
    pub number: &'static str,
    /// In a few words.
    pub means: &'static str,
    pub causes: &'static [&'static str],
    /// Commands and changes that help, most likely first.
    pub steps: &'static [&'static str],
}

macro_rules! codes {
    ($($name:ident $number:literal $means:literal causes [$($cause:literal)*] steps [$($step:literal)*])*) => {
        /// What kind of error it is; stable, and explained by `cargo xtask explain`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $means] $name),*
        }

        impl Code {
            /// In the order of their numbers.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The name in the source.
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
    Unexpected "E0001" "something happened that the tool has no name for"
        causes ["the file system or a program answered in an unforeseen way" "a defect of the tool"]
        steps ["read the causes below the error line, from top to bottom" "run the same command again with -v"]
    Interrupted "E0002" "the run was ended by Ctrl-C or SIGTERM"
        causes ["you, or the program that started the run, asked it to end"]
        steps ["run the same command again: finished tasks are not repeated"]
    RunTimedOut "E0003" "the whole run took longer than --timeout allows"
        causes ["the limit is shorter than a first run needs" "something is waited for that does not come: the error names it"]
        steps ["run the same command again: finished tasks are not repeated" "give a longer --timeout"]
    Usage "E0004" "the command line asks for something that does not go together"
        causes ["a flag that the command has no use for"]
        steps ["cargo xtask help COMMAND"]
    NoProduct "E0005" "a task ran to its end, and what it should have made is not there"
        causes ["something else removed or changed it meanwhile" "a defect of the tool"]
        steps ["run the same command again" "cargo xtask explain TASK"]

    NoEngine "E0101" "no container engine answers"
        causes ["Docker is not running" "DOCKER_HOST names an engine that is gone" "this user may not use the engine's socket"
            "the tool may start one of its own only as root and on Linux"]
        steps ["cargo xtask doctor" "start Docker, or unset DOCKER_HOST" "add yourself to the group `docker` and log in again"]
    EngineFailed "E0102" "the container engine answered with an error, or stopped answering"
        causes ["the engine was stopped while it was used" "its disk is full" "the host kills processes for want of memory"]
        steps ["cargo xtask doctor" "docker info" "look into the engine's log"]
    EngineNotStarted "E0103" "the tool's own engine did not start"
        causes ["the host grants too few capabilities" "no memory, no disk, or no mounts allowed" "another daemon holds the same folder"]
        steps ["read the log that the error names" "cargo xtask doctor" "start an engine of your own and set DOCKER_HOST"]
    Missing "E0104" "the machine lacks something that is needed"
        causes ["a program is not installed, or not on PATH" "it is older than what is needed"]
        steps ["install what the error names" "cargo xtask doctor"]
    NoConsent "E0105" "the tool does not install, start or remove things without consent"
        causes ["no terminal to ask on, as in continuous integration" "the answer was no"]
        steps ["run the same command with --yes"]
    PortTaken "E0106" "a port of this machine is held by somebody else"
        causes ["another program or container listens on it"]
        steps ["end the program that the error names" "leave `cluster.port` out of Pocdeploy.toml to take the next free one"]
    CommandFailed "E0107" "a program that the tool ran ended with an error"
        causes ["no way to a registry or package mirror" "a full disk" "the last lines below the error line tell more"]
        steps ["read the log that the error names" "run the command line by hand" "cargo xtask doctor"]
    CommandHung "E0108" "a program that the tool ran did not end in time, and was stopped"
        causes ["a mirror or a proxy that does not answer" "a machine that is far too busy"]
        steps ["run the same command again" "cargo xtask doctor"]
    Locked "E0109" "another run of this instance does not end"
        causes ["a run in another terminal" "a run that waits for something"]
        steps ["wait for the process that the error names, or end it" "another instance is independent: --name NAME"]
    DiskFull "E0110" "there is no room on the disk"
        causes ["images, packages and the engine's data need about 15 GB"]
        steps ["df -h" "docker system df" "set POCDEPLOY_CACHE_DIR to a folder on a larger disk" "cargo xtask delete --purge"]
    WatchersUsedUp "E0111" "the kernel has too few file watchers left for another cluster"
        causes ["other clusters of this machine hold them" "the kernel's usual limit of 128 is enough for four clusters"]
        steps ["cargo xtask ls, and delete what you do not need" "sysctl -w fs.inotify.max_user_instances=1024"]
    NotOurs "E0112" "a file stands where the tool would write one, and the tool did not write it"
        causes ["another program named pocdeploy" "completions that were written by hand"]
        steps ["look at the file that the error names" "cargo xtask install --root DIR"]
    Unfit "E0113" "this machine does not have what a run needs"
        causes ["each failed line of the doctor names one"]
        steps ["cargo xtask doctor" "follow the remedy beside each failure"]

    Config "E0201" "the configuration cannot be used"
        causes ["an unknown key, a value of the wrong type, or one out of its range" "a variable POCDEPLOY_… that holds such a value"]
        steps ["correct what the error points at" "cargo xtask config show --origin" "cargo xtask config schema"]
    NoProject "E0202" "there is no project where the tool looked for one"
        causes ["the command was run outside the project's folder" "--project or --config names something that is not there"]
        steps ["change into the folder that holds Pocdeploy.toml, or name it with --project"]
    Unsupported "E0203" "this kind of cluster is not supported yet"
        causes ["`cluster.type` or --type names a cloud"]
        steps ["use --type kind"]
    SourceMissing "E0204" "a file or folder of the project is not where the configuration says"
        causes ["the upstream source was not fetched" "a wrong path in Pocdeploy.toml"]
        steps ["cargo xtask config show --origin" "put the source there, or correct the path"]
    PatchMismatch "E0205" "a patch does not fit the source"
        causes ["upstream changed the lines around it" "an earlier patch changed them"]
        steps ["compare the two sides that the error shows" "renew the patch with git format-patch" "cargo xtask patch"]
    PatchRefused "E0206" "a patch reaches outside the application, or holds no change"
        causes ["a path with `..`, `.git` or a link" "an empty or cut file"]
        steps ["correct the patch; nothing was changed"]
    Requirements "E0207" "the application's requirements could not be found or pinned"
        causes ["no imports were found" "two packages ask for versions that exclude each other" "no wheel for the image's Python" "an import whose package is only guessed"]
        steps ["write a requirements.txt into the application by a patch" "name the packages of imports under [frontend.packages]" "cargo xtask requirements --refresh"]
    ImageBuild "E0208" "the image could not be built"
        causes ["a step of the Dockerfile failed: the last lines tell which" "a step wants a network, and the build has none"
            "the Dockerfile copies what the application does not have, or .dockerignore keeps out"
            "it uses an instruction that this engine does not build" "a base image is private, or its registry does not answer"]
        steps ["read the log that the error names" "cargo xtask image -v" "docker login, for a private base image"]
    Manifest "E0209" "a manifest in deploy/ cannot be used"
        causes ["it is not valid YAML" "kind, name or a needed object is missing"]
        steps ["correct the file that the error names"]
    Recipe "E0210" "a recipe in build/images cannot be used"
        causes ["a name in one file that no other file explains" "a version that was changed in one place only"]
        steps ["correct the file that the error names" "git diff build/images"]
    ChecksFailed "E0211" "some of the project's own checks failed"
        causes ["each is named in the error, with its output above"]
        steps ["run the failed check alone"]
    PlanChanged "E0212" "the plan no longer says what would be done"
        causes ["a file, the configuration or the cluster changed since the plan was made"]
        steps ["cargo xtask plan --out FILE, then create --plan FILE"]
    PlanFile "E0213" "the file is not a plan that this version can apply"
        causes ["another file" "a plan of another version of the tool" "a file that was cut off"]
        steps ["cargo xtask plan --out FILE"]
    NeedsOther "E0214" "a task was to run alone, and something that it needs is not there"
        causes ["--only or --from left out a task that has work to do"]
        steps ["cargo xtask graph" "run the same command without that flag"]
    WouldOverwrite "E0215" "files of the project differ from those that would be written"
        causes ["they were ejected earlier and edited since"]
        steps ["eject only the files that you want" "eject --force overwrites them"]
    Kubeconfig "E0216" "a kubeconfig, or a context in it, cannot be used"
        causes ["`cluster.context` names a context that is not there" "the file is another one than kubectl reads" "the file's paths lead nowhere"]
        steps ["kubectl config get-contexts" "set `cluster.kubeconfig` and `cluster.context` in Pocdeploy.toml"]

    NotReady "E0301" "something did not become ready in time; it may still do so"
        causes ["a busy or slow machine" "what was last seen stands in the error"]
        steps ["run the same command again: it goes on from there" "cargo xtask support-bundle"]
    NeverReady "E0302" "something in the cluster failed, and waiting will not help"
        causes ["the probable cause stands in the error, with the evidence below it"]
        steps ["follow the command beside the probable cause" "run the same command again after that"]
    NameTaken "E0303" "a container or network of this name is there that the tool did not create"
        causes ["a kind cluster of the same name" "a project that was copied together with its `name`"]
        steps ["set another `name` in Pocdeploy.toml" "remove the foreign cluster yourself"]
    Api "E0304" "the Kubernetes API server refused a request, or does not answer"
        causes ["the cluster's node is stopped or restarting" "an object that the server or a webhook does not accept"]
        steps ["cargo xtask status: it says what answers" "cargo xtask logs node, cargo xtask shell node: for a node that runs" "cargo xtask create: it starts a stopped node"]
    NotFound "E0305" "the Kubernetes API server does not know the object"
        causes ["it was removed by hand" "its definition is not installed yet"]
        steps ["cargo xtask create"]
    PodCommand "E0306" "a command inside a pod failed"
        causes ["the program in the pod refused; its words stand in the error" "the pod went away meanwhile"]
        steps ["run the same command again"]
    Leftovers "E0307" "not everything could be removed"
        causes ["the engine stopped answering" "a container that something else still uses"]
        steps ["cargo xtask delete: it goes on from where it stopped"]
    ClusterFailed "E0308" "the cluster could not be made or does not work as it should"
        causes ["kind ended with an error: its last lines tell more" "the host lacks memory, inotify watches or capabilities"]
        steps ["read the node's logs in the folder that the error names: target/pocdeploy/evidence, kubelet.log first"
            "cargo xtask logs node, cargo xtask shell node, cargo xtask kubectl: they work on a cluster that is not finished"
            "cargo xtask doctor" "cargo xtask create: it keeps those logs and makes the cluster anew" "cargo xtask support-bundle: to hand it on"]
    NoInstance "E0309" "this command needs an instance that runs, and there is none"
        causes ["it was not created yet, or was deleted" "another checkout or --name holds it: cargo xtask ls"]
        steps ["cargo xtask create"]
    Unhealthy "E0310" "the deployment is not as it should be"
        causes ["somebody changed or removed an object" "pods that crash or do not become ready" "the source changed since the last deployment"]
        steps ["cargo xtask validate" "cargo xtask create: it puts right what the tool owns" "cargo xtask logs"]
    NotRestorable "E0311" "a snapshot of the database could not be put back as it is"
        causes ["a function that a generated column, index or check calls names others without their schema" "rows that a constraint of today forbids" "an extension that can no longer be had"]
        steps ["mend what the error names: cargo xtask psql" "ALTER FUNCTION … SET search_path = public, pg_temp" "cargo xtask db snapshot --no-verify writes the file all the same"]
    OperatorUnfit "E0312" "the cluster has a CloudNativePG operator that cannot serve this instance"
        causes ["it is of an old release" "it watches other namespaces only"]
        steps ["ask its owner to update it, or to let it watch the application's namespace"]

    PodRefused "E0321" "the API server refuses the pods of a Deployment or Job"
        causes ["the namespace's Pod Security standard forbids something in the pod" "a quota is used up" "the ServiceAccount is not there"]
        steps ["correct the manifest in deploy/ as the message says" "cargo xtask kubectl get events -n NAMESPACE"]
    ImageAbsent "E0322" "the node does not have the image, and cannot pull it"
        causes ["the image was removed from the node" "a registry that does not answer, or refuses" "a name with a typing error"]
        steps ["cargo xtask create: it brings the image to the node again" "cargo xtask config show --origin"]
    SettingAbsent "E0323" "a Secret or ConfigMap that a pod reads, or a key in it, is not there"
        causes ["it was removed by hand" "the manifest names another one than is applied"]
        steps ["cargo xtask kubectl get secrets,configmaps -n NAMESPACE" "cargo xtask create: it applies what is missing"]
    NodePressure "E0324" "the node is short of disk, memory or processes"
        causes ["the disk below the engine is nearly full" "other programs on this machine need much memory"]
        steps ["cargo xtask doctor" "df -h"]
    NoVolume "E0325" "a volume cannot be had"
        causes ["no StorageClass serves the claim" "the volume is bound to another node" "`database.storage` is more than there is"]
        steps ["cargo xtask kubectl get persistentvolumeclaims,storageclasses -A" "cargo xtask kubectl describe persistentvolumeclaims -n NAMESPACE"]
    NoRoom "E0326" "no node has room for the pod"
        causes ["the requests of all pods exceed what the node has" "`frontend.replicas` or `database.instances` is too large for this machine"]
        steps ["cargo xtask kubectl describe nodes" "lower the requests in deploy/, or the numbers in Pocdeploy.toml"]
    OutOfMemory "E0327" "a container used more memory than its limit allows"
        causes ["the limit is too low for the number of workers" "a leak"]
        steps ["raise resources.limits.memory in deploy/"]
    DatabaseRefused "E0328" "the database does not let the application in"
        causes ["the password was changed in one place only" "database or user have another name than in the configuration"]
        steps ["compare the Secret with Pocdeploy.toml" "cargo xtask config show --origin"]
    DatabaseAway "E0329" "the application cannot reach the database"
        causes ["the database is starting or has failed" "a NetworkPolicy closes the way" "a wrong host name"]
        steps ["cargo xtask kubectl get clusters.postgresql.cnpg.io,pods -n NAMESPACE" "run the same command again once the database is ready"]
    MigrationFailed "E0330" "a migration ended with an exception"
        causes ["a mistake in a migration, or in the settings that it imports" "data that does not fit the new schema"]
        steps ["read the exception in the error" "correct the migration by a patch, then run the same command again"]
    Crash "E0331" "a container's program ends again and again"
        causes ["an exception when it starts: the error shows its last lines" "a missing setting or file" "a liveness probe that is too strict"]
        steps ["cargo xtask logs" "cargo xtask kubectl logs --previous POD -n NAMESPACE" "correct what it says by a patch or in deploy/"]
    ProbeFails "E0332" "a container runs and does not answer its probe"
        causes ["the application waits for something, most often the database" "the probe asks for a wrong path, port or host name"]
        steps ["cargo xtask logs app" "compare the probe in deploy/ with what the application serves"]
    NotStarted "E0333" "a container's program cannot be started"
        causes ["a command that is not in the image, or is not executable" "a user that the pod's securityContext forbids"]
        steps ["cargo xtask kubectl describe pods -n NAMESPACE" "correct command, image or securityContext in deploy/"]
    DatabaseSetting "E0334" "PostgreSQL does not accept a setting, or cannot start with it"
        causes ["a wrong name, value or unit in spec.postgresql.parameters of the Cluster" "a wrong line in spec.postgresql.pg_hba"]
        steps ["correct it in deploy/database/cluster.yaml; where others wrote it: cargo xtask kubectl edit clusters.postgresql.cnpg.io -n NAMESPACE" "create: it replaces a pod that could not start"]
    DatabaseHeld "E0335" "the database is hibernated or fenced"
        causes ["an annotation of the Cluster, cnpg.io/hibernation or cnpg.io/fencedInstances, asks for it"]
        steps ["take the annotation away with the command in the error; the data are kept"]
}

impl Code {
    /// The code of a number as users type it, in any case.
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
                // Contexts are the user's own: the command lists those that `cluster.context` can name.
                let rest = text.replace("cargo xtask kubectl", "").replace("kubectl config get-contexts", "");
                assert!(!rest.contains("kubectl "), "{code}: {text}");
            }
        }
        let steps = Code::ClusterFailed.entry().steps.join(" ");
        assert!(steps.contains("evidence") && steps.contains("cargo xtask shell node"), "{steps}");
    }

    #[test]
    fn the_number_says_who_can_mend_it() {
        let groups = [Code::Unexpected, Code::NoEngine, Code::Config, Code::NotReady].map(Code::group);
        assert_eq!(groups, [Group::Tool, Group::Machine, Group::Project, Group::Cluster]);
    }
}
