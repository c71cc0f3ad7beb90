//! Lines of a file as bytes: numbered, bounded, without byte-order mark and line ends.

use std::io::{self, BufRead, Read};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads one line after the other into one buffer.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
    limit: usize,
}

/// What is known of the line that lies in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// It ended with a line end.
    Whole,
    /// The file ended in it.
    Open,
    /// It went on beyond the limit; the rest was passed over.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R, limit: usize) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            number: 0,
            limit,
        }
    }

    /// The number of the line last read, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The line last read, white space at both ends taken off.
    pub(super) fn line(&self) -> &[u8] {
        let line = match self.number {
            1 => self.buffer.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.buffer),
            _ => &self.buffer,
        };
        line.trim_ascii()
    }

    /// Reads the next line that isn't blank; `None` at the end of the file.
    pub(super) fn advance(&mut self) -> io::Result<Option<LineEnd>> {
        loop {
            let Some(end) = self.read_line()? else {
                return Ok(None);
            };
            if end == LineEnd::TooLong || !self.line().is_empty() {
                return Ok(Some(end));
            }
        }
    }

    fn read_line(&mut self) -> io::Result<Option<LineEnd>> {
        self.buffer.clear();
        let limit = u64::try_from(self.limit).unwrap_or(u64::MAX);
        let read = self
            .input
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.last() == Some(&b'\n') {
            return Ok(Some(LineEnd::Whole));
        }
        if read < self.limit {
            return Ok(Some(LineEnd::Open));
        }
        self.pass_over()?;
        Ok(Some(LineEnd::TooLong))
    }

    /// Drops what is left of the line, a buffer at a time.
    fn pass_over(&mut self) -> io::Result<()> {
        loop {
            let rest = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if rest.is_empty() {
                return Ok(());
            }
            let newline = rest.iter().position(|byte| *byte == b'\n');
            let used = newline.map_or(rest.len(), |at| at + 1);
            self.input.consume(used);
            if newline.is_some() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], limit: usize) -> Vec<(u64, Vec<u8>, LineEnd)> {
        let mut lines = Lines::new(io::BufReader::with_capacity(3, text), limit);
        let mut out = Vec::new();
        while let Some(end) = lines.advance().unwrap() {
            out.push((lines.number(), lines.line().to_vec(), end));
        }
        out
    }

    #[test]
    fn marks_blank_lines_and_line_ends_are_taken_off() {
        let got = read(b"\xef\xbb\xbfa\r\n\r\n  \n b \nc", 100);
        let want = [
            (1, b"a".to_vec(), LineEnd::Whole),
            (4, b"b".to_vec(), LineEnd::Whole),
            (5, b"c".to_vec(), LineEnd::Open),
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn a_line_beyond_the_limit_is_passed_over() {
        let got = read(b"aaaaaaaaaaaa\nbb\ncccccccc", 4);
        assert_eq!(got[0], (1, b"aaaa".to_vec(), LineEnd::TooLong));
        assert_eq!(got[1], (2, b"bb".to_vec(), LineEnd::Whole));
        assert_eq!(got[2].2, LineEnd::TooLong);
        assert_eq!(got.len(), 3);
    }
}
