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
    let listener = probes.address(OUTSIDE, "app=listener");
    let (client, stranger) = (probes.pod(OUTSIDE, "app=client"), probes.pod(OUTSIDE, "app=stranger"));
    let database = probes.pod("polls", "cnpg.io/cluster=polls-db");
    bench.step("only the intended ports of application and database answer, and only their clients", || {
        let frontend = probes.address("polls", "app.kubernetes.io/component=frontend");
        let address = probes.address("polls", "cnpg.io/cluster=polls-db");
        // In the same namespace, and still not a client of the database.
        let stray = probes.pod("polls", "app=stray");
        let application = probes.pod("polls", "app.kubernetes.io/component=frontend");
        all(&[
            (&stranger, &frontend, 8000, "open"),
            (&stranger, &frontend, 8001, "blocked"),
            (&stranger, &address, 5432, "blocked"),
            (&stranger, &address, 8000, "blocked"),
            (&stranger, &address, 9187, "blocked"),
            (&stray, &address, 5432, "blocked"),
            (&stray, &address, 8000, "blocked"),
            (&stranger, &listener, 8080, "open"),
            (&application, &address, 5432, "open"),
            (&application, &listener, 8080, "blocked"),
        ]);
    });

    bench.step("of all ports that listen in the pods of application, database and operator, two answer to strangers", || {
        let frontends = probes.addresses("polls", "app.kubernetes.io/component=frontend");
        let mut asked = 0;
        for namespace in ["polls", "cnpg-system"] {
            for address in probes.addresses(namespace, "app!=stray,!batch.kubernetes.io/job-name") {
                let ports = probes.listening(&address);
                assert!(!ports.is_empty(), "nothing listens at {address}");
                let expected = |port: &u16| answer(namespace == "cnpg-system", &frontends, &address, *port);
                let questions: Vec<_> = ports.iter().map(|it| (&stranger, &address, *it, expected(it))).collect();
                all(&questions);
                asked += ports.len();
            }
        }
        eprintln!("   {asked} ports");
        assert!(asked >= 7, "{asked}");
    });

    bench.step("the database reaches nothing outside but the API server's ports", || {
        // The engine's own address: outside the cluster, and nothing listens there.
        let outside = probes.gateway();
        all(&[
            (&stranger, &outside, 9, "refused"),
            (&database, &outside, 9, "blocked"),
            (&database, &listener, 8080, "blocked"),
            (&database, &outside, 443, "refused"),
        ]);
    });

    bench.step("named ports, CIDRs with exceptions, ranges and default-deny do what the standard says", || {
        all(&[(&client, &listener, 8080, "open")]);
        probes.apply(&policy("default-deny", "{}", "policyTypes: [Ingress]"));
        all(&[(&client, &listener, 8080, "blocked")]);
        let from_client = "ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: web}]}]";
        probes.apply(&policy("named", "{matchLabels: {app: listener}}", from_client));
        all(&[(&client, &listener, 8080, "open"), (&client, &listener, 9090, "blocked"), (&stranger, &listener, 8080, "blocked")]);
        let except = probes.address(OUTSIDE, "app=stranger");
        let block = format!("ipBlock: {{cidr: 0.0.0.0/0, except: [{except}/32]}}");
        let range = format!("ingress: [{{from: [{{{block}}}], ports: [{{port: 9090, endPort: 9095}}]}}]");
        probes.apply(&policy("range", "{matchLabels: {app: listener}}", &range));
        all(&[
            (&client, &listener, 9090, "open"),
            (&client, &listener, 9095, "open"),
            (&stranger, &listener, 9090, "blocked"),
            (&stranger, &listener, 9095, "blocked"),
            (&client, &listener, 9096, "blocked"),
        ]);
        probes.apply(&policy("no-egress", "{matchLabels: {app: client}}", "policyTypes: [Egress]"));
        all(&[(&client, &listener, 9090, "blocked")]);
    });

    bench.step("a node without rules is not called healthy", || {
        let in_node = |command: &str| {
            let command: Vec<&str> = command.split_whitespace().collect();
            let out = bench.engine().exec(&bench.node(), &command).unwrap();
            assert_eq!(out.code, 0, "{out:?}");
        };
        // Else it would make the rules again with the next change of a pod.
        in_node("pkill -STOP -x policies");
        in_node("nft delete table inet kube-network-policies");
        bench
            .run(&["validate"])
            .ends_with(5)
            .says(&format!("not enforced: node {} has no rules for them", bench.node()))
            .says("-c policies");
        in_node("pkill -CONT -x policies");
    });
    probes.end();
    let began = Instant::now();
    while bench.run(&["validate"]).code != 0 {
        assert!(began.elapsed() < LIMIT, "the rules were not made again");
    }
}

/// What a port answers to a stranger. The operator's webhooks answer everybody, since no rule can name the API server, which calls them.
fn answer(is_operator: bool, frontends: &[String], address: &str, port: u16) -> &'static str {
    let is_page = port == 8000 && frontends.iter().any(|it| it == address);
    if is_page || (is_operator && port == 9443) { "open" } else { "blocked" }
}

/// Asks all at the same time, each until its connection ends as expected.
#[track_caller]
fn all(questions: &[(&Pod<'_>, &String, u16, &str)]) {
    std::thread::scope(|scope| {
        let asked: Vec<_> =
            questions.iter().map(|(pod, address, port, expected)| scope.spawn(|| pod.finds(address, *port, expected))).collect();
        for (it, question) in asked.into_iter().zip(questions) {
            assert!(it.join().is_ok(), "{} asks {}:{}", question.0.name, question.1, question.2);
        }
    });
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

    /// The addresses of the running pods.
    fn addresses(&self, namespace: &str, labels: &str) -> Vec<String> {
        let running = "--field-selector=status.phase=Running";
        let said = self.bench.kubectl(&format!("-n {namespace} get pod -l {labels} {running} -o jsonpath={{.items[*].status.podIP}}"));
        said.split_whitespace().map(str::to_owned).collect()
    }

    /// The ports on which a pod listens for others than itself.
    fn listening(&self, address: &str) -> Vec<u16> {
        let script = format!(
            "for p in /proc/[0-9]*; do\n\
             awk -v ip={address} '/host LOCAL/ && seen == ip {{found = 1}} {{seen = $2}} END {{exit !found}}' $p/net/fib_trie 2>/dev/null &&\n\
             {{ cat $p/net/tcp $p/net/tcp6; exit; }}\ndone\nexit 1"
        );
        let out = self.bench.engine().exec(&self.bench.node(), &["sh", "-c", &script]).unwrap();
        assert_eq!(out.code, 0, "{address}: {out:?}");
        // proc(5): the local address and port in hexadecimal digits, the other side's, and the state, 0A for LISTEN.
        let listens = out.stdout.lines().filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (local, port) = words.get(1)?.split_once(':')?;
            let is_open = words.get(3) == Some(&"0A") && local != "0100007F" && local != "00000000000000000000000001000000";
            is_open.then(|| u16::from_str_radix(port, 16).unwrap())
        });
        let mut ports: Vec<u16> = listens.collect();
        ports.sort_unstable();
        ports.dedup();
        ports
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
