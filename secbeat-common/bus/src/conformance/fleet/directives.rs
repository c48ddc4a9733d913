//! The bucket of what edges are told.

use secbeat_common::{
    sources::SourceLengths,
    subjects,
    wire::{Detection, Interest},
};

use super::*;
use crate::{ChangedDirectives, DirectiveBucket};

pub async fn directives_are_written_only_if_they_are_news(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let directives = DirectiveBucket::new(&fleet.bus, fleet.signer.clone());
    let (interest, sources) = (Interest::default(), SourceLengths::default());
    let detection = Detection {
        json: "{}".to_owned(),
    };
    let all = ChangedDirectives {
        interest: true,
        sources: true,
        detection: true,
    };
    let none = ChangedDirectives {
        interest: false,
        sources: false,
        detection: false,
    };
    assert_eq!(directives.keep(&interest, &sources, &detection).await, Ok(all));
    assert_eq!(directives.keep(&interest, &sources, &detection).await, Ok(none));
    let bucket = fleet.bus.bucket(subjects::RULES_BUCKET);
    assert_eq!(put(&bucket, subjects::INTEREST_KEY, "something else").await, 4);
    let changed = ChangedDirectives {
        interest: true,
        sources: false,
        detection: false,
    };
    assert_eq!(
        directives.keep(&interest, &sources, &detection).await,
        Ok(changed)
    );
    let held = bucket.get(subjects::INTEREST_KEY).await.unwrap().unwrap();
    let opened = fleet.trust.open::<Interest>(&held.value).unwrap();
    assert_eq!(opened.command, interest);
}
