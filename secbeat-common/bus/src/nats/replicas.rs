//! Makes streams, each on as many servers as it should be, and leaves what operators set by hand.

use async_nats::jetstream::{
    ErrorCode,
    context::{CreateStreamError, CreateStreamErrorKind},
    stream,
};
use tracing::{info, warn};

use super::{Nats, why};
use crate::error::{Error, Result};

/// With so many servers, one may fail.
const ENOUGH: usize = 3;

/// Number of servers that are to keep a new stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replicas {
    Exactly(usize),
    /// [`ENOUGH`], or one where the cluster is smaller.
    IfEnough,
}

/// `configured` is the operator's word; `servers` were named, and the connected one is part of a cluster or not.
fn wanted(configured: Option<usize>, servers: usize, is_clustered: bool) -> Replicas {
    match (configured, is_clustered) {
        (Some(replicas), _) => Replicas::Exactly(replicas),
        (None, false) => Replicas::Exactly(1),
        // Some of them may be down right now: the stream is made when they are back.
        (None, true) if servers >= ENOUGH => Replicas::Exactly(ENOUGH),
        (None, true) => Replicas::IfEnough,
    }
}

/// `new`, as far as an operator did not set something by hand in what is there.
fn kept(new: stream::Config, held: stream::Config, configured: Option<usize>) -> stream::Config {
    let replicas = held.num_replicas.max(1);
    // What is acknowledged is to last: nobody's higher limit is lowered, which would throw away what is kept.
    let lasts = !new.no_ack && new.discard == stream::DiscardPolicy::Old;
    let (max_bytes, max_age) = match lasts {
        true if held.max_bytes <= 0 => (held.max_bytes, new.max_age.max(held.max_age)),
        true => (new.max_bytes.max(held.max_bytes), new.max_age.max(held.max_age)),
        false => (new.max_bytes, new.max_age),
    };
    stream::Config {
        max_bytes,
        max_age,
        num_replicas: configured.map_or(replicas, |wanted| wanted.max(replicas)),
        placement: held.placement,
        description: held.description,
        ..new
    }
}

impl Nats {
    /// Makes a stream, or brings its settings up to date.
    pub(super) async fn make(&self, config: stream::Config) -> Result<()> {
        let name = config.name.clone();
        let made = match self.stream(&name).await {
            Ok(held) => self.update(config, held.cached_info().config.clone()).await,
            Err(Error::Missing(_)) => self.create(config).await,
            Err(error) => return Err(error),
        };
        made.map_err(|error| Error::Refused {
            what: format!("making the stream {name} (does the NATS server run with JetStream?)"),
            why: why(&error),
        })
    }

    async fn update(&self, new: stream::Config, held: stream::Config) -> Result<(), CreateStreamError> {
        let (name, before) = (new.name.clone(), held.num_replicas.max(1));
        let config = kept(new, held, self.replicas);
        let replicas = config.num_replicas;
        if let Some(wanted) = self.replicas.filter(|wanted| *wanted < before) {
            warn!(
                stream = name,
                replicas = before,
                wanted,
                "the stream has more replicas than nats.replicas, and keeps them"
            );
        }
        self.context.update_stream(config).await?;
        if replicas > before {
            info!(stream = name, replicas, before, "more servers keep the stream");
        }
        Ok(())
    }

    async fn create(&self, config: stream::Config) -> Result<(), CreateStreamError> {
        let is_clustered = self.client.server_info().cluster.is_some();
        let (replicas, or_one) = match wanted(self.replicas, self.servers, is_clustered) {
            Replicas::Exactly(replicas) => (replicas, false),
            Replicas::IfEnough => (ENOUGH, true),
        };
        let with = |num_replicas| stream::Config {
            num_replicas,
            ..config.clone()
        };
        match self.context.create_stream(with(replicas)).await {
            Err(error) if or_one && lacks_servers(&error) => {
                self.context.create_stream(with(1)).await?;
                warn!(
                    stream = config.name,
                    "the NATS cluster has fewer than three servers: one keeps the stream"
                );
                Ok(())
            }
            made => made.map(drop),
        }
    }
}

fn lacks_servers(error: &CreateStreamError) -> bool {
    match error.kind() {
        CreateStreamErrorKind::JetStream(error) => matches!(
            error.error_code(),
            ErrorCode::CLUSTER_NO_PEERS | ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_servers_keep_a_new_stream_where_there_are_three() {
        assert_eq!(wanted(None, 1, false), Replicas::Exactly(1));
        assert_eq!(
            wanted(None, 3, false),
            Replicas::Exactly(1),
            "one server under three names"
        );
        assert_eq!(wanted(None, 3, true), Replicas::Exactly(3));
        assert_eq!(wanted(None, 1, true), Replicas::IfEnough);
        assert_eq!(wanted(Some(1), 3, true), Replicas::Exactly(1));
        assert_eq!(
            wanted(Some(3), 1, false),
            Replicas::Exactly(3),
            "the server then says why not"
        );
    }

    #[test]
    fn what_an_operator_set_by_hand_stays() {
        let with = |num_replicas| stream::Config {
            num_replicas,
            ..stream::Config::default()
        };
        let replicas = |held, configured| kept(with(0), with(held), configured).num_replicas;
        assert_eq!(replicas(3, None), 3);
        assert_eq!(replicas(3, Some(1)), 3, "never fewer");
        assert_eq!(replicas(1, None), 1);
        assert_eq!(replicas(1, Some(3)), 3);
        assert_eq!(replicas(0, None), 1, "as earlier releases made them");
    }
}
