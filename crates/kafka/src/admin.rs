//! Creating topics.

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};

/// Creates topics with the broker's default replication; those that exist stay as they are.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub async fn create_topics(brokers: &str, names: &[&str], partitions: i32) -> anyhow::Result<()> {
    create_topics_with(brokers, names, partitions, &[]).await
}

/// As [`create_topics`], with topic settings such as `retention.ms`.
pub(crate) async fn create_topics_with(
    brokers: &str,
    names: &[&str],
    partitions: i32,
    settings: &[(&str, &str)],
) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.metrics.push", "false")
        .create()?;
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| {
            let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
            settings
                .iter()
                .fold(topic, |topic, (setting, value)| topic.set(setting, value))
        })
        .collect();
    for result in admin
        .create_topics(&topics, &AdminOptions::new())
        .await
        .context("creating topics")?
    {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => bail!("topic {name} was not created: {code}"),
        }
    }
    Ok(())
}
