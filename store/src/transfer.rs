//! One file into the store.

use crate::error::{Result, StoreError};
use crate::open::Store;
use object_store::{ObjectStoreExt, PutPayload, WriteMultipart};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The size of a piece: the smallest that S3 takes, so that a slow line shows progress.
const PIECE: u64 = 5 << 20;
/// The most pieces of a file: S3 takes 10 000.
const PIECES: u64 = 9_000;
/// Pieces that are under way at once.
const PIECES_AT_ONCE: usize = 2;

/// What the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) tag: Option<String>,
}

/// Sends a file and looks at what arrived. `progress` counts the bytes that the store has taken.
pub(crate) async fn send(
    store: &Store,
    name: &str,
    file: &Path,
    multipart_from: u64,
    progress: &AtomicU64,
) -> Result<Sent> {
    let read = |e| StoreError::io("read", file, e);
    let bytes = fs::metadata(file).map_err(read)?.len();
    let tag = if bytes < multipart_from.max(1) {
        let content = fs::read(file).map_err(read)?;
        put(store, name, content).await?
    } else {
        in_pieces(store, name, file, bytes, progress).await?
    };
    progress.fetch_add(1, Ordering::Relaxed);
    verify(store, name, Sent { bytes, tag }).await
}

/// Sends a small object.
pub(crate) async fn put(store: &Store, name: &str, content: Vec<u8>) -> Result<Option<String>> {
    let put = store
        .client()
        .put(&store.path(name), PutPayload::from(content))
        .await;
    put.map(|put| put.e_tag)
        .map_err(|error| StoreError::store("write", store.url_of(name), error))
}

async fn in_pieces(
    store: &Store,
    name: &str,
    path: &Path,
    bytes: u64,
    progress: &AtomicU64,
) -> Result<Option<String>> {
    let failed = |error| StoreError::store("write", store.url_of(name), error);
    let mut file = File::open(path).map_err(|e| StoreError::io("read", path, e))?;
    let piece = usize::try_from(PIECE.max(bytes.div_ceil(PIECES))).unwrap_or(usize::MAX);
    let upload = store
        .client()
        .put_multipart(&store.path(name))
        .await
        .map_err(failed)?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, piece);
    let mut buffer = vec![0; piece];
    loop {
        let next = match fill(&mut file, &mut buffer) {
            Ok(0) => return upload.finish().await.map(|put| put.e_tag).map_err(failed),
            Ok(read) => upload
                .wait_for_capacity(PIECES_AT_ONCE)
                .await
                .map(|()| read)
                .map_err(failed),
            Err(error) => Err(StoreError::io("read", path, error)),
        };
        match next {
            Ok(read) => upload.write(buffer.get(..read).unwrap_or_default()),
            Err(error) => {
                // The first error is the one to tell; pieces that stay behind are the bucket's lifecycle rule's business.
                let _ = upload.abort().await;
                return Err(error);
            }
        }
        progress.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Compares what the store says it has with what was sent.
async fn verify(store: &Store, name: &str, sent: Sent) -> Result<Sent> {
    let found = store.client().head(&store.path(name)).await;
    let found = found.map_err(|error| StoreError::store("verify", store.url_of(name), error))?;
    let same_tag = match (&sent.tag, &found.e_tag) {
        (Some(sent), Some(found)) => sent == found,
        _ => true,
    };
    if found.size == sent.bytes && same_tag {
        return Ok(sent);
    }
    let told = |bytes, tag: Option<&str>| format!("{bytes} bytes with tag {}", tag.unwrap_or("unknown"));
    Err(StoreError::Differs {
        url: store.url_of(name),
        expected: told(sent.bytes, sent.tag.as_deref()),
        found: told(found.size, found.e_tag.as_deref()),
    })
}
