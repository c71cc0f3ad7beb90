//! Models by name: the sizes that time and memory follow from.

/// The sizes of a decoder-only transformer with gated feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelSpec {
    /// The name to ask for it by.
    pub name: &'static str,
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Query heads.
    pub heads: u32,
    /// Key-value heads.
    pub kv_heads: u32,
    /// Width of one head.
    pub head_size: u32,
    /// Width of the feed-forward layer.
    pub ffn: u32,
    /// Size of the vocabulary.
    pub vocab: u32,
    /// Bytes of one weight, activation or KV element.
    pub element_bytes: u32,
    /// Whether input and output embedding are one matrix.
    pub tied_embeddings: bool,
}

/// Every model that has a name here: the figures of the published `config.json` files.
pub const MODELS: &[ModelSpec] = &[
    model("llama-3-8b", 32, 4096, [32, 8, 128], 14_336, 128_256),
    model("llama-3-70b", 80, 8192, [64, 8, 128], 28_672, 128_256),
    model("llama-2-7b", 32, 4096, [32, 32, 128], 11_008, 32_000),
    model("mistral-7b", 32, 4096, [32, 8, 128], 14_336, 32_768),
    model("qwen2.5-7b", 28, 3584, [28, 4, 128], 18_944, 152_064),
    model("qwen2.5-32b", 64, 5120, [40, 8, 128], 27_648, 152_064),
    model("qwen2.5-72b", 80, 8192, [64, 8, 128], 29_568, 152_064),
    ModelSpec {
        tied_embeddings: true,
        ..model("llama-3.2-1b", 16, 2048, [32, 8, 64], 8_192, 128_256)
    },
    ModelSpec {
        tied_embeddings: true,
        ..model("tiny", 2, 64, [4, 2, 16], 128, 256)
    },
];

const fn model(
    name: &'static str,
    layers: u32,
    hidden: u32,
    [heads, kv_heads, head_size]: [u32; 3],
    ffn: u32,
    vocab: u32,
) -> ModelSpec {
    ModelSpec {
        name,
        layers,
        hidden,
        heads,
        kv_heads,
        head_size,
        ffn,
        vocab,
        element_bytes: 2,
        tied_embeddings: false,
    }
}

impl ModelSpec {
    /// The model that is simulated unless another is named.
    pub const DEFAULT: &'static Self = &MODELS[0];

    /// Finds a model by name, in any case.
    pub fn named(name: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.name.eq_ignore_ascii_case(name))
    }

    /// Weights that every token is multiplied with: projections and feed-forward, without embeddings.
    pub const fn linear_weights(&self) -> u64 {
        let hidden = self.hidden as u64;
        let queries = self.heads as u64 * self.head_size as u64;
        let keys = self.kv_heads as u64 * self.head_size as u64;
        let attention = 2 * hidden * queries + 2 * hidden * keys;
        self.layers as u64 * (attention + 3 * hidden * self.ffn as u64)
    }

    /// Weights of the output projection.
    pub const fn logit_weights(&self) -> u64 {
        self.hidden as u64 * self.vocab as u64
    }

    /// All weights, norms and biases left out.
    ///
    /// ```
    /// use kvlens_native::device::sim::ModelSpec;
    /// let billions = |name| ModelSpec::named(name).unwrap().weights() / 1_000_000_000;
    /// assert_eq!([billions("llama-3-8b"), billions("llama-3-70b"), billions("qwen2.5-7b")], [8, 70, 7]);
    /// ```
    pub const fn weights(&self) -> u64 {
        let embeddings = if self.tied_embeddings { 1 } else { 2 };
        self.linear_weights() + embeddings * self.logit_weights()
    }

    /// Bytes of the keys and values of one token, all layers.
    ///
    /// ```
    /// use kvlens_native::device::sim::ModelSpec;
    /// assert_eq!(ModelSpec::DEFAULT.kv_bytes_per_token(), 128 * 1024);
    /// ```
    pub const fn kv_bytes_per_token(&self) -> u64 {
        2 * self.layers as u64 * self.kv_heads as u64 * self.head_size as u64 * self.element_bytes as u64
    }
}
