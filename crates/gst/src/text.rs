//! Identifiers that travel as text, in JSON and in the graph, and are checked on the way in.

/// Writes a type by its `Display` and reads it back through its `FromStr`.
macro_rules! serde_as_text {
    ($type:ty) => {
        bahi_types::stands_as!($type as String, ToString::to_string, |text: String| text
            .parse::<$type>(
        ));

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;
