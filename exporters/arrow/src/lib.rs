//! Writes a kvlens run as Arrow IPC, or hands it on as record batches.
