//! What a log is read from: files and pipes, compressed or not.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;
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

/// Where a log lies.
pub(crate) enum Input {
    /// Can be opened again.
    File(PathBuf),
    /// A pipe: what was read of it is gone.
    Stream(Box<dyn Read>),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Input {
    /// The input at `path`; `-` is standard input. Also returns how many bytes it has, if that is known.
    ///
    /// # Errors
    ///
    /// Those of opening it.
    pub(crate) fn at(path: &Path) -> io::Result<(Self, Option<u64>)> {
        if path == Path::new("-") {
            return Ok((Self::Stream(Box::new(io::stdin())), None));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        Ok(if metadata.is_file() {
            (Self::File(path.to_owned()), Some(metadata.len()))
        } else {
            (Self::Stream(Box::new(file)), None)
        })
    }

    /// The bytes of the log, decompressed if they are gzip or Zstandard. What is read of it moves `progress`.
    pub(super) fn open(self, progress: &ProgressBar) -> io::Result<Box<dyn Read>> {
        match self {
            Self::File(path) => decompressed(progress.wrap_read(File::open(path)?)),
            Self::Stream(stream) => decompressed(progress.wrap_read(stream)),
        }
    }
}

/// Decompresses by what is in it, not by what it is called.
fn decompressed(mut raw: impl Read + 'static) -> io::Result<Box<dyn Read>> {
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
