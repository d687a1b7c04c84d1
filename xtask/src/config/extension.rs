//! PostgreSQL's extensions by name: those that come with the server, and those with a package of their own.

use crate::config::form::quoted;

/// The extensions in the server's Debian packages `postgresql-17` (17.12) and `postgresql-18` (18.6), without those that need another
/// language in the server, and without `plpgsql`, which every database has.
const CONTAINED: &str = "
    amcheck autoinc bloom btree_gin btree_gist citext cube dblink dict_int dict_xsyn earthdistance file_fdw fuzzystrmatch hstore
    insert_username intagg intarray isn lo ltree moddatetime pageinspect pg_buffercache pg_freespacemap pg_prewarm pg_stat_statements
    pg_surgery pg_trgm pg_visibility pg_walinspect pgcrypto pgrowlocks pgstattuple postgres_fdw refint seg sslinfo tablefunc tcn
    tsm_system_rows tsm_system_time unaccent uuid-ossp xml2";

/// Extensions with a Debian package of their own, and the end of its name after `postgresql-17-`, for all versions that are built from
/// packages.
const PACKAGED: [(&str, &str); 21] = [
    ("h3", "h3"),
    ("hll", "hll"),
    ("http", "http"),
    ("hypopg", "hypopg"),
    ("ip4r", "ip4r"),
    ("jsquery", "jsquery"),
    ("orafce", "orafce"),
    ("pg_partman", "partman"),
    ("pgrouting", "pgrouting"),
    ("pgtap", "pgtap"),
    ("postgis", "postgis-3"),
    ("postgis_raster", "postgis-3"),
    ("postgis_topology", "postgis-3"),
    ("prefix", "prefix"),
    ("q3c", "q3c"),
    ("roaringbitmap", "roaringbitmap"),
    ("rum", "rum"),
    ("semver", "semver"),
    ("tdigest", "tdigest"),
    ("unit", "unit"),
    ("vector", "pgvector"),
];

/// Extensions that need another one (`requires` in their control files).
const NEEDS: [(&str, &str); 4] =
    [("earthdistance", "cube"), ("pgrouting", "postgis"), ("postgis_raster", "postgis"), ("postgis_topology", "postgis")];

/// The end of the name of the extension's own Debian package; `None` if the server has the extension, or if nobody knows it.
pub fn package(name: &str) -> Option<&'static str> {
    PACKAGED.iter().find(|(it, _)| *it == name).map(|(_, package)| *package)
}

/// Whether an image that the tool builds has it.
pub fn is_known(name: &str) -> bool {
    complaint(name, false).is_none()
}

/// The names with those that they need, each once and after what it needs: CloudNativePG creates extensions in the order of the list, and
/// without `CASCADE`.
pub fn with_needed(names: &[String]) -> Vec<&str> {
    let mut out: Vec<&str> = Vec::new();
    for name in names {
        let needed = NEEDS.iter().find(|(it, _)| it == name).map(|(_, needed)| *needed);
        for one in needed.into_iter().chain([name.as_str()]) {
            if !out.contains(&one) {
                out.push(one);
            }
        }
    }
    out
}

/// Why a name is no extension. With an image of the user's own, which may have any, only the form of the name is checked.
pub(super) fn complaint(name: &str, has_own_image: bool) -> Option<String> {
    let is_plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "_-".contains(it);
    if name.is_empty() || name.len() > 63 || !name.chars().all(is_plain) || name.starts_with('-') {
        return Some(format!("{} is no extension's name, such as `pg_trgm`: lower-case letters, digits, `_` and `-`", quoted(name)));
    }
    let known = || CONTAINED.split_whitespace().chain(PACKAGED.iter().map(|(it, _)| *it));
    if has_own_image || known().any(|it| it == name) {
        return None;
    }
    if let Some((_, meant)) = ALIASES.iter().find(|(it, _)| *it == name) {
        return Some(format!("{} is called `{meant}` in PostgreSQL", quoted(name)));
    }
    let near = known().map(|it| (strsim::damerau_levenshtein(name, it), it)).filter(|(distance, _)| *distance <= 3).min();
    Some(match near {
        Some((_, it)) => format!("{}: no extension of this name; did you mean `{it}`?", quoted(name)),
        None => format!("{}: no extension of this name; for another one, `images.postgresql` must name an image that has it", quoted(name)),
    })
}

/// Names of projects, where the extension has another one.
const ALIASES: [(&str, &str); 3] = [("pgvector", "vector"), ("pg-trgm", "pg_trgm"), ("uuid_ossp", "uuid-ossp")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_extensions_come_first_and_once() {
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(with_needed(&names("postgis_raster vector postgis pgrouting")), ["postgis", "postgis_raster", "vector", "pgrouting"]);
        assert_eq!(with_needed(&names("earthdistance")), ["cube", "earthdistance"]);
    }

    #[test]
    fn tables_agree() {
        let contained: Vec<&str> = CONTAINED.split_whitespace().collect();
        assert!(contained.is_sorted() && PACKAGED.is_sorted() && NEEDS.is_sorted());
        for (name, needed) in NEEDS {
            assert_eq!((complaint(name, false), complaint(needed, false)), (None, None));
        }
        for (alias, name) in ALIASES {
            assert!(complaint(alias, false).is_some() && complaint(name, false).is_none(), "{alias}");
        }
    }

    #[test]
    fn a_wrong_name_is_told_the_right_one() {
        for (name, part) in [
            ("pgvector", "`pgvector` is called `vector` in PostgreSQL"),
            ("pg_trgrm", "did you mean `pg_trgm`?"),
            ("timescaledb", "`images.postgresql` must name an image that has it"),
            ("", "is no extension's name"),
            ("Vector", "is no extension's name"),
            ("x; DROP", "is no extension's name"),
        ] {
            let text = complaint(name, false).unwrap();
            assert!(text.contains(part), "{name}: {text}");
        }
        assert_eq!(complaint("timescaledb", true), None);
        assert!(complaint("x; DROP", true).is_some());
    }
}
