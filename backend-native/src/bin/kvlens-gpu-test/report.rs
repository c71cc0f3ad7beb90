//! One line per check, and the count at the end.

/// What was checked so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// Checks a relative error against its bound. NaN fails.
    pub(crate) fn error(&mut self, name: &str, error: f64, bound: f64) {
        self.line(
            error < bound,
            &format!("{name}: error {error:.2e}, bound {bound:.1e}"),
        );
    }

    /// Checks that something held exactly.
    pub(crate) fn equal(&mut self, name: &str, holds: bool) {
        self.line(holds, &format!("{name}: exact"));
    }

    /// Checks so far.
    pub(crate) fn count(&self) -> usize {
        self.passed + self.failed
    }

    fn line(&mut self, good: bool, text: &str) {
        if good {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        println!("{} {text}", if good { "ok  " } else { "FAIL" });
    }

    /// Prints the count; true if nothing failed.
    pub(crate) fn finish(&self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}
