//! How many connections there may be: in all, and of one network, so that nobody takes them all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Seats for connections, or for whatever else is bounded in all and by network. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Seats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    All,
    /// Those of this network are taken.
    Network,
}

impl Full {
    /// For the metric.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::All => "full",
            Self::Network => "network",
        }
    }
}

/// A seat, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    counts: Counts,
}

/// What a seat counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// Only in all.
    InAll,
    /// Only for its network.
    For(IpAddr),
    /// Both.
    Both(IpAddr),
}

impl Counts {
    fn in_all(self) -> usize {
        usize::from(!matches!(self, Self::For(_)))
    }

    fn network(self) -> Option<IpAddr> {
        match self {
            Self::InAll => None,
            Self::For(network) | Self::Both(network) => Some(network),
        }
    }
}

impl Seats {
    /// So many, and so many for one network.
    pub(super) fn new(most: usize, of_one: usize) -> Self {
        Self(Arc::new(Inner { most, of_one, taken: Mutex::default() }))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn take(&self, counts: Counts) -> Result<Seat, Full> {
        let mut taken = self.taken();
        if taken.all + counts.in_all() > self.0.most {
            return Err(Full::All);
        }
        if let Some(network) = counts.network() {
            let of_it = taken.by.get(&network).copied().unwrap_or(0);
            if of_it >= self.0.of_one {
                return Err(Full::Network);
            }
            taken.by.insert(network, of_it + 1);
        }
        taken.all += counts.in_all();
        Ok(Seat { seats: self.clone(), counts })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all -= self.counts.in_all();
        if let Some(network) = self.counts.network()
            && let Some(of_it) = taken.by.get_mut(&network)
        {
            *of_it -= 1;
            if *of_it == 0 {
                taken.by.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn seats_are_bounded_on_both_sides_and_come_back() {
        let seats = Seats::new(3, 2);
        let one = seats.take(Counts::Both(at(1))).unwrap();
        let two = seats.take(Counts::Both(at(1))).unwrap();
        assert_eq!(seats.take(Counts::Both(at(1))).unwrap_err(), Full::Network);
        let three = seats.take(Counts::Both(at(2))).unwrap();
        assert_eq!(seats.take(Counts::Both(at(2))).unwrap_err(), Full::All);
        drop(one);
        let again = seats.take(Counts::Both(at(1))).unwrap();
        drop((two, three, again));
        assert!(seats.taken().by.is_empty() && seats.taken().all == 0, "nothing is kept");
    }

    #[test]
    fn who_is_trusted_counts_in_all_only() {
        let seats = Seats::new(3, 1);
        let taken: Vec<Seat> = (0..3).map(|_| seats.take(Counts::InAll).unwrap()).collect();
        assert_eq!(seats.take(Counts::InAll).unwrap_err(), Full::All);
        drop(taken);
        let _of_it = seats.take(Counts::For(at(1))).unwrap();
        assert_eq!(seats.take(Counts::For(at(1))).unwrap_err(), Full::Network);
        assert_eq!(seats.taken().all, 0);
    }
}
