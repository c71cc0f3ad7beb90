//! Sizes of well-known models, for a model with random weights.

use super::ModelShape;
use super::builtin::DEFAULT_SHAPE;
use std::str::FromStr;

/// The vocabulary of every preset but the built-in one: real ones differ, and matter for the last projection alone.
pub const PRESET_VOCABULARY: usize = 32_000;

/// A name and the sizes behind it.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// The name, as on the command line.
    pub name: &'static str,
    /// The sizes.
    pub shape: ModelShape,
}

const fn preset(
    name: &'static str,
    layers: usize,
    q_heads: usize,
    kv_heads: usize,
    head_dim: usize,
) -> Preset {
    let hidden = q_heads * head_dim;
    Preset {
        name,
        shape: ModelShape {
            layers,
            q_heads,
            kv_heads,
            head_dim,
            hidden,
            vocabulary: PRESET_VOCABULARY,
        },
    }
}

/// The presets: layers, heads, KV heads and head size are the named model's, its feed-forward part is not.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "built-in",
        shape: DEFAULT_SHAPE,
    },
    preset("llama-3.2-1b", 16, 32, 8, 64),
    preset("llama-3-8b", 32, 32, 8, 128),
    preset("mistral-7b", 32, 32, 8, 128),
    preset("qwen2.5-7b", 28, 28, 4, 128),
];

/// A text that names no sizes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` names no sizes: write {}, or LAYERSxHEADSxKV_HEADSxHEAD_SIZE such as 4x32x8x128",
    PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ")
)]
pub struct UnknownShape {
    found: String,
}

impl FromStr for ModelShape {
    type Err = UnknownShape;

    /// Reads a preset's name, or `LAYERSxHEADSxKV_HEADSxHEAD_SIZE`.
    ///
    /// ```
    /// use kvlens_native::model::ModelShape;
    /// let shape: ModelShape = "4x32x8x128".parse()?;
    /// assert_eq!((shape.layers, shape.hidden), (4, 4096));
    /// assert!("llama-3-8b".parse::<ModelShape>().is_ok());
    /// assert!("4x32x5x128".parse::<ModelShape>().is_err(), "32 is no multiple of 5");
    /// # Ok::<(), kvlens_native::model::UnknownShape>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, UnknownShape> {
        if let Some(known) = PRESETS.iter().find(|preset| preset.name == text) {
            return Ok(known.shape);
        }
        let unknown = || UnknownShape {
            found: text.to_owned(),
        };
        let numbers: Vec<usize> = text
            .split('x')
            .map(|part| part.parse().ok().filter(|n| (1..=4096).contains(n)))
            .collect::<Option<_>>()
            .ok_or_else(unknown)?;
        match numbers[..] {
            [layers, q_heads, kv_heads, head_dim] if q_heads % kv_heads == 0 && head_dim % 2 == 0 => {
                Ok(preset("", layers, q_heads, kv_heads, head_dim).shape)
            }
            _ => Err(unknown()),
        }
    }
}
