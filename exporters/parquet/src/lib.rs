//! Writes a kvlens run as Parquet, crash-safe.
