//! The secrets of this process, which must not be shown, bundled or stored.

use crate::config::Config;

/// Parts of names of variables whose values are secrets.
const TELLING: [&str; 8] = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIAL", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY"];

impl Config {
    /// The configured secrets, and the values of environment variables with such names.
    pub fn secrets(&self) -> Vec<String> {
        let keys = self.all_services().map(|(_, it)| &it.secret_key);
        let given = keys.chain([&self.database.password]).flatten().map(|it| it.expose().to_owned());
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.to_string_lossy().to_uppercase();
            TELLING.iter().any(|it| name.contains(it)).then(|| value.to_string_lossy().into_owned())
        });
        given.chain(variables).collect()
    }
}
