//! The application's Deployment for `dev`: one pod whose code is in a volume and can be replaced.

use serde_json::{Value, json};

use crate::deploy::{objects::sign, roles};

/// The volume with the code.
const VOLUME: &str = "development";
/// Its mount path in the init container that fills it.
const FILL: &str = "/development";
/// A folder in the volume that belongs to the container's user; the volume itself belongs to root.
const INNER: &str = "code";
/// Tells the application that its code may change, so that it does not preload code for all processes.
pub const VARIABLE: &str = "POCDEPLOY_DEV";

/// Copies the image's code, without bytecode that is not checked against its source.
const COPY: &str = "import shutil, sys\n\
                    shutil.copytree(sys.argv[1], sys.argv[2], symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns('__pycache__'))";

/// `folder` is the image's working directory, with the code. Everything else of the Deployment stays.
pub fn deployment(mut object: Value, folder: &str) -> Value {
    object["spec"]["replicas"] = json!(1);
    let name = roles::page_of(&object).map(|(container, _)| container.to_owned());
    let pod = &mut object["spec"]["template"]["spec"];
    push(pod, "volumes", json!({ "name": VOLUME, "emptyDir": {} }));
    let containers = pod["containers"].as_array().into_iter().flatten();
    let at = name.and_then(|name| containers.into_iter().position(|it| it["name"] == name.as_str())).unwrap_or(0);
    let main = &pod["containers"][at];
    let mut fill = json!({
        "name": VOLUME,
        "image": main["image"],
        "imagePullPolicy": main["imagePullPolicy"],
        "command": ["python3", "-c", COPY, folder, format!("{FILL}/{INNER}")],
        "volumeMounts": [{ "name": VOLUME, "mountPath": FILL }],
    });
    for field in ["securityContext", "resources"] {
        if !main[field].is_null() {
            fill[field] = main[field].clone();
        }
    }
    push(pod, "initContainers", fill);
    let main = &mut pod["containers"][at];
    push(main, "volumeMounts", json!({ "name": VOLUME, "mountPath": folder, "subPath": INNER }));
    push(main, "env", json!({ "name": VARIABLE, "value": "1" }));
    sign(&mut object);
    object
}

fn push(object: &mut Value, list: &str, item: Value) {
    match object[list].as_array_mut() {
        Some(items) => items.push(item),
        None => object[list] = json!([item]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::objects::inputs_of;

    #[test]
    fn one_pod_gets_its_code_in_a_folder_and_keeps_what_it_had() {
        let before = json!({ "metadata": { "annotations": { "dev.pocdeploy/inputs": "old" } }, "spec": { "replicas": 2, "template": { "spec": {
            "containers": [{ "name": "web", "image": "i:1", "securityContext": { "readOnlyRootFilesystem": true }, "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }] }],
            "volumes": [{ "name": "tmp", "emptyDir": {} }],
        } } } });
        let after = deployment(before, "/srv/app");
        let pod = &after["spec"]["template"]["spec"];
        assert_eq!(after["spec"]["replicas"], 1);
        assert_ne!(inputs_of(&after), Some("old"));
        assert_eq!(pod["volumes"].as_array().unwrap().len(), 2);
        assert_eq!(pod["containers"][0]["volumeMounts"][1], json!({ "name": "development", "mountPath": "/srv/app", "subPath": "code" }));
        assert_eq!(pod["containers"][0]["env"], json!([{ "name": "POCDEPLOY_DEV", "value": "1" }]));
        assert_eq!(pod["initContainers"][0]["image"], "i:1");
        assert_eq!(pod["initContainers"][0]["securityContext"], json!({ "readOnlyRootFilesystem": true }));
    }
}
