//! Reads the user's Dockerfile and `.dockerignore`, before the builder does.

mod bases;
pub mod ignore;
mod needs;
mod parse;
mod stages;

pub use crate::dockerfile::{
    bases::{Base, bases},
    ignore::{Ignore, walk},
    needs::{Ask, Need, needs},
    parse::{Dockerfile, Instruction, Syntax, parse},
    stages::{Stage, arguments, expand, stages},
};
