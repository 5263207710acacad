//! Server-sent events, from bytes: the payloads of `data:` lines.
//!
//! The standard allows several data lines and other fields in an event. Chat servers send one data line per event, so
//! each is a payload. Other fields and comments, which servers send to keep a connection open, are skipped.

/// Longest line, in bytes; a chunk of a chat has some hundred.
const LINE: usize = 256 << 10;
/// Most bytes of a stream: at 300 bytes a token, 200 thousand tokens.
const STREAM: usize = 64 << 20;

#[derive(Default)]
pub(crate) struct Events {
    /// The start of a line whose end is still to come. Bytes, as a character may be split too.
    held: Vec<u8>,
    length: usize,
}

impl Events {
    /// Takes more of the stream, and returns the payloads that it completes.
    ///
    /// # Errors
    /// If a line or the stream is too long, or a line is not UTF-8.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        self.length = self.length.saturating_add(bytes.len());
        if self.length > STREAM {
            return Err(format!("the stream is longer than {} MiB", STREAM >> 20));
        }
        let mut payloads = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.held.len() + part.len() > LINE {
                return Err(format!("a line of the stream is longer than {} KiB", LINE >> 10));
            }
            self.held.extend_from_slice(part);
            if part.ends_with(b"\n") {
                payloads.extend(payload(&self.held)?);
                self.held.clear();
            }
        }
        Ok(payloads)
    }
}

fn payload(line: &[u8]) -> Result<Option<String>, String> {
    let line = str::from_utf8(line).map_err(|_| "a line of the stream is not UTF-8".to_owned())?;
    let data = line.trim_end_matches(['\r', '\n']).strip_prefix("data:");
    Ok(data.map(|data| data.strip_prefix(' ').unwrap_or(data).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_do_not_depend_on_where_the_bytes_are_split() {
        let stream =
            ": ping\r\nevent: chunk\r\ndata: {\"é\": 1}\r\n\r\ndata:two\n\nid: 7\ndata:  three\ndata: cut".as_bytes();
        for size in 1..=stream.len() {
            let mut events = Events::default();
            let payloads: Vec<String> = stream.chunks(size).flat_map(|piece| events.push(piece).unwrap()).collect();
            assert_eq!(payloads, ["{\"é\": 1}", "two", " three"], "pieces of {size}");
        }
    }

    #[test]
    fn long_lines_and_streams_are_refused() {
        let mut events = Events::default();
        assert_eq!(events.push(&[b'a'; LINE]), Ok(vec![]));
        assert_eq!(events.push(b"a"), Err("a line of the stream is longer than 256 KiB".to_owned()));

        let mut events = Events { length: STREAM - 1, ..Events::default() };
        assert_eq!(events.push(b"\n"), Ok(vec![]));
        assert_eq!(events.push(b"\n"), Err("the stream is longer than 64 MiB".to_owned()));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        let error = Events::default().push(b"data: \xff\n");
        assert_eq!(error, Err("a line of the stream is not UTF-8".to_owned()));
    }
}
