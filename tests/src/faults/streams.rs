//! Server-sent events, as far as the followers need them.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) data: String,
}

impl Event {
    /// The number behind the last hyphen of its id.
    pub(super) fn number(&self) -> Option<u64> {
        self.id.rsplit('-').next()?.parse().ok()
    }
}

/// What came of a stream so far, and is not read yet.
#[derive(Debug, Default)]
pub(super) struct Reader(String);

impl Reader {
    /// Takes what came, and gives the events that are whole.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.0.push_str(&String::from_utf8_lossy(bytes));
        let mut events = Vec::new();
        while let Some(end) = self.0.find("\n\n") {
            let block: String = self.0.drain(..end + 2).collect();
            let mut event = Event::default();
            for line in block.lines() {
                let Some((field, value)) = line.split_once(':') else { continue };
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "id" => value.clone_into(&mut event.id),
                    "event" => value.clone_into(&mut event.name),
                    "data" => event.data.push_str(value),
                    _ => {}
                }
            }
            if !event.name.is_empty() {
                events.push(event);
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "retry: 3000\nevent: hello\nid: 4ede-7\ndata: {}\n\n: a comment\n\n\
                    event: pin\nid: 4ede-8\ndata: {\"id\":\"x\"}\n\nevent: st";
        for piece in [1, 7, text.len()] {
            let mut reader = Reader::default();
            let bytes = text.as_bytes();
            let events: Vec<Event> = bytes.chunks(piece).flat_map(|p| reader.take(p)).collect();
            let names: Vec<(&str, Option<u64>)> =
                events.iter().map(|event| (event.name.as_str(), event.number())).collect();
            assert_eq!(names, [("hello", Some(7)), ("pin", Some(8))]);
            assert_eq!(events[1].data, "{\"id\":\"x\"}");
        }
    }
}
