//! Writes a kvlens run as CSV.
