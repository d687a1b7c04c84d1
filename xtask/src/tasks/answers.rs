//! What a configuration says of a service, as answers to what recognition asks.

use std::collections::BTreeMap;

use crate::{
    config::Service,
    env::Scope,
    recognise::{Answers, Stated},
};

/// What a service's table says. `services` are the tables beside the first one.
pub fn stated(service: &Service, services: &BTreeMap<String, Service>) -> Stated {
    let secrets = service.secrets.keys().map(|it| (it.clone(), String::new()));
    Stated {
        command: service.command.clone(),
        port: service.port,
        migrate: service.migrate.clone(),
        env: service.env.clone().into_iter().chain(secrets).collect(),
        services: services.keys().cloned().collect(),
        ..Stated::default()
    }
}

/// Those of the task's service, so that the program is compiled that its command starts.
pub(super) fn of_scope(env: &Scope<'_>) -> Answers {
    Answers::stated(stated(env.service, &env.config.services))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_first_services_table_answers_and_secrets_count_as_given() {
        let config = Config::parse(
            "[frontend]\npath = \".\"\nport = 9000\ncommand = [\"/srv/app/bin/b\"]\nmigrate = [\"m\"]\n[frontend.env]\nA = \"1\"\n\
             [frontend.secrets]\nB = { env = \"B\" }\n[services.cache]\nkind = \"valkey\"\n",
        )
        .unwrap();
        let words = |it: &str| Some(vec![it.to_owned()]);
        let expected = Stated {
            command: words("/srv/app/bin/b"),
            port: Some(9000),
            migrate: words("m"),
            dockerfile: None,
            env: [("A", "1"), ("B", "")].map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            services: ["cache".to_owned()].into(),
        };
        assert_eq!(stated(&config.frontend, &config.services), expected);
    }
}
