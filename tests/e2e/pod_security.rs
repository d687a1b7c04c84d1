//! Pod Security, asked of the API server: a pod that keeps the standard `restricted` is accepted, and refused with any one of its controls
//! changed, in the namespaces of application and operator.

use serde_json::{Value, json};

use crate::bench::Bench;

const NAMESPACES: [&str; 2] = ["polls", "cnpg-system"];

/// The name of a pod, what is set in it, by JSON pointer, and the control that the server's refusal names.
type Change = (&'static str, Vec<(&'static str, Value)>, &'static str);

/// Every control of `baseline` and `restricted` (kubernetes.io/docs/concepts/security/pod-security-standards), some in several forms.
fn changes() -> Vec<Change> {
    let windows = json!({ "hostProcess": true });
    vec![
        // Not valid beside `allowPrivilegeEscalation: false`.
        (
            "privileged",
            vec![("/spec/containers/0/securityContext", json!({ "privileged": true, "capabilities": { "drop": ["ALL"] } }))],
            "securityContext.privileged=true",
        ),
        ("host-network", vec![("/spec/hostNetwork", json!(true))], "hostNetwork=true"),
        ("host-pid", vec![("/spec/hostPID", json!(true))], "hostPID=true"),
        ("host-ipc", vec![("/spec/hostIPC", json!(true))], "hostIPC=true"),
        ("host-port", vec![("/spec/containers/0/ports/0/hostPort", json!(8080))], "hostPort"),
        ("host-path", vec![("/spec/volumes/0", json!({ "name": "v", "hostPath": { "path": "/etc" } }))], "\"hostPath\""),
        ("nfs", vec![("/spec/volumes/0", json!({ "name": "v", "nfs": { "server": "192.0.2.1", "path": "/" } }))], "\"nfs\""),
        ("capability-added", vec![("/spec/containers/0/securityContext/capabilities/add", json!(["SYS_ADMIN"]))], "\"SYS_ADMIN\""),
        ("capability-of-baseline", vec![("/spec/containers/0/securityContext/capabilities/add", json!(["CHOWN"]))], "\"CHOWN\""),
        ("capabilities-kept", vec![("/spec/containers/0/securityContext/capabilities", json!({}))], "capabilities.drop"),
        (
            "capabilities-one-dropped",
            vec![("/spec/containers/0/securityContext/capabilities/drop", json!(["NET_RAW"]))],
            "capabilities.drop",
        ),
        ("escalation", vec![("/spec/containers/0/securityContext/allowPrivilegeEscalation", json!(true))], "allowPrivilegeEscalation"),
        (
            "escalation-unset",
            vec![("/spec/containers/0/securityContext/allowPrivilegeEscalation", Value::Null)],
            "allowPrivilegeEscalation",
        ),
        ("root-of-pod", vec![("/spec/securityContext/runAsNonRoot", json!(false))], "runAsNonRoot"),
        ("root-of-container", vec![("/spec/containers/0/securityContext/runAsNonRoot", json!(false))], "runAsNonRoot"),
        ("user-0-of-pod", vec![("/spec/securityContext/runAsUser", json!(0))], "runAsUser=0"),
        ("user-0-of-container", vec![("/spec/containers/0/securityContext/runAsUser", json!(0))], "runAsUser=0"),
        ("seccomp-unconfined", vec![("/spec/securityContext/seccompProfile", json!({ "type": "Unconfined" }))], "seccompProfile"),
        ("seccomp-unset", vec![("/spec/securityContext/seccompProfile", Value::Null)], "seccompProfile"),
        // The API server accepts this field only in a pod with users of its own.
        ("proc", vec![("/spec/containers/0/securityContext/procMount", json!("Unmasked")), ("/spec/hostUsers", json!(false))], "procMount"),
        ("sysctl", vec![("/spec/securityContext/sysctls", json!([{ "name": "kernel.msgmax", "value": "1" }]))], "kernel.msgmax"),
        ("apparmor", vec![("/spec/containers/0/securityContext/appArmorProfile", json!({ "type": "Unconfined" }))], "AppArmor"),
        ("selinux-type", vec![("/spec/securityContext/seLinuxOptions", json!({ "type": "spc_t" }))], "seLinuxOptions"),
        ("selinux-user", vec![("/spec/securityContext/seLinuxOptions", json!({ "user": "system_u" }))], "seLinuxOptions"),
        ("host-of-probe", vec![("/spec/containers/0/livenessProbe/httpGet/host", json!("192.0.2.1"))], "probe or lifecycle host"),
        (
            "host-of-hook",
            vec![("/spec/containers/0/lifecycle", json!({ "preStop": { "httpGet": { "host": "192.0.2.1", "port": 1 } } }))],
            "probe or lifecycle host",
        ),
        // Valid only on the host's network.
        ("windows", vec![("/spec/securityContext/windowsOptions", windows), ("/spec/hostNetwork", json!(true))], "hostProcess"),
        ("init-container", vec![("/spec/initContainers", json!([{ "name": "i", "image": "x" }]))], "container \"i\""),
    ]
}

/// A pod that keeps the standard.
fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": { "type": "RuntimeDefault" } },
            "volumes": [{ "name": "v", "emptyDir": {} }],
            "containers": [{
                "name": "c", "image": "x", "ports": [{ "containerPort": 8080 }], "livenessProbe": { "httpGet": { "port": 8080 } },
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    })
}

pub(crate) fn is_enforced(bench: &Bench) {
    bench.step("the API server refuses a pod with any one control of the restricted standard changed", || {
        let changes = changes();
        assert!(changes.len() >= 28, "{}", changes.len());
        let mut pods = vec![pod("unchanged")];
        for (name, set, _) in &changes {
            let mut pod = pod(name);
            set.iter().for_each(|(place, value)| put(&mut pod, place, value.clone()));
            pods.push(pod);
        }
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": pods }).to_string();
        for namespace in NAMESPACES {
            let said = create(bench, namespace, &list);
            // The check can fail: the same pod without a change is accepted.
            assert!(said.contains("pod/unchanged created (server dry run)"), "{said}");
            for (name, _, control) in &changes {
                let refusal = format!("pods \"{name}\" is forbidden: violates PodSecurity \"restricted:v1.");
                let line = said.lines().find(|it| it.contains(&refusal)).unwrap_or_else(|| panic!("{namespace} accepts {name}:\n{said}"));
                assert!(line.contains(control), "{line}");
            }
        }
        eprintln!("   {} changed pods refused in each of {} namespaces", changes.len(), NAMESPACES.len());
    });
    bench.step("the pods that run keep the standard themselves", || {
        // A dry run of a changed label lists the pods that violate it.
        let dry = |namespace: &str, label: &str| {
            bench.kubectl(&format!("label --dry-run=server --overwrite namespace {namespace} pod-security.kubernetes.io/{label}"))
        };
        assert!(dry("kube-system", "enforce=restricted").contains("existing pods in namespace \"kube-system\" violate"));
        for namespace in NAMESPACES {
            let said = dry(namespace, "enforce-version=latest");
            assert!(said.contains(" labeled") && !said.contains("violate"), "{said}");
        }
    });
}

/// Sets a value; missing members of mappings come up.
fn put(object: &mut Value, place: &str, value: Value) {
    let (parent, name) = place.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        _ => parent[name] = value,
    }
}

/// What kubectl says of a list that the server accepts in parts.
fn create(bench: &Bench, namespace: &str, list: &str) -> String {
    let command = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "-n", namespace, "create", "--dry-run=server", "-f", "-"];
    let input = futures_util::stream::iter([Ok(bytes::Bytes::from(list.to_owned()))]);
    let out = bench.engine().exec_with_input(&bench.node(), &command, input).unwrap();
    assert_eq!(out.code, 1, "{out:?}");
    format!("{}{}", out.stdout, out.stderr)
}
