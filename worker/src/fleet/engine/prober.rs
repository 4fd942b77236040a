//! The prober of a slot: a container beside the strangers', attached by its standard streams.

use std::pin::Pin;

use bollard::{
    container::LogOutput, models::ContainerCreateBody,
    query_parameters::AttachContainerOptionsBuilder,
};
use futures::{Stream, StreamExt};
use tokio::{io::AsyncWrite, time::timeout};
use tokio_util::io::StreamReader;

use super::{EngineFleet, FIRST_WORD, READ, creation::CreateFailure};
use crate::{
    fleet::{
        endpoint::within,
        error::{FleetError, cut},
        facts::NodeFacts,
        labels::{Identity, Kind},
        request::{self, NodeSettings, Place},
        slot::Tenancy,
        subnet::Subnet,
    },
    probe::client::ProberClient,
};

/// Where a prober is made, and as what.
pub(in crate::fleet) struct Post<'a> {
    pub(in crate::fleet) name: &'a str,
    pub(in crate::fleet) image: &'a str,
    /// The slot's network, by its id.
    pub(in crate::fleet) network: &'a str,
    pub(in crate::fleet) subnet: &'a Subnet,
    pub(in crate::fleet) uid: u32,
    /// The node that it runs on.
    pub(in crate::fleet) node: &'a NodeFacts,
    pub(in crate::fleet) settings: &'a NodeSettings,
}

impl EngineFleet {
    /// A prober that has answered once: its id, and the way to it.
    pub(in crate::fleet) async fn make_prober(
        &self,
        post: &Post<'_>,
    ) -> Result<(String, ProberClient, Tenancy), FleetError> {
        let identity = Identity::of_slot(Kind::Prober, self.settings.worker);
        let Post { network, uid, node, settings, .. } = *post;
        let place = Place { network, uid, node, settings };
        let labels = self.settings.key.sign(&identity);
        let body = request::prober(post.image, post.subnet, &place, labels);
        let id = self.create_or_unfit(post.name, &body).await?;
        let docker = self.docker()?;
        let options = AttachContainerOptionsBuilder::new()
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .stream(true)
            .build();
        let attach = docker.attach_container(&id, Some(options));
        let streams = within(READ, "attaching to the prober", attach).await?;
        let tenancy = Tenancy::default();
        let prober = converse(post.name, streams.output, streams.input, tenancy.clone());
        self.start_container(&id).await?;
        let speechless =
            |detail: String| FleetError::Answer { doing: "greeting the prober", detail };
        match timeout(FIRST_WORD, prober.ping()).await {
            Ok(Ok(())) => Ok((id, prober, tenancy)),
            Ok(Err(error)) => Err(speechless(error.to_string())),
            Err(_) => Err(speechless(format!("no answer within {FIRST_WORD:?}"))),
        }
    }

    async fn create_or_unfit(
        &self,
        name: &str,
        body: &ContainerCreateBody,
    ) -> Result<String, FleetError> {
        self.create(name, body).await.map_err(|failure| match failure {
            CreateFailure::Engine(error) => error,
            CreateFailure::Differs(fields) => FleetError::Unfit(format!(
                "it dropped or changed {} of the prober",
                fields.join(", ")
            )),
        })
    }
}

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// Takes the attached streams apart: standard output is the conversation, standard error goes to
/// the log, cut, since a prober sits beside a stranger.
fn converse(
    name: &str,
    output: Output,
    input: Pin<Box<dyn AsyncWrite + Send>>,
    tenancy: Tenancy,
) -> ProberClient {
    let name = name.to_owned();
    let said = output.filter_map(move |piece| {
        let heard = match piece {
            Ok(LogOutput::StdOut { message }) => Some(Ok(message)),
            Ok(other) => {
                let words = cut(&String::from_utf8_lossy(other.as_ref()));
                tracing::debug!(container = name, words, "prober's standard error");
                None
            }
            Err(error) => Some(Err(std::io::Error::other(error))),
        };
        std::future::ready(heard)
    });
    let reader = StreamReader::new(Box::pin(said));
    ProberClient::new(reader, input, move |address| tenancy.may_dial(address))
}
