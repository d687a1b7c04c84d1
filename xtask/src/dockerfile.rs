//! Reads the user's Dockerfile and `.dockerignore`, before the builder does.

mod bases;
mod context;
mod development;
pub mod ignore;
mod needs;
mod parse;
mod stages;

pub use crate::dockerfile::{
    bases::{Base, bases},
    context::{belongs, keep},
    development::{builds_from_source, in_development},
    ignore::{Ignore, walk},
    needs::{Ask, Need, needs},
    parse::{Dockerfile, Instruction, Syntax, parse},
    stages::{Stage, arguments, expand, stages},
};
