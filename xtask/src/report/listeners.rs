//! Chooses the listeners of a run, by flags and environment.

use std::{
    io::{IsTerminal as _, stderr, stdout},
    path::PathBuf,
};

use crate::report::{
    Verbosity, github::GitHub, history, hub::Hub, lines::Lines, live::Live, plain::Plain, record::Record, stream::Stream, style::Style,
};

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    #[default]
    Auto,
    Always,
    Never,
}

/// The flags that concern the display.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub colour: Colour,
    pub verbosity: Verbosity,
}

/// The paths of a run's record.
pub struct Places {
    /// All runs of the instance.
    pub runs: PathBuf,
    /// This run.
    pub run: PathBuf,
    /// The link to the last run.
    pub link: PathBuf,
}

/// The listener of `--events`, attached first so that it also gets a failure before the run.
pub fn stream(hub: &Hub) {
    hub.attach(Box::new(Stream::new(Box::new(stdout()))));
}

/// Attaches all other listeners.
pub fn attach(hub: &Hub, wanted: Wanted, places: Places) {
    let variable = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
    let terminal = stderr().is_terminal();
    let style = Style {
        colour: colour(wanted.colour, terminal, &variable),
        unicode: unicode(&variable),
        width: if terminal { size().0 } else { usize::MAX },
    };
    let lines = Lines { style, verbosity: wanted.verbosity, starts: true };
    if is_live(terminal, &variable) {
        let runs = places.runs.clone();
        hub.attach(Box::new(Live::new(Box::new(stderr()), lines, Box::new(size), Box::new(move || history::estimates(&runs)))));
    } else {
        hub.attach(Box::new(Plain::new(Box::new(stderr()), lines)));
    }
    hub.attach(Box::new(Record::new(places.run, places.link)));
    let summary = variable("GITHUB_STEP_SUMMARY").map(PathBuf::from);
    if variable("GITHUB_ACTIONS").is_some() || summary.is_some() {
        hub.attach(Box::new(GitHub::new(Box::new(stderr()), summary)));
    }
}

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The flag, then `NO_COLOR`, then `CLICOLOR_FORCE`, then whether standard error is a terminal.
fn colour(flag: Colour, terminal: bool, variable: Variable<'_>) -> bool {
    match flag {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto if variable("NO_COLOR").is_some() => false,
        Colour::Auto if variable("CLICOLOR_FORCE").is_some_and(|it| it != "0") => true,
        Colour::Auto => terminal && !is_dumb(variable),
    }
}

fn is_dumb(variable: Variable<'_>) -> bool {
    variable("TERM").is_none_or(|it| it == "dumb")
}

/// Not in CI, which may have a terminal that no person watches.
fn is_live(terminal: bool, variable: Variable<'_>) -> bool {
    terminal && !is_dumb(variable) && variable("CI").is_none_or(|it| it == "false")
}

/// Whether the locale is UTF-8: the first of the three variables that is set decides.
fn unicode(variable: Variable<'_>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default().to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Columns and rows of the terminal on standard error.
fn size() -> (usize, usize) {
    terminal_size::terminal_size_of(stderr()).map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_flag_goes_before_the_variables_and_these_before_the_terminal() {
        assert!(colour(Colour::Auto, true, &set(&[("TERM", "xterm")])));
        assert!(!colour(Colour::Auto, false, &set(&[("TERM", "xterm")])));
        assert!(!colour(Colour::Auto, true, &set(&[("TERM", "xterm"), ("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")])));
        assert!(colour(Colour::Auto, false, &set(&[("CLICOLOR_FORCE", "1")])));
        assert!(!colour(Colour::Auto, false, &set(&[("CLICOLOR_FORCE", "0")])));
        assert!(colour(Colour::Always, false, &set(&[("NO_COLOR", "1")])));
        assert!(!colour(Colour::Never, true, &set(&[("TERM", "xterm"), ("CLICOLOR_FORCE", "1")])));
    }

    #[test]
    fn a_display_needs_a_terminal_that_moves_its_cursor_and_a_reader() {
        assert!(is_live(true, &set(&[("TERM", "xterm")])));
        assert!(is_live(true, &set(&[("TERM", "xterm"), ("CI", "false")])));
        for variables in [&[("TERM", "dumb")][..], &[("TERM", "xterm"), ("CI", "true")], &[]] {
            assert!(!is_live(true, &set(variables)), "{variables:?}");
        }
        assert!(!is_live(false, &set(&[("TERM", "xterm")])));
    }

    #[test]
    fn without_a_locale_output_is_ascii() {
        assert!(!unicode(&set(&[])));
        assert!(unicode(&set(&[("LANG", "C.UTF-8")])));
        assert!(!unicode(&set(&[("LC_ALL", "C"), ("LANG", "en_GB.utf8")])));
    }
}
