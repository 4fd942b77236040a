//! Taking images off the node again.

use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use tokio::time::Instant;

use super::{EngineFleet, READ, REMOVE};
use crate::fleet::{
    endpoint::within,
    error::FleetError,
    image_uses::{Eviction, UsedImage},
};

impl EngineFleet {
    /// What was asked for here since this process began.
    pub(in crate::fleet) fn used_images(&self) -> Vec<UsedImage> {
        self.uses.all()
    }

    /// The names with a digest of every image on the node.
    pub(in crate::fleet) async fn image_names(&self) -> Result<Vec<String>, FleetError> {
        let docker = self.docker()?;
        let options = ListImagesOptionsBuilder::new().digests(true).build();
        let images = within(READ, "listing images", docker.list_images(Some(options))).await?;
        Ok(images.into_iter().flat_map(|image| image.repo_digests).collect())
    }

    /// Removes an image by its name, unless something uses it or has asked for it since then.
    pub(in crate::fleet) async fn evict(
        &self,
        name: &str,
        idle_since: Instant,
    ) -> Result<Eviction, FleetError> {
        // Nobody looks for it meanwhile and takes it for there.
        let _alone = self.looking.write().await;
        if self.uses.last(name).is_some_and(|last| last >= idle_since) {
            return Ok(Eviction::InUse);
        }
        let docker = self.docker()?;
        let options = RemoveImageOptionsBuilder::new().force(false).build();
        let removal = docker.remove_image(name, Some(options), None);
        match within(REMOVE, "removing an image", removal).await {
            Ok(_) => {
                self.uses.gone(name);
                Ok(Eviction::Removed)
            }
            Err(FleetError::Refused { status: 404, .. }) => {
                self.uses.gone(name);
                Ok(Eviction::AlreadyGone)
            }
            Err(FleetError::Refused { status: 409, .. }) => Ok(Eviction::InUse),
            Err(error) => Err(error),
        }
    }
}
