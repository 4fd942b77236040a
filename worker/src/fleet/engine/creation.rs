//! Making one container under a name of ours. The name makes it idempotent: a container whose
//! answer was lost is found again, and taken over if it is exactly what was asked for.

use std::collections::HashMap;

use bollard::{
    models::{ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum},
    query_parameters::{CreateContainerOptionsBuilder, InspectContainerOptions},
};

use super::{CREATE, EngineFleet, READ, START, given};
use crate::fleet::{endpoint::within, error::FleetError, given_id::GivenId, readback};

/// How often a container is asked for: once, again after a lost answer, and once more after an
/// older one with its name was removed.
const TRIES: u32 = 3;

/// Why a container was not made.
pub(in crate::fleet) enum CreateFailure {
    /// The engine stored something else; it was removed again.
    Differs(Vec<String>),
    /// The engine would not, or could not be asked.
    Engine(FleetError),
}

impl From<FleetError> for CreateFailure {
    fn from(error: FleetError) -> Self {
        Self::Engine(error)
    }
}

impl EngineFleet {
    /// Makes a container and reads it back; gives its id.
    pub(in crate::fleet) async fn create(
        &self,
        name: &str,
        body: &ContainerCreateBody,
    ) -> Result<String, CreateFailure> {
        let docker = self.docker()?;
        let mut last = None;
        for _ in 0..TRIES {
            let options = CreateContainerOptionsBuilder::new().name(name).build();
            let call = docker.create_container(Some(options), body.clone());
            let id = match within(CREATE, "making a container", call).await {
                Ok(created) => created.id,
                Err(error @ FleetError::Refused { status: 409, .. }) => {
                    match self.take_over(name, body).await? {
                        Some(id) => id,
                        None => {
                            last = Some(error);
                            continue;
                        }
                    }
                }
                Err(error) if error.is_answer_lost() => {
                    last = Some(error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let differing = readback::differences(body, &self.inspect(&id).await?);
            if differing.is_empty() {
                return Ok(id);
            }
            self.remove_container(&id).await?;
            return Err(CreateFailure::Differs(differing));
        }
        let tries = || FleetError::NameTaken { name: name.to_owned() };
        Err(last.unwrap_or_else(tries).into())
    }

    /// The container that has our name already: taken over if it is ours, for the same purpose
    /// and not started; removed if it is ours; not touched if it is not.
    async fn take_over(
        &self,
        name: &str,
        body: &ContainerCreateBody,
    ) -> Result<Option<String>, FleetError> {
        let there = match self.inspect(name).await {
            Err(error) if error.is_not_found() => return Ok(None),
            answer => answer?,
        };
        let key = &self.settings.key;
        let ours = key
            .verify(&labels(&there))
            .ok_or_else(|| FleetError::NameTaken { name: name.to_owned() })?;
        let wanted = body.labels.as_ref().and_then(|labels| key.verify(labels));
        let fresh = there.state.as_ref().and_then(|state| state.status)
            == Some(ContainerStateStatusEnum::CREATED);
        let usable = wanted == Some(ours) && fresh;
        let id = given(there.id.clone(), "inspecting a container", "id")?;
        if usable && readback::differences(body, &there).is_empty() {
            tracing::info!(container = name, "took over a container whose answer was lost");
            return Ok(Some(id));
        }
        self.remove_container(&id).await?;
        Ok(None)
    }

    pub(in crate::fleet) async fn start_container(&self, id: &str) -> Result<(), FleetError> {
        let docker = self.docker()?;
        within(START, "starting a container", docker.start_container(id, None)).await
    }

    pub(in crate::fleet) async fn inspect(
        &self,
        name: &str,
    ) -> Result<ContainerInspectResponse, FleetError> {
        let docker = self.docker()?;
        let look = docker.inspect_container(name, None::<InspectContainerOptions>);
        within(READ, "inspecting a container", look).await
    }

    /// Removes the containers with these names as far as they are ours.
    pub(in crate::fleet) async fn remove_ours(&self, names: &[String]) -> Result<(), FleetError> {
        let mut ids = Vec::new();
        for name in names {
            match self.inspect(name).await {
                Ok(there) if self.settings.key.verify(&labels(&there)).is_some() => {
                    ids.extend(there.id.map(GivenId::of));
                }
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        self.remove_containers(&ids).await
    }
}

fn labels(container: &ContainerInspectResponse) -> HashMap<String, String> {
    container.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default()
}
