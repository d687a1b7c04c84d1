//! Permissions, asked of the API server and of PostgreSQL: the application's account and role have none that they do not need, and the
//! database takes encrypted connections with SCRAM alone.

use serde_json::Value;

use crate::bench::Bench;

/// A connection without TLS, with the variables of the application's own pod.
const WITHOUT_TLS: &str = "import os,psycopg
try: psycopg.connect(host=os.environ.get('PGHOST','polls-db-rw'),user='polls',password='x',dbname='polls',sslmode='disable',connect_timeout=5)
except psycopg.OperationalError as error: print(error)";

pub(crate) fn are_few(bench: &Bench) {
    bench.step("the application's account has no token and no permission", || {
        let pods = list(bench, "-n polls get pods -l app.kubernetes.io/name=polls -o json");
        let pods: Vec<&Value> = pods.iter().filter(|it| it["spec"]["serviceAccountName"] == "polls-frontend").collect();
        assert!(pods.len() >= 2, "{pods:#?}");
        for pod in pods {
            let volumes = pod["spec"]["volumes"].as_array().unwrap();
            assert!(volumes.iter().all(|it| !it.to_string().contains("serviceAccountToken")), "{volumes:#?}");
        }
        let said = bench.kubectl("-n polls auth can-i --list --no-headers --as=system:serviceaccount:polls:polls-frontend");
        // Every user may ask who it is and what it may.
        let resources: Vec<&str> = said.lines().filter(|it| !it.starts_with(' ')).filter_map(|it| it.split_whitespace().next()).collect();
        assert!(!resources.is_empty() && resources.iter().all(|it| it.starts_with("selfsubject")), "{said}");
    });
    bench.step("no role of ours has a wildcard, and nobody but the administrators is cluster-admin", || {
        for role in list(bench, "get clusterroles,roles -A -o json") {
            let name = role["metadata"]["name"].as_str().unwrap();
            let has_wildcard = role["rules"].to_string().contains("\"*\"");
            assert!(!has_wildcard || name.starts_with("system:") || name == "cluster-admin", "{role:#}");
        }
        for binding in list(bench, "get clusterrolebindings,rolebindings -A -o json") {
            let subjects = binding["subjects"].as_array().into_iter().flatten();
            let groups: Vec<&str> = subjects.map(|it| it["name"].as_str().unwrap()).collect();
            let is_administrators = groups.iter().all(|it| ["system:masters", "kubeadm:cluster-admins"].contains(it));
            assert!(binding["roleRef"]["name"] != "cluster-admin" || is_administrators, "{binding:#}");
        }
    });
    bench.step("the database's user has its database alone, and connections are encrypted and use SCRAM", || {
        let role = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = 'polls'";
        assert_eq!(bench.sql(role).trim(), "f|f|f|f|f");
        assert_eq!(bench.sql("SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = 'polls'").trim(), "polls");
        assert_eq!(bench.sql("SELECT count(*) FROM pg_auth_members WHERE pg_get_userbyid(member) = 'polls'").trim(), "0");
        let methods = bench.sql("SELECT DISTINCT auth_method FROM pg_hba_file_rules ORDER BY 1");
        assert_eq!(methods.split_whitespace().collect::<Vec<_>>(), ["cert", "peer", "reject", "scram-sha-256"]);
        assert_eq!(bench.sql("SHOW password_encryption").trim(), "scram-sha-256");
        let mut command =
            vec!["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "-n", "polls", "exec", "deployment/polls-frontend", "--"];
        command.extend(["python3", "-c", WITHOUT_TLS]);
        let out = bench.engine().exec(&bench.node(), &command).unwrap();
        assert!(out.stdout.contains("rejects connection") && out.stdout.contains("no encryption"), "{out:?}");
    });
}

fn list(bench: &Bench, arguments: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(&bench.kubectl(arguments)).unwrap();
    all["items"].as_array().unwrap().clone()
}
