//! Reads the user's Dockerfile and `.dockerignore`, before the builder does.

mod bases;
mod development;
pub mod ignore;
mod needs;
mod parse;
mod stages;

pub use crate::dockerfile::{
    bases::{Base, bases},
    development::{builds_from_source, in_development},
    ignore::{Ignore, context, walk},
    needs::{Ask, Need, needs},
    parse::{Dockerfile, Instruction, Syntax, parse},
    stages::{Stage, arguments, expand, stages},
};
