//! The new bytes of a file that grows.

use super::cursor::Each;
use crate::error::{Damage, DamageCause, Result};
use crate::run::{Part, PartKind};
use crate::scan::{CsvDecoder, CsvHead, Scan, project};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Bytes read at a time.
const PIECE: u64 = 4 << 20;
/// How an IPC file, rather than a stream, begins.
const FILE_MAGIC: &[u8] = b"ARROW1";
/// The magic with its padding, at most.
const LONGEST_HEAD: usize = 64;
/// How every message begins.
const CONTINUATION: u8 = 0xff;

/// A table's only file, Arrow IPC or CSV; kept open while it is renamed.
#[derive(Debug, Default)]
pub(super) struct Tail(Option<Reader>);

#[derive(Debug)]
enum Reader {
    Ipc(Ipc),
    Csv(Box<Csv>),
    /// It can't be read on.
    Broken,
}

impl Tail {
    /// Hands over the rows after the last ones that were.
    pub(super) fn read(
        &mut self,
        parts: &[Part],
        scan: &Scan<'_>,
        each: &mut Each<'_>,
    ) -> Result<Vec<Damage>> {
        let Some(part) = parts.first() else {
            return Ok(Vec::new());
        };
        let reader = match &mut self.0 {
            Some(reader) => reader,
            None => {
                let opened = match part.kind {
                    PartKind::Csv | PartKind::OpenCsv => {
                        Csv::open(&part.path).map(|csv| Reader::Csv(Box::new(csv)))
                    }
                    _ => Ipc::open(&part.path).map(Reader::Ipc),
                };
                match opened {
                    Ok(reader) => self.0.insert(reader),
                    Err(cause) => return Ok(told(part, cause)),
                }
            }
        };
        let read = match reader {
            Reader::Ipc(ipc) => ipc.read(scan, each)?,
            Reader::Csv(csv) => csv.read(scan, each)?,
            Reader::Broken => Ok(()),
        };
        Ok(read.err().map_or_else(Vec::new, |cause| {
            *reader = Reader::Broken;
            told(part, cause)
        }))
    }
}

fn told(part: &Part, cause: DamageCause) -> Vec<Damage> {
    let damage = Damage::of(&part.path, cause);
    // Renamed between the listing and now: the next poll finds it.
    if damage.is_gone() {
        Vec::new()
    } else {
        vec![damage]
    }
}

/// What the bytes of a file come to: the outer error is the taker's, the inner one the file's.
type Taken = Result<std::result::Result<(), DamageCause>>;

/// An Arrow IPC stream, or the stream in a file that has no footer yet.
#[derive(Debug)]
pub(super) struct Ipc {
    file: File,
    decoder: StreamDecoder,
    /// The first bytes, until it is clear where the messages begin.
    head: Option<Vec<u8>>,
    ended: bool,
}

impl Ipc {
    pub(super) fn open(path: &Path) -> std::result::Result<Self, DamageCause> {
        Ok(Self {
            file: File::open(path)?,
            decoder: StreamDecoder::new(),
            head: Some(Vec::new()),
            ended: false,
        })
    }

    /// Hands over the batches whose last byte is new.
    pub(super) fn read(&mut self, scan: &Scan<'_>, each: &mut Each<'_>) -> Taken {
        while !self.ended {
            let bytes = match piece(&mut self.file) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => bytes,
                Err(error) => return Ok(Err(error.into())),
            };
            let Some(bytes) = self.after_head(bytes) else {
                continue;
            };
            if let Err(cause) = self.messages(bytes, scan, each)? {
                self.ended = true;
                return Ok(Err(cause));
            }
        }
        Ok(Ok(()))
    }

    /// Takes the magic of a file away; nothing before there are enough bytes to tell.
    fn after_head(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let Some(mut head) = self.head.take() else {
            return Some(bytes);
        };
        head.extend(bytes);
        let is_file = head.starts_with(FILE_MAGIC);
        if !is_file && (head.len() >= FILE_MAGIC.len() || !FILE_MAGIC.starts_with(&head)) {
            return Some(head);
        }
        let start = head
            .iter()
            .take(LONGEST_HEAD + 1)
            .position(|byte| *byte == CONTINUATION);
        match start {
            Some(start) if is_file => Some(head.split_off(start)),
            _ if head.len() > LONGEST_HEAD => Some(head.split_off(LONGEST_HEAD)),
            _ => {
                self.head = Some(head);
                None
            }
        }
    }

    fn messages(&mut self, bytes: Vec<u8>, scan: &Scan<'_>, each: &mut Each<'_>) -> Taken {
        let mut buffer = Buffer::from(bytes);
        while !buffer.is_empty() {
            // As everywhere, the format's reader may panic over bytes that make no sense.
            let decoded = catch_unwind(AssertUnwindSafe(|| self.decoder.decode(&mut buffer)));
            match decoded {
                Ok(Ok(Some(batch))) => match project(&batch, scan) {
                    Ok(batch) => each(&batch)?,
                    Err(cause) => return Ok(Err(cause.into())),
                },
                Ok(Ok(None)) => {}
                // What follows the end of the stream is the file's footer.
                Ok(Err(_)) if self.decoder.finish().is_ok() => {
                    self.ended = true;
                    return Ok(Ok(()));
                }
                Ok(Err(cause)) => return Ok(Err(cause.into())),
                Err(_) => return Ok(Err(DamageCause::Nonsense)),
            }
        }
        Ok(Ok(()))
    }
}

/// A CSV file.
#[derive(Debug)]
struct Csv {
    file: File,
    /// Made once there is a line to tell the types of columns from.
    decoder: Option<CsvDecoder>,
    /// What is there until then.
    head: Vec<u8>,
}

impl Csv {
    fn open(path: &Path) -> std::result::Result<Self, DamageCause> {
        Ok(Self {
            file: File::open(path)?,
            decoder: None,
            head: Vec::new(),
        })
    }

    /// Hands over the rows whose last byte is new.
    fn read(&mut self, scan: &Scan<'_>, each: &mut Each<'_>) -> Taken {
        loop {
            let mut bytes = match piece(&mut self.file) {
                Ok(bytes) if bytes.is_empty() => return Ok(Ok(())),
                Ok(bytes) => bytes,
                Err(error) => return Ok(Err(error.into())),
            };
            let decoder = match &mut self.decoder {
                Some(decoder) => decoder,
                None => {
                    self.head.extend(bytes);
                    // A header alone says nothing of types.
                    if self.head.iter().filter(|byte| **byte == b'\n').take(2).count() < 2 {
                        continue;
                    }
                    bytes = std::mem::take(&mut self.head);
                    match CsvHead::read(whole_lines(&bytes), scan) {
                        Ok(head) => self
                            .decoder
                            .insert(CsvDecoder::new(head, |column| scan.wants(column))),
                        Err(cause) => return Ok(Err(cause)),
                    }
                }
            };
            if let Err(cause) = decoder.feed(&bytes, each)? {
                return Ok(Err(cause));
            }
            if let Err(cause) = decoder.flush(each)? {
                return Ok(Err(cause));
            }
        }
    }
}

fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    end.and_then(|end| bytes.get(..=end)).unwrap_or_default()
}

/// The next bytes; none where there are no more now.
fn piece(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.by_ref().take(PIECE).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        let at = file.stream_position()?;
        // A file that was cut back is followed from its new end.
        let length = file.metadata()?.len();
        if length < at {
            file.seek(SeekFrom::Start(length))?;
        }
    }
    Ok(bytes)
}
