//! How far an Arrow IPC stream can be believed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// How a message begins.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// A file of messages, ending inside the first one that says it is longer than what the file has left.
///
/// Readers of the format make room for as many bytes as a message says it has before they read them; a damaged length would
/// end the process.
#[derive(Debug)]
pub struct Messages {
    file: File,
    at: u64,
    end: u64,
}

impl Messages {
    /// Looks through the messages from where the file stands.
    ///
    /// # Errors
    /// What reading the file fails with.
    pub fn new(mut file: File) -> io::Result<Self> {
        let at = file.stream_position()?;
        let size = file.metadata()?.len();
        let mut messages = Self { file, at, end: size };
        messages.end = messages.believable(size)?;
        messages.seek(SeekFrom::Start(at))?;
        Ok(messages)
    }

    fn believable(&mut self, size: u64) -> io::Result<u64> {
        while let Some(length) = self.length()? {
            // Cut behind the first bytes, it can't be taken for the end of the stream.
            let cut = self.at;
            let mut metadata = Vec::new();
            self.by_ref().take(length).read_to_end(&mut metadata)?;
            let body = body_length(&metadata).filter(|body| *body <= size.saturating_sub(self.at));
            let (true, Some(body)) = (metadata.len() as u64 == length, body) else {
                return Ok(cut);
            };
            self.seek(SeekFrom::Start(self.at + body))?;
        }
        Ok(size)
    }

    /// The length of the next message's metadata; `None` at the end of the stream or of the file.
    fn length(&mut self) -> io::Result<Option<u64>> {
        let mut word = [0; 4];
        if self.read_word(&mut word)? && word == CONTINUATION {
            self.read_word(&mut word)?;
        }
        Ok(u64::try_from(i32::from_le_bytes(word))
            .ok()
            .filter(|length| *length > 0))
    }

    /// Whether there were four more bytes.
    fn read_word(&mut self, word: &mut [u8; 4]) -> io::Result<bool> {
        *word = [0; 4];
        match self.read_exact(word) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The `bodyLength` of a message's metadata, a flatbuffer: the fourth field of the root table.
fn body_length(metadata: &[u8]) -> Option<u64> {
    const FIELD: usize = 3;
    let word = |at: usize| {
        Some(i32::from_le_bytes(
            metadata.get(at..at.checked_add(4)?)?.try_into().ok()?,
        ))
    };
    let half = |at: usize| {
        Some(u16::from_le_bytes(
            metadata.get(at..at.checked_add(2)?)?.try_into().ok()?,
        ))
    };
    let table = usize::try_from(word(0)?).ok()?;
    let fields = usize::try_from(i64::try_from(table).ok()? - i64::from(word(table)?)).ok()?;
    let slot = 4 + 2 * FIELD;
    let offset = if usize::from(half(fields)?) >= slot + 2 {
        usize::from(half(fields.checked_add(slot)?)?)
    } else {
        0
    };
    if offset == 0 {
        return Some(0);
    }
    let at = table.checked_add(offset)?;
    let length = i64::from_le_bytes(metadata.get(at..at.checked_add(8)?)?.try_into().ok()?);
    u64::try_from(length).ok()
}

impl Read for Messages {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read(&mut buffer[..wanted])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Messages {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}
