//! A list that is kept in order, as chunks: to put something in or to take it out moves a chunk at most,
//! and what lies between two positions is counted and summed up without looking at every entry.
//!
//! The list does not know its order: whoever looks for a position says what comes before it. A chunk has
//! room for few entries more than it holds, so that an entry costs little more memory than itself.

use std::{cmp::Ordering, mem::size_of};

/// Most entries of a chunk.
const MOST: usize = 512;
/// Room for so many more is made at once.
const ROOM: usize = 32;

/// What the list is made of.
pub(super) trait Entry: Copy {
    /// What is summed up of it.
    fn weight(&self) -> [i32; 2];
}

impl Entry for u32 {
    fn weight(&self) -> [i32; 2] {
        [0, 0]
    }
}

/// A position: of an entry, or the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    chunk: usize,
    at: usize,
}

/// What lies between two positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// How many entries.
    pub(super) count: usize,
    /// Their weights.
    pub(super) weight: [i64; 2],
}

/// The list.
#[derive(Debug)]
pub(super) struct Ranked<E> {
    /// None of them is empty.
    chunks: Vec<Chunk<E>>,
    len: usize,
}

#[derive(Debug)]
struct Chunk<E> {
    entries: Vec<E>,
    weight: [i32; 2],
}

impl<E> Default for Ranked<E> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl Sum {
    fn add(&mut self, count: usize, weight: [i32; 2]) {
        self.count += count;
        self.weight[0] += i64::from(weight[0]);
        self.weight[1] += i64::from(weight[1]);
    }
}

fn weigh<E: Entry>(entries: &[E]) -> [i32; 2] {
    entries.iter().map(Entry::weight).fold([0, 0], |sum, one| [sum[0] + one[0], sum[1] + one[1]])
}

impl<E: Entry> Chunk<E> {
    fn of(entries: Vec<E>) -> Self {
        let weight = weigh(&entries);
        Self { entries, weight }
    }

    fn insert(&mut self, at: usize, entry: E) {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(ROOM);
        }
        self.entries.insert(at, entry);
        let [first, second] = entry.weight();
        self.weight = [self.weight[0] + first, self.weight[1] + second];
    }

    fn remove(&mut self, at: usize) -> E {
        let entry = self.entries.remove(at);
        let [first, second] = entry.weight();
        self.weight = [self.weight[0] - first, self.weight[1] - second];
        if self.entries.capacity() - self.entries.len() > 2 * ROOM {
            self.entries.shrink_to(self.entries.len() + ROOM);
        }
        entry
    }

    /// Cuts off the second half.
    fn halve(&mut self) -> Self {
        let second = Self::of(self.entries.split_off(self.entries.len() / 2));
        self.entries.shrink_to(self.entries.len() + ROOM);
        self.weight = weigh(&self.entries);
        second
    }
}

impl<E: Entry> Ranked<E> {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Behind the last one.
    pub(super) fn end(&self) -> Position {
        Position { chunk: self.chunks.len(), at: 0 }
    }

    /// The first position whose entry does not come before what is looked for.
    pub(super) fn first_not(&self, before: impl Fn(&E) -> bool) -> Position {
        // Most things come at the end.
        let last = self.chunks.last().and_then(|chunk| chunk.entries.last());
        if last.is_none_or(&before) {
            return self.end();
        }
        self.first_not_in(Position::default(), self.end(), before)
    }

    /// The same between two positions, where it is the second if all come before.
    pub(super) fn first_not_in(
        &self,
        from: Position,
        to: Position,
        before: impl Fn(&E) -> bool,
    ) -> Position {
        if from >= to {
            return to;
        }
        let others = &self.chunks[from.chunk + 1..to.chunk + usize::from(to.at > 0)];
        let chunk = from.chunk + others.partition_point(|chunk| before(&chunk.entries[0]));
        let entries = self.part(chunk, from, to);
        let start = if chunk == from.chunk { from.at } else { 0 };
        self.normal(Position { chunk, at: start + entries.partition_point(before) })
    }

    /// The end of a chunk is the beginning of the next.
    fn normal(&self, position: Position) -> Position {
        match position.at.cmp(&self.chunks[position.chunk].entries.len()) {
            Ordering::Less => position,
            _ => Position { chunk: position.chunk + 1, at: 0 },
        }
    }

    /// What of a chunk lies between two positions.
    fn part(&self, chunk: usize, from: Position, to: Position) -> &[E] {
        let Some(there) = self.chunks.get(chunk) else { return &[] };
        let start = if chunk == from.chunk { from.at } else { 0 };
        let end = if chunk == to.chunk { to.at } else { there.entries.len() };
        there.entries.get(start..end).unwrap_or_default()
    }

    /// The entry of a position; none at the end.
    pub(super) fn get(&self, position: Position) -> Option<E> {
        self.chunks.get(position.chunk)?.entries.get(position.at).copied()
    }

    /// The entry before a position; none at the beginning.
    pub(super) fn before(&self, position: Position) -> Option<E> {
        match position {
            Position { chunk: 0, at: 0 } => None,
            Position { chunk, at: 0 } => self.chunks.get(chunk - 1)?.entries.last().copied(),
            Position { chunk, at } => self.get(Position { chunk, at: at - 1 }),
        }
    }

    /// The entries between two positions.
    pub(super) fn between(
        &self,
        from: Position,
        to: Position,
    ) -> impl DoubleEndedIterator<Item = E> + '_ {
        (from.chunk..=to.chunk).flat_map(move |chunk| self.part(chunk, from, to)).copied()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = E> + '_ {
        self.chunks.iter().flat_map(|chunk| &chunk.entries).copied()
    }

    /// How many lie between two positions.
    pub(super) fn count(&self, from: Position, to: Position) -> usize {
        if from.chunk == to.chunk {
            return to.at.saturating_sub(from.at);
        }
        let whole = self.chunks[from.chunk..to.chunk].iter().map(|chunk| chunk.entries.len());
        (whole.sum::<usize>() + to.at).saturating_sub(from.at)
    }

    /// What lies between two positions, summed up.
    pub(super) fn sum(&self, from: Position, to: Position) -> Sum {
        let mut sum = Sum::default();
        for chunk in from.chunk..=to.chunk {
            let part = self.part(chunk, from, to);
            match self.chunks.get(chunk) {
                Some(whole) if part.len() == whole.entries.len() => {
                    sum.add(part.len(), whole.weight);
                }
                _ => sum.add(part.len(), weigh(part)),
            }
        }
        sum
    }

    /// Puts something in, before what stands there.
    pub(super) fn insert(&mut self, position: Position, entry: E) {
        self.len += 1;
        // Before the first of a chunk is behind the last of the one before.
        let Position { chunk: number, at } = match position {
            Position { chunk, at: 0 } if chunk > 0 => {
                Position { chunk: chunk - 1, at: self.chunks[chunk - 1].entries.len() }
            }
            other => other,
        };
        let last = number + 1 >= self.chunks.len();
        let Some(chunk) = self.chunks.get_mut(number) else {
            self.chunks.push(Chunk::of(vec![entry]));
            return;
        };
        if chunk.entries.len() < MOST {
            chunk.insert(at, entry);
        } else if last && at == MOST {
            // What comes in order fills its chunks.
            self.chunks.push(Chunk::of(vec![entry]));
        } else {
            let mut second = chunk.halve();
            match at.checked_sub(chunk.entries.len()) {
                Some(at) => second.insert(at, entry),
                None => chunk.insert(at, entry),
            }
            self.chunks.insert(number + 1, second);
        }
    }

    /// Takes out what stands there, if anything does.
    pub(super) fn remove(&mut self, position: Position) -> Option<E> {
        self.get(position)?;
        let Position { chunk: number, at } = position;
        let entry = self.chunks[number].remove(at);
        self.len -= 1;
        let first = number.saturating_sub(1);
        let few = |pair: &[Chunk<E>]| pair[0].entries.len() + pair[1].entries.len() <= MOST / 2;
        if self.chunks[number].entries.is_empty() {
            self.chunks.remove(number);
        } else if self.chunks.get(first..first + 2).is_some_and(few) {
            let second = self.chunks.remove(first + 1);
            let chunk = &mut self.chunks[first];
            chunk.entries.reserve_exact(second.entries.len());
            chunk.entries.extend(second.entries);
            chunk.weight = weigh(&chunk.entries);
        }
        Some(entry)
    }

    /// How much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let entries = self.chunks.iter().map(|chunk| chunk.entries.capacity() * size_of::<E>());
        entries.sum::<usize>() + self.chunks.capacity() * size_of::<Chunk<E>>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Heavy(u32);

    impl Entry for Heavy {
        fn weight(&self) -> [i32; 2] {
            let weight = i32::try_from(self.0 % 1000).unwrap();
            [weight, -weight]
        }
    }

    /// Whether it holds just these, in their order, with the right sums and no chunk that should not be.
    fn holds(list: &Ranked<Heavy>, sorted: &[u32]) {
        assert!(list.iter().map(|entry| entry.0).eq(sorted.iter().copied()));
        assert!(list.iter().rev().map(|entry| entry.0).eq(sorted.iter().rev().copied()));
        assert_eq!(list.len(), sorted.len());
        for chunk in &list.chunks {
            assert!((1..=MOST).contains(&chunk.entries.len()));
            assert_eq!(chunk.weight, weigh(&chunk.entries));
        }
    }

    #[test]
    fn what_comes_in_order_fills_its_chunks() {
        let mut list = Ranked::default();
        for n in 0..2_000 {
            list.insert(list.first_not(|entry: &Heavy| entry.0 < n), Heavy(n));
        }
        let lengths: Vec<usize> = list.chunks.iter().map(|chunk| chunk.entries.len()).collect();
        assert_eq!(lengths, [512, 512, 512, 464]);
        assert!(list.bytes() < 2_000 * 4 + 4 * 32 * 4 + 4 * 64, "{}", list.bytes());
        // And what goes leaves no chunk behind.
        for n in 0..2_000 {
            let at = list.first_not(|entry| entry.0 < n * 7 % 2_000);
            assert_eq!(list.remove(at), Some(Heavy(n * 7 % 2_000)));
        }
        assert_eq!((list.chunks.len(), list.remove(list.end())), (0, None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_sorted_list_is_the_same(
            steps in proptest::collection::vec((0u32..3_000, 0u8..10), 0..4_000),
            growing in 4u8..9, bounds in proptest::collection::vec(0u32..3_100, 8),
        ) {
            let (mut list, mut sorted) = (Ranked::default(), Vec::new());
            for (what, dice) in steps {
                let at = list.first_not(|entry: &Heavy| entry.0 < what);
                let place = sorted.partition_point(|one| *one < what);
                prop_assert_eq!(list.before(at), place.checked_sub(1).map(|n| Heavy(sorted[n])));
                if dice < growing {
                    list.insert(at, Heavy(what));
                    sorted.insert(place, what);
                } else if place < sorted.len() {
                    prop_assert_eq!(list.remove(at), Some(Heavy(sorted.remove(place))));
                }
            }
            holds(&list, &sorted);
            for pair in bounds.windows(2) {
                let (low, high) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
                let from = list.first_not(|entry| entry.0 < low);
                let to = list.first_not_in(from, list.end(), |entry| entry.0 < high);
                let inside: Vec<u32> =
                    sorted.iter().copied().filter(|one| (low..high).contains(one)).collect();
                let found: Vec<u32> = list.between(from, to).map(|entry| entry.0).collect();
                let weight = i64::from(weigh(&inside.iter().map(|n| Heavy(*n)).collect::<Vec<_>>())[0]);
                let sum = Sum { count: inside.len(), weight: [weight, -weight] };
                prop_assert_eq!((list.count(from, to), list.sum(from, to)), (inside.len(), sum));
                prop_assert_eq!(&found, &inside);
                let middle = low + (high - low) / 2;
                let at = list.first_not_in(from, to, |entry| entry.0 < middle);
                let below = inside.iter().filter(|one| **one < middle).count();
                prop_assert_eq!(list.count(from, at), below);
            }
        }
    }
}
