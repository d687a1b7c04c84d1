//! The extensions of `database.extensions`: CloudNativePG creates them as a superuser, before the application's migration runs.

use serde_json::{Value, json};

use crate::{
    config::{Config, extension},
    deploy::{
        manifests::{Manifest, Place},
        scope,
    },
};

const GROUP: &str = "postgresql.cnpg.io";

/// Adds the extensions to the manifests' own `Database` of the application's database, or to a new one. CloudNativePG 1.30 accepts one
/// `Database` for each database (`already managed by`).
pub(super) fn add(manifests: &mut Vec<Manifest>, config: &Config) {
    let database = &config.database;
    let names = extension::with_needed(&database.extensions);
    let is_of = |it: &Manifest, kind: &str| it.object["kind"] == kind && scope::group(&it.object) == GROUP;
    let Some(at) = manifests.iter().position(|it| is_of(it, "Cluster")) else { return };
    if names.is_empty() {
        return;
    }
    let name = manifests[at].object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    // The library is in memory from the start only; CloudNativePG loads it if one of its settings is there (`ManagedExtensions`).
    if names.contains(&"pg_stat_statements") {
        let parameters = &mut manifests[at].object["spec"]["postgresql"]["parameters"];
        let is_set = parameters.as_object().is_some_and(|it| it.keys().any(|it| it.starts_with("pg_stat_statements.")));
        if !is_set {
            parameters["pg_stat_statements.track"] = json!("top");
        }
    }
    let is_own = |it: &Manifest| {
        let spec = &it.object["spec"];
        is_of(it, "Database") && spec["cluster"]["name"] == name.as_str() && spec["name"] == database.name.as_str()
    };
    let at = manifests.iter().position(is_own).unwrap_or_else(|| {
        let object = json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "Database",
            "metadata": {
                "name": format!("{name}-extensions"),
                "labels": manifests[at].object["metadata"]["labels"],
            },
            "spec": { "name": database.name, "owner": database.user, "cluster": { "name": name } },
        });
        manifests.push(Manifest { object, place: Place { file: "written by the tool for database.extensions".to_owned(), line: 1 } });
        manifests.len() - 1
    });
    let list = &mut manifests[at].object["spec"]["extensions"];
    let mut all = list.as_array().cloned().unwrap_or_default();
    let missing: Vec<Value> = names
        .iter()
        .filter(|name| !all.iter().any(|it| it["name"] == **name))
        .map(|it| json!({ "name": it, "ensure": "present" }))
        .collect();
    all.extend(missing);
    *list = json!(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifests(objects: &[Value]) -> Vec<Manifest> {
        objects.iter().map(|it| Manifest { object: it.clone(), place: Place { file: "a.yaml".to_owned(), line: 1 } }).collect()
    }

    fn cluster() -> Value {
        json!({ "apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": { "name": "db" }, "spec": {} })
    }

    fn with(names: &[&str]) -> Config {
        let mut config = Config::default();
        config.database.extensions = names.iter().map(|it| (*it).to_owned()).collect();
        config
    }

    #[test]
    fn without_extensions_nothing_is_added() {
        let mut all = manifests(&[cluster()]);
        add(&mut all, &with(&[]));
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].object, cluster());
    }

    #[test]
    fn the_database_gets_its_extensions_in_an_object_of_its_own() {
        let mut all = manifests(&[cluster()]);
        add(&mut all, &with(&["postgis_raster", "pg_stat_statements"]));
        let spec = &all[1].object["spec"];
        assert_eq!(all[1].object["metadata"]["name"], "db-extensions");
        assert_eq!((&spec["name"], &spec["owner"], &spec["cluster"]["name"]), (&json!("polls"), &json!("polls"), &json!("db")));
        let names: Vec<&str> = spec["extensions"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
        assert_eq!(names, ["postgis", "postgis_raster", "pg_stat_statements"]);
        assert_eq!(all[0].object["spec"]["postgresql"]["parameters"]["pg_stat_statements.track"], "top");
    }

    #[test]
    fn the_users_own_object_keeps_what_it_says() {
        let own = json!({
            "apiVersion": "postgresql.cnpg.io/v1", "kind": "Database", "metadata": { "name": "mine" },
            "spec": { "name": "polls", "owner": "polls", "cluster": { "name": "db" }, "extensions": [{ "name": "hstore", "version": "1.8" }] },
        });
        let mut set = cluster();
        set["spec"]["postgresql"]["parameters"]["pg_stat_statements.max"] = json!("500");
        let mut all = manifests(&[set.clone(), own]);
        add(&mut all, &with(&["hstore", "pg_trgm", "pg_stat_statements"]));
        assert_eq!(all.len(), 2);
        let list = &all[1].object["spec"]["extensions"];
        assert_eq!(list[0], json!({ "name": "hstore", "version": "1.8" }));
        assert_eq!(list[1]["name"], "pg_trgm");
        assert_eq!(all[0].object, set);
    }
}
