//! What a run has read already.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;

/// What a run reads once, by a name of the reader's choice. The values have the types of modules that use the environment.
#[derive(Default)]
pub struct Readings(Mutex<BTreeMap<String, Box<dyn Any + Send>>>);

impl Readings {
    /// What was read under the name, or what `read` reads now. An error is not kept. Tasks that ask at the same time may both read.
    pub fn once<T: Clone + Send + 'static>(&self, name: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
        if let Some(known) = self.known().get(name).and_then(|it| it.downcast_ref::<T>()) {
            return Ok(known.clone());
        }
        let value = read()?;
        self.known().insert(name.to_owned(), Box::new(value.clone()));
        Ok(value)
    }

    /// Replaces what was read under the name.
    pub fn put<T: Clone + Send + 'static>(&self, name: &str, value: &T) {
        self.known().insert(name.to_owned(), Box::new(value.clone()));
    }

    /// All is read again: for a command that follows changes of files.
    pub fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Box<dyn Any + Send>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_once_an_error_again_and_all_after_forget() {
        let readings = Readings::default();
        let read = |number: u32| readings.once("a", move || Ok(number)).unwrap();
        assert!(readings.once::<u32>("a", || anyhow::bail!("not yet")).is_err());
        assert_eq!([read(1), read(2)], [1, 1]);
        assert_eq!(readings.once("b", || Ok(3)).unwrap(), 3);
        readings.put("b", &5);
        assert_eq!(readings.once("b", || Ok(3)).unwrap(), 5);
        readings.forget();
        assert_eq!(read(4), 4);
    }
}
