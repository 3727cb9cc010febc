//! Bounded reading of a pickle's bytes.

use std::io::{self, BufRead, Read};

use super::pickle::Result;
use crate::Reason;

/// Longer texts are skipped: names and keys are shorter.
const LONGEST_TEXT: u64 = 1 << 14;
/// Bytes of text that all pickles of a file may keep in memory.
const MOST_TEXT: usize = 32 << 20;

/// Reads numbers, lines and texts, and counts the bytes read.
pub(super) struct Input<R> {
    reader: R,
    position: u64,
    text: usize,
}

impl<R: BufRead> Input<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, position: 0, text: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(unreadable)?;
        self.position += N as u64;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    /// A few bytes: at most [`LONGEST_TEXT`].
    pub(super) fn bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length.min(LONGEST_TEXT) as usize];
        self.reader.read_exact(&mut bytes).map_err(unreadable)?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    /// Text of this many bytes. If it is longer than [`LONGEST_TEXT`], nothing is read and the result is `None`.
    pub(super) fn text(&mut self, length: u64) -> Result<Option<String>> {
        if length > LONGEST_TEXT {
            return Ok(None);
        }
        self.charge(length as usize)?;
        Ok(Some(String::from_utf8_lossy(&self.bytes(length)?).into_owned()))
    }

    /// Counts text that stays in memory.
    pub(super) fn charge(&mut self, length: usize) -> Result<()> {
        self.text += length;
        if self.text > MOST_TEXT {
            return Err(format!("the pickle holds more than {} MiB of text", MOST_TEXT >> 20).into());
        }
        Ok(())
    }

    /// A line without its line end.
    pub(super) fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            let byte = self.byte()?;
            if byte == b'\n' {
                break;
            }
            line.push(byte);
            if line.len() as u64 > LONGEST_TEXT {
                return Err(format!("the pickle has a line of more than {LONGEST_TEXT} bytes").into());
            }
        }
        self.charge(line.len())?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    pub(super) fn skip(&mut self, length: u64) -> Result<()> {
        let skipped = io::copy(&mut (&mut self.reader).take(length), &mut io::sink());
        let skipped = skipped.map_err(unreadable)?;
        self.position += skipped;
        if skipped < length { Err(cut_off()) } else { Ok(()) }
    }
}

fn cut_off() -> Reason {
    "the file is cut off".into()
}

fn unreadable(error: io::Error) -> Reason {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        cut_off()
    } else {
        Reason::because("the file cannot be read", error)
    }
}
