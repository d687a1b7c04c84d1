//! Python requirements: from the application's files to pins with hashes, and from pins to wheels.
//!
//! pipreqs' table, uv and pip do the work, in the tool's own virtual environment, with the host's package index, proxy and CA settings.
//! `tasks/requirements.rs` decides which steps are necessary.

pub mod environment;
pub mod imports;
pub mod index;
pub mod pins;
pub mod pip;
pub mod read;
pub mod scan;
pub mod settings;
pub mod source;
pub mod target;
pub mod wheels;

/// The programs that the tool installs for itself, every file by its digest. pip's wheel is also part of the image's build context.
const TOOLS: &str = include_str!("requirements/python/tools.txt");
/// For applications with a poetry.lock or a Pipfile.lock.
const POETRY: &str = include_str!("requirements/python/poetry.txt");
const PIPENV: &str = include_str!("requirements/python/pipenv.txt");

/// pip, as the lock has it.
pub const PIP: &str = "pip==26.3";

#[cfg(test)]
mod tampered;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_tools_own_programs_is_pinned_by_its_digest() {
        for (lock, wanted) in [
            (TOOLS, &["pip", "pipreqs", "stdlib-list", "uv"][..]),
            (POETRY, &["poetry", "poetry-plugin-export", "requests"]),
            (PIPENV, &["pipenv", "virtualenv"]),
        ] {
            assert!(pins::is_pinned(lock), "{wanted:?}");
            assert!(source::lines(lock).iter().all(|it| it.contains("==")), "{wanted:?}");
            let names = pins::names(lock);
            assert!(wanted.iter().all(|it| names.contains(*it)), "{wanted:?}: {names:?}");
        }
        assert!(source::lines(TOOLS).iter().any(|it| it.starts_with(PIP)));
    }
}
