//! Which versions of the engine's API are spoken.
//!
//! Below [`LEAST`] engines drop security fields without a word; such are refused. Above [`MOST`]
//! nobody has looked what a request means; there the path of every request names [`MOST`], as newer
//! engines still take it, and one that does not is refused. An engine in between is spoken to without
//! a version, which means its newest.

use bollard::models::SystemVersion;

use super::super::error::FleetError;

/// A version of the API.
pub(in crate::fleet) type Version = (u32, u32);

/// The oldest that is spoken: Engine 20.10.
pub(in crate::fleet) const LEAST: Version = (1, 41);
/// The newest that is spoken: Engine 27.5.
pub(in crate::fleet) const MOST: Version = (1, 47);

/// The newest version that an engine speaks, if it speaks one of ours.
pub(in crate::fleet) fn within_bounds(said: &SystemVersion) -> Result<Version, FleetError> {
    let missing = || FleetError::Answer {
        doing: "reading facts",
        detail: "it does not say its API version".to_owned(),
    };
    let newest = said.api_version.as_deref().and_then(parse).ok_or_else(missing)?;
    if newest < LEAST {
        return Err(FleetError::Unfit(format!(
            "it speaks API {}.{}, at least {}.{} is needed",
            newest.0, newest.1, LEAST.0, LEAST.1
        )));
    }
    match said.min_api_version.as_deref().and_then(parse) {
        Some(oldest) if oldest > MOST => Err(FleetError::Unfit(format!(
            "it speaks no API before {}.{}, and {}.{} is the newest that is known here",
            oldest.0, oldest.1, MOST.0, MOST.1
        ))),
        _ => Ok(newest),
    }
}

fn parse(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The newest version of the API that an engine of this version speaks; none for one that is older
/// than what is spoken here, or whose version is no number. Docker's own table ("API version
/// matrix"); what is newer than it speaks at least as much.
pub(in crate::fleet) fn of_engine(engine: &str) -> Option<Version> {
    const TABLE: [((u32, u32), Version); 10] = [
        ((20, 10), (1, 41)),
        ((23, 0), (1, 42)),
        ((24, 0), (1, 43)),
        ((25, 0), (1, 44)),
        ((26, 0), (1, 45)),
        ((27, 0), (1, 46)),
        ((27, 2), (1, 47)),
        ((28, 0), (1, 48)),
        ((28, 3), (1, 51)),
        ((29, 0), (1, 52)),
    ];
    let mut numbers = engine.split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    let own = (numbers.next()??, numbers.next().flatten().unwrap_or(0));
    TABLE.iter().rev().find(|(from, _)| own >= *from).map(|(_, api)| *api)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(newest: Option<&str>, oldest: Option<&str>) -> Result<Version, String> {
        let version = SystemVersion {
            api_version: newest.map(str::to_owned),
            min_api_version: oldest.map(str::to_owned),
            ..Default::default()
        };
        within_bounds(&version).map_err(|error| error.to_string())
    }

    #[test]
    fn an_engine_that_speaks_none_of_ours_is_refused_on_both_sides() {
        assert_eq!(said(Some("1.41"), Some("1.12")), Ok((1, 41)));
        assert_eq!(said(Some("1.47"), Some("1.24")), Ok((1, 47)));
        assert_eq!(said(Some("1.53"), Some("1.40")), Ok((1, 53)));
        assert_eq!(said(Some("1.53"), Some("1.47")), Ok((1, 53)));
        assert_eq!(said(Some("1.53"), None), Ok((1, 53)));
        let refused = |why: &str| Err(format!("this engine cannot be used: {why}"));
        assert_eq!(
            said(Some("1.40"), None),
            refused("it speaks API 1.40, at least 1.41 is needed")
        );
        assert_eq!(
            said(Some("1.60"), Some("1.48")),
            refused("it speaks no API before 1.48, and 1.47 is the newest that is known here")
        );
        assert!(said(None, None).is_err());
        assert!(said(Some("newest"), None).is_err());
    }

    #[test]
    fn the_version_of_an_engine_says_what_it_speaks() {
        for (engine, api) in [
            ("20.10.24+dfsg1", Some((1, 41))),
            ("19.03.15", None),
            ("23.0.1", Some((1, 42))),
            ("27.1.2", Some((1, 46))),
            ("27.5.1", Some((1, 47))),
            ("28.0.0-rc.1", Some((1, 48))),
            ("31.0.0", Some((1, 52))),
            ("29", Some((1, 52))),
            ("", None),
            ("master", None),
        ] {
            assert_eq!(of_engine(engine), api, "{engine}");
        }
    }
}
