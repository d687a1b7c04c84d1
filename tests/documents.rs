//! Generated documents: commands, configuration, errors. `UPDATE_EXPECT=1 cargo test --test project` updates them.

use clap::CommandFactory as _;
use expect_test::expect_file;
use pocdeploy::{
    config::{Config, keys, schema},
    errors::{Code, Group},
    flags::Flags,
};

/// All subcommands except `help`.
fn commands(of: &clap::Command) -> impl Iterator<Item = clap::Command> {
    of.get_subcommands().filter(|it| it.get_name() != "help" && !it.is_hide_set()).cloned()
}

#[test]
fn the_page_of_commands_is_what_help_prints() {
    let mut root = Flags::command().name("cargo xtask").bin_name("cargo xtask").term_width(100);
    root.build();
    let mut out =
        String::from("# Commands\n\nMade from `--help`. An installed program is called `pocdeploy` instead of `cargo xtask`.\n\n");
    out.push_str(&format!("```text\n{}\n```\n", trimmed(&root.render_long_help().to_string())));
    for command in commands(&root) {
        page(&mut out, "##", &command);
    }
    expect_file!["../docs/commands.md"].assert_eq(&out);
}

fn page(out: &mut String, level: &str, command: &clap::Command) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.clone().term_width(100).render_long_help().to_string();
    // The global flags are listed once, at the top.
    let own = help.split("\nGlobal options:").next().unwrap_or_default();
    out.push_str(&format!("\n{level} {name}\n\n```text\n{}\n```\n", trimmed(own)));
    for inner in commands(command) {
        page(out, &format!("{level}#"), &inner);
    }
}

fn trimmed(text: &str) -> String {
    text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_page_of_the_configuration_is_what_the_types_say() {
    let schema: serde_json::Value = serde_json::from_str(&schema::text()).unwrap();
    let defaults = Config::default();
    let mut out = String::from(
        "# Configuration\n\nEvery key of `Pocdeploy.toml`, made from the types that read it. Each may be left out. A flag goes before a variable, a\n\
         variable before the file, the file before the default; `cargo xtask config show --origin` says which one decided.\n\n\
         | key | type | default | variable | what it says |\n| --- | --- | --- | --- | --- |\n",
    );
    for key in keys::fixed() {
        let found = schema.pointer(&format!("/properties/{}", key.path.replace('.', "/properties/"))).unwrap();
        let kind = match found["enum"].as_array() {
            Some(names) => names.iter().filter_map(|it| it.as_str()).map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "),
            None => found["type"].as_str().unwrap().to_owned(),
        };
        let default = match key.show(&defaults).as_str() {
            "" => "—".to_owned(),
            text => format!("`{text}`"),
        };
        let words = found["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        out.push_str(&format!("| `{}` | {kind} | {default} | `{}` | {words} |\n", key.path, key.variable().unwrap()));
    }
    out.push_str(
        "\n## Further services\n\n`[services.NAME]` has the keys of `[frontend]` and one more. Where a key is not set, its value follows from the \
         name; a\nservice that `uses` another one needs none of the keys of source and image. Its manifests lie in `deploy/NAME/`.\n\n\
         | key | default | what it says |\n| --- | --- | --- |\n",
    );
    let example = Config::parse("[services.NAME]\n".to_lowercase().as_str()).unwrap();
    let further = keys::all(&example).into_iter().filter(|it| it.path.starts_with("services."));
    for key in further {
        let name = key.path.rsplit('.').next().unwrap();
        let found = schema.pointer(&format!("/properties/services/additionalProperties/properties/{name}")).unwrap();
        let default = match key.show(&example).as_str() {
            "" => "—".to_owned(),
            text => format!("`{}`", text.replace("name", "NAME")),
        };
        let words = found["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        out.push_str(&format!("| `services.NAME.{name}` | {default} | {words} |\n"));
    }
    out.push_str(
        "\n## Secrets\n\n`[frontend.secrets]` and `[services.NAME.secrets]` have one line for each variable, with one source:\n\
         `STRIPE_KEY = { env = \"STRIPE_KEY\" }`. [What a pod is given](contract.md#secrets) has an example of each.\n\n\
         | key of a line | type | what it says |\n| --- | --- | --- |\n",
    );
    let line = schema.pointer("/properties/frontend/properties/secrets/additionalProperties/properties").unwrap();
    for (name, found) in line.as_object().unwrap() {
        let words = found["description"].as_str().unwrap_or_default().replace('\n', " ");
        out.push_str(&format!("| `{name}` | {} | {words} |\n", found["type"].as_str().unwrap()));
    }
    expect_file!["../docs/configuration.md"].assert_eq(&out);
}

#[test]
fn the_page_of_errors_is_what_explain_tells() {
    let mut out = String::from(
        "# Troubleshooting\n\nEvery error has a code. `cargo xtask explain CODE` prints the same as this page, which is made from the program.\n",
    );
    let mut group = None;
    for code in Code::ALL {
        if group != Some(code.group()) {
            group = Some(code.group());
            let who = match code.group() {
                Group::Tool => "The tool",
                Group::Machine => "This machine",
                Group::Project => "The project",
                Group::Cluster => "The cluster",
            };
            out.push_str(&format!("\n## {who}\n"));
        }
        let entry = code.entry();
        out.push_str(&format!("\n### {}: {}\n\nUsual causes:\n\n", entry.number, entry.means));
        entry.causes.iter().for_each(|it| out.push_str(&format!("- {it}\n")));
        out.push_str("\nWhat to do:\n\n");
        entry.steps.iter().for_each(|it| out.push_str(&format!("- {it}\n")));
    }
    expect_file!["../docs/troubleshooting.md"].assert_eq(&out);
}
