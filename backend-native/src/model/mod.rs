//! What a model computes around attention: the trait, and the built-in model.

mod builtin;
mod preset;

pub use builtin::{BuiltinModel, DEFAULT_SEED, DEFAULT_SHAPE, LayerWeights};
pub use preset::{PRESET_VOCABULARY, PRESETS, Preset, UnknownShape};

/// The sizes that a model's KV and attention have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelShape {
    /// Decoder layers.
    pub layers: usize,
    /// Query heads; a multiple of `kv_heads`.
    pub q_heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Elements of the hidden state.
    pub hidden: usize,
    /// Tokens known; larger ids wrap around.
    pub vocabulary: usize,
}

impl ModelShape {
    /// Elements of a token's queries in a layer.
    pub const fn q_dim(&self) -> usize {
        self.q_heads * self.head_dim
    }

    /// Elements of a token's keys, or values, in a layer.
    pub const fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// Where a layer's queries, keys and values of one token go.
#[derive(Debug)]
pub struct Qkv<'a> {
    /// `q_heads * head_dim` elements.
    pub q: &'a mut [f32],
    /// `kv_heads * head_dim` elements.
    pub k: &'a mut [f32],
    /// `kv_heads * head_dim` elements.
    pub v: &'a mut [f32],
}

/// Computes queries, keys, values and the next token; the device keeps K and V and computes attention.
///
/// # Contract
/// Every method is a pure function of its arguments, in `f32`, with a fixed order of summation: what it computes for
/// a token does not depend on the batch.
pub trait Model: std::fmt::Debug + Send + Sync {
    /// The model's sizes.
    fn shape(&self) -> ModelShape;

    /// The model's name.
    fn name(&self) -> &str;

    /// Turns a token at a position into its first hidden state.
    fn embed(&self, token: u32, position: u32, hidden: &mut [f32]);

    /// Computes a layer's queries, keys and values from the hidden state. `scratch` has twice the hidden state's length,
    /// and any content.
    fn qkv(&self, layer: usize, position: u32, hidden: &[f32], scratch: &mut [f32], out: Qkv<'_>);

    /// Folds a layer's attention output (`q_heads * head_dim` elements) into the hidden state; `scratch` as for
    /// [`qkv`](Self::qkv).
    fn absorb(&self, layer: usize, attention: &[f32], hidden: &mut [f32], scratch: &mut [f32]);

    /// Chooses the next token from the last hidden state; the lowest of equals.
    fn next_token(&self, hidden: &[f32]) -> u32;
}
