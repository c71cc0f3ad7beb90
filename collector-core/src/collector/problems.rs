//! What went wrong and was survived: kept once each, shown at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many different problems are kept; more are counted only.
const KEPT: usize = 64;

/// Called with every new problem, in words.
pub(super) type OnProblem = Arc<dyn Fn(&str) + Send + Sync>;

/// A shared list of problems.
#[derive(Clone, Default)]
pub(super) struct Problems {
    state: Arc<Mutex<State>>,
    on_problem: Option<OnProblem>,
}

#[derive(Default)]
struct State {
    list: Vec<(String, u64)>,
    more: u64,
}

impl std::fmt::Debug for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

impl Problems {
    pub(super) fn new(on_problem: Option<OnProblem>) -> Self {
        Self {
            state: Arc::default(),
            on_problem,
        }
    }

    /// Adds a problem and shows it; one that is known already is only counted.
    pub(super) fn add(&self, text: &str) {
        if let (true, Some(show)) = (self.keep(text), &self.on_problem) {
            show(text);
        }
    }

    /// Adds a problem without showing it; whether it is a new one.
    pub(super) fn keep(&self, text: &str) -> bool {
        let mut state = self.lock();
        if let Some(known) = state.list.iter_mut().find(|(known, _)| known == text) {
            known.1 += 1;
            return false;
        }
        if state.list.len() == KEPT {
            state.more += 1;
            return false;
        }
        state.list.push((text.to_owned(), 1));
        true
    }

    /// The problems in words, oldest first, with how often each was seen.
    pub(super) fn list(&self) -> Vec<String> {
        let state = self.lock();
        let mut list: Vec<String> = state
            .list
            .iter()
            .map(|(text, times)| {
                if *times == 1 {
                    text.clone()
                } else {
                    format!("{text} ({times} times)")
                }
            })
            .collect();
        if state.more > 0 {
            list.push(format!("{} more problems", state.more));
        }
        list
    }

    /// A poisoned lock only means that a callback panicked; the list itself is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caught panic's message.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
