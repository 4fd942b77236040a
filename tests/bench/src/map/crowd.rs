//! Pins of a crowd that is always the same: most in towns, the others anywhere.

use anyhow::{Result, anyhow};
use portcall_shared::{
    domain::{
        ids::{EventSlug, SubmissionId},
        place::LatLng,
    },
    store::pins::Pin,
};
use time::{Duration, OffsetDateTime};

use crate::stock::EVENT;

/// How many towns there are.
const TOWNS: u64 = 10_000;
/// How far around a town its people live, in degrees.
const AROUND: f64 = 0.3;
/// How many of ten live in towns.
const IN_TOWNS: u64 = 7;

/// Numbers that look drawn and are the same in every run (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Drawn(u64);

impl Drawn {
    /// From this one on.
    #[must_use]
    pub(super) fn from(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        drawn ^ (drawn >> 31)
    }

    /// From -1 to 1.
    fn around(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what is wanted")]
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        share * 2.0 - 1.0
    }

    fn anywhere(&mut self) -> (f64, f64) {
        (self.around() * 60.0, self.around() * 180.0)
    }
}

/// Where the n-th of the crowd stands.
///
/// # Errors
/// Never: all of them are on the map.
pub(super) fn point(n: usize) -> Result<LatLng> {
    let mut own = Drawn::from(n as u64);
    let (lat, lng) = if own.next() % 10 < IN_TOWNS {
        let town = own.next() % TOWNS;
        let (lat, lng) = Drawn::from(town << 32).anywhere();
        (lat + own.around() * AROUND, lng + own.around() * AROUND)
    } else {
        own.anywhere()
    };
    Ok(LatLng::new(lat.clamp(-85.0, 85.0), lng.clamp(-180.0, 180.0))?)
}

/// So many pins, each of a participant of its own and made when it is asked for.
///
/// # Errors
/// Never: all of them are valid.
pub(super) fn pins(count: usize) -> Result<impl Iterator<Item = Result<Pin>>> {
    let event: EventSlug = EVENT.parse().map_err(|_| anyhow!("no slug"))?;
    let began = OffsetDateTime::now_utc();
    let pin = move |n: usize| {
        let town = Drawn::from(n as u64).next() % TOWNS;
        Ok(Pin {
            submission: SubmissionId::new(),
            event: event.clone(),
            participant: format!("name:ann{n}"),
            name: format!("Ann {n}"),
            handle: None,
            place: format!("Town {town}, CA, USA"),
            country: Some("US".to_owned()),
            point: point(n)?,
            at: began + Duration::milliseconds(i64::try_from(n)?),
        })
    };
    Ok((0..count).map(pin))
}
