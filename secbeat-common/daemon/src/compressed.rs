//! Logs that rotation has compressed.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// RFC 1952.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// RFC 8878.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Compressed bytes read at a time.
const BUFFER: usize = 64 * 1024;
/// Decompressed bytes that are made at a time.
const BLOCKS: usize = 128 * 1024;

/// The bytes of a log, decompressed if they are gzip or Zstandard: by what is in it, not by what it is called.
///
/// # Errors
///
/// Returns the errors of reading its first bytes.
pub fn decompressed(mut raw: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut begin = Vec::with_capacity(ZSTD.len());
    raw.by_ref().take(ZSTD.len() as u64).read_to_end(&mut begin)?;
    let (is_gzip, is_zstd) = (begin.starts_with(&GZIP), begin.starts_with(&ZSTD));
    let whole = Cursor::new(begin).chain(raw);
    let buffered = |whole| BufReader::with_capacity(BUFFER, whole);
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(buffered(whole)))
    } else if is_zstd {
        Box::new(Zstd::new(buffered(whole)))
    } else {
        Box::new(whole)
    })
}

/// All frames of a Zstandard stream, one after the other.
struct Zstd<R> {
    input: R,
    decoder: FrameDecoder,
}

impl<R: BufRead> Zstd<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            decoder: FrameDecoder::new(),
        }
    }

    /// Goes on to the next frame; `false` at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.input) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.input.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    /// Whether the frame that has ended is what it was.
    fn check(&self) -> io::Result<()> {
        let (stated, found) = (
            self.decoder.get_checksum_from_data(),
            self.decoder.get_calculated_checksum(),
        );
        match stated {
            Some(stated) if found != Some(stated) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the checksum of a Zstandard frame is wrong",
            )),
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.decoder.can_collect() == 0 {
            if self.decoder.is_finished() {
                self.check()?;
                if !self.next_frame()? {
                    return Ok(0);
                }
            } else {
                self.decoder
                    .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBytes(BLOCKS))
                    .map_err(io::Error::other)?;
            }
        }
        self.decoder.read(buf)
    }
}
