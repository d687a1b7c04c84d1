//! An object as a template: marks stand for values while it becomes YAML, and are then replaced.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    deploy::objects,
    export::{
        Exported, Settings,
        clean::{copy_of, with_own_settings},
        kind, name, short_name, text,
    },
};

/// The start of a mark, unless the object has it. A mark is a plain YAML scalar, so it needs no quotes.
const MARK: &str = "helmvalue";

/// The marks of a template, with the text of each.
pub(super) struct Template<'a> {
    it: &'a Exported,
    /// The start of each mark, which the object's own texts do not have.
    mark: String,
    /// Replace a mark in a line.
    inline: Vec<String>,
    /// Replace the line with the mark, each line with the same indentation.
    lines: Vec<String>,
}

impl<'a> Template<'a> {
    pub(super) fn of(it: &'a Exported, object: &Value) -> Result<String> {
        let mut object = if kind(object) == "Job" { with_own_settings(object, &it.settings) } else { object.clone() };
        let (own, mut mark) = (object.to_string(), MARK.to_owned());
        while own.contains(&mark) {
            mark.push('x');
        }
        let mut out = Template { it, mark, inline: Vec::new(), lines: Vec::new() };
        if object["metadata"]["namespace"] == it.namespace.as_str() {
            object["metadata"]["namespace"] = out.value("{{ .Release.Namespace | quote }}");
        }
        out.walk(&mut object);
        let body = match kind(&object).to_owned().as_str() {
            "Ingress" => {
                out.ingress(&mut object);
                format!("{{{{- if .Values.ingress.enabled }}}}\n{}{{{{- end }}}}\n", out.render(&object)?)
            }
            "Job" => {
                out.job(&mut object);
                out.render(&object)?
            }
            "Service" if name(&object) == it.published.service => {
                out.service(&mut object);
                out.render(&object)?
            }
            "Cluster" if name(&object) == it.database => {
                out.database(&mut object);
                out.render(&object)?
            }
            "Deployment" | "StatefulSet" | "DaemonSet" => {
                out.workload(&mut object);
                out.render(&object)?
            }
            _ => out.render(&object)?,
        };
        Ok(body)
    }

    /// A mark for a template expression, which is a whole value: text needs `quote`, since YAML would take `yes` or `0x1f` for something else.
    fn value(&mut self, expression: &str) -> Value {
        self.inline.push(expression.to_owned());
        json!(format!("{}.{}.end", self.mark, self.inline.len() - 1))
    }

    /// A key whose line is replaced by these lines.
    fn line(&mut self, lines: &str) -> (String, Value) {
        self.lines.push(lines.to_owned());
        (format!("{}line.{}.end", self.mark, self.lines.len() - 1), json!(0))
    }

    fn insert_line(&mut self, into: &mut Value, lines: &str) {
        let (key, value) = self.line(lines);
        if into.is_null() {
            *into = json!({});
        }
        into[key] = value;
    }

    fn render(&self, object: &Value) -> Result<String> {
        // What looks like a template in a setting or a command is text.
        let mut out = text(object)?.replace("{{", "{{ \"{{\" }}");
        for (index, expression) in self.inline.iter().enumerate() {
            out = out.replace(&format!("{}.{index}.end", self.mark), expression);
        }
        let mut lines = String::new();
        for line in out.lines() {
            let indent = &line[..line.len() - line.trim_start().len()];
            let mark = line.trim_start().strip_prefix(&self.mark).and_then(|it| it.strip_prefix("line."));
            match mark.and_then(|it| it.split('.').next()).and_then(|it| it.parse::<usize>().ok()) {
                Some(index) => {
                    for text in self.lines[index].lines() {
                        lines.push_str(&format!("{indent}{text}\n"));
                    }
                }
                None => lines.push_str(&format!("{line}\n")),
            }
        }
        Ok(lines)
    }

    /// Images, host, namespace and Secrets, wherever they stand.
    fn walk(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => {
                for item in items {
                    // A host in the list of a certificate.
                    if item.as_str() == Some(self.it.host.as_str()) {
                        *item = self.value("{{ .Values.host | quote }}")
                    } else {
                        self.walk(item)
                    }
                }
            }
            Value::Object(fields) => {
                let takes_ours = fields.get("containers").is_some_and(Value::is_array);
                if takes_ours && !fields.contains_key("imagePullSecrets") {
                    let (key, mark) = self.line("{{- with .Values.imagePullSecrets }}\nimagePullSecrets: {{ toJson . }}\n{{- end }}");
                    fields.insert(key, mark);
                }
                fields.remove("imagePullSecrets");
                for (field, inner) in fields.iter_mut() {
                    match (field.as_str(), inner.as_str()) {
                        ("image", Some(image)) => {
                            if let Some(found) = self.it.images.iter().find(|it| it.name == image) {
                                let of = format!("index .Values.images {:?}", found.service);
                                *inner = self.value(&format!("{{{{ include \"image\" ({of}) | quote }}}}"));
                            } else if image == self.it.postgresql {
                                *inner = self.value(POSTGRESQL);
                            }
                        }
                        ("secretRef" | "secretKeyRef" | "secret", None) => self.secret(inner),
                        ("host" | "value", Some(host)) if host == self.it.host => *inner = self.value("{{ .Values.host | quote }}"),
                        ("namespace", Some(namespace)) if namespace == self.it.namespace => {
                            *inner = self.value("{{ .Release.Namespace | quote }}");
                        }
                        _ => self.walk(inner),
                    }
                }
            }
            _ => {}
        }
    }

    /// The name in a reference to one of the user's Secrets.
    fn secret(&mut self, reference: &mut Value) {
        for field in ["name", "secretName"] {
            let Some(name) = reference[field].as_str() else { continue };
            if self.it.secrets.iter().any(|it| it.name == name) {
                reference[field] = self.value(&format!("{{{{ index .Values.secrets {name:?} | quote }}}}"));
            }
        }
    }

    fn ingress(&mut self, object: &mut Value) {
        let spec = &mut object["spec"];
        if let Some(fields) = spec.as_object_mut() {
            fields.remove("ingressClassName");
            if super::values::tls_secret(self.it).is_some() {
                fields.remove("tls");
            }
        }
        self.insert_line(spec, "{{- with .Values.ingress.className }}\ningressClassName: {{ . | quote }}\n{{- end }}");
        if spec["tls"].is_null() {
            if let Some(fields) = spec.as_object_mut() {
                fields.remove("tls");
            }
            let lines = "{{- with .Values.ingress.tlsSecret }}\ntls:\n  - hosts: [{{ $.Values.host | quote }}]\n    secretName: {{ . | quote }}\n{{- end }}";
            self.insert_line(spec, lines);
        }
    }

    /// A first deployment makes the Job with all else, since there is no database before it. An upgrade runs it first.
    fn job(&mut self, object: &mut Value) {
        let short = short_name(object).to_owned();
        object["metadata"]["name"] = self.value(&format!("{{{{ printf \"%s-%d\" {short:?} .Release.Revision | quote }}}}"));
        let hook = "{{- if .Release.IsUpgrade }}\nannotations:\n  helm.sh/hook: pre-upgrade\n  helm.sh/hook-delete-policy: before-hook-creation\n{{- end }}";
        if object["metadata"]["annotations"].is_null() {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("annotations");
            }
            self.insert_line(&mut object["metadata"], hook);
        } else {
            let inner =
                "{{- if .Release.IsUpgrade }}\nhelm.sh/hook: pre-upgrade\nhelm.sh/hook-delete-policy: before-hook-creation\n{{- end }}";
            self.insert_line(&mut object["metadata"]["annotations"], inner);
        }
    }

    fn service(&mut self, object: &mut Value) {
        object["spec"]["type"] = self.value("{{ .Values.service.type | quote }}");
        let port = self.it.published.port;
        if let Some(port) = object["spec"].get_mut("ports").and_then(|it| it.get_mut(port)) {
            self.insert_line(port, "{{- with .Values.service.nodePort }}\nnodePort: {{ . }}\n{{- end }}");
        }
    }

    fn workload(&mut self, object: &mut Value) {
        let replicas = format!("{{{{ index .Values.replicas {:?} }}}}", name(object));
        if !object["spec"]["replicas"].is_null() {
            object["spec"]["replicas"] = self.value(&replicas);
        }
        let used = Exported::used(object, "ConfigMap");
        let own: Vec<&Settings> = self.it.settings.iter().filter(|it| used.contains(&it.name)).collect();
        for settings in own {
            let file = format!("/settings-{}.yaml", settings.name);
            let sum = self.value(&format!("{{{{ include (print $.Template.BasePath {file:?}) . | sha256sum | quote }}}}"));
            object["spec"]["template"]["metadata"]["annotations"][format!("checksum/{}", settings.name)] = sum;
        }
    }

    fn database(&mut self, object: &mut Value) {
        // A `helm uninstall` that deletes the data would be a surprise.
        object["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
        let spec = &mut object["spec"];
        spec["imageName"] = self.value(POSTGRESQL);
        spec["instances"] = self.value("{{ .Values.database.instances }}");
        spec["storage"]["size"] = self.value("{{ .Values.database.size | quote }}");
        if spec["storage"]["storageClass"].is_null() {
            if let Some(storage) = spec["storage"].as_object_mut() {
                storage.remove("storageClass");
            }
            self.insert_line(&mut spec["storage"], "{{- with .Values.database.storageClass }}\nstorageClass: {{ . | quote }}\n{{- end }}");
        }
        self.insert_line(spec, "{{- with .Values.imagePullSecrets }}\nimagePullSecrets: {{ toJson . }}\n{{- end }}");
    }
}

const POSTGRESQL: &str = "{{ include \"image\" .Values.database.image | quote }}";

/// The ConfigMap of settings: those in the values, and those that follow from the address. A Job that runs before an upgrade needs it
/// before the release has it, so it is a hook of its own then.
pub(super) fn settings(it: &Exported, settings: &Settings) -> String {
    let head = |name: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name:?}\n  namespace: {{{{ .Release.Namespace | quote }}}}\n")
    };
    let mut data = format!(
        "data:\n  {{{{- range $name, $value := index .Values.settings {:?} }}}}\n  {{{{ $name | quote }}}}: {{{{ $value | toJson }}}}\n  {{{{- end }}}}\n",
        settings.name
    );
    for key in settings.data.keys().filter(|it| objects::follows_address(it)) {
        let source = if key.ends_with("ALLOWED_HOSTS") {
            "hosts"
        } else if key.ends_with("TRUSTED_ORIGINS") {
            "origins"
        } else if key.ends_with("PLAIN_HTTP_HOSTS") {
            "plainHosts"
        } else {
            "address"
        };
        data.push_str(&format!("  {key:?}: {{{{ include {source:?} . | quote }}}}\n"));
    }
    let by_job = it.jobs.iter().any(|job| Exported::used(job, "ConfigMap").contains(&settings.name));
    let mut out = format!("{}{data}", head(&settings.name));
    if by_job {
        out.push_str(&format!(
            "---\n{}  {{{{- if .Release.IsUpgrade }}}}\n  annotations:\n    helm.sh/hook: pre-upgrade\n    helm.sh/hook-weight: \"-1\"\n    helm.sh/hook-delete-policy: before-hook-creation\n  {{{{- end }}}}\n{data}",
            head(&copy_of(&settings.name))
        ));
    }
    out
}
