//! What `deploy` applies: the plain manifests of the repository with the fields that the tool owns set as data.
//!
//! Pure functions from manifests, configuration and references to objects. Applying and waiting is `tasks/deploy.rs`.

pub mod development;
pub mod image;
pub mod manifests;
pub mod objects;
pub mod operator;
pub mod parts;
pub mod plain;
pub mod roles;
pub mod scope;
pub mod secrets;
pub mod webhooks;
pub mod yaml;
