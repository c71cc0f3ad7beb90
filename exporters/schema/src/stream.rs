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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{RecordBatch, UInt64Array};
    use arrow_ipc::reader::StreamReader;
    use arrow_ipc::writer::StreamWriter;
    use arrow_schema::{DataType, Field, Schema};
    use std::io::Write;
    use std::sync::Arc;

    const ROWS: u64 = 10;

    /// A stream of three batches, and where each message begins or the stream ends.
    fn stream() -> (Vec<u8>, Vec<usize>) {
        let schema = Arc::new(Schema::new(vec![Field::new("step", DataType::UInt64, false)]));
        let column = Arc::new(UInt64Array::from_iter_values(0..ROWS));
        let batch = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
        let mut bounds = vec![0, writer.get_ref().len()];
        for _ in 0..3 {
            writer.write(&batch).unwrap();
            bounds.push(writer.get_ref().len());
        }
        (writer.into_inner().unwrap(), bounds)
    }

    fn messages(bytes: &[u8]) -> Messages {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        Messages::new(file).unwrap()
    }

    /// How many batches can be read, and whether that ends in an error.
    fn batches(bytes: &[u8]) -> (usize, bool) {
        let Ok(reader) = StreamReader::try_new(messages(bytes), None) else {
            return (0, true);
        };
        let read: Vec<_> = reader.collect();
        let good = read.iter().flatten();
        (good.count(), read.iter().any(Result::is_err))
    }

    #[test]
    fn a_whole_stream_is_read_to_its_last_byte() {
        let (bytes, _) = stream();
        let mut read = Vec::new();
        messages(&bytes).read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
        assert_eq!(batches(&bytes), (3, false));
    }

    #[test]
    fn a_stream_cut_anywhere_gives_its_whole_messages() {
        let (bytes, bounds) = stream();
        for cut in 0..bytes.len() {
            let whole = bounds[2..].iter().filter(|end| **end <= cut).count();
            assert_eq!(batches(&bytes[..cut]).0, whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_message_that_says_more_than_the_file_holds_is_not_begun() {
        let (mut bytes, bounds) = stream();
        let second = bounds[2];
        let body = i64::try_from((ROWS * 8).next_multiple_of(64)).unwrap();
        let metadata = &bytes[second..bounds[3]];
        let at = metadata
            .windows(8)
            .position(|window| window == body.to_le_bytes());
        let at = second + at.expect("the length of the body");
        for lie in [body + (1 << 20), i64::MAX, -1] {
            bytes[at..at + 8].copy_from_slice(&lie.to_le_bytes());
            let mut read = Vec::new();
            messages(&bytes).read_to_end(&mut read).unwrap();
            assert!(
                (second..second + 16).contains(&read.len()),
                "{lie}: {} bytes",
                read.len()
            );
            assert_eq!(batches(&bytes), (1, true), "{lie}");
        }
    }
}
