//! The engine's CUDA device: the built-in model over paged KV in GPU memory.

use std::ops::Range;

use cudarc::driver::CudaSlice;
use half::{bf16, f16};
use kvlens_core::BoxError;

#[cfg(feature = "nvml")]
use super::nvml::EnergyMeter;
use super::{
    attention::{Attention, Tensors},
    buffers::Buffers,
    context::Gpu,
    decode::{DecodeBatch, decode},
    dtype::Element,
    error::{Context as _, Result},
    kv::BlockCopies,
    layout::KvLayout,
    ops::{Qkv, Selection, Then, argmax, embed, rotate_append, split},
    prefill::{PrefillBatch, PrefillRoom, prefill},
    step::{StepRows, decode_sequences, prefill_sequences},
    swap::{SwapArea, SwapPair},
    timing::SpanTimer,
    weights::{Layer, Weights},
};
use crate::{
    config::EngineConfig,
    device::{BlockMove, Device, DeviceInfo, DeviceTime, StepBatch, StepOutput, cpu::KvDtype},
    model::{BuiltinModel, Model as _, ModelShape},
};

/// Block copies of one launch.
const MAX_COPIES: usize = 1024;
/// Entries of a step's block tables: 64 million tokens in blocks of 16.
const MAX_TABLE: usize = 1 << 22;

/// Computes the built-in model on a GPU.
///
/// Attention and projections are as exact as the CPU device's f32 arithmetic, over the same 16-bit KV: both
/// generate the same tokens, but for sums that another order of adding rounds differently.
///
/// The host waits for the GPU once a step, for the sampled tokens. Step times come from events and are
/// reported when they are known, at most a step late.
#[derive(Debug)]
pub struct CudaDevice<T: Element> {
    info: DeviceInfo,
    gpu: Gpu,
    layout: KvLayout,
    weights: Weights,
    pool: CudaSlice<T>,
    swap: Option<SwapArea<T>>,
    copies: BlockCopies,
    rows: StepRows,
    decode: DecodeBatch,
    prefill: PrefillBatch,
    buffers: Buffers,
    timer: SpanTimer,
    #[cfg(feature = "nvml")]
    energy: Option<EnergyMeter>,
}

impl CudaDevice<f16> {
    /// Makes a device that stores KV in a type chosen at run time.
    ///
    /// # Errors
    /// As [`CudaDevice::try_new`].
    pub fn boxed(
        gpu: Gpu,
        model: &BuiltinModel,
        config: &EngineConfig,
        dtype: KvDtype,
    ) -> Result<Box<dyn Device>> {
        Ok(match dtype {
            KvDtype::F16 => Box::new(CudaDevice::<f16>::try_new(gpu, model, config)?),
            KvDtype::Bf16 => Box::new(CudaDevice::<bf16>::try_new(gpu, model, config)?),
        })
    }
}

impl<T: Element> CudaDevice<T> {
    /// Uploads the model and allocates the KV pool, the swap area and the buffers of a step.
    ///
    /// # Errors
    /// [`Error::UnsupportedShape`](super::Error::UnsupportedShape) for a model or block size without kernels;
    /// [`Error::OutOfMemory`](super::Error::OutOfMemory); the driver's.
    pub fn try_new(gpu: Gpu, model: &BuiltinModel, config: &EngineConfig) -> Result<Self> {
        let shape = model.shape();
        // Block 0 is the null block.
        let blocks = config.kv_blocks as usize + 1;
        let layout = layout(&shape, blocks, config.block_size)?;
        gpu.warm_up::<T>(&layout, true)?;
        let seqs = config.max_running as usize;
        let tokens = config.max_step_tokens.max(config.max_running) as usize;
        let table = blocks.saturating_mul(seqs).min(MAX_TABLE);
        let room = PrefillRoom {
            seqs,
            blocks: table,
            tokens,
            wide: true,
        };
        let swap = match config.host_blocks as usize {
            0 => None,
            host_blocks => Some(SwapArea::try_new(&gpu, layout, host_blocks)?),
        };
        Ok(Self {
            info: describe(&gpu, config),
            weights: Weights::upload(&gpu, model)?,
            pool: gpu.zeros(layout.elements())?,
            swap,
            copies: BlockCopies::try_new(&gpu, MAX_COPIES)?,
            rows: StepRows::try_new(&gpu, layout, shape.vocabulary, tokens, seqs)?,
            decode: DecodeBatch::try_new(&gpu, layout, shape.q_heads, seqs, table)?,
            prefill: PrefillBatch::try_new(&gpu, layout, shape.q_heads, room)?,
            buffers: Buffers::try_new(&gpu, &shape, tokens, seqs)?,
            timer: SpanTimer::default(),
            #[cfg(feature = "nvml")]
            energy: EnergyMeter::start(&gpu.info().uuid),
            layout,
            gpu,
        })
    }

    /// The GPU it runs on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    fn move_blocks(&mut self, batch: &StepBatch<'_>) -> Result<(), BoxError> {
        if !batch.swap_out.is_empty() {
            let swap = self
                .swap
                .as_mut()
                .ok_or("the device was made without a swap area")?;
            swap.swap_out(
                &self.gpu,
                &self.pool,
                &pairs(batch.swap_out, |m| SwapPair {
                    device: m.from,
                    host: m.to,
                }),
            )?;
        }
        for group in independent(batch.copies) {
            let pairs: Vec<(u32, u32)> = group.iter().map(|m| (m.from, m.to)).collect();
            self.copies.run(&self.gpu, &self.layout, &mut self.pool, &pairs)?;
        }
        if !batch.swap_in.is_empty() {
            let swap = self
                .swap
                .as_mut()
                .ok_or("the device was made without a swap area")?;
            let pairs = pairs(batch.swap_in, |m| SwapPair {
                device: m.to,
                host: m.from,
            });
            swap.swap_in(&self.gpu, &mut self.pool, &pairs)?;
        }
        Ok(())
    }

    fn compute(&mut self, batch: &StepBatch<'_>) -> Result<()> {
        self.rows.update(&self.gpu, batch)?;
        self.decode.update(&self.gpu, decode_sequences(batch))?;
        self.prefill.update(&self.gpu, prefill_sequences(batch))?;
        let (rows, hidden) = (self.rows.len(), self.weights.shape.hidden);
        let tokens = self.rows.device_tokens.device();
        embed(
            &self.gpu,
            &self.weights.embedding,
            tokens,
            rows,
            &mut self.buffers.hidden,
            hidden,
        )?;
        for index in 0..self.weights.layers.len() {
            self.attend(index)?;
            self.feed_forward(index)?;
        }
        self.choose()
    }

    /// Attention of one layer, added to the hidden state.
    fn attend(&mut self, index: usize) -> Result<()> {
        self.place_qkv(index)?;
        let Self {
            gpu,
            layout,
            weights,
            rows,
            buffers,
            ..
        } = self;
        let shape = &weights.shape;
        let (queries, kv) = (buffers.qkv.as_view(), self.pool.slice(layer_range(layout, index)));
        let mut call = Attention {
            tensors: Tensors::Wide {
                queries: &queries,
                out: &mut buffers.attention,
            },
            stride: shape.q_dim() + 2 * shape.kv_dim(),
            first_row: 0,
            scale: scale(shape),
        };
        decode::<T>(gpu, &self.decode, &mut call, &kv)?;
        call.first_row = rows.decodes();
        prefill::<T>(gpu, &self.prefill, &mut call, &kv)?;
        let output = &weights.layers[index].output;
        output.apply(
            gpu,
            &buffers.attention,
            rows.len(),
            Then::Add(buffers.hidden.as_view_mut()),
        )
    }

    /// Computes queries, keys and values of one layer, and writes keys and values to the pool.
    fn place_qkv(&mut self, index: usize) -> Result<()> {
        let Self {
            gpu,
            layout,
            weights,
            rows,
            buffers,
            ..
        } = self;
        let count = rows.len();
        normalize(gpu, buffers, count)?;
        let then = Then::Store(buffers.qkv.as_view_mut());
        weights.layers[index]
            .qkv
            .apply(gpu, &buffers.normal, count, then)?;
        let qkv = Qkv {
            rows: &mut buffers.qkv,
            q_heads: weights.shape.q_heads,
            positions: rows.device_positions.device(),
            frequencies: &weights.frequencies,
        };
        let mut kv = self.pool.slice_mut(layer_range(layout, index));
        rotate_append(gpu, layout, &rows.mapping, &qkv, &mut kv)
    }

    /// The feed-forward part of one layer, added to the hidden state.
    fn feed_forward(&mut self, index: usize) -> Result<()> {
        let Self {
            gpu,
            weights,
            rows,
            buffers,
            ..
        } = self;
        let (Layer { up, down, .. }, count) = (&weights.layers[index], rows.len());
        normalize(gpu, buffers, count)?;
        up.apply(gpu, &buffers.normal, count, Then::ReluSplit(&mut buffers.inner))?;
        down.apply(
            gpu,
            &buffers.inner,
            count,
            Then::Add(buffers.hidden.as_view_mut()),
        )
    }

    /// Chooses the tokens and sends them to the host.
    fn choose(&mut self) -> Result<()> {
        let Self {
            gpu,
            weights,
            rows,
            buffers,
            ..
        } = self;
        let (count, vocabulary) = (rows.sampled(), weights.shape.vocabulary);
        if count == 0 {
            return Ok(());
        }
        let select = Selection {
            rows: count,
            indices: Some(rows.device_sampled.device()),
            normalize: false,
        };
        split(gpu, &buffers.hidden.as_view(), &select, &mut buffers.last)?;
        weights.unembedding.apply(
            gpu,
            &buffers.last,
            count,
            Then::Store(buffers.logits.as_view_mut()),
        )?;
        argmax(
            gpu,
            &buffers.logits.as_view(),
            count,
            vocabulary,
            &mut buffers.tokens,
        )?;
        buffers
            .host_tokens
            .enqueue_from(0, &buffers.tokens.slice(..count), gpu.stream())?;
        buffers.arrived.record(gpu.stream()).during("recording an event")
    }

    /// Waits for the tokens: the one place where the engine waits for the GPU.
    fn hand_over(&self, output: &mut StepOutput) -> Result<()> {
        let count = self.rows.sampled();
        if count > 0 {
            self.buffers
                .arrived
                .synchronize()
                .during("waiting for the sampled tokens")?;
            output
                .tokens
                .extend_from_slice(&self.buffers.host_tokens.as_slice()[..count]);
        }
        Ok(())
    }

    /// Reports the steps whose end the GPU has passed.
    fn report(&mut self, output: &mut StepOutput) -> Result<()> {
        while let Some((step, time)) = self.timer.take()? {
            let device_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            output.times.push(DeviceTime {
                step,
                device_ns,
                energy_mj: self.take_energy(),
            });
        }
        Ok(())
    }

    #[cfg(feature = "nvml")]
    fn take_energy(&mut self) -> Option<u64> {
        self.energy.as_mut().map(EnergyMeter::take)
    }

    #[cfg(not(feature = "nvml"))]
    #[expect(clippy::unused_self, reason = "the other build reads the meter")]
    fn take_energy(&mut self) -> Option<u64> {
        None
    }
}

impl<T: Element> Device for CudaDevice<T> {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn execute(&mut self, batch: &StepBatch<'_>, output: &mut StepOutput) -> Result<(), BoxError> {
        self.timer.start(&self.gpu)?;
        self.move_blocks(batch)?;
        self.compute(batch)?;
        self.timer.stop(&self.gpu, batch.step)?;
        self.hand_over(output)?;
        Ok(self.report(output)?)
    }

    fn finish(&mut self, output: &mut StepOutput) -> Result<(), BoxError> {
        self.gpu.synchronize()?;
        Ok(self.report(output)?)
    }
}

/// The KV blocks that fit a fraction of the free memory, once the model and the buffers of a step are there.
///
/// # Errors
/// [`Error::UnsupportedShape`](super::Error::UnsupportedShape) for a model or block size without kernels; the
/// driver's.
pub fn blocks_that_fit(gpu: &Gpu, shape: &ModelShape, block_size: u32, fraction: f64) -> Result<u32> {
    let block = layout(shape, 1, block_size)?;
    let bytes = block.elements() * size_of::<f16>();
    let (free, _) = gpu.memory()?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of memory, rounded down; casts to integers saturate"
    )]
    let blocks = (free as f64 * fraction.clamp(0.0, 1.0) / bytes as f64) as usize;
    let limit = i32::MAX as usize / block.block_size() - 1;
    Ok(u32::try_from(blocks.min(limit)).unwrap_or(u32::MAX))
}

fn layout(shape: &ModelShape, blocks: usize, block_size: u32) -> Result<KvLayout> {
    KvLayout::try_new(
        shape.layers,
        blocks,
        block_size as usize,
        shape.kv_heads,
        shape.head_dim,
    )
}

fn layer_range(layout: &KvLayout, index: usize) -> Range<usize> {
    index * layout.layer_elements()..(index + 1) * layout.layer_elements()
}

fn describe(gpu: &Gpu, config: &EngineConfig) -> DeviceInfo {
    let mut info = DeviceInfo::new(gpu.info().name.clone());
    info.block_size = Some(config.block_size);
    info.blocks = Some(config.kv_blocks.saturating_add(1));
    info.host_blocks = Some(config.host_blocks);
    info.steps_late = 1;
    info
}

#[expect(clippy::cast_precision_loss, reason = "a head's size is small")]
fn scale(shape: &ModelShape) -> f32 {
    1.0 / (shape.head_dim as f32).sqrt()
}

fn normalize(gpu: &Gpu, buffers: &mut Buffers, rows: usize) -> Result<()> {
    let all = Selection {
        rows,
        indices: None,
        normalize: true,
    };
    split(gpu, &buffers.hidden.as_view(), &all, &mut buffers.normal)
}

fn pairs(moves: &[BlockMove], pair: impl Fn(&BlockMove) -> SwapPair) -> Vec<SwapPair> {
    moves.iter().map(pair).collect()
}

/// Cuts copies into groups whose members may run at the same time: none writes what another reads or writes.
fn independent(moves: &[BlockMove]) -> impl Iterator<Item = &[BlockMove]> {
    let mut rest = moves;
    std::iter::from_fn(move || {
        let clash = |at: usize| {
            let BlockMove { from, to } = rest[at];
            rest[..at]
                .iter()
                .any(|m| m.to == from || m.to == to || m.from == to)
        };
        let end = (1..rest.len().min(MAX_COPIES))
            .find(|&at| clash(at))
            .unwrap_or(rest.len().min(MAX_COPIES));
        let (group, others) = rest.split_at(end);
        rest = others;
        (!group.is_empty()).then_some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_depend_on_each_other_keep_their_order() {
        let moves = [(1, 2), (1, 3), (2, 4), (5, 6), (7, 5), (8, 5)].map(|(from, to)| BlockMove { from, to });
        let lengths: Vec<usize> = independent(&moves).map(<[BlockMove]>::len).collect();
        assert_eq!(lengths, [2, 2, 1, 1]);
        assert_eq!(independent(&[]).count(), 0);
    }
}
