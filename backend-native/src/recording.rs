//! What the engine records about itself.

/// Where an engine's figures go, if anywhere.
#[derive(Debug, Default)]
pub struct Recording {}

impl Recording {
    /// Records nothing, and skips the work.
    pub fn off() -> Self {
        Self {}
    }
}
