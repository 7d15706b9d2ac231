//! What a client missed while it was away, read from Kafka.

use std::sync::Arc;

use bahi_kafka::{Part, Place, Reader};
use bahi_service::Env;
use bahi_types::TenantId;

use super::model::{Interest, News, TOPICS, Touched, meaning};

/// Most records that are read again for one client. Whoever missed more loads anew, which is faster.
const MOST: i64 = 200_000;

/// Where topics are read from.
#[derive(Clone, Debug)]
pub(crate) struct Kafka {
    brokers: String,
    prefix: String,
}

impl Kafka {
    /// From `BAHI_KAFKA` and `BAHI_TOPIC_PREFIX`.
    pub(crate) fn of(env: &Env) -> Option<Self> {
        Some(Self {
            brokers: env.optional("BAHI_KAFKA")?,
            prefix: env.optional("BAHI_TOPIC_PREFIX").unwrap_or_default(),
        })
    }
}

/// What was missed.
#[derive(Default)]
pub(super) struct Missed {
    pub news: Vec<Arc<News>>,
    pub touched: Touched,
}

/// What `tenant` was not told between two places; `None` when that is not kept any more, or is too much. Blocks.
///
/// # Errors
/// When the broker does not answer.
pub(super) fn missed(
    kafka: &Kafka,
    tenant: TenantId,
    interest: &Interest,
    (from, to): (&Place, &Place),
) -> anyhow::Result<Option<Missed>> {
    let reader = Reader::connect(&kafka.brokers)?;
    let (mut missed, mut records) = (Missed::default(), 0);
    let mut all = Vec::new();
    for topic in TOPICS {
        let name = format!("{}{}", kafka.prefix, topic.name());
        let mut parts = Vec::new();
        for kept in reader.parts(&name)? {
            let at = (topic, kept.partition);
            let (Some(from), Some(to)) = (from.get(&at), to.get(&at)) else {
                return Ok(None);
            };
            // Gone with time, or never there: a token of another cluster.
            if *from < kept.from || *from > kept.to {
                return Ok(None);
            }
            records += (to - from).max(0);
            parts.push(Part {
                partition: kept.partition,
                from: *from,
                to: (*to).max(*from),
            });
        }
        all.push((name, parts));
    }
    if records > MOST {
        return Ok(None);
    }
    for (name, parts) in all {
        reader.read(&name, &parts, |record| {
            let meant = record.value().and_then(meaning);
            if let Some((_, meaning)) = meant.filter(|(whose, _)| *whose == tenant) {
                let news = meaning.news.into_iter().filter(|n| interest.covers(n));
                missed.news.extend(news.map(Arc::new));
                let touched = meaning.touched.into_iter();
                missed
                    .touched
                    .extend(touched.filter(|goods| interest.watches(goods)));
            }
            Ok(())
        })?;
    }
    Ok(Some(missed))
}
