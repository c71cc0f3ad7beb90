# Sourced: what the checks of SQL and object storage build, always the same, so that the query engines are compiled once.
# Debug code without debug information is what links fastest.
export CARGO_PROFILE_DEV_DEBUG=0
engines=(
    -p kvlens-sql -p kvlens -p kvlens-store -p kvlens-vllm-ffi
    --features kvlens-sql/cluster,kvlens/cluster,kvlens/store,kvlens-store/s3-server,kvlens-vllm-ffi/store
    --locked
)
