//! What services answer, as it is put together: JSON whose objects keep the order of their members. Names and texts stay
//! where they were received; of a list of a thousand things none is copied.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};

/// A JSON value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(serde_json::Number),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Value<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// The members of an object, in order. There are few, so they are looked for one by one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a>(pub Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Object<'a> {
    /// A member.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let found = self.0.iter().find(|(key, _)| **key == *name);
        found.map(|(_, value)| value)
    }

    /// A member, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value<'a>> {
        let found = self.0.iter_mut().find(|(key, _)| **key == *name);
        found.map(|(_, value)| value)
    }

    /// Its type, where it was asked for.
    pub fn type_name(&self) -> Option<&str> {
        match self.get("__typename") {
            Some(Value::Text(name)) => Some(name),
            _ => None,
        }
    }

    /// Sets a member.
    pub fn set(&mut self, name: &str, value: Value<'a>) {
        match self.get_mut(name) {
            Some(old) => *old = value,
            None => self.0.push((name.to_owned().into(), value)),
        }
    }
}

impl Value<'_> {
    /// A text of its own.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned().into())
    }

    /// Puts in what another answer says of the same thing. What one service knows is not lost because another says
    /// null of it.
    pub fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Object(mine), Self::Object(other)) => {
                for (name, value) in other.0 {
                    match mine.get_mut(&name) {
                        Some(old) => old.merge(value),
                        None => mine.0.push((name, value)),
                    }
                }
            }
            (Self::List(mine), Self::List(other)) if mine.len() == other.len() => {
                for (mine, other) in mine.iter_mut().zip(other) {
                    mine.merge(other);
                }
            }
            (mine, other) if other != Self::Null => *mine = other,
            _ => {}
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.0.len()))?;
                for (name, value) in &object.0 {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// The name of a member.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// How many members an object is taken to have at first.
const MEMBERS: usize = 8;

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Value<'de>, E> {
                Ok(Value::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
                Ok(Value::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
                Ok(Value::Number(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
                Ok(Value::Number(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
                Ok(serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
                Ok(Value::Text(text.into()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
                Ok(Value::text(text))
            }
            fn visit_string<E>(self, text: String) -> Result<Value<'de>, E> {
                Ok(Value::Text(text.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value<'de>, A::Error> {
                let mut items = Vec::with_capacity(list.size_hint().unwrap_or(0).min(1024));
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Value::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
                let mut members = Vec::with_capacity(MEMBERS);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Value::Object(Object(members)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn comes_back_as_it_was_written() {
        let json = r#"{"b":[1,-2,3.5,true,null,"x\n"],"a":{"c":18446744073709551615}}"#;
        assert_eq!(serde_json::to_string(&value(json)).unwrap(), json);
    }

    #[test]
    fn copies_no_text_but_one_that_is_written_otherwise() {
        let json = r#"{"a":"as it is","b\"c":"two\nlines"}"#;
        let Value::Object(Object(members)) = value(json) else {
            panic!("an object");
        };
        let copied = |text: &Cow<'_, str>| matches!(text, Cow::Owned(_));
        let copied: Vec<[bool; 2]> = members
            .iter()
            .map(|(name, value)| match value {
                Value::Text(text) => [copied(name), copied(text)],
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(copied, [[false, false], [true, true]]);
    }

    #[test]
    fn two_answers_about_one_thing_become_one() {
        let mut one = value(r#"{"a":{"x":1,"n":null,"k":7},"l":[{"x":1},{"x":2}]}"#);
        one.merge(value(
            r#"{"a":{"y":2,"n":3,"k":null},"l":[{"y":1},null],"b":4}"#,
        ));
        let both = r#"{"a":{"x":1,"n":3,"k":7,"y":2},"l":[{"x":1,"y":1},{"x":2}],"b":4}"#;
        assert_eq!(one, value(both));
    }
}
