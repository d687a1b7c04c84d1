//! NetworkPolicies, asked by real connections: what the application's policies close, and what the standard says of named ports, CIDRs with
//! exceptions, ranges of ports and default-deny.

use std::time::{Duration, Instant};

use crate::bench::Bench;

/// A namespace without the application's policies.
const OUTSIDE: &str = "outside";
/// One rule change reaches the node's rules within a second.
const LIMIT: Duration = Duration::from_secs(20);
/// Prints what became of a connection: a refusal comes from the other side, so the packets arrived.
const ASK: &str = "import socket,sys
try: socket.create_connection((sys.argv[1],int(sys.argv[2])),1.5); print('open')
except ConnectionRefusedError: print('refused')
except OSError: print('blocked')";
/// The same in the database's image, which has no Python.
const ASK_BASH: &str = r#"said=$(timeout 1.5 bash -c "</dev/tcp/$0/$1" 2>&1) && echo open || { case $said in *refused*) echo refused;; *) echo blocked;; esac; }"#;
const LISTEN: &str = "import http.server as h,threading as t
for p in (8080,9090,9095): s=h.ThreadingHTTPServer(('',p),h.SimpleHTTPRequestHandler); t.Thread(target=s.serve_forever).start()";

/// Asks on a running application; leaves nothing behind.
pub(crate) fn hold(bench: &Bench) {
    let probes = Probes::start(bench);
    bench.step("only the intended ports of application and database answer, and only their clients", || {
        let frontend = probes.address("polls", "app.kubernetes.io/component=frontend");
        let database = probes.address("polls", "cnpg.io/cluster=polls-db");
        let listener = probes.address(OUTSIDE, "app=listener");
        let stranger = probes.pod(OUTSIDE, "app=stranger");
        stranger.finds(&frontend, 8000, "open");
        stranger.finds(&frontend, 8001, "blocked");
        for port in [5432, 8000, 9187] {
            stranger.finds(&database, port, "blocked");
        }
        // In the same namespace, and still not a client of the database.
        let stray = probes.pod("polls", "app=stray");
        for port in [5432, 8000] {
            stray.finds(&database, port, "blocked");
        }
        stranger.finds(&listener, 8080, "open");
        let application = probes.pod("polls", "app.kubernetes.io/component=frontend");
        application.finds(&database, 5432, "open");
        application.finds(&listener, 8080, "blocked");
    });

    bench.step("the database reaches nothing outside but the API server's ports", || {
        let listener = probes.address(OUTSIDE, "app=listener");
        let database = probes.pod("polls", "cnpg.io/cluster=polls-db");
        // The engine's own address: outside the cluster, and nothing listens there.
        let outside = probes.gateway();
        probes.pod(OUTSIDE, "app=stranger").finds(&outside, 9, "refused");
        database.finds(&outside, 9, "blocked");
        database.finds(&listener, 8080, "blocked");
        database.finds(&outside, 443, "refused");
    });

    bench.step("named ports, CIDRs with exceptions, ranges and default-deny do what the standard says", || {
        let listener = probes.address(OUTSIDE, "app=listener");
        let (client, stranger) = (probes.pod(OUTSIDE, "app=client"), probes.pod(OUTSIDE, "app=stranger"));
        client.finds(&listener, 8080, "open");
        probes.apply(&policy("default-deny", "{}", "policyTypes: [Ingress]"));
        client.finds(&listener, 8080, "blocked");
        let from_client = "ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: web}]}]";
        probes.apply(&policy("named", "{matchLabels: {app: listener}}", from_client));
        client.finds(&listener, 8080, "open");
        client.finds(&listener, 9090, "blocked");
        stranger.finds(&listener, 8080, "blocked");
        let except = probes.address(OUTSIDE, "app=stranger");
        let block = format!("ipBlock: {{cidr: 0.0.0.0/0, except: [{except}/32]}}");
        let range = format!("ingress: [{{from: [{{{block}}}], ports: [{{port: 9090, endPort: 9095}}]}}]");
        probes.apply(&policy("range", "{matchLabels: {app: listener}}", &range));
        for port in [9090, 9095] {
            client.finds(&listener, port, "open");
            stranger.finds(&listener, port, "blocked");
        }
        client.finds(&listener, 9096, "blocked");
        probes.apply(&policy("no-egress", "{matchLabels: {app: client}}", "policyTypes: [Egress]"));
        client.finds(&listener, 9090, "blocked");
    });
    probes.end();
}

fn policy(name: &str, selector: &str, rest: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: {OUTSIDE}}}\n\
         spec:\n  podSelector: {selector}\n  {rest}\n"
    )
}

struct Probes<'a> {
    bench: &'a Bench,
}

/// A pod to ask from.
struct Pod<'a> {
    bench: &'a Bench,
    namespace: String,
    name: String,
}

impl Probes<'_> {
    fn start(bench: &Bench) -> Probes<'_> {
        let probes = Probes { bench };
        let image = bench.kubectl("-n polls get deployment polls-frontend -o jsonpath={.spec.template.spec.containers[0].image}");
        let pod = |namespace: &str, app: &str, program: &str| {
            let program = serde_json::json!(["python3", "-c", program]);
            format!(
                "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {app}, namespace: {namespace}, labels: {{app: {app}}}}}\nspec:\n  \
                 terminationGracePeriodSeconds: 0\n  securityContext: {{runAsNonRoot: true, runAsUser: 10001, seccompProfile: {{type: RuntimeDefault}}}}\n  \
                 containers:\n  - name: probe\n    image: {image}\n    imagePullPolicy: IfNotPresent\n    command: {program}\n    \
                 ports: [{{name: web, containerPort: 8080}}]\n    \
                 securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}\n"
            )
        };
        let rest = "import time; time.sleep(3600)";
        let mut text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {OUTSIDE}}}\n");
        for (namespace, app, program) in
            [(OUTSIDE, "listener", LISTEN), (OUTSIDE, "client", rest), (OUTSIDE, "stranger", rest), ("polls", "stray", rest)]
        {
            text.push_str(&pod(namespace, app, program));
        }
        probes.apply(&text);
        bench.kubectl(&format!("-n {OUTSIDE} wait pod --all --for=condition=Ready --timeout=90s"));
        bench.kubectl("-n polls wait pod/stray --for=condition=Ready --timeout=90s");
        probes
    }

    fn apply(&self, text: &str) {
        let command = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "apply", "-f", "-"];
        let input = futures_util::stream::iter([Ok(bytes::Bytes::from(text.to_owned()))]);
        let out = self.bench.engine().exec_with_input(&self.bench.node(), &command, input).unwrap();
        assert_eq!(out.code, 0, "{text}\n{out:?}");
    }

    fn address(&self, namespace: &str, labels: &str) -> String {
        self.bench.kubectl(&format!("-n {namespace} get pod -l {labels} -o jsonpath={{.items[0].status.podIP}}"))
    }

    /// The address of the engine's side of the node's network.
    fn gateway(&self) -> String {
        let out = self.bench.engine().exec(&self.bench.node(), &["ip", "-4", "route", "show", "default"]).unwrap();
        out.stdout.split_whitespace().nth(2).unwrap_or_else(|| panic!("{out:?}")).to_owned()
    }

    fn pod(&self, namespace: &str, labels: &str) -> Pod<'_> {
        let name = self.bench.kubectl(&format!("-n {namespace} get pod -l {labels} -o jsonpath={{.items[0].metadata.name}}"));
        Pod { bench: self.bench, namespace: namespace.to_owned(), name }
    }

    fn end(&self) {
        self.bench.kubectl(&format!("delete namespace {OUTSIDE} --wait=true --timeout=90s"));
        self.bench.kubectl("-n polls delete pod stray --wait=true --timeout=60s");
    }
}

impl Pod<'_> {
    /// Asks until a connection to this port ends as expected.
    #[track_caller]
    fn finds(&self, address: &str, port: u16, expected: &str) {
        let began = Instant::now();
        let mut seen = self.asks(address, port);
        while seen != expected && began.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_millis(300));
            seen = self.asks(address, port);
        }
        assert_eq!(seen, expected, "{} in {} asks {address}:{port}", self.name, self.namespace);
        // What is blocked only at first, or open only at first, would be found by chance above.
        assert_eq!(self.asks(address, port), expected, "{} in {} asks {address}:{port} again", self.name, self.namespace);
        eprintln!("   {:28} -> {address}:{port:<5} {expected}", format!("{}/{}", self.namespace, self.name));
    }

    fn asks(&self, address: &str, port: u16) -> String {
        let port = port.to_string();
        let mut command = vec!["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "-n", &self.namespace, "exec", &self.name];
        match self.name.starts_with("polls-db-") {
            true => command.extend(["-c", "postgres", "--", "bash", "-c", ASK_BASH]),
            false => command.extend(["--", "python3", "-c", ASK]),
        }
        command.extend([address, &port]);
        let out = self.bench.engine().exec(&self.bench.node(), &command).unwrap();
        assert_eq!(out.code, 0, "{out:?}");
        out.stdout.trim().to_owned()
    }
}
