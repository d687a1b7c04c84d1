//! The flags of `delete`.

use clap::Args;

use crate::flags::Output;

#[derive(Clone, Debug, Args)]
pub struct Delete {
    /// Also stop the tool's own engine, and remove its data and the cache
    #[arg(long)]
    pub purge: bool,
    /// First write the database's content to snapshots/; the next `create` of this instance offers it, and with --yes restores it
    #[arg(long, conflicts_with_all = ["expired", "dry_run"])]
    pub keep_database: bool,
    /// Only this project's clusters in clouds whose time is over
    #[arg(long, conflicts_with_all = ["purge", "output", "name"])]
    pub expired: bool,
    /// The output format; JSON lists what was removed and what is left
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}
