//! The built-in model's weights on the GPU.

use cudarc::driver::CudaSlice;
use half::f16;

use super::{
    context::Gpu,
    error::{Error, Result},
    ops::Linear,
};
use crate::{
    model::{BuiltinModel, LayerWeights, Model as _, ModelShape},
    reference::frequencies,
};

/// What the kernels multiply, rounded to f16.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) shape: ModelShape,
    pub(crate) embedding: CudaSlice<f16>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) unembedding: Linear,
    pub(crate) frequencies: CudaSlice<f32>,
}

/// One decoder layer.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Queries, keys and values in one matrix.
    pub(crate) qkv: Linear,
    pub(crate) output: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
}

impl Weights {
    /// Uploads a model.
    ///
    /// # Errors
    /// [`Error::UnsupportedShape`] for sizes that the projections can't do; [`Error::OutOfMemory`].
    pub(crate) fn upload(gpu: &Gpu, model: &BuiltinModel) -> Result<Self> {
        let shape = model.shape();
        if shape.vocabulary == 0 {
            let supported = "1 and more";
            return Err(Error::UnsupportedShape {
                what: "vocabulary",
                found: 0,
                supported,
            });
        }
        let embedding: Vec<f16> = model.embedding().iter().map(|&w| f16::from_f32(w)).collect();
        Ok(Self {
            embedding: gpu.upload(&embedding)?,
            layers: model
                .layers()
                .iter()
                .map(|layer| Layer::upload(gpu, layer, &shape))
                .collect::<Result<_>>()?,
            unembedding: Linear::try_new(gpu, &[model.unembedding()], shape.hidden)?,
            frequencies: gpu.upload(&frequencies(shape.head_dim))?,
            shape,
        })
    }
}

impl Layer {
    fn upload(gpu: &Gpu, layer: &LayerWeights, shape: &ModelShape) -> Result<Self> {
        let LayerWeights {
            query,
            key,
            value,
            output,
            up,
            down,
        } = layer;
        Ok(Self {
            qkv: Linear::try_new(gpu, &[query, key, value], shape.hidden)?,
            output: Linear::try_new(gpu, &[output], shape.q_dim())?,
            up: Linear::try_new(gpu, &[up], shape.hidden)?,
            down: Linear::try_new(gpu, &[down], shape.hidden)?,
        })
    }
}
