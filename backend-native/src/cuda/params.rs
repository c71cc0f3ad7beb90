//! The parameter structs of the kernels. Each has the same layout, asserted with the same size, in its `.cu`.

use cudarc::driver::{DeviceRepr, ValidAsZeroBits};

/// Declares a struct that crosses to the GPU as it is, and asserts that it has its size and no padding.
macro_rules! device_struct {
    ($(#[$doc:meta])* $name:ident: $size:literal { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default, PartialEq)]
        pub(crate) struct $name { $(pub(crate) $field: $type,)* }

        const _: () = {
            assert!(size_of::<$name>() == $size);
            assert!(0 $(+ size_of::<$type>())* == $size);
        };

        // SAFETY: repr(C), plain numbers and no padding, so that every byte is defined on both sides.
        unsafe impl DeviceRepr for $name {}
        // SAFETY: zero bits are zeros.
        unsafe impl ValidAsZeroBits for $name {}
    };
}

device_struct! {
    /// `DecodeParams` of `decode.cu`.
    DecodeParams: 104 {
        q: u64, kv: u64, out: u64, out_lo: u64, block_table: u64, work: u64, partial_o: u64, partial_ml: u64,
        counters: u64,
        q_stride: u32, q_heads: u32, kv_heads: u32, group: u32, subgroups: u32, block_shift: u32,
        scale_log2: f32, unused: u32,
    }
}

device_struct! {
    /// `DecodeWork` of `decode.cu`: one piece of the batch.
    DecodeWork: 32 {
        seq: u32, blocks: u32, begin: u32, end: u32, next: u32, slot: u32, first_slot: u32, head: u16, parts: u16,
    }
}

device_struct! {
    /// `PrefillParams` of `prefill.cu`.
    PrefillParams: 72 {
        q: u64, kv: u64, out: u64, out_lo: u64, block_table: u64, work: u64,
        q_stride: u32, q_heads: u32, kv_heads: u32, block_shift: u32, scale_log2: f32, unused: u32,
    }
}

device_struct! {
    /// `PrefillWork` of `prefill.cu`: one tile of query rows.
    PrefillWork: 32 {
        blocks: u32, kv_head: u32, first_token: u32, tokens: u32, context: u32, first_row: u32, unused: [u32; 2],
    }
}

device_struct! {
    /// `AppendParams` of `kv.cu`.
    AppendParams: 56 {
        k: u64, v: u64, kv: u64, slots: u64,
        tokens: u32, kv_heads: u32, dim: u32, block_shift: u32, k_stride: u32, v_stride: u32,
    }
}

device_struct! {
    /// `CopyParams` of `kv.cu`.
    CopyParams: 72 {
        src: u64, dst: u64, src_ids: u64, dst_ids: u64,
        src_block_stride: u64, src_layer_stride: u64, dst_block_stride: u64, dst_layer_stride: u64,
        vectors: u32, pieces: u32,
    }
}

device_struct! {
    /// `RotateParams` of `rotate.cu`.
    RotateParams: 56 {
        qkv: u64, positions: u64, frequencies: u64, kv: u64, slots: u64,
        q_heads: u32, kv_heads: u32, dim: u32, block_shift: u32,
    }
}

device_struct! {
    /// `EmbedParams` of `ops.cu`.
    EmbedParams: 32 { table: u64, tokens: u64, out: u64, rows: u32, columns: u32, }
}

device_struct! {
    /// `SplitParams` of `ops.cu`.
    SplitParams: 40 { x: u64, indices: u64, hi: u64, lo: u64, columns: u32, normalize: u32, }
}

device_struct! {
    /// `ArgmaxParams` of `ops.cu`.
    ArgmaxParams: 24 { logits: u64, tokens: u64, columns: u32, unused: u32, }
}

device_struct! {
    /// `LinearParams` of `linear.cu`.
    LinearParams: 56 {
        weights: u64, x_hi: u64, x_lo: u64, y: u64, y_lo: u64, rows: u32, inputs: u32, outputs: u32, unused: u32,
    }
}
