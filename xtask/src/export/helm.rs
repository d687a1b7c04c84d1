//! The format `helm`: a chart whose templates are the objects, with what differs between clusters as values.

mod template;
mod values;

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    export::{Exported, File, Files, Variant, file_name, helm::template::Template, kind, kustomize, name, readme, secrets, text},
    exposure::ServiceType,
};

/// The version of the chart: it changes with the values' names, not with the application.
const VERSION: &str = "0.1.0";

pub fn files(it: &Exported, app_version: &str) -> Result<Files> {
    let mut out = Files::new();
    let chart = Path::new("chart");
    let about = json!({
        "apiVersion": "v2",
        "name": it.namespace,
        "description": format!("{} and its database", it.namespace),
        "type": "application",
        "version": VERSION,
        "appVersion": app_version,
    });
    out.insert(chart.join("Chart.yaml"), text(&about)?.into());
    out.insert(chart.join("values.yaml"), values::text_of(it)?.into());
    out.insert(chart.join("values.schema.json"), values::schema(it)?.into());
    let templates = chart.join("templates");
    out.insert(templates.join("_helpers.tpl"), HELPERS.to_owned().into());
    let mut names = BTreeSet::new();
    // Kubernetes makes a namespace's own account, so Helm would refuse it as another owner's.
    let is_home = |object: &Value| {
        let is_account = kind(object) == "ServiceAccount" && name(object) == "default";
        is_account || (kind(object) == "Namespace" && name(object) == it.namespace)
    };
    for object in it.foundation.iter().chain(&it.jobs).chain(&it.app).filter(|one| !is_home(one)) {
        let file = file_name(object, &names);
        out.insert(templates.join(&file), Template::of(it, object)?.into());
        names.insert(file);
    }
    for settings in &it.settings {
        out.insert(templates.join(format!("settings-{}.yaml", settings.name)), template::settings(it, settings).into());
    }
    for variant in it.variants.iter().filter(|it| it.service != ServiceType::ClusterIp) {
        out.insert(format!("values-{}.yaml", variant.name).into(), of_variant(variant)?);
    }
    let home: Vec<String> = it.foundation.iter().filter(|it| is_home(it)).map(text).collect::<Result<_>>()?;
    if !home.is_empty() {
        out.insert("namespace.yaml".into(), home.join("---\n").into());
    }
    if !it.operator.is_empty() {
        out.insert("operator.yaml".into(), kustomize::release(it)?.into());
    }
    out.insert("secrets.sh".into(), secrets::script(&it.namespace, &it.secrets));
    out.insert("README.md".into(), readme::helm(it).into());
    Ok(out)
}

/// The values for a cluster without an Ingress controller.
fn of_variant(variant: &Variant) -> Result<File> {
    let mut service = json!({ "type": variant.service.name() });
    if let ServiceType::NodePort(Some(port)) = variant.service {
        service["nodePort"] = json!(port);
    }
    let values = json!({ "address": variant.address.origin, "service": service, "ingress": { "enabled": false } });
    Ok(File::to_change(text(&values)?))
}

/// The application's address and what follows from it.
const HELPERS: &str = r#"{{/* The reference of an image. */}}
{{- define "image" -}}
{{- printf "%s:%s@%s" .repository .tag .digest -}}
{{- end -}}

{{/* The address that users type: scheme, host and port. */}}
{{- define "address" -}}
{{- .Values.address | default (printf "%s://%s" (ternary "http" "https" (empty .Values.ingress.tlsSecret)) .Values.host) -}}
{{- end -}}

{{/* The hosts that requests may name. */}}
{{- define "hosts" -}}
{{- $address := (urlParse (include "address" .)).hostname -}}
{{- concat (list .Values.host $address) .Values.extraHosts | uniq | join "," -}}
{{- end -}}

{{/* The origins that forms may come from. */}}
{{- define "origins" -}}
{{- list (printf "https://%s" .Values.host) (include "address" .) | uniq | join "," -}}
{{- end -}}

{{/* The host that is requested without TLS, if the address has none. */}}
{{- define "plainHosts" -}}
{{- if hasPrefix "http://" (include "address" .) -}}
{{- (urlParse (include "address" .)).hostname -}}
{{- end -}}
{{- end -}}
"#;
