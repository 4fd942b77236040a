//! The followers of one event, and what they were told last.
//!
//! All news of a process have numbers, in one row. The last of an event are kept, so that whoever
//! lost a stream goes on from the number that they saw last. A `reset` says that the map is to be
//! read again, and with that all pins before it: those are not kept any longer, so nobody is told of
//! a pin that has left the map.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::broadcast;

/// How many news a reader may fall behind.
pub const BEHIND: usize = 64;
/// How many news are kept for those who come back.
pub const KEPT: usize = 1000;
/// So many pins are told one by one within a [`WINDOW`]; in place of more, the map is read again. So
/// a reader that is never more than a moment late is not taken for one that fell behind, however many
/// verdicts there are at once.
const PINS: u32 = 20;
const WINDOW: Duration = Duration::from_millis(200);
/// How often an event's map is said to be another one at most: everybody reads it then.
const RESETS: Duration = Duration::from_secs(1);

/// What the followers of an event are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A pin that is new on the map.
    Pin,
    /// The event's numbers.
    Stats,
    /// The map has to be read again.
    Reset,
}

impl Topic {
    /// The name of the server-sent event.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Stats => "stats",
            Self::Reset => "reset",
        }
    }
}

/// One of the news of an event.
#[derive(Clone, Debug)]
pub struct EventNews {
    /// Its number, in the row of this process.
    pub number: u64,
    /// What it is about.
    pub topic: Topic,
    /// JSON, on one line.
    pub data: Arc<str>,
}

/// Who follows one event.
#[derive(Debug)]
pub(super) struct Audience {
    sender: broadcast::Sender<EventNews>,
    kept: VecDeque<EventNews>,
    /// Whatever came after this number is kept, or overtaken by what is kept.
    from: u64,
    stats_stale: bool,
    map_stale: bool,
    told_reset: Option<Instant>,
    /// Since when pins are counted, and how many there were.
    window: (Instant, u32),
}

impl Audience {
    /// One that knows nothing of what was told up to this number.
    pub(super) fn new(from: u64, now: Instant) -> Self {
        Self {
            sender: broadcast::Sender::new(BEHIND),
            kept: VecDeque::new(),
            from,
            stats_stale: false,
            map_stale: false,
            told_reset: None,
            window: (now, 0),
        }
    }

    /// Whether anybody listens.
    pub(super) fn is_listening(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Begins to listen.
    pub(super) fn listen(&self) -> broadcast::Receiver<EventNews> {
        self.sender.subscribe()
    }

    /// Whether a pin is told by itself now. Where it is not, the map is to be read again.
    pub(super) fn takes_pin(&mut self, now: Instant) -> bool {
        let (since, told) = &mut self.window;
        if now.saturating_duration_since(*since) >= WINDOW {
            (*since, *told) = (now, 0);
        }
        if *told >= PINS {
            self.map_stale = true;
            return false;
        }
        *told += 1;
        true
    }

    /// Tells all, and keeps it for those who come back.
    pub(super) fn tell(&mut self, news: EventNews) {
        match news.topic {
            Topic::Pin => {}
            // Only the last numbers say anything.
            Topic::Stats => self.kept.retain(|kept| kept.topic != Topic::Stats),
            Topic::Reset => self.forget_pins(),
        }
        self.kept.push_back(news.clone());
        while self.kept.len() > KEPT {
            self.from = self.kept.pop_front().map_or(self.from, |gone| gone.number);
        }
        // With nobody listening there is nothing to tell.
        let _ = self.sender.send(news);
    }

    /// What came after this number; nothing if that is not known any more.
    pub(super) fn since(&self, number: u64) -> Option<VecDeque<EventNews>> {
        let after = || self.kept.iter().filter(|news| news.number > number).cloned().collect();
        (number >= self.from).then(after)
    }

    /// The map is another one than the pins that were told make up.
    pub(super) fn map_changed(&mut self) {
        self.map_stale = true;
        self.forget_pins();
    }

    /// The numbers are others.
    pub(super) fn stats_changed(&mut self) {
        self.stats_stale = true;
    }

    /// News may have been missed: nobody goes on from before.
    pub(super) fn missed(&mut self, last: u64) {
        self.kept.clear();
        self.from = last;
        self.stats_stale = true;
    }

    /// Whether the numbers changed since this was asked last. Where nobody listens they wait.
    pub(super) fn take_stale_stats(&mut self) -> bool {
        self.is_listening() && std::mem::take(&mut self.stats_stale)
    }

    /// Whether it is time to say that the map changed.
    pub(super) fn take_stale_map(&mut self, now: Instant) -> bool {
        let due = |at| now.saturating_duration_since(at) >= RESETS;
        if !self.map_stale || !self.told_reset.is_none_or(due) {
            return false;
        }
        (self.map_stale, self.told_reset) = (false, Some(now));
        true
    }

    fn forget_pins(&mut self) {
        self.kept.retain(|kept| kept.topic == Topic::Stats);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(number: u64, topic: Topic) -> EventNews {
        EventNews { number, topic, data: "{}".into() }
    }

    fn numbers(audience: &Audience, since: u64) -> Option<Vec<u64>> {
        Some(audience.since(since)?.iter().map(|news| news.number).collect())
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let mut audience = Audience::new(7, Instant::now());
        assert_eq!(numbers(&audience, 7), Some(vec![]));
        assert_eq!(numbers(&audience, 6), None, "before its time");
        let kept = KEPT as u64;
        for number in 8..8 + kept {
            audience.tell(news(number, Topic::Pin));
        }
        assert_eq!(numbers(&audience, 7).unwrap().len(), KEPT);
        audience.tell(news(8 + kept, Topic::Pin));
        assert_eq!(numbers(&audience, 7), None, "one is gone");
        assert_eq!(numbers(&audience, 8).unwrap().len(), KEPT);
        assert_eq!(numbers(&audience, 7 + kept), Some(vec![8 + kept]));
    }

    #[test]
    fn what_is_overtaken_is_not_told_again() {
        let mut audience = Audience::new(0, Instant::now());
        for (number, topic) in
            [(1, Topic::Stats), (2, Topic::Pin), (3, Topic::Stats), (4, Topic::Pin)]
        {
            audience.tell(news(number, topic));
        }
        assert_eq!(numbers(&audience, 0), Some(vec![2, 3, 4]));
        audience.map_changed();
        assert_eq!(
            numbers(&audience, 0),
            Some(vec![3]),
            "a pin that may be gone is told to nobody"
        );
        audience.tell(news(5, Topic::Reset));
        audience.tell(news(6, Topic::Pin));
        assert_eq!(numbers(&audience, 0), Some(vec![3, 5, 6]));
        audience.missed(6);
        assert_eq!((numbers(&audience, 5), numbers(&audience, 6)), (None, Some(vec![])));
    }

    #[test]
    fn many_pins_at_once_are_one_new_map() {
        let start = Instant::now();
        let mut audience = Audience::new(0, start);
        let taken = (0..PINS + 5).filter(|_| audience.takes_pin(start)).count();
        assert_eq!(taken, PINS as usize);
        assert!(audience.take_stale_map(start), "the rest");
        assert!(audience.takes_pin(start + WINDOW));
        assert!(!audience.take_stale_map(start + WINDOW), "nothing was left out");
    }

    #[test]
    fn the_map_is_read_again_once_for_many_changes() {
        let start = Instant::now();
        let mut audience = Audience::new(0, start);
        audience.map_changed();
        assert!(audience.take_stale_map(start), "the first at once");
        for _ in 0..50 {
            audience.map_changed();
        }
        assert!(!audience.take_stale_map(start + RESETS / 2));
        assert!(audience.take_stale_map(start + RESETS));
        assert!(!audience.take_stale_map(start + RESETS * 2));
    }
}
