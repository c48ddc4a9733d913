//! The bucket of what edges are told.

use secbeat_common::{sources::SourceLengths, subjects, wire::Interest};

use super::*;
use crate::{ChangedDirectives, DirectiveBucket};

pub async fn directives_are_written_only_if_they_are_news(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let directives = DirectiveBucket::new(&fleet.bus, fleet.signer.clone());
    let (interest, sources) = (Interest::default(), SourceLengths::default());
    let both = ChangedDirectives {
        interest: true,
        sources: true,
    };
    let none = ChangedDirectives {
        interest: false,
        sources: false,
    };
    assert_eq!(directives.keep(&interest, &sources).await, Ok(both));
    assert_eq!(directives.keep(&interest, &sources).await, Ok(none));
    let bucket = fleet.bus.bucket(subjects::RULES_BUCKET);
    assert_eq!(put(&bucket, subjects::INTEREST_KEY, "something else").await, 3);
    let changed = ChangedDirectives {
        interest: true,
        sources: false,
    };
    assert_eq!(directives.keep(&interest, &sources).await, Ok(changed));
    let held = bucket.get(subjects::INTEREST_KEY).await.unwrap().unwrap();
    let opened = fleet.trust.open::<Interest>(&held.value).unwrap();
    assert_eq!(opened.command, interest);
}
