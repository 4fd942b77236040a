//! What the driver's pool of connections is busy with, as metrics: the driver tells of every change.

use mongodb::event::{EventHandler, cmap::CmapEvent};

/// Counts what the driver tells.
pub(super) fn handler() -> EventHandler<CmapEvent> {
    EventHandler::callback(|event| {
        let open = || metrics::gauge!("portcall_store_connections", "state" => "open");
        let used = || metrics::gauge!("portcall_store_connections", "state" => "used");
        let waiting = || metrics::gauge!("portcall_store_connections", "state" => "awaited");
        match event {
            CmapEvent::ConnectionCreated(_) => open().increment(1),
            CmapEvent::ConnectionClosed(_) => open().decrement(1),
            CmapEvent::ConnectionCheckoutStarted(_) => waiting().increment(1),
            CmapEvent::ConnectionCheckedOut(_) => {
                waiting().decrement(1);
                used().increment(1);
            }
            CmapEvent::ConnectionCheckoutFailed(_) => {
                waiting().decrement(1);
                metrics::counter!("portcall_store_checkouts_failed_total").increment(1);
            }
            CmapEvent::ConnectionCheckedIn(_) => used().decrement(1),
            _ => {}
        }
    })
}
