//! Why a cluster did not start, from its nodes' logs: the program that exits again and again, and its last message.
//!
//! Pure. The formats are those of klog, cobra, Go's runtime, etcd's zap and kubeadm.

use serde_json::Value;

use crate::provider::evidence::Evidence;

/// The control plane's programs; each needs the ones before it.
const PROGRAMS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// The probable cause in one line; kubeadm's own message if no program is known to fail. `stopped` describes nodes that do not run.
pub(super) fn probable(evidence: &Evidence, stopped: &[String]) -> Option<String> {
    if !stopped.is_empty() {
        return Some(stopped.join("\n"));
    }
    let mut journals = evidence.files.iter().filter(|(name, _)| name.ends_with("/kubelet.log"));
    if let Some(words) = journals.find_map(|(_, text)| kubelet(text)) {
        return Some(format!("the kubelet exits again and again: {words}"));
    }
    for program in PROGRAMS {
        if let Some(words) = container(evidence, program) {
            return Some(format!("{program} exits again and again: {words}"));
        }
    }
    evidence.files.iter().find(|(name, _)| name == "kind.log").and_then(|(_, text)| kubeadm(text))
}

/// The last message of an exited kubelet in systemd's journal.
fn kubelet(journal: &str) -> Option<String> {
    let lines: Vec<&str> = journal.lines().collect();
    let exit = lines.iter().rposition(|it| it.contains("kubelet.service: Main process exited"))?;
    if lines[exit..].iter().any(|it| it.contains("Started kubelet.service")) {
        // It was restarted: an exit is the cause only if it happens each time.
        let before = lines[..exit].iter().rposition(|it| it.contains("Started kubelet.service"));
        if before.is_none_or(|it| lines[it..exit].len() > 200) {
            return None;
        }
    }
    let began = lines[..exit].iter().rposition(|it| it.contains("kubelet.service: Main process exited")).unwrap_or_default();
    // Before kubeadm has written its configuration, the kubelet exits regularly.
    words_of_end(lines[began..exit].iter().filter_map(|it| Some(it.split_once("]: ")?.1))).filter(|it| !it.contains("/config.yaml"))
}

/// The last message of a program that was restarted, or that ended with an error message.
fn container(evidence: &Evidence, program: &str) -> Option<String> {
    let logs = evidence.files.iter().filter_map(|(name, text)| {
        let (folder, number) = name.strip_suffix(".log")?.rsplit_once('/')?;
        let of_program = folder.contains("/pods/kube-system_") && folder.ends_with(&format!("/{program}"));
        Some((number.parse::<u32>().ok()?, text)).filter(|_| of_program)
    });
    let (number, text) = logs.max_by_key(|(number, _)| *number)?;
    // `2026-11-27T16:38:30.605061738Z stderr F words`
    let lines: Vec<&str> = text.lines().filter_map(|it| it.splitn(4, ' ').nth(3)).collect();
    match words_of_end(lines.iter().copied()) {
        Some(words) => Some(words),
        None if number > 0 => lines.iter().rev().find(|it| !it.trim().is_empty()).map(|it| it.trim().to_owned()),
        None => None,
    }
}

/// The first line that explains why the program exits.
fn words_of_end<'a>(lines: impl Iterator<Item = &'a str>) -> Option<String> {
    lines.filter_map(end).next()
}

fn end(line: &str) -> Option<String> {
    if line.starts_with('{') {
        let entry: Value = serde_json::from_str(line).ok()?;
        let field = |name: &str| entry[name].as_str().unwrap_or_default();
        let error = Some(field("error")).filter(|it| !it.is_empty()).map(|it| format!(": {it}")).unwrap_or_default();
        return matches!(field("level"), "fatal" | "panic").then(|| format!("{}{error}", field("msg")));
    }
    let after = |mark: &str| line.split_once(mark).map(|(_, rest)| rest.trim_end_matches('"').to_owned());
    if line.starts_with("panic: ") || line.starts_with("Error: ") || line.starts_with("Error response") {
        return Some(line.trim().to_owned());
    }
    let is_fatal = line.starts_with('F') && line.chars().skip(1).take(4).all(|it| it.is_ascii_digit()) && line.len() > 5;
    after("\"command failed\" err=\"").or_else(|| is_fatal.then(|| line.split_once("] ").map_or(line, |it| it.1).to_owned()))
}

/// kubeadm's message: failed checks, one on each line, or the failed step.
fn kubeadm(log: &str) -> Option<String> {
    let checks: Vec<&str> = log.lines().map(str::trim).filter(|it| it.starts_with("[ERROR ")).collect();
    if !checks.is_empty() {
        return Some(checks.join("\n"));
    }
    log.lines().rev().find_map(|it| it.strip_prefix("error: ")).map(|it| format!("kubeadm: {it}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(files: &[(&str, &str)]) -> Evidence {
        Evidence { files: files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(), missing: Vec::new() }
    }

    const KIND: &str = "ERROR: failed to create cluster: failed to init node with kubeadm\nerror: error execution phase wait-control-plane: context deadline exceeded\nk8s.io/kubernetes/cmd/kubeadm/app.Run\n";

    #[test]
    fn a_program_that_ends_again_and_again_is_the_cause_and_its_last_words_say_why() {
        let flag = "2026-11-27T16:38:30.605061738Z stderr F Error: unknown flag: --no-such-flag\n";
        let full = "2026-11-27T16:38:30Z stderr F {\"level\":\"info\",\"msg\":\"starts\"}\n2026-11-27T16:38:31Z stderr F {\"level\":\"fatal\",\"msg\":\"failed to create WAL\",\"error\":\"no space left on device\"}\n";
        let api = "n/pods/kube-system_kube-apiserver-n_1/kube-apiserver/3.log";
        let etcd = "n/pods/kube-system_etcd-n_1/etcd";
        let well = "2026-11-27T16:38:30Z stderr F {\"level\":\"info\",\"msg\":\"serving\"}\n";
        let of = |files: &[(&str, &str)]| probable(&evidence(files), &[]).unwrap();
        assert_eq!(
            of(&[(api, flag), (&format!("{etcd}/0.log"), well), ("kind.log", KIND)]),
            "kube-apiserver exits again and again: Error: unknown flag: --no-such-flag"
        );
        assert_eq!(
            of(&[(api, flag), (&format!("{etcd}/2.log"), full)]),
            "etcd exits again and again: failed to create WAL: no space left on device"
        );
    }

    #[test]
    fn a_kubelet_that_refuses_its_settings_comes_before_all() {
        let journal = "\
Nov 27 16:39:40 n kubelet[200]: E1127 16:39:40 run.go:72] \"command failed\" err=\"failed to load kubelet config file, path: /var/lib/kubelet/config.yaml\"
Nov 27 16:39:40 n systemd[1]: kubelet.service: Main process exited, code=exited, status=1/FAILURE
Nov 27 16:40:50 n systemd[1]: Started kubelet.service - kubelet.
Nov 27 16:40:50 n kubelet[694]: panic: failed to merge global and in-flight KubeletConfiguration: unrecognized feature gate: NoSuchGate
Nov 27 16:40:50 n kubelet[694]: main.main()
Nov 27 16:40:50 n systemd[1]: kubelet.service: Main process exited, code=exited, status=2/INVALIDARGUMENT
Nov 27 16:40:50 n systemd[1]: kubelet.service: Failed with result 'exit-code'.\n";
        let words = "the kubelet exits again and again: panic: failed to merge global and in-flight KubeletConfiguration: unrecognized feature gate: NoSuchGate";
        assert_eq!(probable(&evidence(&[("n/kubelet.log", journal), ("kind.log", KIND)]), &[]).unwrap(), words);
        let before_kubeadm: String = journal.lines().take(2).map(|it| format!("{it}\n")).collect();
        assert_eq!(
            probable(&evidence(&[("n/kubelet.log", &before_kubeadm), ("kind.log", KIND)]), &[]).unwrap(),
            "kubeadm: error execution phase wait-control-plane: context deadline exceeded"
        );
    }

    #[test]
    fn kubeadms_failed_checks_are_told_one_by_one() {
        let log = "error: [preflight] Some fatal errors occurred:\n\t[ERROR NumCPU]: the number of available CPUs 1 is less than the required 2\n\t[ERROR Port-6443]: Port 6443 is in use\n";
        let expected = "[ERROR NumCPU]: the number of available CPUs 1 is less than the required 2\n[ERROR Port-6443]: Port 6443 is in use";
        assert_eq!(probable(&evidence(&[("kind.log", log)]), &[]).unwrap(), expected);
        let stopped = ["node n does not run: exited (137)".to_owned()];
        assert_eq!(probable(&evidence(&[("kind.log", log)]), &stopped).unwrap(), stopped[0]);
        assert_eq!(probable(&evidence(&[("kind.log", "all well\n")]), &[]), None);
    }
}
