//! The one reporter of a run: gives each event its time, keeps the state of the run, and passes both to the listeners.
//!
//! A ticker lets the listeners show that time passes; no other file of `report` looks at a clock.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use crate::{
    graph::TaskId,
    report::{Event, Report, RunEvent, Told, run::Run},
};

/// Hears each event after the run's state took it in. `at` counts from the beginning of the run.
pub trait Listener: Send {
    fn told(&mut self, at: Duration, run: &Run, told: &Told);
    /// Ten times a second.
    fn tick(&mut self, _at: Duration, _run: &Run) {}
    /// Whether this one draws on the screen that a question needs for itself.
    fn draws(&self) -> bool {
        false
    }
    /// Takes what is drawn and may change off the screen.
    fn clear(&mut self) {}
}

/// See the file's head.
pub struct Hub {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    run: Run,
    listeners: Vec<Box<dyn Listener>>,
    held: bool,
    /// What those that draw have not heard because of a question.
    missed: Vec<(Duration, Told)>,
}

const TICK: Duration = Duration::from_millis(100);

impl Hub {
    /// With no listeners yet, and a ticker that lives as long as it does.
    pub fn new() -> Arc<Hub> {
        let hub = Arc::new(Hub { began: Instant::now(), state: Mutex::default() });
        let weak = Arc::downgrade(&hub);
        std::thread::spawn(move || tick(&weak));
        hub
    }

    /// From now on this one hears every event.
    pub fn attach(&self, listener: Box<dyn Listener>) {
        self.state().listeners.push(listener);
    }

    /// A listener that panicked is no reason to lose the others.
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
