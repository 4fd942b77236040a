//! How a workload is started, wherever it runs: what may not be started is refused before anything is
//! asked for, the slot is in doubt from then on, and half a workload is taken away again.

use super::{
    error::{FleetError, StartFailure},
    labels::Tenant,
    slot::Slot,
    swarm::StartTimes,
    workload::{ContainerSpec, Member, name},
};

/// What is to be started.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) slot: &'a Slot,
    pub(super) tenant: &'a Tenant,
    pub(super) specs: &'a [ContainerSpec],
    /// How long the steps may take that have no deadline of their own.
    pub(super) times: &'a StartTimes,
}

/// Where workloads run.
pub(super) trait Ground {
    /// Refuses an image that may not be started there.
    async fn require_startable(&self, image: &str, tenant: &Tenant) -> Result<(), FleetError>;

    /// Makes every member, reads every one back, and only then starts them. What was made is in
    /// `made`, in the order of the specs, whatever comes of it.
    async fn bring_up(&self, order: &Order<'_>, made: &mut Vec<Member>)
    -> Result<(), StartFailure>;

    /// Takes away what was made and what else of ours has one of these names, since the answer that
    /// it was made may be lost; and looks that nothing of it runs.
    async fn take_away(&self, names: &[String], made: &[Member]) -> Result<(), FleetError>;
}

/// Starts it, or leaves nothing of it.
pub(super) async fn start(
    on: &impl Ground,
    order: &Order<'_>,
) -> Result<Vec<Member>, StartFailure> {
    let Order { slot, tenant, specs, .. } = *order;
    for spec in specs {
        on.require_startable(&spec.image, tenant).await?;
    }
    occupy(slot, specs)?;
    let mut made = Vec::with_capacity(specs.len());
    let Err(failure) = on.bring_up(order, &mut made).await else {
        slot.tenancy.trust();
        return Ok(made);
    };
    let names: Vec<String> = specs.iter().map(|spec| name(slot, tenant, spec)).collect();
    let lost = matches!(&failure, StartFailure::Engine(error) if error.is_answer_lost());
    match on.take_away(&names, &made).await {
        // What was asked for without an answer may still appear.
        Ok(()) if !lost => slot.tenancy.trust(),
        Ok(()) => {}
        Err(error) => {
            tracing::error!(%tenant, %error, "half a workload is left to the reaper");
        }
    }
    Err(failure)
}

/// Looks whether these may be started in a slot, and marks it as in doubt: until it is known to be
/// otherwise; so it also stays if whoever starts them is dropped.
fn occupy(slot: &Slot, specs: &[ContainerSpec]) -> Result<(), StartFailure> {
    for (index, spec) in specs.iter().enumerate() {
        if let Some(detail) = spec.declared.refusal() {
            return Err(StartFailure::ConfigRefused { index, detail });
        }
    }
    if slot.tenancy.is_doubted() {
        let detail = format!("slot {} may hold something of another", slot.number);
        return Err(FleetError::LeftOver { detail }.into());
    }
    slot.tenancy.doubt();
    Ok(())
}
