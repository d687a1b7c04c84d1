//! Python requirements: from what the application tells of them to pins with hashes, and from pins to wheels.
//!
//! pipreqs' table, uv and pip do the work, from a virtual environment of the tool's own; they use the host's index,
//! proxy and CA settings. Which of it must be done is decided in `tasks/requirements.rs`.

pub mod environment;
pub mod imports;
pub mod pins;
pub mod read;
pub mod scan;
pub mod settings;
pub mod source;
pub mod target;
pub mod wheels;

/// What goes into the tool's own virtual environment. pip's wheel also goes into the image's build context.
const PIPREQS: &str = "pipreqs==0.4.13";
const UV: &str = "uv==0.13.9";
pub const PIP: &str = "pip==26.3";
/// The modules of each Python's standard library.
const STDLIB_LIST: &str = "stdlib-list==0.12.0";
