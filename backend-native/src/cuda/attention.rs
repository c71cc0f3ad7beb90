//! What decode and prefill attention have in common: their tensors, checked and turned into addresses.

use std::f32::consts::LOG2_E;

use cudarc::driver::{CudaView, CudaViewMut};

use super::{
    context::address,
    dtype::Element,
    error::{Error, Result, check_aligned, check_length},
    layout::KvLayout,
    module::Build,
    ops::SplitRows,
};

/// Queries and where the result goes: rows of `q_heads * head_dim` elements.
#[derive(Debug)]
pub enum Tensors<'a, 'v, T> {
    /// 16-bit queries and outputs, as in other engines.
    Narrow {
        /// The queries.
        queries: &'a CudaView<'v, T>,
        /// The outputs, dense.
        out: &'a mut CudaViewMut<'v, T>,
    },
    /// Queries in f32, and outputs that keep 22 bits: equal to f32 arithmetic over 16-bit K and V.
    Wide {
        /// The queries.
        queries: &'a CudaView<'v, f32>,
        /// The outputs.
        out: &'a mut SplitRows,
    },
}

/// One attention call.
#[derive(Debug)]
pub struct Attention<'a, 'v, T> {
    /// Queries and outputs.
    pub tensors: Tensors<'a, 'v, T>,
    /// Elements from one row of queries to the next: more than a row where Q, K and V lie side by side.
    pub stride: usize,
    /// First row of queries and outputs.
    pub first_row: usize,
    /// Factor of the scores, usually one over the root of the head size.
    pub scale: f32,
}

/// The tensors as kernels take them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) q: u64,
    pub(crate) out: u64,
    pub(crate) out_lo: u64,
    pub(crate) build: Build,
    pub(crate) scale_log2: f32,
    pub(crate) stride: u32,
}

impl<T: Element> Attention<'_, '_, T> {
    /// Checks that `rows` rows of `columns` elements fit.
    pub(crate) fn addresses(&self, rows: usize, columns: usize) -> Result<Addresses> {
        let first = self.first_row;
        let (q, q_len, build) = match &self.tensors {
            Tensors::Narrow { queries, .. } => (address(*queries), queries.len(), Build::narrow::<T>()),
            Tensors::Wide { queries, .. } => (address(*queries), queries.len(), Build::wide::<T>()),
        };
        check_rows("queries", q_len, first + rows, self.stride, columns)?;
        let (out, out_lo, bytes) = match &self.tensors {
            Tensors::Narrow { out, .. } => {
                check_length("attention output", out.len(), (first + rows) * columns)?;
                (address(*out), 0, size_of::<T>())
            }
            Tensors::Wide { out, .. } => {
                out.check(first + rows, columns)?;
                let (hi, lo) = out.addresses();
                (hi, lo, 2)
            }
        };
        check_aligned("queries", q)?;
        check_aligned("attention output", out)?;
        let q_bytes = if matches!(self.tensors, Tensors::Wide { .. }) {
            4
        } else {
            2
        };
        let out_offset = (first * columns * bytes) as u64;
        Ok(Addresses {
            q: q + (first * self.stride * q_bytes) as u64,
            out: out + out_offset,
            out_lo: out_lo + out_offset,
            build,
            scale_log2: self.scale * LOG2_E,
            stride: u32::try_from(self.stride).unwrap_or(u32::MAX),
        })
    }
}

/// Checks that `count` rows, `stride` elements apart, fit a buffer.
pub(crate) fn check_rows(
    what: &'static str,
    found: usize,
    count: usize,
    stride: usize,
    row: usize,
) -> Result<()> {
    check_length(what, stride, row)?;
    if !stride.is_multiple_of(8) {
        return Err(Error::UnsupportedShape {
            what: "row stride",
            found: stride,
            supported: "multiples of 8",
        });
    }
    check_length(
        what,
        found,
        count.saturating_sub(1) * stride + if count > 0 { row } else { 0 },
    )
}

/// Checks that query heads share KV heads evenly.
pub(crate) fn check_heads(layout: &KvLayout, q_heads: usize) -> Result<()> {
    if q_heads == 0 || !q_heads.is_multiple_of(layout.kv_heads()) {
        let supported = "multiples of the KV heads";
        return Err(Error::UnsupportedShape {
            what: "number of query heads",
            found: q_heads,
            supported,
        });
    }
    Ok(())
}
