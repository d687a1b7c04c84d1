//! Tests with wrong files: all mistakes are reported at once, each with its place, and with the closest known name.

use crate::{
    config::Config,
    errors::{Exit, exit_code, render},
};

/// A file, and texts of the report in order.
const FILES: &[(&str, &[&str])] = &[
    ("naem = \"x\"", &["1:1: unknown key `naem`; did you mean `name`?"]),
    ("[frontend]\npathh = \"x\"", &["2:1: unknown key `frontend.pathh`; did you mean `frontend.path`?"]),
    ("[fronted]\npath = \"x\"", &["2:1: unknown key `fronted.path`; did you mean `frontend.path`?"]),
    ("[other]\nkey = 1", &["2:1: unknown key `other.key`\n"]),
    ("[other]", &["1:2: unknown key `other`"]),
    ("port = 1", &["1:1: unknown key `port`"]),
    ("[cluster]\nports = 8080", &["2:1: unknown key `cluster.ports`; did you mean `cluster.port`?"]),
    ("[database.extra]\nx = 1", &["2:1: unknown key `database.extra.x`"]),
    ("name = 5", &["1:8: name: invalid type: integer `5`, expected a string"]),
    ("name = [\"x\"]", &["1:8: name: invalid type: sequence, expected a string"]),
    ("[frontend]\nbuild_network = \"yes\"", &["2:17: frontend.build_network: invalid type: string \"yes\", expected a boolean"]),
    ("[cluster]\nport = \"8080\"", &["2:8: cluster.port: invalid type: string \"8080\", expected u16"]),
    ("[cluster]\nport = 70000", &["2:8: cluster.port: invalid value: integer `70000`, expected u16"]),
    ("[cluster]\nport = -1", &["2:8: cluster.port: invalid value: integer `-1`, expected u16"]),
    ("[cluster]\nport = 0", &["2:1: cluster.port: must be between 1 and 65535"]),
    ("[cluster]\nport = 80.5", &["2:8: cluster.port: invalid type: floating point `80.5`, expected u16"]),
    ("[cluster]\ntype = \"kid\"", &["2:8: cluster.type: unknown variant `kid`", "did you mean `kind`?"]),
    (
        "[cluster]\ntype = \"openstack\"",
        &["2:8: cluster.type: unknown variant `openstack`, expected one of `kind`, `existing`, `eks`, `aks`, `gke`"],
    ),
    ("[images]\nsource = \"registy\"", &["2:10: images.source: unknown variant `registy`", "did you mean `registry`?"]),
    ("[images]\nmirrors = \"x\"", &["2:11: images.mirrors: invalid type: string \"x\", expected a map"]),
    (
        "[images.mirrors]\n\"docker.io\" = \"mirror.example.com\"",
        &["2:1: images.mirrors.docker.io: `mirror.example.com` must read `http://host:port`"],
    ),
    ("[images.mirrors]\n\"docker.io\" = 5", &["2:15: images.mirrors.docker.io: invalid type: integer `5`, expected a string"]),
    ("cluster = 5", &["1:11: cluster: invalid type: integer `5`, expected a table"]),
    ("[ingress]\napi = \"gateway\"", &["2:1: ingress.api: needs a controller: `ingress.controller = \"traefik\"`"]),
    ("[ingress]\napi = \"route\"", &["2:7: ingress.api: unknown variant `route`, expected `ingress` or `gateway`"]),
    ("[database.backup]\nto = \"\"", &["2:1: database.backup.to: must not be empty"]),
    ("[database.backup]\nto = \"https://x/y\"", &["2:1: database.backup.to: `https://x/y` is neither a folder nor `s3://BUCKET/PREFIX`"]),
    ("[database.backup]\nto = \"s3://A/x\"", &["2:1: database.backup.to: `s3://A/x` names no bucket"]),
    ("[database.backup]\nto = \"s3://abc/x/../y\"", &["2:1: database.backup.to: `s3://abc/x/../y` has a prefix with"]),
    ("[database.backup]\nkeep = 0", &["2:1: database.backup.keep: must be between 1 and 1000"]),
    ("[database.backup]\nevery = \"6h\"", &["2:1: unknown key `database.backup.every`"]),
    ("[database]\nversion = 15", &["2:1: database.version: must be between 16 and 18"]),
    ("[database]\nversion = \"17\"", &["2:11: database.version: invalid type: string \"17\", expected u16"]),
    (
        "[database]\nversion = 17\n[images]\npostgresql = \"x.example/postgresql:16\"",
        &["2:1: database.version: is 17, and images.postgresql has PostgreSQL 16"],
    ),
    ("[database]\nextensions = [\"pgvector\"]", &["2:1: database.extensions: `pgvector` is called `vector` in PostgreSQL"]),
    ("[database]\nextensions = [\"vector\", \"vector\"]", &["2:1: database.extensions: `vector` is there twice"]),
    ("[database]\nextensions = [\"x; DROP\"]", &["2:1: database.extensions: `x; DROP` is no extension's name"]),
    ("[database]\nextensions = \"vector\"", &["2:14: database.extensions: invalid type: string \"vector\", expected a sequence"]),
    ("[database]\ninstances = 0", &["2:1: database.instances: must be between 1 and 9"]),
    ("[database]\nprofile = \"safe\"", &["2:11: database.profile: unknown variant `safe`, expected `fast` or `durable`"]),
    ("[database]\ninstances = 10\nstorage = \"lots\"", &["2:1: database.instances: must be", "3:1: database.storage: `lots`"]),
    ("[database]\nuser = \"postgres\"", &["2:1: database.user: `postgres` is PostgreSQL's superuser"]),
    ("[database]\nname = \"a;drop\"", &["2:1: database.name: `a;drop` must be lower-case letters"]),
    ("[database]\npassword = \"\"", &["2:1: database.password: must not be empty"]),
    (
        "[database]\npassword = \"canary@4711\"\n[frontend.env]\nA = \"x://$(PGUSER):$(PGPASSWORD)@$(PGHOST)/y\"",
        &[
            "2:1: database.password: has characters other than letters, digits, `-`, `.`, `_` and `~`, and frontend.env.A puts it into a URL",
        ],
    ),
    ("[database]\npassword = 471147114711", &["2:12: database.password: must be a string"]),
    ("[frontend]\nsecret_key = \"canary\"", &["2:1: frontend.secret_key: must have at least 50 characters"]),
    (
        "[frontend.secrets]\nA = \"canary\"\nB = { generate = \"canary\" }\nC = { env = 1 }\nD = { fiel = \"x\" }\nE = {}",
        &[
            "5:7: unknown key `frontend.secrets.D.fiel`",
            "2:5: frontend.secrets.A: must name a source, such as { env = \"NAME\" }; a value has no place in this file",
            "3:18: frontend.secrets.B.generate: must be a number of characters",
            "4:13: frontend.secrets.C.env: must be a string",
            "6:1: frontend.secrets.E: names no source",
        ],
    ),
    (
        "[frontend.env]\nTOKEN = \"x\"\n[frontend.secrets]\nTOKEN = { env = \"T\" }\nDATABASE_URL = { env = \"D\" }\nb-c = { env = \"B\" }\n\
         \"*\" = { age = \"x\" }\nN = { generate = 3 }\n[services.cache]\nkind = \"valkey\"\n[services.cache.secrets]\nA = { env = \"A\" }",
        &[
            "11:17: services.cache.secrets: means nothing here: valkey reads no variables of this table",
            "7:1: frontend.secrets.*: stands for all keys of a SOPS file",
            "5:1: frontend.secrets.DATABASE_URL: `DATABASE_URL` is set by the tool; give it another name, such as MY_DATABASE_URL",
            "8:1: frontend.secrets.N: `generate` is a number of characters between 16 and 4096",
            "4:1: frontend.secrets.TOKEN: `TOKEN` is in [….env], too",
            "6:1: frontend.secrets.b-c: `b-c` is no name of a variable",
        ],
    ),
    ("[frontend]\nsecret_key = [\"canary\"]", &["2:14: frontend.secret_key: must be a string"]),
    ("[frontend]\nreplicas = \"two\"", &["2:12: frontend.replicas: invalid type: string \"two\", expected u16"]),
    (
        "[services.worker]\nuses = \"frontend\"\npath = \"x\"\nreplicas = 0\n[services.x]\npatth = \"y\"",
        &[
            "6:1: unknown key `services.x.patth`; did you mean `services.x.path`?",
            "3:1: services.worker.path: means nothing here: worker uses the image of frontend",
            "4:1: services.worker.replicas: must be between 1 and 50",
        ],
    ),
    (
        "[services.cache]\nkind = \"valky\"\n",
        &["2:8: services.cache.kind: unknown variant `valky`, expected `valkey` or `mailpit`; did you mean `valkey`?"],
    ),
    ("[ingress]\ncontroller = \"nginx\"", &["2:14: ingress.controller: unknown variant `nginx`, expected `none` or `traefik`"]),
    ("[ingress]\ntls = \"local\"", &["2:1: ingress.tls: needs a controller: `ingress.controller = \"traefik\"`"]),
    (
        "[ingress]\ncontroller = \"traefik\"\ntls = \"local\"\n[frontend]\nhost = \"shop.example.com\"",
        &["3:1: ingress.tls: `local` certifies names under `.localhost` only, and frontend.host is `shop.example.com`"],
    ),
    (
        "[ingress]\ncontroller = \"traefik\"\n[cluster]\ntype = \"existing\"\ncontext = \"x\"\nregistry = \"r.example.com/a\"",
        &[
            "2:1: ingress.controller: `traefik` is for clusters of type `kind`; others have controllers of their own: `cluster.expose = \"ingress\"` uses one",
        ],
    ),
    (
        "[ingress]\nclass = \"a\"\ntls = \"external\"",
        &["3:1: ingress.tls: is for clusters of type", "2:1: ingress.class: is for clusters of type `existing`, `eks`, `aks`, `gke`"],
    ),
    (
        "[cluster]\ntype = \"existing\"\ncontext = \"x\"\nregistry = \"r.example.com/a\"\n[ingress]\ntls = \"cert-manager\"\nissuer = \"a\"",
        &["6:1: ingress.tls: needs the cluster's controller: `cluster.expose = \"ingress\"`", "7:1: ingress.issuer: needs"],
    ),
    (
        "[cluster]\ntype = \"existing\"\ncontext = \"x\"\nregistry = \"r.example.com/a\"\nexpose = \"ingress\"\n[ingress]\ntls = \"local\"\nclass = \"A b\"",
        &[
            "7:1: ingress.tls: `local` is for clusters of type `kind`; `cert-manager` and `external` are for others",
            "8:1: ingress.class: `A b` must be",
        ],
    ),
    (
        "[cluster]\ntype = \"existing\"\ncontext = \"x\"\nregistry = \"r.example.com/a\"\nexpose = \"ingress\"\n[ingress]\ntls = \"cert-manager\"\ngateway = \"x/y\"",
        &["8:1: ingress.gateway: needs `ingress.api = \"gateway\"`", "7:1: ingress.tls: `cert-manager` needs `ingress.issuer`"],
    ),
    (
        "[cluster]\ntype = \"existing\"\ncontext = \"x\"\nregistry = \"r.example.com/a\"\nexpose = \"ingress\"\n[ingress]\nissuer = \"Secret/a\"\napi = \"gateway\"",
        &[
            "7:1: ingress.issuer: `Secret/a` must be the name of a ClusterIssuer, or `Issuer/NAME`",
            "8:1: ingress.api: `gateway` needs `ingress.gateway`",
        ],
    ),
    (
        "[cluster]\ntype = \"existing\"\ncontext = \"x\"\nregistry = \"r.example.com/a\"\nexpose = \"ingress\"\n[ingress]\napi = \"gateway\"\ngateway = \"shared\"\nclass = \"c\"\ncertificate = \"d\"",
        &[
            "8:1: ingress.gateway: `shared` must read `NAMESPACE/NAME`",
            "9:1: ingress.class: is of a Gateway that the tool makes",
            "10:1: ingress.certificate: is for the load balancers of EKS and GKE",
        ],
    ),
    (
        "[frontend]\nhost = \"a.example.com\"\n[cluster]\ntype = \"eks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\nexpose = \"ingress\"\n[ingress]\ntls = \"cert-manager\"\nissuer = \"a\"",
        &["8:1: ingress.tls: EKS's load balancers read certificates from AWS Certificate Manager alone"],
    ),
    (
        "[frontend]\nhost = \"a.example.com\"\n[cluster]\ntype = \"eks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\nexpose = \"ingress\"\n[ingress]\ntls = \"external\"\ncertificate = \"mine\"",
        &["9:1: ingress.certificate: `mine` is no ARN of a certificate"],
    ),
    (
        "[frontend]\nhost = \"a.example.com\"\n[cluster]\ntype = \"eks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\nexpose = \"ingress\"\n[ingress]\napi = \"gateway\"",
        &["8:1: ingress.api: `gateway` needs a Gateway that eks does not bring"],
    ),
    (
        "[frontend]\nhost = \"a.example.com\"\n[cluster]\ntype = \"gke\"\nallowed_cidrs = [\"192.0.2.7/32\"]\nexpose = \"ingress\"\n[ingress]\ntls = \"external\"",
        &["8:1: ingress.tls: `external` needs `ingress.certificate`: the name of a global SSL certificate"],
    ),
    (
        "[frontend]\nhost = \"a.example.com\"\n[cluster]\ntype = \"gke\"\nallowed_cidrs = [\"192.0.2.7/32\"]\nexpose = \"ingress\"\n[ingress]\n[services.api]\nroute = \"/api\"\npage = \"/api\"\nport = 80",
        &["9:1: services.api.route: GKE gives each Ingress an address of its own"],
    ),
    (
        "[cluster]\ntype = \"aks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\nexpose = \"ingress\"",
        &["frontend.host: `polls.localhost` is this machine; a controller in a cloud needs a name"],
    ),
    (
        "[frontend]\nhost = \"a.example.com\"\n[cluster]\ntype = \"aks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\nexpose = \"ingress\"\n",
        &["6:1: cluster.expose: `ingress` needs a controller on AKS"],
    ),
    (
        "[frontend]\nhost = \"a.example.com\"\n[cluster]\ntype = \"aks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\nexpose = \"ingress\"\n[ingress]\napi = \"gateway\"\ntls = \"external\"\n",
        &["9:1: ingress.tls: a Gateway that the tool makes has no certificate"],
    ),
    (
        "[frontend]\nhost = \"a.example.com\"\n[cluster]\ntype = \"aks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\nexpose = \"ingress\"\n[ingress]\napi = \"gateway\"\ntls = \"cert-manager\"\nissuer = \"Issuer/a\"\n",
        &["10:1: ingress.issuer: the tool's Gateway is in a namespace of its own"],
    ),
    (
        "[ingress]\ncontroller = \"traefik\"\n[services.ingress]\nkind = \"valkey\"",
        &["3:11: services.ingress: `ingress` is the Ingress controller of `ingress.controller`; choose another name"],
    ),
    (
        "[services.api]\nroute = \"/api\"\npage = \"/api\"\nport = 80",
        &["2:1: services.api.route: needs a controller: `ingress.controller = \"traefik\"`"],
    ),
    (
        "[ingress]\ncontroller = \"traefik\"\n[services.a]\nroute = \"/\"\npage = \"/\"\nport = 1\n[services.b]\nroute = \"/b\"\nport = 1\n\
         [services.c]\nroute = \"x.localhost/c\"\npage = \"/c\"\n[services.d]\nroute = \"https://x\"\nport = 1\npage = \"/\"\n\
         [services.e]\nkind = \"valkey\"\nroute = \"/e\"",
        &[
            "19:1: services.e.route: means nothing here: no Ingress leads to valkey; `forward` does",
            "4:1: services.a.route: `polls.localhost/` leads to another service already",
            "8:1: services.b.route: needs services.b.page below it, which must answer 200, such as `/b`",
            "11:1: services.c.route: leads nowhere: services.c.port is not set",
            "14:1: services.d.route: `https:` must be the host alone, without port and path",
        ],
    ),
    (
        "[cluster]\ntype = \"existing\"\ncontext = \"x\"\nregistry = \"r.example.com/a\"\n[services.api]\nroute = \"/api\"\npage = \"/api\"\nport = 80",
        &["6:1: services.api.route: needs the cluster's controller: `cluster.expose = \"ingress\"`"],
    ),
    ("[frontend]\nroute = \"/\"", &["2:1: unknown key `frontend.route`"]),
    ("[frontend]\nkind = \"valkey\"", &["2:1: unknown key `frontend.kind`"]),
    (
        "[services.cache]\nkind = \"valkey\"\nport = 1\nreplicas = 2\ndockerfile = \"x\"\nmigrate = [\"x\"]\nuses = \"frontend\"\n[services.cache.env]\nA = \"b\"",
        &[
            "7:1: services.cache.uses: means nothing here: the tool brings the image of valkey",
            "5:1: services.cache.dockerfile: means nothing here: the tool brings the image of valkey",
            "4:1: services.cache.replicas: means nothing here: valkey runs in one pod, which has all its data",
            "3:1: services.cache.port: means nothing here: valkey has ports of its own",
            "6:1: services.cache.migrate: means nothing here: the tool knows how valkey is started and probed",
            "services.cache.env: means nothing here: valkey reads no variables",
        ],
    ),
    (
        "[services.mail]\nkind = \"mailpit\"\n[services.mail.volumes.data]\npath = \"/x\"",
        &["services.mail.volumes: data: `path` means nothing here: mailpit keeps its data in one place"],
    ),
    (
        "[services.mail]\nkind = \"mailpit\"\n[services.mail.volumes]\na.size = \"1Gi\"\nb.size = \"1Gi\"",
        &["services.mail.volumes: mailpit keeps its data in one volume"],
    ),
    ("[frontend.volumes.media]\nsize = \"1Gi\"", &["frontend.volumes: media: lacks `path`, where it is in the container"]),
    (
        "[services.cache]\nkind = \"valkey\"\n[services.worker]\nuses = \"cache\"\ncommand = [\"x\"]",
        &["4:1: services.worker.uses: `cache` runs valkey, which has no image of the application"],
    ),
    ("services = 5", &["1:12: services: invalid type: integer `5`, expected a map"]),
    ("namespace = \"kube-system\"", &["1:1: namespace: `kube-system` belongs to others"]),
    (
        "[frontend]\nhost = \"Polls.Localhost\"\npage = \"polls\"",
        &["2:1: frontend.host: `Polls.Localhost`", "3:1: frontend.page: must begin with `/`"],
    ),
    ("[frontend]\npath = \"../elsewhere\"\nimage = \"polls:1\"", &["2:1: frontend.path: ", "3:1: frontend.image: "]),
    // Several kinds of mistakes in one file.
    (
        "naem = 1\nname = 5\n[cluster]\nport = \"x\"\ntype = \"gk\"\n[frontend]\nreplicas = 0\n",
        &[
            "1:1: unknown key `naem`",
            "2:8: name: invalid type",
            "4:8: cluster.port: invalid type",
            "5:8: cluster.type: unknown variant `gk`",
            "7:1: frontend.replicas: must be between 1 and 50",
        ],
    ),
    ("frontend = { path = 5, image = 6 }", &["1:21: frontend.path: invalid type", "1:32: frontend.image: invalid type"]),
    // Well-formed but invalid values.
    ("name = \"\"", &["1:1: name: `` must be"]),
    ("[frontend]\npath = \"\"", &["2:1: frontend.path: `` must be a path inside"]),
    ("[frontend]\npath = \"/etc\"", &["2:1: frontend.path: `/etc` must be a path inside"]),
    ("[frontend]\npath = \"target/pocdeploy/app\"", &["2:1: frontend.path: `target/pocdeploy/app` is in the folder that each run"]),
    ("[frontend]\npatch_dir = \"a\\nb\"", &["2:1: frontend.patch_dir: holds the control character `\\n`"]),
    ("[frontend]\ndockerfile = \"~/../x\"", &["2:1: frontend.dockerfile: `~/../x` must be a path inside"]),
    ("[frontend]\nrequirements = \"./Pocdeploy.toml\"", &["2:1: frontend.requirements: `./Pocdeploy.toml` is Pocdeploy.toml, and pins"]),
    (
        "[frontend]\nrequirements = \"build/Dockerfile.frontend\"",
        &["2:1: frontend.requirements: `build/Dockerfile.frontend` is the Docker"],
    ),
    ("[frontend]\nrequirements = \".\"", &["2:1: frontend.requirements: `.` is a folder"]),
    ("[frontend]\nimage = \"Polls\"", &["2:1: frontend.image: `Polls` must be an image name in lower case"]),
    ("[frontend]\nimage = \"polls@sha256:ab\"", &["2:1: frontend.image: `polls@sha256:ab` names a digest"]),
    ("[frontend]\nversion = \"1.0+local\"", &["2:1: frontend.version: `1.0+local` must be a tag"]),
    ("[database]\nname = \"template1\"", &["2:1: database.name: `template1` is a database of PostgreSQL's own"]),
    ("[database]\nname = \"postgres\"", &["2:1: database.name: `postgres` is a database of PostgreSQL's own"]),
    ("[database]\nuser = \"streaming_replica\"", &["2:1: database.user: `streaming_replica` is a role of CloudNativePG's own"]),
    ("[database]\nuser = \"pg_monitor\"", &["2:1: database.user: `pg_monitor` begins with `pg_`"]),
    ("[database]\npassword = \"canary-4711\\n\"", &["2:1: database.password: ends with a line break"]),
    ("[database]\npassword = \"  \"", &["2:1: database.password: must not be blank"]),
    ("[database]\nstorage = \"1gb\"", &["2:1: database.storage: `1gb` must be a size such as"]),
    ("[database]\nstorage = \"+1Gi\"", &["2:1: database.storage: `+1Gi` must be a size such as"]),
    ("[database]\nstorage = \"1Mi\"", &["2:1: database.storage: `1Mi` must be a size between"]),
    ("[database]\nstorage = 5", &["2:11: database.storage: invalid type: integer `5`, expected a string"]),
    (
        "[frontend]\nsecret_key = \"\"\"canary-4711-canary-4711-canary-4711-canary-4711-canary\n\"\"\"",
        &["2:1: frontend.secret_key: ends with a line break: take it away"],
    ),
    (
        "[frontend]\nsecret_key = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        &["2:1: frontend.secret_key: must have at least 5 diff"],
    ),
    ("namespace = \"default\"", &["1:1: namespace: `default` belongs to others"]),
    ("[frontend]\nreplicas = 10000", &["2:1: frontend.replicas: must be between 1 and 50"]),
    (
        "[frontend]\nhost = \"https://polls.example.com\"",
        &["2:1: frontend.host: `https://polls.example.com` is a URL: name its host alone"],
    ),
    ("[frontend]\nhost = \"polls.localhost:8080\"", &["2:1: frontend.host: `polls.localhost:8080` must be the host alone"]),
    ("[frontend]\nhost = \"*.example.com\"", &["2:1: frontend.host: `*.example.com` is a wildcard"]),
    ("[frontend]\npage = \"/#top\"", &["2:1: frontend.page: `#` has no place in a URL's path"]),
    ("[frontend]\ntext = \"one\\ntwo\"", &["2:1: frontend.text: holds the control character `\\n`"]),
    ("[frontend]\ntext = \" \"", &["2:1: frontend.text: is blank, which every page holds"]),
    ("[images]\npython = \"\"", &["2:1: images.python: `` is no image reference"]),
    ("[images]\nnode = \"kindest/node:v1@sha256:12\"", &["2:1: images.node: `kindest/node:v1@sha256:12` is no image reference"]),
    ("[images]\noperator = \"https://ghcr.io/x\"", &["2:1: images.operator: `https://ghcr.io/x` is no image reference"]),
    ("[images]\npostgresql = \"postgres:latest\"", &["2:1: images.postgresql: `postgres:latest` needs a tag that begins with"]),
    ("[images.mirrors]\n\"../../x\" = \"http://m\"", &["2:1: images.mirrors.../../x: `../../x` is no registry's host"]),
    ("[images.mirrors]\n\"a\\nb\" = \"http://m\"", &["2:1: images.mirrors.a\\nb: `a\\nb` is no registry's host"]),
    ("[images.mirrors]\n\"docker.io\" = \"http://u:4711@m\"", &["2:1: images.mirrors.docker.io: names a user"]),
    // Not TOML: only the first mistake is reported.
    ("[frontend\npath = \"x\"", &["1:10: "]),
    ("name = \"x\"\nname = \"y\"", &["2:1: duplicate key"]),
    ("name = polls", &["1:8: "]),
];

#[test]
fn every_mistake_of_a_file_is_pointed_at_in_one_report() {
    let mistakes: usize = FILES.iter().map(|(_, expected)| expected.len()).sum();
    assert!(FILES.len() >= 100 && mistakes >= 130, "{mistakes} in {} files", FILES.len());
    for &(text, expected) in FILES {
        let Err(error) = Config::parse(text) else { panic!("taken for right: {text}") };
        assert_eq!(exit_code(&error), Exit::Config);
        let report = render(&error);
        let mut rest = report.as_str();
        for part in expected {
            let at = rest.find(part).unwrap_or_else(|| panic!("{text}\nno {part:?}, or not in its turn, in\n{report}"));
            rest = &rest[at + part.len()..];
        }
        assert!(!report.contains("canary") && !report.contains("4711"), "{report}");
        if expected[0].starts_with(|it: char| it.is_ascii_digit()) {
            assert!(report.contains("Pocdeploy.toml:") && report.contains('^'), "{report}");
        }
        assert_eq!(
            report.matches("Pocdeploy.toml:").count().max(1),
            expected.iter().filter(|it| it.contains(": ")).count().max(1),
            "{report}"
        );
    }
}

/// A variable, its value, and the start of the error: the same rules as for the file, and no value of a secret.
const VARIABLES: &[(&str, &str, &str)] = &[
    ("POCDEPLOY_NAME", "A B", "POCDEPLOY_NAME: `A B` must be"),
    ("POCDEPLOY_FRONTEND_PATH", "/etc", "POCDEPLOY_FRONTEND_PATH: `/etc` must be a path inside"),
    ("POCDEPLOY_FRONTEND_BUILD_NETWORK", "yes", "POCDEPLOY_FRONTEND_BUILD_NETWORK: `yes`: "),
    ("POCDEPLOY_CLUSTER_TYPE", "kid", "POCDEPLOY_CLUSTER_TYPE: `kid` is none of kind"),
    ("POCDEPLOY_CLUSTER_PORT", "65536", "POCDEPLOY_CLUSTER_PORT: `65536`: "),
    ("POCDEPLOY_CLUSTER_PORT", "0", "POCDEPLOY_CLUSTER_PORT: must be between"),
    ("POCDEPLOY_CLUSTER_PORT", " 8080", "POCDEPLOY_CLUSTER_PORT: ` 8080`: "),
    ("POCDEPLOY_DATABASE_NAME", "template0", "POCDEPLOY_DATABASE_NAME: `template0` is a database"),
    ("POCDEPLOY_DATABASE_PASSWORD", "canary\n", "POCDEPLOY_DATABASE_PASSWORD: ends with a line break"),
    ("POCDEPLOY_DATABASE_INSTANCES", "-1", "POCDEPLOY_DATABASE_INSTANCES: `-1`: "),
    ("POCDEPLOY_DATABASE_STORAGE", "0", "POCDEPLOY_DATABASE_STORAGE: `0` must be a size"),
    ("POCDEPLOY_FRONTEND_REPLICAS", "1e3", "POCDEPLOY_FRONTEND_REPLICAS: `1e3`: "),
    ("POCDEPLOY_SECRET_KEY", "canary", "POCDEPLOY_SECRET_KEY: must have at least 50 characters"),
    ("POCDEPLOY_FRONTEND_TEXT", "a\u{1b}[31m", "POCDEPLOY_FRONTEND_TEXT: holds the control character"),
    ("POCDEPLOY_IMAGES_SOURCE", "Registry", "POCDEPLOY_IMAGES_SOURCE: `Registry` is none of auto"),
    ("POCDEPLOY_IMAGES_NODE", "a b", "POCDEPLOY_IMAGES_NODE: `a b` is no image reference"),
];

#[test]
fn a_wrong_variable_is_refused_by_its_name() {
    for &(name, value, expected) in VARIABLES {
        let Err(error) = Config::resolve("", &|it| (it == name).then(|| value.to_owned())) else {
            panic!("taken for right: {name}={value}")
        };
        assert_eq!(exit_code(&error), Exit::Config);
        let said = error.to_string();
        assert!(said.starts_with(expected) && !said.contains("canary"), "{said}");
    }
}
