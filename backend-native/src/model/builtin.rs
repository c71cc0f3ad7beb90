//! The built-in model: a small decoder with random weights.

use super::{Model, ModelShape, Qkv};
use crate::reference::{dot, frequencies, multiply, normalize, rotate};
use half::f16;

/// The seed of the weights unless said otherwise.
pub const DEFAULT_SEED: u64 = 1;

/// The sizes of the built-in model unless said otherwise.
pub const DEFAULT_SHAPE: ModelShape = ModelShape {
    layers: 2,
    q_heads: 4,
    kv_heads: 2,
    head_dim: 64,
    hidden: 64,
    vocabulary: 1024,
};

/// How much larger queries and keys are than would keep their variance: attention then prefers some tokens, and still
/// sees all.
const SCORE_GAIN: f32 = 1.2;

/// How much larger attention outputs are: a mean over hundreds of tokens is small, and has to tell what comes next.
const OUTPUT_GAIN: f32 = 6.0;

/// One decoder layer's weights, row-major, a row per output.
#[derive(Debug)]
pub struct LayerWeights {
    /// `q_heads * head_dim` rows of `hidden`.
    pub query: Vec<f32>,
    /// `kv_heads * head_dim` rows of `hidden`.
    pub key: Vec<f32>,
    /// `kv_heads * head_dim` rows of `hidden`.
    pub value: Vec<f32>,
    /// `hidden` rows of `q_heads * head_dim`.
    pub output: Vec<f32>,
    /// `hidden` rows of `hidden`.
    pub up: Vec<f32>,
    /// `hidden` rows of `hidden`.
    pub down: Vec<f32>,
}

/// A decoder with grouped-query attention, rotary positions and a small feed-forward part, its weights drawn from a
/// seed.
///
/// It says nothing sensible. But what it says follows from every token before, through what attention reads from the
/// cache: a wrong block, a lost token or a shifted position changes the answer.
#[derive(Debug)]
pub struct BuiltinModel {
    shape: ModelShape,
    embedding: Vec<f32>,
    layers: Vec<LayerWeights>,
    unembedding: Vec<f32>,
    frequencies: Vec<f32>,
}

impl BuiltinModel {
    /// Makes the model of a seed, in [`DEFAULT_SHAPE`].
    pub fn new(seed: u64) -> Self {
        Self::with_shape(seed, DEFAULT_SHAPE)
    }

    /// Makes the model of a seed, in sizes of one's own.
    pub fn with_shape(seed: u64, shape: ModelShape) -> Self {
        let mut weights = Weights(seed);
        let (hidden, vocabulary) = (shape.hidden, shape.vocabulary.max(1));
        Self {
            shape,
            embedding: weights.matrix(vocabulary * hidden, 1, 1.0),
            layers: (0..shape.layers)
                .map(|_| LayerWeights {
                    query: weights.matrix(shape.q_dim() * hidden, hidden, SCORE_GAIN),
                    key: weights.matrix(shape.kv_dim() * hidden, hidden, SCORE_GAIN),
                    value: weights.matrix(shape.kv_dim() * hidden, hidden, 1.0),
                    output: weights.matrix(hidden * shape.q_dim(), shape.q_dim(), OUTPUT_GAIN),
                    up: weights.matrix(hidden * hidden, hidden, 1.0),
                    down: weights.matrix(hidden * hidden, hidden, 1.0),
                })
                .collect(),
            unembedding: weights.matrix(vocabulary * hidden, hidden, 1.0),
            frequencies: frequencies(shape.head_dim),
        }
    }

    /// The layers' weights, for a device that multiplies them itself.
    pub fn layers(&self) -> &[LayerWeights] {
        &self.layers
    }

    /// The first hidden state of each token: `vocabulary` rows of `hidden`.
    pub fn embedding(&self) -> &[f32] {
        &self.embedding
    }

    /// What the last hidden state is compared with: `vocabulary` rows of `hidden`.
    pub fn unembedding(&self) -> &[f32] {
        &self.unembedding
    }
}

impl Default for BuiltinModel {
    fn default() -> Self {
        Self::new(DEFAULT_SEED)
    }
}

impl Model for BuiltinModel {
    fn shape(&self) -> ModelShape {
        self.shape
    }

    fn name(&self) -> &'static str {
        "builtin"
    }

    fn embed(&self, token: u32, _position: u32, hidden: &mut [f32]) {
        let row = token as usize % self.shape.vocabulary.max(1) * self.shape.hidden;
        hidden.copy_from_slice(&self.embedding[row..row + self.shape.hidden]);
    }

    fn qkv(&self, layer: usize, position: u32, hidden: &[f32], scratch: &mut [f32], out: Qkv<'_>) {
        let weights = &self.layers[layer];
        let normal = &mut scratch[..hidden.len()];
        normalize(hidden, normal);
        multiply(&weights.query, normal, out.q);
        multiply(&weights.key, normal, out.k);
        multiply(&weights.value, normal, out.v);
        let heads = out.q.chunks_exact_mut(self.shape.head_dim);
        heads
            .chain(out.k.chunks_exact_mut(self.shape.head_dim))
            .for_each(|head| rotate(head, position, &self.frequencies));
    }

    fn absorb(&self, layer: usize, attention: &[f32], hidden: &mut [f32], scratch: &mut [f32]) {
        let weights = &self.layers[layer];
        let (normal, inner) = scratch[..2 * hidden.len()].split_at_mut(hidden.len());
        for (row, hidden) in weights
            .output
            .chunks_exact(attention.len())
            .zip(hidden.iter_mut())
        {
            *hidden += dot(row, attention);
        }
        normalize(hidden, normal);
        multiply(&weights.up, normal, inner);
        inner.iter_mut().for_each(|x| *x = x.max(0.0));
        for (row, hidden) in weights.down.chunks_exact(inner.len()).zip(hidden) {
            *hidden += dot(row, inner);
        }
    }

    fn next_token(&self, hidden: &[f32]) -> u32 {
        let mut best = (f32::NEG_INFINITY, 0);
        for (token, row) in (0..).zip(self.unembedding.chunks_exact(hidden.len())) {
            let score = dot(row, hidden);
            if score > best.0 {
                best = (score, token);
            }
        }
        best.1
    }
}

/// Draws weights: `SplitMix64`, written out because a seed has to give the same model with every version of every crate.
struct Weights(u64);

impl Weights {
    /// Uniform weights whose sums over `inputs` unit inputs have the variance `gain` squared; each is one that f16
    /// holds exactly, so that a GPU multiplies by the same numbers.
    #[expect(clippy::cast_precision_loss, reason = "sizes are small")]
    fn matrix(&mut self, elements: usize, inputs: usize, gain: f32) -> Vec<f32> {
        let width = gain * (3.0 / inputs as f32).sqrt();
        (0..elements)
            .map(|_| f16::from_f32(self.uniform() * width).to_f32())
            .collect()
    }

    /// A number in [-1, 1).
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "equal bits are meant")]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_model() {
        let (a, b, c) = (BuiltinModel::new(1), BuiltinModel::new(1), BuiltinModel::new(2));
        assert_eq!(a.embedding(), b.embedding());
        assert_ne!(a.embedding(), c.embedding());
        let weights = a.layers()[0].up.iter();
        let mean: f32 = weights.clone().sum::<f32>() / 4096.0;
        let square: f32 = weights.map(|w| w * w).sum::<f32>() / 4096.0;
        assert!(
            mean.abs() < 0.01 && (square * 64.0 - 1.0).abs() < 0.05,
            "{mean} {square}"
        );
    }

    #[test]
    fn tokens_wrap_around() {
        let model = BuiltinModel::default();
        let hidden = |token| {
            let mut hidden = [0.0; 64];
            model.embed(token, 0, &mut hidden);
            hidden
        };
        assert_eq!(hidden(3), hidden(3 + 1024));
        assert_ne!(hidden(3), hidden(4));
    }
}
