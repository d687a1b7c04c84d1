//! A cluster that has an Ingress controller and cert-manager already: another project's application behind them, by Ingress and by Gateway.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pocdeploy::{
    graph::TaskId,
    images::{self, Role, packages},
};

use crate::{
    acme::{self, Manager, Pebble},
    bench::{Bench, command, tool},
    browser, programs,
    registry::Registry,
};

/// The registry's name for the nodes.
const INNER: &str = "registry.internal:5000";
/// The application's host: no DNS server knows it.
const HOST: &str = "shop.pocdeploy.test";
/// As in `cert-manager/go.mod`.
const CERT_MANAGER: &str = "v1.21.2";

/// Traefik for the whole cluster, at the node's address, as platform teams have it; an authority of the company's, and one that asks names. It
/// has an address of its own, since policies let all through that comes from the pod's own node.
const INFRASTRUCTURE: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: infra}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: infra-traefik}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: default, namespace: infra}]
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: corp}
spec: {controller: traefik.io/ingress-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: corp}
spec: {controllerName: traefik.io/gateway-controller}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: traefik, namespace: infra}
spec:
  selector: {matchLabels: {app: traefik}}
  template:
    metadata: {labels: {app: traefik}}
    spec:
      containers:
      - name: traefik
        image: IMAGE
        args:
        - --entrypoints.web.address=:80
        - --entrypoints.websecure.address=:443
        - --entrypoints.websecure.http.tls=true
        - --providers.kubernetesingress=true
        - --providers.kubernetesingress.ingressclass=corp
        - --providers.kubernetesingress.ingressendpoint.ip=ADDRESS
        - --providers.kubernetesgateway=true
        - --providers.kubernetesgateway.statusaddress.ip=ADDRESS
        - --global.checknewversion=false
        - --global.sendanonymoususage=false
        securityContext: {runAsUser: 0}
---
apiVersion: v1
kind: Service
metadata: {name: traefik, namespace: infra}
spec:
  selector: {app: traefik}
  externalIPs: [ADDRESS]
  ports: [{name: web, port: 80}, {name: websecure, port: 443}]
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: self-signed}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: corp-ca, namespace: infra}
spec: {isCA: true, commonName: corp, secretName: corp-ca, issuerRef: {kind: ClusterIssuer, name: self-signed}}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: corp}
spec: {ca: {secretName: corp-ca}}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: acme}
spec: {acme: {server: DIRECTORY, caBundle: BUNDLE, privateKeySecretRef: {name: acme}, solvers: [{http01: {ingress: {ingressClassName: corp}}}]}}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: acme-routes}
spec: {acme: {server: DIRECTORY, caBundle: BUNDLE, privateKeySecretRef: {name: acme-routes}, solvers: [{http01: {gatewayHTTPRoute: {}}}]}}
";

/// The guest's user: a name that leads to the controller, and authorities that are trusted.
struct User<'a> {
    bench: &'a Bench,
    hosts: PathBuf,
    trusted: PathBuf,
    authorities: [PathBuf; 2],
    address: String,
}

impl User<'_> {
    /// The tool with a hosts file of its own, in a mount namespace.
    fn run(&self, arguments: &[&str]) -> crate::bench::Ran {
        let script = format!("mount --bind '{}' /etc/hosts && exec \"$@\"", self.hosts.display());
        let program = tool().to_str().unwrap();
        let all = [&["--mount", "sh", "-c", &script, "sh", program], arguments].concat();
        let mut command = command(Path::new("unshare"), &self.bench.path(""), &all);
        command.env("SSL_CERT_FILE", &self.trusted);
        self.bench.ran(&mut command)
    }

    /// The status of a page by curl.
    fn status(&self, url: &str) -> String {
        let port = if url.starts_with("https") { 443 } else { 80 };
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code} %{redirect_url}",
        ]);
        command.arg("--cacert").arg(&self.trusted).args(["--resolve", &format!("{HOST}:{port}:{}", self.address), url]);
        self.bench.ran_quietly(&mut command).stdout
    }

    fn votes(&self, url: &str) {
        let home = self.bench.path("home");
        fs::create_dir_all(home.join(".pki/nssdb")).unwrap();
        let store = format!("sql:{}", home.join(".pki/nssdb").display());
        for authority in &self.authorities {
            let name = authority.file_stem().unwrap().to_str().unwrap();
            let mut command = Command::new("certutil");
            command.args(["-d", &store, "-A", "-t", "C,,", "-n", name, "-i"]).arg(authority).stdin(Stdio::null());
            self.bench.ran(&mut command).ends_with(0);
        }
        let votes = browser::vote_behind(url, &self.bench.pictures(), &home, &format!("MAP {HOST} {}", self.address));
        assert_eq!(votes.all_after, votes.all_before + 1);
    }
}

/// `owner` is the cluster.
pub(crate) fn serves(owner: &Bench, registry: &Registry) {
    let kubeconfig = owner.path("target/pocdeploy/kubeconfig");
    let before = owner.world();
    let address = owner.kubectl("get nodes -o jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}");
    let (pebble, manager) = owner.step("the cluster has an Ingress controller and cert-manager", || {
        registry.introduce(&owner.node(), INNER);
        let env = owner.env();
        env.set_engine(owner.engine());
        packages::ensure(&env, TaskId::NodeImage, Role::Traefik).unwrap();
        registry.publish(&packages::reference(&env, Role::Traefik).unwrap(), "infra/traefik", "1");
        let definitions = images::gateway_definitions(&env, TaskId::Operator).unwrap();
        apply(owner, &serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": definitions }).to_string());
        let crds = programs::module("github.com/cert-manager/cert-manager", CERT_MANAGER).join("deploy/crds");
        for file in fs::read_dir(crds).unwrap().flatten().filter(|it| it.path().extension().is_some_and(|it| it == "yaml")) {
            apply(owner, &fs::read_to_string(file.path()).unwrap());
        }
        owner.kubectl("wait --for=condition=Established crd --all --timeout=60s");
        acme::publish_solver(owner, registry, "infra/acmesolver");
        let pebble = Pebble::start(&owner.pictures(), &address);
        let manager = Manager::start(owner, &format!("{INNER}/infra/acmesolver:1"), &pebble);
        let image = format!("{INNER}/infra/traefik:1");
        let wanted = INFRASTRUCTURE.replace("IMAGE", &image).replace("ADDRESS", &address);
        apply(owner, &wanted.replace("DIRECTORY", &pebble.directory).replace("BUNDLE", &pebble.bundle()));
        owner.kubectl("-n infra rollout status deployment/traefik --timeout=120s");
        owner.kubectl("wait --for=condition=Ready clusterissuer --all --timeout=120s");
        (pebble, manager)
    });

    let guest = Bench::new("behind");
    let authorities = ["corp.crt", "pebble.crt"].map(|it| guest.path(it));
    fs::write(&authorities[0], STANDARD.decode(owner.kubectl("-n infra get secret corp-ca -o jsonpath={.data.tls\\.crt}")).unwrap())
        .unwrap();
    fs::write(&authorities[1], pebble.root()).unwrap();
    let trusted = guest.path("all.crt");
    let all = [&registry.trusted(), &authorities[0], &authorities[1]].map(|it| fs::read(it).unwrap());
    fs::write(&trusted, all.concat()).unwrap();
    let hosts = guest.path("hosts");
    let known = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let user = User { bench: &guest, hosts, trusted, authorities, address };
    let configure = |ingress: &str| {
        guest.configure(&format!(
            "namespace = \"shop\"\n[images]\nsource = \"packages\"\n[frontend]\nreplicas = 1\nhost = \"{HOST}\"\n[cluster]\ntype = \"existing\"\nkubeconfig = \"{}\"\ncontext = \"kind-{}\"\nregistry = \"{}/team\"\npull_registry = \"{INNER}/team\"\n\
             expose = \"ingress\"\n[ingress]\n{ingress}\n",
            kubeconfig.display(),
            owner.instance,
            registry.place(),
        ));
    };
    let url = format!("https://{HOST}/");

    guest.step("a name that leads elsewhere is named with the record that is missing", || {
        fs::write(&user.hosts, format!("{known}\n127.0.0.9 {HOST}\n")).unwrap();
        configure("class = \"corp\"\ntls = \"cert-manager\"\nissuer = \"missing\"");
        // All but the last task, for which the time below is.
        for task in ["database", "load"] {
            user.run(&[task, "--yes"]).ends_with(0);
        }
        let created = user.run(&["create", "--yes", "--timeout", "60s"]);
        let said = format!(
            "{HOST} leads to 127.0.0.9, and the controller is at {} (right if a proxy is in front); a DNS record of type A leads it to {}",
            user.address, user.address
        );
        assert!(created.code != 0 && created.stderr.contains(&said), "{} {}", created.code, created.stderr);
        let seen = user.run(&["validate"]);
        seen.ends_with(5);
        assert!(seen.stdout.contains(&said), "{}", seen.stdout);
    });
    guest.step("then the issuer that does not exist", || {
        fs::write(&user.hosts, format!("{known}\n{} {HOST}\n", user.address)).unwrap();
        let created = user.run(&["create", "--yes", "--timeout", "30s"]);
        assert_ne!(created.code, 0);
        assert!(created.stderr.contains("missing") && created.stderr.contains("CertificateRequest"), "{}", created.stderr);
    });
    guest.step("with both create ends at HTTPS with a certificate for which the site itself answered a challenge", || {
        configure("class = \"corp\"\ntls = \"cert-manager\"\nissuer = \"acme\"");
        let created = user.run(&["create", "--yes"]);
        created.ends_with(0);
        assert_eq!(created.stdout.trim_end(), url);
        user.run(&["validate"]).ends_with(0);
        user.run(&["create", "--yes"]).ends_with(0).says("0 ran");
        assert_eq!(owner.kubectl("-n shop get ingress polls-frontend -o jsonpath={.spec.ingressClassName}"), "corp");
        assert!(user.status(&url).starts_with("200"), "{}", user.status(&url));
        assert_eq!(user.status(&url.replace("https", "http")), format!("301 {url}"));
        user.votes(&url);
    });
    guest.step("the same through a Gateway of the tool's, in a namespace of its own", || {
        configure("api = \"gateway\"\nclass = \"corp\"\ntls = \"cert-manager\"\nissuer = \"acme-routes\"");
        user.run(&["update"]).ends_with(0);
        user.run(&["validate"]).ends_with(0);
        assert_eq!(owner.kubectl("-n shop get ingresses -o name"), "");
        assert!(user.status(&url).starts_with("200"), "{}", user.status(&url));
        assert_eq!(user.status(&url.replace("https", "http")), format!("301 {url}"));
        user.votes(&url);
    });
    guest.step("and through a Gateway that the platform team has", || {
        let listener = "{name: https, port: 443, protocol: HTTPS, hostname: '*.pocdeploy.test', allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: wildcard}]}}";
        let certificate = "{secretName: wildcard, dnsNames: ['*.pocdeploy.test'], issuerRef: {kind: ClusterIssuer, name: corp}}";
        apply(
            owner,
            &format!(
                "{{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {{name: wildcard, namespace: infra}}, spec: {certificate}}}\n---\n\
                 {{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: shared, namespace: infra}}, spec: {{gatewayClassName: corp, listeners: [{listener}]}}}}\n"
            ),
        );
        configure("api = \"gateway\"\ngateway = \"infra/shared\"\ntls = \"external\"");
        user.run(&["update"]).ends_with(0).says("kubectl delete namespace shop-gateway");
        user.run(&["validate"]).ends_with(0);
        assert!(owner.kubectl_fails("-n shop-gateway get gateway ingress").contains("not found"));
        assert!(user.status(&url).starts_with("200"), "{}", user.status(&url));
        user.votes(&url);
        user.run(&["export", "--format", "kustomize"]).ends_with(0);
        let exported = all_of(&guest.path("export/kustomize"));
        assert!(exported.contains("kind: HTTPRoute") && exported.contains("name: shared") && !exported.contains("kind: Ingress\n"));
    });
    guest.step("a rollback to the Ingress serves by it", || {
        user.run(&["rollback", "3"]).ends_with(0);
        assert!(user.status(&url).starts_with("200"), "{}", user.status(&url));
        assert_eq!(owner.kubectl("-n shop get httproutes -o name"), "");
    });
    guest.step("delete takes its own and nothing else", || {
        user.run(&["delete", "--yes"]).ends_with(0).says("audit: nothing in the cluster carries this instance's label");
        for namespace in ["shop", "shop-gateway"] {
            assert!(owner.kubectl_fails(&format!("get namespace {namespace}")).contains("not found"));
        }
        owner.kubectl("-n infra get gateway shared");
        owner.kubectl("delete namespace infra --wait=true");
        owner.kubectl("delete clusterrolebinding infra-traefik");
        drop((pebble, manager));
        crate::similar(&before, &owner.world());
    });
}

/// The text of all files below a folder.
fn all_of(folder: &Path) -> String {
    let files = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|it| it.file_type().is_file());
    files.map(|it| fs::read_to_string(it.path()).unwrap()).collect()
}

/// Applies manifests as cluster-admin.
fn apply(owner: &Bench, manifests: &str) {
    let input = futures_util::stream::iter([Ok(bytes::Bytes::from(manifests.to_owned()))]);
    let apply = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "apply", "--server-side", "-f", "-"];
    let out = owner.engine().exec_with_input(&owner.node(), &apply, input).unwrap();
    assert_eq!(out.code, 0, "{out:?}");
}
