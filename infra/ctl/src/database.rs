//! The database, for as long as a command needs it. Here is the one place where the command opens a
//! store: whoever wants one says what is to be done with it, and it is closed when that has ended, well
//! or not. A task of the driver's that is caught by the end of the process panics.

use portcall_shared::{
    settings::{Common, LogSettings, Reader},
    store::Store,
    telemetry::{self, traces::TraceSettings},
};

use crate::failure::Failure;

/// What a command wants the database for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// To use it: it is brought to this version first.
    Use,
    /// To look after it: it is taken as it is.
    Care,
    /// To use it for as long as the process lives, and to log what goes on meanwhile.
    Service,
}

/// Does something with the store that the settings name.
pub(crate) async fn with(
    reader: Reader,
    why: For,
    work: impl AsyncFnOnce(&Store) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let common = Common::read(&reader);
    reader.finish().map_err(|e| Failure::Usage(e.to_string()))?;
    let (app, log) = match why {
        For::Service => ("portcall-scaler", common.log),
        For::Use | For::Care => {
            ("portcall", LogSettings { filter: "error".to_owned(), ..common.log })
        }
    };
    // Nothing here is traced.
    let _ = telemetry::start("portcall", &log, &TraceSettings::default());
    let store = Store::open(&common.mongodb_uri, &common.database, app).await?;
    store
        .closing(async |store| {
            match why {
                For::Use | For::Service => store.migrate().await?,
                For::Care => {}
            }
            work(store).await
        })
        .await
}
