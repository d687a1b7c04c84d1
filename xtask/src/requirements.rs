//! Python requirements: from the application's files to pins with hashes, and from pins to wheels.
//!
//! pipreqs' table, uv and pip do the work, in the tool's own virtual environment, with the host's package index, proxy and CA settings.
//! `tasks/requirements.rs` decides which steps are necessary.

pub mod environment;
pub mod imports;
pub mod index;
pub mod pins;
pub mod read;
pub mod scan;
pub mod settings;
pub mod source;
pub mod target;
pub mod wheels;

/// The packages of the tool's own virtual environment. pip's wheel is also part of the image's build context.
const PIPREQS: &str = "pipreqs==0.4.13";
const UV: &str = "uv==0.13.9";
pub const PIP: &str = "pip==26.3";
/// The SHA-256 digest of its wheel, which fits every Python (PyPI).
const PIP_DIGEST: &str = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13";
/// The modules of each Python version's standard library.
const STDLIB_LIST: &str = "stdlib-list==0.12.0";
