//! The formats, with one application.

use serde_json::json;

use super::*;

const DIGEST: &str = "sha256:0123456789012345678901234567890123456789012345678901234567890123";

/// An application with a worker, a migration, settings, and Secrets of its own and of the operator.
fn exported() -> Exported {
    let object = |kind: &str, name: &str, spec: Value| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name, "namespace": "shop" }, "spec": spec });
    let pod = |command: Value| {
        json!({
            "containers": [{
                "name": "web",
                "image": "exported/shop",
                "command": command,
                "envFrom": [{ "configMapRef": { "name": "web" } }],
                "env": [
                    { "name": "DATABASE_URI", "valueFrom": { "secretKeyRef": { "name": "db-app", "key": "uri" } } },
                    { "name": "DATABASE_URL", "value": "$(DATABASE_URI)?sslmode=require" },
                    { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "web-secrets", "key": "TOKEN" } } },
                    { "name": "WORKER_URL", "value": "http://worker" },
                    { "name": "PRICE", "value": "5 $$ {{ text }}" },
                ],
                "volumeMounts": [{ "name": "key", "mountPath": "/run/key" }, { "name": "tmp", "mountPath": "/tmp" }],
            }],
            "volumes": [
                { "name": "key", "secret": { "secretName": "web-app", "items": [{ "key": "secret-key", "path": "key" }] } },
                { "name": "tmp", "emptyDir": {} },
            ],
        })
    };
    let deployment = |name: &str| {
        let mut spec = json!({ "replicas": 2, "template": { "metadata": { "labels": { "app": name } }, "spec": pod(json!(["run"])) } });
        spec["template"]["spec"]["containers"][0]["ports"] = json!([{ "name": "http", "containerPort": 8000 }]);
        object("Deployment", name, spec)
    };
    let service =
        |name: &str| object("Service", name, json!({ "selector": { "app": name }, "ports": [{ "port": 80, "targetPort": "http" }] }));
    let images = vec![Image::new("shop", &format!("registry.example.com/team/shop:1.0@{DIGEST}")).unwrap()];
    let text = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let settings = vec![Settings {
        name: "web".to_owned(),
        data: text(&[("ALLOWED_HOSTS", "shop.example.com"), ("MOTTO", "a\nb"), ("LEVEL", "info")]),
    }];
    let postgresql = format!("registry.example.com/team/postgresql:17@{DIGEST}");
    let job = object("Job", "migration", json!({ "template": { "spec": pod(json!(["migrate"])) } }));
    let variant = |name, service, origin: &str| Variant {
        name,
        service,
        address: Address::new(origin),
        settings: vec![Settings { name: "web".to_owned(), data: text(&[("ALLOWED_HOSTS", "other.example.com")]) }],
    };
    Exported {
        namespace: "shop".to_owned(),
        foundation: vec![
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }),
            json!({
                "apiVersion": "postgresql.cnpg.io/v1",
                "kind": "Cluster",
                "metadata": { "name": "db", "namespace": "shop" },
                "spec": {
                    "instances": 1,
                    "imageName": postgresql,
                    "storage": { "size": "1Gi" },
                    "bootstrap": { "initdb": { "database": "shop", "owner": "shop" } },
                    "postgresql": { "pg_hba": ["hostnossl all all all reject"] },
                },
            }),
        ],
        jobs: vec![job_for_files(job, &images, &settings, Some(("db-rw", &postgresql)))],
        app: vec![
            deployment("web"),
            deployment("worker"),
            service("web"),
            service("worker"),
            object("Ingress", "web", json!({ "rules": [{ "host": "shop.example.com" }] })),
        ],
        settings,
        operator: Vec::new(),
        images,
        postgresql,
        database: "db".to_owned(),
        secrets: vec![
            Required { name: "web-app".to_owned(), kind: "Opaque".to_owned(), keys: vec![("secret-key".to_owned(), Key::Generated(64))] },
            Required {
                name: "web-secrets".to_owned(),
                kind: "Opaque".to_owned(),
                keys: vec![("TOKEN".to_owned(), Key::Given("the value of the variable TOKEN".to_owned()))],
            },
        ],
        pull_secret: None,
        host: "shop.example.com".to_owned(),
        published: Published { service: "web".to_owned(), port: 0, container_port: Some(8000) },
        variants: vec![
            variant("ingress", ServiceType::ClusterIp, "http://shop.example.com"),
            variant("node-port", ServiceType::NodePort(Some(30080)), "http://localhost:8080"),
        ],
        notes: Vec::new(),
    }
}

fn content<'a>(files: &'a Files, path: &str) -> &'a str {
    &files.get(std::path::Path::new(path)).unwrap_or_else(|| panic!("no {path} in {:?}", files.keys())).content
}

fn value(files: &Files, path: &str) -> Value {
    yaml::documents(content(files, path)).unwrap().remove(0).value
}

#[test]
fn the_tools_marks_go_and_what_policies_need_stays() {
    let mut object = json!({
        "metadata": { "labels": { "dev.pocdeploy/instance": "x", "app": "a" }, "annotations": { "dev.pocdeploy/inputs": "1" } },
        "spec": { "template": { "metadata": { "labels": {
            "app.kubernetes.io/managed-by": "pocdeploy", "dev.pocdeploy/database-client": "true",
        } } } },
    });
    clean(&mut object);
    let expected = json!({
        "metadata": { "labels": { "app": "a" } },
        "spec": { "template": { "metadata": { "labels": { "dev.pocdeploy/database-client": "true" } } } },
    });
    assert_eq!(object, expected);
}

#[test]
fn a_job_has_another_name_for_another_image_or_setting_and_waits_for_the_database() {
    let it = exported();
    let job = json!({ "kind": "Job", "metadata": { "name": "m" }, "spec": { "template": { "spec": { "containers": [
        { "image": "exported/shop", "envFrom": [{ "configMapRef": { "name": "web" } }] },
    ] } } } });
    let named = |images: &[Image], settings: &[Settings]| name(&job_for_files(job.clone(), images, settings, None)).to_owned();
    let before = named(&it.images, &it.settings);
    assert_eq!(before, named(&it.images, &it.settings));
    let mut images = it.images.clone();
    images[0].digest = "sha256:1".to_owned();
    assert_ne!(before, named(&images, &it.settings));
    let mut settings = it.settings.clone();
    settings[0].data.insert("LEVEL".to_owned(), "debug".to_owned());
    assert_ne!(before, named(&it.images, &settings));
    // An image that it does not run changes nothing.
    let other = Image { name: "exported/other".to_owned(), ..it.images[0].clone() };
    assert_eq!(before, named(&[it.images[0].clone(), other], &it.settings));
    assert_eq!(it.jobs[0]["spec"]["template"]["spec"]["initContainers"][0]["image"], it.postgresql.as_str());
    assert_eq!(it.jobs[0]["spec"]["activeDeadlineSeconds"], 900);
}

#[test]
fn kustomize_has_settings_by_generators_and_what_differs_in_overlays() {
    let files = kustomize::files(&exported()).unwrap();
    let app = value(&files, "base/app/kustomization.yaml");
    assert_eq!(app["images"], json!([{ "name": "exported/shop", "newName": "registry.example.com/team/shop", "digest": DIGEST }]));
    let generator = &app["configMapGenerator"][0];
    assert_eq!(generator["literals"], json!(["ALLOWED_HOSTS=shop.example.com", "LEVEL=info"]));
    assert_eq!(generator["files"], json!(["MOTTO=settings/web/MOTTO"]));
    assert_eq!(content(&files, "base/app/settings/web/MOTTO"), "a\nb");
    // A Job cannot be changed: its copy keeps its name.
    let jobs = value(&files, "base/jobs/kustomization.yaml");
    assert_eq!(jobs["configMapGenerator"][0]["name"], "web-jobs");
    assert_eq!(jobs["configMapGenerator"][0]["options"]["disableNameSuffixHash"], true);
    let job = value(&files, "base/jobs/job-migration.yaml");
    assert_eq!(job.pointer("/spec/template/spec/containers/0/envFrom/0/configMapRef/name").unwrap(), "web-jobs");
    let overlay = value(&files, "overlays/node-port/app/kustomization.yaml");
    assert_eq!(overlay["configMapGenerator"][0]["literals"], json!(["ALLOWED_HOSTS=other.example.com"]));
    let patch = value(&files, "overlays/node-port/app/service.yaml");
    assert_eq!(patch[1], json!({ "op": "add", "path": "/spec/ports/0/nodePort", "value": 30080 }));
    let mut overlays = files.iter().filter(|(path, _)| path.starts_with("overlays"));
    assert!(overlays.all(|(_, it)| it.to_change));
}

#[test]
fn a_chart_escapes_what_looks_like_a_template() {
    let files = helm::files(&exported(), "1.0").unwrap();
    let deployment = content(&files, "chart/templates/deployment-web.yaml");
    assert!(deployment.contains("{{ \"{{\" }} text }}"), "{deployment}");
    assert!(deployment.contains("image: {{ include \"image\" (index .Values.images \"shop\") | quote }}"), "{deployment}");
    assert!(deployment.contains("name: {{ index .Values.secrets \"web-secrets\" | quote }}"), "{deployment}");
    // The operator's Secret has its own name.
    assert!(deployment.contains("name: db-app"), "{deployment}");
    assert!(!deployment.contains("helmvalue"), "{deployment}");
    let schema: Value = serde_json::from_str(content(&files, "chart/values.schema.json")).unwrap();
    assert_eq!(schema["properties"]["replicas"]["required"], json!(["web", "worker"]));
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn a_compose_file_has_known_variables_and_the_script_writes_the_others() {
    let it = exported();
    let mut here = it.variants[1].clone();
    here.settings = it.settings.clone();
    let files = compose::files(&it, &here, 8080).unwrap();
    let file = value(&files, "compose.yaml");
    let web = &file["services"]["web"];
    assert_eq!(web["environment"]["WORKER_URL"], "http://worker:8000");
    assert_eq!(web["environment"]["PRICE"], "5 $$ {{ text }}");
    assert_eq!(web["env_file"], json!(["./secrets/web.env"]));
    assert_eq!(web["volumes"], json!(["./secrets/web-app/secret-key:/run/key/key:ro"]));
    assert_eq!(web["ports"], json!(["127.0.0.1:8080:8000"]));
    assert!(file["services"]["worker"]["ports"].is_null());
    assert_eq!(web["depends_on"]["migration"]["condition"], "service_completed_successfully");
    let script = content(&files, "secrets.sh");
    let line = r#"printf '%s\n' 'DATABASE_URL="'"$(quoted 'secrets/db-app/uri')"'?sslmode=require''"'"#;
    assert!(script.contains(line), "{script}");
    assert!(script.contains("given WEB_SECRETS_TOKEN"), "{script}");
}

#[test]
fn every_file_for_continuous_integration_is_yaml_with_the_variables_that_the_script_needs() {
    let plan = |format| ci::Plan {
        format,
        has_operator: false,
        path: "export/x",
        namespace: "shop",
        branch: "main",
        variables: vec!["WEB_SECRETS_TOKEN".to_owned()],
        overlay: "ingress",
    };
    for format in [ci::Format::Kustomize, ci::Format::Helm, ci::Format::Compose, ci::Format::Flux, ci::Format::Argocd] {
        let (path, text) = ci::file(ci::Service::Github, &plan(format)).unwrap();
        assert_eq!(path, ".github/workflows/deploy-shop.yaml");
        let file = yaml::documents(&text).unwrap().remove(0).value;
        let applies = !matches!(format, ci::Format::Flux | ci::Format::Argocd);
        assert_eq!(file["jobs"]["deploy"].is_object(), applies, "{format:?}");
        assert_eq!(text.contains("secrets.WEB_SECRETS_TOKEN"), applies, "{format:?}");
        let (_, text) = ci::file(ci::Service::Gitlab, &plan(format)).unwrap();
        let deploy = &yaml::documents(&text).unwrap()[0].value["deploy"];
        assert_eq!(deploy.is_object(), applies, "{format:?}");
        assert!(!text.contains("operator.yaml"), "{text}");
        // The machine keeps the secrets of its database.
        assert_eq!(deploy["variables"]["GIT_CLEAN_FLAGS"].is_string(), format == ci::Format::Compose, "{format:?}");
        assert_eq!(file["jobs"]["deploy"]["steps"][0]["with"]["clean"] == false, format == ci::Format::Compose, "{format:?}");
    }
    let (_, text) = ci::file(ci::Service::Gitlab, &ci::Plan { has_operator: true, ..plan(ci::Format::Helm) }).unwrap();
    assert!(text.contains("--filename operator.yaml"), "{text}");
}

#[test]
fn a_compose_file_has_what_pods_share_and_nothing_twice() {
    let mut it = exported();
    it.secrets.push(Required {
        name: "open".to_owned(),
        kind: "Opaque".to_owned(),
        keys: vec![("*".to_owned(), Key::Given("every key of secrets.yaml".to_owned()))],
    });
    let claim = json!({ "kind": "PersistentVolumeClaim", "metadata": { "name": "database", "namespace": "shop" }, "spec": {} });
    it.foundation.insert(1, claim);
    // A cache, which the migration needs; and an application with the name of the Job.
    let mut cache = it.app[1].clone();
    cache["metadata"]["name"] = json!("cache");
    it.foundation.insert(2, cache);
    let mut twin = it.app[1].clone();
    twin["metadata"]["name"] = json!("migration");
    twin["spec"]["replicas"] = json!(0);
    it.app.push(twin);
    let pod = &mut it.app[0]["spec"]["template"]["spec"];
    pod["securityContext"] = json!({ "runAsUser": 10001, "fsGroup": 10002 });
    pod["volumes"][1] = json!({ "name": "tmp", "persistentVolumeClaim": { "claimName": "database" } });
    let mut side = pod["containers"][0].clone();
    side["name"] = json!("side");
    side["env"] = json!([
        { "name": "ONLY", "valueFrom": { "secretKeyRef": { "name": "web-secrets", "key": "TOKEN" } } },
        { "name": "PASSED", "valueFrom": { "secretKeyRef": { "name": "open", "key": "PASSED" } } },
        { "name": "JDBC", "valueFrom": { "secretKeyRef": { "name": "db-app", "key": "jdbc-uri" } } },
    ]);
    side["command"] = json!(["sh", "-c", "echo $(LEVEL) $HOME"]);
    pod["containers"].as_array_mut().unwrap().push(side);
    let here = Variant { settings: it.settings.clone(), ..it.variants[1].clone() };
    let files = compose::files(&it, &here, 8080).unwrap();
    let services = &value(&files, "compose.yaml")["services"];
    assert_eq!(services["web"]["env_file"], json!(["./secrets/web.env"]));
    assert_eq!(services["web-side"]["env_file"], json!(["./secrets/open.env", "./secrets/web-side.env"]));
    assert_eq!(services["web-side"]["network_mode"], "service:web");
    assert_eq!(services["web-side"]["entrypoint"], json!(["sh", "-c", "echo info $$HOME"]));
    assert_eq!(services["web"]["volumes"][1], "claim-database:/tmp");
    assert_eq!(services["volumes"]["entrypoint"][2], "chown 10001:10002 /volumes/database");
    assert_eq!(services["web"]["depends_on"]["volumes"]["condition"], "service_completed_successfully");
    assert_eq!(services["migration"]["profiles"], json!(["stopped"]));
    assert_eq!(services["migration-job"]["depends_on"]["cache"]["condition"], "service_started");
    assert!(services["cache"]["depends_on"]["migration-job"].is_null());
    let readme = content(&files, "README.md");
    for note in ["web-side lacks the variable JDBC", "| open | all | none | create it yourself: every key of secrets.yaml |"] {
        assert!(readme.contains(note), "{readme}");
    }
}

#[test]
fn the_variables_of_secrets_are_names_of_a_shell_and_differ() {
    let keys = ["a-b", "a.b", "c"].map(|it| (it.to_owned(), Key::Given(String::new())));
    let secret = Required { name: "2fa.keys".to_owned(), kind: "Opaque".to_owned(), keys: keys.into() };
    assert_eq!(["a-b", "a.b", "c"].map(|it| secret.variable(it)), ["SECRET_2FA_KEYS_A_B", "SECRET_2FA_KEYS_A_B_2", "SECRET_2FA_KEYS_C"]);
}

#[test]
fn a_chart_takes_the_ingress_of_the_user_as_values() {
    let mut it = exported();
    it.app[4]["spec"]["ingressClassName"] = json!("traefik");
    it.app[4]["spec"]["tls"] = json!([{ "hosts": ["shop.example.com"], "secretName": "shop-tls" }]);
    let files = helm::files(&it, "1.0").unwrap();
    let ingress = content(&files, "chart/templates/ingress-web.yaml");
    assert_eq!(ingress.matches("ingressClassName").count(), 1, "{ingress}");
    assert!(!ingress.contains("shop.example.com") && !ingress.contains("traefik"), "{ingress}");
    let values = value(&files, "chart/values.yaml");
    assert_eq!(values["ingress"], json!({ "enabled": true, "className": "traefik", "tlsSecret": "shop-tls" }));
    // Several certificates stay as they are, with the host as a value.
    it.app[4]["spec"]["tls"] = json!([{ "hosts": ["shop.example.com", "www.example.com"], "secretName": "shop-tls" }]);
    let files = helm::files(&it, "1.0").unwrap();
    assert!(content(&files, "chart/templates/ingress-web.yaml").contains("www.example.com"));
    assert_eq!(value(&files, "chart/values.yaml")["address"], "https://shop.example.com");
}
