//! The objects that `deploy` applies: the repository's manifests with the fields that the tool owns.
//!
//! Pure functions from manifests, configuration and references to objects. `tasks/deploy.rs` applies them and waits.

pub mod components;
pub mod development;
mod extensions;
pub mod folder;
pub mod front_door;
pub mod gateway;
pub mod image;
pub mod manifests;
mod merge;
pub mod objects;
pub mod operator;
pub mod plain;
pub mod roles;
pub mod room;
pub mod scope;
pub mod secrets;
pub mod webhooks;
pub mod yaml;
