//! The column layout of a kvlens run, as Arrow schemas and record batches.
