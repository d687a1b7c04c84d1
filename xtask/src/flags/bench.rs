//! Flags of `bench`.

use clap::Args;

use crate::flags::Output;

#[derive(Clone, Debug, Args)]
pub struct Bench {
    /// How often each side is timed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// Leave out what takes long beside `create`
    #[arg(long)]
    pub short: bool,
    /// A further command to time: NAME=COMMAND, run in a copy of the project without a shell
    #[arg(long = "peer", value_name = "NAME=COMMAND", value_parser = peer)]
    pub peers: Vec<Peer>,
    /// A table, or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Another tool's command.
#[derive(Clone, Debug)]
pub struct Peer {
    pub name: String,
    pub command: Vec<String>,
}

fn peer(text: &str) -> Result<Peer, String> {
    let (name, command) = text.split_once('=').ok_or("it is written NAME=COMMAND")?;
    let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    if name.is_empty() || command.is_empty() {
        return Err("it is written NAME=COMMAND".to_owned());
    }
    Ok(Peer { name: name.to_owned(), command })
}
