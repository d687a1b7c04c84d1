//! The Ingress controller: HTTPS with this machine's authority, several services at one address, and the way back to a plain port.

use std::fs;

use crate::{bench::Bench, browser};

/// A further service that says how it was asked. Two of them: at a path of the application's host, and at a host of its own.
const SERVICES: &str = "\
[services.hello]
uses = 'frontend'
command = ['python3', '-c', '''
import http.server as it
class Hello(it.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path.startswith('/hello') else 404)
        self.end_headers()
        self.wfile.write(' '.join([self.headers['Host'], self.path, self.headers.get('X-Forwarded-Proto', 'none')]).encode())
it.HTTPServer(('', 8000), Hello).serve_forever()
''']
port = 8000
route = '/hello'
page = '/hello'
[services.files]
uses = 'frontend'
command = ['python3', '-m', 'http.server', '8000', '--directory', '/tmp']
port = 8000
route = 'files.polls.localhost'
page = '/'
";

fn door(bench: &Bench, ingress: &str, services: &str) {
    bench.configure(&format!("[frontend]\ntext = \"Polls\"\nreplicas = 1\n[ingress]\n{ingress}\n{services}"));
}

pub(crate) fn opens(bench: &Bench) {
    door(bench, "controller = \"traefik\"\ntls = \"local\"", SERVICES);
    let url = bench.step("create brings up the controller, and asks for every page through it", || {
        let created = bench.run(&["create", "--yes"]);
        created.ends_with(0).says("image/ingress");
        bench.run(&["validate"]).ends_with(0);
        let url = created.stdout.trim_end().to_owned();
        assert!(url.starts_with("https://polls.localhost:"), "{url}");
        assert!(bench.run(&["ls"]).ends_with(0).stdout.contains(&url));
        url
    });
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    let authority = pocdeploy::authority::certificate_path(&bench.env());
    let ask = |url: &str, flags: &[&str]| curl(bench, url, flags);
    let trusting = ["--cacert", authority.to_str().unwrap()];

    bench.step("the certificate is good for who trusts the authority, and for nobody else", || {
        assert_eq!(ask(&url, &trusting).0, "200");
        let refused = ask(&url, &[]);
        assert!(refused.1.contains("SSL certificate problem"), "{refused:?}");
        let home = bench.path("home");
        fs::create_dir_all(&home).unwrap();
        assert!(browser::warns_of_authority(&url, &home));
    });

    bench.step("a browser that was told as `trust` says votes without a warning", || {
        let said = bench.run(&["trust"]);
        said.ends_with(0);
        let told = said.stdout.lines().find(|it| it.contains("certutil -d sql:$HOME/.pki/nssdb -A")).unwrap().trim();
        let home = bench.path("home");
        // The command asks for no password where the store has none.
        let ran = bench.ran(std::process::Command::new("sh").args(["-ec", told]).env("HOME", &home).stdin(std::process::Stdio::null()));
        ran.ends_with(0);
        assert!(!browser::warns_of_authority(&url, &home));
        let votes = browser::vote_at_home(&url, &bench.pictures(), Some(&home));
        assert_eq!(votes.all_after, votes.all_before + 1);
    });

    bench.step("cookies are secure, plain HTTP is led to HTTPS on the same port, and a caller cannot claim HTTPS", || {
        let head = ask(&url, &[&trusting[..], &["--head"]].concat()).1.to_lowercase();
        assert!(!head.contains("strict-transport-security"), "{head}");
        let index = ask(&url, &trusting).1;
        let link = index.split("class=\"questions\"").nth(1).and_then(|it| it.split("href=\"/").nth(1)?.split('"').next()).unwrap();
        let poll = ask(&format!("{url}{link}"), &[&trusting[..], &["--include"]].concat()).1;
        let cookie = poll.lines().find(|it| it.to_lowercase().starts_with("set-cookie: csrftoken=")).unwrap_or_else(|| panic!("{poll}"));
        assert!(cookie.contains("Secure"), "{cookie}");
        let plain = url.replace("https://", "http://");
        let led = ask(&format!("{plain}polls/?a=b"), &["--head", "--header", "X-Forwarded-Proto: https"]);
        assert_eq!(led.0, "307", "{led:?}");
        assert!(led.1.contains(&format!("Location: {url}polls/?a=b")), "{led:?}");
    });

    bench.step("services share the address by path and by host", || {
        let asked = |url: &str| ask(url, &trusting);
        assert_eq!(asked(&format!("{url}hello/a")), ("200".to_owned(), format!("polls.localhost:{port} /hello/a https")));
        // The standard compares whole elements of a path.
        assert_eq!(asked(&format!("{url}hello-a")).0, "404");
        assert_eq!(asked(&format!("https://files.polls.localhost:{port}/")).0, "200");
        let status = bench.run(&["status"]);
        assert!(status.ends_with(0).stdout.contains(&format!("{url}hello answers 200")), "{}", status.stdout);
    });

    bench.step("a route that was removed is red, and create puts it back", || {
        bench.kubectl("-n polls delete ingress hello");
        let seen = bench.run(&["validate"]);
        seen.ends_with(5);
        assert!(seen.stdout.contains("Ingress hello in polls") && seen.stdout.contains("/hello"), "{}", seen.stdout);
        bench.run(&["create", "--yes"]).ends_with(0).says("Ingress hello in polls does not exist");
        bench.run(&["validate"]).ends_with(0);
    });

    bench.step("a certificate of another authority is red, and create makes a right one", || {
        bench.kubectl("-n polls annotate secret pocdeploy-ingress-tls --overwrite dev.pocdeploy/inputs=other");
        let seen = bench.run(&["validate"]);
        seen.ends_with(5);
        assert!(seen.stdout.contains("its certificate is of another authority, or for other hosts"), "{}", seen.stdout);
        bench.run(&["create", "--yes"]).ends_with(0).says("its certificate is of another authority");
        bench.run(&["validate"]).ends_with(0);
        bench.run(&["create", "--yes"]).ends_with(0).says("nothing to do");
    });

    bench.step("the same through a Gateway: HTTPS, the redirect, paths and hosts", || {
        door(bench, "controller = \"traefik\"\napi = \"gateway\"\ntls = \"local\"", SERVICES);
        bench.run(&["update"]).ends_with(0);
        bench.run(&["validate"]).ends_with(0);
        assert_eq!(bench.kubectl("get ingresses -A -o name"), "");
        let routes = bench.kubectl("-n polls get httproutes -o name");
        assert_eq!(routes.lines().count(), 3, "{routes}");
        let asked = |url: &str| ask(url, &trusting);
        assert_eq!(asked(&url).0, "200");
        assert_eq!(asked(&format!("{url}hello/a")), ("200".to_owned(), format!("polls.localhost:{port} /hello/a https")));
        assert_eq!(asked(&format!("{url}hello-a")).0, "404");
        assert_eq!(asked(&format!("https://files.polls.localhost:{port}/")).0, "200");
        let led = ask(&format!("{}polls/", url.replace("https://", "http://")), &["--head"]);
        assert_eq!(led.0, "307", "{led:?}");
        let home = bench.path("home");
        let votes = browser::vote_at_home(&url, &bench.pictures(), Some(&home));
        assert_eq!(votes.all_after, votes.all_before + 1);
    });

    bench.step("an HTTPRoute that was removed is red, and create puts it back", || {
        bench.kubectl("-n polls delete httproute hello");
        let seen = bench.run(&["validate"]);
        seen.ends_with(5);
        assert!(seen.stdout.contains("HTTPRoute hello in polls") && seen.stdout.contains("/hello"), "{}", seen.stdout);
        bench.run(&["create", "--yes"]).ends_with(0).says("HTTPRoute hello in polls does not exist");
        bench.run(&["create", "--yes"]).ends_with(0).says("nothing to do");
    });

    bench.step("a pod that a full node turned away is no fault, since its ReplicaSet has all its pods", || {
        turn_away(bench);
        let seen = bench.run(&["validate"]);
        seen.ends_with(0);
        assert!(!seen.stdout.contains("turned-away"), "{}", seen.stdout);
        let status = bench.run(&["status"]);
        assert!(status.stdout.lines().any(|it| it.contains(" app ") && it.contains("1 of 1 pods ready")), "{}", status.stdout);
        bench.run(&["create", "--yes"]).ends_with(0).says("nothing to do");
    });

    bench.step("without HTTPS the same port speaks plain HTTP", || {
        door(bench, "controller = \"traefik\"", SERVICES);
        let updated = bench.run(&["update"]);
        updated.ends_with(0);
        bench.run(&["validate"]).ends_with(0);
        assert_eq!(ask(&url.replace("https://", "http://"), &[]).0, "200");
        bench.kubectl_fails("-n polls get secret pocdeploy-ingress-tls");
    });

    bench.step("without a controller the application has the port, and with one again the controller", || {
        door(bench, "controller = \"none\"", "");
        bench.run(&["update"]).ends_with(0);
        bench.run(&["validate"]).ends_with(0);
        assert_eq!(ask(&format!("http://localhost:{port}/"), &[]).0, "200");
        assert_eq!(bench.kubectl("-n polls get deployments -o name").trim(), "deployment.apps/polls-frontend");
        door(bench, "controller = \"traefik\"", "");
        bench.run(&["update"]).ends_with(0);
        bench.run(&["validate"]).ends_with(0);
        assert_eq!(ask(&format!("http://polls.localhost:{port}/"), &[]).0, "200");
        assert_eq!(ask(&format!("http://localhost:{port}/"), &[]).0, "404");
    });

    bench.step("delete takes everything away", || {
        bench.run(&["delete", "--yes"]).ends_with(0);
        assert_eq!(bench.traces(), Vec::<String>::new());
    });
}

/// Makes a pod of the application's ReplicaSet that its node rejects, as the kubelet does when the scheduler counts fewer pods than it does. It
/// becomes the ReplicaSet's once it has failed: one that is alive would be deleted as surplus.
fn turn_away(bench: &Bench) {
    let pods = bench.kubectl("-n polls get pods -l app.kubernetes.io/component=frontend -o json");
    let mut pod = serde_json::from_str::<serde_json::Value>(&pods).unwrap()["items"][0].take();
    let (labels, owners) = (pod["metadata"]["labels"].take(), pod["metadata"]["ownerReferences"].take());
    pod["metadata"] = serde_json::json!({ "name": "turned-away", "namespace": "polls" });
    for kind in ["requests", "limits"] {
        pod["spec"]["containers"][0]["resources"][kind]["cpu"] = serde_json::json!("900");
    }
    pod["status"] = serde_json::json!({});
    let input = futures_util::stream::iter([Ok(bytes::Bytes::from(pod.to_string()))]);
    let create = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "create", "-f", "-"];
    let out = bench.engine().exec_with_input(&bench.node(), &create, input).unwrap();
    assert_eq!(out.code, 0, "{out:?}");
    bench.kubectl("-n polls wait pod/turned-away --for=jsonpath={.status.reason}=OutOfcpu --timeout=60s");
    let patch = serde_json::json!({ "metadata": { "labels": labels, "ownerReferences": owners } }).to_string();
    bench.kubectl(&format!("-n polls patch pod turned-away --type=merge -p {patch}"));
    assert!(bench.kubectl("-n polls get pods -l app.kubernetes.io/component=frontend").contains("turned-away"));
}

/// The status and what curl printed, also of a failure, whose status is 000.
fn curl(bench: &Bench, url: &str, flags: &[&str]) -> (String, String) {
    let mut command = std::process::Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"]);
    let ran = bench.ran_quietly(command.args(flags).arg(url));
    let (said, status) = ran.stdout.rsplit_once('\n').unwrap_or_default();
    (status.to_owned(), format!("{said}{}", ran.stderr))
}
