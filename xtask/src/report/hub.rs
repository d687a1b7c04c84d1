//! The event hub of a run: adds the time to each event, updates the run's state, and passes both to the listeners.
//!
//! A ticker calls the listeners regularly; no other file of `report` reads the clock.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use crate::{
    graph::TaskId,
    report::{Event, Report, RunEvent, Told, run::Run},
};

/// Receives each event after the run's state was updated. `at` counts from the start of the run.
pub trait Listener: Send {
    fn told(&mut self, at: Duration, run: &Run, told: &Told);
    /// Called ten times a second.
    fn tick(&mut self, _at: Duration, _run: &Run) {}
    /// Whether this listener draws on the screen, and must pause during a question.
    fn draws(&self) -> bool {
        false
    }
    /// Removes the lines that are redrawn.
    fn clear(&mut self) {}
}

/// The hub.
pub struct Hub {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    run: Run,
    listeners: Vec<Box<dyn Listener>>,
    held: bool,
    /// Events during a question, for the listeners that draw.
    missed: Vec<(Duration, Told)>,
}

const TICK: Duration = Duration::from_millis(100);

impl Hub {
    /// A hub without listeners, and a ticker that ends with the hub.
    pub fn new() -> Arc<Hub> {
        let hub = Arc::new(Hub { began: Instant::now(), state: Mutex::default() });
        let weak = Arc::downgrade(&hub);
        std::thread::spawn(move || tick(&weak));
        hub
    }

    /// Adds a listener for all later events.
    pub fn attach(&self, listener: Box<dyn Listener>) {
        self.state().listeners.push(listener);
    }

    /// A panic in a listener must not disable the others, so poisoning is ignored.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, told: Told) {
        let mut state = self.state();
        let at = self.began.elapsed();
        state.tell(at, told);
    }
}

fn tick(hub: &Weak<Hub>) {
    loop {
        std::thread::sleep(TICK);
        let Some(hub) = hub.upgrade() else { return };
        let mut state = hub.state();
        let at = hub.began.elapsed();
        let State { run, listeners, held, .. } = &mut *state;
        for listener in listeners.iter_mut().filter(|it| !(*held && it.draws())) {
            listener.tick(at, run);
        }
    }
}

impl State {
    fn tell(&mut self, at: Duration, told: Told) {
        self.run.take(at, &told);
        let State { run, listeners, held, missed } = self;
        for listener in listeners.iter_mut().filter(|it| !(*held && it.draws())) {
            listener.told(at, run, &told);
        }
        if *held {
            missed.push((at, told));
        }
    }

    fn hold(&mut self, on: bool) {
        let State { run, listeners, held, missed } = self;
        *held = on;
        for listener in listeners.iter_mut().filter(|it| it.draws()) {
            if on {
                listener.clear();
            } else {
                missed.iter().for_each(|(at, told)| listener.told(*at, run, told));
            }
        }
        if !on {
            missed.clear();
        }
    }
}

impl Report for Hub {
    fn event(&self, task: TaskId, event: Event) {
        self.tell(Told::Task(task, event.reworded()));
    }

    fn run(&self, event: RunEvent) {
        self.tell(Told::Run(event));
    }

    fn hold(&self, on: bool) {
        self.state().hold(on);
    }

    fn so_far(&self) -> Run {
        self.state().run.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Screen(Arc<Mutex<Vec<String>>>);

    impl Listener for Screen {
        fn told(&mut self, _at: Duration, _run: &Run, told: &Told) {
            self.0.lock().unwrap().push(format!("{told:?}"));
        }

        fn draws(&self) -> bool {
            true
        }

        fn clear(&mut self) {
            self.0.lock().unwrap().push("cleared".to_owned());
        }
    }

    #[test]
    fn what_happens_during_a_question_is_shown_after_it() {
        let hub = Hub::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        hub.attach(Box::new(Screen(seen.clone())));
        hub.hold(true);
        hub.event(TaskId::Patch, Event::Checking);
        assert_eq!(*seen.lock().unwrap(), ["cleared"]);
        hub.hold(false);
        assert_eq!(*seen.lock().unwrap(), ["cleared", "Task(Patch, Checking)"]);
        assert_eq!(hub.so_far().tasks.len(), 1);
    }
}
